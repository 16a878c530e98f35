"""Several accounts in one file: each has all features, and the problems of one don't affect the others.

Add a test here when a command or a schedule handles accounts separately.
"""

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from wx_datacube.alerts.alert import Alert, Source, Urgency
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.periods import BEIJING
from wx_datacube.cli import main, outcomes
from wx_datacube.config.settings import Account
from wx_datacube.definitions import build_defs
from wx_datacube.errcodes import BY_ERRCODE, error_for
from wx_datacube.errors import SettingsError, WarehouseError, WxDatacubeError
from wx_datacube.language import text_of
from wx_datacube.operations.report import default_report_path
from wx_datacube.orchestration.cleanup import has_account_history, wipe_account_history
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.warehouse.accounts import remove_account, rename_account
from wx_datacube.warehouse.coverage import bind_account
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import DAY, LATER, answered, row
from wx_datacube_tests.company import Company, company
from wx_datacube_tests.dagster_environment import DAYS, DagsterEnv
from wx_datacube_tests.wrapped_output import unwrapped

START = dt.date(2024, 3, 1)
CHOSEN = ("--start", "2024-03-01", "--end", "2024-03-10", "--endpoint", DAYS.name)
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def both(it: DagsterEnv) -> Iterator[Company]:
    """Configure the project for two accounts, `shop` and `news`."""
    with company("shop", "news") as running:
        it.configure(**running.settings(START=START))
        yield running


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs a command and returns its exit code, stdout and stderr."""

    def said(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main.run(arguments)
        return code, *capfd.readouterr()

    return said


def stored(it: DagsterEnv, account: str) -> int:
    """Return how many days of an account are stored."""
    with it.warehouse.open_published() as con:
        found = con.execute(
            "SELECT count(DISTINCT ref_date) FROM datacube.getupstreammsg WHERE account = $1", [account]
        )
        return int(found.fetchall()[0][0])


# --- commands for all accounts ----------------------------------------------------------------------------------


def test_a_backfill_fetches_every_account(it: DagsterEnv, both: Company, run: Said) -> None:
    """A backfill fetches every account with its own credentials and materializes it under its own keys."""
    assert run("backfill", *CHOSEN)[0] == 0

    assert (stored(it, "shop"), stored(it, "news")) == (10, 10)
    assert (both.calls("shop"), both.calls("news")) == (2, 2)
    with it.warehouse.open_published() as con:
        figures = con.execute("SELECT account, sum(messages) FROM messages_daily GROUP BY ALL").fetchall()
    assert dict(figures) == {
        name: sum(each["msg_count"] for day in range(10) for each in member.world.rows(DAYS, START + DAY * day))
        for name, member in both.members.items()
    }
    with project_instance(it.folder) as instance:
        for name in both.members:
            assert len(instance.get_materialized_partitions(dg.AssetKey([name, DAYS.name]))) == 10


TROUBLES = {
    "a wrong secret": (
        {},
        {"SHOP_SECRET": "f" * 32},
        1,
        "shop: stable_token: The AppSecret is wrong. Set WX_DATACUBE_SHOP_",
    ),
    "no quota": ({"quota": 1}, {}, 3, "shop: getupstreammsg: 3 of 10 are missing."),
    "no credentials": (
        {},
        {"SHOP_APPID": ""},
        2,
        "wx-datacube: shop: The credentials for WeChat are missing. Set ",
    ),
}


CALLING = ("no quota", "a wrong secret")
"""Problems that occur during calls, which take seconds."""


@pytest.mark.parametrize(
    "trouble", [pytest.param(name, marks=[pytest.mark.long] * (name in CALLING)) for name in TROUBLES]
)
def test_an_error_of_one_account_does_not_stop_the_others(
    trouble: str, it: DagsterEnv, both: Company, run: Said
) -> None:
    """If one account fails, the others are fetched; a line names it, and the exit code shows how severe it is."""
    options, settings, expected, said = TROUBLES[trouble]
    both.members["shop"].configure(options)
    it.configure(**both.settings(START=START, **settings))

    code, _, err = run("backfill", *CHOSEN)

    assert code == expected
    assert said in err
    first_lines = [line for line in err.splitlines() if not line.startswith("  ")]  # the others are wrapped
    assert all(line.removeprefix("wx-datacube: ").startswith("shop: ") for line in first_lines)
    assert stored(it, "news") == 10


@pytest.mark.parametrize(
    ("codes", "worst"), [([0, 0], 0), ([0, 3], 3), ([3, 1], 1), ([1, 3], 1), ([2, 1], 2), ([0, 2, 3], 2)]
)
def test_a_command_exits_with_the_most_severe_code(codes: list[int], worst: int) -> None:
    """The command exits with the most severe code: 2, then 1, then 3, then 0."""
    accounts = [Account(f"a{number}", single=False) for number in range(len(codes))]

    assert outcomes.for_each(accounts, lambda account: codes[int(account.name[1:])]) == worst


def test_account_errors_are_one_line_and_file_errors_end_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of one account is one line and the next account continues; an error of the file ends the command."""
    done: list[str] = []

    def work(account: Account, error: WxDatacubeError) -> int:
        done.append(account.name)
        if account.name == "shop":
            raise error
        return 0

    accounts = [Account(name, single=False) for name in ("shop", "news")]
    assert outcomes.for_each(accounts, lambda account: work(account, SettingsError("Wrong.", advice="Mend it."))) == 2
    assert capsys.readouterr().err == "wx-datacube: shop: Wrong. Mend it.\n"
    with pytest.raises(WarehouseError):
        outcomes.for_each(accounts, lambda account: work(account, WarehouseError("Held.")))
    assert done == ["shop", "news", "shop"]


