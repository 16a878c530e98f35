"""Periods: Beijing days, weeks and months, their labels, and when their figures are due and settled.

Add a rule here when it is about calendar and clock alone. Nothing here knows an endpoint, does I/O, or reads a clock
except in `beijing_now`. A *label* is a `date`: the day, the Monday of a week, or the 1st of a month. All `datetime`s of
this project are naive and in Beijing time (China has had no daylight saving time since 1991).
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from zoneinfo import ZoneInfo

from wx_datacube.catalog.model import Period

BEIJING = ZoneInfo("Asia/Shanghai")
SETTLED_HOUR = 12
"""Tencent publishes yesterday's figures "before 12:00"; an empty answer earlier in the day proves nothing."""
FIRST_TICK, LAST_TICK = dt.time(8, 30), dt.time(SETTLED_HOUR, 30)
"""From the first to the last, the schedules fetch every hour. If the last fails, they try again the next morning."""
CHECK_TICK, LAST_CHECK_TICK = dt.time(SETTLED_HOUR, 35), dt.time(SETTLED_HOUR + 3, 35)
"""At the first, the schedules check an account, and a new label's figures must be there.

Then they look for missing labels every hour until the last.
"""

Clock = Callable[[], dt.datetime]
"""Returns the naive Beijing time. It is passed in wherever time matters, so that tests need not wait."""


def beijing_now() -> dt.datetime:
    """Return the current moment in Beijing, naive."""
    return dt.datetime.now(BEIJING).replace(tzinfo=None)


def midnight_of(moment: dt.datetime) -> dt.datetime:
    """Return 00:00 of the moment's day, when quotas are reset."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def label_of(day: dt.date, period: Period) -> dt.date:
    """Return the label of the period that contains `day`."""
    if period is Period.WEEK:
        return day - dt.timedelta(days=day.weekday())
    return day.replace(day=1) if period is Period.MONTH else day


def due_on(label: dt.date, period: Period) -> dt.date:
    """Return the day after the labelled period ends: the label may be requested from its 00:00 on."""
    if period is Period.MONTH:
        return (label.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    return label + dt.timedelta(days=7 if period is Period.WEEK else 1)


def settled_at(label: dt.date, period: Period) -> dt.datetime:
    """Return the moment from which an empty answer for the label means that there were no messages."""
    return dt.datetime.combine(due_on(label, period), dt.time(SETTLED_HOUR))


def labels_from(label: dt.date, period: Period) -> Iterator[dt.date]:
    """Yield the labels of `period` from `label` (itself a label) on, without end."""
    while True:
        yield label
        label = due_on(label, period)


def due_labels(period: Period, start: dt.date, today: dt.date) -> list[dt.date]:
    """Return every label due on `today`, oldest first, from the one whose period contains `start`."""
    due: list[dt.date] = []
    for label in labels_from(label_of(start, period), period):
        if due_on(label, period) > today:
            return due
        due.append(label)
    raise AssertionError("labels_from has no end")


def gaps(missing: Iterable[dt.date], due: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """Return the first and last label of every run of consecutive due labels that are missing, oldest first."""
    missing_set = frozenset(missing)
    found: list[tuple[dt.date, dt.date]] = []
    previous_missing = False
    for label in sorted(due):
        if label in missing_set:
            found[-1:] = [(found[-1][0], label)] if previous_missing else [*found[-1:], (label, label)]
        previous_missing = label in missing_set
    return found


def join_ranges(
    ranges: Iterable[tuple[dt.date, dt.date]], following: Callable[[dt.date], dt.date]
) -> list[tuple[dt.date, dt.date]]:
    """Join ranges (first, last) that overlap or adjoin, oldest first; `following` gives the label after a label."""
    joined: list[tuple[dt.date, dt.date]] = []
    for first, last in sorted(ranges):
        if joined and first <= following(joined[-1][1]):
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined
