"""Schedules: every morning, request runs for all pending labels, whatever the reason.

A tick makes no call to WeChat: it reads the published file and the Dagster instance, and requests runs. Dagster's own
schedules don't catch up on missed ticks. These do, since they look for what is missing instead of what is new. The
hours are in `catalog.periods`. See https://docs.dagster.io/guides/automate/schedules.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import BEIJING, FIRST_TICK, LAST_TICK, Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.operations.tick import plan_tick
from wx_datacube.orchestration.partitions import partitions_of
from wx_datacube.orchestration.runs import REASON_TAG, Reason, assets_in_progress, end_dead_runs

MORNING_CRON = f"{LAST_TICK.minute} {FIRST_TICK.hour}-{LAST_TICK.hour} * * *"
"""Beijing time: figures are published after 08:00 and settled by noon."""


def build_jobs(
    stem: str, assets: Mapping[str, dg.AssetsDefinition], resources: Mapping[str, Any]
) -> dict[Period, dg.JobDefinition]:
    """Build the jobs `<stem>_<daily|weekly|monthly>` over an account's assets (by endpoint name).

    Each job is resolved among the assets and resources of its own account. If it were resolved among those of a hundred
    accounts, every job would hold every account's resource, and loading would take three times as long.
    """
    names = {period: f"{stem}_{period.adverb}" for period in Period}
    jobs = [
        dg.define_asset_job(names[period], [assets[each.name] for each in ENDPOINTS if each.period is period])
        for period in Period
    ]
    own = dg.Definitions(assets=list(assets.values()), jobs=jobs, resources=resources)
    return {period: own.resolve_job_def(name) for period, name in names.items()}


def build_schedule(
    job: dg.JobDefinition,
    account: str,
    period: Period,
    keys: Mapping[str, dg.AssetKey],
    *,
    cron: str,
    clock: Clock,
) -> dg.ScheduleDefinition:
    """Build the schedule of `job` over the assets `keys` (by endpoint name); named like the job, off by default."""
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint.period is period]

    @dg.schedule(
        name=job.name,
        job=job,
        cron_schedule=cron,
        execution_timezone=BEIJING.key,
        description=(
            f"Fetches every missing {period.value} from WX_DATACUBE_START on, within the daily quota: on an empty file,"
            " the whole history. It starts no run if nothing is pending."
            f" 在每日配额内补齐自 WX_DATACUBE_START 起缺失的{_PERIODS[period]}数据；"
            "数据文件为空时获取全部历史，没有缺失时不运行。"
        ),
    )
    def tick(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        return _requests(context, account, {endpoint: keys[endpoint.name] for endpoint in endpoints}, clock())

    return tick


_PERIODS = {Period.DAY: "日", Period.WEEK: "周", Period.MONTH: "月"}


def _requests(
    context: dg.ScheduleEvaluationContext, account: str, keys: Mapping[Endpoint, dg.AssetKey], now: dt.datetime
) -> list[dg.RunRequest] | dg.SkipReason:
    instance = context.instance
    end_dead_runs(instance)
    in_progress = assets_in_progress(instance)
    busy = {endpoint for endpoint, key in keys.items() if key in in_progress}

    def materialized(endpoint: Endpoint, start: dt.date) -> set[dt.date]:
        return materialized_labels(instance, keys[endpoint], partitions_of(endpoint, start))

    try:
        settings = load_settings()
        plan = plan_tick(settings, account, list(keys), busy, materialized, now, context.log.warning)
    except WxDatacubeError as error:
        return dg.SkipReason(str(error))
    if plan.requests:
        return [_request([keys[each] for each in endpoints], ends, now) for ends, endpoints in plan.requests]
    return dg.SkipReason(" ".join(plan.reasons) or "Everything that is due is stored and materialized.")


def _request(keys: Sequence[dg.AssetKey], ends: tuple[dt.date, dt.date], now: dt.datetime) -> dg.RunRequest:
    first, last = (label.isoformat() for label in ends)
    names = " ".join(key.to_user_string() for key in keys)
    return dg.RunRequest(
        # Run keys tell the requests of one tick apart. The time is part of the key, since a range may be requested
        # again.
        run_key=f"{names} {first} {last} {now:%Y-%m-%dT%H:%M:%S}",
        asset_selection=list(keys),
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            REASON_TAG: Reason.SCHEDULE.value,
        },
    )


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
