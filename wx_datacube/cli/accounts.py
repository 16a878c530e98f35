"""Accounts: the commands that rename and remove an account.

They show what will be deleted before they ask for confirmation, and afterwards what to change manually. Stored data
belongs to `warehouse.accounts`, Dagster's history to `orchestration.cleanup`.
"""

import click

from wx_datacube.alerts.store import Alerts
from wx_datacube.config.settings import NAME, Settings
from wx_datacube.operations.accounts import after_removal, after_renaming
from wx_datacube.operations.report import report_file
from wx_datacube.orchestration.cleanup import forget_account, is_remembered
from wx_datacube.warehouse import accounts
from wx_datacube.warehouse.files import Warehouse


def run_rename(settings: Settings, old: str, new: str) -> int:
    """Rename an account; return the exit code."""
    warehouse = Warehouse(settings.database)
    if not (_was_cut_off(warehouse, old) or _is_only_left(settings, old, renamed=new)):
        backup = accounts.rename_account(warehouse, old, new)
        click.echo(f"{old} is called {new} now. The file as it was before: {backup}")
    click.echo(after_renaming(settings, old, new))
    _forget(settings, old)
    click.echo(
        f"Restart what runs of Dagster, and switch the schedules of {new} on where those of {old} were. The next tick,"
        " or wx-datacube backfill, materializes its assets from what is stored, without a call."
    )
    return 0


def run_remove(settings: Settings, name: str) -> int:
    """Delete what is stored of an account after a person has confirmed; return the exit code."""
    warehouse = Warehouse(settings.database)
    cut_off = _was_cut_off(warehouse, name) or _is_only_left(settings, name)
    stored = None if cut_off else accounts.stored_of(warehouse, name)
    if stored:
        click.echo(f"{name}: {stored.calls:,} calls with their answers and {stored.rows:,} rows of figures are to go.")
        click.echo(f"A copy of the file as it is now will be kept beside it: {warehouse.database.parent}")
    click.echo(after_removal(settings, name))
    if stored:
        if not _confirmed():
            click.echo("Nothing was changed: it wants a y as its answer.", err=True)
            return 1
        click.echo(f"{name} is removed. The file as it was before: {accounts.remove_account(warehouse, name)}")
    if copies := accounts.still_holding(warehouse, name):
        click.echo(f"These copies still hold {name}, or can't be read. Delete them before you give the folder away:")
        for copy in copies:
            click.echo(f"  {copy}")
    _forget(settings, name)
    click.echo("Restart what runs of Dagster; schedules of the account that were on end by that.")
    return 0


def _confirmed() -> bool:
    try:
        return click.confirm("Remove them?")
    except click.Abort:  # Ctrl-C, or no input to read an answer from
        click.echo()
        return False


def _was_cut_off(warehouse: Warehouse, account: str) -> bool:
    cut_off = accounts.was_cut_off(warehouse, account)
    if cut_off:
        click.echo(f"{account} was renamed or removed by a command that was cut off; that is published now.")
    return cut_off


def _is_only_left(settings: Settings, account: str, renamed: str | None = None) -> bool:
    """Return whether nothing is stored of the account but traces of it are left.

    This happens if a command was interrupted after it changed the database and before it deleted the traces. `renamed`
    is the account's new name, which must be stored in that case.
    """
    stored = accounts.stored_in(Warehouse(settings.database))
    if account in stored or not NAME.fullmatch(account) or (renamed is not None and renamed not in stored):
        return False
    left = [what for what, is_there in _traces(settings, account).items() if is_there]
    if left:
        click.echo(f"Nothing is stored as {account} any more. What is left of it is forgotten now: {', '.join(left)}.")
    return bool(left)


def _traces(settings: Settings, account: str) -> dict[str, bool]:
    """Return the traces that `_forget` deletes, and whether each is there."""
    return {
        "its troubles": Alerts(settings.database).knows(account),
        "its report": report_file(settings.database, account).exists(),
        "its history in Dagster": is_remembered(settings, account),
    }


def _forget(settings: Settings, account: str) -> None:
    """Delete what is kept of the account outside the database: its alerts, its report, its history in Dagster."""
    Alerts(settings.database).forget(account)
    report = report_file(settings.database, account)
    if report.exists():
        report.unlink()
        click.echo(f"Its report is removed: {report}")
    if why := forget_account(settings, account):
        click.echo(f"Dagster still shows the history of {account}, which does no harm: {why}", err=True)
