"""Renaming and removing an account: nothing of the other accounts in the file changes.

Add a test here when a table stores something else of an account, or when another command changes an account.
Whether a removed account's bytes are gone from the files is tested in `test_removed.py`.
"""

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.catalog.endpoints import RELATIONS
from wx_datacube.config.settings import Account
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.warehouse.accounts import (
    StoredCounts,
    remove_account,
    rename_account,
    stored_names,
    stored_of,
    was_interrupted,
)
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import bind_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import replay, store_calls
from wx_datacube.warehouse.past_calls import record_refresh
from wx_datacube_tests.answers import DAY, HOURS, LATER, MESSAGES, SENDERS, answered, day, hour_row, row, senders_row
from wx_datacube_tests.processes import running

NOW = dt.datetime(2026, 11, 25, 21, 30)
Rows = dict[str, list[tuple[Any, ...]]]


def calls_of(account: str, number: int) -> list[Any]:
    """Return calls that add something of the account to every table that answers fill."""
    good, bad = row(day(number), 5, 9), row(day(number), -1)
    return [
        answered(MESSAGES, day(number), None, row(day(number)), bad, account=account),
        answered(HOURS, day(number), None, hour_row(day(number)), account=account),
        answered(SENDERS, day(number), None, senders_row(day(number)), account=account),
        answered(MESSAGES, day(number), None, good, account=account, at=LATER + DAY),
    ]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish a file with the interleaved calls of two accounts, each with rows in every table; return its folder."""
    folder = tmp_path_factory.mktemp("company")
    warehouse = Warehouse(folder / "figures.duckdb", clock=lambda: NOW)
    with warehouse.transaction() as con:
        for number, (account, appid) in enumerate({"shop": "wx01", "news": "wx02"}.items(), 4):
            bind_account(con, Account(account, appid, start=day(1)), LATER)
            record_refresh(con, account, MESSAGES, None, None, LATER)
            store_calls(con, calls_of(account, number))
        for number in (10, 11):
            store_calls(con, calls_of("shop", number) + calls_of("news", number))
    warehouse.publish()
    return folder


@pytest.fixture
def company(original: Path, tmp_path: Path) -> Warehouse:
    """Provide a copy of that folder's files."""
    copy = shutil.copytree(original, tmp_path / "data")
    return Warehouse(copy / "figures.duckdb", clock=lambda: NOW, timeout=0.5)


def tables_of(con: Connection) -> list[str]:
    """Return the names of all tables with a column `account`."""
    found = con.execute("SELECT table_name FROM duckdb_tables() WHERE sql LIKE '%account VARCHAR%' ORDER BY 1")
    return [name for (name,) in found.fetchall()]


def rows_of(warehouse: Warehouse, account: str) -> Rows:
    """Return all published rows of an account by table, without its name."""
    with warehouse.open_published() as con:
        return {
            table: con.execute(
                f"SELECT * EXCLUDE (account) FROM datacube.{table} WHERE account = $1 ORDER BY ALL", [account]
            ).fetchall()
            for table in tables_of(con)
        }


def backups(warehouse: Warehouse) -> list[Path]:
    """Return the backups that were kept."""
    return sorted(warehouse.database.parent.glob("figures.before-*"))


def test_every_table_has_rows_of_both_accounts(company: Warehouse) -> None:
    """The fixture has rows of both accounts in every table; otherwise the tests here could not fail."""
    for account in ("shop", "news"):
        assert [table for table, rows in rows_of(company, account).items() if not rows] == [
            name
            for name in sorted(relation.name for relation in RELATIONS)
            if name not in (MESSAGES.name, HOURS.name, SENDERS.name)
        ]


# --- renamed ----------------------------------------------------------------------------------------------------


