"""What people do in Dagster's UI, clicked in a real browser against the emulator.

A test here is about what a person sees; `test_assets` and `end_to_end` test what a run does. The tests are in the
order of their waiting times: the first ones check what finishes soonest.
"""

import datetime as dt
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.emulator.testing import Emulated
from wx_datacube_tests.browser.person import Person, Visit
from wx_datacube_tests.end_to_end.project import Project

pytestmark = pytest.mark.browser
DAYS = BY_NAME["getupstreammsg"]


# --- reading ----------------------------------------------------------------------------------------------------


def test_the_catalog_lists_seven_assets_with_their_descriptions(person: Person) -> None:
    """The list shows each asset's name, the start of its description, and its kinds."""
    person.open("/locations/wx_datacube/asset-groups/wx_shop/list")

    for endpoint in ENDPOINTS:
        expect(person.page.get_by_test_id(f"checkbox-shop/{endpoint.name}")).to_be_attached()
    person.sees("Messages that followers sent to the account on a day")
    assert person.page.get_by_role("link").filter(has_text="wx_datacube").count() >= len(ENDPOINTS)


def test_lineage_shows_the_group_of_an_account(person: Person) -> None:
    """An account's tables are shown side by side, without dependencies, with their fill level and their checks."""
    person.open("/locations/wx_datacube/asset-groups/wx_shop")

    for text in ("getupstreammsgdistweek", "Asset checks", "% filled", "WeChat", "DuckDB"):
        person.sees(text)


def test_an_overview_explains_the_table(person: Person) -> None:
    """The overview has the description in two languages, the columns, the table's name, the kinds, and the code."""
    person.open(f"/assets/shop/{DAYS.name}?view=overview")

    person.sees(DAYS.en)
    person.sees(DAYS.zh)
    for column in DAYS.columns:
        expect(person.page.get_by_text(column.name, exact=True).first).to_be_visible()
        person.sees(column.zh)
    for text in ("datacube.getupstreammsg", "wx_shop", "DuckDB", "messages.py"):
        person.sees(text)


def test_schedules_say_what_they_will_do(person: Person) -> None:
    """A schedule that is off shows when it will tick and that it fetches missing days."""
    person.open("/locations/wx_datacube/schedules/shop_daily")

    person.sees("Fetches every missing day")
    person.sees("(30 8-12 * * *)")
    person.sees("Asia/Shanghai")
    person.sees("Schedule has never run")


# --- materializing ----------------------------------------------------------------------------------------------


def test_a_range_of_days_turns_green(person: Person, thirty_days: str, emulated: Emulated, today: dt.date) -> None:
    """A range chosen under Materialize is one run with five calls and thirty materialized partitions."""
    ended = person.ended(thirty_days)
    person.open("/assets/shop/getupstreammsg?view=partitions")

    person.sees("Materialized (30)")
    person.sees("Failed (0)")
    assert (ended["status"], len(ended["runs"])) == ("COMPLETED_SUCCESS", 1)
    last = str(today - dt.timedelta(71))  # other files' tests request newer days
    assert len([call for call in emulated.control.calls("getupstreammsg") if call.end and call.end <= last]) == 5


def test_messages_and_users_are_plotted(person: Person, thirty_days: str) -> None:
    """Messages and users are plotted under descriptive names; numbers such as `call_id` are not plotted."""
    person.ended(thirty_days)
    person.open("/assets/shop/getupstreammsg?view=overview")
    person.button("Plots").click()

    for name in ("messages", "users_at_least"):
        person.page.get_by_text(name, exact=True).first.scroll_into_view_if_needed()
        person.sees(name)
    plots = person.page.locator("canvas")
    expect(plots.first).to_be_visible()
    assert person.page.get_by_text("call_id", exact=True).count() <= 1  # only as a column's name, not as a plot


def test_the_overview_counts_rows(person: Person, thirty_days: str, project: Project) -> None:
    """The row count is the number of the account's rows in the table."""
    person.ended(thirty_days)
    rows = project.query("SELECT count(*) FROM datacube.getupstreammsg WHERE account = 'shop'")[0][0]
    person.open("/assets/shop/getupstreammsg?view=overview")

    person.sees("Row count")
    person.sees(f"{rows:,}")


def test_days_weeks_and_months_go_together(person: Person, together: str) -> None:
    """A daily, a weekly and a monthly asset launched together are one run per asset, with all partitions of each."""
    ended = person.ended(together)
    person.open(f"/runs/b/{together}")

    assert (ended["status"], len(ended["runs"])) == ("COMPLETED_SUCCESS", 3)
    person.sees("Completed")
    assert person.stats("shop", "getupstreammsgdist")["numMaterialized"] == 120
    assert {person.stats("shop", name)["numFailed"] for name in ("getupstreammsgweek", "getupstreammsgmonth")} == {0}


def test_a_run_logs_one_line_per_batch(person: Person, thirty_days: str) -> None:
    """The log has one line per batch, not per call: labels, calls, rows, rate and the calls left."""
    run = person.ended(thirty_days)["runs"][0]["id"]
    person.open(f"/runs/{run}")
    person.page.get_by_placeholder("Filter…").fill("so far")

    person.sees("getupstreammsg: stored")
    person.sees("5 calls,")
    assert person.page.get_by_text("getupstreammsg: stored").count() <= 2


