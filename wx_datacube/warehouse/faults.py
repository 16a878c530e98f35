"""Faults: what goes wrong with the two files, as errors that say which file, why, and what to do about it.

Add here another way in which a file can't be used. DuckDB has one class for a full disk, a damaged file and one that
is no database, so its text has to tell them apart. Nothing here opens a file.
"""

import re
from pathlib import Path

import duckdb

from wx_datacube.errors import WarehouseError

_FILE_FAULTS = (
    OSError,
    duckdb.IOException,
    duckdb.FatalException,  # a checkpoint that failed
    duckdb.SerializationException,
)
_DAMAGE = "[Cc]orrupt|checksum|[Dd]eserialize|[Ss]erialization Error|replaying WAL|Could not read"


def is_file_fault(error: Exception) -> bool:
    """Whether a file, not the question asked, is at fault."""
    # By its text too: DuckDB 2.0 has no class of its own for a checksum that doesn't match.
    return isinstance(error, _FILE_FAULTS) or is_damage(error)


def is_damage(error: Exception) -> bool:
    """Whether a file has other bytes than were written, so that neither space nor rights would help."""
    return isinstance(error, duckdb.Error) and re.search(_DAMAGE, str(error)) is not None


def holder(error: Exception) -> str | None:
    """The process that has the file open, where that is what the error is about."""
    found = re.search(r"\(PID (\d+)\)", str(error))
    return found and found[1]


def brief(error: Exception) -> str:
    """What the system says, as one line."""
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0].rstrip(".")


def unwritable(folder: Path, error: Exception, otherwise: str = "set WX_DATACUBE_DATABASE") -> WarehouseError:
    """There is no space, or no right to write; `otherwise` is how to write elsewhere."""
    return WarehouseError(
        f"{folder} can't be written: {brief(error)}.",
        advice=f"Free space, or give this user the right to write there, or {otherwise}.",
    )


def damaged_writer(writer: Path, database: Path, error: Exception) -> WarehouseError:
    """The writer's file holds other bytes than were written."""
    if database.exists():
        advice = f"Delete {writer} (it is made again from the published file) and start again; what came since is asked"
        return WarehouseError(f"{writer} is damaged: {brief(error)}.", advice=f"{advice} again.")
    return WarehouseError(
        f"{writer} is damaged: {brief(error)}.",
        advice=f"Move it away, put a backup in the place of {database}, and start again; or set WX_DATACUBE_DATABASE"
        " to another path.",
    )


def damaged_database(writer: Path, database: Path, error: Exception) -> WarehouseError:
    """The published file can't be read."""
    advice = "If it is damaged, delete it: the next run makes it again from the writer's file."
    if not writer.exists():
        advice = "If it is damaged, put a backup in its place, or set WX_DATACUBE_DATABASE to another path."
    return WarehouseError(f"{database} can't be read: {brief(error)}.", advice=advice)


def not_duckdb(path: Path, error: Exception) -> WarehouseError:
    """Something else is in the place of a file."""
    return WarehouseError(
        f"{path} can't be opened as a DuckDB file: {brief(error)}.",
        advice="Move it away, or set WX_DATACUBE_DATABASE to another path; it has not been changed.",
    )
