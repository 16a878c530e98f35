"""The event log on PostgreSQL compared with the stock one, on a server of these tests; broken connections; its speed.

Add a test here when `orchestration.postgres` overrides another method of Dagster's. What both databases have in common
is tested in `test_event_log`, without a server.
"""

import multiprocessing
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster_postgres import PostgresEventLogStorage

from wx_datacube.errors import WarehouseError
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.postgres import BatchedPostgresEventLogStorage, BatchedPostgresStorage
from wx_datacube_tests.orchestration.test_event_log import (
    CHECKS,
    DAILY,
    HOURS,
    MESSAGES,
    TABLES,
    _one_of_several,
    _told,
    live_through,
    run,
)
from wx_datacube_tests.postgres import DATABASE, PASSWORD, USER, Server, server_of_tests

STOCK = ("dagster_postgres", "DagsterPostgresStorage")
OURS = (BatchedPostgresStorage.__module__, BatchedPostgresStorage.__name__)
DAGSTER_YAML = """
storage: {{custom: {{module: {module}, class: {cls}, config: {{postgres_db: {{scheme: postgresql+psycopg2,
  hostname: 127.0.0.1, port: {port}, username: {user}, password: {password}, db_name: {database}}}}}}}}}
telemetry: {{enabled: false}}
"""
MADE = "SELECT count(*), count(DISTINCT (asset_key, partition)) FROM event_logs WHERE dagster_event_type = '{}'"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a PostgreSQL server for these tests."""
    with server_of_tests() as running:
        running.query("CREATE DATABASE stock")
        yield running


def configure(folder: Path, server: Server, storage: tuple[str, str], **changes: str) -> None:
    """Write a `dagster.yaml` that names `storage`."""
    settings = {"user": USER, "password": PASSWORD, "database": DATABASE} | changes
    text = DAGSTER_YAML.format(module=storage[0], cls=storage[1], port=server.port, **settings)
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")


def open_instance(folder: Path, server: Server, storage: tuple[str, str], **changes: str) -> dg.DagsterInstance:
    """Open an instance in `folder` whose dagster.yaml names `storage`."""
    configure(folder, server, storage, **changes)
    return dg.DagsterInstance.from_config(str(folder))


@pytest.fixture
def instance(server: Server, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Provide an instance with our storage and nothing in it."""
    with open_instance(tmp_path, server, OURS) as opened:
        opened.event_log_storage.wipe()
        yield opened


@pytest.fixture(scope="module")
def histories(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[dg.DagsterInstance, list[str], dict[str, Counter[str]]]]]:
    """Provide the same history, written by the stock storage and by ours, with the rows of each table."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
        lived = {}
        for name, storage, database in (("stock", STOCK, "stock"), ("batched", OURS, DATABASE)):
            opened = open_instance(tmp_path_factory.mktemp(name), server, storage, database=database)
            runs = live_through(opened)
            rows = {
                table: Counter(server.query(f"SELECT {columns} FROM {table}", database).splitlines())
                for table, columns in TABLES.items()
            }
            lived[name] = (opened, runs, rows)
        yield lived
        for opened, _, _ in lived.values():
            opened.dispose()


@pytest.mark.long
@pytest.mark.parametrize("table", TABLES)
def test_every_table_holds_the_same_rows_as_stock(table: str, histories: Any) -> None:
    """Every table that events are written to has the same rows as with stock."""
    stock, batched = (histories[name][2][table] for name in ("stock", "batched"))

    assert stock == batched
    assert sum(stock.values()) > 0


@pytest.mark.long
def test_each_run_and_each_partition_reads_the_same(histories: Any) -> None:
    """Each run's log, the status of each partition, the newest materialization and each check read as with stock."""

    def read(name: str) -> list[Any]:
        instance, runs, _ = histories[name]
        checks = [dg.AssetCheckKey(key, check) for key in (MESSAGES, HOURS) for check in CHECKS]
        executions = [
            (found.key, found.status, found.partition)
            for check in checks
            for found in instance.event_log_storage.get_asset_check_execution_history(check, limit=1000)
        ]
        return [
            [_told(entry) for each in runs for entry in instance.all_logs(each)],
            [instance.get_status_by_partition(key, DAILY.get_partition_keys(), DAILY) for key in (MESSAGES, HOURS)],
            [instance.get_latest_materialization_event(k).asset_materialization.metadata for k in (MESSAGES, HOURS)],
            sorted(runs.index(each.asset_entry.last_run_id) for each in instance.get_asset_records([MESSAGES, HOURS])),
            Counter(executions),
        ]

    assert read("stock") == read("batched")


