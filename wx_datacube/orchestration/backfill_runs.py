"""Materialize: the second process of a backfill, which makes the Dagster runs while the first one fetches.

In one process, fetching and Dagster's events would share an interpreter, and so a core. Add here what concerns those
runs; what a run does is in `assets`. `backfill_process` starts this process and talks to it.
"""

import datetime as dt
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import Connection
from uuid import uuid4

import dagster as dg

from wx_datacube.catalog.model import Endpoint
from wx_datacube.config.environment import load_settings
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.language import Text
from wx_datacube.operations.backfill_protocol import Backlog, Batch, Run, Scope, States
from wx_datacube.operations.pending import Range, pending_labels, ranges
from wx_datacube.orchestration.backfill_process import SHUTDOWN_SECONDS
from wx_datacube.orchestration.code_location import build_defs
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.partitions import materialized_labels, partitions_of
from wx_datacube.orchestration.prefixes import Prefix, known_prefixes, stem
from wx_datacube.orchestration.runs import QUIET_RUN_CONFIG, REASON_TAG, Reason, end_dead_runs, worker_tags
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.open_labels import turns_due


@dataclass(frozen=True, slots=True)
class DagsterRuns:
    """The runs of one account's backfill in a Dagster instance, under one of the project's key prefixes."""

    instance: dg.DagsterInstance
    settings: Settings
    account: Account
    scope: Scope
    now: dt.datetime
    prefix: Prefix = ()

    def backlog(self) -> Backlog:
        """Return the backlog of the labels in scope; first end runs whose process is gone."""
        end_dead_runs(self.instance)
        with Warehouse(self.settings.database).reading_committed() as con:
            found = self.scope.of(known.states(con, self.account, self.now))
            turns = turns_due(con, self.account.name, self.now)
        materialized = self.materialized(found)
        labels = sum(
            len(pending_labels(states, materialized[endpoint], turns[endpoint.name]))
            for endpoint, states in found.items()
        )
        return Backlog(labels, sum(map(len, materialized.values())))

    def materialized(self, states: Mapping[Endpoint, States]) -> dict[Endpoint, set[dt.date]]:
        """Return which of these labels are materialized in Dagster."""
        return {endpoint: self._materialized_labels(endpoint) & labels.keys() for endpoint, labels in states.items()}

    def materialize(self, batch: Batch) -> Iterator[Run]:
        """Materialize what is stored but not materialized, in as few ranges as possible; yield each run.

        No range holds a missing label.
        """
        if pending := self._ranges(batch):
            job = self._job(batch.endpoint)
            for each in pending:
                yield self._run(job, batch.endpoint, each)

    def _ranges(self, batch: Batch) -> list[Range]:
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
        pending = pending_labels(there, self._materialized_labels(batch.endpoint), batch.changed)
        return ranges(pending, states)

    def _states(self, endpoint: Endpoint) -> States:
        with Warehouse(self.settings.database).reading_committed() as con:
            found = known.states(con, self.account, self.now, endpoint)
        return self.scope.within(endpoint, found[endpoint.name])

    def _materialized_labels(self, endpoint: Endpoint) -> set[dt.date]:
        partitions = partitions_of(endpoint, self.account.start)
        return materialized_labels(self.instance, self._key(endpoint), partitions)

    def _key(self, endpoint: Endpoint) -> dg.AssetKey:
        return dg.AssetKey([*self.prefix, self.account.name, endpoint.name])

    def _job(self, endpoint: Endpoint) -> dg.JobDefinition:
        defs = build_defs(accounts=[self.account.name], key_prefix=self.prefix)
        job = defs.resolve_implicit_job_def_def_for_assets([self._key(endpoint)])
        assert job is not None
        return job

    def _run(self, job: dg.JobDefinition, endpoint: Endpoint, covered: Range) -> Run:
        run_id = str(uuid4())
        outcome = job.execute_in_process(
            run_id=run_id,
            instance=self.instance,
            asset_selection=[self._key(endpoint)],
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
        failure = None
        if not outcome.success:
            failure = Text(
                "Dagster run {run} failed. {reason}",
                "Dagster 运行 {run} 失败。{reason}",
                run=outcome.run_id,
                reason=_failure(outcome),
            )
        return Run(endpoint, "/".join(self._key(endpoint).path) if self.prefix else endpoint.name, covered, failure)


def _failure(outcome: dg.ExecuteInProcessResult) -> str:
    errors = [event.step_failure_data.error for event in outcome.all_events if event.is_step_failure]
    return errors[0].message.strip() if errors and errors[0] else ""


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


def serve(connection: Connection) -> None:
    """Serve requests until the other side is gone, which is noticed between two runs so that none is cut off."""
    name, scope, now = connection.recv()
    settings = load_settings()
    with project_instance(settings.require_project()) as instance:
        prefixes = known_prefixes(instance, name)
        runs = [DagsterRuns(instance, settings, settings.account(name), scope, now, prefix) for prefix in prefixes]
        backlogs = [each.backlog() for each in runs]
        connection.send(Backlog(sum(each.labels for each in backlogs), max(each.materialized for each in backlogs)))
        while True:
            batch = connection.recv()
            for run in chain.from_iterable(each.materialize(batch) for each in runs):
                connection.send(run)
            connection.send(None)


def _end_with_parent(lifeline: int) -> None:
    """Wait until the parent process is done or gone, then kill the process group after `SHUTDOWN_SECONDS`.

    The current run may finish in that time. It may also be waiting for a lock, a database or a disk.
    """
    os.read(lifeline, 1)
    time.sleep(SHUTDOWN_SECONDS)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Serve on two inherited descriptors: `python -m wx_datacube.orchestration.backfill_runs CONNECTION LIFELINE`."""
    threading.Thread(target=_end_with_parent, args=[int(sys.argv[2])], daemon=True).start()
    with Connection(int(sys.argv[1])) as connection, suppress(EOFError, ConnectionError):
        try:
            serve(connection)
        except WxDatacubeError as error:
            connection.send(error)


if __name__ == "__main__":
    main()
