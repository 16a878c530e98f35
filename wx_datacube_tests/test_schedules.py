"""Schedules: what a tick requests, by what the file and the instance hold, and when it leaves well alone."""

import datetime as dt
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from wx_datacube.catalog import ENDPOINTS, Endpoint, Period
from wx_datacube.definitions import build_defs
from wx_datacube.orchestration.event_log import BatchedSqliteEventLogStorage, stored_together
from wx_datacube.orchestration.runs import (
    BORN_TAG,
    HOST_TAG,
    PID_TAG,
    REASON_TAG,
    STOPPED_TAG,
    end_dead_runs,
    process_tags,
)
from wx_datacube.orchestration.schedules import MORNINGS
from wx_datacube.periods import BEIJING, due_labels
from wx_datacube.warehouse.ledger import Call, store_calls
from wx_datacube_tests.orchestrating import DAYS, HOURS, SENDERS, Orchestra, asset_key, orchestra
from wx_datacube_tests.processes import running

START, NOW = dt.date(2024, 1, 1), dt.datetime(2024, 7, 2, 9, 30)
DUE = due_labels(Period.DAY, START, NOW.date())
Ran = Callable[..., dg.DagsterRun]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance on disk: a tick opens it by its reference."""
    folder = tmp_path_factory.mktemp("instance")
    ours = {"module": BatchedSqliteEventLogStorage.__module__, "class": BatchedSqliteEventLogStorage.__name__}
    storage = ours | {"config": {"base_dir": str(folder / "events")}}
    with dg.DagsterInstance.local_temp(str(folder), overrides={"event_log_storage": storage}) as found:
        yield found


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance) -> Iterator[Orchestra]:
    """An account with half a year of history, nothing of it asked for yet."""
    instance.wipe()
    with orchestra(tmp_path, monkeypatch, instance) as found:
        found.configure(START=START)
        yield found


@pytest.fixture
def ran(it: Orchestra) -> Ran:
    """Put a run of an endpoint's asset into the instance, with any status and tags."""

    def put(
        endpoint: Endpoint, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED, **tags: str
    ) -> dg.DagsterRun:
        run = dg.DagsterRun(job_name="any", status=status, tags=tags, asset_selection=frozenset({asset_key(endpoint)}))
        return it.instance.add_run(run)

    return put


def tick(
    it: Orchestra, period: Period = Period.DAY, now: dt.datetime = NOW
) -> tuple[list[tuple[str, dt.date, dt.date]], str]:
    """What a tick requests, as endpoint with first and last label; and why it requests nothing."""
    requests, skipped = whole_tick(it, period, now)
    return [range_of(request) for request in requests], skipped


def whole_tick(it: Orchestra, period: Period, now: dt.datetime) -> tuple[list[dg.RunRequest], str]:
    """The requests of a tick as they are, and why there are none."""
    schedule = build_defs(clock=lambda: now).resolve_schedule_def(f"default_{period.adverb}")
    with dg.build_schedule_context(instance=it.instance, scheduled_execution_time=now.replace(tzinfo=BEIJING)) as given:
        found = schedule.evaluate_tick(given)
    return list(found.run_requests or ()), found.skip_message or ""


