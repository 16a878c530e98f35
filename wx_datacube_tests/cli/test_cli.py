"""The command line: exit codes, one clear line for every expected error, and fast responses.

Commands run in this process, through `main.run`. Tests that need real processes belong in `end_to_end`.
"""

import datetime as dt
import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from wx_datacube import __version__
from wx_datacube.catalog.messages import ENDPOINTS, HOURLY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import beijing_now, due_labels, due_on
from wx_datacube.cli import main
from wx_datacube.cli.backfill import _reasons
from wx_datacube.cli.status import show_statuses
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import NotReady, QuotaExhausted, SettingsError, WarehouseError, WeChatError
from wx_datacube.language import Text
from wx_datacube.operations.status import read_status
from wx_datacube.warehouse.coverage import bind_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.locks import locked
from wx_datacube_tests.answers import DAY, MESSAGES, answered, day, hour_row, row, senders_row
from wx_datacube_tests.cli.conftest import COMMANDS, CREDENTIALS, Folder
from wx_datacube_tests.wrapped_output import unwrapped

# --- exit codes and output --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("Wrong.", advice="Mend it."), 2),
        (WarehouseError("Held."), 2),
        (QuotaExhausted("Used up."), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("Not so."), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_outcomes_become_exit_codes(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every expected error ends as one line on stderr with the contract's exit code."""

    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setitem(main.commands.commands, "failing", failing)

    assert main.run(["failing"]) == code
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_an_unexpected_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error keeps its traceback: nothing catches all exceptions."""

    @click.command()
    def failing() -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(main.commands.commands, "failing", failing)

    with pytest.raises(ZeroDivisionError):
        main.run(["failing"])


def test_version_and_help_are_answered(folder: Folder) -> None:
    """`--version` and `--help` work in any folder and exit with 0."""
    folder.path.joinpath("dagster.yaml").unlink()

    assert folder.run("--version") == (0, f"wx-datacube, version {__version__}\n", "")
    for flag in ("--help", "-h"):
        code, out, _ = folder.run(flag)
        assert code == 0
        assert [name for name in main.commands.commands if f"\n  {name} " not in out] == []


@pytest.mark.parametrize("name", main.commands.commands)
def test_every_command_has_help(name: str, folder: Folder) -> None:
    """Each command and each option has a help text."""
    code, out, err = folder.run(name, "--help")

    assert (code, err) == (0, "")
    assert main.commands.commands[name].help
    options = [param for param in main.commands.commands[name].params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []
    assert "Usage: wx-datacube" in out


@pytest.mark.parametrize("command", ["", *main.commands.commands])
def test_help_fits_a_terminal_of_80_columns(command: str, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of any help is wider than 80 columns or cut off with "..."."""
    monkeypatch.setenv("COLUMNS", "80")
    usage, *lines = folder.run(*filter(None, [command]), "--help")[1].splitlines()

    assert len(usage) <= 80
    assert [line for line in lines if len(line) > 80 or line.endswith("...")] == []


def test_status_prints_one_line_per_account_if_there_are_many(folder: Folder) -> None:
    """With more than ten accounts `status` prints one line each; `--account` and `--json` give the details."""
    names = [f"shop{number}" for number in range(11)]
    folder.set(ACCOUNTS=",".join(names), START="2026-11-01")

    code, out, _ = folder.run("status")
    assert code == 1
    assert re.findall(r"^(shop\d+) +\d", out, re.MULTILINE) == names
    assert [line.split()[0] for line in out.splitlines() if " needs a person: " in line] == names
    assert "\ngetupstreammsgweek " not in out
    assert "\ngetupstreammsgweek " in folder.run("status", "--account", "shop3")[1]
    assert list(json.loads(folder.run("status", "--json")[1])["accounts"]) == names


def test_status_without_settings_and_file_shows_all_of_history_as_missing(folder: Folder) -> None:
    """Without settings and file, `status` shows all of history as missing, exits with 1 and creates no file."""
    before = folder.contents()

    code, out, err = folder.run("status")

    assert (code, err) == (1, "")
    assert "Account default (no AppID yet), history from 2014-12-01" in out
    assert "No request has been made yet." in out
    assert folder.contents() == before


def store_what_was_due(database: Path, start: dt.date, on: dt.date) -> None:
    """Store everything due on a day, as a morning of that day would."""
    made = {each.name: row for each in MESSAGES_OF.values()} | {each.name: senders_row for each in SENDERS_OF.values()}
    made[HOURLY_MESSAGES.name] = hour_row
    at = dt.datetime.combine(on, dt.time(8, 30))
    calls = [
        answered(
            endpoint,
            label,
            due_on(label, endpoint.period) - DAY,
            made[endpoint.name](label),
            at=at,
            account="default",
        )
        for endpoint in ENDPOINTS
        for label in due_labels(endpoint.period, start, on)
    ]
    warehouse = Warehouse(database)
    with warehouse.transaction() as con:
        store_calls(con, calls)
    warehouse.publish()


@pytest.mark.parametrize(
    ("hour", "expected"), [(1, "WeChat publishes this between 08:00"), (13, "Fetch what is missing (")]
)
def test_status_asks_for_no_backfill_before_wechat_publishes(
    hour: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If only the newest labels are missing, `status` suggests a backfill only when they should be there."""
    monday = dt.date(2026, 11, 30)
    store_what_was_due(tmp_path / "stored.duckdb", dt.date(2026, 11, 1), monday - DAY)
    now = dt.datetime.combine(monday, dt.time(hour))
    monkeypatch.setattr("wx_datacube.cli.status.beijing_now", lambda: now)
    settings = Settings(None, tmp_path / "stored.duckdb", accounts=(Account("default", start=dt.date(2026, 11, 1)),))
    show_statuses(read_status(settings, settings.accounts, lambda: now))
    out = capsys.readouterr().out

    assert expected in out
    assert out.count("wx-datacube backfill") == 1
    assert "Missing 2026-11-29: getupstreammsg, " in out
    assert "Missing 2026-11-23 (weeks, by their Mondays): getupstreammsgweek," in out


def test_equal_reasons_are_printed_once() -> None:
    """What several endpoints lack for the same reason is one message that names them."""
    late = Text("WeChat has not published {day} yet.", "微信尚未发布数据：{day}。", day="2026-11-29")
    errors: dict[Endpoint, list[WeChatError]] = {
        each: [NotReady(late, endpoint=each.name), *([NotReady("Other.", endpoint=each.name)] if place else [])]
        for place, each in enumerate(ENDPOINTS[:2])
    }
    one, two = (each.name for each in ENDPOINTS[:2])

    assert [*map(str, _reasons(errors))] == [f"{one}, {two}: {late}", f"{two}: Other."]
    assert all(each.endpoint in (one, two) for found in errors.values() for each in found)


@pytest.mark.parametrize(("off", "code"), [(0, 0), (6, 1)], ids=["this morning", "six days ago"])
def test_status_reports_that_nothing_has_run_for_days(off: int, code: int, folder: Folder) -> None:
    """If nothing has run for days, `status` exits with 1 and says since when; otherwise it reports nothing."""
    ran = beijing_now().date() - off * DAY
    start = ran - 14 * DAY
    folder.set(START=start)
    store_what_was_due(folder.path / "data/wx_datacube.duckdb", start, ran)

    plain, found = folder.run("status"), folder.run("status", "--json")
    said = json.loads(found[1])["accounts"]["default"]["needs_person"]

    assert (plain[0], found[0], len(said)) == (code, code, code)
    for text in said:
        assert f"Missing since {ran + DAY} 12:00: getupstreammsg, " in text
        assert f"No request since {ran} 08:30" in text
        assert f"Needs a person: {text}" in unwrapped(plain[1])


def test_status_as_json_holds_what_the_contract_names(folder: Folder) -> None:
    """The JSON lists database, accounts and endpoints by name, dates as YYYY-MM-DD, and counts that add up."""
    folder.set(ACCOUNTS="shop,news", START="2026-10-01", NEWS_START="2026-11-01")

    code, out, err = folder.run("status", "--json")
    found = json.loads(out)

    assert (code, err) == (1, "")
    assert found["database"] == str(folder.path / "data/wx_datacube.duckdb")
    assert list(found["accounts"]) == ["shop", "news"]
    for name, account in found["accounts"].items():
        assert list(account["endpoints"]) == [endpoint.name for endpoint in ENDPOINTS]
        for each in account["endpoints"].values():
            assert each["account"] == name
            assert each["due"] == each["landed"] + each["empty"] + each["implied"] + each["missing"]
            assert each["calls_today"] == 0
            assert each["last_landed"] is None
        days = account["endpoints"]["getupstreammsg"]
        assert days["missing_ranges"][0][0] == {"shop": "2026-10-01", "news": "2026-11-01"}[name]


@pytest.fixture
def renamed(folder: Folder) -> Folder:
    """Provide a folder in which `news` is stored and only `shop` is configured."""
    folder.set(ACCOUNT="news", START="2026-10-01")
    with Warehouse(folder.path / "data/wx_datacube.duckdb").transaction() as con:
        bind_account(con, Account("news", None, start=dt.date(2026, 10, 1)), beijing_now())
    folder.run("replay")
    folder.set(ACCOUNT="shop", START="2026-10-01")
    return folder


def test_accounts_that_are_stored_but_not_configured_are_named(renamed: Folder) -> None:
    """`status`, `report` and `doctor` name accounts that are stored but not configured."""
    said = "Stored but not configured: news."

    assert said in renamed.run("status")[1]
    assert json.loads(renamed.run("status", "--json")[1])["not_configured"] == ["news"]
    code, _, err = renamed.run("report")
    assert code == 1
    assert said in err
    assert said in renamed.run("doctor")[1]


def test_doctor_names_the_env_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor shows which `.env` file is read."""
    assert "there is no .env" in folder.run("doctor")[1]
    folder.set(ACCOUNT="shop")
    (folder.path / "deep").mkdir()
    monkeypatch.chdir(folder.path / "deep")

    out = unwrapped(folder.run("doctor")[1])

    assert out.startswith(f"Settings: the environment, and over it {folder.path / '.env'}.\n")
    assert "Account shop\n" in out


def test_figures_are_read_without_a_project_folder(folder: Folder, tmp_path: Path) -> None:
    """Commands that don't need Dagster work without a project folder if the database path is absolute."""
    (folder.path / "dagster.yaml").unlink()
    folder.set(ACCOUNT="shop", DATABASE=tmp_path / "figures.duckdb", START="2026-10-01")

    assert folder.run("replay")[0] == 0
    assert "Account shop" in folder.run("status")[1]
    assert "Set DAGSTER_HOME" in folder.run("doctor")[1]
    folder.set(DATABASE=tmp_path / "figures.duckdb", API_URL="http://127.0.0.1:9", **CREDENTIALS)
    for command in ("backfill", "ui"):
        code, _, err = folder.run(command)
        assert (code, err.count("\n")) == (2, 1)
        assert "Set DAGSTER_HOME" in err


def test_status_of_one_account_leaves_out_the_others(folder: Folder) -> None:
    """`status --account` shows only that account."""
    folder.set(ACCOUNTS="shop,news")

    _, out, _ = folder.run("status", "--json", "--account", "news")

    assert list(json.loads(out)["accounts"]) == ["news"]


def test_warnings_go_to_stderr(folder: Folder) -> None:
    """Warnings go to stderr, so that stdout stays parseable."""
    folder.set(**CREDENTIALS, STRAT="2020-01-01")

    _, out, err = folder.run("status", "--json")

    assert json.loads(out)
    assert err == "Warning: WX_DATACUBE_STRAT is not a setting and is ignored; did you mean WX_DATACUBE_START?\n"


def test_invalid_lines_of_env_get_one_warning(folder: Folder) -> None:
    """Invalid lines of `.env` cause one warning with their numbers, without their contents."""
    folder.set(**CREDENTIALS)
    with (folder.path / ".env").open("a") as env:
        env.write("WX_DATACUBE_START='2026-11-01\nWX_DATACUBE_CONCURRENCY=3\n= s3cr3t\n")

    for command in ("status", "replay"):
        _, _, err = folder.run(command)
        assert err == (f"Warning: {folder.path / '.env'} lines 3, 5 are not NAME=value (or a quote is not closed).\n")


@pytest.mark.parametrize(("make", "what"), [(Path.mkdir, "a folder"), (os.mkfifo, "a pipe or a device")])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_env_that_is_not_a_file_is_an_error(
    command: list[str], make: Callable[[Path], None], what: str, folder: Folder
) -> None:
    """A `.env` that is a folder or a pipe exits with 2 and one line, without blocking."""
    make(folder.path / ".env")

    code, out, err = folder.run(*command)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert f"{folder.path / '.env'} is {what}, not a file." in err


def test_a_replay_without_calls_creates_an_empty_file(folder: Folder) -> None:
    """A replay without any calls creates a file with empty tables."""
    code, out, err = folder.run("replay")

    assert (code, err) == (0, "")
    assert out.startswith("Rebuilt every table from 0 calls: ")
    assert (folder.path / "data/wx_datacube.duckdb").stat().st_mode & 0o777 == 0o444


# --- speed ------------------------------------------------------------------------------------------------------


def seconds(*command: str) -> float:
    """Return the processor time of a Python process in seconds."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    subprocess.run([sys.executable, *command], check=False, capture_output=True)
    return used() - before


@pytest.mark.parametrize("command", ["--help", "status"])
def test_help_and_status_answer_at_once(command: str, folder: Folder) -> None:
    """`--help` and `status` take at most 0.5 s, scaled by the machine's start-up time of Python (0.08 s).

    The minimum of several ratios is used, since other load only adds time.
    """
    start = "import json, argparse, subprocess, asyncio"

    assert min(seconds("-m", "wx_datacube", command) / seconds("-c", start) for _ in range(8)) < 0.6 / 0.08


@pytest.mark.parametrize("command", ["--help", "status"])
def test_help_and_status_load_neither_dagster_nor_the_emulator(command: str, folder: Folder) -> None:
    """`--help` and `status` don't import packages that take seconds to load."""
    run = f"from wx_datacube.cli import main; main.run([{command!r}])"
    code = f"import sys; {run}; print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()

    heavy = {"dagster", "uvicorn", "starlette", "requests", "pandas", "sqlalchemy"}
    assert {name.partition(".")[0] for name in loaded} & heavy == set()


# --- the report -------------------------------------------------------------------------------------------------


def test_a_report_is_written_beside_the_database_by_default(folder: Folder) -> None:
    """By default the report is in Chinese and beside the database; a missing output folder is created."""
    folder.set(ACCOUNT="shop")

    default = folder.run("report")
    chosen = folder.run("report", "--lang", "en", "--output", "sent/by mail.html", "--from", "2026-01-01")

    empty = "It is empty: nothing is stored for shop. Run wx-datacube backfill first.\n"
    assert default == (1, f"Report of shop: {folder.path}/data/report_shop.html\n", empty)
    assert chosen == (1, "Report of shop: sent/by mail.html\n", empty)
    assert "<title>shop 数据报告</title>" in folder.contents()["data/report_shop.html"].decode()
    assert "<title>shop: statistics</title>" in folder.contents()["sent/by mail.html"].decode()
    assert [name for name in folder.contents() if name.endswith(".part")] == []


def test_several_accounts_have_a_report_each(folder: Folder) -> None:
    """Several accounts get one report each, and `--output` requires `--account`."""
    folder.set(ACCOUNTS="shop,news")

    code, out, _ = folder.run("report")
    assert (code, out.count("\n")) == (1, 2)
    assert {"data/report_shop.html", "data/report_news.html"} <= set(folder.contents())
    code, _, err = folder.run("report", "--output", "one.html")
    assert (code, err.count("\n")) == (2, 1)
    assert "--account" in err
    assert folder.run("report", "--output", "one.html", "--account", "news")[1] == "Report of news: one.html\n"


# --- the report of all accounts -------------------------------------------------------------------------------------


def store_yesterday(folder: Folder, *accounts: str) -> None:
    """Store a row of yesterday's messages for each account, in a file of this project."""
    yesterday = beijing_now().date() - DAY
    warehouse = Warehouse(folder.path / "data" / "wx_datacube.duckdb")
    with warehouse.transaction() as con:
        for name in accounts:
            call = answered(MESSAGES, yesterday, None, row(yesterday, 2, 5), account=name, at=beijing_now())
            store_calls(con, [call])
    warehouse.publish()


def overview_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of an overview."""
    (data,) = re.findall(r"^const DATA = (.*);$", path.read_text("utf-8"), re.MULTILINE)
    rows: list[dict[str, Any]] = json.loads(data)["accounts"]
    return rows


def test_all_accounts_have_an_overview_that_links_to_their_reports(folder: Folder) -> None:
    """`report --all` writes each account's report, and beside them a page with a row and a link for each."""
    folder.set(ACCOUNTS="shop,news", SHOP_TITLE="门店")
    store_yesterday(folder, "shop", "news")

    code, out, err = folder.run("report", "--all")

    data = folder.path / "data"
    assert (code, err) == (0, "")
    assert out == (
        f"Report of shop: {data}/report_shop.html\nReport of news: {data}/report_news.html\n"
        f"Overview of all accounts: {data}/report.html\n"
    )
    rows = overview_of(data / "report.html")
    assert [(each["account"], each["title"], each["values"]["messages"]) for each in rows] == [
        ("shop", "门店", 5),
        ("news", "news", 5),
    ]
    assert [(data / each["file"]).exists() for each in rows] == [True, True]
    assert [name for name in folder.contents() if name.endswith(".part")] == []


def test_the_overview_may_be_elsewhere(folder: Folder) -> None:
    """With `--output FILE.html` the reports are FILE_<account>.html beside it; the links are relative to it."""
    folder.set(ACCOUNTS="shop,news")
    store_yesterday(folder, "shop")

    code, out, err = folder.run("report", "--all", "--output", "sent/by 邮件#1.html", "--lang", "en")

    assert (code, out.splitlines()[-1]) == (1, "Overview of all accounts: sent/by 邮件#1.html")
    assert err == "It is empty: nothing is stored for news. Run wx-datacube backfill first.\n"
    sent = folder.path / "sent"
    rows = overview_of(sent / "by 邮件#1.html")
    assert sorted(path.name for path in sent.iterdir()) == sorted(["by 邮件#1.html", *(each["file"] for each in rows)])
    assert [each["file"] for each in rows] == ["by 邮件#1_shop.html", "by 邮件#1_news.html"]
    assert [each["newest"] is None for each in rows] == [False, True]
    assert not list((folder.path / "data").glob("*.html"))


def test_a_single_account_may_have_an_overview(folder: Folder) -> None:
    """`--all` works with one account too, before anything is stored."""
    folder.set(ACCOUNT="shop")

    code, out, _ = folder.run("report", "--all", "--output", "all.html")

    assert (code, out) == (1, "Report of shop: all_shop.html\nOverview of all accounts: all.html\n")
    assert [each["values"]["messages"] for each in overview_of(folder.path / "all.html")] == [None]


def test_an_account_with_a_wrong_setting_is_not_in_the_overview(folder: Folder) -> None:
    """An account whose report can't be made is named, and the overview has the others."""
    folder.set(ACCOUNTS="shop,news", NEWS_START="soon")
    store_yesterday(folder, "shop")

    code, _, err = folder.run("report", "--all")

    assert code == 2
    assert "WX_DATACUBE_NEWS_START" in err
    assert [each["account"] for each in overview_of(folder.path / "data" / "report.html")] == ["shop"]


@pytest.mark.long
def test_fifty_accounts_are_in_the_overview(folder: Folder) -> None:
    """Fifty accounts have their rows in the order of the settings, and each link leads to a file."""
    names = [f"account{number}" for number in range(50)]
    folder.set(ACCOUNTS=",".join(names))
    store_yesterday(folder, *names)

    assert folder.run("report", "--all")[0] == 0

    rows = overview_of(folder.path / "data" / "report.html")
    assert [each["account"] for each in rows] == names
    assert [
        name for name, each in zip(names, rows, strict=True) if not (folder.path / "data" / each["file"]).exists()
    ] == []


def test_an_overview_that_cannot_be_written_is_named_once(folder: Folder) -> None:
    """If the folder can't be written, `report --all` says so in one line and exits with 2."""
    folder.set(ACCOUNTS="shop,news")
    folder.path.joinpath("taken").write_text("x")

    code, out, err = folder.run("report", "--all", "--output", "taken/report.html")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--output" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--all", "--account", "default"), "Give --all or --account, not both."),
        (("--from", "2999-01-01"), "--from"),
        (("--from", "2026-03-01", "--to", "2026-02-01"), "--to 2026-02-01"),
        (("--to", "2014-11-30"), "--to"),
        (("--lang", "fr"), "--lang"),
        (("--from", "soon"), "--from"),
        (("--output", "."), "--output"),
        (("--output", ""), "--output"),
        (("--output", "data/wx_datacube.duckdb"), "--output"),
    ],
    ids=" ".join,
)
def test_report_refuses_invalid_options(arguments: tuple[str, ...], named: str, folder: Folder) -> None:
    """A report that can't be written exits with 2 and one line, and writes nothing."""
    before = folder.contents()

    code, out, err = folder.run("report", *arguments)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err
    assert folder.contents() == before


