"""Commands as processes: how they end after success, failure, signals and kills.

Add a test here if it needs a real process. Everything else about commands is in `cli`.
"""

import datetime as dt
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.emulator.testing import Control, Emulated, wechat
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.end_to_end.project import PATIENCE, Project, Ui, free_port, session, wait_until
from wx_datacube_tests.wrapped_output import unwrapped

START, END = "2024-03-01", "2024-03-12"
ONE = ("--start", START, "--end", END, "--endpoint", "getupstreammsg")
CHOSEN = (*ONE, "--endpoint", "getupstreammsghour")


@pytest.fixture
def emulated() -> Iterator[Emulated]:
    """Provide an ordinary account."""
    with wechat() as running:
        yield running


@pytest.fixture
def project(emulated: Emulated, tmp_path: Path) -> Project:
    """Provide a fresh project folder for that account."""
    return Project.on(tmp_path / "project", emulated, START=START)


def windows(emulated: Emulated) -> Counter[tuple[str, str | None, str | None]]:
    """Return how often each window was requested."""
    return Counter((call.endpoint, call.begin, call.end) for call in emulated.control.statistics_calls())


def runs(project: Project) -> set[str]:
    """Return the statuses of all Dagster runs of the project."""
    database = project.folder / ".dagster/history/runs.db"
    with closing(sqlite3.connect(database)) as con, suppress(sqlite3.OperationalError):  # the tables don't exist yet
        return {status for (status,) in con.execute("SELECT status FROM runs")}
    return set()


# --- completed and interrupted backfills ------------------------------------------------------------------------


@pytest.mark.long
def test_a_backfill_ends_at_the_quota_and_continues_the_next_day(project: Project, emulated: Emulated) -> None:
    """At the quota a backfill exits with 3 and says when to continue; the next day the same command does."""
    emulated.control.set_quota(8)

    stopped = project.run("backfill", *CHOSEN)
    assert stopped.returncode == 3, stopped.stderr
    assert "getupstreammsghour: 4 of 12 are missing." in stopped.stderr
    assert "Run the same command again after 00:00 Beijing time" in stopped.stderr
    assert "At this rate everything is stored by about" in stopped.stderr

    emulated.control.advance(dt.timedelta(days=1))
    again = project.run("backfill", *CHOSEN)
    assert (again.returncode, again.stderr) == (0, "")
    scope = f"label BETWEEN '{START}' AND '{END}' AND endpoint IN ('getupstreammsg', 'getupstreammsghour')"
    assert project.query(f"SELECT DISTINCT state FROM datacube.coverage WHERE {scope}") == [("landed",)]
    assert {window: count for window, count in windows(emulated).items() if count > 1} == {}
    assert runs(project) == {"SUCCESS"}


def fetching(project: Project, emulated: Emulated) -> bool:
    """Return whether calls are being made."""
    return len(emulated.control.statistics_calls()) > 4


def materializing(project: Project, emulated: Emulated) -> bool:
    """Return whether Dagster runs have started; the signal then comes during a run or between two."""
    return (project.folder / ".dagster/history/runs.db").exists() and bool(runs(project) & {"STARTED", "SUCCESS"})


