"""Replay: rebuilds the tables, and prints from how many calls, and which calls could not be read."""

import click

from wx_datacube.warehouse.accounts import require_stored
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import replay
from wx_datacube.warehouse.load import unreadable_calls


def run_replay(warehouse: Warehouse, account: str | None) -> int:
    """Rebuild the tables of one account, or of all; return the exit code."""
    if account is not None:
        require_stored(warehouse, account)
    with warehouse.writing() as con:
        calls = replay(con, account=account)
        left_out = unreadable_calls(con, account)
    warehouse.publish()
    if left_out:
        numbers = ", ".join(map(str, left_out[:10])) + (", …" if len(left_out) > 10 else "")
        click.echo(
            f"Left out, since their stored answer can't be read: {len(left_out):,} calls (call_id {numbers})."
            " What no other call has answered for is missing now: `wx-datacube backfill` asks for it.",
            err=True,
        )
    whose = f" of {account}" if account else ""
    click.echo(f"Rebuilt every table from {calls:,} calls{whose}: {warehouse.database}")
    return 0
