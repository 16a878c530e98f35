"""Copies: a file copied so that it is on the disk, and read so that every byte of it has been looked at.

Nothing here knows which file is which.
"""

import errno
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb


def copy_file(source: Path, target: Path, mode: int) -> None:
    """Copy a file, which gets its name once it is whole; nothing is left of a copy that fails."""
    part = target.with_name(f"{target.name}.part")
    try:
        _copy(source, part)
        part.chmod(mode)
        part.replace(target)
    except OSError:
        # Where the disk is full, half a copy would take what the next commit needs.
        part.unlink(missing_ok=True)
        raise


def _copy(source: Path, target: Path) -> None:
    """By the kernel, which on XFS and btrfs lets both files share their blocks: any size in no time."""
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError) as error:  # macOS has none, nor have some filesystems
            if isinstance(error, OSError) and error.errno not in _NOT_HERE:
                raise
            reader.seek(0)
            writer.truncate(0)
            shutil.copyfileobj(reader, writer, 1 << 20)


_NOT_HERE = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL}


def onto_disk(path: Path) -> None:
    """Wait until the disk has all of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_all(con: duckdb.DuckDBPyConnection) -> None:
    """Read every row of every table: DuckDB notices damage only when it reads what is damaged, and raises then."""
    for table in _tables(con):
        con.execute(f"SELECT bit_xor(hash(line)) FROM {table} AS line").fetchall()


def read_changed(con: duckdb.DuckDBPyConnection, file: Path, before: Path) -> None:
    """Read every row that lies in a block which is other in `file`, where `con` is, than in `before`.

    That is as good as `read_all` where `before` was read whole, and takes as long as there is news.
    """
    ((size,),) = con.execute("SELECT block_size FROM pragma_database_size()").fetchall()
    changed = json.dumps(list(_changed_blocks(file, before, size)))
    for table in _tables(con):
        con.execute(f"SELECT count(*) FROM {table}").fetchall()  # reads what says which rows are deleted
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


def _changed_blocks(file: Path, before: Path, size: int) -> Iterator[int]:
    """The numbers of DuckDB's blocks, of so many bytes, that differ."""
    with file.open("rb") as new, before.open("rb") as old:
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
