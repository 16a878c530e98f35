"""Overdue: which missing labels a person has to see to, and which only wait."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from wx_datacube.catalog.endpoints import Endpoint, Period
from wx_datacube.catalog.periods import due_labels
from wx_datacube.warehouse.files import Connection, Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.overdue import Overdue, find_overdue
from wx_datacube_tests.answers import HOURS, MESSAGES, answered, day, hour_row, row

START, NOW = day(1), dt.datetime(2026, 11, 20, 12, 30)
MORNING = NOW.replace(hour=9)
DAYS = due_labels(Period.DAY, START, NOW.date())
"""1 to 19 November."""


@pytest.fixture
def con(tmp_path: Path) -> Iterator[Connection]:
    """An empty warehouse."""
    with Warehouse(tmp_path / "figures.duckdb").transaction() as opened:
        yield opened


def found(con: Connection, now: dt.datetime = NOW, endpoint: Endpoint = MESSAGES, **given: object) -> list[Overdue]:
    """What is overdue of an endpoint."""
    every = find_overdue(con, {"shop": START}, now, **given)["shop"]  # type: ignore[arg-type]
    return [each for each in every if each.endpoint is endpoint]


def landed(con: Connection, days: Sequence[dt.date], at: dt.datetime = MORNING) -> None:
    """Store a good answer with a row for each day, asked for all of them."""
    store_calls(con, [answered(MESSAGES, days[0], days[-1], *map(row, days), at=at, asked=days)])


def refused(con: Connection, label: dt.date, at: dt.datetime, errcode: int = 45009) -> None:
    """Store an answer that the quota is used up."""
    store_calls(con, [answered(MESSAGES, label, at=at, asked=[label], errcode=errcode, errmsg="no", response="{}")])


def test_nothing_is_overdue_where_all_is_there(con: Connection) -> None:
    """Nor before noon, when yesterday's figures may still come."""
    landed(con, DAYS)
    assert found(con) == []
    assert found(con, NOW.replace(hour=11, minute=59) + dt.timedelta(days=1)) == []


def test_a_missing_day_is_overdue_from_noon_on(con: Connection) -> None:
    """And stays so the next morning, with the moment from which it should have been there."""
    landed(con, DAYS[:-1])

    assert found(con, NOW.replace(hour=11, minute=59)) == []
    for now in (NOW, NOW + dt.timedelta(hours=20)):
        (overdue,) = found(con, now)
        assert overdue == Overdue(MESSAGES, ((DAYS[-1], DAYS[-1]),))
        assert overdue.since == NOW.replace(minute=0)


def test_gaps_are_apart_and_oldest_first(con: Connection) -> None:
    """The machine was off twice."""
    landed(con, DAYS[:3], at=MORNING - dt.timedelta(days=15))
    landed(con, DAYS[6:9], at=MORNING - dt.timedelta(days=9))

    (overdue,) = found(con)
    assert overdue.gaps == ((DAYS[3], DAYS[5]), (DAYS[9], DAYS[-1]))


def test_a_hole_in_history_that_comes_in_is_history(con: Connection) -> None:
    """Threads take the last calls of a day's quota in any order; two days later it is a gap like any other."""
    landed(con, DAYS[10:])
    landed(con, DAYS[5:9])
    (hole,) = (each for each in found(con) if each.gaps[-1] == (DAYS[9], DAYS[9]))
    assert (hole.history, hole.waiting_reason) == (True, "History is being backfilled, newest first.")

    later = NOW + dt.timedelta(days=2)
    assert (DAYS[9], DAYS[9]) in next(each.gaps for each in found(con, later) if not each.history)


def test_of_todays_quota_nobody_has_to_act(con: Connection) -> None:
    """As long as only today's label waits for it; one that was missing yesterday does not wait any more."""
    landed(con, DAYS[:-1], at=MORNING - dt.timedelta(days=1))
    refused(con, DAYS[-1], MORNING)
    (today,) = found(con)
    refused(con, DAYS[-1], MORNING + dt.timedelta(days=1))
    (tomorrow,) = found(con, NOW + dt.timedelta(days=1))

    assert today.waiting_reason == "Today's quota is used up."
    assert tomorrow.waiting_reason == ""
    assert tomorrow.gaps == ((DAYS[-1], day(20)),)


