"""Freshness: the time by which a run must have materialized an asset, which Dagster shows as a badge.

Nothing else belongs here. The badge depends on the newest materialization of any partition. Whether all labels are
there is the subject of the check `due_labels_are_there`. See
https://docs.dagster.io/guides/observe/asset-freshness-policies.
"""

import datetime as dt
import functools

import dagster as dg

from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import BEIJING, CHECK_TICK

_DAYS = {Period.DAY: "* * *", Period.WEEK: "* * 1", Period.MONTH: "1 * *"}


def deadline(period: Period) -> str:
    """Return the time by which the figures of an ended period must be there, as a cron expression in Beijing time."""
    return f"{CHECK_TICK.minute} {CHECK_TICK.hour} {_DAYS[period]}"


@functools.cache  # Dagster checks a cron expression by iterating over it: 10 ms each
def freshness_of(period: Period) -> dg.FreshnessPolicy:
    """Return the policy: a materialization on the day a label is due is fresh until the next label's deadline."""
    since_midnight = dt.timedelta(hours=CHECK_TICK.hour, minutes=CHECK_TICK.minute)
    return dg.FreshnessPolicy.cron(
        deadline_cron=deadline(period), lower_bound_delta=since_midnight, timezone=BEIJING.key
    )
