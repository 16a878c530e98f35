"""Accounts: rename or remove an account, with everything that is stored for it.

The tables with accounts are looked up in the file itself, so that none can be forgotten. A removed account leaves its
call numbers in the ledger, as rows without content. So `call_id` has no gaps, no row of another account changes, and
no file replaces one that holds more calls. Add other changes of a whole account here; `transfer` brings one from
another file. Prompts and messages are in `cli.accounts`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from wx_datacube.catalog.endpoints import ENDPOINTS, RELATIONS
from wx_datacube.config.settings import require_name
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.language import Text
from wx_datacube.warehouse.connections import READ_ONLY, Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.locks import locked
from wx_datacube.warehouse.schema import API_CALLS

_LEDGER = "api_calls"


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """How much the file holds for an account: calls with their answers, and rows of figures."""

    calls: int
    rows: int


def stored_names(con: Connection) -> list[str]:
    """Return the names of all accounts for which anything is stored."""
    found = con.execute(
        f"SELECT account FROM datacube.accounts UNION SELECT account FROM datacube.{_LEDGER}"
        " WHERE account IS NOT NULL ORDER BY account"
    )
    return [name for (name,) in found.fetchall()]


def require_stored(warehouse: Warehouse, account: str) -> None:
    """Raise `SettingsError` if nothing is stored for the account."""
    with warehouse.open_published() as con:
        require_in(con, warehouse.database, account)


def stored_of(warehouse: Warehouse, account: str) -> StoredCounts:
    """Publish, and return how much is stored for an account; raises `SettingsError` if nothing is."""
    _publish(warehouse)
    with warehouse.open_published() as con:
        require_in(con, warehouse.database, account)
        held = "SELECT count(*) FROM datacube.{} WHERE account = $1"
        calls, *rows = (
            con.execute(held.format(table), [account]).fetchall()[0][0]
            for table in (_LEDGER, *(relation.name for relation in RELATIONS))
        )
    return StoredCounts(calls, sum(rows))


def stored_in(warehouse: Warehouse) -> list[str]:
    """Publish what has been committed, and return the names of all accounts for which anything is stored."""
    _publish(warehouse)
    with warehouse.open_published() as con:
        return stored_names(con)


def was_interrupted(warehouse: Warehouse, account: str) -> bool:
    """Return whether a command that renamed or removed the account was killed before it could publish; publish now."""
    with warehouse.open_published() as con:
        published = stored_names(con)
    if account not in published:
        return False
    return account not in stored_in(warehouse)


def rename_account(warehouse: Warehouse, old: str, new: str) -> Path:
    """Rename the account to `new` in every row of every table; return the path of the backup.

    Raises `SettingsError` if nothing is stored for `old`, or if the name `new` isn't valid or is in use.
    """
    require_name(new)
    with _exclusive(warehouse, old, new), warehouse.transaction() as con:
        require_in(con, warehouse.database, old)
        if new in stored_names(con):
            raise SettingsError(
                Text(
                    "Account {name!r} already exists in {database}.",
                    "{database} 中已有账号 {name}。",
                    name=new,
                    database=warehouse.database,
                ),
                advice=Text(
                    "Choose another name, or remove that account: wx-datacube remove-account {name}",
                    "请另取名称，或删除该账号：wx-datacube remove-account {name}",
                    name=new,
                ),
            )
        backup = warehouse.back_up(f"rename-{old}")
        for table in _tables(con):
            con.execute(f'UPDATE datacube."{table}" SET account = $2 WHERE account = $1', [old, new])
    return backup


def remove_account(warehouse: Warehouse, account: str) -> Path:
    """Remove everything stored for the account except the numbers of its calls; return the path of the backup.

    Both files are rebuilt: DuckDB leaves the bytes of deleted rows in the file until new data overwrites them.
    """
    with _exclusive(warehouse, account), warehouse.rebuilding() as con:
        backup = warehouse.back_up(f"remove-{account}")
        _copy_without(con, account)
    return backup


def _copy_without(con: Connection, account: str) -> None:
    """Copy the database `old` into `new` without the account's data, which never gets into the new file."""
    con.execute("COPY FROM DATABASE old TO new (SCHEMA)")
    found = con.execute(
        "SELECT schema_name, table_name, list_contains(list(column_name), 'account') FROM duckdb_columns()"
        " SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)"
        " WHERE database_name = 'old' GROUP BY ALL ORDER BY ALL"
    )
    for schema, table, has_account in found.fetchall():
        name = f'"{schema}"."{table}"'
        if (schema, table) == ("datacube", _LEDGER):
            kept = f"SELECT {_BLANKED_COLUMNS} FROM old.{name}"
        else:
            kept = f"FROM old.{name}" + (" WHERE account IS DISTINCT FROM $1" if has_account else "")
        con.execute(f"INSERT INTO new.{name} {kept}", [account] if "$1" in kept else None)


