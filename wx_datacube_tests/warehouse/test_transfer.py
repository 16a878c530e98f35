"""Bringing an account from another file: all of it is equal but for call numbers, and nothing else changes.

Add a test here when something else is stored of an account, or when another file can't be used. What the command
prints, and that no call is made afterwards, is tested in `cli/test_copy_account.py`.
"""

import datetime as dt
import random
import re
import shutil
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given as drawn
from hypothesis import settings

from wx_datacube.catalog.articles import ARTICLES_START, PUBLISHED_ARTICLES
from wx_datacube.catalog.endpoints import RELATIONS
from wx_datacube.catalog.model import Family
from wx_datacube.config.settings import Account
from wx_datacube.errors import SettingsError, WarehouseError, WxDatacubeError
from wx_datacube.warehouse.accounts import remove_account, rename_account, stored_names
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import accounts, bind_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import Call, copy_calls, replay, store_calls
from wx_datacube.warehouse.past_calls import DOCTOR, last_refresh, record_refresh, refreshed_labels
from wx_datacube.warehouse.transfer import Copied, copy_account
from wx_datacube_tests.answers import DAY, HOURS, LATER, MESSAGES, SENDERS, answered, day, hour_row, row, senders_row
from wx_datacube_tests.conftest import empty
from wx_datacube_tests.processes import HOLD, running
from wx_datacube_tests.rights import anybody, given, nobody_special
from wx_datacube_tests.warehouse.test_foreign import digests, foreign
from wx_datacube_tests.warehouse.test_migrations import old  # noqa: F401 - a fixture
from wx_datacube_tests.warehouse.test_nested import article, detail, scenes
from wx_datacube_tests.warehouse.test_replay import few, ledgers

APPIDS = {name: f"wx{number:02}" for number, name in enumerate(["shop", "news", "club", "cafe", "park", "zoo"], 1)}
CALL_COLUMNS = ("call_id", "old_call_id", "new_call_id", "last_undelayed", "after_call_id")
"""All columns that hold call numbers."""
FILLED = (
    "api_calls",
    "label_answers",
    "rejected_rows",
    "revisions",
    "accounts",
    "refreshes",
    "coverage",
    "getarticletotaldetail__detail_list__read_user_source",
)
Tables = dict[str, list[tuple[Any, ...]]]


def account_of(name: str) -> Account:
    """Return the settings of one of the accounts."""
    return Account(name, APPIDS[name], start=ARTICLES_START, families=tuple(Family))


def calls_of(account: str, number: int) -> list[Call]:
    """Return calls with figures, a revision, a rejected row, an error and an open label; each account has others."""
    users = 10 + int(APPIDS[account][2:])
    read = article(detail(5, users, read_user_source=scenes(users, 1)), ref_date=str(day(number)))
    return [
        answered(MESSAGES, day(number), None, row(day(number), users), row(day(number), -1), account=account),
        answered(HOURS, day(number), None, hour_row(day(number)), account=account),
        answered(SENDERS, day(number), None, senders_row(day(number), users), account=account),
        answered(SENDERS, day(number + 1), account=account, errcode=45009, response='{"errcode":45009}'),
        answered(PUBLISHED_ARTICLES, day(number), None, read, account=account),
        answered(MESSAGES, day(number), None, row(day(number), users + 1), account=account, at=LATER + DAY),
    ]


