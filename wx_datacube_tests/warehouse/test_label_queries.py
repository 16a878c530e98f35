"""Label queries: which answers count for a label, for each function of `warehouse.coverage` and for summaries.

Add a test here for a condition of one of these queries, best with an account, an endpoint or a label that must not
count. The four states themselves are in `test_coverage.py`.
"""

import datetime as dt
from collections.abc import Sequence

import pytest

from wx_datacube.catalog.model import Endpoint
from wx_datacube.config.settings import Account
from wx_datacube.errors import SettingsError
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import (
    Coverage,
    State,
    Summary,
    bind_account,
    count_unknown_sources,
    coverage,
    empty_settled_labels,
    labels_left_out,
    labels_with_rejected_rows,
    rows_stored,
    states,
    summaries,
    was_answered,
)
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.silent_days import HistoryStart, doubtful_silent_days, first_messages, history_start
from wx_datacube_tests.answers import (
    DAY,
    HOURS,
    LATER,
    MESSAGES,
    SENDERS,
    WEEKS,
    answered,
    day,
    hour_row,
    row,
    rows_of,
    senders_row,
)

MORNING = dt.datetime(2026, 11, 24, 9)


def state(con: Connection, endpoint: Endpoint, label: dt.date) -> State:
    """Return the state of a label, from the query for its endpoint alone."""
    return states(con, Account("shop", start=day(9)), LATER, endpoint)[endpoint.name][label]


def summary(con: Connection, endpoint: Endpoint, account: str = "shop", now: dt.datetime = LATER) -> Summary:
    """Return the summary of an endpoint since 20 November, from the query over three accounts."""
    return summaries(con, [Account(name, start=day(20)) for name in ("shop", "news", "cafe")], now)[
        account, endpoint.name
    ]


# --- states -----------------------------------------------------------------------------------------------------


def test_an_early_empty_answer_for_a_day_implies_nothing(con: Connection) -> None:
    """A day whose empty answer came before noon doesn't imply its hours."""
    store_calls(con, [answered(MESSAGES, day(23), at=MORNING)])

    assert state(con, HOURS, day(23)) is State.MISSING


def test_hours_answered_too_early_are_implied_by_a_silent_day(con: Connection) -> None:
    """Hours whose empty answer came too early are implied once their day is silent; weeks never are."""
    store_calls(con, [answered(HOURS, day(23), at=MORNING), answered(MESSAGES, day(23))])
    store_calls(con, [answered(WEEKS, day(16), None, row(day(16), -1)), answered(MESSAGES, day(16))])

    assert state(con, HOURS, day(23)) is State.IMPLIED
    assert state(con, WEEKS, day(16)) is State.MISSING
    assert state(con, MESSAGES, day(16)) is State.EMPTY


def test_a_stored_row_outlives_an_empty_answer(con: Connection) -> None:
    """A day whose rows an answer left out stays landed and contradicts empty hours; a silent day still implies its."""
    store_calls(con, [answered(MESSAGES, day(20), None, row(day(20)))])
    store_calls(con, [answered(MESSAGES, day(20)), answered(HOURS, day(20)), answered(MESSAGES, day(21))])

    assert state(con, MESSAGES, day(20)) is State.LANDED
    assert state(con, HOURS, day(20)) is State.MISSING
    assert state(con, HOURS, day(21)) is State.IMPLIED


def test_a_silent_monday_does_not_make_its_week_empty(con: Connection) -> None:
    """A week with a message on its Saturday isn't empty, although its Monday is silent."""
    store_calls(con, [answered(MESSAGES, day(9)), answered(MESSAGES, day(14), None, row(day(14)))])
    store_calls(con, [answered(WEEKS, day(9))])

    assert state(con, MESSAGES, day(9)) is State.EMPTY
    assert state(con, WEEKS, day(9)) is State.MISSING


# --- summaries --------------------------------------------------------------------------------------------------


