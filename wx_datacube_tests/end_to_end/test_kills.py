"""Kills: `kill -9` at any moment, what it leaves behind, and the run after it.

A `CrashScenario` is a project whose backfill is killed repeatedly. After each kill the test checks everything that a
kill might break. After the last kill, the same command fetches the rest, and the result equals an undisturbed run. Add
moments to `crash_injection`.
"""

import datetime as dt
import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.periods import beijing_now, due_labels
from wx_datacube.config.environment import load_settings
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.ingest.service import Ingest
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.end_to_end.crash_injection import MOMENTS, deadly
from wx_datacube_tests.end_to_end.project import PATIENCE, Project, session, wait_until

pytestmark = pytest.mark.long

LATENCY, IN_FLIGHT = 250, 4
A_SECOND = IN_FLIGHT * 1000 // LATENCY
"""Responses per second."""
PAID_TWICE = IN_FLIGHT + A_SECOND
"""Calls that a kill may waste: those in flight and the responses of the last second."""
AT_ONCE = 15.0
"""Seconds until the first call on a busy machine; waiting for a lock takes longer and prints a message."""
BUSY = 2.0
"""Extra seconds that a commit may take on a machine that is busy with other tests."""

LEDGER = """
SELECT call_id, endpoint, begin_date, end_date, requested_at, md5(response) FROM datacube.api_calls ORDER BY call_id"""

TORN = """
SELECT endpoint, label FROM (SELECT account, endpoint, unnest(asked) AS label FROM datacube.api_calls) AS asked
ANTI JOIN datacube.label_answers USING (account, endpoint, label)"""
"""Labels that have a response in the ledger but not in the tables."""

ASKED_AGAIN = """
SELECT endpoint, label FROM (SELECT endpoint, unnest(asked) AS label FROM datacube.api_calls)
GROUP BY ALL HAVING count(*) > 1"""

STATES = "SELECT endpoint, state, count(*) FROM datacube.coverage GROUP BY ALL ORDER BY ALL"