@pytest.mark.parametrize(
    ("command", "answers"),
    [(("status",), 1), (("report",), 0), (("export", "--output", "files"), 0)],
    ids=["status", "report", "export"],
)
def test_a_deleted_published_file_is_an_error(command: tuple[str, ...], answers: int, folder: Folder) -> None:
    """If the published file was deleted, commands exit with 2 and name the command that publishes it again."""
    with Warehouse(folder.path / "data" / "wx_datacube.duckdb").transaction() as con:
        store_calls(con, [answered(MESSAGES, day(20), None, row(day(20)), account="default")])
    folder.run("replay")
    folder.path.joinpath("data/wx_datacube.duckdb").unlink()

    code, out, err = folder.run(*command)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "wx_datacube.writer.duckdb exists and holds 1 call. Unless a run is about to publish it: wx" in err
    assert "wx-datacube replay" in err
    assert folder.run("replay")[0] == 0
    assert folder.run(*command)[0] == answers


def test_commands_say_that_nothing_is_stored_after_an_early_kill(folder: Folder) -> None:
    """If a run was killed before its first response, commands say that nothing is stored."""
    with Warehouse(folder.path / "data" / "wx_datacube.duckdb").transaction():
        pass

    code, out, err = folder.run("status")

    assert "Nothing is stored yet: " in out
    assert (code, err) == (1, "")  # nothing has ever been requested, which needs a person
    assert folder.run("report")[0] == 1
    assert folder.run("export", "--output", "files")[0] == 2


