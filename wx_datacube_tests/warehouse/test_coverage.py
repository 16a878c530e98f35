"""Coverage: every due label has exactly one state, and what the file knows about labels, accounts and calls.

Add a test here when a rule for `landed`, `empty`, `implied` or `missing` changes, or a query of `warehouse.coverage`.
How an answer changes rows is in `test_load.py`; which missing labels need a person is in `test_overdue.py`.
"""

import datetime as dt

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS, MSG_COUNT
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import beijing_now, due_labels, gaps
from wx_datacube.config.settings import Account
from wx_datacube.errors import SettingsError
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State, accounts, bind_account, coverage, states, summaries
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.past_calls import calls_since, last_calls, unresolved_errors
from wx_datacube.warehouse.silent_days import first_messages
from wx_datacube.warehouse.sql import BEIJING_NOW
from wx_datacube_tests.answers import (
    DAY,
    HOURS,
    LATER,
    MESSAGES,
    MONTHS,
    SENDERS,
    SENDERS_OF_MONTHS,
    SENDERS_OF_WEEKS,
    WEEKS,
    answered,
    day,
    hour_row,
    row,
    rows_of,
    senders_row,
)

MORNING = dt.datetime(2026, 11, 24, 9)
NOON = dt.datetime(2026, 11, 24, 12)
YESTERDAY = day(23)
OCTOBER = dt.date(2026, 10, 1)


def state(con: Connection, endpoint: Endpoint, label: dt.date, now: dt.datetime = LATER) -> State:
    """Return the state of one label."""
    return states(con, Account("shop", start=OCTOBER), now, endpoint)[endpoint.name][label]


def made(endpoint: Endpoint, label: dt.date) -> dict[str, object]:
    """Return a row for any endpoint."""
    found = (
        hour_row(label) if endpoint is HOURS else row(label) if MSG_COUNT in endpoint.columns else senders_row(label)
    )
    return {column.name: found[column.name] for column in endpoint.columns}


each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])


# --- the four states --------------------------------------------------------------------------------------------


@each_endpoint
def test_every_due_label_is_missing_at_first(con: Connection, endpoint: Endpoint) -> None:
    """Without answers, every label from the start's to the newest due one is missing, oldest first."""
    found = states(con, Account("shop", start=day(11)), LATER)

    assert list(found[endpoint.name]) == due_labels(endpoint.period, day(11), LATER.date())
    assert set(found[endpoint.name].values()) <= {State.MISSING}


@each_endpoint
def test_a_label_with_a_row_is_landed(con: Connection, endpoint: Endpoint) -> None:
    """A label with a row is landed, even before noon."""
    label = due_labels(endpoint.period, OCTOBER, MORNING.date())[-1]
    store_calls(con, [answered(endpoint, label, None, made(endpoint, label), at=MORNING)])

    assert state(con, endpoint, label, MORNING) is State.LANDED


@each_endpoint
@pytest.mark.parametrize(("at", "expected"), [(MORNING, State.MISSING), (NOON, State.EMPTY)])
def test_an_empty_answer_counts_once_the_label_is_settled(
    con: Connection, endpoint: Endpoint, at: dt.datetime, expected: State
) -> None:
    """An empty answer for the newest label counts as empty from noon of its due day on; before, it is missing."""
    label = {Period.DAY: day(23), Period.WEEK: day(16), Period.MONTH: OCTOBER}[endpoint.period]
    due = {Period.DAY: day(24), Period.WEEK: day(23), Period.MONTH: day(1)}[endpoint.period]
    store_calls(con, [answered(endpoint, label, None, at=dt.datetime.combine(due, at.time()))])

    assert state(con, endpoint, label, LATER) is expected


@each_endpoint
def test_a_label_whose_only_row_was_rejected_is_not_empty(con: Connection, endpoint: Endpoint) -> None:
    """A label whose only row was rejected is missing, since that row may be all its data."""
    label = {Period.DAY: day(20), Period.WEEK: day(16), Period.MONTH: OCTOBER}[endpoint.period]
    store_calls(con, [answered(endpoint, label, None, made(endpoint, label) | {"msg_user": "many"})])

    assert state(con, endpoint, label) is State.MISSING


