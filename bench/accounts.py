"""Many accounts: `python -m bench.accounts [NUMBER]` compares a database of many accounts with one of a single account.

Twelve years of one account are fetched from the emulator. The other accounts are copied from it in SQL, with different
figures: ledger with response bodies, answers and rows. By default, the first eleven years are stored account by
account, as after a backfill, and the last year day by day, as after daily runs; `--interleaved 12` stores all years
day by day. It needs twice 25 MB per account in `TMPDIR`.
"""

import argparse
import datetime as dt
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import duckdb

from bench.__main__ import Emulator, backfill, emulator, measure, newest, project
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Endpoint
from wx_datacube.catalog.periods import beijing_now, due_labels
from wx_datacube.config.settings import Account
from wx_datacube.ingest.service import Ingest
from wx_datacube.warehouse.checks import check_context_of_run, checks_of, run_check
from wx_datacube.warehouse.copies import copy_file, flush_to_disk, read_all, read_changed
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.wechat import Client

LEFT_OUT = dt.timedelta(days=100)
"""Days at the end that the first account lacks, so that days, weeks and months are left to fetch."""
TIMES = 3


# --- preparing --------------------------------------------------------------------------------------------------


def ingest(warehouse: Warehouse, emulated: Emulator, name: str) -> Ingest:
    """Return an `Ingest` of the emulated account under another name."""

    def connect(stop_event: threading.Event) -> Client:
        return Client(api_url=emulated.api_url, appid=emulated.appid, secret=emulated.secret)

    return Ingest(warehouse, Account(name), connect)  # no AppID: a file allows one name per AppID


def multiply(seed: Path, warehouse: Warehouse, names: list[str], since: dt.date, cut: dt.date) -> None:
    """Make all accounts from the seed's only one.

    Rows before `since` are stored account by account, later ones day by day. The first account ends at `cut`.
    """
    warehouse.publish()
    with duckdb.connect(str(warehouse.writer), config={"storage_compatibility_version": "v1.2.0"}) as con:
        con.execute(f"ATTACH '{seed}' AS seed (READ_ONLY)")
        con.execute(
            "CREATE TEMP TABLE numbered AS SELECT account, number, call_id AS old_id, row_number() OVER (ORDER BY"
            " end_date >= $since, CASE WHEN end_date >= $since THEN end_date END, account, call_id) AS call_id"
            " FROM (SELECT call_id, end_date FROM seed.datacube.api_calls),"
            " (SELECT unnest(names) AS account, unnest(range(len(names))) AS number"
            " FROM (SELECT $names::JSON::VARCHAR[] AS names))"
            " WHERE number > 0 OR end_date < $cut",
            {"since": since, "cut": cut, "names": json.dumps(names)},
        )
        con.execute(
            "INSERT INTO datacube.accounts SELECT DISTINCT old.* REPLACE (numbered.account AS account,"
            " 'wx' || numbered.account AS appid) FROM seed.datacube.accounts AS old, numbered"
        )
        con.execute(
            "UPDATE datacube.accounts SET appid = (SELECT appid FROM seed.datacube.accounts) WHERE account = $name",
            {"name": names[0]},
        )
        con.execute(
            "INSERT INTO datacube.label_answers SELECT old.* REPLACE (numbered.account AS account, numbered.call_id AS"
            " call_id, numbered.call_id AS last_undelayed)"
            " FROM seed.datacube.label_answers AS old JOIN numbered ON old_id = old.call_id"
            " ORDER BY numbered.call_id, label"
        )
        for endpoint in ENDPOINTS:
            con.execute(_rows(endpoint))
        ((last,),) = con.execute("SELECT max(call_id) FROM numbered").fetchall()
        for first in range(0, last, 10_000):  # the bodies of 10,000 calls fit into memory
            for endpoint in ENDPOINTS:
                con.execute(_calls(endpoint), {"first": first, "last": min(first + 10_000, last)})


def _rows(endpoint: Endpoint) -> str:
    """Return the SQL that copies an endpoint's rows to each account; all but the first get slightly higher figures."""
    figures = {column.name: f"old.{column.name}" for column in endpoint.columns}
    for name in ("msg_user", "msg_count"):
        if name in figures:
            figures[name] += " + CASE WHEN number > 0 THEN hash(number, old.ref_date, old.call_id) % 9 ELSE 0 END"
    keys = ", ".join(f"old.{column.name}" for column in endpoint.key)
    return (
        f"INSERT INTO datacube.{endpoint.name} SELECT numbered.account, {', '.join(figures.values())}, numbered.call_id"
        f" FROM seed.datacube.{endpoint.name} AS old JOIN numbered ON old_id = old.call_id"
        f" ORDER BY numbered.call_id, {keys}"
    )


