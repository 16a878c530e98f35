"""Dagster's own commands that change a project's history, and how our runs and ticks continue afterwards.

`dagster asset materialize`, `dg launch`, `dagster job launch` and the UI are tested in `test_dagster_dev`, which runs a
daemon. Add commands of Dagster here that don't need one.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import Project

pytestmark = pytest.mark.long

TICK = """
import datetime as dt, json
from pathlib import Path
import dagster as dg
from wx_datacube.definitions import build_defs
from wx_datacube.orchestration.instance import project_instance
now = dt.datetime(2024, 11, 12, 9, 30)
with project_instance(Path.cwd()) as instance:
    schedule = build_defs(clock=lambda: now).resolve_schedule_def("default_weekly")
    with dg.build_schedule_context(instance=instance) as context:
        found = schedule.evaluate_tick(context)
ends = ["dagster/asset_partition_range_start", "dagster/asset_partition_range_end"]
print(json.dumps([[r.asset_selection[0].path[-1], *[r.tags[end] for end in ends]] for r in found.run_requests or ()]))
"""
"""Prints what the weekly schedule requests on a morning after six weeks: endpoint, first and last label."""

WEEKS = ["backfill", "--endpoint", "getupstreammsgweek", "--endpoint", "getupstreammsgdistweek", "--end", "2024-11-10"]
FIRST, LAST = "2024-09-30", "2024-11-04"


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an ordinary account."""
    with wechat() as running:
        yield running


@pytest.fixture(scope="module")
def project(emulated: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Provide a project folder with six weeks of two endpoints stored and materialized."""
    found = Project.on(tmp_path_factory.mktemp("doors") / "project", emulated, START="2024-10-01")
    assert found.run(*WEEKS).returncode == 0
    assert tick(found) == []
    return found


def tick(project: Project) -> Any:
    """Return what a tick requests."""
    ran = project.call([sys.executable, "-c", TICK])
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def dagster(project: Project, *arguments: str) -> str:
    """Run a Dagster command that must succeed, and return its output."""
    ran = project.call([project.program("dagster"), *arguments], DAGSTER_HOME=str(project.folder))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_wiped_asset_is_materialized_again_without_a_call(project: Project, emulated: Emulated) -> None:
    """After `dagster asset wipe` the next tick requests the asset again, and the run makes no call."""
    dagster(project, "asset", "wipe", "default/getupstreammsgweek", "--noprompt")

    assert tick(project) == [["getupstreammsgweek", FIRST, LAST]]
    emulated.control.clear_calls()
    wanted = ["--select", "default/getupstreammsgweek", "--partition-range", f"{FIRST}...{LAST}"]
    dagster(project, "asset", "materialize", "-m", "wx_datacube.definitions", *wanted)
    assert emulated.control.calls() == []
    assert tick(project) == []


def test_dagsters_history_survives_its_own_migration(project: Project) -> None:
    """After `dagster instance migrate` everything is still materialized."""
    assert "BatchedSqliteEventLogStorage" in dagster(project, "instance", "migrate")

    assert tick(project) == []
    again = project.run(*WEEKS)
    assert (again.returncode, again.stderr) == (0, "")
    assert "default: nothing to do" in again.stdout
