"""The report's pages: what is in the file, its texts and its scripts, and the overview of all accounts.

The figures are tested in `test_report.py`. What the scripts draw is tested in a browser, in `browser/test_report.py`.
"""

import datetime as dt
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from wx_datacube.catalog.articles import DAILY_READING, PUBLISHED_ARTICLES, SCENE_DESC
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.followers import CHANNEL, DAILY_FOLLOWERS
from wx_datacube.catalog.messages import COUNT_INTERVAL, MSG_TYPE
from wx_datacube.catalog.metrics import METRICS
from wx_datacube.catalog.model import HISTORY_START, Family
from wx_datacube.language import Language
from wx_datacube.operations import names
from wx_datacube.operations.report import page, path_beside
from wx_datacube.operations.report.figures import Figures
from wx_datacube.operations.report.overview import overview_row, render_overview
from wx_datacube.operations.report.words import WORDS
from wx_datacube.warehouse.errors import WarehouseError
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.by_hand import Stored, figures_of
from wx_datacube_tests.ingesting import shop
from wx_datacube_tests.years import TODAY, years

FIRST, LAST = dt.date(2026, 10, 19), dt.date(2026, 11, 23)
DAY = dt.timedelta(days=1)
ALL = tuple(Family)
ASSETS = {path.name: path.read_text("utf-8") for path in (Path(page.__file__).parent / "assets").iterdir()}
SCRIPTS = {name: text for name, text in ASSETS.items() if name.endswith(".js")}
CHINESE = re.compile("[\u3400-\u9fff]")
both_languages = pytest.mark.parametrize("language", Language)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """Provide the figures of five weeks of all families."""
    with shop(tmp_path_factory.mktemp("pages"), start=FIRST, families=ALL) as made:
        made.bring_everything_in()
        return figures_of(made.warehouse, ALL, FIRST)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Provide a file without figures."""
    return Stored(tmp_path)


def embedded(html: str, name: str) -> Any:
    """Return what a page sets a constant to."""
    (text,) = re.findall(rf"^const {name} = (.*);$", html, re.MULTILINE)
    return json.loads(text)


def without_scripts(html: str) -> str:
    """Return a page without scripts and style."""
    return re.sub(r"(?s)<(script|style)>.*?</\1>", "", html)


def unpacked(data: dict[str, Any]) -> dict[str, Any]:
    """Return the document of a page in the form that `read_figures` returns, as `series.js` does."""
    count = (dt.date.fromisoformat(data["last"]) - dt.date.fromisoformat(data["first"])).days + 1
    for name, each in data["daily"].items():
        values = [*[None] * each["at"], *each["values"]]
        data["daily"][name] = [*values, *[None] * (count - len(values))]
    if data.get("articles"):
        columns, rows = data["articles"]["columns"], data["articles"]["rows"]
        data["articles"] = [dict(zip(columns, row, strict=True)) for row in rows]
        for article in data["articles"]:
            article["curve"] = [[age, each] for age, each in enumerate(article["curve"], 1) if each is not None]
    return data


def plain(document: Mapping[str, Any]) -> Any:
    """Return a document as JSON has it."""
    return json.loads(json.dumps(document, default=str))


# --- the file ---------------------------------------------------------------------------------------------------


@both_languages
def test_the_file_has_the_whole_document(language: Language, figures: Figures) -> None:
    """The page's data are exactly the figures, in their order, and its texts are all of both languages."""
    made = page.render(figures, language)
    data = unpacked(embedded(made, "DATA"))

    expected = plain(figures.document) | {"opens": None, "language": language.value}
    assert data == expected
    for name in ("daily", "types", "intervals", "sources"):
        assert list(data[name]) == list(expected[name])
    assert embedded(made, "WORDS") == {key: [text.en, text.zh] for key, text in WORDS.items()}
    assert f'<html lang="{"zh-CN" if language is Language.CHINESE else "en"}">' in made
    assert "<title>shop" in made


