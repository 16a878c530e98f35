"""Files: transactions and snapshots of a database.

DuckDB allows either one writer or many readers per file. Runs therefore write to `<name>.writer.duckdb`, which they
hold for one short transaction at a time, and publish copies of it, which readers may keep open for as long as they
like. Add here a way to use these files. How they are opened and replaced belongs in `database_files`, how they are
published in `publication`, tables and queries in `schema`, `load` and `coverage`.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import duckdb

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.errors import WarehouseError
from wx_datacube.language import Text
from wx_datacube.warehouse.connections import (
    NO_EXTENSIONS,
    READ_ONLY,
    SANDBOXED,
    STORAGE,
    WRITE,
    Config,
    Connection,
    create_tables,
    lock_sandbox,
    restore_interrupts,
)
from wx_datacube.warehouse.copies import copy_file
from wx_datacube.warehouse.database_files import READABLE
from wx_datacube.warehouse.errors import heartbeat_timeout, is_file_fault
from wx_datacube.warehouse.locks import ProcessSemaphore, is_held, locked
from wx_datacube.warehouse.migrate import OutdatedFile
from wx_datacube.warehouse.publication import Publication
from wx_datacube.warehouse.receipt import wal_of
from wx_datacube.warehouse.schema import SCHEMA_VERSION
from wx_datacube.warehouse.sql import quoted

_REQUIRED_BYTES = 4 * 1024 * 1024
"""Free bytes required before the first call: enough for some seconds of answers and what DuckDB writes with them."""
_HEARTBEAT_TIMEOUT_FACTOR = 2
"""Multiple of the timeout to wait for another process that fetches. It may work for hours, so the wait counts from its
last heartbeat."""


class Warehouse(Publication):
    """The DuckDB files of one database: `database` is the published file, `writer` the file that runs write to.

    `timeout` is the number of seconds to wait for another process that holds the writer's file.
    """

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction on the writer's file: commit at the end, roll back on an error, always close the file."""
        with ExitStack() as stack:
            stack.enter_context(restore_interrupts())
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
        with (
            self._making_writer() as making,
            duckdb.connect(config={**NO_EXTENSIONS, "threads": 1, "temp_directory": f"{making}.tmp"}) as con,
        ):
            con.execute(f"ATTACH {quoted(self.writer)} AS old (READ_ONLY)")
            con.execute(f"ATTACH {quoted(making)} AS new (STORAGE_VERSION '{STORAGE}')")
            yield con
            con.execute("CHECKPOINT new")

    @contextmanager
    def extending(self) -> Iterator[Connection]:
        """Extend a copy of the writer's file: yield a connection to it, in any number of transactions.

        At the end the copy replaces the writer's file atomically. After an error or a kill the old file stays. Use it
        for what is too large for one transaction, which DuckDB keeps in memory.
        """
        with self._making_writer() as making:
            copy_file(self.writer, making)
            with duckdb.connect(str(making), config=WRITE) as con:
                yield con
                con.execute("CHECKPOINT")

    @contextmanager
    def _making_writer(self) -> Iterator[Path]:
        """Yield the path of a new writer's file; at the end it replaces the old one, unless there is an error."""
        making = self._new_writer()
        with restore_interrupts(), self._translating_errors(), self._write_lock():
            with self._open_writer() as con:
                con.execute("CHECKPOINT")
            try:
                yield making
                shutil.copymode(self.writer, making)
                self._replace_writer(making)
            finally:
                for left_over in (making, wal_of(making)):
                    left_over.unlink(missing_ok=True)

    @contextmanager
    def open_published(self) -> Iterator[Connection]:
        """Open the published file read-only, or an empty warehouse in memory if nothing has been published yet.

        A file of an older version is migrated first, with a backup: schedules and commands go on after an upgrade.
        """
        with ExitStack() as stack:
            try:
                con = stack.enter_context(self._open_published())
            except OutdatedFile:
                self.migrate_published()
                con = stack.enter_context(self._open_published())
            yield con

    @contextmanager
    def _open_published(self) -> Iterator[Connection]:
        """Do the same as `open_published`, but raise an error for a file of an older version."""
        if self.database.exists():
            with self._open_existing(READ_ONLY) as con:
                yield con
        else:
            with duckdb.connect(config=NO_EXTENSIONS) as con:
                create_tables(con, self.clock, comments=False)  # comments take longest, and are never shown
                yield con

    @contextmanager
    def open_sandboxed(self) -> Iterator[Connection]:
        """Open the published file for SQL that somebody else wrote: it can read this file's tables and nothing else.

        The file must exist. It is never migrated: raises `OutdatedFile` for a file of an older version.
        """
        with self._open_existing(SANDBOXED) as con:
            lock_sandbox(con)
            yield con

    @contextmanager
    def _open_existing(self, config: Config) -> Iterator[Connection]:
        # The published file has no WAL of its own, and DuckDB would replay a WAL that a foreign program wrote.
        with suppress(OSError):  # this user may have no write permission
            if wal_of(self.database).exists() and self._receipt.is_recorded(self.database):
                self._rename_foreign_wal(wal_of(self.database))
        with self._published(config) as (con, version):
            if version < SCHEMA_VERSION:
                raise OutdatedFile.of(self.database, version)
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
            stack.enter_context(restore_interrupts())
            if self._is_current:
                con = stack.enter_context(self.open_published())
            else:
                with self._translating_errors(), self._write_lock():
                    if self._is_current:  # another process published during the wait for the lock
                        con = stack.enter_context(self._open_published())
                    else:
                        con = stack.enter_context(self._copy_of_writer())
                        try:
                            published = stack.enter_context(self._open_published())
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
            copy_file(self.writer, copy, READABLE)
            return self._connect(copy, {**READ_ONLY, "temp_directory": ""})
        finally:
            copy.unlink(missing_ok=True)

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
                    raise heartbeat_timeout(
                        error,
                        Text(
                            "fetching {endpoint} for {account}",
                            "正在获取 {account} 的 {endpoint}",
                            endpoint=endpoint,
                            account=account,
                        ),
                        timeout,
                    ) from None
            yield

    @contextmanager
    def exporting(self, account: str) -> Iterator[None]:
        """Hold the lock for writing the account's files to the lake; wait as `fetching` does."""
        timeout = _HEARTBEAT_TIMEOUT_FACTOR * self._timeout
        with ExitStack() as stack:
            with self._translating_errors():
                try:
                    stack.enter_context(locked(self._lock(f"{account}.lake"), timeout=timeout, heartbeat=True))
                except TimeoutError as error:
                    what = Text("exporting {account} to the lake", "正在将 {account} 导出到数据湖", account=account)
                    raise heartbeat_timeout(error, what, timeout) from None
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
