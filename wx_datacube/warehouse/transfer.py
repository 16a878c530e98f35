"""Transfer: bring an account with its whole ledger from another file, such as that of another machine.

The other file is opened read-only, and never changed. Only its ledger counts: the tables are made from the calls, as in
a replay. Add here what else of an account must come along. Removing and renaming an account belongs in `accounts`.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from wx_datacube.config.settings import Account, require_name
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.language import Text, joined
from wx_datacube.warehouse.accounts import fetch_locks, require_in
from wx_datacube.warehouse.connections import READ_ONLY, Config, Connection, require_ours, restore_interrupts
from wx_datacube.warehouse.errors import holder_pid, is_file_fault, unreadable_source
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import copy_calls, last_call
from wx_datacube.warehouse.past_calls import DOCTOR
from wx_datacube.warehouse.receipt import wal_of
from wx_datacube.warehouse.sql import quoted

_SOURCE = "other_wx_datacube"
"""The name under which the other file is attached."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How many calls were copied, and when the newest was made; `now` is False if an interrupted command did it."""

    calls: int
    newest: dt.datetime
    now: bool


def copy_account(warehouse: Warehouse, source: Path, account: Account) -> Copied:
    """Bring everything stored for the account from the file `source`, all or nothing, and publish it.

    Only the name and AppID of `account` are used. If an interrupted command has copied it, this only publishes. Raises
    `SettingsError` if the file has no calls of the account, or has another AppID, or if name or AppID have calls here
    already; `WarehouseError` if the file can't be used, or if a process is fetching for the account.
    """
    require_name(account.name)
    appid = _read_source(warehouse, source, account) or account.appid
    with warehouse.open_published() as con:
        was_published = _has_calls(con, account.name)
    with fetch_locks(warehouse, account.name):
        with warehouse.transaction() as con:
            _attach(con, source)
            is_new = not _has_calls(con, account.name)
            if not is_new and (was_published or not _is_copied(con, account.name)):
                raise _already_here(con, warehouse, source, account.name)
            copied = Copied(*_in_both(con, account.name), now=False)
        if is_new:
            with warehouse.extending() as con:
                _attach(con, source)
                _require_unused(con, warehouse, account.name, appid)
                _copy(con, account.name, appid)
                copied = Copied(*_in_both(con, account.name), now=True)
    warehouse.publish()
    return copied


def _attach(con: Connection, source: Path) -> None:
    with _translating_errors(source):
        con.execute(f"ATTACH {quoted(source)} AS {_SOURCE} (READ_ONLY)")


def _copy(con: Connection, account: str, appid: str | None) -> None:
    """Copy calls, binding and recorded refreshes; name and AppID may be bound here, but have no calls."""
    of_account, whose = "WHERE account = $account", {"account": account}
    before = last_call(con)
    copy_calls(con, _SOURCE, account)
    con.execute(f"DELETE FROM datacube.refreshes {of_account}", whose)
    con.execute(
        "INSERT INTO datacube.refreshes BY NAME SELECT * REPLACE ($before + (SELECT count(*)"
        f" FROM {_SOURCE}.datacube.api_calls {of_account} AND call_id <= after_call_id) AS after_call_id)"
        f" FROM {_SOURCE}.datacube.refreshes {of_account}",
        whose | {"before": before},
    )
    con.execute(f"DELETE FROM datacube.accounts {of_account} OR appid = $appid", whose | {"appid": appid})
    con.execute(f"INSERT INTO datacube.accounts BY NAME FROM {_SOURCE}.datacube.accounts {of_account}", whose)
    # A file of version 1 has no column for it, and only messages.
    con.execute(f"UPDATE datacube.accounts SET families = ['messages'] {of_account} AND families IS NULL", whose)


def _has_calls(con: Connection, account: str) -> bool:
    """Return whether the account has calls other than those of `doctor`, which comes first on a new machine."""
    found = con.execute(
        "SELECT 1 FROM datacube.api_calls WHERE account = $account AND run_id IS DISTINCT FROM $doctor LIMIT 1",
        {"account": account, "doctor": DOCTOR},
    )
    return bool(found.fetchall())


def _in_both(con: Connection, account: str) -> tuple[int, dt.datetime]:
    """Return how many of the account's calls here are also in the other file, and when the newest was made."""
    found = con.execute(
        f"SELECT count(*), max(requested_at) FROM ({_CALLS.format('')} INTERSECT ALL {_CALLS.format(f'{_SOURCE}.')})",
        {"account": account},
    )
    ((calls, newest),) = found.fetchall()
    return calls, newest


def _is_copied(con: Connection, account: str) -> bool:
    """Return whether the other file has all calls of the account that are here, except those of `doctor`."""
    found = con.execute(
        f"SELECT 1 FROM ({_CALLS.format('')} EXCEPT ALL {_CALLS.format(f'{_SOURCE}.')})"
        " WHERE run_id IS DISTINCT FROM $doctor LIMIT 1",
        {"account": account, "doctor": DOCTOR},
    )
    return not found.fetchall()


_CALLS = (
    "SELECT run_id, endpoint, begin_date, end_date, requested_at, elapsed_ms FROM {}datacube.api_calls"
    " WHERE account = $account"
)


# --- what is refused --------------------------------------------------------------------------------------------


