"""Periods: labels, and when they are due and settled, against calendars built day by day and Dagster's partitions.

Add a test here when a period or a rule for due labels is added. States of labels are in `warehouse/test_coverage.py`.
"""

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx_datacube.catalog.messages import MESSAGES_OF
from wx_datacube.catalog.model import HISTORY_START, Period
from wx_datacube.catalog.periods import (
    BEIJING,
    beijing_now,
    due_labels,
    due_on,
    gaps,
    join_ranges,
    label_of,
    labels_from,
    midnight_of,
    settled_at,
)
from wx_datacube.orchestration.partitions import partitions_of

DAY = dt.timedelta(days=1)
DATES = st.dates(dt.date(2014, 12, 1), dt.date(2040, 12, 31))
PERIODS = st.sampled_from(Period)
each_period = pytest.mark.parametrize("period", Period, ids=[period.value for period in Period])


def begins_period(day: dt.date, period: Period) -> bool:
    """Return whether a period begins on the day, by weekday name and day of the month."""
    return {Period.DAY: True, Period.WEEK: f"{day:%a}" == "Mon", Period.MONTH: f"{day:%d}" == "01"}[period]


@given(DATES, PERIODS)
def test_a_label_is_the_newest_beginning_of_a_period(day: dt.date, period: Period) -> None:
    """The label of a day is the newest first day of a period that isn't after it."""
    met = day
    while not begins_period(met, period):
        met -= DAY

    assert label_of(day, period) == met
    assert label_of(met, period) == met


@given(DATES, PERIODS)
def test_a_label_is_due_on_the_day_after_its_period_ended(day: dt.date, period: Period) -> None:
    """A label is due on the first later day that has another label."""
    label = label_of(day, period)
    walked = label + DAY
    while label_of(walked, period) == label:
        walked += DAY

    assert due_on(label, period) == walked
    assert begins_period(walked, period)


@pytest.mark.parametrize(
    ("label", "period", "due"),
    [
        ("2026-11-23", Period.DAY, "2026-11-24"),
        ("2024-02-28", Period.DAY, "2024-02-29"),
        ("2023-02-28", Period.DAY, "2023-03-01"),
        ("2025-12-31", Period.DAY, "2026-01-01"),
        ("2026-11-16", Period.WEEK, "2026-11-23"),
        ("2024-02-26", Period.WEEK, "2024-03-04"),
        ("2025-12-29", Period.WEEK, "2026-01-05"),
        ("2024-02-01", Period.MONTH, "2024-03-01"),
        ("2023-02-01", Period.MONTH, "2023-03-01"),
        ("2026-01-01", Period.MONTH, "2026-02-01"),
        ("2026-04-01", Period.MONTH, "2026-05-01"),
        ("2026-12-01", Period.MONTH, "2027-01-01"),
    ],
)
def test_labels_are_due_across_month_ends_and_leap_days(label: str, period: Period, due: str) -> None:
    """Labels are due on the right day at the ends of months, years and February."""
    assert due_on(dt.date.fromisoformat(label), period).isoformat() == due


@given(DATES, PERIODS)
def test_a_label_is_settled_at_noon_of_the_day_it_is_due(day: dt.date, period: Period) -> None:
    """A label is settled at noon of its due day: Tencent publishes before, so an empty answer is final."""
    label = label_of(day, period)

    assert settled_at(label, period) == dt.datetime.combine(due_on(label, period), dt.time(12))


@given(DATES, st.integers(0, 800), PERIODS)
def test_due_labels_are_those_whose_last_day_is_past(start: dt.date, days: int, period: Period) -> None:
    """Due labels are those from the start's on whose every day is before today."""
    today = start + days * DAY
    by_label: dict[dt.date, list[dt.date]] = {}
    for number in range(-31, days + 40):
        day = start + number * DAY
        by_label.setdefault(label_of(day, period), []).append(day)
    complete = [label for label, held in by_label.items() if label >= label_of(start, period) and held[-1] < today]

    assert due_labels(period, start, today) == complete


@each_period
def test_nothing_is_due_on_the_first_day(period: Period) -> None:
    """On the first day of history, and before it, no label is due."""
    assert due_labels(period, HISTORY_START, HISTORY_START) == []
    assert due_labels(period, HISTORY_START, HISTORY_START - 400 * DAY) == []


