"""Load: which rows of an answer are stored, which are rejected and why, and which labels an answer covers.

Add a test here when one of these rules changes. Revisions and refreshes are in `test_revisions.py`. That the rules hold
in any order and any batches is tested in `test_replay.py`.
"""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wx_datacube.catalog.messages import ENDPOINTS, MSG_COUNT
from wx_datacube.catalog.model import HISTORY_START, Endpoint
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.ledger import Call, store_calls
from wx_datacube.warehouse.load import unreadable_calls
from wx_datacube.warehouse.schema import create_statements
from wx_datacube_tests.answers import (
    DAY,
    HOURS,
    LATER,
    MESSAGES,
    MONTHS,
    MORNING,
    SENDERS,
    SENDERS_OF_MONTHS,
    WEEKS,
    answered,
    day,
    everything,
    hour_row,
    row,
    rows_of,
    senders_row,
    stored,
)
from wx_datacube_tests.conftest import empty

# --- rejected rows ----------------------------------------------------------------------------------------------

WINDOW = day(3), day(5)


def with_fields(**fields: Any) -> str:
    """Return a messages row of the 4th with these fields changed, as JSON."""
    return json.dumps(row(day(4)) | fields)


def without(name: str, **fields: Any) -> str:
    """Return a messages row of the 4th without a field, as JSON."""
    return json.dumps({key: value for key, value in (row(day(4)) | fields).items() if key != name})


def repeated(name: str, value: str) -> str:
    """Return a messages row of the 4th with a field given twice, as JSON."""
    return with_fields()[:-1] + f', "{name}": {value}}}'


# Reasons are in the order in which they apply. The "and …" rows also have a fault of a later reason, which must not
# replace the first.
REJECTED = {
    "missing_field": {
        "no date": without("ref_date"),
        "no type": without("msg_type"),
        "no users": without("msg_user"),
        "no count": without("msg_count"),
        "nothing": "{}",
        "null": "null",
        "a number": "7",
        "a text": '"row"',
        "an array": '[{"ref_date":"2026-11-04"}]',
        "true": "true",
        "another case": without("msg_user", MSG_USER=1),
        "and of a wrong type": without("msg_type", msg_user="1"),
        "and of a bad value": without("msg_type", msg_user=-1),
        "and before history": without("msg_type", ref_date="2014-11-30"),
    },
    "wrong_type": {
        "null date": with_fields(ref_date=None),
        "null type": with_fields(msg_type=None),
        "null users": with_fields(msg_user=None),
        "null count": with_fields(msg_count=None),
        "number as date": with_fields(ref_date=20261104),
        "text as type": with_fields(msg_type="1"),
        "text as users": with_fields(msg_user="1"),
        "empty text as count": with_fields(msg_count=""),
        "text as source": with_fields(user_source="0"),
        "half a user": with_fields(msg_user=5.5),
        "whole float": with_fields(msg_user=5.0),
        "exponent": '{"ref_date":"2026-11-04","msg_type":1,"msg_user":1e2,"msg_count":2}',
        "true as users": with_fields(msg_user=True),
        "false as source": with_fields(user_source=False),
        "list as count": with_fields(msg_count=[2]),
        "object as type": with_fields(msg_type={}),
        "object as date": with_fields(ref_date={"day": 4}),
        "and of a bad value": with_fields(msg_user="1", msg_count=-1),
        "and before history": with_fields(msg_user=None, ref_date="2014-11-30"),
        "and outside": with_fields(msg_user=None, ref_date="2026-11-09"),
    },
    "bad_value": {
        "no such day": with_fields(ref_date="2026-02-30"),
        "date and time": with_fields(ref_date="2026-11-04 00:00:00"),
        "date without dashes": with_fields(ref_date="20261104"),
        "short date": with_fields(ref_date="2026-11-4"),
        "a year of five digits": with_fields(ref_date="99999-01-01"),
        "empty date": with_fields(ref_date=""),
        "date in other digits": with_fields(ref_date="\uff12026-11-04"),
        "date with a line end": with_fields(ref_date="2026-11-04\n"),
        "date with NUL": with_fields(ref_date="2026-11-04\0"),
        "negative users": with_fields(msg_user=-1),
        "negative count": with_fields(msg_count=-1),
        "2^63 users": with_fields(msg_user=2**63),
        "2^64 messages": with_fields(msg_count=2**64),
        "a number of 400 digits": with_fields(msg_count=10**400),
        "type beyond 32 bits": with_fields(msg_type=2**31),
        "source beyond 32 bits": with_fields(user_source=-(2**31) - 1),
        "users twice": repeated("msg_user", "1"),
        "source twice": repeated("user_source", "0"),
        "and before history": with_fields(msg_user=-1, ref_date="2014-11-30"),
    },
    "before_2014_12_01": {
        "the day before": with_fields(ref_date="2014-11-30"),
        "long before": with_fields(ref_date="0001-01-01"),
    },
    "outside_window": {
        "the day after": with_fields(ref_date="2026-11-06"),
        "the day before": with_fields(ref_date="2026-11-02"),
        "two years older": with_fields(ref_date="2024-11-04"),
        "the first day of history": with_fields(ref_date="2014-12-01"),
        "in the far future": with_fields(ref_date="9999-12-31"),
    },
}

