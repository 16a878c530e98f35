"""Replay: the tables depend on the ledger only, not on how it was committed, and match the rules in plain Python.

Hypothesis draws sequences of answers: overlapping windows, refreshes, errors, garbage and rows with every fault. Those
of messages are made here, all others in `hostile.py`. Add a fault or a failure to the lists when the loader learns to
handle one; the rules are in `reference.py`.
"""

import datetime as dt
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wx_datacube.catalog.model import HISTORY_START, Endpoint, Family, Period
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import states
from wx_datacube.warehouse.ledger import Call, replay, store_calls
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, MONTHS, SENDERS, WEEKS, answered, body, everything, row
from wx_datacube_tests.conftest import empty
from wx_datacube_tests.hostile import NESTED, NESTED_START, PUBLISHED, nested_ledgers
from wx_datacube_tests.reference import Reference
from wx_datacube_tests.reference_rows import parsed

NOW = dt.datetime(2014, 12, 17, 15)
few = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

# --- random answers: few keys and few values, so that they collide often ----------------------------------------

FAULTS: list[dict[str, Any]] = [
    {"msg_user": None},
    {"msg_user": "1"},
    {"msg_user": 1.0},
    {"msg_user": True},
    {"msg_user": -1},
    {"msg_user": 2**63},
    {"msg_type": 2**31},
    {"user_source": "0"},
    {"ref_date": 20141201},
    {"ref_date": "2014-12-32"},
    {"ref_date": "2014-11-30"},
    {"ref_date": "2014-12-28"},
    {"ref_hour": 950},
    {"count_interval": []},
]
GARBAGE = ["", "<html>", "null", "[]", "{}", '{"list":{}}', '{"list":[', '{"list":[],"list":[]}', '{"errcode":0}']


@st.composite
def rows(draw: st.DrawFn, endpoint: Endpoint, dates: list[dt.date]) -> Any:
    """Draw a row that mostly fits the window and the endpoint."""
    if draw(st.integers(0, 40)) == 40:
        return draw(st.sampled_from([None, 7, "row", [], {}]))
    made = row(draw(st.sampled_from(dates)), draw(st.integers(1, 3)), draw(st.integers(0, 1)))
    made |= {"msg_type": draw(st.integers(1, 2)), "ref_hour": 900, "count_interval": draw(st.integers(1, 2))}
    made["user_source"] = draw(st.sampled_from([0, 0, 0, 1, None]))
    fits = {name: value for name, value in made.items() if name in {column.name for column in endpoint.columns}}
    if draw(st.integers(0, 12)) == 12:
        fits |= draw(st.sampled_from(FAULTS))
    if draw(st.integers(0, 30)) == 30:
        del fits[draw(st.sampled_from(sorted(fits)))]
    return fits


def key_of(made: Any) -> str:
    """Return the fields that must be unique within an answer, as text."""
    return repr([made.get(name) for name in ("ref_date", "msg_type")]) if isinstance(made, dict) else repr(made)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Draw a call of one of two accounts in the first days of history, with its answer."""
    endpoint = draw(st.sampled_from([MESSAGES, MESSAGES, MESSAGES, HOURS, SENDERS, WEEKS, MONTHS]))
    begin = HISTORY_START + draw(st.integers(0, 2)) * DAY
    days = draw(st.integers(0, min(2, endpoint.max_span_days - 1)))
    if endpoint.period is not Period.DAY:
        begin, days = HISTORY_START + draw(st.sampled_from([-1, 0, 0, 0, 7])) * DAY, draw(st.sampled_from([0, 7]))
    window = [begin + number * DAY for number in range(days + 1)]
    # Weekly and monthly rows mostly have the window's first or last day, which may be labels.
    dates = window if endpoint.period is Period.DAY else [*[window[0], window[-1]] * 10, *window]
    dates = [*dates * 10, HISTORY_START - DAY, window[-1] + DAY]
    at = draw(st.sampled_from([NOW, NOW + 40 * DAY])) - draw(st.integers(0, 24 * 14)) * dt.timedelta(hours=1)
    asked = draw(st.sampled_from([[], window[-1:], window]))
    made = st.lists(rows(endpoint, dates), max_size=5, unique_by=draw(st.sampled_from([key_of, key_of, id])))
    answer: dict[str, Any] = {"response": body(*draw(made))}
    if draw(st.integers(0, 9)) == 9:
        answer = {"response": draw(st.sampled_from(GARBAGE)), **draw(st.sampled_from(FAILURES))}
    account, refresh = draw(st.sampled_from(["shop", "shop", "news"])), draw(st.booleans())
    return answered(endpoint, begin, window[-1], at=at, asked=asked, refresh=refresh, account=account, **answer)


FAILURES: list[dict[str, Any]] = [
    {},
    {"errcode": -1, "errmsg": "system error"},
    {"http_status": 502, "errmsg": "out of order"},
    {"http_status": None, "errmsg": "no answer", "response": None},
    {"errmsg": "cut", "response": '{"list":[]}'},
]

ledgers = st.lists(calls(), max_size=20) | nested_ledgers() | nested_ledgers()


# --- what is compared -------------------------------------------------------------------------------------------


def comparable(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[str]]:
    """Return each table's rows as text, sorted."""
    return {name: sorted(map(repr, found)) for name, found in tables.items()}


