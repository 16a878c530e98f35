"""Backfill fetch: the background threads that fetch for a backfill, and the batches that they report as labels land.

Two threads fetch, each one part at a time: the newest labels of an endpoint, or its rest. Add here what decides the
order of parts, and when fetching stops. `ingest` decides which calls a part takes.
"""

import datetime as dt
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.errors import TOKEN_CALLS, HostDown, NeedsPerson, TryAgain, WeChatError
from wx_datacube.ingest.fetch_report import FetchReport, LabelReport
from wx_datacube.ingest.plan import RefreshPlan
from wx_datacube.ingest.pool import Progress
from wx_datacube.ingest.service import Ingest
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.operations.backfill_protocol import Batch, Listener, Scope
from wx_datacube.warehouse.coverage import Coverage, State

_BATCH_LABELS = 800
"""This many landed labels get a Dagster run while more are coming, so that little is left to do at the end."""

_Labels = Mapping[Endpoint, Sequence[dt.date]]
_Queue = queue.SimpleQueue[Batch]


@dataclass(slots=True)
class BackgroundFetch:
    """Fetches labels in the background; appends a report for each part to `reports`.

    `refresh_plans` holds the plan of each endpoint whose stored labels are requested again.
    """

    ingest: Ingest
    scope: Scope
    listener: Listener
    reports: list[FetchReport]
    refresh_plans: Mapping[Endpoint, RefreshPlan]
    fatal_error: WeChatError | None = None
    """The error that stopped fetching, because it affects every endpoint."""
    _reached_host: bool = True
    _answered: dict[Endpoint, frozenset[dt.date]] = field(default_factory=dict)
    _changed: dict[Endpoint, frozenset[dt.date]] = field(default_factory=dict)
    _run_id: str = field(default_factory=lambda: f"backfill {uuid4()}")

    def __post_init__(self) -> None:
        # Labels that were requested before an interruption may not have been materialized since.
        self._answered = {endpoint: plan.done for endpoint, plan in self.refresh_plans.items()}

    @contextmanager
    def batches(self, to_fetch: _Labels) -> Iterator[Iterator[Batch]]:
        """Fetch in the background; yield an iterator of batches as endpoints, or large parts of them, land."""
        landed: _Queue = queue.SimpleQueue()
        # Two threads: while one commits its last answers and plans, the other keeps the network busy.
        pool = ThreadPoolExecutor(2, thread_name_prefix="ingest")
        futures = self._submit(pool, to_fetch, landed)
        try:
            fetched = {endpoint for endpoint, labels in to_fetch.items() if labels}
            stored = [self._complete_batch(endpoint) for endpoint in to_fetch if endpoint not in fetched]
            yield _merge_batches(stored, landed, len(fetched))
            for future in futures:
                future.result()
        except BaseException:
            self.ingest.stop_event.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, to_fetch: _Labels, landed: _Queue) -> list[Future[None]]:
        """Submit every part to `pool`, each with the parts that have to end before it begins."""
        healing = self.scope.labels is not None
        parts = [(each, labels) for each, labels in to_fetch.items() if labels] if healing else _in_order(to_fetch)
        by_endpoint: dict[str, list[Future[None]]] = {endpoint.name: [] for endpoint in ENDPOINTS}
        futures: list[Future[None]] = []
        for endpoint, labels in parts:
            # The newest labels of all endpoints come first. Days come before the endpoints that need no call for a
            # silent day. Most of the hours come last, since they would take all calls from the others.
            rest = bool(by_endpoint[endpoint.name])
            dependencies = [each for found in by_endpoint.values() for each in found[:1]] if rest else []
            # When healing, a changed day makes everything suspect that was requested before it.
            dependencies += by_endpoint.get(endpoint.days, []) if endpoint.implied_by_silence or healing else []
            # The turn of open labels begins when the account's newest reading figures have landed.
            dependencies += by_endpoint[DAILY_READING.name][:1] if endpoint.has_delay else []
            dependencies += futures if rest and endpoint.takes_a_call_a_day else []
            last = labels[0] == to_fetch[endpoint][0]
            futures.append(pool.submit(self._fetch, endpoint, labels, dependencies, landed, last))
            by_endpoint[endpoint.name].append(futures[-1])
        return futures

    def _fetch(
        self,
        endpoint: Endpoint,
        labels: Sequence[dt.date],
        dependencies: "Sequence[Future[None]]",
        landed: _Queue,
        last: bool,
    ) -> None:
        """Fetch labels after `dependencies` have ended; after the `last` part, queue the endpoint's complete batch."""
        try:
            wait(dependencies)
            if self.fatal_error:
                return
            if refused := self._refused(endpoint):
                undone = tuple(LabelReport(Coverage(label, State.MISSING), refused) for label in labels)
                self.reports.append(FetchReport(endpoint, undone))
                return
            report = self.ingest.fetch_missing(
                endpoint,
                labels,
                run_id=self._run_id,
                refresh=self.refresh_plans.get(endpoint),
                manual=True,
                progress=self._progress_callback(landed),
                notify=self.listener.message,
            )
            self.reports.append(report)
            self._detect_fatal_error(report)
            answered = frozenset(each.label for each in report.labels if each.error is None)
            self._answered[endpoint] = self._answered.get(endpoint, frozenset()) | answered
            self._changed[endpoint] = self._changed.get(endpoint, frozenset()) | report.changed
        finally:
            if last:
                landed.put(self._complete_batch(endpoint))

    def _refused(self, endpoint: Endpoint) -> WeChatError | None:
        """Return the endpoint's error that a person has to fix before the endpoint is called again."""
        errors = [error for report in self.reports if report.endpoint is endpoint for error in report.errors]
        return next((error for error in errors if isinstance(error, NeedsPerson)), None)

    def _complete_batch(self, endpoint: Endpoint) -> Batch:
        return Batch(
            endpoint, True, self._answered.get(endpoint, frozenset()), self._changed.get(endpoint, frozenset())
        )

    def _progress_callback(self, landed: _Queue) -> Callable[[Progress], None]:
        """Return a progress callback that also queues a batch whenever enough labels for a Dagster run have landed."""
        count = 0

        def report(progress: Progress) -> None:
            nonlocal count
            self.listener.progress(progress)
            count += sum(len(window.asked) for window in progress.stored)
            if count >= _BATCH_LABELS and not self.scope.refresh:
                count = 0
                landed.put(Batch(progress.endpoint, complete=False))

        return report

    def _detect_fatal_error(self, report: FetchReport) -> None:
        """Stop fetching if no token can be fetched, the host is down, or two reports in a row didn't reach it.

        Labels that were not requested don't count.
        """
        error = next((error for error in report.errors if error.attempts), None)
        if error is None:  # no call failed
            self._reached_host = self._reached_host or not report.errors
            return
        unreachable = isinstance(error, TryAgain) and all(each.error for each in report.labels)
        no_token = error.endpoint in TOKEN_CALLS and not isinstance(error, TryAgain)
        if no_token or isinstance(error, HostDown) or (unreachable and not self._reached_host):
            self.fatal_error = self.fatal_error or error
        self._reached_host = not unreachable


def _merge_batches(stored: Sequence[Batch], landed: _Queue, fetched: int) -> Iterator[Batch]:
    """Yield the `stored` batches, then those in the queue, until each of the `fetched` endpoints has a complete one.

    Batches of one endpoint that arrive in the meantime become one: a run costs half a second, whatever it holds.
    """
    pending = {batch.endpoint: batch for batch in stored}
    while fetched or pending:
        while not (pending and landed.empty()):
            latest = landed.get()
            fetched -= latest.complete
            pending[latest.endpoint] = latest
        yield pending.pop(next(iter(pending)))


def _in_order(to_fetch: _Labels) -> Iterator[tuple[Endpoint, Sequence[dt.date]]]:
    """Yield the parts to fetch: one call's worth of each endpoint's newest labels, then each one's rest; hours last."""
    rest: dict[Endpoint, Sequence[dt.date]] = {}
    for endpoint, labels in to_fetch.items():
        if labels:
            newest = plan_windows(endpoint, labels)[0].asked
            yield endpoint, newest
            rest[endpoint] = [label for label in labels if label < newest[0]]
    yield from ((endpoint, labels) for endpoint, labels in rest.items() if labels)
