"""Environment: variables, `.env` and the project folder that a process finds itself in.

This is the only reader of `os.environ` and of `.env` (Dagster's resources name their variables by
`settings.variable`); what each variable may hold is in `variables`. As everywhere in Dagster, `.env` wins over the
environment, a blank `KEY=` over an exported one.
"""

import datetime as dt
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Original, parse_stream

from wx_datacube.errors import SettingsError
from wx_datacube.periods import Clock, beijing_now
from wx_datacube.settings import ACCOUNT, ACCOUNT_FIELDS, Account, Settings, wrong
from wx_datacube.variables import Reader


def process_environment() -> dict[str, str]:
    """A copy of this process's environment, for the processes that it starts."""
    return dict(os.environ)


def find_project(environ: Mapping[str, str], cwd: Path) -> Path:
    """The project folder: `DAGSTER_HOME`, else the nearest folder upwards with a `dagster.yaml`, else SettingsError."""
    home = environ.get("DAGSTER_HOME", "").strip()
    if home:
        folder = Path(home).expanduser()
        if not (folder.is_absolute() and folder.is_dir()):
            wrong("DAGSTER_HOME", "the absolute path of a folder that exists: the project folder")
        return folder.resolve()
    for folder in (cwd.resolve(), *cwd.resolve().parents):
        if (folder / "dagster.yaml").is_file():
            return folder
    raise SettingsError(
        "This is not inside a project folder: there is no dagster.yaml here or in any folder above.",
        advice="Change to the folder that you cloned, or make one: wx-datacube init. DAGSTER_HOME may name it, too.",
    )


def effective_environ(environ: Mapping[str, str], project: Path) -> dict[str, str]:
    """`environ` with the project's `.env` over it, parsed as Dagster parses it. SettingsError if it can't be read."""
    return _with_dotenv(environ, project)[0]


def _with_dotenv(environ: Mapping[str, str], project: Path) -> tuple[dict[str, str], list[int]]:
    """That, and the numbers of the lines of `.env` that say nothing. Of these python-dotenv would warn by itself.

    It would not name the file, nor say it once only: it gets all other lines.
    """
    statements = list(parse_stream(io.StringIO(_dotenv_text(project / ".env"))))
    sound = "".join(each.original.string for each in statements if not each.error)
    values = {key: value for key, value in dotenv_values(stream=io.StringIO(sound)).items() if value is not None}
    return {**environ, **values}, [_first_line(each.original) for each in statements if each.error]


def _first_line(statement: Original) -> int:
    """Where a statement begins, of which the blank lines before it are a part."""
    text = statement.string
    return statement.line + text[: len(text) - len(text.lstrip())].count("\n")


def _dotenv_text(path: Path) -> str:
    """What is in `.env`; nothing where there is none. What is no file is not opened: a pipe would be waited for."""
    if not path.exists():
        return ""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or a device"
        raise SettingsError(
            f"The .env of the project folder is {what}, not a file.",
            advice="Move it away, and write the settings into a file of that name: .env.example shows how.",
        )
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The file .env of the project folder can't be read ({type(error).__name__}).",
            advice="Save it as plain UTF-8 text that you may read.",
        ) from None


def adopt_dotenv(project: Path) -> None:
    """Put the project's `.env` over this process's environment, as `dagster dev` does: `dg.EnvVar` looks there."""
    os.environ.update(effective_environ(os.environ, project))


def load_settings(
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    clock: Clock = beijing_now,
    platform: str = sys.platform,
) -> Settings:
    """Read and check all settings; SettingsError names the variable that is wrong and what it should hold.

    `environ` None means the process's environment with the project's `.env` over it; a mapping is taken as it is.
    """
    if platform == "win32":
        raise SettingsError("wx_datacube does not run on Windows itself.", advice="Use WSL 2, where it does.")
    here = cwd or Path.cwd()
    project = find_project(os.environ if environ is None else environ, here)
    values, senseless = _with_dotenv(os.environ, project) if environ is None else (environ, [])
    return Reader(values, project, clock().date(), tuple(senseless)).settings()


def account_names() -> list[str]:
    """The names of the configured accounts, whatever else is wrong with the settings; of wrong names, the default."""
    try:
        project = find_project(os.environ, Path.cwd())
        return [name for name, _ in Reader(effective_environ(os.environ, project), project, dt.date.max).names()]
    except SettingsError:
        return [ACCOUNT]


def set_variables(project: Path, account: Account) -> list[str]:
    """The names of an account's own variables that hold something."""
    values = effective_environ(os.environ, project)
    names = [account.variable(field) for field in ACCOUNT_FIELDS]
    return [name for name in names if values.get(name, "").strip()]