@pytest.mark.parametrize("endpoint", [HOURS, SENDERS], ids=["hours", "distribution"])
def test_a_silent_day_implies_its_hours_and_distribution(con: Connection, endpoint: Endpoint) -> None:
    """An empty day implies its hours and distribution; once they are requested and empty too, they are empty."""
    store_calls(con, [answered(MESSAGES, day(20))])
    assert state(con, endpoint, day(20)) is State.IMPLIED
    assert state(con, endpoint, day(19)) is State.MISSING

    store_calls(con, [answered(endpoint, day(20))])
    assert state(con, endpoint, day(20)) is State.EMPTY


@pytest.mark.parametrize("endpoint", [WEEKS, MONTHS, SENDERS_OF_WEEKS, SENDERS_OF_MONTHS], ids=lambda each: each.name)
def test_silent_days_imply_no_week_and_no_month(con: Connection, endpoint: Endpoint) -> None:
    """Empty days imply no week and no month; those are few enough to be requested."""
    for begin in range(0, 31, 7):
        store_calls(con, [answered(MESSAGES, OCTOBER + begin * DAY, OCTOBER + (begin + 6) * DAY)])

    assert set(states(con, Account("shop", start=OCTOBER), LATER, endpoint)[endpoint.name].values()) == {State.MISSING}


@pytest.mark.parametrize("endpoint", [HOURS, SENDERS], ids=["hours", "distribution"])
def test_a_day_that_is_no_longer_silent_implies_nothing(con: Connection, endpoint: Endpoint) -> None:
    """If a look-back finds messages of an empty day, its hours and distribution are missing."""
    store_calls(con, [answered(MESSAGES, day(20))])
    store_calls(con, [answered(MESSAGES, day(19), day(21), row(day(20)))])

    assert state(con, MESSAGES, day(20)) is State.LANDED
    assert state(con, endpoint, day(20)) is State.MISSING


@pytest.mark.parametrize(
    ("endpoint", "label"),
    [
        (HOURS, day(14)),
        (SENDERS, day(14)),
        (WEEKS, day(9)),
        (SENDERS_OF_WEEKS, day(9)),
        (MONTHS, OCTOBER),
        (SENDERS_OF_MONTHS, OCTOBER),
    ],
    ids=lambda each: getattr(each, "name", str(each)),
)
@pytest.mark.parametrize("first", ["day", "silence"])
def test_no_label_is_empty_if_its_days_have_messages(
    con: Connection, endpoint: Endpoint, label: dt.date, first: str
) -> None:
    """Hours, distribution, week and month are missing if they are empty but their days have messages, in any order."""
    talked = OCTOBER + 30 * DAY if endpoint.period is Period.MONTH else day(14)
    calls = [answered(MESSAGES, talked, None, row(talked)), answered(endpoint, label)]
    store_calls(con, calls if first == "day" else calls[::-1])

    assert state(con, endpoint, label) is State.MISSING


def test_messages_outside_a_period_do_not_keep_it_from_being_empty(con: Connection) -> None:
    """Messages on the days before and after a week or month don't keep it from being empty."""
    for talked in (day(8), day(16), OCTOBER - DAY, day(1)):
        store_calls(con, [answered(MESSAGES, talked, None, row(talked))])
    store_calls(con, [answered(WEEKS, day(9)), answered(MONTHS, OCTOBER)])

    assert state(con, WEEKS, day(9)) is State.EMPTY
    assert state(con, MONTHS, OCTOBER) is State.EMPTY


def test_rows_with_zero_messages_do_not_keep_hours_from_being_empty(con: Connection) -> None:
    """Rows with zero messages are stored, and don't keep the hours from being empty."""
    store_calls(con, [answered(MESSAGES, day(20), None, row(day(20), 0, 0)), answered(HOURS, day(20))])

    assert state(con, MESSAGES, day(20)) is State.LANDED
    assert state(con, HOURS, day(20)) is State.EMPTY


def test_answers_of_another_account_do_not_count(con: Connection) -> None:
    """Rows and empty answers of one account don't count for another."""
    store_calls(con, [answered(MESSAGES, day(19), day(20), row(day(19)), account="news")])

    assert set(states(con, Account("shop", start=day(18)), LATER, MESSAGES)["getupstreammsg"].values()) == {
        State.MISSING
    }
    assert states(con, Account("news", start=day(19)), LATER, HOURS)["getupstreammsghour"][day(20)] is State.IMPLIED