ACCEPTED = {
    "as usual": (with_fields(), (0, 1, 1, 2)),
    "no source": (without("user_source"), (None, 1, 1, 2)),
    "null source": (with_fields(user_source=None), (None, 1, 1, 2)),
    "another source": (with_fields(user_source=17), (17, 1, 1, 2)),
    "an unknown type": (with_fields(msg_type=4242), (0, 4242, 1, 2)),
    "a negative type": (with_fields(msg_type=-1), (0, -1, 1, 2)),
    "unknown fields": (with_fields(new=1, nested={"msg_user": [1]}, msg_count_2=None), (0, 1, 1, 2)),
    "an unknown field twice": (repeated("new", '1, "new": 2'), (0, 1, 1, 2)),
    "zero": (with_fields(msg_user=0, msg_count=0), (0, 1, 0, 0)),
    "minus zero": (with_fields().replace('"msg_user": 1', '"msg_user": -0'), (0, 1, 0, 2)),
    "2^63 - 1": (with_fields(msg_count=2**63 - 1), (0, 1, 1, 2**63 - 1)),
    "the largest type": (with_fields(msg_type=2**31 - 1), (0, 2**31 - 1, 1, 2)),
    "escaped": (with_fields().replace("msg_user", "msg\\u005fuser"), (0, 1, 1, 2)),
    "an escaped date": (with_fields().replace("2026-11", "2026\\u002d11"), (0, 1, 1, 2)),
    "first day of the window": (with_fields(ref_date="2026-11-03"), (0, 1, 1, 2)),
    "last day of the window": (with_fields(ref_date="2026-11-05"), (0, 1, 1, 2)),
}

CASES = [(reason, name, made) for reason, group in REJECTED.items() for name, made in group.items()]


def one(text: str, account: str, endpoint: Endpoint = MESSAGES) -> Call:
    """Return a call that returned this row only."""
    return answered(endpoint, *WINDOW, account=account, response='{"list":[' + text + "]}")


@pytest.fixture(scope="module")
def judged() -> Iterator[Connection]:
    """Store every row of the two tables above, each in a call of an account named after it."""
    with duckdb.connect() as con:
        for statement in create_statements():
            con.execute(statement)
        store_calls(con, [one(made, f"{reason}: {name}") for reason, name, made in CASES])
        store_calls(con, [one(made, name) for name, (made, _) in ACCEPTED.items()])
        yield con


@pytest.mark.parametrize(("reason", "name", "made"), CASES, ids=[f"{reason}: {name}" for reason, name, _ in CASES])
def test_a_row_that_cannot_be_trusted_is_rejected(judged: Connection, reason: str, name: str, made: str) -> None:
    """A rejected row is kept whole with the first reason that applies, and is in no table."""
    account = f"{reason}: {name}"
    kept = rows_of(
        judged, "SELECT endpoint, row::VARCHAR, reason FROM datacube.rejected_rows WHERE account = $a", a=account
    )

    assert [(endpoint, why) for endpoint, _, why in kept] == [("getupstreammsg", reason)]
    assert json.loads(kept[0][1]) == json.loads(made)
    assert rows_of(judged, "FROM datacube.getupstreammsg WHERE account = $a", a=account) == []


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_row_that_can_be_trusted_is_stored(judged: Connection, name: str) -> None:
    """Unknown codes and fields, a missing source, and figures up to the largest BIGINT are stored."""
    figures = ACCEPTED[name][1]
    found = rows_of(
        judged,
        "SELECT user_source, msg_type, msg_user, msg_count FROM datacube.getupstreammsg WHERE account = $a",
        a=name,
    )

    assert found == [figures]
    assert rows_of(judged, "FROM datacube.rejected_rows WHERE account = $a", a=name) == []


