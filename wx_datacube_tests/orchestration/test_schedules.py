"""Schedules: which runs a tick requests, given the file and the instance, and when it requests none.

Add a test here when a tick gets another reason to request or to skip. What runs then do is in `test_assets.py`.
"""

import datetime as dt
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from wx_datacube.alerts.alert import TOKEN, Source, alerts_of
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import BEIJING, due_labels
from wx_datacube.definitions import build_defs
from wx_datacube.errcodes import error_for
from wx_datacube.orchestration.event_batches import batched_events
from wx_datacube.orchestration.event_log import BatchedSqliteEventLogStorage
from wx_datacube.orchestration.runs import REASON_TAG, WORKER_TAG, end_dead_runs, worker_tags
from wx_datacube.warehouse.ledger import Call, store_calls
from wx_datacube_tests.dagster_environment import DAYS, HOURS, SENDERS, DagsterEnv, asset_key, dagster_env
from wx_datacube_tests.processes import running

START, NOW = dt.date(2024, 1, 1), dt.datetime(2024, 7, 2, 9, 30)
DUE = due_labels(Period.DAY, START, NOW.date())
Ran = Callable[..., dg.DagsterRun]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Provide an instance on disk, since a tick opens it by its reference."""
    folder = tmp_path_factory.mktemp("instance")
    ours = {"module": BatchedSqliteEventLogStorage.__module__, "class": BatchedSqliteEventLogStorage.__name__}
    storage = ours | {"config": {"base_dir": str(folder / "events")}}
    with dg.DagsterInstance.local_temp(str(folder), overrides={"event_log_storage": storage}) as found:
        yield found


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance) -> Iterator[DagsterEnv]:
    """Provide an account with half a year of history, of which nothing has been requested."""
    instance.wipe()
    with dagster_env(tmp_path, monkeypatch, instance) as found:
        found.configure(START=START)
        yield found


@pytest.fixture
def ran(it: DagsterEnv) -> Ran:
    """Return a function that adds a run of an endpoint's asset to the instance, with any status and worker tag."""

    def put(
        endpoint: Endpoint, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED, worker: str = ""
    ) -> dg.DagsterRun:
        run_id = str(uuid4())
        tags = {WORKER_TAG: f"{run_id} {worker}"} if worker else {}
        selection = frozenset({asset_key(endpoint)})
        run = dg.DagsterRun(run_id=run_id, job_name="any", status=status, tags=tags, asset_selection=selection)
        return it.instance.add_run(run)

    return put


def tick(
    it: DagsterEnv, period: Period = Period.DAY, now: dt.datetime = NOW
) -> tuple[list[tuple[str, dt.date, dt.date]], str]:
    """Return the (endpoint, first label, last label) that a tick requests, and its skip message."""
    requests, skipped = whole_tick(it, period, now)
    return [one for request in requests for one in ranges_of(request)], skipped


def whole_tick(it: DagsterEnv, period: Period, now: dt.datetime) -> tuple[list[dg.RunRequest], str]:
    """Return the run requests of a tick and its skip message."""
    schedule = build_defs(clock=lambda: now).resolve_schedule_def(f"default_{period.adverb}")
    with dg.build_schedule_context(instance=it.instance, scheduled_execution_time=now.replace(tzinfo=BEIJING)) as given:
        found = schedule.evaluate_tick(given)
    return list(found.run_requests or ()), found.skip_message or ""


def ranges_of(request: dg.RunRequest) -> list[tuple[str, dt.date, dt.date]]:
    """Return each endpoint of a request with its first and last label."""
    first, last = (
        dt.date.fromisoformat(request.tags[f"dagster/asset_partition_range_{end}"]) for end in ("start", "end")
    )
    return [(key.path[-1], first, last) for key in request.asset_selection or ()]