def test_status_and_doctor_cover_every_account(it: DagsterEnv, both: Company, run: Said) -> None:
    """If one account has a wrong setting, `status` and `doctor` report it and show the others."""
    it.configure(**both.settings(START="2024-03-01", SHOP_SECRET="with a blank"))

    code, out, err = run("status", "--json")
    assert (code, list(json.loads(out)["accounts"])) == (2, ["news"])
    wrong = "WX_DATACUBE_SHOP_SECRET is invalid. Expected: the account's AppSecret, without spaces."
    assert err == f"wx-datacube: shop: {wrong}\n"

    code, out, _ = run("doctor")
    shop, news = unwrapped(out).split("Account news")
    assert code == 1
    assert shop.splitlines()[2:4] == ["Account shop", f"  FAIL {wrong}"]
    assert news.count("is granted") == len(ENDPOINTS)
    assert "FAIL" not in news


@pytest.mark.long
def test_history_may_begin_on_different_days(it: DagsterEnv, both: Company, run: Said) -> None:
    """`--end` before an account's first day is an error only if it is before every account's."""
    it.configure(**both.settings(START="2024-03-01", SHOP_START="2024-04-01"))
    assert run("backfill", *CHOSEN)[0] == 0
    assert (stored(it, "shop"), stored(it, "news")) == (0, 10)

    code, _, err = run("backfill", "--end", "2024-02-01")
    assert code == 2
    assert "2024-02-01 is before the history of news begins, 2024-03-01 (WX_DATACUBE_NEWS_START)" in err


NOT_OF_AN_ACCOUNT = {
    "demo",
    "ui",
    "emulator",
    "init",
    "mcp",
    "worker",
    "rename-account",
    "remove-account",
    "copy-account",
}


@pytest.mark.parametrize("name", sorted(main.commands.commands.keys() - NOT_OF_AN_ACCOUNT))
def test_every_command_has_an_account_option(name: str) -> None:
    """Every command has `--account`, except those that take a name, show everything, or use emulated data.

    `mcp` and `worker` serve all accounts.
    """
    options = [option for param in main.commands.commands[name].params for option in param.opts]

    assert "--account" in options


