"""Scheduled checks: the job that evaluates all checks on the published file, even when nothing else has run.

Add a test here when the job or its schedule changes. Tests of a single check belong in `warehouse/test_checks.py`.
"""

import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import BEIJING, due_labels
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.orchestration.runs import REASON_TAG, Worker
from wx_datacube.warehouse.checks import checks_of
from wx_datacube_tests.dagster_environment import DAYS, HOURS, QUIET_RUN_CONFIG, DagsterEnv, asset_key, dagster_env
from wx_datacube_tests.receiver import receiving

START, LAST = dt.date(2024, 6, 3), dt.date(2024, 6, 9)
AFTERNOON = dt.datetime(2024, 6, 10, 12, 35)
"""A Monday: seven days and one week have just been settled; June isn't over."""


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account without silent days."""
    with wechat(silent_share=0) as running:
        yield running


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulated: Emulated) -> Iterator[DagsterEnv]:
    """Provide an account with a week of history, of which nothing has been requested."""
    with dagster_env(tmp_path, monkeypatch) as found:
        found.use(emulated, START=START)
        yield found


def judge(it: DagsterEnv, now: dt.datetime = AFTERNOON) -> dg.ExecuteInProcessResult:
    """Run the job `default_checks` at a given time."""
    job = build_defs(clock=lambda: now).resolve_job_def("default_checks")
    return job.execute_in_process(instance=it.instance, run_config=QUIET_RUN_CONFIG, raise_on_error=False)


def flagged(it: DagsterEnv) -> set[tuple[str, str]]:
    """Return endpoint and check of every newest evaluation that didn't pass."""
    every = {(each.name, check.name) for each in ENDPOINTS for check in checks_of(each)}
    by_name = {each.name: each for each in ENDPOINTS}
    return {(name, check) for name, check in every if not it.check(by_name[name], check).passed}


def bring_everything_in(it: DagsterEnv) -> None:
    """Materialize everything that is due on the afternoon."""
    for endpoint in ENDPOINTS:
        if labels := due_labels(endpoint.period, START, AFTERNOON.date()):
            assert it.run(endpoint, labels[0], labels[-1]).success


def test_the_job_flags_due_labels_that_are_missing(it: DagsterEnv, emulated: Emulated) -> None:
    """The job evaluates every check without a call, flags what is due and missing, and succeeds."""
    before = len(emulated.control.calls())
    result = judge(it)

    assert result.success
    assert len(emulated.control.calls()) == before
    assert flagged(it) == {(each.name, "due_labels_are_there") for each in ENDPOINTS if each.period is not Period.MONTH}


def test_nothing_is_flagged_while_everything_due_is_stored(it: DagsterEnv) -> None:
    """Nothing is flagged while everything due is stored; a day later the next day is."""
    bring_everything_in(it)
    judge(it)
    assert flagged(it) == set()
    judge(it, AFTERNOON + dt.timedelta(days=1))

    late = it.check(DAYS, "due_labels_are_there")
    assert flagged(it) == {(each.name, "due_labels_are_there") for each in ENDPOINTS if each.period is Period.DAY}
    assert late.severity is dg.AssetCheckSeverity.WARN
    assert (late.description or "").startswith("2024-06-10：缺失。请打开定时任务")
    assert " 2024-06-10: missing. Switch on the schedules" in (late.description or "")
    assert late.metadata["how to heal"].value == (
        "wx-datacube backfill --account default --endpoint getupstreammsg --start 2024-06-10 --end 2024-06-10"
    )


def test_a_modified_published_file_is_flagged(it: DagsterEnv) -> None:
    """A modified published file is flagged on the asset of the changed table, with the command to publish again."""
    bring_everything_in(it)
    it.settings.database.chmod(0o644)
    with duckdb.connect(str(it.settings.database)) as foreign:
        foreign.execute("DELETE FROM datacube.getupstreammsghour WHERE ref_hour = 900")
    judge(it)

    assert ("getupstreammsghour", "published_file_is_current") in flagged(it)
    assert ("getupstreammsghour", "messages_add_up") in flagged(it)
    assert it.check(HOURS, "published_file_is_current").metadata["how to heal"].value == "wx-datacube replay"
    it.warehouse.publish()
    judge(it)
    assert flagged(it) == set()


