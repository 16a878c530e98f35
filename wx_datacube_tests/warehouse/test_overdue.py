"""Overdue labels: which missing labels need a person, and which only wait.

Add a test here when a missing label gets another reason to wait, or when the noon deadline changes.
How the check reports overdue labels is tested in `test_trust.py`.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import due_labels
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.overdue import Overdue, find_overdue
from wx_datacube_tests.answers import HOURS, MESSAGES, answered, day, hour_row, row

START, NOW = day(1), dt.datetime(2026, 11, 20, 12, 30)
MORNING = NOW.replace(hour=9)
DAYS = due_labels(Period.DAY, START, NOW.date())
"""1 to 19 November."""


@pytest.fixture
def con(tmp_path: Path) -> Iterator[Connection]:
    """Open an empty warehouse for writing."""
    with Warehouse(tmp_path / "figures.duckdb").transaction() as opened:
        yield opened


def found(con: Connection, now: dt.datetime = NOW, endpoint: Endpoint = MESSAGES, **given: object) -> list[Overdue]:
    """Return what is overdue for one endpoint of the account `shop`."""
    every = find_overdue(con, [Account("shop", start=START)], now, **given)["shop"]  # type: ignore[arg-type]
    return [each for each in every if each.endpoint is endpoint]


def landed(con: Connection, days: Sequence[dt.date], at: dt.datetime = MORNING) -> None:
    """Store an answer with a row for each day, from a request for all of them."""
    store_calls(con, [answered(MESSAGES, days[0], days[-1], *map(row, days), at=at, asked=days)])


def refused(con: Connection, label: dt.date, at: dt.datetime, errcode: int = 45009) -> None:
    """Store an answer with an error: the quota is used up, unless another code is given."""
    store_calls(con, [answered(MESSAGES, label, at=at, asked=[label], errcode=errcode, errmsg="no", response="{}")])


def test_nothing_is_overdue_if_every_label_is_stored(con: Connection) -> None:
    """Nothing is overdue when every label is stored, or before noon, when yesterday's figures may still come."""
    landed(con, DAYS)
    assert found(con) == []
    assert found(con, NOW.replace(hour=11, minute=59) + dt.timedelta(days=1)) == []


def test_a_missing_day_is_overdue_from_noon_on(con: Connection) -> None:
    """A missing day is overdue from noon on, also the next morning, and `since` is that noon."""
    landed(con, DAYS[:-1])

    assert found(con, NOW.replace(hour=11, minute=59)) == []
    for now in (NOW, NOW + dt.timedelta(hours=20)):
        (overdue,) = found(con, now)
        assert overdue == Overdue(MESSAGES, ((DAYS[-1], DAYS[-1]),))
        assert overdue.since == NOW.replace(minute=0)


def test_separate_outages_are_separate_gaps_oldest_first(con: Connection) -> None:
    """Two separate outages are two gaps, the oldest first."""
    landed(con, DAYS[:3], at=MORNING - dt.timedelta(days=15))
    landed(con, DAYS[6:9], at=MORNING - dt.timedelta(days=9))

    (overdue,) = found(con)
    assert overdue.gaps == ((DAYS[3], DAYS[5]), (DAYS[9], DAYS[-1]))


def test_a_hole_in_a_running_backfill_counts_as_history(con: Connection) -> None:
    """A hole in a running backfill counts as history; two days later it is an ordinary gap.

    Threads use the last calls of a day's quota in any order, which leaves such holes.
    """
    landed(con, DAYS[10:])
    landed(con, DAYS[5:9])
    (hole,) = (each for each in found(con) if each.gaps[-1] == (DAYS[9], DAYS[9]))
    assert (hole.history, str(hole.waiting_reason)) == (True, "History is being backfilled, newest first.")

    later = NOW + dt.timedelta(days=2)
    assert (DAYS[9], DAYS[9]) in next(each.gaps for each in found(con, later) if not each.history)


def test_only_a_new_label_may_wait_for_todays_quota(con: Connection) -> None:
    """Only a label that is new today may wait for today's quota; one that was missing yesterday may not."""
    landed(con, DAYS[:-1], at=MORNING - dt.timedelta(days=1))
    refused(con, DAYS[-1], MORNING)
    (today,) = found(con)
    refused(con, DAYS[-1], MORNING + dt.timedelta(days=1))
    (tomorrow,) = found(con, NOW + dt.timedelta(days=1))

    assert str(today.waiting_reason) == "Today's quota is used up."
    assert str(tomorrow.waiting_reason) == ""
    assert tomorrow.gaps == ((DAYS[-1], day(20)),)


