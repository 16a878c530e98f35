"""Secrets: no token, AppSecret or token URL gets into exceptions, logs, the ledger or the terminal.

Add an answer to `ANSWERS` here when the client learns to handle one: every answer is tested for leaks, with all
debug logging on.
"""

import base64
import http.client
import logging
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests

from wx_datacube.errcodes import BY_ERRCODE
from wx_datacube.errors import WxDatacubeError
from wx_datacube.wechat import Client
from wx_datacube.wechat.retry import Limits
from wx_datacube.wechat.transport import Bounds
from wx_datacube_tests.wechat_stand_in import (
    DAY,
    SECRET,
    TOKEN,
    Ledger,
    RawAnswer,
    Request,
    StandIn,
    client,
    errcode,
    rows,
    token,
)
from wx_datacube_tests.wechat_stand_in import (
    http as page,
)

KEY = "k3y-of-the-token-server"
SECRETS = (TOKEN, SECRET, quote(SECRET, safe=""), SECRET.replace("/", "\\/"))
ADDRESSES = (KEY, "access_token=7", "http://", "https://")
ECHO = f"GET /x?access_token={TOKEN} {quote(SECRET, safe='')} http://elsewhere.example/{KEY}"
BROKEN_HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nno colon here\r\n\r\n" + b'{"list":[]}'

ANSWERS: dict[str, RawAnswer] = {
    **{str(code): errcode(code, f"{ECHO} rid: 1-2") for code in BY_ERRCODE},
    "unknown errcode": errcode(12345, ECHO),
    "success": rows({"ref_date": "2026-11-01"}),
    "success that quotes": rows({"x": f"{TOKEN} {SECRET}"}),
    "nothing": b"",
    "not HTTP": ECHO.encode(),
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + ECHO.encode(),
    "broken headers": BROKEN_HEADERS,
    "502": page(f"<html>{ECHO}</html>", 502),
    "404": page(ECHO, 404),
    "HTML": page(f"<html>{ECHO}</html>"),
    "redirect": page("", 302, Location=f"http://127.0.0.1:9/?{ECHO.split()[1]}"),
    "no list": page({"error": ECHO}),
    "too large": page(ECHO * 30_000),
}


@pytest.fixture
def loud(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    """Turn on debug logging of everything, including the HTTP library and its wire."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with caplog.at_level(logging.DEBUG):
        for name in ("urllib3", "urllib3.connectionpool", "requests", "wx_datacube"):
            caplog.set_level(logging.DEBUG, name)
        yield caplog


def chain(error: BaseException | None) -> Iterator[str]:
    """Yield every text of an exception and of all exceptions attached to it."""
    if error is None:
        return
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    yield "".join(traceback.format_exception(error))
    for inner in (error.__cause__, error.__context__, *error.args):
        if isinstance(inner, BaseException):
            yield from chain(inner)


def said(it: Client) -> tuple[list[str], Ledger]:
    """Return the texts of one call, its result or its error with all that is attached, and its ledger."""
    ledger = Ledger()
    try:
        return [repr(it.fetch("getupstreammsg", DAY, DAY, ledger))], ledger
    except WxDatacubeError as error:
        caught = error
    assert caught.__cause__ is None
    assert caught.__context__ is None
    return list(chain(caught)), ledger


def leaks(it: Client, texts: list[str], ledger: Ledger) -> list[str]:
    """Return the secrets that are visible. Addresses in a body and in the client itself don't count."""
    bodies = [f"{answer.response} {answer.errmsg}" for answer in ledger.answers]
    everything = [*texts, *bodies, repr(it), repr(vars(it)), repr(vars(it).values())]
    secrets = [hidden for hidden in SECRETS if any(hidden in text for text in everything)]
    return secrets + [hidden for hidden in ADDRESSES if any(hidden in text for text in texts)]


@pytest.mark.parametrize("name", ANSWERS)
def test_no_statistics_call_leaks_a_secret(
    name: str, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A statistics call leaks no secret, whatever WeChat or a gateway answers."""

    def answer(request: Request) -> RawAnswer:
        return token() if request.path == "/cgi-bin/stable_token" else ANSWERS[name]

    with StandIn(answer) as server, client(server.url, bounds=Bounds(read=1, size=1024 * 1024)) as it:
        texts, ledger = said(it)
        assert leaks(it, [*texts, loud.text, *capfd.readouterr()], ledger) == []
        assert ledger.answers
        assert "getupstreammsg 2026-11-01..2026-11-01: HTTP" in loud.text


@pytest.mark.parametrize("name", [name for name in ANSWERS if not name.startswith("success")])
@pytest.mark.parametrize("central", [False, True], ids=["stable_token", "token server"])
def test_no_token_call_leaks_a_secret(
    name: str, central: bool, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A token call leaks no secret, whether it is the AppSecret in its body or the URL itself."""
    with StandIn(lambda _: ANSWERS[name]) as server:
        url = f"{server.url.replace('//', f'//somebody:{KEY}@')}/{KEY}?key={KEY}" if central else None
        with client(server.url, token_url=url, bounds=Bounds(read=1, size=1024 * 1024)) as it:
            texts, ledger = said(it)
        heard = [*texts, loud.text, *capfd.readouterr()]
        assert leaks(it, heard, ledger) == []
        assert base64.b64encode(f"somebody:{KEY}".encode()).decode() not in " ".join(heard)
        assert not ledger.answers


@pytest.mark.parametrize("central", [False, True], ids=["stable_token", "token server"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1:9", "tokens.invalid", "127.0.0.1:99999", "[::1", "a" * 70 + ".invalid"])
def test_no_failed_connection_leaks_a_secret(
    scheme: str, host: str, central: bool, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A failed connection leaks no secret: the HTTP library's messages quote the URL, ours don't."""
    url = f"{scheme}://{host}"
    token_url = f"{scheme}://somebody:{KEY}@{host}/{KEY}?key={KEY}" if central else None
    with client("http://127.0.0.1:9" if central else url, token_url=token_url, limits=Limits(attempts=1)) as it:
        texts, ledger = said(it)
    assert leaks(it, [*texts, loud.text, *capfd.readouterr()], ledger) == []
    # The host of the API is named if it isn't WeChat's; that of the token server is part of a secret.
    assert not central or host not in " ".join([*texts, loud.text])


def test_eight_threads_leak_no_secret(loud: pytest.LogCaptureFixture) -> None:
    """Logging of the HTTP library is suppressed in each of eight threads."""

    def answer(request: Request) -> RawAnswer:
        return token() if request.path == "/cgi-bin/stable_token" else rows()

    with StandIn(answer) as server, client(server.url) as it, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: it.fetch("getupstreammsg", DAY, DAY, Ledger()), range(32)))
    assert TOKEN not in loud.text


def test_other_users_of_the_http_library_can_still_log(loud: pytest.LogCaptureFixture) -> None:
    """The HTTP library still logs requests that aren't ours."""
    with StandIn(lambda _: rows()) as server, client(server.url):
        requests.get(f"{server.url}/theirs", timeout=5)
    assert "/theirs" in loud.text
