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
from wx_datacube.language import Text, text_of

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


def unwritable(folder: Path, error: Exception, elsewhere: Text | None = None) -> WarehouseError:
    """Return the error for a folder that can't be written to, or a file or folder in it.

    `elsewhere` is the advice on how to write to another folder.
    """
    path = _path_in(error) or folder
    if getattr(error, "errno", None) == errno.ELOOP:
        return WarehouseError(
            Text("{path} is a symbolic link, which is not followed.", "{path} 是符号链接，程序不会跟随它。", path=path),
            advice=Text("Delete the link and start again.", "请删除该链接后重新运行。"),
        )
    if is_permission_error(error):
        return permission_denied(path, "written", error, elsewhere)
    elsewhere = elsewhere or Text("set WX_DATACUBE_DATABASE", "设置 WX_DATACUBE_DATABASE")
    if isinstance(error, _IN_THE_WAY):
        place = next(each for each in (path, *path.parents) if os.path.lexists(each))
        kind, wanted = (_FOLDER, _FILE) if place.is_dir() else (_FILE, _FOLDER)
        return WarehouseError(
            Text(
                "{place} can't be written: it must be a {wanted}.",
                "无法写入 {place}：它必须是{wanted}。",
                place=place,
                wanted=wanted,
            ),
            advice=Text(
                "Move that {kind} away, or {elsewhere}.",
                "请移走该{kind}，或{elsewhere}。",
                kind=kind,
                elsewhere=elsewhere,
            ),
        )
    return WarehouseError(
        Text(
            "{folder} can't be written: {error}.",
            "无法写入 {folder}：{error}。",
            folder=folder,
            error=first_line(error),
        ),
        advice=Text(
            "Free space, or give this user write permission there, or {elsewhere}.",
            "请清理磁盘空间，或授予当前用户该文件夹的写权限，或{elsewhere}。",
            elsewhere=elsewhere,
        ),
    )


_FOLDER, _FILE = Text("folder", "文件夹"), Text("file", "文件")


def lock_timeout(path: Path, process: object, seconds: float) -> WarehouseError:
    """Return the error for a lock that another process has held for too long."""
    return WarehouseError(
        Text(
            "Process {process} has held {path} for over {seconds:.0f} s.",
            "进程 {process} 占用 {path} 已超过 {seconds:.0f} 秒。",
            process=process,
            path=path,
            seconds=seconds,
        ),
        advice=Text(
            "Let it finish, or end it (kill {process}) if it hangs, and run the command again.",
            "请等它结束；如已卡住，请将其终止（kill {process}），然后再次运行该命令。",
            process=process,
        ),
    )


def heartbeat_timeout(process: object, what: Text, seconds: float) -> WarehouseError:
    """Return the error for another process that does the same work and gives no heartbeat."""
    return WarehouseError(
        Text(
            "Process {process} is {what} and has given no heartbeat for {seconds:.0f} s.",
            "进程 {process} {what}，但已 {seconds:.0f} 秒没有心跳。",
            process=process,
            what=what,
            seconds=seconds,
        ),
        advice=Text(
            "If it was suspended, resume it (kill -CONT {process}) or kill it (kill -9 {process}); then run the command"
            " again. What it has stored stays.",
            "如果它被挂起，请恢复（kill -CONT {process}）或终止（kill -9 {process}）后再次运行该命令；"
            "已保存的数据会保留。",
            process=process,
        ),
    )


def permission_denied(path: Path, what: str, error: Exception, elsewhere: Text | None = None) -> WarehouseError:
    """Return the error for a file that this user may not use.

    The advice is to grant the permission, since without the file its history would be lost.
    """
    place = _denied_path(path, what)
    owner, user = place.stat().st_uid, os.geteuid()
    command = _permission_command(place, what, owner, user)
    if elsewhere is None and place.is_dir():
        elsewhere = Text(
            "set WX_DATACUBE_DATABASE to a path in a folder of this user",
            "将 WX_DATACUBE_DATABASE 设为当前用户文件夹中的路径",
        )
    return WarehouseError(
        Text(
            "{place} can't be {what}: {error}. It belongs to {owner}; this user is {user}.",
            "无法{what} {place}：{error}。它属于 {owner}，当前用户是 {user}。",
            place=place,
            what=Text("read", "读取") if what == "read" else Text("written", "写入"),
            error=first_line(error).split(": ")[-1],
            owner=_user_name(owner),
            user=_user_name(user),
        ),
        advice=Text(
            "Keep it where it is and give this user permission{command}.{other}",
            "请保留在原处，并授予当前用户权限{command}。{other}",
            command=Text(": {command}", "：{command}", command=command) if command else "",
            other=Text(" Or {elsewhere}.", "或{elsewhere}。", elsewhere=elsewhere) if elsewhere else "",
        ),
    )