@pytest.mark.parametrize("errcode", BY_ERRCODE)
def test_advice_names_the_accounts_own_variables(errcode: int) -> None:
    """Advice for one of several accounts names that account's variables."""
    advice = Account("shop", single=False).with_own_variables(error_for(errcode, token_call=True).advice)

    assert re.findall(r"WX_DATACUBE_(?:APPID|SECRET|TOKEN_URL|START)\b", str(advice)) == []
    assert Account("shop").with_own_variables(advice) == advice


def test_status_and_skip_messages_name_the_accounts_own_variables(it: DagsterEnv, both: Company, run: Said) -> None:
    """`status` and the skip message of a schedule name the account's own variables."""
    now = dt.datetime.now(BEIJING).replace(tzinfo=None)
    said = {"errcode": 40013, "errmsg": "invalid appid", "response": "{}"}
    daily = [endpoint for endpoint in ENDPOINTS if endpoint.period.adverb == "daily"]
    with it.warehouse.transaction() as con:
        store_calls(con, [answered(each, START, None, account="shop", at=now, **said) for each in daily])
    it.warehouse.publish()

    code, out, _ = run("status")
    assert code == 1
    names = ", ".join(each.name for each in daily)
    assert f"Needs a person: {names}: WeChat does not know this AppID. Set WX_DATACUBE_SHOP_APPID to" in " ".join(
        out.split()
    )
    requested, skipped = tick(it, "shop")
    assert requested == set()
    assert f"{names}: WeChat does not know this AppID. Set WX_DATACUBE_SHOP_APPID to" in skipped
    assert "请将 WX_DATACUBE_SHOP_APPID 设为" in skipped


# --- in Dagster -------------------------------------------------------------------------------------------------


def tick(it: DagsterEnv, account: str) -> tuple[set[str], str]:
    """Return the assets that an account's daily schedule requests, and its skip message."""
    now = dt.datetime.now(BEIJING).replace(tzinfo=None)
    schedule = build_defs(clock=lambda: now).resolve_schedule_def(f"{account}_daily")
    with project_instance(it.folder) as instance, dg.build_schedule_context(instance=instance) as given:
        found = schedule.evaluate_tick(given)
    keys = {key.to_user_string() for request in found.run_requests or () for key in request.asset_selection or ()}
    return keys, found.skip_message or ""


def test_a_wrong_setting_of_one_account_does_not_stop_other_schedules(it: DagsterEnv, both: Company) -> None:
    """A wrong setting of one account doesn't stop the other account's schedule."""
    it.configure(**both.settings(START="2024-03-01", SHOP_START="soon"))
    daily = {f"news/{endpoint.name}" for endpoint in ENDPOINTS if endpoint.period.adverb == "daily"}

    requested, skipped = tick(it, "shop")
    assert requested == set()
    assert skipped.startswith("WX_DATACUBE_SHOP_START 的值无效。")
    assert "WX_DATACUBE_SHOP_START is invalid. Expected: a date YYYY-MM-DD" in skipped
    assert tick(it, "news") == (daily, "")


def test_a_wrong_shared_setting_removes_no_schedule(it: DagsterEnv, both: Company) -> None:
    """A wrong shared setting removes no schedule: after twelve hours Dagster would forget that it was on."""
    it.configure(**both.settings(CONCURRENCY="many"))

    defs = build_defs()

    assert {schedule.name for schedule in defs.schedules or ()} == {
        *(f"{account}_{what}" for account in both.members for what in ("daily", "weekly", "monthly", "checks")),
        "wx_datacube_digest",
    }


def test_account_names_cannot_collide(it: DagsterEnv) -> None:
    """Account names that could clash in names of ops, jobs, schedules or resources load together."""
    names = ["judge_a", "a__getupstreammsg", "a", "a_daily", "a_judge", "wechat_a", "duckdb", "report", "a__report"]
    names += ["digest", "a__digest", "wx_datacube_digest", "a__wx_datacube"]
    it.configure(ACCOUNTS=",".join(names))

    defs = build_defs(accounts=names)

    defs.get_repository_def().load_all_definitions()
    assert len(defs.schedules or ()) == 4 * len(names) + 1


