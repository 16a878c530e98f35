"""Demo: a made-up account in a folder of its own, so that nothing of the real project is read or changed.

`demo_environment` is the environment of the demo's processes: it has neither the `.env` nor the `WX_DATACUBE_*`
variables of the real project, except for the language. `cli.demo` prints.
"""

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path

from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import settled_at
from wx_datacube.config.folder import DAGSTER_FILES, template
from wx_datacube.config.settings import DEMO_ACCOUNT, PREFIX, variable
from wx_datacube.errors import SettingsError
from wx_datacube.language import Text
from wx_datacube.warehouse.copies import replacing_path

DAYS = 90


def demo_folder(project: Path) -> Path:
    """Return the demo's project folder; make it, and write this package's `dagster.yaml` and `workspace.yaml` into it.

    Raises `SettingsError` if its `.env` holds anything of its own.
    """
    folder = project / "demo"
    folder.mkdir(exist_ok=True)
    dotenv = folder / ".env"
    if os.path.lexists(dotenv) and not (dotenv.is_file() and dotenv.read_bytes() == _DOTENV.encode()):
        raise SettingsError(
            Text(
                "{folder} contains a .env. The demo doesn't read one, so that it never calls the real WeChat.",
                "{folder} 中有 .env 文件。演示不读取 .env，以免请求真实的微信接口。",
                folder=folder,
            ),
            advice=Text(
                "Move it away. The .env of your own account belongs in the project folder.",
                "请将其移走；您自己公众号的 .env 应放在项目文件夹中。",
            ),
        )
    for name in DAGSTER_FILES:
        _write(folder / name, template(name))
    _write(dotenv, _DOTENV)
    return folder


_DOTENV = (
    "# Empty, so that nothing here reads the .env of the folder above. The demo's settings are made up at its start.\n"
)


def _write(path: Path, text: str) -> None:
    """Replace a file in one step.

    Dagster takes a half-written dagster.yaml for an empty one, and would keep its history elsewhere.
    """
    with replacing_path(path) as part:
        part.touch(0o600)
        part.write_text(text, "utf-8")


def newest_settled_day(now: dt.datetime) -> dt.date:
    """Return the last day whose empty answer is trusted: yesterday, or before noon the day before."""
    yesterday = now.date() - dt.timedelta(days=1)
    return yesterday if now >= settled_at(yesterday, Period.DAY) else yesterday - dt.timedelta(days=1)


def demo_environment(
    environ: Mapping[str, str], folder: Path, start: dt.date, api_url: str, appid: str, secret: str
) -> dict[str, str]:
    """Return `environ` for the demo's processes: its own folder, account and emulator.

    Of the real project's variables, only the language stays.
    """
    kept = {
        name: value for name, value in environ.items() if not name.startswith(PREFIX) or name == variable(None, "LANG")
    }
    ours = {"API_URL": api_url, "APPID": appid, "SECRET": secret, "ACCOUNT": DEMO_ACCOUNT, "START": start.isoformat()}
    ours["FAMILIES"] = "all"
    return kept | {"DAGSTER_HOME": str(folder)} | {f"{PREFIX}{name}": value for name, value in ours.items()}