@pytest.mark.long
def test_tags_and_checks_point_at_the_events_that_they_name(histories: Any, server: Server) -> None:
    """The event ids stored with tags and checks refer to the right events."""
    for name, database in (("stock", "stock"), ("batched", DATABASE)):
        assert histories[name]
        strays = (
            "SELECT (SELECT count(*) FROM asset_event_tags t LEFT JOIN event_logs e ON e.id = t.event_id AND"
            " e.asset_key = t.asset_key AND e.dagster_event_type = 'ASSET_MATERIALIZATION' AND e.timestamp ="
            " t.event_timestamp WHERE e.id IS NULL), (SELECT count(*) FROM asset_check_executions c LEFT JOIN"
            " event_logs e ON e.id = c.evaluation_event_storage_id AND e.run_id = c.run_id AND e.dagster_event_type"
            " LIKE 'ASSET_CHECK%' WHERE e.id IS NULL)"
        )
        assert server.query(strays, database) == "0|0"


@pytest.mark.long
def test_a_long_range_takes_no_more_statements_than_a_short_one(instance: dg.DagsterInstance) -> None:
    """A run over 100 partitions makes as many statements as one over 10, over the connection that is open already."""
    run(instance, [MESSAGES], "2024-01-01", "2024-01-02")
    statements: list[str] = []
    connections: list[object] = []

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    def connected(*arguments: Any) -> None:
        connections.append(arguments)

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", note)
    sqlalchemy.event.listen(sqlalchemy.pool.Pool, "connect", connected)
    try:
        run(instance, [MESSAGES], "2024-03-01", "2024-03-10")
        short = len(statements)
        run(instance, [MESSAGES], "2024-03-01", "2024-06-08")
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "before_cursor_execute", note)
        sqlalchemy.event.remove(sqlalchemy.pool.Pool, "connect", connected)

    assert 0 < short < 300
    assert len(statements) - short <= short + 5
    assert len(connections) <= 1  # one that had become too old


def _succeeded(instance: dg.DagsterInstance, run_id: str) -> bool:
    found = instance.get_run_by_id(run_id)
    return found is not None and found.is_success


class Breaking(BatchedPostgresEventLogStorage):
    """An event log whose connection breaks in the middle of a batch, once."""

    broken = False

    def _store_asset_event(self, conn: Any, event: dg.EventLogEntry, event_id: int) -> None:
        if self._thread.open is not None and not type(self).broken:
            type(self).broken = True
            _break(conn)
        super()._store_asset_event(conn, event, event_id)


class BreakingStorage(BatchedPostgresStorage):
    """A storage with that event log."""

    event_log_class = Breaking


