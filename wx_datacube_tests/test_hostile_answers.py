"""Hostile answers: whatever a server says, no traceback, no wrong figure, and every body in the ledger.

Bodies come over a socket to the real client and go from there into the tables, which must be what an independent
reading of those bodies makes of them. See `hostile` for what is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wx_datacube.errors import WeChatError
from wx_datacube.warehouse.files import Connection
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.wechat.retry import Limits
from wx_datacube_tests.answers import answered, everything, rows_of
from wx_datacube_tests.conftest import empty
from wx_datacube_tests.hostile import ENDPOINTS, Sent, as_text, bodies, errcode_of, noted
from wx_datacube_tests.reference import Reference
from wx_datacube_tests.test_warehouse_replay import comparable, understood
from wx_datacube_tests.wechat_stand_in import NOON, Answer, Ledger, Request, StandIn, client, token

ONCE = Limits(attempts=1)
AT_ONCE = 10
few = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@dataclass
class Server:
    """A WeChat that gives tokens, and `says` next whatever a test wants."""

    says: bytes = b""
    url: str = field(default="")

    def answer(self, request: Request) -> Answer:
        """What it sends."""
        return token() if request.path == "/cgi-bin/stable_token" else self.says


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all bodies."""
    made = Server()
    with StandIn(made.answer) as stand_in:
        made.url = stand_in.url
        yield made


def bring_in(con: Connection, server: Server, all_sent: list[Sent]) -> list[Sent]:
    """Ask once for each body and store what came of it, in one commit; what each attempt got, in their order."""
    got, calls = [], []
    with client(server.url, limits=ONCE) as it:
        for sent in all_sent:
            server.says, ledger, error = sent.raw, Ledger(), None
            try:
                it.fetch(sent.endpoint.name, *sent.window, ledger)
            except WeChatError as caught:
                error = caught
            assert ledger.attempts
            assert ledger.attempts[-1].ok is (error is None)
            assert "\n" not in str(error)
            for attempt in ledger.attempts:
                said = {name: getattr(attempt, name) for name in ("http_status", "errcode", "errmsg", "rid", "response")}
                calls.append(answered(sent.endpoint, *sent.window, at=attempt.requested_at, **said))
                got.append(sent)
    store_calls(con, calls)
    return got


def holds_what_was_sent(con: Connection, server: Server, all_sent: list[Sent]) -> None:
    """Ledger and tables are what an independent reading of the bodies says."""
    empty(con)
    got = bring_in(con, server, all_sent)
    reference = Reference()
    for number, sent in enumerate(got, 1):
        reference.take(number, noted(sent, NOON))

    ledger = rows_of(con, "SELECT http_status, response, errcode FROM datacube.api_calls ORDER BY call_id")
    assert [(status, body) for status, body, _ in ledger] == [(sent.status, as_text(sent.body)) for sent in got]
    assert comparable(understood(everything(con))) == comparable(reference.tables())
    for sent, (status, _, errcode) in zip(got, ledger, strict=True):
        if status == 200 and (expected := errcode_of(sent)) is not None:
            assert errcode == (expected or None)


@settings(few, max_examples=100)
@given(all_sent=st.lists(bodies(), min_size=AT_ONCE, max_size=AT_ONCE))
def test_a_thousand_bodies_end_in_the_ledger_and_in_no_wrong_figure(
    con: Connection, server: Server, all_sent: list[Sent]
) -> None:
    """Nearly valid ones: never a traceback, every body kept, and tables that an independent reading agrees with."""
    holds_what_was_sent(con, server, all_sent)


@pytest.mark.long
@settings(few, max_examples=1_000)
@given(all_sent=st.lists(bodies(), min_size=AT_ONCE, max_size=AT_ONCE))
def test_ten_thousand_bodies_end_in_the_ledger_and_in_no_wrong_figure(
    con: Connection, server: Server, all_sent: list[Sent]
) -> None:
    """The same with many more bodies."""
    holds_what_was_sent(con, server, all_sent)
