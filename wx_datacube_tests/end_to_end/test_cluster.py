"""A hub and two workers, each with a folder, an account and a file of its own; Dagster's history is in PostgreSQL.

Add a test here when something depends on several code locations. `worker` as a command is tested here too.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import Project, Ui, dagster_dev, free_port, wait_until
from wx_datacube_tests.end_to_end.test_postgres import ENVIRON, on_postgres
from wx_datacube_tests.postgres import Server, server_of_tests

pytestmark = pytest.mark.long

DAYS, NAMES = 10, ("shop", "news")
LAST = beijing_now().date() - dt.timedelta(days=2)
"""The newest label that is requested: it has settled at any hour of the day."""
FIRST = LAST - dt.timedelta(days=DAYS - 1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run the hub's PostgreSQL."""
    with server_of_tests() as running:
        yield running


class Cluster:
    """The hub's webserver, and the workers' folders and emulators by account."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.workers: dict[str, Project] = {}
        self.emulated: dict[str, Emulated] = {}
        self.ports = {name: free_port() for name in NAMES}
        self.hub = Project.make(folder / "hub")
        self._folder, self._server = folder, server
        locations = "".join(
            f"  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: {name}}}\n"
            for name, port in self.ports.items()
        )
        (self.hub.folder / "workspace.yaml").write_text(f"load_from:\n{locations}")
        self._on_postgres(self.hub)
        (self.hub.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in ENVIRON.items()))

    def _on_postgres(self, project: Project) -> None:
        file = project.folder / "dagster.yaml"
        file.write_text(on_postgres(file, self._server.port))

    def start(self, stack: ExitStack, name: str) -> None:
        """Start a worker with an account of its own."""
        self.emulated[name] = stack.enter_context(wechat(silent_share=0, publish_at="00:00"))
        worker = Project.on(self._folder / name, self.emulated[name], ACCOUNT=name, START=FIRST)
        self._on_postgres(worker)
        self.workers[name] = worker
        log = stack.enter_context(worker.folder.with_suffix(".log").open("w"))
        command = worker.command("worker", "--port", str(self.ports[name]))
        stack.enter_context(worker.started(command, log, **ENVIRON))

    def said(self, name: str) -> str:
        """Return what a worker printed."""
        return self.workers[name].folder.with_suffix(".log").read_text()


@pytest.fixture(scope="module")
def cluster(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Ui]]:
    """Run two workers, then the hub."""
    found = Cluster(tmp_path_factory.mktemp("cluster"), server)
    with ExitStack() as stack:
        for name in NAMES:
            found.start(stack, name)
        for name in NAMES:
            wait_until(lambda name=name: "Started Dagster code proxy server" in found.said(name))
        yield found, stack.enter_context(dagster_dev(found.hub, "-w", "workspace.yaml"))


def test_one_backfill_covers_accounts_of_both_workers(cluster: tuple[Cluster, Ui]) -> None:
    """A backfill from the UI over both accounts is a run on each worker, and each file gets its own account only."""
    found, ui = cluster
    keys = [(name, endpoint) for name in NAMES for endpoint in ("getupstreammsg", "getupstreammsgdist")]
    ended = ui.ended(ui.launch({key: [(str(FIRST), str(LAST))] for key in keys}))

    assert ended["status"] == "COMPLETED_SUCCESS"
    assert [run["status"] for run in ended["runs"]] == ["SUCCESS"] * len(NAMES)
    for name, worker in found.workers.items():
        stored = worker.query("SELECT account, count(DISTINCT ref_date) FROM datacube.getupstreammsg GROUP BY ALL")
        assert stored == [(name, DAYS)]
        calls = [(call.endpoint, call.begin, call.end) for call in found.emulated[name].control.statistics_calls()]
        assert len(calls) == len(set(calls)) == 3