def test_a_renamed_account_keeps_every_row(company: Warehouse) -> None:
    """Every row moves to the new name, and the other account's rows don't change."""
    shop, news = rows_of(company, "shop"), rows_of(company, "news")

    rename_account(company, "shop", "store")

    assert rows_of(company, "store") == shop
    assert rows_of(company, "news") == news
    assert not any(rows_of(company, "shop").values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("news", r"Account 'news' already exists in .*remove-account news"),
        ("shop", "Account 'shop' already exists in"),
        ("News", "'News' is not a valid account name. A name is up to 32 lowercase letters"),
        ("a" * 33, "is not a valid account name"),
        ("../x", "is not a valid account name"),
        ("demo", "'demo' is reserved for made-up figures"),
    ],
)
def test_a_new_name_must_be_valid_and_unused(company: Warehouse, name: str, said: str) -> None:
    """An invalid or used name is an error, so two accounts never merge, and no file changes or is created."""
    before = company.database.read_bytes()

    with pytest.raises(SettingsError, match=said):
        rename_account(company, "shop", name)

    assert (company.database.read_bytes(), backups(company)) == (before, [])


# --- removed ----------------------------------------------------------------------------------------------------


def test_a_removed_account_leaves_only_call_numbers(company: Warehouse) -> None:
    """No row keeps its name, AppID or answers; its calls keep their numbers, and all their other columns are NULL."""
    remove_account(company, "shop")

    assert not any(rows_of(company, "shop").values())
    with company.open_published() as con:
        assert stored_names(con) == ["news"]
        left = con.execute("SELECT * EXCLUDE (call_id) FROM datacube.api_calls WHERE account IS NULL").fetchall()
        assert len(left) == 12
        assert {value for call in left for value in call} == {None}
        assert con.execute("SELECT max(call_id), count(*) FROM datacube.api_calls").fetchall() == [(24, 24)]


def test_nothing_of_another_account_changes(company: Warehouse) -> None:
    """The other account's rows don't change, including the call numbers that Dagster's pages and revisions refer to."""
    news = rows_of(company, "news")

    remove_account(company, "shop")

    assert rows_of(company, "news") == news


CHANGES: dict[str, Callable[[Warehouse], Path]] = {
    "renamed": lambda warehouse: rename_account(warehouse, "shop", "store"),
    "removed": lambda warehouse: remove_account(warehouse, "shop"),
}
changed = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@changed
def test_a_new_table_is_not_forgotten(company: Warehouse, change: Callable[[Warehouse], Path]) -> None:
    """The tables with an account are read from the file, so a table added later is handled too."""
    with company.transaction() as con:
        con.execute("CREATE TABLE datacube.latest (x INTEGER, account VARCHAR)")
        con.execute("INSERT INTO datacube.latest VALUES (1, 'shop'), (2, 'news')")

    change(company)

    with company.open_published() as con:
        left = con.execute("SELECT account FROM datacube.latest ORDER BY x").fetchall()
    assert left in ([("store",), ("news",)], [("news",)])


@changed
def test_tables_are_still_a_function_of_the_ledger(company: Warehouse, change: Callable[[Warehouse], Path]) -> None:
    """A later replay gives the same tables, and new calls are stored as usual."""
    change(company)
    before = [rows_of(company, account) for account in ("shop", "store", "news")]
    with company.transaction() as con:
        replay(con)
    company.publish()
    assert [rows_of(company, account) for account in ("shop", "store", "news")] == before

    with company.transaction() as con:
        store_calls(con, calls_of("news", 20))
        assert con.execute("SELECT max(call_id), count(*) FROM datacube.api_calls").fetchall() == [(28, 28)]
    company.publish()


@changed
def test_a_backup_of_the_whole_file_is_kept_and_can_be_restored(
    company: Warehouse, change: Callable[[Warehouse], Path]
) -> None:
    """The whole file is kept as a read-only backup, named after account and time, and can be restored."""
    before = company.database.read_bytes()

    backup = change(company)

    assert backups(company) == [backup]
    assert backup.name in (f"figures.before-{what}-shop.20261125-213000.duckdb" for what in ("rename", "remove"))
    assert (backup.read_bytes(), backup.stat().st_mode & 0o777) == (before, 0o444)
    company.database.unlink()
    shutil.copy(backup, company.database)
    company.writer.unlink()
    assert stored_of(company, "shop") == StoredCounts(12, 9)


