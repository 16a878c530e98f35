"""Dagster on PostgreSQL, as in `docs/how-to/machines.md`: the same history as on SQLite, by either's commands.

Add a test here when something depends on Dagster's storage.
"""

import datetime as dt
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import TOP, Project
from wx_datacube_tests.postgres import PASSWORD, Server, server_of_tests

pytestmark = pytest.mark.long

DAYS = ["backfill", "--endpoint", "getupstreammsg", "--endpoint", "getupstreammsgdist"]
ENVIRON = {"DAGSTER_PG_PASSWORD": PASSWORD}
TICK = """
import json
from pathlib import Path
import dagster as dg
from wx_datacube.definitions import build_defs
from wx_datacube.orchestration.instance import project_instance
with project_instance(Path.cwd()) as instance:
    schedule = build_defs().resolve_schedule_def("default_daily")
    with dg.build_schedule_context(instance=instance) as context:
        found = schedule.evaluate_tick(context)
    print(json.dumps([type(instance.event_log_storage).__name__,
        [request.asset_selection[0].path[-1] for request in found.run_requests or ()]]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a PostgreSQL server for these tests."""
    with server_of_tests() as running:
        yield running


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account without silent days, whose figures are published at midnight."""
    with wechat(silent_share=0, publish_at="00:00") as running:
        yield running


@pytest.fixture(scope="module")
def project(server: Server, emulated: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Provide a project whose `dagster.yaml` is changed as documented (with another port) and thirty days fetched."""
    start = beijing_now().date() - dt.timedelta(days=30)
    found = Project.on(tmp_path_factory.mktemp("postgres") / "project", emulated, START=start)
    file = found.folder / "dagster.yaml"
    file.write_text(on_postgres(file, server.port))
    ran = found.run(*DAYS, **ENVIRON)
    assert ran.returncode == 0, ran.stderr
    return found


def on_postgres(file: Path, port: int) -> str:
    """Return a `dagster.yaml` changed as `docs/how-to/machines.md` says: one section replaces three."""
    page = (TOP / "docs" / "how-to" / "machines.md").read_text()
    (given,) = re.findall(r"```yaml\n(storage:.*?)```", page, re.DOTALL)
    kept = yaml.safe_load(file.read_text())
    for section in ("run_storage", "event_log_storage", "schedule_storage"):
        del kept[section]
    return str(given.replace("port: 5432", f"port: {port}") + yaml.safe_dump(kept))


def test_postgres_has_the_history_of_a_backfill_and_a_tick_requests_the_rest(project: Project, server: Server) -> None:
    """A backfill stores every partition and two successful runs in PostgreSQL, and a tick requests only the hours."""
    materialized = "SELECT count(DISTINCT partition) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
    for endpoint in ("getupstreammsg", "getupstreammsgdist"):
        assert server.query(f"{materialized} AND asset_key LIKE '%\"{endpoint}\"%'") == "30"
    assert server.query("SELECT DISTINCT status FROM runs") == "SUCCESS"
    assert not project.folder.joinpath(".dagster", "history").exists()

    ran = project.call([sys.executable, "-c", TICK], **ENVIRON)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == ["BatchedPostgresEventLogStorage", ["getupstreammsghour"]]
    assert "nothing to do" in project.run(*DAYS, **ENVIRON).stdout


def test_dagster_asset_materialize_runs_on_postgres(project: Project, emulated: Emulated, server: Server) -> None:
    """`dagster asset materialize` over a stored range makes a successful run and no call."""
    last = beijing_now().date() - dt.timedelta(days=1)
    span = f"{last - dt.timedelta(days=9)}...{last}"
    before, _ = server.query("SELECT count(*) FROM runs"), emulated.control.clear_calls()
    wanted = ["--select", "default/getupstreammsg", "--partition-range", span, "-m", "wx_datacube.definitions"]
    home = {"DAGSTER_HOME": str(project.folder)}
    ran = project.call([project.program("dagster"), "asset", "materialize", *wanted], **ENVIRON, **home)

    assert ran.returncode == 0, ran.stderr
    assert int(server.query("SELECT count(*) FROM runs WHERE status = 'SUCCESS'")) == int(before) + 1
    assert emulated.control.calls() == []
