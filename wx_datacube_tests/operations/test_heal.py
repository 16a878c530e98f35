"""Heal: one command refreshes what a restated day left inconsistent, with the fewest calls; then all checks pass.

Add a test here when another check can be healed by a refresh.
"""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import duckdb
import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import beijing_now, label_of
from wx_datacube.cli import main
from wx_datacube.cli.backfill import run_backfill
from wx_datacube.cli.heal import HEALABLE
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.operations.backfill_protocol import Scope
from wx_datacube.orchestration.backfill_runs import run_checks_now
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.warehouse.checks import checks_of
from wx_datacube.warehouse.ledger import last_call
from wx_datacube_tests.dagster_environment import DAYS, HOURS, DagsterEnv, asset_key

_LAST_MONTH = label_of(beijing_now().date().replace(day=1) - dt.timedelta(days=1), ENDPOINTS[3].period)
DAY = _LAST_MONTH + dt.timedelta(days=13 - _LAST_MONTH.weekday())
"""A Sunday whose week is due and lies entirely in the last month."""


@pytest.fixture
def emulated(it: DagsterEnv) -> Iterator[Emulated]:
    """Configure the project for an account with a month of history."""
    with wechat(seed=5) as running:
        it.use(running, START=_LAST_MONTH)
        yield running


def asked(emulated: Emulated) -> dict[str, int]:
    """Return the statistics calls since the last call of this function, by endpoint."""
    calls = [call.endpoint for call in emulated.control.statistics_calls()]
    emulated.control.clear_calls()
    return {name: calls.count(name) for name in BY_NAME if name in calls}


def flagged(it: DagsterEnv) -> set[str]:
    """Return the checks that fail in Dagster, as `endpoint: check`."""
    with project_instance(it.folder) as instance:
        keys = {
            dg.AssetCheckKey(asset_key(endpoint), check.name): f"{endpoint.name}: {check.name}"
            for endpoint in ENDPOINTS
            for check in checks_of(endpoint)
            if check.name in HEALABLE
        }
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
        passed = {
            keys[key]: record.event.dagster_event.asset_check_evaluation_data.passed
            for key, record in found.items()
            if record.event and record.event.dagster_event
        }
    return {name for name, each in passed.items() if not each}


def test_one_command_heals_a_day_that_changed(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """If a later day's call reveals a change, `heal` confirms the day and refreshes what was fetched before."""
    before = DAY - dt.timedelta(days=1)
    it.fetching(Scope(end=DAY)).run()
    emulated.control.restate(DAY, factor=10)
    emulated.control.restate(before, factor=10)
    it.fetching(Scope(end=DAY + dt.timedelta(days=5))).run()  # five days, whose window includes two stored ones
    run_checks_now(it.settings, "default")  # at 12:35
    assert f"{DAYS.name}: figures_were_not_revised" in flagged(it)
    asked(emulated)
    capsys.readouterr()

    assert main.run(["heal", "--check", "figures_were_not_revised"]) == 0
    said = capsys.readouterr().out
    assert asked(emulated) == {each.name: 1 for each in ENDPOINTS} | {HOURS.name: 2}
    assert "default: requesting again: failed checks: 10 labels, 8 calls" in said
    assert flagged(it) == set()
    assert main.run(["heal"]) == 0
    assert asked(emulated) == {}
    assert "nothing to heal" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_heal_fixes_sums_that_differ_after_a_restatement(
    it: DagsterEnv, emulated: Emulated, endpoint: Endpoint
) -> None:
    """If one endpoint was fetched before a restatement and others after, their sums differ, and `heal` fixes it."""
    it.fetching(Scope(endpoints=[endpoint])).run()
    emulated.control.restate(DAY, factor=10)
    it.fetching(Scope()).run()
    run_checks_now(it.settings, "default")  # at 12:35
    assert flagged(it)
    asked(emulated)

    assert main.run(["heal"]) == 0
    if endpoint is not DAYS:
        assert asked(emulated) == {endpoint.name: 1}
    else:  # the month's sum doesn't show which day is outdated
        weeks = -(-((DAY.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - _LAST_MONTH).days // 7)
        assert asked(emulated) == {each.name: weeks if each is DAYS else 1 for each in ENDPOINTS}
    assert flagged(it) == set()
    with duckdb.connect(str(it.settings.database), read_only=True) as con:
        (days,) = con.execute(f"SELECT sum(msg_count) FROM datacube.{DAYS.name} WHERE ref_date = '{DAY}'").fetchall()
        (hours,) = con.execute(
            f"SELECT sum(msg_count) FROM datacube.getupstreammsghour WHERE ref_date = '{DAY}'"
        ).fetchall()
    assert days == hours


@pytest.mark.long
def test_two_simultaneous_heals_request_no_label_twice(it: DagsterEnv, emulated: Emulated) -> None:
    """If two heals start at once, the second makes no call for labels that the first refreshed."""
    wanted = {DAYS.name: frozenset({DAY})}
    it.fetching(Scope(endpoints=[DAYS])).run()
    with it.warehouse.open_published() as con:
        scope = Scope(endpoints=[DAYS], refresh=True, labels=wanted, after_call_id=last_call(con))
    asked(emulated)

    for calls in ({DAYS.name: 1}, {}):
        assert run_backfill(it.settings, it.settings.account(), scope) == 0
        assert asked(emulated) == calls


def test_a_check_that_a_refresh_cannot_heal_exits_with_2(it: DagsterEnv, capsys: pytest.CaptureFixture[str]) -> None:
    """A check that a refresh can't heal exits with 2 and lists those that it can."""
    assert main.run(["heal", "--check", "due_labels_are_there"]) == 2
    assert "figures_were_not_revised" in capsys.readouterr().err
    assert main.run(["heal"]) == 2
    assert "Nothing is stored yet" in capsys.readouterr().err


def test_a_missing_project_folder_is_reported_first(
    it: DagsterEnv, emulated: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing project folder is reported before the planned calls."""
    it.warehouse.publish()
    it.patch.setenv("WX_DATACUBE_DATABASE", str(it.settings.database))
    (it.folder / "dagster.yaml").unlink()

    assert main.run(["heal"]) == 2
    said = capsys.readouterr()
    assert "DAGSTER_HOME" in said.err
    assert "asking again" not in said.out
    assert asked(emulated) == {}
