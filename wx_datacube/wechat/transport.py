"""Transport: one HTTP exchange, limited in time and size, whose errors never contain the URL.

Add a rule here when it is about how a request is sent, or what can fail in transit. `answers` interprets the body.
Errors of the HTTP library are replaced here by sentences of ours, because their own text carries the URL with the
token. Other exceptions are bugs in this package and are raised.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
import urllib3.exceptions as lib

from wx_datacube import __version__
from wx_datacube.config.settings import API_URL
from wx_datacube.language import Text
from wx_datacube.wechat.deadline import Deadline, silence_http_log

_HEADERS = {
    "User-Agent": f"wx_datacube/{__version__}",
    "Accept": "application/json",
    # No compression: a packed body of kilobytes may expand to gigabytes, and the answers are small.
    "Accept-Encoding": "identity",
}
_MIB = 1024 * 1024
_PIECE_BYTES = 64 * 1024
_HEAD_BYTES = 64 * 1024
"""How much of an oversized body is kept."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one exchange: seconds to connect, between two bytes, and in total; bytes of the body."""

    connect: float = 5.0
    read: float = 10.0
    total: float = 30.0
    size: int = 16 * _MIB


@dataclass(frozen=True, slots=True)
class Response:
    """The response: status and body.

    `problem` is a sentence if the response can't be used as it is. If the status is None, no complete response arrived,
    and a retry may help; `body` is then the part that arrived. Otherwise the body is too large (its head is kept) or
    has a content coding that was not requested. `unsent` is true if there was no connection to send a request over.
    """

    status: int | None
    body: bytes = b""
    problem: Text | None = None
    elapsed_ms: int = 0
    unsent: bool = False


TOKEN_SERVER = Text("The token server", "中控服务器")


def host_name(api_url: str) -> Text:
    """Return how messages name the host of the API: WeChat, or the host itself if it isn't WeChat's."""
    if api_url == API_URL:
        return Text("WeChat", "微信")
    return Text(
        "{host} (not WeChat)",
        "接口地址 {host}（非微信）",
        host=api_url.partition("://")[2].partition("/")[0].rpartition("@")[2],
    )


def is_direct(url: str) -> bool:
    """Return whether a URL must bypass the environment's proxies.

    Plain http is meant for this machine or its network only, so it never goes through a proxy.
    """
    parts = urlsplit(url)
    try:
        loopback = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = parts.hostname == "localhost"
    return parts.scheme == "http" or loopback


class Transport:
    """Exchanges with one host, shared by threads; `who` names the host in messages."""

    def __init__(self, who: Text, bounds: Bounds, session_factory: Callable[[], requests.Session]) -> None:
        self.who = who
        self._bounds = bounds
        self._session = session_factory()
        self._session.headers.clear()
        self._session.headers.update(_HEADERS)
        silence_http_log()

    def send(self, url: str, body: bytes | None = None, *, seconds: float | None = None) -> Response:
        """POST `body` as JSON, or GET without one, within `seconds` (at most, and by default, the total timeout)."""
        started = time.monotonic()
        received = bytearray()
        status, problem, failed = None, None, None
        limit = min(seconds or self._bounds.total, self._bounds.total)
        with Deadline(limit) as deadline:
            try:
                status, problem = self._exchange(url, body, received)
            except _TRANSIT_ERRORS as error:
                failed = error
            except Exception:  # a bug in this package, unless the deadline has shut the socket down meanwhile
                if not deadline.expired:
                    raise
        if failed:
            problem = _sentence(failed, self._bounds).fill(who=self.who)
        if deadline.expired:
            status, problem = (
                None,
                Text(
                    "{who} did not answer in full within {seconds:.3g} s.",
                    "{who}在 {seconds:.3g} 秒内没有返回完整内容。",
                    who=self.who,
                    seconds=limit,
                ),
            )
        elapsed = round((time.monotonic() - started) * 1000)
        unsent = failed is not None and any(isinstance(link, _UNCONNECTED) for link in _chain(failed))
        return Response(status, bytes(received), problem, elapsed, unsent)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _exchange(self, url: str, body: bytes | None, received: bytearray) -> tuple[int, Text | None]:
        """Make one exchange; append the response's body to `received`; return the status and the response's problem.

        It bypasses `Session.send`, which stores cookies and reads the bodies of redirects.
        """
        with self._open(url, body) as response:
            for piece in response.raw.stream(_PIECE_BYTES, decode_content=False):
                received += piece
                if len(received) > self._bounds.size:
                    del received[_HEAD_BYTES:]
                    limit = self._bounds.size // _MIB
                    return response.status_code, Text(
                        "{who} sent more than {limit} MiB; only the head of it is kept.",
                        "{who}返回的内容超过 {limit} MiB，仅保留开头部分。",
                        who=self.who,
                        limit=limit,
                    )
            coding = response.headers.get("Content-Encoding", "").strip().lower()
            requested = coding in ("", "identity")
            problem = None if requested else _NOT_REQUESTED.fill(who=self.who)
            return response.status_code, problem

    @contextmanager
    def _open(self, url: str, body: bytes | None) -> Iterator[requests.Response]:
        method, headers = ("GET", {}) if body is None else ("POST", {"Content-Type": "application/json"})
        request = self._session.prepare_request(requests.Request(method, url, data=body, headers=headers))
        found = self._session.merge_environment_settings(url, {}, True, None, None)
        proxies = {} if is_direct(url) else found["proxies"]
        times = (self._bounds.connect, self._bounds.read)
        adapter = self._session.get_adapter(url)
        sent = adapter.send(
            request, stream=True, timeout=times, verify=found["verify"] or True, cert=found["cert"], proxies=proxies
        )
        with closing(sent) as response:
            yield response


