"""The digest in Dagster: the asset that shows its text, and the schedule that sends one message for all accounts.

Tests of the text are in `operations/test_digest.py`.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.periods import BEIJING, due_labels
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.orchestration.runs import QUIET_RUN_CONFIG
from wx_datacube_tests.company import company
from wx_datacube_tests.dagster_environment import DagsterEnv, dagster_env
from wx_datacube_tests.receiver import KEY, Receiver

TEN, LATE = dt.datetime(2024, 6, 5, 10), dt.datetime(2024, 6, 5, 12, 45)
"""A Wednesday: neither a week nor a month has ended."""
START, YESTERDAY = dt.date(2024, 6, 3), dt.date(2024, 6, 4)
DIGEST = dg.AssetKey(["default", "digest"])
SCHEDULE = "wx_datacube_digest"
POSTED = "今天的日报已发送。 Today's digest was posted already."


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account without silent days."""
    with wechat(silent_share=0) as running:
        yield running


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulated: Emulated, receiver: Receiver) -> Iterator[DagsterEnv]:
    """Provide an account whose history began on Monday, and a chat; nothing has been requested."""
    with dagster_env(tmp_path, monkeypatch) as found:
        found.use(emulated, START=START, WEBHOOK=receiver.url())
        yield found


def bring_in(it: DagsterEnv, last: dt.date = YESTERDAY) -> None:
    """Materialize every day up to `last`."""
    for endpoint in ENDPOINTS:
        if labels := due_labels(endpoint.period, START, last + dt.timedelta(days=1)):
            assert it.run(endpoint, labels[0], labels[-1]).success


def tick(it: DagsterEnv, planned: dt.datetime, now: dt.datetime | None = None) -> str:
    """Evaluate a tick; return why it requested no run, or an empty string."""
    schedule = build_defs(clock=lambda: now or planned).resolve_schedule_def(SCHEDULE)
    moment = planned.replace(tzinfo=BEIJING)
    with dg.build_schedule_context(instance=it.instance, scheduled_execution_time=moment) as context:
        found = schedule.evaluate_tick(context)
    assert bool(found.run_requests) is not bool(found.skip_message)
    return found.skip_message or ""


def run(it: DagsterEnv, now: dt.datetime = TEN) -> dg.ExecuteInProcessResult:
    """Run the job that sends."""
    job = build_defs(clock=lambda: now).resolve_job_def(SCHEDULE)
    return job.execute_in_process(instance=it.instance, run_config=QUIET_RUN_CONFIG, raise_on_error=False)


