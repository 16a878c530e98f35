"""Outcomes: how errors become exit codes, for one account and for several.

Exit codes: 0 everything is there, 1 something is missing or failed, 2 wrong usage or configuration, 3 stopped at the
daily quota, 130 interrupted. Add an exit code here; `commands.run` handles the interruption.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from wx_datacube.errors import SettingsError, WarehouseError, WxDatacubeError, one_line
from wx_datacube.language import spoken

if TYPE_CHECKING:
    from wx_datacube.config.settings import Account


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
