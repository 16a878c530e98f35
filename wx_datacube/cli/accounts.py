"""Accounts: the commands that rename and remove an account.

They show what will be deleted before they ask for confirmation, and afterwards what to change manually.
`warehouse.accounts` changes stored data, `orchestration.cleanup` Dagster's history.
"""

import click

from wx_datacube.alerts.digest_notes import DigestNotes
from wx_datacube.alerts.store import Alerts
from wx_datacube.config.settings import NAME, Settings
from wx_datacube.operations.accounts import after_removal, after_renaming
from wx_datacube.operations.report import default_report_path
from wx_datacube.orchestration.cleanup import has_account_history, wipe_account_history
from wx_datacube.warehouse import accounts
from wx_datacube.warehouse.files import Warehouse


def run_rename(settings: Settings, old: str, new: str) -> int:
    """Rename an account; return the exit code."""
    warehouse = Warehouse(settings.database)
    if not (_was_interrupted(warehouse, old) or _only_traces_left(settings, old, renamed=new)):
        backup = accounts.rename_account(warehouse, old, new)
        click.echo(f"Renamed {old} to {new}. Backup: {backup}")
    click.echo(after_renaming(settings, old, new))
    _delete_traces(settings, old)
    click.echo(
        f"Restart Dagster, and turn on the schedules of {new} that were on for {old}. The next tick, or"
        " wx-datacube backfill, materializes its assets from stored data, without a call."
    )
    return 0


def run_remove(settings: Settings, name: str) -> int:
    """Delete what is stored of an account after a person has confirmed; return the exit code."""
    warehouse = Warehouse(settings.database)
    interrupted = _was_interrupted(warehouse, name) or _only_traces_left(settings, name)
    stored = None if interrupted else accounts.stored_of(warehouse, name)
    if stored:
        click.echo(
            f"This deletes {stored.calls:,} calls with their answers and {stored.rows:,} rows of figures of {name}."
        )
        click.echo(f"A backup of the file is made first, in {warehouse.database.parent}")
    click.echo(after_removal(settings, name))
    if stored:
        if not _confirmed():
            click.echo("Aborted: answer y to confirm. Nothing was changed.", err=True)
            return 1
        click.echo(f"Removed {name}. Backup: {accounts.remove_account(warehouse, name)}")
    if copies := accounts.copies_with_account(warehouse, name):
        click.echo(f"These copies still contain {name}, or can't be read. Delete them before you give the folder away:")
        for copy in copies:
            click.echo(f"  {copy}")
    _delete_traces(settings, name)
    click.echo("Restart Dagster; this also ends the account's schedules.")
    return 0


def _confirmed() -> bool:
    try:
        return click.confirm("Delete them?")
    except click.Abort:  # Ctrl-C, or no input to read an answer from
        click.echo()
        return False


def _was_interrupted(warehouse: Warehouse, account: str) -> bool:
    interrupted = accounts.was_interrupted(warehouse, account)
    if interrupted:
        click.echo(f"An interrupted command had renamed or removed {account}; the change is now published.")
    return interrupted


def _only_traces_left(settings: Settings, account: str, renamed: str | None = None) -> bool:
    """Return whether the database has nothing of the account, but traces of it are left elsewhere.

    This happens if a command was interrupted after it changed the database and before it deleted the traces. `renamed`
    is the account's new name, which must be stored in that case.
    """
    stored = accounts.stored_in(Warehouse(settings.database))
    if account in stored or not NAME.fullmatch(account) or (renamed is not None and renamed not in stored):
        return False
    left = [what for what, is_there in _traces(settings, account).items() if is_there]
    if left:
        click.echo(f"Nothing is stored as {account} any more. Deleting what is left of it: {', '.join(left)}.")
    return bool(left)


def _traces(settings: Settings, account: str) -> dict[str, bool]:
    """Return the traces that `_delete_traces` deletes, and whether each is there."""
    return {
        "its alerts": Alerts(settings.database).has_any(account),
        "its report": default_report_path(settings.database, account).exists(),
        "its history in Dagster": has_account_history(settings, account),
    }


def _delete_traces(settings: Settings, account: str) -> None:
    """Delete what is kept of the account outside the database: its alerts, its report, its history in Dagster."""
    Alerts(settings.database).forget(account)
    DigestNotes(settings.database).forget(account)
    report = default_report_path(settings.database, account)
    if report.exists():
        report.unlink()
        click.echo(f"Deleted its report: {report}")
    if why := wipe_account_history(settings, account):
        click.echo(f"Dagster still shows the history of {account} (harmless): {why}", err=True)
