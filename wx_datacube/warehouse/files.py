"""Files: the writer's DuckDB file, the published one, and the only place that connects to them.

DuckDB lets either one writer or many readers into a file. So runs write `<name>.writer.duckdb`, holding it for one
short transaction at a time, and publish copies of it, which readers may keep open for as long as they like. What is
in the files is the business of `schema`, `load` and `coverage`.
"""

import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.copies import copy_file, made_at, onto_disk, open_new, read_all, read_changed
from wx_datacube.warehouse.errors import (
    damaged_database,
    damaged_writer,
    holder,
    is_damage,
    is_file_fault,
    silent,
    unopenable,
    unwritable,
)
from wx_datacube.warehouse.ledger import last_call
from wx_datacube.warehouse.locks import ProcessSemaphore, Wait, is_held, locked
from wx_datacube.warehouse.migrate import (
    MIGRATIONS,
    Migrations,
    backup_of,
    migrate,
    older,
    require_steps,
    version_of,
)
from wx_datacube.warehouse.schema import SCHEMA_VERSION, create_statements, quoted

_Config = dict[str, str | bool | int | float | list[str]]

# Of an SQLite file in the place of ours, DuckDB would download an extension, by plain http. What we use, JSON and
# Parquet, is built in.
_ALONE: _Config = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
# Readable from DuckDB 1.2 on; v1.0.0 would store the ledger's bodies twelve times as large.
# One thread: a second one makes no load faster, doubles its memory, and takes its core from whoever fetches.
_STORAGE = "v1.2.0"
_WRITE: _Config = {**_ALONE, "storage_compatibility_version": _STORAGE, "threads": 1}
READ_ONLY: _Config = {**_ALONE, "access_mode": "READ_ONLY"}
"""How the published file is opened, whoever reads it."""
_READABLE = 0o444
_ROOM = 4 * 1024 * 1024
"""Bytes that must be free before anything is asked: some seconds of answers, with what DuckDB writes besides."""
_PUBLISHING = 10
"""So many times as long as for a transaction one waits for another who publishes: it grows with the file."""
_SILENT = 2
"""A process that fetches may work for hours. It is waited for until it has been silent for this many times as long."""

Connection = duckdb.DuckDBPyConnection