def test_the_cases_name_the_contracts_reasons_in_its_order() -> None:
    """The cases cover the contract's reasons in its order, except two that other tests cover."""
    contract = "missing_field, wrong_type, bad_value, before_2014_12_01, outside_window, wrong_label, duplicate_key"
    assert [*REJECTED, "wrong_label", "duplicate_key"] == contract.split(", ")


@pytest.mark.parametrize(
    ("endpoint", "made", "reason"),
    [
        (HOURS, hour_row(day(4), 23), None),
        (HOURS, hour_row(day(4), 24), "bad_value"),
        (HOURS, hour_row(day(4), ref_hour=950), "bad_value"),
        (HOURS, hour_row(day(4), ref_hour=-100), "bad_value"),
        (HOURS, hour_row(day(4), ref_hour="900"), "wrong_type"),
        (HOURS, row(day(4)), "missing_field"),
        (SENDERS, senders_row(day(4), interval=7), None),
        (SENDERS, senders_row(day(4), interval=None), "wrong_type"),
        (SENDERS, row(day(4)), "missing_field"),
        (MESSAGES, row(day(4), None), "wrong_type"),
        (MESSAGES, senders_row(day(4)), "missing_field"),
    ],
)
def test_hours_and_intervals_have_bounds_of_their_own(
    con: Connection, endpoint: Endpoint, made: dict[str, Any], reason: str | None
) -> None:
    """`ref_hour` is 0, 100, … 2300; any `count_interval` is kept; each endpoint requires its own key."""
    store_calls(con, [answered(endpoint, day(4), None, made)])

    assert rows_of(con, "SELECT reason FROM datacube.rejected_rows") == ([(reason,)] if reason else [])
    assert len(stored(con, endpoint)) == (reason is None)


@pytest.mark.parametrize(
    ("endpoint", "window", "date", "reason"),
    [
        (WEEKS, (day(2), day(16)), day(9), None),
        (WEEKS, (day(2), day(16)), day(10), "wrong_label"),
        (WEEKS, (day(2), day(16)), day(8), "wrong_label"),
        (WEEKS, (day(2), day(2)), day(5), "outside_window"),
        (WEEKS, (day(2), day(2)), day(2) - 364 * DAY, "outside_window"),
        (MONTHS, (dt.date(2026, 9, 25), dt.date(2026, 10, 5)), dt.date(2026, 10, 1), None),
        (MONTHS, (dt.date(2026, 9, 25), dt.date(2026, 10, 5)), dt.date(2026, 9, 30), "wrong_label"),
        (SENDERS_OF_MONTHS, (dt.date(2014, 12, 1),) * 2, dt.date(2014, 11, 1), "before_2014_12_01"),
    ],
)
def test_weeks_and_months_are_dated_on_their_first_day(
    con: Connection, endpoint: Endpoint, window: tuple[dt.date, dt.date], date: dt.date, reason: str | None
) -> None:
    """A week's row has its Monday and a month's row its 1st; another date in the window is `wrong_label`."""
    made = row(date) if MSG_COUNT in endpoint.columns else senders_row(date)
    store_calls(con, [answered(endpoint, *window, made)])

    assert rows_of(con, "SELECT reason FROM datacube.rejected_rows") == ([(reason,)] if reason else [])
    assert len(stored(con, endpoint)) == (reason is None)


