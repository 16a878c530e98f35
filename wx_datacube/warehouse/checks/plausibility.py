"""Plausibility: whether yesterday's figures are like those of comparable days (`expectation`).

Add a figure here if people look at it every day. Reads are not judged: they follow publishing. What was expected, and
what speaks for the figure, is said in words: a figure may be right on an unusual day.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import expm1, log1p

from wx_datacube.warehouse.checks.expectation import REACH, SMALLEST_OF_MESSAGES, Direction, Expectation, Place, Series

_DAY = dt.timedelta(days=1)
LEAST_SHARE = 0.2
"""Channels with a larger share than this of the new or lost followers of eight weeks are judged too."""
_SHARE_DAYS = 56
_UNEXPLAINED = 0.25
"""The total of followers confirms new or lost followers if it leaves less than this part of the difference open."""

ARTICLE = 57
"""The channel of readers who follow from within an article. It follows publishing, so it is only judged if it is zero,
and the other channels are judged without it."""

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
    """Return the doubts about messages and senders of a day; each is confirmed by the other."""
    per_sender = Series.of_ratio(history.messages, history.senders, special)
    differs = per_sender.differs(day)
    agrees = None if differs is None else not differs
    series = {
        "messages": Series.of(history.messages, special, SMALLEST_OF_MESSAGES),
        "senders": Series.of(history.senders, special),
    }
    found = {metric: _doubt(metric, None, each, day, lambda doubt: agrees) for metric, each in series.items()}
    doubts = [each for each in found.values() if each]
    if len({each.direction for each in doubts}) < len(doubts):
        return doubts[:1]  # one cause
    if differs and not any(each.fails for each in doubts):
        return [*doubts, *_farther(series, day)]
    return doubts


def _farther(series: Mapping[str, Series], day: dt.date) -> list[Doubt]:
    """Return the doubt about the figure that is farther from what was expected, of two that contradict each other."""
    found = []
    for metric, each in series.items():
        if expected := each.expected(day):
            figure = each.figure(day)
            direction = Direction.HIGH if log1p(figure) > expected.middle else Direction.LOW
            found.append(Doubt(metric, None, day, direction, figure, expected, False))
    if any(max(each.figure, each.expected.figure) < series[each.metric].smallest for each in found):
        return []
    return sorted(found, key=lambda each: abs(log1p(each.figure) - each.expected.middle))[-1:]


def doubts_about_followers(history: History, day: dt.date, special: Mapping[dt.date, Place]) -> list[Doubt]:
    """Return the doubts about new and lost followers of a day, and about their large channels.

    The totals of followers confirm them.
    """
    sums = {"new_followers": summed(history.new), "lost_followers": summed(history.lost)}
    open_part = _open_part(history, sums, day)

    def confirmed(doubt: Doubt) -> bool | None:
        difference = doubt.figure - expm1(doubt.expected.middle)
        return None if open_part is None else abs(open_part) < _UNEXPLAINED * abs(difference)

    found = []
    for metric, channels in (("new_followers", history.new), ("lost_followers", history.lost)):
        rest = {channel: days for channel, days in channels.items() if channel != ARTICLE}
        total = _doubt(metric, None, Series.of(summed(rest), special), day, confirmed)
        found += [total] if total else []
        for channel in large_channels(channels, day):
            series = Series.of(_since_break(channels[channel], day), special)
            doubt = _doubt(metric, channel, series, day, confirmed)
            follows = channel == ARTICLE and doubt and doubt.direction is not Direction.ZERO
            if doubt and doubt.fails and not follows and not (total and total.direction is doubt.direction):
                found.append(doubt)
    return found


def _doubt(
    metric: str, channel: int | None, series: Series, day: dt.date, confirmed: Callable[[Doubt], bool | None]
) -> Doubt | None:
    """Return the doubt about a figure: in the wide range, or in the near one if it is contradicted."""
    for near in (False, True):
        direction = series.direction(day, near)
        expected = series.expected(day)
        if direction and expected and not series.lasts(day, direction):
            doubt = Doubt(metric, channel, day, direction, series.figure(day), expected, None)
            doubt = replace(doubt, confirmed=confirmed(doubt))
            if not near or doubt.confirmed is False:
                return doubt
    return None


def summed(channels: Mapping[int, Days]) -> dict[dt.date, int]:
    found: dict[dt.date, int] = {}
    for days in channels.values():
        for day, figure in days.items():
            found[day] = found.get(day, 0) + figure
    return found


def large_channels(channels: Mapping[int, Days], day: dt.date) -> list[int]:
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
