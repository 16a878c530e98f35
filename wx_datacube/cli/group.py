"""Group: the click group of all commands, with the options, settings and checks that several commands share.

Code that only one command needs belongs to the module that defines the command. Nothing here imports Dagster, DuckDB or
the emulator at the top, so that `--help` and `status` respond at once.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wx_datacube import __version__
from wx_datacube.errors import WarehouseError

if TYPE_CHECKING:
    from wx_datacube.config.settings import Account, Settings
    from wx_datacube.warehouse.files import Warehouse


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """Fetch the message statistics of WeChat Official Accounts (公众号消息分析).

    The figures are stored in a DuckDB file; Dagster runs the work.
    """


class _Date(click.DateTime):
    """A date as YYYY-MM-DD; has its own message for dates that don't exist."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the value to its day, at midnight."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
                self.fail(f"{value} is not a date that exists.", param, ctx)
            raise


DATE = _Date(["%Y-%m-%d"])
account_option = click.option("--account", metavar="NAME", help="One account. Default: all configured accounts.")
stored_account_option = click.option("--account", metavar="NAME", help="One account. Default: all stored accounts.")


def file_name(suffix: str) -> Callable[[click.Context, click.Parameter, str | None], Path | None]:
    """Return a callback that turns `--output` into a path.

    It rejects the empty value of an unset shell variable, and a name without `suffix`, such as the database's.
    """

    def check(_: click.Context, __: click.Parameter, value: str | None) -> Path | None:
        if value is not None and not (value.strip() and value.endswith(suffix)):
            raise click.BadParameter(f"{value!r} should be a name{f' that ends in {suffix}' if suffix else ''}.")
        return None if value is None else Path(value)

    return check


def read_settings() -> "Settings":
    """Read the settings, and print their warnings to stderr."""
    from wx_datacube.config.environment import load_settings

    settings = load_settings()
    for warning in settings.warnings:
        click.echo(f"Warning: {warning}", err=True)
    return settings


def require_published(settings: "Settings") -> "Warehouse":
    """Return the warehouse; raise `WarehouseError` if calls are stored but the published file is missing."""
    from wx_datacube.warehouse.files import Warehouse
    from wx_datacube.warehouse.ledger import last_call

    warehouse = Warehouse(settings.database)
    if warehouse.writer.exists() and not warehouse.database.exists():
        with warehouse.transaction() as con:
            stored = last_call(con)
        if stored and not warehouse.database.exists():  # a first run may have published meanwhile
            raise WarehouseError(
                f"{warehouse.database} is missing, but {warehouse.writer.name} exists and"
                f" holds {'1 call' if stored == 1 else f'{stored:,} calls'}.",
                advice="Unless a run is about to publish it: wx-datacube replay",
            )
    return warehouse


def require_stored(settings: "Settings") -> "Warehouse":
    """Return the warehouse; raise `WarehouseError` if nothing is stored yet."""
    warehouse = require_published(settings)
    if not warehouse.database.exists():
        raise WarehouseError(
            f"Nothing is stored yet: {warehouse.database} does not exist.",
            advice="Fetch the history: wx-datacube backfill",
        )
    return warehouse


def chosen_accounts(settings: "Settings", name: str | None) -> "tuple[Account, ...]":
    """Return the account of this name, or without a name all that are configured."""
    return settings.accounts if name is None else (settings.account(name),)
