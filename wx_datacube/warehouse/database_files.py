"""Database files: the writer's file and the published file of a database, and how each is opened, made and replaced.

DuckDB replays any WAL that it finds beside a file and changes the file when it opens it for writing. So nothing here
opens or replaces a file before it is known to be ours. Add a rule about the two files here. Transactions and snapshots
are in `files`, publications in `publication`, options of DuckDB in `connections`.
"""

import glob
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import duckdb

from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.errors import WarehouseError
from wx_datacube.language import Text
from wx_datacube.warehouse.connections import (
    READ_ONLY,
    WRITE,
    Config,
    Connection,
    contiguous_calls,
    create_tables,
    require_ours,
    restore_interrupts,
)
from wx_datacube.warehouse.copies import copy_file, flush_to_disk
from wx_datacube.warehouse.errors import (
    damaged_database,
    damaged_writer,
    holder_pid,
    is_damage,
    is_file_fault,
    unopenable,
    unwritable,
)
from wx_datacube.warehouse.ledger import last_call
from wx_datacube.warehouse.locks import Timeout, locked
from wx_datacube.warehouse.migrate import (
    MIGRATIONS,
    Migrations,
    backup_of,
    migrate,
    require_migrations,
)
from wx_datacube.warehouse.receipt import Receipt, file_state, wal_of
from wx_datacube.warehouse.schema import SCHEMA_VERSION

READABLE = 0o444
"""The mode of read-only files."""


