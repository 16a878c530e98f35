"""Files: the writer's DuckDB file, the published file, and the only code that connects to them.

DuckDB allows either one writer or many readers per file. Runs therefore write to `<name>.writer.duckdb`, which they
hold for one short transaction at a time, and publish copies of it, which readers may keep open for as long as they
like. Add here a way to open, copy or replace these files. Tables and queries belong in `schema`, `load` and `coverage`.
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
from wx_datacube.warehouse.copies import copy_file, created_at, flush_to_disk, open_new, read_all, read_changed
from wx_datacube.warehouse.errors import (
    damaged_database,
    damaged_writer,
    heartbeat_timeout,
    holder_pid,
    is_damage,
    is_file_fault,
    unopenable,
    unwritable,
)
from wx_datacube.warehouse.ledger import last_call
from wx_datacube.warehouse.locks import ProcessSemaphore, Timeout, is_held, locked
from wx_datacube.warehouse.migrate import (
    MIGRATIONS,
    Migrations,
    backup_of,
    migrate,
    outdated,
    require_migrations,
    version_of,
)
from wx_datacube.warehouse.schema import SCHEMA_VERSION, create_statements
from wx_datacube.warehouse.sql import quoted

_Config = dict[str, str | bool | int | float | list[str]]

# If our path holds an SQLite file, DuckDB would download an extension over plain HTTP. The extensions we use, JSON and
# Parquet, are built in.
_NO_EXTENSIONS: _Config = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
# DuckDB 1.2 and later can read this format. In the v1.0.0 format the ledger's bodies take twelve times the space.
_STORAGE = "v1.2.0"
# One thread: a second one doesn't speed up loading, doubles its memory, and takes a core from the processes that fetch.
_WRITE: _Config = {**_NO_EXTENSIONS, "storage_compatibility_version": _STORAGE, "threads": 1}
READ_ONLY: _Config = {**_NO_EXTENSIONS, "access_mode": "READ_ONLY"}
"""DuckDB configuration for every reader of the published file."""
_READABLE = 0o444
_REQUIRED_BYTES = 4 * 1024 * 1024
"""Free bytes required before the first call: enough for some seconds of answers and what DuckDB writes with them."""
_PUBLISH_TIMEOUT_FACTOR = 10
"""Multiple of the transaction timeout to wait for another process that publishes: its time grows with the file."""
_HEARTBEAT_TIMEOUT_FACTOR = 2
"""Multiple of the timeout to wait for another process that fetches. It may work for hours, so the wait counts from its
last heartbeat."""

Connection = duckdb.DuckDBPyConnection


class Warehouse:
    """The DuckDB files of one database: `database` is the published file, `writer` the file that runs write to.

    `timeout` is the number of seconds to wait for another process that holds the writer's file.
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
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction on the writer's file: commit at the end, roll back on an error, always close the file."""
        with ExitStack() as stack:
            stack.enter_context(_restore_interrupts())
            with self._translating_errors():
                stack.enter_context(self._write_lock())
                con = stack.enter_context(self._open_writer())
            con.begin()
            try:
                yield con
            except BaseException as error:
                # After some errors DuckDB has already rolled back and refuses a second rollback.
                with suppress(duckdb.Error):
                    con.rollback()
                if isinstance(error, duckdb.Error) and is_file_fault(error):
                    raise self._file_error(error) from None
                raise
            with self._translating_errors():
                con.commit()

    def reading_committed(self) -> AbstractContextManager[Connection]:
        """Open the writer's file, or the published file if there is no writer's file. Creates no file."""
        return self.transaction() if self.writer.exists() else self.open_published()

    @contextmanager
    def rebuilding(self) -> Iterator[Connection]:
        """Rebuild the writer's file: yield a connection with that file as `old` and an empty file as `new`.

        At the end the new file replaces the old one atomically. After an error or a kill the old file stays.
        """
        making = self._new_writer()
        with _restore_interrupts(), self._translating_errors(), self._write_lock():
            with self._open_writer() as con:
                con.execute("CHECKPOINT")
            try:
                with duckdb.connect(config={**_NO_EXTENSIONS, "threads": 1, "temp_directory": f"{making}.tmp"}) as con:
                    con.execute(f"ATTACH {quoted(self.writer)} AS old (READ_ONLY)")
                    con.execute(f"ATTACH {quoted(making)} AS new (STORAGE_VERSION '{_STORAGE}')")
                    yield con
                    con.execute("CHECKPOINT new")
                shutil.copymode(self.writer, making)
                self._replace_writer(making)
            finally:
                for left_over in (making, _wal(making)):
                    left_over.unlink(missing_ok=True)

    @contextmanager
    def open_published(self) -> Iterator[Connection]:
        """Open the published file read-only, or an empty warehouse in memory if nothing has been published yet."""
        if self.database.exists():
            # The published file has no WAL of its own, and DuckDB would replay a WAL that a foreign program wrote.
            with suppress(OSError):  # this user may have no write permission
                if _wal(self.database).exists() and self._is_recorded(self.database):
                    self._rename_foreign_wal(_wal(self.database))
            with self._published() as (con, version):
                if version < SCHEMA_VERSION:
                    raise outdated(self.database, version)
                yield con
        else:
            with duckdb.connect(config=_NO_EXTENSIONS) as con:
                _create(con, self.clock, comments=False)  # they take longer than all else, and nobody sees them
                yield con

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open the last committed state read-only; no lock is held while it is used."""
        with self.snapshot_and_published() as (con, published):
            if isinstance(published, Connection):
                published.close()  # while it is open, DuckDB shows this process no newer file
            yield con

    @contextmanager
    def snapshot_and_published(self) -> Iterator[tuple[Connection, Connection | WarehouseError | None]]:
        """Open a snapshot, and the published file as of the same moment; yield both.

        The second value is an error if the published file can't be read. It is None if the published file is current:
        then the snapshot is the published file itself.
        """
        published: Connection | WarehouseError | None = None
        with ExitStack() as stack:
            stack.enter_context(_restore_interrupts())
            if self._is_current:
                con = stack.enter_context(self.open_published())
            else:
                with self._translating_errors(), self._write_lock():
                    if self._is_current:  # another process published during the wait for the lock
                        con = stack.enter_context(self.open_published())
                    else:
                        con = stack.enter_context(self._copy_of_writer())
                        try:
                            published = stack.enter_context(self.open_published())
                        except WarehouseError as error:
                            published = error
            yield con, published

    @property
    def _is_current(self) -> bool:
        """Whether the published file has everything that has been committed."""
        return self.is_published or not self.writer.exists()

    def _copy_of_writer(self) -> Connection:
        """Open a copy of the writer's file, and delete its name at once, so that a kill leaves nothing behind."""
        copy = self.database.with_name(f".{self.database.name}.{uuid4().hex}.snapshot")
        with self._open_writer() as con:
            con.execute("CHECKPOINT")
        try:
            copy_file(self.writer, copy, _READABLE)
            return self._connect(copy, {**READ_ONLY, "temp_directory": ""})
        finally:
            copy.unlink(missing_ok=True)

    @contextmanager
    def _published(self) -> Iterator[tuple[Connection, int]]:
        """Open the published file; yield the connection and the schema version, which may be an older one."""
        with _restore_interrupts():
            try:
                with self._connect(self.database, READ_ONLY) as con:
                    yield con, _require_ours(con, self.database)
            except duckdb.Error as error:
                if not is_file_fault(error):
                    raise
                if process := holder_pid(error):
                    raise WarehouseError(
                        f"Process {process} has {self.database} open for writing.",
                        advice="It can't be read until that process closes it. If it is the file that wx_datacube"
                        " publishes, open it read-only in that process. If it belongs to another program, set"
                        " WX_DATACUBE_DATABASE to another path.",
                    ) from None
                raise damaged_database(self.writer, self.database, error) from None

    def require_space(self) -> None:
        """Raise `WarehouseError` if nothing more can be written, before a call spends quota and its answer is lost."""
        with self._translating_errors():
            self.database.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.database.parent) as file:  # quotas and permissions show only on writes
                file.write(bytes(_REQUIRED_BYTES))

    @contextmanager
    def fetching(self, account: str, endpoint: str, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock for fetching this endpoint for this account.

        Waits for another process as long as it gives heartbeats, and calls `on_wait` once with its PID. Raises
        `WarehouseError` if there is no heartbeat for twice the warehouse's timeout.
        """
        timeout = _HEARTBEAT_TIMEOUT_FACTOR * self._timeout
        with ExitStack() as stack:
            with self._translating_errors():
                lock = self._lock(f"{account}.{endpoint}")
                try:
                    stack.enter_context(locked(lock, timeout=timeout, on_wait=on_wait, heartbeat=True))
                except TimeoutError as error:
                    raise heartbeat_timeout(error, f"fetching {endpoint} for {account}", timeout) from None
            yield

    def fetch_lock(self, account: str, endpoint: str) -> Path:
        """Return the path of the lock that is held while this endpoint is fetched for this account."""
        return self._locks / f"{account}.{endpoint}"

    def is_fetching(self, account: str) -> bool:
        """Return whether a process is fetching for this account right now."""
        return any(is_held(self.fetch_lock(account, endpoint.name)) for endpoint in ENDPOINTS)

    def semaphore(self, account: str, places: int) -> ProcessSemaphore:
        """Return the semaphore that limits the account's calls in flight to `places`, over all processes."""
        return ProcessSemaphore(self._locks, f"{account}.call", places)

    def publish(self) -> None:
        """Replace the published file with a copy of the writer's file, atomically; readers of the old file keep it.

        Does nothing if the published file is the last copy made and the writer's file hasn't changed since, or if
        another process has meanwhile published everything that was committed before this call. So when several
        processes wait to publish, one publishes for all. Commits wait while the file is copied, but not while the copy
        is verified.
        """
        with self._translating_errors():
            begun = self._receipt().get("begun", 0)
            with locked(self._lock("publishing"), timeout=_PUBLISH_TIMEOUT_FACTOR * self._timeout):
                if not self.is_published and self._receipt().get("published", 0) <= begun:
                    self._publish(self.database.with_name(f".{self.database.name}.{os.getpid()}.publishing"))

    def _publish(self, copy: Path) -> None:
        with self._write_lock():
            self._delete_leftovers()
            with self._open_writer() as con:
                con.execute("CHECKPOINT")
                calls = last_call(con)
            receipt = self._receipt()
            number = receipt.get("begun", 0) + 1
            self._write_receipt(receipt | {"begun": number})
            copy_file(self.writer, copy, _READABLE)
            copied = self._file_state(self.writer)
        try:
            flush_to_disk(copy)
            self._require_undamaged(copy)
            with self._write_lock():
                self._require_no_lost_calls(calls)
                self._clear_wal(self.database)
                copy.replace(self.database)
                flush_to_disk(self.database)
                files = copied | self._file_state(self.database)
                self._write_receipt({"files": files, "calls": calls, "begun": number, "published": number})
        finally:
            copy.unlink(missing_ok=True)

    def back_up(self, before: str) -> Path:
        """Copy the published file to a backup beside it, named for the operation `before` and the time.

        The caller holds the write lock. Returns the backup's path.
        """
        name = f"{self.database.stem}.before-{before}.{self.clock():%Y%m%d-%H%M%S}.duckdb"
        backup = self.database.with_name(name)
        with self._translating_errors():
            copy_file(self.database, backup, _READABLE)
            flush_to_disk(backup)
        return backup

    def copies(self) -> list[Path]:
        """Return the backups, copies of older schema versions and left-over WALs beside the two files."""
        folder, writer = self.database.parent, glob.escape(self.writer.name)
        stem = glob.escape(self.database.stem)
        patterns = (f"{stem}.before-*.duckdb", f"{writer}.schema-*", f"{stem}*.duckdb.wal.left-over-*")
        return [path for pattern in patterns for path in folder.glob(pattern)]

    @property
    def is_published(self) -> bool:
        """Whether the published file is the last copy made, and the writer's file hasn't changed since."""
        return self._receipt().get("files") == self._file_state(self.writer) | self._file_state(self.database)

    @property
    def _receipt_file(self) -> Path:
        return self._locks / "published"

    def _receipt(self) -> dict[str, Any]:
        """Return the state of the files after the last publication, which tells our files from foreign ones."""
        try:
            receipt: dict[str, Any] = json.loads(self._receipt_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return receipt if isinstance(receipt, dict) else {}

    def _write_receipt(self, receipt: dict[str, Any]) -> None:
        part = self._receipt_file.with_name("published.part")
        with open_new(part) as file:
            file.write(json.dumps(receipt).encode())
        part.replace(self._receipt_file)  # atomically, since it is also read without a lock

    def _file_state(self, file: Path) -> dict[str, list[int | None]]:
        """Return inode number, modification time, size and creation time of a file and of its WAL, if they exist."""
        found = {}
        for path in (file, _wal(file)):
            with suppress(FileNotFoundError):
                stat = path.stat()
                found[path.name] = [stat.st_ino, stat.st_mtime_ns, stat.st_size, created_at(path)]
        return found

    def _is_recorded(self, path: Path) -> bool:
        """Return whether this is the same file as at the last publication, changed or not."""
        now = self._file_state(path).get(path.name)
        return now is not None and _is_same_file(self._receipt().get("files", {}).get(path.name), now)

    def _clear_wal(self, path: Path) -> None:
        """Make sure that no WAL is replayed onto the file that is about to be put at `path`.

        A WAL of the writer's file that was noted is ours and is deleted. Any other WAL is kept under another name: it
        may be the only copy of somebody's rows.
        """
        wal = _wal(path)
        if not wal.exists():
            return
        if path != self.database and self._is_recorded(wal):
            wal.unlink()
        else:
            self._rename_foreign_wal(wal)

    def _rename_foreign_wal(self, wal: Path) -> None:
        """Rename a WAL that a foreign program wrote: it is kept, but DuckDB doesn't replay it."""
        wal.replace(wal.with_name(f"{wal.name}.left-over-{self.clock():%Y%m%d-%H%M%S}"))

    def _record_wal(self) -> None:
        """Note a WAL left beside the writer's file as ours, since nothing in a WAL says to which file it belongs."""
        wal = _wal(self.writer)
        if wal.exists() and not self._is_recorded(wal):
            receipt = self._receipt()
            files = receipt.get("files", {}) | self._file_state(wal)
            with suppress(OSError):  # e.g. a full disk; the WAL then counts as foreign and is kept
                self._write_receipt(receipt | {"files": files})

    def _write_lock(self) -> AbstractContextManager[None]:
        return locked(self._lock("write"), timeout=self._timeout)

    def _lock(self, name: str) -> Path:
        """Return the path of a lock file; if its folder doesn't exist yet, first check that both files are ours."""
        if not self._locks.is_dir():
            self._require_both_ours()
        return self._locks / name

    def _require_both_ours(self) -> None:
        """Reject foreign files at our paths; opens nothing for writing."""
        if self.database.exists() and not self._is_recorded(self.database):
            with self._published():
                pass
        self._require_writer_ours()

    def _require_writer_ours(self) -> None:
        """Reject a foreign file at the writer's path: to open it for writing would replay its WAL and change it."""
        if self.writer.exists() and not self._is_recorded(self.writer):
            with self._connect_with_retry(READ_ONLY) as con:
                _require_ours(con, self.writer)

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Turn errors about files and locks, from the system or from DuckDB, into a `WarehouseError` with advice."""
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
            raise self._file_error(error) from None

    def _file_error(self, error: Exception) -> WarehouseError:
        """Return the error for a damaged writer's file or, for any other fault, for an unwritable folder."""
        if is_damage(error):
            return damaged_writer(self.writer, self.database, error)
        return unwritable(self.database.parent, error)

    @contextmanager
    def _open_writer(self) -> Iterator[Connection]:
        if not self.writer.exists():
            self._make_writer()
        self._require_writer_ours()
        try:
            with self._connect_with_retry(_WRITE) as con:
                version = _require_ours(con, self.writer)
                self._require_no_lost_calls(last_call(con))
                if version < SCHEMA_VERSION:
                    require_migrations(self.writer, version, self._migrations)
                    con.execute("CHECKPOINT")
                    copy_file(self.writer, backup_of(self.writer, version), _READABLE)
                    flush_to_disk(backup_of(self.writer, version))
                    migrate(con, self.writer, version, self._migrations)
                yield con
        finally:
            self._record_wal()

    def _connect_with_retry(self, config: _Config) -> Connection:
        wait = Timeout(self._timeout)
        while True:
            try:
                return self._connect(self.writer, config)
            except (duckdb.IOException, duckdb.BinderException, duckdb.ConnectionException) as error:
                if not holder_pid(error):
                    raise
                if wait.is_over():
                    raise TimeoutError(holder_pid(error)) from None
            time.sleep(0.1)

    def _connect(self, path: Path, config: _Config) -> Connection:
        try:
            return duckdb.connect(str(path), config=config)
        except duckdb.IOException as error:
            if holder_pid(error) or is_damage(error):
                raise
            raise unopenable(path, self.writer, self.database, error) from None

    def _make_writer(self) -> None:
        """Create the writer's file from the published file, which holds everything, or empty if there is none."""
        making = self._new_writer()
        making.unlink(missing_ok=True)
        if self.database.exists():
            with self._published():
                copy_file(self.database, making)
        else:
            with duckdb.connect(str(making), config=_WRITE) as con:
                _create(con, self.clock)
        self._replace_writer(making)

    def _new_writer(self) -> Path:
        """Return the temporary path for a file that will replace the writer's file."""
        return self.writer.with_name(f".{self.writer.name}.{os.getpid()}.making")

    def _replace_writer(self, made: Path) -> None:
        """Replace the writer's file with a new, complete one."""
        flush_to_disk(made)
        self._clear_wal(self.writer)
        made.replace(self.writer)
        flush_to_disk(self.writer)

    def _require_no_lost_calls(self, here: int) -> None:
        """Reject a writer's file that holds fewer calls than the published file."""
        there = self._published_calls()
        if here < there:
            raise WarehouseError(
                f"{self.writer} has {here:,} calls, but the published {self.database} has {there:,}.",
                advice=f"Delete {self.writer} (the next run recreates it from the published file) and start again.",
            )

    def _require_undamaged(self, copy: Path) -> None:
        """Reject a copy that is damaged, before it is published.

        Blocks that are the same in the last published copy are not read again.
        """
        last = self._receipt().get("files", {}).get(self.database.name)
        try:
            with self._connect(copy, READ_ONLY) as con:
                if last is not None and last == self._file_state(self.database).get(self.database.name):
                    try:
                        read_changed(con, copy, self.database)
                    except PermissionError:  # this user may not read the last published copy, which is being replaced
                        read_all(con)
                else:
                    read_all(con)
        except (OSError, duckdb.Error, WarehouseError) as error:
            if not is_file_fault(error) and not isinstance(error, WarehouseError):
                raise
            raise damaged_writer(self.writer, self.database, error) from None

    def _published_calls(self) -> int:
        """Return the number of calls in the published file, as noted at publication, or counted in any other file.

        If the file is the one we published but can't be opened, since another program writes to it or has damaged it,
        the noted number counts: the next publication replaces the file.
        """
        receipt, now = self._receipt(), self._file_state(self.database).get(self.database.name)
        if now is None:
            return 0
        if receipt.get("files", {}).get(self.database.name) == now:
            return int(receipt["calls"])
        try:
            with self._published() as (published, _):
                return _contiguous_calls(published)
        except (WarehouseError, duckdb.Error):
            if not self._is_recorded(self.database):
                raise
            return int(receipt["calls"])

    def _delete_leftovers(self) -> None:
        """Delete what killed processes left half-written. The caller holds the write lock, so no file is in use."""
        published, writer = glob.escape(self.database.name), glob.escape(self.writer.name)
        spilled = f"{writer}.tmp"  # DuckDB's folder for data that doesn't fit into memory
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
def _restore_interrupts() -> Iterator[None]:
    """Raise the original interruption if DuckDB turns a Ctrl-C during a query into a RuntimeError.

    The RuntimeError would look like a fault.
    """
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
    """Return the file's schema version; reject a foreign file and a file of a newer version."""
    version = version_of(con)
    if version is None:
        raise WarehouseError(
            f"{path} is a DuckDB file that wx_datacube didn't create.",
            advice="Set WX_DATACUBE_DATABASE to another path. The file is unchanged.",
        )
    if version > SCHEMA_VERSION:
        raise WarehouseError(
            f"{path} was created by a newer wx_datacube (schema {version}; this version supports up to"
            f" {SCHEMA_VERSION}).",
            advice="Upgrade wx_datacube (git pull && make install). The file is unchanged.",
        )
    return version


def _contiguous_calls(con: Connection) -> int:
    """Count the calls up to the first gap: our ledgers have no gap, and calls from a foreign program don't count."""
    numbered = "SELECT call_id, row_number() OVER (ORDER BY call_id) AS place FROM datacube.api_calls"
    ((found,),) = con.execute(f"SELECT count(*) FROM ({numbered}) WHERE call_id = place").fetchall()
    return int(found)


def _is_same_file(noted: object, now: list[int | None]) -> bool:
    """Return whether a file is the one that was noted, changed or not."""
    if not isinstance(noted, list) or len(noted) != len(now):
        return False
    return noted == now or (now[3] is not None and (noted[0], noted[3]) == (now[0], now[3]))


def _wal(path: Path) -> Path:
    """Return the path where DuckDB looks for a file's WAL; for a link, that is beside the link's target."""
    path = path.resolve()
    return path.with_name(f"{path.name}.wal")
