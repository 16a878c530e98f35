"""Periods: Beijing days, weeks and months, their labels, and when their figures may be asked for and believed.

Add a rule here when it is about calendar and clock alone. Nothing here knows an endpoint, reads a clock except
`beijing_now`, or does I/O. A *label* is a `date`: the day, the Monday of a week, or the 1st of a month. All
`datetime`s of this project are naive and in Beijing time (China has had no daylight saving time since 1991).
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from zoneinfo import ZoneInfo

from wx_datacube.catalog.endpoints import Period

BEIJING = ZoneInfo("Asia/Shanghai")
SETTLED_HOUR = 12
"""Tencent publishes yesterday's figures "before 12:00"; an empty answer earlier in the day says nothing."""

Clock = Callable[[], dt.datetime]
"""Gives the naive Beijing time; passed in wherever time matters, so that tests take none."""


def beijing_now() -> dt.datetime:
    """The present moment in Beijing, naive."""
    return dt.datetime.now(BEIJING).replace(tzinfo=None)


def midnight_of(moment: dt.datetime) -> dt.datetime:
    """00:00 of the moment's day, at which quotas begin anew."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def label_of(day: dt.date, period: Period) -> dt.date:
    """The label of the period that contains `day`."""
    if period is Period.WEEK:
        return day - dt.timedelta(days=day.weekday())
    return day.replace(day=1) if period is Period.MONTH else day


def due_on(label: dt.date, period: Period) -> dt.date:
    """The day after the labelled period ended: from its 00:00 on the label may be asked for."""
    if period is Period.MONTH:
        return (label.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    return label + dt.timedelta(days=7 if period is Period.WEEK else 1)


def settled_at(label: dt.date, period: Period) -> dt.datetime:
    """The moment from which an empty answer for the label means that there was nothing."""
    return dt.datetime.combine(due_on(label, period), dt.time(SETTLED_HOUR))


def labels_from(label: dt.date, period: Period) -> Iterator[dt.date]:
    """The labels of `period` from `label` (a label itself) on, without end."""
    while True:
        yield label
        label = due_on(label, period)


def due_labels(period: Period, start: dt.date, today: dt.date) -> list[dt.date]:
    """Every label due on `today`, oldest first, from the one whose period contains `start`."""
    due: list[dt.date] = []
    for label in labels_from(label_of(start, period), period):
        if due_on(label, period) > today:
            return due
        due.append(label)
    raise AssertionError("labels_from has no end")


def gaps(missing: Iterable[dt.date], due: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """First and last label of every run of consecutive due labels that are missing, oldest first."""
    lacking = frozenset(missing)
    found: list[tuple[dt.date, dt.date]] = []
    follows = False
    for label in sorted(due):
        if label in lacking:
            found[-1:] = [(found[-1][0], label)] if follows else [*found[-1:], (label, label)]
        follows = label in lacking
    return found
