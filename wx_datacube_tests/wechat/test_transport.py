"""Transport: whatever a server does on the wire, an exchange ends in bounded time and size, and is recorded.

Servers here are real sockets that send scripted bytes. Add a test when a server can misbehave in another way, or
when TLS, proxies or redirects change. Bodies are interpreted in `test_answers.py`.
"""

import base64
import datetime as dt
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
import requests

from wx_datacube.errors import TryAgain, UnexpectedAnswer, WeChatError
from wx_datacube.language import Language, text_of
from wx_datacube.wechat import Answer
from wx_datacube.wechat.deadline import deadline_session
from wx_datacube.wechat.retry import Limits
from wx_datacube.wechat.transport import Bounds, Transport, is_direct
from wx_datacube_tests.wechat_stand_in import DAY, TOKEN, Ledger, RawAnswer, StandIn, client, http, rows, wechat

PATH = "/datacube/getupstreammsg"
FULL = b'{"list":[{"ref_date":"2026-11-01","msg_user":1}]}'
# Self-signed, made for this test.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVyQ6V+wAWvnsqXzr
I9u8qQBt1PfBu9WgxQlnrqKMHJKhRANCAAQJmJnHuxtcWi4uWTij5/kzp5P1yqkV
wyxcGh+EF1HsYyZYuDOHJ81A1yQ8FB6U4T2HHpAbQjbmBuqwmyI9yN4+
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBzzCCAXWgAwIBAgIUdWZV7cfky6+7y6VLiJeFckU15lkwCgYIKoZIzj0EAwIw
LjEsMCoGA1UEAwwjd3hfZGF0YWN1YmUgdGVzdCwgdHJ1c3RlZCBieSBub2JvZHkw
IBcNMjYxMTI0MTM0MjQ4WhgPMjEyNjEwMzExMzQyNDhaMC4xLDAqBgNVBAMMI3d4
X2RhdGFjdWJlIHRlc3QsIHRydXN0ZWQgYnkgbm9ib2R5MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAECZiZx7sbXFouLlk4o+f5M6eT9cqpFcMsXBofhBdR7GMmWLgz
hyfNQNckPBQelOE9hx6QG0I25gbqsJsiPcjePqNvMG0wHQYDVR0OBBYEFPG7Yvzc
zbQfxl0Yc5LRz+0WEF1rMB8GA1UdIwQYMBaAFPG7YvzczbQfxl0Yc5LRz+0WEF1r
MBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0gAMEUCIQCuK8LsGYOGEHKtc4pZAhNmff6DYN6pIrS0/h7h/Hye
QQIgCpAgDyuGmib08ql0UlYebNXpK11agEaTKMEskj8/UoE=
-----END CERTIFICATE-----
"""
ONCE = Limits(attempts=1)
QUICK = Bounds(connect=1, read=0.3, total=0.6, size=1024 * 1024)


def exchange(answer: RawAnswer, bounds: Bounds = QUICK) -> tuple[Answer, WeChatError | None]:
    """Return what one attempt records in the ledger, and its error."""
    ledger = Ledger()
    with wechat(answer) as server, client(server.url, bounds=bounds, limits=ONCE) as it:
        try:
            it.fetch("getupstreammsg", DAY, DAY, ledger)
        except WeChatError as error:
            return ledger.answers[0], error
    return ledger.answers[0], None


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Create a file with the key and certificate of a server on this machine."""
    path = tmp_path / "certificate.pem"
    path.write_text(CERTIFICATE)
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    """Return the TLS context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def head(**fields: object) -> bytes:
    """Return the head of a response with status 200."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode()


def drip(data: bytes, first: bytes = b"", pause: float = 0.05) -> RawAnswer:
    """Send `first` at once and the rest byte by byte, each within the read timeout, without end."""

    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            for n in range(len(data)):
                connection.sendall(data[n : n + 1])
                time.sleep(pause)

    return send


