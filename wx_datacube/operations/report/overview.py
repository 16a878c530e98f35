"""Overview: one page with a row per account, which links to the reports of the accounts beside it.

The figures come from those of the reports; add a column here and in `assets/accounts.js`.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

from wx_datacube.operations.names import metric_name
from wx_datacube.operations.report.figures import Figures, both
from wx_datacube.operations.report.page import page_of
from wx_datacube.operations.report.words import WORDS

_SHOWN = ("followers", "net_followers", "readers", "messages")
_WEEK = 7


def overview_row(figures: Figures, file: str) -> dict[str, Any]:
    """Return an account's row: yesterday's figures, those of a week before, what is missing and what is unusual."""
    document = figures.document
    daily = dict(document["daily"])
    if "new_followers" in daily:
        pairs = zip(daily["new_followers"], daily["lost_followers"], strict=True)
        daily["net_followers"] = [None if None in pair else pair[0] - pair[1] for pair in pairs]
    return {
        "account": document["account"],
        "title": document["title"],
        "file": file,
        "newest": document["newest"],
        "values": {name: _from_the_end(daily.get(name, []), 1) for name in _SHOWN},
        "week_before": {name: _from_the_end(daily.get(name, []), 1 + _WEEK) for name in _SHOWN},
        "missing": sum(_missing(each["states"]) for each in document["coverage"]),
        "unusual": [each["text"] for each in document["doubts"] if each["date"] == f"{figures.last}"],
    }


def render_overview(rows: Sequence[Mapping[str, Any]], now: dt.datetime, language: str) -> str:
    """Return the overview as HTML that opens in a language."""
    document = {
        "now": f"{now:%Y-%m-%d %H:%M}",
        "day": now.date() - dt.timedelta(days=1),
        "title": both(WORDS["all_accounts"]),
        "metrics": {name: both(metric_name(name)) for name in _SHOWN},
        "accounts": list(rows),
    }
    return page_of(document, WORDS["all_accounts"], language, ("accounts.js",), charts=False)


def _from_the_end(values: Sequence[float | None], place: int) -> float | None:
    return values[-place] if len(values) >= place else None


def _missing(states: str) -> int:
    """Return how many labels are missing in the states of an endpoint, `L3M1`."""
    return sum(map(int, re.findall(r"M(\d+)", states)))