@changed
def test_the_backup_includes_unpublished_commits(company: Warehouse, change: Callable[[Warehouse], Path]) -> None:
    """The backup includes commits that were not published yet."""
    with company.transaction() as con:
        store_calls(con, calls_of("shop", 20))

    with duckdb.connect(str(change(company)), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM datacube.api_calls").fetchall() == [(28,)]


@changed
def test_a_backup_that_does_not_fit_changes_nothing(company: Warehouse, change: Callable[[Warehouse], Path]) -> None:
    """If the backup can't be written, nothing is renamed or removed, and the error says why."""
    company.publish()  # deletes what killed processes left, which the folders below would count as
    for what in ("rename", "remove"):
        (company.database.parent / f"figures.before-{what}-shop.20261125-213000.duckdb.part").mkdir()
    shop = rows_of(company, "shop")

    with pytest.raises(WarehouseError, match="can't be written"):
        change(company)

    company.publish()
    assert rows_of(company, "shop") == shop


def test_a_partial_backup_is_deleted(company: Warehouse) -> None:
    """The partial backup of a killed command is deleted by the next publication."""
    half = company.database.with_name("figures.before-remove-shop.20261125-213000.duckdb.part")
    half.write_bytes(b"half")
    with company.transaction() as con:
        store_calls(con, calls_of("news", 20))
    company.publish()

    assert not half.exists()


FETCH = """
import sys
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
with Warehouse(Path(sys.argv[1])).fetching(sys.argv[2], "getupstreammsghour", print):
    print("ready", flush=True)
    sys.stdin.readline()
"""


@changed
def test_an_account_is_not_changed_while_a_process_fetches_for_it(
    company: Warehouse, change: Callable[[Warehouse], Path]
) -> None:
    """A process that fetches for the account is an error that names it, without a wait or a changed file.

    A process that fetches for another account doesn't matter.
    """
    before = company.database.read_bytes()
    with (
        running(FETCH, company.database, "shop") as process,
        pytest.raises(WarehouseError, match=f"Process {process.pid} is fetching getupstreammsghour for shop; nothing"),
    ):
        change(company)
    assert (company.database.read_bytes(), backups(company)) == (before, [])

    with running(FETCH, company.database, "news"):
        change(company)


@changed
@pytest.mark.parametrize("name", ["nobody", "", "../../shop", "'; DROP TABLE x; --"])
def test_an_unknown_account_is_an_error(company: Warehouse, change: Callable[[Warehouse], Path], name: str) -> None:
    """An unknown account is an error that lists the stored names; no lock, backup or file is created."""
    locks = sorted(company.database.parent.rglob("*"))

    for asked in (lambda: remove_account(company, name), lambda: rename_account(company, name, "store")):
        with pytest.raises(SettingsError, match=r"There is no account .*Accounts there: news, shop\."):
            asked()

    assert sorted(company.database.parent.rglob("*")) == locks


def test_no_file_is_created_if_nothing_is_stored(warehouse: Warehouse) -> None:
    """If nothing is stored yet, the command raises `SettingsError` and creates no file."""
    with pytest.raises(SettingsError, match="Nothing is stored there yet"):
        remove_account(warehouse, "shop")

    assert not warehouse.database.parent.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from wx_datacube.warehouse import accounts
from wx_datacube.warehouse.files import Warehouse

class Deadly(Warehouse):
    published = 0
    def publish(self):
        Deadly.published += 1
        if Deadly.published == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        super().publish()

print("ready", flush=True)
getattr(accounts, sys.argv[2])(Deadly(Path(sys.argv[1])), *sys.argv[3:])
"""

COMMANDS = {"renamed": ("rename_account", "shop", "store"), "removed": ("remove_account", "shop")}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_kill_before_publication_loses_nothing(company: Warehouse, command: tuple[str, ...]) -> None:
    """After a kill before publication, repeating the command publishes the commit and reports that it was cut off."""
    news = rows_of(company, "news")
    with running(KILLED, company.database, *command) as process:
        process.wait()
    assert process.returncode == -9
    assert any(rows_of(company, "shop").values())

    assert was_interrupted(company, "shop")
    assert not any(rows_of(company, "shop").values())
    assert rows_of(company, "news") == news
    assert not was_interrupted(company, "shop")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_ordinary_run_works_after_a_kill(company: Warehouse, command: tuple[str, ...]) -> None:
    """After a kill, the next ordinary commit and publication work, without a file to delete."""
    with running(KILLED, company.database, *command) as process:
        process.wait()
    with company.transaction() as con:
        store_calls(con, calls_of("news", 20))
    company.publish()

    assert not any(rows_of(company, "shop").values())
    assert len(rows_of(company, "news")["api_calls"]) == 16
