"""Hostile answers: whatever a server sends, there is no traceback, no wrong figure, and every body is in the ledger.

Bodies go over a socket to the real client and into the tables, which must equal an independent reading of the bodies.
`hostile.py` draws them. Add an answer to `HOSTILE` when a whole run must survive it.
"""

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wx_datacube.config.settings import Account, Secret
from wx_datacube.errors import WeChatError
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.service import Ingest
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.wechat.retry import Limits
from wx_datacube.wechat.transport import Bounds
from wx_datacube_tests.answers import MESSAGES, answered, body, day, everything, row, rows_of
from wx_datacube_tests.conftest import empty
from wx_datacube_tests.hostile import Sent, as_text, bodies, errcode_of, noted
from wx_datacube_tests.reference import Reference
from wx_datacube_tests.warehouse.test_replay import comparable, understood
from wx_datacube_tests.wechat_stand_in import (
    APPID,
    NOON,
    SECRET,
    Ledger,
    RawAnswer,
    Request,
    StandIn,
    Time,
    client,
    errcode,
    http,
    rows,
    token,
)

ONCE = Limits(attempts=1)
AT_ONCE = 100
SAID = ("http_status", "errcode", "errmsg", "rid", "response")
few = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@dataclass
class Server:
    """A WeChat that issues tokens and answers other requests with `says`."""

    says: RawAnswer = b""
    url: str = field(default="")

    def answer(self, request: Request) -> RawAnswer:
        """Return the answer to a request."""
        return token() if request.path == "/cgi-bin/stable_token" else self.says


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run one server for all bodies."""
    made = Server()
    with StandIn(made.answer) as stand_in:
        made.url = stand_in.url
        yield made


def bring_in(con: Connection, server: Server, all_sent: list[Sent]) -> list[Sent]:
    """Make one call for each body and store the attempts in one commit; return the body of each attempt, in order."""
    got, calls = [], []
    with client(server.url, limits=ONCE) as it:
        for sent in all_sent:
            server.says, ledger, error = sent.raw, Ledger(), None
            try:
                it.fetch(sent.endpoint.name, *sent.window, ledger)
            except WeChatError as caught:
                error = caught
            assert ledger.answers
            assert ledger.answers[-1].ok is (error is None)
            assert "\n" not in str(error)
            for answer in ledger.answers:
                said = {name: getattr(answer, name) for name in ("http_status", "errcode", "errmsg", "rid", "response")}
                calls.append(answered(sent.endpoint, *sent.window, at=answer.requested_at, **said))
                got.append(sent)
    store_calls(con, calls)
    return got


def holds_what_was_sent(con: Connection, server: Server, all_sent: list[Sent]) -> None:
    """Assert that ledger and tables equal an independent reading of the bodies."""
    empty(con)
    got = bring_in(con, server, all_sent)
    reference = Reference()
    for number, sent in enumerate(got, 1):
        reference.take(number, noted(sent, NOON))

    ledger = rows_of(con, "SELECT http_status, response, errmsg, errcode FROM datacube.api_calls ORDER BY call_id")
    assert [(*kept, errmsg is None) for *kept, errmsg, _ in ledger] == [
        (sent.status, as_text(sent.body), sent.status == 200 and errcode_of(sent.body) == 0) for sent in got
    ]
    assert comparable(understood(everything(con))) == comparable(reference.tables())
    for sent, (status, *_, code) in zip(got, ledger, strict=True):
        if status == 200 and (expected := errcode_of(sent.body)) is not None:
            assert code == (expected or None)


@settings(few, max_examples=10)
@given(all_sent=st.lists(bodies(), min_size=AT_ONCE, max_size=AT_ONCE))
def test_a_thousand_bodies_end_in_the_ledger_and_in_no_wrong_figure(
    con: Connection, server: Server, all_sent: list[Sent]
) -> None:
    """A thousand nearly valid bodies cause no traceback, are all kept, and give an independent reading's tables."""
    holds_what_was_sent(con, server, all_sent)


