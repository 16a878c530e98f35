"""Scheduled checks: all checks of an account at 12:35, even on a day without a run.

Checks otherwise run with their assets, so on a day without a run nothing would be checked. At 12:35 a fetch may still
be under way, or the chat may be down, so labels are looked at again in the hours after. A new check needs no code here:
it is an entry of `warehouse.checks.CHECKS`.
"""

import datetime as dt
from collections.abc import Iterator, Mapping

import dagster as dg

from wx_datacube.alerts.attention import tell
from wx_datacube.alerts.store import Alert, Alerts, Source, Urgency
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.periods import BEIJING, SETTLED_HOUR, Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.orchestration.alert_hooks import telling
from wx_datacube.orchestration.checks import check_results, evaluation, in_short, subjects
from wx_datacube.orchestration.event_log import stored_together
from wx_datacube.orchestration.failure import explained_failure
from wx_datacube.orchestration.runs import REASON_TAG, Reason, tag_worker
from wx_datacube.warehouse.checks import DUE_LABELS_ARE_THERE, check_context_of_readers
from wx_datacube.warehouse.files import Warehouse


def build_judging(stem: str, account: str, keys: Mapping[str, dg.AssetKey], clock: Clock) -> dg.ScheduleDefinition:
    """Build the job and schedule `<stem>_checks` over the assets `keys` (by endpoint name); off by default."""
    name = f"{stem}_checks"
    description = (
        "Judges all checks of the account's assets by the published file, so that it is noticed when nothing ran. It"
        " makes no call; a check that fails is flagged on its asset, and the run stays green."
        " 按已发布的数据文件执行该账号的全部检查，没有任务运行时也能发现问题；不调用微信。"
    )

    @dg.op(name=f"{stem}_judge", description=description, out={})
    def judge(context: dg.OpExecutionContext) -> Iterator[dg.AssetCheckEvaluation]:
        yield from _judged(context, account, keys, clock)

    @dg.job(name=name, description=description, hooks=telling(account, "checks", clock))
    def job() -> None:
        judge()

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=_TICKS,
        execution_timezone=BEIJING.key,
        description=description,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        meant, now = context.scheduled_execution_time.astimezone(BEIJING).replace(tzinfo=None), clock()
        first = meant.hour == SETTLED_HOUR
        # Dagster makes up for ticks that a machine slept through. What they would flag is about to be fetched.
        if meant.date() < now.date() or (not first and now - meant > _STALE):
            return dg.SkipReason(f"The machine did not run at {meant:%Y-%m-%d %H:%M}. The next tick looks.")
        return (
            dg.RunRequest(tags={REASON_TAG: Reason.SCHEDULE.value}) if first else _looked_again(context, account, now)
        )

    return tick


_TICKS = "35 12-15 * * *"
"""Beijing time. The first tick runs the checks, after the last tick that fetches; see `freshness.deadline`."""
_STALE = dt.timedelta(minutes=30)
"""How late a tick after the first may come; a later one is skipped."""


def _looked_again(context: dg.ScheduleEvaluationContext, account: str, now: dt.datetime) -> dg.SkipReason:
    """Send alerts for what became overdue since 12:35 and those that the chat did not accept then; start no run."""
    notify = context.log.warning
    try:
        settings = load_settings()
        with Warehouse(settings.database).reading() as con:
            tell(con, settings, settings.account(account), now, notify)
    except WxDatacubeError as error:
        return dg.SkipReason(str(error))
    Alerts(settings.database, settings.webhook, lambda: now).deliver(notify)
    return dg.SkipReason("The checks were judged at 12:35. Labels that are missing were looked at again.")


def _judged(
    context: dg.OpExecutionContext, account: str, keys: Mapping[str, dg.AssetKey], clock: Clock
) -> Iterator[dg.AssetCheckEvaluation]:
    tag_worker(context.instance, context.run_id)
    notify = context.log.warning
    try:
        settings = load_settings()
        configured, endpoints = settings.account(account), [BY_NAME[name] for name in keys]
        warehouse = Warehouse(settings.database, clock=clock)
        with check_context_of_readers(
            warehouse, account, configured.start, endpoints, settings.daily_calls
        ) as evidence:
            found = [result for each in endpoints for result in check_results(evidence, each, keys[each.name])]
            attention = tell(evidence.con, settings, configured, evidence.now, notify)
    except WxDatacubeError as error:
        raise explained_failure(error) from None
    with stored_together(context.instance):
        yield from map(evaluation, found)
    flagged = [result for result in found if not result.passed]
    for result in flagged:
        notify(in_short(result))
    for text in dict.fromkeys(each.text for each in attention.alerts):
        notify(text)
    names = {key: name for name, key in keys.items()}
    troubles = [
        Alert(str(result.check_name), subject, Urgency.PERSON, in_short(result))
        for result in flagged
        # `tell` has already sent one alert for missing labels, with the reason, for all endpoints at once.
        if result.asset_key is not None and result.check_name != DUE_LABELS_ARE_THERE.name
        for subject in subjects(result, names[result.asset_key])
    ]
    Alerts(settings.database, settings.webhook, clock).note(account, Source.CHECKS, None, troubles, notify)
    context.log.info(f"{len(found)} checks judged, {len(flagged)} flagged.")
