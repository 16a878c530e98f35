"""FetchPool: order, commits and stops of a running fetch, with a fake client that makes no calls.

Add a test here when an error should stop the pool, or when commits or publications change. What is fetched, and what
is left out, is decided in `test_ingest.py`.
"""

import datetime as dt
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.errors import (
    HostDown,
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    TokenRejected,
    TryAgain,
    UnexpectedAnswer,
    WarehouseError,
    WeChatError,
)
from wx_datacube.ingest.pool import (
    COMMIT_SECONDS,
    MAX_CONSECUTIVE_FAILURES,
    FetchPool,
    Progress,
    RunContext,
)
from wx_datacube.ingest.windows import Window
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.publication import PUBLISH_SECONDS
from wx_datacube.wechat import Answer, Journal
from wx_datacube_tests.answers import HOURS, MESSAGES, day
from wx_datacube_tests.processes import HOLD, running

AFTERNOON = dt.datetime(2026, 11, 24, 15)
MORNING = AFTERNOON.replace(hour=9)
PATIENCE = 60  # seconds to wait for an event before a test fails
Act = Callable[[Window], object]


def window(*numbers: int) -> Window:
    """Return a window over these days of November 2026."""
    days = tuple(map(day, numbers))
    return Window(days[0], days[-1], days)


def windows(*numbers: int) -> list[Window]:
    """Return windows of one day each."""
    return [window(number) for number in numbers]


@dataclass
class Acting:
    """A client whose attempts have empty answers unless `act` raises; it records the days requested."""

    act: Act = lambda window: None
    asked: list[int] = field(default_factory=list)
    attempts: int = 1

    def fetch(self, endpoint: str, begin: dt.date, end: dt.date, journal: Journal) -> Answer:
        """Act as `Client.fetch`, without a call."""
        for number in range(self.attempts):
            journal.permit()
            self.asked.append(end.day)
            failed = number + 1 < self.attempts
            try:
                self.act(Window(begin, end, ()))
            except WeChatError as error:
                journal.record(Answer(AFTERNOON, 1, 200, -1, str(error)))
                raise
            outcome = (-1, "busy", None, "{}") if failed else (None, None, None, '{"list":[]}')
            answer = Answer(AFTERNOON, 1, 200, *outcome)
            journal.record(answer)
        return answer


@dataclass
class Working:
    """A fetch pool with a warehouse of its own."""

    warehouse: Warehouse
    told: list[Progress] = field(default_factory=list)
    stop_event: threading.Event = field(default_factory=threading.Event)

    def pool(self, client: Any, *, concurrency: int = 1, budget: int | None = None, **fields: Any) -> FetchPool:
        """Return a fetch pool with this client."""
        given = {
            "warehouse": self.warehouse,
            "client": client,
            "endpoint": HOURS,
            "context": RunContext("run", "shop", False),
            "now": AFTERNOON,
            "concurrency": concurrency,
            "semaphore": self.warehouse.semaphore("shop", concurrency),
            "stop_event": self.stop_event,
            "budget": budget,
            "progress": self.told.append,
        }
        return FetchPool(**given | fields)

    def ledger(self) -> list[int]:
        """Return the days that were requested, by the ledger."""
        with self.warehouse.transaction() as con:
            found = con.execute("SELECT end_date FROM datacube.api_calls ORDER BY call_id").fetchall()
        return [date.day for (date,) in found]


@pytest.fixture
def working(folder: Path) -> Working:
    """Provide an empty warehouse with a timeout of a second."""
    return Working(Warehouse(folder / "figures.duckdb", timeout=1))


def failing(*numbers: int, error: type[WeChatError] = TryAgain, **fields: Any) -> Act:
    """Return an `act` that raises on these days."""

    def act(window: Window) -> None:
        if window.end.day in numbers:
            raise error("It went wrong.", **fields)

    return act


# --- order and commits ------------------------------------------------------------------------------------------


def test_windows_are_fetched_in_their_order(working: Working) -> None:
    """With one worker, windows are requested, stored and reported in their order."""
    client = Acting()
    pool = working.pool(client)
    pool.run(windows(9, 8, 7))

    assert client.asked == working.ledger() == [9, 8, 7]
    assert (pool.calls, pool.errors) == (3, {})
    assert [each.end.day for progress in working.told for each in progress.stored] == [9, 8, 7]


def test_without_windows_nothing_is_committed(working: Working) -> None:
    """Without windows nothing is committed or reported."""
    working.pool(Acting()).run([])

    assert working.told == []


def test_a_pool_can_run_again(working: Working) -> None:
    """A pool can be used again, as after a probe, and adds up calls and errors."""
    pool = working.pool(Acting(failing(9)))
    pool.run(windows(9))
    pool.run(windows(8))

    assert (pool.calls, list(pool.errors)) == (2, [day(9)])