class Warehouse:
    """The DuckDB files of one database: `database` is the published one, `writer` the one that runs write.

    `timeout` is how many seconds to wait for another process that holds the writer's file.
    """

    def __init__(
        self,
        database: Path,
        *,
        clock: Clock = beijing_now,
        timeout: float = 60.0,
        migrations: Migrations = MIGRATIONS,
    ) -> None:
        self.database = database
        self.writer = database.with_name(f"{database.stem}.writer.duckdb")
        self.clock = clock
        self._timeout = timeout
        self._migrations = migrations
        self._locks = database.with_name(f"{database.stem}.locks")

    def __repr__(self) -> str:
        return f"Warehouse({str(self.database)!r})"

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction on the writer's file: committed at the end, rolled back on an error, closed on every path."""
        with ExitStack() as stack:
            stack.enter_context(_interruptions_as_they_are())
            with self._explained():
                stack.enter_context(self._write_lock())
                con = stack.enter_context(self._open_writer())
            con.begin()
            try:
                yield con
            except BaseException as error:
                # After some errors DuckDB has rolled back by itself and refuses to do it again.
                with suppress(duckdb.Error):
                    con.rollback()
                if isinstance(error, duckdb.Error) and is_file_fault(error):
                    raise self._at_fault(error) from None
                raise
            with self._explained():
                con.commit()

    def looking(self) -> AbstractContextManager[Connection]:
        """What runs go by: the writer's file, or where there is none, what readers see. Makes no file."""
        return self.writing() if self.writer.exists() else self.reading()

    @contextmanager
    def remaking(self) -> Iterator[Connection]:
        """A connection to the writer's file, `old`, and to an empty one, `new`, which takes its place in the end.

        It does so whole and in one step; on an error, or after a kill, the old one stays.
        """
        making = self._new_writer()
        with _interruptions_as_they_are(), self._explained(), self._write_lock():
            with self._open_writer() as con:
                con.execute("CHECKPOINT")
            try:
                with duckdb.connect(config={**_ALONE, "threads": 1, "temp_directory": f"{making}.tmp"}) as con:
                    con.execute(f"ATTACH {quoted(self.writer)} AS old (READ_ONLY)")
                    con.execute(f"ATTACH {quoted(making)} AS new (STORAGE_VERSION '{_STORAGE}')")
                    yield con
                    con.execute("CHECKPOINT new")
                shutil.copymode(self.writer, making)
                self._put_writer(making)
            finally:
                for left_over in (making, _wal(making)):
                    left_over.unlink(missing_ok=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The published file, read-only; an empty warehouse in memory where nothing has been published yet."""
        if self.database.exists():
            # A published file has no WAL of its own. DuckDB would replay one that a foreign program wrote.
            with suppress(OSError):  # this user may only read
                if _wal(self.database).exists() and self._is_noted(self.database):
                    self._put_aside(_wal(self.database))
            with self._published() as (con, version):
                if version < SCHEMA_VERSION:
                    raise older(self.database, version)
                yield con
        else:
            with duckdb.connect(config=_ALONE) as con:
                _create(con, self.clock, comments=False)  # which take longer than all else, and nobody sees them
                yield con

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A read-only connection to what was committed last; no lock is held while it is used."""
        with self.snapshot_and_published() as (con, published):
            if isinstance(published, Connection):
                published.close()  # as long as it is open, DuckDB shows this process no newer file
            yield con

    @contextmanager
    def snapshot_and_published(self) -> Iterator[tuple[Connection, Connection | WarehouseError | None]]:
        """A snapshot, and the published file as it was at that moment, or why it can't be read.

        None in its place says that the published file itself is the snapshot: it is current.
        """
        published: Connection | WarehouseError | None = None
        with ExitStack() as stack:
            stack.enter_context(_interruptions_as_they_are())
            if self._is_current:
                con = stack.enter_context(self.reading())
            else:
                with self._explained(), self._write_lock():
                    if self._is_current:  # somebody published while this waited
                        con = stack.enter_context(self.reading())
                    else:
                        con = stack.enter_context(self._copy_of_writer())
                        try:
                            published = stack.enter_context(self.reading())
                        except WarehouseError as error:
                            published = error
            yield con, published

    @property
    def _is_current(self) -> bool:
        """Whether the published file has everything that was committed."""
        return self.is_published or not self.writer.exists()

    def _copy_of_writer(self) -> Connection:
        """Open a copy of the writer's file, whose name is gone at once, so that a kill leaves nothing behind."""
        copy = self.database.with_name(f".{self.database.name}.{uuid4().hex}.snapshot")
        with self._open_writer() as con:
            con.execute("CHECKPOINT")
        try:
            copy_file(self.writer, copy, _READABLE)
            return self._connected(copy, {**READ_ONLY, "temp_directory": ""})
        finally:
            copy.unlink(missing_ok=True)

    @contextmanager
    def _published(self) -> Iterator[tuple[Connection, int]]:
        """The published file and its version, which may be an older one."""
        with _interruptions_as_they_are():
            try:
                with self._connected(self.database, READ_ONLY) as con:
                    yield con, _require_ours(con, self.database)
            except duckdb.Error as error:
                if not is_file_fault(error):
                    raise
                if process := holder(error):
                    raise WarehouseError(
                        f"Process {process} has {self.database} open for writing.",
                        advice="So nothing can be read from it. If it is the file that wx_datacube publishes, let that"
                        " process open it read-only. If it is a file of something else, set WX_DATACUBE_DATABASE to"
                        " another one.",
                    ) from None
                raise damaged_database(self.writer, self.database, error) from None

    def require_room(self) -> None:
        """Raise `WarehouseError` where nothing more can be written, before a call is paid for and lost."""
        with self._explained():
            self.database.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.database.parent) as file:  # by trying: quotas and rights show nowhere
                file.write(bytes(_ROOM))

    @contextmanager
    def fetching(self, account: str, endpoint: str, waiting: Callable[[str], None]) -> Iterator[None]:
        """Be the only one who fetches this endpoint for this account; wait for another one as long as it lives.

        Raises `WarehouseError` where the other process has shown no sign of life for some time.
        """
        timeout = _SILENT * self._timeout
        with ExitStack() as stack:
            with self._explained():
                lock = self._lock(f"{account}.{endpoint}")
                try:
                    stack.enter_context(locked(lock, timeout=timeout, waiting=waiting, beating=True))
                except TimeoutError as error:
                    raise silent(error, f"fetching {endpoint} for {account}", timeout) from None
            yield

    def fetch_lock(self, account: str, endpoint: str) -> Path:
        """The lock that whoever fetches this endpoint for this account holds."""
        return self._locks / f"{account}.{endpoint}"

    def is_fetching(self, account: str) -> bool:
        """Whether some process is fetching for this account just now."""
        return any(is_held(self.fetch_lock(account, endpoint.name)) for endpoint in ENDPOINTS)

    def semaphore(self, account: str, places: int) -> ProcessSemaphore:
        """What every call for the account passes, so that no more than `places` are in flight over all processes."""
        return ProcessSemaphore(self._locks, f"{account}.call", places)

    def publish(self) -> None:
        """Replace the published file by a copy of the writer's, in one step; readers of the old one keep it.

        Nothing is done where the published file is the copy made last and the writer's has not changed since, nor
        where somebody has published meanwhile what had been committed before this was called: of those who wait for
        each other, one publishes for all. Commits wait only while the file is copied, not while the copy is read.
        """
        with self._explained():
            begun = self._receipt().get("begun", 0)
            with locked(self._lock("publishing"), timeout=_PUBLISHING * self._timeout):
                if not self.is_published and self._receipt().get("published", 0) <= begun:
                    self._publish(self.database.with_name(f".{self.database.name}.{os.getpid()}.publishing"))

    def _publish(self, copy: Path) -> None:
        with self._write_lock():
            self._sweep()
            with self._open_writer() as con:
                con.execute("CHECKPOINT")
                calls = last_call(con)
            receipt = self._receipt()
            number = receipt.get("begun", 0) + 1
            self._note(receipt | {"begun": number})
            copy_file(self.writer, copy, _READABLE)
            copied = self._state_of(self.writer)
        try:
            onto_disk(copy)
            self._require_whole(copy)
            with self._write_lock():
                self._require_fuller(calls)
                self._clear_wal(self.database)
                copy.replace(self.database)
                onto_disk(self.database)
                files = copied | self._state_of(self.database)
                self._note({"files": files, "calls": calls, "begun": number, "published": number})
        finally:
            copy.unlink(missing_ok=True)

    def back_up(self, before: str) -> Path:
        """Keep a copy of the published file beside it, named for what it was made before and the time; in `writing`."""
        name = f"{self.database.stem}.before-{before}.{self.clock():%Y%m%d-%H%M%S}.duckdb"
        backup = self.database.with_name(name)
        with self._explained():
            copy_file(self.database, backup, _READABLE)
            onto_disk(backup)
        return backup

    def copies(self) -> list[Path]:
        """The backups, copies of older versions and left-over WALs that are kept beside the two files."""
        folder, writer = self.database.parent, glob.escape(self.writer.name)
        stem = glob.escape(self.database.stem)
        patterns = (f"{stem}.before-*.duckdb", f"{writer}.schema-*", f"{stem}*.duckdb.wal.left-over-*")
        return [path for pattern in patterns for path in folder.glob(pattern)]

    @property
    def is_published(self) -> bool:
        """Whether the published file is the copy made last, and the writer's has not changed since."""
        return self._receipt().get("files") == self._state_of(self.writer) | self._state_of(self.database)

    @property
    def _receipt_file(self) -> Path:
        return self._locks / "published"

    def _receipt(self) -> dict[str, Any]:
        """What the files looked like after the last publication; by it a file that is not ours is noticed."""
        try:
            receipt: dict[str, Any] = json.loads(self._receipt_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return receipt if isinstance(receipt, dict) else {}

    def _note(self, receipt: dict[str, Any]) -> None:
        part = self._receipt_file.with_name("published.part")
        with open_new(part) as file:
            file.write(json.dumps(receipt).encode())
        part.replace(self._receipt_file)  # in one step, since it is also read without a lock

    def _state_of(self, file: Path) -> dict[str, list[int | None]]:
        """Inode number, time of the last change, size and time of birth of a file and its WAL, as far as they exist."""
        found = {}
        for path in (file, _wal(file)):
            with suppress(FileNotFoundError):
                stat = path.stat()
                found[path.name] = [stat.st_ino, stat.st_mtime_ns, stat.st_size, made_at(path)]
        return found

    def _is_noted(self, path: Path) -> bool:
        """Whether this is the very file that was there at the last publication, changed or not."""
        now = self._state_of(path).get(path.name)
        return now is not None and _is_same(self._receipt().get("files", {}).get(path.name), now)

    def _clear_wal(self, path: Path) -> None:
        """Make sure that no WAL is replayed onto the file that is about to be put at `path`.

        One that was noted was ours. Any other one is kept under another name: it may be all that is left of somebody's
        rows.
        """
        wal = _wal(path)
        if not wal.exists():
            return
        if path != self.database and self._is_noted(wal):
            wal.unlink()
        else:
            self._put_aside(wal)

    def _put_aside(self, wal: Path) -> None:
        """Keep a WAL that a foreign program wrote, where no file is taken for its own."""
        wal.replace(wal.with_name(f"{wal.name}.left-over-{self.clock():%Y%m%d-%H%M%S}"))

    def _note_wal(self) -> None:
        """Note a WAL that was left beside the writer's file, since nothing in it says whose it is."""
        wal = _wal(self.writer)
        if wal.exists() and not self._is_noted(wal):
            receipt = self._receipt()
            files = receipt.get("files", {}) | self._state_of(wal)
            with suppress(OSError):  # the disk is full, say: then nobody will know, and the WAL is kept
                self._note(receipt | {"files": files})

    def _write_lock(self) -> AbstractContextManager[None]:
        return locked(self._lock("write"), timeout=self._timeout)

    def _lock(self, name: str) -> Path:
        """A lock's file; where there is no folder for it yet, the two files are proved to be ours before it is made."""
        if not self._locks.is_dir():
            self._require_both_ours()
        return self._locks / name

    def _require_both_ours(self) -> None:
        """Refuse foreign files in the place of ours; nothing is opened for writing."""
        if self.database.exists() and not self._is_noted(self.database):
            with self._published():
                pass
        self._require_writer_ours()

    def _require_writer_ours(self) -> None:
        """Refuse a foreign file in the place of the writer's: opened for writing, it would be changed by its WAL."""
        if self.writer.exists() and not self._is_noted(self.writer):
            with self._connect_patiently(READ_ONLY) as con:
                _require_ours(con, self.writer)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the system says of files and locks into one clear line."""
        try:
            yield
        except TimeoutError as error:
            raise WarehouseError(
                f"Process {error} has been writing {self.writer} for over {self._timeout:.0f} s.",
                advice=f"Let it finish, or end it (kill {error}) if it hangs, and start again; nothing is lost.",
            ) from None
        except (OSError, duckdb.Error) as error:
            if not is_file_fault(error) and not isinstance(error, duckdb.TransactionException):
                raise
            raise self._at_fault(error) from None

    def _at_fault(self, error: Exception) -> WarehouseError:
        """What is wrong with the writer's file, or with the folder."""
        if is_damage(error):
            return damaged_writer(self.writer, self.database, error)
        return unwritable(self.database.parent, error)

    @contextmanager
    def _open_writer(self) -> Iterator[Connection]:
        if not self.writer.exists():
            self._make_writer()
        self._require_writer_ours()
        try:
            with self._connect_patiently(_WRITE) as con:
                version = _require_ours(con, self.writer)
                self._require_fuller(last_call(con))
                if version < SCHEMA_VERSION:
                    require_steps(self.writer, version, self._migrations)
                    con.execute("CHECKPOINT")
                    copy_file(self.writer, backup_of(self.writer, version), _READABLE)
                    onto_disk(backup_of(self.writer, version))
                    migrate(con, self.writer, version, self._migrations)
                yield con
        finally:
            self._note_wal()

    def _connect_patiently(self, config: _Config) -> Connection:
        wait = Wait(self._timeout)
        while True:
            try:
                return self._connected(self.writer, config)
            except (duckdb.IOException, duckdb.BinderException, duckdb.ConnectionException) as error:
                if not holder(error):
                    raise
                if wait.is_over():
                    raise TimeoutError(holder(error)) from None
            time.sleep(0.1)

    def _connected(self, path: Path, config: _Config) -> Connection:
        try:
            return duckdb.connect(str(path), config=config)
        except duckdb.IOException as error:
            if holder(error) or is_damage(error):
                raise
            raise unopenable(path, self.writer, self.database, error) from None

    def _make_writer(self) -> None:
        """Make the writer's file: from the published one, which holds everything, else empty."""
        making = self._new_writer()
        making.unlink(missing_ok=True)
        if self.database.exists():
            with self._published():
                copy_file(self.database, making)
        else:
            with duckdb.connect(str(making), config=_WRITE) as con:
                _create(con, self.clock)
        self._put_writer(making)

    def _new_writer(self) -> Path:
        """Where a file is made that is to take the place of the writer's."""
        return self.writer.with_name(f".{self.writer.name}.{os.getpid()}.making")

    def _put_writer(self, made: Path) -> None:
        """Put a new file, which is whole, in the place of the writer's."""
        onto_disk(made)
        self._clear_wal(self.writer)
        made.replace(self.writer)
        onto_disk(self.writer)

    def _require_fuller(self, here: int) -> None:
        """Refuse a writer's file that holds fewer calls than the published one."""
        there = self._published_calls()
        if here < there:
            raise WarehouseError(
                f"{self.writer} holds {here:,} calls, the published {self.database} {there:,}.",
                advice=f"Delete {self.writer} (it is made again from the published file) and start again.",
            )

    def _require_whole(self, copy: Path) -> None:
        """Refuse to publish a copy of a damaged file; what the copy made last has too need not be read once more."""
        last = self._receipt().get("files", {}).get(self.database.name)
        try:
            with self._connected(copy, READ_ONLY) as con:
                if last is not None and last == self._state_of(self.database).get(self.database.name):
                    try:
                        read_changed(con, copy, self.database)
                    except PermissionError:  # the copy made last may not be read by this user; it is replaced
                        read_all(con)
                else:
                    read_all(con)
        except (OSError, duckdb.Error, WarehouseError) as error:
            if not is_file_fault(error) and not isinstance(error, WarehouseError):
                raise
            raise damaged_writer(self.writer, self.database, error) from None

    def _published_calls(self) -> int:
        """Calls in the published file, as noted when it was published; a file from elsewhere is opened to see.

        Where that can't be done with the very file that we published, because somebody writes into it or has spoiled
        it, the note counts: a run has only to put a new one in its place.
        """
        receipt, now = self._receipt(), self._state_of(self.database).get(self.database.name)
        if now is None:
            return 0
        if receipt.get("files", {}).get(self.database.name) == now:
            return int(receipt["calls"])
        try:
            with self._published() as (published, _):
                return _calls_in_order(published)
        except (WarehouseError, duckdb.Error):
            if not self._is_noted(self.database):
                raise
            return int(receipt["calls"])

    def _sweep(self) -> None:
        """Remove what killed processes left half-written; the write lock keeps others from being at it."""
        published, writer = glob.escape(self.database.name), glob.escape(self.writer.name)
        spilled = f"{writer}.tmp"  # DuckDB's folder for what didn't fit into memory
        half = (f"{writer}.*.part", f"{glob.escape(self.database.stem)}.before-*.part")
        patterns = (f".{published}.*.publishing*", f".{published}.*.snapshot*", f".{writer}.*.making*", *half, spilled)
        found = [path for pattern in patterns for path in self.database.parent.glob(pattern)]
        if found:
            self._require_both_ours()
        for left_over in found:
            if left_over.is_dir() and not left_over.is_symlink():
                shutil.rmtree(left_over)
            else:
                left_over.unlink(missing_ok=True)


@contextmanager
def _interruptions_as_they_are() -> Iterator[None]:
    """Undo what DuckDB makes of a Ctrl-C that comes while a query runs: a RuntimeError, which looks like a fault."""
    try:
        yield
    except RuntimeError as error:
        if error.__cause__ is None or isinstance(error.__cause__, Exception):
            raise
        raise error.__cause__ from None


def _create(con: Connection, clock: Clock, comments: bool = True) -> None:
    con.begin()
    for statement in create_statements():
        if comments or not statement.startswith("COMMENT"):
            con.execute(statement)
    con.execute("INSERT INTO datacube.meta VALUES ($version, $now)", {"version": SCHEMA_VERSION, "now": clock()})
    con.commit()


def _require_ours(con: Connection, path: Path) -> int:
    """The version of the file's schema; refuses a file of others, and one of a newer version."""
    version = version_of(con)
    if version is None:
        raise WarehouseError(
            f"{path} is a DuckDB file, but not one of wx_datacube.",
            advice="Set WX_DATACUBE_DATABASE to another path; it has not been changed.",
        )
    if version > SCHEMA_VERSION:
        raise WarehouseError(
            f"{path} was made by a newer wx_datacube (schema {version}, this one knows {SCHEMA_VERSION}).",
            advice="Upgrade wx_datacube (git pull && make install); the file has not been changed.",
        )
    return version


def _calls_in_order(con: Connection) -> int:
    """Calls from the first to the first gap: our ledgers have none, and what a foreign program adds doesn't count."""
    numbered = "SELECT call_id, row_number() OVER (ORDER BY call_id) AS place FROM datacube.api_calls"
    ((found,),) = con.execute(f"SELECT count(*) FROM ({numbered}) WHERE call_id = place").fetchall()
    return int(found)


def _is_same(noted: object, now: list[int | None]) -> bool:
    """Whether a file is the very one that was noted, changed or not."""
    if not isinstance(noted, list) or len(noted) != len(now):
        return False
    return noted == now or (now[3] is not None and (noted[0], noted[3]) == (now[0], now[3]))


def _wal(path: Path) -> Path:
    """Where DuckDB looks for the WAL of a file: of a link, beside what it points to."""
    path = path.resolve()
    return path.with_name(f"{path.name}.wal")