@pytest.mark.long
@settings(few, max_examples=100)
@given(all_sent=st.lists(bodies(), min_size=AT_ONCE, max_size=AT_ONCE))
def test_ten_thousand_bodies_end_in_the_ledger_and_in_no_wrong_figure(
    con: Connection, server: Server, all_sent: list[Sent]
) -> None:
    """The same holds for ten thousand bodies."""
    holds_what_was_sent(con, server, all_sent)


# --- whole runs -------------------------------------------------------------------------------------------------

QUICK = Bounds(connect=4, read=3, total=4, size=1024 * 1024)
GOOD = body(row(day(4), 7, 9)).encode()
HEAD = b"HTTP/1.1 200 OK\r\n"


def endless(first: bytes, piece: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Return an answer that sends `first`, then `piece` again and again for a minute or until the client hangs up."""

    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        until = time.monotonic() + 60
        with suppress(OSError):
            while time.monotonic() < until:
                connection.sendall(piece)
                time.sleep(pause)

    return send


HOSTILE: dict[str, tuple[RawAnswer, str]] = {
    "a log-in page": (http("<html>Log in to the network</html>"), "<html>Log in to the network</html>"),
    "a redirect": (http(GOOD, 302, Location="https://wechat.invalid/"), GOOD.decode()),
    "cut JSON": (http(GOOD[:-9]), GOOD[:-9].decode()),
    "a cut body": (HEAD + b"Content-Length: 999\r\n\r\n" + GOOD, GOOD.decode()),
    "100 MB": (endless(HEAD + b"Content-Length: 100000000\r\n\r\n" + GOOD[:-2], b" " * 65536), GOOD[:-2].decode()),
    "a bomb": (http(gzip.compress(GOOD[:-2] + b" " * 50_000_000), Content_Encoding="gzip"), "\x1f\\x8b\x08"),
    "slow bytes": (endless(HEAD + b"Content-Length: 999\r\n\r\n" + GOOD, b" ", 0.05), GOOD.decode()),
    "another charset": (http(GOOD.decode().encode("utf-16")), "\\xff\\xfe{\\x00"),
    "an errcode in words": (http('{"errcode":"busy","list":[]}'), '{"errcode":"busy","list":[]}'),
    "an errcode as a string": (errcode("48001"), '{"errcode": "48001"'),
    "JSON beyond any depth": (http(b'{"list":' + b"[" * 200_000), '{"list":[[['),
    "two lists": (http(GOOD[:-1] + b',"list":[]}'), GOOD[:-1].decode()),
    "no list": (http("{}"), "{}"),
    "nothing": (http(""), ""),
}


def run(warehouse: Warehouse, server: Server) -> FetchReport:
    """Fetch the 4th, as a Dagster run or a command does."""
    clock = Time()
    account = Account("shop", APPID, Secret(SECRET), start=day(4))
    ingest = Ingest(warehouse, account, lambda _: client(server.url, clock, bounds=QUICK, limits=ONCE), clock=clock)
    return ingest.fetch_missing(MESSAGES, [day(4)], run_id="run")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_reported_and_kept_and_a_later_run_continues(
    warehouse: Warehouse, server: Server, name: str
) -> None:
    """The run ends in time with a one-line error, only the ledger has the answer, and the next run succeeds."""
    server.says, kept = HOSTILE[name]
    began = time.monotonic()
    (label,) = run(warehouse, server).labels
    assert time.monotonic() - began < 20
    assert isinstance(label.error, WeChatError)
    assert "\n" not in str(label.error)
    with warehouse.open_published() as con:
        ((status, response),) = rows_of(con, "SELECT errmsg IS NOT NULL, response FROM datacube.api_calls")
        assert status
        assert response.startswith(kept)
        assert len(response) < 1024 * 1024
        assert [name for name, found in everything(con).items() if found] == []

    server.says = rows(row(day(4), 7, 9))
    assert [label.is_stored for label in run(warehouse, server).labels] == [True]
    with warehouse.open_published() as con:
        assert rows_of(con, "SELECT users, messages FROM messages_daily") == [(7, 9)]