# --- renaming and removing accounts -----------------------------------------------------------------------------


@pytest.mark.long
def test_a_backfill_of_a_renamed_account_makes_no_call(it: DagsterEnv, both: Company, run: Said) -> None:
    """After a renaming and the change of `.env`, a backfill materializes the new keys without a call."""
    assert run("backfill", *CHOSEN)[0] == 0
    calls = both.calls("news")

    code, out, err = run("rename-account", "news", "paper")
    assert (code, err) == (0, "")
    assert "Renamed news to paper. Backup: " in out
    assert (
        "In .env: paper instead of news in WX_DATACUBE_ACCOUNTS, WX_DATACUBE_NEWS_APPID becomes"
        " WX_DATACUBE_PAPER_APPID, WX_DATACUBE_NEWS_SECRET becomes WX_DATACUBE_PAPER_SECRET.\n" in out
    )
    with project_instance(it.folder) as instance:
        assert not instance.has_asset_key(dg.AssetKey(["news", DAYS.name]))
        assert instance.has_asset_key(dg.AssetKey(["shop", DAYS.name]))

    # Until then the old name makes no call, neither by a tick nor by a command.
    assert "is stored as the account 'paper' in this database, not as 'news'" in tick(it, "news")[1]
    code, _, err = run("backfill", *CHOSEN, "--account", "news")
    assert (code, both.calls("news")) == (2, calls)
    assert "wx-datacube rename-account paper news" in err

    news = both.members["news"].options
    it.configure(**both.settings(ACCOUNTS="shop,paper", PAPER_APPID=news.appid, PAPER_SECRET=news.secret, START=START))
    assert run("backfill", *CHOSEN)[0] == 0
    assert both.calls("news") == calls
    with project_instance(it.folder) as instance:
        assert len(instance.get_materialized_partitions(dg.AssetKey(["paper", DAYS.name]))) == 10


def test_status_reports_a_renamed_account_that_env_does_not_name(it: DagsterEnv, both: Company, run: Said) -> None:
    """After a renaming `status` needs a person until `.env` has the new name."""
    assert run("backfill", "--account", "shop", *CHOSEN)[0] == 0
    assert run("rename-account", "shop", "store")[0] == 0
    code, out, _ = run("status", "--account", "shop")

    assert code == 1
    assert "is stored as the account 'store' in this database, not as 'shop'. Use the name store in .env" in unwrapped(
        out
    )


@pytest.mark.long
def test_a_single_account_becomes_one_of_several(it: DagsterEnv, both: Company, run: Said) -> None:
    """A single account can be renamed to become one of several, and the output lists the changes to `.env`."""
    shop = both.members["shop"].options
    it.configure(API_URL=both.api_url, APPID=shop.appid, SECRET=shop.secret, START=START)
    assert run("backfill", *CHOSEN)[0] == 0

    code, out, _ = run("rename-account", "default", "shop")
    assert code == 0
    assert (
        "In .env: WX_DATACUBE_ACCOUNT=shop. Or, with several accounts: WX_DATACUBE_ACCOUNTS=shop,…,"
        " WX_DATACUBE_APPID becomes WX_DATACUBE_SHOP_APPID, WX_DATACUBE_SECRET becomes WX_DATACUBE_SHOP_SECRET,"
        " WX_DATACUBE_START becomes WX_DATACUBE_SHOP_START.\n" in out
    )

    it.configure(**both.settings(START=START))
    assert run("backfill", *CHOSEN)[0] == 0
    assert (both.calls("shop"), stored(it, "shop"), stored(it, "news")) == (2, 10, 10)


def remove(it: DagsterEnv, name: str, answer: str) -> subprocess.CompletedProcess[str]:
    """Remove an account in another process and answer its question."""
    command = [sys.executable, "-m", "wx_datacube", "remove-account", name]
    return subprocess.run(command, cwd=it.folder, input=answer, capture_output=True, text=True, timeout=120)