def copies_with_account(warehouse: Warehouse, account: str) -> list[Path]:
    """Return the copies beside the database that hold the account, or that can't be read.

    A copy holds the account if it has its name, or the same AppID under another name.
    """
    found = {path: _accounts_in(path) for path in warehouse.copies()}
    appids = {appid for accounts in found.values() if accounts for name, appid in accounts if name == account}
    return sorted(
        path
        for path, accounts in found.items()
        if accounts is None or any(name == account or (appid and appid in appids) for name, appid in accounts)
    )


def _accounts_in(path: Path) -> set[tuple[str, str | None]] | None:
    """Return the names and AppIDs of the accounts in a copy; None if it can't be read."""
    try:
        with duckdb.connect(str(path), config=READ_ONLY) as con:
            appids = dict(
                con.execute("SELECT account, appid FROM datacube.accounts WHERE appid IS NOT NULL").fetchall()
            )
            return {(name, appids.get(name)) for name in stored_names(con)}
    except duckdb.Error:
        return None


_BLANKED_COLUMNS = ", ".join(
    column if column == "call_id" else f"CASE WHEN account IS DISTINCT FROM $1 THEN {column} END"
    for column in API_CALLS
)


def _tables(con: Connection) -> list[str]:
    """Return the tables with a column `account`."""
    found = con.execute(
        "SELECT table_name FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (schema_name, table_name)"
        " WHERE schema_name = 'datacube' AND column_name = 'account' ORDER BY table_name"
    )
    return [name for (name,) in found.fetchall()]


def _publish(warehouse: Warehouse) -> None:
    """Publish what has been committed; creates no file if there is none yet."""
    if warehouse.writer.exists() or warehouse.database.exists():
        warehouse.publish()


@contextmanager
def _exclusive(warehouse: Warehouse, account: str, *others: str) -> Iterator[None]:
    """Keep other processes from fetching for the accounts; publish before, for the backup, and after.

    Raises `SettingsError` if nothing is stored for `account`, and `WarehouseError` if a process is fetching.
    """
    _publish(warehouse)
    require_stored(warehouse, account)
    with fetch_locks(warehouse, account, *others):
        yield
        warehouse.publish()


def require_in(con: Connection, path: Path, account: str) -> None:
    """Raise `SettingsError` if nothing is stored for the account in the file that `con` has open."""
    names = stored_names(con)
    if account not in names:
        raise SettingsError(
            Text(
                "There is no account {name!r} in {database}.",
                "{database} 中没有账号 {name}。",
                name=account[:40],
                database=path,
            ),
            advice=Text("Accounts there: {names}.", "其中的账号：{names}。", names=", ".join(names))
            if names
            else Text("Nothing is stored there yet.", "其中还没有任何数据。"),
        )


@contextmanager
def fetch_locks(warehouse: Warehouse, *accounts: str) -> Iterator[None]:
    """Hold all fetch locks of these accounts; raises `WarehouseError` if a process is fetching."""
    with ExitStack() as stack:
        for account in {*accounts}:
            for endpoint in ENDPOINTS:
                try:
                    stack.enter_context(locked(warehouse.fetch_lock(account, endpoint.name), timeout=0))
                except TimeoutError as error:
                    raise WarehouseError(
                        Text(
                            "Process {process} is fetching {endpoint} for {account}; nothing was changed.",
                            "进程 {process} 正在获取 {account} 的 {endpoint}，未做任何更改。",
                            process=str(error),
                            endpoint=endpoint.name,
                            account=account,
                        ),
                        advice=Text(
                            "Let it finish, or end it (kill {process}), then run the command again.",
                            "请等它结束，或将其终止（kill {process}），然后再次运行该命令。",
                            process=str(error),
                        ),
                    ) from None
        yield
