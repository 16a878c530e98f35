"""FetchPool: threads that fetch windows, and the commits of their answers.

`FetchPool.run` controls a running fetch: newest window first, a commit about once a second, and when to stop. Add a
rule about these here. `plan` decides what to fetch, `wechat` makes the calls, `warehouse.publication` decides how often
the file is published.
"""

import datetime as dt
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field

from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import settled_at
from wx_datacube.errors import (
    INTERRUPTED,
    HostDown,
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    TokenRejected,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
    bug,
    describe_bug,
)
from wx_datacube.ingest.windows import Window
from wx_datacube.language import Text
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import Call, last_call, store_calls
from wx_datacube.warehouse.locks import ProcessSemaphore
from wx_datacube.warehouse.publication import PublicationTimer
from wx_datacube.wechat import Answer, Client

COMMIT_SECONDS = 1.0
"""Seconds between commits. A killed process loses at most the answers of this time, and the calls in flight."""
MAX_CONSECUTIVE_FAILURES = {TryAgain: 3, UnexpectedAnswer: 10}
"""Consecutive failed windows after which the fetch stops, by class of error."""

_LATE_FOR = dt.timedelta(days=7)
"""Until this long after its newest label settles, a window that isn't ready is requested again without that label.

Later, the whole window fails.
"""

log = logging.getLogger("wx_datacube.ingest.pool")

_FATAL_ERRORS = (QuotaExhausted, NeedsPerson, HostDown, TokenRejected)


@dataclass(frozen=True, slots=True)
class Progress:
    """One commit of a running fetch.

    `stored` are the windows of this commit, `calls`, `rows` and `seconds` are totals so far, and `left` is the number
    of windows still to fetch.
    """

    endpoint: Endpoint
    stored: tuple[Window, ...]
    calls: int
    rows: int
    left: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunContext:
    """The values that the ledger stores with every call of a run."""

    run_id: str
    account: str
    refresh: bool


