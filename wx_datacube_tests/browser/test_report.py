"""The report in Chromium: its controls, figures, languages, marks, downloads and print, and what axe says.

Figures are compared with the emulator's world, as `expected` counts it. Tests of the document inside the page are in
`operations/test_report.py`.
"""

import datetime as dt
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.followers import DAILY_FOLLOWERS
from wx_datacube.catalog.messages import HOURLY_MESSAGES, MESSAGES_OF, MSG_TYPE
from wx_datacube.catalog.model import HISTORY_START, Family, Period
from wx_datacube.config.settings import Account
from wx_datacube.language import Language
from wx_datacube.operations.report.figures import Figures, read_figures
from wx_datacube.operations.report.overview import overview_row, render_overview
from wx_datacube.operations.report.page import render
from wx_datacube.operations.report.words import WORDS
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.browser.conftest import SCREENSHOTS
from wx_datacube_tests.browser.expected import (
    DAY,
    NAMES,
    Article,
    Expected,
    Range,
    changed,
    day_text,
    days_from,
    number,
    rounded,
    runs,
    shown,
)
from wx_datacube_tests.browser.reader import Reader, reading
from wx_datacube_tests.ingesting import MORNING, Shop, shop
from wx_datacube_tests.years import TODAY, years

pytestmark = pytest.mark.browser

FIRST, LAST = dt.date(2025, 11, 1), dt.date(2026, 11, 23)
TITLE = "好物周刊"
PAGES = ("overview", "followers", "articles", "messages", "interface", "coverage")
LANGUAGES = ("en", "zh")
MESSAGES = MESSAGES_OF[Period.DAY]
MARCH = dt.date(2026, 3, 1), dt.date(2026, 3, 31)
MISSING = {
    MESSAGES.name: frozenset({dt.date(2026, 3, 10), dt.date(2026, 3, 11), dt.date(2026, 3, 13)}),
    DAILY_READING.name: frozenset({dt.date(2026, 3, 20)}),
    DAILY_FOLLOWERS.name: frozenset(days_from(dt.date(2026, 3, 25), dt.date(2026, 3, 27))),
}


# --- the files ------------------------------------------------------------------------------------------------------


def bring_in(made: Shop, missing: dict[str, frozenset[dt.date]]) -> None:
    """Ingest and publish everything but some labels. A call that reached over a gap would fill it."""
    quiet = made.with_(publishing=False)
    for endpoint in made.ingest.account.endpoints:
        without = missing.get(endpoint.name, frozenset())
        for is_there, labels in groupby(made.labels(endpoint), lambda label, gap=without: label not in gap):
            if is_there:
                quiet.fetch_missing(endpoint, labels)
    made.warehouse.publish()


def figures_of(warehouse: Warehouse, now: dt.datetime, **fields: Any) -> Figures:
    """Return the figures of an account."""
    account = {"name": "shop", "start": FIRST, "families": tuple(Family), "title": TITLE}
    with warehouse.open_published() as con:
        return read_figures(con, Account(**{**account, **fields}), now)


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An emulated account of 13 months with all families, some days of which are missing."""
    folder = tmp_path_factory.mktemp("report")
    with shop(folder, start=FIRST, families=tuple(Family), messages_per_day=300) as made:
        bring_in(made, MISSING)
        yield made


@pytest.fixture(scope="module")
def expected(it: Shop) -> Expected:
    """The figures of the account's world."""
    return Expected(it.emulated.world, FIRST, LAST, MISSING)


@pytest.fixture(scope="module")
def figures(it: Shop) -> Figures:
    """What the report of the account is made of."""
    return figures_of(it.warehouse, it.now)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages are."""
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def report(figures: Figures, folder: Path) -> Path:
    """The account's report, which opens in Chinese."""
    path = folder / "report.html"
    path.write_text(render(figures, "zh"), "utf-8")
    return path


@pytest.fixture(scope="module")
def messages_only(it: Shop, folder: Path) -> Path:
    """The report of the same account with messages alone, from the day after the gap."""
    path = folder / "messages.html"
    found = figures_of(it.warehouse, it.now, start=dt.date(2026, 9, 1), families=(Family.MESSAGES,), title=None)
    path.write_text(render(found, "en"), "utf-8")
    return path


@pytest.fixture(scope="module")
def accounts(figures: Figures, it: Shop, folder: Path) -> Path:
    """The overview of all accounts: the account itself, a stale one, and one without data."""
    stale = figures_of(it.warehouse, it.now + 60 * DAY, title="Tea & <b>More</b>")
    none = figures_of(Warehouse(folder / "none.duckdb"), it.now, name="none", title=None)
    rows = [overview_row(each, f"report_{place}.html") for place, each in enumerate((figures, stale, none))]
    path = folder / "accounts.html"
    path.write_text(render_overview(rows, it.now, "zh"), "utf-8")
    return path


@dataclass(frozen=True)
class Morning:
    """A report at nine in the morning: yesterday's readers still change, and its hours are not there yet."""

    path: Path
    expected: Expected


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Morning]:
    """The report of an account of eight weeks, two days of which are missing, in the morning."""
    folder, start = tmp_path_factory.mktemp("morning"), dt.date(2026, 10, 1)
    missing = {
        MESSAGES.name: frozenset({dt.date(2026, 11, 10)}),
        DAILY_READING.name: frozenset({dt.date(2026, 11, 12)}),
    }
    options = {"clock": MORNING, "delay_until": dt.time(12), "silent_share": 0.1}
    with shop(folder, start=start, families=tuple(Family), messages_per_day=300, **options) as made:
        without = {HOURLY_MESSAGES.name: {LAST}, DAILY_READING.name: {LAST, *missing[DAILY_READING.name]}}
        bring_in(made, {**missing, **{name: frozenset(labels) for name, labels in without.items()}})
        made.fetch_missing(DAILY_READING, [LAST])  # alone: in one call, the silent days before it could still change
        path = folder / "report.html"
        path.write_text(render(figures_of(made.warehouse, made.now, start=start), "en"), "utf-8")
        yield Morning(path, Expected(made.emulated.world, start, LAST, missing))


# --- controls -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Someone:
    """A reader who presses with the mouse, the keyboard or a finger, and reads one language."""

    reader: Reader
    way: str
    language: str

    def go(self, page: str, fragment: str = "") -> None:
        """Begin on a page, with no other choice than those of the fragment."""
        self.reader.go(f"#lang={self.language}&page={page}{fragment}")

    def press(self, what: Locator) -> None:
        """Press something."""
        if self.way == "mouse":
            what.click()
        elif self.way == "touch":
            what.tap()
        else:
            what.focus()
            self.reader.page.keyboard.press("Enter")

    def pressed(self, what: Locator) -> None:
        """Press something that draws the page again."""
        with self.reader.redrawn():
            self.press(what)

    def choose(self, name: str, day: dt.date) -> None:
        """Choose a date: type it, or take it from the browser's calendar."""
        field = self.reader.date(name)
        with self.reader.redrawn():
            if self.way == "keyboard":
                field.blur()  # a field that has the focus would go on with the year
                field.focus()
                self.reader.page.keyboard.type(f"{day:%m%d%Y}")
                self.reader.page.keyboard.press("Enter")
            else:
                field.fill(day.isoformat())

    def says(self, key: str, **blanks: str) -> str:
        """Return a text of the page in the reader's language."""
        return WORDS[key].fill(**blanks).to(Language(self.language))

    def button(self, key: str) -> Locator:
        """Return a button by the key of its text."""
        return self.reader.button(self.says(key))