def test_an_empty_output_option_is_refused(folder: Folder) -> None:
    """An empty `--output`, as from an unset variable, is refused: it would mean the project folder."""
    folder.run("replay")
    before = folder.contents()

    code, _, err = folder.run("export", "--output", "")

    assert (code, err.count("\n")) == (2, 1)
    assert folder.contents() == before


def test_an_export_without_a_database_keeps_earlier_files(folder: Folder) -> None:
    """An export without a database leaves earlier files as they are, for example if the disk isn't mounted."""
    files = folder.path / "files"
    files.mkdir()
    (files / "messages_daily.csv").write_text("good")

    code, out, err = folder.run("export", "--format", "csv", "--output", "files")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Nothing is stored yet: " in err
    assert [path.read_text() for path in files.iterdir()] == ["good"]


def test_ui_reports_a_port_in_use_at_once(folder: Folder) -> None:
    """`ui` reports a port in use at once, instead of in Dagster's log."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = folder.run("ui", "--port", str(port))

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"Port {port} of 127.0.0.1" in err


@pytest.mark.parametrize("command", ["demo", "ui"])
def test_demo_and_ui_refuse_an_env_file_in_the_demo_folder(folder: Folder, command: str) -> None:
    """`demo` and `ui` refuse a `.env` in the demo's folder, which would send emulated calls to the real WeChat."""
    (folder.path / "demo").mkdir()
    (folder.path / "demo" / ".env").write_text("WX_DATACUBE_API_URL=http://127.0.0.1:9")

    code, out, err = folder.run(command)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{folder.path / 'demo'} contains a .env." in err