@dataclass(slots=True)
class FetchPool:
    """The fetch of one endpoint. After `run`, `errors` holds failures by label and `calls` the number of attempts.

    `budget` is the number of attempts allowed today; None means no limit.
    """

    warehouse: Warehouse
    client: Client
    endpoint: Endpoint
    context: RunContext
    now: dt.datetime
    concurrency: int
    semaphore: ProcessSemaphore
    stop_event: threading.Event
    budget: int | None
    progress: Callable[[Progress], None]
    errors: dict[dt.date, WeChatError] = field(default_factory=dict)
    calls: int = 0
    _rows: int = 0
    _windows: deque[Window] = field(default_factory=deque)
    _stop: WeChatError | None = None
    _failures: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _events: "queue.SimpleQueue[Call | Window | None]" = field(default_factory=queue.SimpleQueue)
    """Messages from the workers: an attempt, an answered window, or None when a worker ends."""
    _pending: "list[Call | Window]" = field(default_factory=list)
    """Messages received and not yet committed."""
    _batch: tuple[int, Sequence[Call]] = (0, ())
    """The calls of the last commit that was tried, and the call id of the first."""
    _running: int = 0
    _began: float = field(default_factory=time.monotonic)

    def run(self, windows: Iterable[Window]) -> None:
        """Fetch the windows in the given order; return once each is stored, failed or given up."""
        self._windows.extend(windows)
        threads = min(self.concurrency, len(self._windows))
        if threads:
            self._running = threads
            with ThreadPoolExecutor(threads, thread_name_prefix="wechat") as pool:
                self._store_until_done([pool.submit(self._worker) for _ in range(threads)])

    @property
    def stopped(self) -> bool:
        """Whether the pool makes no more calls."""
        return self._stop is not None

    # --- the main thread: from the workers' messages to the file

    def _store_until_done(self, workers: "list[Future[None]]") -> None:
        publications = PublicationTimer(self.warehouse)
        try:
            while self._running:
                self._receive_for_interval()
                self._store()
                if self._running:
                    publications.publish_if_due()
        except BaseException:
            # Interrupted, or the file can't be written: wait for the calls in flight and try to commit them.
            self.stop_event.set()
            wait(workers)
            while not self._events.empty():
                self._receive(0)
            self._store()
            raise

    def _receive_for_interval(self) -> None:
        """Receive messages for one commit interval, or until every worker has ended."""
        deadline = time.monotonic() + COMMIT_SECONDS
        with suppress(queue.Empty):
            while self._running:
                self._receive(max(0.0, deadline - time.monotonic()))

    def _receive(self, seconds: float) -> None:
        event = self._events.get(timeout=seconds)
        if event is None:
            self._running -= 1
        else:
            self._pending.append(event)

    def _store(self) -> None:
        """Commit the received messages; they are kept for another try until a commit succeeds."""
        calls = [each for each in self._pending if isinstance(each, Call)]
        if calls:
            with self.warehouse.transaction() as con:
                # If the last try was interrupted just after its commit, its calls are in the ledger already.
                fresh = calls[self._committed(con, calls) :]
                self._batch = (last_call(con) + 1, fresh)
                rows = store_calls(con, fresh)
            self._rows += rows
        windows = tuple(each for each in self._pending if isinstance(each, Window))
        self._pending.clear()
        self.calls += len(calls)
        if calls or windows:
            seconds = time.monotonic() - self._began
            self.progress(Progress(self.endpoint, windows, self.calls, self._rows, len(self._windows), seconds))

    def _committed(self, con: Connection, calls: Sequence[Call]) -> int:
        """Return how many of the calls, counted from the first, are in the ledger already."""
        number, batch = self._batch
        if not batch or batch[0] is not calls[0]:
            return 0
        call = batch[0]
        found = con.execute(
            "SELECT run_id, endpoint, begin_date, end_date, requested_at FROM datacube.api_calls"
            " WHERE call_id = $number",
            {"number": number},
        ).fetchall()
        written = (call.run_id, call.endpoint, call.begin_date, call.end_date, call.requested_at)
        return len(batch) if found == [written] else 0

    # --- the workers

    def _worker(self) -> None:
        try:
            while window := self._next():
                self._fetch(window)
        finally:
            self._events.put(None)

    def _next(self) -> Window | None:
        with self._lock:
            if not self._windows:
                return None
            self._check_halted()
            if self._stop is None:
                return self._windows.popleft()
            for window in self._windows:
                self.errors.update(dict.fromkeys(window.asked, self._stop))
            self._windows.clear()
            return None

    def _check_halted(self) -> None:
        if self.stop_event.is_set():
            self._stop = self._stop or TryAgain(INTERRUPTED)

    def _fetch(self, window: Window) -> None:
        try:
            with self.semaphore.acquire(self.stop_event):
                self.client.fetch(self.endpoint.name, window.begin, window.end, _Journal(self, window))
        except WeChatError as error:
            with self._lock:
                self._failed(window, error)
        except Exception as error:  # a bug in this package, which the other windows would hit too
            log.error("%s", describe_bug(error))
            with self._lock:
                self._stop = self._stop or UnexpectedAnswer(
                    bug(error),
                    advice=Text(
                        "Stored figures are kept; please report this, with the traceback in the log of this run.",
                        "已保存的数据会保留；请附上本次运行日志中的 traceback 反馈。",
                    ),
                )
                self._failed(window, self._stop)
        else:
            self._failures = 0
            self._events.put(window)

    def _failed(self, window: Window, error: WeChatError) -> None:
        newest = window.end
        if isinstance(error, NotReady) and self.now < settled_at(newest, self.endpoint.period) + _LATE_FOR:
            self.errors[newest] = error
            self._requeue_without_newest(window)
            return
        self.errors.update(dict.fromkeys(window.asked, error))
        for kind, limit in MAX_CONSECUTIVE_FAILURES.items():
            if isinstance(error, kind):
                self._failures += 1
                if self._failures >= limit:
                    self._stop = self._stop or error
        if isinstance(error, _FATAL_ERRORS):
            self._stop = self._stop or error

    def _requeue_without_newest(self, window: Window) -> None:
        """Request a window again without its newest label.

        The newest label may be unpublished (61503) even at noon or later; it must not block older ones.
        """
        if rest := window.asked[:-1]:
            self._windows.appendleft(Window(min(window.begin, rest[0]), rest[-1], rest))

    # --- the journal

    def permit(self) -> None:
        """Raise unless one more attempt is within the budget and the run has not been stopped."""
        with self._lock:
            self._check_halted()
            if self._stop is not None:
                raise self._stop
            if self.budget is not None:
                if self.budget <= 0:
                    raise QuotaExhausted(
                        Text(
                            "Today's limit of calls is reached (WeChat's quota or WX_DATACUBE_DAILY_CALLS).",
                            "今天的调用次数已达上限（微信的配额或 WX_DATACUBE_DAILY_CALLS）。",
                        ),
                        endpoint=self.endpoint.name,
                    )
                self.budget -= 1

    def record(self, answer: Answer, window: Window) -> None:
        """Queue the answer of an attempt for the next commit."""
        self._events.put(
            Call(
                run_id=self.context.run_id,
                account=self.context.account,
                endpoint=self.endpoint.name,
                begin_date=window.begin,
                end_date=window.end,
                asked=window.asked,
                refresh=self.context.refresh,
                requested_at=answer.requested_at,
                elapsed_ms=answer.elapsed_ms,
                http_status=answer.http_status,
                errcode=answer.errcode,
                errmsg=answer.errmsg,
                rid=answer.rid,
                response=answer.response,
            )
        )


@dataclass(frozen=True, slots=True)
class _Journal:
    """Receives the client's answers for one window and passes them to the pool."""

    pool: FetchPool
    window: Window

    def permit(self) -> None:
        self.pool.permit()

    def record(self, answer: Answer) -> None:
        self.pool.record(answer, self.window)
