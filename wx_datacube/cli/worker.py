"""Worker: serves the project folder's code location to a Dagster hub on another machine.

It is Dagster's server for code locations, after those of `doctor`'s checks that make no call. See
docs/how-to/machines.md.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from wx_datacube.cli.console import port_in_use, say, try_port, warn_no_login
from wx_datacube.cli.wrapping import wrapped
from wx_datacube.config.environment import WORKER, child_environment
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import SettingsError
from wx_datacube.language import Text, spoken
from wx_datacube.operations.doctor import examine_here
from wx_datacube.orchestration.dagster_internals import arguments_of_code_locations
from wx_datacube.orchestration.doctor import examine_instance, keeps_history_here


def run_worker(settings: Settings, accounts: Sequence[Account], host: str, port: int) -> int:
    """Become the code server, until it is stopped; return 1 if a check fails, and print what failed."""
    project = settings.require_project()
    location = _code_location(project / "workspace.yaml")
    found = [examine_instance(settings), *examine_here(settings, accounts)]
    failed = dict.fromkeys(each.text.to(spoken()) for each in found if not each.ok)
    for text in failed:
        say(wrapped(text, "  FAIL ", indent=7), err=True)
    if failed:
        return 1
    try:
        try_port(host, port)  # Dagster's server would share a taken port with the other process
    except OSError as error:
        raise port_in_use(host, port, error) from None
    if keeps_history_here(settings):
        say(_NO_HUB_SEES_IT, err=True)
    warn_no_login(host, Text("start runs, and run any code as this user", "启动运行，并以当前用户的身份执行任意代码"))
    serving = Text(
        "Serving {folder} with {count} account{s} on {host}:{port}. In the hub's workspace.yaml: grpc_server, with"
        " this address.",
        "正在 {host}:{port} 提供 {folder}（{count} 个账号）。"
        "请在中心机器的 workspace.yaml 中以 grpc_server 写入此地址。",
        folder=project,
        count=len(accounts),
        s="" if len(accounts) == 1 else "s",
        host=host,
        port=port,
    )
    say(serving)
    sys.stdout.flush()
    # All accounts of this machine have their partitions end at one time that no other machine has.
    environ = {**child_environment(settings), "DAGSTER_HOME": str(project), WORKER: accounts[0].name}
    # `dagster code-server start` would be two processes. When the second one dies, the first one stays, and nothing
    # restarts them.
    server = ["api", "grpc", "--lazy-load-user-code", "--inject-env-vars-from-instance"]
    arguments = [*server, *location, "--host", host, "--port", str(port)]
    os.chdir(project)
    os.execve(sys.executable, [sys.executable, "-m", "dagster", *arguments], environ)


_NO_HUB_SEES_IT = Text(
    "Warning: dagster.yaml keeps Dagster's history in this folder, so a hub elsewhere starts runs and never sees what"
    " they do. Put the history into PostgreSQL: docs/how-to/machines.md.",
    "警告：dagster.yaml 把 Dagster 的历史记录保存在本文件夹中，其他位置的中心机器启动运行后看不到结果。"
    "请改用 PostgreSQL：docs/zh/machines.md。",
)


def _code_location(workspace: Path) -> list[str]:
    """Return Dagster's arguments for the only code location of the project folder; raise SettingsError otherwise."""
    if not workspace.exists():
        return ["-m", "wx_datacube.definitions"]
    try:
        found = arguments_of_code_locations(workspace)
    except ValueError as error:
        raise SettingsError(
            Text("{file} is not valid: {error}", "{file} 无效：{error}", file=workspace, error=error)
        ) from None
    if len(found) != 1 or not found[0]:
        raise SettingsError(
            Text(
                "{file} doesn't name exactly one module or file, which is what a worker serves.",
                "{file} 应当只指定一个模块或文件，即工作机器提供的代码位置。",
                file=workspace,
            ),
            advice=Text(
                "Leave one python_module or python_file in it. grpc_server entries belong to the hub's folder.",
                "请只保留一个 python_module 或 python_file。grpc_server 应写在中心机器的文件夹中。",
            ),
        )
    return found[0]
