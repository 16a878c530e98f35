"""Dates: the range of days that an assistant means, by dates or by words such as `last week`.

Add a word to `_named`. An assistant often doesn't know today's date, so words save it a call. Nothing here reads a
clock: `today` is passed in.
"""

import datetime as dt
import re
from contextlib import suppress

from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import due_on, label_of
from wx_datacube.errors import WxDatacubeError

DAY = dt.timedelta(days=1)
Range = tuple[dt.date, dt.date]
"""First and last day, both included."""

WORDS = (
    "today, yesterday, last 30 days (any number), this week, last week, week before last, this month, last month,"
    " month before last, this year, last year"
)


class Refused(WxDatacubeError):
    """A question that can't be answered as it was asked; the text says why, and what to ask instead.

    An assistant reads it, whatever the language of the person: in English, with WeChat's words where they matter.
    """


def range_of(start: str | None, end: str | None, today: dt.date) -> Range | None:
    """Return the range from `start` to `end`; without `end`, to the end of `start`'s period, or yesterday for a day.

    Each is YYYY-MM-DD, YYYY-MM, YYYY or one of `WORDS`. None if both are missing. Raises `Refused`.
    """
    if not start and not end:
        return None
    if not start:
        raise Refused("There is an end but no start.", advice="Give both, or a start such as last month.")
    first, last = _range("start", start, today)
    if end:
        last = _range("end", end, today)[1]
    elif re.fullmatch(r"\d{4}-\d\d-\d\d", start.strip()):
        last = max(first, today - DAY)
    if first > last:
        raise Refused(f"The start {first} is after the end {last}.", advice="Swap them.")
    return first, last


def _range(which: str, text: str, today: dt.date) -> Range:
    words = " ".join(text.strip().lower().split())
    with suppress(ValueError):  # also a date that doesn't exist
        found = _dated(words) or _named(words, today)
        if found:
            return found
    raise Refused(
        f"The {which} {text[:40]!r} is not a date.", advice=f"Use YYYY-MM-DD, YYYY-MM, YYYY, or one of: {WORDS}."
    )


def _dated(text: str) -> Range | None:
    if not (found := re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", text)):
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    first = dt.date(year or 0, month or 1, day or 1)
    if day:
        return first, first
    return first, (due_on(first, Period.MONTH) if month else dt.date(first.year + 1, 1, 1)) - DAY


def _named(text: str, today: dt.date) -> Range | None:
    if found := re.fullmatch(r"last (\d{1,4}) days?", text):
        return today - int(found[1]) * DAY, today - DAY
    week, month = label_of(today, Period.WEEK), label_of(today, Period.MONTH)
    last_week, last_month = label_of(week - DAY, Period.WEEK), label_of(month - DAY, Period.MONTH)
    year = today.replace(month=1, day=1)
    return {
        "today": (today, today),
        "yesterday": (today - DAY, today - DAY),
        "this week": (week, today),
        "last week": (last_week, week - DAY),
        "week before last": (label_of(last_week - DAY, Period.WEEK), last_week - DAY),
        "this month": (month, today),
        "last month": (last_month, month - DAY),
        "month before last": (label_of(last_month - DAY, Period.MONTH), last_month - DAY),
        "this year": (year, today),
        "last year": (year.replace(year=year.year - 1), year - DAY),
    }.get(text)