@pytest.fixture(
    scope="module",
    params=[
        ("mouse", 1280, "zh", "light"),
        ("mouse", 390, "en", "dark"),
        ("keyboard", 1280, "en", "dark"),
        ("keyboard", 390, "zh", "light"),
        ("touch", 1280, "en", "light"),
        ("touch", 390, "zh", "dark"),
    ],
    ids=lambda param: "-".join(map(str, param)),
)
def someone(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Someone]:
    """Each way of pressing at both widths; both languages and schemes occur with each way."""
    way, width, language, scheme = request.param
    with reading(browser, report, f"#lang={language}", width=width, scheme=scheme) as reader:
        yield Someone(reader, way, language)


def test_pages_are_links(someone: Someone) -> None:
    """Each page's link opens it and keeps the range, the language's link changes the language, and Back undoes it."""
    reader = someone.reader
    someone.go("overview", "&days=14")
    for page in reversed(PAGES):
        someone.pressed(reader.link(someone.says(page)))
        assert reader.chosen == {"lang": someone.language, "page": page, "days": "14"}
        assert reader.page.locator("nav [aria-current=page]").all_text_contents() == [someone.says(page)]
        assert reader.dates[:2] == ["2026-11-10", "2026-11-23"]

    with reader.redrawn():
        reader.page.go_back()
    assert reader.chosen["page"] == "followers"
    other = "en" if someone.language == "zh" else "zh"
    someone.pressed(reader.link("English" if other == "en" else "中文"))
    assert reader.chosen == {"lang": other, "page": "followers", "days": "14"}
    assert reader.page.locator("html").get_attribute("lang") == {"en": "en", "zh": "zh-CN"}[other]
    assert reader.link(replace(someone, language=other).says("articles")).count() == 1
    if someone.way == "keyboard":
        assert reader.page.evaluate("document.activeElement.className") == "language"


@pytest.mark.parametrize("days", [7, 14, 30, 90, 365, "all"])
def test_buttons_choose_a_range(days: int | str, someone: Someone) -> None:
    """Each button chooses its range and forgets a free comparison; the range before is compared. Reloading keeps it."""
    reader = someone.reader
    someone.go("messages", "&from=2026-05-01&to=2026-05-09&vs_from=2026-04-01&vs_to=2026-04-30")
    assert reader.page.locator(".controls button[aria-pressed=true]").count() == 0
    first = FIRST if days == "all" else LAST - (int(days) - 1) * DAY
    before = max(first - (LAST - first) - DAY, FIRST), first - DAY
    dates = [
        first.isoformat(),
        LAST.isoformat(),
        *(["", ""] if days == "all" else [each.isoformat() for each in before]),
    ]

    someone.pressed(someone.button(f"last_{days}"))
    assert reader.dates == dates
    assert reader.page.locator(".controls button[aria-pressed=true]").all_text_contents() == [
        someone.says(f"last_{days}")
    ]
    assert reader.chosen == {"lang": someone.language, "page": "messages", "days": str(days)}
    if someone.way == "keyboard":
        assert reader.page.evaluate("document.activeElement.textContent") == someone.says(f"last_{days}")
    assert reader.page.get_by_text(someone.says("nothing_before")).is_visible() == (days == "all")
    if days == "all":
        heads = reader.sections()[someone.says("figures_of_range")].tables[0][0]
        assert len(heads) == 2

    reader.page.reload()
    reader.is_drawn()
    assert reader.dates == dates
    with reader.redrawn():
        reader.page.go_back()
    assert reader.dates == ["2026-05-01", "2026-05-09", "2026-04-01", "2026-04-30"]


def test_dates_choose_a_range(someone: Someone) -> None:
    """Two dates choose a range, two more what it is compared with, until that is reset."""
    reader = someone.reader
    someone.go("messages")
    someone.choose("to", dt.date(2026, 10, 12))  # before the first day: the two are exchanged
    assert reader.dates[:2] == ["2026-10-12", "2026-10-25"]
    someone.choose("from", dt.date(2026, 9, 28))
    assert reader.dates == ["2026-09-28", "2026-10-25", "2026-08-31", "2026-09-27"]
    assert not someone.button("reset").is_visible()
    someone.choose("from", dt.date(2019, 12, 31))  # before the data: cut off
    assert reader.dates[:2] == [FIRST.isoformat(), "2026-10-25"]
    someone.choose("from", dt.date(2026, 9, 28))

    someone.choose("vs_from", dt.date(2026, 6, 1))
    someone.choose("vs_to", dt.date(2026, 6, 30))
    assert reader.dates == ["2026-09-28", "2026-10-25", "2026-06-01", "2026-06-30"]
    heads = reader.sections()[someone.says("figures_of_range")].tables[0][0]
    assert [re.findall(r"\d+", each) for each in heads[1:3]] == (
        [["28", "25"], ["1", "30"]]
        if someone.language == "en"
        else [["09", "28", "10", "25"], ["06", "01", "06", "30"]]
    )
    someone.pressed(reader.link(someone.says("coverage")))
    assert not reader.date("vs_from").is_visible()  # nothing is compared there
    someone.pressed(reader.link(someone.says("messages")))
    assert reader.dates[2:] == ["2026-06-01", "2026-06-30"]

    someone.pressed(someone.button("reset"))
    if someone.way == "keyboard":
        assert reader.page.evaluate("document.activeElement.name") == "vs_from"
    assert reader.dates == ["2026-09-28", "2026-10-25", "2026-08-31", "2026-09-27"]
    assert reader.chosen.keys() == {"lang", "page", "from", "to"}
    assert reader.page.locator(".controls button[aria-pressed=true]").count() == 0


def test_the_trend_shows_each_figure(someone: Someone) -> None:
    """Each button of the trend draws its figure, and only it is pressed."""
    someone.go("overview")
    trend = someone.reader.section(someone.says("trend"))
    names = trend.locator(".buttons button").all_text_contents()
    assert len(names) == 6
    drawn = set()
    for name in reversed(names):
        someone.pressed(trend.get_by_role("button", name=name, exact=True))
        assert trend.locator("[aria-pressed=true]").all_text_contents() == [name]
        label = trend.locator(".chart").get_attribute("aria-label")
        assert label is not None
        assert label.startswith(name)
        drawn.add(trend.locator("svg .mark-line path").first.get_attribute("d"))
    assert len(drawn) == 6


@pytest.mark.parametrize("unit", ["week", "month", "day"])
def test_reports_by_day_week_and_month(unit: str, someone: Someone) -> None:
    """Each button shows its table, which downloads under the unit's name."""
    someone.go("overview")
    reports = someone.reader.section(someone.says("reports"))
    someone.press(someone.button(f"report_{unit}"))
    assert reports.locator("[aria-pressed=true]").all_text_contents() == [someone.says(f"report_{unit}")]
    heads = reports.locator("thead th").all_text_contents()
    assert heads[0] == someone.says({"day": "date"}.get(unit, unit))
    assert reports.locator("tbody tr").count() == {"day": 30, "week": 5, "month": 1}[unit]
    file = someone.reader.downloaded(reports, someone.press)
    assert file.name == f"shop_{unit}s_2026-10-25_2026-11-23.csv"


def key_of(text: str) -> float:
    """Return what a cell is sorted by: a day of 2026, or a number; `unchanged` is zero."""
    if re.fullmatch(r"\d+ [A-Z][a-z]+", text):
        return dt.datetime.strptime(f"{text} 2026", "%d %b %Y").timestamp()
    if re.fullmatch(r"\d\d-\d\d", text):
        return float(text.replace("-", "."))
    found = re.search(r"[-−]?[\d,]+(\.\d+)?", text)
    return float(found[0].replace(",", "").replace("−", "-")) if found else 0