def _permission_command(place: Path, what: str, owner: int, user: int) -> str:
    """Return the command that grants the permission; none for a folder that may hold other things, such as /var/lib."""
    right = "rwx" if place.is_dir() else "r" if what == "read" else "rw"
    if owner == user:
        return f"chmod u+{right} {shlex.quote(str(place))}"
    if not place.is_dir():
        return f"sudo chown {_user_name(user)} {shlex.quote(str(place))}"
    ours = place.name == ".dagster" or place.suffix == ".locks"
    return f"sudo chown -R {_user_name(user)} {shlex.quote(str(place))}" if ours else ""


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
            Text("{path} is not a DuckDB file.", "{path} 不是 DuckDB 文件。", path=path),
            advice=Text(
                "Move it away, or set WX_DATACUBE_DATABASE to another path. The file is unchanged.",
                "请将其移走，或将 WX_DATACUBE_DATABASE 设为其他路径。该文件未被改动。",
            ),
        )
    return WarehouseError(
        Text(
            "{path} can't be opened as a DuckDB file: {error}.",
            "无法将 {path} 作为 DuckDB 文件打开：{error}。",
            path=path,
            error=first_line(error),
        ),
        advice=Text(
            "Fix that, or set WX_DATACUBE_DATABASE to another path. The file is unchanged.",
            "请解决该问题，或将 WX_DATACUBE_DATABASE 设为其他路径。该文件未被改动。",
        ),
    )


def unreadable_source(path: Path, error: Exception, instead: Text) -> WarehouseError:
    """Return the error for a file of another machine or a backup that can't be read; `instead` says which to give."""
    if process := holder_pid(error):
        return WarehouseError(
            Text(
                "Process {process} has {path} open for writing.",
                "进程 {process} 以写入方式打开了 {path}。",
                process=process,
                path=path,
            ),
            advice=Text("Close it there. {instead}", "请在该进程中关闭它。{instead}", instead=instead),
        )
    if is_permission_error(error):
        copy = Text("give a copy that this user may read", "指定当前用户可读的副本")
        return permission_denied(path, "read", error, copy)
    reason = text_of(first_line(error))
    if not os.path.lexists(path):
        reason = Text("there is no such file", "没有这个文件")
    elif re.search(_OTHER_KIND, str(error)):
        reason = Text("it is not a DuckDB file", "它不是 DuckDB 文件")
    return WarehouseError(
        Text("{path} can't be read: {reason}.", "无法读取 {path}：{reason}。", path=path, reason=reason),
        advice=instead,
    )


def damaged_writer(writer: Path, database: Path, error: Exception) -> WarehouseError:
    """Return the error for a writer's file that has other bytes than were written."""
    return WarehouseError(
        Text("{writer} is damaged: {error}.", "{writer} 已损坏：{error}。", writer=writer, error=first_line(error)),
        advice=_replace_writer_advice(writer, database),
    )


def damaged_database(writer: Path, database: Path, error: Exception) -> WarehouseError:
    """Return the error for a published file that can't be read."""
    return WarehouseError(
        Text(
            "{database} can't be read: {error}.",
            "无法读取 {database}：{error}。",
            database=database,
            error=first_line(error),
        ),
        advice=Text("If it is damaged, {advice}", "如果它已损坏，{advice}", advice=_replace_database_advice(writer)),
    )


def empty(path: Path, writer: Path, database: Path) -> WarehouseError:
    """Return the error for a file of no bytes at one of the two paths: the result of a failed copy or a full disk."""
    return WarehouseError(
        Text("{path} is an empty file (0 bytes).", "{path} 是空文件（0 字节）。", path=path),
        advice=_replace_database_advice(writer).mapped(lambda text: text[0].upper() + text[1:])
        if path == database
        else _replace_writer_advice(writer, database),
    )


def _has_bytes(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _replace_writer_advice(writer: Path, database: Path) -> Text:
    if _has_bytes(database):
        return Text(
            "Delete {writer} (the next run recreates it from the published file) and start again; newer data is"
            " fetched again.",
            "请删除 {writer}（下次运行会从已发布的数据文件重建）后重新运行；较新的数据会再次获取。",
            writer=writer,
        )
    return Text(
        "Move it away, put a backup in place of {database}, and start again; or set WX_DATACUBE_DATABASE to another"
        " path.",
        "请将其移走，用备份恢复 {database} 后重新运行；或将 WX_DATACUBE_DATABASE 设为其他路径。",
        database=database,
    )


def _replace_database_advice(writer: Path) -> Text:
    if _has_bytes(writer):
        return Text(
            "delete it: the next run recreates it from the writer's file.", "请将其删除，下次运行会从写入用的文件重建。"
        )
    return Text(
        "put a backup in its place, or set WX_DATACUBE_DATABASE to another path.",
        "请用备份恢复，或将 WX_DATACUBE_DATABASE 设为其他路径。",
    )
