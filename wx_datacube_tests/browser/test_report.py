"""The report in Chromium: charts, selection by mouse and keyboard, both languages, on a phone and in print."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Family
from wx_datacube.config.settings import Account
from wx_datacube.operations.report.figures import read_figures
from wx_datacube.operations.report.page import render
from wx_datacube.operations.report.words import LANGUAGES
from wx_datacube_tests.browser.conftest import SCREENSHOTS
from wx_datacube_tests.ingesting import Shop, shop
from wx_datacube_tests.years import TODAY, years

pytestmark = pytest.mark.browser

FIRST = dt.date(2026, 1, 1)
CHARTS = ["trend", "types", "hours", "senders", "calendar"]


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An emulated account with all data of the year so far."""
    with shop(tmp_path_factory.mktemp("report"), start=FIRST, messages_per_day=300) as made:
        made.bring_everything_in()
        made.warehouse.publish()
        yield made


class Reader:
    """Opens a report; records its requests and its console messages."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-drawn]")

    @property
    def chosen(self) -> str:
        """The report's text about the selected range."""
        return self.page.locator("#chosen").text_content() or ""

    def button(self, name: str) -> Locator:
        """Return a button by its text."""
        return self.page.get_by_role("button", name=name, exact=True)


@pytest.fixture(scope="module")
def written(it: Shop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report in each language."""
    folder = tmp_path_factory.mktemp("pages")
    with it.warehouse.open_published() as con:
        figures = read_figures(con, Account("shop", start=FIRST), it.now, None, None)
    for language in LANGUAGES:
        folder.joinpath(f"{language}.html").write_text(
            render(figures, language, it.warehouse.database, it.now), "utf-8"
        )
    return {language: folder / f"{language}.html" for language in LANGUAGES}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page without a network."""
    context = browser.new_context(viewport={"width": 900, "height": 1230}, offline=True)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_is_drawn_offline_without_console_errors(
    language: str, written: dict[str, Path], page: Page
) -> None:
    """Five charts are drawn, the console stays empty, and the only request is for the file itself."""
    reader = Reader(page, written[language])

    drawn = {name: page.locator(f"#{name} svg path").count() for name in CHARTS}
    page.screenshot(path=SCREENSHOTS / "report" / f"{language}.png")
    page.screenshot(path=SCREENSHOTS / "report" / f"{language}-whole.png", full_page=True)
    assert [name for name, marks in drawn.items() if marks < 5] == []
    assert reader.complaints == []
    assert reader.requests == [written[language].as_uri()]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [900, 390], ids=["desk", "phone"])
