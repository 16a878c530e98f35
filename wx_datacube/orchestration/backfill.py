"""Backfill: everything that is to do, as Dagster runs in this process, recorded where `dagster dev` shows them.

`Backfill.run` decides on order and ranges alone; what is to do is decided in `todo`, what to call in `ingest`. The
terminal is the business of `cli`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from wx_datacube.catalog import ENDPOINTS, Endpoint, Family
from wx_datacube.crew import Progress
from wx_datacube.definitions import build_defs
from wx_datacube.ingest import Ingest, Report
from wx_datacube.orchestration.assets import resource_key
from wx_datacube.orchestration.runs import REASON_TAG, Reason, end_dead_runs
from wx_datacube.orchestration.schedules import materialized
from wx_datacube.settings import Account, Settings
from wx_datacube.todo import Range, ranges, to_do
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.windows import plan_windows

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

States = Mapping[str, Mapping[dt.date, State]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a backfill is about: due labels from `start` (None: the whole history) to `end`, of these endpoints."""

    start: dt.date | None = None
    end: dt.date | None = None
    endpoints: Sequence[Endpoint] = ENDPOINTS
    refresh: bool = False

    def of(self, states: States) -> dict[Endpoint, dict[dt.date, State]]:
        """The states of the labels in scope, by endpoint."""
        return {
            endpoint: {label: state for label, state in states[endpoint.name].items() if self._holds(label)}
            for endpoint in self.endpoints
        }

    def _holds(self, label: dt.date) -> bool:
        return (self.start is None or label >= self.start) and (self.end is None or label <= self.end)


class Watch(Protocol):
    """Who wants to know how a backfill gets on."""

    def planned(self, labels: int, calls: int) -> None:
        """So many partitions are to do, which takes so many calls at most."""

    def progress(self, news: Progress) -> None:
        """Something was stored."""

    def ran(self, endpoint: Endpoint, wanted: Range, report: Report | None) -> None:
        """A Dagster run ended; without a report it never came to asking."""


@dataclass(slots=True)
class Backfill:
    """One account's backfill in a Dagster instance; `reports` and `failures` are what its runs ended with."""

    instance: dg.DagsterInstance
    settings: Settings
    account: Account
    scope: Scope
    now: dt.datetime
    watch: Watch
    reports: list[Report] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self) -> dict[Endpoint, dict[dt.date, State]]:
        """Do what is to do; returns the state of every label in scope afterwards."""
        end_dead_runs(self.instance)
        defs = build_defs(accounts=[self.account.name], resources={resource_key(self.account.name): self._watched()})
        todo = self._to_do(self._states())
        self.watch.planned(sum(map(len, todo.values())), self._calls_needed(todo))
        for endpoint, wanted in self._in_order(todo):
            self._run_one(defs, endpoint, wanted)
        return self._states()

    def _states(self) -> dict[Endpoint, dict[dt.date, State]]:
        with Warehouse(self.settings.database).writing() as con:
            states = known.states(con, self.account.name, self.account.start, self.now)
        return self.scope.of(states)

    def _to_do(self, states: Mapping[Endpoint, Mapping[dt.date, State]]) -> dict[Endpoint, list[dt.date]]:
        if self.scope.refresh:
            return {endpoint: sorted(labels) for endpoint, labels in states.items()}
        return {
            endpoint: to_do(labels, materialized(self.instance, self._key(endpoint)))
            for endpoint, labels in states.items()
        }

    def _calls_needed(self, todo: Mapping[Endpoint, Sequence[dt.date]]) -> int:
        states = self._states()
        return sum(len(self._windows(endpoint, labels, states[endpoint])) for endpoint, labels in todo.items())

    def _windows(self, endpoint: Endpoint, labels: Iterable[dt.date], states: Mapping[dt.date, State]) -> list[Any]:
        ask = (State.MISSING,) if not self.scope.refresh else (State.MISSING, State.LANDED, State.EMPTY)
        return plan_windows(endpoint, [label for label in labels if states[label] in ask])

    def _in_order(self, todo: Mapping[Endpoint, Sequence[dt.date]]) -> Iterator[tuple[Endpoint, Range]]:
        """First what one call brings of each endpoint's newest labels, then the rest; the hours, the dearest, last.

        The states are looked at again before each, since days that turn out silent leave nothing to ask of them.
        """
        cheap_first = sorted(todo, key=lambda endpoint: endpoint.family is Family.HOURS)
        left = {endpoint: list(todo[endpoint]) for endpoint in cheap_first}
        for endpoint in cheap_first:
            states = self._states()[endpoint]
            windows = self._windows(endpoint, left[endpoint], states)
            if len(windows) > 1:
                first = [label for label in left[endpoint] if label >= windows[0].asked[0]]
                left[endpoint] = [label for label in left[endpoint] if label < windows[0].asked[0]]
                yield from ((endpoint, wanted) for wanted in ranges(first, states))
        for endpoint in cheap_first:
            yield from ((endpoint, wanted) for wanted in ranges(left[endpoint], self._states()[endpoint]))

    def _run_one(self, defs: dg.Definitions, endpoint: Endpoint, wanted: Range) -> None:
        key = self._key(endpoint)
        refresh = self.scope.refresh
        result = defs.resolve_implicit_job_def_def_for_assets([key])
        assert result is not None
        before = len(self.reports)
        outcome = result.execute_in_process(
            instance=self.instance,
            asset_selection=[key],
            raise_on_error=False,
            run_config=_QUIET | {"ops": {"__".join(key.path): {"config": {"refresh": refresh}}}},
            tags={
                "dagster/asset_partition_range_start": wanted.first.isoformat(),
                "dagster/asset_partition_range_end": wanted.last.isoformat(),
                REASON_TAG: (Reason.REFRESH if refresh else Reason.BACKFILL).value,
            },
        )
        report = self.reports[-1] if len(self.reports) > before else None
        if not outcome.success and (report is None or not report.missing):
            self.failures.append(f"{endpoint.name}: run {outcome.run_id} failed. {_failure_text(outcome)}")
        self.watch.ran(endpoint, wanted, report)

    def _key(self, endpoint: Endpoint) -> dg.AssetKey:
        return dg.AssetKey([self.account.name, endpoint.name])

    def _watched(self) -> dg.ResourceDefinition:
        return dg.ResourceDefinition.hardcoded_resource(_WatchedAccount(self))


def _failure_text(outcome: dg.ExecuteInProcessResult) -> str:
    for event in outcome.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            return error.message.strip() if error else ""
    return ""


@dataclass(frozen=True, slots=True)
class _WatchedAccount:
    """The account's resource for runs in this process: ingestion whose progress and reports the backfill sees."""

    backfill: Backfill

    def ingest(self, settings: Settings) -> "_WatchedIngest":
        return _WatchedIngest(Ingest.of(settings, self.backfill.account), self.backfill)


@dataclass(frozen=True, slots=True)
class _WatchedIngest:
    ingest: Ingest
    backfill: Backfill

    def bring_in(self, endpoint: Endpoint, labels: Iterable[dt.date], **given: Any) -> Report:
        tell = given.pop("progress")

        def both(progress: Progress) -> None:
            tell(progress)
            self.backfill.watch.progress(progress)

        report = self.ingest.bring_in(endpoint, labels, progress=both, **given)
        self.backfill.reports.append(report)
        return report
