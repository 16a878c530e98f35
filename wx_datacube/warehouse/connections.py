"""Connections: how DuckDB opens a file, and what every connection needs.

Add an option of DuckDB, or a check of a file that has just been opened, here. Which files there are, and when they are
opened, belongs in `database_files` and `files`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from wx_datacube.catalog.periods import Clock
from wx_datacube.errors import WarehouseError
from wx_datacube.language import Text
from wx_datacube.warehouse.migrate import version_of
from wx_datacube.warehouse.schema import SCHEMA_VERSION, create_statements

Connection = duckdb.DuckDBPyConnection

Config = dict[str, str | bool | int | float | list[str]]
"""DuckDB's options."""

# If our path holds an SQLite file, DuckDB would download an extension over plain HTTP. The extensions we use, JSON and
# Parquet, are built in.
NO_EXTENSIONS: Config = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
# DuckDB 1.2 and later can read this format. In the v1.0.0 format the ledger's bodies take twelve times the space.
STORAGE = "v1.2.0"
# One thread: a second one doesn't speed up loading, doubles its memory, and takes a core from the processes that fetch.
WRITE: Config = {**NO_EXTENSIONS, "storage_compatibility_version": STORAGE, "threads": 1}
READ_ONLY: Config = {**NO_EXTENSIONS, "access_mode": "READ_ONLY"}
"""DuckDB configuration for every reader of the published file."""

# Without a folder for temporary data, a query that needs more memory fails instead of filling the disk.
SANDBOXED: Config = {
    **READ_ONLY,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "enable_external_access": False,
    "memory_limit": "512MB",
    "python_enable_replacements": False,
    "temp_directory": "",
    "threads": 1,
}
"""DuckDB configuration for SQL that somebody else wrote; `lock_sandbox` completes it."""


def lock_sandbox(con: Connection) -> None:
    """Close the last ways to a file: without this, SQL may read the bytes of the file that is open."""
    con.execute("SET disabled_filesystems = 'LocalFileSystem'")  # the file that is open stays readable as a database
    con.execute("SET lock_configuration = true")


@contextmanager
def restore_interrupts() -> Iterator[None]:
    """Raise the original interruption if DuckDB turns a Ctrl-C during a query into a RuntimeError.

    The RuntimeError would look like a fault.
    """
    try:
        yield
    except RuntimeError as error:
        if error.__cause__ is None or isinstance(error.__cause__, Exception):
            raise
        raise error.__cause__ from None


def create_tables(con: Connection, clock: Clock, comments: bool = True) -> None:
    """Create the tables and views of an empty warehouse."""
    con.begin()
    for statement in create_statements():
        if comments or not statement.startswith("COMMENT"):
            con.execute(statement)
    con.execute("INSERT INTO datacube.meta VALUES ($version, $now)", {"version": SCHEMA_VERSION, "now": clock()})
    con.commit()


_OTHER_DATABASE = Text("Set WX_DATACUBE_DATABASE to another path.", "请将 WX_DATACUBE_DATABASE 设为其他路径。")


def require_ours(con: Connection, path: Path, instead: Text = _OTHER_DATABASE) -> int:
    """Return the file's schema version; reject a foreign file and a file of a newer version.

    `instead` is the advice for a foreign file.
    """
    version = version_of(con)
    if version is None:
        raise WarehouseError(
            Text(
                "{path} is a DuckDB file that wx_datacube didn't create.",
                "{path} 是 DuckDB 文件，但不是 wx_datacube 创建的。",
                path=path,
            ),
            advice=Text("{instead} The file is unchanged.", "{instead}该文件未被改动。", instead=instead),
        )
    if version > SCHEMA_VERSION:
        raise WarehouseError(
            Text(
                "{path} was created by a newer wx_datacube (schema {version}; this version supports up to {current}).",
                "{path} 由更新版本的 wx_datacube 创建（schema {version}，当前版本最高支持 {current}）。",
                path=path,
                version=version,
                current=SCHEMA_VERSION,
            ),
            advice=Text(
                "Upgrade wx_datacube (git pull && make install). The file is unchanged.",
                "请升级 wx_datacube（git pull && make install）。该文件未被改动。",
            ),
        )
    return version


def contiguous_calls(con: Connection) -> int:
    """Count the calls up to the first gap: our ledgers have no gap, and calls from a foreign program don't count."""
    numbered = "SELECT call_id, row_number() OVER (ORDER BY call_id) AS place FROM datacube.api_calls"
    ((found,),) = con.execute(f"SELECT count(*) FROM ({numbered}) WHERE call_id = place").fetchall()
    return int(found)