def store(it: DagsterEnv, endpoint: Endpoint, days: list[dt.date], **how: object) -> None:
    """Store a response with a row for each day, or an error, as if it was received that morning."""
    row = '{"ref_date":"%s","msg_type":1,"count_interval":1,"ref_hour":900,"user_source":0,"msg_user":1,"msg_count":1}'
    answer = {"http_status": 200, "errcode": None, "errmsg": None, "requested_at": NOW - dt.timedelta(minutes=55)} | how
    rows = ",".join(row % day for day in days)
    response = str(how.get("response", "{}" if answer["errcode"] else f'{{"list":[{rows}]}}'))
    call = Call("run", "default", endpoint.name, days[0], days[-1], tuple(days), False, answer["requested_at"], 1,
                answer["http_status"], answer["errcode"], answer["errmsg"], None, response)  # fmt: skip
    with it.warehouse.transaction() as con:
        store_calls(con, [call])
    it.warehouse.publish()


def materialize(it: DagsterEnv, endpoint: Endpoint, days: list[dt.date]) -> None:
    """Report these partitions as materialized."""
    with batched_events(it.instance):
        for day in days:
            it.instance.report_runless_asset_event(
                dg.AssetMaterialization(asset_key(endpoint), partition=day.isoformat())
            )


def all_but(*gaps: dt.date) -> list[dt.date]:
    """Return every due day except these."""
    return [day for day in DUE if day not in gaps]


def names(period: Period) -> list[str]:
    """Return the names of a period's endpoints."""
    return [endpoint.name for endpoint in ENDPOINTS if endpoint.period is period]


# --- requested runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", Period, ids=lambda period: period.adverb)
def test_a_tick_over_an_empty_file_requests_the_whole_history(period: Period, it: DagsterEnv) -> None:
    """A tick over an empty file requests one run for all labels since START, of every endpoint of the period."""
    due = due_labels(period, START, NOW.date())

    requests, skipped = tick(it, period)

    assert requests == [(name, due[0], due[-1]) for name in names(period)]
    assert len(whole_tick(it, period, NOW)[0]) == 1
    assert skipped == ""


def test_requests_have_a_unique_run_key_and_a_reason(it: DagsterEnv) -> None:
    """Each request has a unique run key and the reason as a tag."""
    requests = whole_tick(it, Period.DAY, NOW)[0]
    later = whole_tick(it, Period.DAY, NOW + dt.timedelta(hours=1))[0]

    keys = [request.run_key for request in (*requests, *later)]
    assert len(set(keys)) == len(keys) == 2
    assert {request.tags[REASON_TAG] for request in requests} == {"schedule"}


def test_a_tick_requests_only_pending_labels(it: DagsterEnv) -> None:
    """A tick requests only missing labels and stored ones that this instance hasn't materialized."""
    store(it, DAYS, all_but(DUE[-1]))
    materialize(it, DAYS, all_but(DUE[-1], DUE[3]))

    assert [each for each in tick(it)[0] if each[0] == DAYS.name] == [
        (DAYS.name, DUE[-1], DUE[-1]),
        (DAYS.name, DUE[3], DUE[3]),
    ]


def test_labels_near_each_other_are_one_run(it: DagsterEnv) -> None:
    """Ranges with fewer than thirty labels between them are merged into one run."""
    gaps = [DUE[2], DUE[100], DUE[120], DUE[-1]]
    store(it, DAYS, all_but(*gaps))
    materialize(it, DAYS, all_but(*gaps))

    assert [each[1:] for each in tick(it)[0] if each[0] == DAYS.name] == [
        (DUE[-1], DUE[-1]),
        (DUE[100], DUE[120]),
        (DUE[2], DUE[2]),
    ]


def test_a_tick_requests_the_ten_newest_gaps_at_most(it: DagsterEnv) -> None:
    """A tick requests the new labels and the ten newest gaps; older ones follow at later ticks."""
    start = dt.date(2023, 1, 1)
    it.configure(START=start)
    due = due_labels(Period.DAY, start, NOW.date())
    gaps = due[::40]
    for endpoint in (DAYS, SENDERS, HOURS):
        stored = [day for day in due if day not in gaps]
        store(it, endpoint, stored)
        materialize(it, endpoint, stored)

    requests = tick(it)[0]

    assert len(whole_tick(it, Period.DAY, NOW)[0]) == 1 + 10
    assert {each[0] for each in requests} == set(names(Period.DAY))
    assert [each[2] for each in requests] == sorted((each[2] for each in requests), reverse=True)
    assert requests[0][2] == gaps[-1]