def test_the_first_of_two_rows_with_one_key_is_stored(con: Connection) -> None:
    """Later rows with the same key are rejected, even equal ones; source and figures are not part of the key."""
    first, second, third = row(day(4), 1), row(day(4), 2, user_source=1), row(day(4), 1)
    accepted = store_calls(con, [answered(MESSAGES, *WINDOW, first, row(day(5), 9), second, third)])

    assert accepted == 2
    assert stored(con, MESSAGES) == [(day(4), 1, 0, 1, 2, 1), (day(5), 1, 0, 9, 2, 1)]
    apart = rows_of(con, "SELECT row::VARCHAR, reason FROM datacube.rejected_rows")
    assert [(json.loads(text), reason) for text, reason in apart] == [
        (second, "duplicate_key"),
        (third, "duplicate_key"),
    ]


def test_a_rejected_row_makes_no_other_row_a_duplicate(con: Connection) -> None:
    """A row rejected for another reason doesn't make a good row with the same key a duplicate."""
    store_calls(con, [answered(MESSAGES, *WINDOW, row(day(4), -1), row(day(4), 3))])

    assert [figures[3] for figures in stored(con, MESSAGES)] == [3]


def test_rows_are_duplicates_only_if_their_whole_key_is_equal(con: Connection) -> None:
    """Rows are duplicates only if their whole natural key is equal."""
    store_calls(con, [answered(MESSAGES, *WINDOW, row(day(3)), row(day(4)), row(day(4), msg_type=2))])
    store_calls(con, [answered(HOURS, day(4), None, hour_row(day(4), 1), hour_row(day(4), 2))])

    assert (len(stored(con, MESSAGES)), len(stored(con, HOURS))) == (3, 2)
    assert rows_of(con, "FROM datacube.rejected_rows") == []


# --- failed calls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"response": ""},
        {"response": None, "http_status": None, "errmsg": "no answer"},
        {"response": "<html>502</html>"},
        {"response": "null"},
        {"response": "[]"},
        {"response": '"list"'},
        {"response": "{}"},
        {"response": '{"list":null}'},
        {"response": '{"list":{}}'},
        {"response": '{"list":"[]"}'},
        {"response": '{"LIST":[]}'},
        {"response": '{"list":[]'},
        {"response": '{"list":[],"list":[]}'},
        {"response": '{"list":[],"errcode":0,"errcode":0}'},
        {"response": '{"list":[]} {"list":[]}'},
        {"response": '{"data":{"list":[]}}'},
        {"response": '{"list.a":[]}'},
        {"errcode": 45009, "errmsg": "reach max api daily quota limit"},
        {"http_status": 502},
        {"http_status": 302},
        {"errmsg": "cut on the way"},
    ],
    ids=str,
)
def test_a_failed_call_changes_only_the_ledger(con: Connection, fields: dict[str, Any]) -> None:
    """A failed call stays in the ledger as received and changes nothing else, even if its body has valid rows."""
    store_calls(con, [answered(MESSAGES, *WINDOW, row(day(4)))])
    before = everything(con)
    failed = replace(answered(MESSAGES, *WINDOW, row(day(4), 9), refresh=True, asked=[day(4)]), **fields)
    store_calls(con, [failed])

    assert everything(con) == before
    kept = rows_of(con, "SELECT http_status, errcode, errmsg, response FROM datacube.api_calls WHERE call_id = 2")
    assert kept == [(failed.http_status, failed.errcode, failed.errmsg, failed.response)]


def test_unreadable_calls_are_found_for_one_account_or_all(con: Connection) -> None:
    """A body that was good when it came and can't be read any more is found; `account` restricts the search."""
    cut = [answered(MESSAGES, day(4), account=name, response='{"list":[') for name in ("shop", "news")]
    store_calls(con, [answered(MESSAGES, day(3), account="shop"), *cut])

    assert unreadable_calls(con) == [2, 3]
    assert unreadable_calls(con, "news") == [3]


def test_unknown_fields_beside_the_list_do_not_matter(con: Connection) -> None:
    """Unknown fields beside `list`, an errcode of 0, and white space don't matter."""
    text = ' \n{"errcode": 0, "errmsg": "ok", "page": 1, "page": 2, "list": [ ] }\r\n'
    store_calls(con, [answered(MESSAGES, *WINDOW, response=text)])

    assert rows_of(con, "SELECT label, settled, clean, shown FROM datacube.label_answers ORDER BY label") == [
        (day(number), True, True, 0) for number in (3, 4, 5)
    ]


