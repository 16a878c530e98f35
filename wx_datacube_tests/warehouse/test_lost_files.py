"""Lost files: how each of the two files is made from the other, and files that aren't ours in their place.

Add a test here when a file may be missing, cut off, restored, emptier than the other one, or of another program. WALs,
links and other content of foreign programs are in `test_foreign.py`, full disks and damage in `test_errors.py`.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.schema import SCHEMA_VERSION, TABLES
from wx_datacube_tests.processes import HOLD, running
from wx_datacube_tests.rights import anybody, nobody_special
from wx_datacube_tests.warehouse.publishing import PUBLISHED, WRITER, days_in, store

# --- lost, emptied, restored ------------------------------------------------------------------------------------


def test_a_lost_writers_file_is_made_from_the_published_one(published: Warehouse) -> None:
    """A lost writer's file is created from the published one, even if its old WAL is left over."""
    published.writer.unlink()
    published.writer.with_name(f"{WRITER}.wal").write_bytes(b"left over")
    store(published, 5)
    published.publish()

    assert days_in(published) == [4, 5]


def test_a_lost_published_file_is_made_from_the_writers(published: Warehouse) -> None:
    """A lost published file is created by the next publication, even without new calls."""
    published.database.unlink()
    published.publish()

    assert days_in(published) == [4]


def test_a_backup_is_restored(published: Warehouse) -> None:
    """After a backup is put back and the writer's file deleted, later calls are gone and work continues."""
    backup = published.database.read_bytes()
    store(published, 5)
    published.publish()
    published.database.unlink()
    published.database.write_bytes(backup)
    published.writer.unlink()
    store(published, 6)
    published.publish()

    assert days_in(published) == [4, 6]


def test_an_emptier_file_never_replaces_a_fuller_one(published: Warehouse) -> None:
    """A writer's file from an old backup is refused, both files stay unchanged, and the advice works."""
    old = published.writer.read_bytes()
    store(published, 5)
    published.publish()
    published.writer.unlink()
    published.writer.write_bytes(old)
    kept = published.database.read_bytes()
    for use in (published.publish, lambda: store(published, 6)):
        with pytest.raises(WarehouseError, match=r"has 1 calls, but the published .* has 2\..*Delete .*writer"):
            use()
    assert published.database.read_bytes() == kept

    published.writer.unlink()
    store(published, 6)
    published.publish()
    assert days_in(published) == [4, 5, 6]


def test_a_fuller_published_file_from_elsewhere_is_not_replaced(published: Warehouse, tmp_path: Path) -> None:
    """A published file with more calls than the writer's is not replaced."""
    fuller = Warehouse(tmp_path / "other" / PUBLISHED)
    for number in (5, 6):
        store(fuller, number)
    fuller.publish()
    fuller.database.replace(published.database)
    with pytest.raises(WarehouseError, match="has 1 calls"):
        published.publish()

    assert days_in(published) == [5, 6]


