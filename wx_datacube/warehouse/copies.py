"""Copies: a file copied so that it is on the disk, and read so that every byte of it has been looked at.

Nothing here knows which file is which.
"""

import os
import shutil
from pathlib import Path

import duckdb


def copy_file(source: Path, target: Path, mode: int) -> None:
    """Copy a file so that it is on the disk before it gets its name; nothing is left of a copy that fails."""
    part = target.with_name(f"{target.name}.part")
    try:
        shutil.copyfile(source, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(mode)
        part.replace(target)
    except OSError:
        # Where the disk is full, half a copy would take what the next commit needs.
        part.unlink(missing_ok=True)
        raise


def read_all(con: duckdb.DuckDBPyConnection) -> None:
    """Read every row of every table: DuckDB notices damage only when it reads what is damaged, and raises then."""
    for schema, table in con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
        con.execute(f'SELECT bit_xor(hash(line)) FROM "{schema}"."{table}" AS line').fetchall()
