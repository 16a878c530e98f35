"""Judging: all checks of an account at 12:35, also on a day when nothing ran.

Checks belong to the runs of their assets, and a run that never was judges nothing. Add nothing here for a new check:
it is an entry of `warehouse.checks.CHECKS`.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from wx_datacube.catalog import BY_NAME, Period
from wx_datacube.errors import WxDatacubeError
from wx_datacube.orchestration.checks import check_results, evaluation
from wx_datacube.orchestration.event_log import stored_together
from wx_datacube.orchestration.failure import explained_failure
from wx_datacube.orchestration.freshness import deadline
from wx_datacube.orchestration.runs import REASON_TAG, Reason, process_tags
from wx_datacube.periods import BEIJING, Clock
from wx_datacube.settings import load_settings
from wx_datacube.warehouse.checks import evidence_of_readers
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

    @dg.job(name=name, description=description)
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
    context.instance.add_run_tags(context.run_id, process_tags())
    try:
        settings = load_settings()
        endpoints = [BY_NAME[name] for name in keys]
        warehouse = Warehouse(settings.database, clock=clock)
        with evidence_of_readers(warehouse, account, settings.account(account).start, endpoints) as evidence:
            found = [result for each in endpoints for result in check_results(evidence, each, keys[each.name])]
    except WxDatacubeError as error:
        raise explained_failure(str(error)) from None
    with stored_together(context.instance):
        yield from map(evaluation, found)
    flagged = [result for result in found if not result.passed]
    for result in flagged:
        assert result.asset_key is not None
        context.log.warning(f"{result.asset_key.to_user_string()}: {result.check_name}: {result.description}")
    context.log.info(f"{len(found)} checks judged, {len(flagged)} flagged.")