def test_a_second_ui_on_a_folder_is_refused(folder: Folder) -> None:
    """A second `ui` on a folder is refused before Dagster starts."""
    folder.set(**CREDENTIALS)
    with locked(folder.path / ".dagster" / "ui.lock"):
        code, out, err = folder.run("ui")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"Dagster's UI already runs on {folder.path} (process {os.getpid()})." in err


def test_ui_on_a_public_address_warns_that_there_is_no_login(folder: Folder) -> None:
    """`ui` on a public address warns that there is no login."""
    folder.set(**CREDENTIALS)
    with locked(folder.path / ".dagster" / "ui.lock"):
        _, _, open_to_all = folder.run("ui", "--host", "0.0.0.0")
        _, _, local = folder.run("ui", "--host", "localhost")

    assert "Warning: there is no login. Anyone who can reach 0.0.0.0 can start runs" in open_to_all
    assert "login" not in local


def test_emulator_on_a_public_address_warns_that_there_is_no_login(folder: Folder) -> None:
    """`emulator` on a public address warns that there is no login."""
    with socket.create_server(("0.0.0.0", 0)) as taken:
        code, _, err = folder.run("emulator", "--host", "0.0.0.0", "--port", str(taken.getsockname()[1]))

    assert code == 2
    assert err.startswith("Warning: there is no login. Anyone who can reach 0.0.0.0 can use the emulated account")


