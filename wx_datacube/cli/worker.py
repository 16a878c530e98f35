"""Worker: serves the project folder's code location to a Dagster hub on another machine.

It is `dagster code-server start` after those of `doctor`'s checks that make no call. See docs/how-to/machines.md.
"""

import os
import sys
from collections.abc import Sequence

from wx_datacube.cli.console import say, warn_no_login
from wx_datacube.cli.wrapping import wrapped
from wx_datacube.config.environment import WORKER, child_environment
from wx_datacube.config.folder import loads_many_accounts
from wx_datacube.config.settings import Account, Settings
from wx_datacube.language import Text, spoken
from wx_datacube.operations.doctor import examine_here
from wx_datacube.orchestration.doctor import examine_instance


def run_worker(settings: Settings, accounts: Sequence[Account], host: str, port: int) -> int:
    """Become the code server, until it is stopped; return 1 if a check fails, and print what failed."""
    project = settings.require_project()
    found = [examine_instance(settings), *(each for account in accounts for each in examine_here(settings, account))]
    failed = dict.fromkeys(each.text.to(spoken()) for each in found if not each.ok)
    for text in failed:
        say(wrapped(text, "  FAIL ", indent=7), err=True)
    if failed:
        return 1
    warn_no_login(host, Text("start runs, and run any code as this user", "启动运行，并以当前用户的身份执行任意代码"))
    module = "wx_datacube.many_accounts" if loads_many_accounts(project) else "wx_datacube.definitions"
    serving = Text(
        "Serving {module} with {count} account{s} on {host}:{port}. In the hub's workspace.yaml: grpc_server, with this"
        " address.",
        "正在 {host}:{port} 提供 {module}（{count} 个账号）。"
        "请在中心机器的 workspace.yaml 中以 grpc_server 写入此地址。",
        module=module,
        count=len(accounts),
        s="" if len(accounts) == 1 else "s",
        host=host,
        port=port,
    )
    say(serving)
    sys.stdout.flush()
    # All accounts of this machine have their partitions end at one time that no other machine has.
    environ = {**child_environment(settings), "DAGSTER_HOME": str(project), WORKER: accounts[0].name}
    arguments = ["code-server", "start", "--module-name", module, "--host", host, "--port", str(port)]
    os.chdir(project)
    os.execve(sys.executable, [sys.executable, "-m", "dagster", *arguments], environ)