def _break(connection: sqlalchemy.engine.Connection) -> None:
    """Let the server end a connection."""
    (pid,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
    with connection.engine.connect() as other:
        other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")


@pytest.mark.long
def test_a_connection_that_breaks_in_a_batch_costs_no_event(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """If the connection breaks in the middle of a batch, each event is stored once, and stderr has one line of it."""
    with open_instance(tmp_path, server, (__name__, "BreakingStorage")) as instance:
        instance.event_log_storage.wipe()
        finished = run(instance, [MESSAGES], "2024-03-01", "2024-03-05")
        part = run(instance, [MESSAGES], "2024-03-01", "2024-03-05", landed=4)
        assert [_succeeded(instance, each) for each in (finished, part)] == [True, False]

    assert Breaking.broken
    assert server.query(MADE.format("ASSET_MATERIALIZATION_PLANNED")) == "10|5"
    assert server.query(MADE.format("ASSET_MATERIALIZATION")) == "9|5"
    said = capfd.readouterr().err
    assert "Exception while storing event batch: " in said
    assert "INSERT" not in said


@pytest.mark.long
@pytest.mark.parametrize("breaks", ["before", "after"])
def test_a_connection_that_breaks_in_a_commit_neither_loses_nor_doubles_events(
    breaks: str, instance: dg.DagsterInstance, server: Server
) -> None:
    """If the connection breaks before or after the server committed a batch, each of its events is stored once."""
    broken = []

    def commit(connection: sqlalchemy.engine.Connection) -> None:
        if instance.event_log_storage._thread.open is None and not broken:
            broken.append(connection)
            if breaks == "after":
                connection.connection.dbapi_connection.commit()
            _break(connection)
            lost = sqlalchemy.exc.OperationalError("COMMIT", {}, Exception("the answer was lost"))
            if breaks == "after":  # otherwise psycopg2 notices it
                raise lost

    sqlalchemy.event.listen(instance.event_log_storage._engine, "commit", commit)
    finished = run(instance, [MESSAGES], "2024-03-01", "2024-03-05")

    assert broken
    assert _succeeded(instance, finished)
    assert server.query(MADE.format("ASSET_MATERIALIZATION_PLANNED")) == "5|5"
    assert server.query(MADE.format("ASSET_MATERIALIZATION")) == "5|5"


@pytest.mark.long
def test_a_server_that_restarts_between_two_events_ends_no_run(instance: dg.DagsterInstance, server: Server) -> None:
    """If PostgreSQL is restarted while an asset works, its run succeeds: a kept connection is tested before its use."""

    @dg.asset
    def works() -> None:
        server.restart()

    result = dg.materialize([works], instance=instance)

    assert result.success
    assert _succeeded(instance, result.run_id)
    assert server.query(MADE.format("ASSET_MATERIALIZATION")) == "1|1"


@pytest.mark.long
def test_two_processes_write_at_once_on_postgres(instance: dg.DagsterInstance, server: Server, tmp_path: Path) -> None:
    """Two processes that write to the same assets lose or duplicate no event."""
    context = multiprocessing.get_context("spawn")
    started = []
    for month in (1, 2):
        ours, theirs = context.Pipe()
        process = context.Process(target=_one_of_several, args=(tmp_path, month, theirs))
        process.start()
        started.append((ours, process))
    for ours, _ in started:
        ours.recv()
    for ours, _ in started:
        ours.send("go")
    for _, process in started:
        process.join(120)

    assert [process.exitcode for _, process in started] == [0, 0]
    assert server.query(MADE.format("ASSET_MATERIALIZATION")) == "224|112"


@pytest.mark.long
def test_a_process_with_the_stock_storage_may_share_the_database(
    instance: dg.DagsterInstance, server: Server, tmp_path: Path
) -> None:
    """Another process may use Dagster's own storage on the same database; each reads what the other wrote."""
    ours = run(instance, [MESSAGES], "2024-03-01", "2024-03-02")
    with open_instance(tmp_path, server, STOCK) as stock:
        theirs = run(stock, [MESSAGES], "2024-03-02", "2024-03-03")
        read = [
            [_told(entry) for run_id in (ours, theirs) for entry in each.all_logs(run_id)] for each in (instance, stock)
        ]
        made = [sorted(each.get_materialized_partitions(MESSAGES)) for each in (instance, stock)]

    assert read[0] == read[1]
    assert made == [["2024-03-01", "2024-03-02", "2024-03-03"]] * 2


class Untested(BatchedPostgresStorage):
    """The storage as if it had been tested only with another Dagster version."""

    tested_minor = "0.7"


@pytest.mark.long
def test_an_untested_dagster_gets_the_stock_storage_on_postgres(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With an untested Dagster version, the storage is stock, keeps no connection, and one warning says so."""
    with open_instance(tmp_path, server, (__name__, "Untested")) as instance:
        assert type(instance.event_log_storage) is PostgresEventLogStorage
        for storage in (instance.event_log_storage, instance.run_storage):
            assert isinstance(storage._engine.pool, sqlalchemy.pool.NullPool)

    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("wx_datacube")]
    assert len(warnings) == 1
    assert "0.7" in warnings[0]


@pytest.mark.long
def test_a_server_that_refuses_us_is_an_error_in_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If PostgreSQL refuses the password, or can't be reached, the error says so in one line, without the password."""
    monkeypatch.chdir(tmp_path)
    configure(tmp_path, server, OURS, password="a wrong one")

    with pytest.raises(WarehouseError) as error, project_instance(tmp_path):
        pass

    assert "password authentication failed" in str(error.value)
    assert "a wrong one" not in str(error.value)


WITHOUT_THE_DRIVER = """
import sys
sys.modules["dagster_postgres"] = None
import wx_datacube.definitions, wx_datacube.orchestration.event_log
from wx_datacube.errors import SettingsError
try:
    import wx_datacube.orchestration.postgres
except SettingsError as error:
    print(error)
"""


def test_without_the_extra_only_postgres_is_missing_and_the_error_names_it() -> None:
    """Without dagster-postgres everything else loads, and the error of dagster.yaml's class names the extra."""
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_DRIVER], capture_output=True, text=True, check=True, env=dict(os.environ)
    )

    assert re.search(r"dagster_postgres.*\[postgres\]", found.stdout)