# --- skipped ticks ----------------------------------------------------------------------------------------------


def test_a_tick_without_pending_labels_says_so(it: DagsterEnv) -> None:
    """A tick requests no run and says so if everything due is stored and materialized."""
    for endpoint in (DAYS, SENDERS, HOURS):
        store(it, endpoint, DUE)
        materialize(it, endpoint, DUE)

    assert tick(it) == ([], "应有的数据均已保存并物化。 Everything that is due is stored and materialized.")


UNFINISHED = ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"]


@pytest.mark.parametrize("status", UNFINISHED)
def test_an_endpoint_waits_for_a_run_that_is_alive(status: str, it: DagsterEnv, ran: Ran) -> None:
    """A tick skips an endpoint while any run of it is alive, and requests the others."""
    ran(DAYS, dg.DagsterRunStatus[status], this_process())

    requests = tick(it)[0]

    assert {each[0] for each in requests} == {HOURS.name, SENDERS.name}


def test_an_endpoint_waits_for_a_queued_run(it: DagsterEnv) -> None:
    """A tick skips an endpoint with a queued run, which Dagster is about to start."""
    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("any"), "any")
    queued = dg.DagsterRun(
        job_name="any",
        status=dg.DagsterRunStatus.QUEUED,
        asset_selection=frozenset({asset_key(DAYS)}),
        remote_job_origin=RemoteJobOrigin(location, "any"),
    )
    it.instance.add_run(queued)

    assert {each[0] for each in tick(it)[0]} == {HOURS.name, SENDERS.name}


@pytest.mark.parametrize("status", UNFINISHED)
def test_no_tick_waits_for_a_run_that_is_not_proven_alive(status: str, it: DagsterEnv, ran: Ran) -> None:
    """A tick doesn't wait for a possibly dead run: the fetch lock decides, and Dagster's run monitoring ends it."""
    for worker in ("", f"{OTHER_BOOT} pid:[1] 17 3", f"{this_boot()} pid:[1] 17 3"):
        run = ran(DAYS, dg.DagsterRunStatus[status], worker)

        assert {each[0] for each in tick(it)[0]} == set(names(Period.DAY))
        if OTHER_BOOT not in worker:  # with SQLite the run was on this machine, so another boot id proves it dead
            found = it.instance.get_run_by_id(run.run_id)
            assert found is not None
            assert found.status is dg.DagsterRunStatus[status]


def test_the_skip_message_names_endpoints_with_a_run_in_progress(it: DagsterEnv, ran: Ran) -> None:
    """The skip message names each endpoint with a run in progress."""
    for endpoint in (DAYS, SENDERS, HOURS):
        ran(endpoint, worker=this_process())

    requests, skipped = tick(it)

    assert requests == []
    one, two, three = names(Period.DAY)
    assert skipped == (
        f"{one}、{two}、{three}：有运行正在进行，下一次触发时再检查。"
        f" {one}, {two}, {three}: a run is in progress; the next tick checks again."
    )


def test_a_quota_error_stops_its_endpoint_until_midnight(it: DagsterEnv) -> None:
    """A quota error (45009) stops only that endpoint, until midnight."""
    store(it, DAYS, [DUE[-1]], errcode=45009, errmsg="reach max api daily quota limit")

    assert {each[0] for each in tick(it)[0]} == {HOURS.name, SENDERS.name}
    assert {each[0] for each in tick(it, now=NOW + dt.timedelta(days=1))[0]} == set(names(Period.DAY))


def test_a_refusal_just_after_midnight_stops_nothing(it: DagsterEnv) -> None:
    """A quota error at 00:05 is ignored, since WeChat may have counted it for the day before."""
    store(it, DAYS, [DUE[-1]], errcode=45009, requested_at=NOW.replace(hour=0, minute=5))

    assert {each[0] for each in tick(it)[0]} == set(names(Period.DAY))


