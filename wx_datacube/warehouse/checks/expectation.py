"""Expectation: what a day's figure was to be, judged by the weeks before it. Pure functions over numbers by day.

Every figure is taken as log1p, so that half and double are equally far away, and relative to its level: the typical
figure of the weeks before it. Growth therefore cancels out, and last year's festival can be compared with this year's.
An ordinary day is compared with the same weekday of the last eight weeks, a festival with the same festival of last
year. `plausibility` says which figures are judged, and what is said about them.
"""

import datetime as dt
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import expm1, log, log1p, sqrt
from statistics import fmean, median

from wx_datacube.catalog.calendar import SPRING_FESTIVAL, DayKind, festival_date, is_announced, special_days

WEEKS = 8
"""An ordinary day is compared with so many days of the same weekday."""
LEVEL_DAYS = 42
"""The level of a day is that of the ordinary days within so many days before it."""
RECENT_DAYS = 14
"""In an account's first weeks, a zero after so many days with figures is doubted, and nothing else."""
LASTING_DAYS = 7
"""After so many days in a row that differ in the same direction, the new level is taken as the account's own."""
REACH = dt.timedelta(days=7 * WEEKS + LEVEL_DAYS + LASTING_DAYS)
"""How far back figures are needed. A festival also needs those of last year: `days_needed`."""

SMALLEST, SMALLEST_OF_MESSAGES = 50, 100
"""People or messages, below which a figure is judged neither as too low (the expected one) nor as too high (the day's).

One person may send many messages.
"""
SMALLEST_FOR_ZERO = 10
"""A zero is doubted if more than this was expected, times one more than the zeros of the last eight weeks."""
_LEAST_CHANGE, _LEAST_OF_RATIO = log(1.7), log(1.5)
_MADS, _MADS_OF_OUTLIER, _BEYOND_KEPT, _CHANCE = 4.0, 6.0, 1.25, 3.5
_NEAR = log(1.3)
_OF_A_WEEKDAY, _LEAST_RELATIVES, _LEAST_SAME = 4, 21, 3
_DAY, _WEEK = dt.timedelta(days=1), dt.timedelta(days=7)

Place = tuple[str, int]
"""A festival and how many days after its first day a day is; `WORKING` for a working weekend."""
WORKING: Place = ("working weekend", 0)
_UNKNOWN: Place = ("", 0)


class Basis(Enum):
    """What a day was compared with."""

    WEEKDAY = "the same weekday"
    FESTIVAL = "the same festival last year"
    AROUND = "days off and ordinary days around it"
    RECENT = "the days before it, for a zero in an account's first weeks"


class Direction(Enum):
    """How a figure differs from what was expected."""

    ZERO = "zero"
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expected figure of a day and the range in which it is not doubted, as log1p.

    `least` is the lowest of the figures that a day may be like; on an ordinary day it is the expected one.
    """

    middle: float
    least: float
    wide: tuple[float, float]
    basis: Basis

    @property
    def near(self) -> tuple[float, float]:
        """The narrower range of a figure that another one contradicts."""
        return self.middle - _NEAR, self.middle + _NEAR

    @property
    def figure(self) -> int:
        """The expected figure."""
        return max(0, round(expm1(self.middle)))

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest figure that is not doubted."""
        low, high = self.wide
        return max(0, round(expm1(low))), round(expm1(high))


def days_needed(day: dt.date) -> list[tuple[dt.date, dt.date]]:
    """Return the ranges of days whose figures are needed to judge a day and the week before it."""
    ranges = [(day - REACH, day)]
    if twins := [twin for number in range(LASTING_DAYS + 1) if (twin := _twin(day - number * _DAY))]:
        ranges.append((min(twins) - LEVEL_DAYS * _DAY, max(twins)))
    return ranges


def places(first: dt.date, last: dt.date) -> dict[dt.date, Place]:
    """Return the days that are not compared with ordinary ones.

    These are festivals, days off and working weekends, the weeks around the Spring Festival, and the week around each
    festival of a year whose days off are not announced.
    """
    found: dict[dt.date, Place] = {}
    for year in range(first.year, last.year + 1):
        spring = festival_date(SPRING_FESTIVAL, year)
        if spring:
            found |= {spring + offset * _DAY: (SPRING_FESTIVAL, offset) for offset in range(-7, 16)}
    for each in special_days(first, last):
        found[each.date] = (
            WORKING
            if each.kind is DayKind.WORKING_WEEKEND
            else (each.festival, each.offset)
            if each.festival
            else _UNKNOWN
        )
        if each.kind is DayKind.FESTIVAL and not is_announced(each.date.year):
            for number in range(-7, 8):
                found.setdefault(each.date + number * _DAY, (each.festival, each.offset + number))
    return {day: place for day, place in found.items() if first <= day <= last}


