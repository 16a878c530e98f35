"""The batched event log compared with the stock one: same events and states, from several processes, and faster.

Add a test here when the batched storage overrides another method of Dagster's.
"""

import datetime as dt
import multiprocessing
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy

from wx_datacube.orchestration.dagster_internals import add_metadata
from wx_datacube.orchestration.event_batches import batched_events
from wx_datacube.orchestration.event_log import BatchedSqliteEventLogStorage

DAILY = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2025-01-01", timezone="Asia/Shanghai")
MESSAGES, HOURS = dg.AssetKey(["default", "messages"]), dg.AssetKey(["default", "hours"])
CHECKS = ("keys_are_unique", "no_old_data")
STOCK = ("dagster._core.storage.event_log", "SqliteEventLogStorage")
BATCHED = ("wx_datacube.orchestration.event_log", "BatchedSqliteEventLogStorage")
TABLES = {
    "event_logs": "dagster_event_type, step_key, asset_key, partition",
    "asset_keys": "asset_key, asset_details IS NULL, last_run_id IS NULL, tags",
    "asset_event_tags": "asset_key, key",
    "asset_check_executions": "asset_key, check_name, partition, execution_status",
}
DAGSTER_YAML = """
run_storage: {{module: dagster._core.storage.runs, class: SqliteRunStorage, config: {{base_dir: {dir}}}}}
event_log_storage: {{module: {module}, class: {cls}, config: {{base_dir: {dir}}}}}
schedule_storage: {{module: dagster._core.storage.schedules, class: SqliteScheduleStorage, config: {{base_dir: {dir}}}}}
telemetry: {{enabled: false}}
"""


class Landing(dg.Config):
    """How many partitions of the range the asset materializes before it fails; by default all."""

    landed: int = 10**6


def open_instance(folder: Path, storage: tuple[str, str]) -> dg.DagsterInstance:
    """Open an instance in `folder` whose dagster.yaml names `storage`."""
    folder.mkdir(exist_ok=True)
    text = DAGSTER_YAML.format(dir=folder / "history", module=storage[0], cls=storage[1])
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")
    return dg.DagsterInstance.from_config(str(folder))


def _metadata(key: str) -> dict[str, Any]:
    return {"rows": int(key[-2:]), "state": "landed"}


def _asset(key: dg.AssetKey) -> dg.AssetsDefinition:
    @dg.asset(
        key=key,
        partitions_def=DAILY,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(name, asset=key) for name in CHECKS],
    )
    def materialize(context: dg.AssetExecutionContext, config: Landing) -> Iterator[dg.MaterializeResult[Any]]:
        keys = list(context.partition_keys)
        if config.landed < len(keys):
            with batched_events(context.instance):
                for each in keys[: config.landed]:
                    context.log_event(dg.AssetMaterialization(key, partition=each, metadata=_metadata(each)))
                context.log_event(dg.AssetCheckEvaluation(key, "keys_are_unique", passed=False, metadata={}))
            raise dg.Failure("the day's quota is used up", allow_retries=False)
        add_metadata(context, {each: _metadata(each) for each in keys})
        yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name=n, passed=True) for n in CHECKS])

    return materialize


DEFINITIONS = dg.Definitions(assets=[_asset(MESSAGES), _asset(HOURS)], executor=dg.in_process_executor)