def test_every_endpoint_loads_wechats_own_samples(con: Connection) -> None:
    """The samples of WeChat's page, which lack `user_source`, are stored in all seven tables."""
    monday, first, sample = dt.date(2014, 12, 8), dt.date(2014, 12, 1), dt.date(2014, 12, 7)
    dates = {"day": sample, "week": monday, "month": first}
    for endpoint in ENDPOINTS:
        figures = {"ref_hour": 0, "msg_type": 1, "count_interval": 1, "msg_user": 282, "msg_count": 817}
        names = {column.name for column in endpoint.columns}
        date = dates[endpoint.period.value]
        made = {"ref_date": date.isoformat(), **{name: value for name, value in figures.items() if name in names}}
        store_calls(con, [answered(endpoint, date, None, made)])
        assert len(stored(con, endpoint)) == 1

    assert rows_of(con, "FROM datacube.rejected_rows") == []


numbers = st.integers() | st.integers(2**62, 2**64) | st.floats(allow_nan=False, allow_infinity=False)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
odd_rows = st.builds(lambda good, odd: good | odd, st.just(row(day(4))), st.dictionaries(
    st.sampled_from([*row(day(4)), "new"]), anything | st.sampled_from(["2026-11-04", "2026-11-05", 1, 2]), max_size=3
))  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(odd_rows | anything, max_size=6))
def test_any_json_is_either_stored_or_rejected(con: Connection, rows: list[Any]) -> None:
    """Any JSON in the list is stored or rejected: no error, no lost row, and no figure that wasn't in the answer."""
    empty(con)
    store_calls(con, [answered(MESSAGES, *WINDOW, *rows)])
    kept = rows_of(con, "SELECT ref_date, msg_type, user_source, msg_user, msg_count FROM datacube.getupstreammsg")
    apart = rows_of(con, "SELECT row::VARCHAR FROM datacube.rejected_rows")

    assert len(kept) + len(apart) == len(rows)
    said = [made for made in rows if isinstance(made, dict)]
    for date, kind, source, users, count in kept:
        figures = {"ref_date": date.isoformat(), "msg_type": kind, "msg_user": users, "msg_count": count}
        assert any(
            {name: made.get(name) for name in figures} == figures and made.get("user_source") == source for made in said
        )


# --- labels that an answer covers -------------------------------------------------------------------------------


def test_an_answer_covers_the_labels_in_its_window(con: Connection) -> None:
    """An answer covers a week if its Monday lies between begin and end, both included."""
    store_calls(con, [answered(WEEKS, day(3), day(16), row(day(9)))])

    found = rows_of(con, "SELECT label, shown FROM datacube.label_answers ORDER BY label")
    assert found == [(day(9), 1), (day(16), 0)]


def test_an_answer_covers_no_label_before_history(con: Connection) -> None:
    """An answer covers no label before 2014-12-01, and stores no row of it."""
    begin, end = HISTORY_START - 3 * DAY, HISTORY_START + DAY
    store_calls(con, [answered(MESSAGES, begin, end, row(begin), row(HISTORY_START))])

    assert [kept[0] for kept in stored(con, MESSAGES)] == [HISTORY_START]
    assert [label for (label,) in rows_of(con, "SELECT label FROM datacube.label_answers ORDER BY 1")] == [
        HISTORY_START,
        HISTORY_START + DAY,
    ]


def test_an_answer_covers_no_label_whose_period_has_not_ended(con: Connection) -> None:
    """An answer covers no label whose period hasn't ended, as a clock that jumped may have requested it."""
    store_calls(con, [answered(MESSAGES, day(3), day(4), row(day(3)), row(day(4)), at=MORNING)])
    store_calls(con, [answered(WEEKS, day(2), None, row(day(2)), at=MORNING)])

    assert [label for (label,) in rows_of(con, "SELECT label FROM datacube.label_answers")] == [day(3)]
    assert [kept[0] for kept in stored(con, MESSAGES)] == [day(3)]
    assert stored(con, WEEKS) == []


