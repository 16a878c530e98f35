"""Partitions: the labels of a period as Dagster's partition keys. A key exists from the day its label is due.

Nothing else belongs here. See https://docs.dagster.io/guides/build/partitions-and-backfills.
"""

import datetime as dt

import dagster as dg

from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import BEIJING, label_of


def partitions_of(endpoint: Endpoint, start: dt.date) -> dg.TimeWindowPartitionsDefinition:
    """Return the endpoint's partitions for an account whose history begins at `start`.

    They are keyed on the label (`YYYY-MM-DD`) in Beijing time. The period of the first contains `start`, or the first
    day for which WeChat has figures.
    """
    period = endpoint.period
    first, timezone = label_of(endpoint.first(start), period).isoformat(), BEIJING.key
    if period is Period.WEEK:
        return dg.WeeklyPartitionsDefinition(start_date=first, day_offset=1, timezone=timezone)
    if period is Period.MONTH:
        return dg.MonthlyPartitionsDefinition(start_date=first, timezone=timezone)
    return dg.DailyPartitionsDefinition(start_date=first, timezone=timezone)
