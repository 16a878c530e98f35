"""Partitions: the labels of a period as Dagster's partition keys. A key exists from the day its label is due.

Nothing else belongs here. See https://docs.dagster.io/guides/build/partitions-and-backfills.
"""

import datetime as dt

import dagster as dg

from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import BEIJING, label_of


def partitions_of(period: Period, start: dt.date) -> dg.TimeWindowPartitionsDefinition:
    """Return partitions keyed on the label (`YYYY-MM-DD`) in Beijing time; the period of the first contains `start`."""
    first, timezone = label_of(start, period).isoformat(), BEIJING.key
    if period is Period.WEEK:
        return dg.WeeklyPartitionsDefinition(start_date=first, day_offset=1, timezone=timezone)
    if period is Period.MONTH:
        return dg.MonthlyPartitionsDefinition(start_date=first, timezone=timezone)
    return dg.DailyPartitionsDefinition(start_date=first, timezone=timezone)
