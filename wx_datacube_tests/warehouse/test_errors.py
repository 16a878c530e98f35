"""Errors: full disks, damaged files, missing rights and older versions end in one clear line, and no data is lost.

A full disk is a mounted file system of a few megabytes where the tests may mount one, and otherwise a limit on the
size of files. Damage overwrites random bytes of a file. Add a test here when a file of ours can fail in another way;
files that aren't ours are in `test_foreign.py`.
"""

import os
import random
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import replay, store_calls
from wx_datacube.warehouse.migrate import MIGRATIONS
from wx_datacube.warehouse.schema import SCHEMA_VERSION, TABLES
from wx_datacube_tests.answers import MESSAGES, answered, body, day, row
from wx_datacube_tests.disks import Disk, limited, mounted
from wx_datacube_tests.ingesting import shop
from wx_datacube_tests.rights import anybody, given, nobody_special

KIB = 1024
OURS = {"figures.duckdb", "figures.writer.duckdb"}


@pytest.fixture(params=[mounted, limited])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """Provide a disk that can be filled up."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with request.param(folder) as found:
        yield found


def store(warehouse: Warehouse, number: int, size: int = 0) -> None:
    """Commit a call for a day, with an answer padded by `size` characters."""
    noise = "".join(random.Random(number).choices(string.ascii_letters, k=size))
    with warehouse.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(number), None, response=body(row(day(number), noise=noise)))])


def days_in(warehouse: Warehouse) -> list[int]:
    """Return the days in the published file, after reading every table."""
    with warehouse.open_published() as con:
        for name in (*TABLES, *BY_NAME):
            con.execute(f"FROM datacube.{name}").fetchall()
        found = con.execute("SELECT ref_date FROM datacube.getupstreammsg ORDER BY 1").fetchall()
    return [date.day for (date,) in found]


def fails(use: Callable[[], None]) -> str:
    """Return the message of the error that an operation raises, which must be one line, or "" if it works."""
    said = ""
    try:
        use()
    except WarehouseError as error:
        said = str(error)
    assert "\n" not in said
    return said


# --- no space ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 8, 400, 1000, 1800, 2600])
def test_a_full_disk_loses_nothing_that_was_committed(disk: Disk, left: int) -> None:
    """Wherever the disk fills up, the error is one line, readers keep what they had, and work continues afterwards.

    The sizes let it fill up in a commit, in a checkpoint or in a copy.
    """
    warehouse = Warehouse(disk.folder / "figures.duckdb", timeout=0.5)
    store(warehouse, 1)
    warehouse.publish()
    disk.leave(left * KIB)
    committed, said = [1], []
    for number in (2, 3, 4):
        said.append(fails(lambda number=number: store(warehouse, number, 300_000)))
        committed += [number] if not said[-1] else []
        said.append(fails(warehouse.publish))
    assert all("can't be written" in words and "Free space" in words for words in said if words)
    assert any(said)
    assert set(days_in(warehouse)) <= set(committed)
    assert [path.name for path in disk.folder.iterdir() if path.name.startswith(".")] == []

    disk.free()
    warehouse.publish()
    assert days_in(warehouse) == committed
    store(warehouse, 5)
    warehouse.publish()
    assert days_in(warehouse) == [*committed, 5]


def test_a_copy_that_does_not_fit_takes_no_space_from_commits(disk: Disk) -> None:
    """Calls are still committed when the copy doesn't fit, and are published once there is space."""
    warehouse = Warehouse(disk.folder / "figures.duckdb", timeout=0.5)
    store(warehouse, 1, 300_000)
    warehouse.publish()
    store(warehouse, 2, 300_000)
    disk.leave(warehouse.writer.stat().st_size // 2)
    assert "Free space" in fails(warehouse.publish)
    store(warehouse, 3)
    disk.free()
    warehouse.publish()

    assert days_in(warehouse) == [1, 2, 3]


def test_no_call_is_made_on_a_full_disk(disk: Disk) -> None:
    """On a full disk no call is made, because each would use quota and lose its answer."""
    with shop(disk.folder, start=day(1)) as made:
        made.fetch_missing(MESSAGES, [day(1)])
        disk.leave(KIB * KIB)
        said = fails(lambda: made.fetch_missing(MESSAGES))
        calls = made.calls()
        disk.free()

        assert "Free space" in said
        assert calls == 1
        assert made.fetch_missing(MESSAGES).unresolved == ()


# --- damage -----------------------------------------------------------------------------------------------------


@pytest.fixture
def published(folder: Path) -> Warehouse:
    """Publish a warehouse with six days."""
    warehouse = Warehouse(folder / "figures.duckdb", timeout=0.5)
    for number in range(1, 7):
        store(warehouse, number, 1000)
    warehouse.publish()
    return warehouse


def damage(path: Path, seed: int) -> None:
    """Overwrite some bytes of a file, at its start or anywhere."""
    chance = random.Random(seed)
    data = bytearray(path.read_bytes())
    at = chance.choice([chance.randrange(3 * 4096), chance.randrange(len(data))])
    piece = chance.randbytes(chance.choice([1, 64, 4096]))
    data[at : at + len(piece)] = piece[: len(data) - at]
    path.unlink()
    path.write_bytes(data)


def damaged_writers_file_is_never_published(published: Warehouse, seed: int) -> None:
    """Assert that errors name the damage, the published file is whole, and the advised remedy works."""
    damage(published.writer, seed)
    said = [fails(lambda: store(published, 7)), fails(published.publish)]

    assert all(f"{published.writer} is damaged" in words and "Delete" in words for words in said if words)
    assert "Free space" not in "".join(said)
    assert days_in(published) in ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7])
    if any(said):
        published.writer.unlink()
        store(published, 8)
        published.publish()
        assert {1, 2, 3, 4, 5, 6, 8} <= set(days_in(published))
    assert {path.name for path in published.database.parent.iterdir() if path.is_file()} == OURS


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_writers_file_is_never_published(published: Warehouse, seed: int) -> None:
    """Wherever the damage is, it is reported as damage, readers keep what they had, and the advice works."""
    damaged_writers_file_is_never_published(published, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5, 72))
