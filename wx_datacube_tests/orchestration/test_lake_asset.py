"""The lake asset: when it exists, what it writes, when it is materialized again, and how it fails.

Tests of the lake's contents belong in `operations/test_lake.py`.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.dagster_environment import DAYS, QUIET_RUN_CONFIG, DagsterEnv, dagster_env

NOW = dt.datetime(2026, 11, 24, 15)
LAST = dt.date(2026, 11, 23)
LAKE = dg.AssetKey(["default", "lake"])


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account on a fixed afternoon."""
    with wechat(clock=NOW, frozen=True, silent_share=0) as running:
        yield running


@pytest.fixture
def it(emulated: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterEnv]:
    """Provide a fresh project for that account, with a lake in its folder."""
    with dagster_env(tmp_path, monkeypatch) as found:
        found.use(emulated, START="2026-11-17", LAKE="lake")
        yield found


def export(it: DagsterEnv) -> dg.ExecuteInProcessResult:
    """Materialize only the lake."""
    job = build_defs(clock=lambda: NOW).resolve_implicit_job_def_def_for_assets([LAKE])
    assert job is not None
    return job.execute_in_process(
        instance=it.instance, asset_selection=[LAKE], raise_on_error=False, run_config=QUIET_RUN_CONFIG
    )


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return the metadata of the only materialization."""
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_the_asset_exists_where_a_lake_is_configured(it: DagsterEnv) -> None:
    """It depends on all assets of endpoints, like the report, and is unpartitioned and outside the pool."""
    graph = build_defs().resolve_asset_graph()
    node = graph.get(LAKE)

    assert node.parent_keys == graph.get(dg.AssetKey(["default", "digest"])).parent_keys
    assert (node.partitions_def, node.group_name, node.pools or set()) == (None, "wx_default", set())
    assert (
        dg.AssetKey(["wechat", "default", "lake"])
        in build_defs(key_prefix="wechat").resolve_asset_graph().get_all_asset_keys()
    )
    it.configure()
    assert LAKE not in build_defs().resolve_asset_graph().get_all_asset_keys()


def test_the_asset_writes_what_has_changed(it: DagsterEnv) -> None:
    """The first run writes all files, the next one none; the metadata says so."""
    assert it.run(DAYS, dt.date(2026, 11, 17), LAST).success

    first, second = shown(export(it)), shown(export(it))

    assert first["lake"] == second["lake"] == str(it.folder / "lake")
    assert first["files written"] == second["files unchanged"] > 40
    assert first["files unchanged"] == second["files written"] == second["rows written"] == 0
    assert first["made from"] == "answers up to call_id 1"
    with duckdb.connect() as con, it.warehouse.open_published() as published:
        con.execute((it.folder / "lake" / "lake.sql").read_text())
        rows = [each.execute("FROM messages_daily ORDER BY ALL").fetchall() for each in (con, published)]
    assert rows[0] == rows[1] != []


def test_a_lake_that_cannot_be_written_fails_the_run_with_advice(it: DagsterEnv) -> None:
    """The run fails with the reason and without a stack trace; so does a run without any figures."""
    result = export(it)
    (failure,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "Nothing is stored there yet." in str(failure.step_failure_data.error_display_string)

    assert it.run(DAYS, LAST, LAST).success
    it.patch.setenv("WX_DATACUBE_LAKE", "s3://lake/wechat")
    result = export(it)
    (failure,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set" in str(failure.step_failure_data)


def test_the_lake_is_requested_once_per_change(it: DagsterEnv) -> None:
    """A change of figures requests the export once, as it does the report."""
    defs = build_defs(clock=lambda: NOW)

    def requested(cursor: Any = None) -> Any:
        return dg.evaluate_automation_conditions(defs, it.instance, cursor=cursor)

    first = requested()
    assert it.run(DAYS, LAST, LAST).success
    after = requested(first.cursor)
    assert (first.get_num_requested(LAKE), after.get_num_requested(LAKE)) == (0, 1)
    assert export(it).success
    assert requested(after.cursor).get_num_requested(LAKE) == 0