def test_a_removal_names_the_copies_that_still_hold_the_account(it: DagsterEnv, both: Company) -> None:
    """After a removal the output lists the backups that still contain the account, old and new."""
    store(it, both)
    older = it.warehouse.back_up("upgrade")

    done = remove(it, "news", "y\n")

    assert done.returncode == 0, done
    lines = done.stdout.split("can't be read. Delete them before you give the folder away:\n")[1].splitlines()
    backup, other = (Path(line.strip()) for line in lines[:2])
    assert backup.name.startswith(f"{it.warehouse.database.stem}.before-remove-news.")
    assert other == older
    assert not lines[2].startswith(" ")


@pytest.mark.parametrize("answer", ["n\n", "\n", ""], ids=["no", "return", "no terminal"])
def test_nothing_is_removed_without_confirmation(it: DagsterEnv, both: Company, answer: str) -> None:
    """Without the answer y, or without a terminal as in cron, nothing is removed and the exit code is 1."""
    store(it, both)
    before = it.warehouse.database.read_bytes()

    done = remove(it, "news", answer)

    assert done.returncode == 1
    assert done.stdout.startswith("This deletes 1 calls with their answers and 1 rows of figures of news.\n")
    assert done.stderr == "Aborted: answer y to confirm. Nothing was changed.\n"
    assert it.warehouse.database.read_bytes() == before
    assert not [path for path in it.warehouse.database.parent.iterdir() if "before" in path.name]


@pytest.mark.long
def test_a_removed_account_is_gone_from_file_and_dagster(it: DagsterEnv, both: Company, run: Said) -> None:
    """A removal deletes an account's rows, report and Dagster history, fails its queued runs, and keeps the others."""
    assert run("backfill", *CHOSEN)[0] == 0
    assert run("report")[0] == 0
    queued = [
        dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.NOT_STARTED, asset_selection=frozenset({asset}))
        for asset in (dg.AssetKey(["news", DAYS.name]), dg.AssetKey(["shop", DAYS.name]))
    ]
    with project_instance(it.folder) as instance:
        for each in queued:
            instance.add_run(each)

    done = remove(it, "news", "y\n")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Removed news. Backup: " in done.stdout
    assert (
        "Remove from .env, or the next run fetches everything again: news in WX_DATACUBE_ACCOUNTS,"
        " WX_DATACUBE_NEWS_APPID, WX_DATACUBE_NEWS_SECRET.\n" in done.stdout
    )
    assert (stored(it, "shop"), stored(it, "news")) == (10, 0)
    assert {path.name for path in it.warehouse.database.parent.glob("*.html")} == {"report_shop.html"}
    with project_instance(it.folder) as instance:
        assert not instance.has_asset_key(dg.AssetKey(["news", DAYS.name]))
        assert len(instance.get_materialized_partitions(dg.AssetKey(["shop", DAYS.name]))) == 10
        statuses = [found.status.value for each in queued if (found := instance.get_run_by_id(each.run_id))]
        assert statuses == ["FAILURE", "NOT_STARTED"]
    assert run("status", "--account", "shop")[0] in (0, 1)  # labels may be overdue


def known_of(it: DagsterEnv, account: str) -> None:
    """Create an account's traces outside the database: materializations, a report and an alert."""
    event = dg.AssetMaterialization(dg.AssetKey([account, DAYS.name]), partition=str(START))
    with project_instance(it.folder) as instance:
        instance.report_runless_asset_event(event)
    default_report_path(it.warehouse.database, account).write_text("figures")
    trouble = Alert("NeedsPerson 48001", DAYS.name, Urgency.PERSON, text_of("Not granted."))
    Alerts(it.warehouse.database).note(account, Source.RUNS, [DAYS.name], [trouble])


def is_known(it: DagsterEnv, account: str) -> list[bool]:
    """Return whether each of those traces exists."""
    with project_instance(it.folder) as instance:
        history = instance.has_asset_key(dg.AssetKey([account, DAYS.name]))
    report = default_report_path(it.warehouse.database, account).exists()
    return [history, report, bool(Alerts(it.warehouse.database).open_for_person(account))]