def stored(path: Path, *names: str) -> Warehouse:
    """Publish a file with the interleaved calls of these accounts, each with a refresh that was interrupted."""
    warehouse = Warehouse(path)
    with warehouse.transaction() as con:
        for name in names:
            bind_account(con, account_of(name), LATER)
        store_calls(con, [call for number in (4, 8) for name in names for call in calls_of(name, number)])
        for name in names:
            record_refresh(con, name, MESSAGES, day(4), day(8), LATER)
        again = [answered(MESSAGES, day(4), None, row(day(4), 50), account=name, refresh=True) for name in names]
        store_calls(con, again)
    warehouse.publish()
    return warehouse


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Publish the files of both machines once for all tests."""
    made = {"old": ("news", "shop", "club"), "new": ("zoo",)}
    folder = tmp_path_factory.mktemp("machines")
    return {name: stored(folder / f"{name}.duckdb", *names).database for name, names in made.items()}


def restored(published: Path, path: Path) -> Warehouse:
    """Return a warehouse that was restored from a published file."""
    path.parent.mkdir()
    shutil.copy(published, path)
    return Warehouse(path, timeout=20)


@pytest.fixture
def machine(published: dict[str, Path], tmp_path: Path) -> Warehouse:
    """Return the warehouse of the old machine, with the accounts `news`, `shop` and `club`."""
    return restored(published["old"], tmp_path / "old" / "figures.duckdb")


@pytest.fixture
def target(published: dict[str, Path], tmp_path: Path) -> Warehouse:
    """Return the warehouse of the new machine, with the account `zoo`."""
    return restored(published["new"], tmp_path / "new" / "figures.duckdb")


def ranked(con: Connection, account: str) -> Tables:
    """Return everything stored for an account by table, its calls numbered by their order."""
    numbers = [
        number
        for (number,) in con.execute(
            "SELECT call_id FROM datacube.api_calls WHERE account = $1 ORDER BY 1", [account]
        ).fetchall()
    ]
    tables = con.execute(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() WHERE schema_name ="
        " 'datacube' AND database_name = current_database() GROUP BY 1 HAVING list_contains(list(column_name),"
        " 'account') ORDER BY 1"
    ).fetchall()
    found = {}
    for table, columns in tables:
        rows = con.execute(f"FROM datacube.{table} WHERE account = $1", [account]).fetchall()
        found[table] = sorted(
            (
                tuple(
                    bisect_right(numbers, value) if name in CALL_COLUMNS and value is not None else value
                    for name, value in zip(columns, each, strict=True)
                )
                for each in rows
            ),
            key=repr,
        )
    return found


def contents(warehouse: Warehouse, account: str) -> Tables:
    """Return everything published for an account, coverage included, its calls numbered by their order."""
    with warehouse.open_published() as con:
        return ranked(con, account)


def copy(warehouse: Warehouse, source: Path, name: str) -> Copied:
    """Copy an account whose AppID is configured."""
    return copy_account(warehouse, source, account_of(name))


# --- what is brought --------------------------------------------------------------------------------------------


def test_an_account_is_equal_but_for_call_numbers(machine: Warehouse, target: Warehouse) -> None:
    """All tables, coverage included, are equal but for call numbers, also after a replay; no other account changes."""
    before, zoo, source = contents(machine, "shop"), contents(target, "zoo"), digests(machine.database.parent)
    assert [name for name in FILLED if not before[name]] == []

    copied = copy(target, machine.database, "shop")

    assert copied == Copied(13, LATER + DAY, now=True)
    assert (contents(target, "shop"), contents(target, "zoo")) == (before, zoo)
    with target.transaction() as con:
        replay(con)
    target.publish()
    assert (contents(target, "shop"), contents(target, "zoo")) == (before, zoo)
    with target.open_published() as con:
        assert con.execute("SELECT min(call_id), max(call_id), count(*) FROM datacube.api_calls").fetchall() == [
            (1, 26, 26)
        ]
    assert digests(machine.database.parent) == source


@pytest.mark.long
@settings(few, max_examples=15)
@drawn(ledgers)
def test_any_ledger_gives_the_same_tables(con: Connection, ledger: list[Call]) -> None:
    """Whatever WeChat answered, the tables of a copied account are equal but for call numbers."""
    empty(con)
    store_calls(con, ledger)
    before = ranked(con, "shop")
    con.execute("ATTACH ':memory:' AS other")
    try:
        con.execute("CREATE SCHEMA other.datacube")
        con.execute("CREATE TABLE other.datacube.api_calls AS FROM datacube.api_calls")
        empty(con)
        store_calls(con, [call for call in ledger if call.account == "news"])
        copy_calls(con, "other", "shop")
    finally:
        con.execute("DETACH other")
    assert ranked(con, "shop") == before


def test_no_table_with_an_account_is_forgotten(target: Warehouse) -> None:
    """Each table with an account is made from the calls, or copied: whoever adds one decides which."""
    from_calls = {"label_answers", "rejected_rows", "revisions", "coverage", *(each.name for each in RELATIONS)}
    assert contents(target, "zoo").keys() == from_calls | {"api_calls", "accounts", "refreshes"}


def test_an_interrupted_refresh_is_resumed_on_the_new_machine(machine: Warehouse, target: Warehouse) -> None:
    """What a refresh has requested on the old machine isn't requested again on the new one."""
    copy(target, machine.database, "shop")

    with target.open_published() as con:
        begun = last_refresh(con, "shop", MESSAGES, day(4), day(8))
        assert begun is not None
        assert refreshed_labels(con, "shop", MESSAGES, begun.after_call_id) == {day(4)}


