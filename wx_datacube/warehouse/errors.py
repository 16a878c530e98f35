"""Errors: faults of the two files, as errors that say which file, why, and what to do about it.

Add another way in which a file can't be used here. DuckDB has one class for a full disk, a damaged file, a file that
may not be read and a file that is no database; the error text distinguishes them. Nothing here opens a file.
"""

import errno
import os
import pwd
import re
import shlex
from pathlib import Path

import duckdb

from wx_datacube.errors import WarehouseError

_FILE_FAULTS = (
    OSError,
    duckdb.IOException,
    duckdb.FatalException,  # a failed checkpoint
    duckdb.SerializationException,
)
_DAMAGE = "[Cc]orrupt|checksum|[Dd]eserialize|[Ss]erialization Error|replaying WAL|Could not read"
_PERMISSION = "Permission denied|Operation not permitted"
# For an SQLite file, DuckDB reports a missing extension.
_OTHER_KIND = "not a valid DuckDB database file|Extension "
_IN_THE_WAY = (FileExistsError, IsADirectoryError, NotADirectoryError)


def is_file_fault(error: Exception) -> bool:
    """Return whether the error comes from a file, not from the query."""
    # The text counts too: DuckDB 2.0 has no class of its own for a checksum mismatch.
    return isinstance(error, _FILE_FAULTS) or is_damage(error)


def is_damage(error: Exception) -> bool:
    """Return whether a file has other bytes than were written, so that neither space nor permissions would help."""
    return isinstance(error, duckdb.Error) and re.search(_DAMAGE, str(error)) is not None


def holder_pid(error: Exception) -> str | None:
    """Return the PID of the process that has the file open, if that is the cause of the error."""
    if isinstance(error, duckdb.BinderException | duckdb.ConnectionException):
        return str(os.getpid()) if _OPEN_HERE.search(str(error)) else None
    found = re.search(r"\(PID (\d+)\)", str(error))
    return found and found[1]


_OPEN_HERE = re.compile("same database file with a different configuration|Unique file handle conflict")
"""DuckDB's messages if another thread of this process has the file open, or is about to open it."""


def first_line(error: Exception) -> str:
    """Return the error's message as one line."""
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0].rstrip(".")


def is_permission_error(error: Exception) -> bool:
    """Return whether this user has no permission for a file or a folder."""
    # The text counts too: if a WAL can't be created, DuckDB raises a transaction error.
    said = isinstance(error, duckdb.Error) and re.search(_PERMISSION, str(error)) is not None
    return said or isinstance(error, PermissionError)


def unwritable(folder: Path, error: Exception, elsewhere: str = "") -> WarehouseError:
    """Return the error for a folder that can't be written to, or a file or folder in it.

    `elsewhere` is the advice on how to write to another folder.
    """
    path = _path_in(error) or folder
    if getattr(error, "errno", None) == errno.ELOOP:
        return WarehouseError(
            f"{path} is a symbolic link, which is not followed.", advice="Delete the link and start again."
        )
    if is_permission_error(error):
        return permission_denied(path, "written", error, elsewhere)
    elsewhere = elsewhere or "set WX_DATACUBE_DATABASE"
    if isinstance(error, _IN_THE_WAY):
        place = next(each for each in (path, *path.parents) if os.path.lexists(each))
        kind, wanted = ("folder", "file") if place.is_dir() else ("file", "folder")
        return WarehouseError(
            f"{place} can't be written: it must be a {wanted}.",
            advice=f"Move that {kind} away, or {elsewhere}.",
        )
    return WarehouseError(
        f"{folder} can't be written: {first_line(error)}.",
        advice=f"Free space, or give this user write permission there, or {elsewhere}.",
    )


def lock_timeout(path: Path, process: object, seconds: float) -> WarehouseError:
    """Return the error for a lock that another process has held for too long."""
    return WarehouseError(
        f"Process {process} has held {path} for over {seconds:.0f} s.",
        advice=f"Let it finish, or end it (kill {process}) if it hangs, and run the command again.",
    )


def heartbeat_timeout(process: object, what: str, seconds: float) -> WarehouseError:
    """Return the error for another process that does the same work and gives no heartbeat."""
    return WarehouseError(
        f"Process {process} is {what} and has given no heartbeat for {seconds:.0f} s.",
        advice=f"If it was suspended, resume it (kill -CONT {process}) or kill it (kill -9 {process}); then run the"
        " command again. What it has stored stays.",
    )