def test_a_used_up_limit_of_daily_calls_stops_an_endpoint(it: DagsterEnv) -> None:
    """A tick requests no run for an endpoint whose WX_DATACUBE_DAILY_CALLS are used up."""
    store(it, DAYS, [DUE[-1]])
    it.configure(START=START, DAILY_CALLS=1)

    assert {each[0] for each in tick(it)[0]} == {HOURS.name, SENDERS.name}


def test_an_endpoint_that_needs_a_person_is_tried_once_a_day(it: DagsterEnv) -> None:
    """After 48001 the endpoint is skipped until the next day, and the skip message gives the reason."""
    for endpoint in (DAYS, SENDERS, HOURS):
        store(it, endpoint, [DUE[-1]], errcode=48001)

    requests, skipped = tick(it)

    assert requests == []
    assert "The account may not call this endpoint." in skipped
    assert len(tick(it, now=NOW + dt.timedelta(days=1))[0]) == 3


def test_labels_left_out_of_an_answer_are_requested_once_a_day(it: DagsterEnv) -> None:
    """Hours that WeChat left out although their day has messages are requested again at the next day's first tick."""
    for endpoint in (DAYS, SENDERS, HOURS):
        store(it, endpoint, all_but(DUE[50]) if endpoint is HOURS else DUE)
        materialize(it, endpoint, all_but(DUE[50]) if endpoint is HOURS else DUE)
    wanted = ([(HOURS.name, DUE[50], DUE[50])], "")
    assert tick(it) == wanted
    store(it, HOURS, [DUE[50]], response='{"list":[]}')

    chinese = f"微信今天没有返回 {DUE[50]} 的数据，明天第一次触发时重试。"
    english = f"WeChat returned no rows for {DUE[50]} today; tomorrow's first tick retries."
    assert tick(it) == ([], f"{HOURS.name}：{chinese} {HOURS.name}: {english}")
    assert tick(it, now=NOW + dt.timedelta(days=1))[0][-1:] == wanted[0]


def test_the_next_tick_requests_an_endpoint_that_was_granted_since(it: DagsterEnv) -> None:
    """A success by a manual run or `doctor` after the refusal counts: the next tick requests the endpoint."""
    store(it, DAYS, [DUE[-1]], errcode=48001)
    store(it, DAYS, [DUE[-2]], requested_at=NOW - dt.timedelta(minutes=5))

    assert DAYS.name in {each[0] for each in tick(it)[0]}


def test_a_token_that_needs_a_person_is_tried_once_a_day(it: DagsterEnv) -> None:
    """A refused token (40164) isn't in the ledger; it skips all endpoints until the next day or the next token."""
    refused = alerts_of([error_for(40164, endpoint="stable_token", token_call=True)], DAYS.name)
    alerts = Alerts(it.settings.database, clock=lambda: NOW - dt.timedelta(hours=1))
    alerts.note("default", Source.CALLS, [TOKEN], refused)

    requests, skipped = tick(it)
    tomorrow = tick(it, now=NOW + dt.timedelta(days=1))[0]
    alerts.note("default", Source.CALLS, [TOKEN], [])

    assert requests == []
    assert "微信拒绝了本机的请求" in skipped
    assert "定时任务明天重试" in skipped
    assert "not whitelisted" in skipped
    assert len(tomorrow) == 3
    assert len(tick(it)[0]) == 3


@pytest.mark.parametrize("settings", [{"START": "soon"}, {"ACCOUNT": "other", "START": "2024-01-01"}])
def test_wrong_settings_skip_the_tick(settings: dict[str, str], it: DagsterEnv) -> None:
    """A tick never fails on wrong settings: the skip message names the variable."""
    defs = build_defs(accounts=["default"], clock=lambda: NOW)
    it.configure(**settings)
    with dg.build_schedule_context(instance=it.instance) as given:
        found = defs.resolve_schedule_def("default_daily").evaluate_tick(given)

    assert not found.run_requests
    assert re.search("WX_DATACUBE_.*[\u4e00-\u9fff].* WX_DATACUBE_", found.skip_message or "")