def test_the_check_passes_during_a_backfill_and_shows_its_progress(it: DagsterEnv) -> None:
    """While a backfill of older history is running, the check passes and says how far it has come."""
    bring_everything_in(it)
    it.patch.setenv("WX_DATACUBE_START", "2024-05-06")
    judge(it)

    assert ("getupstreammsg", "due_labels_are_there") not in flagged(it)
    assert it.check(DAYS, "due_labels_are_there").description == (
        "没有发现问题。2024-05-06：缺失，至 2024-06-02。历史数据正在补齐，从最新的日期开始。"
        " Nothing found. 2024-05-06: missing, up to 2024-06-02. History is being backfilled, newest first."
    )


def test_wrong_settings_fail_the_job_and_are_named(it: DagsterEnv) -> None:
    """With wrong settings the job fails and names the variable."""
    it.configure(START="soon")
    result = judge(it)

    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.error is not None
    assert "WX_DATACUBE_START" in failed.step_failure_data.error.message


def test_runs_of_the_job_have_the_tags_of_a_scheduled_run(it: DagsterEnv) -> None:
    """The job's runs have the tags of a scheduled run and of their process."""
    schedule = build_defs(clock=lambda: AFTERNOON).resolve_schedule_def("default_checks")
    noon = AFTERNOON.replace(tzinfo=BEIJING)
    with dg.build_schedule_context(instance=it.instance, scheduled_execution_time=noon) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    result = judge(it)
    run = it.instance.get_run_by_id(result.run_id)

    assert request.tags[REASON_TAG] == "schedule"
    assert run is not None
    assert Worker.of_run(run) == Worker.of(os.getpid())


def test_the_schedule_is_off_and_ticks_at_12_35_in_beijing(it: DagsterEnv) -> None:
    """The schedule is off by default, bilingual, and runs after noon and after the last scheduled fetch."""
    schedule = build_defs().resolve_schedule_def("default_checks")

    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("35 12-15 * * *", "Asia/Shanghai")
    assert "nothing ran" in (schedule.description or "")
    assert "全部检查" in (schedule.description or "")


def test_an_alert_held_back_at_12_35_is_sent_by_a_later_tick(it: DagsterEnv) -> None:
    """An alert held back at 12:35 by a running fetch is sent at a later tick, without a run."""
    with receiving() as receiver:
        it.patch.setenv("WX_DATACUBE_WEBHOOK", receiver.url())
        bring_everything_in(it)
        tomorrow = AFTERNOON + dt.timedelta(days=1)
        with it.warehouse.fetching("default", DAYS.name, lambda holder: None):
            judge(it, tomorrow)
        assert receiver.texts == []

        assert looked_again(it, tomorrow + dt.timedelta(hours=1)).run_requests in (None, [])
        (told,) = receiver.texts
        assert "Missing since 2024-06-11 12:00" in told
        looked_again(it, tomorrow + dt.timedelta(hours=2))
        assert len(receiver.texts) == 1


def test_an_alert_that_the_chat_refused_at_12_35_is_sent_the_same_day(it: DagsterEnv) -> None:
    """An alert that the chat refused at 12:35 is sent by the next tick of the day."""
    with receiving() as receiver:
        it.patch.setenv("WX_DATACUBE_WEBHOOK", receiver.url())
        receiver.status = 500
        judge(it)
        receiver.status = 200
        receiver.got.clear()
        looked_again(it, AFTERNOON + dt.timedelta(hours=1))

        assert "No request has been made yet" in receiver.texts[0]