def permission_denied(path: Path, what: str, error: Exception, elsewhere: str = "") -> WarehouseError:
    """Return the error for a file that this user may not use.

    The advice is to grant the permission, since without the file its history would be lost.
    """
    place = _denied_path(path, what)
    owner, user = place.stat().st_uid, os.geteuid()
    command = _permission_command(place, what, owner, user)
    elsewhere = elsewhere or ("set WX_DATACUBE_DATABASE to a path in a folder of this user" if place.is_dir() else "")
    other = f" Or {elsewhere}." if elsewhere else ""
    return WarehouseError(
        f"{place} can't be {what}: {first_line(error).split(': ')[-1]}. It belongs to {_user_name(owner)};"
        f" this user is {_user_name(user)}.",
        advice=f"Keep it where it is and give this user permission{command}.{other}",
    )


def _permission_command(place: Path, what: str, owner: int, user: int) -> str:
    """Return the command that grants the permission; none for a folder that may hold other things, such as /var/lib."""
    right = "rwx" if place.is_dir() else "r" if what == "read" else "rw"
    if owner == user:
        return f": chmod u+{right} {shlex.quote(str(place))}"
    if not place.is_dir():
        return f": sudo chown {_user_name(user)} {shlex.quote(str(place))}"
    ours = place.name == ".dagster" or place.suffix == ".locks"
    return f": sudo chown -R {_user_name(user)} {shlex.quote(str(place))}" if ours else ""


def _denied_path(path: Path, what: str) -> Path:
    """Return what this user lacks permission for: the file, or the folder in which it can't be created or reached.

    If neither the file nor its folder can be written, the folder is returned: all of it belongs to another user.
    """
    there = [place for place in (path, *path.parents) if _may(place, os.F_OK)]
    place = next((place for place in there if not _may_use(place)), there[0])
    alone = what == "read" or place.is_dir() or _may_use(place.parent)
    return place if alone else place.parent


def _may_use(place: Path) -> bool:
    return _may(place, os.R_OK | os.W_OK | (os.X_OK if place.is_dir() else 0))


def _may(place: Path, what: int) -> bool:
    return os.access(place, what, effective_ids=os.access in os.supports_effective_ids)


def _path_in(error: Exception) -> Path | None:
    """Return the file that an error names, if any."""
    found = re.search(r'file "(.+)":', str(error)) if isinstance(error, duckdb.Error) else None
    name = found[1] if found else getattr(error, "filename", None)
    return Path(name) if name else None


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def unopenable(path: Path, writer: Path, database: Path, error: Exception) -> WarehouseError:
    """Return the error for one of the two files that DuckDB can't open although no process holds it."""
    if is_permission_error(error):
        return permission_denied(_path_in(error) or path, "read" if path == database else "written", error)
    if path.is_file() and not path.stat().st_size:
        return empty(path, writer, database)
    if re.search(_OTHER_KIND, str(error)):
        return WarehouseError(
            f"{path} is not a DuckDB file.",
            advice="Move it away, or set WX_DATACUBE_DATABASE to another path. The file is unchanged.",
        )
    return WarehouseError(
        f"{path} can't be opened as a DuckDB file: {first_line(error)}.",
        advice="Fix that, or set WX_DATACUBE_DATABASE to another path. The file is unchanged.",
    )


def damaged_writer(writer: Path, database: Path, error: Exception) -> WarehouseError:
    """Return the error for a writer's file that has other bytes than were written."""
    return WarehouseError(f"{writer} is damaged: {first_line(error)}.", advice=_replace_writer_advice(writer, database))


def damaged_database(writer: Path, database: Path, error: Exception) -> WarehouseError:
    """Return the error for a published file that can't be read."""
    advice = f"If it is damaged, {_replace_database_advice(writer)}"
    return WarehouseError(f"{database} can't be read: {first_line(error)}.", advice=advice)


def empty(path: Path, writer: Path, database: Path) -> WarehouseError:
    """Return the error for a file of no bytes at one of the two paths: the result of a failed copy or a full disk."""
    advice = _replace_database_advice(writer) if path == database else _replace_writer_advice(writer, database)
    return WarehouseError(f"{path} is an empty file (0 bytes).", advice=advice[0].upper() + advice[1:])


def _has_bytes(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _replace_writer_advice(writer: Path, database: Path) -> str:
    if _has_bytes(database):
        return (
            f"Delete {writer} (the next run recreates it from the published file) and start again; newer data is"
            " fetched again."
        )
    return (
        f"Move it away, put a backup in place of {database}, and start again; or set WX_DATACUBE_DATABASE to"
        " another path."
    )


def _replace_database_advice(writer: Path) -> str:
    if _has_bytes(writer):
        return "delete it: the next run recreates it from the writer's file."
    return "put a backup in its place, or set WX_DATACUBE_DATABASE to another path."