def test_a_backfill_stopped_by_the_quota_says_why(person: Person, cut_off: str) -> None:
    """Stored partitions are green; the run says why it stopped and how to continue, without a stack trace."""
    ended = person.ended(cut_off)
    person.open("/assets/shop/getupstreammsghour?view=partitions")
    person.page.get_by_text("Materialized (").first.wait_for()
    stats = person.stats("shop", "getupstreammsghour")
    person.sees(f"Materialized ({stats['numMaterialized']})")
    person.sees(f"Failed ({stats['numFailed']})")
    person.photograph("cut_off_partitions")
    person.open(f"/runs/{ended['runs'][0]['id']}")
    person.page.get_by_placeholder("Filter…").fill("Execution of")

    assert stats["numMaterialized"] >= 12
    assert stats["numMaterialized"] + stats["numFailed"] == 30
    person.sees("It is reset at 00:00 Beijing time")
    person.sees("Materialize > Failed and missing.")
    assert person.page.get_by_text("Stack Trace").count() == 0


@pytest.fixture(scope="package")
def gone_on(visit: Visit, cut_off: str, emulated: Emulated) -> str:
    """The id of a backfill of the failed partitions, chosen by a click after the quota was reset."""
    with visit("gone_on_launched") as person:
        person.ended(cut_off)
        emulated.control.set_quota(1000, "getupstreammsghour")
        dialog = person.materialize("shop", "getupstreammsghour")
        dialog.get_by_role("button", name="Failed", exact=True).click()
        return person.launch_backfill(dialog)


def test_a_backfill_of_the_failed_partitions_completes_the_first(person: Person, gone_on: str) -> None:
    """The second backfill completes the first: no partition is left failed or missing."""
    ended = person.ended(gone_on)
    person.open("/assets/shop/getupstreammsghour?view=partitions")

    assert ended["status"] == "COMPLETED_SUCCESS"
    person.sees("Materialized (30)")
    person.sees("Failed (0)")


# --- refresh ----------------------------------------------------------------------------------------------------


def test_a_refresh_is_launched_from_the_launchpad(
    person: Person, together: str, emulated: Emulated, today: dt.date
) -> None:
    """A refresh of one partition, configured in the launchpad, makes one more call."""
    person.ended(together)
    month = (today.replace(day=1) - dt.timedelta(1)).replace(day=1)
    before = len(emulated.control.calls("getupstreammsgmonth"))
    person.open("/assets/shop/getupstreammsgmonth?view=partitions")
    person.button("Materialize").locator("xpath=following::button[1]").click()
    person.page.get_by_role("menuitem").filter(has_text="launchpad").click()
    dialog = person.page.get_by_role("dialog").last
    dialog.get_by_placeholder("Partition").click()  # text typed before the list has loaded is lost
    person.page.get_by_text(month.isoformat(), exact=True).last.click()
    dialog.get_by_text("false", exact=True).dblclick()
    person.page.keyboard.type("true")
    person.photograph("refresh_configured")
    person.button("Materialize", dialog).click()

    person.sees(f"partition: {month}")
    person.sees("RUN_SUCCESS")
    assert len(emulated.control.calls("getupstreammsgmonth")) == before + 1


# --- checks -----------------------------------------------------------------------------------------------------


def test_a_passing_check_is_shown_as_passed(person: Person, thirty_days: str) -> None:
    """A check shows that it passed, and its description in two languages."""
    person.ended(thirty_days)
    person.open("/assets/shop/getupstreammsg?view=checks&checkDetail=no_data_before_2014_12_01")

    person.sees("Passed")
    person.sees("Nothing found.")
    person.sees("没有早于 2014-12-01 的数据")


def test_checks_are_executed_alone(person: Person, thirty_days: str, emulated: Emulated) -> None:
    """The checks of an asset are executed on their own page, without a call and without materializing anything."""
    person.ended(thirty_days)
    before = len(emulated.control.statistics_calls())
    person.open("/assets/shop/getupstreammsg?view=checks")
    person.button("Execute all").click()
    person.sees("Launched run")
    person.page.get_by_role("link", name=re.compile("^View$")).first.click()

    person.sees("RUN_SUCCESS")
    person.sees("ASSET_CHECK_EVALUATION")
    assert len(emulated.control.statistics_calls()) == before
    assert person.stats("shop", "getupstreammsg")["numMaterialized"] == 30


def test_a_flagged_check_shows_the_rows_and_how_to_heal(person: Person, dirty: str) -> None:
    """A failed check shows WeChat's row, the number of calls to heal it, and the command for it."""
    person.ended(dirty)
    person.open("/assets/old/getupstreammsgweek?view=checks")
    person.page.get_by_text("no_data_before_2014_12_01").first.click()

    person.sees("A clean answer resolves it")
    person.sees('"ref_date":"2014-11-')
    person.sees("calls to heal")
    person.sees("wx-datacube heal --account old --check no_data_before_2014_12_01")


def test_screenshots_are_kept(person: Person, project: Project) -> None:
    """There is a screenshot of every page that the tests visited."""
    began = (project.folder / ".env").stat().st_mtime
    assert len([each for each in Path(person.screenshots).glob("*.png") if each.stat().st_mtime > began]) > 10
