"""System: a life of real processes: `dagster dev`, the commands and DuckDB readers, with an emulator on a socket.

The commands, and what goes wrong with processes and files, are here; Dagster and the clock are in `dev`.
"""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import duckdb

from wx_datacube.catalog.model import Endpoint
from wx_datacube.orchestration.runs import REASON_TAG, Reason
from wx_datacube_tests.end_to_end.project import session
from wx_datacube_tests.walk.dev import BOUND, DevLife, command_of
from wx_datacube_tests.walk.life import Life, born

ANY = range(-64, 256)
"""Every exit code, including those of signals."""
WORKED = (0, 1, 3)
"""Exit codes of a backfill that did its work, whatever WeChat answered."""
GOES_ON = 90.0
"""Timeout in seconds of the command that follows a killed one."""


@dataclass
class Ended:
    """A command that has ended."""

    code: int | None
    out: str
    err: str


class System(DevLife):
    """A life of processes."""

    # --- commands

    def call(self, command: Sequence[str], bound: float = BOUND, codes: Collection[int] = ANY) -> Ended:
        """Run a command until it ends; complain about a timeout, processes it leaves, or an unexpected exit code."""
        with self.project.started(command, **self.environ()) as process:
            return self.outcome(process, bound, codes)

    def outcome(self, process: subprocess.Popen[str], bound: float = BOUND, codes: Collection[int] = ANY) -> Ended:
        """Wait for a started command to end, and complain as `call` does."""
        name = " ".join(map(str, process.args[1:])) if isinstance(process.args, list) else str(process.args)
        try:
            out, err = process.communicate(timeout=bound)
        except subprocess.TimeoutExpired:
            self.complaints.append(f"every command ends: {name} did not within {bound:.0f} s")
            return Ended(None, "", "")
        if not self.wait(lambda: not session(process.pid), 35):
            self.complaints.append(f"no process is left: {name} left {session(process.pid)}")
        if "Traceback" in err:
            self.complaints.append(f"nothing unexpected is printed: {name}: {err[-600:]}")
        if process.returncode not in codes:
            self.complaints.append(f"exit codes are right: {name} ended with {process.returncode}: {err[-300:]}")
        return Ended(process.returncode, out, err)

    def command(self, *arguments: str, codes: Collection[int] = ANY) -> Ended:
        """Run `wx-datacube` until it ends."""
        return self.call(self.project.command(*arguments), codes=codes)

    def backfill_command(
        self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date, refresh: bool
    ) -> list[str]:
        """Return the command line of a backfill."""
        chosen = [argument for each in endpoints for argument in ("--endpoint", each.name)]
        asked = ["--account", self.names[member], "--start", str(first), "--end", str(last), *chosen]
        return self.project.command("backfill", *asked, *(["--refresh"] if refresh else []))

    def backfill(
        self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date, refresh: bool
    ) -> None:
        """Run the command; complain if it exits with 0 although labels are missing."""
        ended = self.call(self.backfill_command(member, endpoints, first, last, refresh), codes=WORKED)
        if ended.code == 0 and (missing := self.missing_in(member, endpoints, first, last)):
            self.complaints.append(f"exit codes are right: backfill ended with 0, and {len(missing)} are missing")
        self.take_messages()

    def doctor(self, member: str) -> None:
        """Run the command."""
        self.command("doctor", "--account", self.names[member])

    def look_around(self, member: str) -> None:
        """Run `status`, `report` and `export`."""
        self.needs_person(member)
        if self.database.exists():
            for what in (["report"], ["export", "--output", str(self.folder / "export")]):
                self.command(*what, "--account", self.names[member], codes=(0, 1))

    def replay(self) -> None:
        """Run the command."""
        self.command("replay", codes=(0, 2))

    def rename(self, member: str, new: str) -> None:
        """Stop Dagster, as `rename-account` requires, then run the command and change the settings."""
        self.stop_dev()
        old = self.names[member]
        if self.database.exists() and self.command("rename-account", old, new, codes=(0,)).code != 0:
            return
        self.names[member] = new
        self._configure()

    def needs_person(self, member: str) -> list[str]:
        """Run `status`; complain if its exit code contradicts its output."""
        return list(self._status(member).get("needs_person", []))

    def predicted_calls(self, member: str) -> dict[str, int]:
        """Run `status`."""
        endpoints = self._status(member).get("endpoints", {})
        return {name: each["calls_next_morning"] for name, each in endpoints.items()}

    def _status(self, member: str) -> dict[str, Any]:
        if not self.database.exists():
            return {}
        ended = self.command("status", "--json", "--account", self.names[member], codes=(0, 1))
        if ended.code not in (0, 1):
            return {}
        found: dict[str, Any] = json.loads(ended.out)["accounts"][self.names[member]]
        if bool(found["needs_person"]) != (ended.code == 1):
            said = found["needs_person"]
            self.complaints.append(f"exit codes are right: status ended with {ended.code}, and says {said}")
        return found

    # --- failures of processes

    def hit(self, pids: Sequence[int], place: int, how: signal.Signals) -> None:
        """Send a signal to one of these processes."""
        if pids:
            self.hits.append(self.now)
            with suppress(ProcessLookupError):
                os.kill(pids[place % len(pids)], how)

    def suspend(self, span: dt.timedelta) -> None:
        """Stop all processes, let time pass, and continue them."""
        for how in (signal.SIGSTOP, signal.SIGCONT):
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
            if how is signal.SIGSTOP:
                time.sleep(2)
                self.set_clocks(self.now + span)
        self.hits.append(self.now)  # Dagster fails a run that is starting for too long

    def materialize(self, member: str, endpoint: Endpoint, first: dt.date, last: dt.date) -> None:
        """Run `dagster asset materialize`."""
        key = f"{self.names[member]}/{endpoint.name}"
        wanted = ["--select", key, "--partition-range", f"{first}...{last}"]
        location = ["-f", "theirs.py"] if self.guest else ["-m", "wx_datacube.definitions"]
        self._workspace()
        self.call([self.project.program("dagster"), "asset", "materialize", *location, *wanted])

    def side_by_side(self, asked: Sequence[tuple[str, list[Endpoint], dt.date, dt.date, bool]]) -> None:
        """Run backfills at the same time."""
        with ExitStack() as stack:
            started = [
                stack.enter_context(self.project.started(self.backfill_command(*each), **self.environ()))
                for each in asked
            ]
            for process in started:
                self.outcome(process, codes=WORKED)

    def stopped_backfill(
        self, asked: tuple[str, list[Endpoint], dt.date, dt.date, bool], after: float, how: str, victim: int, where: str
    ) -> None:
        """Send a signal to one of a backfill's processes after some seconds; then repeat it, which must end in time."""
        command = [*_WHERE[where], *self.backfill_command(*asked)]
        with self.project.started(command, **self.environ()) as process:
            if where != "here":  # on this machine a run is seen to be dead; elsewhere one that was cut off must be met
                self.wait(lambda: process.poll() is not None or bool(self.unfinished()), BOUND)
                after = min(after, 1)
            with suppress(subprocess.TimeoutExpired):
                process.wait(after)
            if process.poll() is None:
                # In a terminal, Ctrl-C reaches all processes; here SIGINT goes to the command only.
                pids = session(process.pid)
                ours = [pid for pid in pids if "wx_datacube" in command_of(pid)]
                self.hit([ours[0]] if how == "SIGINT" and ours else pids, victim, signal.Signals[how])
                if how == "SIGSTOP":
                    time.sleep(3)
                    for pid in pids:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGCONT)
            if where == "here" or how != "SIGKILL":
                self.outcome(process)
            else:  # the other processes in the container have lost their parent
                process.wait()
                of_commands = [run for run in self.unfinished() if run.tags.get(REASON_TAG) in list(Reason)]
                self.abandoned.update(run.run_id for run in of_commands)
        # The killed backfill doesn't block the next one.
        name, endpoints, first, last, _ = asked
        self.call(self.backfill_command(name, endpoints, first, last, False), GOES_ON, WORKED)

    # --- changes of files

    def foreign_file(self) -> Iterator[str]:
        """Replace our file with a user's own DuckDB file, some rows only in its WAL; no command may change it."""
        if not self.database.exists():
            return
        self.settle()
        aside = self.database.with_suffix(".aside")
        self.database.rename(aside)
        subprocess.run([sys.executable, "-c", _FOREIGN, str(self.database)], check=True)
        before = _bytes_of(self.database)
        try:
            for command in (["status"], ["backfill"], ["report"], ["doctor"]):
                ended = self.command(*command)
                if ended.code == 0:
                    yield f"exit codes are right: {command} ended with 0 over a foreign file"
                if _bytes_of(self.database) != before:
                    yield f"no foreign byte is changed: {command} changed the foreign file"
        finally:
            for path in _with_wal(self.database):
                path.unlink(missing_ok=True)
            aside.rename(self.database)

    def intruder(self) -> None:
        """Write a user's own table into the published file."""
        if self.database.exists():
            with suppress(duckdb.IOException), duckdb.connect(str(self.database)) as con:  # unless a run is writing it
                con.execute("CREATE OR REPLACE TABLE main.notes AS SELECT range AS note FROM range(1000)")

    def reader(self) -> Iterator[str]:
        """Keep the published file open while a backfill runs."""
        if not self.database.exists():
            return
        with duckdb.connect(str(self.database), read_only=True) as con:
            before = con.execute("SELECT count(*) FROM datacube.api_calls").fetchall()
            self.command("backfill", codes=WORKED)
            if con.execute("SELECT count(*) FROM datacube.api_calls").fetchall() < before:
                yield "readers are never disturbed: calls are gone"

    def full_disk(self) -> None:
        """Run a backfill with a file size limit just above the largest file; its exit code must be a documented one."""
        limit = max(path.stat().st_size for path in [*self.database.parent.glob("*.duckdb"), Path(__file__)])
        self.call(["prlimit", f"--fsize={limit + 4096}", *self.project.command("backfill")], codes=(*WORKED, 2))


_WHERE = {
    "here": [],
    "another host": ["unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh"],
    "a container": ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"],
}
"""Command prefixes, by the place where a command runs."""

_FOREIGN = """
import os, sys, duckdb
con = duckdb.connect(sys.argv[1], config={"checkpoint_threshold": "1TB"})
con.execute("CREATE TABLE theirs AS SELECT range AS number FROM range(1000)")
con.execute("PRAGMA disable_checkpoint_on_shutdown")
con.execute("INSERT INTO theirs SELECT range FROM range(1000)")
os._exit(0)
"""


def _with_wal(path: Path) -> list[Path]:
    return [path, path.with_name(f"{path.name}.wal")]


def _bytes_of(path: Path) -> list[bytes]:
    return [each.read_bytes() if each.exists() else b"" for each in _with_wal(path)]


@contextmanager
def system(seed: int) -> Iterator[Life]:
    """Begin a life of processes and stop all of them at the end; if it fails, keep the log of `dagster dev`."""
    with born(seed) as (folder, accounts, receiver), ExitStack() as stack:
        life = System(folder, accounts, receiver, seed, stack)
        yield life
        if life.failed:
            shutil.copy(folder / "dev.log", Path(gettempdir()) / f"walk-{seed}.log")
