"""Assets: what a run records in Dagster when it fetched all, some or none of its labels.

Add a test here when runs get another outcome or another piece of metadata.
"""

import datetime as dt
import json
import os
from collections.abc import Iterator

import dagster as dg
import pytest

from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import beijing_now
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.operations.backfill_protocol import Scope
from wx_datacube.orchestration.runs import REASON_TAG, Reason, Worker
from wx_datacube.warehouse.checks import checks_of
from wx_datacube.warehouse.coverage import State
from wx_datacube_tests.dagster_environment import (
    DAYS,
    HOURS,
    QUIET_RUN_CONFIG,
    SENDERS,
    WEEKS,
    DagsterEnv,
    asset_key,
    labels,
)

FIRST, LAST = dt.date(2024, 3, 1), dt.date(2024, 3, 20)
SILENT_WORLD = {"silent_share": 0.5, "seed": 3}


@pytest.fixture
def emulated(it: DagsterEnv) -> Iterator[Emulated]:
    """Configure the project for an ordinary account."""
    with wechat() as running:
        it.use(running, START=FIRST)
        yield running


def asked(emulated: Emulated) -> int:
    """Return the number of statistics calls so far."""
    return len(emulated.control.statistics_calls())


def status(it: DagsterEnv, first: dt.date, last: dt.date) -> dict[str, str | None]:
    """Return how Dagster shows each day of a range: MATERIALIZED, FAILED, or None if it was never touched."""
    keys = [label.isoformat() for label in labels(DAYS, first, last)]
    definition = dg.DailyPartitionsDefinition(start_date=FIRST.isoformat(), timezone="Asia/Shanghai")
    found = it.instance.get_status_by_partition(asset_key(DAYS), keys, definition) or {}
    return {key: value.name if value else None for key, value in found.items()}


# --- fetched labels ---------------------------------------------------------------------------------------------


def test_every_partition_shows_its_figures(it: DagsterEnv, emulated: Emulated) -> None:
    """Rows, messages and users are numbers, which the UI plots; state and call are text."""
    it.run(SENDERS, FIRST, LAST)
    it.run(DAYS, FIRST, LAST)
    it.run(WEEKS, dt.date(2024, 3, 4), dt.date(2024, 3, 4))

    with it.warehouse.open_published() as con:
        messages, rows, call_id = con.execute(
            f"SELECT sum(msg_count)::BIGINT, count(*), max(call_id) FROM datacube.{DAYS.name} WHERE ref_date = ?",
            [LAST],
        ).fetchall()[0]
        stored = con.execute(f"SELECT count(*) FROM datacube.{DAYS.name}").fetchall()[0][0]
        users = con.execute("SELECT users FROM totals_daily WHERE date = ?", [LAST]).fetchall()[0][0]
        most = con.execute(f"SELECT max(msg_user) FROM datacube.{DAYS.name} WHERE ref_date = ?", [LAST]).fetchall()[0][
            0
        ]
        largest = con.execute(f"SELECT max(msg_user) FROM datacube.{WEEKS.name}").fetchall()[0][0]
    found = it.metadata(DAYS, LAST)
    assert found.pop("answer").startswith(f"call_id {call_id} of datacube.api_calls, 20")
    assert found == {
        "dagster/row_count": stored,
        "dagster/partition_row_count": rows,
        "messages": messages,
        "users_at_least": most,
        "state": "landed",
    }
    assert it.metadata(SENDERS, LAST)["users"] == users
    assert "messages" not in it.metadata(SENDERS, LAST)
    assert it.metadata(WEEKS, dt.date(2024, 3, 4))["users_at_least"] == largest


def test_silent_days_are_materialized_with_no_row(it: DagsterEnv) -> None:
    """An empty day and its implied hours are materialized with 0 rows, and the hours are not requested."""
    with wechat(**SILENT_WORLD) as emulated:
        it.use(emulated, START=FIRST)
        it.run(DAYS, FIRST, LAST)
        it.run(HOURS, FIRST, LAST)
        hours = len(emulated.control.calls(HOURS.name))
    states = {day: it.metadata(DAYS, day)["state"] for day in labels(DAYS, FIRST, LAST)}
    silent = [day for day, state in states.items() if state.startswith(State.EMPTY)]

    assert silent
    assert [it.metadata(DAYS, day)["dagster/partition_row_count"] for day in silent] == [0] * len(silent)
    assert {it.metadata(HOURS, day)["state"] for day in silent} == {
        "implied: not requested, since nothing happened that day"
    }
    assert hours == len(states) - len(silent)
    assert it.materialized(HOURS) == set(states)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_asset_fetches_its_endpoint(endpoint: Endpoint, it: DagsterEnv, emulated: Emulated) -> None:
    """A run of any asset fetches a range of labels and materializes every partition."""
    first = {"day": FIRST, "week": dt.date(2024, 3, 4), "month": FIRST}[endpoint.period.value]
    wanted = labels(endpoint, first, dt.date(2024, 4, 2))

    assert it.run(endpoint, wanted[0], wanted[-1]).success
    assert it.materialized(endpoint) == set(wanted)


