"""Followers: the figures of the report's page about followers, from the views `followers_daily` and `followers_total`.

Add a figure of followers here. `family_pages` decides how it is shown.
"""

import datetime as dt
from dataclasses import dataclass

from wx_datacube.catalog.followers import DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.operations.report.stored import DailyFigures, DailyKey, StoredData


@dataclass(frozen=True, slots=True)
class FollowerFigures:
    """Followers in the range; `by_channel` has each channel with its new and lost followers, most new ones first.

    `known` are the days whose new and lost followers are stored, out of `due` days.
    """

    key: DailyKey | None
    days: list[DailyFigures]
    by_channel: list[tuple[str, int, int]]
    known: list[dt.date]
    due: int


def read_followers(data: StoredData) -> FollowerFigures:
    """Read the figures of followers."""
    changes = data.daily(
        DAILY_FOLLOWERS,
        ("new_followers", "lost_followers"),
        "SELECT date, sum(new_followers), sum(lost_followers) FROM followers_daily",
    )
    # An account without followers has no row, and neither has a day for which WeChat's answer was wrong.
    select = "SELECT date, followers FROM followers_total"
    totals = data.daily(FOLLOWERS_TOTAL, ("followers",), select, empty=None)
    days = [_joined(total, change) for total, change in zip(totals, changes, strict=True)]
    known = data.known(DAILY_FOLLOWERS)
    return FollowerFigures(
        key=data.key(days),
        days=[day for day in days if data.overlaps_range(day.date)],
        by_channel=data.query(
            "SELECT source, sum(new_followers), sum(lost_followers) FROM followers_daily WHERE account = $account"
            " AND date BETWEEN $first AND $last GROUP BY source ORDER BY 2 DESC, 3 DESC, 1",
            first=known[0],
            last=known[-1],
        )
        if known
        else [],
        known=known,
        due=len(data.due(DAILY_FOLLOWERS)),
    )


def _joined(total: DailyFigures, change: DailyFigures) -> DailyFigures:
    """Return the figures of a day from both endpoints, with the net change."""
    new, lost = change.values["new_followers"], change.values["lost_followers"]
    net = None if new is None or lost is None else new - lost
    values = {**total.values, **change.values, "net_followers": net}
    return DailyFigures(total.date, values, total.is_open or change.is_open)
