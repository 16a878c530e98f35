"""Backfill: everything that is to do, fetched as fast as the wire allows, and Dagster runs for what has landed.

Fetching runs ahead in threads of its own, an endpoint after the other and two at a time, so that neither commits nor
Dagster's events leave the wire idle; a run over a range that has landed makes no call. What is to do is decided in
`todo`, what to call in `ingest`; the terminal is the business of `terminal`.
"""

import datetime as dt
import queue
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

import dagster as dg

from wx_datacube.catalog import ENDPOINTS, Endpoint, Family
from wx_datacube.crew import Progress
from wx_datacube.definitions import build_defs
from wx_datacube.errors import HostDown, TryAgain, WeChatError
from wx_datacube.ingest import Ingest, Report
from wx_datacube.orchestration.runs import REASON_TAG, Reason, end_dead_runs
from wx_datacube.orchestration.schedules import materialized
from wx_datacube.settings import Account, Settings
from wx_datacube.todo import Range, ranges, to_do
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.wechat import Client
from wx_datacube.windows import plan_windows

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_TOKEN_CALLS = ("stable_token", "token server")
"""What an error names that is about the token, and so about every endpoint."""

States = Mapping[dt.date, State]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a backfill is about: due labels from `start` (None: the whole history) to `end`, of these endpoints."""

    start: dt.date | None = None
    end: dt.date | None = None
    endpoints: Sequence[Endpoint] = ENDPOINTS
    refresh: bool = False

    def of(self, states: Mapping[str, States]) -> dict[Endpoint, States]:
        """The states of the labels in scope, by endpoint; hours, the dearest, last."""
        cheap_first = sorted(self.endpoints, key=lambda endpoint: endpoint.family is Family.HOURS)
        return {
            endpoint: {label: state for label, state in states[endpoint.name].items() if self._holds(label)}
            for endpoint in cheap_first
        }

    def _holds(self, label: dt.date) -> bool:
        return (self.start is None or label >= self.start) and (self.end is None or label <= self.end)


class Watch(Protocol):
    """Who wants to know how a backfill gets on; called from several threads."""

    def planned(self, labels: int, calls: int) -> None:
        """So many partitions are to do, which takes so many calls at most."""

    def progress(self, news: Progress) -> None:
        """Something was stored."""

    def said(self, message: str) -> None:
        """Something a person should know."""

    def ran(self, endpoint: Endpoint, wanted: Range) -> None:
        """A Dagster run ended well."""


def check_account(settings: Settings, account: Account, scope: Scope, now: dt.datetime) -> None:
    """Raise, before anything is made or changed, what would keep a backfill from asking for what it has to."""
    warehouse = Warehouse(settings.database)
    with warehouse.reading() as con:
        states = scope.of(known.states(con, account.name, account.start, now))
        bound = known.accounts(con).get(account.name)
    if bound and account.appid and bound != account.appid:
        with warehouse.writing() as con:
            known.bind_account(con, account.name, account.appid, account.start, now)
    if any(labels and (scope.refresh or State.MISSING in labels.values()) for labels in states.values()):
        Client.of(account, settings.api_url).close()


@dataclass(slots=True)
class Backfill:
    """One account's backfill in a Dagster instance; `reports` and `failures` are what it ended with."""

    instance: dg.DagsterInstance
    settings: Settings
    account: Account
    scope: Scope
    now: dt.datetime
    watch: Watch
    reports: list[Report] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hopeless: WeChatError | None = None
    """Why fetching was given up: something that every endpoint would meet."""
    _ingest: Ingest = field(init=False)
    _got_through: bool = True
    _refreshed: dict[Endpoint, set[dt.date]] = field(default_factory=dict)
    _run_id: str = field(default_factory=lambda: f"backfill {uuid4()}")

    def __post_init__(self) -> None:
        self._ingest = Ingest.of(self.settings, self.account)

    def run(self) -> dict[Endpoint, States]:
        """Do what is to do; returns the state of every label in scope afterwards."""
        end_dead_runs(self.instance)
        states = self._states()
        ask = {endpoint: self._to_ask(labels) for endpoint, labels in states.items()}
        todo = sum(len(self._to_do(endpoint, labels)) for endpoint, labels in states.items())
        self.watch.planned(todo, sum(len(plan_windows(endpoint, labels)) for endpoint, labels in ask.items()))
        if todo:
            defs = build_defs(accounts=[self.account.name])
            with closing(self._fetched(ask)) as fetched:
                for endpoint in fetched:
                    self._materialize(defs, endpoint)
        return self._states()

    def _states(self) -> dict[Endpoint, States]:
        with self._ingest.warehouse.writing() as con:
            return self.scope.of(known.states(con, self.account.name, self.account.start, self.now))

    def _to_ask(self, states: States) -> list[dt.date]:
        if self.scope.refresh:
            return [label for label, state in states.items() if state is not State.IMPLIED]
        return [label for label, state in states.items() if state is State.MISSING]

    def _to_do(self, endpoint: Endpoint, states: States) -> list[dt.date]:
        return sorted(states) if self.scope.refresh else to_do(states, materialized(self.instance, self._key(endpoint)))

    def _key(self, endpoint: Endpoint) -> dg.AssetKey:
        return dg.AssetKey([self.account.name, endpoint.name])

    # --- fetching, in the background

    def _fetched(self, ask: Mapping[Endpoint, Sequence[dt.date]]) -> Generator[Endpoint, None, None]:
        """Fetch in the background; gives an endpoint each time that a part of it has been seen to."""
        parts = list(_in_order(ask))
        ended: queue.SimpleQueue[Endpoint] = queue.SimpleQueue()
        # Two at a time: while one commits its last answers and plans, the other keeps the wire busy.
        with ThreadPoolExecutor(2, thread_name_prefix="ingest") as pool:
            days: list[Future[None]] = []
            waiting: list[Future[None]] = []
            for endpoint, labels in parts:
                before = list(days) if endpoint.implied_by_silence else []
                waiting.append(pool.submit(self._fetch, endpoint, labels, before, ended))
                if endpoint is ENDPOINTS[0]:
                    days.append(waiting[-1])
            try:
                yield from (endpoint for endpoint, labels in ask.items() if not labels)
                for _ in parts:
                    yield ended.get()
            except BaseException:
                self._ingest.halted.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for future in waiting:
            future.result()

    def _fetch(
        self,
        endpoint: Endpoint,
        labels: Sequence[dt.date],
        days: "Sequence[Future[None]]",
        ended: "queue.SimpleQueue[Endpoint]",
    ) -> None:
        """Bring labels in, after the `days` that may turn out silent and spare some of them."""
        try:
            wait(days)
            if self.hopeless:
                return
            report = self._ingest.bring_in(
                endpoint,
                labels,
                run_id=self._run_id,
                refresh=self.scope.refresh,
                by_hand=True,
                progress=self.watch.progress,
                say=self.watch.said,
            )
            self.reports.append(report)
            self._look_for_the_hopeless(report)
            answered = {each.label for each in report.labels if each.error is None}
            self._refreshed[endpoint] = self._refreshed.get(endpoint, set()) | answered
        finally:
            ended.put(endpoint)

    def _look_for_the_hopeless(self, report: Report) -> None:
        """Give up where no token is to be had, the host is down, or twice in a row nothing got through to it."""
        error = next(iter(report.errors), None)
        if error is None:
            self._got_through = True
            return
        deaf = isinstance(error, TryAgain) and all(each.error for each in report.labels)
        no_token = error.endpoint in _TOKEN_CALLS and not isinstance(error, TryAgain)
        if no_token or isinstance(error, HostDown) or (deaf and not self._got_through):
            self.hopeless = self.hopeless or error
        self._got_through = not deaf

    # --- Dagster runs, in the main thread

    def _materialize(self, defs: dg.Definitions, endpoint: Endpoint) -> None:
        """Run what is stored and not materialized, in as few ranges as hold nothing that is missing."""
        states = self._states()[endpoint]
        there = {label: state for label, state in states.items() if state is not State.MISSING}
        if self.scope.refresh:
            there = {label: there[label] for label in self._refreshed.pop(endpoint, ()) if label in there}
        done = () if self.scope.refresh else materialized(self.instance, self._key(endpoint))
        for wanted in ranges(to_do(there, done), states):
            self._run_one(defs, endpoint, wanted)

    def _run_one(self, defs: dg.Definitions, endpoint: Endpoint, wanted: Range) -> None:
        key = self._key(endpoint)
        job = defs.resolve_implicit_job_def_def_for_assets([key])
        assert job is not None
        outcome = job.execute_in_process(
            instance=self.instance,
            asset_selection=[key],
            raise_on_error=False,
            run_config=_QUIET,
            tags={
                "dagster/asset_partition_range_start": wanted.first.isoformat(),
                "dagster/asset_partition_range_end": wanted.last.isoformat(),
                REASON_TAG: (Reason.REFRESH if self.scope.refresh else Reason.BACKFILL).value,
            },
        )
        if outcome.success:
            self.watch.ran(endpoint, wanted)
        else:
            self.failures.append(f"{endpoint.name}: Dagster run {outcome.run_id} failed. {_failure(outcome)}")


def _in_order(ask: Mapping[Endpoint, Sequence[dt.date]]) -> Iterator[tuple[Endpoint, Sequence[dt.date]]]:
    """Parts to fetch: what one call brings of each endpoint's newest labels, then the rest of each; hours last."""
    rest: dict[Endpoint, Sequence[dt.date]] = {}
    for endpoint, labels in ask.items():
        if labels:
            newest = plan_windows(endpoint, labels)[0].asked
            yield endpoint, newest
            rest[endpoint] = [label for label in labels if label < newest[0]]
    yield from ((endpoint, labels) for endpoint, labels in rest.items() if labels)


def _failure(outcome: dg.ExecuteInProcessResult) -> str:
    errors = [event.step_failure_data.error for event in outcome.all_events if event.is_step_failure]
    return errors[0].message.strip() if errors and errors[0] else ""