def test_a_removal_deletes_the_history_of_keys_with_a_prefix(it: DagsterEnv) -> None:
    """A removal deletes history under key prefixes too, but not similar keys of the user's own assets."""
    ours = [
        ["news", "report"],
        ["news", "lake"],
        ["wechat", "news", DAYS.name],
        ["wechat", "news", "report"],
        ["a", "b", "news", DAYS.name],
    ]
    theirs = [["crm", "news", "report"], ["news", "theirs"], ["wechat", "shop", DAYS.name]]
    with project_instance(it.folder) as instance:
        for path in ours + theirs:
            instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey(path)))

    wipe_account_history(it.settings, "news")

    with project_instance(it.folder) as instance:
        assert sorted(key.path for key in instance.get_asset_keys()) == sorted(theirs)
    assert not has_account_history(it.settings, "news")


LEFT = "Nothing is stored as news any more. Deleting what is left of it:"


@pytest.mark.long
def test_a_removal_killed_before_the_dagster_clean_up_can_be_finished(it: DagsterEnv, both: Company) -> None:
    """If a removal was killed before the clean-up in Dagster, the same command finishes it without asking."""
    store(it, both)
    for account in both.members:
        known_of(it, account)
    remove_account(it.warehouse, "news")  # the command is killed here

    done = remove(it, "news", "")

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{LEFT} its alerts, its report, its history in Dagster.\n" in done.stdout
    assert "Delete them?" not in done.stdout
    assert (is_known(it, "news"), is_known(it, "shop")) == ([False] * 3, [True] * 3)
    again = remove(it, "news", "y\n")
    assert (again.returncode, again.stdout) == (2, "")
    assert "There is no account 'news'" in again.stderr


@pytest.mark.parametrize("trace", ["history", "report", "trouble"])
def test_any_remaining_trace_lets_a_removal_continue(trace: str, it: DagsterEnv, both: Company, run: Said) -> None:
    """Any remaining trace lets the removal continue, wherever it was killed."""
    store(it, both)
    remove_account(it.warehouse, "news")
    known_of(it, "news")
    if trace != "history":
        wipe_account_history(it.settings, "news")
    if trace != "report":
        default_report_path(it.warehouse.database, "news").unlink()
    if trace != "trouble":
        Alerts(it.warehouse.database).forget("news")

    assert sum(is_known(it, "news")) == 1
    assert LEFT in run("remove-account", "news")[1]
    assert is_known(it, "news") == [False] * 3


def pages(it: DagsterEnv) -> set[str]:
    """Return the names of the reports and overviews beside the database."""
    return {path.name for path in it.warehouse.database.parent.glob("*.html")}


def test_a_removal_deletes_the_overview_that_links_to_the_account(it: DagsterEnv, both: Company, run: Said) -> None:
    """A removal deletes the account's report and the overview that links to it; the next overview has the others."""
    store(it, both)
    assert run("report", "--all")[0] == 0
    assert pages(it) == {"report.html", "report_shop.html", "report_news.html"}

    done = remove(it, "news", "y\n")

    assert done.returncode == 0
    folder = it.warehouse.database.parent
    assert f"Deleted: {folder}/report_news.html\nDeleted: {folder}/report.html\n" in done.stdout
    assert pages(it) == {"report_shop.html"}
    it.configure(**both.settings(ACCOUNTS="shop", START=START))
    assert run("report", "--all")[0] == 0
    assert b"news" not in (folder / "report.html").read_bytes()


def test_a_renaming_deletes_the_overview_that_links_to_the_old_name(it: DagsterEnv, both: Company, run: Said) -> None:
    """After a renaming no page has the old name any more."""
    store(it, both)
    assert run("report", "--all")[0] == 0

    assert run("rename-account", "news", "paper")[0] == 0

    assert pages(it) == {"report_shop.html"}