_TRANSIT_ERRORS = (requests.RequestException, lib.HTTPError, http.client.HTTPException, OSError)
"""What the HTTP library raises for failures in transit. Any other exception is a bug in this package."""
_NOT_REQUESTED = Text("{who} sent a content coding that was not requested.", "{who}返回了未请求的内容编码。")
_SILENT = Text("{who} was silent for {read:g} s.", "{who}已 {read:g} 秒没有响应。")
_FAULT_MESSAGES: tuple[tuple[tuple[type[BaseException], ...], Text], ...] = (
    (
        (lib.NameResolutionError, socket.gaierror),
        Text("{who} can't be reached: its name can't be resolved.", "无法连接{who}：域名解析失败。"),
    ),
    (
        (lib.ProxyError,),
        Text(
            "{who} can't be reached: this machine's proxy (http_proxy, https_proxy) refuses the connection.",
            "无法连接{who}：本机代理（http_proxy、https_proxy）拒绝了连接。",
        ),
    ),
    (
        (ssl.SSLCertVerificationError,),
        Text(
            "{who} presents an untrusted TLS certificate; a proxy may intercept the connection.",
            "{who}的 TLS 证书不受信任，连接可能被代理截获。",
        ),
    ),
    (
        (lib.SSLError, ssl.SSLError),
        Text("{who} can't be reached: there is no TLS connection to it.", "无法连接{who}：TLS 连接失败。"),
    ),
    (
        (ConnectionRefusedError,),
        Text("{who} can't be reached: the connection is refused.", "无法连接{who}：连接被拒绝。"),
    ),
    (
        (lib.IncompleteRead, http.client.IncompleteRead),
        Text("{who} was cut off in the middle of its answer.", "{who}的返回内容在中途中断。"),
    ),
    ((lib.ReadTimeoutError,), _SILENT),
    ((lib.NewConnectionError,), Text("{who} can't be reached: {reason}.", "无法连接{who}：{reason}。")),
    (
        (lib.ConnectTimeoutError,),
        Text(
            "{who} can't be reached: no connection within {connect:g} s.", "无法连接{who}：{connect:g} 秒内未建立连接。"
        ),
    ),
    ((TimeoutError,), _SILENT),
    (
        (http.client.RemoteDisconnected, ConnectionError),
        Text("{who} closed the connection without an answer.", "{who}没有响应就关闭了连接。"),
    ),
    (
        (http.client.HTTPException, lib.ProtocolError),
        Text("{who} sent something that is not HTTP.", "{who}返回的不是 HTTP 内容。"),
    ),
)


_UNCONNECTED = (lib.NewConnectionError, lib.ConnectTimeoutError, ssl.SSLCertVerificationError)
"""Errors on the way to a connection."""


def _sentence(error: BaseException, bounds: Bounds) -> Text:
    """Return what an error of the HTTP library means in our words, without its own text, which carries the URL.

    `{who}` isn't filled in yet.
    """
    chain = list(_chain(error))
    for kinds, sentence in _FAULT_MESSAGES:
        if any(isinstance(link, kinds) for link in chain):
            return sentence.fill(connect=bounds.connect, read=bounds.read, reason=_reason(chain))
    return Text("{who} can't be reached: {reason}.", "无法连接{who}：{reason}。", reason=type(error).__name__)


def _reason(chain: list[BaseException]) -> Text | str:
    """Return the operating system's message, such as "No route to host", which names no host."""
    reasons = (link.strerror for link in chain if isinstance(link, OSError) and isinstance(link.strerror, str))
    return next(reasons, None) or Text("no connection", "未建立连接")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors that it wraps.

    These are causes, contexts, and those that the libraries keep in `args` and `reason`.
    """
    todo, seen = [error], set()
    while todo:
        link = todo.pop(0)
        if id(link) not in seen:
            seen.add(id(link))
            yield link
            inner = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
            todo += [each for each in inner if isinstance(each, BaseException)]
