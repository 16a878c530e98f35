"""Doctor: it reports each problem and what to do, and makes at most one call per endpoint.

Add a test here when `doctor` checks something else.
"""

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster._core.scheduler.instigation import ScheduleInstigatorData
from dagster._daemon.types import DaemonHeartbeat

from wx_datacube.alerts.alert import Source, alerts_of
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.periods import BEIJING, beijing_now
from wx_datacube.cli import main
from wx_datacube.config.folder import template
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.ingest.service import Ingest
from wx_datacube.language import Language, Text
from wx_datacube.operations.backfill_protocol import Scope
from wx_datacube.operations.doctor import examine
from wx_datacube.orchestration.doctor import examine_schedules
from wx_datacube.orchestration.instance import project_instance
from wx_datacube_tests.dagster_environment import DAYS, HOURS, DagsterEnv
from wx_datacube_tests.disks import limited
from wx_datacube_tests.receiver import Receiver
from wx_datacube_tests.wechat_stand_in import StandIn, token
from wx_datacube_tests.wrapped_output import unwrapped

DAY = dt.timedelta(days=1)
WEEK_AGO = beijing_now().date() - 8 * DAY
"""A few labels are due since then."""
LAST_MONTH = beijing_now().date().replace(day=1) - 7 * DAY
"""Labels of every endpoint are due since then."""

CALLED = sorted([*(each.name for each in ENDPOINTS), "getusersummary", "getbizsummary", "getinterfacesummary"])
"""The endpoints that get a call: those of the messages, and one for each family that is off."""


@pytest.fixture
def emulated(it: DagsterEnv) -> Iterator[Emulated]:
    """Configure the project for an ordinary account."""
    with wechat() as running:
        it.use(running, START="2024-03-01")
        yield running


def examined(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], list[str]]:
    """Return exit code, passed checks and failed checks."""
    capsys.readouterr()
    code = main.run(["doctor"])
    lines = unwrapped(capsys.readouterr().out).splitlines()
    passed, failed = ([line[7:] for line in lines if line.startswith(mark)] for mark in ("  ok  ", "  FAIL"))
    return code, passed, failed


