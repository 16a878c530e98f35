"""Alert hooks: which alerts a Dagster run, a backfill and the checks of 12:35 send to the chat.

Add a test here when a run or a command starts to send another alert, or to withhold one.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Period
from wx_datacube.cli import main
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.operations.doctor import examine
from wx_datacube.orchestration.runs import Reason
from wx_datacube_tests.dagster_environment import DAYS, QUIET_RUN_CONFIG, SENDERS, DagsterEnv, asset_key, dagster_env
from wx_datacube_tests.end_to_end.project import Project
from wx_datacube_tests.receiver import KEY, Receiver
from wx_datacube_tests.wrapped_output import unwrapped

START, LAST = dt.date(2024, 6, 3), dt.date(2024, 6, 9)
NOON = dt.datetime(2024, 6, 10, 12, 35)
"""A Monday: seven days and one week have just been settled."""


@pytest.fixture
def emulated() -> Iterator[Emulated]:
    """Provide an account without silent days."""
    with wechat(silent_share=0) as running:
        yield running


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulated: Emulated, receiver: Receiver) -> Iterator[DagsterEnv]:
    """Provide an account with a week of history, whose alerts go to the receiver."""
    with dagster_env(tmp_path, monkeypatch) as found:
        found.use(emulated, START=START, WEBHOOK=receiver.url())
        yield found


def headings(receiver: Receiver) -> list[str]:
    """Return the part of each message's first line that says what is required of the reader."""
    return [text.split("\n")[0].split(" · ")[2] for text in receiver.texts]


def judge(it: DagsterEnv, now: dt.datetime = NOON) -> dg.ExecuteInProcessResult:
    """Run the job `default_checks` at a given time."""
    job = build_defs(clock=lambda: now).resolve_job_def("default_checks")
    return job.execute_in_process(instance=it.instance, run_config=QUIET_RUN_CONFIG, raise_on_error=False)


# --- runs -------------------------------------------------------------------------------------------------------


def test_an_error_that_needs_a_person_sends_one_alert_per_endpoint(
    it: DagsterEnv, emulated: Emulated, receiver: Receiver
) -> None:
    """An alert is sent once per endpoint, and again when the problem returns after it was resolved."""
    emulated.control.set(denied=["*"])
    for endpoint in (DAYS, DAYS, SENDERS, DAYS):
        assert not it.run(endpoint, START, LAST, reason=Reason.SCHEDULE).success
    assert headings(receiver) == ["需要您处理"]
    Alerts(it.warehouse.database, it.settings.webhook).deliver()  # as the next tick does
    assert headings(receiver) == ["需要您处理"] * 2
    assert "Only certified accounts (微信认证)" in receiver.texts[0]
    assert f"also: {SENDERS.name}" in receiver.texts[1]

    emulated.control.set(denied=[])
    assert it.run(DAYS, START, LAST).success
    assert it.run(SENDERS, START, LAST).success
    emulated.control.set(denied=["*"])
    assert not it.run(DAYS, START, LAST, refresh=True).success
    assert headings(receiver) == ["需要您处理"] * 3


def test_a_successful_call_resolves_the_alert_of_a_wrong_secret(
    it: DagsterEnv, emulated: Emulated, receiver: Receiver
) -> None:
    """A wrong secret is an alert of the account, which any successful call or `doctor` resolves."""
    secret = emulated.secret
    for heal in ("a run", "doctor"):
        emulated.control.set(secret="f" * 32)
        emulated.control.revoke_tokens()
        assert not it.run(DAYS, START, LAST, refresh=True).success
        assert len(Alerts(it.warehouse.database).open_for_person("default")) == 1
        emulated.control.set(secret=secret)
        if heal == "a run":
            assert it.run(SENDERS, START, LAST, refresh=True).success
        else:
            assert all(each.ok for each in examine(it.settings, it.settings.account()))
        assert Alerts(it.warehouse.database).open_for_person("default") == []

    assert headings(receiver) == ["需要您处理"] * 2


def test_a_used_up_quota_sends_one_alert(it: DagsterEnv, emulated: Emulated, receiver: Receiver) -> None:
    """A used-up quota sends one alert, although the scheduled run succeeds and the manual run fails."""
    emulated.control.set_quota(0)
    assert it.run(DAYS, START, LAST, reason=Reason.SCHEDULE).success
    assert not it.run(DAYS, START, LAST).success

    assert headings(receiver) == ["等到明天，无需处理"]


def test_unpublished_figures_send_no_alert(it: DagsterEnv, receiver: Receiver) -> None:
    """Figures that WeChat hasn't published yet send no alert."""
    with wechat(clock="2024-06-10T07:00", frozen=True, refuse_unpublished=True) as early:
        it.use(early, START=START, WEBHOOK=receiver.url())
        assert it.run(DAYS, LAST, LAST, reason=Reason.SCHEDULE).success
        assert not it.run(DAYS, LAST, LAST).success

    assert receiver.got == []


def test_a_damaged_file_sends_one_alert(it: DagsterEnv, receiver: Receiver) -> None:
    """A damaged file sends one alert, which a successful run resolves."""
    assert it.run(DAYS, START, LAST).success
    whole = it.warehouse.writer.read_bytes()
    it.warehouse.writer.write_bytes(whole[:5000])
    for _ in range(2):
        assert not it.run(DAYS, START, LAST, refresh=True).success
    assert headings(receiver) == ["需要您处理"]
    assert str(it.warehouse.writer) in receiver.texts[0]

    it.warehouse.writer.write_bytes(whole)
    assert it.run(DAYS, START, LAST).success
    it.warehouse.writer.write_bytes(whole[:5000])
    assert not it.run(DAYS, START, LAST, refresh=True).success
    assert len(receiver.texts) == 2


