"""Bad input: wrong settings, arguments and files end a command with exit code 2 and one line, and change nothing."""

from pathlib import Path

import duckdb
import pytest

from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.cli.conftest import COMMANDS, CREDENTIALS, Folder

WRONG_SETTINGS = {
    "an AppID of another kind": {"APPID": "gh_0123456789ab"},
    "a secret with a blank": {"SECRET": '"0123 4567"'},
    "a token server by http on the internet": {"TOKEN_URL": "http://tokens.example.com/x"},
    "an API by http": {"API_URL": "http://api.example.com"},
    "a database that is a folder": {"DATABASE": "."},
    "a database below a file": {"DATABASE": "dagster.yaml/x.duckdb"},
    "a start that is not a date": {"START": "2014-13-01"},
    "a start before history": {"START": "2014-11-30"},
    "a start in the future": {"START": "2999-01-01"},
    "an invalid account name": {"ACCOUNT": "My Shop"},
    "zero concurrent calls": {"CONCURRENCY": "0"},
    "a limit that is not a number": {"DAILY_CALLS": "many"},
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_wrong_setting_ends_every_command_with_one_line(case: str, command: list[str], folder: Folder) -> None:
    """A wrong setting ends every command with exit code 2 and one line that names the variable, and changes no file."""
    folder.set(**WRONG_SETTINGS[case])
    before = folder.contents()

    code, out, err = folder.run(*command)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert f"WX_DATACUBE_{next(iter(WRONG_SETTINGS[case]))} is invalid. Expected: " in err
    assert "0123 4567" not in err
    assert folder.contents() == before


WRONG_USE = {
    "unknown command": (["fetch"], "No such command 'fetch'"),
    "unknown option": (["status", "--verbose"], "No such option"),
    "unknown endpoint": (["backfill", "--endpoint", "getuserread"], "'getuserread' is not one of"),
    "start after end": (["backfill", "--start", "2020-02-02", "--end", "2020-02-01"], "2020-02-02 is after --end"),
    "SQL instead of a date": (["backfill", "--start", "2020-02-01'; DROP TABLE x; --"], "does not match"),
    "a word instead of a date": (["backfill", "--start", "tomorrow"], "'tomorrow' does not match the format"),
    "a date that does not exist": (
        ["backfill", "--start", "2020-02-30"],
        "'--start': 2020-02-30 is not a date that exists.",
    ),
    "a date of a report that does not exist": (
        ["report", "--to", "2021-02-29"],
        "'--to': 2021-02-29 is not a date that exists.",
    ),
    "start in the future": (["backfill", "--start", "2999-01-01"], "2999-01-01 is in the future"),
    "end in the future": (["backfill", "--end", "2999-01-01"], "2999-01-01 is in the future"),
    "end before history": (["backfill", "--end", "2014-11-30"], "(WX_DATACUBE_START)"),
    "unknown account": (["backfill", "--account", "shop"], "There is no account named 'shop'"),
    "unknown account of status": (["status", "--account", "shop"], "There is no account named 'shop'"),
    "zero days": (["demo", "--days", "0"], "0 is not in the range"),
    "a quota that is not a number": (["emulator", "--quota", "many"], "quota takes a whole number"),
    "an invalid port": (["emulator", "--port", "99999"], "99999 is not in the range"),
}


@pytest.mark.parametrize("case", WRONG_USE)
def test_wrong_arguments_end_with_one_line(case: str, folder: Folder) -> None:
    """Wrong arguments exit with 2 and one line on stderr, and change no file."""
    arguments, said = WRONG_USE[case]
    folder.set(**CREDENTIALS)
    before = folder.contents()

    code, out, err = folder.run(*arguments)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err
    assert folder.contents() == before


def test_a_backfill_without_credentials_names_the_variables_to_set(folder: Folder) -> None:
    """A backfill without credentials exits with 2, names the variables and creates no file."""
    before = folder.contents()

    code, out, err = folder.run("backfill")

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert all(f"WX_DATACUBE_{name}" in err for name in ("APPID", "SECRET", "TOKEN_URL"))
    assert folder.contents() == before


def test_another_appid_under_a_stored_account_is_refused(folder: Folder) -> None:
    """A second AppID for a stored account exits with 2, names both AppIDs and changes no file."""
    folder.set(**CREDENTIALS, START="2026-11-01")
    warehouse = Warehouse(folder.path / "data/wx_datacube.duckdb")
    with warehouse.transaction() as con:
        con.execute(
            "INSERT INTO datacube.accounts VALUES ('default', 'wxanother', DATE '2026-11-01', now()::TIMESTAMP,"
            " ['messages'])"
        )
    warehouse.publish()
    before = folder.contents()

    code, _, err = folder.run("backfill")

    assert code == 2
    assert err.count("\n") == 1
    assert "wxanother" in err
    assert "wx5eed0fda7acbe011" in err
    assert folder.contents() == before


def _foreign(path: Path) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE mine AS SELECT 1 AS x")


def _newer(path: Path) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE SCHEMA datacube")
        con.execute("CREATE TABLE datacube.meta AS SELECT 999 AS schema_version, now()::TIMESTAMP AS created_at")


FILES = {
    "no DuckDB file": (lambda path: path.write_text("accounts of 2019\n" * 1000), "is not a DuckDB file. Move it away"),
    "a DuckDB file of others": (_foreign, "that wx_datacube didn't create"),
    "a file of a newer version": (_newer, "newer wx_datacube"),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("command", [["status"], ["backfill"], ["replay"]], ids=lambda command: command[0])
def test_a_foreign_file_is_refused_and_unchanged(case: str, command: list[str], folder: Folder) -> None:
    """If the database path leads to a foreign file, commands exit with 2 and leave it unchanged."""
    make, said = FILES[case]
    folder.set(**CREDENTIALS)
    path = folder.path / "data/wx_datacube.duckdb"
    path.parent.mkdir()
    make(path)
    before = folder.contents()

    code, out, err = folder.run(*command)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err
    assert folder.contents() == before


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder in which nobody can write")
@pytest.mark.parametrize("command", [["backfill"], ["replay"]], ids=lambda command: command[0])
def test_a_database_in_a_read_only_folder_is_reported(command: list[str], folder: Folder) -> None:
    """A database in a read-only folder exits with 2 and one line."""
    folder.set(**CREDENTIALS, DATABASE="/proc/wx/x.duckdb")

    code, out, err = folder.run(*command)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "/proc/wx can't be written" in err


def test_a_symlink_to_the_database_is_kept(folder: Folder) -> None:
    """A database that is a symlink stays one, and its target is written."""
    folder.set(**CREDENTIALS)
    (folder.path / "data").mkdir()
    (folder.path / "disk").mkdir()
    link = folder.path / "data" / "wx_datacube.duckdb"
    link.symlink_to("../disk/real.duckdb")

    assert folder.run("replay")[0] == 0

    assert link.is_symlink()
    assert {path.name for path in (folder.path / "disk").iterdir()} == {
        "real.duckdb",
        "real.writer.duckdb",
        "real.locks",
    }
    assert [path.name for path in (folder.path / "data").iterdir()] == [link.name]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_symlink_to_an_unmounted_disk_is_reported(command: list[str], folder: Folder) -> None:
    """A symlink to an unmounted disk exits with 2 and one line."""
    folder.set(**CREDENTIALS)
    (folder.path / "data").symlink_to("/none")

    code, out, err = folder.run(*command)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "data is a link to /none, which does not exist. Is its disk mounted?" in err


def test_every_command_reports_a_missing_project_folder(folder: Folder) -> None:
    """Without a dagster.yaml here or above, every command exits with 2 and says what to do."""
    folder.path.joinpath("dagster.yaml").unlink()

    for command in [*COMMANDS, ["demo"]]:
        code, out, err = folder.run(*command)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert "dagster.yaml" in err