def test_a_label_is_due_from_midnight_on(con: Connection) -> None:
    """Yesterday, and the week that it ended, are due from 00:00 on, and not at 23:59."""
    before, after = dt.datetime(2026, 11, 22, 23, 59, 59), dt.datetime(2026, 11, 23)

    assert day(22) not in states(con, Account("shop", start=OCTOBER), before, MESSAGES)["getupstreammsg"]
    assert day(22) in states(con, Account("shop", start=OCTOBER), after, MESSAGES)["getupstreammsg"]
    assert day(16) not in states(con, Account("shop", start=OCTOBER), before, WEEKS)["getupstreammsgweek"]
    assert day(16) in states(con, Account("shop", start=OCTOBER), after, WEEKS)["getupstreammsgweek"]


@pytest.mark.parametrize("now", ["2026-02-28T23:59", "2026-03-01T00:00", "2026-03-31T12:00", "2024-02-29T12:00"])
@pytest.mark.parametrize("start", ["2014-12-01", "2016-02-29", "2023-10-31"])
@each_endpoint
def test_due_labels_in_sql_are_those_of_periods(con: Connection, endpoint: Endpoint, start: str, now: str) -> None:
    """SQL and Python agree on the due labels, across ends of months and leap years."""
    first, moment = dt.date.fromisoformat(start), dt.datetime.fromisoformat(now)

    found = states(con, Account("shop", start=first), moment, endpoint)[endpoint.name]
    assert list(found) == due_labels(endpoint.period, first, moment.date())


# --- the view ---------------------------------------------------------------------------------------------------


def test_the_coverage_view_agrees_with_ingestion(con: Connection) -> None:
    """`datacube.coverage` has each due label of each account once, in the state that `states` returns."""
    today = beijing_now().date()
    begin = today - 12 * DAY
    for name, start in (("shop", begin), ("news", today - 40 * DAY)):
        bind_account(con, Account(name, None, start=start), LATER)
        at = dt.datetime.combine(today, dt.time())
        calls = [answered(MESSAGES, begin, begin + 5 * DAY, row(begin), row(begin + 3 * DAY), account=name, at=at)]
        calls += [answered(SENDERS, begin, begin + 5 * DAY, senders_row(begin), account=name, at=at)]
        store_calls(con, calls)

    for _ in range(2):  # repeated if midnight passes between the two queries
        now = beijing_now()
        shown = rows_of(con, "SELECT account, endpoint, label, state FROM datacube.coverage ORDER BY ALL")
        if beijing_now().date() == now.date():
            break
    expected = [
        (name, endpoint, label, each.value)
        for name, start in (("shop", begin), ("news", today - 40 * DAY))
        for endpoint, by_label in states(con, Account(name, start=start), now).items()
        for label, each in by_label.items()
    ]
    assert shown == sorted(expected)
    assert {each for *_, each in shown} == {"landed", "empty", "implied", "missing"}


def test_the_view_names_the_last_call_that_covered_a_label(con: Connection) -> None:
    """The view names the last successful call that covered a label, even if an earlier call returned its rows."""
    bind_account(con, Account("shop", None, start=day(19)), LATER)
    store_calls(con, [answered(MESSAGES, day(19), None, row(day(19)))])
    store_calls(con, [answered(MESSAGES, day(18), day(20), row(day(19)), at=LATER + DAY)])
    store_calls(con, [answered(MESSAGES, day(19), errcode=-1, at=LATER + 2 * DAY)])

    sql = 'SELECT label, "rows", fetched_at, call_id FROM datacube.coverage WHERE endpoint = $e AND label <= $d'
    assert rows_of(con, sql + " ORDER BY label", e="getupstreammsg", d=day(21)) == [
        (day(19), 1, LATER + DAY, 2),
        (day(20), 0, LATER + DAY, 2),
        (day(21), 0, None, None),
    ]


# --- figures of a label -----------------------------------------------------------------------------------------


def test_a_labels_users_are_those_of_its_own_endpoint(con: Connection) -> None:
    """A distribution's users are summed; those of types and hours overlap, so the maximum is reported."""
    store_calls(con, [answered(MESSAGES, day(20), None, row(day(20), 5, 9), row(day(20), 3, 4, msg_type=2))])
    (found,) = coverage(con, Account("shop"), MESSAGES, [day(20)], LATER)
    assert (found.rows, found.figures) == (2, {"messages": 13, "users_at_least": 5})

    store_calls(con, [answered(SENDERS, day(20), None, senders_row(day(20), 4), senders_row(day(20), 2, 3))])
    (found,) = coverage(con, Account("shop"), SENDERS, [day(20)], LATER)
    assert found.figures == {"users": 6}


