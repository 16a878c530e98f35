"""Project folders in temporary space, and the processes that run in them: commands, `dagster dev`, anything.

Add here what starts, queries and stops processes of a project folder. Every process gets its own session, which is
killed completely at the end. Expectations belong in the tests.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import duckdb

from wx_datacube.emulator.testing import Emulated
from wx_datacube_tests.processes import interruptible

TOP = Path(__file__).parent.parent.parent
PREFIXES = ("WX_DATACUBE_", "_WX_DATACUBE_", "DAGSTER_")
"""Variables of ours and of Dagster; `project_instance` sets one of them for the rest of its process."""
LAUNCH = """
mutation($chosen: [PartitionsByAssetSelector!]!) {
  launchPartitionBackfill(backfillParams: {partitionsByAssets: $chosen}) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}
  }
}"""
BACKFILL = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {status runs(limit: 20) {status}} }
}"""
PATIENCE = 120.0
"""Timeout in seconds for processes, long enough for a busy machine."""


@dataclass(frozen=True)
class Project:
    """A project folder with a `.env` and the files of a clone that matter to Dagster."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, **settings: object) -> "Project":
        """Create a fresh folder; write `settings`, which are `WX_DATACUBE_*` without the prefix, to `.env` if given."""
        folder.mkdir(parents=True)
        for name in ("dagster.yaml", "workspace.yaml", "pyproject.toml"):
            shutil.copy(TOP / name, folder)
        project = cls(folder)
        if settings:
            project.set(**settings)
        return project

    @classmethod
    def on(cls, folder: Path, emulated: Emulated, **settings: object) -> "Project":
        """Create a fresh folder for the emulator's account."""
        account = {"API_URL": emulated.api_url, "APPID": emulated.appid, "SECRET": emulated.secret}
        return cls.make(folder, **(account | settings))

    def set(self, **settings: object) -> None:
        """Overwrite `.env`."""
        env = self.folder / ".env"
        env.write_text("".join(f"WX_DATACUBE_{name}={value}\n" for name, value in settings.items()))
        env.chmod(0o600)

    @property
    def database(self) -> Path:
        """The published file, at its default path."""
        return self.folder / "data" / "wx_datacube.duckdb"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the published file as any reader does."""
        with duckdb.connect(str(self.database), read_only=True) as con:
            return con.execute(sql).fetchall()

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment of a process in this folder: without the caller's variables of ours or of Dagster."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
        return kept | {"PYTHONPATH": str(TOP)} | more

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `wx-datacube` in the folder until it ends."""
        return self.call([sys.executable, "-m", "wx_datacube", *arguments], **more)

    def call(self, command: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Run any command in the folder until it ends."""
        with self.started(command, **more) as process:
            out, err = process.communicate(timeout=PATIENCE)
            return subprocess.CompletedProcess(command, process.returncode, out, err)

    @contextmanager
    def started(
        self, command: Sequence[str], log: IO[str] | None = None, **more: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a command in the folder; at the end, kill everything that it started.

        Its output goes to `log`, or by default to pipes, which suit commands that print little.
        """
        with interruptible():
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ(**more),
                stdin=subprocess.DEVNULL,
                stdout=log or subprocess.PIPE,
                stderr=subprocess.STDOUT if log else subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            end(process)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `wx-datacube` in this Python."""
        return [sys.executable, "-m", "wx_datacube", *arguments]

    def program(self, name: str) -> str:
        """Return the path of a program installed beside this Python, such as `dagster`."""
        return str(Path(sys.executable).with_name(name))


def end(process: subprocess.Popen[str]) -> None:
    """Interrupt a process, then kill the rest of its session."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
    for pid in [*session(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def session(leader: int) -> list[int]:
    """Return the running processes of a session; empty on systems without /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def free_port() -> int:
    """Return an unused local port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(happened: Callable[[], Any], timeout: float = PATIENCE, every: float = 0.2) -> Any:
    """Wait until `happened` returns a true value and return it; raise AssertionError after the timeout."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := happened():
            return found
        time.sleep(every)
    raise AssertionError(f"nothing happened within {timeout:.0f} s")


@dataclass(frozen=True)
class Ui:
    """A client of Dagster's webserver, which uses GraphQL."""

    port: int
    host: str = "127.0.0.1"

    def ask(self, query: str, **variables: object) -> Any:
        """Return the data of a query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://{self.host}:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def launch(self, ranges: Mapping[tuple[str, ...], Sequence[tuple[str, str]]]) -> str:
        """Launch a backfill of these ranges of each asset, as the UI does, and return its id."""
        chosen = [
            {
                "assetKey": {"path": path},
                "partitions": {"ranges": [{"start": first, "end": last} for first, last in each]},
            }
            for path, each in ranges.items()
        ]
        return str(self.ask(LAUNCH, chosen=chosen)["launchPartitionBackfill"]["backfillId"])

    def ended(self, backfill: str, timeout: float = PATIENCE) -> Any:
        """Wait until a backfill has ended and return it."""

        def found() -> Any:
            it = self.ask(BACKFILL, id=backfill)["partitionBackfillOrError"]
            return it if it["status"] not in ("REQUESTED", "IN_PROGRESS") else None

        return wait_until(found, timeout)

    def is_there(self) -> bool:
        """Return whether the webserver responds yet."""
        try:
            return bool(self.ask("{version}"))
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def dagster_dev(project: Project, *options: str) -> Iterator[Ui]:
    """Run `dagster dev` in the folder, and wait until it responds."""
    ui = Ui(free_port())
    command = [project.program("dagster"), "dev", "--port", str(ui.port), *options]
    with project.folder.with_suffix(".log").open("w") as log, project.started(command, log):
        wait_until(ui.is_there)
        yield ui
