"""Files: the writer's file, its published copy, readers and snapshots of them, and processes that get in the way.

Add a test here when writing, publishing, reading or snapshots change. Lost, restored and foreign files are in
`test_lost_files.py` and `test_foreign.py`, full disks and damaged files in `test_errors.py`, the tables and views of a
file in `test_contents.py`, locks in `test_locks.py`.
"""

import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.locks import locked
from wx_datacube_tests.answers import MESSAGES, answered, day, row
from wx_datacube_tests.processes import HOLD, running
from wx_datacube_tests.warehouse.publishing import PUBLISHED, WRITER, days_in, store

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


def test_an_unchanged_file_is_not_published_again(published: Warehouse) -> None:
    """If nothing was written, publishing doesn't copy the file again."""
    before = published.database.stat()
    published.publish()
    with published.transaction() as con:
        con.execute("SELECT 1")
    published.publish()
    assert published.database.stat().st_ino == before.st_ino

    store(published, 5)
    published.publish()
    assert published.database.stat().st_ino != before.st_ino


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


def test_files_are_on_the_disk_before_they_get_a_name(published: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
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


class Hooked(Warehouse):
    """A warehouse that calls `hook` when its publication holds the lock, before it looks whether it is needed."""

    def __init__(self, database: Path, hook: Callable[[], object]) -> None:
        super().__init__(database)
        self.hook, self.asked = hook, threading.Event()

    def _lock(self, name: str) -> Path:  # private: a publication calls nothing public before it waits for the lock
        self.asked.set()
        return super()._lock(name)

    @property
    def is_published(self) -> bool:
        """Call `hook`, then answer."""
        self.hook()
        return super().is_published


def test_one_waiting_process_publishes_for_all(published: Warehouse) -> None:
    """A process that waited to publish does nothing if its calls have been published meanwhile."""
    store(published, 5)
    late = Hooked(published.database, lambda: store(published, 6))
    waiting = threading.Thread(target=late.publish)
    Hooked(published.database, lambda: (waiting.start(), late.asked.wait(30))).publish()
    waiting.join()
    assert days_in(published) == [4, 5]

    published.publish()
    assert days_in(published) == [4, 5, 6]


class Interrupted(Warehouse):
    """A warehouse for which another process commits a day while the copy is verified."""

    def _require_undamaged(self, copy: Path) -> None:  # private: nothing public is called meanwhile
        store(Warehouse(self.database, timeout=0.5), 6)
        super()._require_undamaged(copy)


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
        with published.transaction() as con:
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
        with published.transaction() as con:
            store_calls(con, [answered(MESSAGES, day(5), None, row(day(5)))])
            con.execute("SELECT 'x'::INTEGER")

    with pytest.raises(duckdb.ConversionException):
        fail_half_way()
    published.publish()

    assert days_in(published) == [4]


def test_before_the_first_publication_there_is_an_empty_warehouse(warehouse: Warehouse) -> None:
    """Before the first publication readers get empty tables and views, and no file is created."""
    with warehouse.open_published() as con:
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


def test_writing_waits_for_a_thread_that_inspects_the_file(tmp_path: Path) -> None:
    """Writing waits for a thread that still inspects the file.

    A thread checks whether files are ours before it holds a lock, and DuckDB opens a file in one mode at a time.
    """
    warehouse = Warehouse(tmp_path / "figures.duckdb", timeout=20)
    with warehouse.transaction():
        pass
    looking = duckdb.connect(str(warehouse.writer), read_only=True)
    leaving = threading.Timer(0.5, looking.close)
    leaving.start()
    try:
        with warehouse.transaction() as con:
            assert con.execute("SELECT count(*) FROM datacube.api_calls").fetchall() == [(0,)]
    finally:
        leaving.join()


def test_threads_can_start_together_in_an_empty_folder(tmp_path: Path) -> None:
    """Four threads that start in an empty folder all commit."""
    warehouse, failures = Warehouse(tmp_path / "figures.duckdb", timeout=20), []
    together = threading.Barrier(4)

    def write(number: int) -> None:
        together.wait()
        try:
            with warehouse.transaction() as con:
                con.execute(
                    "INSERT INTO datacube.accounts VALUES (?, NULL, '2024-01-01', '2024-01-01', ['messages'])",
                    [f"a{number}"],
                )
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    with warehouse.transaction() as con:
        assert con.execute("SELECT count(*) FROM datacube.accounts").fetchall() == [(4,)]


def test_readers_and_writers_do_not_disturb_each_other(published: Warehouse) -> None:
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


def test_a_reader_needs_only_the_published_file(published: Warehouse) -> None:
    """A copy of the published file alone can be opened anywhere, and has everything."""
    copy = published.database.parent.parent / "backup.duckdb"
    shutil.copy(published.database, copy)
    with duckdb.connect(str(copy), read_only=True) as con:
        assert con.execute("SELECT date, type, users, messages FROM messages_daily").fetchall() == [
            (day(4), "text", 1, 2)
        ]
        assert con.execute("SELECT count(*) FROM datacube.api_calls").fetchall() == [(1,)]


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
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
with Warehouse(Path(sys.argv[1])).transaction():
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


def test_a_reader_of_a_file_open_for_writing_gets_an_error(published: Warehouse) -> None:
    """If another process has the published file open for writing, a reader's error names it."""
    published.database.chmod(0o644)
    with (
        running(HOLD, published.database) as process,
        pytest.raises(WarehouseError, match=f"Process {process.pid} has .* open for writing"),
        published.open_published(),
    ):
        pass
    assert days_in(published) == [4]


# --- snapshots --------------------------------------------------------------------------------------------------


def calls_in(con: duckdb.DuckDBPyConnection) -> int:
    """Return how many calls a connection sees."""
    ((found,),) = con.execute("SELECT count(*) FROM datacube.api_calls").fetchall()
    return int(found)


def test_a_snapshot_is_the_published_file_if_that_is_current(published: Warehouse) -> None:
    """If the published file is current, a snapshot reads it without a lock."""
    with locked(published.database.parent / "figures.locks" / "write"), published.snapshot() as con:
        assert calls_in(con) == 1


def test_a_snapshot_has_the_last_commit_and_blocks_no_process(published: Warehouse) -> None:
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


def test_each_snapshot_has_the_commits_of_its_moment(published: Warehouse) -> None:
    """Each snapshot has the commits of its moment, though DuckDB shares a database between connections to a path."""
    store(published, 5)
    with published.snapshot() as one:
        store(published, 6)
        with published.snapshot() as other:
            assert (calls_in(one), calls_in(other)) == (2, 3)


def test_a_snapshot_before_the_first_publication_has_the_commits(warehouse: Warehouse) -> None:
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
