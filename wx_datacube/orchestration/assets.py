"""Assets: one factory for all endpoints. An asset is a catalog entry, not code.

Add here what every run of an asset does around `Ingest.fetch_missing`: its metadata, its events, its outcome. Nothing
about calls, windows or rows belongs here. See https://docs.dagster.io/guides/build/assets.
"""

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from wx_datacube import catalog
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import NotReady, QuotaExhausted, WxDatacubeError
from wx_datacube.ingest.fetch_report import FetchReport, LabelReport
from wx_datacube.ingest.pool import Progress
from wx_datacube.language import Text
from wx_datacube.orchestration.alert_hooks import alert_hooks_for
from wx_datacube.orchestration.checks import check_outcomes, check_specs, evaluations_to_log, to_evaluation
from wx_datacube.orchestration.dagster_internals import add_metadata
from wx_datacube.orchestration.event_batches import batched_events
from wx_datacube.orchestration.failure import explained_failure
from wx_datacube.orchestration.freshness import freshness_of
from wx_datacube.orchestration.partitions import materialized_labels, partitions_of
from wx_datacube.orchestration.runs import REASON_TAG, Reason, Worker, tag_worker
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.checks import check_context_of_run
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse

FAMILY_TAG = "wx_datacube/family"
_RETRIED_LATER = (NotReady, QuotaExhausted)


_HOW_TO_CONTINUE = (
    "What landed stays materialized. To fetch the rest in Dagster's UI: Materialize > Failed and missing."
)


class FetchConfig(dg.Config):
    """Run configuration of an asset."""

    refresh: bool = False
    """Request labels again that are already stored. 重新获取已保存的数据。"""


def _priority(endpoint: Endpoint) -> int:
    """Return the asset's place in a run with several assets; the highest goes first.

    A silent day spares the calls of what depends on it. Endpoints that take the most calls go last.
    """
    return 0 if endpoint.takes_a_call_a_day else 1 if endpoint.implied_by_silence else 2


