"""Schedules and deaths in Dagster's UI, seen in a real browser: what a minute brings, and what `kill -9` leaves.

Apart from `test_ui`, so that both are waited for at the same time: ticks come once a minute. The schedule that is
looked at last but one has ticked twice by then.
"""

import datetime as dt
import os
import signal
from collections.abc import Iterator

import pytest

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.emulator.testing import Emulated
from wx_datacube.orchestration.runs import WORKER_TAG
from wx_datacube_tests.browser.person import Person
from wx_datacube_tests.end_to_end.project import wait_until

pytestmark = pytest.mark.browser
DAYS = BY_NAME["getupstreammsg"]


# --- deaths -----------------------------------------------------------------------------------------------------


def test_after_a_killed_run_a_backfill_still_starts(
    person: Person, switched_on: None, emulated: Emulated, today: dt.date
) -> None:
    """`kill -9` of a run: its code server notices and marks it failed, and the next run of the asset is green."""
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


# --- mornings ---------------------------------------------------------------------------------------------------


def test_a_schedule_requests_what_is_to_do_and_then_skips(person: Person, switched_on: None) -> None:
    """Four or five weeks of two endpoints are one run; after it a tick says that all is there."""
    person.open("/locations/minutely/schedules/minutely__weeks_weekly")

    person.sees("1 run requested")
    wait_until(lambda: {run["status"] for run in person.runs("minutely", "weeks", "getupstreammsgweek")} == {"SUCCESS"})
    wait_until(
        lambda: {run["status"] for run in person.runs("minutely", "weeks", "getupstreammsgdistweek")} == {"SUCCESS"}
    )
    (run,) = person.runs("minutely", "weeks", "getupstreammsgweek")
    assert run["tags"]["wx_datacube/reason"] == "schedule"
    reason = "Everything that is due is there and materialized."
    wait_until(lambda: person.last_skip("minutely", "minutely__weeks_weekly") == reason)
    person.open("/locations/minutely/schedules/minutely__weeks_weekly")
    newest = person.page.get_by_role("row").filter(has_text="View logs").first
    newest.get_by_text("0 runs requested").last.click()
    person.sees(reason)


@pytest.fixture
def unpublished(emulated: Emulated) -> Iterator[None]:
    """WeChat has published nothing yet."""
    emulated.control.fault("*", "61503")
    yield
    emulated.control.clear_faults()


def test_a_silent_morning_stays_green(person: Person, unpublished: None) -> None:
    """WeChat has nothing yet: runs end well, nothing is materialized, and the next tick tries again."""
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

    person.sees("0 of 1 day there")
    person.sees("Success")
    assert {person.stats("minutely", "silent", name)["numMaterialized"] for name in endpoints} == {0}
