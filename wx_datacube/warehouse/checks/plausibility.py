"""Plausibility: whether yesterday's figures are like those of comparable days (`expectation`).

Add a figure here if people look at it every day. Reads are not judged: they follow publishing. What was expected, and
what speaks for the figure, is said in words: a figure may be right on an unusual day.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import expm1, log, log1p

from wx_datacube.warehouse.checks.expectation import REACH, Direction, Expectation, Place, Series, places

_DAY = dt.timedelta(days=1)
LEAST_SHARE = 0.2
"""Channels with a larger share than this of the new or lost followers of eight weeks are judged too."""
_SHARE_DAYS = 56
_ALIKE = log(1.4)
"""Messages and senders agree about a day if they differ from what was expected by the same factor, up to this one."""
_UNEXPLAINED = 0.25
"""The total of followers confirms new or lost followers if it leaves less than this part of the difference open."""

BREAKS = (dt.date(2020, 4, 1), dt.date(2020, 6, 1), dt.date(2023, 6, 1))
"""Months in which WeChat counted followers under other channels: 161 and 100 began, 51 was merged into 0."""

Days = Mapping[dt.date, int]


@dataclass(frozen=True, slots=True)
class History:
    """An account's figures by day. Channels have a figure on each day on which any channel has one."""

    messages: Days = field(default_factory=dict)
    senders: Days = field(default_factory=dict)
    new: Mapping[int, Days] = field(default_factory=dict)
    lost: Mapping[int, Days] = field(default_factory=dict)
    followers: Days = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A figure that differs from what was expected; `channel` is None for the total.

    `confirmed` says that an independent figure tells the same about the day, and None that there is none.
    """

    metric: str
    channel: int | None
    day: dt.date
    direction: Direction
    figure: int
    expected: Expectation
    confirmed: bool | None

    @property
    def fails(self) -> bool:
        """Whether the check fails: figures get lost in several places at once, but they aren't made up in several."""
        return self.direction is not Direction.HIGH or self.confirmed is False


def doubts_about_messages(history: History, day: dt.date, special: Mapping[dt.date, Place]) -> list[Doubt]:
    """Return the doubts about messages and senders of a day."""
    messages, senders = Series(history.messages, special), Series(history.senders, special)
    pairs = (("messages", messages, senders), ("senders", senders, messages))
    found = [(_doubt(metric, None, series, day), series, other) for metric, series, other in pairs]
    return [replace(doubt, confirmed=_alike(doubt, other)) for doubt, _, other in found if doubt]


def _alike(doubt: Doubt, other: Series) -> bool | None:
    expected = other.expected(doubt.day) if doubt.day in other.figures else None
    if expected is None:
        return None
    here = log1p(doubt.figure) - doubt.expected.middle
    return abs(here - log1p(other.figures[doubt.day]) + expected.middle) < _ALIKE


def doubts_about_followers(history: History, day: dt.date, special: Mapping[dt.date, Place]) -> list[Doubt]:
    """Return the doubts about new and lost followers of a day, and about their large channels."""
    sums = {"new_followers": _summed(history.new), "lost_followers": _summed(history.lost)}
    open_part = _open_part(history, sums, day)
    found = []
    for metric, channels in (("new_followers", history.new), ("lost_followers", history.lost)):
        total = _doubt(metric, None, Series(sums[metric], special), day)
        found += [total] if total else []
        for channel in _large_channels(channels, day):
            series = Series(_since_break(channels[channel], day), special)
            doubt = _doubt(metric, channel, series, day)
            if doubt and not (total and total.direction is doubt.direction):
                found.append(doubt)
    return [replace(each, confirmed=_confirmed(each, open_part)) for each in found]


def _doubt(metric: str, channel: int | None, series: Series, day: dt.date) -> Doubt | None:
    direction = series.direction(day)
    expected = series.expected(day)
    if direction is None or expected is None or series.lasts(day, direction):
        return None
    return Doubt(metric, channel, day, direction, series.figures[day], expected, None)


def _summed(channels: Mapping[int, Days]) -> dict[dt.date, int]:
    found: dict[dt.date, int] = {}
    for days in channels.values():
        for day, figure in days.items():
            found[day] = found.get(day, 0) + figure
    return found


def _large_channels(channels: Mapping[int, Days], day: dt.date) -> list[int]:
    before = [day - number * _DAY for number in range(1, _SHARE_DAYS + 1)]
    sums = {channel: sum(days.get(each, 0) for each in before) for channel, days in channels.items()}
    return sorted(channel for channel, number in sums.items() if number > LEAST_SHARE * sum(sums.values()))


def _since_break(days: Days, day: dt.date) -> Days:
    """Return the days since the last break; in the month of a break, none."""
    for month in BREAKS:
        after = (month + 31 * _DAY).replace(day=1)
        if month <= day < after:
            return {}
        if after <= day <= after + REACH:
            return {each: figure for each, figure in days.items() if each >= after}
    return days


def _open_part(history: History, sums: Mapping[str, Days], day: dt.date) -> int | None:
    """Return how many more followers the day has gained by its new and lost ones than by the totals."""
    try:
        gained = sums["new_followers"][day] - sums["lost_followers"][day]
        return gained - (history.followers[day] - history.followers[day - _DAY])
    except KeyError:
        return None


def _confirmed(doubt: Doubt, open_part: int | None) -> bool | None:
    if open_part is None:
        return None
    return abs(open_part) < _UNEXPLAINED * abs(doubt.figure - expm1(doubt.expected.middle))