def _twin(day: dt.date) -> dt.date | None:
    """Return the same day of last year's festival, if the day is one of a festival."""
    festival, offset = places(day, day).get(day, _UNKNOWN)
    if not festival or festival == WORKING[0]:
        return None
    first = festival_date(festival, (day - offset * _DAY).year - 1)
    return first + offset * _DAY if first else None


class Series:
    """One figure of an account by day; days that are not known have none, and days without rows have zero."""

    def __init__(
        self, logs: Mapping[dt.date, float], special: Mapping[dt.date, Place], smallest: int, are_counts: bool = True
    ) -> None:
        self.smallest = smallest
        self._logs, self._special, self._are_counts = logs, special, are_counts
        self._expected: dict[dt.date, Expectation | None] = {}
        self._levels: dict[dt.date, float | None] = {}
        self._medians: dict[tuple[int, int, int], float] = {}

    @classmethod
    def of(cls, figures: Mapping[dt.date, int], special: Mapping[dt.date, Place], smallest: int = SMALLEST) -> "Series":
        """Return the series of figures."""
        return cls({day: log1p(figure) for day, figure in figures.items()}, special, smallest)

    @classmethod
    def of_ratio(
        cls, figures: Mapping[dt.date, int], bases: Mapping[dt.date, int], special: Mapping[dt.date, Place]
    ) -> "Series":
        """Return the series of one figure over another, on the days on which both are known and not zero."""
        known = [day for day, figure in figures.items() if figure and bases.get(day)]
        return cls({day: log(figures[day] / bases[day]) for day in known}, special, 0, are_counts=False)

    def figure(self, day: dt.date) -> int:
        """Return the figure of a known day."""
        return round(expm1(self._logs[day]))

    def differs(self, day: dt.date) -> bool | None:
        """Return whether the value of a day, which may be a ratio, is outside its range; None if it can't be judged."""
        expected = self.expected(day) if day in self._logs else None
        return None if expected is None else not expected.wide[0] <= self._logs[day] <= expected.wide[1]

    def _level(self, day: dt.date) -> float | None:
        """Return the typical figure before a day: the mean over the weekdays of the median of the last four of each.

        So every weekday has the same weight, and one bad week changes little.
        """
        if day not in self._levels:
            self._levels[day] = self._typical(day)
        return self._levels[day]

    def _typical(self, day: dt.date) -> float | None:
        number, medians = day.toordinal(), []
        for weekday, days in enumerate(self._ordinary_days):
            end = bisect_left(days, number)
            begin = max(end - _OF_A_WEEKDAY, bisect_left(days, number - LEVEL_DAYS))
            if begin == end:
                return None
            medians.append(self._median_of(weekday, begin, end))
        return fmean(medians)

    def _median_of(self, weekday: int, begin: int, end: int) -> float:
        """Return the median of some ordinary days of a weekday; most levels have six of seven in common."""
        if (found := self._medians.get((weekday, begin, end))) is None:
            days = self._ordinary_days[weekday][begin:end]
            found = self._medians[weekday, begin, end] = median([self._logs[dt.date.fromordinal(day)] for day in days])
        return found

    @cached_property
    def _ordinary_days(self) -> list[list[int]]:
        """The ordinary days of each weekday, as numbers, oldest first."""
        found: list[list[int]] = [[] for _ in range(7)]
        for day in sorted(self._logs):
            if day not in self._special:
                found[day.weekday()].append(day.toordinal())
        return found

    def _relative(self, day: dt.date) -> float | None:
        level = self._level(day)
        return None if level is None or day not in self._logs else self._logs[day] - level

    def _relatives(self, days: Iterable[dt.date]) -> list[float]:
        return [found for day in days if (found := self._relative(day)) is not None]

    def expected(self, day: dt.date) -> Expectation | None:
        """Return what the figure of a day was to be; None if too little is known."""
        if day not in self._expected:
            self._expected[day] = self._expect(day) or self._expect_like_recent_days(day)
        return self._expected[day]

    def _expect(self, day: dt.date) -> Expectation | None:
        level = self._level(day)
        before = [each for number in range(1, 7 * WEEKS + 1) if (each := day - number * _DAY) not in self._special]
        by_weekday = {weekday: [each for each in before if each.weekday() == weekday] for weekday in range(7)}
        relatives = {weekday: self._relatives(days) for weekday, days in by_weekday.items()}
        if level is None or any(len(found) < _LEAST_SAME for found in relatives.values()):
            return None
        usual = {weekday: median(found) for weekday, found in relatives.items()}
        rest = [each - usual[weekday] for weekday, found in relatives.items() for each in found]
        if len(rest) < _LEAST_RELATIVES:
            return None
        candidates, basis = self._candidates(day, usual)
        low, high = min(candidates), max(candidates)
        middle = candidates[0] + level
        chance = _CHANCE / sqrt(max(expm1(middle), 1.0))
        down, up = _margins(rest, max(_LEAST_CHANGE, chance) if self._are_counts else _LEAST_OF_RATIO)
        return Expectation(middle, low + level, (low + level - down, high + level + up), basis)

    def _expect_like_recent_days(self, day: dt.date) -> Expectation | None:
        """Return what two weeks of known days say; that is only enough to doubt a zero."""
        before = [
            self._logs[each] for number in range(1, RECENT_DAYS + 1) if (each := day - number * _DAY) in self._logs
        ]
        if len(before) < RECENT_DAYS or not self._are_counts:
            return None
        return Expectation(median(before), min(before), (min(before), max(before)), Basis.RECENT)

    def _candidates(self, day: dt.date, usual: Mapping[int, float]) -> tuple[list[float], Basis]:
        """Return what a day may be like, relative to its level; the likeliest first."""
        own = usual[day.weekday()]
        if day not in self._special:
            return [own], Basis.WEEKDAY
        place = self._special[day]
        if place == WORKING:
            return [median([usual[weekday] for weekday in range(5)]), own], Basis.AROUND
        twin = _twin(day)
        same = self._relatives([twin] if twin else [])
        if twin and same:  # the festival may have moved to another weekday
            same += [same[0] + own - usual[twin.weekday()]]
        off = [
            each for number in range(1, 7 * WEEKS) if self._special.get(each := day - number * _DAY, WORKING) != WORKING
        ]
        around = [median(found)] if (found := self._relatives(off)) else []
        return [*same, *around, own, usual[6]], Basis.FESTIVAL if same else Basis.AROUND

    def direction(self, day: dt.date, contradicted: bool = False) -> Direction | None:
        """Return how the figure of a day differs from the expected one; None if it doesn't, or can't be judged."""
        expected = self.expected(day) if day in self._logs else None
        if expected is None:
            return None
        figure, low, high = self._logs[day], *(expected.near if contradicted else expected.wide)
        if figure == 0:
            before = (day - number * _DAY for number in range(1, 7 * WEEKS + 1))
            zeros = sum(self._logs.get(each) == 0 for each in before)
            return Direction.ZERO if expm1(expected.least) > SMALLEST_FOR_ZERO * (zeros + 1) else None
        if expected.basis is Basis.RECENT:
            return None
        if figure < low and expected.figure >= self.smallest:
            return Direction.LOW
        return Direction.HIGH if figure > high and expm1(figure) >= self.smallest else None

    def lasts(self, day: dt.date, direction: Direction) -> bool:
        """Return whether the figures of the week before a day differ like its own: then this is the new level."""
        return all(self.direction(day - number * _DAY) is direction for number in range(1, LASTING_DAYS + 1))


def _margins(rest: list[float], least: float) -> tuple[float, float]:
    """Return how far below and above the expected figure a day may be, as logarithms.

    It must differ by more than four MADs and by more than any day of the last eight weeks, outliers excepted: they may
    be faults. `least` is what is worth a question, and more than chance makes of a small number.
    """
    mad = median(map(abs, rest))
    kept = [each for each in rest if abs(each) <= max(least, _MADS_OF_OUTLIER * mad)] or [0.0]
    least = max(least, _MADS * mad)
    return max(least, -_BEYOND_KEPT * min(kept)), max(least, _BEYOND_KEPT * max(kept))
