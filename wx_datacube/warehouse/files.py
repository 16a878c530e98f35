"""Files: the writer's DuckDB file, the published one, and the only place that connects to them.

DuckDB lets either one writer or many readers into a file. So runs write `<name>.writer.duckdb`, holding it for one
short transaction at a time, and publish copies of it, which readers may keep open for as long as they like. What is
in the files is the business of `schema`, `load` and `coverage`.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from wx_datacube.errors import WarehouseError
from wx_datacube.periods import Clock, beijing_now
from wx_datacube.warehouse.locks import Gate, locked
from wx_datacube.warehouse.schema import SCHEMA_VERSION, create_statements

_Config = dict[str, str | bool | int | float | list[str]]

# Readable from DuckDB 1.2 on; v1.0.0 would store the ledger's bodies twelve times as large.
# One thread: a second one makes no load faster, doubles its memory, and takes its core from whoever fetches.
_WRITE: _Config = {"storage_compatibility_version": "v1.2.0", "threads": 1}
_READ: _Config = {"access_mode": "READ_ONLY"}
_READABLE = 0o444

Connection = duckdb.DuckDBPyConnection


class Warehouse:
    """The DuckDB files of one database: `database` is the published one, `writer` the one that runs write.

    `patience` is how many seconds to wait for another process that holds the writer's file.
    """

    def __init__(self, database: Path, *, clock: Clock = beijing_now, patience: float = 60.0) -> None:
        self.database = database
        self.writer = database.with_name(f"{database.stem}.writer.duckdb")
        self.clock = clock
        self._patience = patience
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
                if isinstance(error, duckdb.IOException):
                    raise self._unwritable(error) from None
                raise
            with self._explained():
                con.commit()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The published file, read-only; an empty warehouse in memory where nothing has been published yet."""
        if self.database.exists():
            # Of a foreign program: it would be replayed, and a published file has none of its own.
            with suppress(OSError):
                _wal(self.database).unlink()
            with _interruptions_as_they_are(), self._connect_to_read() as con:
                try:
                    _require_ours(con, self.database)
                    yield con
                except duckdb.IOException as error:
                    raise WarehouseError(
                        f"{self.database} can't be read: {_brief(error)}.",
                        advice="If it is damaged, delete it: the next run makes it again from the writer's file.",
                    ) from None
        else:
            with duckdb.connect() as con:
                _create(con, self.clock)
                yield con

    def _connect_to_read(self) -> Connection:
        try:
            return _connected(self.database, _READ)
        except duckdb.IOException as error:
            raise WarehouseError(
                f"Process {_holder(error)} has {self.database} open for writing.",
                advice="It is for reading only: end that process; what it changes will be replaced.",
            ) from None

    @contextmanager
    def fetching(self, account: str, endpoint: str, waiting: Callable[[str], None]) -> Iterator[None]:
        """Be the only one who fetches this endpoint for this account; wait for another one as long as it takes."""
        with ExitStack() as stack:
            with self._explained():
                stack.enter_context(locked(self._locks / f"{account}.{endpoint}", waiting=waiting))
            yield

    def gate(self, account: str, places: int) -> Gate:
        """What every call for the account passes, so that no more than `places` are in flight over all processes."""
        return Gate(self._locks, f"{account}.call", places)

    def publish(self) -> None:
        """Replace the published file by a copy of the writer's, in one step; readers of the old one keep it.

        Nothing is done where the published file is the copy made last and the writer's has not changed since.
        """
        with self._explained(), self._write_lock():
            if self._receipt().get("files") == self._state_of_files():
                return
            with self._open_writer() as con:
                con.execute("CHECKPOINT")
                self._require_whole(con)
                calls = _last_call(con)
            self._sweep()
            copy = self.database.with_name(f".{self.database.name}.{os.getpid()}.publishing")
            _copy(self.writer, copy, _READABLE)
            # A WAL that a foreign program left behind would be replayed onto the new file.
            _wal(self.database).unlink(missing_ok=True)
            copy.replace(self.database)
            _wal(self.database).unlink(missing_ok=True)
            self._receipt_file.write_text(json.dumps({"files": self._state_of_files(), "calls": calls}))

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

    def _state_of_files(self) -> dict[str, list[int]]:
        found = {}
        for path in (self.writer, self.database, _wal(self.writer), _wal(self.database)):
            with suppress(FileNotFoundError):
                stat = path.stat()
                found[path.name] = [stat.st_ino, stat.st_mtime_ns, stat.st_size]
        return found

    def _write_lock(self) -> AbstractContextManager[None]:
        return locked(self._locks / "write", patience=self._patience)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the system says of files and locks into one clear line."""
        try:
            yield
        except TimeoutError as error:
            raise WarehouseError(
                f"Process {error} has been writing {self.writer} for over {self._patience:.0f} s.",
                advice=f"Let it finish, or end it (kill {error}) if it hangs, and start again; nothing is lost.",
            ) from None
        except (OSError, duckdb.IOException) as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: Exception) -> WarehouseError:
        return WarehouseError(
            f"{self.database.parent} can't be written: {_brief(error)}.",
            advice="Free space, or give this user the right to write there, or set WX_DATACUBE_DATABASE.",
        )

    @contextmanager
    def _open_writer(self) -> Iterator[Connection]:
        if not self.writer.exists():
            self._make_writer()
        with self._connect_patiently() as con:
            _require_ours(con, self.writer)
            self._require_fuller(con)
            yield con

    def _connect_patiently(self) -> Connection:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return _connected(self.writer, _WRITE)
            except duckdb.IOException as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(_holder(error)) from None
            time.sleep(0.1)

    def _make_writer(self) -> None:
        """Make the writer's file: from the published one, which holds everything, else empty."""
        _wal(self.writer).unlink(missing_ok=True)
        making = self.writer.with_name(f".{self.writer.name}.{os.getpid()}.making")
        making.unlink(missing_ok=True)
        if self.database.exists():
            with self.reading():
                _copy(self.database, making, 0o644)
        else:
            with duckdb.connect(str(making), config=_WRITE) as con:
                _create(con, self.clock)
        making.replace(self.writer)

    def _require_fuller(self, con: Connection) -> None:
        """Refuse a writer's file that holds fewer calls than the published one."""
        there, here = self._published_calls(), _last_call(con)
        if here < there:
            raise WarehouseError(
                f"{self.writer} holds {here:,} calls, the published {self.database} {there:,}.",
                advice=f"Delete {self.writer} (it is made again from the published file) and start again.",
            )

    def _require_whole(self, con: Connection) -> None:
        """Refuse to publish a writer's file that was cut off: DuckDB notices only when it reads what is missing."""
        ((used, size),) = con.execute("SELECT used_blocks, block_size FROM pragma_database_size()").fetchall()
        if self.writer.stat().st_size < used * size:
            raise WarehouseError(
                f"{self.writer} is damaged: its end is missing.",
                advice=f"Delete {self.writer} (it is made again from the published file) and start again.",
            )

    def _published_calls(self) -> int:
        """Calls in the published file, as noted when it was published; a file from elsewhere is opened to see.

        Where that can't be done with the very file that we published, because somebody writes into it or has spoiled
        it, the note counts: a run has only to put a new one in its place.
        """
        receipt, now = self._receipt(), self._state_of_files().get(self.database.name)
        if now is None:
            return 0
        noted = receipt.get("files", {}).get(self.database.name)
        if noted == now:
            return int(receipt["calls"])
        try:
            with self.reading() as published:
                return _calls_in_order(published)
        except (WarehouseError, duckdb.Error):
            if noted is None or noted[0] != now[0]:
                raise
            return int(receipt["calls"])

    def _sweep(self) -> None:
        """Remove what killed processes left half-written; the write lock keeps others from being at it."""
        for pattern in (f".{self.database.name}.*.publishing", f".{self.writer.name}.*.making"):
            for left_over in self.database.parent.glob(pattern):
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


