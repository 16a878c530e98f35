"""Contents: the tables, views, columns and comments of a published file, and the versions of DuckDB that read it.

Add a test here when the contract of a table or view changes. What the views show is in `test_views.py`.
"""

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from wx_datacube.catalog.endpoints import ENDPOINTS, RELATIONS
from wx_datacube.catalog.model import Period
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.schema import SCHEMA_VERSION, TABLES
from wx_datacube_tests.warehouse.publishing import PUBLISHED


def test_everything_in_the_file_is_explained(published: Warehouse) -> None:
    """Every table, view and column has a comment."""
    with published.open_published() as con:
        found = con.execute(
            """
            SELECT table_name, comment FROM duckdb_tables() UNION ALL
            SELECT view_name, comment FROM duckdb_views() WHERE NOT internal UNION ALL
            SELECT table_name || '.' || column_name, comment FROM duckdb_columns() WHERE NOT internal
            """
        ).fetchall()

    assert [name for name, comment in found if not comment] == []
    assert len(found) > 150


def test_the_file_has_the_tables_and_views_of_the_contract(published: Warehouse) -> None:
    """The file has a table per endpoint, the ledger's tables, and the views for people."""
    people = {f"{kind}_{period.adverb}" for kind in ("messages", "senders", "totals") for period in Period}
    people |= {"followers_daily", "followers_total", "reads_daily", "reads_by_source_daily", "articles"}
    people |= {"article_days", "interface_daily", "interface_hourly"}
    tables_of_endpoints = [relation.name for relation in RELATIONS]
    with published.open_published() as con:
        tables = con.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
        views = con.execute("SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal").fetchall()

    assert {name for (name,) in tables} == {f"datacube.{name}" for name in (*TABLES, *tables_of_endpoints)}
    assert {name for (name,) in views} == {"datacube.coverage", "main.messages_hourly"} | {
        f"main.{name}" for name in people
    }


COLUMNS = {
    "getupstreammsg": "account VARCHAR, ref_date DATE, msg_type INTEGER, user_source INTEGER, msg_user BIGINT,"
    " msg_count BIGINT, call_id BIGINT",
    "getupstreammsghour": "account VARCHAR, ref_date DATE, ref_hour INTEGER, msg_type INTEGER, user_source INTEGER,"
    " msg_user BIGINT, msg_count BIGINT, call_id BIGINT",
    "getupstreammsgdistweek": "account VARCHAR, ref_date DATE, count_interval INTEGER, user_source INTEGER,"
    " msg_user BIGINT, call_id BIGINT",
    "coverage": "account VARCHAR, endpoint VARCHAR, label DATE, state VARCHAR, rows BIGINT, fetched_at TIMESTAMP,"
    " call_id BIGINT, final BOOLEAN",
    "rejected_rows": "account VARCHAR, endpoint VARCHAR, call_id BIGINT, row JSON, reason VARCHAR, path VARCHAR",
    "accounts": "account VARCHAR, appid VARCHAR, start_date DATE, added_at TIMESTAMP, families VARCHAR[]",
    "revisions": "account VARCHAR, endpoint VARCHAR, ref_date DATE, ref_hour INTEGER, msg_type INTEGER,"
    " count_interval INTEGER, field VARCHAR, old BIGINT, new BIGINT, seen_at TIMESTAMP, old_call_id BIGINT,"
    " new_call_id BIGINT, relation VARCHAR, user_source INTEGER, msgid VARCHAR, stat_date DATE, scene_desc VARCHAR,"
    " position INTEGER, old_rate DOUBLE, new_rate DOUBLE, old_text VARCHAR, new_text VARCHAR",
    "metrics": "metric VARCHAR, view VARCHAR, expression VARCHAR, unit VARCHAR, additive VARCHAR, description VARCHAR,"
    " description_zh VARCHAR",
    "messages_hourly": "account VARCHAR, date DATE, hour INTEGER, type VARCHAR, users BIGINT, messages BIGINT",
    "messages_weekly": "account VARCHAR, date DATE, type VARCHAR, users BIGINT, messages BIGINT",
    "senders_monthly": "account VARCHAR, date DATE, messages_sent VARCHAR, users BIGINT",
    "totals_daily": "account VARCHAR, date DATE, users BIGINT, messages BIGINT, messages_per_user DOUBLE",
}
"""The contract's columns, in order."""


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_those_of_the_contract(published: Warehouse, name: str) -> None:
    """Columns have the contract's names, types and order, as people's own SQL depends on them."""
    with published.open_published() as con:
        found = con.execute(
            "SELECT column_name || ' ' || data_type FROM duckdb_columns() WHERE table_name = $name"
            " ORDER BY column_index",
            {"name": name},
        ).fetchall()

    assert ", ".join(column for (column,) in found) == COLUMNS[name]


def test_the_catalog_is_in_the_file(published: Warehouse) -> None:
    """`datacube.endpoints` describes each endpoint in both languages."""
    with published.open_published() as con:
        found = con.execute("FROM datacube.endpoints").fetchall()

    assert found == [
        (*(each.name, each.period.value, each.max_span_days, each.en, each.zh), each.family, each.first_day)
        for each in ENDPOINTS
    ]


def test_meta_has_the_schema_version_and_the_time_of_creation(tmp_path: Path) -> None:
    """`datacube.meta` has the schema version and the time of creation, by the given clock."""
    noon = dt.datetime(2026, 11, 24, 12)
    warehouse = Warehouse(tmp_path / PUBLISHED, clock=lambda: noon)
    warehouse.publish()
    with warehouse.open_published() as con:
        assert con.execute("FROM datacube.meta").fetchall() == [(SCHEMA_VERSION, noon)]


def test_the_file_is_readable_from_duckdb_1_2_on(published: Warehouse) -> None:
    """Both files have storage version 1.2.0, and the published one has no WAL."""
    for path in (published.database, published.writer):
        with duckdb.connect(str(path), config={"access_mode": "READ_ONLY"}) as con:
            ((tags,),) = con.execute("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL").fetchall()
        assert tags["storage_version"].startswith("v1.2.0")
    assert not published.database.with_name(f"{PUBLISHED}.wal").exists()
