"""Files: the writer's file, its published copy, how each is created from the other, and files that get in the way.

Add a test here when writing, publishing, reading, snapshots or the file's layout changes. Full disks and damaged files
are in `test_errors.py`, foreign files in `test_foreign.py`, locks in `test_locks.py`.
"""

import datetime as dt
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS, Period
from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.locks import locked
from wx_datacube.warehouse.schema import SCHEMA_VERSION, TABLES
from wx_datacube_tests.answers import MESSAGES, answered, day, row
from wx_datacube_tests.processes import HOLD, running
from wx_datacube_tests.rights import anybody, nobody_special

WRITER = "figures.writer.duckdb"
PUBLISHED = "figures.duckdb"


def store(warehouse: Warehouse, number: int = 4) -> None:
    """Commit a call with a row for that day."""
    with warehouse.writing() as con:
        store_calls(con, [answered(MESSAGES, day(number), None, row(day(number)))])


def days_in(warehouse: Warehouse) -> list[int]:
    """Return the days with rows in the published file."""
    with warehouse.reading() as con:
        return [
            date.day for (date,) in con.execute("SELECT ref_date FROM datacube.getupstreammsg ORDER BY 1").fetchall()
        ]


@pytest.fixture
def published(folder: Path) -> Warehouse:
    """Publish a warehouse with a row for the 4th and a timeout of half a second."""
    warehouse = Warehouse(folder / PUBLISHED, timeout=0.5)
    store(warehouse)
    warehouse.publish()
    return warehouse


# --- writing and publishing -------------------------------------------------------------------------------------


def test_the_first_use_makes_folder_and_files(warehouse: Warehouse) -> None:
    """Writing creates the folder and the writer's file; only publishing creates the published file beside it."""
    store(warehouse)
    assert warehouse.writer == warehouse.database.with_name(WRITER)
    assert (warehouse.writer.exists(), warehouse.database.exists()) == (True, False)

    warehouse.publish()
    assert days_in(warehouse) == [4]


def test_the_published_file_can_only_be_read(published: Warehouse) -> None:
    """The published file has mode 0444 after each publication."""
    for number in (5, 6):
        assert stat.S_IMODE(published.database.stat().st_mode) == 0o444
        store(published, number)
        published.publish()


def test_no_temporary_file_is_left(published: Warehouse) -> None:
    """Beside the two files there is only the folder of locks."""
    assert {path.name for path in published.database.parent.iterdir()} == {PUBLISHED, WRITER, "figures.locks"}


def test_nothing_new_is_not_published_again(published: Warehouse) -> None:
    """If nothing was written, publishing doesn't copy the file again."""
    before = published.database.stat()
    published.publish()
    with published.writing() as con:
        con.execute("SELECT 1")
    published.publish()
    assert published.database.stat().st_ino == before.st_ino

    store(published, 5)
    published.publish()
    assert published.database.stat().st_ino != before.st_ino


class Asking(Warehouse):
    """A warehouse that signals when it has read the note of the last publication."""

    def __init__(self, database: Path) -> None:
        super().__init__(database)
        self.asked = threading.Event()

    def _receipt(self) -> dict[str, Any]:
        found = super()._receipt()
        self.asked.set()
        return found


@pytest.mark.parametrize("mask", [0o027, 0o002, 0o077])
def test_a_writers_file_has_the_rights_of_a_new_file(published: Warehouse, mask: int) -> None:
    """A new writer's file, empty or copied from the published one, gets its mode from the umask."""
    before = os.umask(mask)
    try:
        published.writer.unlink()
        store(published, 5)
        alone = Warehouse(published.database.with_name("alone.duckdb"))
        store(alone)
    finally:
        os.umask(before)

    assert [stat.S_IMODE(each.writer.stat().st_mode) for each in (published, alone)] == [0o666 & ~mask] * 2