def _connected(path: Path, config: _Config) -> Connection:
    try:
        return duckdb.connect(str(path), config=config)
    except duckdb.IOException as error:
        if _holder(error):
            raise
        raise WarehouseError(
            f"{path} can't be opened as a DuckDB file: {_brief(error)}.",
            advice="Move it away, or set WX_DATACUBE_DATABASE to another path; it has not been changed.",
        ) from None


def _holder(error: duckdb.IOException) -> str | None:
    """The process that has the file open, where that is what the error is about."""
    found = re.search(r"\(PID (\d+)\)", str(error))
    return found and found[1]


def _create(con: Connection, clock: Clock) -> None:
    con.begin()
    for statement in create_statements():
        con.execute(statement)
    con.execute("INSERT INTO datacube.meta VALUES ($version, $now)", {"version": SCHEMA_VERSION, "now": clock()})
    con.commit()


def _require_ours(con: Connection, path: Path) -> None:
    try:
        versions = con.execute("SELECT schema_version FROM datacube.meta").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        versions = []
    if not versions:
        raise WarehouseError(
            f"{path} is a DuckDB file, but not one of wx_datacube.",
            advice="Set WX_DATACUBE_DATABASE to another path; it has not been changed.",
        )
    if versions[0][0] > SCHEMA_VERSION:
        raise WarehouseError(
            f"{path} was made by a newer wx_datacube (schema {versions[0][0]}, this one knows {SCHEMA_VERSION}).",
            advice="Upgrade wx_datacube (git pull && make install); the file has not been changed.",
        )


def _last_call(con: Connection) -> int:
    found = con.execute("SELECT coalesce(max(call_id), 0) FROM datacube.api_calls").fetchone()
    return int(found[0]) if found else 0


def _calls_in_order(con: Connection) -> int:
    """Calls from the first to the first gap: our ledgers have none, and what a foreign program adds doesn't count."""
    numbered = "SELECT call_id, row_number() OVER (ORDER BY call_id) AS place FROM datacube.api_calls"
    ((found,),) = con.execute(f"SELECT count(*) FROM ({numbered}) WHERE call_id = place").fetchall()
    return int(found)


def _copy(source: Path, target: Path, mode: int) -> None:
    """Copy a file so that it is on the disk before it gets its name."""
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())
    target.chmod(mode)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _brief(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0].rstrip(".")