def test_hours_of_missing_days_wait_for_the_quota_of_the_days(con: Connection) -> None:
    """Hours whose day is missing wait for that day's quota; hours whose day is stored don't."""
    refused(con, DAYS[-1], MORNING)
    assert {str(each.waiting_reason) for each in found(con, endpoint=HOURS)} == {"Today's quota is used up."}

    landed(con, DAYS[:-1], at=MORNING - dt.timedelta(hours=1))
    assert [str(each.waiting_reason) for each in found(con)] == ["Today's quota is used up."]
    newest, history = found(con, endpoint=HOURS)
    assert (str(newest.waiting_reason), str(history.waiting_reason)) == ("Today's quota is used up.", "")


def test_a_good_answer_after_the_refusal_ends_the_wait(con: Connection) -> None:
    """A good answer after the refusal shows that the quota was raised, so missing labels no longer wait for it."""
    refused(con, DAYS[-1], MORNING)
    landed(con, DAYS[:-1], at=MORNING + dt.timedelta(minutes=5))

    (overdue,) = found(con)
    assert str(overdue.waiting_reason) == ""


def test_the_limit_of_daily_calls_counts_as_a_quota(con: Connection) -> None:
    """The limit WX_DATACUBE_DAILY_CALLS counts as a quota."""
    landed(con, DAYS[:-1])

    assert [str(each.waiting_reason) for each in found(con, daily_calls=1)] == ["Today's quota is used up."]
    assert [str(each.waiting_reason) for each in found(con, daily_calls=2)] == [""]


def test_history_that_a_backfill_fetches_needs_no_person(con: Connection) -> None:
    """History that a backfill fetches, newest first, waits; after a day without progress it needs a person."""
    landed(con, DAYS[9:])
    (coming,) = found(con)
    assert (coming.history, str(coming.waiting_reason), coming.gaps) == (
        True,
        "History is being backfilled, newest first.",
        ((DAYS[0], DAYS[8]),),
    )

    landed(con, [day(20), day(21)], at=MORNING + dt.timedelta(days=2))  # only new labels are requested
    (left,) = found(con, NOW + dt.timedelta(days=2))
    assert (left.history, str(left.waiting_reason)) == (True, "")


def test_history_that_was_never_requested_needs_a_person(con: Connection) -> None:
    """If nothing was ever requested, both the newest label and the rest of history need a person."""
    late, history = found(con)

    assert (late.gaps, str(late.waiting_reason)) == (((DAYS[-1], DAYS[-1]),), "")
    assert (history.gaps, history.history, str(history.waiting_reason)) == (((DAYS[0], DAYS[-2]),), True, "")


def test_labels_that_wait_for_the_quota_a_second_day_need_a_person(con: Connection) -> None:
    """Labels wait for the quota on the first day; after a second day without a good answer they need a person."""
    refused(con, DAYS[-1], MORNING)
    assert {str(each.waiting_reason) for each in found(con)} == {"Today's quota is used up."}

    refused(con, day(20), MORNING + dt.timedelta(days=1))
    _, history = found(con, NOW + dt.timedelta(days=1))
    assert (history.history, str(history.waiting_reason)) == (True, "")


def test_labels_that_are_being_fetched_need_no_person(con: Connection) -> None:
    """While a backfill of the account runs, all of its endpoints wait."""
    assert {str(each.waiting_reason) for each in found(con, is_fetching=lambda account: account == "shop")} == {
        "It is being fetched now."
    }


def test_a_busy_host_is_no_reason_to_wait(con: Connection) -> None:
    """ "System busy" (errcode -1) is no reason to wait after noon, although it may pass by itself."""
    landed(con, DAYS[:-1])
    refused(con, DAYS[-1], NOW, errcode=-1)

    assert [str(each.waiting_reason) for each in found(con)] == [""]


def test_endpoints_are_overdue_independently(con: Connection) -> None:
    """The hours of a day may be overdue while its messages are not."""
    landed(con, DAYS)
    store_calls(con, [answered(HOURS, each, None, hour_row(each), at=MORNING, asked=[each]) for each in DAYS[:-1]])

    assert found(con) == []
    assert [each.gaps for each in found(con, endpoint=HOURS)] == [((DAYS[-1], DAYS[-1]),)]