def test_a_summary_counts_what_the_states_say(con: Connection) -> None:
    """For accounts that are complete, half complete and empty, the summary counts the states of each endpoint."""
    complete = [row(day(number)) for number in (20, 21, 22, 23)]
    store_calls(
        con,
        [
            answered(MESSAGES, day(20), day(23), *complete),
            answered(MESSAGES, day(20), day(21), row(day(21)), account="news"),
            answered(MESSAGES, day(23), at=MORNING, account="news"),
            answered(HOURS, day(20), None, hour_row(day(20))),
        ],
    )

    for account in ("shop", "news", "cafe"):
        for name, by_label in states(con, Account(account, start=day(20)), LATER).items():
            if by_label:
                found = summaries(con, [Account(each, start=day(20)) for each in ("shop", "news", "cafe")], LATER)[
                    account, name
                ]
                counted = [list(by_label.values()).count(each) for each in State]
                assert [found.landed, found.empty, found.implied, found.missing] == counted
    newest = max(states(con, Account("news", start=day(20)), LATER, MESSAGES)[MESSAGES.name])
    assert summary(con, MESSAGES).gaps == []
    assert summary(con, MESSAGES, "news").gaps == [(day(22), newest)]
    assert summary(con, HOURS, "news").implied == 1


def test_a_summary_leaves_out_answers_before_the_start(con: Connection) -> None:
    """Labels before the start of history are not counted, although they are stored."""
    store_calls(con, [answered(MESSAGES, day(number), None, row(day(number))) for number in (10, 21)])
    found = summary(con, MESSAGES)

    assert (found.landed, found.missing) == (1, found.due - 1)


def test_rows_of_another_account_do_not_count(con: Connection) -> None:
    """A silent day stays empty, although another account has rows for it that its last answer left out."""
    store_calls(con, [answered(MESSAGES, day(20), None, row(day(20)), account="news")])
    store_calls(con, [answered(MESSAGES, day(20), account="news"), answered(MESSAGES, day(20))])

    assert (summary(con, MESSAGES).empty, summary(con, MESSAGES).landed) == (1, 0)
    assert (summary(con, MESSAGES, "news").empty, summary(con, MESSAGES, "news").landed) == (0, 1)
    assert summary(con, HOURS).implied == 1


def test_progress_is_what_was_answered_before_yesterday(con: Connection) -> None:
    """`reached` is the oldest landed or empty label that was answered for before 00:00 of yesterday."""
    now = dt.datetime(2026, 11, 24, 13)
    early = answered(MESSAGES, day(21), at=dt.datetime(2026, 11, 22, 9))
    store_calls(con, [answered(MESSAGES, day(22), None, row(day(22)), at=dt.datetime(2026, 11, 23)), early])
    assert summary(con, MESSAGES, now=now).reached is None

    store_calls(con, [answered(MESSAGES, day(20), None, row(day(20)), at=dt.datetime(2026, 11, 22, 23, 59))])
    assert summary(con, MESSAGES, now=now).reached == day(20)


# --- accounts and figures ---------------------------------------------------------------------------------------


def test_moving_one_accounts_start_moves_no_other(con: Connection) -> None:
    """A new start of one account changes no other account, and an AppID in use is refused."""
    for name, appid, start in (("news", "wx02", day(5)), ("shop", "wx01", day(9)), ("shop", "wx01", day(2))):
        bind_account(con, Account(name, appid, start=start), LATER)
    with pytest.raises(SettingsError):
        bind_account(con, Account("cafe", "wx01", start=day(1)), LATER)

    found = rows_of(con, "SELECT account, start_date FROM datacube.accounts ORDER BY account")
    assert found == [("news", day(5)), ("shop", day(2))]


def test_users_of_a_distribution_are_its_senders(con: Connection) -> None:
    """Interval 0 and other accounts don't count as users."""
    silent, sent = senders_row(day(20), 9, 0), senders_row(day(20), 4, 1)
    other = answered(SENDERS, day(20), None, senders_row(day(20), 5, 1), account="news")
    store_calls(con, [answered(SENDERS, day(20), None, sent, silent), other])

    (found,) = coverage(con, Account("shop"), SENDERS, [day(20)], LATER)
    assert (found.rows, found.figures) == (2, {"users": 4})