def test_labels_are_described_in_the_order_requested(con: Connection) -> None:
    """Labels come in the order requested; one that isn't due is left out, and one without data has zeros."""
    store_calls(con, [answered(MESSAGES, day(20), None, row(day(20)))])
    found = coverage(con, Account("shop"), MESSAGES, [day(20), day(19), day(30)], LATER)

    assert [(each.label, each.state, each.rows, each.call_id) for each in found] == [
        (day(20), State.LANDED, 1, 1),
        (day(19), State.MISSING, 0, None),
    ]
    assert (found[1].figures, found[1].fetched_at) == ({"messages": 0, "users_at_least": 0}, None)
    assert coverage(con, Account("shop"), MESSAGES, [], LATER) == []


# --- accounts ---------------------------------------------------------------------------------------------------


def test_an_account_is_bound_to_its_first_appid(con: Connection) -> None:
    """Another AppID for the same account is an error with a remedy; no AppID is accepted."""
    bind_account(con, Account("shop", "wx01", start=day(1)), LATER)
    bind_account(con, Account("shop", None, start=day(1)), LATER)
    bind_account(con, Account("shop", "wx01", start=day(1)), LATER)
    with pytest.raises(SettingsError, match=r"'shop' belongs to the AppID wx01 .*, not to wx02.*WX_DATACUBE_ACCOUNT"):
        bind_account(con, Account("shop", "wx02", start=day(1)), LATER)

    assert accounts(con) == {"shop": "wx01"}


def test_an_appid_has_one_name(con: Connection) -> None:
    """A second name for a stored AppID is an error that gives the first; all would otherwise be fetched again."""
    bind_account(con, Account("shop", "wx01", start=day(1)), LATER)
    with pytest.raises(SettingsError, match=r"AppID wx01 is stored as the account 'shop' .*rename-account shop store"):
        bind_account(con, Account("store", "wx01", start=day(1)), LATER)

    assert accounts(con) == {"shop": "wx01"}


def test_an_account_without_appid_is_bound_later(con: Connection) -> None:
    """An account without AppID, as with a token server, can be bound to one later."""
    bind_account(con, Account("shop", None, start=day(1)), LATER)
    bind_account(con, Account("shop", "wx01", start=day(1)), LATER)

    assert accounts(con) == {"shop": "wx01"}


def test_the_start_of_history_may_be_moved(con: Connection) -> None:
    """The start date follows the setting; the time of the first use stays."""
    bind_account(con, Account("shop", "wx01", start=day(9)), LATER)
    bind_account(con, Account("shop", "wx01", start=day(2)), LATER + DAY)

    assert rows_of(con, "FROM datacube.accounts") == [("shop", "wx01", day(2), LATER, ["messages"])]


# --- the ledger -------------------------------------------------------------------------------------------------


def test_calls_of_a_day_are_counted_by_endpoint(con: Connection) -> None:
    """Every attempt of the account since midnight counts, whatever its result."""
    midnight = LATER.replace(hour=0)
    moments = [midnight - dt.timedelta(seconds=1), midnight, LATER]
    store_calls(con, [answered(MESSAGES, day(20), at=moment, errcode=-1) for moment in moments])
    store_calls(con, [answered(HOURS, day(20), account="news")])

    found = calls_since(con, "shop", midnight)
    assert found == dict.fromkeys(BY_NAME, 0) | {MESSAGES.name: 2}


def test_unresolved_errors_have_the_time_of_their_newest_call(con: Connection) -> None:
    """Each account and endpoint reports the newest call of each errcode, by time; broken connections don't count."""
    assert unresolved_errors(con) == {}
    store_calls(con, [answered(MESSAGES, day(20), errcode=45009, at=at) for at in (LATER, LATER - DAY)])
    store_calls(con, [answered(MESSAGES, day(20), errcode=48001, at=LATER - 2 * DAY)])
    store_calls(con, [answered(MESSAGES, day(20), http_status=None, errmsg="no answer", response=None)])
    store_calls(con, [answered(HOURS, day(20), errcode=45009, at=LATER + DAY)])

    days = {48001: LATER - 2 * DAY, 45009: LATER}
    assert unresolved_errors(con) == {("shop", MESSAGES.name): days, ("shop", HOURS.name): {45009: LATER + DAY}}
    assert list(unresolved_errors(con, "shop", MESSAGES)[("shop", MESSAGES.name)]) == [48001, 45009]
    assert unresolved_errors(con, "shop", SENDERS) == unresolved_errors(con, "news") == {}


