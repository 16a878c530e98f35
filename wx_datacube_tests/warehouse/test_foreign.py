"""Files of other people in the place of ours: no command changes a byte of them, nor of the WAL beside them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from wx_datacube.alerts.alert import Alert, Source, Urgency
from wx_datacube.alerts.store import Alerts
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.errors import WarehouseError, WxDatacubeError
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.locks import locked
from wx_datacube_tests.answers import MESSAGES, answered, day, row
from wx_datacube_tests.processes import NO_TERMINAL, TOP

NAME = "figures.duckdb"

FOREIGN = """
import os, sys, duckdb
con = duckdb.connect(sys.argv[1])
con.execute("CREATE TABLE mine (a INTEGER)")
con.execute("CHECKPOINT")
con.execute("INSERT INTO mine SELECT range FROM range(1000)")
os._exit(0)  # no checkpoint: the rows are in the WAL only
"""


def foreign(path: Path) -> None:
    """Somebody's own DuckDB file at `path`; its 1,000 rows are committed and only in its WAL."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", NO_TERMINAL + FOREIGN, str(path)], check=True)
    assert wal(path).stat().st_size > 1000


def wal(path: Path) -> Path:
    """The WAL of a DuckDB file."""
    return path.with_name(f"{path.name}.wal")


def rows(path: Path) -> int:
    """The rows of somebody's own file, its WAL included."""
    with duckdb.connect(str(path), read_only=True) as con:
        ((found,),) = con.execute("SELECT count(*) FROM mine").fetchall()
    return int(found)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file and WAL in a folder."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def store(warehouse: Warehouse, number: int = 4) -> None:
    """Commit a call with a row of that day."""
    with warehouse.writing() as con:
        store_calls(con, [answered(MESSAGES, day(number), None, row(day(number)))])


def published(folder: Path) -> Warehouse:
    """A warehouse of ours with a row of the 4th, published."""
    warehouse = Warehouse(folder / NAME, timeout=0.5)
    store(warehouse)
    warehouse.publish()
    return warehouse


# --- every command ----------------------------------------------------------------------------------------------


def at_the_database(data: Path) -> Path:
    """Nothing of ours is there."""
    foreign(data / NAME)
    return data / NAME


def at_the_writer(data: Path) -> Path:
    """Nothing of ours is there."""
    foreign(data / "figures.writer.duckdb")
    return data / "figures.writer.duckdb"


def instead_of_ours(data: Path) -> Path:
    """Our published file was deleted; many file systems give its inode number to the next file."""
    foreign(published(data).database)
    return data / NAME


COMMANDS = {
    "status": ["status"],
    "doctor": ["doctor"],
    "report": ["report", "--lang", "en"],
    "export": ["export", "--output", "exported"],
    "backfill": ["backfill", "--endpoint", "getupstreammsg"],
    "replay": ["replay"],
    "rename-account": ["rename-account", "default", "shop"],
    "remove-account": ["remove-account", "default"],
}


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """An emulator with a short history."""
    with wechat(start="2026-11-20", clock="2026-11-24T15:00", frozen=True) as found:
        yield found


