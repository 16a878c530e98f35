"""Environment: the environment variables, `.env` and project folder of a process.

Only this module reads `os.environ` and `.env` (Dagster's resources name their variables by `settings.variable`);
`variables` defines what each variable may hold. As everywhere in Dagster, `.env` overrides the environment, and a blank
`KEY=` overrides an exported one.
"""

import datetime as dt
import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Original, parse_stream

from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.settings import ACCOUNT, ACCOUNT_FIELDS, Account, Settings, raise_wrong_value
from wx_datacube.config.variables import Reader
from wx_datacube.errors import SettingsError
from wx_datacube.language import Language, Text, language_of

_CHOSEN_DOTENV = "_WX_DATACUBE_DOTENV"
"""The `.env` that was chosen in another working directory, by this process or its parent; blank if there is none."""
WORKER = "_WX_DATACUBE_WORKER"
"""What `worker` sets for its code server: a name that no other machine of the hub has."""


def process_environment() -> dict[str, str]:
    """Return a copy of this process's environment, for its child processes."""
    return dict(os.environ)


def bare_environment() -> dict[str, str]:
    """Return what a child process needs to import what this one imports: no settings, no secrets, no home folder."""
    kept = re.compile(r"PATH|LANG|LC_\w+|PYTHON\w+|LD_\w+|DYLD_\w+|COVERAGE_\w+")
    found = {name: value for name, value in os.environ.items() if kept.fullmatch(name)}
    return found | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def child_environment(settings: Settings) -> dict[str, str]:
    """Return a copy for a child process that starts in another folder and must use the same `.env`."""
    return process_environment() | {_CHOSEN_DOTENV: str(settings.dotenv or "")}


def name_of_worker() -> str:
    """Return the name that `worker` gave this process; empty in any other process."""
    return os.environ.get(WORKER, "")