def test_the_first_message_may_be_a_single_one(con: Connection) -> None:
    """A day with one message counts as the first day with messages."""
    store_calls(con, [answered(MESSAGES, day(3), day(5), row(day(3), 1, 1), row(day(5)))])

    assert first_messages(con) == {"shop": day(3)}


def test_an_unknown_label_has_nothing() -> None:
    """The coverage of an unknown label has no figures."""
    assert Coverage(day(3), State.MISSING) == Coverage(day(3), State.MISSING, 0, None, None, False, {})


# --- answers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(con: Connection) -> Connection:
    """Store answers of many kinds for two accounts."""
    at = dt.datetime(2026, 11, 24, 13)
    sources = (row(day(12), user_source=1), row(day(12), msg_type=2, user_source=0))
    store_calls(
        con,
        [
            answered(MESSAGES, day(20), at=at),
            answered(MESSAGES, day(21), at=at, account="news"),
            answered(HOURS, day(19), at=at),
            answered(MESSAGES, day(18), None, row(day(18)), at=at),
            answered(MESSAGES, day(17), None, row(day(17), -1), at=at),
            answered(MESSAGES, day(23), at=MORNING),
            answered(MESSAGES, day(14), day(15), at=at),
            answered(MESSAGES, day(13), at=at - DAY),
            answered(MESSAGES, day(12), None, *sources, at=at),
            answered(MESSAGES, day(12), None, row(day(12), user_source=7), at=at, account="news"),
        ],
    )
    return con


def test_settled_clean_answers_without_rows_are_listed(asked: Connection) -> None:
    """Early answers, answers with rejected rows and those of other accounts and endpoints don't count."""
    assert empty_settled_labels(asked, "shop", MESSAGES) == {day(13), day(14), day(15), day(20)}


def test_labels_requested_alone_without_an_answer_are_listed(asked: Connection) -> None:
    """Only a window of one day counts, and only since the given time."""
    since = dt.datetime(2026, 11, 24, 13)

    assert labels_left_out(asked, "shop", MESSAGES, since) == {day(20)}
    assert labels_left_out(asked, "shop", MESSAGES, since - DAY) == {day(13), day(20)}


def test_labels_with_rejected_rows_are_those_of_the_endpoint(asked: Connection) -> None:
    """Other labels, accounts and endpoints don't count."""
    assert labels_with_rejected_rows(asked, "shop", MESSAGES, [day(17), day(18)]) == {day(17)}
    assert labels_with_rejected_rows(asked, "shop", MESSAGES, [day(18)]) == set()
    assert labels_with_rejected_rows(asked, "news", MESSAGES, [day(17)]) == set()
    assert labels_with_rejected_rows(asked, "shop", HOURS, [day(17)]) == set()


def test_answers_are_known_by_account_and_endpoint(asked: Connection) -> None:
    """An endpoint was answered only if the account has an answer of it."""
    answers = {
        (name, each.name): was_answered(asked, name, each) for name in ("shop", "news") for each in (MESSAGES, HOURS)
    }

    assert answers == {
        ("shop", MESSAGES.name): True,
        ("shop", HOURS.name): True,
        ("news", MESSAGES.name): True,
        ("news", HOURS.name): False,
    }


def test_unknown_sources_are_counted_in_the_labels(asked: Connection) -> None:
    """Rows of the account with a `user_source` other than 0 count, in the given labels only."""
    assert count_unknown_sources(asked, "shop", MESSAGES, [day(12), day(18)]) == 1
    assert count_unknown_sources(asked, "shop", MESSAGES, [day(18)]) == 0
    assert count_unknown_sources(asked, "cafe", MESSAGES, [day(12)]) == 0


def test_rows_are_counted_by_account(asked: Connection) -> None:
    """Only rows of the account are counted."""
    assert (rows_stored(asked, "shop", MESSAGES), rows_stored(asked, "news", MESSAGES)) == (3, 1)


# --- the start of history ---------------------------------------------------------------------------------------


def beginning(con: Connection, start: dt.date) -> HistoryStart | None:
    """Return what is known of the first day with messages since `start`."""
    return history_start(con, Account("shop", start=start), LATER)