@pytest.mark.parametrize("content", [None, "报告 report_news.html".encode("gbk"), b'"report_news2.html"'])
def test_another_report_html_is_kept(content: bytes | None, it: DagsterEnv, both: Company, run: Said) -> None:
    """A `report.html` that doesn't link to the account stays, whatever it is: another program's file, or a folder."""
    store(it, both)
    other = it.warehouse.database.with_name("report.html")
    other.mkdir() if content is None else other.write_bytes(content)

    code, _, err = run("rename-account", "news", "paper")

    assert (code, err) == (0, "")
    assert other.exists()


def test_a_killed_renaming_continues_only_with_the_same_new_name(it: DagsterEnv, both: Company, run: Said) -> None:
    """A killed renaming continues only with the same new name; another name is an error."""
    store(it, both)
    known_of(it, "news")
    rename_account(it.warehouse, "news", "paper")  # the command is killed here

    code, _, err = run("rename-account", "news", "gazette")
    assert (code, is_known(it, "news")) == (2, [True] * 3)
    assert "There is no account 'news'" in err
    code, out, err = run("rename-account", "news", "paper")
    assert (code, err, is_known(it, "news")) == (0, "", [False] * 3)
    assert LEFT in out
    assert "In .env: paper instead of news in WX_DATACUBE_ACCOUNTS" in out
    assert run("rename-account", "news", "paper")[0] == 2


def test_a_removal_of_unpublished_figures_asks_for_confirmation(it: DagsterEnv, both: Company) -> None:
    """If figures are stored but not yet published, a removal asks for confirmation."""
    it.warehouse.publish()
    with it.warehouse.transaction() as con:
        store_calls(con, [answered(DAYS, START, None, row(START), account="news")])
    known_of(it, "news")

    done = remove(it, "news", "n\n")

    assert (done.returncode, is_known(it, "news")) == (1, [True] * 3)
    assert "This deletes 1 calls with their answers" in done.stdout


def store(it: DagsterEnv, both: Company) -> None:
    """Store a day of each account, as if it was fetched."""
    with it.warehouse.transaction() as con:
        for name, member in both.members.items():
            bind_account(con, Account(name, member.options.appid, start=START), LATER)
            store_calls(con, [answered(DAYS, START, None, row(START), account=name)])
    it.warehouse.publish()


def test_an_account_taken_out_of_the_settings_stays_in_the_file(it: DagsterEnv, both: Company, run: Said) -> None:
    """An account removed from the settings stays in the file; it is reported and can be exported and replayed."""
    store(it, both)
    it.configure(**both.settings(ACCOUNTS="shop", START=START))

    code, out, err = run("status", "--json")
    assert (code, list(json.loads(out)["accounts"])) == (1, ["shop"])
    assert "WX_DATACUBE_NEWS_APPID is not a setting and is ignored: news is not in WX_DATACUBE_ACCOUNTS.\n" in err
    assert "Stored but not configured: news." in run("doctor")[1]
    assert run("replay", "--account", "news")[:2] == (
        0,
        f"Rebuilt every table from 1 calls of news: {it.warehouse.database}\n",
    )
    assert run("export", "--account", "news", "--format", "csv", "--output", "files")[0] == 0
    lines = (it.folder / "files" / "messages_daily.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["account", "news"]
    for command in (["replay"], ["export", "--output", "files"]):
        code, _, err = run(*command, "--account", "nobody")
        assert code == 2
        assert "wx-datacube: There is no account 'nobody' in" in err


def test_a_replay_of_one_account_does_not_change_the_others(it: DagsterEnv, both: Company, run: Said) -> None:
    """A replay of one account doesn't change another account's tables."""
    store(it, both)
    with it.warehouse.transaction() as con:
        con.execute("UPDATE datacube.getupstreammsg SET msg_user = 77")

    assert run("replay", "--account", "news")[0] == 0

    with it.warehouse.open_published() as con:
        found = con.execute("SELECT account, msg_user FROM datacube.getupstreammsg ORDER BY ALL").fetchall()
    assert found == [("news", 1), ("shop", 77)]