def test_commits_come_about_once_a_second(working: Working) -> None:
    """Answers are committed a second later while the next call is in flight, so a kill loses no more than that."""
    commits: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    client = Acting(lambda window: window.end.day == 9 or commits.get(timeout=PATIENCE))
    working.pool(client, progress=commits.put).run(windows(9, 8, 7))
    last = commits.get_nowait()

    assert COMMIT_SECONDS == 1
    assert last.seconds >= 2 * COMMIT_SECONDS
    assert (working.ledger(), last.calls, last.left) == ([9, 8, 7], 3, 0)


@pytest.mark.long
def test_a_long_run_is_published_on_the_way(working: Working) -> None:
    """A long run publishes every few seconds, not only at its end."""
    publications: queue.SimpleQueue[float] = queue.SimpleQueue()
    moments = [time.monotonic()]

    class Publishing(Warehouse):
        def publish(self) -> None:
            super().publish()
            publications.put(time.monotonic())

    client = Acting(lambda window: moments.append(publications.get(timeout=PATIENCE)))
    working.pool(client, warehouse=Publishing(working.warehouse.database)).run(windows(9, 8))

    assert PUBLISH_SECONDS == 5
    assert working.ledger() == [9, 8]
    assert all(later - earlier >= PUBLISH_SECONDS for earlier, later in pairwise(moments))


def test_the_ledger_has_window_labels_and_run_context(working: Working) -> None:
    """The ledger has the window, the labels it was made for, and the run's context."""
    widened = Window(day(3), day(9), (day(8), day(9)))
    working.pool(Acting(), endpoint=MESSAGES, context=RunContext("run-7", "news", True)).run([widened])
    with working.warehouse.transaction() as con:
        found = con.execute(
            "SELECT run_id, account, endpoint, begin_date, end_date, asked, refresh FROM datacube.api_calls"
        ).fetchall()

    assert found == [("run-7", "news", "getupstreammsg", day(3), day(9), [day(8), day(9)], True)]


# --- when to stop -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [QuotaExhausted, NeedsPerson, HostDown, TokenRejected])
def test_some_errors_stop_the_pool_at_once(working: Working, error: type[WeChatError]) -> None:
    """Some errors stop the pool at once; windows not requested get the same error."""
    client = Acting(failing(8, error=error))
    pool = working.pool(client)
    pool.run(windows(9, 8, 7, 6))

    assert client.asked == [9, 8]
    assert {label.day: type(reason) for label, reason in pool.errors.items()} == dict.fromkeys([8, 7, 6], error)


@pytest.mark.parametrize(
    ("error", "tried"),
    [(TryAgain, 3), (RateLimited, 3), (UnexpectedAnswer, 10), (RequestRefused, 12), (NotReady, 12)],
)
def test_other_errors_stop_the_pool_after_several_in_a_row(
    working: Working, error: type[WeChatError], tried: int
) -> None:
    """Other errors stop the pool after some in a row: 3 of `TryAgain`, 10 of `UnexpectedAnswer`.

    Errors about a single label never stop it.
    """
    client = Acting(failing(*range(1, 13), error=error))
    pool = working.pool(client)
    pool.run(windows(*range(1, 13)))

    assert client.asked == list(range(1, tried + 1))
    assert len(pool.errors) == 12
    assert {TryAgain: 3, UnexpectedAnswer: 10} == MAX_CONSECUTIVE_FAILURES


def test_a_success_resets_the_count_of_errors(working: Working) -> None:
    """A success between failures resets the count."""
    client = Acting(failing(1, 2, 4, 5))
    working.pool(client).run(windows(1, 2, 3, 4, 5, 6))

    assert client.asked == [1, 2, 3, 4, 5, 6]


def test_all_workers_stop(working: Working) -> None:
    """Once the pool stops, calls in flight end, and no worker starts another."""
    in_flight = threading.Barrier(4)
    fail = failing(*range(1, 24), error=NeedsPerson)
    client = Acting(lambda window: (in_flight.wait(PATIENCE), fail(window)))
    pool = working.pool(client, concurrency=4)
    pool.run(windows(*range(1, 24)))

    assert len(client.asked) == 4
    assert len(pool.errors) == 23


def test_a_budget_counts_attempts(working: Working) -> None:
    """The budget counts attempts, each of which uses quota, and none is made beyond it."""
    client = Acting(attempts=2)
    pool = working.pool(client, budget=5)
    pool.run(windows(9, 8, 7, 6))

    assert client.asked == [9, 9, 8, 8, 7]
    assert (pool.calls, sorted(label.day for label in pool.errors)) == (5, [6, 7])
    assert {type(error) for error in pool.errors.values()} == {QuotaExhausted}


def test_a_budget_of_zero_allows_no_call(working: Working) -> None:
    """A budget of 0 or less allows no call."""
    for budget in (0, -3):
        client = Acting()
        pool = working.pool(client, budget=budget)
        pool.run(windows(9, 8))
        assert client.asked == []
        assert len(pool.errors) == 2


