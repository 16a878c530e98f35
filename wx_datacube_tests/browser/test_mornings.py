"""Schedules and killed runs in Dagster's UI, in a real browser: what a tick does, and the state after `kill -9`.

These tests are separate from `test_ui` so that both files wait at the same time: ticks come once a minute. By the time
the second-to-last test looks at its schedule, it has ticked twice.
"""

import datetime as dt
import os
import signal
from collections.abc import Iterator

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.emulator.testing import Emulated
from wx_datacube.orchestration.runs import WORKER_TAG
from wx_datacube_tests.browser.person import Person
from wx_datacube_tests.end_to_end.project import wait_until

pytestmark = pytest.mark.browser
DAYS = BY_NAME["getupstreammsg"]


# --- killed runs ------------------------------------------------------------------------------------------------


def test_a_backfill_starts_after_a_run_was_killed(
    person: Person, switched_on: None, emulated: Emulated, today: dt.date
) -> None:
    """After `kill -9` of a run, its code server marks it as failed, and the asset's next run succeeds."""
    month = (today.replace(day=1) - dt.timedelta(1)).replace(day=1)
    key = ("shop", "getupstreammsgdistmonth")
    emulated.control.fault("getupstreammsgdistmonth", "delay:20")
    dialog = person.materialize(*key)
    person.choose(dialog, month, month)
    person.button("Launch", dialog).click()
    run = wait_until(lambda: next((run for run in person.runs(*key) if WORKER_TAG in run["tags"]), None))
    wait_until(lambda: emulated.control.state()["in_flight"])
    os.kill(int(run["tags"][WORKER_TAG].split()[3]), signal.SIGKILL)
    emulated.control.clear_faults()
    wait_until(lambda: [each["status"] for each in person.runs(*key) if each["id"] == run["id"]] == ["FAILURE"])
    person.open(f"/runs/{run['id']}")
    person.sees("terminated by signal 9 (SIGKILL)")
    person.photograph("killed")
    dialog = person.materialize(*key)
    person.choose(dialog, (month - dt.timedelta(1)).replace(day=1), month)
    backfill = person.launch_backfill(dialog)

    assert person.ended(backfill)["status"] == "COMPLETED_SUCCESS"
    person.open(f"/assets/{'/'.join(key)}?view=partitions")
    person.sees("Materialized (2)")
    person.sees("Failed (0)")


# --- schedules --------------------------------------------------------------------------------------------------


def test_a_schedule_requests_pending_labels_and_then_skips(person: Person, switched_on: None) -> None:
    """All missing weeks of two endpoints are one run, and the next tick is skipped because nothing is missing."""
    person.open("/locations/minutely/schedules/minutely__weeks_weekly")

    person.sees("1 run requested")
    wait_until(lambda: {run["status"] for run in person.runs("minutely", "weeks", "getupstreammsgweek")} == {"SUCCESS"})
    wait_until(
        lambda: {run["status"] for run in person.runs("minutely", "weeks", "getupstreammsgdistweek")} == {"SUCCESS"}
    )
    (run,) = person.runs("minutely", "weeks", "getupstreammsgweek")
    assert run["tags"]["wx_datacube/reason"] == "schedule"
    reason = "应有的数据均已保存并物化。 Everything that is due is stored and materialized."
    wait_until(lambda: person.last_skip("minutely", "minutely__weeks_weekly") == reason)
    person.open("/locations/minutely/schedules/minutely__weeks_weekly")
    newest = person.page.get_by_role("row").filter(has_text="View logs").first
    newest.get_by_text("0 runs requested").last.click()
    person.sees(reason)


@pytest.fixture
def unpublished(emulated: Emulated) -> Iterator[None]:
    """WeChat answers as if nothing was published yet."""
    emulated.control.fault("*", "61503")
    yield
    emulated.control.clear_faults()


def test_runs_before_publication_stay_green(person: Person, unpublished: None) -> None:
    """Before WeChat publishes, runs succeed without materializing anything, and the next tick tries again."""
    person.switch("minutely", "minutely__silent_daily")
    person.sees("1 run requested")
    person.switch("minutely", "minutely__silent_daily")
    endpoints = [endpoint.name for endpoint in ENDPOINTS if endpoint.period is DAYS.period]
    wait_until(
        lambda: all(
            {run["status"] for run in person.runs("minutely", "silent", name)} == {"SUCCESS"} for name in endpoints
        )
    )
    (run, *_) = person.runs("minutely", "silent", DAYS.name)
    person.open(f"/runs/{run['id']}")

    person.sees("0 of 1 day stored")
    person.sees("Success")
    assert {person.stats("minutely", "silent", name)["numMaterialized"] for name in endpoints} == {0}
