"""Copies: copy a file and flush it to disk, and read all rows of a DuckDB file to detect damage.

Add here what works on any file. Which files there are, and when they are copied, belongs in `files`.
"""

import ctypes
import errno
import itertools
import json
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import duckdb


def copy_file(source: Path, target: Path, mode: int | None = None) -> None:
    """Copy a file. The copy gets its name once it is complete; a failed copy leaves nothing behind.

    Without a `mode` the copy gets the permissions of any new file.
    """
    with source.open("rb") as reader, replacing(target, mode) as writer:
        _copy(reader, writer)


@contextmanager
def replacing(target: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `target` atomically at the end; after an error it is deleted.

    Without a `mode` the file gets the permissions of any new file.
    """
    part = target.with_name(f"{target.name}.part")
    with _renamed(part, target, mode), open_new(part) as writer:
        yield writer


@contextmanager
def replacing_path(target: Path) -> Iterator[Path]:
    """Yield the path for a new file that replaces `target` atomically at the end; after an error it is deleted.

    Its name holds the process number, so that two commands may write the same target.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with _renamed(part, target):
        yield part


@contextmanager
def _renamed(part: Path, target: Path, mode: int | None = None) -> Iterator[None]:
    try:
        yield
        if mode is not None:
            part.chmod(mode)
        part.replace(target)
    except BaseException:
        # On a full disk, half a file would take the space that the next commit needs.
        with suppress(OSError):
            part.unlink()
        raise


def open_new(path: Path) -> BinaryIO:
    """Open a temporary file for writing; replaces a left-over file and doesn't follow a link."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb")


def _copy(reader: BinaryIO, writer: BinaryIO) -> None:
    """Copy with `copy_file_range`: on XFS and btrfs both files then share their blocks, so no size takes time."""
    try:
        while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
            pass
    except (AttributeError, OSError) as error:  # macOS and some file systems don't have it
        if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
            raise
        reader.seek(0)
        writer.seek(0)
        writer.truncate()
        shutil.copyfileobj(reader, writer, 1 << 20)


_UNSUPPORTED = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL}


def flush_to_disk(path: Path) -> None:
    """Flush a file, and its name in its folder, to disk."""
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def created_at(path: Path) -> int | None:
    """Return when a file was created, in nanoseconds; None if the system doesn't say.

    An inode number alone doesn't identify a file: many file systems give the number of a deleted file to the next one.
    """
    if _statx is None:
        made: float | None = getattr(path.stat(), "st_birthtime", None)
        return None if made is None else int(made * 1e9)
    answer = ctypes.create_string_buffer(256)
    if _statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, answer):
        return None
    (mask,) = struct.unpack_from("I", answer)
    seconds, nanoseconds = struct.unpack_from("qI", answer, 80)
    return int(seconds * 10**9 + nanoseconds) if mask & _STATX_BTIME else None


# Python's os.stat has st_birthtime on macOS and BSD only.
_statx: Any = getattr(ctypes.CDLL(None), "statx", None)
_AT_FDCWD = -100
_STATX_BTIME = 0x800


def read_all(con: duckdb.DuckDBPyConnection) -> None:
    """Read every row of every table: DuckDB detects damage only when it reads the damaged part, and raises then."""
    for table in _tables(con):
        con.execute(f"SELECT bit_xor(hash(line)) FROM {table} AS line").fetchall()


def read_changed(con: duckdb.DuckDBPyConnection, file: Path, previous: Path) -> None:
    """Read every row in a block that differs between `file`, which `con` has open, and `previous`.

    This detects as much damage as `read_all` if `previous` has been read completely. Its time grows with the changes.
    """
    ((size,),) = con.execute("SELECT block_size FROM pragma_database_size()").fetchall()
    changed = json.dumps(list(_changed_blocks(file, previous, size)))
    for table in _tables(con):
        con.execute(f"SELECT count(*) FROM {table}").fetchall()  # reads the information on deleted rows
        groups = con.execute(
            f"""
            SELECT sum(count) FILTER (column_id = 0 AND segment_type <> 'VALIDITY'),
                bool_or(list_has_any(list_append(additional_block_ids, block_id), $changed::JSON::BIGINT[]))
            FROM pragma_storage_info('{table.replace("'", "''")}') GROUP BY row_group_id ORDER BY row_group_id
            """,
            {"changed": changed},
        ).fetchall()
        begin = 0
        for rows, news in groups:
            if news:
                within = f"rowid >= {begin} AND rowid < {begin + rows}"
                con.execute(f"SELECT bit_xor(hash(line)) FROM {table} AS line WHERE {within}").fetchall()
            begin += rows


def _tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    found = con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
    return [f'"{schema}"."{table}"' for schema, table in found]


def _changed_blocks(file: Path, previous: Path, size: int) -> Iterator[int]:
    """Yield the numbers of the DuckDB blocks that differ; each block has `size` bytes."""
    with file.open("rb") as new, previous.open("rb") as old:
        for each in (new, old):
            each.seek(_HEADERS)
        for number in itertools.count():
            block = new.read(size)
            if not block:
                return
            if block != old.read(size):
                yield number


_HEADERS = 3 * 4096
"""Bytes before the first block of a DuckDB file."""