def test_labels_from_yields_labels_without_end() -> None:
    """`labels_from` yields the given label and each following one, without end."""
    months = labels_from(dt.date(2026, 11, 1), Period.MONTH)

    assert [next(months).isoformat() for _ in range(3)] == ["2026-11-01", "2026-12-01", "2027-01-01"]


@given(st.sets(st.integers(0, 30)), PERIODS)
def test_gaps_cover_exactly_the_missing_labels(missing: set[int], period: Period) -> None:
    """Gaps cover exactly the missing labels, and no two gaps are adjacent."""
    due = list(itertools.islice(labels_from(dt.date(2026, 6, 1), period), 31))
    found = gaps((due[number] for number in missing), reversed(due))
    held = [[number for number, label in enumerate(due) if first <= label <= last] for first, last in found]

    assert [number for each in held for number in each] == sorted(missing)
    assert all(before[-1] + 1 < after[0] for before, after in itertools.pairwise(held))


@each_period
@pytest.mark.parametrize("start", ["2014-12-01", "2015-02-11", "2023-12-31"])
@pytest.mark.parametrize(
    "now",
    ["2024-01-01T00:00", "2024-02-29T23:59", "2024-03-01T00:00", "2024-03-04T00:00", "2025-01-05T12:00"],
)
def test_dagsters_partitions_are_the_due_labels(period: Period, start: str, now: str) -> None:
    """A partition exists from 00:00 Beijing time of its label's due day on, and never before."""
    first, moment = dt.date.fromisoformat(start), dt.datetime.fromisoformat(now)
    keys = partitions_of(MESSAGES_OF[period], first).get_partition_keys(current_time=moment.replace(tzinfo=BEIJING))

    assert keys == [label.isoformat() for label in due_labels(period, first, moment.date())]


def test_now_is_in_beijing_and_naive() -> None:
    """`beijing_now` is eight hours ahead of UTC, without a time zone attached."""
    ahead = beijing_now() - dt.datetime.now(dt.UTC).replace(tzinfo=None)

    assert abs(ahead - dt.timedelta(hours=8)) < dt.timedelta(seconds=5)
    assert beijing_now().tzinfo is None


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("", ""),
        ("1", "1-1"),
        ("1 2 3", "1-3"),
        ("2 1 5 6 9", "1-2 5-6 9-9"),
        ("9 8", "8-9"),
    ],
)
def test_gaps_are_runs_of_missing_labels(missing: str, expected: str) -> None:
    """Consecutive due labels are one gap, oldest first."""
    days = {str(number): dt.date(2026, 11, number) for number in range(1, 10)}

    found = gaps([days[number] for number in missing.split()], days.values())

    assert " ".join(f"{first.day}-{last.day}" for first, last in found) == expected


def test_consecutive_weeks_are_one_gap() -> None:
    """Two consecutive weeks are one gap, although their labels are seven days apart."""
    mondays = [dt.date(2026, 11, 2) + number * 7 * DAY for number in range(3)]

    assert gaps(mondays[:2], mondays) == [(mondays[0], mondays[1])]


def test_midnight_is_the_first_instant_of_the_day() -> None:
    """Midnight of a time is 00:00:00.000000 of its day."""
    assert midnight_of(dt.datetime(2026, 11, 20, 23, 59, 58, 999)) == dt.datetime(2026, 11, 20)


@pytest.mark.parametrize(
    ("ranges", "joined"),
    [
        ([], []),
        ([(1, 1), (3, 3), (4, 4), (4, 6), (5, 5), (8, 8)], [(1, 1), (3, 6), (8, 8)]),
        ([(4, 9), (1, 2)], [(1, 2), (4, 9)]),
    ],
    ids=["none", "overlapping", "unsorted"],
)
def test_ranges_that_touch_or_overlap_are_joined(ranges: list[tuple[int, int]], joined: list[tuple[int, int]]) -> None:
    """Ranges of days are joined if one contains, overlaps or directly follows another."""
    given = [(dt.date(2026, 11, first), dt.date(2026, 11, last)) for first, last in ranges]

    found = join_ranges(given, lambda day: day + dt.timedelta(days=1))

    assert [(first.day, last.day) for first, last in found] == joined