def test_doctor_exits_with_0_if_all_checks_pass(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """If all checks pass, the endpoints, Dagster's instance and the schedules are listed, and the exit code is 0."""
    code, passed, failed = examined(capsys)

    assert (code, failed) == (0, [])
    assert [
        endpoint.name for endpoint in ENDPOINTS if not any(f"{endpoint.name} is granted" in w for w in passed)
    ] == []
    assert any(
        "Schedules that are off: default_daily, default_weekly, default_monthly, default_checks" in text
        for text in passed
    )
    assert any("Dagster's instance" in text for text in passed)


def test_doctor_publishes_the_responses_of_its_calls(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor calls each endpoint at most once, for missing figures, and publishes the responses."""
    examined(capsys)

    called = [call.endpoint for call in emulated.control.statistics_calls()]
    assert sorted(called) == CALLED
    with it.warehouse.open_published() as con:
        landed = con.execute("SELECT count(DISTINCT endpoint) FROM datacube.coverage WHERE state <> 'missing'")
        assert landed.fetchall() == [(len(ENDPOINTS),)]


def test_doctor_says_which_other_families_the_account_may_fetch(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """One call per family that is off shows whether it is granted; its answer is stored, and not due."""
    emulated.control.set(denied=["articles"])
    code, passed, failed = examined(capsys)

    assert (code, failed) == (0, [])
    assert any("family followers is off, and the account may fetch it" in text for text in passed)
    assert any("WX_DATACUBE_FAMILIES=messages,followers in .env" in text for text in passed)
    (refused,) = [text for text in passed if "family articles is off" in text]
    assert "could not be fetched: getbizsummary: The account may not call this endpoint" in refused
    with it.warehouse.open_published() as con:
        assert con.execute("SELECT count(*) FROM datacube.getusersummary").fetchall()[0][0] > 0
        due = con.execute("SELECT DISTINCT endpoint FROM datacube.coverage ORDER BY ALL").fetchall()
        assert [name for (name,) in due] == sorted(endpoint.name for endpoint in ENDPOINTS)
    assert Alerts(it.settings.database).open_for_person("default") == []


def test_doctor_says_which_assumptions_the_answers_bear_out(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line about WeChat counts the assumptions, and one that an answer contradicts has a line of its own."""
    passed = examined(capsys)[1]

    assert any(re.search(r"Assumptions about WeChat's answers: \d+ borne out, 0 contradicted", text) for text in passed)


@pytest.mark.long
@pytest.mark.parametrize("stored", [False, True], ids=["at first", "with everything stored"])
def test_doctor_tests_permissions_with_calls(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str], stored: bool
) -> None:
    """Doctor tests permissions with calls, even if everything is stored, so it notices a lost permission."""
    it.use(emulated, START=LAST_MONTH)
    if stored:
        it.fetching(Scope()).run()
    assert examined(capsys)[0] == 0
    emulated.control.set(denied=["*"])

    code, passed, failed = examined(capsys)

    assert code == 1
    assert len([ill for ill in failed if "errcode 48001" in ill]) == len(ENDPOINTS)
    assert not [text for text in passed if "is granted" in text]


def everything_kept(it: DagsterEnv) -> dict[str, list[tuple[object, ...]]]:
    """Return all figures, the state of each label, and the progress of refreshes."""
    tables = [*(endpoint.name for endpoint in ENDPOINTS), "refreshes"]
    with it.warehouse.open_published() as con:
        found = {name: con.execute(f"FROM datacube.{name} ORDER BY ALL").fetchall() for name in tables}
        states = con.execute("SELECT account, endpoint, label, state FROM datacube.coverage ORDER BY ALL").fetchall()
    return found | {"coverage": states}


@pytest.mark.long
def test_an_empty_response_to_doctor_changes_nothing(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """With everything stored, doctor requests the newest label, and an empty response changes nothing."""
    emulated.control.set(silent_share=0)
    it.use(emulated, START=LAST_MONTH)
    it.fetching(Scope()).run()
    before, made = everything_kept(it), len(emulated.control.statistics_calls())
    for endpoint in ENDPOINTS:
        emulated.control.fault(endpoint.name, '200:{"list":[]}')

    assert examined(capsys)[::2] == (0, [])
    assert everything_kept(it) == before
    calls = emulated.control.statistics_calls()[made:]
    assert sorted(call.endpoint for call in calls) == CALLED
    assert all(call.begin == call.end for call in calls)
    with it.warehouse.open_published() as con:
        assert con.execute("SELECT run_id FROM datacube.api_calls WHERE refresh").fetchall() == []


def test_doctor_does_not_affect_the_progress_of_a_refresh(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor doesn't affect the progress of a refresh that the quota stopped."""
    emulated.control.set(silent_share=0)
    it.use(emulated, START=WEEK_AGO)
    it.fetching(Scope(endpoints=[HOURS])).run()
    due, used = len(emulated.control.calls(HOURS.name)), emulated.control.used(HOURS.name)
    emulated.control.set_quota(used + 5, HOURS.name)
    cut_off = it.fetching(Scope(endpoints=[HOURS], refresh=True))
    cut_off.run()
    assert cut_off.reports[-1].unresolved
    emulated.control.set_quota(1000, HOURS.name)
    made = emulated.control.used(HOURS.name)
    assert examined(capsys)[0] == 0

    it.fetching(Scope(endpoints=[HOURS], refresh=True)).run()
    assert emulated.control.used(HOURS.name) == made + 1 + due - 5


@pytest.mark.parametrize("wrong", ["nothing configured", "a wrong secret", "nothing due"])
def test_doctor_creates_no_database_if_nothing_is_stored(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    """Doctor creates no database if nothing is stored, so that `status` still says so."""
    if wrong == "nothing configured":
        it.configure()
    elif wrong == "a wrong secret":
        emulated.control.set(secret="f" * 32)
    else:
        it.use(emulated, START=beijing_now().date())
    examined(capsys)

    assert list(it.folder.rglob("*.duckdb")) == []
    assert main.run(["status"]) in (0, 1)
    assert "Nothing is stored yet: " in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize("cause", ["credentials", "permission", "whitelist"])
def test_a_successful_doctor_resolves_alerts(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str], cause: str
) -> None:
    """A successful `doctor` resolves the alerts of an earlier backfill."""
    it.use(emulated, START=WEEK_AGO)
    it.fetching(Scope()).run()
    whitelist = emulated.control.options().whitelist
    if cause == "credentials":
        it.configure(API_URL=emulated.api_url, APPID=emulated.appid, START=WEEK_AGO)
    else:
        emulated.control.set(**({"denied": ["*"]} if cause == "permission" else {"whitelist": ["203.0.113.7"]}))
        emulated.control.revoke_tokens()
    assert main.run(["backfill", "--refresh"]) in (1, 2)
    assert main.run(["status"]) == 1

    it.use(emulated, START=WEEK_AGO)
    emulated.control.set(denied=[], whitelist=list(whitelist))
    assert examined(capsys)[0] == 0
    assert main.run(["status"]) == 0
    assert "Needs a person" not in capsys.readouterr().out


def test_doctor_does_not_resolve_the_alert_of_an_unexpected_error(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor doesn't resolve the alert of an unexpected error, which none of its checks covers."""
    alerts = Alerts(it.settings.database)
    it.settings.database.with_name(f"{it.settings.database.stem}.locks").mkdir(parents=True)
    alerts.note("default", Source.RUNS, [DAYS.name], alerts_of([ZeroDivisionError()], DAYS.name))

    assert examined(capsys)[0] == 0
    assert [each.cause for each in alerts.open_for_person("default")] == ["ZeroDivisionError"]


def test_a_rejected_token_costs_one_call_per_endpoint(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor calls each endpoint once even if another program replaces the token in between."""
    for endpoint in ENDPOINTS:
        emulated.control.script(endpoint.name, "revoke")

    examined(capsys)
    assert sorted(call.endpoint for call in emulated.control.statistics_calls()) == CALLED


def test_doctor_calls_no_endpoint_without_due_labels(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor calls no endpoint without due labels, and doesn't say whether it is granted."""
    it.use(emulated, START=beijing_now().date())
    emulated.control.set(denied=["*"])

    _, passed, failed = examined(capsys)

    assert len([text for text in passed if "nothing is due yet, so no call was made" in text]) == len(ENDPOINTS)
    assert failed == []
    assert emulated.control.statistics_calls() == []


@pytest.mark.parametrize("answer", ["-1", "45011", "drop"])
def test_doctor_calls_each_endpoint_once_whatever_the_response(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    """Doctor calls each endpoint once whatever the response, since a user is waiting and calls are limited."""
    for endpoint in ENDPOINTS:
        emulated.control.fault(endpoint.name, answer)

    assert examined(capsys)[0] == 1
    assert sorted(call.endpoint for call in emulated.control.statistics_calls()) == CALLED


def test_an_address_that_is_not_whitelisted_is_named(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """For 40164 doctor names the address to whitelist, advises against resetting the AppSecret, and exits with 1."""
    emulated.control.set(whitelist=["203.0.113.7"])

    code, _, failed = examined(capsys)

    assert code == 1
    assert len(failed) == 1
    assert "its address 127.0.0.1 is not whitelisted" in failed[0]
    assert "IP白名单" in failed[0]
    assert "Do not reset the AppSecret" in failed[0]


def test_an_endpoint_that_is_not_granted_is_named(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """For 48001 doctor names the endpoint and explains certification; the other endpoints pass."""
    emulated.control.set(denied=["getupstreammsgdist"])

    code, passed, failed = examined(capsys)

    assert code == 1
    assert len(failed) == 1
    assert failed[0].startswith("getupstreammsgdist: ")
    assert "微信认证" in failed[0]
    assert sum("is granted" in text for text in passed) == len(ENDPOINTS) - 1


def test_a_wrong_secret_is_named(it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]) -> None:
    """For 40125 doctor names the variable and advises against resetting the AppSecret, without showing the secret."""
    emulated.control.set(secret="f" * 32)

    code, _, failed = examined(capsys)

    assert code == 1
    assert len(failed) == 1
    assert "WX_DATACUBE_SECRET" in failed[0]
    assert "Do not reset the AppSecret" in failed[0]
    assert emulated.secret not in failed[0]
    assert emulated.control.statistics_calls() == []


def test_a_token_server_passes_if_it_returns_a_token(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token server passes if it returns a token, but only a call to WeChat shows whether the token is valid."""
    with StandIn(lambda _: token("made_up_by_somebody")) as server:
        it.configure(API_URL=emulated.api_url, TOKEN_URL=server.url, START="2024-03-01")
        code, passed, failed = examined(capsys)

    assert code == 1
    assert "The token server returned a token; the calls below show whether WeChat accepts it." in passed
    assert not [text for text in passed if "is allowed" in text or "is granted" in text]
    refused = [ill for ill in failed if "errcode 40014" in ill]
    assert len(refused) == len(ENDPOINTS)
    assert all("check that the token server returns the current token" in ill for ill in refused)


def test_a_used_up_quota_fails_the_check_of_its_endpoint(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A used-up quota fails the check of the endpoint, as a quota problem."""
    emulated.control.set_quota(0, "getupstreammsghour")

    code, _, failed = examined(capsys)

    assert code == 1
    assert len(failed) == 1
    assert failed[0].startswith("getupstreammsghour")
    assert "quota" in failed[0]


def test_doctor_without_settings_says_where_to_set_the_credentials(
    it: DagsterEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without settings, doctor says where to find and to set the credentials, makes no call and exits with 1."""
    code, _, failed = examined(capsys)

    assert code == 1
    assert len(failed) == 1
    words = ("developers.weixin.qq.com", "do NOT reset it", "stable_token", ".env", "IP白名单")
    assert all(word in failed[0] for word in words)


@pytest.mark.long
def test_doctor_names_the_first_message_once_all_days_before_are_known(it: DagsterEnv, emulated: Emulated) -> None:
    """Doctor names the first message's day once all days before it are known, and suggests WX_DATACUBE_START.

    A silent week proves that its days are silent.
    """
    emulated.control.set(silent_share=1)
    first = dt.date(2024, 3, 5)
    ingest = Ingest.of(it.settings, it.settings.account())
    ingest.fetch_missing(DAYS, [first - DAY, first - DAY * 2], run_id="run")
    emulated.control.restate(first, delta=7)
    ingest.fetch_missing(DAYS, [first], run_id="run")

    def told() -> list[str]:
        found = examine(it.settings, it.settings.account(), lambda: dt.datetime(2024, 3, 7, 15))
        return [str(each.text) for each in found if "first message" in str(each.text)]

    assert told() == []
    assert told() == [  # the first examination requested the week
        "The first message was on 2024-03-05: WX_DATACUBE_START=2024-03-05 in .env saves the calls for the time before."
    ]
    ingest.fetch_missing(DAYS, [dt.date(2024, 3, 1), dt.date(2024, 3, 2)], run_id="run")
    assert told() == ["The first message was on 2024-03-05."]


def dagsters_own(*arguments: str) -> None:
    """Run Dagster's own command in the project folder, which is the working directory."""
    environ = os.environ | {"DAGSTER_HOME": str(Path.cwd())}
    subprocess.run([sys.executable, "-m", "dagster", *arguments], env=environ, check=True, capture_output=True)


def heartbeat(it: DagsterEnv, at: dt.datetime) -> None:
    """Store heartbeats as a daemon that ran at a time in Beijing left them."""
    with project_instance(it.folder) as instance:
        for daemon in instance.get_required_daemon_types():
            stamp = at.replace(tzinfo=BEIJING).timestamp()
            instance.add_daemon_heartbeat(DaemonHeartbeat(stamp, daemon, "any"))


def of_schedules(it: DagsterEnv) -> list[tuple[bool, Text]]:
    """Return what `doctor` says about all accounts' schedules; check that it changes no file but locks."""

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in it.folder.rglob("*") if path.is_file() and path.suffix != ".lock"}

    with project_instance(it.folder):  # Dagster's databases exist: `doctor` has opened the instance for each account
        pass
    before = contents()
    found = [(each.ok, each.text) for each in examine_schedules(it.settings)]
    assert contents() == before
    return found


@pytest.mark.long
def test_a_dead_daemon_is_named_while_schedules_are_on(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """If schedules are on and Dagster's daemon is dead, or never ran, doctor fails and says what to start."""
    it.use(emulated, START=WEEK_AGO)
    assert examined(capsys)[0] == 0
    assert of_schedules(it) == []

    dagsters_own("schedule", "start", "default_daily")
    ((ok, never),) = of_schedules(it)
    assert not ok
    assert str(never).startswith("1 schedule is on, but nothing runs: Dagster's daemon is not running (it never ran in")
    assert str(never).endswith(f"its DAGSTER_HOME is not {it.folder}.")
    assert "但不会执行：Dagster daemon 没有运行（在此文件夹中从未运行）。" in never.to(Language.CHINESE)

    long_ago = beijing_now() - dt.timedelta(hours=1)
    heartbeat(it, long_ago)
    ((ok, dead),) = of_schedules(it)
    assert not ok
    assert f"(its last heartbeat was at {long_ago:%Y-%m-%d %H:%M} Beijing time)" in str(dead)
    assert f"（最后一次心跳在北京时间 {long_ago:%Y-%m-%d %H:%M}）" in dead.to(Language.CHINESE)
    code, _, failed = examined(capsys)
    assert (code, [each.strip() for each in failed]) == (1, [str(dead)])

    heartbeat(it, beijing_now())
    ((ok, alive),) = of_schedules(it)
    assert ok
    assert "was running at" in str(alive)

    seen_before(it, dt.timedelta(hours=2))
    assert [ok for ok, _ in of_schedules(it)] == [True]
    seen = seen_before(it, dt.timedelta(hours=4))
    (_, (ok, lost)) = of_schedules(it)
    assert not ok
    assert f"has not found the schedules since {seen:%Y-%m-%d %H:%M} Beijing time" in str(lost)
    assert f"从北京时间 {seen:%Y-%m-%d %H:%M} 起找不到这些定时任务" in lost.to(Language.CHINESE)
    dagsters_own("schedule", "stop", "default_daily")
    assert of_schedules(it) == []


def seen_before(it: DagsterEnv, span: dt.timedelta) -> dt.datetime:
    """Store that the daemon last saw the only schedule that long ago; return when, in Beijing."""
    seen = beijing_now() - span
    with project_instance(it.folder) as instance:
        (state,) = instance.all_instigator_state()
        stamp = seen.replace(tzinfo=BEIJING).timestamp()
        instance.update_instigator_state(state.with_data(ScheduleInstigatorData("30 8-12 * * *", stamp - 60, stamp)))
    return seen


def test_doctor_knows_the_schedules_of_all_accounts(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """If `workspace.yaml` names the code location for many accounts, only its schedules count."""
    dagsters_own("schedule", "start", "-m", "wx_datacube.definitions", "--start-all")
    text = template("workspace.yaml")
    (it.folder / "workspace.yaml").write_text(text.replace("wx_datacube.definitions", "wx_datacube.many_accounts"))
    off = "Schedules that are off: wx_datacube_fetch, wx_datacube_checks."
    assert any(off in each for each in examined(capsys)[1])

    dagsters_own("schedule", "start", "-m", "wx_datacube.many_accounts", "--start-all")
    on = "All schedules are on: wx_datacube_fetch, wx_datacube_checks."
    assert any(on in each for each in examined(capsys)[1])


def test_doctor_says_whether_the_chat_gets_a_digest(it: DagsterEnv, emulated: Emulated, receiver: Receiver) -> None:
    """With a chat, doctor says whether the digest's schedule is on, under any prefix; without one, nothing."""
    assert of_schedules(it) == []
    it.use(emulated, START=WEEK_AGO, WEBHOOK=receiver.url())
    ((ok, off),) = of_schedules(it)
    assert ok
    assert str(off).startswith("The schedule wx_datacube_digest is off, so the chat gets no digest.")
    assert "`wx-datacube digest --send` by cron" in str(off)
    assert "群里不会收到日报" in off.to(Language.CHINESE)

    (it.folder / "theirs.py").write_text(
        "from wx_datacube.definitions import build_defs\n\ndefs = build_defs(key_prefix='wechat')\n"
    )
    name = "wechat__wx_datacube_digest"
    dagsters_own("schedule", "start", "-f", "theirs.py", name)
    heartbeat(it, beijing_now())
    (_, on), (_, alive) = of_schedules(it)
    assert str(on) == f"The schedule of the digest is on: {name}."
    assert "was running at" in str(alive)


def test_an_account_bound_to_another_appid_is_reported(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the account is bound to another AppID, doctor says so once and makes no call, which it couldn't store."""
    examined(capsys)
    it.configure(API_URL=emulated.api_url, APPID="wxanother", SECRET=emulated.secret, START="2024-03-01")
    emulated.control.set(appid="wxanother")
    made = len(emulated.control.statistics_calls())

    code, _, failed = examined(capsys)

    assert code == 1
    other, unasked = failed
    assert "belongs to the AppID" in other
    assert unasked == "No endpoint was called: its response could not be stored (see above)."
    assert len(emulated.control.statistics_calls()) == made


def test_a_full_disk_is_reported_once(it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]) -> None:
    """With a full disk doctor says so once and makes no call, whose response would be lost."""
    examined(capsys)
    made = len(emulated.control.statistics_calls())

    with limited(it.folder) as disk:
        disk.leave(1024 * 1024)
        code, passed, failed = examined(capsys)

    assert code == 1
    full, unasked = failed
    assert "can't be written: File too large. Free space" in full
    assert unasked == "No endpoint was called: its response could not be stored (see above)."
    assert any("Dagster's instance" in text for text in passed)
    assert len(emulated.control.statistics_calls()) == made