def all_rows(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """Return every figure of the seven tables, without the call that it came from."""
    columns = {each.name: ", ".join(column.name for column in each.columns) for each in ENDPOINTS}
    return {
        name: con.execute(f"SELECT {names} FROM datacube.{name} ORDER BY ALL").fetchall()
        for name, names in columns.items()
    }


@dataclass
class CrashScenario:
    """A project whose processes are killed, and its state after the previous kill."""

    project: Project
    emulated: Emulated
    start: str
    end: str
    stack: ExitStack
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    kept: list[tuple[Any, ...]] = field(default_factory=list)
    shown: list[tuple[Any, ...]] = field(default_factory=list)
    lost: int = 0
    kills: int = 0

    def backfill(self, calls: int = 1, **environ: str) -> subprocess.Popen[str]:
        """Start a backfill and wait until it has made this many calls.

        The first call must come at once, whatever the previous backfill has left behind.
        """
        before = len(self.emulated.control.statistics_calls())
        command = self.project.command("backfill", "--end", self.end)
        process = self.stack.enter_context(self.project.started(command, **environ))
        self.started.append(process)
        made = self.emulated.control.statistics_calls
        wait_until(lambda: len(made()) > before or process.poll() is not None, AT_ONCE, every=0.01)
        wait_until(lambda: len(made()) >= before + calls or process.poll() is not None, every=0.01)
        return process

    def kill(self, process: subprocess.Popen[str], pid: int) -> None:
        """Kill a process of a backfill while calls are in flight, and wait until the backfill has ended."""
        wait_until(lambda: self.emulated.control.state()["in_flight"] or process.poll() is not None, every=0.001)
        assert process.poll() is None, process.communicate()
        os.kill(pid, signal.SIGKILL)
        self.look(process, killed=pid == process.pid)

    def look(self, process: subprocess.Popen[str], *, killed: bool) -> None:
        """Assert what must hold after each kill; `killed` is True if the fetching process was killed."""
        process.wait(PATIENCE)
        at = beijing_now()
        self.kills += 1
        assert process.returncode == (-signal.SIGKILL if killed else 1)
        self.emulated.control.wait_until_idle()

        ledger = self._files()
        asked = [(call.endpoint, call.begin, call.end, call.at) for call in self.emulated.control.statistics_calls()]
        lost = len(asked) - len(ledger) - self.lost
        stored = Counter((endpoint, str(begin), str(end)) for _, endpoint, begin, end, *_ in ledger)
        since = at - dt.timedelta(seconds=1 + LATENCY / 1000 + BUSY)
        assert lost <= (PAID_TWICE + BUSY * A_SECOND if killed else 0)
        assert len([each for each in asked if each[3] < since]) - self.lost <= stored.total()
        self.lost += lost
        self._status()

    def _files(self) -> list[tuple[Any, ...]]:
        """Assert that both files open, keep everything that they had, and contain nothing partial."""
        if not self.project.database.exists():
            return self._writers_file()
        with duckdb.connect(str(self.project.database), read_only=True) as con:
            shown = con.execute(LEDGER).fetchall()
            assert con.execute(TORN).fetchall() == []
        ledger = self._writers_file()
        assert shown[: len(self.shown)] == self.shown
        assert ledger[: len(shown)] == shown
        self.shown = shown
        return ledger

    def _writers_file(self) -> list[tuple[Any, ...]]:
        warehouse = Warehouse(self.project.database)
        if not warehouse.writer.exists():
            return []
        with warehouse.transaction() as con:
            ledger = con.execute(LEDGER).fetchall()
            assert con.execute(TORN).fetchall() == []
        assert ledger[: len(self.kept)] == self.kept
        assert [number for number, *_ in ledger] == list(range(1, len(ledger) + 1))
        self.kept = ledger
        return ledger

    def _status(self) -> None:
        """Assert that `status` agrees with the published file; retry if a Dagster run replaces the file meanwhile."""
        while self.project.database.exists():
            states = self.project.query(STATES)
            said = self.project.run("status", "--json")
            assert said.returncode in (0, 1)  # labels may be overdue
            assert said.stderr == ""
            if states == self.project.query(STATES):
                found = json.loads(said.stdout)["accounts"]["default"]["endpoints"]
                assert {(name, state, found[name][state]) for name, state, _ in states} == set(states)
                return

    def finish(self) -> None:
        """Run the command again: the result is complete, without duplicates or repeated calls; no process is left."""
        self.emulated.control.set_latency(0)
        done, again = (self.project.run("backfill", "--end", self.end) for _ in range(2))
        assert (done.returncode, done.stderr) == (0, "")
        assert "Waiting" not in done.stdout
        assert "default: nothing to do" in again.stdout

        wait_until(lambda: not any(session(process.pid) for process in self.started), timeout=30)
        for process in self.started:
            assert "Waiting" not in process.communicate()[0]
        made = len(self.emulated.control.statistics_calls())
        with duckdb.connect(str(self.project.database), read_only=True) as con:
            assert all_rows(con) == self.undisturbed()
            assert con.execute(ASKED_AGAIN).fetchall() == []
            assert con.execute("FROM datacube.revisions").fetchall() == []
            assert con.execute("FROM datacube.rejected_rows").fetchall() == []
            assert con.execute(TORN).fetchall() == []
            calls = len(con.execute(LEDGER).fetchall())
        assert made - calls == self.lost
        assert self.lost <= self.kills * PAID_TWICE
        left = {path.name for path in self.project.database.parent.iterdir()}
        assert left == {"wx_datacube.duckdb", "wx_datacube.writer.duckdb", "wx_datacube.locks"}

    def undisturbed(self) -> dict[str, list[tuple[Any, ...]]]:
        """Fetch the same labels without a kill, and return the figures."""
        calm = Project.make(self.project.folder.with_name("calm"))
        account = {"API_URL": self.emulated.api_url, "APPID": self.emulated.appid, "SECRET": self.emulated.secret}
        given = {f"WX_DATACUBE_{name}": value for name, value in (account | {"START": self.start}).items()}
        settings = load_settings({"DAGSTER_HOME": str(calm.folder), **given})
        ingest = Ingest.of(settings, settings.account())
        first, last = dt.date.fromisoformat(self.start), dt.date.fromisoformat(self.end)
        for endpoint in ENDPOINTS:
            labels = due_labels(endpoint.period, first, beijing_now().date())
            ingest.fetch_missing(endpoint, [label for label in labels if label <= last], run_id="calm")
        with ingest.warehouse.open_published() as con:
            return all_rows(con)


@contextmanager
def victim(folder: Path, start: str, end: str) -> Iterator[CrashScenario]:
    """Provide a fresh project over the days from `start` to `end`, with a slow emulator."""
    with wechat(latency=LATENCY, quota=10_000) as emulated, ExitStack() as stack:
        project = Project.on(folder / "project", emulated, START=start, CONCURRENCY=IN_FLIGHT)
        yield CrashScenario(project, emulated, start, end, stack)


def kill_at(victim: CrashScenario, moment: str, folder: Path) -> None:
    """Let a backfill kill itself at a moment, and check what is left."""
    process = victim.backfill(**deadly(moment, folder / f"deadly {victim.kills}"))
    victim.look(process, killed=not moment.endswith("Dagster alone"))


def kill_at_random(victim: CrashScenario, chance: random.Random) -> None:
    """Kill a backfill at a random call, and check what is left."""
    process = victim.backfill(calls=chance.randrange(1, 60))
    victim.kill(process, process.pid)


def kill_dagster_at_random(victim: CrashScenario, chance: random.Random) -> None:
    """Kill only Dagster's process; fetching continues until something has to be materialized."""
    process = victim.backfill(calls=chance.randrange(1, 60))
    (dagster,) = [pid for pid in session(process.pid) if "wx_datacube.orchestration.backfill_runs" in command_of(pid)]
    victim.kill(process, dagster)


def command_of(pid: int) -> list[str]:
    """Return the command line of a process; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


FRESH = ["while Dagster's history is set up, Dagster alone"]
"""The moments that occur only in a fresh folder, and not after another kill."""


@pytest.mark.parametrize("moments", [FRESH, [each for each in MOMENTS if each not in FRESH]], ids=["fresh", "any"])
def test_a_kill_at_any_chosen_moment_loses_the_last_second_only(moments: list[str], tmp_path: Path) -> None:
    """A kill at any of the critical moments, one after another in one project, loses at most the last second."""
    with victim(tmp_path, "2022-06-01", "2024-02-29") as it:
        for moment in moments:
            kill_at(it, moment, tmp_path)
        it.finish()


def test_kills_at_random_moments_lose_the_last_second_only(tmp_path: Path) -> None:
    """Fifteen kills at random calls, one of them of Dagster's process only, lose at most the last second each."""
    chance = random.Random(1)
    with victim(tmp_path, "2022-06-01", "2024-02-29") as it:
        for _ in range(14):
            kill_at_random(it, chance)
        kill_dagster_at_random(it, chance)
        it.finish()
