"""Backfill: it fetches everything pending and nothing else, newest first, and reports how it ended.

Add a test here for a rule about order, refresh, replay or exit codes. Tests that need real processes belong in
`end_to_end`.
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.periods import beijing_now
from wx_datacube.cli import main
from wx_datacube.cli.backfill import run_backfill
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.ingest.service import Ingest
from wx_datacube.operations.backfill import Backfill, check_account
from wx_datacube.operations.backfill_protocol import Backlog, Batch, Run, Runs, Scope
from wx_datacube.orchestration.backfill_runs import DagsterRuns
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.runs import REASON_TAG
from wx_datacube.warehouse.coverage import State
from wx_datacube_tests.dagster_environment import (
    DAYS,
    HOURS,
    SENDERS,
    WEEKS,
    DagsterEnv,
    asset_key,
    labels,
)
from wx_datacube_tests.ingesting import RecordingListener
from wx_datacube_tests.wrapped_output import unwrapped

START, END = dt.date(2024, 3, 1), dt.date(2024, 3, 10)
DAILY = (DAYS, SENDERS, HOURS)


@pytest.fixture
def emulated(it: DagsterEnv) -> Iterator[Emulated]:
    """Configure the project for an account with silent days."""
    with wechat(silent_share=0.2, seed=5) as running:
        it.use(running, START=START)
        yield running


def backfill(it: DagsterEnv, **scope: object) -> Backfill:
    """Return a backfill of ten days of March 2024, unless `scope` differs."""
    given = {"start": START, "end": END, "endpoints": DAILY} | scope
    return backfill_in(it.instance, it, Scope(**given))  # type: ignore[arg-type]


def backfill_in(instance: dg.DagsterInstance, it: DagsterEnv, scope: Scope) -> Backfill:
    """Return a backfill whose Dagster runs are in this process; `run_backfill` uses another process for them."""
    settings, account, now = it.settings, it.settings.account(), beijing_now()
    runs = DagsterRuns(instance, settings, account, scope, now)
    return Backfill(runs, Ingest.of(settings, account), scope, now, RecordingListener())


def fetching(it: DagsterEnv, **scope: object) -> Backfill:
    """Return the same backfill without Dagster runs."""
    given = {"start": START, "end": END, "endpoints": DAILY} | scope
    return it.fetching(Scope(**given))  # type: ignore[arg-type]


def recorded(done: Backfill) -> RecordingListener:
    """Return the listener that recorded a backfill."""
    assert isinstance(done.listener, RecordingListener)
    return done.listener


def asked(emulated: Emulated) -> int:
    """Return the number of statistics calls so far."""
    return len(emulated.control.statistics_calls())


def test_everything_due_is_stored_and_materialized(it: DagsterEnv, emulated: Emulated) -> None:
    """Every due label is landed, empty or implied, and materialized; the plan was enough."""
    done = backfill(it, endpoints=ENDPOINTS)
    states = done.run()

    ((todo, calls),) = recorded(done).plans
    assert todo == sum(map(len, states.values()))
    assert asked(emulated) <= calls
    assert {state for found in states.values() for state in found.values()} == {"landed", "empty", "implied"}
    for endpoint, found in states.items():
        assert it.materialized(endpoint) == set(found)
    assert done.failures == []


def test_a_repeated_backfill_does_nothing(it: DagsterEnv, emulated: Emulated) -> None:
    """The same backfill again makes no call and no run."""
    backfill(it).run()
    calls, runs = asked(emulated), it.instance.get_runs_count()

    again = backfill(it)
    again.run()

    assert recorded(again).plans == [(0, 0)]
    assert (asked(emulated), it.instance.get_runs_count()) == (calls, runs)


@pytest.mark.long
def test_a_file_that_lacks_partitions_of_dagsters_history_draws_a_warning(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """`backfill` and `doctor` warn if Dagster knows more partitions than the file holds, as with an unmounted disk."""
    with project_instance(it.folder) as instance:
        backfill_in(instance, it, Scope(START, END, [DAYS, SENDERS])).run()
        it.use(emulated, START=START, DATABASE="elsewhere/figures.duckdb")
        again = backfill_in(instance, it, Scope(START, END, [DAYS, SENDERS]))
        again.run()
        assert main.run(["doctor"]) == 0
        it.use(emulated, START=START, DATABASE="a third/figures.duckdb")
        assert main.run(["doctor"]) == 1

    (said,) = recorded(again).messages
    assert str(said).startswith("Dagster shows 20 partitions of default as materialized, but only 0 are in ")
    assert "a disk that is not mounted" in str(said)
    assert "Dagster shows 20 partitions of default as materialized, but only " in unwrapped(capsys.readouterr().out)


@pytest.mark.long
def test_keys_with_a_prefix_are_materialized_under_it(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A backfill materializes under each key prefix in Dagster's history, and under no other key."""
    keys = [dg.AssetKey([*prefix, "default", DAYS.name]) for prefix in (["wechat"], ["a", "b"])]
    with project_instance(it.folder) as instance:
        for key in keys:
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=str(START)))

    assert ended(it, capsys, endpoints=[DAYS], refresh=True)[0] == 0
    code = main.run(["doctor"])
    said = unwrapped(capsys.readouterr().out)

    with project_instance(it.folder) as instance:
        assert [len(instance.get_materialized_partitions(key)) for key in keys] == [10, 10]
        assert not instance.has_asset_key(asset_key(DAYS))
    assert code == 0
    assert "Schedules that are off: a__b__default_daily, a__b__default_weekly" in said


