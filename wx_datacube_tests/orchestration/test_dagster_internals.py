"""Dagster internals: their fallbacks on a version of Dagster that this package was not tested with.

Add a test here for each new row of the table in `dagster_internals` whose fallback no other test shows.
"""

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from time import process_time
from timeit import timeit

import dagster as dg
import pytest

from wx_datacube.errors import QuotaExhausted
from wx_datacube.orchestration import dagster_internals
from wx_datacube.orchestration.backfill_process import PLANNED_EVENTS
from wx_datacube.orchestration.failure import explained_failure

EVENT_LOG = "wx_datacube.orchestration.event_log"
DAILY = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2025-01-01", timezone="Asia/Shanghai")
RANGE = {"dagster/asset_partition_range_start": "2024-01-30", "dagster/asset_partition_range_end": "2024-02-02"}


@pytest.fixture
def another_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the installed Dagster have a version that the package was not tested with."""
    monkeypatch.setattr(dg, "__version__", "0.7.0")


@pytest.mark.usefixtures("another_dagster")
def test_an_untested_dagster_adds_metadata_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an untested Dagster version, metadata of partitions goes through its public method."""
    public, calls = dg.AssetExecutionContext.add_asset_metadata, []

    def counted(self: dg.AssetExecutionContext, *arguments: object, **named: object) -> None:
        calls.append(named["partition_key"])
        public(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(dg.AssetExecutionContext, "add_asset_metadata", counted)

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def days(context: dg.AssetExecutionContext) -> None:
        dagster_internals.add_metadata(context, {key: {"day": key} for key in context.partition_keys})

    with dg.DagsterInstance.ephemeral() as instance:
        made = dg.materialize([days], instance=instance, tags=RANGE).asset_materializations_for_node("days")

    assert calls == ["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"]
    assert {each.partition: each.metadata["day"].value for each in made} == {key: key for key in calls}


@pytest.mark.usefixtures("another_dagster")
def test_an_untested_dagster_keeps_the_stack_trace_of_a_failure() -> None:
    """With an untested Dagster version, an expected failure keeps its text and cause but has a stack trace."""
    cause = QuotaExhausted("The quota is used up.")

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
    def fails() -> None:
        raise explained_failure(cause)

    @dg.job
    def job() -> None:
        fails()

    result = job.execute_in_process(raise_on_error=False)

    (step,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert explained_failure(cause).cause is cause
    assert step.user_failure_data is not None
    assert step.user_failure_data.description == str(cause)
    assert step.error is not None
    assert step.error.stack


def test_a_run_of_a_range_plans_it_in_one_event(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the variable that a backfill's process sets, Dagster logs one planned event for a run over four days."""
    for name, value in PLANNED_EVENTS.items():
        monkeypatch.setenv(name, value)

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def days() -> None:
        pass

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = dg.materialize([days], instance=instance, tags=RANGE)
        logged = Counter(entry.get_dagster_event().event_type_value for entry in instance.all_logs(result.run_id)
                         if entry.is_dagster_event)  # fmt: skip

    assert (logged["ASSET_MATERIALIZATION_PLANNED"], logged["ASSET_MATERIALIZATION"]) == (1, 4)


def test_every_test_that_the_table_names_exists() -> None:
    """The module's docstring names only tests that exist."""
    tests = Path(__file__).parents[1]
    defined = {
        name
        for path in tests.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", dagster_internals.__doc__ or ""))

    assert named
    assert named - defined == set()


def test_the_policies_of_many_assets_load_at_once(tmp_path: Path) -> None:
    """Once our event log is open, a freshness policy costs microseconds instead of 7 ms, which a stock one takes."""
    config = {"event_log_storage": {"module": EVENT_LOG, "class": "BatchedSqliteEventLogStorage"}}
    config["event_log_storage"]["config"] = {"base_dir": str(tmp_path)}  # type: ignore[assignment]
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=config):

        def policy() -> object:
            return dg.FreshnessPolicy.cron("35 12 * * *", timedelta(hours=12), "Asia/Shanghai")

        policy()
        assert timeit(policy, timer=process_time, number=200) < 0.5  # 1.4 s with stock