class TestTime:
    """An exchange is bounded in time, however slowly bytes arrive."""

    @pytest.mark.parametrize(
        "answer",
        [
            drip(b" ", head(Content_Length=1000)),
            drip(b" ", head()),
            drip(b"1\r\n \r\n", head(Transfer_Encoding="chunked")),
            drip(b"1", head(Transfer_Encoding="chunked")),
            drip(b"X-Never-Ending: header\r\n", b"HTTP/1.1 200 OK\r\n"),
            drip(b"H"),
            drip(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001),
        ],
        ids=["body", "body-without-length", "chunks", "chunk-size", "headers", "status-line", "endless-continue"],
    )
    def test_slow_bytes_are_cut_off_by_the_total_timeout(self, answer: RawAnswer) -> None:
        """The total timeout ends an answer whose bytes each arrive in time, but never end."""
        began = time.monotonic()
        answer, error = exchange(answer)

        assert 0.5 < time.monotonic() - began < 3
        assert type(error) is TryAgain
        assert answer.http_status is None
        assert not answer.ok

    @pytest.mark.parametrize("first", [b"", head(Content_Length=100) + b"{"])
    def test_a_silent_server_is_left_after_the_read_timeout(self, first: bytes) -> None:
        """The read timeout ends a wait before the first byte and between bytes."""

        def fall_silent(connection: socket.socket) -> None:
            connection.sendall(first)
            connection.recv(1)

        answer, error = exchange(fall_silent, Bounds(read=0.2))
        assert type(error) is TryAgain
        assert str(answer.errmsg).endswith(" was silent for 0.2 s.")

    def test_a_retry_after_a_timeout_succeeds(self) -> None:
        """After a timeout the retry succeeds."""
        with (
            wechat(drip(b" ", head(Content_Length=100)), rows()) as server,
            client(server.url, bounds=QUICK) as it,
        ):
            assert it.fetch("getupstreammsg", DAY, DAY, Ledger()).ok


class TestSize:
    """An answer is bounded in size."""

    @pytest.mark.parametrize("fields", [{"Content_Length": 50_000_000}, {}])
    def test_a_huge_body_is_cut_off_and_its_head_kept(self, fields: dict[str, int]) -> None:
        """A body above the limit is cut, with or without Content-Length, and its first 64 KiB are kept."""

        def send(connection: socket.socket) -> None:
            connection.sendall(head(**fields))
            for _ in range(50):
                connection.sendall(b"x" * 1_000_000)

        answer, error = exchange(send, Bounds(size=1024 * 1024))

        assert type(error) is UnexpectedAnswer
        assert answer.http_status == 200
        assert str(answer.errmsg).endswith(" sent more than 1 MiB; only the head of it is kept.")
        assert answer.response == "x" * 65536

    def test_a_body_of_exactly_the_limit_is_accepted(self) -> None:
        """A body of exactly the limit is accepted, one byte more is not."""
        body = FULL + b" " * (1024 * 1024 - len(FULL))

        answer, error = exchange(http(body))
        assert error is None
        assert answer.ok

        answer, error = exchange(http(body + b" "))
        assert type(error) is UnexpectedAnswer


class TestCompression:
    """Requests accept no compression, so a small body can't expand to a large one."""

    @pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "gzip, gzip", "nonsense"])
    def test_a_compressed_body_is_unexpected(self, coding: str) -> None:
        """A compressed body is unexpected, and kept as received."""
        answer, error = exchange(http(FULL, Content_Encoding=coding))
        assert type(error) is UnexpectedAnswer
        assert answer.response == FULL.decode()

    def test_a_gzip_bomb_is_not_decompressed(self) -> None:
        """A gzip bomb, 200 MB in 200 kB, is kept as it is."""
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(200)) + packer.flush()
        tracemalloc.start()
        try:
            answer, error = exchange(http(bomb, Content_Encoding="gzip"))
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()

        assert type(error) is UnexpectedAnswer
        assert answer.response is not None
        assert len(answer.response) < 2_000_000

    def test_no_compression_is_requested(self) -> None:
        """The request tells the server not to compress."""
        with wechat(rows()) as server, client(server.url) as it:
            assert it.fetch("getupstreammsg", DAY, DAY, Ledger()).ok
            assert server.requests[-1].headers["accept-encoding"] == "identity"


