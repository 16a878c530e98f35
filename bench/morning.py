"""`python -m bench.morning` measures mornings by the schedules: seconds, calls, and what Dagster's history grows by.

A project gets a history up to the day before the first morning. On each morning, the clocks of the emulator and of the
project's process (Debian: faketime) are at 13:00 of the next day, each schedule ticks once, and the runs that it
requests are executed one after the other, in one process that has loaded Dagster.
"""

import argparse
import datetime as dt
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.workers import on_server
from wx_datacube.catalog.periods import beijing_now
from wx_datacube.config.folder import make_project
from wx_datacube.emulator.testing import wechat
from wx_datacube_tests.postgres import DATABASE, PASSWORD, Server, find_programs, postgres

BACKFILL = ("-m", "wx_datacube", "backfill")
TICKS_AND_RUNS = """
import time
from pathlib import Path
import dagster as dg
from wx_datacube.definitions import defs
from wx_datacube.orchestration.instance import project_instance

repository = defs().get_repository_def()
with project_instance(Path.cwd()) as instance:
    for schedule in repository.schedule_defs:
        if schedule.name.endswith(("_checks", "_digest")):
            continue
        began = time.monotonic()
        with dg.build_schedule_context(instance) as context:
            requests = schedule.evaluate_tick(context).run_requests or []
        for request in requests:
            job = repository.get_job(schedule.job_name).get_subset(
                asset_selection=frozenset(request.asset_selection),
                asset_check_selection=frozenset(request.asset_check_keys),
            )
            assert job.execute_in_process(instance=instance, tags=request.tags).success
            print(f"  {schedule.name}: {len(request.asset_selection)} assets, {time.monotonic() - began:.1f} s")
            began = time.monotonic()
"""


def measure(families: str, days: int, mornings: int, server: Server | None = None) -> None:
    """Print the figures of some mornings of an account with that many days stored; Dagster is on `server`, if given."""
    first = beijing_now().date() - dt.timedelta(days=mornings)
    start = first - dt.timedelta(days=days)
    options = {"publish_at": "00:00", "quota": 10**6, "start": start}
    with tempfile.TemporaryDirectory(prefix="bench-") as name, wechat(**options) as emulated:
        settings = {"API_URL": emulated.api_url, "APPID": emulated.appid, "SECRET": emulated.secret}
        settings |= {"FAMILIES": families, "START": str(start)}
        environment = {f"WX_DATACUBE_{field}": value for field, value in settings.items()}
        environment = (
            os.environ | environment | {"DAGSTER_HOME": name, "TZ": "Asia/Shanghai", "PYTHONPATH": str(Path.cwd())}
        )
        folder = Path(name)
        make_project(folder)
        if server:
            on_server(folder / "dagster.yaml", server, DATABASE)
            environment["PGPASSWORD"] = PASSWORD
        before = 0
        for number in range(mornings + 1):
            day = first + dt.timedelta(days=number)
            emulated.control.set_clock(f"{day}T13:00")
            size, calls = _size(folder, server), len(emulated.control.statistics_calls())
            what = BACKFILL if number == 0 else ("-W", "ignore", "-c", TICKS_AND_RUNS)
            command = ["faketime", "-f", f"@{day} 13:00:00", sys.executable, *what]
            ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
            if number:
                made = len(emulated.control.statistics_calls()) - calls
                print(f"{day:%A}: {made} calls, {(_size(folder, server) - size) / 2**20:.2f} MB of history")
                print(ended.stdout, end="", flush=True)
            else:
                before = _size(folder, server)
        print(f"A morning takes {(_size(folder, server) - before) / mornings / 2**20:.3f} MB on average.")


def _size(folder: Path, server: Server | None) -> int:
    if server:
        return int(server.query(f"SELECT pg_database_size('{DATABASE}')"))
    return sum(each.stat().st_size for each in (folder / ".dagster").rglob("*") if each.is_file())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default="all")
    parser.add_argument("--days", type=int, default=60, help="days stored before the first morning")
    parser.add_argument("--mornings", type=int, default=3)
    parser.add_argument("--postgres", action="store_true", help="Dagster's history in PostgreSQL instead of SQLite")
    asked = parser.parse_args()
    if not asked.postgres:
        measure(asked.families, asked.days, asked.mornings)
    elif programs := find_programs():
        with postgres(programs) as running:
            measure(asked.families, asked.days, asked.mornings, running)
    else:
        raise SystemExit("PostgreSQL's server isn't installed (Debian: postgresql).")