def build_asset(
    account: str,
    endpoint: Endpoint,
    partitions: dg.TimeWindowPartitionsDefinition,
    *,
    prefix: Sequence[str],
    group: str,
    owners: Sequence[str],
    clock: Clock,
) -> dg.AssetsDefinition:
    """Build the asset of one account's endpoint, keyed `<prefix>/<account>/<endpoint>`."""
    key = dg.AssetKey([*prefix, account, endpoint.name])

    spec = dg.AssetSpec(
        key,
        description=_description(endpoint),
        metadata=_definition_metadata(endpoint),
        group_name=group,
        kinds={"duckdb", "wechat"},
        tags={FAMILY_TAG: endpoint.family.value},
        owners=list(owners),
        partitions_def=partitions,
        freshness_policy=freshness_of(endpoint.period),
        skippable=True,
    )

    @dg.multi_asset(  # of one asset: `asset` can't be run without its checks, nor the checks without the asset
        name=key.to_python_identifier(),
        specs=[spec],
        check_specs=check_specs(key, endpoint),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"wx_{account}",
        op_tags={"dagster/priority": str(_priority(endpoint))},
        hooks=alert_hooks_for(account, endpoint.name, clock),
        required_resource_keys={resource_key(account)},
    )
    def materialize(
        context: dg.AssetExecutionContext, config: FetchConfig
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield from _Materialization(context, key, account, endpoint, config.refresh, clock).events()

    return materialize


def resource_key(account: str) -> str:
    """Return the key of an account's `WeChatAccount` resource."""
    return f"wechat_{account}"


class _Materialization:
    """One run of one asset."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        key: dg.AssetKey,
        account: str,
        endpoint: Endpoint,
        refresh: bool,
        clock: Clock,
    ) -> None:
        self._context = context
        self._key = key
        self._account = account
        self._endpoint = endpoint
        self._refresh = refresh
        self._clock = clock
        self._run = _run_of(context)
        self._reason = self._run.tags.get(REASON_TAG) if self._run else None

    def events(self) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        """Fetch the run's partitions and yield the asset's events.

        If any label is unresolved, only the stored labels are materialized, and the step fails unless the rest is
        retried automatically (see `_incomplete_events`).
        """
        if self._run:
            tag_worker(self._context.instance, self._run.run_id)
        try:
            settings = load_settings()
            if self._run and not self._context.selected_asset_keys:
                yield from self._run_checks(settings)[0]  # somebody wants checks alone, which make no call
                return
            report = self._fetch_labels(settings)
            checks, rows = self._run_checks(settings)
        except WxDatacubeError as error:
            raise explained_failure(error) from None
        done = self._to_materialize(report, settings.account(self._account))
        if not report.unresolved and len(done) == len(report.labels):
            yield from self._complete_events(report, rows, checks)
            return
        with batched_events(self._context.instance):
            for each in done:
                self._context.log_event(self._materialization(each, rows))
        if report.unresolved:
            yield from self._incomplete_events(report, checks)
        else:
            self._context.log.info(_summary(report))
            yield from checks

    def _run_checks(self, settings: Settings) -> tuple[list[dg.AssetCheckResult], dict[str, int]]:
        """Run the checks; return the results of those that the run planned, and the metadata with the rows stored.

        A schedule's run plans none, since planned checks were two thirds of Dagster's history of a morning. The other
        results are logged here if they say anything new.
        """
        warehouse, account = Warehouse(settings.database, clock=self._clock), settings.account(self._account)
        with check_context_of_run(warehouse, account, self._endpoint, settings.daily_calls) as check_context:
            found = [each.result for each in check_outcomes(check_context, self._endpoint, self._key)]
            rows = {"dagster/row_count": known.rows_stored(check_context.con, self._account, self._endpoint)}
        passed = [str(each.check_name) for each in found if each.passed]
        Alerts(settings.database).note_passed_checks(self._account, self._endpoint.name, passed)
        if self._run is None:
            return found, rows
        planned = {key.name for key in self._context.selected_asset_check_keys}
        for each in evaluations_to_log(self._context.instance, [x for x in found if x.check_name not in planned]):
            self._context.log_event(each)
        return [each for each in found if each.check_name in planned], rows

    def _to_materialize(self, report: FetchReport, account: Account) -> list[LabelReport]:
        """Return the labels that get a materialization event: those that are stored.

        A scheduled run covers labels that it has nothing new about, as its range spans all open labels. These get no
        event.
        """
        stored = [each for each in report.labels if each.is_stored]
        if self._reason != Reason.SCHEDULE:
            return stored
        partitions = partitions_of(self._endpoint, account.start)
        known_to_dagster = materialized_labels(self._context.instance, self._key, partitions)
        return [each for each in stored if each.label in report.changed or each.label not in known_to_dagster]

    @property
    def _of_a_backfill(self) -> bool:
        """Whether this process runs the asset for `wx-datacube backfill`, which publishes by itself.

        A backfill's run that is re-executed elsewhere is not such a run: it has to publish.
        """
        if self._run is None or self._reason not in (Reason.BACKFILL, Reason.REFRESH):
            return False
        return Worker.of_run(self._run) == Worker.of(os.getpid()) is not None

    def _fetch_labels(self, settings: Settings) -> FetchReport:
        for warning in settings.warnings:
            self._context.log.warning(str(warning))
        ingest = getattr(self._context.resources, resource_key(self._account)).ingest(settings)
        ingest = replace(ingest, publishing=not self._of_a_backfill, clock=self._clock)
        labels = [dt.date.fromisoformat(key) for key in self._context.partition_keys]
        again = None
        if self._refresh:
            wanted = {self._endpoint: labels}
            again = ingest.begin_refresh(wanted, labels[0], labels[-1], self._log_text)[self._endpoint]
        report: FetchReport = ingest.fetch_missing(
            self._endpoint,
            labels,
            run_id=self._run.run_id if self._run else "direct call",
            refresh=again,
            manual=self._reason != Reason.SCHEDULE,
            progress=self._log_progress,
            notify=self._log_text,
        )
        return report

    def _complete_events(
        self, report: FetchReport, rows: dict[str, int], checks: list[dg.AssetCheckResult]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        self._context.log.info(_summary(report))
        if self._run is None:  # outside a run, Dagster doesn't look for checks inside a result
            yield dg.MaterializeResult(metadata=rows)
            yield from checks
            return
        add_metadata(self._context, {done.label.isoformat(): _partition_metadata(done) for done in report.labels})
        yield dg.MaterializeResult(metadata=rows, check_results=checks)

    def _incomplete_events(
        self, report: FetchReport, checks: list[dg.AssetCheckResult]
    ) -> Iterator[dg.AssetCheckResult]:
        """Fail the step because labels are unresolved; if they are retried automatically, yield checks and don't fail.

        They are retried if a schedule or one of our commands launched the run (it has a `Reason`), and every unresolved
        label only waits for WeChat to publish it or for tomorrow's quota.
        """
        if self._reason in list(Reason) and all(isinstance(each.error, _RETRIED_LATER) for each in report.unresolved):
            self._context.log.info(f"{_summary(report)} {report.errors[0]}")
            yield from checks
            return
        if self._run:
            for check in checks:
                self._context.log_event(to_evaluation(check))
        error = report.errors[0]
        others = [str(each) for each in report.errors[1:5]]
        raise explained_failure(
            error,
            f"{_summary(report)} {error} {_HOW_TO_CONTINUE}",
            {
                "there": len(report.labels) - len(report.unresolved),
                "not done": len(report.unresolved),
                "calls": report.calls,
                **({"other reasons": " / ".join(others)} if others else {}),
            },
        )

    def _materialization(self, done: LabelReport, rows: dict[str, int]) -> dg.AssetMaterialization:
        return dg.AssetMaterialization(
            self._key, partition=done.label.isoformat(), metadata=rows | _partition_metadata(done)
        )

    def _log_text(self, text: Text) -> None:
        self._context.log.info(str(text))

    def _log_progress(self, progress: Progress) -> None:
        """Log one line per commit, which is about one per second; `extra` holds the figures for log collectors."""
        labels = sorted(label for window in progress.stored for label in window.asked)
        stored = f"{labels[0]} to {labels[-1]}, {_counted(len(labels), progress.endpoint)}" if labels else "nothing"
        rate = progress.calls / progress.seconds if progress.seconds else 0.0
        self._context.log.info(
            f"{progress.endpoint.name}: stored {stored}; so far {progress.calls:,} calls, {progress.rows:,} rows,"
            f" {rate:.0f} calls per second; {progress.left:,} calls to go.",
            extra={
                "wx_datacube": {
                    "endpoint": progress.endpoint.name,
                    "labels": [label.isoformat() for label in labels],
                    "calls": progress.calls,
                    "rows": progress.rows,
                    "calls_a_second": round(rate, 1),
                    "left": progress.left,
                }
            },
        )


def _run_of(context: dg.AssetExecutionContext) -> dg.DagsterRun | None:
    """Return the run, or None if the asset is called directly, as in a unit test."""
    try:
        return context.run
    except dg.DagsterError:
        return None


def _summary(report: FetchReport) -> str:
    there = len(report.labels) - len(report.unresolved)
    calls = "1 call" if report.calls == 1 else f"{report.calls:,} calls"
    return f"{there:,} of {_counted(len(report.labels), report.endpoint)} stored, {calls}."


def _counted(labels: int, endpoint: Endpoint) -> str:
    return f"{labels:,} {endpoint.period.value}{'' if labels == 1 else 's'}"


def _partition_metadata(done: LabelReport) -> dict[str, Any]:
    """Return the metadata that the UI shows for a partition.

    Dagster plots every number, so a value that makes no useful plot is text.
    """
    found = done.coverage
    metadata: dict[str, Any] = {"dagster/partition_row_count": found.rows} | dict(found.figures)
    metadata["state"] = _STATES[found.state] if found.final else "open: WeChat may still change it"
    if found.call_id is not None:
        metadata["answer"] = (
            f"call_id {found.call_id} of datacube.api_calls, {found.fetched_at:%Y-%m-%d %H:%M} in Beijing"
        )
    return metadata


_STATES = {
    State.LANDED: "landed",
    State.EMPTY: "empty: WeChat has no data for it",
    State.IMPLIED: "implied: not requested, since nothing happened that day",
}


def _description(endpoint: Endpoint) -> str:
    span = endpoint.max_span_days
    again, again_zh = "", ""
    if endpoint.has_delay:
        again, again_zh = ", or if WeChat said that it is delayed", "或微信标明尚未更新完毕（is_delay）"
    if endpoint.grows:
        days = ", ".join(map(str, endpoint.asked_again))
        again += f", and on days {days} after publication, as its figures grow"
        again_zh += f"，或到了发表后第 {days} 天（数据仍在增长）"
    return "\n\n".join(
        (
            endpoint.en,
            endpoint.zh,
            f"A call covers {span} day{'' if span == 1 else 's at most'}."
            f" Stored data is requested again only by a run with `refresh: true`{again}.",
            f"每次调用最多 {span} 天；已保存的数据只有在运行配置为 `refresh: true` {again_zh}时才会重新请求。",
        )
    )


def _module_of(endpoint: Endpoint) -> str:
    """Return the file with the endpoint's entry in the catalog."""
    return str(Path(catalog.__file__).with_name(f"{endpoint.family}.py"))


def _definition_metadata(endpoint: Endpoint) -> dict[str, Any]:
    columns = [
        dg.TableColumn("account", "VARCHAR", "The account's name. 账号名称。"),
        *(dg.TableColumn(column.name, column.type, f"{column.en} {column.zh}") for column in endpoint.columns),
        dg.TableColumn("call_id", "BIGINT", "The call that returned the row, in datacube.api_calls. 来源调用编号。"),
    ]
    return {
        "dagster/table_name": f"datacube.{endpoint.name}",
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/code_references": dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(file_path=_module_of(endpoint), label=f"{endpoint.family}.py"),
                dg.LocalFileCodeReference(file_path=__file__, label="assets.py"),
            ]
        ),
    }
