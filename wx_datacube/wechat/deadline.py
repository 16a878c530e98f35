"""Deadline: limit the total time of an exchange, and keep the HTTP library from logging it.

Add a rule here if it needs access to a connection of the HTTP library. The library's own timeouts restart with each
byte, so a watchdog thread shuts the socket down. The library's log records carry the host and the path with the token,
so they are dropped in a thread while it runs an exchange of ours; other users of the library aren't affected.
"""

import logging
import socket
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

POOL_SIZE = 64


class Deadline:
    """The total timeout of one exchange: when it expires, the socket is shut down while the exchange waits for it.

    While a deadline is active in a thread, the HTTP library logs nothing there.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._ends_at = time.monotonic() + seconds
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self._before = _DEADLINE.set(self)
        _WATCHDOG.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _WATCHDOG.remove(self)
        _DEADLINE.reset(self._before)

    def check(self, now: float) -> None:
        """Shut the exchange down if its time is over."""
        if now >= self._ends_at and not self.expired:
            self._shut_down()

    def attach(self, connection: HTTPConnection) -> None:
        """Attach a connection to this deadline; raise TimeoutError if the time is already over.

        The socket is remembered because the library drops it once the head of the response is read.
        """
        if self.expired:
            raise TimeoutError
        self._connection = connection
        self._socket = connection.sock or self._socket

    def _shut_down(self) -> None:
        self.expired = True
        for sock in (self._socket, self._connection and self._connection.sock):
            with suppress(OSError, ValueError, AttributeError, TypeError):
                # Not SSLSocket's own shutdown, which removes the TLS object while another thread reads from it.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # type: ignore[arg-type]


class _Watchdog:
    """One thread that checks all exchanges in flight; a timer thread for each would cost more than the exchange."""

    INTERVAL = 0.1

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._busy = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        with self._busy:
            self._deadlines.add(deadline)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="wx_datacube watchdog", daemon=True)
                self._thread.start()
            elif len(self._deadlines) == 1:
                self._busy.notify()

    def remove(self, deadline: Deadline) -> None:
        with self._busy:
            self._deadlines.discard(deadline)

    def _watch(self) -> None:
        while True:
            with self._busy:
                while not self._deadlines:
                    self._busy.wait()
                deadlines = list(self._deadlines)
            now = time.monotonic()
            for deadline in deadlines:
                deadline.check(now)
            time.sleep(self.INTERVAL)


_WATCHDOG = _Watchdog()
_DEADLINE: ContextVar[Deadline | None] = ContextVar("wx_datacube_deadline", default=None)


def _not_our_exchange(record: logging.LogRecord) -> bool:
    """Logging filter: return whether a record of the HTTP library comes from no exchange of ours."""
    return _DEADLINE.get() is None


def silence_http_log() -> None:
    """Keep the HTTP library from logging our exchanges: its records carry the host and the whole path."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("urllib3", "requests"):
            logging.getLogger(name).addFilter(_not_our_exchange)


class _DeadlineConnection:
    """Mixin of a connection: attaches it to the deadline of its exchange, and turns debug output (`debuglevel`) off."""

    debuglevel = 0

    def connect(self) -> None:
        _attach(self)
        super().connect()  # type: ignore[misc]
        _attach(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _attach(self)
        super().request(*args, **kwargs)  # type: ignore[misc]
        _attach(self)


def _attach(connection: Any) -> None:
    deadline = _DEADLINE.get()
    if deadline is not None:
        deadline.attach(connection)


class _PlainConnection(_DeadlineConnection, HTTPConnection):
    pass


class _TlsConnection(_DeadlineConnection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DeadlineAdapter(HTTPAdapter):
    """Adapter whose connections obey the deadline of their exchange. It retries nothing by itself."""

    def __init__(self) -> None:
        super().__init__(pool_connections=4, pool_maxsize=POOL_SIZE, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        _use_deadline_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Create the pools of connections through `proxy`.

        A SOCKS proxy has pools of its own, to which no deadline is attached.
        """
        manager = super().proxy_manager_for(proxy, **kwargs)
        if type(manager) is ProxyManager:
            _use_deadline_pools(manager)
        return manager


def _use_deadline_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


def _authorized(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return the request with the credentials in its URL, if any, as HTTP Basic."""
    user, password = get_auth_from_url(request.url or "")
    return HTTPBasicAuth(user.encode(), password.encode())(request) if user or password else request


def deadline_session() -> requests.Session:
    """Return a session whose connections obey deadlines, without credentials from `.netrc`."""
    session = requests.Session()
    session.auth = _authorized
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter())
    return session