class DatabaseFiles:
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
        self._receipt = Receipt(self._locks)

    def __repr__(self) -> str:
        return f"Warehouse({str(self.database)!r})"

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Turn errors about files and locks, from the system or from DuckDB, into a `WarehouseError` with advice."""
        try:
            yield
        except TimeoutError as error:
            raise WarehouseError(
                Text(
                    "Process {process} has had {writer} open for over {seconds:.0f} s.",
                    "进程 {process} 打开 {writer} 已超过 {seconds:.0f} 秒。",
                    process=str(error),
                    writer=self.writer,
                    seconds=self._timeout,
                ),
                advice=Text(
                    "If it is one of our commands or runs, let it finish, or end it (kill {process}) if it hangs. If it"
                    " is another program, close the file there and open {database} instead, which may be read at any"
                    " time. Then start again; nothing is lost.",
                    "如果是本软件的命令或运行，请等它结束，已卡住时将其终止（kill {process}）；"
                    "如果是其他程序，请在其中关闭该文件，改为打开 {database}（随时可读）。"
                    "之后重新运行即可，数据不会丢失。",
                    process=str(error),
                    database=self.database,
                ),
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

    def _write_lock(self) -> AbstractContextManager[None]:
        return locked(self._lock("write"), timeout=self._timeout)

    def _lock(self, name: str) -> Path:
        """Return the path of a lock file; if its folder doesn't exist yet, first check that both files are ours."""
        if not self._locks.is_dir():
            self._require_both_ours()
        return self._locks / name

    def _require_both_ours(self) -> None:
        """Reject foreign files at our paths; opens nothing for writing."""
        if self.database.exists() and not self._receipt.is_recorded(self.database):
            with self._published():
                pass
        self._require_writer_ours()

    def _require_writer_ours(self) -> None:
        """Reject a foreign file at the writer's path: to open it for writing would replay its WAL and change it."""
        if self.writer.exists() and not self._receipt.is_recorded(self.writer):
            with self._connect_with_retry(READ_ONLY) as con:
                require_ours(con, self.writer)

    @contextmanager
    def _published(self, config: Config = READ_ONLY) -> Iterator[tuple[Connection, int]]:
        """Open the published file; yield the connection and the schema version, which may be an older one."""
        with restore_interrupts():
            try:
                with self._connect(self.database, config) as con:
                    yield con, require_ours(con, self.database)
            except duckdb.Error as error:
                if not is_file_fault(error):
                    raise
                if process := holder_pid(error):
                    raise WarehouseError(
                        Text(
                            "Process {process} has {database} open for writing.",
                            "进程 {process} 以写入方式打开了 {database}。",
                            process=process,
                            database=self.database,
                        ),
                        advice=Text(
                            "It can't be read until that process closes it. If it is the file that wx_datacube"
                            " publishes, open it read-only in that process. If it belongs to another program, set"
                            " WX_DATACUBE_DATABASE to another path.",
                            "该进程关闭文件之前无法读取。如果这是 wx_datacube 发布的数据文件，"
                            "请在该进程中以只读方式打开；如果它属于其他程序，请将 WX_DATACUBE_DATABASE 设为其他路径。",
                        ),
                    ) from None
                raise damaged_database(self.writer, self.database, error) from None

    @contextmanager
    def _open_writer(self) -> Iterator[Connection]:
        if not self.writer.exists():
            self._make_writer()
        self._require_writer_ours()
        try:
            with self._connect_with_retry(WRITE) as con:
                version = require_ours(con, self.writer)
                self._require_no_lost_calls(last_call(con))
                if version < SCHEMA_VERSION:
                    require_migrations(self.writer, version, self._migrations)
                    con.execute("CHECKPOINT")
                    copy_file(self.writer, backup_of(self.writer, version), READABLE)
                    flush_to_disk(backup_of(self.writer, version))
                    migrate(con, self.writer, version, self._migrations)
                yield con
        finally:
            self._record_wal()

    def _connect_with_retry(self, config: Config) -> Connection:
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

    def _connect(self, path: Path, config: Config) -> Connection:
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
            with duckdb.connect(str(making), config=WRITE) as con:
                create_tables(con, self.clock)
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
                Text(
                    "{writer} has {here:,} calls, but the published {database} has {there:,}.",
                    "{writer} 中有 {here:,} 次调用，而已发布的 {database} 中有 {there:,} 次。",
                    writer=self.writer,
                    here=here,
                    database=self.database,
                    there=there,
                ),
                advice=Text(
                    "Delete {writer} (the next run recreates it from the published file) and start again.",
                    "请删除 {writer}（下次运行会从已发布的数据文件重建）后重新运行。",
                    writer=self.writer,
                ),
            )

    def _published_calls(self) -> int:
        """Return the number of calls in the published file, as noted at publication, or counted in any other file.

        If the file is the one we published but can't be opened, since another program writes to it or has damaged it,
        the noted number counts: the next publication replaces the file.
        """
        receipt, now = self._receipt.read(), file_state(self.database).get(self.database.name)
        if now is None:
            return 0
        if receipt.get("files", {}).get(self.database.name) == now:
            return int(receipt["calls"])
        try:
            with self._published() as (published, _):
                return contiguous_calls(published)
        except (WarehouseError, duckdb.Error):
            if not self._receipt.is_recorded(self.database):
                raise
            return int(receipt["calls"])

    def _clear_wal(self, path: Path) -> None:
        """Make sure that no WAL is replayed onto the file that is about to be put at `path`.

        A WAL of the writer's file that was noted is ours and is deleted. Any other WAL is kept under another name: it
        may hold the only copy of another user's rows.
        """
        wal = wal_of(path)
        if not wal.exists():
            return
        if path != self.database and self._receipt.is_recorded(wal):
            wal.unlink()
        else:
            self._rename_foreign_wal(wal)

    def _rename_foreign_wal(self, wal: Path) -> None:
        """Rename a WAL that a foreign program wrote: it is kept, but DuckDB doesn't replay it."""
        wal.replace(wal.with_name(f"{wal.name}.left-over-{self.clock():%Y%m%d-%H%M%S}"))

    def _record_wal(self) -> None:
        """Note a WAL left beside the writer's file as ours, since nothing in a WAL says to which file it belongs."""
        wal = wal_of(self.writer)
        if wal.exists() and not self._receipt.is_recorded(wal):
            receipt = self._receipt.read()
            files = receipt.get("files", {}) | file_state(wal)
            with suppress(OSError):  # e.g. a full disk; the WAL then counts as foreign and is kept
                self._receipt.write(receipt | {"files": files})

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
