"""Schedules: every morning, request runs for all pending labels, whatever the reason.

A tick makes no call to WeChat: it reads the published file and the Dagster instance, and requests runs. Dagster's own
schedules don't catch up on missed ticks. These do, since they look for what is missing instead of what is new. The
hours are in `catalog.periods`. See https://docs.dagster.io/guides/automate/schedules.

Each account has a few schedules of its own (`build_schedule`). With many accounts, one schedule of the code location
takes their place (`build_location_schedule`).
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Period
from wx_datacube.catalog.periods import BEIJING, FIRST_TICK, LAST_TICK, Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.language import Text, joined
from wx_datacube.operations.heartbeat import beat
from wx_datacube.operations.pending import RunPlan
from wx_datacube.operations.tick import Materialized, plan_tick
from wx_datacube.orchestration.alert_hooks import log_of
from wx_datacube.orchestration.dagster_internals import JOB_OF_ALL_ASSETS
from wx_datacube.orchestration.partitions import materialized_labels, partitions_of
from wx_datacube.orchestration.runs import REASON_TAG, Reason, assets_in_progress, end_dead_runs

MORNING_CRON = f"{LAST_TICK.minute} {FIRST_TICK.hour}-{LAST_TICK.hour} * * *"
"""Beijing time: figures are published after 08:00 and settled by noon."""


def schedule_names(endpoints: Iterable[Endpoint]) -> dict[str, list[Endpoint]]:
    """Return which endpoints each of an account's schedules fetches, by the last part of the schedule's name.

    There is one schedule a period. Endpoints whose history begins later have one of their own, since Dagster refuses a
    job over assets whose partitions differ.
    """
    found: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        name = endpoint.period.adverb if endpoint.first_day == HISTORY_START else endpoint.family.value
        found.setdefault(name, []).append(endpoint)
    return found


def build_jobs(
    stem: str, assets: Mapping[str, dg.AssetsDefinition], resources: Mapping[str, Any]
) -> dict[str, dg.JobDefinition]:
    """Build the jobs `<stem>_<schedule>` over an account's assets (by endpoint name); return them by schedule.

    Each job is resolved among the assets and resources of its own account. If it were resolved among those of a hundred
    accounts, every job would hold every account's resource, and loading would take three times as long.
    """
    by_name = schedule_names(BY_NAME[name] for name in assets)
    jobs = [
        dg.define_asset_job(f"{stem}_{name}", [assets[each.name] for each in endpoints])
        for name, endpoints in by_name.items()
    ]
    own = dg.Definitions(assets=list(assets.values()), jobs=jobs, resources=resources)
    return {name: own.resolve_job_def(f"{stem}_{name}") for name in by_name}


def build_schedule(
    job: dg.JobDefinition,
    account: str,
    endpoints: Sequence[Endpoint],
    keys: Mapping[str, dg.AssetKey],
    *,
    cron: str,
    clock: Clock,
) -> dg.ScheduleDefinition:
    """Build the schedule of `job` over the endpoints' assets; `keys` are by endpoint name.

    It is named like the job, and off by default.
    """
    period, start = endpoints[0].period, endpoints[0].first_day
    since, since_zh = "WX_DATACUBE_START", "WX_DATACUBE_START"
    if start != HISTORY_START:
        since, since_zh = f"WX_DATACUBE_START or {start}, whichever is later,", f"WX_DATACUBE_START（最早 {start}）"

    @dg.schedule(
        name=job.name,
        job=job,
        cron_schedule=cron,
        execution_timezone=BEIJING.key,
        description=(
            f"Fetches every missing {period.value} from {since} on, within the daily quota: on an empty file,"
            " the whole history. It starts no run if nothing is pending."
            f" 在每日配额内补齐自 {since_zh} 起缺失的{_PERIODS[period]}数据；"
            "数据文件为空时获取全部历史，没有缺失时不运行。"
        ),
    )
    def tick(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        return _requests(context, {account: {endpoint: keys[endpoint.name] for endpoint in endpoints}}, clock())

    return tick


def build_location_schedule(
    name: str, keys: Mapping[str, Mapping[str, dg.AssetKey]], *, cron: str, clock: Clock
) -> dg.ScheduleDefinition:
    """Build one schedule over all accounts and periods; `keys` are by account and endpoint name. It is off by default.

    Its job is Dagster's own job over all assets of the code location: a job that we define can't hold assets whose
    partitions differ.
    """

    @dg.schedule(
        name=name,
        job_name=JOB_OF_ALL_ASSETS,
        cron_schedule=cron,
        execution_timezone=BEIJING.key,
        description=(
            "Fetches every missing day, week and month of all accounts, within the daily quota: on an empty file, the"
            " whole history. It starts no run if nothing is pending."
            " 在每日配额内补齐所有账号缺失的日、周、月数据；数据文件为空时获取全部历史，没有缺失时不运行。"
        ),
    )
    def tick(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        wanted = {account: {BY_NAME[each]: key for each, key in own.items()} for account, own in keys.items()}
        return _requests(context, wanted, clock())

    return tick


_PERIODS = {Period.DAY: "日", Period.WEEK: "周", Period.MONTH: "月"}


def _requests(
    context: dg.ScheduleEvaluationContext, keys: Mapping[str, Mapping[Endpoint, dg.AssetKey]], now: dt.datetime
) -> list[dg.RunRequest] | dg.SkipReason:
    """Return the runs for what is pending of these accounts, or why there are none; `keys` are by account."""
    instance, notify = context.instance, log_of(context)
    end_dead_runs(instance)
    in_progress = assets_in_progress(instance)

    def materialized(account: str) -> Materialized:
        return lambda endpoint, start: materialized_labels(
            instance, keys[account][endpoint], partitions_of(endpoint, start)
        )

    try:
        settings = load_settings()
        Alerts(settings.database, settings.webhook, lambda: now).deliver(notify)
    except WxDatacubeError as error:
        return dg.SkipReason(error.text.both())
    requests: list[dg.RunRequest] = []
    reasons: dict[Text, list[str]] = {}
    for account, own in keys.items():
        busy = {endpoint for endpoint, key in own.items() if key in in_progress}
        try:
            groups = [*schedule_names(own).values()]
            plan = plan_tick(settings, account, groups, busy, materialized(account), now)
        except WxDatacubeError as error:  # of one account: the others go on
            reasons.setdefault(error.text, []).append(account)
            continue
        requests += [_request([own[each] for each in run.endpoints], run, now) for run in plan.runs]
        if not plan.runs:
            reasons.setdefault(plan.reason or _NOTHING_PENDING, []).append(account)
    if requests:
        return requests
    beat(settings, now, notify, is_tick=True)
    return dg.SkipReason(_why_nothing(reasons).both())


def _why_nothing(reasons: Mapping[Text, Sequence[str]]) -> Text:
    """Return the reasons, each with its accounts unless it is the only one."""
    if len(reasons) == 1:
        return next(iter(reasons))
    return joined(
        Text("{accounts}: {why}", "{accounts}：{why}", accounts=joined(accounts, ", ", "、"), why=why)
        for why, accounts in reasons.items()
    )


_NOTHING_PENDING = Text("Everything that is due is stored and materialized.", "应有的数据均已保存并物化。")


def _request(keys: Sequence[dg.AssetKey], run: RunPlan, now: dt.datetime) -> dg.RunRequest:
    first, last = run.first.isoformat(), run.last.isoformat()
    names = " ".join(key.to_user_string() for key in keys)
    return dg.RunRequest(
        # Run keys tell the requests of one tick apart. The time is part of the key, since a range may be requested
        # again.
        run_key=f"{names} {first} {last} {now:%Y-%m-%dT%H:%M:%S}",
        asset_selection=list(keys),
        asset_check_keys=[],  # the assets log the results that changed; see `_Materialization._run_checks`
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            REASON_TAG: Reason.SCHEDULE.value,
        },
    )
