"""Partitions: an endpoint's labels as Dagster's partition keys, and which of them Dagster shows as materialized.

A key exists from the day its label is due. Nothing else belongs here. See https://docs.dagster.io/guides/build/partitions-and-backfills.
"""

import datetime as dt
import hashlib

import dagster as dg

from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import BEIJING, label_of


def partitions_of(endpoint: Endpoint, start: dt.date, location: str = "") -> dg.TimeWindowPartitionsDefinition:
    """Return the endpoint's partitions for an account whose history begins at `start`.

    They are keyed on the label (`YYYY-MM-DD`) in Beijing time. The period of the first contains `start`, or the first
    day for which WeChat has figures.

    For different values of `location`, the keys are the same, but the definitions differ: they end at different times
    after the year 2999. Dagster's backfills put assets of several code locations into one run if their definitions are
    equal, and such a run fails (1.13.27).
    """
    period, timezone = endpoint.period, BEIJING.key
    first = label_of(endpoint.first(start), period).isoformat()
    end = _FAR_OFF + _less_than_a_day(location) if location else None
    if period is Period.WEEK:
        return dg.WeeklyPartitionsDefinition(start_date=first, day_offset=1, timezone=timezone, end_date=end)
    if period is Period.MONTH:
        return dg.MonthlyPartitionsDefinition(start_date=first, timezone=timezone, end_date=end)
    return dg.DailyPartitionsDefinition(start_date=first, timezone=timezone, end_date=end)


_FAR_OFF = dt.datetime(2999, 1, 1)


def _less_than_a_day(name: str) -> dt.timedelta:
    """Return a time between 0 and 24 h that depends on the name, in whole milliseconds."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return dt.timedelta(milliseconds=number % (24 * 60 * 60 * 1000))


def materialized_labels(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: dg.TimeWindowPartitionsDefinition
) -> set[dt.date]:
    """Return the labels of an asset that this Dagster instance shows as materialized.

    A label that had landed shows as failed if a later run over it was killed. It is left out, to be materialized again.
    """
    found = instance.get_materialized_partitions(key)
    if instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1):
        states = instance.get_status_by_partition(key, partitions.get_partition_keys(), partitions) or {}
        found -= {partition for partition, state in states.items() if state is dg.AssetPartitionStatus.FAILED}
    return {dt.date.fromisoformat(partition) for partition in found}
