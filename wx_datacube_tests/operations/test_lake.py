"""The lake: what its files hold, when they are written again, and how other engines read them.

Each test that can runs over a folder and, marked `long`, over an S3 on this machine. Concurrent exports and readers are
in `test_lake_readers.py`.
"""

import datetime as dt
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

from wx_datacube.catalog.model import Family
from wx_datacube.config.settings import Lake, Secret
from wx_datacube.errors import LakeError, SettingsError
from wx_datacube.operations.lake.export import Exported, export_account
from wx_datacube.operations.lake.parquet import data_region, keeping
from wx_datacube.operations.lake.places import place_of, require_writable
from wx_datacube.operations.lake.views import VIEWS_FILE
from wx_datacube.warehouse.accounts import rename_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.schema import SCHEMA_VERSION
from wx_datacube_tests.disks import mounted
from wx_datacube_tests.s3 import S3, SECRET_KEY, serving_s3
from wx_datacube_tests.years import years

READABLE = {"BIGINT", "BOOLEAN", "DATE", "DATE[]", "DOUBLE", "INTEGER", "TIMESTAMP", "VARCHAR", "VARCHAR[]"}
"""The types that DuckDB, Polars and Spark read alike."""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """Provide an S3 on this machine."""
    with serving_s3() as running:
        yield running


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Provide a file of the account `shop` with all families; tests don't change it."""
    return years(tmp_path_factory.mktemp("figures"), start=dt.date(2026, 9, 1), families=tuple(Family))


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Provide a file of its own, with two weeks of messages."""
    return years(tmp_path, start=dt.date(2026, 11, 9))


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.long)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """Provide an empty lake: a folder, then a prefix of a bucket."""
    if request.param == "folder":
        return Lake(str(tmp_path / "a lake"))
    found: S3 = request.getfixturevalue("s3")
    return found.lake(f"company/{tmp_path.name}")


@pytest.fixture
def connect(lake: Lake, request: pytest.FixtureRequest) -> Callable[[], duckdb.DuckDBPyConnection]:
    """Return a function that connects DuckDB to the lake."""
    return request.getfixturevalue("s3").connect if lake.in_s3 else duckdb.connect  # type: ignore[no-any-return]


def rows_of(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return con.execute(sql).fetchall()


def relations(warehouse: Warehouse) -> list[tuple[str, str]]:
    """Return schema and name of every view and table with an account."""
    with warehouse.open_published() as con:
        return rows_of(
            con,
            "SELECT DISTINCT schema_name, table_name FROM duckdb_columns()"
            " WHERE column_name = 'account' AND NOT internal ORDER BY ALL",
        )


def store(warehouse: Warehouse, sql: str) -> None:
    """Change the figures, and publish."""
    with warehouse.transaction() as con:
        con.execute(sql)
    warehouse.publish()


def test_every_view_and_table_is_in_the_lake_under_its_name(
    figures: Warehouse, lake: Lake, connect: Callable[[], duckdb.DuckDBPyConnection]
) -> None:
    """By `lake.sql`, each relation has the rows, columns and types that it has in the DuckDB file."""
    done = export_account(figures, lake, "shop")

    with connect() as con, figures.open_published() as published:
        con.execute((place_of(lake).read(VIEWS_FILE) or b"").decode())
        for schema, name in relations(figures):
            source = f'{schema}."{name}"'
            assert rows_of(con, f"DESCRIBE {source}") == rows_of(published, f"DESCRIBE {source}")
            in_lake, in_file = (rows_of(each, f"FROM {source} ORDER BY ALL") for each in (con, published))
            assert in_lake == in_file, name
    assert len(done.written) == len(relations(figures))
    assert len(done.written) > 40


def test_the_contracts_query_works(
    figures: Warehouse, lake: Lake, connect: Callable[[], duckdb.DuckDBPyConnection]
) -> None:
    """The account comes from the path alone, and every file says in its footer up to which call it is."""
    done = export_account(figures, lake, "shop")

    with connect() as con, figures.open_published() as published:
        sums = "SELECT account, count(*), sum(messages), sum(users) FROM {} GROUP BY account"
        of_lake = f"read_parquet('{lake.url}/totals_daily/*/*.parquet', hive_partitioning = true)"
        assert rows_of(con, sums.format(of_lake)) == rows_of(published, sums.format("totals_daily"))
        for path in done.written:
            file = f"{lake.url}/{path}"
            columns = rows_of(con, f"DESCRIBE FROM read_parquet('{file}', hive_partitioning = false)")
            assert "account" not in [each[0] for each in columns]
            assert {each[1] for each in columns} <= READABLE, path
            note = rows_of(con, f"SELECT key::VARCHAR, value::VARCHAR FROM parquet_kv_metadata('{file}')")
            assert dict(note)["call_id"] == str(done.call_id) == "15"


def test_polars_reads_the_same_sums(figures: Warehouse, lake: Lake) -> None:
    """Polars reads every relation, with as many rows, and the same sums of its totals."""
    polars = pytest.importorskip("polars")
    done = export_account(figures, lake, "shop")
    options = {
        "aws_access_key_id": lake.key_id or "",
        "aws_secret_access_key": SECRET_KEY,
        "aws_region": "us-east-1",
        "aws_endpoint_url": lake.endpoint or "",
        "aws_allow_http": "true",
    }

    def scan(relation: str) -> Any:
        storage = {"storage_options": options} if lake.in_s3 else {}
        return polars.scan_parquet(f"{lake.url}/{relation}/*/*.parquet", hive_partitioning=True, **storage)

    for path, rows in done.written.items():
        assert scan(path.split("/")[0]).select(polars.len()).collect().item() == rows, path
    totals = scan("totals_daily").group_by("account").agg(polars.col("messages", "users").sum()).collect().rows()
    with figures.open_published() as con:
        assert totals == rows_of(con, "SELECT account, sum(messages), sum(users) FROM totals_daily GROUP BY account")


def test_only_what_has_changed_is_written(warehouse: Warehouse, lake: Lake) -> None:
    """A second export writes nothing. After a changed figure, it writes the table and the views that show it."""
    first = export_account(warehouse, lake, "shop")
    assert export_account(warehouse, lake, "shop") == Exported("shop", 7, {}, list(first.written))

    store(warehouse, "UPDATE datacube.getupstreammsg SET msg_count = msg_count + 1 WHERE ref_date = '2026-11-20'")
    second = export_account(warehouse, lake, "shop")

    names = {path.split("/")[0] for path in second.written}
    assert names == {"getupstreammsg", "messages_daily", "totals_daily"}
    assert sorted([*second.written, *second.unchanged]) == sorted(first.written)


def test_a_view_that_depends_on_the_day_is_written_without_a_call(warehouse: Warehouse, lake: Lake) -> None:
    """`coverage` changes with the settings of an account, without a call: it is written all the same."""
    export_account(warehouse, lake, "shop")
    store(warehouse, "UPDATE datacube.accounts SET start_date = '2026-11-16'")

    names = {path.split("/")[0] for path in export_account(warehouse, lake, "shop").written}

    assert names == {"accounts", "coverage"}


@pytest.mark.parametrize(
    "lost", ["file", pytest.param("note", marks=pytest.mark.long), pytest.param("both", marks=pytest.mark.long)]
)
def test_a_killed_export_is_made_up_for(lost: str, warehouse: Warehouse, lake: Lake) -> None:
    """Files that differ from the note are written again, and what a killed export left behind is deleted."""
    done = export_account(warehouse, lake, "shop")
    place, path = place_of(lake), "totals_daily/account=shop/totals_daily.parquet"
    whole = place.read(path) or b""
    if lost in ("file", "both"):
        place.write(path, b"PAR1 written by someone else")
        place.write("totals_daily/account=shop/.totals_daily.parquet.7.part", b"PAR1")
        place.write("totals_daily/account=shop/of_another_version.parquet", whole)
    if lost in ("note", "both"):
        place.delete("_exports/shop.json")
    place.write("totals_daily/account=other/totals_daily.parquet", b"of another machine")

    again = export_account(warehouse, lake, "shop")

    assert again.written.keys() == ({path} if lost == "file" else done.written.keys())
    assert place.tags("totals_daily/account=shop").keys() == {"totals_daily.parquet"}
    assert place.read("totals_daily/account=other/totals_daily.parquet") == b"of another machine"
    assert export_account(warehouse, lake, "shop").written == {}


def test_relations_without_rows_have_a_file_with_the_columns(
    warehouse: Warehouse, lake: Lake, connect: Callable[[], duckdb.DuckDBPyConnection]
) -> None:
    """A glob over files that aren't there is an error in DuckDB, so an empty relation has a file."""
    export_account(warehouse, lake, "shop")

    with connect() as con:
        assert rows_of(con, f"FROM read_parquet('{lake.url}/revisions/*/*.parquet', hive_partitioning = true)") == []