@pytest.mark.parametrize("place", [at_the_database, at_the_writer, instead_of_ours])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_changes_a_foreign_file(
    command: str, place: Callable[[Path], Path], tmp_path: Path, emulated: Emulated
) -> None:
    """As a process of its own: file and WAL have the same bytes afterwards, and one line says whose file it is not."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(TOP / name, tmp_path)
    settings = {
        "APPID": emulated.appid,
        "SECRET": emulated.secret,
        "API_URL": emulated.api_url,
        "DATABASE": f"data/{NAME}",
        "START": "2026-11-20",
    }
    env = tmp_path / ".env"
    env.write_text("".join(f"WX_DATACUBE_{name}={value}\n" for name, value in settings.items()))
    env.chmod(0o600)
    path = place(tmp_path / "data")
    before = digests(path.parent)

    done = subprocess.run(
        [sys.executable, "-m", "wx_datacube", *COMMANDS[command]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TOP), "DAGSTER_HOME": str(tmp_path)},
        input="y\n",
        capture_output=True,
        text=True,
    )

    assert digests(path.parent) == before
    assert rows(path) == 1000
    assert done.returncode in (1, 2), done
    assert path.name in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "exported").exists()


# --- what is proved, and how ------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [at_the_database, at_the_writer])
def test_nothing_is_made_beside_a_foreign_file(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    """Not even the folder of locks."""
    path = place(tmp_path)
    warehouse = Warehouse(tmp_path / NAME, timeout=0.5)
    before = sorted(tmp_path.iterdir())

    for use in (warehouse.writing, lambda: warehouse.fetching("shop", "getupstreammsg", print)):
        with pytest.raises(WarehouseError, match=rf"{path.name} is a DuckDB file, but not one of wx_datacube"), use():
            pass
    with pytest.raises(WarehouseError):
        warehouse.publish()

    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("receipt", [None, "{}", "not JSON"], ids=["lost", "empty", "spoiled"])
def test_a_wal_is_kept_where_it_is_not_known_whose_file_it_belongs_to(tmp_path: Path, receipt: str | None) -> None:
    """The note of the last publication is lost: reading shows what DuckDB makes of both, and changes neither."""
    warehouse = published(tmp_path)
    note = tmp_path / "figures.locks" / "published"
    note.unlink()
    if receipt is not None:
        note.write_text(receipt)
    warehouse.database.chmod(0o644)
    insert = "INSERT INTO datacube.accounts VALUES ('ghost', NULL, NULL, NULL)"
    code = f"import os, duckdb; duckdb.connect({str(warehouse.database)!r}).execute({insert!r}); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    before = digests(tmp_path)

    with warehouse.reading() as con:
        assert con.execute("SELECT account FROM datacube.accounts").fetchall() == [("ghost",)]
    assert digests(tmp_path) == before


def test_a_wal_that_a_foreign_program_left_beside_our_file_is_put_aside(tmp_path: Path) -> None:
    """What it wrote into the published file is not shown, and not lost without a word either: it is kept beside it."""
    warehouse = published(tmp_path)
    warehouse.database.chmod(0o644)
    insert = "INSERT INTO datacube.accounts VALUES ('ghost', NULL, NULL, NULL)"
    code = f"import os, duckdb; con = duckdb.connect({str(warehouse.database)!r}); con.execute({insert!r}); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    body = wal(warehouse.database).read_bytes()

    with warehouse.reading() as con:
        assert con.execute("SELECT account FROM datacube.accounts WHERE account = 'ghost'").fetchall() == []
    (kept,) = tmp_path.glob("*.wal.left-over-*")
    assert kept.read_bytes() == body


def test_a_restored_file_keeps_its_wal(tmp_path: Path) -> None:
    """A copy of our file is ours by its contents, but not the file that was published here: its WAL is not foreign."""
    warehouse = published(tmp_path / "old")
    restored = Warehouse(tmp_path / "new" / NAME, timeout=0.5)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    restored.database.chmod(0o644)
    insert = "INSERT INTO datacube.accounts VALUES ('kept', NULL, NULL, NULL)"
    code = f"import os, duckdb; duckdb.connect({str(restored.database)!r}).execute({insert!r}); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)

    with restored.reading() as con:
        assert con.execute("SELECT account FROM datacube.accounts").fetchall() == [("kept",)]
    assert warehouse.database.exists()


@pytest.mark.parametrize("name", [NAME, "figures.writer.duckdb"])
def test_a_wal_without_its_file_is_set_aside(tmp_path: Path, name: str) -> None:
    """It would be replayed onto the file that we make there, and may be all that is left of somebody's rows."""
    path = tmp_path / name
    foreign(path)
    left = wal(path).read_bytes()
    path.rename(tmp_path / "moved.duckdb")

    published(tmp_path)

    assert not wal(path).exists()
    (aside,) = tmp_path.glob(f"{name}.wal.left-over-*")
    assert aside.read_bytes() == left
    aside.rename(tmp_path / "moved.duckdb.wal")
    assert rows(tmp_path / "moved.duckdb") == 1000


