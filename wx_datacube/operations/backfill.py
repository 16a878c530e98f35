"""Backfill: fetches everything pending as fast as the network allows, with Dagster runs over what has landed.

Threads of this process fetch, two parts at a time. The Dagster runs make no call; another process makes them (`Runs`),
so that neither commits nor Dagster's events leave the network idle. `operations.pending` decides what is to do,
`ingest` what to call; `cli.backfill` prints.
"""

import datetime as dt
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from wx_datacube.catalog.endpoints import ENDPOINTS, Endpoint, Family
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import TOKEN_CALLS, HostDown, NeedsPerson, TryAgain, WeChatError
from wx_datacube.ingest.plan import RefreshPlan
from wx_datacube.ingest.pool import Progress
from wx_datacube.ingest.report import LabelReport, Report
from wx_datacube.ingest.service import Ingest
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.operations.pending import Range
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import Coverage, State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.wechat import Client

_ENOUGH = 800
"""Landed labels that get a Dagster run while more are coming, so that little is left to do at the end."""

States = Mapping[dt.date, State]


@dataclass(frozen=True, slots=True)
class Scope:
    """The due labels that a backfill covers: of these endpoints, from `start` to `end`.

    Without `start` it begins with the history, without `end` it goes to the newest label.

    `labels`, by endpoint name, restricts the backfill to them. They are the labels that `heal` requests again, found
    from the calls up to `after_call_id`.
    """

    start: dt.date | None = None
    end: dt.date | None = None
    endpoints: Sequence[Endpoint] = ENDPOINTS
    refresh: bool = False
    labels: Mapping[str, frozenset[dt.date]] | None = None
    after_call_id: int = 0

    def of(self, states: Mapping[str, States]) -> dict[Endpoint, States]:
        """Return the states of the labels in scope, by endpoint; hours, which take the most calls, come last."""
        cheap_first = sorted(self.endpoints, key=lambda endpoint: endpoint.family is Family.HOURS)
        return {endpoint: self.within(endpoint, states[endpoint.name]) for endpoint in cheap_first}

    def within(self, endpoint: Endpoint, states: States) -> States:
        """Return the states of the endpoint's labels in scope."""
        first, last = self.start or dt.date.min, self.end or dt.date.max
        only = states if self.labels is None else self.labels.get(endpoint.name, frozenset())
        return {label: state for label, state in states.items() if first <= label <= last and label in only}


@dataclass(frozen=True, slots=True)
class Batch:
    """Labels of an endpoint that have landed: its `whole` part of the scope, or a large share of that.

    For a whole one, `answered` holds the labels that WeChat has answered for in this backfill, or in the refresh that
    it continues.
    """

    endpoint: Endpoint
    whole: bool = True
    answered: frozenset[dt.date] = frozenset()


@dataclass(frozen=True, slots=True)
class Run:
    """A Dagster run of an asset that has ended; `failure` gives the reason if it failed.

    `asset` is the endpoint's name, or its whole key if that has a prefix.
    """

    endpoint: Endpoint
    asset: str
    wanted: Range
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Dagster's state at the start: how many `labels` in scope are to do, and how many it holds as materialized."""

    labels: int
    held: int


def another_file(held: int, states: Mapping[Endpoint, States], database: Path, account: Account) -> str | None:
    """Return a warning if the file can't be the one that Dagster's history is about, else None.

    A few labels that were materialized may be missing again, such as one that was implied. So the file counts as
    another one only if it holds fewer than half as many labels as Dagster.
    """
    stored = sum(state is not State.MISSING for labels in states.values() for state in labels.values())
    if stored >= held / 2:
        return None
    return (
        f"Dagster holds {held:,} partitions of {account.name} as materialized, and only {stored:,} are in"
        f" {database}. If the file is elsewhere (a disk that is not mounted, another WX_DATACUBE_DATABASE), or"
        " there is a backup, put that right before everything is asked anew."
    )


class Runs(Protocol):
    """Dagster's side of a backfill."""

    def backlog(self) -> Backlog:
        """Return what was to do when the backfill began."""

    def materialize(self, landed: Batch) -> Iterator[Run]:
        """Materialize what is stored but not materialized of the batch's endpoint; yield the runs as they end."""


class Listener(Protocol):
    """Receives the progress of a backfill; called from several threads."""

    def planned(self, labels: int, calls: int) -> None:
        """Receive how many partitions are to do, and how many calls that takes at most."""

    def progress(self, news: Progress) -> None:
        """Receive what was stored."""

    def said(self, message: str) -> None:
        """Receive a message for a person."""

    def ran(self, run: Run) -> None:
        """Receive a Dagster run that succeeded."""


