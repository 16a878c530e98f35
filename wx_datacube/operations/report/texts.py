"""Texts: figures, changes and dates as texts, for all pages of the report.

Add a function here if several pages need it.
"""

import datetime as dt

from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import due_on
from wx_datacube.operations.report.words import Words


def number(value: float | None, form: str = ",") -> str:
    """Return a figure as text; a dash if it is not stored."""
    return "–" if value is None else format(value, form)


def change(now: float | None, before: float | None, words: Words) -> str:
    """Return the change of a figure in percent; with arrows instead of colours, since more is not always better."""
    if now is None or before is None:
        return words("not_stored")
    if now == before:
        return words("no_change")
    if not before:
        return words("from_zero")
    share = f"{abs(now / before - 1):.1%}"
    return f"{_arrow(now, before)} {'<0.1%' if share == '0.0%' else share}"


def difference(now: int | None, before: int | None, words: Words) -> str:
    """Return the change of a figure as a number, for figures below zero, whose change in percent says nothing."""
    if now is None or before is None:
        return words("not_stored")
    return words("no_change") if now == before else f"{_arrow(now, before)} {abs(now - before):,}"


def _arrow(now: float, before: float) -> str:
    return "▲" if now > before else "▼"


def date_text(label: dt.date, period: Period, words: Words) -> str:
    """Return a label as text: a day, the first and last day of a week, or a month."""
    if period is Period.WEEK:
        return words("span", first=label, last=f"{due_on(label, period) - dt.timedelta(days=1):%m-%d}")
    return f"{label:%Y-%m}" if period is Period.MONTH else label.isoformat()


def comparison_label(period: Period, days: int, words: Words) -> str:
    """Return the text that names the label `days` days before."""
    return words(f"before_{days}" if period is Period.DAY else f"before_{period.value}")