def test_what_others_left_beside_a_foreign_file_is_not_swept(tmp_path: Path) -> None:
    """DuckDB's own folder of a file that is not ours may be in use."""
    path = at_the_writer(tmp_path)
    spilled = tmp_path / f"{path.name}.tmp" / "duckdb_temp_storage-0.tmp"
    spilled.parent.mkdir()
    spilled.write_bytes(b"in use")
    (tmp_path / "figures.locks").mkdir()

    with pytest.raises(WarehouseError):
        Warehouse(tmp_path / NAME, timeout=0.5).publish()

    assert spilled.read_bytes() == b"in use"


# --- links ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["write", "publishing", "shop.getupstreammsg", "shop.call.0"])
def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    """What it points to stays as it is, and one line says what is in the way."""
    warehouse = published(tmp_path)
    precious = tmp_path / "precious.txt"
    precious.write_text("quarterly figures")
    lock = tmp_path / "figures.locks" / name
    lock.unlink(missing_ok=True)
    lock.symlink_to(precious)
    uses: dict[str, Callable[[], object]] = {
        "write": lambda: store(warehouse, 5),
        "publishing": warehouse.publish,
        "shop.getupstreammsg": lambda: warehouse.fetching("shop", "getupstreammsg", print).__enter__(),
        "shop.call.0": lambda: warehouse.semaphore("shop", 1).acquire().__enter__(),
    }

    with pytest.raises(WxDatacubeError) as caught:
        uses[name]()

    assert precious.read_text() == "quarterly figures"
    assert str(caught.value) == f"{lock} is a symbolic link, which is not followed. Delete the link and start again."


@pytest.mark.parametrize("text", [b"my notes\n", b"\xff\xfe\x00binary", b"2026 was a good year"])
def test_a_lock_file_with_foreign_text_is_left_as_it_is(tmp_path: Path, text: bytes) -> None:
    """It can be locked all the same; whoever waits is not told a PID that is none."""
    path = tmp_path / "write"
    path.write_bytes(text)
    with locked(path, timeout=0):
        assert path.read_bytes() == text
        with pytest.raises(TimeoutError, match=r"^unknown$"), locked(path, timeout=0):
            pass
    assert path.read_bytes() == text


def test_copies_and_notes_follow_no_link(tmp_path: Path) -> None:
    """Where a temporary file is to be written, a link to somebody's file is replaced, not written through."""
    warehouse = published(tmp_path)
    precious = tmp_path / "precious.txt"
    precious.write_text("quarterly figures")
    (tmp_path / "figures.locks" / "published.part").symlink_to(precious)
    (tmp_path / f".{NAME}.{os.getpid()}.publishing.part").symlink_to(precious)
    store(warehouse, 5)
    warehouse.publish()

    assert precious.read_text() == "quarterly figures"
    assert json.loads((tmp_path / "figures.locks" / "published").read_text())["calls"] == 2


def test_troubles_are_noted_through_no_link(tmp_path: Path) -> None:
    """They are kept in the folder of locks, in a file that is written in place."""
    published(tmp_path)
    precious = tmp_path / "precious.txt"
    precious.write_text("quarterly figures")
    (tmp_path / "figures.locks" / "troubles").symlink_to(precious)

    alert = Alert("NeedsPerson", MESSAGES.name, Urgency.PERSON, "Somebody has to act.")
    Alerts(tmp_path / NAME).note("shop", Source.CALLS, [MESSAGES.name], [alert])

    assert precious.read_text() == "quarterly figures"
