"""Partitions: an endpoint's labels as Dagster's partition keys, and which of them Dagster shows as materialized.

A key exists from the day its label is due. Nothing else belongs here. See https://docs.dagster.io/guides/build/partitions-and-backfills.
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