def check_account(settings: Settings, account: Account, scope: Scope, now: dt.datetime) -> None:
    """Raise the error that would keep a backfill from fetching, before anything is made or changed.

    Raises `SettingsError` for missing credentials or an AppID stored under another name, and `WarehouseError`.
    """
    # `looking()` reads the writer's file: a foreign program may hold the published one open.
    with Warehouse(settings.database).looking() as con:
        states = scope.of(known.states(con, account.name, account.start, now))
        known.require_bound(con, account.name, account.appid)
    if any(labels and (scope.refresh or State.MISSING in labels.values()) for labels in states.values()):
        Client.of(account, settings.api_url).close()


@dataclass(slots=True)
class Backfill:
    """One account's backfill; `reports` and `failures` hold its results."""

    runs: Runs
    ingest: Ingest
    scope: Scope
    now: dt.datetime
    watch: Listener
    reports: list[Report] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hopeless: WeChatError | None = None
    """The error that made fetching stop, because every endpoint would meet it."""
    _got_through: bool = True
    _again: dict[Endpoint, RefreshPlan] = field(default_factory=dict)
    _answered: dict[Endpoint, frozenset[dt.date]] = field(default_factory=dict)
    _run_id: str = field(default_factory=lambda: f"backfill {uuid4()}")

    def __post_init__(self) -> None:
        self.ingest = replace(self.ingest, publishing=False)

    @property
    def account(self) -> Account:
        """The account to backfill."""
        return self.ingest.account

    def run(self) -> dict[Endpoint, States]:
        """Run the backfill; return the state of every label in scope afterwards.

        Long fetches publish as they go, and everything is published at the end. The end of a single fetch doesn't
        publish.
        """
        try:
            return self._run()
        finally:
            self.ingest.warehouse.publish()

    def _run(self) -> dict[Endpoint, States]:
        states = self._states()
        ask = self._to_ask(states)
        calls = sum(len(plan_windows(endpoint, labels)) for endpoint, labels in ask.items())
        with self._fetching(ask) as landed:  # begin now: Dagster takes a while to report the backlog
            ahead = self.runs.backlog()
            if warning := another_file(ahead.held, states, self.ingest.warehouse.database, self.account):
                self.watch.said(warning)
            todo = ahead.labels
            if self.scope.refresh:
                todo = sum(len(again.labels) for again in self._again.values())
            self.watch.planned(todo, calls)
            for news in landed if todo else ():
                for run in self.runs.materialize(news):
                    self._take_down(run)
        return self._states()

    def _states(self) -> dict[Endpoint, States]:
        """Record the account's AppID and start for readers; return the states of the labels in scope."""
        with self.ingest.warehouse.writing() as con:
            known.bind_account(con, self.account.name, self.account.appid, self.account.start, self.now)
            return self.scope.of(known.states(con, self.account.name, self.account.start, self.now))

    def _to_ask(self, states: Mapping[Endpoint, States]) -> dict[Endpoint, list[dt.date]]:
        if not self.scope.refresh:
            return {
                endpoint: [label for label, state in labels.items() if state is State.MISSING]
                for endpoint, labels in states.items()
            }
        if self.scope.labels is not None:
            self._again = self.ingest.unrecorded_refresh(states, self.scope.after_call_id)
        else:
            self._again = self.ingest.begin_refresh(states, self.scope.start, self.scope.end, self.watch.said)
        # Labels that were requested before an interruption may not have been materialized since.
        self._answered = {endpoint: again.done for endpoint, again in self._again.items()}
        return {endpoint: again.left for endpoint, again in self._again.items()}

    def _take_down(self, run: Run) -> None:
        if run.failure is None:
            self.watch.ran(run)
        else:
            self.failures.append(f"{run.asset}: {run.failure}")

    # --- fetching, in the background

    @contextmanager
    def _fetching(self, ask: Mapping[Endpoint, Sequence[dt.date]]) -> Iterator[Iterator[Batch]]:
        """Fetch in the background; yield an iterator with a batch each time an endpoint, or much of one, has landed."""
        healing = self.scope.labels is not None
        parts = [(each, labels) for each, labels in ask.items() if labels] if healing else list(_in_order(ask))
        news: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        # Two threads: while one commits its last answers and plans, the other keeps the network busy.
        pool = ThreadPoolExecutor(2, thread_name_prefix="ingest")
        under_way: dict[Endpoint, list[Future[None]]] = {endpoint: [] for endpoint in (*ask, ENDPOINTS[0])}
        waiting: list[Future[None]] = []
        for endpoint, labels in parts:
            # The newest labels of every endpoint come before the rest of any. Days come before the endpoints that need
            # no call for a silent day. Everything comes before most of the hours, which would take all calls from the
            # others.
            rest = bool(under_way[endpoint])
            before = [each for found in under_way.values() for each in found[:1]] if rest else []
            # When healing, a day that turns out changed makes everything suspect that was requested before it.
            before += under_way[ENDPOINTS[0]] if endpoint.implied_by_silence or healing else []
            before += waiting if rest and endpoint.family is Family.HOURS else []
            last = labels[0] == ask[endpoint][0]
            waiting.append(pool.submit(self._fetch, endpoint, labels, before, news, last))
            under_way[endpoint].append(waiting[-1])
        try:
            asked = {endpoint for endpoint, labels in ask.items() if labels}
            stored = [self._whole(endpoint) for endpoint in ask if endpoint not in asked]
            yield _heard(stored, news, len(asked))
            for future in waiting:
                future.result()
        except BaseException:
            self.ingest.stop_event.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch(
        self,
        endpoint: Endpoint,
        labels: Sequence[dt.date],
        before: "Sequence[Future[None]]",
        news: "queue.SimpleQueue[Batch]",
        last: bool,
    ) -> None:
        """Fetch labels after the parts in `before` have ended; after the `last` part, queue the endpoint as whole."""
        try:
            wait(before)
            if self.hopeless:
                return
            if refused := self._refused(endpoint):
                self.reports.append(
                    Report(endpoint, tuple(LabelReport(Coverage.nothing(it), refused) for it in labels))
                )
                return
            report = self.ingest.fetch_missing(
                endpoint,
                labels,
                run_id=self._run_id,
                refresh=self._again.get(endpoint),
                manual=True,
                progress=self._telling(news),
                notify=self.watch.said,
            )
            self.reports.append(report)
            self._look_for_the_hopeless(report)
            answered = frozenset(each.label for each in report.labels if each.error is None)
            self._answered[endpoint] = self._answered.get(endpoint, frozenset()) | answered
        finally:
            if last:
                news.put(self._whole(endpoint))

    def _refused(self, endpoint: Endpoint) -> WeChatError | None:
        """Return the error, met by its newest labels, that a person has to fix before the endpoint is called again."""
        errors = [error for report in self.reports if report.endpoint is endpoint for error in report.errors]
        return next((error for error in errors if isinstance(error, NeedsPerson)), None)

    def _whole(self, endpoint: Endpoint) -> Batch:
        return Batch(endpoint, True, self._answered.get(endpoint, frozenset()))

    def _telling(self, news: "queue.SimpleQueue[Batch]") -> Callable[[Progress], None]:
        """Return a progress callback that also queues a batch whenever enough labels for a Dagster run have landed."""
        landed = 0

        def tell(progress: Progress) -> None:
            nonlocal landed
            self.watch.progress(progress)
            landed += sum(len(window.asked) for window in progress.stored)
            if landed >= _ENOUGH and not self.scope.refresh:
                landed = 0
                news.put(Batch(progress.endpoint, whole=False))

        return tell

    def _look_for_the_hopeless(self, report: Report) -> None:
        """Stop fetching if no token can be had, the host is down, or nothing got through to it twice in a row.

        Labels that were not requested prove nothing.
        """
        error = next((error for error in report.errors if error.attempts), None)
        if error is None:  # no call failed
            self._got_through = self._got_through or not report.errors
            return
        deaf = isinstance(error, TryAgain) and all(each.error for each in report.labels)
        no_token = error.endpoint in TOKEN_CALLS and not isinstance(error, TryAgain)
        if no_token or isinstance(error, HostDown) or (deaf and not self._got_through):
            self.hopeless = self.hopeless or error
        self._got_through = not deaf


def _heard(stored: Sequence[Batch], news: "queue.SimpleQueue[Batch]", asked: int) -> Iterator[Batch]:
    """Yield what is stored already, then batches until as many endpoints as were `asked` are whole.

    Batches of one endpoint that arrive in the meantime become one: a run costs half a second, whatever it holds.
    """
    waiting = {landed.endpoint: landed for landed in stored}
    while asked or waiting:
        while not (waiting and news.empty()):
            latest = news.get()
            asked -= latest.whole
            waiting[latest.endpoint] = latest
        yield waiting.pop(next(iter(waiting)))


def _in_order(ask: Mapping[Endpoint, Sequence[dt.date]]) -> Iterator[tuple[Endpoint, Sequence[dt.date]]]:
    """Yield the parts to fetch: one call's worth of each endpoint's newest labels, then each one's rest; hours last."""
    rest: dict[Endpoint, Sequence[dt.date]] = {}
    for endpoint, labels in ask.items():
        if labels:
            newest = plan_windows(endpoint, labels)[0].asked
            yield endpoint, newest
            rest[endpoint] = [label for label in labels if label < newest[0]]
    yield from ((endpoint, labels) for endpoint, labels in rest.items() if labels)
