"""Judging: all checks of an account at 12:35, also on a day when nothing ran.

Checks belong to the runs of their assets, and a run that never was judges nothing. Add nothing here for a new check:
it is an entry of `warehouse.checks.CHECKS`.
"""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from wx_datacube.catalog import BY_NAME, Period
from wx_datacube.environment import load_settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.orchestration.checks import check_results, evaluation
from wx_datacube.orchestration.event_log import stored_together
from wx_datacube.orchestration.failure import explained_failure
from wx_datacube.orchestration.freshness import deadline
from wx_datacube.orchestration.runs import REASON_TAG, Reason, tag_worker
from wx_datacube.orchestration.telling import telling
from wx_datacube.periods import BEIJING, Clock
from wx_datacube.troubles import TOKEN, Source, Trouble, Troubles, Urgency
from wx_datacube.warehouse.checks import DUE_LABELS_ARE_THERE, evidence_of_readers
from wx_datacube.warehouse.files import Warehouse


def build_judging(account: str, keys: Mapping[str, dg.AssetKey], clock: Clock) -> dg.ScheduleDefinition:
    """The job and schedule `<account>_checks` over the assets `keys` (by endpoint name); off by default."""
    name = f"{account}_checks"
    description = (
        "Judges all checks of the account's assets by the published file, so that it is noticed when nothing ran. It"
        " makes no call; a check that fails is flagged on its asset, and the run stays green."
        " 按已发布的数据文件执行该账号的全部检查，没有任务运行时也能发现问题；不调用微信。"
    )

    @dg.op(name=f"{account}_judge", description=description, out={})
    def judge(context: dg.OpExecutionContext) -> Iterator[dg.AssetCheckEvaluation]:
        yield from _judged(context, account, keys, clock)

    @dg.job(name=name, description=description, hooks=telling(account, "checks"))
    def job() -> None:
        judge()

    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=deadline(Period.DAY),
        execution_timezone=BEIJING.key,
        description=description,
        tags={REASON_TAG: Reason.SCHEDULE.value},
    )


def _judged(
    context: dg.OpExecutionContext, account: str, keys: Mapping[str, dg.AssetKey], clock: Clock
) -> Iterator[dg.AssetCheckEvaluation]:
    tag_worker(context.instance, context.run_id)
    try:
        settings = load_settings()
        endpoints = [BY_NAME[name] for name in keys]
        warehouse = Warehouse(settings.database, clock=clock)
        with evidence_of_readers(warehouse, account, settings.account(account).start, endpoints) as evidence:
            found = [result for each in endpoints for result in check_results(evidence, each, keys[each.name])]
    except WxDatacubeError as error:
        raise explained_failure(error) from None
    with stored_together(context.instance):
        yield from map(evaluation, found)
    flagged = [result for result in found if not result.passed]
    for result in flagged:
        context.log.warning(_said(result))
    _tell(context, Troubles(settings.database, settings.webhook, clock), account, keys, flagged)
    context.log.info(f"{len(found)} checks judged, {len(flagged)} flagged.")


def _said(result: dg.AssetCheckResult) -> str:
    assert result.asset_key is not None
    return f"{result.asset_key.to_user_string()}: {result.check_name}: {result.description}"


def _tell(
    context: dg.OpExecutionContext,
    troubles: Troubles,
    account: str,
    keys: Mapping[str, dg.AssetKey],
    flagged: Sequence[dg.AssetCheckResult],
) -> None:
    """Have what was flagged told; not that figures are missing where it is known, and told, why."""
    names = {key: name for name, key in keys.items()}
    known = troubles.subjects(account, Source.CALLS)
    found = [
        Trouble(str(result.check_name), names[result.asset_key], Urgency.PERSON, _said(result))
        for result in flagged
        if result.asset_key is not None
        and not (result.check_name == DUE_LABELS_ARE_THERE.name and known & {TOKEN, names[result.asset_key]})
    ]
    troubles.note(account, Source.CHECKS, list(keys), found, context.log.warning)