def test_a_stored_label_costs_no_call(it: DagsterEnv, emulated: Emulated) -> None:
    """A run makes no call for stored labels and requests only what is missing of a range."""
    it.run(DAYS, FIRST, FIRST + dt.timedelta(6))
    before = asked(emulated)

    assert it.run(DAYS, FIRST, FIRST + dt.timedelta(6)).success
    assert asked(emulated) == before
    assert it.run(DAYS, FIRST, FIRST + dt.timedelta(13)).success
    assert asked(emulated) == before + 1


def test_a_refresh_requests_stored_labels_again(it: DagsterEnv, emulated: Emulated) -> None:
    """With `refresh: true` the changed figure is stored, and the ledger marks the call as a refresh."""
    it.run(DAYS, FIRST, LAST)
    before = asked(emulated)
    restated = emulated.control.restate(LAST, delta=1000)

    assert it.run(DAYS, LAST, LAST, refresh=True).success
    assert asked(emulated) == before + 1
    assert it.metadata(DAYS, LAST)["messages"] == restated
    with it.warehouse.open_published() as con:
        assert con.execute("SELECT count(*) FROM datacube.api_calls WHERE refresh").fetchall() == [(1,)]


def test_a_refresh_that_the_quota_stops_continues_in_the_next_run(it: DagsterEnv, emulated: Emulated) -> None:
    """The same refresh started again requests only the remaining labels and materializes the whole range."""
    it.run(HOURS, FIRST, LAST)
    first = emulated.control.used(HOURS.name)
    emulated.control.set_quota(first + 2, HOURS.name)
    stopped = it.run(HOURS, FIRST, LAST, refresh=True)
    emulated.control.set_quota(1000, HOURS.name)
    before = asked(emulated)

    assert not stopped.success
    assert it.run(HOURS, FIRST, LAST, refresh=True).success
    days = labels(HOURS, FIRST, LAST)
    assert asked(emulated) - before == len(days) - 2
    assert it.materialized(HOURS) == set(days)


def test_runs_are_tagged_with_their_process(it: DagsterEnv, emulated: Emulated) -> None:
    """A tag names the executor's process, so that a run whose process died can be found."""
    run = it.instance.get_run_by_id(it.run(DAYS, FIRST, FIRST).run_id)

    assert run is not None
    assert Worker.of_run(run) == Worker.of(os.getpid())


# --- missing labels and failures --------------------------------------------------------------------------------


def test_a_manual_run_that_the_quota_stops_keeps_what_landed(it: DagsterEnv, emulated: Emulated) -> None:
    """The run fails and keeps the stored partitions materialized; the next day's run fetches the rest."""
    it.use(emulated, START=FIRST, CONCURRENCY=1)
    it.run(DAYS, FIRST, FIRST)
    emulated.control.set_quota(2)

    result = it.run(DAYS, FIRST, LAST)
    shown = status(it, FIRST, LAST)
    landed = {label for label, how in shown.items() if how == "MATERIALIZED"}
    run = it.instance.get_run_by_id(result.run_id)
    assert not result.success
    assert run is not None
    assert landed == {FIRST.isoformat(), *(str(label) for label in labels(DAYS, LAST - dt.timedelta(6), LAST))}
    assert {how for label, how in shown.items() if label not in landed} == {"FAILED"}

    emulated.control.advance(dt.timedelta(days=1))
    assert it.run(DAYS, FIRST, LAST).success
    assert set(status(it, FIRST, LAST).values()) == {"MATERIALIZED"}


