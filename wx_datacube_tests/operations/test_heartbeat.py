"""The heartbeat: requested once a day when everything due is there, by ticks and by `backfill`, and never shown.

The schedules' ticks are tested here too, since they only pass their time on. What overdue means is tested in
`warehouse/test_overdue.py`.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from wx_datacube.alerts.heartbeat import request
from wx_datacube.alerts.notes import NoteFile
from wx_datacube.alerts.secret_url import BOUNDS
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Family
from wx_datacube.catalog.periods import BEIJING, due_labels
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.language import Text
from wx_datacube.operations.digest.concerns import everything_is_there
from wx_datacube.operations.heartbeat import beat
from wx_datacube_tests.dagster_environment import DagsterEnv, dagster_env
from wx_datacube_tests.ingesting import AFTERNOON, shop
from wx_datacube_tests.receiver import HEARTBEAT, Receiver, receiving
from wx_datacube_tests.years import TODAY, years

DAY = dt.timedelta(days=1)
START = dt.date(2026, 11, 1)
KEY = "made-up-heartbeat-key"


@pytest.fixture
def settings(tmp_path: Path, receiver: Receiver) -> Settings:
    """Provide settings with a monitor, and a file in which everything due on 24 November is stored."""
    database = years(tmp_path, start=START).database
    accounts = (Account("shop", start=START),)
    return Settings(None, database, accounts=accounts, heartbeat=Secret(receiver.heartbeat))


class Log(list[str]):
    """What is logged, in English."""

    def note(self, text: Text) -> None:
        """Append a text."""
        self.append(str(text))


@pytest.fixture
def log() -> Log:
    """Provide an empty log."""
    return Log()


# --- when -------------------------------------------------------------------------------------------------------


def test_a_complete_morning_is_requested_once(settings: Settings, receiver: Receiver, log: Log) -> None:
    """On a day that is complete from the first tick, the URL is requested once, whoever looks how often."""
    for hour in (8, 9, 12, 15):
        beat(settings, TODAY.replace(hour=hour), log.note, is_tick=True)
        beat(settings, TODAY.replace(hour=hour, minute=10), log.note)

    assert receiver.beats == [HEARTBEAT]
    assert log == []


def test_an_incomplete_morning_is_not_requested(settings: Settings, receiver: Receiver, log: Log) -> None:
    """While yesterday is missing nothing is requested, neither before nor after noon: the monitor notices."""
    for hour in (9, 13, 23):
        beat(settings, TODAY.replace(hour=hour) + DAY, log.note)

    assert receiver.beats == []
    assert log == []


def test_every_configured_account_counts(settings: Settings, receiver: Receiver, log: Log) -> None:
    """Nothing is requested until all configured accounts are complete, whichever account's work looks."""
    both = replace(settings, accounts=(*settings.accounts, Account("news", start=START)))
    beat(both, TODAY, log.note)

    assert receiver.beats == []


@pytest.mark.long
def test_history_in_progress_counts_as_complete(tmp_path: Path) -> None:
    """History that is being fetched, which takes days of quota, doesn't make a morning incomplete until it stops."""
    with shop(tmp_path, start=dt.date(2026, 9, 1)) as made:
        settings = Settings(None, made.warehouse.database, accounts=(made.ingest.account,))
        for endpoint in ENDPOINTS:
            made.fetch_missing(endpoint, made.labels(endpoint)[-10:])
        assert everything_is_there(settings, settings.accounts, AFTERNOON)
        made.at(AFTERNOON + 2 * DAY)
        for endpoint in ENDPOINTS:
            made.fetch_missing(endpoint, made.labels(endpoint)[-20:])
        assert everything_is_there(settings, settings.accounts, AFTERNOON + 2 * DAY)
        assert not everything_is_there(settings, settings.accounts, AFTERNOON + 4 * DAY)


def test_open_labels_count_as_complete(tmp_path: Path) -> None:
    """Articles whose figures still grow don't keep a morning from being complete."""
    families = (Family.ARTICLES,)
    with shop(tmp_path, start=dt.date(2026, 11, 20), families=families) as made:
        made.bring_everything_in()
        settings = Settings(None, made.warehouse.database, accounts=(made.ingest.account,))
        assert made.rows("SELECT 1 FROM datacube.coverage WHERE state = 'landed' AND NOT final")
        assert everything_is_there(settings, settings.accounts, AFTERNOON)


# --- failures ---------------------------------------------------------------------------------------------------


def test_a_failure_is_a_line_in_the_log_and_is_tried_again(settings: Settings, receiver: Receiver, log: Log) -> None:
    """A monitor that fails is tried again at the next tick; the line doesn't show the URL."""
    receiver.status = 500
    beat(settings, TODAY, log.note, is_tick=True)
    beat(settings, TODAY + dt.timedelta(seconds=30), log.note)  # another process, at the same time
    receiver.status = 200
    beat(settings, TODAY + dt.timedelta(hours=1), log.note, is_tick=True)

    assert receiver.beats == [HEARTBEAT] * 2
    assert log == ["The heartbeat was not sent: The monitor answered with status 500."]


