"""Runs: refreshes, runs that end early, and runs at midnight, with jumping clocks or beside other runs.

Add a test here when it is about a run as a whole. The order of events in a running fetch is in `test_pool.py`.
"""

import datetime as dt
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.model import Endpoint
from wx_datacube.config.settings import Account
from wx_datacube.errors import (
    NeedsPerson,
    UnexpectedAnswer,
)
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.pool import Progress
from wx_datacube.language import Text
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, answered, day, hour_row
from wx_datacube_tests.ingesting import AFTERNOON, Shop, Start, only, state_of
from wx_datacube_tests.processes import interruptible, running

# --- refresh ----------------------------------------------------------------------------------------------------


def test_a_refresh_overwrites_changed_figures_and_removes_vanished_rows(start: Start) -> None:
    """A refresh overwrites changed figures, removes vanished rows, and records both."""
    made = start(messages_per_day=200)
    made.fetch_missing(MESSAGES, [day(20), day(21)])
    made.emulated.control.restate(day(20), delta=-(10**6))
    made.emulated.control.restate(day(21), factor=0.5)
    assert made.fetch_missing(MESSAGES, [day(20), day(21)]).calls == 0
    report = made.fetch_missing(MESSAGES, [day(20), day(21)], refresh=True)

    assert (report.calls, report.unresolved) == (1, ())
    assert state_of(report) == {20: State.EMPTY, 21: State.LANDED}
    messages = sum(1 for _ in made.emulated.world.messages(day(21)))
    assert made.rows("SELECT sum(msg_count) FROM datacube.getupstreammsg") == [(messages,)]
    assert made.rows("SELECT count(*) > 0 FROM datacube.revisions WHERE new IS NULL") == [(True,)]
    assert made.rows("SELECT refresh, asked FROM datacube.api_calls ORDER BY call_id")[-1] == (True, [day(20), day(21)])


def test_a_refresh_requests_empty_labels_again(start: Start) -> None:
    """A refresh requests empty labels again."""
    made = start(silent_share=1)
    made.fetch_missing(MESSAGES, [day(20)])

    assert made.fetch_missing(MESSAGES, [day(20)], refresh=True).calls == 1


def test_a_failed_refresh_is_reported_and_keeps_the_figures(start: Start) -> None:
    """After a failed refresh the label stays landed, and the report has the error."""
    made = start()
    made.fetch_missing(MESSAGES, [day(20)])
    made.emulated.control.fault("getupstreammsg", "48001")
    report = made.fetch_missing(MESSAGES, [day(20)], refresh=True)

    assert only(report).coverage.state is State.LANDED
    assert isinstance(only(report).error, NeedsPerson)
    assert report.unresolved == report.labels


def test_a_repeated_refresh_continues_an_interrupted_one(start: Start) -> None:
    """A repeated refresh continues an interrupted one of the same range, within a month.

    Labels already requested by it, also of endpoints that are done, are not requested again.
    """
    made = start(silent_share=0)
    wanted = {HOURS: made.labels(HOURS)[-4:], MESSAGES: made.labels(MESSAGES)[-4:]}
    first, last = wanted[HOURS][0], wanted[HOURS][-1]
    told: list[Text | str] = []

    def begin(first: dt.date | None = first) -> tuple[list[dt.date], list[dt.date]]:
        found = made.ingest.begin_refresh(wanted, first, last, told.append)
        return found[HOURS].left, found[MESSAGES].left

    def ask(endpoint: Endpoint, *places: int) -> None:
        again = made.ingest.begin_refresh(wanted, first, last)[endpoint]
        made.fetch_missing(endpoint, [wanted[endpoint][place] for place in places], refresh=again)

    assert begin() == (wanted[HOURS], wanted[MESSAGES])
    made.fetch_missing(HOURS, wanted[HOURS][1:2])  # fetched because it is missing, not as part of the refresh
    ask(HOURS, 2, 3)
    ask(MESSAGES, 0, 1, 2, 3)
    assert begin() == (wanted[HOURS][:2], [])
    assert [*map(str, told)] == [
        "getupstreammsghour: resuming the refresh of 2026-11-24 15:00; 2 of 4 days are done.",
        "getupstreammsg: resuming the refresh of 2026-11-24 15:00; 4 of 4 days are done.",
    ]
    ask(HOURS, 0, 1)
    assert begin() == (wanted[HOURS], wanted[MESSAGES])

    ask(HOURS, 2, 3)
    assert begin(None) == (wanted[HOURS], wanted[MESSAGES])
    assert begin() == (wanted[HOURS], wanted[MESSAGES])
    ask(HOURS, 2, 3)
    made.at(AFTERNOON + dt.timedelta(days=31))
    assert begin() == (wanted[HOURS], wanted[MESSAGES])
    assert len(told) == 2


def test_two_refreshes_begun_together_request_each_label_once(start: Start) -> None:
    """If two equal refreshes begin at the same time, the second finds every label already requested."""
    made = start(silent_share=0)
    wanted = made.labels(HOURS)[-3:]
    both = [made.ingest.begin_refresh({HOURS: wanted}, None, None)[HOURS] for _ in range(2)]

    assert [made.fetch_missing(HOURS, wanted, refresh=again).calls for again in both] == [3, 0]


