"""Server: runs the emulator on a real socket, in the foreground for the command line or in a thread for tests.

Add here what concerns the socket or the server process; the replies are decided elsewhere. Port 0 means any free
port. The server listens on the loopback interface only, unless another host is given.
"""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from urllib.parse import urlunsplit

import uvicorn
from starlette.types import ASGIApp

from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.emulator.app import make_app
from wx_datacube.emulator.options import Options

LOOPBACK = "127.0.0.1"
SECONDS_TO_STOP = 1


class _Server(uvicorn.Server):
    """uvicorn with a callback once it listens; it exits on a signal without raising the signal again."""

    def __init__(self, app: ASGIApp, on_listening: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                backlog=512,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=SECONDS_TO_STOP,
                log_config=None,
                log_level="critical",
                access_log=False,
            )
        )
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.force_exit, self.should_exit = self.should_exit, True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm (40 ms per reply) only on sockets whose protocol is given as TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
    return urlunsplit(("http", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "", "", ""))


def serve(
    options: Options, host: str = LOOPBACK, port: int = 0, ready: Callable[[str], None] = lambda _api_url: None
) -> None:
    """Serve in the foreground until Ctrl-C or SIGTERM; call `ready` with the API's URL once the server listens.

    Raise `OSError` if the port is in use or the host is not an address of this machine.
    """
    listening = _listen(host, port)
    url = _url(listening)
    _Server(make_app(EmulatedAccount(options)), lambda: ready(url)).run([listening])


@contextlib.contextmanager
def serving(account: EmulatedAccount, host: str = LOOPBACK, port: int = 0) -> Iterator[str]:
    """Serve from a thread of this process for the duration of the context; yield the API's URL."""
    listening, started = _listen(host, port), threading.Event()
    url = _url(listening)
    server = _Server(make_app(account), started.set)
    thread = threading.Thread(target=server.run, args=([listening],), name="wx-datacube emulator", daemon=True)
    thread.start()
    try:
        if not started.wait(10):
            raise RuntimeError("the emulator didn't start")
        yield url
    finally:
        server.should_exit = True
        thread.join()