def understood(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Parse the JSON of rejected rows, so that only its meaning is compared."""
    rejected = [(*start, parsed(text), why, path) for *start, text, why, path in tables["rejected_rows"]]
    return tables | {"rejected_rows": rejected}


def in_pieces(con: Connection, pieces: Iterable[list[Call]]) -> dict[str, list[tuple[Any, ...]]]:
    """Commit these batches to an empty warehouse, and return its tables."""
    empty(con)
    for piece in pieces:
        store_calls(con, piece)
    return everything(con)


def by_the_rules(ledger: list[Call]) -> Reference:
    """Apply the rules in Python to the whole ledger."""
    reference = Reference()
    for number, call in enumerate(ledger, 1):
        reference.take(number, call)
    return reference


def agrees_with_the_rules(con: Connection, ledger: list[Call]) -> None:
    """Assert that tables and states equal those of the rules in Python."""
    reference = by_the_rules(ledger)
    assert comparable(understood(in_pieces(con, [ledger]))) == comparable(reference.tables())
    every, wanted = tuple(Family), {call.endpoint for call in ledger} & {endpoint.name for endpoint in NESTED}
    nested = [(Account("shop", start=NESTED_START, families=every), PUBLISHED + days * DAY) for days in (1, 2, 9)]
    days = [(NOW + days * DAY).date() for days in (-9, 0, 50)]
    messages = [(Account(name, start=HISTORY_START), day) for name in ("shop", "news") for day in days]
    for account, day in nested if wanted else messages:
        at = dt.datetime.combine(day, NOW.time())
        assert states(con, account, at) == reference.states(account.name, account.start, at, account.families)


def is_the_same_in_any_batches(con: Connection, ledger: list[Call], cuts: set[int]) -> None:
    """Assert that every way to commit or to replay the ledger gives equal tables.

    Commits: one call each, all at once, and cut at `cuts`. Replays: batches of 1, 2 and 10,000.
    """
    ends = [*sorted(cut for cut in cuts if cut < len(ledger)), len(ledger)]
    whole = in_pieces(con, [ledger])
    assert in_pieces(con, [ledger[first:last] for first, last in pairwise([0, *ends])]) == whole
    assert in_pieces(con, [[call] for call in ledger]) == whole
    for batch in (1, 2, 10_000):
        assert replay(con, batch) == len(ledger)
        assert everything(con) == whole


# --- the properties ---------------------------------------------------------------------------------------------


@settings(few, max_examples=40)
@given(ledger=ledgers)
def test_tables_follow_the_rules(con: Connection, ledger: list[Call]) -> None:
    """Tables, revisions, rejected rows, answers and states equal those of the rules in plain Python."""
    agrees_with_the_rules(con, ledger)


@settings(few, max_examples=6)
@given(ledger=ledgers, cuts=st.sets(st.integers(1, 19)))
def test_tables_do_not_depend_on_batches(con: Connection, ledger: list[Call], cuts: set[int]) -> None:
    """All tables are equal, however the ledger is cut into commits and however it is replayed."""
    is_the_same_in_any_batches(con, ledger, cuts)


@pytest.mark.long
@settings(few, max_examples=300)
@given(ledger=ledgers)
def test_tables_follow_the_rules_at_length(con: Connection, ledger: list[Call]) -> None:
    """The tables follow the rules for many more sequences."""
    agrees_with_the_rules(con, ledger)


@pytest.mark.long
@settings(few, max_examples=40)
@given(ledger=ledgers, cuts=st.sets(st.integers(1, 19)))
def test_tables_do_not_depend_on_batches_at_length(con: Connection, ledger: list[Call], cuts: set[int]) -> None:
    """The tables don't depend on batches for many more sequences."""
    is_the_same_in_any_batches(con, ledger, cuts)
