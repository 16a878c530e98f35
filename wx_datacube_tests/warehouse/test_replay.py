"""Replay: the tables depend on the ledger only, not on how it was committed, and match the rules in plain Python.

Hypothesis draws sequences of answers: overlapping windows, refreshes, errors, garbage and rows with every fault.
Add a fault or a failure to the lists here when the loader learns to handle one; the rules are in `reference.py`.
"""

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wx_datacube.catalog import interface
from wx_datacube.catalog.articles import ARTICLES_START, PUBLISHED_ARTICLES
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import HISTORY_START, Column, Endpoint, Family, Period, Relation
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import states
from wx_datacube.warehouse.ledger import Call, replay, store_calls
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, MONTHS, SENDERS, WEEKS, answered, body, everything, row
from wx_datacube_tests.conftest import empty
from wx_datacube_tests.reference import Reference, parsed

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

# --- random answers with nested rows ----------------------------------------------------------------------------

PUBLISHED, NESTED_START = ARTICLES_START, ARTICLES_START - DAY
NESTED = [endpoint for endpoint in BY_NAME.values() if endpoint.family is not Family.MESSAGES]
ODD = "'\"\\<b>&amp;\u202e😀"
KEYS: dict[str, list[Any]] = {
    "ref_hour": [0, 2300],
    "user_source": [0, 30],
    "msgid": ["1_1", "1_2"],
    "scene_desc": ["全部", ODD],
    "position": [1, 5],
}
FIGURES: dict[str, list[Any]] = {"VARCHAR": ["t", ODD], "DOUBLE": [0.5, 1], "BIGINT": [1, 2], "INTEGER": [0, 1]}
JSON = (
    *("null", "true", "7", "-1", "1.0", "0.5", "1e3", "1e999", "-0.0", "9223372036854775808", "2147483648", "1" * 400),
    *('"1"', '""', '"全部"', '"a\\u0000b"', "[]", "{}", "[7]", "[null]", "[[]]", "[{}]", "[[1,2]]", '{"0":{}}'),
    *('"2025-11-02"', '"2025-11-31"', '"2025-10-31"', '"2014-11-30"', '"2025-11-2"', '{"read_user":1}', "01"),
)
"""Values that take the place of another; the last is not JSON."""
IS_DELAY = ["", "", "false", "false", "true", "true", '"true"', '"TRUE"', '"false"', '" true"', "1", "null", "[true]"]


class Pairs(list):  # type: ignore[type-arg]
    """A JSON object as a list of [name, value], which may have a name twice."""


class Raw(str):
    """A value as JSON text."""

    __slots__ = ()