def test_what_gets_a_name_is_on_the_disk(published: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup, a publication and a new writer's file are synced to disk, with their folder."""
    synchronized: set[int] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synchronized.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    folder = published.database.parent.stat().st_ino
    for use in (lambda: published.back_up("test"), lambda: _changed(published), lambda: _lost(published)):
        synchronized.clear()
        made = use()
        assert {made.stat().st_ino, folder} <= synchronized


def _changed(warehouse: Warehouse) -> Path:
    """Publish a change; return the published file."""
    store(warehouse, 5)
    warehouse.publish()
    return warehouse.database


def _lost(warehouse: Warehouse) -> Path:
    """Create the writer's file again; return it."""
    warehouse.writer.unlink()
    store(warehouse, 6)
    return warehouse.writer


def test_of_those_who_wait_one_publishes_for_all(published: Warehouse) -> None:
    """A process that waited to publish does nothing if its calls have been published meanwhile."""
    store(published, 5)
    late = Asking(published.database)
    with ThreadPoolExecutor(1) as pool:
        with locked(published.database.parent / "figures.locks" / "publishing"):
            waiting = pool.submit(late.publish)
            assert late.asked.wait(30)
            published._publish(published.database.with_name(".copy"))
            store(published, 6)
        waiting.result()
    assert days_in(published) == [4, 5]

    published.publish()
    assert days_in(published) == [4, 5, 6]


class Interrupted(Warehouse):
    """A warehouse for which another process commits a day while the copy is verified."""

    def _require_whole(self, copy: Path) -> None:
        store(Warehouse(self.database, timeout=0.5), 6)
        super()._require_whole(copy)


def test_commits_wait_only_while_the_file_is_copied(published: Warehouse) -> None:
    """Commits don't wait while the copy is verified, which takes longest; they are published next."""
    store(published, 5)
    Interrupted(published.database).publish()
    assert days_in(published) == [4, 5]
    assert not published.is_published

    published.publish()
    assert days_in(published) == [4, 5, 6]


def test_an_error_rolls_everything_back(published: Warehouse) -> None:
    """An exception rolls the whole transaction back, and the next one works."""

    def fail_half_way() -> None:
        with published.writing() as con:
            store_calls(con, [answered(MESSAGES, day(5), None, row(day(5)))])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    store(published, 6)
    published.publish()

    assert days_in(published) == [4, 6]


def test_an_error_in_sql_rolls_everything_back(published: Warehouse) -> None:
    """An error of DuckDB rolls the whole transaction back."""

    def fail_half_way() -> None:
        with published.writing() as con:
            store_calls(con, [answered(MESSAGES, day(5), None, row(day(5)))])
            con.execute("SELECT 'x'::INTEGER")

    with pytest.raises(duckdb.ConversionException):
        fail_half_way()
    published.publish()

    assert days_in(published) == [4]


def test_before_the_first_publication_there_is_an_empty_warehouse(warehouse: Warehouse) -> None:
    """Before the first publication readers get empty tables and views, and no file is created."""
    with warehouse.reading() as con:
        assert con.execute("SELECT count(*) FROM datacube.coverage").fetchall() == [(0,)]

    assert not warehouse.database.parent.exists()


@pytest.mark.parametrize("name", ["it's; DROP TABLE x; --", 'a "b" c', "公众号 数据", "[1]*%s$HOME", "a.b.c", "#x&y=1"])
def test_a_path_may_hold_any_characters(tmp_path: Path, name: str) -> None:
    """Folders and files with any characters in their names work, and nothing is left beside them."""
    warehouse = Warehouse(tmp_path / name / f"{name}.duckdb", timeout=0.5)
    store(warehouse)
    left_over = warehouse.database.with_name(f".{warehouse.database.name}.1.publishing")
    left_over.write_bytes(b"half")
    warehouse.publish()
    warehouse.writer.unlink()
    store(warehouse, 5)
    warehouse.publish()

    assert days_in(warehouse) == [4, 5]
    found = {path.name for path in warehouse.database.parent.iterdir()}
    assert found == {f"{name}.duckdb", f"{name}.writer.duckdb", f"{name}.locks"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


# --- readers ----------------------------------------------------------------------------------------------------


def test_a_reader_keeps_what_it_opened(published: Warehouse) -> None:
    """An open connection sees the file as it was; a new one, after it is closed, sees the changes."""
    with duckdb.connect(str(published.database), read_only=True) as con:
        store(published, 5)
        published.publish()
        assert con.execute("SELECT count(*) FROM datacube.getupstreammsg").fetchall() == [(1,)]
    assert days_in(published) == [4, 5]


READ = """
import sys, time, duckdb
print("ready", flush=True)
seen, until = 0, time.monotonic() + 60
while seen < int(sys.argv[2]) and time.monotonic() < until:
    with duckdb.connect(sys.argv[1], read_only=True) as con:
        rows, shown, calls = con.execute(
            "SELECT (SELECT count(*) FROM datacube.getupstreammsg),"
            " (SELECT count(*) FROM datacube.label_answers WHERE shown > 0),"
            " (SELECT count(*) FROM datacube.api_calls)").fetchone()
    assert rows == shown == calls >= seen, (rows, shown, calls, seen)
    seen = calls
print("saw", seen, flush=True)
"""


def test_another_thread_that_looks_is_waited_for(tmp_path: Path) -> None:
    """Writing waits for a thread that still inspects the file.

    A thread checks whether files are ours before it holds a lock, and DuckDB opens a file in one mode at a time.
    """
    warehouse = Warehouse(tmp_path / "figures.duckdb", timeout=20)
    with warehouse.writing():
        pass
    looking = duckdb.connect(str(warehouse.writer), read_only=True)
    leaving = threading.Timer(0.5, looking.close)
    leaving.start()
    try:
        with warehouse.writing() as con:
            assert con.execute("SELECT count(*) FROM datacube.api_calls").fetchall() == [(0,)]
    finally:
        leaving.join()


def test_threads_may_begin_together(tmp_path: Path) -> None:
    """Four threads that start in an empty folder all commit."""
    warehouse, failures = Warehouse(tmp_path / "figures.duckdb", timeout=20), []
    together = threading.Barrier(4)

    def write(number: int) -> None:
        together.wait()
        try:
            with warehouse.writing() as con:
                con.execute(
                    "INSERT INTO datacube.accounts VALUES (?, NULL, '2024-01-01', '2024-01-01')", [f"a{number}"]
                )
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    with warehouse.writing() as con:
        assert con.execute("SELECT count(*) FROM datacube.accounts").fetchall() == [(4,)]


def test_readers_and_writer_never_meet(published: Warehouse) -> None:
    """Two processes read in a loop and a third keeps the file open, while this one commits and publishes."""
    with (
        running(READ, published.database, 10) as one,
        running(READ, published.database, 10) as other,
        running(HOLD.replace("sys.argv[1])", "sys.argv[1], read_only=True)"), published.database) as holder,
    ):
        for number in range(5, 14):
            store(published, number)
            published.publish()
        for process in (one, other):
            assert process.stdout is not None
            assert process.stdout.readline() == "saw 10\n"
        assert holder.poll() is None


def test_a_reader_needs_no_writer(published: Warehouse) -> None:
    """A copy of the published file alone can be opened anywhere, and has everything."""
    copy = published.database.parent.parent / "backup.duckdb"
    shutil.copy(published.database, copy)
    with duckdb.connect(str(copy), read_only=True) as con:
        assert con.execute("SELECT date, type, users, messages FROM messages_daily").fetchall() == [
            (day(4), "text", 1, 2)
        ]
        assert con.execute("SELECT count(*) FROM datacube.api_calls").fetchall() == [(1,)]


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
    """After a backup is put back and the writer's file deleted, later calls are gone and work goes on."""
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
        with pytest.raises(WarehouseError, match=r"holds 1 calls, the published .* 2\..*Delete .*writer"):
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
    with pytest.raises(WarehouseError, match="holds 1 calls"):
        published.publish()

    assert days_in(published) == [5, 6]


def test_a_writers_file_that_was_cut_off_is_never_published(published: Warehouse) -> None:
    """A truncated writer's file is not published; after its deletion work goes on."""
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
    with pytest.raises(WarehouseError, match=rf"{PUBLISHED} can't be read: .*delete it"), published.reading() as con:
        [con.execute(f"FROM datacube.{name}").fetchall() for name in (*TABLES, *BY_NAME)]
    published.publish()

    assert days_in(published) == [4]


@pytest.mark.parametrize("note", ["", "[]", "{", '{"files": {}, "calls": 0}', "\0"])
def test_a_note_of_the_last_publication_that_is_wrong_does_no_harm(published: Warehouse, note: str) -> None:
    """An invalid note of the last publication only costs another copy."""
    (published.database.parent / "figures.locks" / "published").write_text(note)
    store(published, 5)
    published.publish()

    assert days_in(published) == [4, 5]


def test_left_overs_of_killed_processes_are_swept_away(published: Warehouse) -> None:
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
    with published.reading() as con:
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
def test_whoever_writes_into_the_published_file_stops_no_run(
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
        with published.reading() as con:
            assert con.execute("SELECT count(*), max(call_id) FROM datacube.api_calls").fetchall() == [(2, 2)]
            assert con.execute("FROM duckdb_tables() WHERE table_name = 'intruder'").fetchall() == []
        assert days_in(published) == [4, 5]


HOLD_AND_WRITE_LATE = """
import sys, duckdb
con = duckdb.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
con.execute("INSERT INTO datacube.accounts VALUES ('ghost', NULL, NULL, NULL)")
print("written", flush=True)
sys.stdin.readline()
"""


def test_what_is_written_after_the_file_was_replaced_is_not_read(published: Warehouse) -> None:
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
        with published.reading() as con:
            assert con.execute("FROM datacube.accounts").fetchall() == []


def test_a_killed_writer_loses_only_what_it_had_not_committed(published: Warehouse) -> None:
    """A killed process loses only its open transaction, and the file opens at once."""
    statement = "BEGIN; INSERT INTO datacube.accounts VALUES ('ghost', NULL, NULL, NULL)"
    with running(HOLD, published.writer, statement) as process:
        process.kill()
        process.wait()
    with published.writing() as con:
        assert con.execute("FROM datacube.accounts").fetchall() == []


# --- others in the way ------------------------------------------------------------------------------------------


def test_a_holder_of_the_writers_file_is_named(published: Warehouse) -> None:
    """If another program has the writer's file open, the error names it after the timeout."""
    with running(HOLD, published.writer) as process:
        began = time.monotonic()
        with pytest.raises(WarehouseError, match=rf"Process {process.pid} .*kill {process.pid}"):
            store(published)
        assert time.monotonic() - began < 5
    store(published, 5)
    published.publish()

    assert days_in(published) == [4, 5]


LOCK = """
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
with Warehouse(Path(sys.argv[1])).writing():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_run_that_keeps_the_write_lock_is_named(published: Warehouse) -> None:
    """If a run of ours hangs in a transaction, the error names it after the timeout; its death frees the lock."""
    store(published, 6)
    with running(LOCK, published.database) as process:
        with pytest.raises(WarehouseError, match=rf"Process {process.pid} "):
            published.publish()
        process.kill()
        process.wait()
        published.publish()
        store(published, 5)


def test_runs_wait_for_each_other(published: Warehouse) -> None:
    """A lock that is held briefly is waited for, without an error."""
    patient = Warehouse(published.database, timeout=20)
    with running(LOCK, published.database) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.close()
        store(patient, 5)
    patient.publish()

    assert days_in(patient) == [4, 5]


def test_a_reader_of_a_file_that_is_being_written_is_told(published: Warehouse) -> None:
    """If another process has the published file open for writing, a reader's error names it."""
    published.database.chmod(0o644)
    with (
        running(HOLD, published.database) as process,
        pytest.raises(WarehouseError, match=f"Process {process.pid} has .* open for writing"),
        published.reading(),
    ):
        pass
    assert days_in(published) == [4]


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
    with warehouse.writing() as con:
        con.execute("UPDATE datacube.meta SET schema_version = schema_version + 1")
    warehouse.writer.replace(path)


@pytest.mark.parametrize("which", ["database", "writer"])
@pytest.mark.parametrize("make", [foreign_duckdb, similar_duckdb, no_duckdb, truncated, from_the_future])
def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path, make: type, which: str) -> None:
    """A foreign file in place of either of ours is an error for every use, and doesn't change."""
    warehouse = Warehouse(tmp_path / PUBLISHED, timeout=0.5)
    path: Path = getattr(warehouse, which)
    make(path)
    before = path.read_bytes()
    for use in (warehouse.writing, warehouse.reading):
        if use == warehouse.reading and which == "writer":
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
for use in (warehouse.reading, warehouse.writing):
    try:
        use().__enter__()
    except WarehouseError as error:
        print(error)
"""


def test_for_an_sqlite_file_nothing_is_downloaded(tmp_path: Path) -> None:
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
    for use in (warehouse.reading, warehouse.writing, warehouse.reading):
        with use() as con:
            assert con.execute(asked).fetchall() == [(False, False)]
        if use == warehouse.writing:
            warehouse.publish()


def test_a_newer_schema_is_refused_with_its_number(tmp_path: Path) -> None:
    """The error of a newer schema names the file's version and ours."""
    from_the_future(tmp_path / PUBLISHED)
    with (
        pytest.raises(WarehouseError, match=rf"schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}"),
        Warehouse(tmp_path / PUBLISHED).reading(),
    ):
        pass


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    """A folder in place of the file is an error, and stays."""
    (tmp_path / PUBLISHED).mkdir()
    warehouse = Warehouse(tmp_path / PUBLISHED)
    for use in (warehouse.writing, warehouse.reading):
        with pytest.raises(WarehouseError, match="WX_DATACUBE_DATABASE"), use():
            pass

    assert list((tmp_path / PUBLISHED).iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """If a part of the path is a file, the error names it."""
    (tmp_path / "file").write_text("")
    warehouse = Warehouse(tmp_path / "file" / "data" / PUBLISHED)
    for use in (lambda: store(warehouse), warehouse.publish, lambda: warehouse.fetching("a", "b", print).__enter__()):
        with pytest.raises(WarehouseError, match=r"/file can't be written: .*no folder.*Move that file away"):
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


# --- what is in the file ----------------------------------------------------------------------------------------


def test_everything_in_the_file_is_explained(published: Warehouse) -> None:
    """Every table, view and column has a comment."""
    with published.reading() as con:
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
    with published.reading() as con:
        tables = con.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
        views = con.execute("SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal").fetchall()

    assert {name for (name,) in tables} == {f"datacube.{name}" for name in (*TABLES, *BY_NAME)}
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
    " call_id BIGINT",
    "rejected_rows": "account VARCHAR, endpoint VARCHAR, call_id BIGINT, row JSON, reason VARCHAR",
    "accounts": "account VARCHAR, appid VARCHAR, start_date DATE, added_at TIMESTAMP",
    "messages_hourly": "account VARCHAR, date DATE, hour INTEGER, type VARCHAR, users BIGINT, messages BIGINT",
    "messages_weekly": "account VARCHAR, date DATE, type VARCHAR, users BIGINT, messages BIGINT",
    "senders_monthly": "account VARCHAR, date DATE, messages_sent VARCHAR, users BIGINT",
    "totals_daily": "account VARCHAR, date DATE, users BIGINT, messages BIGINT, messages_per_user DOUBLE",
}
"""The contract's columns, in order."""


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_those_of_the_contract(published: Warehouse, name: str) -> None:
    """Columns have the contract's names, types and order, as people's own SQL depends on them."""
    with published.reading() as con:
        found = con.execute(
            "SELECT column_name || ' ' || data_type FROM duckdb_columns() WHERE table_name = $name"
            " ORDER BY column_index",
            {"name": name},
        ).fetchall()

    assert ", ".join(column for (column,) in found) == COLUMNS[name]


def test_the_catalog_is_in_the_file(published: Warehouse) -> None:
    """`datacube.endpoints` describes each endpoint in both languages."""
    with published.reading() as con:
        found = con.execute("FROM datacube.endpoints").fetchall()

    assert found == [(each.name, each.period.value, each.max_span_days, each.en, each.zh) for each in ENDPOINTS]


def test_the_file_knows_its_version_and_age(tmp_path: Path) -> None:
    """`datacube.meta` has the schema version and the time of creation, by the given clock."""
    noon = dt.datetime(2026, 11, 24, 12)
    warehouse = Warehouse(tmp_path / PUBLISHED, clock=lambda: noon)
    warehouse.publish()
    with warehouse.reading() as con:
        assert con.execute("FROM datacube.meta").fetchall() == [(SCHEMA_VERSION, noon)]


def test_the_file_is_readable_from_duckdb_1_2_on(published: Warehouse) -> None:
    """Both files have storage version 1.2.0, and the published one has no WAL."""
    for path in (published.database, published.writer):
        with duckdb.connect(str(path), config={"access_mode": "READ_ONLY"}) as con:
            ((tags,),) = con.execute("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL").fetchall()
        assert tags["storage_version"].startswith("v1.2.0")
    assert not published.database.with_name(f"{PUBLISHED}.wal").exists()


# --- snapshots --------------------------------------------------------------------------------------------------


def calls_in(con: duckdb.DuckDBPyConnection) -> int:
    """Return how many calls a connection sees."""
    ((found,),) = con.execute("SELECT count(*) FROM datacube.api_calls").fetchall()
    return int(found)


def test_a_snapshot_is_the_published_file_where_that_is_current(published: Warehouse) -> None:
    """If the published file is current, a snapshot reads it without a lock."""
    with locked(published.database.parent / "figures.locks" / "write"), published.snapshot() as con:
        assert calls_in(con) == 1


def test_a_snapshot_has_what_was_committed_last_and_keeps_nobody_waiting(published: Warehouse) -> None:
    """A snapshot has the last commit, is read-only, and blocks no commit or publication.

    It doesn't see later commits, and leaves no file.
    """
    store(published, 5)
    before = sorted(published.database.parent.iterdir())
    with published.snapshot() as con:
        assert calls_in(con) == 2
        store(published, 6)
        published.publish()
        assert calls_in(con) == 2
        assert days_in(published) == [4, 5, 6]
        with pytest.raises(duckdb.Error, match="read-only"):
            con.execute("DELETE FROM datacube.api_calls")
    assert sorted(published.database.parent.iterdir()) == before


def test_snapshots_in_one_process_are_each_of_their_moment(published: Warehouse) -> None:
    """Each snapshot has the commits of its moment, though DuckDB shares a database between connections to a path."""
    store(published, 5)
    with published.snapshot() as one:
        store(published, 6)
        with published.snapshot() as other:
            assert (calls_in(one), calls_in(other)) == (2, 3)


def test_before_anything_is_published_a_snapshot_has_what_was_committed(warehouse: Warehouse) -> None:
    """Before the first publication a snapshot has the commits, or nothing if there is no file."""
    with warehouse.snapshot() as con:
        assert calls_in(con) == 0
    assert not warehouse.database.parent.exists()
    store(warehouse)
    with warehouse.snapshot() as con:
        assert calls_in(con) == 1
    assert not warehouse.database.exists()


SNAPSHOT = """
import sys
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
with Warehouse(Path(sys.argv[1])).snapshot():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_killed_snapshot_leaves_nothing_behind(published: Warehouse) -> None:
    """A snapshot's copy has no name while in use, and a partial copy of a killed process is deleted."""
    store(published, 5)
    before = sorted(published.database.parent.iterdir())
    with running(SNAPSHOT, published.database) as process:
        assert sorted(published.database.parent.iterdir()) == before
        process.kill()
        process.wait()
    half = published.database.with_name(f".{PUBLISHED}.0123.snapshot.part")
    half.write_bytes(b"half")
    published.publish()

    assert sorted(published.database.parent.iterdir()) == before