def _read_source(warehouse: Warehouse, source: Path, account: Account) -> str | None:
    """Return the AppID that the account has in the other file; raise an error if it can't be copied from there.

    All of its calls are read, so that damage is found before anything is changed.
    """
    if any(own.exists() and source.exists() and own.samefile(source) for own in (warehouse.database, warehouse.writer)):
        raise WarehouseError(
            Text("{path} is this project's own file.", "{path} 是本项目自己的数据文件。", path=source), advice=_GIVE
        )
    with _open_source(source) as con:
        require_ours(con, source, _GIVE)
        require_in(con, source, account.name)
        if not _has_calls(con, account.name):
            raise SettingsError(
                Text(
                    "{source} has no calls of {name}.",
                    "{source} 中没有 {name} 的调用。",
                    source=source,
                    name=account.name,
                ),
                advice=Text(
                    "There is nothing to copy: wx-datacube backfill fetches its history.",
                    "没有可复制的内容：wx-datacube backfill 会获取其历史数据。",
                ),
            )
        con.execute("SELECT bit_xor(hash(call)) FROM datacube.api_calls AS call WHERE account = $1", [account.name])
        found = con.execute("SELECT appid FROM datacube.accounts WHERE account = $1", [account.name]).fetchall()
    appid = found[0][0] if found else None
    if appid and account.appid and appid != account.appid:
        raise SettingsError(
            Text(
                "{name} has the AppID {there} in {source}, but {here} in the settings.",
                "{name} 在 {source} 中的 AppID 是 {there}，而设置中是 {here}。",
                name=account.name,
                there=appid,
                here=account.appid,
                source=source,
            ),
            advice=Text(
                "Correct {variable}, or give one of the two accounts another name: wx-datacube rename-account",
                "请更正 {variable}，或为其中一个账号改名：wx-datacube rename-account",
                variable=account.variable("APPID"),
            ),
        )
    return appid


@contextmanager
def _open_source(source: Path) -> Iterator[Connection]:
    """Open the other file read-only; raise `WarehouseError` if it can't be read, or has a WAL.

    DuckDB would read what is in the WAL, too, which may belong to a file that was there before.
    """
    if wal_of(source).exists():
        raise WarehouseError(
            Text(
                "Another program has written to {source}: {wal} exists.",
                "其他程序写过 {source}：存在 {wal}。",
                source=source,
                wal=wal_of(source).name,
            ),
            advice=Text(
                "Copy {source} alone to another folder, and give that copy. Both files are unchanged.",
                "请只把 {source} 复制到另一个文件夹，再用该副本执行。两个文件均未被改动。",
                source=source,
            ),
        )
    config: Config = {**READ_ONLY, "threads": 1}
    with restore_interrupts(), _translating_errors(source), duckdb.connect(str(source), config=config) as con:
        yield con


@contextmanager
def _translating_errors(source: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        if not is_file_fault(error) and not holder_pid(error):
            raise
        raise unreadable_source(source, error, _GIVE) from None


_GIVE = Text(
    "Give the file that the other machine publishes (data/wx_datacube.duckdb), or a backup of it.",
    "请指定另一台机器发布的数据文件（data/wx_datacube.duckdb）或其备份。",
)


def _require_unused(con: Connection, warehouse: Warehouse, account: str, appid: str | None) -> None:
    """Raise `SettingsError` if the AppID has calls under another name here."""
    found = con.execute(
        "SELECT account FROM datacube.accounts WHERE appid = $1 AND account <> $2"
        " AND account IN (SELECT account FROM datacube.api_calls)",
        [appid, account],
    )
    for (other,) in found.fetchall():
        raise SettingsError(
            Text(
                "{database} has calls of the AppID {appid} already, as the account {other}.",
                "{database} 中已有 AppID {appid} 的调用，账号名是 {other}。",
                database=warehouse.database,
                appid=appid,
                other=other,
            ),
            advice=_replace(other),
        )


def _already_here(con: Connection, warehouse: Warehouse, source: Path, account: str) -> SettingsError:
    """Return the error for a name that has calls here; it says whether they are those of the other file."""
    found = con.execute("SELECT count(*), max(requested_at) FROM datacube.api_calls WHERE account = $1", [account])
    ((calls, newest),) = found.fetchall()
    same = Text(
        "They are all in {source} too: the account has been copied already.",
        "这些调用都在 {source} 中：该账号此前已复制。",
        source=source,
    )
    other = Text(
        "To keep both, rename this one first: wx-datacube rename-account {name} NEW",
        "如需两者都保留，请先为这里的账号改名：wx-datacube rename-account {name} NEW",
        name=account,
    )
    return SettingsError(
        Text(
            "{database} has {calls:,} calls of {name} already, the newest of {newest}.",
            "{database} 中已有 {name} 的 {calls:,} 次调用，最近一次在 {newest}。",
            database=warehouse.database,
            calls=calls,
            name=account,
            newest=f"{newest:%Y-%m-%d %H:%M:%S}",
        ),
        advice=joined([same if _is_copied(con, account) else other, _replace(account)]),
    )


def _replace(account: str) -> Text:
    return Text(
        "Nothing was changed. To replace what is here, first: wx-datacube remove-account {name}",
        "未做任何更改。如需替换这里的数据，请先执行：wx-datacube remove-account {name}",
        name=account,
    )