def test_ticks_of_other_schedules_do_not_look_again(settings: Settings, receiver: Receiver, log: Log) -> None:
    """A monitor that hangs delays one of the ticks that come at the same minute, not all of them."""
    receiver.status = 500
    for second in range(12):
        beat(settings, TODAY + dt.timedelta(seconds=second), log.note, is_tick=True)

    assert len(receiver.beats) == 1


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """A redirect isn't followed, so the key in the URL stays with the configured host."""
    with receiving() as elsewhere:
        receiver.status, receiver.location = 302, elsewhere.heartbeat

        reason = request(Secret(receiver.heartbeat))
        assert str(reason) == "The monitor answered with status 302, which is not followed."
        assert elsewhere.beats == []


def test_a_silent_monitor_times_out_within_seconds(receiver: Receiver) -> None:
    """A monitor that doesn't answer is given up after a few seconds."""
    receiver.delay = 60
    began = time.monotonic()

    assert str(request(Secret(receiver.heartbeat))) == f"The monitor was silent for {BOUNDS.read:g} s."
    assert time.monotonic() - began < BOUNDS.total + 2


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"done": 1}'])
def test_a_damaged_note_is_a_line_in_the_log(content: bytes, settings: Settings, receiver: Receiver, log: Log) -> None:
    """If the note can't be read, a line says so and nothing is requested, so that the monitor notices."""
    path = NoteFile(settings.database, "heartbeat").path
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    beat(settings, TODAY, log.note)

    assert receiver.beats == []
    assert ["heartbeat can't be read" in line for line in log] == [True]


def test_processes_at_once_request_it_once(settings: Settings, receiver: Receiver, log: Log) -> None:
    """Of several that look at the same moment, one requests the URL."""
    receiver.delay = 0.3
    threads = [threading.Thread(target=beat, args=(settings, TODAY, log.note)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert receiver.beats == [HEARTBEAT]
    assert log == []


def test_the_url_is_nowhere(
    settings: Settings, receiver: Receiver, log: Log, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The URL is in no file, no log line and no representation, after success and failure."""
    caplog.set_level(logging.DEBUG)
    receiver.status = 503
    beat(settings, TODAY, log.note)
    receiver.status = 200
    beat(settings, TODAY + dt.timedelta(minutes=2), log.note)
    closed = replace(settings, heartbeat=Secret(f"http://127.0.0.1:1{HEARTBEAT}"))
    beat(closed, TODAY.replace(hour=20), log.note)

    assert len(receiver.beats) == 2
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    assert KEY not in f"{log} {caplog.text} {settings!r}"


# --- who looks --------------------------------------------------------------------------------------------------

NINE = dt.datetime(2024, 6, 5, 9, 30)


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account without silent days."""
    with wechat(silent_share=0) as running:
        yield running


@pytest.fixture
def it(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    emulated: Emulated,
    receiver: Receiver,
) -> Iterator[DagsterEnv]:
    """Provide an account whose history began on 3 June 2024, and a monitor."""
    with (
        dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("instance"))) as instance,
        dagster_env(tmp_path, monkeypatch, instance) as found,
    ):
        found.use(emulated, START="2024-06-03", HEARTBEAT=receiver.heartbeat)
        yield found


def tick(it: DagsterEnv, name: str, now: dt.datetime) -> bool:
    """Evaluate a tick of a schedule; return whether it requested runs."""
    schedule = build_defs(clock=lambda: now).resolve_schedule_def(name)
    with dg.build_schedule_context(
        instance=it.instance, scheduled_execution_time=now.replace(tzinfo=BEIJING)
    ) as context:
        return bool(schedule.evaluate_tick(context).run_requests)


@pytest.mark.parametrize(("name", "hour"), [("default_daily", 9), ("default_checks", 13), ("wx_datacube_digest", 12)])
def test_ticks_request_the_heartbeat_once_everything_is_there(
    name: str, hour: int, it: DagsterEnv, receiver: Receiver
) -> None:
    """Ticks request the URL as soon as everything due is there, not while runs are still needed."""
    now = NINE.replace(hour=hour, minute=35)
    tick(it, name, now - dt.timedelta(minutes=10))
    assert receiver.beats == []
    for endpoint in ENDPOINTS:
        if labels := due_labels(endpoint.period, dt.date(2024, 6, 3), now.date()):
            assert it.run(endpoint, labels[0], labels[-1]).success
    tick(it, name, now)
    tick(it, name, now + dt.timedelta(hours=1))

    assert receiver.beats == [HEARTBEAT]


def test_nothing_is_read_without_a_heartbeat(it: DagsterEnv, receiver: Receiver) -> None:
    """Without the setting, nothing is looked up, noted or requested."""
    it.patch.delenv("WX_DATACUBE_HEARTBEAT")
    beat(it.settings, NINE, lambda text: None)

    assert receiver.beats == []
    assert not NoteFile(it.settings.database, "heartbeat").path.parent.exists()
