"""Many machines: `python -m bench.cluster` measures a hub and ten workers with a hundred accounts each, on one machine.

All accounts have all fifteen endpoints. Dagster's history is in PostgreSQL (Debian: postgresql), with fourteen days of
materializations. The backfill's runs find no API and fail: what a run costs doesn't depend on the hub (`python -m
bench.accounts`, with the years of history in a file). `python -m bench.lake` measures the lake of a thousand accounts.
"""

import argparse
import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import dagster as dg
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

from bench.__main__ import family, used_memory
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import beijing_now
from wx_datacube_tests.end_to_end.project import Project, Ui, free_port, wait_until
from wx_datacube_tests.end_to_end.test_postgres import ENVIRON, on_postgres
from wx_datacube_tests.postgres import Server, find_programs, postgres

DAYS = 14
PATIENCE = 600.0
NODES = "{ assetNodes { id assetKey { path } groupName partitionDefinition { name } } }"
CATALOGUE = """
query($after: String) { assetRecordsOrError(limit: 1000, cursor: $after) {
  ... on AssetRecordConnection { assets { id key { path } } cursor } } }"""
RUNS = """
query($id: String!) {
  runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) { ... on Runs { count } } }"""
MANY = "load_from:\n  - python_module: {module_name: wx_datacube.many_accounts, location_name: wx_datacube}\n"


class Cluster:
    """The folders of the hub and of the workers, and the processes that run in them."""

    def __init__(self, folder: Path, server: Server, workers: int, accounts: int, stack: ExitStack) -> None:
        self.names = [f"w{number}" for number in range(workers)]
        self.accounts = {name: [f"{name}a{number}" for number in range(accounts)] for name in self.names}
        self.ports = {name: free_port() for name in self.names}
        self.started: dict[str, subprocess.Popen[str]] = {}
        self._stack, self._server = stack, server
        entries = (
            f"  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: {name}}}\n"
            for name, port in self.ports.items()
        )
        self.hub = self._project(folder / "hub", "load_from:\n" + "".join(entries), [])
        self.workers = {
            name: self._project(folder / name, MANY, self._settings(self.accounts[name])) for name in self.names
        }

    def _project(self, folder: Path, workspace: str, settings: Sequence[str]) -> Project:
        project = Project.make(folder)
        (folder / "workspace.yaml").write_text(workspace)
        (folder / "dagster.yaml").write_text(on_postgres(folder / "dagster.yaml", self._server.port))
        env = folder / ".env"
        env.write_text("\n".join([*settings, *(f"{name}={value}" for name, value in ENVIRON.items())]))
        env.chmod(0o600)
        return project

    @staticmethod
    def _settings(accounts: Sequence[str]) -> list[str]:
        lines = [f"WX_DATACUBE_ACCOUNTS={','.join(accounts)}", "WX_DATACUBE_FAMILIES=all"]
        lines += ["WX_DATACUBE_START=2014-12-01", "WX_DATACUBE_API_URL=http://127.0.0.1:9"]  # nothing listens there
        for name in accounts:
            lines += [f"WX_DATACUBE_{name.upper()}_APPID=wx{name}", f"WX_DATACUBE_{name.upper()}_SECRET=made-up"]
        return lines

    def start(self, name: str, project: Project, *command: str) -> None:
        """Start a process that ends with the bench."""
        log = self._stack.enter_context(project.folder.with_suffix(f".{name}.log").open("w"))
        environ = {"DAGSTER_HOME": str(project.folder), **ENVIRON}
        self.started[name] = self._stack.enter_context(project.started(command, log, **environ))

    def memory(self, *names: str) -> float:
        """Return the memory of processes and their descendants in GB, shared memory counted once."""
        return sum(used_memory(pid) for name in names for pid in family(self.started[name].pid)) / 1024

    def processor(self, name: str) -> str:
        """Return the processor time of a process so far, as text."""
        fields = Path(f"/proc/{self.started[name].pid}/stat").read_text().rpartition(")")[2].split()
        return f"{(int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK'):.1f} s"

    def load(self, name: str) -> float:
        """Start a worker; return the seconds until a client has its snapshot."""
        project, port = self.workers[name], self.ports[name]
        began = time.monotonic()
        self.start(name, project, *project.command("worker", "--port", str(port)))
        log = project.folder.with_suffix(f".{name}.log")
        wait_until(lambda: "Started Dagster code server" in log.read_text() or self.started[name].poll(), PATIENCE)
        assert self.started[name].poll() is None, log.read_text()
        with dg.DagsterInstance.from_config(str(self.hub.folder)) as instance:
            location = GrpcServerCodeLocationOrigin("127.0.0.1", port, location_name=name).create_location(instance)
            (repository,) = location.get_repositories().values()
            assert len(repository.asset_graph.get_all_asset_keys()) >= len(self.accounts[name]) * len(ENDPOINTS)
            took = time.monotonic() - began
            location.cleanup()
        return took

    def store_days(self, today: dt.date) -> int:
        """Store materializations of the last fourteen days of all daily assets; return their number."""
        days = [(today - dt.timedelta(days=1 + number)).isoformat() for number in range(DAYS)]
        daily = [each.name for each in ENDPOINTS if each.period is Period.DAY]
        events = (
            materialized([account, endpoint], day)
            for accounts in self.accounts.values()
            for account in accounts
            for endpoint in daily
            for day in days
        )
        number = 0
        with dg.DagsterInstance.from_config(str(self.hub.folder)) as instance:
            while batch := list(islice(events, 1000)):
                instance.event_log_storage.store_event_batch(batch)  # as a run does
                number += len(batch)
        return number


