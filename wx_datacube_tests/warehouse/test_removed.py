"""Removing an account: no block of either file, not even a freed one, holds its name, AppID, rows or answers.

DuckDB leaves deleted rows in freed blocks, so these tests search the bytes of the files, and read them with the
older of DuckDB's two headers too. What the command does to tables and backups is tested in `test_accounts.py`.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.config.settings import Account
from wx_datacube.warehouse.accounts import copies_with_account, remove_account, rename_account, was_interrupted
from wx_datacube.warehouse.coverage import bind_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.past_calls import record_refresh
from wx_datacube_tests.answers import HOURS, LATER, MESSAGES, answered, body, day, hour_row, row
from wx_datacube_tests.processes import running

HEADER = 4096
BOTH = ["shop", "news"]
APPIDS = {"shop": "wx00c0ffee00c0ffee", "news": "wx00feed0000feed00"}
MARKERS = {"shop": "MarkerOfTheShop", "news": "MarkerOfTheNews"}


def calls_of(account: str, number: int) -> list[Any]:
    """Return calls of an account, with its marker in the answers and in a rejected row."""
    marked = body(row(day(number), note=f"{MARKERS[account]} {hashlib.sha256(str(number).encode()).hexdigest()}"))
    return [
        answered(MESSAGES, day(number), None, account=account, response=marked),
        answered(MESSAGES, day(number), None, row(day(number), -1, note=MARKERS[account]), account=account),
        answered(HOURS, day(number), None, hour_row(day(number)), account=account),
    ]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish the interleaved calls of two accounts several times, so that blocks are freed; return the folder."""
    folder = tmp_path_factory.mktemp("company")
    warehouse = Warehouse(folder / "figures.duckdb")
    with warehouse.transaction() as con:
        for account in BOTH:
            bind_account(con, Account(account, APPIDS[account], start=day(1)), LATER)
            record_refresh(con, account, MESSAGES, None, None, LATER)
    for number in range(2, 22):
        with warehouse.transaction() as con:
            for account in BOTH:
                store_calls(con, calls_of(account, number))
        if number % 5 == 0:
            warehouse.publish()
    warehouse.publish()
    return folder


@pytest.fixture
def company(original: Path, tmp_path: Path) -> Warehouse:
    """Provide a copy of that folder's files."""
    return Warehouse(shutil.copytree(original, tmp_path / "data") / "figures.duckdb", timeout=0.5)


def overlaid(file: Path, folder: Path) -> Iterator[Path]:
    """Yield copies of a file: as it is, and with each of the two headers that DuckDB keeps in the 2nd and 3rd 4 KiB."""
    content = file.read_bytes()
    for name, source, target in (("as-it-is", 1, 1), ("first", 1, 2), ("second", 2, 1)):
        header = content[source * HEADER : (source + 1) * HEADER]
        made = folder / f"{name}.{file.name}"
        made.write_bytes(content[: target * HEADER] + header + content[(target + 1) * HEADER :])
        yield made


def found_in(file: Path, folder: Path, account: str) -> set[str]:
    """Return the traces of an account in a file's bytes, and in what DuckDB reads with either header."""
    content = file.read_bytes()
    traces = (account, APPIDS[account], MARKERS[account])
    found = {f"bytes: {trace}" for trace in traces if trace.encode() in content}
    for each in overlaid(file, folder):
        try:
            with duckdb.connect(str(each), read_only=True) as con:
                for (table,) in con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
                    text = str(con.execute(f"FROM datacube.{table}").fetchall())
                    found |= {f"{each.name} {table}: {trace}" for trace in traces if trace in text}
        except duckdb.Error:
            continue  # an older header may point to blocks that have been reused
    return found


OTHERS = {
    "rows": "SELECT table_name FROM duckdb_columns() WHERE schema_name = 'datacube' AND column_name = 'account'"
    " AND table_name <> 'coverage' ORDER BY 1",
    "tables": "SELECT schema_name, table_name, comment, sql FROM duckdb_tables() ORDER BY ALL",
    "views": "SELECT schema_name, view_name, comment, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "columns": "SELECT schema_name, table_name, column_name, column_index, data_type, comment FROM duckdb_columns()"
    " WHERE NOT internal ORDER BY ALL",
    "meta": "FROM datacube.meta",
    "endpoints": "FROM datacube.endpoints",
    "storage": "SELECT tags FROM duckdb_databases() WHERE NOT internal",
}