def test_a_writers_file_that_was_cut_off_is_never_published(published: Warehouse) -> None:
    """A truncated writer's file is not published; after its deletion work continues."""
    for number in range(5, 9):
        store(published, number)
    os.truncate(published.writer, published.writer.stat().st_size // 2)
    kept = published.database.read_bytes()
    with pytest.raises(WarehouseError, match=rf"{WRITER} is damaged.*Delete .*{WRITER}"):
        published.publish()
    assert published.database.read_bytes() == kept

    published.writer.unlink()
    store(published, 9)
    published.publish()
    assert days_in(published) == [4, 9]


def test_a_published_file_that_was_cut_off_is_an_error_for_readers(published: Warehouse) -> None:
    """Reading a truncated published file raises an error with advice; the next publication replaces it."""
    os.truncate(published.database, published.database.stat().st_size // 2)
    with (
        pytest.raises(WarehouseError, match=rf"{PUBLISHED} can't be read: .*delete it"),
        published.open_published() as con,
    ):
        [con.execute(f"FROM datacube.{name}").fetchall() for name in (*TABLES, *BY_NAME)]
    published.publish()

    assert days_in(published) == [4]


@pytest.mark.parametrize("note", ["", "[]", "{", '{"files": {}, "calls": 0}', "\0"])
def test_an_invalid_receipt_only_costs_another_copy(published: Warehouse, note: str) -> None:
    """An invalid receipt of the last publication only costs another copy."""
    (published.database.parent / "figures.locks" / "published").write_text(note)
    store(published, 5)
    published.publish()

    assert days_in(published) == [4, 5]


def test_leftovers_of_killed_processes_are_deleted(published: Warehouse) -> None:
    """Partial copies, files and backups, and DuckDB's spilled files, of any process, are deleted."""
    folder = published.database.parent
    left = [folder / f".{PUBLISHED}.1.publishing", folder / f".{WRITER}.1.making", folder / f"{WRITER}.schema-1.part"]
    spilled = [folder / f"{WRITER}.tmp" / "storage-0.tmp", folder / f".{PUBLISHED}.1.publishing.tmp/1"]
    for path in left + spilled:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    store(published, 5)
    published.publish()

    assert [path for path in left + [path.parent for path in spilled] if path.exists()] == []


def test_a_foreign_programs_changes_are_never_published(published: Warehouse) -> None:
    """A WAL that a killed foreign program left beside the published file is deleted, not published.

    Root can open the published file for writing, whatever its mode.
    """
    statement = "CREATE TABLE intruder AS SELECT 1; INSERT INTO datacube.meta SELECT 1, NULL"
    published.database.chmod(0o644)
    with running(HOLD, published.database, statement) as process:
        process.kill()
        process.wait()
    wal = published.database.with_name(f"{PUBLISHED}.wal")
    assert wal.exists()
    store(published, 5)
    published.publish()

    assert not wal.exists()
    assert days_in(published) == [4, 5]
    with published.open_published() as con:
        assert con.execute("FROM duckdb_tables() WHERE table_name = 'intruder'").fetchall() == []
        assert con.execute("SELECT count(*) FROM datacube.meta").fetchall() == [(1,)]


CHANGES = {
    "nothing": "SELECT 1",
    "a table": "CREATE TABLE intruder AS SELECT 1",
    "figures": "DELETE FROM datacube.getupstreammsg",
    "calls": "INSERT INTO datacube.api_calls (call_id) VALUES (1_000_000)",
    "everything": "DROP SCHEMA datacube CASCADE",
}


@pytest.mark.parametrize("saved", ["", "; CHECKPOINT"], ids=["", "saved"])
@pytest.mark.parametrize("killed", [False, True], ids=["held", "killed"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_foreign_write_to_the_published_file_stops_no_run(
    published: Warehouse, change: str, killed: bool, saved: str
) -> None:
    """Whatever a foreign program does to the published file, a run replaces it and readers get ours.

    The program may still hold the file or be dead, and its change may be in the file or in the WAL.
    """
    published.database.chmod(0o644)
    with running(HOLD, published.database, CHANGES[change] + saved) as process:
        if killed:
            process.kill()
            process.wait()
        store(published, 5)
        published.publish()
        with published.open_published() as con:
            assert con.execute("SELECT count(*), max(call_id) FROM datacube.api_calls").fetchall() == [(2, 2)]
            assert con.execute("FROM duckdb_tables() WHERE table_name = 'intruder'").fetchall() == []
        assert days_in(published) == [4, 5]


HOLD_AND_WRITE_LATE = """
import sys, duckdb
con = duckdb.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
con.execute("INSERT INTO datacube.accounts (account) VALUES ('ghost')")
print("written", flush=True)
sys.stdin.readline()
"""


def test_a_wal_written_for_the_replaced_file_is_ignored(published: Warehouse) -> None:
    """A WAL written for the replaced file is ignored; DuckDB would replay it onto the new file beside it."""
    published.database.chmod(0o644)
    with running(HOLD_AND_WRITE_LATE, published.database) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        store(published, 5)
        published.publish()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "written\n"
        assert published.database.with_name(f"{PUBLISHED}.wal").exists()
        with published.open_published() as con:
            assert con.execute("FROM datacube.accounts").fetchall() == []


def test_a_killed_writer_loses_only_what_it_had_not_committed(published: Warehouse) -> None:
    """A killed process loses only its open transaction, and the file opens at once."""
    statement = "BEGIN; INSERT INTO datacube.accounts (account) VALUES ('ghost')"
    with running(HOLD, published.writer, statement) as process:
        process.kill()
        process.wait()
    with published.transaction() as con:
        assert con.execute("FROM datacube.accounts").fetchall() == []


# --- files that are not ours ------------------------------------------------------------------------------------


def foreign_duckdb(path: Path) -> None:
    """Create a foreign DuckDB file."""
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE mine AS SELECT 1 AS a")


def similar_duckdb(path: Path) -> None:
    """Create a foreign DuckDB file that happens to have a table datacube.meta."""
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE SCHEMA datacube; CREATE TABLE datacube.meta AS SELECT 1 AS a")


def no_duckdb(path: Path) -> None:
    """Create a file that is no database."""
    path.write_text("quarterly figures\n" * 1000)


def truncated(path: Path) -> None:
    """Create a truncated database."""
    foreign_duckdb(path)
    os.truncate(path, 5000)


def from_the_future(path: Path) -> None:
    """Create a warehouse of a newer schema version."""
    warehouse = Warehouse(path.with_name("future.duckdb"))
    with warehouse.transaction() as con:
        con.execute("UPDATE datacube.meta SET schema_version = schema_version + 1")
    warehouse.writer.replace(path)


@pytest.mark.parametrize("which", ["database", "writer"])
@pytest.mark.parametrize("make", [foreign_duckdb, similar_duckdb, no_duckdb, truncated, from_the_future])
def test_a_foreign_file_is_refused_and_unchanged(tmp_path: Path, make: type, which: str) -> None:
    """A foreign file in place of either of ours is an error for every use, and doesn't change."""
    warehouse = Warehouse(tmp_path / PUBLISHED, timeout=0.5)
    path: Path = getattr(warehouse, which)
    make(path)
    before = path.read_bytes()
    for use in (warehouse.transaction, warehouse.open_published):
        if use == warehouse.open_published and which == "writer":
            continue
        with pytest.raises(WarehouseError) as caught, use():
            pass
        assert str(path) in str(caught.value)
        assert "WX_DATACUBE_DATABASE" in str(caught.value) or "Upgrade wx_datacube" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(WarehouseError):
        warehouse.publish()

    assert path.read_bytes() == before
    assert [other.name for other in tmp_path.iterdir() if other.is_file() and not other.name.startswith("future")] == [
        path.name
    ]


SQLITE = """
import sys
from pathlib import Path
from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.files import Warehouse
warehouse = Warehouse(Path(sys.argv[1]))
for use in (warehouse.open_published, warehouse.transaction):
    try:
        use().__enter__()
    except WarehouseError as error:
        print(error)
"""


def test_an_sqlite_file_causes_no_download(tmp_path: Path) -> None:
    """An SQLite file is reported as no DuckDB file; DuckDB downloads no extension for it into the home folder."""
    home, database = tmp_path / "home", tmp_path / PUBLISHED
    home.mkdir()
    with closing(sqlite3.connect(database)) as con:
        con.execute("CREATE TABLE mine (a)")
        con.commit()
    environ = {**os.environ, "HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", SQLITE, str(database)], env=environ, capture_output=True, text=True)

    said = f"{database} is not a DuckDB file. Move it away, or set WX_DATACUBE_DATABASE to another path"
    assert [line.startswith(said) for line in done.stdout.splitlines()] == [True, True]
    assert list(home.iterdir()) == []


def test_no_connection_loads_extensions_by_itself(warehouse: Warehouse) -> None:
    """Neither writers nor readers load extensions automatically, before and after the first publication."""
    asked = "SELECT current_setting('autoinstall_known_extensions'), current_setting('autoload_known_extensions')"
    for use in (warehouse.open_published, warehouse.transaction, warehouse.open_published):
        with use() as con:
            assert con.execute(asked).fetchall() == [(False, False)]
        if use == warehouse.transaction:
            warehouse.publish()


def test_a_newer_schema_is_refused_with_its_number(tmp_path: Path) -> None:
    """The error of a newer schema names the file's version and ours."""
    from_the_future(tmp_path / PUBLISHED)
    with (
        pytest.raises(WarehouseError, match=rf"schema {SCHEMA_VERSION + 1}; .* supports up to {SCHEMA_VERSION}"),
        Warehouse(tmp_path / PUBLISHED).open_published(),
    ):
        pass


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    """A folder in place of the file is an error, and stays."""
    (tmp_path / PUBLISHED).mkdir()
    warehouse = Warehouse(tmp_path / PUBLISHED)
    for use in (warehouse.transaction, warehouse.open_published):
        with pytest.raises(WarehouseError, match="WX_DATACUBE_DATABASE"), use():
            pass

    assert list((tmp_path / PUBLISHED).iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """If a part of the path is a file, the error names it."""
    (tmp_path / "file").write_text("")
    warehouse = Warehouse(tmp_path / "file" / "data" / PUBLISHED)
    for use in (lambda: store(warehouse), warehouse.publish, lambda: warehouse.fetching("a", "b", print).__enter__()):
        with pytest.raises(WarehouseError, match=r"/file can't be written: it must be a folder. Move that file away"):
            use()

    assert (tmp_path / "file").read_text() == ""


def test_a_folder_that_is_read_only_is_an_error(published: Warehouse) -> None:
    """In a read-only folder writing is an error, but the published file can be read."""
    with anybody() as folder:
        warehouse = Warehouse(folder / published.database.name)
        shutil.copyfile(published.database, warehouse.database)
        folder.chmod(0o555)
        nobody_special()
        with pytest.raises(WarehouseError, match=f"{folder} can't be written: Permission denied"):
            store(warehouse, 5)
        assert days_in(warehouse) == [4]