def materialized(key: Sequence[str], partition: str) -> EventLogEntry:
    """Return the event of a materialization without a run."""
    made = dg.AssetMaterialization(asset_key=dg.AssetKey(key), partition=partition)
    event = DagsterEvent("ASSET_MATERIALIZATION", "bench", event_specific_data=StepMaterializationData(made))
    return EventLogEntry(None, "info", "", "", time.time(), job_name="bench", dagster_event=event)


def catalogue(ui: Ui) -> tuple[int, int]:
    """Return the number of assets by the UI's two queries: definitions, and the pages of the catalogue."""
    nodes, after, assets = ui.ask(NODES)["assetNodes"], None, 0
    while page := ui.ask(CATALOGUE, after=after)["assetRecordsOrError"]:
        assets, after = assets + len(page["assets"]), page["cursor"]
        if len(page["assets"]) < 1000:
            break
    return len(nodes), assets


def seconds(began: float) -> str:
    """Return the time since `began` as text."""
    return f"{time.monotonic() - began:.1f} s"


def rows(folder: Path, server: Server, workers: int, accounts: int) -> Iterator[str]:
    """Yield the rows of the table."""
    yield f"| {workers} workers × {accounts} accounts × {len(ENDPOINTS)} endpoints | |\n|---|---|"
    with ExitStack() as stack:
        cluster = Cluster(folder, server, workers, accounts, stack)
        taken = [cluster.load(name) for name in cluster.names]
        yield f"| a location loaded, from the start of `worker` | {min(taken):.1f} to {max(taken):.1f} s |"
        yield f"| memory of a worker | {cluster.memory(cluster.names[0]):.2f} GB |"
        began = time.monotonic()
        number = cluster.store_days(beijing_now().date())
        size = int(server.query("SELECT pg_database_size('dagster')")) / 1e9
        yield f"| {number:,} materializations stored | {time.monotonic() - began:.0f} s, {size:.2f} GB |"
        ui = Ui(free_port())
        began = time.monotonic()
        served = [cluster.hub.program("dagster-webserver"), "-w", "workspace.yaml", "--port", str(ui.port)]
        cluster.start("webserver", cluster.hub, *served)
        wait_until(ui.is_there, PATIENCE)
        nodes, assets = catalogue(ui)
        yield f"| {nodes:,} definitions and {assets:,} assets in the UI, from its start | {seconds(began)} |"
        yield f"| … of that, the webserver's own processor time | {cluster.processor('webserver')} |"
        began = time.monotonic()
        catalogue(ui)
        yield f"| … once more | {seconds(began)} |"
        yield f"| memory of the webserver | {cluster.memory('webserver'):.2f} GB |"
        cluster.start("daemon", cluster.hub, cluster.hub.program("dagster-daemon"), "run", "-w", "workspace.yaml")
        yesterday = (beijing_now().date() - dt.timedelta(days=1)).isoformat()
        keys = [(account, "getupstreammsg") for given in cluster.accounts.values() for account in given]
        began = time.monotonic()
        backfill = ui.launch({key: [(yesterday, yesterday)] for key in keys})
        yield f"| a backfill of a day of one endpoint, {len(keys):,} assets, accepted | {seconds(began)} |"
        wait_until(lambda: ui.ask(RUNS, id=backfill)["runsOrError"]["count"], PATIENCE)
        yield f"| … its first run, with the start of the daemon | {seconds(began)} |"
        time.sleep(120)
        yield f"| memory of the daemon | {cluster.memory('daemon'):.2f} GB |"
        yield f"| memory of everything, without PostgreSQL | {cluster.memory(*cluster.started):.1f} GB |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("workers", type=int, nargs="?", default=10)
    parser.add_argument("accounts", type=int, nargs="?", default=100)
    chosen = parser.parse_args()
    programs = find_programs()
    if programs is None:
        sys.exit("PostgreSQL's server isn't installed (Debian: postgresql)")
    os.environ.update(ENVIRON)
    with tempfile.TemporaryDirectory() as scratch, postgres(programs) as server:
        for line in rows(Path(scratch), server, chosen.workers, chosen.accounts):
            print(line, flush=True)


if __name__ == "__main__":
    main()