def test_a_refresh_leaves_out_implied_labels(start: Start) -> None:
    """A refresh leaves out implied labels, as they would never be done."""
    made = start(silent_share=1)
    made.fetch_missing(MESSAGES, [day(20)])

    assert made.ingest.begin_refresh({HOURS: [day(20), day(21)]}, day(20), day(21))[HOURS].left == [day(21)]


# --- runs that end early ----------------------------------------------------------------------------------------


@contextmanager
def interrupted_after(made: Shop, calls: int, seconds: float = 0) -> Iterator[None]:
    """Send SIGINT `seconds` after the emulator's call number `calls`, and expect it to end the block."""

    def interrupt() -> None:
        while made.calls() < calls:
            time.sleep(0.01)
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with interruptible(), pytest.raises(KeyboardInterrupt):
        yield
    thread.join()


def test_an_interrupted_run_keeps_its_answers(start: Start) -> None:
    """After Ctrl-C the calls in flight end, and all answers are stored and published."""
    made = start(latency=100, concurrency=2)
    with interrupted_after(made, 6):
        made.fetch_missing(HOURS)
    calls = made.calls()

    assert 6 <= calls < 23
    assert made.rows("SELECT count(*) FROM datacube.api_calls") == [(calls,)]
    assert sum(state is State.LANDED for state in made.states(HOURS).values()) == calls
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("wechat")]


def test_an_interruption_during_the_last_calls_ends_the_run(start: Start) -> None:
    """Ctrl-C ends a run whose first workers have already ended, and keeps all answers."""
    made = start(concurrency=2)
    made.fetch_missing(HOURS, [day(19)])  # an endpoint's first call is made alone
    made.emulated.control.script("getupstreammsghour", "delay:0.8")
    with interrupted_after(made, 3, 0.2):
        made.fetch_missing(HOURS, [day(20), day(21)])

    assert made.rows("SELECT count(*) FROM datacube.getupstreammsghour WHERE ref_date > '2026-11-19'") != [(0,)]
    assert set(made.rows("SELECT begin_date FROM datacube.api_calls")) == {(day(number),) for number in (19, 20, 21)}


def test_an_error_in_the_progress_callback_loses_no_call(start: Start) -> None:
    """If the progress callback raises, the calls are committed once all the same."""
    made = start(concurrency=1)

    def fail(progress: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made.fetch_missing(HOURS, [day(20), day(21)], progress=fail)

    assert made.rows("SELECT count(*), count(DISTINCT begin_date) FROM datacube.api_calls") == [(made.calls(),) * 2]


def test_progress_reports_every_window_once(start: Start) -> None:
    """Progress reports each window once, and the total of calls."""
    made = start()
    told: list[Progress] = []
    report = made.fetch_missing(HOURS, progress=told.append)
    stored = [window.end for progress in told for window in progress.stored]

    assert sorted(stored) == made.labels(HOURS)
    assert told[-1].calls == report.calls == 23
    assert told[-1].left == 0
    assert {progress.endpoint for progress in told} == {HOURS}


def test_an_unforeseen_error_is_the_error_of_every_label(start: Start) -> None:
    """An unforeseen error ends the run, and each label has an error that names it."""
    made = start(concurrency=1)

    class Broken:
        def fetch(self, *_: object) -> None:
            raise ZeroDivisionError

        def quota(self, *_: object) -> Any:
            return type("Quota", (), {"remain": 100})

        def close(self) -> None:
            pass

    report = made.with_(connect=lambda stop_event: Broken()).fetch_missing(HOURS)

    assert {type(each.error) for each in report.labels} == {UnexpectedAnswer}
    assert "ZeroDivisionError" in str(report.errors[0])


# --- midnight, clocks, and other runs ---------------------------------------------------------------------------


def test_a_run_reads_the_date_once(start: Start) -> None:
    """A label that becomes due during a run, at midnight, is left to the next run."""
    made = start(clock=dt.datetime(2026, 11, 24, 23, 59, 59), concurrency=1)
    wanted = [day(22), day(23), day(24)]
    report = made.fetch_missing(HOURS, wanted, progress=lambda _: made.at(dt.datetime(2026, 11, 25, 0, 0, 1)))

    assert state_of(report) == {22: State.LANDED, 23: State.LANDED, 24: State.MISSING}
    assert (report.calls, made.calls()) == (2, 2)


def test_a_clock_that_jumps_back_loses_nothing(start: Start) -> None:
    """After the clock jumps back stored labels stay, and are known again once they are due."""
    made = start()
    made.fetch_missing(MESSAGES)
    made.at(AFTERNOON - 3 * DAY)
    report = made.fetch_missing(MESSAGES, [day(19), day(22)])
    assert [each.coverage.state for each in report.labels] == [State.LANDED, State.MISSING]
    made.at(AFTERNOON)

    assert made.fetch_missing(MESSAGES).unresolved == ()
    assert made.calls() == 4


FETCH = """
import sys, threading
import datetime as dt
from pathlib import Path
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.ingest.service import Ingest
from wx_datacube.config.settings import Account, Secret
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.wechat import Client

url, appid, secret, database, first, last = sys.argv[1:]
clock = lambda: dt.datetime(2026, 11, 24, 15)
account = Account("shop", appid, Secret(secret), start=dt.date(2026, 11, 1))
connect = lambda stop_event: Client(api_url=url, appid=appid, secret=secret, clock=clock)
ingest = Ingest(Warehouse(Path(database)), account, connect, 2, clock=clock)
print("ready", flush=True)
sys.stdin.readline()
labels = [dt.date(2026, 11, day) for day in range(int(first), int(last) + 1)]
report = ingest.fetch_missing(BY_NAME["getupstreammsghour"], labels, run_id=first, notify=print)
print(report.calls, len(report.unresolved), flush=True)
"""


def test_two_runs_at_once_make_no_call_twice(start: Start) -> None:
    """If two processes want overlapping days, the second waits, plans again, and requests only the rest."""
    made = start(latency=200)
    emulated = made.emulated
    common = (emulated.api_url, emulated.appid, emulated.secret, made.warehouse.database)
    with running(FETCH, *common, 1, 16) as one, running(FETCH, *common, 8, 23) as other:
        for process in (one, other):
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0].splitlines() for process in (one, other)]

    windows = made.windows(HOURS)
    assert sorted(windows) == [(str(day(number)), str(day(number))) for number in range(1, 24)]
    assert sum(int(lines[-1].split()[0]) for lines in outputs) == 23
    assert {lines[-1].split()[1] for lines in outputs} == {"0"}
    waited = [line for lines in outputs for line in lines[:-1]]
    assert len(waited) == 1
    assert waited[0].startswith("Waiting for process ")
    assert made.rows("SELECT count(*) FROM datacube.revisions") == [(0,)]