def test_the_ledger_has_a_file_per_year(warehouse: Warehouse, lake: Lake) -> None:
    """A new call changes the file of its year only, and the file of a year that has lost its calls is deleted."""
    new = "INSERT INTO datacube.api_calls BY NAME SELECT 8 AS call_id, 'shop' AS account, 'e' AS endpoint, {}"
    store(warehouse, new.format("TIMESTAMP '2025-12-31 23:59:59' AS requested_at"))
    export_account(warehouse, lake, "shop")
    store(warehouse, "UPDATE datacube.api_calls SET call_id = 9, requested_at = '2027-01-01' WHERE call_id = 8")

    done = export_account(warehouse, lake, "shop")

    names = {"api_calls_2026.parquet", "api_calls_2027.parquet"}
    assert place_of(lake).tags("api_calls/account=shop").keys() == names
    assert done.written == {"api_calls/account=shop/api_calls_2027.parquet": 1}


def test_a_reader_with_an_old_footer_finds_the_old_data(warehouse: Warehouse, tmp_path: Path) -> None:
    """Each file keeps the data of the one before where it was, and grows to three times its data at most."""
    lake = Lake(str(tmp_path / "lake"))
    path = tmp_path / "lake" / "getupstreammsghour" / "account=shop" / "getupstreammsghour.parquet"
    export_account(warehouse, lake, "shop")
    first, sizes = path.read_bytes(), []
    begin, end = data_region(first)
    for number in range(4):
        store(warehouse, f"UPDATE datacube.getupstreammsghour SET msg_count = {number} + hash(ref_date, ref_hour) % 99")
        export_account(warehouse, lake, "shop")
        sizes.append(path.stat().st_size)
        if not number:
            assert path.read_bytes()[begin:end] == first[begin:end]
            assert path.read_bytes()[end:] != first[end:]
        with warehouse.open_published() as con:
            assert rows_of(duckdb.connect(), f"SELECT sum(msg_count) FROM '{path}'") == rows_of(
                con, "SELECT sum(msg_count) FROM datacube.getupstreammsghour"
            )
    note = json.loads((tmp_path / "lake" / "_exports" / "shop.json").read_text())
    _, _, begin, end = note["getupstreammsghour/account=shop/getupstreammsghour.parquet"]
    assert max(sizes) < 3.5 * (end - begin) + 1000  # and the footer