@pytest.mark.parametrize(
    ("moment", "ending"),
    [
        (fetching, signal.SIGINT),
        (materializing, signal.SIGINT),
        pytest.param(fetching, signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(materializing, signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_ctrl_c_ends_a_backfill(
    moment: Callable[[Project, Emulated], bool], ending: signal.Signals, emulated: Emulated, tmp_path: Path
) -> None:
    """Ctrl-C, SIGTERM and SIGHUP end a backfill with 130 in seconds; responses received so far are in the ledger."""
    project = Project.on(tmp_path / "project", emulated, START=START, CONCURRENCY=2)
    emulated.control.set_latency(1500)  # after the first run, the calls for the hours take nine seconds
    with project.started(project.command("backfill", *CHOSEN)) as process:
        wait_until(lambda: moment(project, emulated) or process.poll() is not None, every=0.02)
        interrupted = time.monotonic()
        assert process.poll() is None
        process.send_signal(ending)
        _, err = process.communicate(timeout=PATIENCE)
        took = time.monotonic() - interrupted
    warehouse = Warehouse(project.database)
    with warehouse.transaction() as con:
        kept = con.execute("SELECT count(*) FROM datacube.api_calls WHERE http_status = 200").fetchall()[0][0]

    assert process.returncode == 130, err
    assert err.strip() == "Interrupted. Stored data is kept; run the same command to continue."
    assert took < 20
    assert kept == windows(emulated).total()
    assert "STARTED" not in runs(project)


QUERY = """
import sys
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
warehouse = Warehouse(Path("figures.duckdb"))
warehouse.publish()
with getattr(warehouse, sys.argv[1])() as con:
    con.execute("SET threads = 1")  # else another thread may work while the one that gets signals waits for it
    print("ready", flush=True)
    con.execute("SELECT sum(x) FROM range(1_000_000_000_000) AS made(x)")
"""


@pytest.mark.parametrize("way", ["transaction", "open_published"])
def test_ctrl_c_during_a_query_is_a_keyboard_interrupt(way: str, tmp_path: Path) -> None:
    """Ctrl-C during a query is a KeyboardInterrupt; DuckDB's RuntimeError would be a failed step for Dagster."""
    with Project.make(tmp_path / "project").started([sys.executable, "-c", QUERY, way]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)

    assert err.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.long
def test_a_killed_backfill_loses_no_more_than_the_last_second(project: Project, emulated: Emulated) -> None:
    """After `kill -9` the same command completes the work and requests nothing again that was committed."""
    emulated.control.set_latency(200)
    with project.started(project.command("backfill", *CHOSEN)) as process:
        wait_until(project.database.exists)
        wait_until(lambda: len(emulated.control.statistics_calls()) > 8)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: not session(process.pid), timeout=30)  # Dagster's process ends by itself
    emulated.control.set_latency(0)
    again = project.run("backfill", *CHOSEN)

    assert again.returncode == 0, again.stderr
    assert sum(count - 1 for count in windows(emulated).values()) <= 16
    assert runs(project) <= {"SUCCESS", "FAILURE"}


@pytest.mark.long
def test_a_backfill_whose_dagster_process_is_killed_exits_with_1(project: Project, emulated: Emulated) -> None:
    """If Dagster's process is killed, a backfill exits with 1; responses are stored, and the same command continues."""
    emulated.control.set_latency(300)
    with project.started(project.command("backfill", *CHOSEN)) as process:
        wait_until(lambda: len(emulated.control.statistics_calls()) > 8)
        name = b"wx_datacube.orchestration.backfill_runs"
        dagster = [pid for pid in session(process.pid) if name in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(min(dagster), signal.SIGKILL)  # its own child processes started later
        _, err = process.communicate(timeout=PATIENCE)
    emulated.control.set_latency(0)
    again = project.run("backfill", *CHOSEN)

    assert process.returncode == 1
    assert err.strip() == (
        "wx-datacube: The process that runs Dagster ended with -9 before it was done. What has landed stays; run"
        " the same command again to continue."
    )
    assert again.returncode == 0, again.stderr
    assert set(windows(emulated).values()) == {1}


@pytest.mark.long
def test_a_dead_host_ends_a_backfill_within_a_minute(tmp_path: Path) -> None:
    """If the port is closed, a backfill exits with 1, names one reason and says how to continue."""
    dead = Project.make(
        tmp_path / "project", API_URL=f"http://127.0.0.1:{free_port()}", APPID="wx5eed0fda7acbe011", SECRET="s3cret" * 5
    )
    began = time.monotonic()

    found = dead.run("backfill")

    assert found.returncode == 1
    assert time.monotonic() - began < 60
    assert unwrapped(found.stderr).count("(not WeChat) can't be reached") == 1
    assert "Run the same command again" in found.stderr


@pytest.mark.long
def test_a_host_that_never_answers_ends_a_backfill_within_a_minute(tmp_path: Path) -> None:
    """If the server accepts connections but never responds, a backfill exits with 1 within a minute."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        dead = Project.make(tmp_path / "project", API_URL=url, APPID="wx5eed0fda7acbe011", SECRET="s3cret" * 5)
        began = time.monotonic()
        found = dead.run("backfill")

    assert found.returncode == 1
    assert time.monotonic() - began < 65  # a minute of requests; starting and ending take a few seconds


# --- secrets ----------------------------------------------------------------------------------------------------


@contextmanager
def token_server(emulated: Emulated) -> Iterator[str]:
    """Run a token server that returns the emulator's token, and yield its URL, which is secret."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = emulated.account.tokens.stable(emulated.account.clock(), False).text
            body = f'{{"access_token":"{token}"}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/t0ps3cret?key=k3yk3yk3y"
        finally:
            server.shutdown()
            thread.join()


def leaks(project: Project, said: str, secrets: list[str]) -> list[str]:
    """Return where a secret occurs that should be only in `.env`."""
    files = [path for path in project.folder.rglob("*") if path.is_file() and path.name != ".env"]
    found = [str(path) for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]
    return found + [secret for secret in secrets if secret in said]


def test_a_token_server_replaces_the_app_secret(emulated: Emulated, tmp_path: Path) -> None:
    """With a token server no token is fetched from WeChat, and the secret URL is neither printed nor stored."""
    with token_server(emulated) as url:
        project = Project.make(tmp_path / "project", API_URL=emulated.api_url, TOKEN_URL=url, START=START)
        done = project.run("backfill", *ONE)

    assert done.returncode == 0, done.stderr
    assert "uses http" in done.stderr
    assert emulated.control.calls("stable_token") == []
    assert leaks(project, done.stdout + done.stderr, ["t0ps3cret", "k3yk3yk3y"]) == []


# --- servers ----------------------------------------------------------------------------------------------------


def test_the_emulator_prints_its_settings_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    """The emulator prints three lines for `.env`, then serves; Ctrl-C ends it with exit code 0 and no message."""
    project = Project.make(tmp_path / "project")
    with project.started(project.command("emulator", "--quota", "7")) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        values = dict(re.fullmatch(r"WX_DATACUBE_(\w+)=(\S+)\n", line).groups() for line in lines)  # type: ignore[union-attr]
        limits = Control(values["API_URL"]).state()["limits"]
        project.set(**values, START="2024-03-01")
        examined = project.run("doctor")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)

    assert list(values) == ["API_URL", "APPID", "SECRET"]
    assert limits["getupstreammsg"]["limit"] == 7
    assert examined.returncode == 0, examined.stdout
    assert (process.returncode, err) == (0, "")


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    """If the port is in use, the emulator exits with 2 and one line instead of using another port."""
    project = Project.make(tmp_path / "project")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = project.run("emulator", "--port", port)

    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.count("\n") == 1
    assert port in found.stderr


@contextmanager
def demo_ui(folder: Path) -> Iterator[tuple[Project, Ui, subprocess.Popen[str]]]:
    """Run `ui` without settings, and wait until it responds."""
    project, ui = Project.make(folder), Ui(free_port())
    with (
        folder.with_suffix(".log").open("w") as log,
        project.started(project.command("ui", "--port", str(ui.port)), log) as process,
    ):
        wait_until(ui.is_there)
        yield project, ui, process


@pytest.mark.long
def test_ui_shows_the_demo_and_leaves_no_process(tmp_path: Path) -> None:
    """Without settings `ui` shows the demo's assets; after Ctrl-C no process and no listener is left."""
    with demo_ui(tmp_path / "project") as (project, ui, process):
        found = ui.ask("{assetNodes {assetKey {path}}}")["assetNodes"]
        started = session(process.pid)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        left = session(process.pid)

    assert {"/".join(each["assetKey"]["path"]) for each in found} == {
        f"demo/{name}" for name in (*BY_NAME, "digest", "report")
    }
    assert process.returncode == 130
    assert f"In about 15 seconds: http://127.0.0.1:{ui.port}\n" in (tmp_path / "project.log").read_text()
    assert len(started) > 3 or sys.platform != "linux"
    assert left == []
    assert {path.name for path in project.folder.iterdir()} == {
        "dagster.yaml", "workspace.yaml", "pyproject.toml", "demo"
    }  # fmt: skip
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{ui.port}", timeout=5)


@pytest.mark.long
@pytest.mark.parametrize("who", ["ui", "dagster dev"])
def test_a_killed_ui_leaves_no_process(tmp_path: Path, who: str) -> None:
    """A killed `ui` leaves no daemon that could start runs beside the next one; a second `ui` is refused."""
    with demo_ui(tmp_path / "project") as (project, _, process):
        second = project.run("ui")
        leaders = {pid for pid in session(process.pid) if os.getpgid(pid) == pid}
        (dagster,) = leaders - {process.pid}
        os.kill(process.pid if who == "ui" else dagster, signal.SIGKILL)
        process.wait(PATIENCE)
        wait_until(lambda: session(process.pid) == [])

    assert second.returncode == 2
    assert f"(process {process.pid})" in second.stderr


@pytest.mark.long
def test_a_history_that_cannot_be_written_is_reported_in_one_line(project: Project, emulated: Emulated) -> None:
    """If Dagster's history can't be written, `backfill` exits with 2 and one line, and continues once that is fixed."""
    folder, history = project.folder / ".dagster", project.folder / ".dagster/history/runs.db"
    folder.write_text("")
    first = project.run("backfill", *ONE)
    folder.unlink()
    history.mkdir(parents=True)
    second = project.run("backfill", *ONE)
    history.rmdir()

    for found, what in ((first, "can't be written: it must be a folder"), (second, "can't keep its")):
        assert (found.returncode, found.stderr.count("\n")) == (2, 1)
        assert what in found.stderr
    assert project.run("backfill", *ONE).returncode == 0
    assert set(windows(emulated).values()) == {1}


FULL = Path("/dev/full")


@pytest.mark.long
@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_log_on_a_full_disk_stops_no_backfill(project: Project) -> None:
    """A log on a full disk doesn't stop a backfill; `status` reports output that couldn't be written."""
    with FULL.open("w") as full, project.started(project.command("backfill", *ONE), full) as process:
        process.wait(PATIENCE)
    with FULL.open("w") as full:
        command = project.command("status", "--json")
        status = subprocess.run(command, cwd=project.folder, env=project.environ(), stdout=full, stderr=subprocess.PIPE)

    assert process.returncode == 1
    assert project.query("SELECT count(DISTINCT ref_date) FROM datacube.getupstreammsg") == [(12,)]
    assert status.returncode == 1
    assert status.stderr.decode() == "wx-datacube: Output could not be written: No space left on device.\n"


@pytest.mark.long
def test_a_closed_pipe_stops_no_backfill(project: Project) -> None:
    """`backfill | head -1` fetches everything and exits with 0."""
    with project.started(project.command("backfill", *ONE)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(PATIENCE)
        assert process.stderr is not None
        said = process.stderr.read()

    assert (process.returncode, said) == (0, "")


# --- concurrent processes ---------------------------------------------------------------------------------------


OPEN = """
from pathlib import Path
from wx_datacube.orchestration.instance import project_instance
with project_instance(Path.cwd()) as instance:
    print(instance.get_runs_count())
"""


@pytest.mark.long
def test_eight_processes_can_set_up_dagsters_history_at_once(tmp_path: Path) -> None:
    """Eight processes can set up Dagster's databases at the same time."""
    project = Project.make(tmp_path / "project")
    with ExitStack() as stack:
        processes = [stack.enter_context(project.started([sys.executable, "-c", OPEN])) for _ in range(8)]
        said = [process.communicate(timeout=PATIENCE) for process in processes]

    assert said == [("0\n", "")] * 8


@pytest.mark.long
def test_two_simultaneous_backfills_request_no_window_twice(project: Project, emulated: Emulated) -> None:
    """Two simultaneous backfills succeed: the second waits and plans again, and no window is requested twice."""
    with ExitStack() as stack:
        command = project.command("backfill", *CHOSEN, "--endpoint", "getupstreammsg")
        processes = [stack.enter_context(project.started(command)) for _ in range(2)]
        ends = [(process.communicate(timeout=PATIENCE)[1], process.returncode) for process in processes]

    assert ends == [("", 0)] * 2
    assert set(windows(emulated).values()) == {1}


@pytest.mark.long
def test_a_worker_whose_code_server_dies_answers_nothing(project: Project) -> None:
    """`worker` is one process, so a service manager notices its death; on SQLite it warns that no hub sees its runs."""
    port, log = free_port(), project.folder.with_suffix(".log")
    check = [project.program("dagster"), "api", "grpc-health-check", "--port", str(port)]
    with log.open("w") as out, project.started(project.command("worker", "--port", str(port)), out) as process:
        wait_until(lambda: "Started Dagster code server" in log.read_text())
        assert project.call(check).returncode == 0
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert project.call(check).returncode != 0

    assert "Warning: dagster.yaml keeps Dagster's history in this folder" in unwrapped(log.read_text())
