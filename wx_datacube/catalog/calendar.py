"""Calendar: which days are Chinese festivals, days off, and working weekends.

Add a rule here if it is about the days themselves, for every account alike. The dates come from the package `holidays`,
which holds what the State Council announced (国务院办公厅关于节假日安排的通知) for each year. It is loaded at the first
question. Later years are computed: their festivals are there, but neither swapped days off nor working weekends
(`is_announced`). Nothing here does I/O.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from wx_datacube.language import Text

_DAY = dt.timedelta(days=1)


class DayKind(StrEnum):
    """What a day is, in general."""

    FESTIVAL = "festival"
    """A festival's own day, on a weekend too."""
    DAY_OFF = "day off"
    """Another day of the holiday around a festival, weekends that belong to it included."""
    WORKING_WEEKEND = "working weekend"
    """A Saturday or Sunday that is worked, in exchange for a day off (调休上班)."""
    WORKDAY = "workday"
    WEEKEND = "weekend"


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A festival, a day off or a working weekend.

    `festival` is the festival's Chinese name, the same in every year, and `offset` says how many days after its first
    day this is. A working weekend has none. `name` is for people.
    """

    date: dt.date
    kind: DayKind
    name: Text
    festival: str = ""
    offset: int = 0


SPRING_FESTIVAL, _NATIONAL_DAY = "春节", "国庆节"
_NAMES = {
    "元旦": "New Year's Day",
    SPRING_FESTIVAL: "Spring Festival",
    "清明节": "Tomb-Sweeping Day",
    "劳动节": "Labour Day",
    "端午节": "Dragon Boat Festival",
    "中秋节": "Mid-Autumn Festival",
    _NATIONAL_DAY: "National Day",
}
_EVE_NAME = Text("Spring Festival's Eve", "除夕")
_WORKING_WEEKEND = Text("Working weekend", "调休上班")
_PUBLIC_HOLIDAY = Text("Public holiday", "法定假日")


def day_kind(day: dt.date) -> DayKind:
    """Return what a day is."""
    if found := _specials(day.year).get(day):
        return found.kind
    return DayKind.WEEKEND if day.weekday() >= 5 else DayKind.WORKDAY


def special_days(first: dt.date, last: dt.date) -> list[SpecialDay]:
    """Return the festivals, days off and working weekends from `first` to `last`, oldest first."""
    years = range(first.year, last.year + 1)
    return [each for year in years for day, each in _specials(year).items() if first <= day <= last]


def is_announced(year: int) -> bool:
    """Return whether the days off of a year are known as announced; otherwise only its festivals are computed.

    They are announced in the November before. An installation knows them from the next update of `holidays` on.
    """
    # The package has no such question. Every year announced since 2001 has working weekends; no computed one has any.
    return any(day.year == year for day in _china(year).weekend_workdays)


def festival_name(festival: str) -> Text:
    """Return the name of a festival of `SpecialDay.festival`."""
    return Text(_NAMES[festival], festival)


def festival_date(festival: str, year: int) -> dt.date | None:
    """Return the first day of a festival of `SpecialDay.festival` in a year."""
    return next((day for day, names in _names(year).items() if festival in names), None)


@cache
def _china(year: int) -> Any:
    """Return the package's calendar of a year, with Chinese names."""
    from holidays.countries.china import China  # takes a tenth of a second

    china: Any = China  # its constructor has no types
    return china(years=year, language="zh_CN")


@cache
def _names(year: int) -> dict[dt.date, tuple[str, ...]]:
    """Return the festivals of each festival day of a year; substitutes and extra days off have none."""
    found = {}
    for day, listed in sorted(_china(year).items()):
        if names := tuple(each for each in listed.split("; ") if each in _NAMES):
            found[day] = names
    return found


def _is_free(day: dt.date) -> bool:
    china = _china(day.year)
    return day in china or (day.weekday() >= 5 and day not in china.weekend_workdays)


@cache
def _specials(year: int) -> dict[dt.date, SpecialDay]:
    """Return the special days of a year, oldest first."""
    china = _china(year)
    found = {day: SpecialDay(day, DayKind.WORKING_WEEKEND, _WORKING_WEEKEND) for day in china.weekend_workdays}
    for day in [*sorted(china), dt.date(year + 1, 1, 1)]:  # a holiday of New Year's Day may begin in December
        if day not in found:
            found |= {each.date: each for each in _holiday(_free_days_around(day))}
    return {day: found[day] for day in sorted(found) if day.year == year}


def _free_days_around(day: dt.date) -> list[dt.date]:
    """Return the consecutive free days around a free day."""
    first = last = day
    while _is_free(first - _DAY):
        first -= _DAY
    while _is_free(last + _DAY):
        last += _DAY
    return [first + count * _DAY for count in range((last - first).days + 1)]


def _holiday(days: list[dt.date]) -> Iterator[SpecialDay]:
    """Yield the days of a holiday; a day between two festivals belongs to the earlier one.

    Mid-Autumn in the week of National Day has its name only.
    """
    named = {day: [each for each in _names(day.year).get(day, ()) if each in _NAMES] for day in days}
    begun = {name: day for day in reversed(days) for name in named[day]}
    festival = min(begun, key=lambda name: begun[name], default="")
    for day in days:
        if festival != _NATIONAL_DAY or day < begun[_NATIONAL_DAY]:
            festival = [festival, *named[day]][-1]
        yield _in_holiday(day, named[day], festival, (day - begun.get(festival, day)).days)


def _in_holiday(day: dt.date, named: list[str], festival: str, offset: int) -> SpecialDay:
    if not festival:  # a single holiday, such as that of 3 September 2015
        return SpecialDay(day, DayKind.DAY_OFF, _PUBLIC_HOLIDAY)
    if festival == SPRING_FESTIVAL and offset == -1:
        return SpecialDay(day, DayKind.FESTIVAL, _EVE_NAME, festival, offset)
    if named:
        name = Text(" · ".join(map(_NAMES.__getitem__, named)), "·".join(named))
        return SpecialDay(day, DayKind.FESTIVAL, name, festival, offset)
    return SpecialDay(day, DayKind.DAY_OFF, Text(f"{_NAMES[festival]} holiday", f"{festival}假期"), festival, offset)
