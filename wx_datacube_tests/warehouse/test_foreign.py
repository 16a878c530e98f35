"""Foreign files in place of ours: no command changes a byte of them, or of the WAL beside them.

Add a test here when a command or an operation opens, replaces or deletes a file that may belong to somebody else.
Damaged and outdated files of our own are in `test_errors.py`.
"""

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
from wx_datacube.language import text_of
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
    """Create a foreign DuckDB file at `path`, whose 1,000 committed rows are only in its WAL."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", NO_TERMINAL + FOREIGN, str(path)], check=True)
    assert wal(path).stat().st_size > 1000


def wal(path: Path) -> Path:
    """Return the path of a DuckDB file's WAL."""
    return path.with_name(f"{path.name}.wal")


def rows(path: Path) -> int:
    """Count the rows of a foreign file, including those in its WAL."""
    with duckdb.connect(str(path), read_only=True) as con:
        ((found,),) = con.execute("SELECT count(*) FROM mine").fetchall()
    return int(found)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, by name."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def store(warehouse: Warehouse, number: int = 4) -> None:
    """Commit a call with a row for that day."""
    with warehouse.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(number), None, row(day(number)))])


def published(folder: Path) -> Warehouse:
    """Create a warehouse with a row for the 4th, and publish it."""
    warehouse = Warehouse(folder / NAME, timeout=0.5)
    store(warehouse)
    warehouse.publish()
    return warehouse


# --- every command ----------------------------------------------------------------------------------------------


def at_the_database(data: Path) -> Path:
    """Put a foreign file at the path of the published file, with none of our files beside it."""
    foreign(data / NAME)
    return data / NAME


def at_the_writer(data: Path) -> Path:
    """Put a foreign file at the path of the writer's file, with none of our files beside it."""
    foreign(data / "figures.writer.duckdb")
    return data / "figures.writer.duckdb"


def instead_of_ours(data: Path) -> Path:
    """Replace our published file by a foreign one; many file systems reuse the inode number for it."""
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
    """Run an emulator with a short history."""
    with wechat(start="2026-11-20", clock="2026-11-24T15:00", frozen=True) as found:
        yield found