def test_the_stop_event_ends_the_run(working: Working) -> None:
    """When `stop_event` is set, calls in flight end and are stored, and no other starts."""
    client = Acting(lambda window: working.stop_event.set())
    pool = working.pool(client)
    pool.run(windows(9, 8, 7))

    assert client.asked == working.ledger() == [9]
    assert {label.day: str(error) for label, error in pool.errors.items()} == dict.fromkeys(
        [8, 7], str(TryAgain("The run was interrupted."))
    )


# --- not ready --------------------------------------------------------------------------------------------------


def test_the_rest_of_a_window_that_is_not_ready_is_requested(working: Working) -> None:
    """The rest of a window that isn't ready is requested next, without its newest label.

    It keeps the window's look-back.
    """
    asked: list[Window] = []

    def refuse_yesterday(window: Window) -> None:
        asked.append(window)
        failing(23, error=NotReady)(window)

    pool = working.pool(Acting(refuse_yesterday), endpoint=MESSAGES, now=MORNING)
    pool.run([Window(day(17), day(23), (day(20), day(22), day(23))), window(10)])

    assert [(each.begin.day, each.end.day) for each in asked] == [(17, 23), (17, 22), (10, 10)]
    assert list(pool.errors) == [day(23)]


def test_late_figures_do_not_hold_back_older_ones(working: Working) -> None:
    """61503 for recent labels may concern the newest one or two only, so older ones are requested without them.

    This holds for seven days after noon of the newest label's due day.
    """
    client = Acting(failing(22, 23, error=NotReady))
    pool = working.pool(client, endpoint=MESSAGES)
    pool.run([window(20, 21, 22, 23)])

    assert client.asked == [23, 22, 21]
    assert sorted(label.day for label in pool.errors) == [22, 23]


def test_a_window_of_older_labels_that_is_not_ready_fails_as_a_whole(working: Working) -> None:
    """A window older than a week fails as a whole on 61503.

    Label by label, a history would cost as many calls as it has days.
    """
    client = Acting(failing(16, error=NotReady))
    pool = working.pool(client, endpoint=MESSAGES)
    pool.run([window(15, 16)])

    assert client.asked == [16]
    assert sorted(label.day for label in pool.errors) == [15, 16]


# --- when the file is in the way --------------------------------------------------------------------------------


def test_answers_that_could_not_be_stored_are_stored_later(working: Working) -> None:
    """If another process holds the file, the run fails, but its answers are stored once the file is free."""
    working.ledger()
    with running(HOLD, working.warehouse.writer) as holder:

        def let_go_at_last(window: Window) -> None:
            if window.end.day == 8:
                assert working.stop_event.wait(PATIENCE)  # set once a commit has failed
                holder.kill()
                holder.wait()

        client = Acting(let_go_at_last)
        with pytest.raises(WarehouseError, match=str(holder.pid)):
            working.pool(client).run(windows(9, 8, 7))

    assert client.asked == [9, 8]
    assert working.ledger() == [9, 8]


class Interrupted(Warehouse):
    """A warehouse whose first commit is followed by a KeyboardInterrupt."""

    committed = 0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit, then raise the interruption once."""
        with super().transaction() as con:
            yield con
        self.committed += 1
        if self.committed == 1:
            raise KeyboardInterrupt


def test_an_interruption_right_after_a_commit_stores_nothing_twice(working: Working) -> None:
    """An interruption just after a commit stores no answer twice, and loses none that was in flight."""
    files = Interrupted(working.warehouse.database, timeout=1)
    client = Acting(lambda window: window.end.day == 9 or working.stop_event.wait(PATIENCE))
    with pytest.raises(KeyboardInterrupt):
        working.pool(client, warehouse=files).run(windows(9, 8, 7))

    assert files.committed == 2
    assert working.ledger() == [9, 8]


def test_the_log_shows_where_a_bug_occurred(working: Working, caplog: pytest.LogCaptureFixture) -> None:
    """A bug's location is logged for a report, but not its text, which may hold secrets."""

    def fail(window: Window) -> None:
        raise KeyError(str(window.end) * 2)

    pool = working.pool(Acting(fail))
    pool.run(windows(9))

    assert "please report this" in str(pool.errors[day(9)])
    assert "Bug in wx_datacube: KeyError." in caplog.text
    assert f'File "{__file__}", line' in caplog.text
    assert str(day(9)) * 2 not in caplog.text


def test_an_unforeseen_error_ends_the_run_with_a_reason(working: Working) -> None:
    """An unforeseen error ends the run with a reason for each label, and leaves no thread waiting."""
    in_flight = threading.Barrier(2)

    def fail(window: Window) -> None:
        if window.end.day < 9:
            in_flight.wait(PATIENCE)
            raise ZeroDivisionError

    client = Acting(fail)
    pool = working.pool(client, concurrency=2)
    pool.run(windows(*range(9, 0, -1)))

    reasons = {label.day: str(reason).split(".")[0] for label, reason in pool.errors.items()}
    assert reasons == dict.fromkeys(range(1, 9), "Bug in wx_datacube: ZeroDivisionError")
    assert (sorted(client.asked), working.ledger()) == ([7, 8, 9], [9])
