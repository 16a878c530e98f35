"""Scheduled checks: all checks of one or more accounts at 12:35, even on a day without a run.

Checks otherwise run with their assets, so on a day without a run nothing would be checked. At 12:35 a fetch may still
be in progress, or the chat may be down, so missing labels are checked again in the hours after. The hours are in
`catalog.periods`. A new check needs no code here: it is an entry of `warehouse.checks.CHECKS`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence

import dagster as dg

from wx_datacube.alerts.alert import Alert, Source, Urgency
from wx_datacube.alerts.missing_labels import Attention, note_and_send
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import DAILY_MESSAGES
from wx_datacube.catalog.periods import BEIJING, CHECK_TICK, LAST_CHECK_TICK, Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.language import Text
from wx_datacube.operations.heartbeat import beat
from wx_datacube.orchestration.alert_hooks import alert_hooks_for, log_of
from wx_datacube.orchestration.checks import CheckOutcome, check_outcomes, evaluations_to_log
from wx_datacube.orchestration.event_batches import batched_events
from wx_datacube.orchestration.failure import explained_failure
from wx_datacube.orchestration.prefixes import stem
from wx_datacube.orchestration.runs import REASON_TAG, Reason, tag_worker
from wx_datacube.warehouse.checks import DUE_LABELS_ARE_THERE, check_context_of_readers
from wx_datacube.warehouse.files import Warehouse


def build_check_schedule(
    name: str, keys: Mapping[str, Mapping[str, dg.AssetKey]], prefix: Sequence[str], clock: Clock
) -> dg.ScheduleDefinition:
    """Build the job and schedule `name` over all assets in `keys`, by account and endpoint name; off by default.

    The job has an op for each account, so one account's failure keeps no other from being checked.
    """
    description = (
        "Runs all checks of the assets on the published file, so that you notice when nothing ran. It makes no call. A"
        " failed check is shown on its asset; this run succeeds all the same."
        " 对已发布的数据文件执行全部检查，没有任务运行时也能发现问题；不调用微信。"
        "未通过的检查显示在对应资产上，本次运行仍为成功。"
    )
    judges = [_judge(account, own, stem(tuple(prefix), account), description, clock) for account, own in keys.items()]

    @dg.job(name=name, description=description)
    def job() -> None:
        for judge in judges:
            judge()

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=_CRON,
        execution_timezone=BEIJING.key,
        description=description,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        planned, now = context.scheduled_execution_time.astimezone(BEIJING).replace(tzinfo=None), clock()
        first = planned.hour == CHECK_TICK.hour
        # Dagster catches up on the ticks of a machine that slept. What they would report as missing is about to be
        # fetched.
        if planned.date() < now.date() or (not first and now - planned > _STALE):
            return dg.SkipReason(_NOT_RUNNING.fill(planned=planned).both())
        if first:
            return dg.RunRequest(tags={REASON_TAG: Reason.SCHEDULE.value})
        return _recheck_missing(context, keys, now)

    return tick


def _judge(
    account: str, keys: Mapping[str, dg.AssetKey], own: str, description: str, clock: Clock
) -> dg.PendingNodeInvocation[dg.OpDefinition]:
    """Return the op `<own>_judge`, which evaluates the checks of an account, with the hooks of its alerts."""

    @dg.op(name=f"{own}_judge", description=description, out={})
    def judge(context: dg.OpExecutionContext) -> Iterator[dg.AssetCheckEvaluation]:
        yield from _evaluate_checks(context, account, keys, clock)

    return judge.with_hooks(alert_hooks_for(account, "checks", clock))


_CRON = f"{CHECK_TICK.minute} {CHECK_TICK.hour}-{LAST_CHECK_TICK.hour} * * *"
"""Beijing time. The first tick runs the checks, after the last tick that fetches; see `freshness.deadline`."""
_STALE = dt.timedelta(minutes=30)
"""How late a tick after the first may come; a later one is skipped."""


def _recheck_missing(context: dg.ScheduleEvaluationContext, accounts: Iterable[str], now: dt.datetime) -> dg.SkipReason:
    """Send alerts for labels that became overdue after 12:35, and those that the chat refused then; start no run."""
    notify = log_of(context)
    try:
        settings = load_settings()
        with Warehouse(settings.database).open_published() as con:
            for account in accounts:
                note_and_send(con, settings, settings.account(account), now, notify)
    except WxDatacubeError as error:
        return dg.SkipReason(error.text.both())
    Alerts(settings.database, settings.webhook, lambda: now).deliver(notify)
    beat(settings, now, notify, is_tick=True)
    return dg.SkipReason(_CHECKED_AGAIN.both())


_NOT_RUNNING = Text(
    "Dagster was not running at {planned:%Y-%m-%d %H:%M}. The next tick checks again.",
    "{planned:%Y-%m-%d %H:%M} 时 Dagster 没有运行，下一次触发时再检查。",
)
_CHECKED_AGAIN = Text(
    "The checks ran at {time:%H:%M}. This tick only checked again which labels are missing.",
    "检查已在 {time:%H:%M} 执行，本次触发只重新检查哪些数据缺失。",
    time=CHECK_TICK,
)


def _is_said(outcome: CheckOutcome, endpoint: str, attention: Attention) -> bool:
    """Return whether a doubt is about a day without messages that `note_and_send` has sent a note about."""
    said = {each.subject for each in attention.late}
    is_silent = endpoint == DAILY_MESSAGES.name and {each.ref_date for each in outcome.findings} <= said
    return outcome.check.is_doubt and is_silent


def _evaluate_checks(
    context: dg.OpExecutionContext, account: str, keys: Mapping[str, dg.AssetKey], clock: Clock
) -> Iterator[dg.AssetCheckEvaluation]:
    tag_worker(context.instance, context.run_id)
    notify = log_of(context)
    try:
        settings = load_settings()
        configured, endpoints = settings.account(account), [BY_NAME[name] for name in keys]
        warehouse = Warehouse(settings.database, clock=clock)
        with check_context_of_readers(warehouse, configured, endpoints, settings.daily_calls) as check_context:
            found = [outcome for each in endpoints for outcome in check_outcomes(check_context, each, keys[each.name])]
            attention = note_and_send(check_context.con, settings, configured, check_context.now, notify)
    except WxDatacubeError as error:
        raise explained_failure(error) from None
    with batched_events(context.instance):
        yield from evaluations_to_log(context.instance, [each.result for each in found])
    failed = [outcome for outcome in found if outcome.findings]
    for outcome in failed:
        notify(outcome.summary)
    for text in dict.fromkeys(each.text for each in attention.alerts):
        notify(text)
    names = {key: name for name, key in keys.items()}
    alerts = [
        Alert(
            outcome.check.name,
            subject,
            Urgency.NOTE if outcome.check.is_doubt else Urgency.PERSON,
            outcome.summary,
        )
        for outcome in failed
        # `note_and_send` has already sent one alert for missing labels, with the reason, for all endpoints at once.
        if outcome.check is not DUE_LABELS_ARE_THERE and not _is_said(outcome, names[outcome.key], attention)
        for subject in outcome.alert_subjects(names[outcome.key])
    ]
    Alerts(settings.database, settings.webhook, clock).note(account, Source.CHECKS, None, alerts, notify)
    beat(settings, clock(), notify, is_tick=True)
    context.log.info(f"{len(found)} checks run, {len(failed)} failed.")