class TestBrokenConnections:
    """Connections that end too early."""

    @pytest.mark.parametrize(
        ("raw", "kept"),
        [
            (b"", None),
            (b"HTTP/1.1 200 OK\r\nContent-Le", ""),
            (head(Content_Length=1000) + FULL, FULL.decode()),
            (head(Content_Length=1000), None),
            (head(Transfer_Encoding="chunked") + b"31\r\n" + FULL + b"\r\n", FULL.decode()),
            (head(Transfer_Encoding="chunked") + b"zz\r\n" + FULL, None),
            (b"SSH-2.0-OpenSSH_9.9\r\n", None),
            (b"\x00\xff" * 100, None),
            (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n", None),
            (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", None),
        ],
    )
    def test_a_partial_response_is_not_a_success(self, raw: bytes, kept: str | None) -> None:
        """A partial response is kept, but is never a success, even if its body looks whole."""
        answer, error = exchange(raw)

        assert type(error) in (TryAgain, UnexpectedAnswer)
        assert not answer.ok
        assert answer.http_status is None or b"Content-Le" in raw
        assert answer.errmsg
        assert answer.response == kept

    def test_a_cut_body_without_a_length_is_retried(self) -> None:
        """A cut body without a length is recognized by its invalid JSON, and retried."""
        with wechat(head() + FULL[:-5], rows()) as server, client(server.url) as it:
            it.fetch("getupstreammsg", DAY, DAY, Ledger())
        assert len(server.asked(PATH)) == 2

    def test_a_reset_connection_may_be_retried(self) -> None:
        """A reset (RST) in the middle of the body may be retried."""

        def reset(connection: socket.socket) -> None:
            connection.sendall(head(Content_Length=100) + b"{")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        answer, error = exchange(reset)
        assert type(error) is TryAgain
        assert answer.http_status is None

    def test_a_host_name_that_does_not_resolve_is_an_error(self) -> None:
        """A host name that doesn't resolve is an error that says so, and that the host isn't WeChat's."""
        with (
            client("https://wechat.invalid", limits=ONCE) as it,
            pytest.raises(TryAgain, match="its name can't be resolved") as caught,
        ):
            it.check_credentials()
        assert "wechat.invalid (not WeChat) can't be reached" in str(caught.value)
        assert "无法连接接口地址 wechat.invalid（非微信）" in caught.value.text.to(Language.CHINESE)

    def test_a_server_without_tls_is_an_error(self) -> None:
        """A server that speaks plain text instead of TLS is an error that says so."""
        with wechat(rows()) as server:
            url = server.url.replace("http://", "https://")
            with client(url, limits=ONCE) as it, pytest.raises(TryAgain, match="no TLS connection"):
                it.check_credentials()


class TestTls:
    """TLS certificates are always verified."""

    @pytest.mark.parametrize("bundle", [None, ""])
    def test_an_untrusted_certificate_is_refused(
        self, bundle: str | None, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An untrusted certificate is refused, whatever the environment sets, before any request is sent."""
        if bundle is not None:
            monkeypatch.setenv("CURL_CA_BUNDLE", bundle)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
        with wechat(rows(), tls=server_side(certificate)) as server, client(server.url, limits=ONCE) as it:
            with pytest.raises(TryAgain, match="untrusted TLS certificate"):
                it.check_credentials()
            assert not server.requests

    def test_requests_ca_bundle_adds_a_trusted_certificate(
        self, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """REQUESTS_CA_BUNDLE adds a trusted certificate; timeouts work with TLS too."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        slow = drip(b" ", head(Content_Length=1000))
        with (
            wechat(rows(), slow, tls=server_side(certificate)) as server,
            client(server.url, limits=ONCE, bounds=QUICK) as it,
        ):
            assert it.fetch("getupstreammsg", DAY, DAY, Ledger()).ok
            with pytest.raises(TryAgain, match=r"did not answer in full within 0\.6 s"):
                it.fetch("getupstreammsg", DAY, DAY, Ledger())


class TestElsewhere:
    """The token goes to the configured host and nowhere else."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_are_not_followed(self, status: int) -> None:
        """Redirects are not followed, and their bodies are not decompressed."""
        with StandIn(lambda _: rows()) as other:
            bomb = gzip.compress(b" " * 50_000_000)
            answer = http(bomb, status, Location=f"{other.url}/stolen", Content_Encoding="gzip")
            answer, error = exchange(answer)

        assert type(error) is UnexpectedAnswer
        assert f"HTTP {status}" in str(error)
        assert answer.http_status == status
        assert not other.requests

    def test_cookies_are_not_kept(self) -> None:
        """Cookies are not sent back, so servers can't track the client."""
        with wechat(http(FULL, Set_Cookie="a=b; Path=/"), rows()) as server, client(server.url) as it:
            it.fetch("getupstreammsg", DAY, DAY, Ledger())
            it.fetch("getupstreammsg", DAY, DAY, Ledger())
        assert not any("cookie" in request.headers for request in server.requests)

    def test_plain_http_does_not_go_through_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Plain http bypasses the environment's proxies, which would see the token."""
        with StandIn(lambda _: rows()) as proxy:
            for name in ("http_proxy", "https_proxy", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            answer, error = exchange(rows())

        assert error is None
        assert answer.ok
        assert not proxy.requests

    def test_https_goes_through_the_proxy_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """https uses the proxy as a tunnel, so it sees no token; a proxy that refuses is named."""
        with StandIn(lambda _: http("", 403)) as proxy:
            monkeypatch.setenv("https_proxy", proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            with (
                client("https://wechat.invalid", limits=ONCE) as it,
                pytest.raises(TryAgain, match="machine's proxy"),
            ):
                it.check_credentials()

        assert [request.method for request in proxy.requests] == ["CONNECT"]
        assert TOKEN not in proxy.requests[0].target

    def test_plain_http_and_this_machine_bypass_proxies(self) -> None:
        """Plain http and this machine bypass proxies; other hosts follow the environment."""
        assert is_direct("http://10.0.0.1/")
        assert is_direct("https://localhost/")
        assert is_direct("https://127.0.0.1/")
        assert not is_direct("https://api.weixin.qq.com")


def test_credentials_in_a_url_are_sent_as_http_basic() -> None:
    """Credentials in a token server's URL, of any characters, are sent as HTTP Basic."""
    with StandIn(lambda _: http("{}")) as server:
        transport = Transport(text_of("The token server"), Bounds(), deadline_session)
        host = server.url.removeprefix("http://")
        for start in ("somebody:p%40ss%E9%92%A5@", ""):
            assert transport.send(f"http://{start}{host}/token").status == 200
        transport.close()

    with_them, without = (request.headers for request in server.requests)
    scheme, _, code = {name.lower(): value for name, value in with_them.items()}["authorization"].partition(" ")
    assert (scheme, base64.b64decode(code).decode()) == ("Basic", "somebody:p@ss钥")
    assert "authorization" not in {name.lower() for name in without}


@pytest.mark.parametrize("fault", [TypeError, KeyError, AssertionError])
def test_a_bug_of_ours_is_raised(fault: type[Exception]) -> None:
    """A bug of ours is raised as it is, since a retry can't help and the host isn't at fault."""

    class Faulty(requests.Session):
        """A session with a bug."""

        def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
            """Raise the error."""
            raise fault("a mistake")

    transport = Transport(text_of("WeChat"), Bounds(), Faulty)
    with pytest.raises(fault):
        transport.send("http://127.0.0.1/")
    transport.close()


def test_no_thread_is_left_behind() -> None:
    """No thread is left after good and bad exchanges."""
    before = threading.enumerate()
    for answer in (rows(), b"", drip(b" ", head(Content_Length=100)), http(b"x" * 2_000_000)):
        exchange(answer)
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(1)
    assert not any(thread.is_alive() for thread in left)


def test_the_elapsed_time_is_that_of_the_attempt() -> None:
    """The elapsed time is in milliseconds, by a monotonic clock."""

    def late(connection: socket.socket) -> None:
        time.sleep(0.1)
        connection.sendall(http(FULL))

    answer, _ = exchange(late, Bounds())
    assert 100 <= answer.elapsed_ms < 2000
    assert answer.requested_at == dt.datetime(2026, 11, 24, 12)