def test_a_file_of_several_row_groups_can_be_moved(tmp_path: Path) -> None:
    """The footer of a file with many row groups, page types and Bloom filters is right at its new place."""
    con, old = duckdb.connect(), b"PAR1" + os.urandom(5000)
    con.execute(
        "COPY (SELECT i, (i % 7)::VARCHAR AS word, i / 3 AS fraction, [i, i + 1] AS listed, i % 2 = 0 AS even,"
        f" NULL::INTEGER AS nothing FROM range(50000) t(i)) TO '{tmp_path}/new.parquet' (ROW_GROUP_SIZE 2048)"
    )
    new = (tmp_path / "new.parquet").read_bytes()
    moved, (begin, end) = keeping(old, (4, len(old)), new)
    (tmp_path / "moved.parquet").write_bytes(moved)

    assert moved[4 : len(old)] == old[4:]
    assert moved[begin:end] == new[slice(*data_region(new))]
    rows = [rows_of(con, f"FROM '{tmp_path}/{name}.parquet' WHERE word >= '3'") for name in ("new", "moved")]
    assert rows[0] == rows[1]
    polars = pytest.importorskip("polars")
    assert polars.read_parquet(tmp_path / "moved.parquet").equals(polars.read_parquet(tmp_path / "new.parquet"))


def test_lake_sql_of_a_newer_version_stays(warehouse: Warehouse, lake: Lake) -> None:
    """Several machines write one lake, not always with the same version: `lake.sql` is the newest one's."""
    place = place_of(lake)
    for version, stays in ((SCHEMA_VERSION + 1, True), (SCHEMA_VERSION - 1, False)):
        text = f"-- Schema {version}: made elsewhere\n".encode()
        place.write(VIEWS_FILE, text)
        export_account(warehouse, lake, "shop")
        assert (place.read(VIEWS_FILE) == text) is stays


@pytest.mark.long
def test_a_renamed_account_has_files_under_both_names(warehouse: Warehouse, lake: Lake) -> None:
    """An export writes the files of its own account only: those of an old name stay."""
    export_account(warehouse, lake, "shop")
    before = place_of(lake).tags("totals_daily/account=shop")
    rename_account(warehouse, "shop", "market")

    assert len(export_account(warehouse, lake, "market").written) == len(relations(warehouse))
    assert place_of(lake).tags("totals_daily/account=shop") == before
    with pytest.raises(SettingsError, match="There is no account 'shop'"):
        export_account(warehouse, lake, "shop")