@pytest.mark.parametrize("reason", Reason)
def test_a_scheduled_run_that_the_quota_stops_succeeds(reason: Reason, it: DagsterEnv, emulated: Emulated) -> None:
    """Runs of schedules and commands succeed, since the next one continues."""
    it.use(emulated, START=FIRST, CONCURRENCY=1)
    emulated.control.set_quota(1)

    assert it.run(DAYS, FIRST, LAST, reason=reason).success
    assert it.materialized(DAYS) == set(labels(DAYS, LAST - dt.timedelta(6), LAST))


def test_a_scheduled_run_before_publication_succeeds(it: DagsterEnv) -> None:
    """A scheduled run that finds nothing published succeeds without materializing anything; a manual one fails."""
    day = dt.date(2024, 3, 4)
    with wechat(clock="2024-03-05T07:00", frozen=True, refuse_unpublished=True) as emulated:
        it.use(emulated, START=FIRST)
        scheduled = it.run(DAYS, day, day, reason=Reason.SCHEDULE)
        manual = it.run(DAYS, day, day)

    assert scheduled.success
    assert not manual.success
    assert it.materialized(DAYS) == set()


@pytest.mark.parametrize("dead", ["45009", "-1"])
def test_a_run_makes_no_calls_that_depend_on_failed_days(dead: str, it: DagsterEnv, emulated: Emulated) -> None:
    """If the days fail, a scheduled run makes no calls for the hours and distributions that depend on them."""
    emulated.control.set(faults=[f"{DAYS.name}={dead}"])
    job = build_defs().resolve_job_def("default_daily")
    ends = {"dagster/asset_partition_range_start": "2024-03-04", "dagster/asset_partition_range_end": "2024-03-10"}
    run = job.execute_in_process(
        instance=it.instance,
        run_config=QUIET_RUN_CONFIG,
        raise_on_error=False,
        tags={**ends, REASON_TAG: Reason.SCHEDULE.value},
    )

    assert {call.endpoint for call in emulated.control.statistics_calls()} == {DAYS.name}
    assert run.success == (dead == "45009")
    (met,) = Alerts(it.settings.database).recent_failures("default", dt.datetime.min)
    assert f"{DAYS.name}: " in str(met.text)