def text_of(value: Any) -> str:
    """Return a value as JSON text."""
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{text_of(name)}:{text_of(each)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return value if isinstance(value, Raw) else json.dumps(value, ensure_ascii=False)


def key_values(column: Column, label: dt.date) -> list[Any]:
    """Return the few values that a key column has in these tests."""
    if column.within_days is None:
        return KEYS.get(column.name, [str(label)])
    return [str(label + days * DAY) for days in (*[0, 1, column.within_days] * 3, -1, column.within_days + 1)]


def figure(column: Column, variant: int, first: bool) -> Any:
    """Return a figure of a row: `variant` 1 changes the first, 2 the others; 3 and 4 lack what is not required."""
    if not column.required and variant > 2:
        return None if variant == 3 else ...
    return FIGURES[column.type][variant == (1 if first else 2)]


@st.composite
def nested_rows(draw: st.DrawFn, relation: Relation, children: list[Relation], label: dt.date) -> Pairs:
    """Draw a row of a table with its nested lists; it has few figures, so that rows are often alike."""
    variant, made, inside = draw(st.integers(0, 4)), Pairs(), Pairs()
    for column in relation.fields:
        if column.key:
            made.append([column.name, draw(st.sampled_from(key_values(column, label)))])
        elif (value := figure(column, variant, column == relation.values[0])) is not ...:
            (inside if column.inside else made).append([column.name, value])
    for child in children:
        if child.parent == relation:
            listed = draw(st.lists(nested_rows(child, children, label), min_size=1, max_size=3, unique_by=key_text))
            (inside if child.list_inside else made).append([child.list_field, listed])
    return Pairs([*made, ["detail", inside]]) if inside else made


def key_text(made: Pairs) -> str:
    """Return the keys of a row as text."""
    return repr([each for each in made if each[0] in ("ref_date", "stat_date", *KEYS)])


def parts(value: Any) -> Iterator[Any]:
    """Yield every object and array in a value."""
    if isinstance(value, list):
        yield value
        for each in value:
            yield from parts(each[1] if isinstance(value, Pairs) else each)


def change(draw: st.DrawFn, listed: list[Any]) -> None:
    """Leave out an item of a list, or change a figure."""
    lists = [part for part in parts(listed) if part and not isinstance(part, Pairs)]
    figures = [pair for part in parts(listed) if isinstance(part, Pairs) for pair in part if pair[1] in (1, 2, 0.5)]
    if draw(st.booleans()) and figures:
        pair = draw(st.sampled_from(figures))
        pair[1] = draw(st.sampled_from([0, 1, 2]))
    elif lists:
        part = draw(st.sampled_from(lists))
        del part[draw(st.integers(0, len(part) - 1))]


def spoil(draw: st.DrawFn, listed: list[Any]) -> None:
    """Corrupt one thing in the rows, or make it merely unusual."""
    found = list(parts(listed))[1:] or [listed]
    part = draw(st.sampled_from(found))
    word = Raw(draw(st.sampled_from([*JSON, *map(text_of, found[:4])])))
    at = draw(st.integers(0, len(part)))
    how = draw(st.sampled_from(["replace", "replace", "replace", "drop", "twice", "add"]))
    if at == len(part) or how == "add":
        part.append(["new", word] if isinstance(part, Pairs) else word)
    elif how == "drop":
        del part[at]
    elif how == "twice":
        part.append(part[at] if draw(st.booleans()) or not isinstance(part, Pairs) else [part[at][0], word])
    else:
        part[at] = [part[at][0], word] if isinstance(part, Pairs) else word


@st.composite
def nested_calls(draw: st.DrawFn, bases: dict[Endpoint, list[Pairs]]) -> Call:
    """Draw a call up to 31 days later, whose answer is nearly the base of its endpoint, delayed or not."""
    endpoint = draw(st.sampled_from(list(bases)))
    begin = PUBLISHED + draw(st.sampled_from([0, 0, 0, 0, 0, 1, -1])) * DAY
    window = [begin + n * DAY for n in range(1 + draw(st.integers(0, min(1, endpoint.max_span_days - 1))))]
    fits = draw(st.integers(0, 9)) < 9
    listed = [row for row in deepcopy(bases[endpoint]) if not fits or row[0][1] in map(str, window)]
    for _ in range(draw(st.integers(0, 3))):
        change(draw, listed)
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        spoil(draw, listed)
    delay = draw(st.sampled_from(IS_DELAY))
    response = "{" + (f'"is_delay":{delay},' if delay else "") + f'"list":{text_of(listed)}' + "}"
    days, time = draw(st.sampled_from([1, 1, 2, 7, 29, 30, 30, 31])), draw(st.sampled_from(TIMES))
    at = dt.datetime.combine(window[-1] + days * DAY, time)
    asked, refresh = draw(st.sampled_from([window, window, window[-1:], []])), draw(st.booleans())
    account = draw(st.sampled_from(["shop"] * 9 + ["news"]))
    fields: dict[str, Any] = {"refresh": refresh, "account": account, "response": response}
    return answered(endpoint, begin, window[-1], at=at, asked=asked, **fields)


TIMES = [dt.time(9), dt.time(11, 59, 59), dt.time(12), dt.time(15)]
GROUPS = [*[[PUBLISHED_ARTICLES]] * 6, *[[endpoint] for endpoint in NESTED], list(interface.ENDPOINTS), NESTED]
"""Endpoints whose answers a ledger has together."""


@st.composite
def nested_ledgers(draw: st.DrawFn) -> list[Call]:
    """Draw a ledger of followers, articles or interface: several answers for a few labels, which differ in few rows."""
    bases: dict[Endpoint, list[Pairs]] = {}
    for endpoint in draw(st.sampled_from(GROUPS)):
        own, *children = endpoint.relations
        dates = st.sampled_from([PUBLISHED] * 4 + [PUBLISHED + DAY])
        made = dates.flatmap(partial(nested_rows, own, children))
        bases[endpoint] = draw(st.lists(made, min_size=1, max_size=3, unique_by=key_text))
    return draw(st.lists(nested_calls(bases), max_size=8))


message_ledgers = st.lists(calls(), max_size=20)
ledgers = message_ledgers | nested_ledgers() | nested_ledgers()


# --- what is compared -------------------------------------------------------------------------------------------


def comparable(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[str]]:
    """Return each table's rows as text, sorted."""
    return {name: sorted(map(repr, found)) for name, found in tables.items()}


def understood(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Parse the JSON of rejected rows, so that only its meaning is compared."""
    rejected = [(*start, parsed(text), why, path) for *start, text, why, path in tables["rejected_rows"]]
    return tables | {"rejected_rows": rejected}


def clear(con: Connection) -> None:
    """Delete everything from the tables, the nested ones included."""
    empty(con)
    for endpoint in NESTED:
        for relation in endpoint.relations:
            con.execute(f"DELETE FROM datacube.{relation.name}")


@pytest.fixture(autouse=True)
def _clean(con: Connection) -> Iterator[None]:
    """Leave no nested rows to other tests."""
    yield
    clear(con)


def in_pieces(con: Connection, pieces: Iterable[list[Call]]) -> dict[str, list[tuple[Any, ...]]]:
    """Commit these batches to an empty warehouse, and return its tables."""
    clear(con)
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


@settings(few, max_examples=50)
@given(ledger=ledgers)
def test_tables_follow_the_rules(con: Connection, ledger: list[Call]) -> None:
    """Tables, revisions, rejected rows, answers and states equal those of the rules in plain Python."""
    agrees_with_the_rules(con, ledger)


@settings(few, max_examples=8)
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