def _calls(endpoint: Endpoint) -> str:
    """Return the SQL that copies the calls of an endpoint, with response bodies that contain just the copied rows."""
    fields = ", ".join(f"'\"{each.name}\":' || to_json({each.name})" for each in endpoint.columns)
    row = "'{' || " + fields.replace(", ", " || ',' || ") + " || '}'"
    return f"""
INSERT INTO datacube.api_calls
SELECT old.* REPLACE (numbered.call_id AS call_id, numbered.account AS account,
    '{{"list":[' || coalesce(listed, '') || ']}}' AS response)
FROM seed.datacube.api_calls AS old JOIN numbered ON old_id = old.call_id LEFT JOIN (
    SELECT call_id, string_agg({row}, ',' ORDER BY {", ".join(column.name for column in endpoint.key)}) AS listed
    FROM datacube.{endpoint.name} WHERE call_id > $first AND call_id <= $last GROUP BY call_id
) AS bodies ON bodies.call_id = numbered.call_id
WHERE numbered.call_id > $first AND numbered.call_id <= $last AND endpoint = '{endpoint.name}'
ORDER BY numbered.call_id"""


def configure(folder: Path, names: list[str], emulated: Emulator) -> None:
    """Write the settings of the accounts; only the first one's credentials are used."""
    lines = [f"WX_DATACUBE_API_URL={emulated.api_url}", f"WX_DATACUBE_ACCOUNTS={','.join(names)}"]
    for name in names:
        appid = emulated.appid if name == names[0] else f"wx{name}"
        lines += [f"WX_DATACUBE_{name.upper()}_APPID={appid}", f"WX_DATACUBE_{name.upper()}_SECRET={emulated.secret}"]
    folder.joinpath(".env").write_text("\n".join(lines))


# --- measuring --------------------------------------------------------------------------------------------------