def test_tables_are_sorted_by_any_column(someone: Someone) -> None:
    """Each header sorts its column, a second press turns the order, and `aria-sort` says so; all rows can be shown."""
    someone.go("articles")
    section = someone.reader.section(someone.says("articles_of_range"))
    heads, rows = section.locator("thead th"), section.locator("tbody tr")
    assert heads.evaluate_all("all => all.map(each => each.ariaSort)") == ["none", "none", "descending", *["none"] * 5]
    assert rows.count() == 10
    more = section.locator("button.more")
    count = int(re.findall(r"\d+", more.text_content() or "")[0])
    someone.press(more)
    assert (rows.count(), more.is_visible()) == (count, False)

    by_title = []
    for place in range(8):
        for order in ("ascending", "descending") if place < 2 else ("descending", "ascending"):
            someone.press(heads.nth(place).locator("button"))
            sorts = heads.evaluate_all("all => all.map(each => each.ariaSort)")
            assert sorts == [order if each == place else "none" for each in range(8)]
            cells = rows.evaluate_all("(all, at) => all.map(row => row.cells[at].textContent)", place)
            assert len(cells) == count
            if place == 0:
                by_title.append(cells)
                continue
            keys = [key_of(each) for each in cells if each != "–"]
            assert keys == sorted(keys, reverse=order == "descending")
            assert cells[: len(keys)] == [each for each in cells if each != "–"]
    assert by_title[0] == by_title[1][::-1]


def test_titles_unfold_a_reading_curve(someone: Someone) -> None:
    """A title shows its article's reading curve, sources and facts, and takes the focus there."""
    reader = someone.reader
    someone.go("articles")
    titles = reader.page.locator("button.link")
    for place in (1, 0):
        title = titles.nth(place).text_content()
        someone.pressed(titles.nth(place))
        article = reader.section(someone.says("articles_of_range"))
        assert article.locator("h3").all_text_contents() == [title]
        assert reader.page.evaluate("document.activeElement.textContent") == title
        assert article.locator(".article .chart").get_attribute("aria-label") == (
            someone.says("curve_label", title=title or "")
        )
        assert article.locator(".article svg .mark-line path").count() == 2
        assert article.locator(".article table").count() == 2


@pytest.mark.parametrize("page", ["followers", "articles", "messages", "interface"])
def test_details_unfold(page: str, someone: Someone) -> None:
    """What is folded unfolds, and has a table with a row per day."""
    someone.go(page, "&days=14")
    for details in someone.reader.page.locator("details").all():
        assert not details.locator("table").is_visible()
        someone.press(details.locator("summary"))
        details.locator("table").wait_for(state="visible")
        assert details.locator("tbody tr").count() >= 14
        assert len(someone.reader.downloaded(details, someone.press).rows) >= 15


_MARK_FOCUSED = """() => {
  const each = document.activeElement;
  if (each !== document.body && getComputedStyle(each).outlineStyle !== "none") each.dataset.reached = "yes";
  return each !== document.body }"""


def test_the_tab_key_reaches_every_control(browser: Browser, report: Path) -> None:
    """The Tab key goes through all links, buttons, dates, folded parts and wide tables, and the focus is visible."""
    for page in PAGES:
        with reading(browser, report, f"#lang=en&page={page}&days=7") as reader:
            wanted = reader.page.evaluate(
                "[...document.querySelectorAll('a, button, input, summary, [tabindex=\"0\"]')]"
                ".filter(each => each.checkVisibility()).length"
            )
            for _ in range(4 * wanted):  # a date has four stops
                reader.page.keyboard.press("Tab")
                if not reader.page.evaluate(_MARK_FOCUSED):
                    break
            assert reader.page.locator("[data-reached]").count() == wanted, page