@pytest.mark.long
def test_a_file_is_split_and_merged_again(machine: Warehouse, tmp_path: Path) -> None:
    """A file of three accounts is split into two, and these are merged into one: every account is still equal."""
    names = ["news", "shop", "club"]
    before = {name: contents(machine, name) for name in names}
    halves = [Warehouse(tmp_path / f"half{number}" / "figures.duckdb") for number in range(2)]
    merged = Warehouse(tmp_path / "merged" / "figures.duckdb")

    for number, name in enumerate(names):
        copy(halves[number % 2], machine.database, name)
    for number, name in enumerate(reversed(names)):
        copy(merged, halves[number % 2].database, name)

    assert {name: contents(merged, name) for name in names} == before
    with merged.open_published() as con:
        assert stored_names(con) == sorted(names)


@pytest.mark.long
def test_a_removed_account_can_come_back(machine: Warehouse, target: Warehouse) -> None:
    """An account goes to another file, is removed here, and comes back after its own empty numbers."""
    before = contents(machine, "shop")
    copy(target, machine.database, "shop")
    remove_account(machine, "shop")

    copy(machine, target.database, "shop")

    assert contents(machine, "shop") == before


def test_a_read_only_file_in_such_a_folder_is_enough(machine: Warehouse, target: Warehouse, tmp_path: Path) -> None:
    """The other file may be a read-only backup under any name, in a folder where nothing can be written."""
    folder = tmp_path / "it's a backup"
    folder.mkdir()
    shutil.copy(machine.database, folder / "figures of 'May'.db")
    folder.chmod(0o555)
    try:
        copy(target, folder / "figures of 'May'.db", "shop")
    finally:
        folder.chmod(0o755)
    assert [path.name for path in folder.iterdir()] == ["figures of 'May'.db"]


@pytest.mark.long
def test_an_account_of_an_older_file_is_brought(old: Warehouse, target: Warehouse) -> None:  # noqa: F811
    """A file of version 1, such as a backup from before an upgrade, is enough, and not migrated."""
    copy(target, old.database, "shop")

    with target.open_published() as con:
        assert con.execute("SELECT * FROM datacube.accounts WHERE account = 'shop'").fetchall() == [
            ("shop", "wx01", dt.date(2026, 11, 1), LATER, ["messages"])
        ]
        copied = ranked(con, "shop")
    with old.open_published() as con:  # migrates it
        assert ranked(con, "shop") == copied


# --- bindings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "appid"), [("store", "wx01"), ("shop", "wx99")])
def test_a_binding_without_calls_is_no_obstacle(
    name: str, appid: str | None, machine: Warehouse, target: Warehouse
) -> None:
    """A name or an AppID that is bound here, but has no calls, is bound as in the other file from then on."""
    with target.transaction() as con:
        bind_account(con, Account(name, appid), LATER)
        record_refresh(con, name, MESSAGES, None, None, LATER)

    copy(target, machine.database, "shop")

    with target.open_published() as con:
        assert accounts(con) == {"shop": "wx01", "zoo": "wx06"}
    if name == "shop":
        assert contents(target, "shop") == contents(machine, "shop")


