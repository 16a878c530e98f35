"""Dagster internals: the parts of Dagster that this package uses and Dagster's documentation doesn't promise.

`dagster._…` is imported here and nowhere else. On a minor version of Dagster other than `TESTED_MINOR`, `is_tested`
logs a warning, and rows b to d, q and s fall back to stock behaviour; rows a and p fall back on any version. Rows h
to o and r have no fallback: in a release that lacks them, the tests named below fail. Add a row for each new use.

| | used | for | in a release that lacks it |
|---|---|---|---|
| a | `SqliteEventLogStorage`, by its path | base class of our event log | it is taken from a temporary instance |
| b | its private methods, `AssetCheckExecutionsTable` | events in one transaction | events are stored one by one |
| c | the step's `_metadata_accumulator` and its classes | metadata in linear time | `add_asset_metadata`, quadratic |
| d | `DagsterUserCodeProcessError`, `SerializableErrorInfo` | no stack trace | failures have a stack trace |
| e | `ConfigurableClassData` | annotation | only type checkers see it |
| f | variable `DAGSTER_EVENT_BATCH_SIZE` | events arrive in batches | events are stored one by one |
| g | `DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS` | one planned event per run | one per partition: 2 s more |
| h | tags `dagster/asset_partition_range_start`, `…_end` | runs over a range | runs fail: no partitions |
| i | `Definitions.resolve_job_def`, `resolve_implicit_job_def_def_for_assets` | our jobs | nothing loads |
| j | `DagsterInstance`: see below | reading and ending runs, ticks, `doctor` | AttributeError |
| k | `DagsterRun` and `DagsterEvent`: see below | reading runs and events | AttributeError |
| l | `AssetExecutionContext.run`, `get_step_execution_context` | tags and metadata of a run | assets fail |
| m | `AssetKey.to_python_identifier`, `to_user_string` | names of jobs, run keys | nothing loads |
| n | `TimeWindowPartitionsDefinition.get_partition_keys` | all labels of an asset | ticks fail |
| o | name of Dagster's job over all assets | a schedule of all accounts | the location doesn't load |
| p | arguments of a run's process | a run loads its own accounts only | it loads all accounts |
| q | dagster-postgres: see below | batches and a kept connection on PostgreSQL | its stock storage is used |
| r | `location_origins_from_yaml_paths`, its origins | `worker` reads `workspace.yaml` | `worker` fails |
| s | `get_smallest_cron_interval` | loading many assets | a location with 1,500 assets loads 11 s later |

b: `_initdb`, `_connect`, `_event_to_row`, `prepare_insert_event`, `_store_asset_event`, `_store_asset_event_tags`,
`_store_asset_check_evaluation_planned` and `_db_lock`. j: `get_runs`, `get_materialized_partitions`,
`report_run_failed`, `all_logs`, `add_run_tags`, `all_instigator_state` (`instigator_data`), `get_daemon_statuses`,
`from_config`, `event_log_storage`. k: `tags`, `status`, `asset_selection`; `engine_event_data`, `step_failure_data`,
`event_specific_data`, `event_type_value`. q: methods of b that it shares; `_engine`, `_connect`, `_token_provider`,
`prepare_insert_event_batch`; `_run_storage`, `_event_log_storage`, `_schedule_storage` of `DagsterPostgresStorage`;
`dagster_postgres.utils`.

Tests, in `wx_datacube_tests`:

- a: `test_assets_load_if_dagster_moves_its_storage_class`
- b: `test_an_untested_dagster_draws_a_warning_and_behaves_like_stock`
- c: `test_an_untested_dagster_adds_metadata_one_by_one`
- d: `test_an_untested_dagster_keeps_the_stack_trace_of_a_failure`
- f: `test_a_long_range_costs_a_fraction_of_stock`
- g: `test_a_run_of_a_range_plans_it_in_one_event`
- h, l: `test_every_partition_shows_its_figures`, `test_a_tick_over_an_empty_file_requests_the_whole_history`
- i, m: `test_keys_with_a_prefix_are_materialized_under_it`
- j, k, n: `test_a_dead_run_is_ended_by_the_next_tick`, `test_a_tick_without_pending_labels_says_so`,
  `test_a_dead_daemon_is_named_while_schedules_are_on`
- o: `test_one_schedule_fetches_for_all_accounts`
- p: `test_two_services_fetch_what_is_missing_and_a_restart_interrupts_no_run`
- q: `test_an_untested_dagster_gets_the_stock_storage_on_postgres`
- r: `test_a_cut_link_and_a_killed_code_server_heal_by_themselves`
- s: `test_the_policies_of_many_assets_load_at_once`
"""

import functools
import importlib
import logging
import multiprocessing
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
    from dagster._serdes import ConfigurableClassData
    from sqlalchemy import Table
else:
    ConfigurableClassData = Any
    SqlEventLogStorage = object  # the base class of `SqliteEventLogStorage`: only type checkers see it
    try:
        # The path that Dagster's documentation of dagster.yaml gives.
        from dagster._core.storage.event_log import SqliteEventLogStorage
    except ImportError:
        # The class has moved. Loading our assets must not fail for that, so take the class from an instance.
        with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
            SqliteEventLogStorage = type(instance.event_log_storage)