def test_the_first_day_with_messages_is_found_step_by_step(con: Connection) -> None:
    """It is known once all days before it are; whether it saves calls depends on the weeks before."""
    assert beginning(con, day(16)) is None
    store_calls(con, [answered(MESSAGES, day(16), day(18))])
    found = beginning(con, day(16))
    assert found is not None
    assert (found.day, found.landed, found.saves_calls) == (day(19), False, False)

    store_calls(con, [answered(MESSAGES, day(19), None, row(day(19)))])
    found = beginning(con, day(16))
    assert found is not None
    assert (found.day, found.landed) == (day(19), True)
    assert beginning(con, day(9)) is None

    store_calls(con, [answered(WEEKS, day(9))])
    found = beginning(con, day(9))
    assert found is not None
    assert (found.day, found.landed, found.saves_calls) == (day(19), True, True)


# --- doubtful silent days ---------------------------------------------------------------------------------------


def fortnight(con: Connection, account: str, numbers: Sequence[int] = range(6, 20), silent: int | None = 20) -> None:
    """Store messages of two types for the days of these numbers, and an empty answer at noon for the `silent` one."""
    calls = [
        answered(MESSAGES, day(number), None, row(day(number)), row(day(number), msg_type=2), account=account)
        for number in numbers
    ]
    if silent is not None:
        calls.append(answered(MESSAGES, day(silent), account=account, at=dt.datetime(2026, 11, 21, 12)))
    store_calls(con, calls)


@pytest.mark.parametrize("time", [dt.time(12), dt.time(12, 30)], ids=["at noon", "after noon"])
def test_a_silent_day_after_two_busy_weeks_is_doubtful(con: Connection, time: dt.time) -> None:
    """Yesterday's empty answer is doubtful if each of the fourteen days before it has messages."""
    fortnight(con, "shop")
    fortnight(con, "longer", range(2, 20))
    fortnight(con, "unasked")

    found = doubtful_silent_days(con, ["shop", "longer"], dt.datetime.combine(day(21), time))
    assert found == {"shop": [day(20)], "longer": [day(20)]}


def test_other_silent_days_are_not_doubtful(con: Connection) -> None:
    """A gap, a shorter history, an early, unclean or contradicted answer or another endpoint's makes no doubt."""
    fortnight(con, "gap", [number for number in range(6, 20) if number != 12])
    fortnight(con, "late", range(7, 20))
    for name in ("early", "dirty", "busy", "kept", "hours"):
        fortnight(con, name, silent=None)
    fortnight(con, "older", range(6, 19), silent=None)
    store_calls(
        con,
        [
            answered(MESSAGES, day(20), account="early", at=dt.datetime(2026, 11, 21, 9)),
            answered(MESSAGES, day(20), None, row(day(20), -1), account="dirty"),
            answered(MESSAGES, day(20), None, row(day(20)), account="busy"),
            answered(MESSAGES, day(20), None, row(day(20)), account="kept"),
            answered(MESSAGES, day(20), account="kept"),
            answered(HOURS, day(20), account="hours"),
            answered(MESSAGES, day(19), account="older"),
        ],
    )

    every = ["gap", "late", "early", "dirty", "busy", "kept", "hours", "older"]
    assert doubtful_silent_days(con, every, dt.datetime(2026, 11, 21, 12, 30)) == {}


def test_before_noon_the_day_before_yesterday_is_judged(con: Connection) -> None:
    """Before noon, yesterday may still be published; the day before it is doubtful by the same rule."""
    fortnight(con, "shop")
    store_calls(con, [answered(MESSAGES, day(21), None, row(day(21)), at=dt.datetime(2026, 11, 22, 10))])
    fortnight(con, "news", silent=None)
    store_calls(con, [answered(MESSAGES, day(3), account="news")])

    assert doubtful_silent_days(con, ["shop", "news"], dt.datetime(2026, 11, 21, 11)) == {}
    assert doubtful_silent_days(con, ["shop", "news"], dt.datetime(2026, 11, 22, 11)) == {"shop": [day(20)]}