@pytest.mark.parametrize("page", ["how-to/lake.md", pytest.param("zh/lake.md", marks=pytest.mark.long)])
def test_the_pages_queries_run(
    page: str, figures: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every query of the page in SQL and Python that isn't marked runs over a lake in `data/lake`."""
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    found = re.findall(r"(<!-- not run[^\n]*-->\n)?```(sql|python)\n(.*?)```", text, re.DOTALL)
    queries = [(language, query) for mark, language, query in found if not mark]
    export_account(figures, Lake(str(tmp_path / "data" / "lake")), "shop")
    monkeypatch.chdir(tmp_path)

    assert [language for language, _ in queries] == ["sql", "sql", "python"]
    for language, query in queries:
        if language == "sql":
            assert duckdb.connect().execute(query).fetchall()
    pytest.importorskip("polars")
    exec(queries[-1][1], {})
    assert "shop" in capsys.readouterr().out


def test_no_file_holds_a_secret(warehouse: Warehouse, tmp_path: Path, s3: S3) -> None:
    """Neither the key of S3 nor anything else of the settings is in the lake."""
    lake = s3.lake(tmp_path.name)
    done = export_account(warehouse, lake, "shop")
    place = place_of(lake)

    for path in (*done.written, VIEWS_FILE, "_exports/shop.json"):
        data = place.read(path)
        assert data
        assert SECRET_KEY.encode() not in data
        assert b"AKIDEXAMPLE" not in data


def failing(lake: Lake, warehouse: Warehouse) -> LakeError | SettingsError:
    """Return the error of an export that fails; its text holds no secret."""
    with pytest.raises((LakeError, SettingsError)) as raised:
        export_account(warehouse, lake, "shop")
    for shown in (str(raised.value), repr(raised.value), repr(raised.value.__context__ and raised.value.__cause__)):
        assert SECRET_KEY not in shown
        assert "Debug source" not in shown
    assert isinstance(raised.value, LakeError | SettingsError)
    return raised.value


def test_an_s3_that_does_not_answer_is_a_lake_error(warehouse: Warehouse) -> None:
    """The message says what to check, and the export can be repeated."""
    error = failing(Lake("s3://lake", "AKID", Secret(SECRET_KEY), endpoint="http://127.0.0.1:1"), warehouse)

    assert str(error).startswith("The lake s3://lake can't be reached: S3 does not answer. Check AWS_ENDPOINT_URL")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "s3://nobody"}, "S3 refused s3://nobody: NoSuchBucket."),
        ({"secret": None}, "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set."),
    ],
)
def test_wrong_settings_of_s3_are_named(change: dict[str, Any], message: str, warehouse: Warehouse, s3: S3) -> None:
    """A missing bucket or key is an error of the settings."""
    error = failing(replace(s3.lake(), **change), warehouse)

    assert isinstance(error, SettingsError)
    assert message in str(error)


def test_refused_credentials_are_an_error_of_the_settings(warehouse: Warehouse, s3: S3) -> None:
    """If S3 refuses a key, the message names the variables."""
    reset = f"{s3.endpoint}/moto-api/reset-auth"
    requests.post(reset, data=b"0", timeout=10)  # from now on, moto checks signatures
    try:
        error = failing(s3.lake("refused"), warehouse)
    finally:
        requests.post(reset, data=b"inf", timeout=10)

    assert isinstance(error, SettingsError)
    assert "S3 refused s3://lake/refused: InvalidAccessKeyId. Check WX_DATACUBE_LAKE, AWS_ACCESS_KEY_ID" in str(error)


def test_a_lake_that_can_be_written_is_left_as_it_was(lake: Lake) -> None:
    """The check of `doctor` leaves no file."""
    require_writable(lake)

    assert place_of(lake).tags("_exports") == {}


def test_a_folder_that_cannot_be_written_is_a_lake_error(warehouse: Warehouse, tmp_path: Path) -> None:
    """A file in the way, or a full disk, is named."""
    (tmp_path / "lake").write_text("no folder")

    error = failing(Lake(str(tmp_path / "lake" / "below")), warehouse)

    assert isinstance(error, LakeError)
    assert f"{tmp_path}/lake can't be written: it must be a folder." in str(error)


def test_a_full_disk_leaves_whole_files(warehouse: Warehouse, tmp_path: Path) -> None:
    """On a full disk, the files in the lake stay whole, and half a file is deleted."""
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk") as disk:
        lake = Lake(str(disk.folder / "lake"))
        export_account(warehouse, lake, "shop")
        store(warehouse, "UPDATE datacube.getupstreammsghour SET msg_count = hash(ref_date, ref_hour, msg_type) % 99")
        disk.leave(2000)
        error = failing(lake, warehouse)
        for path in disk.folder.rglob("*.parquet"):
            duckdb.connect().execute(f"FROM '{path}'")
        left = [path for path in disk.folder.rglob("*") if path.name.endswith(".part")]
        disk.free()
        again = export_account(warehouse, lake, "shop")

    assert isinstance(error, LakeError)
    assert "No space left on device" in str(error)
    assert left == []
    assert any("getupstreammsghour" in path for path in again.written)