def test_what_waits_for_its_days_waits_for_their_quota(con: Connection) -> None:
    """Hours of a day are not asked for before its messages; those of a day that is there have no such reason."""
    refused(con, DAYS[-1], MORNING)
    assert {each.waiting_reason for each in found(con, endpoint=HOURS)} == {"Today's quota is used up."}

    landed(con, DAYS[:-1], at=MORNING - dt.timedelta(hours=1))
    assert [each.waiting_reason for each in found(con)] == ["Today's quota is used up."]
    newest, history = found(con, endpoint=HOURS)
    assert (newest.waiting_reason, history.waiting_reason) == ("Today's quota is used up.", "")


def test_a_good_answer_after_the_refusal_ends_the_wait(con: Connection) -> None:
    """The quota was raised: what is still missing is not the quota's matter."""
    refused(con, DAYS[-1], MORNING)
    landed(con, DAYS[:-1], at=MORNING + dt.timedelta(minutes=5))

    (overdue,) = found(con)
    assert overdue.waiting_reason == ""


def test_our_own_limit_is_a_quota(con: Connection) -> None:
    """WX_DATACUBE_DAILY_CALLS."""
    landed(con, DAYS[:-1])

    assert [each.waiting_reason for each in found(con, daily_calls=1)] == ["Today's quota is used up."]
    assert [each.waiting_reason for each in found(con, daily_calls=2)] == [""]


def test_history_that_is_being_brought_in_needs_nobody(con: Connection) -> None:
    """Newest first, over days; from the second day without any of it a person has to see to it."""
    landed(con, DAYS[9:])
    (coming,) = found(con)
    assert (coming.history, coming.waiting_reason, coming.gaps) == (
        True,
        "History is being backfilled, newest first.",
        ((DAYS[0], DAYS[8]),),
    )

    landed(con, [day(20), day(21)], at=MORNING + dt.timedelta(days=2))  # only what is new is asked for
    (left,) = found(con, NOW + dt.timedelta(days=2))
    assert (left.history, left.waiting_reason) == (True, "")


def test_history_without_a_start_is_a_persons_matter(con: Connection) -> None:
    """Nothing was ever asked for: the newest label is late, and nobody brings in the rest."""
    late, history = found(con)

    assert (late.gaps, late.waiting_reason) == (((DAYS[-1], DAYS[-1]),), "")
    assert (history.gaps, history.history, history.waiting_reason) == (((DAYS[0], DAYS[-2]),), True, "")


def test_quota_that_another_program_takes_every_day(con: Connection) -> None:
    """The first day waits; on the second, without one good answer, somebody has to look."""
    refused(con, DAYS[-1], MORNING)
    assert {each.waiting_reason for each in found(con)} == {"Today's quota is used up."}

    refused(con, day(20), MORNING + dt.timedelta(days=1))
    _, history = found(con, NOW + dt.timedelta(days=1))
    assert (history.history, history.waiting_reason) == (True, "")


def test_what_is_being_fetched_now_needs_nobody(con: Connection) -> None:
    """A backfill is under way for the account, whichever endpoint it is at."""
    assert {each.waiting_reason for each in found(con, is_fetching=lambda account: account == "shop")} == {
        "It is being fetched now."
    }


def test_a_busy_host_is_no_excuse(con: Connection) -> None:
    """It may pass by itself; past noon somebody should know."""
    landed(con, DAYS[:-1])
    refused(con, DAYS[-1], NOW, errcode=-1)

    assert [each.waiting_reason for each in found(con)] == [""]


def test_endpoints_are_judged_apart(con: Connection) -> None:
    """The hours of a day may be missing alone."""
    landed(con, DAYS)
    store_calls(con, [answered(HOURS, each, None, hour_row(each), at=MORNING, asked=[each]) for each in DAYS[:-1]])

    assert found(con) == []
    assert [each.gaps for each in found(con, endpoint=HOURS)] == [((DAYS[-1], DAYS[-1]),)]