# --- one schedule for all accounts ------------------------------------------------------------------------------------


def location_tick(it: DagsterEnv, now: dt.datetime = NOW) -> tuple[list[dg.RunRequest], str]:
    """Return the run requests and the skip message of a tick of the schedule over all accounts."""
    defs = build_defs(schedules="location", clock=lambda: now)
    schedule, repository = defs.resolve_schedule_def("wx_datacube_fetch"), defs.get_repository_def()
    with dg.build_schedule_context(
        instance=it.instance, scheduled_execution_time=now.replace(tzinfo=BEIJING), repository_def=repository
    ) as given:
        found = schedule.evaluate_tick(given)
    return list(found.run_requests or ()), found.skip_message or ""


def test_one_schedule_fetches_for_all_accounts(it: DagsterEnv) -> None:
    """It requests what the accounts' own schedules would, by runs of one account each that Dagster accepts."""
    it.configure(ACCOUNTS="shop,news", START=START, NEWS_START="2024-06-01", NEWS_FAMILIES="messages,followers")
    defs = build_defs(clock=lambda: NOW)
    schedules = [each for each in defs.get_repository_def().schedule_defs if "_datacube_" not in each.name]
    own = [each for schedule in schedules if "_checks" not in schedule.name for each in _requests_of(it, schedule)]
    requests, skipped = location_tick(it)

    def told(of: list[dg.RunRequest]) -> set[tuple[object, ...]]:
        return {(each.run_key, *(each.asset_selection or ()), *list(each.tags.items())[:3]) for each in of}

    assert told(requests) == told(own)
    assert len(requests) == len(own)
    assert {key.path[0] for each in requests for key in each.asset_selection or ()} == {"shop", "news"}
    assert len({each.run_key for each in requests}) == len(requests)
    assert skipped == ""


def _requests_of(it: DagsterEnv, schedule: dg.ScheduleDefinition) -> list[dg.RunRequest]:
    with dg.build_schedule_context(instance=it.instance, scheduled_execution_time=NOW.replace(tzinfo=BEIJING)) as given:
        return list(schedule.evaluate_tick(given).run_requests or ())


def test_the_schedule_of_all_accounts_goes_on_past_an_account_that_cannot(it: DagsterEnv) -> None:
    """One account's refusal stops no other account; a tick without runs names the accounts of each reason."""
    it.configure(ACCOUNTS="shop,news,blog", START=START)
    alerts = Alerts(it.settings.database, clock=lambda: NOW - dt.timedelta(hours=1))
    refused = alerts_of([error_for(40164, endpoint="stable_token", token_call=True)], DAYS.name)
    alerts.note("shop", Source.CALLS, [TOKEN], refused)

    requests, _ = location_tick(it)
    assert {key.path[0] for each in requests for key in each.asset_selection or ()} == {"news", "blog"}
    for name in ("news", "blog"):
        alerts.note(name, Source.CALLS, [TOKEN], refused)
    assert location_tick(it)[1].count("not whitelisted") == 1  # all for the same reason
    it.configure(ACCOUNTS="shop,news", START=START, NEWS_START="2024-07-02")
    alerts.note("news", Source.CALLS, [TOKEN], [])
    requests, skipped = location_tick(it)
    assert requests == []
    assert "news: Everything that is due is stored" in skipped
    assert "shop: " in skipped
    assert "not whitelisted" in skipped


def test_with_one_schedule_for_all_there_are_no_others(it: DagsterEnv) -> None:
    """The location has three schedules, which are off; no job is defined for a single account."""
    it.configure(ACCOUNTS="shop,news", START=START)
    repository = build_defs(schedules="location").get_repository_def()

    found = {each.name: each.default_status for each in repository.schedule_defs}
    assert found == dict.fromkeys(
        ("wx_datacube_fetch", "wx_datacube_checks", "wx_datacube_digest"), dg.DefaultScheduleStatus.STOPPED
    )
    assert set(repository.job_names) == {"__ASSET_JOB", "wx_datacube_checks", "wx_datacube_digest"}