def test_calls_of_doctor_are_no_obstacle(machine: Warehouse, target: Warehouse) -> None:
    """Whoever runs `doctor` on the new machine first can copy the account all the same, once."""
    with target.transaction() as con:
        bind_account(con, account_of("shop"), LATER)
        store_calls(con, [answered(MESSAGES, day(20), None, row(day(20)), account="shop", run_id=DOCTOR)])

    assert copy(target, machine.database, "shop").calls == 13

    after = contents(target, "shop")
    assert len(after["api_calls"]) == 14
    with target.transaction() as con:
        replay(con)
    target.publish()
    assert contents(target, "shop") == after
    with pytest.raises(SettingsError, match="They are all in"):
        copy(target, machine.database, "shop")


# --- what is refused --------------------------------------------------------------------------------------------


def copied_before(machine: Warehouse, target: Warehouse) -> Path:
    """Copy the account a first time."""
    copy(target, machine.database, "shop")
    return machine.database


def with_calls(machine: Warehouse, target: Warehouse) -> Path:
    """Store a call of the account here."""
    with target.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(20), account="shop")])
    return machine.database


def renamed(machine: Warehouse, target: Warehouse) -> Path:
    """Copy the account, and rename it here."""
    copy(target, machine.database, "shop")
    rename_account(target, "shop", "store")
    return machine.database


def another_appid(machine: Warehouse, target: Warehouse) -> Path:
    """Return a file in which the account has another AppID."""
    with machine.transaction() as con:
        con.execute("UPDATE datacube.accounts SET appid = 'wx77' WHERE account = 'shop'")
    machine.publish()
    return machine.database


def not_there(machine: Warehouse, target: Warehouse) -> Path:
    """Remove the account from the other file."""
    remove_account(machine, "shop")
    return machine.database


def bound_only(machine: Warehouse, target: Warehouse) -> Path:
    """Return a file in which the account has only a call of `doctor`."""
    other = Warehouse(machine.database.with_name("bound.duckdb"))
    with other.transaction() as con:
        bind_account(con, account_of("shop"), LATER)
        store_calls(con, [answered(MESSAGES, day(20), account="shop", run_id=DOCTOR)])
    other.publish()
    return other.database


def newer(machine: Warehouse, target: Warehouse) -> Path:
    """Return a file of a newer version."""
    with machine.transaction() as con:
        con.execute("UPDATE datacube.meta SET schema_version = 99")
    return machine.writer


def not_ours(machine: Warehouse, target: Warehouse) -> Path:
    """Return a DuckDB file of another program."""
    path = machine.database.with_name("theirs.duckdb")
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE mine AS SELECT 1")
    return path


def with_a_wal(machine: Warehouse, target: Warehouse) -> Path:
    """Return a file beside which another program left a WAL."""
    path = machine.database.with_name("backup.duckdb")
    foreign(path)
    shutil.copy(machine.database, path)
    return path


def damaged(machine: Warehouse, target: Warehouse) -> Path:
    """Return a copy of the other file with bytes that changed on the disk."""
    path = machine.database.with_name("damaged.duckdb")
    content = bytearray(machine.database.read_bytes())
    for place in range(3 * 4096 + 100, len(content), 4096):
        content[place] ^= 0xFF
    path.write_bytes(content)
    return path


def a_text(machine: Warehouse, target: Warehouse) -> Path:
    """Return a file that is no database."""
    path = machine.database.with_name("notes.txt")
    path.write_text("notes")
    return path