__all__ = [
    "JOB_OF_ALL_ASSETS",
    "TESTED_MINOR",
    "ConfigurableClassData",
    "SqlEventLogStorage",
    "SqliteEventLogStorage",
    "add_metadata",
    "arguments_of_code_locations",
    "check_executions_table",
    "is_tested",
    "remember_cron_intervals",
    "run_of_this_process",
    "without_stack_trace",
]

JOB_OF_ALL_ASSETS = "__ASSET_JOB"
"""Dagster's own job over all assets of a code location, whose partitions may differ; the UI and sensors use it."""
TESTED_MINOR = "1.13"
"""The minor version of Dagster whose internals this package was tested with."""

_log = logging.getLogger(__name__)


def is_tested(tested_minor: str = TESTED_MINOR) -> bool:
    """Return whether the installed Dagster belongs to the tested minor version."""
    return _is_tested(tested_minor, dg.__version__)


@functools.cache
def _is_tested(tested_minor: str, version: str) -> bool:
    """Compare the versions; if they differ, log a warning once per process."""
    tested = version.split(".")[:2] == tested_minor.split(".")
    if not tested:
        _log.warning(
            "Events are stored one by one: the batched event log is tested with Dagster %s.x, this is %s",
            tested_minor,
            version,
        )
    return tested


def check_executions_table() -> "Table":
    """Return the table that holds the planned and evaluated checks."""
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

    return AssetCheckExecutionsTable


def add_metadata(context: dg.AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """Add metadata to each partition of the running asset, in time linear in their number.

    On every call, Dagster's own `add_asset_metadata` copies all that was added before: 2 s for 4,376 partitions.
    """
    if not is_tested():
        for partition_key, values in metadata.items():
            context.add_asset_metadata(values, partition_key=partition_key)
        return
    from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator

    step = context.get_step_execution_context()
    entries = dict(step._metadata_accumulator.per_output_metadata)
    for key, values in metadata.items():
        entries[AssetMetadataHandle(asset_key=context.asset_key, partition_key=key)] = values
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=entries)


def arguments_of_code_locations(workspace: Path) -> list[list[str]]:
    """Return the arguments of `dagster code-server start` for each code location that a `workspace.yaml` names.

    They are empty for a location that another server serves. Raises ValueError for a file that Dagster can't read.
    """
    from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin as OfThisMachine
    from dagster._core.workspace.load import location_origins_from_yaml_paths

    try:
        origins = location_origins_from_yaml_paths([str(workspace)])
    except Exception as error:  # there are a dozen kinds
        raise ValueError(str(error)) from None
    return [
        [*each.loadable_target_origin.get_cli_args()] if isinstance(each, OfThisMachine) else [] for each in origins
    ]


def remember_cron_intervals() -> None:
    """Let Dagster compute the shortest interval of a cron expression once per process.

    It checks that a freshness policy is shorter than that, for each asset again whenever a process loads a location: 7
    ms each, four fifths of the time in which the UI and the daemon load many accounts (Dagster's pull request 32626).
    """
    freshness: Any = importlib.import_module("dagster._core.definitions.freshness")
    if not hasattr(freshness.get_smallest_cron_interval, "cache_info"):
        freshness.get_smallest_cron_interval = functools.cache(freshness.get_smallest_cron_interval)


def run_of_this_process() -> dg.DagsterRun | None:
    """Return the run that a code server started this process for; None in any other process.

    Dagster tells the code of a location nothing about the run that it is loaded for, but the code server passes the run
    to the process that it starts.
    """
    arguments = getattr(multiprocessing.current_process(), "_args", ())
    if multiprocessing.parent_process() is None or not arguments or not isinstance(arguments[0], str):
        return None
    try:
        from dagster._grpc.types import ExecuteExternalJobArgs
        from dagster._serdes import deserialize_value

        passed = deserialize_value(arguments[0], ExecuteExternalJobArgs)
        if passed.instance_ref is None:
            return None
        with dg.DagsterInstance.from_ref(passed.instance_ref) as instance:
            return instance.get_run_by_id(passed.run_id)
    except Exception as error:  # whatever it is, all accounts can be loaded
        _log.debug("This process is not a run's, or Dagster starts runs in another way: %r", error)
        return None


_F = TypeVar("_F", bound=dg.Failure)


def without_stack_trace(kind: type[_F], description: str, metadata: Mapping[str, Any] | None) -> _F:
    """Return a failure of this kind that Dagster shows without a stack trace and doesn't retry.

    Dagster adds no stack trace to an error that another process described, so the failure looks like such an error.
    """
    if not is_tested():
        return kind(description, metadata, allow_retries=False)
    from dagster._core.errors import DagsterUserCodeProcessError
    from dagster_shared.error import SerializableErrorInfo

    class Stopped(DagsterUserCodeProcessError, kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            error_info = SerializableErrorInfo(message=f"{description}\n", stack=[], cls_name="Failure")
            super().__init__(description, user_code_process_error_infos=[error_info])  # type: ignore[no-untyped-call]
            dg.Failure.__init__(self, description, metadata, allow_retries=False)

    return Stopped()
