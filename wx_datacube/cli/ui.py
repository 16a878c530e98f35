"""UI: starts Dagster's UI on the configured accounts or on the demo, with the environment that it needs."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from wx_datacube.cli.console import not_installed, port_in_use, say, try_port, warn_no_login
from wx_datacube.cli.demo import demo_account
from wx_datacube.cli.processes import run_module
from wx_datacube.config.environment import child_environment
from wx_datacube.config.settings import Settings
from wx_datacube.errors import SettingsError
from wx_datacube.language import Text
from wx_datacube.operations.demo import DAYS
from wx_datacube.warehouse.errors import unwritable
from wx_datacube.warehouse.locks import locked


def run_ui(settings: Settings, host: str = "127.0.0.1", port: int | None = None) -> int:
    """Run Dagster's UI on the configured accounts, or without credentials on the demo; return the exit code."""
    if find_spec("dagster_webserver") is None:
        raise not_installed("dagster_webserver", "ui")
    listening = _Listening(host, _free_port(host, port))
    project = settings.require_project()
    if any(account.can_call or account.settings_error for account in settings.accounts):
        return _dagster_dev(project, child_environment(settings) | {"DAGSTER_HOME": str(project)}, listening)
    with demo_account(project, DAYS) as account:
        say(
            Text(
                "No account is configured in .env: showing the demo in {folder}",
                ".env 中没有配置公众号，显示 {folder} 中的演示",
                folder=account.folder,
            )
        )
        return _dagster_dev(account.folder, account.environ, listening)


class _Listening(NamedTuple):
    """The address that the UI listens on."""

    host: str
    port: int


def _free_port(host: str, port: int | None) -> int:
    """Return the requested port; by default Dagster's 3000, or a free one if 3000 is taken.

    If a port is taken, Dagster only logs it and continues without serving its pages.
    """
    try:
        return try_port(host, _DAGSTERS_PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return try_port(host, 0)
        raise port_in_use(host, port or _DAGSTERS_PORT, error) from None


_DAGSTERS_PORT = 3000


def _dagster_dev(folder: Path, environ: Mapping[str, str], listening: _Listening) -> int:
    # Dagster warns at each start that `dg dev` supersedes this command. A user of wx-datacube can't act on that.
    quiet = ["-W", "ignore:Function `dev_command` is superseded"]
    # Without this argument, Dagster follows [tool.dg] of a pyproject.toml in the folder, and ignores other code
    # locations.
    workspace = ["--workspace", "workspace.yaml"] if (folder / "workspace.yaml").exists() else []
    host, port = listening
    warn_no_login(host, Text("start runs, and read what Dagster shows", "启动运行，查看 Dagster 中的内容"))
    with _single_instance(folder):
        say(
            Text(
                "Dagster's UI for this machine; for a server see docs/how-to/server.md. Ctrl-C ends it.",
                "本机的 Dagster 界面；服务器部署见 docs/zh/server.md。按 Ctrl-C 结束。",
            )
        )
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        say(Text("In about 15 seconds: {address}", "约 15 秒后可打开：{address}", address=address))
        command = ["dev", *workspace, "--host", host, "--port", str(port)]
        return run_module("dagster", command, folder, environ, *quiet)


@contextmanager
def _single_instance(folder: Path) -> Iterator[None]:
    history = folder / ".dagster"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(history / "ui.lock", timeout=0))
        except TimeoutError as holder:
            raise SettingsError(
                Text(
                    "Dagster's UI already runs on {folder} (process {holder}).",
                    "{folder} 的 Dagster 界面已在运行（进程 {holder}）。",
                    folder=folder,
                    holder=holder,
                ),
                advice=Text(
                    "Use that one, or stop it first: two Dagster daemons would start the same runs twice.",
                    "请使用已运行的界面，或先将其停止：两个 Dagster daemon 会重复启动同样的运行。",
                ),
            ) from None
        except OSError as error:
            raise unwritable(
                history, error, Text("name another folder in dagster.yaml", "在 dagster.yaml 中指定其他文件夹")
            ) from None
        yield