@pytest.mark.parametrize("start", [dt.date(2024, 2, 20), dt.date(2024, 3, 5)], ids=["earlier", "later"])
def test_a_changed_start_reaches_readers_without_pending_labels(
    it: DagsterEnv, emulated: Emulated, start: dt.date
) -> None:
    """A changed WX_DATACUBE_START reaches `coverage` and `status` even if nothing is pending."""
    fetching(it).run()
    calls = asked(emulated)
    it.use(emulated, START=start)
    fetching(it).run()

    with it.warehouse.open_published() as con:
        first = con.execute("SELECT min(label) FROM datacube.coverage WHERE endpoint = 'getupstreammsg'").fetchall()
        assert first == con.execute("SELECT start_date FROM datacube.accounts").fetchall() == [(start,)]
    assert asked(emulated) == calls


def test_the_newest_labels_are_requested_first_and_hours_last(it: DagsterEnv, emulated: Emulated) -> None:
    """Each endpoint makes its newest call before any older one; then the cheap endpoints go before the hours."""
    emulated.control.set(silent_share=0)
    it.configure(API_URL=emulated.api_url, APPID=emulated.appid, SECRET=emulated.secret, START=START, CONCURRENCY=1)
    fetching(it, end=dt.date(2024, 4, 5), endpoints=ENDPOINTS).run()
    calls = emulated.control.statistics_calls()
    newest = [call.endpoint for call in calls[: len(ENDPOINTS)]]
    hours = [place for place, call in enumerate(calls) if call.endpoint == HOURS.name]

    assert set(newest) == {endpoint.name for endpoint in ENDPOINTS}
    assert calls[hours[0]].begin == "2024-04-05"
    beside = {call.endpoint for call in calls[hours[1] :]} - {HOURS.name}
    assert len(beside) <= 1


def test_fetching_does_not_wait_for_dagster(it: DagsterEnv, emulated: Emulated) -> None:
    """Fetching continues while Dagster is slow; then one run per endpoint materializes everything fetched so far."""
    done = backfill(it)

    @dataclass
    class Slow:
        """Dagster's side, which blocks until everything is fetched."""

        runs: Runs

        def backlog(self) -> Backlog:
            """Wait until everything is fetched."""
            while len({report.endpoint for report in done.reports if report.labels[0].label == START}) < len(DAILY):
                time.sleep(0.05)
            time.sleep(0.2)
            return self.runs.backlog()

        def materialize(self, batch: Batch) -> Iterator[Run]:
            """Delegate to the real runs."""
            return self.runs.materialize(batch)

    done.runs = Slow(done.runs)
    states = done.run()

    assert sorted(run[0].name for run in recorded(done).runs) == sorted(endpoint.name for endpoint in DAILY)
    assert {run[1:] for run in recorded(done).runs} == {(START, END)}
    assert {state for found in states.values() for state in found.values()} <= {"landed", "empty", "implied"}


