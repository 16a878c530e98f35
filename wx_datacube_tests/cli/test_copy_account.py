"""Copying an account from another machine's file: what the command says, and what the new machine requests afterwards.

Add a test here when something of an account is kept outside the database. What is copied, and which files are refused,
is tested in `warehouse/test_transfer.py`.
"""

import datetime as dt
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from wx_datacube.cli import main
from wx_datacube.config.settings import Account
from wx_datacube.ingest.service import Ingest
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.runs import Reason
from wx_datacube.warehouse.coverage import bind_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import DAY, LATER, answered
from wx_datacube_tests.company import Company, company
from wx_datacube_tests.dagster_environment import DAYS, DagsterEnv

START = dt.date(2024, 3, 1)
NEWEST = "Its newest call was made on 2026-11-25 15:00:00, Beijing time.\n"


@pytest.fixture
def both(it: DagsterEnv) -> Iterator[Company]:
    """Configure the project for two accounts, `shop` and `news`."""
    with company("shop", "news") as running:
        it.configure(**running.settings(START=START))
        yield running


@pytest.fixture
def backup(both: Company, tmp_path: Path) -> Path:
    """Publish another machine's file, with two calls of each account."""
    other = Warehouse(tmp_path / "backup.duckdb")
    with other.transaction() as con:
        for name, member in both.members.items():
            bind_account(con, Account(name, member.options.appid, start=START), LATER)
            store_calls(
                con,
                [answered(DAYS, START + number * DAY, account=name, at=LATER + number * DAY) for number in range(2)],
            )
    other.publish()
    return other.database


def test_both_commands_say_the_same_numbers(
    both: Company, backup: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`copy-account` says how many calls it brought, and the newest time, as `remove-account` does."""
    assert main.run(["copy-account", "shop", "--from", str(backup)]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"Copied 2 calls of shop with their answers.\n{NEWEST}Restart Dagster, ")
    assert err == ""

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main.run(["remove-account", "shop"]) == 1
    out = capfd.readouterr().out
    assert out.startswith(f"This deletes 2 calls with their answers and 0 rows of figures of shop.\n{NEWEST}A backup ")


def test_the_output_says_what_the_settings_lack(
    it: DagsterEnv, both: Company, backup: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An account that isn't configured, or has another name in the settings, is copied, and a line says what to do."""
    shop, news = (both.members[name].options for name in ("shop", "news"))
    it.configure(ACCOUNTS="store", STORE_APPID=shop.appid, STORE_SECRET=shop.secret)

    assert main.run(["copy-account", "news", "--from", str(backup)]) == 0
    assert "news is not configured. To fetch data for it, name it in WX_DATACUBE_ACCOUNTS" in capfd.readouterr().out
    assert main.run(["copy-account", "shop", "--from", str(backup)]) == 0
    assert "The settings call it store: wx-datacube rename-account shop store\n" in capfd.readouterr().out
    assert main.run(["rename-account", "shop", "store"]) == 0

    it.configure(ACCOUNTS="shop", SHOP_APPID=news.appid)
    capfd.readouterr()
    assert main.run(["copy-account", "shop", "--from", str(backup)]) == 2
    assert re.search("shop has the AppID .*, but .* in the settings. Correct WX_DATACUBE_", capfd.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop"], "Missing option '--from'"),
        (["shop", "--from", "none.duckdb"], "none.duckdb can't be read: there is no such file"),
        (["demo", "--from", "backup.duckdb"], "'demo' is reserved for made-up figures"),
        (
            ["nobody", "--from", "backup.duckdb"],
            "There is no account 'nobody' in backup.duckdb. Accounts there: news, shop.",
        ),
    ],
)
def test_wrong_use_exits_with_2(
    arguments: list[str], said: str, it: DagsterEnv, backup: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Wrong use is one line on stderr, with exit code 2, and creates no file."""
    assert main.run(["copy-account", *arguments]) == 2
    assert said in capfd.readouterr().err
    assert not it.warehouse.database.parent.exists()


@pytest.mark.long
def test_a_moved_account_continues_without_a_call(it: DagsterEnv, tmp_path: Path) -> None:
    """On the new machine runs materialize what was brought without a call, and fetch only what is new."""
    days = [START + number * DAY for number in range(11)]
    with company("default") as running:
        it.configure(**running.settings(START=START))
        settings = it.settings
        Ingest.of(settings, settings.account()).fetch_missing(DAYS, days[:10], run_id="old")
        old = shutil.move(it.warehouse.database.parent, tmp_path / "old")
        calls = running.calls("default")

        assert main.run(["copy-account", "default", "--from", str(old / "wx_datacube.duckdb")]) == 0
        assert it.run(DAYS, days[0], days[9], reason=Reason.SCHEDULE).success
        assert it.materialized(DAYS) == set(days[:10])
        assert running.calls("default") == calls
        assert main.run(["backfill", "--start", "2024-03-01", "--end", "2024-03-11", "--endpoint", DAYS.name]) == 0

        assert running.calls("default") == calls + 1
        with project_instance(it.folder) as instance:
            assert instance.get_materialized_partitions(dg.AssetKey(["default", DAYS.name])) == {*map(str, days)}