@pytest.mark.parametrize("reason", [None, Reason.SCHEDULE], ids=["by hand", "scheduled"])
def test_a_run_for_an_endpoint_that_is_not_granted_fails_with_advice(
    reason: Reason | None, it: DagsterEnv, emulated: Emulated
) -> None:
    """A run for an endpoint that isn't granted fails with the advice, however it was launched, and doesn't retry."""
    emulated.control.set(denied=[DAYS.name])

    result = it.run(DAYS, FIRST, LAST, reason=reason)
    run = it.instance.get_run_by_id(result.run_id)
    assert not result.success
    assert run is not None
    assert "微信认证" in failure(result)
    assert {call.attempt for call in emulated.control.statistics_calls()} == {1}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Return the error message of the failed step."""
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    assert errors[0] is not None
    return errors[0].message


EXPECTED: dict[str, dict[str, object]] = {
    "quota": {"quota": 1},
    "not granted": {"denied": ["*"]},
    "wrong AppSecret": {"secret": "f" * 32},
    "address not whitelisted": {"whitelist": ["203.0.113.7"]},
    "not published": {"faults": ["*=61503"]},
    "WeChat's own fault": {"faults": ["*=200:{}"]},
}


@pytest.mark.parametrize("options", EXPECTED.values(), ids=EXPECTED)
def test_an_expected_failure_has_no_stack_trace(options: dict[str, object], it: DagsterEnv, emulated: Emulated) -> None:
    """Step and run fail with a message: how much is stored, what stopped it, how it continues."""
    emulated.control.set(**options)

    result = it.run(DAYS, FIRST, LAST)
    events = [entry.dagster_event for entry in it.instance.all_logs(result.run_id) if entry.dagster_event]
    (step,) = [event.step_failure_data for event in events if event.is_step_failure]
    (run,) = [event.job_failure_data for event in events if event.event_type == dg.DagsterEventType.RUN_FAILURE]
    assert step.error is not None
    assert (step.error.stack, step.error.cause) == ([], None)
    assert step.error.message.startswith(
        tuple(f"{there} of 20 days stored" for there in (0, 6, 7))
    )  # the windows have 7, 7 and 6 days
    assert "Failed and missing" in step.error.message
    assert run.first_step_failure_event is not None
    assert run.first_step_failure_event.step_failure_data.error == step.error


def test_a_run_logs_one_line_per_batch(it: DagsterEnv, emulated: Emulated) -> None:
    """A run logs one line per commit: what was stored, calls and rows so far, rate, remaining calls."""
    result = it.run(HOURS, FIRST, LAST)
    with it.warehouse.open_published() as con:
        rows = con.execute(f"SELECT count(*) FROM datacube.{HOURS.name}").fetchall()[0][0]
    lines = [entry.user_message for entry in it.instance.all_logs(result.run_id) if "so far" in entry.user_message]
    calls = asked(emulated)

    assert 0 < len(lines) < calls / 2
    assert lines[0].startswith(f"{HOURS.name}: stored 2024-03-")
    assert f" to {LAST}, " in lines[0]
    assert f"so far {calls} calls, {rows:,} rows, " in lines[-1]
    assert lines[-1].endswith("calls per second; 0 calls to go.")


def test_wrong_settings_fail_the_run_before_any_call(it: DagsterEnv, emulated: Emulated) -> None:
    """A run checks the settings first and names the wrong variable."""
    it.use(emulated, START="2014-11-30")

    result = it.run(DAYS, FIRST, FIRST)

    assert not result.success
    assert "WX_DATACUBE_START is invalid" in failure(result)
    assert emulated.control.calls() == []


def test_missing_credentials_fail_only_runs_that_need_a_call(it: DagsterEnv, emulated: Emulated) -> None:
    """Without credentials a run still materializes stored labels; for missing ones it fails and names the variable."""
    it.run(DAYS, FIRST, FIRST)
    it.configure(START=FIRST)

    assert it.run(DAYS, FIRST, FIRST).success
    result = it.run(DAYS, LAST, LAST)
    assert not result.success
    assert "WX_DATACUBE_APPID" in failure(result)


# --- checks -----------------------------------------------------------------------------------------------------

DIRTY, BEGINNING = "no_data_before_2014_12_01", dt.date(2014, 12, 1)


def test_rows_from_before_history_warn_until_a_clean_answer(it: DagsterEnv) -> None:
    """Rows from before history fail the check as a warning, with the command to heal it; a clean refresh heals it."""
    with wechat(dirty_rows=True, silent_share=0) as emulated:
        it.use(emulated)
        assert it.run(DAYS, BEGINNING, BEGINNING + dt.timedelta(6)).success
        flagged = it.check(DAYS, DIRTY)
        emulated.control.set(dirty_rows=False)
        assert it.run(DAYS, BEGINNING, BEGINNING + dt.timedelta(6), refresh=True).success

    assert (flagged.passed, flagged.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(flagged.metadata["how to heal"].value) == f"wx-datacube heal --account default --check {DIRTY}"
    assert it.check(DAYS, DIRTY).passed
    with it.warehouse.open_published() as con:
        found = con.execute("SELECT min(ref_date) FROM datacube.getupstreammsg").fetchall()
        assert found == [(BEGINNING,)]


def test_checks_are_logged_when_the_run_fails(it: DagsterEnv) -> None:
    """A failed run still records check results."""
    with wechat(dirty_rows=True, silent_share=0) as emulated:
        it.use(emulated, CONCURRENCY=1)  # the newest window gets the bad response, not the one with dirty rows
        emulated.control.script(DAYS.name, "200:{}")
        result = it.run(DAYS, BEGINNING, BEGINNING + dt.timedelta(13))

    assert not result.success
    assert not it.check(DAYS, DIRTY).passed
    assert it.check(DAYS, "keys_are_unique").passed


def test_a_duplicate_key_is_an_error_until_a_clean_answer(it: DagsterEnv, emulated: Emulated) -> None:
    """The first row is stored and the second rejected; the check fails as an error until a clean response."""
    row = {"ref_date": FIRST.isoformat(), "user_source": 0, "msg_type": 1, "msg_user": 5, "msg_count": 9}
    emulated.control.script(DAYS.name, "200:" + json.dumps({"list": [row, row | {"msg_count": 8}]}))
    it.run(DAYS, FIRST, FIRST)
    flagged = it.check(DAYS, "keys_are_unique")
    assert it.run(DAYS, FIRST, FIRST, refresh=True).success

    assert (flagged.passed, flagged.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert it.check(DAYS, "keys_are_unique").passed


def test_every_check_of_every_asset_is_evaluated(it: DagsterEnv, emulated: Emulated) -> None:
    """A run evaluates every check of its asset; here one reports that the newest days are missing."""
    result = it.run(DAYS, FIRST, FIRST)

    passed = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert set(passed) == {check.name for check in checks_of(DAYS)}
    assert {name for name in passed if not passed[name]} == {"due_labels_are_there"}
    heal = str(it.check(DAYS, "due_labels_are_there").metadata["how to heal"].value)
    command, _, rest = heal.partition(" --start ")
    assert command == "wx-datacube backfill --account default --endpoint getupstreammsg"
    # The labels between are history whose backfill has only begun, which the check doesn't flag.
    assert dt.date.fromisoformat(rest[:10]) >= beijing_now().date() - dt.timedelta(days=3)


def as_scheduled(it: DagsterEnv, first: dt.date, last: dt.date) -> dg.ExecuteInProcessResult:
    """Run the days as Dagster runs a schedule's request, which plans no checks."""
    job = build_defs().resolve_job_def("default_daily")
    return job.get_subset(
        asset_selection=frozenset({asset_key(DAYS)}), asset_check_selection=frozenset()
    ).execute_in_process(
        instance=it.instance,
        run_config=QUIET_RUN_CONFIG,
        tags={
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
            REASON_TAG: Reason.SCHEDULE.value,
        },
    )