@pytest.mark.parametrize(
    "place",
    [at_the_database, *(pytest.param(each, marks=pytest.mark.long) for each in (at_the_writer, instead_of_ours))],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_changes_a_foreign_file(
    command: str, place: Callable[[Path], Path], tmp_path: Path, emulated: Emulated
) -> None:
    """Each command, run as a process, leaves file and WAL unchanged and names the file in its output."""
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


# --- how a foreign file is recognized ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", [at_the_database, at_the_writer])
def test_nothing_is_made_beside_a_foreign_file(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    """Nothing is created beside a foreign file, not even the folder of locks."""
    path = place(tmp_path)
    warehouse = Warehouse(tmp_path / NAME, timeout=0.5)
    before = sorted(tmp_path.iterdir())

    for use in (warehouse.transaction, lambda: warehouse.fetching("shop", "getupstreammsg", print)):
        with pytest.raises(WarehouseError, match=rf"{path.name} is a DuckDB file that .* didn't create"), use():
            pass
    with pytest.raises(WarehouseError):
        warehouse.publish()

    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("receipt", [None, "{}", "not JSON"], ids=["lost", "empty", "spoiled"])
def test_a_wal_of_unknown_origin_is_kept(tmp_path: Path, receipt: str | None) -> None:
    """Without a valid receipt of the last publication, reading shows file and WAL together and changes neither."""
    warehouse = published(tmp_path)
    note = tmp_path / "figures.locks" / "published"
    note.unlink()
    if receipt is not None:
        note.write_text(receipt)
    warehouse.database.chmod(0o644)
    insert = "INSERT INTO datacube.accounts (account) VALUES ('ghost')"
    code = f"import os, duckdb; duckdb.connect({str(warehouse.database)!r}).execute({insert!r}); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    before = digests(tmp_path)

    with warehouse.open_published() as con:
        assert con.execute("SELECT account FROM datacube.accounts").fetchall() == [("ghost",)]
    assert digests(tmp_path) == before


def test_a_foreign_programs_wal_beside_our_file_is_renamed(tmp_path: Path) -> None:
    """A foreign program's WAL beside the published file is not shown to readers; it is renamed and kept."""
    warehouse = published(tmp_path)
    warehouse.database.chmod(0o644)
    insert = "INSERT INTO datacube.accounts (account) VALUES ('ghost')"
    code = f"import os, duckdb; con = duckdb.connect({str(warehouse.database)!r}); con.execute({insert!r}); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    body = wal(warehouse.database).read_bytes()

    with warehouse.open_published() as con:
        assert con.execute("SELECT account FROM datacube.accounts WHERE account = 'ghost'").fetchall() == []
    (kept,) = tmp_path.glob("*.wal.left-over-*")
    assert kept.read_bytes() == body


def test_a_restored_file_keeps_its_wal(tmp_path: Path) -> None:
    """The WAL of a restored copy is applied: the copy is ours, but it is not the file that was published here."""
    warehouse = published(tmp_path / "old")
    restored = Warehouse(tmp_path / "new" / NAME, timeout=0.5)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    restored.database.chmod(0o644)
    insert = "INSERT INTO datacube.accounts (account) VALUES ('kept')"
    code = f"import os, duckdb; duckdb.connect({str(restored.database)!r}).execute({insert!r}); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)

    with restored.open_published() as con:
        assert con.execute("SELECT account FROM datacube.accounts").fetchall() == [("kept",)]
    assert warehouse.database.exists()


@pytest.mark.parametrize("name", [NAME, "figures.writer.duckdb"])
def test_a_wal_without_its_file_is_renamed(tmp_path: Path, name: str) -> None:
    """A WAL without its file is renamed and kept, as it may hold the only copy of another user's rows.

    DuckDB would otherwise replay it onto the file that we create there.
    """
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


def test_the_temporary_folder_of_a_foreign_file_is_not_deleted(tmp_path: Path) -> None:
    """The temporary folder of a foreign DuckDB file is not cleaned up, as it may be in use."""
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
    """A lock file that is a symbolic link is an error; the link's target stays unchanged."""
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
def test_a_lock_file_with_foreign_text_keeps_its_text(tmp_path: Path, text: bytes) -> None:
    """A lock file with foreign text can be locked and keeps its text; the holder's PID is reported as unknown."""
    path = tmp_path / "write"
    path.write_bytes(text)
    with locked(path, timeout=0):
        assert path.read_bytes() == text
        with pytest.raises(TimeoutError, match=r"^unknown$"), locked(path, timeout=0):
            pass
    assert path.read_bytes() == text


def test_temporary_files_are_not_written_through_a_link(tmp_path: Path) -> None:
    """A symbolic link at the path of a temporary file is replaced; its target is not written."""
    warehouse = published(tmp_path)
    precious = tmp_path / "precious.txt"
    precious.write_text("quarterly figures")
    (tmp_path / "figures.locks" / "published.part").symlink_to(precious)
    (tmp_path / f".{NAME}.{os.getpid()}.publishing.part").symlink_to(precious)
    store(warehouse, 5)
    warehouse.publish()

    assert precious.read_text() == "quarterly figures"
    assert json.loads((tmp_path / "figures.locks" / "published").read_text())["calls"] == 2


def test_alerts_are_not_written_through_a_link(tmp_path: Path) -> None:
    """The file of alerts in the folder of locks, which is written in place, is not written through a link."""
    published(tmp_path)
    precious = tmp_path / "precious.txt"
    precious.write_text("quarterly figures")
    (tmp_path / "figures.locks" / "troubles").symlink_to(precious)

    alert = Alert("NeedsPerson", MESSAGES.name, Urgency.PERSON, text_of("Somebody has to act."))
    Alerts(tmp_path / NAME).note("shop", Source.CALLS, [MESSAGES.name], [alert])

    assert precious.read_text() == "quarterly figures"
