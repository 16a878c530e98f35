"""Stand-in: a server whose responses a test defines byte for byte, and a clock that tests move.

Add a helper here when several tests of the WeChat client need it. The emulator behaves as WeChat does; the stand-in
does what no proper server does: partial responses, slow bytes, broken headers. It listens on a free port and stops with
its context.
"""

import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from wx_datacube.wechat import Answer, Client

NOON = dt.datetime(2026, 11, 24, 12)
DAY = dt.date(2026, 11, 1)
APPID = "wx0123456789abcdef"
SECRET = "5ec2e7/0123456789+abcdef=0123456"
TOKEN = "70_tOkEn-0123456789_abcdefghij"


@dataclass(frozen=True)
class Request:
    """A request from the client."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def token(self) -> str:
        """The access token in the query."""
        return parse_qs(urlsplit(self.target).query)["access_token"][0]

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


RawAnswer = bytes | Callable[[socket.socket], None]


def http(body: bytes | str | dict[str, Any], status: int = 200, **headers: str) -> bytes:
    """Build a whole HTTP response; a dict is sent as JSON."""
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    fields = {"Content-Length": str(len(raw)), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + raw


def token(value: str = TOKEN, **more: Any) -> bytes:
    """Build the response of a token call."""
    return http({"access_token": value, "expires_in": 7200} | more)


def rows(*found: dict[str, Any]) -> bytes:
    """Build the response of a statistics call."""
    return http({"list": list(found)})


def errcode(number: int | str, errmsg: str = "some words rid: 608a6564-495fb669-6d56d31b") -> bytes:
    """Build a business error."""
    return http({"errcode": number, "errmsg": errmsg})


class StandIn:
    """A local server on a free port: `answer(request)` returns its response; `requests` lists what it received."""

    def __init__(self, answer: Callable[[Request], RawAnswer], tls: ssl.SSLContext | None = None) -> None:
        self._answer, self._tls = answer, tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def asked(self, path: str) -> list[Request]:
        """Return the requests for a path, oldest first."""
        with self._lock:
            return [request for request in self.requests if request.path == path]

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._lock:
                    self._open.add(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection, self._wrapped(connection) as stream:
            answer = self._answer(self._read(stream))
            if callable(answer):
                answer(stream)
            else:
                stream.sendall(answer)
        with self._lock:
            self._open.discard(connection)

    def _wrapped(self, connection: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(connection, server_side=True) if self._tls else connection

    def _read(self, connection: socket.socket) -> Request:
        with connection.makefile("rb") as stream:
            method, target, _ = stream.readline().decode().split(" ", 2)
            headers = {}
            while line := stream.readline().strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", "0")))
        request = Request(method, target, headers, body)
        with self._lock:
            self.requests.append(request)
        return request


def wechat(*answers: RawAnswer, tls: ssl.SSLContext | None = None) -> StandIn:
    """Return a stand-in that issues tokens and responds to the n-th statistics call with the n-th answer.

    The last answer is repeated.
    """
    left = list(answers)

    def answer(request: Request) -> RawAnswer:
        if request.path == "/cgi-bin/stable_token":
            return token()
        return left.pop(0) if len(left) > 1 else left[0]

    return StandIn(answer, tls)


@dataclass
class Time:
    """A clock that only sleeping advances; threads share it."""

    now: dt.datetime = NOON
    slept: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> dt.datetime:
        """Return the current time of the test."""
        with self.lock:
            return self.now

    def seconds(self) -> float:
        """Return the seconds since noon, as a stopwatch does."""
        return (self() - NOON).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        with self.lock:
            self.slept.append(seconds)
            self.now += dt.timedelta(seconds=seconds)


@dataclass
class Ledger:
    """A journal that keeps every attempt."""

    answers: list[Answer] = field(default_factory=list)
    permitted: int = 0

    def permit(self) -> None:
        """Allow the attempt."""
        self.permitted += 1

    def record(self, answer: Answer) -> None:
        """Keep the answer."""
        self.answers.append(answer)


def client(url: str, time: Time | None = None, **options: Any) -> Client:
    """Return a client of a stand-in that doesn't really wait."""
    time = time or Time()
    given: dict[str, Any] = {
        "appid": APPID,
        "secret": SECRET,
        "clock": time,
        "sleep": time.sleep,
        "stopwatch": time.seconds,
        "jitter": lambda: 0.5,
    } | options
    return Client(api_url=url, **given)
