"""The report asset: what it writes and shows, when it is materialized again, and how it fails.

Tests of the report's contents belong in `operations/test_report.py`.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.dagster_environment import (
    DAYS,
    HOURS,
    QUIET_RUN_CONFIG,
    SENDERS,
    DagsterEnv,
    asset_key,
    dagster_env,
)

NOW = dt.datetime(2026, 11, 24, 15)
LAST = dt.date(2026, 11, 23)
REPORT = dg.AssetKey(["default", "report"])


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account on a fixed afternoon."""
    with wechat(clock=NOW, frozen=True, silent_share=0) as running:
        yield running


@pytest.fixture
def it(emulated: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterEnv]:
    """Provide a fresh project for that account; its history began a week ago."""
    with dagster_env(tmp_path, monkeypatch) as found:
        found.use(emulated, START="2026-11-17")
        yield found


def make_report(it: DagsterEnv, lang: str | None = None) -> dg.ExecuteInProcessResult:
    """Materialize only the report."""
    job = build_defs(clock=lambda: NOW).resolve_implicit_job_def_def_for_assets([REPORT])
    assert job is not None
    config: dict[str, Any] = {"ops": {"default__report": {"config": {"lang": lang}}}} if lang else {}
    return job.execute_in_process(
        instance=it.instance, asset_selection=[REPORT], raise_on_error=False, run_config=QUIET_RUN_CONFIG | config
    )


def test_the_report_depends_on_all_seven_assets(it: DagsterEnv) -> None:
    """The report depends on all seven assets, is unpartitioned, in the account's group and outside its pool."""
    graph = build_defs().resolve_asset_graph()
    node = graph.get(REPORT)

    assert node.parent_keys == graph.get_all_asset_keys() - {REPORT, dg.AssetKey(["default", "digest"])}
    assert node.partitions_def is None
    assert node.group_name == "wx_default"
    assert node.pools is None or node.pools == set()


@pytest.mark.parametrize(("lang", "title"), [(None, "default 数据报告"), ("en", "default: statistics")])
def test_the_report_is_written_and_its_key_figures_are_plotted(
    lang: str | None, title: str, it: DagsterEnv, emulated: Emulated
) -> None:
    """The report is in Chinese by default, and its key figures are numbers, which Dagster plots."""
    for endpoint in (DAYS, SENDERS, HOURS):
        assert it.run(endpoint, dt.date(2026, 11, 17), LAST).success

    result = make_report(it, lang)

    assert result.success
    ((materialization,),) = ([each.materialization for each in result.get_asset_materialization_events()],)
    shown = {name: value.value for name, value in materialization.metadata.items()}
    path = Path(shown.pop("report"))
    sent = list(emulated.world.messages(LAST))
    users = len({message.user for message in sent})
    assert f"<title>{title}</title>" in path.read_text("utf-8")
    assert path == it.settings.database.with_name("report_default.html")
    assert shown.pop("made from").startswith("answers up to call_id ")
    assert shown == {"messages": len(sent), "senders": users}


def test_the_report_says_that_there_are_no_figures(it: DagsterEnv) -> None:
    """Before any figures are stored, the run succeeds and the report says that there are none."""
    result = make_report(it)

    assert result.success
    assert "还没有任何数据" in it.settings.database.with_name("report_default.html").read_text("utf-8")


def test_an_unknown_language_fails_the_run_with_a_message(it: DagsterEnv) -> None:
    """An unknown language fails the run with a message."""
    result = make_report(it, "fr")

    (failure,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    error = failure.step_failure_data.error
    assert not result.success
    assert "lang is 'fr'; it should be zh or en." in (failure.step_failure_data.error_display_string or str(error))


def test_the_report_is_requested_only_when_figures_change(it: DagsterEnv) -> None:
    """A change of figures requests the report once, even with missing upstream partitions, which block `eager()`."""
    defs = build_defs(clock=lambda: NOW)

    def requested(cursor: Any = None) -> Any:
        return dg.evaluate_automation_conditions(defs, it.instance, cursor=cursor)

    first = requested()
    assert first.total_requested == 0
    assert it.run(DAYS, LAST, LAST).success
    after_days = requested(first.cursor)
    assert (after_days.total_requested, after_days.get_num_requested(REPORT)) == (1, 1)
    assert make_report(it).success
    nothing_new = requested(after_days.cursor)
    assert nothing_new.total_requested == 0
    assert it.run(SENDERS, LAST, LAST).success
    after_senders = requested(nothing_new.cursor)
    assert after_senders.get_num_requested(REPORT) == 1


def test_other_projects_can_set_another_resource_key(it: DagsterEnv) -> None:
    """Projects that already have a resource `duckdb` can set another key."""
    defs = build_defs(duckdb_key="wechat_figures", key_prefix=["wechat"])

    graph = defs.resolve_asset_graph()
    assert dg.AssetKey(["wechat", "default", "report"]) in graph.get_all_asset_keys()
    assert graph.get(dg.AssetKey(["wechat", "default", "report"])).parent_keys == {
        dg.AssetKey(["wechat", *asset_key(endpoint).path]) for endpoint in ENDPOINTS
    }
