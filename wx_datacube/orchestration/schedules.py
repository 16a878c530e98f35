"""Schedules: every morning, request what is to do, however it came to be left undone.

A tick makes no call to WeChat: it looks at the published file and at the Dagster instance, and requests runs. Dagster's
own schedules don't catch up on missed ticks; these do, since they ask what is missing instead of what is new. See
https://docs.dagster.io/guides/automate/schedules.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from wx_datacube.catalog import ENDPOINTS, Endpoint, Period
from wx_datacube.environment import load_settings
from wx_datacube.errors import BY_ERRCODE, WxDatacubeError, needs_person
from wx_datacube.orchestration.partitions import partitions_of
from wx_datacube.orchestration.runs import REASON_TAG, Reason, assets_at_work, end_dead_runs
from wx_datacube.periods import BEIJING, Clock, midnight_of
from wx_datacube.todo import to_do, together
from wx_datacube.troubles import Troubles
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.files import Warehouse

MORNINGS = "30 8-12 * * *"
"""Beijing time: figures come after 08:00, and are settled by noon."""
_MOST_RUNS = 10


def build_jobs(
    stem: str, assets: Mapping[str, dg.AssetsDefinition], resources: Mapping[str, Any]
) -> dict[Period, dg.JobDefinition]:
    """The jobs `<stem>_<daily|weekly|monthly>` over an account's assets (by endpoint name).

    Each is made among the account's own assets and resources: among those of a hundred accounts, whose every job would
    hold every account's resource, loading takes three times as long.
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
    """The schedule of a job over the assets `keys` (by endpoint name), which has its name; off by default."""
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint.period is period]

    @dg.schedule(
        name=job.name,
        job=job,
        cron_schedule=cron,
        execution_timezone=BEIJING.key,
        description=(
            f"Brings in every {period.value} that is missing, from WX_DATACUBE_START on, as the quota allows: switched"
            " on over an empty file it fetches the whole history. It makes no run when nothing is to do."
            f" 补齐自 WX_DATACUBE_START 起缺失的{_PERIODS[period]}数据，受每日调用次数限制；没有缺失时不运行。"
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
    midnight = midnight_of(now)
    try:
        settings = load_settings()
        configured = settings.account(account)
        start = configured.start
        troubles = Troubles(settings.database, settings.webhook, lambda: now)
        troubles.deliver(context.log.warning)  # what the chat did not take at the last tick, say
        if refused := troubles.token_refused(account, midnight):
            return dg.SkipReason(f"{refused} {_ON}")
        with Warehouse(settings.database).reading() as con:
            known.require_bound(con, account, configured.appid)
            states = known.states(con, account, start, now)
            stopped = {
                endpoint: configured.own(_stopped_today(con, account, endpoint, midnight, settings.daily_calls))
                for endpoint in keys
            }
            in_vain = {endpoint: known.asked_in_vain(con, account, endpoint, midnight) for endpoint in keys}
    except WxDatacubeError as error:
        return dg.SkipReason(str(error))
    at_work = assets_at_work(instance)
    todo: dict[Endpoint, list[dt.date]] = {}
    reasons: list[str] = []
    for endpoint, key in keys.items():
        if key in at_work:
            reasons.append(f"{endpoint.name}: a run is under way; the next tick looks again.")
        elif why := stopped[endpoint]:
            reasons.append(f"{endpoint.name}: {why}")
        else:
            done = materialized(instance, key, partitions_of(endpoint.period, start))
            # What is answered with nothing though it can't be nothing is asked for once a day, not at every tick.
            vain = {each for each in in_vain[endpoint] if states[endpoint.name].get(each) is known.State.MISSING}
            if vain:
                reasons.append(f"{endpoint.name}: WeChat left out {min(vain)} today; tomorrow's first tick asks again.")
            todo[endpoint] = [label for label in to_do(states[endpoint.name], done) if label not in vain]
    wanted = sorted(together(todo, states).items(), key=lambda each: each[0][1], reverse=True)[:_MOST_RUNS]
    if wanted:
        return [_request([keys[endpoint] for endpoint in endpoints], ends, now) for ends, endpoints in wanted]
    return dg.SkipReason(" ".join(reasons) or "Everything that is due is there and materialized.")


def _request(keys: Sequence[dg.AssetKey], ends: tuple[dt.date, dt.date], now: dt.datetime) -> dg.RunRequest:
    first, last = (label.isoformat() for label in ends)
    names = " ".join(key.to_user_string() for key in keys)
    return dg.RunRequest(
        # A tick that returns several requests must tell them apart; the same range may be requested again later.
        run_key=f"{names} {first} {last} {now:%Y-%m-%dT%H:%M:%S}",
        asset_selection=list(keys),
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            REASON_TAG: Reason.SCHEDULE.value,
        },
    )


def materialized(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: dg.TimeWindowPartitionsDefinition
) -> set[dt.date]:
    """The labels of an asset that this Dagster instance shows as materialized.

    One that had landed shows as failed when a later run over it was killed: it is to be materialized again.
    """
    found = instance.get_materialized_partitions(key)
    if instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1):
        states = instance.get_status_by_partition(key, partitions.get_partition_keys(), partitions) or {}
        found -= {partition for partition, state in states.items() if state is dg.AssetPartitionStatus.FAILED}
    return {dt.date.fromisoformat(partition) for partition in found}


_ON = "The schedule tries again tomorrow, or at the next tick once `wx-datacube doctor` has found it mended."


def _stopped_today(
    con: known.Connection, account: str, endpoint: Endpoint, midnight: dt.datetime, daily_calls: int | None
) -> str:
    """Why no call of the endpoint makes sense today by what the ledger says; empty if it does."""
    if daily_calls is not None and known.calls_since(con, account, midnight)[endpoint.name] >= daily_calls:
        return "WX_DATACUBE_DAILY_CALLS is used up. It goes on tomorrow."
    errors = known.standing_errors(con, account, endpoint).get((account, endpoint.name), {})
    for errcode, when in reversed(errors.items()):
        meaning = BY_ERRCODE.get(errcode)
        if meaning is not None and needs_person(errcode) and when >= midnight:
            return f"{meaning.message} {meaning.advice} {_ON}"
        if meaning is not None and errcode == known.QUOTA_USED_UP and when >= midnight + known.JUST_AFTER_MIDNIGHT:
            return f"{meaning.message} It goes on tomorrow."
    return ""