def test_axe_finds_nothing(width: int, language: str, written: dict[str, Path], page: Page) -> None:
    """axe finds no violation, and on a phone nothing is wider than the screen."""
    page.set_viewport_size({"width": width, "height": 800})
    Reader(page, written[language])

    found = Axe().run(page)
    assert [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    widths = page.eval_on_selector_all(".chart svg", "all => all.map(svg => svg.getBoundingClientRect().width)")
    assert len(widths) == len(CHARTS)
    assert max(widths) <= width


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of an account of all families in each language; a week of reading is missing."""
    folder = tmp_path_factory.mktemp("families")
    with shop(folder, start=dt.date(2026, 9, 1), messages_per_day=200) as made:
        made = made.with_(account=replace(made.ingest.account, families=tuple(Family)))
        for endpoint in ENDPOINTS:
            labels = made.labels(endpoint)
            made.fetch_missing(endpoint, labels[:20] + labels[27:] if endpoint is DAILY_READING else labels)
        made.warehouse.publish()
        with made.warehouse.open_published() as con:
            figures = read_figures(con, made.ingest.account, made.now, None, None)
        for language in LANGUAGES:
            folder.joinpath(f"{language}.html").write_text(
                render(figures, language, made.warehouse.database, made.now), "utf-8"
            )
    return {language: folder / f"{language}.html" for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [900, 390], ids=["desk", "phone"])
def test_the_pages_of_all_families_are_drawn(width: int, language: str, families: dict[str, Path], page: Page) -> None:
    """All charts are drawn, a missing week breaks a line, axe finds nothing, and nothing is wider than the screen."""
    page.set_viewport_size({"width": width, "height": 800})
    reader = Reader(page, families[language])
    page.screenshot(path=SCREENSHOTS / "report" / f"{language}-{width}-families.png", full_page=True)

    drawn = {name: page.locator(f"#{name} svg path").count() for name in [*CHARTS, "followers", "readers"]}
    assert [name for name, marks in drawn.items() if marks < 5] == []
    (line,) = page.locator("#readers svg .mark-line path").evaluate_all("all => all.map(p => p.getAttribute('d'))")
    assert str(line).count("M") == 2
    assert [(each["id"], each["nodes"][0]["html"]) for each in Axe().run(page).response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert reader.complaints == []
    assert reader.requests == [families[language].as_uri()]


def test_brushing_the_overview_selects_a_range(it: Shop, written: dict[str, Path], page: Page) -> None:
    """Dragging over the overview redraws both panels and updates the totals of the range and the one before."""
    reader = Reader(page, written["en"])
    assert reader.button("90 days").get_attribute("aria-pressed") == "true"
    before, lines = (
        reader.chosen,
        page.locator("#trend svg path").evaluate_all("all => all.map(p => p.getAttribute('d'))"),
    )
    page.locator("#trend").scroll_into_view_if_needed()
    box = page.locator("#trend svg").bounding_box()
    assert box is not None

    y = box["y"] + box["height"] - 40
    page.mouse.move(box["x"] + box["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=5)
    page.mouse.up()
    page.wait_for_function("text => document.getElementById('chosen').value !== text", arg=before)

    said = re.fullmatch(
        r"(\S+) to (\S+): ([\d,]+) messages, ([\d,]+) users per day; previous (\d+) days: ([\d,]+) messages, .*",
        reader.chosen,
    )
    assert said is not None
    first, last = (dt.date.fromisoformat(said[place]) for place in (1, 2))
    days = (last - first).days + 1
    assert 50 < days < 80
    assert int(said[5]) == days
    for place, begin in ((3, first), (6, first - dt.timedelta(days))):
        sent = [len(list(it.emulated.world.messages(begin + dt.timedelta(count)))) for count in range(days)]
        assert int(said[place].replace(",", "")) == sum(sent)
    assert reader.button("90 days").get_attribute("aria-pressed") == "false"
    assert page.locator("#trend svg path").evaluate_all("all => all.map(p => p.getAttribute('d'))") != lines
    assert reader.complaints == []


def test_the_keyboard_selects_a_range(written: dict[str, Path], page: Page) -> None:
    """The Tab key reaches the buttons, and Enter selects a range."""
    reader = Reader(page, written["zh"])
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "近 30 天":
            break
    page.keyboard.press("Enter")

    page.wait_for_function("document.getElementById('chosen').value.startsWith('2026-10-25 至 2026-11-23')")
    assert reader.button("近 30 天").get_attribute("aria-pressed") == "true"
    reader.button("全部").click()
    page.wait_for_function("document.getElementById('chosen').value.startsWith('2026-01-0')")
    assert re.search("此前 327 天：无数据$", reader.chosen)
    assert reader.complaints == []


def test_charts_fit_a_rotated_phone(written: dict[str, Path], page: Page) -> None:
    """After a phone is turned, charts have the new width and the selected range is kept."""
    page.set_viewport_size({"width": 390, "height": 800})
    reader = Reader(page, written["en"])
    reader.button("30 days").click()
    page.wait_for_function("document.querySelector('[data-days=\"30\"]').ariaPressed === 'true'")
    narrow, said = page.locator("#types svg").bounding_box(), reader.chosen

    page.set_viewport_size({"width": 800, "height": 390})
    page.wait_for_function("document.querySelector('#calendar svg').getBoundingClientRect().width > 600")
    wide = page.locator("#types svg").bounding_box()
    assert narrow is not None
    assert wide is not None
    assert wide["width"] > narrow["width"] + 300
    assert reader.chosen == said


def test_the_report_prints_on_a_few_pages(written: dict[str, Path], page: Page, tmp_path: Path) -> None:
    """The report prints on a few pages, without buttons."""
    Reader(page, written["zh"])
    page.emulate_media(media="print")
    assert not page.locator(".buttons").is_visible()

    printed = page.pdf(format="A4")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 8


def test_twelve_years_are_drawn_within_two_seconds(page: Page, tmp_path: Path) -> None:
    """All charts of twelve years take less than two seconds of the page's CPU time."""
    warehouse = years(tmp_path)
    with warehouse.open_published() as con:
        figures = read_figures(con, Account("shop", start=HISTORY_START), TODAY, None, None)
    path = tmp_path / "report.html"
    path.write_text(render(figures, "zh", warehouse.database, TODAY), "utf-8")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    Reader(page, path)

    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    assert 0.05 < metrics["ThreadTime"] < 2


def test_a_screen_reader_gets_the_figures(written: dict[str, Path], page: Page) -> None:
    """Tables have headers, charts are images with a description, and a new selection is announced."""
    Reader(page, written["en"])

    assert page.get_by_role("table").count() >= 5
    assert {page.locator(f"#{name}").get_attribute("role") for name in CHARTS} == {"img"}
    assert page.get_by_role("img", name="Busiest: ").count() == 1
    assert page.get_by_role("img", name="All data that is due is stored.").count() == 1
    assert page.locator("#chosen").get_attribute("aria-live") == "polite"
    assert page.get_by_role("columnheader", name="vs. 7 days earlier").count() == 1