def test_ui_reports_a_history_folder_that_cannot_be_written(folder: Folder) -> None:
    """`ui` reports a history folder that can't be written before Dagster starts."""
    folder.set(**CREDENTIALS)
    (folder.path / ".dagster").write_text("")

    code, out, err = folder.run("ui")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{folder.path / '.dagster'} can't be written: it must be a folder" in err


def test_report_reports_a_file_in_place_of_its_folder(folder: Folder) -> None:
    """`report` with a file in place of its folder exits with 2 and one line."""
    folder.path.joinpath("taken").write_text("x")

    code, out, err = folder.run("report", "--output", "taken/report.html")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "taken" in err


# --- worker -----------------------------------------------------------------------------------------------------


def test_worker_serves_nothing_if_a_check_fails(folder: Folder) -> None:
    """`worker` makes doctor's checks that need no call first; it prints what fails and exits with 1."""
    code, out, err = folder.run("worker")

    assert (code, out) == (1, "")
    assert unwrapped(err).startswith("  FAIL WX_DATACUBE_APPID or WX_DATACUBE_SECRET is not set.")


@pytest.mark.parametrize(
    "workspace",
    [
        "load_from:\n- python_module: wx_datacube.definitions\n- python_module: wx_datacube.many_accounts\n",
        "load_from:\n- grpc_server: {host: 127.0.0.1, port: 4000}\n",
        "load_from: [\n",
        "load_from: wx_datacube.definitions\n",
    ],
    ids=["two locations", "a hub's", "no YAML", "of another form"],
)
def test_worker_serves_exactly_one_code_location(workspace: str, folder: Folder) -> None:
    """A `workspace.yaml` without exactly one module or file is named in one line."""
    (folder.path / "workspace.yaml").write_text(workspace)
    code, out, err = folder.run("worker")

    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "workspace.yaml" in err


def test_worker_names_a_taken_port(folder: Folder) -> None:
    """A port that another process uses is named: Dagster's server would share it, and get half of the requests."""
    folder.set(APPID="wx5eed0fda7acbe011", SECRET="0123456789abcdef0123456789abcdef")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = folder.run("worker", "--port", port)

    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert port in err
    assert "--port" in err