def test_buttons_longer_than_the_data_are_hidden(browser: Browser, messages_only: Path) -> None:
    """An account of 84 days has no buttons for 90 days and a year."""
    with reading(browser, messages_only) as reader:
        buttons = reader.page.locator(".controls button").filter(visible=True).all_text_contents()
        assert buttons == ["7 days", "14 days", "30 days", "All"]
        assert reader.page.locator("nav a").all_text_contents() == ["Overview", "Messages", "Completeness"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_opens_with_the_last_thirty_days(
    language: str, browser: Browser, figures: Figures, folder: Path
) -> None:
    """Without a fragment, the overview is shown in the file's language. The READMEs have its picture."""
    path = folder / f"{language}.html"
    path.write_text(render(figures, language), "utf-8")
    with reading(browser, path, width=1200) as reader:
        reader.page.set_viewport_size({"width": 1200, "height": 1010})
        assert reader.chosen == {}
        assert reader.page.locator("nav [aria-current=page]").all_text_contents() == [
            WORDS["overview"].to(Language(language))
        ]
        assert reader.page.locator(".controls [aria-pressed=true]").all_text_contents() == [
            WORDS["last_30"].to(Language(language))
        ]
        assert reader.dates[:2] == ["2026-10-25", "2026-11-23"]
        reader.page.screenshot(path=SCREENSHOTS / "report" / f"{language}.png")


@pytest.mark.parametrize(
    "nonsense",
    [
        "#page=nothing&days=0&from=yesterday&to=&vs_from=9&vs_to=-&lang=fr",
        "#%E0%A4%A=&&==&page=%FF&days=Infinity&lang",
        "#from=2026-02-31&to=2026-03-03",
        "#__proto__=1&page=constructor&days=1e1&lang=toString",
        "#from=275761-01-01&to=2026-11-01",
        "#from=2026-11-01",
    ],
)
def test_a_nonsense_fragment_falls_back(nonsense: str, browser: Browser, report: Path) -> None:
    """Wrong parts of the fragment count as absent."""
    with reading(browser, report, nonsense) as reader:
        assert reader.dates == ["2026-10-25", "2026-11-23", "2026-09-25", "2026-10-24"]
        assert reader.page.locator("nav [aria-current=page]").all_text_contents() == ["概览"]


def test_days_outside_the_data_are_cut_off(browser: Browser, report: Path) -> None:
    """A range that is partly outside the data is cut off, and one in the wrong order is turned around."""
    with reading(browser, report, "#from=9999-12-31&to=2026-11-20&vs_from=1900-01-01&vs_to=2025-11-02") as reader:
        assert reader.dates == ["2026-11-20", "2026-11-23", "2025-11-01", "2025-11-02"]


# --- figures --------------------------------------------------------------------------------------------------------

RANGES = {
    "7 days": (dt.date(2026, 11, 17), LAST),
    "30 days": (dt.date(2026, 10, 25), LAST),
    "over a month's end": (dt.date(2026, 8, 20), dt.date(2026, 9, 12)),
    "with gaps": MARCH,
    "all days": (FIRST, LAST),
}
SUMMARIES = {
    "overview": ("readers", "net_followers", "followers", "messages", "senders", "messages_per_sender"),
    "followers": ("new_followers", "lost_followers", "net_followers", "followers"),
    "articles": (
        *("readers", "sharers", "share_rate", "articles_published"),
        *("likes", "hearts", "comments", "saves"),
    ),
    "messages": ("messages", "senders", "messages_per_sender"),
    "interface": ("calls", "failures", "failure_rate", "mean_ms", "max_ms"),
}


@pytest.fixture(scope="module")
def english(browser: Browser, report: Path) -> Iterator[Reader]:
    """An English report."""
    with reading(browser, report, "#lang=en") as reader:
        yield reader


@pytest.fixture(params=RANGES.values(), ids=RANGES)
def chosen(request: pytest.FixtureRequest, expected: Expected) -> Range:
    """Each range."""
    return expected.range(*request.param)


def go(reader: Reader, page: str, chosen: Range) -> None:
    """Show a page in English for a range."""
    reader.go(f"#lang=en&page={page}&from={chosen.first}&to={chosen.last}")


@pytest.mark.parametrize("page", SUMMARIES)
def test_the_figures_of_a_range_are_the_worlds(page: str, chosen: Range, english: Reader) -> None:
    """Each page's figures, those that they are compared with and their changes are those of the world."""
    go(english, page, chosen)
    section = english.sections()["Summary"]

    columns = 2 if chosen.first == FIRST else 4  # nothing is compared if nothing is before
    assert section.tables[0][1:] == [chosen.row(metric)[:columns] for metric in SUMMARIES[page]]
    assert " ".join(section.texts) == gaps_text(page, chosen)


def gaps_text(page: str, chosen: Range) -> str:
    """Return the sentences about days that are missing, each with the metrics that it is about if not all."""
    lacking: dict[str, list[str]] = {}
    for metric in SUMMARIES[page]:
        sentences = []
        for name, each in (("D", chosen), ("In the comparison, d", chosen.before)):
            days = len(days_from(each.first, each.last))
            if metric not in ("mean_ms", "max_ms") and (known := each.known(metric)) < days:
                sentences.append(f"{name}ata for {known} of {days} days.")
        if sentences:
            lacking.setdefault(" ".join(sentences), []).append(NAMES[metric])
    whole = len(SUMMARIES[page])
    return " ".join(text if len(names) == whole else f"{', '.join(names)}: {text}" for text, names in lacking.items())


def card_of(metric: str, expected: Expected) -> list[str]:
    """Return what a key figure's card has to show."""
    back = {days: expected.range(expected.last - days * DAY, expected.last - days * DAY) for days in (0, 1, 7, 30)}
    now = back[0].value(metric)
    changes = [changed(metric, now, back[days].value(metric)) for days in (1, 7, 30)]
    ages = [str(WORDS[f"before_{days}"]) for days in (1, 7, 30)]
    return [NAMES[metric], shown(metric, now), *(f"{age}{change}" for age, change in zip(ages, changes, strict=True))]


def test_key_figures_are_the_worlds(expected: Expected, english: Reader) -> None:
    """Yesterday's key figures and their changes are those of the world, whatever the range."""
    english.go("#lang=en&from=2026-03-01&to=2026-03-31")
    found = english.page.locator(".card").evaluate_all(
        "all => all.map(each => [...each.querySelectorAll('h3, .value, dl > div')].map(part => part.textContent))"
    )
    assert found == [card_of(metric, expected) for metric in SUMMARIES["overview"]]
    assert english.page.get_by_role("heading", name="Yesterday's key figures, Mon 23 Nov").count() == 1


def test_the_report_by_day_is_the_worlds(chosen: Range, english: Reader) -> None:
    """Every day's figures are those of the world; a silent day has zeros, a missing one dashes."""
    go(english, "overview", chosen)
    if chosen.first == FIRST:
        english.button("Show all 388 rows").click()
    head, *found = english.sections()["Reports"].tables[0]
    metrics = [next(metric for metric, name in NAMES.items() if name == title) for title in head[1:]]
    assert len(metrics) == 12
    days = [chosen.expected.range(day, day) for day in reversed(days_from(chosen.first, chosen.last))]
    assert found == [
        [f"{day.first:%a} {day_text(day.first)}", *(shown(metric, day.value(metric)) for metric in metrics)]
        for day in days
    ]


@pytest.mark.parametrize("unit", ["week", "month"])
def test_reports_by_week_and_month_count_people_once(unit: str, expected: Expected, english: Reader) -> None:
    """Weeks and months that overlap the range and are over have all their days; senders are distinct."""
    english.go("#lang=en&page=overview&from=2026-08-20&to=2026-09-12")
    english.button(f"By {unit}").click()
    head, *found = english.sections()["Reports"].tables[0]
    begins = (
        [dt.date(2026, 9, 7) - count * 7 * DAY for count in range(4)]
        if unit == "week"
        else [dt.date(2026, 9, 1), dt.date(2026, 8, 1)]
    )
    ends = [begin + 6 * DAY for begin in begins] if unit == "week" else [dt.date(2026, 9, 30), dt.date(2026, 8, 31)]
    assert [row[0] for row in found] == (
        ["7 Sep to 13 Sep", "31 Aug to 6 Sep", "24 Aug to 30 Aug", "17 Aug to 23 Aug"]
        if unit == "week"
        else ["Sep 2026", "Aug 2026"]
    )
    for row, first, last in zip(found, begins, ends, strict=True):
        values, whole = dict(zip(head, row, strict=True)), expected.range(first, last)
        senders = expected.distinct_senders(first, last)
        assert values["Senders"] == number(senders)
        assert values["Messages"] == shown("messages", whole.value("messages"))
        sent = whole.value("messages") or 0
        assert values["Messages per sender"] == rounded(sent / senders, 2)
        for metric in ("net_followers", "followers", "articles_published", "calls"):
            assert values[NAMES[metric]] == shown(metric, whole.value(metric))
        assert values["Readers per day"] == shown("readers", whole.value("readers"))


def test_a_month_with_a_missing_day_has_no_sums(expected: Expected, english: Reader) -> None:
    """A month's figures that need all of its days are dashes if one is missing; WeChat's own monthly ones are there."""
    go(english, "overview", expected.range(*MARCH))
    english.button("By month").click()
    head, row = english.sections()["Reports"].tables[0]
    values, whole = dict(zip(head, row, strict=True)), expected.range(*MARCH)
    assert [title for title, value in values.items() if value == "–"] == [
        *("Readers per day", "Sharers per day", "Articles published"),
        *("New followers", "Lost followers", "Net followers"),
    ]
    sent = sum(len(expected.world.messages(day)) for day in days_from(*MARCH))
    assert (values["Messages"], values["Senders"]) == (number(sent), number(expected.distinct_senders(*MARCH)))
    assert values["Calls of your server"] == shown("calls", whole.value("calls"))


def test_channels_are_the_worlds(chosen: Range, english: Reader) -> None:
    """The channels' new and lost followers are those of the world, the largest first, and a sentence names it."""
    go(english, "followers", chosen)
    section = english.sections()["New followers by channel"]
    channels = sorted(chosen.channels(), key=lambda each: -each[1])
    whole = sum(new for _, new, _ in channels)
    names = {"article": "account name in an article"}
    rows = [
        [
            names.get(name, name),
            number(new),
            f"{rounded(100 * new / whole, 1)}%",
            number(lost),
            shown("net_followers", new - lost),
        ]
        for name, new, lost in channels
    ]
    assert sorted(section.tables[0][1:]) == sorted(rows)
    assert [row[1] for row in section.tables[0][1:]] == [row[1] for row in rows]
    assert section.texts[0] == f"{rows[0][2]} of the new followers came by: {rows[0][0]}."


def isolated(title: str) -> str:
    """Return a title that can't reverse the sentence around it."""
    return f"\u2068{title}\u2069"


def test_articles_are_the_worlds(chosen: Range, expected: Expected, english: Reader) -> None:
    """The articles of a range have the world's figures; sentences name the most read and the one that brought most."""
    go(english, "articles", chosen)
    more = english.page.locator("button.more").first
    if more.is_visible():
        more.click()
    section = english.sections()["Articles published in the range"]
    usual = expected.typical_share_rate()

    def row(each: Article) -> list[str]:
        typical = expected.typical_readers(len(each.curve))
        against = 100 * (each.readers - typical) / typical
        sign = "+" if against > 0 else "−"
        rate = each.share_rate
        final = each.published + 29 * DAY <= LAST
        return [
            each.title,
            day_text(each.published),
            f"{number(each.readers)}{'' if final else '*'}",
            "unchanged" if abs(against) < 0.5 else f"{sign}{rounded(abs(against), 0)}%",
            number(each.brought),
            "–" if rate is None else f"{rounded(rate, 1)}%{' ▲' if rate > usual else ''}",
            f"{rounded(100 * round(each.newest['read_finish_rate'], 3), 1)}%",
            number(round(each.newest["read_avg_activetime"], 3)),
        ]

    found = chosen.articles()
    assert sorted(section.tables[0][1:]) == sorted(map(row, found))
    most_read, most_brought = max(found, key=lambda each: each.readers), max(found, key=lambda each: each.brought)
    assert section.texts[0] == (
        f"{len(found)} articles were published."
        f" Most read: {isolated(most_read.title)}, {number(most_read.readers)} readers."
        f" Brought the most followers: {isolated(most_brought.title)}, {most_brought.brought}."
    )
    sources = sorted(chosen.sources().items(), key=lambda item: -item[1])
    assert [row[:2] for row in english.sections()["Readers by source"].tables[0][1:]] == [
        [name, number(count)] for name, count in sources
    ]


def test_messages_are_the_worlds(chosen: Range, english: Reader) -> None:
    """Types, the busiest hour and the share of frequent senders are those of the world."""
    go(english, "messages", chosen)
    shows = english.sections()

    whole, words = sum(chosen.types().values()), dict(MSG_TYPE.codes)
    assert shows["Message types"].tables[0][1:] == [
        [words[kind], number(count), f"{rounded(100 * count / whole, 1)}%"]
        for kind, count in chosen.types().most_common()
    ]
    weekday, hour, mean = chosen.busiest_hour()
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    assert shows["Messages by weekday and hour"].texts[0] == (
        f"Busiest hour of the week: {days[weekday]}, {hour}:00 to {hour + 1}:00,"
        f" {number(round(mean, 1))} messages on average."
    )
    senders = chosen.senders_by_messages()
    shares = {each: f"{rounded(100 * count / senders.total(), 1)}%" for each, count in senders.items()}
    frequent = 100 * (senders["6-10"] + senders["more than 10"]) / senders.total()
    section = shows["Senders of more than five messages"]
    assert section.texts[0] == f"{rounded(frequent, 1)}% of the senders sent more than five messages on a day."
    assert section.tables[0][1:] == [
        [each, number(senders[each] / len(chosen.days("senders"))), shares[each]]
        for each in ("1-5", "6-10", "more than 10")
    ]


def test_hours_of_yesterday_are_the_worlds(expected: Expected, english: Reader) -> None:
    """The newest day's hours are those of the world, and so are those of the interface."""
    english.go("#lang=en&page=messages")
    sent = [message.hour for message in expected.world.messages(LAST)]
    rows = english.sections()["By hour on the newest day, Mon 23 Nov"].tables[0][1:]
    assert [row[:2] for row in rows] == [[f"{hour}:00 to {hour + 1}:00", str(sent.count(hour))] for hour in range(24)]

    english.go("#lang=en&page=interface")
    found = english.sections()["Calls by hour on the newest day, Mon 23 Nov"].tables[0][1:]
    hours = {each["ref_hour"] // 100: each for each in expected.world.rows("getinterfacesummaryhour", LAST)}
    fields = ("callback_count", "fail_count", "max_time_cost")
    assert [[row[0], row[1], row[2], row[4]] for row in found] == [
        [
            f"{hour}:00 to {hour + 1}:00",
            *([number(hours[hour][each]) for each in fields] if hour in hours else ["0", "0", "–"]),
        ]
        for hour in range(24)
    ]


@pytest.mark.parametrize("days", [7, 30])
def test_an_account_with_one_family_has_the_worlds_figures(
    days: int, browser: Browser, messages_only: Path, expected: Expected
) -> None:
    """Without the other families, cards, figures and sentences are those of the world, and no other family is named."""
    since_september = replace(expected, first=dt.date(2026, 9, 1), missing={}, _known={})
    chosen = since_september.newest(days)
    metrics = SUMMARIES["messages"]
    with reading(browser, messages_only, f"#days={days}") as reader:
        shows = reader.sections()
        assert list(shows)[1:] == ["What is unusual", "Summary", "Trend", "Reports"]
        assert shows["Summary"].tables[0][1:] == [chosen.row(metric) for metric in metrics]
        cards = reader.page.locator(".card").evaluate_all("all => all.map(each => each.textContent)")
        assert cards == ["".join(card_of(metric, since_september)) for metric in metrics]
        assert shows["Reports"].tables[0][0] == ["Date", "Messages", "Senders", "Messages per sender"]
        reader.go(f"#days={days}&page=coverage")
        assert reader.sections()["Completeness"].texts == [
            "All data that is due is stored.",
            "Not fetched: followers, articles, interface.",
        ]


# --- an operator's questions ----------------------------------------------------------------------------------------


def test_which_article_brought_the_most_followers_in_a_month(expected: Expected, english: Reader) -> None:
    """A sentence answers it, and so does the first row of the table after a click on its header."""
    chosen = expected.range(dt.date(2026, 10, 1), dt.date(2026, 10, 31))
    go(english, "articles", chosen)
    best = max(chosen.articles(), key=lambda each: each.brought)

    section = english.section("Articles published in the range")
    assert f"Brought the most followers: {isolated(best.title)}, {best.brought}." in (section.text_content() or "")
    section.get_by_role("button", name="Followers brought").click()
    first = section.locator("tbody tr").first.locator("th, td").all_text_contents()
    assert int(first[4]) == best.brought


def test_which_days_are_missing(english: Reader) -> None:
    """The page of completeness names each gap and the command that fetches it, whatever the range."""
    english.go("#lang=en&page=coverage&days=7")
    completeness = english.sections()["Completeness"]
    assert completeness.texts == [
        "7 items of 3 endpoints are missing, 10 Mar to 27 Mar.",
        "To fetch them: wx-datacube backfill --account shop --start 2026-03-10 --end 2026-03-27",
    ]
    english.go("#lang=en&page=coverage&from=2026-03-01&to=2026-03-31")
    assert english.sections()["What is missing"].tables[0][1:] == [
        ["Messages by day", "13 Mar, 10 Mar to 11 Mar"],
        ["New and lost followers", "25 Mar to 27 Mar"],
        ["Reading by day", "20 Mar"],
    ]
    counts = {row[0]: row[4] for row in english.sections()["Endpoints"].tables[0][1:]}
    assert {name: count for name, count in counts.items() if count != "0"} == {
        "Messages by daygetupstreammsg": "3",
        "New and lost followersgetusersummary": "3",
        "Reading by daygetbizsummary": "1",
    }


def test_what_was_the_busiest_hour_of_the_week(expected: Expected, english: Reader) -> None:
    """A sentence of the page of messages answers it for a single week."""
    chosen = expected.range(dt.date(2026, 11, 9), dt.date(2026, 11, 15))
    go(english, "messages", chosen)
    weekday, hour, count = chosen.busiest_hour()
    text = english.sections()["Messages by weekday and hour"].texts[0]
    assert re.findall(r"\d+", text) == [str(hour), "00", str(hour + 1), "00", number(count)]
    assert f": {(chosen.first + weekday * DAY):%a}," in text


# --- accessibility, languages, widths -------------------------------------------------------------------------------


def unfolded(reader: Reader, page: str, fragment: str = "") -> None:
    """Show a page with everything unfolded and all rows, and an article's reading curve."""
    reader.go(f"#lang={reader.chosen.get('lang', 'zh')}&page={page}{fragment}")
    with reader.redrawn():
        reader.page.evaluate(
            """(async () => {
              for (const each of document.querySelectorAll("details")) each.open = true;
              await new Promise(requestAnimationFrame);
              for (const each of document.querySelectorAll("button.more")) if (!each.hidden) each.click();
              document.querySelector("button.link")?.click();
              drawAll() })()"""
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing(
    language: str, width: int, scheme: str, browser: Browser, report: Path, accounts: Path
) -> None:
    """axe finds nothing on any page, with everything unfolded, and nothing on the overview of all accounts."""
    with reading(browser, report, f"#lang={language}", width=width, scheme=scheme) as reader:
        for page in PAGES:
            unfolded(reader, page, "&days=14")
            assert violations(reader) == [], page
            reader.page.screenshot(path=SCREENSHOTS / "report" / f"{page}-{language}-{width}-{scheme}.png")
    with reading(browser, accounts, f"#lang={language}", width=width, scheme=scheme) as reader:
        assert violations(reader) == []


def violations(reader: Reader) -> list[tuple[str, str]]:
    """Return what axe finds, and where."""
    found = Axe().run(reader.page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [1280, 390])
def test_only_tables_scroll_sideways(width: int, language: str, browser: Browser, report: Path, accounts: Path) -> None:
    """A table that is too wide scrolls in its box and says so; the page itself never does."""
    hinted = 0
    with reading(browser, report, f"#lang={language}", width=width) as reader:
        for page in PAGES:
            for fragment in ("", "&days=all"):
                unfolded(reader, page, fragment)
                hinted += scrolling_boxes(reader)
                assert reader.width <= width, page
    with reading(browser, accounts, f"#lang={language}", width=width) as reader:
        hinted += scrolling_boxes(reader)
        assert reader.width <= width
    assert hinted >= {1280: 2, 390: 10}[width]


def scrolling_boxes(reader: Reader) -> int:
    """Assert that exactly the boxes that scroll have a visible hint, and that they scroll; return how many do."""
    reader.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found = reader.page.locator(".wide").evaluate_all(
        """all => all.filter(each => each.checkVisibility()).map(each => {
          each.scrollLeft = 50;
          return [each.scrollLeft > 0, each.previousElementSibling.checkVisibility(), each.ariaLabel] })"""
    )
    assert [label for scrolls, is_hinted, label in found if scrolls != is_hinted] == []
    return sum(scrolls for scrolls, *_ in found)


_TEXTS = """() => {
  const found = [document.title];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());)
    if (!node.parentElement.closest("script, style, code, bdi, .language")) found.push(node.data);
  for (const name of ["aria-label", "title", "placeholder", "alt"])
    for (const each of document.querySelectorAll(`[${name}]`))
      if (!each.closest("[aria-hidden=true]")) found.push(each.getAttribute(name));
  return found }"""
OTHER_LANGUAGE = {"en": r"[\u3000-\u303f\u3400-\u9fff\uff01-\uff5e]+", "zh": r"[A-Za-z]+"}
ALLOWED = r"wx-datacube backfill --account \w+|CSV" + f"|{TITLE}"


def foreign_words(reader: Reader, language: str, titles: list[str]) -> set[str]:
    """Return the words of a page, its labels and its tooltips that are in the other language."""
    texts = reader.page.evaluate(_TEXTS)
    for chart in reader.page.locator(".chart svg").all():
        box = chart.bounding_box()
        assert box is not None
        for share in (0.3, 0.7):
            chart.hover(position={"x": box["width"] * share, "y": box["height"] * 0.6})
            texts += reader.page.locator("#vg-tooltip-element.visible").all_inner_texts()
    found = "\n".join(texts)
    for title in titles:
        found = found.replace(title, "")
    return set(re.findall(OTHER_LANGUAGE[language], re.sub(ALLOWED, "", found)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_is_in_the_other_language(
    language: str, browser: Browser, report: Path, morning: Morning, accounts: Path, expected: Expected
) -> None:
    """No text, label or tooltip is in the other language, but for titles, commands and names of endpoints."""
    titles = sorted(
        {each.title for each in [*expected.articles(), *morning.expected.articles()]}, key=len, reverse=True
    )
    for path in (report, morning.path):
        with reading(browser, path, f"#lang={language}") as reader:
            for page in PAGES:
                unfolded(
                    reader, page, "&days=30" if path == report else "&days=all&vs_from=2026-10-01&vs_to=2026-10-09"
                )
                assert foreign_words(reader, language, titles) == set(), page
            unfolded(reader, "overview", "&days=all")
            for unit in ("week", "month"):
                reader.button(WORDS[f"report_{unit}"].to(Language(language))).click()
                assert foreign_words(reader, language, titles) == set()
    with reading(browser, accounts, f"#lang={language}") as reader:
        assert foreign_words(reader, language, []) == set()


@pytest.mark.parametrize(("language", "said"), [("en", "Nothing is stored yet"), ("zh", "还没有任何数据")])
def test_notices_are_in_one_language(
    language: str, said: str, it: Shop, figures: Figures, browser: Browser, tmp_path: Path
) -> None:
    """Without data, and with old data, a notice says what to do."""
    none = figures_of(Warehouse(tmp_path / "none.duckdb"), it.now)
    old = figures_of(it.warehouse, it.now + 60 * DAY)
    path = tmp_path / "none.html"
    path.write_text(render(none, language), "utf-8")
    with reading(browser, path) as reader:
        notice = reader.page.locator(".notice").text_content() or ""
        assert notice.startswith(said)
        assert "wx-datacube backfill --account shop" in notice
        assert reader.page.locator("section, nav, .controls").count() == 0
        assert foreign_words(reader, language, []) == set()
        assert violations(reader) == []
    path.write_text(render(old, language), "utf-8")
    with reading(browser, path, "#page=coverage") as reader:
        assert reader.page.locator(".notice").get_by_text("61").count() == 1
        assert foreign_words(reader, language, []) == set()
    assert figures.newest == LAST


# --- marks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Marks:
    """What a line chart has: the lengths of each line's parts, and its marks, each by its place on the x axis."""

    lines: dict[str, list[int]]
    zeros: list[float]
    hollow: list[float]
    alone: list[float]
    articles: list[float]


_MARKS = """chart => ({
  lines: [...chart.querySelectorAll("svg .mark-line.role-mark path")].map(
    each => [each.getAttribute("stroke"), each.getAttribute("d") || ""]),
  points: [...chart.querySelectorAll("svg .mark-symbol.role-mark path")].map(
    each => ["transform", "d", "fill", "stroke"].map(name => each.getAttribute(name) || "")) })"""


def marks_of(section: Locator) -> Marks:
    """Return what the first line chart of a section has."""
    found = section.locator(".chart").first.evaluate(_MARKS)
    lines = {stroke: [part.count("L") + 1 for part in path.split("M")[1:]] for stroke, path in found["lines"]}
    kinds: dict[str, list[float]] = {"zeros": [], "hollow": [], "alone": [], "articles": []}
    for transform, path, fill, stroke in found["points"]:
        place = float(re.findall(r"[\d.]+", transform)[0])
        if "Z" in path and "A" not in path:
            kinds["articles"].append(place)
        elif "rotate(90)" in transform:
            assert path.count("L") == 1
            assert re.findall(r"[\d.]+", transform)[1] in ("220", "160")  # at the bottom of the chart
            kinds["zeros"].append(place)
        else:
            kinds["hollow" if fill == "var(--paper)" and stroke == "var(--c1)" else "alone"].append(place)
    return Marks(lines, **kinds)


def middles(days: list[dt.date], chosen: Range, width: float) -> list[float]:
    """Return where the middles of days are on the x axis of a chart of a range."""
    step = width / len(days_from(chosen.first, chosen.last))
    return [((day - chosen.first).days + 0.5) * step for day in days]


def width_of(section: Locator) -> float:
    """Return the width of a chart between its axes."""
    found = section.locator(".chart .mark-rule.role-axis-domain line").first.get_attribute("x2")
    return float(found or 0)


def assert_marked(section: Locator, metric: str, chosen: Range, still_open: list[dt.date]) -> None:
    """Assert that a chart has a gap for each missing day, a mark for each zero, and a hollow point for an open one."""
    days, expected = days_from(chosen.first, chosen.last), chosen.expected
    marks, width = marks_of(section), width_of(section)
    parts = runs(days, lambda day: expected.of_day(metric, day) is not None)
    assert marks.lines["var(--c1)"] == parts
    zeros = [day for day in days if expected.of_day(metric, day) == 0 and day not in still_open]
    assert marks.zeros == pytest.approx(middles(zeros, chosen, width), abs=0.6)
    assert marks.hollow == pytest.approx(middles(still_open, chosen, width), abs=0.6)
    lonely = [
        day
        for day in days
        if expected.of_day(metric, day) is not None
        and all(each not in days or expected.of_day(metric, each) is None for each in (day - DAY, day + DAY))
    ]
    assert marks.alone == pytest.approx(middles(lonely, chosen, width), abs=0.6)
    published = sorted({each.published for each in chosen.articles()})
    assert marks.articles == pytest.approx(middles(published, chosen, width), abs=0.6)


@pytest.mark.parametrize(
    ("page", "heading", "metric"),
    [("messages", "Messages by day", "messages"), ("articles", "Readers by day", "readers")],
)
def test_gaps_and_zeros_are_marked(page: str, heading: str, metric: str, expected: Expected, english: Reader) -> None:
    """The line breaks at missing days, a day between two of them is a point, and a silent day has a bar at zero."""
    chosen = expected.range(dt.date(2026, 2, 15), dt.date(2026, 4, 30))
    assert any(expected.of_day(metric, day) == 0 for day in days_from(chosen.first, chosen.last))
    assert chosen.known(metric) < len(days_from(chosen.first, chosen.last))
    go(english, page, chosen)
    assert_marked(english.section(heading), metric, chosen, [])


def test_a_figure_that_may_change_is_hollow(browser: Browser, morning: Morning) -> None:
    """In the morning yesterday's readers are a hollow point and have a star; a missing day breaks lines everywhere."""
    chosen = morning.expected.newest(30)
    with reading(browser, morning.path, "#days=30") as reader:
        assert_marked(reader.section("Trend"), "readers", chosen, [LAST])
        card = reader.page.locator(".card").first
        assert (card.locator(".value").text_content() or "").endswith("*")
        lines = reader.page.locator(".card .spark path").evaluate_all("all => all.map(each => each.getAttribute('d'))")
        assert [line.count("M") for line in lines] == [2, 1, 1, 2, 1, 2]
        section = reader.section("Yesterday's key figures, Mon 23 Nov")
        assert section.get_by_text("* WeChat may still change this figure.").count() == 1

        with reader.redrawn():
            reader.section("Trend").locator(".buttons").get_by_role("button", name="Messages", exact=True).click()
        assert_marked(reader.section("Trend"), "messages", chosen, [])
        table = reader.sections()["Reports"].tables[0]
        assert table[1][1].endswith("*")
        assert not table[2][1].endswith("*")

        reader.go("#page=coverage&days=30")
        legend = reader.section("Calendar").locator(".role-legend-label text").all_text_contents()
        assert legend == ["stored", "still changing", "missing", "not published yet"]
        assert "WeChat has not published 1 yet; as a rule it does by noon." in reader.sections()["Completeness"].texts


@pytest.mark.parametrize(("width", "way"), [(1280, "hover"), (390, "tap")])
def test_charts_tell_their_figures(width: int, way: str, browser: Browser, report: Path, expected: Expected) -> None:
    """The mouse or a finger on a day shows its date, figures, and articles, inside the window."""
    chosen = expected.newest(7)
    with reading(browser, report, "#lang=en&page=articles&days=7", width=width) as reader:
        chart = reader.section("Readers by day").locator(".chart svg")
        for place, day in enumerate(days_from(chosen.first, chosen.last)):
            bar = chart.locator(".mark-rect.role-mark path").nth(place)
            bar.hover() if way == "hover" else bar.tap()
            tooltip = reader.page.locator("#vg-tooltip-element.visible")
            tooltip.get_by_text(f"{day:%a} {day_text(day)}").wait_for()
            cells = tooltip.locator("td").all_text_contents()
            found = dict(zip(cells[::2], cells[1::2], strict=True))
            assert found["selected range"] == number(expected.of_day("readers", day) or 0)
            assert found["comparison"] == number(expected.of_day("readers", day - 7 * DAY) or 0)
            titles = [isolated(each.title) for each in expected.range(day, day).articles()]
            assert sorted(found.get("Published", "").split(" / ")) == (sorted(titles) or [""])
            box = tooltip.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


def test_charts_fit_a_rotated_phone(browser: Browser, report: Path) -> None:
    """After a phone is turned, charts are as wide as the screen."""
    with reading(browser, report, "#page=messages", width=390) as reader:
        svg = "document.querySelector('.chart svg').getBoundingClientRect().width"
        reader.page.set_viewport_size({"width": 800, "height": 390})
        reader.page.wait_for_function(f"{svg} > 600")
        assert reader.width <= 800
        reader.page.set_viewport_size({"width": 390, "height": 800})
        reader.page.wait_for_function(f"{svg} < 390")
        assert reader.width <= 390


# --- downloads ------------------------------------------------------------------------------------------------------

FORMULAS = ("=1+1", '=HYPERLINK("http://example.com")', "+1", "-1", "@SUM(1)")
DATES = ("1-5", "11/11", "11月11日")
MARKUP = ("<img src=x onerror=alert(1)>", 'a, "b"\nc', "\u202eمرحبا")


@pytest.fixture(scope="module")
def hostile(figures: Figures, folder: Path) -> Path:
    """The report with titles that Excel would compute or take for dates."""
    document = dict(figures.document)
    articles = [dict(each) for each in document["articles"]]
    for each, title in zip(articles[::-1], [*FORMULAS, *DATES, *MARKUP], strict=False):
        each["title"] = title
    articles[-1]["url"] = "javascript:alert(1)"
    document["articles"] = articles
    path = folder / "hostile.html"
    path.write_text(render(replace(figures, document=document), "en"), "utf-8")
    return path


def test_excel_computes_no_title(browser: Browser, hostile: Path) -> None:
    """Titles that Excel would compute or take for a date are texts in the CSV, and markup is text in the page."""
    with reading(browser, hostile, "#page=articles") as reader:
        section = reader.section("Articles published in the range")
        file = reader.downloaded(section)
        assert file.name == "shop_articles_2026-10-25_2026-11-23.csv"
        found = {row[0] for row in file.rows[1:]}
        assert {each for each in found if re.match(r"[=+\-@]", each)} == {f'="{date}"' for date in DATES}
        assert {*(f"'{each}" for each in FORMULAS), *MARKUP} <= found

        section.locator("button.more").click()
        assert {*FORMULAS, *DATES, *MARKUP} <= set(section.locator("tbody th").all_text_contents())
        assert reader.page.locator("img").count() == 0
        for title, links in ((FORMULAS[0], 0), (FORMULAS[1], 1)):
            with reader.redrawn():
                reader.button(title).click()
            link = section.get_by_role("link", name="Open the article")
            assert link.count() == links, title
        assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener noreferrer")
        columns = "[{ title: '1-5', value: row => row }]"
        assert reader.page.evaluate(f"csv({columns}, ['6-10', '=1', 1.5, null])") == (
            '\ufeff"=""1-5"""\r\n"=""6-10"""\r\n\'=1\r\n1.5\r\n\r\n'
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_downloads_equal_the_tables(language: str, browser: Browser, report: Path) -> None:
    """Each table downloads as UTF-8 with BOM and CRLF; its headers and rows are those of the table, numbers plain."""
    names = set()
    with reading(browser, report, f"#lang={language}") as reader:
        for page in PAGES:
            unfolded(reader, page, "&days=14")
            for section in reader.page.locator("section").filter(has_text="CSV").all():
                file, table = reader.downloaded(section), section.locator("table").last
                if page == "articles" and section.locator("button.link").count():
                    table = section.locator("table").first
                names.add(file.name)
                assert file.content.startswith(b"\xef\xbb\xbf")
                assert file.content.endswith(b"\r\n")
                assert b"\n" not in file.content.replace(b"\r\n", b"")
                heads = table.locator("thead th").all_text_contents()
                titles = [re.sub(r" ?[(（]%[)）]$", "", value_of(each)) for each in file.rows[0]]
                assert titles == [
                    *heads,
                    *([str(WORDS["address"].to(Language(language)))] if "articles" in file.name else []),
                ]
                rows = table.locator("tbody tr").evaluate_all(
                    "all => all.map(row => [...row.cells].map(cell => cell.innerText))"
                )
                assert len(file.rows) == len(rows) + 1
                for row in file.rows[1:]:
                    same = [each for each in rows if all(map(is_shown, row, each))]
                    assert same != [], row
                    rows.remove(same[0])
    assert names == {
        *("shop_days_2026-11-10_2026-11-23.csv", "shop_channels_2026-11-10_2026-11-23.csv"),
        *("shop_followers_2026-11-10_2026-11-23.csv", "shop_articles_2026-11-10_2026-11-23.csv"),
        *("shop_sources_2026-11-10_2026-11-23.csv", "shop_reading_2026-11-10_2026-11-23.csv"),
        *("shop_types_2026-11-10_2026-11-23.csv", "shop_messages_2026-11-10_2026-11-23.csv"),
        *("shop_hours_2026-11-23.csv", "shop_interface_hours_2026-11-23.csv"),
        *("shop_interface_2026-11-10_2026-11-23.csv", "shop_coverage_2026-11-10_2026-11-23.csv"),
    }


def value_of(field: str) -> str:
    """Return a field of a CSV as Excel shows it."""
    found = re.fullmatch(r'="(.*)"', field)
    return found[1] if found else field.removeprefix("'")


def is_shown(field: str, cell: str) -> bool:
    """Return whether a cell of the table shows the value of a field of the CSV."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", field):
        day = dt.date.fromisoformat(field)
        return f"{day:%m-%d}" in cell or day_text(day) in cell
    if re.fullmatch(r"-?[\d.]+(e-\d+)?", field):
        digits = len(found[1]) if (found := re.search(r"\.(\d+)", cell)) else 0
        return abs(float(field) - key_of(cell)) <= 0.5 * 10**-digits + 1e-6
    return cell == "–" if field == "" else cell.startswith(value_of(field))


# --- print and size -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_print_is_white_and_without_controls(page: str, browser: Browser, report: Path) -> None:
    """On paper the ground is white even in dark mode, and there are no links, buttons or hints."""
    with reading(browser, report, f"#lang=en&page={page}", scheme="dark") as reader:
        reader.page.emulate_media(media="print")
        visible = reader.page.locator("button, nav, .language, .hint").filter(visible=True)
        names = [each for each in visible.all_text_contents() if each]
        pressed = reader.page.locator("[aria-pressed=true], thead button, button.link").all_text_contents()
        assert [each for each in names if each not in pressed] == []
        corner = reader.page.screenshot(clip={"x": 0, "y": 0, "width": 4, "height": 4})
        assert colours_of(reader, corner) == ["255,255,255"]
        colours = reader.page.evaluate(
            "[...document.querySelectorAll('p, td, h2')].map(each => getComputedStyle(each).color)"
        )
        assert set(colours) <= {"rgb(28, 35, 33)", "rgb(85, 96, 91)"}
        folded = reader.page.evaluate(
            "(dispatchEvent(new Event('beforeprint')), [...document.querySelectorAll('details')]"
            ".map(each => each.open && each.querySelectorAll('tbody tr').length))"
        )
        assert all(rows >= 2 for rows in folded)
        printed = reader.page.pdf(format="A4")
        assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 9


def colours_of(reader: Reader, png: bytes) -> list[str]:
    """Return the colours that occur in an image."""
    found = reader.page.evaluate(
        """async png => {
          const image = new Image();
          image.src = `data:image/png;base64,${png}`;
          await image.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [image.width, image.height];
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          const { data } = context.getImageData(0, 0, image.width, image.height);
          const pixels = [...Array(data.length / 4).keys()].map(at => data.slice(4 * at, 4 * at + 3).join(","));
          return [...new Set(pixels)] }""",
        b64encode(png).decode(),
    )
    return [str(each) for each in found]


_WHEN_DRAWN = """
new MutationObserver(() => { if (document.body?.dataset.drawn && !window.took) window.took = performance.now(); })
  .observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-drawn"] });
"""


def test_twelve_years_are_drawn_within_two_seconds(browser: Browser, tmp_path: Path) -> None:
    """Each page of twelve years is drawn within two seconds, with the last month and with all days."""
    families, path = tuple(Family), tmp_path / "report.html"
    account = Account("shop", start=HISTORY_START, families=families)
    with years(tmp_path, families=families).open_published() as con:
        path.write_text(render(read_figures(con, account, TODAY), "zh"), "utf-8")
    took: dict[str, float] = {}
    for page in PAGES:
        for days in ("30", "all"):
            for _ in range(3):  # the machine may be busy
                with reading(browser, path, f"#page={page}&days={days}", ready=_WHEN_DRAWN) as reader:
                    assert reader.page.locator("nav [aria-current=page]").count() == 1
                    assert reader.chosen["page"] == page
                    milliseconds = reader.page.evaluate("window.took")
                took[f"{page} {days}"] = min(milliseconds, took.get(f"{page} {days}", milliseconds))
                if milliseconds < 2000:
                    break
    assert {name: milliseconds for name, milliseconds in took.items() if milliseconds >= 2000} == {}


# --- all accounts ---------------------------------------------------------------------------------------------------


def test_the_overview_lists_all_accounts(browser: Browser, accounts: Path, expected: Expected) -> None:
    """Each account has a row with yesterday's figures and a link to its report in the chosen language."""
    with reading(browser, accounts, "#lang=en") as reader:
        (section,) = reader.sections().values()
        heads, first, *others = section.tables[0]
        now, week = (expected.range(day, day) for day in (LAST, LAST - 7 * DAY))
        values = [
            f"{shown(metric, now.value(metric))}{changed(metric, now.value(metric), week.value(metric))}"
            for metric in ("followers", "net_followers", "readers", "messages")
        ]
        assert first == [TITLE, *values, "7 missing", "23 Nov", "–"]
        assert [row[0] for row in others] == ["Tea & <b>More</b>", "none"]
        links = reader.page.locator("tbody a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
        assert links == [f"report_{place}.html#lang=en" for place in range(3)]
        reader.button(heads[0]).click()
        assert reader.page.locator("tbody th").all_text_contents() == [TITLE, "none", "Tea & <b>More</b>"]
        file = reader.downloaded(reader.page.locator("section"))
        assert len(file.rows) == 4
        reader.link("中文").click()
        reader.page.get_by_role("heading", name="全部账号").wait_for()
