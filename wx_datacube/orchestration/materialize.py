"""Materialize: the Dagster runs of a backfill, in the process that fetches.

Add here what concerns those runs; what a run does is in `assets`.
"""

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import dagster as dg

from wx_datacube.catalog.endpoints import Endpoint
from wx_datacube.config.settings import Account, Settings
from wx_datacube.operations.backfill_protocol import Backlog, Batch, Run, Scope, States
from wx_datacube.operations.pending import Range, pending_labels, ranges
from wx_datacube.orchestration.code_location import build_defs
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.partitions import partitions_of
from wx_datacube.orchestration.prefixes import Prefix, known_prefixes, stem
from wx_datacube.orchestration.runs import QUIET_RUN_CONFIG, REASON_TAG, Reason, end_dead_runs, worker_tags
from wx_datacube.orchestration.schedules import materialized_labels
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse


@dataclass(frozen=True, slots=True)
class DagsterRuns:
    """The runs of one account's backfill in a Dagster instance, under each of the project's key prefixes."""

    instance: dg.DagsterInstance
    settings: Settings
    account: Account
    scope: Scope
    now: dt.datetime
    prefixes: Sequence[Prefix] = ((),)

    def backlog(self) -> Backlog:
        """Return the backlog of the labels in scope; first end runs whose process is gone."""
        end_dead_runs(self.instance)
        with Warehouse(self.settings.database).reading_committed() as con:
            found = self.scope.of(known.states(con, self.account.name, self.account.start, self.now))
        by_prefix = [self._materialized(prefix, found) for prefix in self.prefixes]
        pending = sum(len(pending_labels(found[each], labels)) for by in by_prefix for each, labels in by.items())
        return Backlog(pending, _most(by_prefix))

    def materialized(self, states: Mapping[Endpoint, States]) -> int:
        """Return how many of these labels are materialized in Dagster, under the prefix that has most of them."""
        return _most([self._materialized(prefix, states) for prefix in self.prefixes])

    def materialize(self, batch: Batch) -> Iterator[Run]:
        """Materialize what is stored but not materialized, in as few ranges as possible; yield each run.

        No range holds a missing label.
        """
        for prefix in self.prefixes:
            if pending := self._ranges(prefix, batch):
                job = self._job(prefix, batch.endpoint)
                for each in pending:
                    yield self._run(job, prefix, batch.endpoint, each)

    def _ranges(self, prefix: Prefix, batch: Batch) -> list[Range]:
        """Return the ranges to materialize.

        Labels arrive newest first. While more are coming, only those after the newest missing label count: older gaps
        are about to close.
        """
        states = self._states(batch.endpoint)
        there = {label: state for label, state in states.items() if state is not State.MISSING}
        if not batch.complete:
            frontier = max((label for label in states if label not in there), default=dt.date.min)
            there = {label: state for label, state in there.items() if label > frontier}
        if self.scope.refresh:
            return ranges(batch.answered & there.keys(), states)
        return ranges(pending_labels(there, self._materialized_labels(prefix, batch.endpoint)), states)

    def _states(self, endpoint: Endpoint) -> States:
        with Warehouse(self.settings.database).reading_committed() as con:
            found = known.states(con, self.account.name, self.account.start, self.now, endpoint)
        return self.scope.within(endpoint, found[endpoint.name])

    def _materialized(self, prefix: Prefix, states: Mapping[Endpoint, States]) -> dict[Endpoint, set[dt.date]]:
        return {each: self._materialized_labels(prefix, each) & labels.keys() for each, labels in states.items()}

    def _materialized_labels(self, prefix: Prefix, endpoint: Endpoint) -> set[dt.date]:
        partitions = partitions_of(endpoint.period, self.account.start)
        return materialized_labels(self.instance, self._key(prefix, endpoint), partitions)

    def _key(self, prefix: Prefix, endpoint: Endpoint) -> dg.AssetKey:
        return dg.AssetKey([*prefix, self.account.name, endpoint.name])

    def _job(self, prefix: Prefix, endpoint: Endpoint) -> dg.JobDefinition:
        defs = build_defs(accounts=[self.account.name], key_prefix=prefix)
        job = defs.resolve_implicit_job_def_def_for_assets([self._key(prefix, endpoint)])
        assert job is not None
        return job

    def _run(self, job: dg.JobDefinition, prefix: Prefix, endpoint: Endpoint, covered: Range) -> Run:
        run_id = str(uuid4())
        outcome = job.execute_in_process(
            run_id=run_id,
            instance=self.instance,
            asset_selection=[self._key(prefix, endpoint)],
            raise_on_error=False,
            run_config=QUIET_RUN_CONFIG,
            tags={
                "dagster/asset_partition_range_start": covered.first.isoformat(),
                "dagster/asset_partition_range_end": covered.last.isoformat(),
                REASON_TAG: (Reason.REFRESH if self.scope.refresh else Reason.BACKFILL).value,
                # Tagged at launch: the process may be killed before the run can tag itself.
                **worker_tags(run_id, os.getpid()),
            },
        )
        failure = None if outcome.success else f"Dagster run {outcome.run_id} failed. {_failure(outcome)}"
        return Run(endpoint, "/".join(self._key(prefix, endpoint).path) if prefix else endpoint.name, covered, failure)


def _most(by_prefix: Sequence[Mapping[Endpoint, set[dt.date]]]) -> int:
    return max(sum(map(len, labels.values())) for labels in by_prefix)


def _failure(outcome: dg.ExecuteInProcessResult) -> str:
    errors = [event.step_failure_data.error for event in outcome.all_events if event.is_step_failure]
    return errors[0].message.strip() if errors and errors[0] else ""


@contextmanager
def dagster_runs(settings: Settings, account: Account, scope: Scope, now: dt.datetime) -> Iterator[DagsterRuns]:
    """Open the project's Dagster instance for the runs of a backfill.

    Raises `WarehouseError` if its history can't be read or written, on opening or while the runs are made.
    """
    os.environ |= PLANNED_EVENTS
    with project_instance(settings.require_project()) as instance:
        yield DagsterRuns(instance, settings, account, scope, now, known_prefixes(instance, account.name))


PLANNED_EVENTS = {"DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}
"""Makes Dagster emit one planned event per run instead of one per partition.

This saves 2 s in twelve years, and a run that fails leaves partitions that were materialized earlier as they were. It
is set only here, because the page of a backfill launched from the UI relies on the events per partition.
"""


def run_checks_now(settings: Settings, account: str) -> None:
    """Run the job `<account>_checks` once, in the Dagster instance of the project folder, under each prefix."""
    with project_instance(settings.require_project()) as instance:
        for prefix in known_prefixes(instance, account):
            run_id = str(uuid4())
            defs = build_defs(accounts=[account], key_prefix=prefix)
            defs.resolve_job_def(f"{stem(prefix, account)}_checks").execute_in_process(
                run_id=run_id,
                instance=instance,
                raise_on_error=False,
                run_config=QUIET_RUN_CONFIG,
                tags={REASON_TAG: Reason.REFRESH.value, **worker_tags(run_id, os.getpid())},
            )
