"""Outcomes: how errors become exit codes, for one account and for several.

Add an exit code to `EXIT_CODES`; `main.run` handles the interruption.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from wx_datacube.errors import SettingsError, WarehouseError, WxDatacubeError, one_line
from wx_datacube.language import Text, spoken

if TYPE_CHECKING:
    from wx_datacube.config.settings import Account

EXIT_CODES = {
    0: Text(
        "Everything that was requested is there. A failing check alone stays 0.",
        "请求的数据均已就绪。仅有检查未通过时也为 0。",
    ),
    1: Text(
        "Something is missing or failed, or needs a person; stderr says how to continue.",
        "数据缺失、操作失败，或有问题需要处理；stderr 说明如何继续。",
    ),
    2: Text(
        "Wrong use or configuration: an option, a setting, missing credentials, the DuckDB file.",
        "用法或配置错误：选项、设置、缺少凭据或 DuckDB 文件。",
    ),
    3: Text(
        "Stopped at the day's quota; stderr says when and how to continue.",
        "当天配额用完，已停止；stderr 说明何时、如何继续。",
    ),
    130: Text("Interrupted; stored data is kept.", "被中断；已保存的数据保留。"),
}
"""Every exit code with its meaning."""


def exit_code(error: WxDatacubeError) -> int:
    """Return the exit code of a command that ends with this error."""
    return 2 if isinstance(error, SettingsError | WarehouseError) else 1


_BY_SEVERITY = [0, 3, 1, 2]
"""Exit codes, least severe first.

A used-up quota only needs waiting until midnight. A failure may need a person; a wrong setting always does.
"""


def for_each(accounts: "Sequence[Account]", work: "Callable[[Account], int]") -> int:
    """Run `work` for each account, even if another one failed; return the most severe exit code.

    An error of the warehouse ends the loop, since it is the same for all accounts.
    """
    codes = []
    for account in accounts:
        try:
            codes.append(work(account))
        except WxDatacubeError as error:
            if len(accounts) == 1 or isinstance(error, WarehouseError):
                raise
            click.echo(f"wx-datacube: {account.name}: {one_line(error.text.to(spoken()))}", err=True)
            codes.append(exit_code(error))
    return max(codes, key=_BY_SEVERITY.index)