def test_the_time_of_the_call_decides_which_labels_are_settled(con: Connection) -> None:
    """At 9:00 yesterday isn't settled but the day before is; at 12:00 both are."""
    for at in (MORNING, MORNING.replace(hour=12)):
        store_calls(con, [answered(MESSAGES, day(2), day(3), at=at)])
        found = rows_of(con, "SELECT label, settled FROM datacube.label_answers ORDER BY label")
        assert found == [(day(2), True), (day(3), at.hour == 12)]


def test_accounts_do_not_mix(con: Connection) -> None:
    """Figures, answers and revisions of two accounts in one database stay separate."""
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 1), account="shop")])
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 2), account="news")])
    store_calls(con, [answered(MESSAGES, day(4), account="news", refresh=True)])

    assert rows_of(con, "SELECT account, msg_user FROM datacube.getupstreammsg") == [("shop", 1)]
    assert rows_of(con, "SELECT DISTINCT account FROM datacube.revisions") == [("news",)]


# --- the ledger -------------------------------------------------------------------------------------------------


def test_calls_are_numbered_in_the_order_of_commits(con: Connection) -> None:
    """Calls are numbered from 1 in the order of commits, without gaps, whatever their times."""
    store_calls(con, [answered(MESSAGES, day(4), at=LATER), answered(HOURS, day(4), at=LATER - DAY)])
    store_calls(con, [answered(SENDERS, day(4))])

    assert rows_of(con, "SELECT call_id, endpoint FROM datacube.api_calls ORDER BY call_id") == [
        (1, "getupstreammsg"),
        (2, "getupstreammsghour"),
        (3, "getupstreammsgdist"),
    ]


def test_a_call_is_kept_field_by_field(con: Connection) -> None:
    """Every field of a call is a column of the ledger, with the body as received."""
    call = Call(
        *("run-1", "shop", "getupstreammsg", day(3), day(5), (day(3), day(5)), True, LATER, 81, 200, -1, "busy; «忙»"),
        *("608a6564-495fb669", '{"errcode":-1,\r\n "errmsg":"busy; \\u00ab忙»\\u0000"}'),
    )
    store_calls(con, [call])

    (kept,) = rows_of(con, "SELECT * EXCLUDE (call_id) FROM datacube.api_calls")
    assert kept == (*("run-1", "shop", "getupstreammsg", day(3), day(5), [day(3), day(5)], True, LATER, 81, 200, -1),
                    *(call.errmsg, call.rid, call.response))  # fmt: skip


def test_storing_no_calls_changes_nothing(con: Connection) -> None:
    """Storing no calls works, and changes nothing."""
    store_calls(con, [])

    assert rows_of(con, "FROM datacube.api_calls") == []


def test_names_and_texts_cannot_inject(con: Connection) -> None:
    """SQL in an account's name, a text or a row is stored as data."""
    nasty = "'; DROP TABLE datacube.api_calls; --"
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), **{nasty: nasty}), nasty, account=nasty, rid=nasty)])

    assert rows_of(con, "SELECT account, rid FROM datacube.api_calls") == [(nasty, nasty)]
    store_calls(con, [replace(answered(MESSAGES, day(4)), account=nasty, endpoint=nasty, run_id=nasty)])
    assert rows_of(con, "SELECT count(*) FROM datacube.api_calls") == [(2,)]
    assert rows_of(con, "SELECT account, row->>'$' FROM datacube.rejected_rows") == [(nasty, nasty)]


@pytest.mark.parametrize("date", ["2026-11-04'; DROP TABLE datacube.api_calls; --", "2026-11-04' OR ref_date <> '"])
def test_dates_and_hours_cannot_inject(con: Connection, date: str) -> None:
    """SQL in a date or an hour is rejected, and kept as text."""
    store_calls(con, [answered(HOURS, day(4), None, hour_row(date), hour_row(day(4), ref_hour=date))])

    assert rows_of(con, "SELECT row->>'ref_date', row->>'ref_hour' FROM datacube.rejected_rows") == [
        (date, "900"),
        (str(day(4)), date),
    ]
    assert rows_of(con, "SELECT count(*) FROM datacube.api_calls") == [(1,)]
    assert rows_of(con, "FROM datacube.getupstreammsghour") == []
