"""Seasons: how weekdays, hours of the day and Chinese festivals change a day's messages.

Add a festival or a pattern here. Nothing here knows accounts, people or endpoints. Festivals of the lunar calendar are
listed by date, up to 2035, as announced by the State Council or computed from the calendar.
"""

import datetime as dt
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple


class Mood(NamedTuple):
    """The pattern of a day.

    `volume` is in per mille of an ordinary workday. `hours` and `types` are tables that map a random byte to a value.
    """

    volume: int
    hours: bytes
    types: bytes


def table(weights: Mapping[int, int]) -> bytes:
    """Return 256 values in the proportions of `weights`, for use with `bytes.translate` on random bytes."""
    total, reached = sum(weights.values()), 0
    values: list[int] = []
    for value, weight in weights.items():
        reached += weight
        values += [value] * (reached * 256 // total - len(values))
    return bytes(values)


def _hours(*weights: int) -> bytes:
    return table(dict(enumerate(weights)))


WORKDAY_HOURS = _hours(12, 6, 3, 2, 2, 4, 12, 30, 48, 60, 62, 56, 64, 52, 48, 50, 52, 54, 60, 70, 84, 80, 56, 30)
HOLIDAY_HOURS = _hours(22, 12, 6, 3, 2, 3, 6, 14, 28, 46, 58, 60, 58, 54, 52, 54, 56, 56, 58, 66, 78, 80, 64, 40)
EVE_HOURS = _hours(20, 8, 4, 2, 2, 4, 10, 20, 36, 48, 52, 48, 50, 44, 40, 44, 50, 60, 90, 160, 260, 300, 260, 320)

WORKDAY_TYPES = table({1: 800, 2: 110, 3: 50, 4: 18, 6: 22})
FESTIVE_TYPES = table({1: 640, 2: 200, 3: 90, 4: 50, 6: 20})

WORKDAY = Mood(1000, WORKDAY_HOURS, WORKDAY_TYPES)
WEEKEND = Mood(740, HOLIDAY_HOURS, WORKDAY_TYPES)
HOLIDAY = Mood(600, HOLIDAY_HOURS, FESTIVE_TYPES)
GREETINGS = Mood(1500, EVE_HOURS, FESTIVE_TYPES)
EVE = Mood(2300, EVE_HOURS, FESTIVE_TYPES)


def _dates(text: str) -> list[dt.date]:
    return list(map(dt.date.fromisoformat, text.split()))


SPRING_FESTIVALS = _dates(
    "2015-02-19 2016-02-08 2017-01-28 2018-02-16 2019-02-05 2020-01-25 2021-02-12 2022-02-01 2023-01-22 2024-02-10 "
    "2025-01-29 2026-02-17 2027-02-06 2028-01-26 2029-02-13 2030-02-03 2031-01-23 2032-02-11 2033-01-31 2034-02-19 "
    "2035-02-08"
)
"""春节, the first day of the lunar year."""

MID_AUTUMNS = _dates(
    "2015-09-27 2016-09-15 2017-10-04 2018-09-24 2019-09-13 2020-10-01 2021-09-21 2022-09-10 2023-09-29 2024-09-17 "
    "2025-10-06 2026-09-25 2027-09-15 2028-10-03 2029-09-22 2030-09-12"
)
"""中秋节."""

DRAGON_BOATS = _dates(
    "2015-06-20 2016-06-09 2017-05-30 2018-06-18 2019-06-07 2020-06-25 2021-06-14 2022-06-03 2023-06-22 2024-06-10 "
    "2025-05-31 2026-06-19 2027-06-09 2028-05-28 2029-06-16 2030-06-05"
)
"""端午节."""

_EVERY_YEAR = {(1, 1): GREETINGS, (5, 1): HOLIDAY, (12, 24): GREETINGS} | {(10, day): HOLIDAY for day in range(1, 8)}


@cache
def _lunar() -> dict[dt.date, Mood]:
    days = dict.fromkeys(DRAGON_BOATS + MID_AUTUMNS, GREETINGS)
    for first in SPRING_FESTIVALS:
        days |= {first + dt.timedelta(days=n): HOLIDAY for n in range(1, 7)}
        days |= {first - dt.timedelta(days=1): EVE, first: GREETINGS, first + dt.timedelta(days=14): GREETINGS}
    return days


def mood_of(day: dt.date) -> Mood:
    """Return the pattern of a day; festivals take precedence over weekends, and weekends over workdays."""
    ordinary = WEEKEND if day.weekday() >= 5 else WORKDAY
    return _lunar().get(day) or _EVERY_YEAR.get((day.month, day.day), ordinary)