def test_gaps_are_in_the_file(stored: Stored) -> None:
    """Missing days, and unknown days of a curve, are the same in the file as in the figures."""
    details = f"{PUBLISHED_ARTICLES.name}__detail_list"
    first = LAST - 6 * DAY
    stored.rows(DAILY_FOLLOWERS.name, (first + DAY, 0, 3, 1), (first + 4 * DAY, 0, 5, 1))
    stored.answered(DAILY_FOLLOWERS, first + DAY, first + 4 * DAY)
    stored.answered(DAILY_READING, first, shown=0)
    for number in (1, 2):
        stored.rows(PUBLISHED_ARTICLES.name, (first, f"9_{number}", 0, "x", None))
    for age in (2, 5):
        stored.rows(details, (first, "9_1", first + age * DAY, age, 0, 0, 0, 0, 0, None, None, None, None, None))
    stored.answered(PUBLISHED_ARTICLES, first)
    figures = stored.figures((Family.FOLLOWERS, Family.ARTICLES), first)
    document = figures.document

    assert document["daily"]["new_followers"] == [None, 3, None, None, 5, None, None]
    assert [each["curve"] for each in document["articles"]] == [[[3, 2], [6, 5]], []]
    data = unpacked(embedded(page.render(figures, "en"), "DATA"))
    assert (data["daily"], data["articles"]) == (plain(document["daily"]), plain(document["articles"]))


@pytest.mark.parametrize(
    ("first", "last", "opens"),
    [
        (None, None, None),
        (dt.date(2026, 11, 1), dt.date(2026, 11, 7), ["2026-11-01", "2026-11-07"]),
        (dt.date(2026, 11, 1), None, ["2026-11-01", "2026-11-23"]),
        (None, dt.date(2026, 11, 7), ["2026-10-19", "2026-11-07"]),
    ],
    ids=["neither", "from and to", "from", "to"],
)
def test_the_page_opens_with_the_chosen_range(
    first: dt.date | None, last: dt.date | None, opens: list[str] | None, figures: Figures
) -> None:
    """The page opens with the range that was asked for, and has the figures of all other days too."""
    data = embedded(page.render(figures, "en", first, last), "DATA")

    assert data["opens"] == opens
    assert (data["first"], data["last"]) == ("2026-10-19", "2026-11-23")


@both_languages
def test_the_page_loads_nothing(language: Language, figures: Figures) -> None:
    """The file has no address that a browser would load, its policy forbids it, and its scripts never try."""
    made = page.render(figures, language)

    (policy,) = re.findall(r'Content-Security-Policy"\s+content="([^"]+)"', made)
    assert sorted(policy.split("; ")) == [
        "default-src 'none'",
        "img-src data:",
        "script-src 'unsafe-inline' 'unsafe-eval'",
        "style-src 'unsafe-inline'",
    ]
    assert made.index(policy) < min(made.index("<style"), made.index("<script"), made.index("<link"))
    assert re.findall(r'(?:href|src|srcset|action)="([^"]*)"', without_scripts(made)) == ["data:,"]
    assert re.findall(r"(?i)@import|@font-face|url\(", ASSETS["page.css"]) == []
    loading = (
        r"fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\(|importScripts|\.src\b|new Image|Worker\("
    )
    assert {name: found for name, text in SCRIPTS.items() if (found := re.findall(loading, text))} == {}
    ours = {each for text in ASSETS.values() for each in re.findall(r"https?://[^\s\"'`)]+", text)}
    assert ours == {
        "http://www.w3.org/2000/svg",
        "https://vega.github.io/schema/vega-lite/v6.json",
        "https://vega.github.io/vega-lite/docs/.",
    }