def run(instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey], start: str, end: str, **config: int) -> str:
    """Run assets over a range of partitions, as `dagster asset materialize` does, and return the run's id."""
    job = DEFINITIONS.resolve_implicit_job_def_def_for_assets(keys)
    assert job is not None
    result = job.execute_in_process(
        instance=instance,
        asset_selection=list(keys),
        tags={"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end},
        run_config={
            "ops": {"__".join(key.path): {"config": config} for key in keys},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )
    return result.run_id


def live_through(instance: dg.DagsterInstance) -> list[str]:
    """Record a history with every kind of event: complete runs, a run that fails midway, a repeated one."""
    return [
        run(instance, [MESSAGES, HOURS], "2024-03-01", "2024-03-08"),
        run(instance, [MESSAGES], "2024-03-05", "2024-03-12", landed=5),
        run(instance, [HOURS], "2024-05-01", "2024-05-03", landed=0),
        run(instance, [MESSAGES], "2024-03-11", "2024-03-12"),
    ]


@pytest.fixture(scope="module")
def histories(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[Path, dg.DagsterInstance, list[str]]]]:
    """Provide the same history, written by the stock storage and by the batched one."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
        lived = {}
        for name, storage in {"stock": STOCK, "batched": BATCHED}.items():
            folder = tmp_path_factory.mktemp(name)
            instance = open_instance(folder, storage)
            lived[name] = (folder, instance, live_through(instance))
        yield lived
        for _, instance, _ in lived.values():
            instance.dispose()


def _rows(folder: Path, shard: str, table: str, columns: str) -> Counter[tuple[Any, ...]]:
    with sqlite3.connect(folder / "history" / f"{shard}.db") as connection:
        return Counter(connection.execute(f"SELECT {columns} FROM {table}"))


@pytest.mark.parametrize("table", TABLES)
def test_the_index_holds_the_same_rows_as_stock(table: str, histories: Any) -> None:
    """Every table of the shared index that events are written to has the same rows as with stock."""
    stock, batched = (_rows(histories[name][0], "index", table, TABLES[table]) for name in ("stock", "batched"))

    assert stock == batched
    assert sum(stock.values()) > 0 or table == "asset_event_tags"


def test_each_run_reads_the_same_event_by_event(histories: Any) -> None:
    """Each run's log has the same events in the same order, with the same messages and metadata."""

    def log(name: str) -> list[tuple[Any, ...]]:
        _, instance, runs = histories[name]
        return [_told(entry) for each in runs for entry in instance.all_logs(each)]

    assert log("stock") == log("batched")


def _told(entry: dg.EventLogEntry) -> tuple[Any, ...]:
    event = entry.get_dagster_event()
    words = re.sub(r"[0-9a-f-]{36}|\d+(\.\d+)?m?s\b|pid: \d+|/\S+", "…", entry.message)
    made = entry.asset_materialization
    return (
        event.event_type_value,
        event.step_key,
        event.partition,
        words,
        made and (made.metadata, set(made.tags or {})),
    )


def test_partitions_have_the_same_status_as_stock(histories: Any) -> None:
    """Materialized partitions are green, those of a failed run red, and both storages agree."""

    def statuses(name: str) -> list[Any]:
        instance: dg.DagsterInstance = histories[name][1]
        return [
            (
                instance.get_status_by_partition(key, DAILY.get_partition_keys(), DAILY),
                instance.get_materialized_partitions(key),
            )
            for key in (MESSAGES, HOURS)
        ]

    assert statuses("stock") == statuses("batched")
    assert {status and status.value for status in statuses("batched")[0][0].values()} == {
        None,
        "MATERIALIZED",
        "FAILED",
    }


def test_the_newest_materialization_is_the_same_as_in_stock(histories: Any) -> None:
    """The catalog's latest materialization is the last of the latest run, with its metadata."""

    def newest(name: str) -> list[Any]:
        _, instance, runs = histories[name]
        entries = [instance.get_latest_materialization_event(key) for key in (MESSAGES, HOURS)]
        records = instance.get_asset_records([MESSAGES, HOURS])
        last_runs = sorted(runs.index(record.asset_entry.last_run_id) for record in records)
        return [*((e.asset_materialization.partition, e.asset_materialization.metadata) for e in entries), last_runs]

    assert newest("stock") == newest("batched")
    assert newest("batched")[0][0] == "2024-03-12"


def test_the_index_points_at_the_events_that_it_names(histories: Any) -> None:
    """The event ids stored with tags and checks refer to the right events."""
    with sqlite3.connect(histories["batched"][0] / "history" / "index.db") as index:
        strays = index.execute(
            "SELECT count(*) FROM asset_event_tags t LEFT JOIN event_logs e ON e.id = t.event_id "
            "AND e.asset_key = t.asset_key AND e.dagster_event_type = 'ASSET_MATERIALIZATION' WHERE e.id IS NULL"
        ).fetchone()
        checks = index.execute(
            "SELECT count(*) FROM asset_check_executions c LEFT JOIN event_logs e ON e.id = "
            "c.evaluation_event_storage_id AND e.dagster_event_type LIKE 'ASSET_CHECK%' WHERE e.id IS NULL"
        ).fetchone()

    assert (strays, checks) == ((0,), (0,))


def test_checks_read_as_in_stock_and_take_a_fraction_of_the_space(histories: Any) -> None:
    """A planned check is stored once rather than once per partition; the check history is the same as with stock."""

    def executions(name: str) -> Counter[tuple[Any, ...]]:
        storage = histories[name][1].event_log_storage
        checks = [dg.AssetCheckKey(key, check) for key in (MESSAGES, HOURS) for check in CHECKS]
        found = [each for check in checks for each in storage.get_asset_check_execution_history(check, limit=1000)]
        judged = [each.evaluation.passed if each.status.value in ("SUCCEEDED", "FAILED") else None for each in found]
        return Counter((each.key, each.status, each.partition, told) for each, told in zip(found, judged, strict=True))

    sizes = [
        sum(
            len(event or "") * count
            for (event,), count in _rows(folder, "index", "asset_check_executions", "evaluation_event").items()
        )
        for folder, _, _ in (histories["stock"], histories["batched"])
    ]

    assert executions("stock") == executions("batched")
    assert {status.value for _, status, _, _ in executions("batched")} >= {"PLANNED", "SUCCEEDED", "FAILED"}
    assert sizes[1] < sizes[0] / 3


def test_add_metadata_equals_metadata_added_one_by_one() -> None:
    """`add_metadata` has the result of `add_asset_metadata` per partition, including common metadata."""

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def at_once(context: dg.AssetExecutionContext) -> None:
        context.add_asset_metadata({"calls": 3})
        add_metadata(context, {key: _metadata(key) for key in context.partition_keys})

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def one_by_one(context: dg.AssetExecutionContext) -> None:
        context.add_asset_metadata({"calls": 3})
        for key in context.partition_keys:
            context.add_asset_metadata(_metadata(key), partition_key=key)

    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/asset_partition_range_start": "2024-01-30", "dagster/asset_partition_range_end": "2024-02-02"}
        result = dg.materialize([at_once, one_by_one], instance=instance, tags=tags)
        made = {
            asset: {each.partition: each.metadata for each in result.asset_materializations_for_node(asset)}
            for asset in ("at_once", "one_by_one")
        }

    assert made["at_once"] == made["one_by_one"]
    assert set(made["at_once"]["2024-02-01"]) == {"calls", "rows", "state"}


class Untested(BatchedSqliteEventLogStorage):
    """The batched storage as if it had been tested only with another Dagster version."""

    tested_minor = "0.7"


def test_an_untested_dagster_draws_a_warning_and_behaves_like_stock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With an untested Dagster version one warning names both versions, and the storage behaves like stock."""
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)

    with open_instance(tmp_path, (__name__, "Untested")) as instance:
        first = run(instance, [MESSAGES], "2024-03-01", "2024-03-04", landed=2)
        statuses = instance.get_status_by_partition(MESSAGES, ["2024-03-02", "2024-03-03"], DAILY)
        logged = Counter(entry.get_dagster_event().event_type_value for entry in instance.all_logs(first))
    with open_instance(tmp_path, (__name__, "Untested")):
        pass

    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("wx_datacube")]
    assert len(warnings) == 1
    assert "0.7" in warnings[0]
    assert dg.__version__ in warnings[0]
    assert logged["ASSET_MATERIALIZATION"] == 2
    assert statuses is not None
    assert [each and each.value for each in statuses.values()] == ["MATERIALIZED", "FAILED"]


def test_the_file_of_a_run_is_small(histories: Any) -> None:
    """A run's file has pages of 1 KiB, and takes less than two thirds of stock's."""
    sizes, pages = {}, {}
    for name, (folder, _, (first, *_)) in histories.items():
        with closing(sqlite3.connect(folder / "history" / f"{first}.db")) as con:
            ((pages[name], count),) = con.execute(
                "SELECT page_size, page_count FROM pragma_page_size, pragma_page_count"
            )
            sizes[name] = pages[name] * count

    assert pages == {"batched": 1024, "stock": 4096}
    assert sizes["batched"] < sizes["stock"] * 2 / 3


class Refusing(BatchedSqliteEventLogStorage):
    """A storage that fails on the events of one partition when the batch is half written."""

    def _store_asset_event_tags(self, conn: Any, events: Sequence[dg.EventLogEntry], event_ids: Sequence[int]) -> None:
        if len(events) > 1 and any(e.get_dagster_event().partition == "2024-03-03" for e in events):
            raise OSError("disk full")
        super()._store_asset_event_tags(conn, events, event_ids)


def test_a_batch_that_fails_leaves_nothing_behind_and_is_stored_one_by_one(tmp_path: Path) -> None:
    """After a batch that failed midway, every event is stored exactly once."""
    with open_instance(tmp_path, (__name__, "Refusing")) as instance:
        whole = run(instance, [MESSAGES], "2024-03-01", "2024-03-05")
        part = run(instance, [MESSAGES], "2024-03-01", "2024-03-05", landed=4)

        for run_id, landed in ((whole, 5), (part, 4)):
            events = Counter(entry.get_dagster_event().event_type_value for entry in instance.all_logs(run_id))
            assert events["ASSET_MATERIALIZATION_PLANNED"] == 5
            assert events["ASSET_MATERIALIZATION"] == landed
    indexed = _rows(tmp_path, "index", "event_logs", "dagster_event_type")
    assert indexed[("ASSET_MATERIALIZATION",)] == 9


@pytest.mark.parametrize("fails", ["index", "run"])
def test_a_failed_commit_duplicates_no_event(fails: str, tmp_path: Path) -> None:
    """If the commit of the index or of the run's file fails, the batch's events are stored singly and only once."""
    refused = []

    def refuse(connection: sqlalchemy.engine.Connection) -> None:
        is_index = str(connection.engine.url).endswith("index.db")
        written = connection.execute(sqlalchemy.text("SELECT total_changes()")).scalar_one()
        if is_index == (fails == "index") and written > 4 and not refused:
            refused.append(written)
            raise OSError("the disk is full")

    with open_instance(tmp_path, BATCHED) as instance:
        run(instance, [MESSAGES], "2024-03-01", "2024-03-01")  # creates both databases
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "commit", refuse)
        try:
            again = run(instance, [MESSAGES], "2024-03-01", "2024-03-05")
        finally:
            sqlalchemy.event.remove(sqlalchemy.engine.Engine, "commit", refuse)
        events = Counter(entry.get_dagster_event().event_type_value for entry in instance.all_logs(again))

    indexed = _rows(tmp_path, "index", "event_logs", "dagster_event_type")
    assert refused
    assert (events["ASSET_MATERIALIZATION_PLANNED"], events["ASSET_MATERIALIZATION"]) == (5, 5)
    assert (indexed[("ASSET_MATERIALIZATION_PLANNED",)], indexed[("ASSET_MATERIALIZATION",)]) == (6, 6)


MOVED = """
import sys
import dagster as dg
import dagster._core.storage.event_log as package

del package.SqliteEventLogStorage
from wx_datacube.definitions import build_defs
from wx_datacube.orchestration.event_log import BatchedSqliteEventLogStorage

assert len(build_defs().resolve_asset_graph().get_all_asset_keys()) >= 7
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    assert type(instance.event_log_storage) is BatchedSqliteEventLogStorage
    assert dg.materialize([dg.asset(name="any")(lambda: None)], instance=instance).success
"""


def test_assets_load_if_dagster_moves_its_storage_class(tmp_path: Path) -> None:
    """If Dagster moves its storage class, our assets still load and a dagster.yaml with our class still works."""
    with open_instance(tmp_path, BATCHED):
        pass
    found = subprocess.run(
        [sys.executable, "-c", MOVED, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stderr[-2000:] if found.returncode else "") == (0, "")


def test_a_batch_that_fails_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """When a batch fails, stderr has one line about it and not every event."""
    with open_instance(tmp_path, BATCHED) as instance:
        run(instance, [MESSAGES], "2024-03-01", "2024-03-05")
        with closing(sqlite3.connect(tmp_path / "history" / "index.db")) as con:
            con.execute("DROP TABLE asset_event_tags")
            con.execute("DROP TABLE event_logs")
        with pytest.raises(sqlalchemy.exc.OperationalError):
            run(instance, [MESSAGES], "2024-03-06", "2024-03-08")

    said = capfd.readouterr().err
    assert "Exception while storing event batch: " in said
    assert "ASSET_MATERIALIZATION" not in said


def _one_of_several(folder: Path, month: int, ready: Connection) -> None:
    ready.send(month)
    ready.recv()
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        for _ in range(2):
            run_id = run(instance, [MESSAGES, HOURS], f"2024-{month:02}-01", f"2024-{month:02}-28")
            finished = instance.get_run_by_id(run_id)
            assert finished is not None
            assert finished.is_success


@pytest.mark.long
@pytest.mark.parametrize("folder_is", ["fresh", "existing"])
def test_several_processes_write_at_once(folder_is: str, tmp_path: Path) -> None:
    """Three processes that start simultaneously lose or duplicate no event, in a fresh or an existing folder."""
    open_instance(tmp_path, BATCHED).dispose()  # the run and schedule storages are stock, and race in a fresh folder
    if folder_is == "fresh":
        for database in (tmp_path / "history").glob("index.db*"):
            database.unlink()
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for month in range(1, 4):
        ours, theirs = context.Pipe()
        process = context.Process(target=_one_of_several, args=(tmp_path, month, theirs))
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("go")
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    expected = {
        (k.to_string(), f"2024-{m:02}-{d:02}"): 2 for k in (MESSAGES, HOURS) for m in range(1, 4) for d in range(1, 29)
    }
    made = _rows(
        tmp_path, "index", "event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'", "asset_key, partition"
    )
    assert made == expected


def test_a_long_range_costs_a_fraction_of_stock(histories: Any) -> None:
    """For 100 partitions, the batched storage makes less than a fifth of stock's commits."""
    commits: list[object] = []
    note = commits.append  # bound once: each access makes a new method object; `remove` needs the registered one
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "commit", note)
    try:
        first, last = "2024-06-01", (dt.date(2024, 6, 1) + dt.timedelta(99)).isoformat()
        with pytest.MonkeyPatch.context() as environment:
            run(histories["batched"][1], [MESSAGES], first, last)
            batched = len(commits)
            environment.delenv("DAGSTER_EVENT_BATCH_SIZE")
            run(histories["stock"][1], [MESSAGES], first, last)
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "commit", note)

    assert 0 < batched < (len(commits) - batched) / 5
