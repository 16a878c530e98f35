"""`export --lake`, and what other commands say about the lake.

Tests of the files belong in `operations/test_lake.py`.
"""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.cli.conftest import Folder
from wx_datacube_tests.wrapped_output import unwrapped
from wx_datacube_tests.years import years

LAKE = "s3://lake/wechat"


@pytest.fixture
def stored(folder: Folder) -> Warehouse:
    """Store two weeks of `shop` and, as if it was fetched, of `news`."""
    warehouse = years(folder.path, start=dt.date(2026, 11, 9))
    with warehouse.transaction() as con:
        for table in ("accounts", "api_calls", "getupstreammsg"):
            numbered = ", call_id + 7 AS call_id" if table == "api_calls" else ""
            con.execute(
                f"INSERT INTO datacube.{table} SELECT * REPLACE ('news' AS account{numbered}) FROM datacube.{table}"
            )
    warehouse.publish()
    return warehouse


def configure(folder: Folder, **settings: object) -> None:
    """Write `.env` with the stored file."""
    folder.set(DATABASE="figures.duckdb", **settings)


def test_every_configured_account_is_exported(folder: Folder, stored: Warehouse) -> None:
    """The command says what it wrote and what was unchanged."""
    configure(folder, ACCOUNTS="shop,news", LAKE="lake")

    code, out, err = folder.run("export", "--lake")

    assert (code, err) == (0, "")
    assert "totals_daily/account=shop/totals_daily.parquet  15 rows\n" in out
    assert "shop: 45 files written, 0 unchanged, up to call 7\n" in out
    assert "news: 45 files written, 0 unchanged, up to call 14\n" in out
    assert out.endswith(f"Lake: {folder.path}/lake\n")
    assert folder.run("export", "--lake", "--account", "news") == (
        0,
        f"news: 0 files written, 45 unchanged, up to call 14\nLake: {folder.path}/lake\n",
        "",
    )


def test_an_account_that_is_not_configured_is_not_exported(folder: Folder, stored: Warehouse) -> None:
    """Another machine may write its files by now; by its name, it is exported all the same."""
    configure(folder, ACCOUNT="shop", LAKE="lake")

    code, out, err = folder.run("export", "--lake")

    assert (code, "news" in out) == (0, False)
    assert err == "Not exported, since it is not configured: news. To export it all the same: --account news\n"
    assert folder.run("export", "--lake", "--account", "news")[0] == 0
    assert (folder.path / "lake" / "totals_daily" / "account=news").is_dir()


@pytest.mark.parametrize(
    "options", [[], ["--lake", "--output", "files"], ["--lake", "--format", "csv"], ["--format", "csv"]]
)
def test_either_a_folder_or_the_lake_is_named(options: list[str], folder: Folder) -> None:
    """Without either, or with both, the command says what to give."""
    code, out, err = folder.run("export", *options)

    assert (code, out) == (2, "")
    assert "Give --output DIR, with --format if you like, or --lake alone." in err


def test_a_lake_must_be_configured(folder: Folder, stored: Warehouse) -> None:
    """Without WX_DATACUBE_LAKE, the command names it."""
    configure(folder, ACCOUNT="shop")

    code, _, err = folder.run("export", "--lake")

    assert (code, err) == (
        2,
        "wx-datacube: WX_DATACUBE_LAKE is not set. Set it in .env to a folder or to s3://bucket/prefix.\n",
    )


def test_an_s3_that_does_not_answer_ends_the_command_with_1(folder: Folder, stored: Warehouse) -> None:
    """The message has advice, and the key isn't in it. The AWS variables may be in `.env`."""
    configure(folder, ACCOUNTS="shop,news", LAKE=LAKE)
    with (folder.path / ".env").open("a") as env:
        env.write("AWS_ACCESS_KEY_ID=AKID\nAWS_SECRET_ACCESS_KEY=hidden/value\nAWS_ENDPOINT_URL=http://127.0.0.1:1\n")

    code, out, err = folder.run("export", "--lake")

    assert (code, out) == (1, "")
    assert err.startswith(f"wx-datacube: The lake {LAKE} can't be reached: S3 does not answer. Check AWS_ENDPOINT_URL")
    assert "hidden" not in err


@pytest.mark.long
@pytest.mark.parametrize("lake", ["lake", LAKE])
def test_renaming_and_removing_say_what_stays_in_the_lake(lake: str, folder: Folder, stored: Warehouse) -> None:
    """Neither command deletes files of the lake, which may be another machine's by now: they say how to."""
    configure(folder, ACCOUNTS="shop,news", LAKE=lake)
    folder.run("export", "--lake")
    command = f"rm -r {folder.path}/lake/*/account=shop"
    if lake == LAKE:
        command = f"aws s3 rm {LAKE}/ --recursive --exclude '*' --include '*/account=shop/*'"

    code, out, _ = folder.run("rename-account", "shop", "market")
    assert code == 0
    assert f"delete them, or queries over all accounts count them: {command}\n" in out

    if lake == LAKE:
        return
    remove = [sys.executable, "-m", "wx_datacube", "remove-account", "market"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(remove, cwd=folder.path, env=environ, input="y\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "The lake still has the files of market" in done.stdout


def test_doctor_says_whether_the_lake_can_be_written(folder: Folder) -> None:
    """Its test file is deleted again; a lake that can't be written fails."""
    configure(folder, LAKE="lake")
    out = folder.run("doctor")[1]
    assert f"Lake\n  ok   {folder.path}/lake can be written.\n" in unwrapped(out)
    assert [path for path in (folder.path / "lake").rglob("*") if path.is_file()] == []

    configure(folder, LAKE=LAKE)
    code, out, _ = folder.run("doctor")
    assert code == 1
    assert "Lake\n  FAIL WX_DATACUBE_LAKE is in S3, and AWS_ACCESS_KEY_ID" in unwrapped(out)
