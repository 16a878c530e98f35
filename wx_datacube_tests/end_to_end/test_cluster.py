"""A hub and two workers as in `docs/how-to/machines.md`, on three machines: network namespaces, joined by links.

Dagster's history is in PostgreSQL on the hub. Each worker has a folder, an account and a file of its own. systemd
doesn't run here: the tests start what the units say, and start it again when it ends. Add a test here when something
depends on several machines.
"""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.server import serving
from wx_datacube.emulator.testing import Control, Emulated
from wx_datacube_tests.end_to_end.project import Project, Ui, session, wait_until
from wx_datacube_tests.end_to_end.test_postgres import ENVIRON, on_postgres
from wx_datacube_tests.end_to_end.test_secrets import disguises, token_of
from wx_datacube_tests.end_to_end.test_server import MINUTELY, WORKSPACE, environment, unit
from wx_datacube_tests.network import Machine, Network, captured, network, traffic, unpacked
from wx_datacube_tests.postgres import PASSWORD, Server, server_of_tests
from wx_datacube_tests.receiver import KEY, PATHS

pytestmark = pytest.mark.long

DAYS, NAMES, PORT = 30, ("east", "west"), 4000
LAST = beijing_now().date() - dt.timedelta(days=2)
"""The newest label of the backfill: it has settled at any hour of the day."""
FIRST = LAST - dt.timedelta(days=DAYS - 1)
RUNS = "{ runsOrError { ... on Runs { results { status assetSelection { path } } } } }"
MINUTES = 600.0
"""How long everything may take until it has ended by itself."""


@dataclass(frozen=True)
class Place:
    """A machine with a project folder, in which a unit runs until the test ends it."""

    machine: Machine
    project: Project

    def serve(self, stack: ExitStack, name: str, change: Callable[[str], str] = str) -> int:
        """Run what a unit starts, and again ten seconds after it ended; return the process whose session has it."""
        says = unit(name, self.project.folder)
        command = change(says["ExecStart"])
        again = ["sh", "-c", f"while :; do {command}; sleep {says['RestartSec']}; done"]
        log = stack.enter_context(self.log(name).open("w"))
        started = self.project.started([*self.machine.within, *again], log, **environment(says))
        process = stack.enter_context(started)
        stack.callback(switch_off, process.pid)
        return process.pid

    def in_folder(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the `.venv` in the project folder until it ends."""
        command = [*self.machine.within, self.project.program(program), *arguments]
        return self.project.call(command, DAGSTER_HOME=str(self.project.folder))

    def log(self, name: str) -> Path:
        """Return the file with a unit's output."""
        return self.project.folder.with_suffix(f".{name}.log")


def switch_off(leader: int) -> None:
    """Send SIGKILL to every process of a session."""
    for pid in session(leader):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Cluster:
    """The hub, the workers and their emulators by account, and the hub's UI."""

    def __init__(self, folder: Path, net: Network, server: Server) -> None:
        self.net, self.server = net, server
        locations = "".join(
            f"  - grpc_server: {{host: {each.for_hub}, port: {PORT}, location_name: {name}}}\n"
            for name, each in net.workers.items()
        )
        self.hub = self._place(net.hub, folder / "hub", f"load_from:\n{locations}")
        (self.hub.project.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in ENVIRON.items()))
        self.workers = {name: self._place(each, folder / name, WORKSPACE) for name, each in net.workers.items()}
        self.emulated: dict[str, Emulated] = {}
        self.code_servers: dict[str, int] = {}
        self.ui = Ui(3000, net.hub.address)

    def _place(self, machine: Machine, folder: Path, workspace: str) -> Place:
        project = Project(folder)
        folder.mkdir()
        ran = project.run("init")
        assert ran.returncode == 0, ran.stderr
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "workspace.yaml").write_text(workspace)
        changed = on_postgres(folder / "dagster.yaml", self.server.port)
        (folder / "dagster.yaml").write_text(changed.replace("localhost", self.net.address_of_hub))
        return Place(machine, project)

    def start_worker(self, stack: ExitStack, name: str) -> None:
        """Start a worker with an account of its own."""
        place = self.workers[name]
        account = EmulatedAccount(Options().changed({"silent_share": 0, "publish_at": "00:00", "latency": 1500}))
        with place.machine.entered():
            url = stack.enter_context(serving(account))
        self.emulated[name] = Emulated(url, Control(url), account)
        place.project.set(
            ACCOUNT=name,
            API_URL=url,
            APPID=account.options.appid,
            SECRET=account.options.secret,
            START=FIRST,
            CONCURRENCY=1,
            WEBHOOK=f"http://127.0.0.1:9{PATHS['企业微信']}",  # refuses the connection
        )
        with (place.project.folder / ".env").open("a") as env:
            env.writelines(f"{variable}={value}\n" for variable, value in ENVIRON.items())
        (place.project.folder / "minutely.py").write_text(MINUTELY)

        def on_its_address(command: str) -> str:
            return command.replace("10.0.0.12", place.machine.for_hub)

        self.code_servers[name] = place.serve(stack, "worker", on_its_address)

    def start_hub(self, stack: ExitStack) -> None:
        """Start the UI, which the tests reach, and the daemon."""
        self.hub.serve(stack, "webserver", lambda command: command.replace("127.0.0.1", self.net.hub.address))
        self.hub.serve(stack, "daemon")
        wait_until(self.ui.is_there)

    def kill_code_server(self, name: str) -> None:
        """Send SIGKILL to a worker's server for code locations, and to nothing else."""
        for pid in session(self.code_servers[name]):
            if "--lazy-load-user-code" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                os.kill(pid, signal.SIGKILL)
                return
        raise AssertionError("no code server")

    def calls(self, name: str) -> list[Any]:
        """Return the statistics calls of an account."""
        with self.workers[name].machine.entered():
            return self.emulated[name].control.statistics_calls()

    def runs(self) -> list[Any]:
        """Return Dagster's runs."""
        return list(self.ui.ask(RUNS)["runsOrError"]["results"])

    def has_ended(self) -> bool:
        """Return whether no run is in progress and the workers' files have everything that is due."""
        missing = "SELECT count(*) FROM datacube.coverage WHERE state = 'missing'"
        return {run["status"] for run in self.runs()} <= {"SUCCESS", "FAILURE"} and all(
            place.project.query(missing) == [(0,)] for place in self.workers.values()
        )


