"""Copies: a file copied so that it is on the disk, and read so that every byte of it has been looked at.

Nothing here knows which file is which.
"""

import errno
import os
import shutil
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
    for schema, table in con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
        con.execute(f'SELECT bit_xor(hash(line)) FROM "{schema}"."{table}" AS line').fetchall()