OURS = "is this project's own file"
REFUSED: dict[str, tuple[Callable[[Warehouse, Warehouse], Path], str]] = {
    "copied before": (copied_before, r"has 13 calls of shop already, the newest of .* copied already.*remove-account"),
    "has other calls": (with_calls, r"has 1 calls of shop already.*rename-account shop NEW.*remove-account shop"),
    "appid in use": (renamed, "has calls of the AppID wx01 already, as the account store.*remove-account store"),
    "another appid": (another_appid, "shop has the AppID wx77 in .*, but wx01 in the settings"),
    "not there": (not_there, r"There is no account 'shop' in .*Accounts there: club, news\."),
    "no calls": (bound_only, "has no calls of shop"),
    "newer": (newer, "was created by a newer wx_datacube.*Upgrade"),
    "foreign": (not_ours, "is a DuckDB file that wx_datacube didn't create"),
    "a WAL": (with_a_wal, r"Another program has written to .*backup\.duckdb\.wal exists.*alone to another folder"),
    "damaged": (damaged, "can't be read"),
    "a text": (a_text, "it is not a DuckDB file"),
    "missing": (lambda machine, target: machine.database.with_name("none.duckdb"), "there is no such file"),
    "a folder": (lambda machine, target: machine.database.parent, "can't be read"),
    "published here": (lambda machine, target: target.database, OURS),
    "written here": (lambda machine, target: target.writer, OURS),
}


SLOW = ("another appid", "not there", "no calls", "newer")


@pytest.mark.parametrize("case", [pytest.param(name, marks=[pytest.mark.long] * (name in SLOW)) for name in REFUSED])
def test_a_refusal_changes_no_file(case: str, machine: Warehouse, target: Warehouse) -> None:
    """Whatever is refused: the message says why and what to do, and neither file, nor a WAL beside it, changes."""
    prepare, said = REFUSED[case]
    source = prepare(machine, target)
    target.publish()
    before = digests(machine.database.parent), digests(target.database.parent)

    with pytest.raises(WxDatacubeError) as refused:
        copy(target, source, "shop")

    assert isinstance(refused.value, SettingsError | WarehouseError)
    assert re.search(said, str(refused.value.text))
    assert (digests(machine.database.parent), digests(target.database.parent)) == before


@pytest.mark.parametrize("name", ["figures.duckdb", "figures.writer.duckdb"])
def test_a_foreign_file_here_is_not_changed(name: str, machine: Warehouse, tmp_path: Path) -> None:
    """A file of another program at one of this project's paths is refused; neither it nor its WAL changes."""
    folder = tmp_path / "data"
    foreign(folder / name)
    before = digests(folder)

    with pytest.raises(WarehouseError, match="is a DuckDB file that wx_datacube didn't create"):
        copy(Warehouse(folder / "figures.duckdb"), machine.database, "shop")

    assert digests(folder) == before


def test_no_file_is_created_if_the_other_one_is_refused(warehouse: Warehouse, machine: Warehouse) -> None:
    """If the other file can't be used, a new machine's folder stays empty."""
    for source in (machine.database.with_name("none.duckdb"), machine.database):
        with pytest.raises(WxDatacubeError):
            copy(warehouse, source, "zoo")
    assert not warehouse.database.parent.exists()


def test_a_file_that_a_process_writes_is_refused(machine: Warehouse, target: Warehouse) -> None:
    """A file that a process has open for writing, such as a writer's file, is an error that names the process."""
    with (
        running(HOLD, machine.writer) as process,
        pytest.raises(WarehouseError, match=f"Process {process.pid} has .* open for writing"),
    ):
        copy(target, machine.writer, "shop")


def test_a_file_that_this_user_may_not_read_is_refused(published: dict[str, Path]) -> None:
    """A file without permission to read is an error with the command that gives it."""
    with anybody() as folder:
        source = folder / "backup.duckdb"
        shutil.copy(published["old"], source)
        source.chmod(0)
        nobody_special()
        with pytest.raises(WarehouseError) as refused:
            copy(Warehouse(folder / "figures.duckdb"), source, "shop")
        assert f"{given('r', source)}. Or give a copy that this user may read." in str(refused.value.text)


# --- killed, and at once ----------------------------------------------------------------------------------------