class Unpublished(Warehouse):
    """A warehouse that doesn't publish: publishing is measured separately."""

    def publish(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall-clock seconds and CPU seconds."""

    seconds: float
    cpu: float


def cost(began: tuple[float, float]) -> Cost:
    """Return the time since `began`, a result of `now`."""
    return Cost(time.perf_counter() - began[0], time.process_time() - began[1])


def now() -> tuple[float, float]:
    """Return wall-clock time and CPU time."""
    return time.perf_counter(), time.process_time()


def a_day(warehouse: Warehouse, emulated: Emulator, name: str, place: int) -> Cost:
    """Measure seven runs with one new label each: fetch, store, report and check, without publishing."""
    it = ingest(Unpublished(warehouse.database), emulated, name)
    first, last = HISTORY_START, beijing_now().date()
    began = now()
    for endpoint in ENDPOINTS:
        label = due_labels(endpoint.period, first, last)[-1 - place]
        report = it.fetch_missing(endpoint, [label], run_id="bench")
        assert not report.unresolved
        with check_context_of_run(it.warehouse, Account(name, start=first), endpoint) as check_context:
            for check in checks_of(endpoint):
                run_check(check, check_context, endpoint)
    return cost(began)


def days(files: list[Warehouse], emulated: Emulator, name: str) -> list[Cost]:
    """Return the median cost of a day for each file, measured in turns."""
    found: list[list[Cost]] = [[] for _ in files]
    for place in range(TIMES):
        for costs, warehouse in zip(found, files, strict=True):
            costs.append(a_day(warehouse, emulated, name, place))
    return [Cost(median(each.seconds for each in costs), median(each.cpu for each in costs)) for costs in found]


def publishing(warehouse: Warehouse) -> Iterator[tuple[str, float]]:
    """Measure the steps of a publication after a commit, then a whole publication."""
    copy = warehouse.database.with_name("copy.duckdb")

    def parts() -> Iterator[tuple[str, Callable[[], None]]]:
        yield "copied", lambda: copy_file(warehouse.writer, copy, 0o444)
        yield "on the disk", lambda: flush_to_disk(copy)
        yield "every row read", lambda: read(read_all)
        yield "what changed read", lambda: read(lambda con: read_changed(con, copy, warehouse.database))
        yield "a publication", warehouse.publish

    def read(how: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        with duckdb.connect(str(copy), read_only=True) as con:
            how(con)

    began = now()
    with warehouse.transaction() as con:
        con.execute("UPDATE datacube.accounts SET added_at = added_at + INTERVAL 1 SECOND")
    yield "a commit", cost(began).seconds
    for what, act in parts():
        began = now()
        act()
        used = cost(began)
        yield what, used.seconds
        yield f"{what}, processor", used.cpu
    copy.unlink()


LOAD = """
import time, resource
began = time.process_time()
import dagster
imported = time.process_time()
from wx_datacube.definitions import defs
from dagster._core.remote_representation.external_data import RepositorySnap
found = defs()
repository = found.get_repository_def()
loaded = time.process_time()
RepositorySnap.from_def(repository)
snap = time.process_time()
from pathlib import Path
from dagster import build_schedule_context
from wx_datacube.orchestration.instance import project_instance
schedule = repository.get_schedule_def(ACCOUNT + "_daily")
with project_instance(Path.cwd()) as instance, build_schedule_context(instance) as context:
    ticking = time.process_time()
    schedule.evaluate_tick(context)
    ticked = time.process_time()
used = resource.getrusage(resource.RUSAGE_SELF)
print(imported - began, loaded - imported, snap - loaded, ticked - ticking, used.ru_maxrss / 1024)
"""


def load(folder: Path, name: str) -> list[float]:
    """Measure in a new process: import of Dagster, loading the location, its snapshot, a schedule tick, and memory.

    The snapshot is the one that the code server makes. Times are CPU seconds, memory is in MB.
    """
    found = measure(sys.executable, "-W", "ignore", "-c", LOAD.replace("ACCOUNT", repr(name)), cwd=folder)
    return [float(each) for each in found.output.split()[-5:]]


ROUND = """
import datetime as dt, os, time
from pathlib import Path
os.environ["WX_DATACUBE_START"] = "FIRST"
import dagster as dg
from wx_datacube.catalog.periods import beijing_now
from wx_datacube.config.environment import load_settings
from wx_datacube.definitions import build_defs
from wx_datacube.orchestration.event_batches import batched_events
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.warehouse.coverage import State, states
from wx_datacube.warehouse.files import Warehouse
settings, found = load_settings(), []
with project_instance(Path.cwd()) as instance:
    with batched_events(instance), Warehouse(settings.database).open_published() as con:
        for account in settings.accounts:
            for name, labels in states(con, account, beijing_now()).items():
                for label, state in labels.items():
                    if state is not State.MISSING:
                        done = dg.AssetMaterialization([account.name, name], partition=label.isoformat())
                        instance.report_runless_asset_event(done)
    for schedules in ("account", "location"):
        began = time.process_time()
        repository = build_defs(schedules=schedules).get_repository_def()
        found.append(time.process_time() - began)
        began = time.process_time()
        for each in repository.schedule_defs:
            if not each.name.endswith(("_checks", "_digest")):
                with dg.build_schedule_context(instance, repository_def=repository) as context:
                    each.evaluate_tick(context)
        found.append(time.process_time() - began)
    began = time.process_time()
    build_defs(accounts=[settings.accounts[0].name]).get_repository_def()
    found.append(time.process_time() - began)
print(*found)
"""


def ticks(folder: Path) -> Iterator[tuple[str, float]]:
    """Measure a round of all schedules, with a fortnight in Dagster's history and nothing to do, in CPU seconds.

    The first account has something to do. The definitions of a run are those of its own account.
    """
    first = beijing_now().date() - dt.timedelta(days=14)
    code = ROUND.replace("FIRST", first.isoformat())
    found = measure(sys.executable, "-W", "ignore", "-c", code, cwd=folder).output.split()[-5:]
    names = (
        "location loaded, schedules of each account",
        "a round of their ticks",
        "location loaded, one schedule",
        "a round of its tick",
        "definitions of a run loaded",
    )
    yield from zip(names, map(float, found), strict=True)


def status(folder: Path, *options: str) -> Cost:
    """Measure `wx-datacube status`; return the run with the least CPU time."""
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    found = []
    for _ in range(TIMES):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "wx_datacube", "status", *options]
        ran = subprocess.run(command, cwd=folder, env=environ, check=False, stdout=subprocess.DEVNULL)
        assert ran.returncode in (0, 1), ran  # 1: the account lacks its last hundred days
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append(Cost(time.perf_counter() - began, cpu))
    return min(found, key=lambda each: each.cpu)


def figures(folder: Path, warehouse: Warehouse, name: str) -> Iterator[tuple[str, float]]:
    """Measure everything about one database except the cost of a day."""
    with warehouse.open_published() as con:
        for table in ("api_calls", "getupstreammsghour"):
            ((rows,),) = con.execute(f"SELECT count(*) FROM datacube.{table}").fetchall()
            yield f"rows of {table}", rows
    yield "file, MB", warehouse.database.stat().st_size / 2**20
    for what, options in (("all", []), ("all, --json", ["--json"]), ("one", ["--account", name])):
        used = status(folder, *options)
        yield f"status, {what}", used.seconds
        yield f"status, {what}, processor", used.cpu
    names = ("import of Dagster", "location loaded", "its snapshot", "a tick", "memory, MB")
    yield from zip(names, load(folder, name), strict=True)
    yield from ticks(folder)
    yield from publishing(warehouse)
    yield from copying(folder, warehouse, name)


def copying(folder: Path, warehouse: Warehouse, name: str) -> Iterator[tuple[str, float]]:
    """Measure `wx-datacube copy-account` of one account from the database into a new one."""
    target = folder / "copied"
    target.mkdir()
    target.joinpath(".env").write_text(f"WX_DATACUBE_DATABASE={target / 'copied.duckdb'}")
    command = [sys.executable, "-m", "wx_datacube", "copy-account", name, "--from", str(warehouse.database)]
    found = measure(*command, cwd=target)
    yield "copy-account", found.seconds
    yield "copy-account, processor", found.cpu
    yield "copy-account, memory, MB", found.memory


def events(scratch: Path, emulated: Emulator) -> Iterator[str]:
    """Measure the size of Dagster's history after a one-year backfill of one account, and a morning's three runs."""
    today = beijing_now().date()
    folder = project(scratch / "year", emulated, today - dt.timedelta(days=366))
    sizes = []
    for left in (1, 0):
        backfill(folder, "--end", newest(today, left))
        found = [path.stat().st_size for path in folder.joinpath(".dagster").rglob("*") if path.is_file()]
        sizes.append((sum(found) / 2**20, len(found)))
    (year, files), (more, others) = sizes
    yield f"Dagster's history after a year: {year:.1f} MB in {files} files"
    yield f"a morning's three runs: {more - year:.2f} MB in {others - files} files"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.accounts", description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=100, help="number of accounts")
    parser.add_argument("--interleaved", type=int, default=1, help="years at the end that are stored day by day")
    chosen = parser.parse_args()
    today, names = beijing_now().date(), [f"a{number:03}" for number in range(chosen.number)]
    since, cut = today - dt.timedelta(days=round(365.25 * chosen.interleaved)), today - LEFT_OUT
    with tempfile.TemporaryDirectory() as scratch, emulator(0) as emulated:
        seed = Warehouse(Path(scratch, "seed", "seed.duckdb"))
        for endpoint in ENDPOINTS:
            labels = due_labels(endpoint.period, HISTORY_START, today)
            ingest(seed, emulated, names[0]).fetch_missing(endpoint, labels, run_id="seed")
        folders = [Path(scratch, "alone"), Path(scratch, "all")]
        files = []
        for folder, some in zip(folders, (names[:1], names), strict=True):
            project(folder, emulated, HISTORY_START)
            configure(folder, some, emulated)
            files.append(Warehouse(folder / "data" / "wx_datacube.duckdb"))
            began = time.perf_counter()
            multiply(seed.database, files[-1], some, since, cut)
            files[-1].publish()
            print(f"made {len(some)} accounts in {time.perf_counter() - began:.0f} s", flush=True)
        print(f"\n| | 1 account | {chosen.number} accounts | |\n|---|---|---|---|")
        pairs = zip(*(figures(*each, names[0]) for each in zip(folders, files, strict=True)), strict=True)
        for (what, figure), (_, together) in pairs:
            print(f"| {what} | {figure:,.3f} | {together:,.3f} | {together / figure:.2f} |", flush=True)
        one, many = days(files, emulated, names[0])
        print(f"| a day of one account | {one.seconds:.3f} | {many.seconds:.3f} | {many.seconds / one.seconds:.2f} |")
        print(f"| … processor | {one.cpu:.3f} | {many.cpu:.3f} | {many.cpu / one.cpu:.2f} |\n", flush=True)
        print(*events(Path(scratch), emulated), sep="\n")


if __name__ == "__main__":
    main()