@pytest.mark.parametrize("through", [{}, {"errcode": 61503}], ids=["figures", "not ready"])
def test_a_later_successful_call_clears_errors(con: Connection, through: dict[str, int]) -> None:
    """A later call of the same account and endpoint clears errors; one made earlier but stored later doesn't."""
    store_calls(con, [answered(each, day(20), errcode=48001) for each in (MESSAGES, HOURS)])
    store_calls(con, [answered(MESSAGES, day(20), at=LATER - DAY, **through)])
    store_calls(con, [answered(HOURS, day(20), account="news", **through), answered(MESSAGES, day(20), errcode=-1)])
    assert {(name, of) for name, of in unresolved_errors(con)} == {("shop", MESSAGES.name), ("shop", HOURS.name)}

    store_calls(con, [answered(MESSAGES, day(20), **through)])
    assert unresolved_errors(con) == {("shop", HOURS.name): {48001: LATER}}


def test_past_calls_are_listed_newest_first(con: Connection) -> None:
    """Past calls are listed newest first: those with data, and those with one of the given errcodes."""
    store_calls(con, [answered(WEEKS, day(2), day(9), asked=[day(2), day(9)], errcode=61501, errmsg="out of range")])
    store_calls(con, [answered(WEEKS, day(2), errcode=-1, errmsg="busy"), answered(WEEKS, day(9))])
    store_calls(con, [answered(WEEKS, day(9), errmsg="cut on the way")])

    found = last_calls(con, "shop", WEEKS, (61501,))
    assert [(call.begin, call.end, call.asked, call.errcode) for call in found] == [
        (day(9), day(9), [day(9)], None),
        (day(2), day(9), [day(2), day(9)], 61501),
    ]


def test_the_first_message_is_known(con: Connection) -> None:
    """The first message of each account is its oldest day with messages."""
    assert first_messages(con) == {}
    store_calls(con, [answered(MESSAGES, day(3), day(5), row(day(3), 0, 0), row(day(5)), row(day(4)))])

    store_calls(con, [answered(MESSAGES, day(2), None, row(day(2)), account="news")])

    assert first_messages(con) == {"shop": day(4), "news": day(2)}


def test_a_summary_of_all_accounts_equals_each_account_alone(con: Connection) -> None:
    """A summary's counts, newest landed label and gaps equal those computed from the states, account by account."""
    starts = {"shop": OCTOBER, "news": day(2), "cafe": day(20)}
    for name in ("shop", "news", "other"):
        talked = [row(day(number)) for number in (5, 6, 8)]
        store_calls(con, [answered(MESSAGES, day(3), day(9), *talked, account=name)])
        store_calls(con, [answered(each, day(9), account=name) for each in (WEEKS, SENDERS_OF_WEEKS)])
    store_calls(con, [answered(HOURS, day(6), None, hour_row(day(6))), answered(MESSAGES, day(6), account="news")])

    found = summaries(con, [Account(name, start=start) for name, start in starts.items()], LATER)
    for name, start in starts.items():
        for endpoint, by_label in states(con, Account(name, start=start), LATER).items():
            expected = [list(by_label.values()).count(each) for each in State]
            missing = [label for label, each in by_label.items() if each is State.MISSING]
            landed = [label for label, each in by_label.items() if each is State.LANDED]
            if not by_label:
                assert (name, endpoint) not in found
                continue
            one = found[name, endpoint]
            assert [one.landed, one.empty, one.implied, one.missing] == expected
            assert (one.due, one.last_landed) == (len(by_label), max(landed, default=None))
            assert one.gaps == gaps(missing, by_label)
    assert {name for name, _ in found} == set(starts)


def test_the_time_in_sql_is_beijing_time(con: Connection) -> None:
    """The current time in views is naive Beijing time, whatever the machine's time zone."""
    (now,) = con.execute(f"SELECT {BEIJING_NOW}").fetchall()[0]

    assert abs(now - beijing_now()) < dt.timedelta(minutes=1)