# --- dead runs --------------------------------------------------------------------------------------------------

OTHER_BOOT = "00000000-0000-4000-8000-000000000000"


def this_process() -> str:
    """Return the worker tag's value for this process."""
    return worker_of(os.getpid())


def worker_of(pid: int) -> str:
    """Return the worker tag's value for a process."""
    return worker_tags("run", pid)[WORKER_TAG].removeprefix("run ")


def this_boot() -> str:
    """Return the boot id of this machine."""
    return this_process().split()[0]


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_dead_run_is_ended_by_the_next_tick(status: str, it: DagsterEnv, ran: Ran) -> None:
    """A tick marks a run as failed whose process was killed, and requests its endpoint again."""
    with running("print('ready', flush=True); input()") as process:
        run = ran(DAYS, dg.DagsterRunStatus[status], worker_of(process.pid))
        assert end_dead_runs(it.instance) == []  # while its process is alive
        process.kill()
        process.wait()

    requests = tick(it)[0]

    found = it.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.FAILURE
    assert DAYS.name in {each[0] for each in requests}


def test_a_zombie_is_dead(it: DagsterEnv, ran: Ran) -> None:
    """A run whose process is a zombie counts as dead: a code server may not reap it for a long time."""
    with running("print('ready', flush=True); input()") as process:
        run = ran(DAYS, worker=worker_of(process.pid))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert end_dead_runs(it.instance) == [run.run_id]


def test_a_reused_pid_does_not_keep_a_run_alive(it: DagsterEnv, ran: Ran) -> None:
    """A reused PID doesn't keep a run alive: the boot id or the start time of the process differs."""
    boot, namespace, pid, started = this_process().split()
    alive = ran(DAYS, worker=this_process())
    later = ran(DAYS, worker=f"{boot} {namespace} {pid} {int(started) - 1}")
    restarted = ran(DAYS, worker=f"{OTHER_BOOT} {namespace} {pid} {started}")

    assert set(end_dead_runs(it.instance)) == {later.run_id, restarted.run_id}
    found = it.instance.get_run_by_id(alive.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.STARTED


def test_a_run_that_may_be_alive_is_not_ended(it: DagsterEnv, ran: Ran) -> None:
    """A run is not ended if its tag is missing, invalid, from another PID namespace, or copied from another run."""
    for worker in ("", "nonsense", f"{this_boot()} pid:[1] 1 1"):
        ran(DAYS, worker=worker)
    boot, namespace, _, _ = this_process().split()
    copied = {WORKER_TAG: f"another-run {boot} {namespace} {2**22} 1"}
    it.instance.add_run(dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.STARTED, tags=copied))

    assert end_dead_runs(it.instance) == []


def test_another_boot_id_on_a_shared_database_does_not_end_a_run(ran: Ran, it: DagsterEnv) -> None:
    """With PostgreSQL a run with another boot id may be on another machine, so it is not ended."""
    with dg.DagsterInstance.ephemeral() as shared:
        run_id = str(uuid4())
        tags = {WORKER_TAG: f"{run_id} {OTHER_BOOT} pid:[1] 1 1"}
        shared.add_run(dg.DagsterRun(run_id=run_id, job_name="any", status=dg.DagsterRunStatus.STARTED, tags=tags))

        assert end_dead_runs(shared) == []


# --- definitions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", Period, ids=lambda period: period.adverb)
def test_schedules_are_off_and_tick_every_morning_in_beijing(period: Period, it: DagsterEnv) -> None:
    """Schedules are off by default, run every morning in Beijing time, and describe what switching them on does."""
    schedule = build_defs().resolve_schedule_def(f"default_{period.adverb}")

    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 8-12 * * *", "Asia/Shanghai")
    assert "whole history" in (schedule.description or "")