def range_of(request: dg.RunRequest) -> tuple[str, dt.date, dt.date]:
    """Endpoint, first and last label of a request."""
    (key,) = request.asset_selection or ()
    ends = [request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    return key.path[-1], dt.date.fromisoformat(ends[0]), dt.date.fromisoformat(ends[1])


def store(it: Orchestra, endpoint: Endpoint, days: list[dt.date], **how: object) -> None:
    """Store an answer with a row for each day, or an error, as if it had come that morning."""
    row = '{"ref_date":"%s","msg_type":1,"count_interval":1,"ref_hour":900,"user_source":0,"msg_user":1,"msg_count":1}'
    answer = {"http_status": 200, "errcode": None, "errmsg": None, "requested_at": NOW - dt.timedelta(minutes=55)} | how
    rows = ",".join(row % day for day in days)
    response = "{}" if answer["errcode"] else f'{{"list":[{rows}]}}'
    call = Call("run", "default", endpoint.name, days[0], days[-1], tuple(days), False, answer["requested_at"], 1,
                answer["http_status"], answer["errcode"], answer["errmsg"], None, response)  # fmt: skip
    with it.warehouse.writing() as con:
        store_calls(con, [call])
    it.warehouse.publish()


def materialize(it: Orchestra, endpoint: Endpoint, days: list[dt.date]) -> None:
    """Let the instance hold these partitions as materialized."""
    with stored_together(it.instance):
        for day in days:
            it.instance.report_runless_asset_event(
                dg.AssetMaterialization(asset_key(endpoint), partition=day.isoformat())
            )


def all_but(*gaps: dt.date) -> list[dt.date]:
    """Every due day but these."""
    return [day for day in DUE if day not in gaps]


def names(period: Period) -> list[str]:
    """The endpoints of a period."""
    return [endpoint.name for endpoint in ENDPOINTS if endpoint.period is period]


# --- what is requested ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", Period, ids=lambda period: period.adverb)
def test_over_an_empty_file_the_whole_history_is_requested(period: Period, it: Orchestra) -> None:
    """One run for each endpoint of the period, over all labels that are due since START."""
    due = due_labels(period, START, NOW.date())

    requests, skipped = tick(it, period)

    assert requests == [(name, due[0], due[-1]) for name in names(period)]
    assert skipped == ""


def test_requests_can_be_told_apart_and_say_why_they_came(it: Orchestra) -> None:
    """Each has a key of its own, which another tick doesn't repeat, and the reason as a tag."""
    requests = whole_tick(it, Period.DAY, NOW)[0]
    later = whole_tick(it, Period.DAY, NOW + dt.timedelta(hours=1))[0]

    keys = [request.run_key for request in (*requests, *later)]
    assert len(set(keys)) == len(keys) == 6
    assert {request.tags[REASON_TAG] for request in requests} == {"schedule"}


def test_only_what_is_to_do_is_requested(it: Orchestra) -> None:
    """Missing labels, and stored ones that this instance hasn't materialized; nothing else."""
    store(it, DAYS, all_but(DUE[-1]))
    materialize(it, DAYS, all_but(DUE[-1], DUE[3]))

    assert [each for each in tick(it)[0] if each[0] == DAYS.name] == [
        (DAYS.name, DUE[-1], DUE[-1]),
        (DAYS.name, DUE[3], DUE[3]),
    ]


def test_labels_near_each_other_are_one_run(it: Orchestra) -> None:
    """Ranges with fewer than thirty labels between are merged; a gap further back is a run of its own."""
    gaps = [DUE[2], DUE[100], DUE[120], DUE[-1]]
    store(it, DAYS, all_but(*gaps))
    materialize(it, DAYS, all_but(*gaps))

    assert [each[1:] for each in tick(it)[0] if each[0] == DAYS.name] == [
        (DUE[-1], DUE[-1]),
        (DUE[100], DUE[120]),
        (DUE[2], DUE[2]),
    ]


def test_a_tick_requests_the_ten_newest_ranges_at_most(it: Orchestra) -> None:
    """A history may hold hundreds of gaps: the newest ten ranges of all endpoints now, the next at the next tick."""
    gaps = DUE[::40]
    for endpoint in (DAYS, SENDERS, HOURS):
        store(it, endpoint, all_but(*gaps))
        materialize(it, endpoint, all_but(*gaps))

    requests = tick(it)[0]

    assert len(requests) == 10
    assert {each[0] for each in requests} == set(names(Period.DAY))
    assert [each[2] for each in requests] == sorted((each[2] for each in requests), reverse=True)
    assert requests[0][2] == gaps[-1]


# --- when nothing is requested ----------------------------------------------------------------------------------


def test_nothing_to_do_is_said(it: Orchestra) -> None:
    """All that is due is stored and materialized: no run."""
    for endpoint in (DAYS, SENDERS, HOURS):
        store(it, endpoint, DUE)
        materialize(it, endpoint, DUE)

    assert tick(it) == ([], "Everything that is due is there and materialized.")


UNFINISHED = ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"]


@pytest.mark.parametrize("status", UNFINISHED)
def test_an_endpoint_with_a_run_under_way_waits(status: str, it: Orchestra, ran: Ran) -> None:
    """Queued or started, whoever launched it; the other endpoints go on."""
    ran(DAYS, dg.DagsterRunStatus[status])

    requests = tick(it)[0]

    assert {each[0] for each in requests} == {HOURS.name, SENDERS.name}


def test_all_under_way_is_said(it: Orchestra, ran: Ran) -> None:
    """The reason names each endpoint."""
    for endpoint in (DAYS, SENDERS, HOURS):
        ran(endpoint)

    requests, skipped = tick(it)

    assert requests == []
    assert all(f"{name}: a run is under way; the next tick looks again." in skipped for name in names(Period.DAY))


def test_after_the_quota_it_waits_for_midnight(it: Orchestra) -> None:
    """45009 this morning stops that endpoint for the day, and no longer; others go on."""
    store(it, DAYS, [DUE[-1]], errcode=45009, errmsg="reach max api daily quota limit")

    assert {each[0] for each in tick(it)[0]} == {HOURS.name, SENDERS.name}
    assert {each[0] for each in tick(it, now=NOW + dt.timedelta(days=1))[0]} == set(names(Period.DAY))


def test_a_refusal_just_after_midnight_stops_nothing(it: Orchestra) -> None:
    """At 00:05 WeChat may have meant yesterday's quota."""
    store(it, DAYS, [DUE[-1]], errcode=45009, requested_at=NOW.replace(hour=0, minute=5))

    assert {each[0] for each in tick(it)[0]} == set(names(Period.DAY))


def test_our_own_limit_stops_an_endpoint_too(it: Orchestra) -> None:
    """WX_DATACUBE_DAILY_CALLS used up: no run that could do nothing."""
    store(it, DAYS, [DUE[-1]])
    it.configure(START=START, DAILY_CALLS=1)

    assert {each[0] for each in tick(it)[0]} == {HOURS.name, SENDERS.name}


def test_what_needs_a_person_is_tried_once_a_day(it: Orchestra) -> None:
    """48001 this morning: the endpoint is left alone till tomorrow, and the reason says what is wrong."""
    for endpoint in (DAYS, SENDERS, HOURS):
        store(it, endpoint, [DUE[-1]], errcode=48001)

    requests, skipped = tick(it)

    assert requests == []
    assert "The account may not call this endpoint." in skipped
    assert len(tick(it, now=NOW + dt.timedelta(days=1))[0]) == 3


def test_a_token_that_needs_a_person_is_tried_once_a_day(it: Orchestra, ran: Ran) -> None:
    """40164 comes from the token call, which is in no ledger: the run that failed today, in Beijing, says so."""
    for endpoint in [each for each in ENDPOINTS if each.period is Period.WEEK]:
        ran(endpoint, dg.DagsterRunStatus.FAILURE, **{STOPPED_TAG: "NeedsPerson"})
    today = dt.datetime.now(BEIJING).replace(tzinfo=None)

    requests, skipped = tick(it, Period.WEEK, today)

    assert requests == []
    assert "needs a person" in skipped
    assert len(tick(it, Period.WEEK, today + dt.timedelta(days=1))[0]) == 2


@pytest.mark.parametrize("settings", [{"START": "soon"}, {"ACCOUNT": "other", "START": "2024-01-01"}])
def test_wrong_settings_are_the_reason_of_a_skip(settings: dict[str, str], it: Orchestra) -> None:
    """A tick never fails on what a person has to mend: it says so."""
    defs = build_defs(accounts=["default"], clock=lambda: NOW)
    it.configure(**settings)
    with dg.build_schedule_context(instance=it.instance) as given:
        found = defs.resolve_schedule_def("default_daily").evaluate_tick(given)

    assert not found.run_requests
    assert "WX_DATACUBE_" in (found.skip_message or "")


# --- runs whose process is gone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_dead_run_is_ended_by_the_next_tick(status: str, it: Orchestra, ran: Ran) -> None:
    """The process of a run was killed, at whatever moment: the run is marked failed and its endpoint goes on."""
    run = ran(DAYS, dg.DagsterRunStatus[status], **{HOST_TAG: _host(), PID_TAG: str(_pid_of_nobody())})

    requests = tick(it)[0]

    found = it.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.FAILURE
    assert DAYS.name in {each[0] for each in requests}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process began")
def test_a_later_process_with_the_same_number_does_not_keep_a_run_alive(it: Orchestra, ran: Ran) -> None:
    """As after a restart of the machine."""
    tags = process_tags()
    alive = ran(DAYS, **tags)
    dead = ran(DAYS, **(tags | {BORN_TAG: "1"}))

    assert end_dead_runs(it.instance) == [dead.run_id]
    assert alive.run_id != dead.run_id


@pytest.mark.parametrize("tags", [{}, {HOST_TAG: "elsewhere", PID_TAG: "1"}, {HOST_TAG: "here", PID_TAG: "?"}])
def test_a_run_that_may_be_alive_is_left_alone(tags: dict[str, str], it: Orchestra, ran: Ran) -> None:
    """Not of ours, on another machine, or without a process: nobody here can tell that it is dead."""
    run = ran(DAYS, **{name: _host() if value == "here" else value for name, value in tags.items()})

    assert end_dead_runs(it.instance) == []
    found = it.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.STARTED


def test_a_live_run_is_left_alone(it: Orchestra, ran: Ran) -> None:
    """As long as its process lives."""
    with running("print('ready', flush=True); input()") as process:
        ran(DAYS, **{HOST_TAG: _host(), PID_TAG: str(process.pid)})
        alive = end_dead_runs(it.instance)
        process.kill()
        process.wait()
        dead = end_dead_runs(it.instance)

    assert (alive, len(dead)) == ([], 1)


def _host() -> str:
    return socket.gethostname()


def _pid_of_nobody() -> int:
    with running("print('ready', flush=True)") as process:
        process.wait()
        return process.pid


# --- how they are shown -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", Period, ids=lambda period: period.adverb)
def test_schedules_are_off_and_tick_every_morning_in_beijing(period: Period, it: Orchestra) -> None:
    """Until somebody switches them on; then from 08:30 to 12:30, and their description says what that brings."""
    schedule = build_defs().resolve_schedule_def(f"default_{period.adverb}")

    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == (MORNINGS, "Asia/Shanghai")
    assert "whole history" in (schedule.description or "")
