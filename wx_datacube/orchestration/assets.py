"""Assets: one factory for all endpoints; an asset is a catalog entry, not code.

Add here what every run of an asset does around `Ingest.bring_in`: its metadata, its events, its end. Nothing about
calls, rows or windows belongs here. See https://docs.dagster.io/guides/build/assets.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from wx_datacube.catalog import ENDPOINTS, Endpoint, Family, Period
from wx_datacube.crew import Progress
from wx_datacube.errors import NotReady, QuotaExhausted, WxDatacubeError
from wx_datacube.ingest import LabelReport, Report
from wx_datacube.orchestration.checks import check_results, check_specs
from wx_datacube.orchestration.event_log import add_metadata, stored_together
from wx_datacube.orchestration.partitions import partitions_of
from wx_datacube.orchestration.runs import REASON_TAG, STOPPED_TAG, Reason, process_tags, wait_for_runs
from wx_datacube.settings import Settings, load_settings
from wx_datacube.warehouse.files import Warehouse

_WAITS = (NotReady, QuotaExhausted)


class FetchConfig(dg.Config):
    """Run configuration of an asset."""

    refresh: bool = False
    """Ask WeChat again for what is stored. 重新获取已保存的数据。"""


# Where several assets run together, days go before what a silent day makes superfluous, and hours, the dearest, last.
_PRIORITY = {Family.MESSAGES: 2, Family.SENDERS: 1, Family.HOURS: 0}


def build_asset(
    account: str, endpoint: Endpoint, start: dt.date, *, prefix: Sequence[str], group: str, owners: Sequence[str]
) -> dg.AssetsDefinition:
    """The asset of an account's endpoint, keyed `<prefix>/<account>/<endpoint>`."""
    key = dg.AssetKey([*prefix, account, endpoint.name])

    @dg.asset(
        key=key,
        description=_description(endpoint),
        metadata=_definition_metadata(endpoint),
        group_name=group,
        kinds={"duckdb", "wechat"},
        owners=list(owners),
        partitions_def=partitions_of(endpoint.period, start),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"wx_{account}",
        op_tags={"dagster/priority": str(_PRIORITY[endpoint.family])},
        check_specs=check_specs(key),
        required_resource_keys={resource_key(account)},
        output_required=False,
    )
    def materialize(
        context: dg.AssetExecutionContext, config: FetchConfig
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield from _Materialization(context, account, endpoint, config.refresh).events()

    return materialize


def resource_key(account: str) -> str:
    """The key of an account's `WeChatAccount` resource."""
    return f"wechat_{account}"


class _Materialization:
    """One run of one asset."""

    def __init__(self, context: dg.AssetExecutionContext, account: str, endpoint: Endpoint, refresh: bool) -> None:
        self._context = context
        self._account = account
        self._endpoint = endpoint
        self._refresh = refresh
        self._reason = context.run.tags.get(REASON_TAG)

    def events(self) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        """Bring the run's partitions in; events for what is there, and an end that tells the truth."""
        self._context.instance.add_run_tags(self._context.run.run_id, process_tags())
        settings, report = self._bring_in()
        warehouse = Warehouse(settings.database)
        checks = list(check_results(warehouse, self._account, self._endpoint, self._context.asset_key))
        if not report.undone:
            yield self._whole(report, checks)
        else:
            with stored_together(self._context.instance):
                for done in report.labels:
                    if done.there:
                        self._context.log_event(self._materialization(done))
            yield from self._partial(report, checks)

    def _bring_in(self) -> tuple[Settings, Report]:
        if self._endpoint.implied_by_silence:
            days = dg.AssetKey([*self._context.asset_key.path[:-1], ENDPOINTS[0].name])
            wait_for_runs(self._context.instance, days, self._context.run.run_id)
        try:
            settings = load_settings()
            for warning in settings.warnings:
                self._context.log.warning(warning)
            ingest = getattr(self._context.resources, resource_key(self._account)).ingest(settings)
            labels = [dt.date.fromisoformat(key) for key in self._context.partition_keys]
            again = None
            if self._refresh:
                wanted = {self._endpoint: labels}
                again = ingest.begin_refresh(wanted, labels[0], labels[-1], self._context.log.info)[self._endpoint]
            return settings, ingest.bring_in(
                self._endpoint,
                labels,
                run_id=self._context.run.run_id,
                refresh=again,
                by_hand=self._reason != Reason.SCHEDULE,
                progress=self._tell,
                say=self._context.log.info,
            )
        except WxDatacubeError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    def _whole(self, report: Report, checks: list[dg.AssetCheckResult]) -> dg.MaterializeResult[Any]:
        add_metadata(self._context, {done.label.isoformat(): _partition_metadata(done) for done in report.labels})
        self._context.log.info(_summary(report))
        return dg.MaterializeResult(metadata={"calls": report.calls}, check_results=checks)

    def _partial(self, report: Report, checks: list[dg.AssetCheckResult]) -> Iterator[dg.AssetCheckResult]:
        """What landed is logged; the rest fails, unless it only has to wait and we come back for it by ourselves."""
        if self._reason in list(Reason) and all(isinstance(each.error, _WAITS) for each in report.undone):
            self._context.log.info(f"{_summary(report)} {report.errors[0]}")
            yield from checks
            return
        for check in checks:
            self._context.log_event(_evaluation(check))
        error = report.errors[0]
        self._context.instance.add_run_tags(self._context.run.run_id, {STOPPED_TAG: type(error).__name__})
        raise dg.Failure(
            f"{_summary(report)} {error}",
            metadata={
                "there": len(report.labels) - len(report.undone),
                "missing": len(report.undone),
                "calls": report.calls,
                "why": dg.MetadataValue.md("\n".join(f"- {each}" for each in report.errors[:5])),
            },
            allow_retries=False,
        )

    def _materialization(self, done: LabelReport) -> dg.AssetMaterialization:
        return dg.AssetMaterialization(
            self._context.asset_key, partition=done.label.isoformat(), metadata=_partition_metadata(done)
        )

    def _tell(self, progress: Progress) -> None:
        rate = progress.calls / progress.seconds if progress.seconds else 0.0
        self._context.log.info(
            f"{progress.endpoint.name}: {len(progress.stored)} windows stored,"
            f" {progress.calls} calls so far, {rate:.0f} a second, {progress.left} windows left"
        )


def _evaluation(check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    assert check.asset_key is not None
    assert check.check_name is not None
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.check_name,
        passed=check.passed,
        metadata=check.metadata,
        severity=check.severity,
        description=check.description,
    )


def _summary(report: Report) -> str:
    there = len(report.labels) - len(report.undone)
    noun = {Period.DAY: "days", Period.WEEK: "weeks", Period.MONTH: "months"}[report.endpoint.period]
    return f"{there:,} of {len(report.labels):,} {noun} are there, {report.calls:,} calls."


def _partition_metadata(done: LabelReport) -> dict[str, Any]:
    """What the UI shows and plots for a partition."""
    found = done.coverage
    metadata: dict[str, Any] = {"dagster/partition_row_count": found.rows, "rows": found.rows}
    if found.messages is not None:
        metadata["messages"] = found.messages
    metadata[f"users ({found.users_of})"] = found.users
    metadata["state"] = found.state.value
    if found.call_id is not None:
        metadata["call_id"] = found.call_id
    return metadata


def _description(endpoint: Endpoint) -> str:
    return f"{endpoint.en}\n\n{endpoint.zh}"


def _definition_metadata(endpoint: Endpoint) -> dict[str, Any]:
    columns = [
        dg.TableColumn("account", "VARCHAR", "The account's name. 账号名称。"),
        *(dg.TableColumn(column.name, column.type, f"{column.en} {column.zh}") for column in endpoint.columns),
        dg.TableColumn("call_id", "BIGINT", "The call that brought the row, in datacube.api_calls. 来源调用编号。"),
    ]
    return {
        "dagster/table_name": f"datacube.{endpoint.name}",
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "max_span_days": endpoint.max_span_days,
    }