@dataclass(frozen=True)
class After:
    """What is left after a backfill of both accounts, a cut link and a killed code server."""

    cluster: Cluster
    backfill: Any
    capture: Path
    secrets: list[str]


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[After]:
    """Let the UI and the schedules fetch both accounts; in the middle cut one link and kill the other code server."""
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        net = stack.enter_context(network(*NAMES))
        server = stack.enter_context(server_of_tests(net.hub.within, net.address_of_hub))
        capture = folder / "captured"
        with captured(net.hub, capture):
            cluster = Cluster(folder, net, server)
            for name in NAMES:
                cluster.start_worker(stack, name)
            for place in cluster.workers.values():
                wait_until(lambda place=place: "Started Dagster code server" in place.log("worker").read_text())
            cluster.start_hub(stack)
            keys = [(name, endpoint) for name in NAMES for endpoint in ("getupstreammsghour", "getupstreammsg")]
            backfill = cluster.ui.launch({key: [(str(FIRST), str(LAST))] for key in keys})
            wait_until(lambda: all(len(cluster.calls(name)) > 2 for name in NAMES))
            for name in NAMES:
                start = ["schedule", "start", "--start-all", "-w", "workspace.yaml", "--location", name]
                on = cluster.hub.in_folder("dagster", *start)
                assert on.returncode == 0, on.stderr
            net.link("east", "down")
            cluster.kill_code_server("west")
            time.sleep(60)
            net.link("east", "up")
            ended = cluster.ui.ended(backfill, MINUTES)
            wait_until(cluster.has_ended, MINUTES)
        accounts = cluster.emulated.values()
        tokens = [token_of(each) for each in accounts]
        yield After(cluster, ended, capture, [PASSWORD, KEY, *tokens, *(each.secret for each in accounts)])


def test_a_cut_link_and_a_killed_code_server_heal_by_themselves(after: After) -> None:
    """A backfill over both workers waits for both, every run ends, each file has its own account only, complete."""
    cluster = after.cluster

    assert after.backfill["status"] in ("COMPLETED_SUCCESS", "COMPLETED_FAILED")  # it waited for both workers
    assert len(after.backfill["runs"]) == len(NAMES)
    ended = Counter((run["assetSelection"][0]["path"][0], run["status"]) for run in cluster.runs())
    assert ended.total() > len(NAMES)  # with those of schedules
    assert ended["west", "SUCCESS"] > 0
    # A run that needs a new connection while its link is cut fails.
    assert ended.keys() <= {("west", "SUCCESS"), ("east", "SUCCESS"), ("east", "FAILURE")}
    for name, place in cluster.workers.items():
        windows = Counter((call.endpoint, call.begin, call.end) for call in cluster.calls(name))
        assert set(windows.values()) == {1}
        stored = "SELECT account, count(DISTINCT ref_date), count(*) FROM datacube.getupstreammsghour GROUP BY ALL"
        days = [FIRST + dt.timedelta(days=number) for number in range((LAST - FIRST).days + 2)]
        rows = sum(len(cluster.emulated[name].world.rows("getupstreammsghour", day)) for day in days)
        assert place.project.query(stored) == [(name, len(days), rows)]


def in_disguise(secrets: list[str], texts: list[bytes]) -> list[bytes]:
    """Return the secrets that the texts contain, in the form in which they do."""
    return [form for each in secrets for form in disguises(each) if any(form in text for text in texts)]


def test_no_secret_is_in_postgres(after: After) -> None:
    """No token, AppSecret, password or key is in any row, snapshots included, where known words are found."""
    server = after.cluster.server
    tables = server.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
    bodies = [server.query(f'SELECT * FROM "{table}"').encode() for table in tables]
    texts = [text for body in bodies for text in (body, *unpacked(body))]

    assert any(b"getupstreammsghour" in text for text in bodies)
    assert any(b"figures_were_not_revised" in text for text in texts)
    assert [
        needle for each in after.secrets for needle in disguises(each) if any(needle in text for text in texts)
    ] == []


def test_no_secret_travels_between_the_machines(after: After) -> None:
    """No secret is in what the machines sent each other, compressed messages included, where known words are found."""
    sent = [*traffic(after.capture, PORT)]

    for word in (b"getupstreammsghour", b"figures_were_not_revised", b"SCRAM-SHA-256", b"dagster/partition"):
        assert any(word in text for text in sent), word
    assert [
        needle for each in after.secrets for needle in disguises(each) if any(needle in text for text in sent)
    ] == []