def test_scripts_make_elements_from_texts_only() -> None:
    """No script makes elements or code from a string, so that no title becomes markup."""
    risky = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\(|new Function"
    assert {name: found for name, text in SCRIPTS.items() if (found := re.findall(risky, text))} == {}


def test_every_asset_is_part_of_a_page(figures: Figures) -> None:
    """Each script and the style are in one of the pages, so that none is left over."""
    pages = page.render(figures, "en") + render_overview([], TODAY, "en")

    assert [name for name, text in ASSETS.items() if name != "page.html" and text not in pages] == []


TITLES = [
    'it\'s "quoted"; --',
    "🎉👨‍👩‍👧 新品",
    "</script><script>alert(1)</script><b>&amp;",
    "<!--<script>",
    "]]>\\u003c/script\\",
    "\u202eمرحبا\u2066",
    "{{ words }} {title} ${1}",
    "one\u2028two\u2029three",
    "",
    " \t",
    None,
]


def test_titles_are_data(stored: Stored) -> None:
    """Whatever a title holds, it ends neither the script nor the data, and arrives as WeChat wrote it."""
    for number, title in enumerate(TITLES):
        stored.rows(PUBLISHED_ARTICLES.name, (LAST, f"9_{number:02}", 0, title, title))
    stored.answered(PUBLISHED_ARTICLES, LAST)
    made = page.render(stored.figures((Family.ARTICLES,), LAST), "en")
    data = unpacked(embedded(made, "DATA"))

    assert [each["title"] for each in data["articles"]] == TITLES
    scripts = len(SCRIPTS) - len(["accounts.js"]) + len(["data", "vega"])
    assert (made.count("<script"), made.lower().count("</script")) == (scripts, scripts)
    assert "<!--" not in made.partition("const WORDS")[0]


@pytest.mark.parametrize("title", ["</title><script>alert(1)</script>", '{title} "&<', "\u202eشركة", "甲" * 64])
@both_languages
def test_an_accounts_title_is_escaped(language: Language, title: str, tmp_path: Path) -> None:
    """The account's title is escaped in the page's title and in the data; braces are ordinary characters."""
    figures = figures_of(Warehouse(tmp_path / "none.duckdb"), ALL, LAST, title=title)
    made = page.render(figures, language)

    (head,) = re.findall(r"<title>(.*)</title>", made)
    shown = head.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", '"').replace("&amp;", "&")
    assert shown == WORDS["title"].fill(title=title).to(language)
    assert embedded(made, "DATA")["title"] == title
    assert without_scripts(made).count("<script") == 0


def test_a_page_replaces_the_one_before(tmp_path: Path) -> None:
    """A page is written whole, into a folder that is made if needed, and a taken place is named."""
    output = tmp_path / "new" / "report.html"
    page.save("one", output)
    page.save("two", output)

    assert [path.read_text() for path in output.parent.iterdir()] == ["two"]
    with pytest.raises(WarehouseError, match="--output"):
        page.save("three", output / "below.html")


@pytest.mark.parametrize("families", [(Family.MESSAGES,), ALL], ids=["messages", "all families"])
def test_twelve_years_are_one_small_file_within_ten_seconds(families: tuple[Family, ...], tmp_path: Path) -> None:
    """A report of twelve years takes less than ten seconds of processor time and 2.5 MB."""
    warehouse = years(tmp_path, families=families, messages=3000)
    begun = time.process_time()
    made = page.render(figures_of(warehouse, families, HISTORY_START), "zh")

    assert time.process_time() - begun < 10
    assert len(made.encode()) <= 2_500_000
    data = unpacked(embedded(made, "DATA"))
    assert {len(values) for values in data["daily"].values()} == {4376}
    assert len(data["hours"]["values"]) == 4376
    if families == ALL:
        assert len(data["articles"]) == 388
        assert len(data["articles"][0]["curve"]) == 30
        assert len(data["channels"]["new"]) == 10


# --- texts ------------------------------------------------------------------------------------------------------


def blanks_of(text: str) -> set[str]:
    """Return the names of a text's placeholders."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def arguments_at(text: str, begin: int) -> list[str]:
    """Return the arguments of the JavaScript call whose parenthesis opens before `begin`."""
    found, depth, at, quote = [""], 0, begin, ""
    while True:
        character = text[at]
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'`":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            if not depth:
                return [each.strip() for each in found]
            depth -= 1
        elif character == "," and not depth:
            found.append("")
            at += 1
            continue
        found[-1] += character
        at += 1


def names_in(given: str) -> set[str]:
    """Return the names of an object's fields, as in `{ day, span: f(1) }`."""
    fields = arguments_at(f"{given.strip()[1:-1]})", 0)
    return {field.partition(":")[0].strip() for field in fields if field}


PAGES = re.findall(r"\w+", re.findall(r"const PAGES = \[(.*)\]", SCRIPTS["series.js"])[0])
VARIABLES = {
    "page": PAGES,
    "unit": ["week", "month"],
    "`${kind}_${unitOf(choice.range)}`": ["point_week", "point_month", "bar_week", "bar_month"],
}
"""The keys that a call may use whose argument doesn't begin with a part of the key."""


def uses() -> Iterator[tuple[str, str, set[str]]]:
    """Yield each use of a text in a script: where it is, its key, and the names of the blanks that the call fills."""
    for script, text in SCRIPTS.items():
        for call in re.finditer(r"(?<![\w.])t\((?!key, blanks)", text):
            key, *rest = arguments_at(text, call.end())
            where, blanks = f"{script}: {key}", names_in(rest[0]) if rest else set()
            patterns = [re.sub(r"\$\{[^}]*\}", r"\\w+", each) for each in re.findall(r"`(\w[^`]*)`", key)]
            keys = [*re.findall(r'"([^"]*)"', key), *VARIABLES.get(key, [])]
            keys += [each for pattern in patterns for each in WORDS if re.fullmatch(pattern, each)]
            assert keys, where
            for each in keys:
                yield where, each, blanks
        for name in re.findall(r"WORDS\.(\w+)", text):
            yield f"{script}: WORDS.{name}", name, set()


def test_every_text_of_a_script_exists_and_its_blanks_are_filled() -> None:
    """Every key that a script uses is in the table, and the call fills exactly the placeholders of its text."""
    found = list(uses())

    assert len(found) > 150
    assert [(where, key) for where, key, _ in found if key not in WORDS] == []
    assert [(where, key) for where, key, blanks in found if blanks != blanks_of(WORDS[key].en)] == []


def test_every_text_is_used() -> None:
    """Every text of the table is used by a script or by Python."""
    folder = Path(page.__file__).parent
    python = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    used = {key for _, key, _ in uses()} | set(re.findall(r'WORDS\["(\w+)"\]', python))

    assert sorted(WORDS.keys() - used) == []


def test_both_languages_have_every_text_with_the_same_blanks() -> None:
    """Every text has both languages with the same placeholders, English without Chinese and Chinese with some."""
    assert [key for key, text in WORDS.items() if blanks_of(text.en) != blanks_of(text.zh)] == []
    assert [key for key, text in WORDS.items() if CHINESE.search(text.en) and key != "own_name"] == []
    without_words = [key for key, text in WORDS.items() if not re.sub(r"\{\w+\}|[^A-Za-z]", "", text.en)]
    assert [key for key, text in WORDS.items() if not CHINESE.search(text.zh) and key not in without_words] == []


def test_no_script_has_a_text_of_its_own() -> None:
    """Chinese in a script is only a part of a number or a date; its texts are in the table."""
    for name, text in SCRIPTS.items():
        code = re.sub(r"(?m)^\s*(//|/?\*).*$|//.*$", "", text)
        assert set(CHINESE.findall(code)) <= set("万亿月日"), name


# --- names ------------------------------------------------------------------------------------------------------


def test_every_word_of_the_catalog_has_a_name_in_both_languages() -> None:
    """Types, intervals, channels, sources, families and endpoints have names that people can read."""
    tables = {
        "types": (names.MESSAGE_TYPES, MSG_TYPE.words),
        "intervals": (names.INTERVALS, COUNT_INTERVAL.words[1:]),  # 0 are users who sent nothing
        "channels": (names.CHANNELS, CHANNEL.words),
        "sources": (names.SOURCES, SCENE_DESC.words),
        "families": (names.FAMILIES, list(Family)),
        "endpoints": (names.ENDPOINTS, [each.name for each in ENDPOINTS]),
    }
    for what, (table, words) in tables.items():
        assert sorted(table) == sorted(words), what
        assert [word for word in words if not CHINESE.search(table[word].zh)] == [], what
        assert [word for word in words if CHINESE.search(table[word].en) or not table[word].en] == [], what
        for language in Language:
            shown = [table[word].to(language) for word in words]
            assert len(set(shown)) == len(shown), what


def test_every_metric_has_a_name_in_both_languages(figures: Figures) -> None:
    """Names of metrics have no remark; those of the report are short, and no two are the same."""
    found = {each.metric: names.metric_name(each.metric) for each in METRICS}
    remarks = [name for name, text in found.items() if re.search("[（。，]", text.zh)]

    assert [name for name, text in found.items() if not CHINESE.search(text.zh)] == []
    assert remarks == ["mean_ms", "max_ms"]  # their unit
    assert [name for name, text in found.items() if CHINESE.search(text.en) or "_" in text.en] == []
    shown = {name: each["name"] for name, each in figures.document["metrics"].items()}
    assert shown == {name: [found[name].en, found[name].zh] for name in shown}
    assert [name for name, (en, zh) in shown.items() if len(en) > 30 or len(zh) > 10] == []
    assert len({en for en, _ in shown.values()}) == len({zh for _, zh in shown.values()}) == len(shown)


def test_names_of_unknown_words_keep_their_code() -> None:
    """A word that WeChat has added keeps its code, whatever that is."""
    for code in ("7", "-1", "<i>", "{x}", "a (b)"):
        found = names.name_of(names.CHANNELS, f"other ({code})")
        assert (found.en, found.to(Language.CHINESE)) == ("other ({code})", f"其他（{code}）")
        assert found.to(Language.ENGLISH) == f"other ({code})"


# --- all accounts -----------------------------------------------------------------------------------------------


def test_the_overviews_figures_are_those_of_the_reports(figures: Figures) -> None:
    """A row has yesterday's figures, those of seven days before, and what is missing."""
    row, daily = overview_row(figures, "report_shop.html"), figures.document["daily"]
    net = [new - lost for new, lost in zip(daily["new_followers"], daily["lost_followers"], strict=True)]

    assert (row["account"], row["title"], row["file"], row["newest"]) == ("shop", "shop", "report_shop.html", LAST)
    assert row["values"] == {
        "followers": daily["followers"][-1],
        "net_followers": net[-1],
        "readers": daily["readers"][-1],
        "messages": daily["messages"][-1],
    }
    assert row["week_before"] == {
        "followers": daily["followers"][-8],
        "net_followers": net[-8],
        "readers": daily["readers"][-8],
        "messages": daily["messages"][-8],
    }
    assert (row["missing"], row["unusual"]) == (0, [])


def test_missing_figures_of_the_overview_are_missing(stored: Stored) -> None:
    """What is not stored has no value in the overview, nor has a family that is off; what is missing is counted."""
    stored.rows(DAILY_FOLLOWERS.name, (LAST - DAY, 0, 3, 1))
    stored.answered(DAILY_FOLLOWERS, LAST - DAY)
    row = overview_row(stored.figures((Family.FOLLOWERS,), LAST - DAY), "x.html")

    assert set(row["values"].values()) == set(row["week_before"].values()) == {None}
    assert (row["missing"], row["newest"]) == (3, LAST - DAY)
    pending = stored.figures((Family.FOLLOWERS,), LAST - DAY, TODAY.replace(hour=9))
    assert overview_row(pending, "x.html")["missing"] == 1


@both_languages
def test_fifty_accounts_are_in_the_overview(language: Language, figures: Figures, tmp_path: Path) -> None:
    """The overview has each account with a link to its report, in the order of the settings; it loads nothing."""
    output = tmp_path / "report.html"
    rows = [
        overview_row(figures, path_beside(output, f"account{number}").name) | {"title": f"</script>{number}"}
        for number in range(50)
    ]
    made = render_overview(rows, TODAY, language)
    data = embedded(made, "DATA")

    assert [each["file"] for each in data["accounts"]] == [f"report_account{number}.html" for number in range(50)]
    assert [each["title"] for each in data["accounts"]] == [f"</script>{number}" for number in range(50)]
    assert (data["day"], data["language"]) == (str(LAST), language.value)
    assert re.findall(r'(?:href|src)="([^"]*)"', without_scripts(made)) == ["data:,"]
    assert "default-src 'none'" in made
    assert made.lower().count("</script") == 3  # data, shared and accounts: no charts
    assert len(made.encode()) < 100_000


def test_the_overview_of_accounts_without_data(tmp_path: Path) -> None:
    """An account with nothing stored has a row without figures."""
    row = overview_row(figures_of(Warehouse(tmp_path / "none.duckdb"), ALL, FIRST), "report_shop.html")

    assert row["newest"] is None
    assert set(row["values"].values()) == {None}
    assert row["missing"] > 0
    assert embedded(render_overview([row], TODAY, "zh"), "DATA")["accounts"][0]["newest"] is None
