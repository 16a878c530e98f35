"""Concurrent workers: `python -m bench.workers` measures simultaneous runs, and Dagster on SQLite and on PostgreSQL.

The first table is about the warehouse: each process fetches sixty days of hours for its own account, and commits and
publishes as a run does. The second table compares `wx-datacube backfill` on SQLite, on PostgreSQL and on PostgreSQL
with Dagster's own storage; `--storages` makes it alone. It needs the PostgreSQL server (Debian: postgresql), whose own
processor time isn't counted.
"""

import argparse
import datetime as dt
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.__main__ import Emulator, backfill, emulator, project
from bench.accounts import ingest
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.periods import beijing_now
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.end_to_end.test_postgres import on_postgres
from wx_datacube_tests.postgres import PASSWORD, Server, find_programs, postgres

DAYS = 60
AT_ONCE = (1, 2, 8)
LATENCY = 80
OURS = "wx_datacube.orchestration.postgres"
STORAGES = {"SQLite": None, "PostgreSQL": OURS, "PostgreSQL, Dagster's own storage": "dagster_postgres"}
"""The module of each storage in `dagster.yaml`; None for the file of a new project."""


def work(database: Path, emulated: Emulator, name: str) -> None:
    """Do to the file what a run of one account does."""
    today = beijing_now().date()
    labels = [today - dt.timedelta(days=back) for back in range(1, DAYS + 1)]
    it = ingest(Warehouse(database), emulated, name)
    report = it.fetch_missing(BY_NAME["getupstreammsghour"], labels, run_id=name)
    assert not report.unresolved, report.errors


def at_once(folder: Path) -> Iterator[str]:
    """Yield a row for each number of processes."""
    yield "| processes at once | time | calls a second | publications |\n|---|---|---|---|"
    with emulator(LATENCY) as emulated:
        for number in (8, *AT_ONCE):  # the first pass is a warm-up: the emulator computes its figures
            warehouse = Warehouse(Path(tempfile.mkdtemp(dir=folder)) / "figures.duckdb")
            given = [(warehouse.database, emulated, f"a{each}") for each in range(number)]
            processes = [multiprocessing.Process(target=work, args=arguments) for arguments in given]
            began = time.perf_counter()
            for process in processes:
                process.start()
            for process in processes:
                process.join()
                assert process.exitcode == 0
            seconds = time.perf_counter() - began
            calls, copies = number * DAYS, warehouse._receipt()["published"]
            yield f"| {number} | {seconds:.1f} s | {calls / seconds:.0f} | {copies} |"


def storages(folder: Path, server: Server) -> Iterator[str]:
    """Yield a row for each storage: thirty days of everything, a year, and the year again with nothing to fetch."""
    yield "| storage | thirty days | a year | its processor | nothing to do | history |\n|---|---|---|---|---|---|"
    today = beijing_now().date()
    os.environ["PGPASSWORD"] = PASSWORD  # a variable that `measure` doesn't remove
    with emulator(0) as emulated:
        for number, name in enumerate(("first pass", *STORAGES)):
            made = []
            for days in (30, 365):
                start, database = today - dt.timedelta(days=days), f"bench_{number}_{days}"
                where = project(folder / database, emulated, start)
                if module := STORAGES.get(name):
                    server.query(f"CREATE DATABASE {database}")
                    on_server(where / "dagster.yaml", server, database, module)
                made.append(backfill(where))
            month, year, nothing = *made, backfill(where)
            yield (
                f"| {name} | {month.seconds:.1f} s | {year.seconds:.1f} s | {year.cpu:.1f} s"
                f" | {nothing.seconds:.1f} s | {history_size(where, server, database) / 2**20:.0f} MB |"
            )


def on_server(file: Path, server: Server, database: str, module: str = OURS) -> None:
    """Set the storage in a `dagster.yaml`: ours, or Dagster's own, in a database that exists."""
    text = on_postgres(file, server.port).replace("env: DAGSTER_PG_PASSWORD", "env: PGPASSWORD")
    text = text.replace("db_name: dagster", f"db_name: {database}")
    if module != OURS:
        text = text.replace(OURS, module).replace("BatchedPostgresStorage", "DagsterPostgresStorage")
    file.write_text(text)


def history_size(project: Path, server: Server, database: str) -> int:
    """Return the bytes of Dagster's history, in a project's folder or on a server that has such a database."""
    if server.query(f"SELECT count(*) FROM pg_database WHERE datname = '{database}'") == "1":
        return int(server.query(f"SELECT pg_database_size('{database}')"))
    return sum(each.stat().st_size for each in (project / ".dagster").rglob("*") if each.is_file())


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--storages", action="store_true", help="only the second table")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for line in () if chosen.storages else at_once(Path(scratch)):
            print(line, flush=True)
        if (programs := find_programs()) is None:
            raise SystemExit("PostgreSQL's server isn't installed (Debian: postgresql).")
        with postgres(programs) as server:
            for line in storages(Path(scratch), server):
                print(line, flush=True)


if __name__ == "__main__":
    main()
