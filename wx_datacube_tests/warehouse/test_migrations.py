"""Migrations: a file of each older version, made by its own statements, is migrated and holds the same figures.

`schema_1.sql` is what version 1 created. When `SCHEMA_VERSION` grows, add the statements of the version before it.
"""

import json
from pathlib import Path

import duckdb
import pytest

from wx_datacube.config.settings import Account
from wx_datacube.warehouse.coverage import State, states
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import replay, store_calls
from wx_datacube.warehouse.migrate import version_of
from wx_datacube.warehouse.receipt import file_state
from wx_datacube.warehouse.schema import SCHEMA_VERSION
from wx_datacube_tests.answers import (
    HOURS,
    LATER,
    MESSAGES,
    SENDERS,
    WEEKS,
    answered,
    day,
    everything,
    hour_row,
    row,
    rows_of,
    senders_row,
)

VERSION_1 = Path(__file__).with_name("schema_1.sql").read_text()
CALLS = [
    answered(MESSAGES, day(3), day(5), row(day(3)), row(day(5), 2, 9)),
    answered(MESSAGES, day(3), day(5), row(day(3), 4, 8), refresh=True, asked=[day(3)]),
    answered(HOURS, day(3), None, hour_row(day(3)), hour_row(day(3), 25)),
    answered(SENDERS, day(3), None, senders_row(day(3))),
    answered(WEEKS, day(2), day(9), row(day(2)), row("2014-11-01")),
    answered(MESSAGES, day(6), errcode=45009, response='{"errcode":45009}'),
]
"""Calls with figures, an empty day, a revision, rejected rows and an error."""


@pytest.fixture
def old(tmp_path: Path) -> Warehouse:
    """Provide a published file of version 1 with figures, as that version would have stored them, and no writer's file.

    The rows are those of the present version without the columns that version 1 lacked.
    """
    warehouse = Warehouse(tmp_path / "figures.duckdb", clock=lambda: LATER)
    made = Warehouse(tmp_path / "now.duckdb")
    with made.transaction() as con:
        store_calls(con, CALLS)
    with duckdb.connect(str(warehouse.database), config={"storage_compatibility_version": "v1.2.0"}) as con:
        con.execute(VERSION_1)
        con.execute("INSERT INTO datacube.meta VALUES (1, $now)", {"now": LATER})
        con.execute("INSERT INTO datacube.accounts VALUES ('shop', 'wx01', '2026-11-01', $now)", {"now": LATER})
        con.execute(f"ATTACH '{made.writer}' AS new (READ_ONLY)")
        tables = con.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name <> 'new' AND table_name NOT IN"
            " ('meta', 'accounts', 'endpoints')"
        ).fetchall()
        for (name,) in tables:
            columns = ", ".join(
                f'"{column}"'
                for (column,) in con.execute(
                    "SELECT column_name FROM duckdb_columns() WHERE database_name <> 'new' AND table_name = $name"
                    " ORDER BY column_index",
                    {"name": name},
                ).fetchall()
            )
            con.execute(f"INSERT INTO datacube.{name} SELECT {columns} FROM new.datacube.{name}")
        con.execute("DETACH new")
    warehouse.database.chmod(0o444)
    return warehouse


def test_the_first_reader_migrates_a_file_of_version_1(old: Warehouse) -> None:
    """Whoever opens it first migrates it, keeps a copy, and finds all figures, states and revisions as they were."""
    with duckdb.connect(str(old.database), read_only=True) as con:
        figures = rows_of(con, "FROM totals_daily ORDER BY ALL")
        before = {name: rows_of(con, f"FROM datacube.{name} ORDER BY ALL") for name in ("api_calls", "getupstreammsg")}

    with old.open_published() as con:
        assert version_of(con) == SCHEMA_VERSION
        assert rows_of(con, "FROM totals_daily ORDER BY ALL") == figures != []
        assert {name: rows_of(con, f"FROM datacube.{name} ORDER BY ALL") for name in before} == before
        assert rows_of(con, "SELECT DISTINCT relation FROM datacube.revisions") == [("getupstreammsg",)]
        assert rows_of(con, "SELECT families FROM datacube.accounts") == [(["messages"],)]
        found = states(con, Account("shop", start=day(3)), LATER)["getupstreammsg"]
        assert [found[day(number)] for number in (3, 4, 5)] == [State.LANDED, State.EMPTY, State.LANDED]
    backup = old.writer.with_name(f"{old.writer.name}.schema-1")
    with duckdb.connect(str(backup), read_only=True) as con:
        assert version_of(con) == 1


def test_a_file_that_was_published_last_is_migrated_too(old: Warehouse) -> None:
    """The usual case of an upgrade: both files are there, and the receipt says that the published one is current."""
    with old.open_published():
        pass
    for path in (old.writer, old.database):
        mode = path.stat().st_mode
        path.chmod(0o644)
        with duckdb.connect(str(path)) as con:
            con.execute("UPDATE datacube.meta SET schema_version = 1")
        path.chmod(mode)
    receipt = old.database.with_name(f"{old.database.stem}.locks") / "published"
    noted = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(noted | {"files": file_state(old.writer) | file_state(old.database)}))
    again = Warehouse(old.database, clock=lambda: LATER, migrations={1: ()})
    assert again.is_published

    with again.open_published() as con:
        assert version_of(con) == SCHEMA_VERSION


def test_a_migrated_file_equals_one_that_is_replayed(old: Warehouse) -> None:
    """After the migration, replay changes nothing: the new columns have the values that loading gives them."""
    with old.open_published():
        pass
    with old.transaction() as con:
        migrated = everything(con)
        replay(con)
        assert everything(con) == migrated


def test_a_migrated_file_has_everything_that_a_new_one_has(old: Warehouse, tmp_path: Path) -> None:
    """Tables, views, columns, their order and comments, the catalog and the dictionary equal those of a new file."""
    new = Warehouse(tmp_path / "new.duckdb", clock=lambda: LATER)
    new.publish()
    asked = (
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal ORDER BY ALL",
        "SELECT table_name, comment FROM duckdb_tables() ORDER BY ALL",
        "SELECT view_name, comment, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
        "FROM datacube.endpoints ORDER BY ALL",
        "FROM datacube.metrics ORDER BY ALL",
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() WHERE NOT internal"
        " GROUP BY ALL ORDER BY ALL",
    )
    with old.open_published() as migrated, new.open_published() as made:
        for sql in asked:
            assert rows_of(migrated, sql) == rows_of(made, sql)