def test_a_damaged_writers_file_is_never_published_at_length(published: Warehouse, seed: int) -> None:
    """A damaged writer's file is never published, for many more places of damage."""
    damaged_writers_file_is_never_published(published, seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_published_file_is_recreated(published: Warehouse, seed: int) -> None:
    """A damaged published file is reported in one line; after its deletion the next publication creates a whole one."""
    damage(published.database, seed)
    said = [fails(lambda: [days_in(published)].clear()), fails(published.publish)]
    assert all(f"{published.database} can't be read" in words and "delete it" in words for words in said if words)

    published.database.unlink(missing_ok=True)
    store(published, 7)
    published.publish()
    assert days_in(published) == [1, 2, 3, 4, 5, 6, 7]


def test_a_damaged_file_without_the_other_needs_a_backup(published: Warehouse) -> None:
    """If the only file is damaged, the error asks for a backup, no empty file replaces it, and the backup works."""
    backup = published.database.read_bytes()
    published.writer.unlink()
    os.truncate(published.database, 5000)
    for use in (lambda: store(published, 7), published.publish, lambda: [days_in(published)].clear()):
        assert "put a backup in its place" in fails(use)
    assert published.database.stat().st_size == 5000
    published.database.rename(published.writer)
    assert "put a backup in place of" in fails(lambda: store(published, 7))

    published.database.write_bytes(backup)
    published.writer.unlink()
    store(published, 7)
    published.publish()
    assert days_in(published) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("which", ["database", "writer"])
def test_an_empty_file_is_reported_as_empty(published: Warehouse, which: str) -> None:
    """A file of 0 bytes, as a failed copy leaves it, is reported as empty; deleting it is the remedy, and works."""
    path: Path = getattr(published, which)
    path.unlink()
    path.touch()
    uses = (lambda: [days_in(published)].clear(), published.publish, lambda: store(published, 7))
    said = [words for words in map(fails, uses) if words]

    assert said
    assert all(words.startswith(f"{path} is an empty file (0 bytes). Delete ") for words in said)
    path.unlink()
    store(published, 8)
    published.publish()
    assert {1, 2, 3, 4, 5, 6, 8} <= set(days_in(published))


def test_two_empty_files_need_a_backup(published: Warehouse) -> None:
    """If both files are empty, the error asks for a backup; with it in place, the writer's file may be deleted."""
    backup = published.database.read_bytes()
    for path in (published.database, published.writer):
        path.unlink()
        path.touch()
    assert "is an empty file (0 bytes). Put a backup in its place" in fails(lambda: [days_in(published)].clear())
    said = f"{published.writer} is an empty file (0 bytes). Move it away, put a backup in place of"
    assert fails(lambda: store(published, 7)).startswith(said)

    published.database.write_bytes(backup)
    assert f"Delete {published.writer}" in fails(lambda: store(published, 7))
    published.writer.unlink()
    store(published, 7)
    published.publish()
    assert days_in(published) == [1, 2, 3, 4, 5, 6, 7]


def test_an_empty_file_without_the_other_needs_a_backup(folder: Path) -> None:
    """If the only file is empty, either of the two, the error asks for a backup."""
    warehouse = Warehouse(folder / "figures.duckdb", timeout=0.5)
    warehouse.database.unlink()
    warehouse.database.touch()
    said = f"{warehouse.database} is an empty file (0 bytes). Put a backup in its place"
    assert said in fails(lambda: [days_in(warehouse)].clear())
    assert said in fails(lambda: store(warehouse, 7))
    warehouse.database.rename(warehouse.writer)
    assert f"put a backup in place of {warehouse.database}" in fails(lambda: store(warehouse, 7))


# --- no right ---------------------------------------------------------------------------------------------------


@pytest.fixture
def denied() -> Iterator[Warehouse]:
    """Publish a warehouse in a folder that everybody may enter, owned by the user who runs the tests."""
    with anybody() as folder:
        warehouse = Warehouse(folder / "figures.duckdb", timeout=0.5)
        store(warehouse, 1)
        warehouse.publish()
        yield warehouse


def everybodys(warehouse: Warehouse) -> None:
    """Give everybody all rights to a warehouse."""
    warehouse.database.parent.chmod(0o777)
    for path in warehouse.database.parent.rglob("*"):
        path.chmod(0o777)


def test_the_advice_for_an_unreadable_published_file_is_to_grant_access(denied: Warehouse) -> None:
    """If the published file may not be read, the advice is to grant the right, as moving it away would lose history."""
    everybodys(denied)
    denied.database.chmod(0)
    nobody_special()
    said = fails(lambda: [days_in(denied)].clear())

    assert said.startswith(f"{denied.database} can't be read: Permission denied. It belongs to ")
    assert said.endswith(f"Keep it where it is and give this user permission: {given('r', denied.database)}.")


def test_a_published_file_that_may_not_be_read_is_replaced(denied: Warehouse) -> None:
    """A publication replaces a published file that may not be read; it verifies its copy, and no action is needed."""
    store(denied, 2)
    everybodys(denied)
    denied.database.chmod(0)
    nobody_special()
    denied.publish()

    assert days_in(denied) == [1, 2]


def test_the_advice_for_a_read_only_writers_file_is_to_grant_access(denied: Warehouse) -> None:
    """If the writer's file may not be written, a run and a publication advise to grant the right.

    Root leaves such a file after a run of its own.
    """
    everybodys(denied)
    denied.writer.chmod(0o444)
    nobody_special()
    for use in (lambda: store(denied, 2), lambda: replayed(denied)):
        said = fails(use)
        assert said.startswith(f"{denied.writer} can't be written: Permission denied. It belongs to ")
        assert said.endswith(f"give this user permission: {given('rw', denied.writer)}.")


def replayed(warehouse: Warehouse) -> None:
    """Do what `wx-datacube replay` does."""
    with warehouse.transaction() as con:
        replay(con)
    warehouse.publish()


def test_the_folder_that_can_not_be_written_is_named(denied: Warehouse) -> None:
    """If the data folder may not be written, a commit and a publication name it and its owner."""
    data = denied.database.parent
    store(denied, 2)
    everybodys(denied)
    data.chmod(0o555)
    nobody_special()
    assert fails(lambda: store(denied, 3)).startswith(f"{data} can't be written: Permission denied. It belongs to ")
    said = fails(denied.publish)
    assert "chown" not in said  # the folder may hold other files
    assert said.endswith(" Or set WX_DATACUBE_DATABASE to a path in a folder of this user.")


def test_the_folder_of_locks_that_can_not_be_written_is_named(denied: Warehouse) -> None:
    """If the folder of locks may not be written, the error names it and the missing right, not a lack of space."""
    locks = denied.database.with_name("figures.locks")
    everybodys(denied)
    for path in locks.iterdir():
        path.chmod(0o444)
    locks.chmod(0o555)
    nobody_special()
    said = fails(lambda: store(denied, 2))
    assert said.startswith(f"{locks} can't be written: Permission denied. It belongs to ")
    assert f"{given('rwx', locks, '-R')}." in said
    assert "Free space" not in said


def test_a_file_in_place_of_the_folder_of_locks_is_named(published: Warehouse) -> None:
    """A file in place of the folder of locks is named, and the advice is to move it away, not to free space."""
    locks = published.database.with_name("figures.locks")
    shutil.rmtree(locks)
    locks.touch()
    said = f"{locks} can't be written: it must be a folder. Move that file away"
    assert said in fails(lambda: store(published, 7))
    assert "space" not in fails(published.publish)

    locks.unlink()
    store(published, 7)
    published.publish()
    assert days_in(published) == [1, 2, 3, 4, 5, 6, 7]


# --- older versions ---------------------------------------------------------------------------------------------

STEP = ("ALTER TABLE datacube.accounts ADD COLUMN remark VARCHAR", "UPDATE datacube.accounts SET remark = 'new'")


def age(path: Path, version: int = SCHEMA_VERSION - 1) -> None:
    """Give a file an older schema version, with an account in it."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    with duckdb.connect(str(path)) as con:
        con.execute("INSERT INTO datacube.accounts VALUES ('shop', 'wx1', '2026-11-01', '2026-11-01', ['messages'])")
        con.execute(f"UPDATE datacube.meta SET schema_version = {version}")
    path.chmod(mode)


@pytest.fixture
def aged(published: Warehouse) -> Warehouse:
    """Provide a warehouse of the previous schema version, with the migration from it."""
    for path in (published.writer, published.database):
        age(path)
    return Warehouse(published.database, timeout=0.5, migrations={SCHEMA_VERSION - 1: STEP})


def backup_of(warehouse: Warehouse) -> Path:
    """Return the path of the backup that a migration keeps."""
    return warehouse.writer.with_name(f"{warehouse.writer.name}.schema-{SCHEMA_VERSION - 1}")


def test_every_older_version_has_a_migration(published: Warehouse) -> None:
    """Every older schema version has a migration, so a change that raises SCHEMA_VERSION must add one."""
    assert list(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


def test_an_older_file_is_migrated(aged: Warehouse) -> None:
    """The first write migrates the file with its calls and rows, keeps a backup, and the next publication shows it."""
    before = aged.writer.read_bytes()
    store(aged, 7)
    aged.publish()

    assert days_in(aged) == [1, 2, 3, 4, 5, 6, 7]
    with aged.open_published() as con:
        assert con.execute("SELECT schema_version FROM datacube.meta").fetchall() == [(SCHEMA_VERSION,)]
        assert con.execute("SELECT account, remark FROM datacube.accounts").fetchall() == [("shop", "new")]
    assert backup_of(aged).read_bytes() == before
    assert {path.name for path in aged.database.parent.iterdir() if path.is_file()} == {*OURS, backup_of(aged).name}


def test_the_backup_of_a_migration_can_be_put_back(aged: Warehouse) -> None:
    """The migration's backup is a whole file of the older version, and can be put back."""
    store(aged, 7)
    backup_of(aged).replace(aged.writer)
    with duckdb.connect(str(aged.writer), read_only=True) as con:
        assert con.execute("SELECT schema_version FROM datacube.meta").fetchall() == [(SCHEMA_VERSION - 1,)]
        assert con.execute("SELECT count(*) FROM datacube.api_calls").fetchall() == [(6,)]


def test_a_failed_migration_changes_nothing(aged: Warehouse) -> None:
    """A failed migration is rolled back, its error names the backup, and a corrected program can migrate the file."""
    broken = Warehouse(aged.database, timeout=0.5, migrations={SCHEMA_VERSION - 1: (*STEP, "SELECT 'x'::INTEGER")})
    said = fails(lambda: store(broken, 7))
    assert f"from schema {SCHEMA_VERSION - 1} to {SCHEMA_VERSION}" in said
    assert str(backup_of(aged)) in said
    with duckdb.connect(str(aged.writer), read_only=True) as con:
        assert con.execute("SELECT schema_version FROM datacube.meta").fetchall() == [(SCHEMA_VERSION - 1,)]
        assert "remark" not in [name for name, *_ in con.execute("DESCRIBE datacube.accounts").fetchall()]

    store(aged, 7)
    aged.publish()
    assert days_in(aged) == [1, 2, 3, 4, 5, 6, 7]


def test_an_older_file_without_a_migration_is_not_changed(aged: Warehouse) -> None:
    """Without a migration the error names the version, and neither the file nor a backup is written."""
    before = aged.writer.read_bytes()
    ignorant = Warehouse(aged.database, timeout=0.5, migrations={})
    assert f"older wx_datacube (schema {SCHEMA_VERSION - 1})" in fails(lambda: store(ignorant, 7))

    assert aged.writer.read_bytes() == before
    assert not backup_of(aged).exists()


def test_reading_an_older_published_file_migrates_it(aged: Warehouse) -> None:
    """Whoever reads an older published file first migrates it, with a backup, as a schedule has to go on."""
    assert days_in(aged) == [1, 2, 3, 4, 5, 6]
    assert backup_of(aged).exists()
    with aged.open_published() as con:
        assert con.execute("SELECT account, remark FROM datacube.accounts").fetchall() == [("shop", "new")]


def test_an_older_published_file_without_a_migration_is_not_changed(aged: Warehouse) -> None:
    """Reading a file that no migration leads on from is an error, and changes nothing."""
    before = aged.database.read_bytes()
    ignorant = Warehouse(aged.database, timeout=0.5, migrations={})

    assert f"older wx_datacube (schema {SCHEMA_VERSION - 1})" in fails(lambda: [days_in(ignorant)].clear())
    assert aged.database.read_bytes() == before


def test_a_lost_writers_file_is_made_from_an_older_published_one(aged: Warehouse) -> None:
    """A lost writer's file is copied from an older published file, then migrated."""
    aged.writer.unlink()
    store(aged, 7)
    aged.publish()

    assert days_in(aged) == [1, 2, 3, 4, 5, 6, 7]
