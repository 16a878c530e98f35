"""Accounts: the commands that rename, remove and copy an account.

They show what will be deleted before they ask for confirmation, and afterwards what to change manually.
`warehouse.accounts` and `warehouse.transfer` change stored data, `orchestration.cleanup` Dagster's history.
"""

import datetime as dt
from pathlib import Path

import click

from wx_datacube.alerts.digest_notes import DigestNotes
from wx_datacube.alerts.store import Alerts
from wx_datacube.cli.console import say
from wx_datacube.config.settings import NAME, Account, Settings
from wx_datacube.language import Text, joined, spoken
from wx_datacube.operations.accounts import after_copying, after_removal, after_renaming, configured
from wx_datacube.operations.lake.export import left_in_lake
from wx_datacube.operations.report import default_overview_path, default_report_path
from wx_datacube.orchestration.cleanup import has_account_history, wipe_account_history
from wx_datacube.warehouse import accounts
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.past_calls import last_calls_at
from wx_datacube.warehouse.transfer import copy_account


def run_rename(settings: Settings, old: str, new: str) -> int:
    """Rename an account; return the exit code."""
    warehouse = Warehouse(settings.database)
    if not (_was_interrupted(warehouse, old) or _only_traces_left(settings, old, renamed=new)):
        backup = accounts.rename_account(warehouse, old, new)
        say(
            Text(
                "Renamed {old} to {new}. Backup: {backup}",
                "已将 {old} 改名为 {new}。备份：{backup}",
                old=old,
                new=new,
                backup=backup,
            )
        )
    say(after_renaming(settings, old, new))
    if settings.lake:
        say(left_in_lake(settings.lake, old))
    _delete_traces(settings, old)
    say(
        Text(
            "Restart Dagster, and turn on the schedules of {new} that were on for {old}. The next tick, or"
            " wx-datacube backfill, materializes its assets from stored data, without a call.",
            "请重启 Dagster，并打开 {new} 的定时任务（与 {old} 原来打开的相同）。下一次定时触发或 wx-datacube backfill"
            " 会用已保存的数据物化其资产，不发出调用。",
            old=old,
            new=new,
        )
    )
    return 0


def run_copy(settings: Settings, name: str, source: Path) -> int:
    """Bring an account from another file; return the exit code."""
    warehouse = Warehouse(settings.database)
    copied = copy_account(warehouse, source, configured(settings, name) or Account(name))
    if not copied.now:
        say(
            Text(
                "An interrupted command had copied {name}; it is now published.",
                "之前被中断的命令已复制 {name}，现已发布。",
                name=name,
            )
        )
    say(
        Text(
            "Copied {calls:,} calls of {name} with their answers.",
            "已复制 {name} 的 {calls:,} 次调用（含返回内容）。",
            calls=copied.calls,
            name=name,
        )
    )
    say(_newest_call(copied.newest))
    say(after_copying(settings, warehouse, name))
    return 0


def _newest_call(newest: dt.datetime) -> Text:
    """Return when the newest call was made; `copy-account` and `remove-account` say so, to be compared."""
    return Text(
        "Its newest call was made on {newest}, Beijing time.",
        "最近一次调用的时间是 {newest}（北京时间）。",
        newest=f"{newest:%Y-%m-%d %H:%M:%S}",
    )


def run_remove(settings: Settings, name: str) -> int:
    """Delete what is stored of an account after a person has confirmed; return the exit code."""
    warehouse = Warehouse(settings.database)
    interrupted = _was_interrupted(warehouse, name) or _only_traces_left(settings, name)
    stored = None if interrupted else accounts.stored_of(warehouse, name)
    if stored:
        say(
            Text(
                "This deletes {calls:,} calls with their answers and {rows:,} rows of figures of {name}.",
                "将删除 {name} 的 {calls:,} 次调用（含返回内容）和 {rows:,} 行数据。",
                calls=stored.calls,
                rows=stored.rows,
                name=name,
            )
        )
        with warehouse.open_published() as con:
            if newest := last_calls_at(con).get(name):
                say(_newest_call(newest))
        folder = warehouse.database.parent
        say(
            Text(
                "A backup of the file is made first, in {folder}",
                "删除之前会先备份文件，保存在 {folder}",
                folder=folder,
            )
        )
    say(after_removal(settings, name))
    if stored:
        if not _confirmed():
            say(
                Text("Aborted: answer y to confirm. Nothing was changed.", "已取消：输入 y 才会删除。没有任何改动。"),
                err=True,
            )
            return 1
        backup = accounts.remove_account(warehouse, name)
        say(Text("Removed {name}. Backup: {backup}", "已删除 {name}。备份：{backup}", name=name, backup=backup))
    if copies := accounts.copies_with_account(warehouse, name):
        say(
            Text(
                "These copies still contain {name}, or can't be read. Delete them before you give the folder away:",
                "以下副本仍含有 {name} 的数据，或无法读取。把文件夹交给他人之前，请先删除：",
                name=name,
            )
        )
        for copy in copies:
            click.echo(f"  {copy}")
    if settings.lake:
        say(left_in_lake(settings.lake, name))
    _delete_traces(settings, name)
    say(Text("Restart Dagster; this also ends the account's schedules.", "请重启 Dagster，该账号的定时任务随之停止。"))
    return 0


def _confirmed() -> bool:
    try:
        return click.confirm(Text("Delete them?", "确认删除？").to(spoken()))
    except click.Abort:  # Ctrl-C, or no input to read an answer from
        click.echo()
        return False


def _was_interrupted(warehouse: Warehouse, account: str) -> bool:
    interrupted = accounts.was_interrupted(warehouse, account)
    if interrupted:
        say(
            Text(
                "An interrupted command had renamed or removed {account}; the change is now published.",
                "之前被中断的命令已将 {account} 改名或删除，现已发布。",
                account=account,
            )
        )
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
        say(
            Text(
                "Nothing is stored as {account} any more. Deleting what is left of it: {left}.",
                "{account} 已没有保存的数据，现删除其余内容：{left}。",
                account=account,
                left=joined(left, ", ", "、"),
            )
        )
    return bool(left)


def _traces(settings: Settings, account: str) -> dict[Text, bool]:
    """Return the traces that `_delete_traces` deletes, and whether each is there."""
    return {
        Text("its alerts", "告警"): Alerts(settings.database).has_any(account),
        Text("its report", "报告"): bool(_reports(settings, account)),
        Text("its history in Dagster", "Dagster 历史记录"): has_account_history(settings, account),
    }


def _reports(settings: Settings, account: str) -> list[Path]:
    """Return the files beside the database that show the account: its report, and the overview that links to it."""
    report, overview = default_report_path(settings.database, account), default_overview_path(settings.database)
    is_listed = overview.is_file() and f'"{report.name}"'.encode() in overview.read_bytes()  # the file may be another's
    return [*([report] if report.exists() else []), *([overview] if is_listed else [])]


def _delete_traces(settings: Settings, account: str) -> None:
    """Delete what is kept of the account outside the database: its alerts, its report, its history in Dagster."""
    Alerts(settings.database).forget(account)
    DigestNotes(settings.database).forget(account)
    for report in _reports(settings, account):
        report.unlink()
        say(Text("Deleted: {report}", "已删除：{report}", report=report))
    if why := wipe_account_history(settings, account):
        say(
            Text(
                "Dagster still shows the history of {account} (harmless): {why}",
                "Dagster 中仍显示 {account} 的历史记录（无影响）：{why}",
                account=account,
                why=why,
            ),
            err=True,
        )