def checks_logged(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> list[str]:
    """Return what a run logged about checks, in order: `planned`, or a check's name and whether it passed."""
    logged = [entry.get_dagster_event() for entry in instance.all_logs(result.run_id) if entry.is_dagster_event]
    planned = ["planned" for event in logged if event.event_type_value == "ASSET_CHECK_EVALUATION_PLANNED"]
    results = [event.asset_check_evaluation_data for event in logged if event.event_type_value == EVALUATED]
    return [*planned, *(f"{each.check_name}: {each.passed}" for each in results)]


EVALUATED = "ASSET_CHECK_EVALUATION"


def test_a_scheduled_run_logs_the_checks_whose_results_changed(it: DagsterEnv, emulated: Emulated) -> None:
    """A run that finds what Dagster shows already logs nothing; a check that now fails, or passes again, is logged."""
    row = {"ref_date": "2024-03-03", "user_source": 0, "msg_type": 1, "msg_user": 5, "msg_count": 9}
    days = [FIRST + dt.timedelta(days=number) for number in range(4)]
    it.run(DAYS, days[0], days[0])
    logged = [checks_logged(as_scheduled(it, days[1], days[1]), it.instance)]
    emulated.control.script(DAYS.name, "200:" + json.dumps({"list": [row, row | {"msg_count": 8}]}))
    logged.append(checks_logged(as_scheduled(it, days[2], days[2]), it.instance))
    it.fetching(Scope(days[2], days[2], [DAYS], refresh=True)).run()
    logged.append(checks_logged(as_scheduled(it, days[3], days[3]), it.instance))

    about_keys = [[each for each in found if "keys_are_unique" in each] for found in logged]
    assert about_keys == [[], ["keys_are_unique: False"], ["keys_are_unique: True"]]
    assert not any("planned" in found for found in logged)
    assert it.check(DAYS, "keys_are_unique").passed


def test_a_scheduled_run_over_a_fresh_history_logs_every_check(it: DagsterEnv, emulated: Emulated) -> None:
    """What Dagster has never shown is a change."""
    logged = checks_logged(as_scheduled(it, FIRST, FIRST), it.instance)

    assert sorted(each.partition(":")[0] for each in logged) == sorted(check.name for check in checks_of(DAYS))


def test_checks_without_their_asset_make_no_call(it: DagsterEnv, emulated: Emulated) -> None:
    """Dagster's UI executes the checks of an asset alone: they read what is stored, and nothing is materialized."""
    it.run(DAYS, FIRST, FIRST)
    calls, materialized = asked(emulated), it.materialized(DAYS)
    key = dg.AssetCheckKey(asset_key(DAYS), "keys_are_unique")
    job = build_defs().resolve_implicit_job_def_def_for_assets([asset_key(DAYS)])
    assert job is not None
    result = job.get_subset(asset_selection=frozenset(), asset_check_selection=frozenset({key})).execute_in_process(
        instance=it.instance, run_config=QUIET_RUN_CONFIG
    )

    assert result.success
    assert [each.check_name for each in result.get_asset_check_evaluations()] == ["keys_are_unique"]
    assert (asked(emulated), it.materialized(DAYS)) == (calls, materialized)