def find_project(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the project folder: `DAGSTER_HOME`, else the nearest folder upwards with a `dagster.yaml`, else None."""
    home = environ.get("DAGSTER_HOME", "").strip()
    if home:
        folder = Path(home).expanduser()
        if not (folder.is_absolute() and folder.is_dir()):
            raise_wrong_value(
                "DAGSTER_HOME",
                Text(
                    "the absolute path of the project folder, which must exist", "项目文件夹的绝对路径，该文件夹须存在"
                ),
            )
        return folder.resolve()
    return _nearest("dagster.yaml", cwd)


def _nearest(name: str, cwd: Path) -> Path | None:
    """Return the nearest folder from `cwd` upwards that contains `name`."""
    here = cwd.resolve()
    return next((folder for folder in (here, *here.parents) if _exists(folder / name)), None)


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # also if this user may not enter a folder above
        return False
    return True


def _nearest_dotenv(environ: Mapping[str, str], cwd: Path) -> Path | None:
    if (chosen := environ.get(_CHOSEN_DOTENV)) is not None:
        return Path(chosen) if chosen else None
    folder = _nearest(".env", cwd)
    return folder and folder / ".env"


def effective_environ(environ: Mapping[str, str], dotenv: Path | None) -> dict[str, str]:
    """Return `environ` overridden by a `.env`, parsed as Dagster parses it. SettingsError if it can't be read."""
    return _with_dotenv(environ, dotenv)[0]


def _with_dotenv(environ: Mapping[str, str], dotenv: Path | None) -> tuple[dict[str, str], list[int]]:
    """Return `effective_environ`, and the numbers of the lines of `.env` that set nothing.

    python-dotenv doesn't get those lines: it would warn about each of them, repeatedly and without naming the file.
    """
    statements = list(parse_stream(io.StringIO(_dotenv_text(dotenv) if dotenv else "")))
    valid_text = "".join(each.original.string for each in statements if not each.error)
    values = {key: value for key, value in dotenv_values(stream=io.StringIO(valid_text)).items() if value is not None}
    return {**environ, **values}, [_first_line(each.original) for each in statements if each.error]


def _first_line(statement: Original) -> int:
    """Return the line where a statement begins; its text includes the blank lines before it."""
    text = statement.string
    return statement.line + text[: len(text) - len(text.lstrip())].count("\n")


def _dotenv_text(path: Path) -> str:
    """Return the text of `.env`, empty if there is none. Only a file is opened: opening a pipe would block."""
    if not _exists(path):
        return ""
    if not path.is_file():
        what = Text("a folder", "文件夹") if path.is_dir() else Text("a pipe or a device", "管道或设备")
        raise SettingsError(
            Text("{path} is {what}, not a file.", "{path} 是{what}，不是文件。", path=path, what=what),
            advice=Text(
                "Move it away, and put the settings into a file of that name, as in .env.example.",
                "请将其移走，并参照 .env.example 把设置写入同名文件。",
            ),
        )
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(
            Text(
                "{path} can't be read ({error}).", "无法读取 {path}（{error}）。", path=path, error=type(error).__name__
            ),
            advice=_BELONGS_TO_ANOTHER.fill(path=path) if isinstance(error, PermissionError) else _SAVE_AS_TEXT,
        ) from None


_SAVE_AS_TEXT = Text("Save it as UTF-8 text.", "请保存为 UTF-8 文本文件。")
_BELONGS_TO_ANOTHER = Text(
    "It belongs to another user: give it to this one (sudo chown USER {path}).",
    "该文件属于其他用户，请改为当前用户所有（sudo chown 用户名 {path}）。",
)


def adopt_dotenv() -> None:
    """Override this process's environment with its `.env`, as `dagster dev` does: `dg.EnvVar` reads the environment.

    That `.env` remains this process's, even in another working directory.
    """
    reader = _reader(None, Path.cwd(), dt.date.max)
    os.environ.update(reader.values)
    os.environ[_CHOSEN_DOTENV] = str(reader.dotenv or "")


def load_settings(
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    clock: Clock = beijing_now,
    platform: str = sys.platform,
) -> Settings:
    """Read and check all settings; SettingsError names the variable that is wrong and what it should hold.

    If `environ` is None, the process's environment is used, overridden by its `.env`; a mapping is used as it is.
    """
    if platform == "win32":
        raise SettingsError(
            Text("wx_datacube does not run on Windows.", "wx_datacube 不支持 Windows。"),
            advice=Text("Use WSL 2.", "请使用 WSL 2。"),
        )
    return _reader(environ, cwd or Path.cwd(), clock().date()).settings()


def _reader(environ: Mapping[str, str] | None, cwd: Path, today: dt.date) -> Reader:
    """Return a reader of `environ` as it is, or, if None, of the process's environment overridden by its `.env`.

    Its `.env` is the nearest from `cwd` upwards, which may also set `DAGSTER_HOME`, else the project folder's.
    """
    base = os.environ if environ is None else environ
    dotenv = _nearest_dotenv(base, cwd)
    values, invalid_lines = (base, list[int]()) if environ is not None else _with_dotenv(base, dotenv)
    project = find_project(values, cwd)
    if dotenv is None and project is not None and _CHOSEN_DOTENV not in base and _exists(project / ".env"):
        dotenv = project / ".env"
        if environ is None:
            values, invalid_lines = _with_dotenv(base, dotenv)
    return Reader(values, project, today, dotenv, tuple(invalid_lines))


def command_language() -> Language:
    """Return the language of a command, by this process's environment and `.env`.

    Another wrong setting is reported when the settings are read.
    """
    try:
        return language_of(_reader(None, Path.cwd(), dt.date.max).values)
    except SettingsError:
        return language_of(os.environ)


def configured_accounts(clock: Clock = beijing_now) -> tuple[Account, ...]:
    """Return the accounts even if other settings are wrong; the default account if the names themselves are wrong."""
    try:
        return _reader(None, Path.cwd(), clock().date()).accounts_ignoring_faults()
    except SettingsError:
        return (Account(ACCOUNT),)


def defined_variables(settings: Settings, account: Account) -> list[str]:
    """Return the names of an account's own variables that are set and not blank."""
    values = effective_environ(os.environ, settings.dotenv)
    names = [account.variable(field) for field in ACCOUNT_FIELDS]
    return [name for name in names if values.get(name, "").strip()]