class Broken:
    """A resource that fails with a message that contains a secret."""

    def ingest(self, settings: object) -> None:
        """Raise an unexpected error."""
        raise RuntimeError(f"at https://example.com/?key={KEY}")


def test_the_alert_of_an_unexpected_error_has_only_its_class(it: DagsterEnv, receiver: Receiver) -> None:
    """For an unexpected error the alert has only its class, since its message may contain anything."""
    resources = {"wechat_default": dg.ResourceDefinition.hardcoded_resource(Broken())}
    job = build_defs(resources=resources).resolve_implicit_job_def_def_for_assets([asset_key(DAYS)])
    assert job is not None
    for _ in range(2):
        ended = job.execute_in_process(
            partition_key=str(LAST),
            instance=it.instance,
            asset_selection=[asset_key(DAYS)],
            run_config=QUIET_RUN_CONFIG,
            raise_on_error=False,
        )
        assert not ended.success

    (text,) = receiver.texts
    assert "RuntimeError" in text
    assert KEY not in text


@pytest.mark.parametrize("broken", ["refuses", "is gone"])
def test_a_dead_receiver_changes_no_run(it: DagsterEnv, emulated: Emulated, receiver: Receiver, broken: str) -> None:
    """A webhook that fails neither makes a successful run fail nor turns a waiting scheduled run red."""
    if broken == "is gone":
        it.patch.setenv("WX_DATACUBE_WEBHOOK", "http://127.0.0.1:9/robot/send")
    receiver.body = b'{"errcode": 93000}'
    assert it.run(DAYS, START, START).success
    emulated.control.set_quota(0)

    assert it.run(SENDERS, START, LAST, reason=Reason.SCHEDULE).success


# --- the checks of 12:35 ----------------------------------------------------------------------------------------


def test_at_12_35_one_message_lists_what_is_missing(it: DagsterEnv, receiver: Receiver) -> None:
    """At 12:35 one message lists what is missing for every endpoint, with the backfill command, and is sent once."""
    for _ in range(2):
        assert judge(it).success

    (text,) = receiver.texts
    late = [each.name for each in ENDPOINTS if each.period is not Period.MONTH]
    assert headings(receiver) == ["需要您处理"]
    assert "Missing since 2024-06-10 12:00: " in text
    assert "No request has been made yet." in text
    assert text.endswith("wx-datacube backfill --account default")
    assert all(name in text for name in late)


def test_at_12_35_no_message_is_sent_if_nothing_is_missing(it: DagsterEnv, receiver: Receiver) -> None:
    """At 12:35 no message is sent if nothing is missing; a day later the next day's labels are reported."""
    for endpoint in ENDPOINTS:
        if endpoint.period is not Period.MONTH:
            last = LAST if endpoint.period is Period.DAY else START
            assert it.run(endpoint, START, last).success
    judge(it)
    assert receiver.got == []
    judge(it, NOON + dt.timedelta(days=1))

    (text,) = receiver.texts
    assert "Missing since 2024-06-11 12:00: getupstreammsg, getupstreammsghour, getupstreammsgdist 2024-06-10." in text


# --- commands ---------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_backfill_reports_an_address_that_is_not_whitelisted_once(
    tmp_path: Path, emulated: Emulated, receiver: Receiver
) -> None:
    """`backfill` reports the cause and what is missing once; `status` shows it until a call succeeds."""
    project = Project.on(tmp_path / "project", emulated, START="2026-11-20", WEBHOOK=receiver.url())
    emulated.control.set(whitelist=["203.0.113.7"])
    backfill = ("backfill", "--endpoint", DAYS.name, "--end", "2026-11-23")
    for _ in range(2):
        assert project.run(*backfill).returncode == 1
    status = project.run("status")

    cause, missing = receiver.texts
    assert "is not whitelisted" in cause
    assert "Why: stable_token: WeChat refuses calls from this machine" in missing
    assert "原因：stable_token：微信拒绝了本机的请求：IP 127.0.0.1 不在白名单中" in missing
    assert status.returncode == 1
    assert "Needs a person: stable_token: WeChat refuses calls from this machine" in unwrapped(status.stdout)
    assert unwrapped(status.stdout).count("its address 127.0.0.1 is not whitelisted") == 1
    assert "Why:" not in status.stdout

    emulated.control.set(whitelist=[])
    assert project.run(*backfill).returncode == 0
    status = project.run("status")
    assert "is not whitelisted" not in unwrapped(status.stdout)
    assert len(receiver.texts) == 2  # the missing labels were reported before


def test_a_backfill_without_credentials_sends_an_alert(tmp_path: Path, receiver: Receiver) -> None:
    """A backfill without credentials alerts about that and what is missing, since cron's stderr is often not read."""
    project = Project.make(tmp_path / "project", WEBHOOK=receiver.url(), START="2026-11-20")
    for _ in range(2):
        assert project.run("backfill").returncode == 2

    cause, missing = receiver.texts
    assert "The credentials for WeChat are missing." in cause
    assert "History that isn't being fetched: getupstreammsg, " in missing
    assert "Why: The credentials for WeChat are missing." in missing


def test_a_successful_run_resolves_what_stopped_a_backfill(it: DagsterEnv, emulated: Emulated) -> None:
    """A successful run resolves what stopped a backfill, so that `status` doesn't require another `backfill`."""
    it.configure(API_URL=emulated.api_url, START=START)
    assert main.run(["backfill"]) == 2
    (standing,) = Alerts(it.warehouse.database).open_for_person("default")
    assert "credentials for WeChat are missing" in str(standing.text)

    it.use(emulated, START=START)
    assert it.run(DAYS, START, LAST).success

    assert Alerts(it.warehouse.database).open_for_person("default") == []