@pytest.mark.parametrize("late", [dt.timedelta(hours=1), dt.timedelta(hours=17)], ids=["an hour", "a night"])
def test_a_tick_made_up_for_after_sleep_sends_no_alert(it: DagsterEnv, late: dt.timedelta) -> None:
    """A tick that Dagster makes up for after the machine slept sends no alert, since fetching is just starting."""
    with receiving() as receiver:
        it.patch.setenv("WX_DATACUBE_WEBHOOK", receiver.url())
        meant = AFTERNOON.replace(hour=15, minute=35)
        tick = looked_again(it, meant + late, meant)

    assert "2024-06-10 15:35 时 Dagster 没有运行" in tick.skip_message
    assert "not running at 2024-06-10 15:35" in tick.skip_message
    assert receiver.texts == []


def test_the_message_about_a_failed_check_has_the_finding_in_both_languages(it: DagsterEnv) -> None:
    """The chat gets what the check found in Chinese and in English; so does the check's description in Dagster."""
    with receiving() as receiver:
        it.patch.setenv("WX_DATACUBE_WEBHOOK", receiver.url())
        bring_everything_in(it)
        with it.warehouse.transaction() as con:
            con.execute("UPDATE datacube.getupstreammsghour SET msg_count = msg_count + 1 WHERE msg_type = 1")
        it.warehouse.publish()
        judge(it)

    (told,) = receiver.texts
    chinese = r"2024-06-09：msg_type 1：getupstreammsg 为 \d+ 次，getupstreammsghour 为 \d+ 次。"
    english = r"2024-06-09: msg_type 1: getupstreammsg says \d+ messages, getupstreammsghour \d+\. "
    heal = "wx-datacube heal --account default --check messages_add_up"
    name = "default/getupstreammsghour"
    assert re.search(
        f"{name}：检查 messages_add_up 未通过：{chinese}处理：{heal} {name}: messages_add_up: {english}", told
    )
    shown = it.check(HOURS, "messages_add_up")
    assert re.search(f"^共 7 项，最近：{chinese}.* 7 findings; the newest: {english}", shown.description or "")
    assert re.match(english.replace(r"\. ", r"\n"), str(shown.metadata["rows"].value))


def looked_again(it: DagsterEnv, now: dt.datetime, meant: dt.datetime | None = None) -> Any:
    """Evaluate a later tick of the schedule, which was on time unless it was `meant` for an earlier time."""
    schedule = build_defs(clock=lambda: now).resolve_schedule_def("default_checks")
    moment = (meant or now).replace(tzinfo=BEIJING)
    with dg.build_schedule_context(instance=it.instance, scheduled_execution_time=moment) as context:
        return schedule.evaluate_tick(context)


def test_every_account_has_its_own_job(it: DagsterEnv) -> None:
    """Every account has its own job, which evaluates only the assets with its prefix."""
    it.configure(ACCOUNTS="shop,news", START=START)
    defs = build_defs(key_prefix=["marketing"], clock=lambda: AFTERNOON)
    result = defs.resolve_job_def("marketing__news_checks").execute_in_process(
        instance=it.instance, run_config=QUIET_RUN_CONFIG
    )
    evaluated = [event.asset_check_evaluation_data for event in result.all_events
                 if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION]  # fmt: skip

    assert {each.asset_key.to_user_string() for each in evaluated} == {
        f"marketing/news/{one.name}" for one in ENDPOINTS
    }
    assert {each.check_name for each in evaluated} == {check.name for one in ENDPOINTS for check in checks_of(one)}
    assert asset_key(DAYS) not in {each.asset_key for each in evaluated}


def test_one_job_checks_all_accounts(it: DagsterEnv) -> None:
    """With `schedules="location"`, one job has an op for each account, and an account that fails stops no other."""
    it.configure(ACCOUNTS="shop,news", START=START)
    defs = build_defs(schedules="location", clock=lambda: AFTERNOON)
    it.configure(ACCOUNTS="news", START=START)  # since the location was loaded
    job = defs.resolve_job_def("wx_datacube_checks")
    result = job.execute_in_process(instance=it.instance, run_config=QUIET_RUN_CONFIG, raise_on_error=False)

    checked = {event.asset_check_evaluation_data.asset_key.path[0] for event in result.all_events
               if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION}  # fmt: skip
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["shop_judge"]
    assert checked == {"news"}