def error_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the error of the step that failed."""
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data
    return f"{data.error_display_string} {data.user_failure_data.description if data.user_failure_data else ''}"


# --- the schedule -----------------------------------------------------------------------------------------------


def test_a_complete_morning_is_sent_at_ten(it: DagsterEnv, receiver: Receiver) -> None:
    """If yesterday is complete at 10:00, one message is sent then, and 12:45 sends nothing."""
    bring_in(it)

    assert tick(it, TEN) == ""
    result = run(it)
    assert result.success
    (text,) = receiver.texts
    assert text.startswith("wx_datacube · 日报 · 2024-06-04（周二）\n\n【default】\n消息发送次数 ")
    assert tick(it, LATE) == POSTED
    assert run(it, LATE).success
    assert len(receiver.texts) == 1
    shown = [each.materialization for each in result.get_asset_materialization_events()]
    assert [(each.asset_key, each.metadata["digest"].value) for each in shown] == [(DIGEST, text)]


def test_an_incomplete_morning_is_sent_at_12_45_with_what_is_missing(it: DagsterEnv, receiver: Receiver) -> None:
    """If yesterday is incomplete at 10:00, the digest is sent at 12:45 and says what is missing since when."""
    bring_in(it, START)

    assert tick(it, TEN) == (
        "昨天的数据尚不完整，日报将在 12:45 发送，并注明缺失的数据。"
        " Yesterday is not complete yet. The digest is sent at 12:45, with what is missing."
    )
    assert tick(it, LATE) == ""
    assert run(it, LATE).success
    (text,) = receiver.texts
    assert "数据缺失：消息（自 06-04 起）。" in text
    assert tick(it, LATE + dt.timedelta(minutes=1)) == POSTED


def test_one_message_is_about_all_accounts_and_waits_for_each(it: DagsterEnv, receiver: Receiver) -> None:
    """One message is about all accounts, and 10:00 waits until all of them are complete."""
    with company("shop", "news") as both:
        it.configure(**both.settings(START=START, WEBHOOK=receiver.url(), FAMILIES="followers"))
        it.patch.setenv("WX_DATACUBE_NEWS_TITLE", "新闻早班车")
        defs = build_defs(clock=lambda: TEN)
        for name in ("shop", "news"):
            assert "not complete" in tick(it, TEN)
            for endpoint in ("getusersummary", "getusercumulate"):
                materialize(it, defs, dg.AssetKey([name, endpoint]))
        assert tick(it, TEN) == ""
        assert run(it).success

    (text,) = receiver.texts
    assert text.index("【shop】") < text.index("【新闻早班车】")


def materialize(it: DagsterEnv, defs: dg.Definitions, key: dg.AssetKey) -> None:
    """Materialize all days of an asset."""
    job = defs.resolve_implicit_job_def_def_for_assets([key])
    assert job is not None
    tags = {"dagster/asset_partition_range_start": str(START), "dagster/asset_partition_range_end": str(YESTERDAY)}
    result = job.execute_in_process(
        instance=it.instance, asset_selection=[key], tags=tags, run_config=QUIET_RUN_CONFIG, raise_on_error=False
    )
    assert result.success


def test_a_tick_that_dagster_makes_up_for_the_next_day_sends_nothing(it: DagsterEnv) -> None:
    """A tick of an earlier day, made up for after sleep, sends nothing; one of today is late but right."""
    skipped = tick(it, LATE, LATE + dt.timedelta(hours=12))
    assert "2024-06-05 12:45 时 Dagster 没有运行" in skipped
    assert "Dagster was not running at 2024-06-05 12:45" in skipped
    assert tick(it, LATE, LATE + dt.timedelta(hours=3)) == ""


def test_without_a_webhook_ticks_are_skipped(it: DagsterEnv) -> None:
    """Without a webhook ticks are skipped, and a run by hand fails; both name the variable."""
    it.patch.delenv("WX_DATACUBE_WEBHOOK")

    assert "WX_DATACUBE_WEBHOOK is not set" in tick(it, LATE)
    assert "WX_DATACUBE_WEBHOOK is not set" in error_of(run(it))


def test_a_chat_that_refuses_fails_the_run_once(it: DagsterEnv, receiver: Receiver) -> None:
    """If the chat does not confirm the message, the run fails with the reason and without the URL; no other is sent."""
    bring_in(it)
    receiver.status = 500
    failed = run(it)

    assert not failed.success
    assert "status 500" in error_of(failed)
    assert KEY not in error_of(failed)
    assert tick(it, LATE) == POSTED
    assert len(receiver.got) == 1


def test_the_schedule_is_off_and_bilingual(it: DagsterEnv) -> None:
    """The schedule is off by default, ticks at 10:00 and 12:45 Beijing time, and is described bilingually."""
    schedule = build_defs().resolve_schedule_def(SCHEDULE)

    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == (["0 10 * * *", "45 12 * * *"], "Asia/Shanghai")
    assert "once a day" in (schedule.description or "")
    assert "每天" in (schedule.description or "")


def test_names_do_not_clash_in_one_project(it: DagsterEnv, receiver: Receiver) -> None:
    """Two `build_defs` in one project have a schedule each; an account that both have is sent once."""
    it.configure(ACCOUNTS="shop,news", START=START, WEBHOOK=receiver.url())
    merged = dg.Definitions.merge(
        build_defs(clock=lambda: LATE),
        build_defs(accounts="shop", key_prefix="paper", clock=lambda: LATE),
        build_defs(accounts=["news", "shop"], key_prefix=["a", "b"], clock=lambda: LATE),
    )
    names = {each.name for each in merged.schedules or () if each.name.endswith("digest")}

    assert names == {SCHEDULE, f"paper__shop__{SCHEDULE}", f"a__b__news__{SCHEDULE}"}
    for name in sorted(names):
        job = merged.resolve_job_def(name)
        assert job.execute_in_process(instance=it.instance, run_config=QUIET_RUN_CONFIG).success
    assert sum(text.count("【shop】") for text in receiver.texts) == 1
    assert sum(text.count("【news】") for text in receiver.texts) == 1


# --- the asset --------------------------------------------------------------------------------------------------


def test_the_asset_shows_the_text_and_sends_nothing(it: DagsterEnv, receiver: Receiver) -> None:
    """The asset is downstream of all others, shows the digest as text in the chosen language, and sends nothing."""
    bring_in(it)
    defs = build_defs(clock=lambda: TEN)
    node = defs.resolve_asset_graph().get(DIGEST)
    job = defs.resolve_implicit_job_def_def_for_assets([DIGEST])
    assert job is not None

    def shown(**config: str) -> Any:
        chosen: dict[str, Any] = {"ops": {"default__digest": {"config": config}}} if config else {}
        result = job.execute_in_process(
            instance=it.instance, asset_selection=[DIGEST], run_config=QUIET_RUN_CONFIG | chosen, raise_on_error=False
        )
        events = result.get_asset_materialization_events()
        return events[0].materialization.metadata["digest"].value if events else error_of(result)

    assert node.partitions_def is None
    assert {key.path[-1] for key in node.parent_keys} == {endpoint.name for endpoint in ENDPOINTS}
    assert "同" in (node.description or "")
    assert shown().startswith("wx_datacube · 日报 · 2024-06-04（周二）\n\n【default】\n")
    assert shown(lang="en").startswith("wx_datacube · Daily digest · Tue 4 Jun 2024\n\n[default]\n")
    assert receiver.got == []
    assert "lang is 'fr'; it should be zh or en." in shown(lang="fr")