def of_others(file: Path) -> dict[str, Any]:
    """Return everything in a file except the rows of `shop`."""
    with duckdb.connect(str(file), read_only=True) as con:
        found: dict[str, Any] = {name: con.execute(sql).fetchall() for name, sql in OTHERS.items()}
        found["rows"] = {
            table: con.execute(f"FROM datacube.{table} WHERE account = 'news' ORDER BY ALL").fetchall()
            for (table,) in found["rows"]
        }
        found["calls"] = con.execute("SELECT call_id FROM datacube.api_calls ORDER BY ALL").fetchall()
        return found


def test_the_search_finds_the_account_before_its_removal(company: Warehouse, tmp_path: Path) -> None:
    """The search finds the account before it is removed; otherwise the tests below could not fail."""
    for file in (company.database, company.writer):
        found = found_in(file, tmp_path, "shop")
        assert {f"as-it-is.{file.name} accounts: {APPIDS['shop']}", f"bytes: {APPIDS['shop']}"} <= found
        assert f"as-it-is.{file.name} api_calls: {MARKERS['shop']}" in found


def test_nothing_of_a_removed_account_is_in_any_block(company: Warehouse, tmp_path: Path) -> None:
    """No trace is left in either file; all else, including the storage version, doesn't change."""
    before = {file: of_others(file) for file in (company.database, company.writer)}

    remove_account(company, "shop")

    for file, content in before.items():
        assert found_in(file, tmp_path, "shop") == set()
        assert of_others(file) == content
        assert content["storage"][0][0]["storage_version"].startswith("v1.2.0")
    assert company.is_published


def test_call_numbers_stay_without_gaps_after_a_removal(company: Warehouse) -> None:
    """Call numbers stay without gaps, since they show which file is fuller, and the next call gets the next one."""
    remove_account(company, "shop")
    with company.transaction() as con:
        store_calls(con, calls_of("news", 23))
        numbers = "SELECT count(*), min(call_id), max(call_id) FROM datacube.api_calls"
        assert con.execute(numbers).fetchall() == [(123, 1, 123)]
    company.publish()


def test_the_rights_of_the_writers_file_are_kept(company: Warehouse) -> None:
    """The writer's file keeps its mode, so that a group may still write it."""
    company.writer.chmod(0o660)
    remove_account(company, "shop")
    assert company.writer.stat().st_mode & 0o777 == 0o660


def test_copies_that_still_hold_it_are_named(company: Warehouse) -> None:
    """All copies that may hold the account are listed, also renamed, migrated and damaged ones, but no others."""
    folder = company.database.parent
    renamed = rename_account(company, "shop", "store")
    migrated = folder / f"{company.writer.name}.schema-0"
    shutil.copy(company.database, migrated)
    with Warehouse(folder / "other.duckdb").transaction() as con:
        bind_account(con, Account("news", APPIDS["news"], start=day(1)), LATER)
    (folder / "other.writer.duckdb").rename(folder / "figures.before-remove-old.20200101-000000.duckdb")
    damaged = folder / "figures.before-remove-damaged.20200101-000000.duckdb"
    damaged.write_bytes(b"damaged")

    backup = remove_account(company, "store")

    assert copies_with_account(company, "store") == sorted([renamed, migrated, backup, damaged])


KILLED = """
import os, signal, sys
from pathlib import Path
from wx_datacube.warehouse.accounts import remove_account
from wx_datacube.warehouse.files import Warehouse

def die_at(moment):
    if moment == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

def replace(made, target, original=Path.replace):  # .making: the new writer's file
    die_at(f"before {made.suffix}")
    original(made, target)
    die_at(f"after {made.suffix}")

class Dying(Warehouse):
    published = 0
    def back_up(self, before):
        super().back_up(before)
        die_at("after the backup")
    def publish(self):
        Dying.published += 1
        if Dying.published == 2:
            die_at("before it is published")
        super().publish()

print("ready", flush=True)
Path.replace = replace
remove_account(Dying(Path(sys.argv[1])), "shop")
"""


@pytest.mark.parametrize("moment", ["after the backup", "before .making", "after .making", "before it is published"])
def test_the_same_command_completes_a_killed_removal(company: Warehouse, tmp_path: Path, moment: str) -> None:
    """After a kill at any point the account is unchanged or fully removed; repeating the command completes it."""
    news = of_others(company.database)
    with running(KILLED, company.database, moment) as process:
        process.wait()
    assert process.returncode == -9

    if not was_interrupted(company, "shop"):
        assert of_others(company.writer) == news
        remove_account(company, "shop")

    for file in (company.database, company.writer):
        assert found_in(file, tmp_path, "shop") == set()
        assert of_others(file) == news
    left = {path.name for path in company.database.parent.iterdir() if "before-" not in path.name}
    assert left == {"figures.duckdb", "figures.writer.duckdb", "figures.locks"}