def test_a_thread_that_waited_makes_no_call_for_stored_days(start: Start) -> None:
    """If two threads want the same days, one fetches them and the other finds them stored, without a call."""
    made = start(latency=20)
    reports: list[FetchReport] = []
    threads = [threading.Thread(target=lambda: reports.append(made.fetch_missing(HOURS))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(report.calls for report in reports) == [0, 23]
    assert all(report.unresolved == () for report in reports)


def test_an_unknown_user_source_is_reported(start: Start) -> None:
    """A row with an unknown `user_source` is stored, and the run notifies."""
    made, said = start(), list[str]()
    body = '{"list":[{"ref_date":"2026-11-20","user_source":17,"msg_type":1,"msg_user":2,"msg_count":3}]}'
    made.emulated.control.script(MESSAGES.name, f"200:{body}")
    made.fetch_missing(MESSAGES, [day(20)], notify=said.append)

    assert [each for each in map(str, said) if "user_source" in each] == [
        "getupstreammsg: 1 rows have an undocumented user_source other than 0."
    ]
    assert made.rows("SELECT user_source FROM datacube.getupstreammsg") == [(17,)]


def test_two_accounts_share_a_database(start: Start, folder: Path) -> None:
    """Two accounts in one database have their own figures and calls."""
    made = start()
    news = made.with_(account=Account("news", "wx02", start=day(1)))
    made.fetch_missing(MESSAGES, [day(20)])
    report = news.fetch_missing(MESSAGES, [day(20)])

    assert report.calls == 1
    assert made.rows("SELECT account FROM datacube.accounts ORDER BY 1") == [("news",), ("shop",)]
    assert made.rows("SELECT count(DISTINCT account) FROM datacube.getupstreammsg") == [(2,)]


BE_FETCHING = """
import sys
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
with Warehouse(Path(sys.argv[1])).fetching("shop", "getupstreammsghour", print):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_labels_that_another_run_stored_meanwhile_are_not_requested(start: Start) -> None:
    """A run that waits for another process notifies, then plans again, and makes no call for stored labels."""
    made = start()
    with running(BE_FETCHING, made.warehouse.database) as other:

        def end_the_other(message: Text) -> None:
            assert str(message) == f"Waiting for process {other.pid}, which is fetching {HOURS.name} for this account."
            with made.warehouse.transaction() as con:
                store_calls(con, [answered(HOURS, day(20), None, hour_row(day(20)), at=AFTERNOON)])
            other.communicate("\n", timeout=30)

        report = made.fetch_missing(HOURS, [day(20)], notify=end_the_other)

    assert (report.calls, only(report).coverage.state) == (0, State.LANDED)


def test_a_killed_fetcher_blocks_no_other_run(start: Start) -> None:
    """A killed process releases its lock, so the next run doesn't wait."""
    made = start()
    with running(BE_FETCHING, made.warehouse.database) as other:
        other.kill()
        other.wait()

        assert made.fetch_missing(HOURS, [day(20)]).unresolved == ()
