"""Dagster's UI in a browser: one emulator, one `wx-datacube ui` and one Chromium for all tests of this folder.

Each test scenario has its own account. `shop` is ordinary and has 120 days. `old` begins in 2014, when WeChat sent
dirty rows. `weeks` and `silent` belong to a second code location whose schedules tick every minute. Work that has to
wait for Dagster's own timers is started first and checked last.
"""

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.browser.person import Person, Visit
from wx_datacube_tests.end_to_end.project import Project, Ui, free_port, wait_until
from wx_datacube_tests.end_to_end.test_commands import token_server

HERE = Path(__file__).parent
SCREENSHOTS = HERE / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 120
"""Seconds to wait for expected content of a page: schedules tick once a minute, and the machine may be busy."""
QUIET = ("background-networking", "component-update", "sync", "gpu")
MINUTELY = """
import dagster as dg
from wx_datacube.definitions import build_defs
defs = dg.Definitions.merge(
    build_defs(accounts=["weeks", "silent"], key_prefix=["minutely"], cron_schedule="* * * * *"),
    dg.Definitions(executor=dg.in_process_executor),
)
"""
WORKSPACE = """
  - python_file:
      relative_path: minutely.py
      location_name: minutely
"""
BEGINS = ("cut_off", "thirty_days", "together", "dirty", "switched_on")
"""Fixtures that click something which takes Dagster half a minute."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or another; without one, tests are skipped, but fail in CI."""
    if CHROMIUM is None:
        if "CI" in os.environ or "CI_RUN_MARK" in os.environ:
            pytest.fail("CI has to have chromium: .ci/run installs it")
        pytest.skip("no chromium")
    options = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in QUIET)]
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()


@pytest.fixture(scope="package")
def emulated() -> Iterator[Emulated]:
    """WeChat with dirty rows around 2014-12-01, where everything due is published at any time of day."""
    with wechat(dirty_rows=True, publish_at="00:00", silent_share=0) as running:
        yield running


@pytest.fixture(scope="package")
def today() -> dt.date:
    """The Beijing date on which the tests started."""
    return beijing_now().date()


@pytest.fixture(scope="package")
def tokens(emulated: Emulated) -> Iterator[str]:
    """A token server: to WeChat the four accounts are one, and a file allows only one name per AppID."""
    with token_server(emulated) as url:
        yield url


@pytest.fixture(scope="package")
def project(emulated: Emulated, tokens: str, today: dt.date, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project folder with four accounts, which are one account to WeChat."""
    days = {"shop": 120, "weeks": 30, "silent": 1}
    starts = {"old": dt.date(2014, 12, 1)} | {name: today - dt.timedelta(back) for name, back in days.items()}
    settings: dict[str, object] = {"API_URL": emulated.api_url, "ACCOUNTS": ",".join(starts)}
    for name, start in starts.items():
        account = {"TOKEN_URL": f"{tokens}&of={name}", "START": start}
        settings |= {f"{name.upper()}_{field}": value for field, value in account.items()}
    made = Project.make(tmp_path_factory.mktemp("browser") / "project", **settings)
    made.folder.joinpath("pyproject.toml").unlink()  # its [tool.dg] would take precedence over workspace.yaml
    made.folder.joinpath("minutely.py").write_text(MINUTELY)
    with made.folder.joinpath("workspace.yaml").open("a") as workspace:
        workspace.write(WORKSPACE.lstrip("\n"))
    return made


@pytest.fixture(scope="package")
def ui(project: Project, browser: Browser) -> Iterator[Ui]:
    """`wx-datacube ui`, which `make ui` runs, once it answers."""
    found = Ui(free_port())
    with (
        project.folder.with_suffix(".log").open("w") as log,
        project.started(project.command("ui", "--port", str(found.port)), log),
    ):
        wait_until(found.is_there)
        yield found


@pytest.fixture(scope="package")
def visit(browser: Browser, ui: Ui) -> Visit:
    """Opens a new page; at the end it takes a screenshot and asserts that the console has no error."""

    @contextmanager
    def somebody(name: str) -> Iterator[Person]:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        person = Person(page, ui, SCREENSHOTS / "ui")
        person.listen()
        try:
            yield person
        finally:
            person.photograph(name)
            page.close()
        assert person.complaints == []  # plain Dagster logs no error on the console either

    return somebody


@pytest.fixture
def person(visit: Visit, request: pytest.FixtureRequest) -> Iterator[Person]:
    """The person of a test, on a new page."""
    with visit(request.node.name) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    """Make the clicks that a module's tests wait for before its first test, so that all tests wait at the same time."""
    ours = [item for item in request.session.items if item.path == request.path]
    for name in BEGINS:
        if any(name in getattr(item, "fixturenames", ()) for item in ours):
            request.getfixturevalue(name)


# --- started first ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="package")
def cut_off(visit: Visit, emulated: Emulated, today: dt.date) -> str:
    """The id of a backfill of thirty days of hours, launched with twelve calls left in the quota."""
    emulated.control.set_quota(12, "getupstreammsghour")
    with visit("cut_off_launched") as person:
        dialog = person.materialize("shop", "getupstreammsghour")
        person.button("Show all partitions", dialog).click()
        person.choose(dialog, today - dt.timedelta(30), today - dt.timedelta(1))
        return person.launch_backfill(dialog)


@pytest.fixture(scope="package")
def thirty_days(visit: Visit, today: dt.date) -> str:
    """The id of a backfill of thirty days of messages, partly older than the ninety days that the dialog shows."""
    with visit("thirty_days_launched") as person:
        dialog = person.materialize("shop", "getupstreammsg")
        person.sees("Showing the last 90 days")
        person.button("Show all partitions", dialog).click()
        person.choose(dialog, today - dt.timedelta(100), today - dt.timedelta(71))
        person.photograph("thirty_days_chosen")
        return person.launch_backfill(dialog)


@pytest.fixture(scope="package")
def together(visit: Visit) -> str:
    """The id of a backfill of a daily, a weekly and a monthly asset, selected in the list."""
    with visit("together_launched") as person:
        person.open("/locations/wx_datacube/asset-groups/wx_shop/list")
        for name in ("getupstreammsgdist", "getupstreammsgweek", "getupstreammsgmonth"):
            box = person.page.get_by_test_id(f"checkbox-shop/{name}")
            person.page.locator("label").filter(has=box).click()
        person.button("Materialize selected (3)").click()
        return person.launch_backfill(person.page.get_by_role("dialog").last)


@pytest.fixture(scope="package")
def dirty(visit: Visit) -> str:
    """The id of a backfill of the first four weeks of WeChat's history."""
    with visit("dirty_launched") as person:
        dialog = person.materialize("old", "getupstreammsgweek")
        person.button("Show all partitions", dialog).click()
        person.choose(dialog, dt.date(2014, 12, 1), dt.date(2014, 12, 22))
        return person.launch_backfill(dialog)


@pytest.fixture(scope="package")
def switched_on(visit: Visit) -> None:
    """The weekly schedule of the second code location, turned on."""
    with visit("switched_on") as person:
        person.switch("minutely", "minutely__weeks_weekly")
        person.sees("Next tick")
