"""Backfill: everything that is to do, fetched as fast as the wire allows, and Dagster runs for what has landed.

Fetching runs ahead in threads of its own, an endpoint after the other and two at a time, so that neither commits nor
Dagster's events leave the wire idle; a run over a range that has landed makes no call. What is to do is decided in
`todo`, what to call in `ingest`; the terminal is the business of `terminal`.
"""

import datetime as dt
import queue
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
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
from wx_datacube.orchestration.interrupts import heeded_interrupts
from wx_datacube.orchestration.partitions import partitions_of
from wx_datacube.orchestration.runs import REASON_TAG, Reason, end_dead_runs, process_tags
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

_ENOUGH = 800
"""Labels that are worth a Dagster run of their own while more of them are coming: little is left to do at the end."""

States = Mapping[dt.date, State]


@dataclass(frozen=True, slots=True)
class _News:
    """Labels of an endpoint have landed: a `whole` part of what was asked for, or a good deal of it."""

    endpoint: Endpoint
    whole: bool


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
            with heeded_interrupts() as heed, closing(self._fetched(ask)) as fetched:
                for news in fetched:
                    for wanted in self._to_materialize(news):
                        self._run_one(defs, news.endpoint, wanted)
                        heed()
                    heed()
        return self._states()

    def _states(self) -> dict[Endpoint, States]:
        with self._ingest.warehouse.writing() as con:
            return self.scope.of(known.states(con, self.account.name, self.account.start, self.now))

    def _to_ask(self, states: States) -> list[dt.date]:
        if self.scope.refresh:
            return [label for label, state in states.items() if state is not State.IMPLIED]
        return [label for label, state in states.items() if state is State.MISSING]

    def _to_do(self, endpoint: Endpoint, states: States) -> list[dt.date]:
        return sorted(states) if self.scope.refresh else to_do(states, self._materialized(endpoint))

    def _materialized(self, endpoint: Endpoint) -> set[dt.date]:
        partitions = partitions_of(endpoint.period, self.account.start)
        return materialized(self.instance, self._key(endpoint), partitions)

    def _key(self, endpoint: Endpoint) -> dg.AssetKey:
        return dg.AssetKey([self.account.name, endpoint.name])

    # --- fetching, in the background

    def _fetched(self, ask: Mapping[Endpoint, Sequence[dt.date]]) -> "Generator[_News, None, None]":
        """Fetch in the background; gives news each time that a part of an endpoint, or much of one, has landed."""
        parts = list(_in_order(ask))
        news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        # Two at a time: while one commits its last answers and plans, the other keeps the wire busy.
        with ThreadPoolExecutor(2, thread_name_prefix="ingest") as pool:
            under_way: dict[Endpoint, list[Future[None]]] = {endpoint: [] for endpoint in (*ask, ENDPOINTS[0])}
            waiting: list[Future[None]] = []
            for endpoint, labels in parts:
                # The newest of every endpoint before the rest of any; days before what silent ones make superfluous;
                # everything before most of the hours, which would take all calls from the others.
                rest = bool(under_way[endpoint])
                before = [each for found in under_way.values() for each in found[:1]] if rest else []
                before += under_way[ENDPOINTS[0]] if endpoint.implied_by_silence else []
                before += waiting if rest and endpoint.family is Family.HOURS else []
                waiting.append(pool.submit(self._fetch, endpoint, labels, before, news))
                under_way[endpoint].append(waiting[-1])
            try:
                yield from (_News(endpoint, True) for endpoint, labels in ask.items() if not labels)
                left = len(parts)
                while left:
                    yield (latest := news.get())
                    left -= latest.whole
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
        before: "Sequence[Future[None]]",
        news: "queue.SimpleQueue[_News]",
    ) -> None:
        """Bring labels in, once what comes before them has ended."""
        try:
            wait(before)
            if self.hopeless:
                return
            report = self._ingest.bring_in(
                endpoint,
                labels,
                run_id=self._run_id,
                refresh=self.scope.refresh,
                by_hand=True,
                progress=self._telling(news),
                say=self.watch.said,
            )
            self.reports.append(report)
            self._look_for_the_hopeless(report)
            answered = {each.label for each in report.labels if each.error is None}
            self._refreshed[endpoint] = self._refreshed.get(endpoint, set()) | answered
        finally:
            news.put(_News(endpoint, True))

    def _telling(self, news: "queue.SimpleQueue[_News]") -> Callable[[Progress], None]:
        """Progress that also tells each time that enough labels for a Dagster run have landed."""
        landed = 0

        def tell(progress: Progress) -> None:
            nonlocal landed
            self.watch.progress(progress)
            landed += sum(len(window.asked) for window in progress.stored)
            if landed >= _ENOUGH and not self.scope.refresh:
                landed = 0
                news.put(_News(progress.endpoint, False))

        return tell

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

    def _to_materialize(self, news: "_News") -> list[Range]:
        """What is stored and not materialized, in as few ranges as hold nothing that is missing.

        While more is coming, only down to the first label that has not landed: gaps there are about to close.
        """
        endpoint, states = news.endpoint, self._states()[news.endpoint]
        there = {label: state for label, state in states.items() if state is not State.MISSING}
        if not news.whole:
            frontier = max((label for label in states if label not in there), default=dt.date.min)
            there = {label: state for label, state in there.items() if label > frontier}
        if self.scope.refresh:
            there = {label: there[label] for label in self._refreshed.pop(endpoint, ()) if label in there}
        done = () if self.scope.refresh else self._materialized(endpoint)
        return ranges(to_do(there, done), states)

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
                # From the beginning: a process may be killed before the run itself can say where it is.
                **process_tags(),
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