COPY = """
import os, signal, sys
from pathlib import Path
from wx_datacube.config.settings import Account
from wx_datacube.warehouse import files, transfer

moment = sys.argv[3]

class Deadly(files.Warehouse):
    def publish(self):
        if moment == "before publication":
            os.kill(os.getpid(), signal.SIGKILL)
        super().publish()

def deadly(con, account, appid, original=transfer._copy):
    original(con, account, appid)
    if moment == "before the commit":
        os.kill(os.getpid(), signal.SIGKILL)

transfer._copy = deadly
print("ready", flush=True)
if moment == "at a sign":
    sys.stdin.readline()
transfer.copy_account(Deadly(Path(sys.argv[1]), timeout=20), Path(sys.argv[2]), Account("shop", "wx01"))
"""


@pytest.mark.parametrize("moment", ["before the commit", "before publication"])
def test_the_same_command_completes_a_killed_copy(moment: str, machine: Warehouse, target: Warehouse) -> None:
    """After a kill nothing or everything is here; the same command completes it, and says the same numbers."""
    before, zoo = contents(machine, "shop"), contents(target, "zoo")
    with running(COPY, target.database, machine.database, moment) as process:
        process.wait()
    assert process.returncode == -9
    assert not any(contents(target, "shop").values())

    copied = copy(target, machine.database, "shop")

    assert copied == Copied(13, LATER + DAY, now=moment == "before the commit")
    assert (contents(target, "shop"), contents(target, "zoo")) == (before, zoo)


def test_unpublished_calls_of_a_run_are_no_copy(machine: Warehouse, target: Warehouse) -> None:
    """Calls that a killed run committed, but didn't publish, are refused like any others."""
    with target.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(20), account="shop")])

    with pytest.raises(SettingsError, match="has 1 calls of shop already"):
        copy(target, machine.database, "shop")


@pytest.mark.long
def test_of_two_copies_at_once_one_is_made(machine: Warehouse, target: Warehouse) -> None:
    """Two commands at once copy an account once; the other one is refused."""
    with running(COPY, target.database, machine.database, "at a sign") as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        refused = None
        try:
            copy(target, machine.database, "shop")
        except WxDatacubeError as error:
            refused = error
        process.wait()

    assert (process.returncode == 0) == (refused is not None)
    assert contents(target, "shop") == contents(machine, "shop")


@pytest.mark.long
def test_a_kill_at_any_moment_leaves_nothing_or_everything(machine: Warehouse, target: Warehouse) -> None:
    """Kills at random moments leave nothing or everything; in the end the account is equal, and so are the others."""
    before, zoo = contents(machine, "shop"), contents(target, "zoo")
    draw = random.Random(24)
    for _ in range(12):
        with running(COPY, target.database, machine.database, "") as process:
            time.sleep(draw.uniform(0, 0.5))
        process.wait()
        found = contents(target, "shop")
        assert found == before or not any(found.values()), found
        if any(found.values()):
            remove_account(target, "shop")
    copied = copy(target, machine.database, "shop")

    assert copied.calls == 13
    assert (contents(target, "shop"), contents(target, "zoo")) == (before, zoo)
    assert [path.name for path in target.database.parent.glob(".*")] == []


WRITE = """
import select, sys
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import MESSAGES, answered, day, row
warehouse, number = Warehouse(Path(sys.argv[1])), 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    with warehouse.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(number % 20 + 1), None, row(day(1)), account=sys.argv[2])])
    warehouse.publish()
"""


@pytest.mark.long
def test_both_files_may_be_written_and_published_meanwhile(machine: Warehouse, target: Warehouse) -> None:
    """Runs of other accounts go on in both files, published again and again, while accounts are copied."""
    before = {name: contents(machine, name) for name in ("shop", "news", "club")}
    with (
        running(WRITE, machine.database, "zoo") as there,
        running(WRITE, target.database, "park") as here,
    ):
        for name in before:
            copy(target, machine.database, name)
        for process in (there, here):
            assert process.stdin is not None
            process.communicate("\n")
            assert process.returncode == 0
    assert {name: contents(target, name) for name in before} == before
