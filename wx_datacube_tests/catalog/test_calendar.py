"""The Chinese calendar: festivals, days off and working weekends, as announced, and years not announced yet."""

import datetime as dt
import subprocess
import sys
from collections import Counter

import pytest

from wx_datacube.catalog.calendar import DayKind, day_kind, festival_date, is_announced, special_days

CLOSED, OPEN, FESTIVAL = DayKind.DAY_OFF, DayKind.WORKING_WEEKEND, DayKind.FESTIVAL


def shown(first: str, last: str) -> list[tuple[str, DayKind, str, str, int]]:
    """Return the special days of a range, with their names and where they are in their holiday."""
    found = special_days(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    return [(f"{each.date:%m-%d}", each.kind, each.name.zh, each.name.en, each.offset) for each in found]


def test_the_spring_festival_of_2026_is_as_announced() -> None:
    """Nine days off from 15 to 23 February, weekends included, and two Saturdays worked in exchange."""
    assert shown("2026-02-01", "2026-03-31") == [
        ("02-14", OPEN, "调休上班", "Working weekend", 0),
        ("02-15", CLOSED, "春节假期", "Spring Festival holiday", -2),
        ("02-16", FESTIVAL, "除夕", "Spring Festival's Eve", -1),
        *((f"02-{17 + count}", FESTIVAL, "春节", "Spring Festival", count) for count in range(3)),
        *((f"02-{20 + count}", CLOSED, "春节假期", "Spring Festival holiday", 3 + count) for count in range(4)),
        ("02-28", OPEN, "调休上班", "Working weekend", 0),
    ]


def test_two_festivals_may_share_a_holiday() -> None:
    """In 2020, Mid-Autumn was on National Day; in 2023 it was two days earlier."""
    assert shown("2020-10-01", "2020-10-02") == [
        ("10-01", FESTIVAL, "中秋节·国庆节", "Mid-Autumn Festival · National Day", 0),
        ("10-02", FESTIVAL, "国庆节", "National Day", 1),
    ]
    assert [(each[0], each[2], each[4]) for each in shown("2023-09-29", "2023-10-01")] == [
        ("09-29", "中秋节", 0),
        ("09-30", "中秋节假期", 1),
        ("10-01", "国庆节", 0),
    ]
    assert [(each[0], each[2], each[4]) for each in shown("2025-10-05", "2025-10-07")] == [
        ("10-05", "国庆节假期", 4),
        ("10-06", "中秋节", 5),
        ("10-07", "国庆节假期", 6),
    ]


def test_a_holiday_may_begin_in_the_year_before_or_be_no_festival() -> None:
    """New Year's Day of 2024 had its days off from 30 December on. 3 September 2015 was a holiday once."""
    assert [(each[0], each[2], each[4]) for each in shown("2023-12-01", "2024-01-31")] == [
        ("12-30", "元旦假期", -2),
        ("12-31", "元旦假期", -1),
        ("01-01", "元旦", 0),
    ]
    assert [(each[0], each[2]) for each in shown("2015-09-01", "2015-09-05")] == [
        ("09-03", "法定假日"),
        ("09-04", "法定假日"),
        ("09-05", "法定假日"),
    ]


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        ("2026-02-17", DayKind.FESTIVAL),
        ("2026-02-20", DayKind.DAY_OFF),
        ("2026-02-28", DayKind.WORKING_WEEKEND),
        ("2026-03-07", DayKind.WEEKEND),
        ("2026-03-09", DayKind.WORKDAY),
    ],
)
def test_each_day_is_of_one_kind(day: str, kind: DayKind) -> None:
    """A day is a festival, a day off, a working weekend, a weekend or a workday."""
    assert day_kind(dt.date.fromisoformat(day)) is kind


def test_each_year_since_2014_has_its_festivals_and_is_announced() -> None:
    """Each year of WeChat's history has its festivals, 18 to 40 free days around them, and working weekends."""
    for year in range(2014, 2027):
        found = special_days(dt.date(year, 1, 1), dt.date(year, 12, 31))
        kinds = Counter(each.kind for each in found)
        assert is_announced(year)
        assert len({each.festival for each in found} - {""}) >= 6, year
        assert 18 <= kinds[FESTIVAL] + kinds[CLOSED] <= 40, year
        assert 2 <= kinds[OPEN] <= 9, year


def test_a_year_that_nobody_has_announced_has_computed_festivals_and_says_so() -> None:
    """Festivals of 2045 are computed from the lunar calendar; days off and working weekends can't be known."""
    assert not is_announced(2045)
    assert festival_date("春节", 2045) == dt.date(2045, 2, 17)
    assert not [each for each in special_days(dt.date(2045, 1, 1), dt.date(2045, 12, 31)) if each.kind is OPEN]


def test_importing_the_calendar_loads_no_holidays() -> None:
    """The package `holidays` is loaded at the first question only; `status` and others never ask."""
    code = "import sys, wx_datacube.cli.status, wx_datacube.catalog.calendar; print('holidays' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