def test_hours_of_silent_days_are_not_requested(it: DagsterEnv, emulated: Emulated) -> None:
    """Days are requested first, so that hours of silent days are not requested."""
    states = fetching(it).run()
    silent = [label for label, state in states[DAYS].items() if state is State.EMPTY]

    assert silent
    assert len(emulated.control.calls(HOURS.name)) == len(states[HOURS]) - len(silent)
    assert {states[HOURS][label] for label in silent} == {State.IMPLIED}


@pytest.mark.long
def test_hours_wait_for_days_that_could_not_be_requested(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours and distributions wait until it is known whether their day is silent."""
    emulated.control.set_quota(1, DAYS.name)

    code, _ = ended(it, capsys)
    assert code == 3
    known = {call.begin for call in emulated.control.calls(HOURS.name)}
    assert known <= {str(day) for day in labels(DAYS, dt.date(2024, 3, 4), END)}

    emulated.control.set_quota(100, DAYS.name)
    assert ended(it, capsys) == (0, "")
    with it.warehouse.open_published() as con:
        silent = con.execute("SELECT count(*) FROM datacube.coverage WHERE state = 'implied'").fetchall()
    assert len(emulated.control.calls(HOURS.name)) == 10 - silent[0][0] // 2


@pytest.mark.long
@pytest.mark.parametrize("denied", [[DAYS.name], [HOURS.name], [WEEKS.name], ["*"]], ids=lambda denied: denied[0])
def test_an_endpoint_that_is_not_granted_costs_one_call(it: DagsterEnv, emulated: Emulated, denied: list[str]) -> None:
    """A refused endpoint makes one call, and none for older labels or for endpoints that depend on failed days."""
    emulated.control.set(denied=denied, silent_share=0)
    done = fetching(it, end=dt.date(2024, 5, 12), endpoints=ENDPOINTS)
    done.run()

    refused = Counter(call.endpoint for call in emulated.control.statistics_calls() if call.errcode == 48001)
    if denied == ["*"]:
        assert refused == Counter({endpoint.name for endpoint in ENDPOINTS} - {HOURS.name, SENDERS.name})
    else:
        assert refused == Counter(denied)
    undone = {report.endpoint.name for report in done.reports if report.unresolved}
    assert undone == (
        {each.name for each in ENDPOINTS}
        if denied == ["*"]
        else {*denied, *_HANG_ON_DAYS}
        if DAYS.name in denied
        else {*denied}
    )


def test_skipped_dependent_calls_are_not_host_failures(it: DagsterEnv, emulated: Emulated) -> None:
    """If only calls for days fail, weeks and months still land: skipped dependent calls aren't host failures."""
    emulated.control.set(silent_share=0, faults=[f"{DAYS.name}=-1"])
    done = fetching(it, start=dt.date(2024, 3, 31), end=dt.date(2024, 4, 1), endpoints=ENDPOINTS)
    states = done.run()

    landed = {endpoint for endpoint, found in states.items() if set(found.values()) == {State.LANDED}}
    assert landed == set(ENDPOINTS) - {DAYS, HOURS, SENDERS}
    assert {call.endpoint for call in emulated.control.statistics_calls()}.isdisjoint({HOURS.name, SENDERS.name})


_HANG_ON_DAYS = {endpoint.name for endpoint in ENDPOINTS if endpoint.implied_by_silence}


def test_an_interrupted_refresh_is_materialized_as_a_whole(it: DagsterEnv, emulated: Emulated) -> None:
    """After an interrupted refresh the next one also materializes what was refreshed before the interruption."""
    fetching(it, endpoints=[HOURS]).run()
    ingest = Ingest.of(it.settings, it.settings.account())
    again = ingest.begin_refresh({HOURS: labels(HOURS, START, END)}, START, END)[HOURS]
    ingest.fetch_missing(HOURS, again.left[5:], run_id="interrupted", refresh=again)
    calls, runs = asked(emulated), it.instance.get_runs_count()

    done = backfill(it, endpoints=[HOURS], refresh=True)
    done.run()

    assert asked(emulated) == calls + 5
    assert recorded(done).runs == [(HOURS, START, END)]
    assert it.instance.get_runs_count() == runs + 1


def test_a_backfill_covers_only_the_given_endpoints_and_dates(it: DagsterEnv, emulated: Emulated) -> None:
    """A backfill covers only the given endpoints and dates; weeks and months are selected by label."""
    states = backfill(it, endpoints=[SENDERS]).run()

    assert list(states) == [SENDERS]
    assert {call.endpoint for call in emulated.control.statistics_calls()} == {SENDERS.name}
    assert it.materialized(SENDERS) == set(labels(SENDERS, START, END))


def test_a_lost_dagster_history_is_restored_without_calls(it: DagsterEnv, emulated: Emulated) -> None:
    """A lost Dagster history is restored from the file without calls."""
    backfill(it).run()
    calls = asked(emulated)

    with dg.DagsterInstance.ephemeral() as fresh:
        backfill_in(fresh, it, Scope(START, END, DAILY)).run()
        assert fresh.get_materialized_partitions(dg.AssetKey(["default", DAYS.name]))
    assert asked(emulated) == calls


def test_a_refresh_requests_everything_again(it: DagsterEnv, emulated: Emulated) -> None:
    """A refresh stores and materializes what WeChat changed, and its runs have the reason `refresh`."""
    backfill(it).run()
    calls = asked(emulated)
    restated = emulated.control.restate(END, delta=777)

    done = backfill(it, endpoints=[DAYS], refresh=True)
    done.run()

    assert asked(emulated) == calls + 2
    assert it.metadata(DAYS, END)["messages"] == restated
    assert {run.tags[REASON_TAG] for run in it.instance.get_runs(limit=1)} == {"refresh"}
    assert done.failures == []


def test_replay_rebuilds_the_same_tables(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay rebuilds the same tables from the ledger, without a call."""
    fetching(it).run()
    tables = [f"FROM datacube.{name} ORDER BY ALL" for name in (*BY_NAME, "coverage", "revisions", "rejected_rows")]
    with it.warehouse.open_published() as con:
        before, calls = [con.execute(table).fetchall() for table in tables], asked(emulated)

    assert main.run(["replay"]) == 0
    assert f"from {calls} calls" in capsys.readouterr().out
    with it.warehouse.open_published() as con:
        assert [con.execute(table).fetchall() for table in tables] == before
    assert asked(emulated) == calls


def test_replay_skips_and_names_unreadable_calls(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay skips and names unreadable calls, and the next backfill requests their days again."""
    fetching(it, endpoints=[HOURS]).run()
    calls = asked(emulated)
    with it.warehouse.transaction() as con:
        con.execute("UPDATE datacube.api_calls SET response = left(response, 40) WHERE call_id = 3")
        con.execute("UPDATE datacube.api_calls SET response = NULL WHERE call_id = 5")
        before = con.execute("SELECT * FROM datacube.getupstreammsghour ORDER BY ALL").fetchall()

    assert main.run(["replay"]) == 0
    assert "(call_id 3, 5)" in capsys.readouterr().err
    with it.warehouse.open_published() as con:
        after = con.execute("SELECT * FROM datacube.getupstreammsghour ORDER BY ALL").fetchall()
    assert after == [row for row in before if row[-1] not in {3, 5}]

    fetching(it, endpoints=[HOURS]).run()
    assert asked(emulated) == calls + 2
    with it.warehouse.open_published() as con:
        again = con.execute("SELECT * FROM datacube.getupstreammsghour ORDER BY ALL").fetchall()
    assert sorted(row[:-1] for row in again) == sorted(row[:-1] for row in before)


# --- exit codes and messages ------------------------------------------------------------------------------------


def ended(it: DagsterEnv, capsys: pytest.CaptureFixture[str], **scope: object) -> tuple[int, str]:
    """Return exit code and stderr of the command, in the project's own instance."""
    given = {"start": START, "end": END, "endpoints": DAILY} | scope
    settings = it.settings
    capsys.readouterr()
    code = run_backfill(settings, settings.account(), Scope(**given))  # type: ignore[arg-type]
    return code, unwrapped(capsys.readouterr().err)


@pytest.mark.long
def test_the_output_suggests_a_start_if_the_account_was_silent_at_first(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """For an account that was silent at first, the output suggests a WX_DATACUBE_START; it causes no further call."""
    emulated.control.set(silent_share=1)
    emulated.control.restate(dt.date(2024, 3, 5), delta=7)
    settings = it.settings

    assert run_backfill(settings, settings.account(), Scope(START, END, [DAYS])) == 0
    said = unwrapped(capsys.readouterr().out)
    assert "The first message was on 2024-03-05: WX_DATACUBE_START=2024-03-05 in .env saves the calls" in said

    it.use(emulated, START="2024-03-05")
    calls = asked(emulated)
    assert run_backfill(it.settings, it.settings.account(), Scope(None, END, [DAYS])) == 0
    assert "first message" not in capsys.readouterr().out
    assert asked(emulated) == calls


@pytest.mark.long
def test_a_refresh_that_the_quota_stops_exits_with_3(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refresh that the quota stops exits with 3, although every label is stored."""
    ended(it, capsys, endpoints=[DAYS])
    emulated.control.set_quota(emulated.control.used(DAYS.name) + 1, DAYS.name)

    code, said = ended(it, capsys, endpoints=[DAYS], refresh=True)

    assert code == 3
    assert "getupstreammsg: 3 of 10 are still to be requested again." in said


@pytest.mark.long
def test_a_refresh_of_several_days_continues_where_it_stopped(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command on the following days refreshes each label once; after it is done, the next one starts over."""
    ended(it, capsys, endpoints=[HOURS])
    first = emulated.control.used(HOURS.name)
    emulated.control.set_quota(first + 4, HOURS.name)

    code, said = ended(it, capsys, endpoints=[HOURS], refresh=True)
    assert code == 3
    assert "getupstreammsghour: 6 of 10 are still to be requested again." in said
    assert "Run the same command again after 00:00 Beijing time (only what is left is requested)" in said

    emulated.control.advance(dt.timedelta(days=1))
    emulated.control.set_quota(4, HOURS.name)
    assert ended(it, capsys, endpoints=[HOURS], refresh=True)[0] == 3
    emulated.control.advance(dt.timedelta(days=1))
    assert ended(it, capsys, endpoints=[HOURS], refresh=True) == (0, "")
    assert sorted(call.begin for call in emulated.control.calls(HOURS.name)[first:] if call.errcode is None) == [
        str(day) for day in labels(HOURS, START, END)
    ]

    emulated.control.set_quota(100, HOURS.name)
    calls = asked(emulated)
    assert ended(it, capsys, endpoints=[HOURS], refresh=True) == (0, "")
    assert asked(emulated) == calls + 10


def test_an_error_that_needs_a_person_exits_with_1(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """If one endpoint isn't granted, the command says what to do and exits with 1, and the others are fetched."""
    emulated.control.set(denied=[SENDERS.name])

    code, said = ended(it, capsys, endpoints=[DAYS, SENDERS])

    assert code == 1
    assert said.count("微信认证") == 1
    assert "getupstreammsgdist: " in said.splitlines()[-2]
    with it.warehouse.open_published() as con:
        stored = "SELECT DISTINCT endpoint FROM datacube.coverage WHERE state = 'landed'"
        assert con.execute(stored).fetchall() == [(DAYS.name,)]


def test_a_refused_token_call_is_not_repeated_for_every_endpoint(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused token call isn't repeated for every endpoint."""
    emulated.control.set(whitelist=["203.0.113.7"])

    code, said = ended(it, capsys, endpoints=ENDPOINTS)

    assert code == 1
    assert said.count("its address 127.0.0.1 is not whitelisted") == 1
    assert "un the same command again" in said
    assert len(emulated.control.calls("stable_token")) <= 2  # two endpoints are fetched at a time


def test_credentials_are_required_only_if_a_label_must_be_requested(it: DagsterEnv, emulated: Emulated) -> None:
    """Credentials are required only if a label must be requested."""
    backfill(it, endpoints=[DAYS]).run()
    it.configure(START=START)
    settings = it.settings

    check_account(settings, settings.account(), Scope(START, END, [DAYS]), beijing_now())
    with pytest.raises(SettingsError, match="WX_DATACUBE_APPID"):
        check_account(settings, settings.account(), Scope(START, END, [SENDERS]), beijing_now())
    with pytest.raises(SettingsError, match="WX_DATACUBE_APPID"):
        check_account(settings, settings.account(), Scope(START, END, [DAYS], refresh=True), beijing_now())


def test_an_error_in_a_fetching_thread_ends_the_backfill(it: DagsterEnv, emulated: Emulated) -> None:
    """An error in a fetching thread ends the backfill with its own message."""
    done = backfill(it, endpoints=[DAYS])
    it.warehouse.publish()
    it.warehouse.database.unlink()
    it.warehouse.database.mkdir()

    with pytest.raises(WarehouseError):
        done.run()
