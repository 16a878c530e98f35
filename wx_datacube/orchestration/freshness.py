"""Freshness: until when a run must have materialized an asset, as a badge of Dagster's.

Nothing else belongs here. The badge goes by the time of the newest materialization, whichever partition it was of;
whether all labels are there is what the check `due_labels_are_there` says. See
https://docs.dagster.io/guides/observe/asset-freshness-policies.
"""

import datetime as dt
import functools

import dagster as dg

from wx_datacube.catalog.endpoints import Period
from wx_datacube.catalog.periods import BEIJING

_HOUR = dt.time(12, 35)
"""Figures are settled at noon, and the last tick of a morning is at 12:30."""
_DAYS = {Period.DAY: "* * *", Period.WEEK: "* * 1", Period.MONTH: "1 * *"}


def deadline(period: Period) -> str:
    """When the figures of a period that has ended must be there, as cron has it, Beijing time."""
    return f"{_HOUR.minute} {_HOUR.hour} {_DAYS[period]}"


@functools.cache  # Dagster walks along the cron to check it: 10 ms each
def freshness_of(period: Period) -> dg.FreshnessPolicy:
    """Fresh from a materialization on the day that a label is due until the deadline of the next."""
    midnight = dt.timedelta(hours=_HOUR.hour, minutes=_HOUR.minute)
    return dg.FreshnessPolicy.cron(deadline_cron=deadline(period), lower_bound_delta=midnight, timezone=BEIJING.key)
