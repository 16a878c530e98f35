"""The report's pages of followers and articles: their figures, what they mark, and which pages an account has.

Figures are compared with the views and the dictionary of metrics; the views are compared with the tables in
`warehouse/test_people_views.py`. Tests of messages are in `test_report.py`.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.articles import ARTICLE_SHARING, DAILY_READING, PUBLISHED_ARTICLES
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.followers import CHANNEL, DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.metrics import METRIC_BY_NAME
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Family
from wx_datacube.config.settings import Account
from wx_datacube.operations.report import page
from wx_datacube.operations.report.figures import Figures, Mark, read_figures
from wx_datacube.operations.report.words import LANGUAGES, Words
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.ingesting import Shop, shop
from wx_datacube_tests.years import TODAY

FIRST, LAST = dt.date(2026, 10, 1), dt.date(2026, 11, 23)
DAY = dt.timedelta(days=1)
FOLLOWERS, ARTICLES = (Family.FOLLOWERS,), (Family.ARTICLES,)
CHART_NAMES = {"followers", "readers"}


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Provide an account of eight weeks with everything due stored, of all families."""
    folder = tmp_path_factory.mktemp("pages")
    with shop(folder, start=FIRST, families=tuple(Family), messages_per_day=200) as made:
        made.bring_everything_in()
        yield made


class Stored:
    """A file of the account `shop` whose rows and answers are made by hand."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder / "figures.duckdb", clock=lambda: TODAY)
        with self.warehouse.transaction() as con:
            con.execute(
                "INSERT INTO datacube.api_calls BY NAME SELECT 1 AS call_id, 'shop' AS account, 'x' AS endpoint,"
                " $now AS requested_at",
                {"now": TODAY},
            )

    def rows(self, table: str, *rows: tuple[object, ...]) -> None:
        """Store rows, given without `account` and `call_id`."""
        with self.warehouse.transaction() as con:
            for row in rows:
                blanks = ", ".join("?" * len(row))
                con.execute(f"INSERT INTO datacube.{table} VALUES ('shop', {blanks}, 1)", list(row))

    def answered(self, endpoint: Endpoint, *labels: dt.date, shown: int = 1, final: bool = True) -> None:
        """Store that the labels have been answered for, with `shown` rows each."""
        with self.warehouse.transaction() as con:
            for label in labels:
                con.execute(
                    "INSERT INTO datacube.label_answers BY NAME SELECT 'shop' AS account, $endpoint AS endpoint,"
                    " $label AS label, 1 AS call_id, $now AS fetched_at, true AS settled, true AS clean,"
                    " $shown AS shown, true AS known, $final AS final, 1 AS last_undelayed",
                    {"endpoint": endpoint.name, "label": label, "now": TODAY, "shown": shown, "final": final},
                )

    def figures(self, families: tuple[Family, ...], first: dt.date, now: dt.datetime = TODAY) -> Figures:
        """Publish the file and return the figures of an account with these families and this start."""
        self.warehouse.publish()
        return figures_of(self.warehouse, families, start=first, now=now)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Provide a file without figures."""
    return Stored(tmp_path)


def figures_of(
    warehouse: Warehouse,
    families: tuple[Family, ...] = tuple(Family),
    *,
    start: dt.date = FIRST,
    now: dt.datetime = TODAY,
    first: dt.date | None = None,
    last: dt.date | None = None,
) -> Figures:
    """Return the figures of `shop` with these families."""
    with warehouse.open_published() as con:
        return read_figures(con, Account("shop", start=start, families=families), now, first, last)


def html_of(figures: Figures, language: str = "en") -> str:
    """Return a report without script and style."""
    made = page.render(figures, language, Path("figures.duckdb"), TODAY)
    return re.sub(r"(?s)<(script|style)>.*?</\1>", "", made)


def text_of(figures: Figures, language: str = "en") -> str:
    """Return the text of a report."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html_of(figures, language)))


def points_of(figures: Figures, name: str) -> list[dict[str, Any]]:
    """Return the data set of a chart."""
    (data,) = re.findall(r" data = (\{.*\});", page.render(figures, "en", Path("figures.duckdb"), TODAY))
    points: list[dict[str, Any]] = json.loads(data)[name]
    return points


def by_dictionary(it: Shop, name: str, first: dt.date, last: dt.date) -> dict[dt.date, Any]:
    """Return a metric by day, as the dictionary defines it."""
    metric = METRIC_BY_NAME[name]
    return dict(
        it.rows(
            f"SELECT date, {metric.expression} FROM {metric.view} WHERE date BETWEEN $first AND $last GROUP BY date",
            first=first,
            last=last,
        )
    )


# --- which pages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("families", "sections"),
    [
        ((Family.MESSAGES,), ["keys", "trend", "types", "hours", "senders", "months", "coverage"]),
        (FOLLOWERS, ["followers", "coverage"]),
        (ARTICLES, ["articles", "coverage"]),
        ((Family.INTERFACE,), ["coverage"]),
        (
            tuple(Family),
            ["keys", "trend", "types", "hours", "senders", "months", "followers", "articles", "coverage"],
        ),
    ],
    ids=["messages", "followers", "articles", "interface", "all"],
)
def test_an_account_has_the_pages_of_its_families(
    families: tuple[Family, ...], sections: list[str], language: str, it: Shop
) -> None:
    """Each family's page is shown only if it is on; the coverage lists all endpoints of the families, and no other."""
    found = figures_of(it.warehouse, families)
    made = html_of(found, language)

    assert re.findall(r'<section [^>]*aria-labelledby="h-(\w+)"', made) == sections
    wanted = [each.name for each in ENDPOINTS if each.family in families]
    assert [each.endpoint.name for each in found.coverage] == wanted
    assert re.findall(r'<th scope="row">(get\w+)</th>', made) == wanted
    title = "title" if families == (Family.MESSAGES,) else "title_all"
    assert f"<h1>{Words(language)(title, account='shop')}</h1>" in made
    assert found.newest == LAST


@pytest.mark.parametrize("language", LANGUAGES)
def test_headings_are_in_order_and_headers_have_a_scope(language: str, it: Shop) -> None:
    """No level of headings is skipped, every header of a table has a scope, and no id occurs twice."""
    made = html_of(figures_of(it.warehouse), language)

    levels = [int(level) for level in re.findall(r"<h(\d)", made)]
    assert levels[0] == 1
    assert [(a, b) for a, b in pairwise(levels) if b > a + 1 or b == 1] == []
    assert re.findall(r"<th(?=[ >])(?! scope=)[^>]*>", made) == []
    ids = re.findall(r' id="([^"]+)"', made)
    assert len(ids) == len(set(ids))


def test_the_coverage_counts_open_labels(it: Shop) -> None:
    """With articles, the table of the coverage has a column for labels that WeChat may still change."""
    found = figures_of(it.warehouse)
    counted = dict(
        it.rows("SELECT endpoint, count(*) FROM datacube.coverage WHERE state = 'landed' AND NOT final GROUP BY ALL")
    )

    assert {each.endpoint.name: each.open for each in found.coverage if each.open} == counted
    assert counted.keys() == {PUBLISHED_ARTICLES.name}
    assert "Still open" in text_of(found)
    assert "Still open" not in text_of(figures_of(it.warehouse, (Family.MESSAGES, Family.FOLLOWERS)))


def test_articles_are_not_due_before_november_2025(it: Shop) -> None:
    """The report of articles alone begins with their history, and no earlier day counts as missing."""
    alone = figures_of(it.warehouse, ARTICLES, start=HISTORY_START)
    both = figures_of(it.warehouse, (Family.FOLLOWERS, Family.ARTICLES), start=dt.date(2025, 10, 1))

    assert alone.first == alone.days[0].date == dt.date(2025, 11, 1)
    assert both.days[30].endpoints == [DAILY_FOLLOWERS.name, FOLLOWERS_TOTAL.name]
    assert len(both.days[31].endpoints) == 6


@pytest.mark.parametrize("families", [FOLLOWERS, ARTICLES, (Family.INTERFACE,)])
def test_a_range_without_data_says_so(families: tuple[Family, ...], it: Shop) -> None:
    """For days without data, each family's report says so and has no chart of figures."""
    found = figures_of(it.warehouse, families, first=dt.date(2025, 9, 1), last=dt.date(2025, 9, 3))

    assert "Nothing is stored between 2025-09-01 and 2025-09-03." in text_of(found)
    assert CHART_NAMES.isdisjoint(re.findall(r'class="chart" id="(\w+)"', html_of(found)))


@pytest.mark.parametrize("families", [FOLLOWERS, ARTICLES])
def test_nothing_stored_yet(families: tuple[Family, ...], tmp_path: Path) -> None:
    """Before the first call the report only names the command that fetches data."""
    made = html_of(figures_of(Warehouse(tmp_path / "none.duckdb"), families))

    assert "Nothing is stored yet" in made
    assert "<section" not in made


# --- followers --------------------------------------------------------------------------------------------------


def test_followers_are_those_of_the_views(it: Shop) -> None:
    """Every day has the dictionary's figures; the newest one is compared with the days before it."""
    found = figures_of(it.warehouse).followers
    assert found is not None
    assert found.key is not None

    names = ("followers", "new_followers", "lost_followers", "net_followers")
    for name in names:
        expected = by_dictionary(it, name, FIRST, LAST)
        # A settled day without changes is empty: nobody came and nobody left.
        assert [day.values[name] for day in found.days] == [
            expected.get(FIRST + count * DAY, 0) for count in range(len(found.days))
        ]
    assert len(found.days) == len(found.known) == found.due == 54
    assert found.key.day == found.days[-1]
    assert found.key.before == {count: found.days[-1 - count] for count in (1, 7, 30)}


def test_channels_are_totals_of_the_range(it: Shop) -> None:
    """The table of channels adds up the days of the range, most new followers first."""
    first, last = dt.date(2026, 10, 10), dt.date(2026, 10, 20)
    found = figures_of(it.warehouse, first=first, last=last).followers
    assert found is not None

    expected = it.rows(
        "SELECT source, sum(new_followers)::BIGINT, sum(lost_followers)::BIGINT FROM followers_daily"
        " WHERE date BETWEEN $first AND $last GROUP BY source",
        first=first,
        last=last,
    )
    assert sorted(found.by_channel) == sorted(expected)
    new = [new for _, new, _ in found.by_channel]
    assert new == sorted(new, reverse=True)


def test_a_missing_day_of_followers_is_a_gap_and_an_empty_one_zero(stored: Stored) -> None:
    """A missing day has no value and breaks the line, an empty settled one has zeros; totals say what they lack."""
    first = LAST - 4 * DAY
    days = [first + count * DAY for count in range(5)]
    stored.rows(DAILY_FOLLOWERS.name, (days[0], 30, 5, 7), (days[0], 0, 1, 0), (days[4], 9999, 4, 1))
    stored.answered(DAILY_FOLLOWERS, days[0], days[4])
    stored.answered(DAILY_FOLLOWERS, days[2], shown=0)
    stored.rows(FOLLOWERS_TOTAL.name, (days[4], 1234))
    stored.answered(FOLLOWERS_TOTAL, days[4])
    found = stored.figures(FOLLOWERS, first)

    assert found.followers is not None
    assert points_of(found, "followers") == [
        {"d": days[0].isoformat(), "n": 6, "l": 7, "g": -1, "a": 1},
        {"d": days[1].isoformat(), "n": None, "l": None, "g": None},
        {"d": days[2].isoformat(), "n": 0, "l": 0, "g": 0, "a": 1},
        {"d": days[3].isoformat(), "n": None, "l": None, "g": None},
        {"d": days[4].isoformat(), "n": 4, "l": 1, "g": 3, "a": 1},
    ]
    text = text_of(found)
    assert "Followers 1,234 not stored not stored not stored" in text
    assert "New followers 4 not stored" in text
    assert "3 of 5 days are stored." in text
    assert "QR code 5 7 other (9999) 4 1 others 1 0" in text
    assert [day.mark for day in found.days] == [Mark.MISSING] * 4 + [Mark.LANDED]


def test_the_net_change_is_compared_as_a_number(stored: Stored) -> None:
    """A net change below zero has no change in percent, so the difference is shown."""
    first = LAST - 7 * DAY
    stored.rows(DAILY_FOLLOWERS.name, (first, 0, 1, 6), (LAST - DAY, 0, 2, 1), (LAST, 0, 3, 1100))
    stored.answered(DAILY_FOLLOWERS, first, LAST - DAY, LAST)
    text = text_of(stored.figures(FOLLOWERS, first))

    assert "Net followers -1,097 ▼ 1,098 ▼ 1,092 not stored" in text
    assert "Lost followers 1,100 ▲ 109900.0% ▲ 18233.3% not stored" in text


def test_yesterday_before_noon_is_pending(stored: Stored) -> None:
    """Yesterday without an answer is pending in the morning; the newest day is then the one before."""
    stored.rows(DAILY_FOLLOWERS.name, (LAST - DAY, 0, 3, 1))
    stored.answered(DAILY_FOLLOWERS, LAST - DAY)
    found = stored.figures(FOLLOWERS, LAST - DAY, TODAY.replace(hour=9))

    assert found.followers is not None
    assert found.followers.key is not None
    assert found.followers.key.day.date == LAST - DAY
    assert found.days[-1].mark is Mark.UNSETTLED
    assert "A trend needs two days with data." in text_of(found)


def test_nobody_came_or_left(stored: Stored) -> None:
    """If all days are empty, the report says so instead of showing an empty table."""
    stored.answered(DAILY_FOLLOWERS, LAST - DAY, LAST, shown=0)

    assert f"Nobody began or stopped following between {LAST - DAY} and {LAST}." in text_of(
        stored.figures(FOLLOWERS, LAST - DAY)
    )


def test_every_channel_has_a_chinese_name() -> None:
    """Every channel of the catalog has a name in both languages, and an unknown one shows its number."""
    chinese, english = Words("zh"), Words("en")

    assert [word for word in CHANNEL.words if not re.search("[\u4e00-\u9fff]", chinese.channel(word))] == []
    assert [word for word in CHANNEL.words if "other (" in english.channel(word)] == []
    assert (chinese.channel("other (-1)"), english.channel("other (-1)")) == ("其他（-1）", "other (-1)")


# --- articles ---------------------------------------------------------------------------------------------------


def test_reading_is_that_of_the_views(it: Shop) -> None:
    """Every day has the dictionary's figures; the newest one is compared with the days before it."""
    found = figures_of(it.warehouse).articles
    assert found is not None
    assert found.key is not None

    for name in ("readers", "sharers", "articles_published"):
        expected = by_dictionary(it, name, FIRST, LAST)
        assert [day.values[name] for day in found.days] == [
            expected.get(FIRST + count * DAY, 0) for count in range(len(found.days))
        ]
    assert found.key.day == found.days[-1]
    assert found.key.before == {count: found.days[-1 - count] for count in (1, 7, 30)}


def test_sources_are_averages_over_the_known_days(stored: Stored) -> None:
    """Readers by source are averaged over the known days, empty ones included; unknown sources are shown."""
    days = [LAST - count * DAY for count in range(4)]
    stored.rows(DAILY_READING.name, *((day, 100, 1, 0, 0, 0, 0, None, None) for day in days[:2]))
    stored.rows(
        f"{DAILY_READING.name}__read_user_source",
        (days[0], "全部", 100),
        (days[0], "搜一搜", 60),
        (days[1], "搜一搜", 30),
        (days[1], "<i>", 3),
    )
    stored.answered(DAILY_READING, *days[:2])
    stored.answered(DAILY_READING, days[2], shown=0)
    found = stored.figures(ARTICLES, days[3])

    assert found.articles is not None
    assert found.articles.by_source == [("search", 30.0), ("other (<i>)", 1.0)]
    assert "<bdi>other (&lt;i&gt;)</bdi>" in html_of(found)
    assert "<bdi>其他（&lt;i&gt;）</bdi>" in html_of(found, "zh")
    assert "搜一搜 30.0" in text_of(found, "zh")
    assert "Average per day, 2026-11-20 to 2026-11-23. 3 of 4 days are stored." in text_of(found)
    assert "Articles published – not stored" in text_of(found)  # WeChat's answer lacked the field


def test_a_day_that_is_not_final_is_marked(stored: Stored) -> None:
    """Key figures, changes and points of a day that WeChat may still change are marked; those of others are not."""
    first = LAST - 2 * DAY
    for day, readers in ((first, 100), (LAST - DAY, 200), (LAST, 300)):
        stored.rows(DAILY_READING.name, (day, readers, 1, 0, 0, 0, 0, 0, 2))
    stored.answered(DAILY_READING, first, LAST - DAY)
    earlier = text_of(stored.figures(ARTICLES, first, TODAY - DAY))
    assert "*" not in earlier
    assert "Nobody read" not in earlier  # their sources are unknown

    stored.rows(f"{DAILY_READING.name}__read_user_source", (LAST, "推荐", 300))
    stored.answered(DAILY_READING, LAST, final=False)
    found = stored.figures(ARTICLES, first)
    text = text_of(found)
    assert "Readers 300 * ▲ 50.0% * not stored not stored" in text
    assert "Articles published 2 * unchanged * not stored" in text
    assert "* WeChat may still change this figure." in text
    assert "A hollow point is a day whose figure WeChat may still change." in text
    assert "WeChat may still change the figures of 1 of these days." in text
    assert points_of(found, "readers") == [
        {"d": first.isoformat(), "r": 100},
        {"d": (LAST - DAY).isoformat(), "r": 200},
        {"d": LAST.isoformat(), "r": 300, "o": 1},
    ]


def test_the_top_articles_are_those_of_the_range(it: Shop) -> None:
    """The table has the ten articles of the range with the most readers, with their figures and their state."""
    first, last = dt.date(2026, 10, 10), dt.date(2026, 11, 20)
    found = figures_of(it.warehouse, first=first, last=last).articles
    assert found is not None

    listed = it.rows(
        "SELECT readers, article, title, published_on, sharers, new_followers, finish_rate, final FROM articles"
        " WHERE published_on BETWEEN $first AND $last ORDER BY readers DESC, published_on DESC, article",
        first=first,
        last=last,
    )
    assert [
        (a.readers, a.article, a.title, a.published_on, a.sharers, a.new_followers, a.finish_rate, a.final)
        for a in found.top
    ] == listed[:10]
    assert found.listed == len(listed)
    assert {final for *_, final in listed} == {True, False}


TITLES = {
    'it\'s "quoted"; --': "it&#39;s &#34;quoted&#34;; --",
    "🎉👨‍👩‍👧 新品": "🎉👨‍👩‍👧 新品",
    "</bdi><script>alert(1)</script><b>&amp;": "&lt;/bdi&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;b&gt;&amp;amp;",
    "\u202eمرحبا": "\u202eمرحبا",
    "{{ words }}": "{{ words }}",
    "": "9_5",
    " \t": "9_6",
    None: "9_7",
}


def test_titles_are_escaped_and_isolated(stored: Stored) -> None:
    """Titles are shown as WeChat wrote them, each isolated; an article without one is shown by its number."""
    for number, title in enumerate(TITLES):
        stored.rows(PUBLISHED_ARTICLES.name, (LAST, f"9_{number}", 0, title, None))
        stored.rows(
            f"{PUBLISHED_ARTICLES.name}__detail_list",
            (LAST, f"9_{number}", LAST, 1000 - number, 3, 0, 0, 0, 0, None, None, None, 0.256, None),
        )
    stored.rows(PUBLISHED_ARTICLES.name, (LAST, "9_8", 0, "no figures", None))
    stored.answered(PUBLISHED_ARTICLES, LAST, final=False)
    found = stored.figures(ARTICLES, LAST - DAY)

    made = html_of(found)
    assert re.findall(r'<th scope="row" class="title"><bdi>(.*)</bdi></th>', made) == [*TITLES.values(), "no figures"]
    assert "1,000 3 – 25.6% still open" in text_of(found)
    assert "no figures 2026-11-23 – – – – still open" in text_of(found)
    assert "9_7" in page.render(found, "zh", Path("figures.duckdb"), TODAY)


def test_no_article_was_published(stored: Stored) -> None:
    """Whether nothing was published, or nothing is known, is told apart."""
    unknown = stored.figures(ARTICLES, LAST)
    assert "No article was published" not in text_of(unknown)

    stored.answered(PUBLISHED_ARTICLES, LAST, shown=0)
    stored.answered(DAILY_READING, LAST, shown=0)
    known = text_of(stored.figures(ARTICLES, LAST))
    assert f"No article was published between {LAST} and {LAST}." in known
    assert f"Nobody read between {LAST} and {LAST}." in known
    assert "Readers 0 not stored" in known


def test_the_newest_day_is_that_of_any_family(stored: Stored) -> None:
    """The warning about old data looks at every family, and sharing alone is not what people look at."""
    stored.answered(ARTICLE_SHARING, LAST, shown=0)
    stored.answered(FOLLOWERS_TOTAL, LAST - 9 * DAY, shown=0)
    found = stored.figures((Family.FOLLOWERS, Family.ARTICLES), LAST - 20 * DAY)

    assert found.newest == LAST - 9 * DAY
    assert "The newest stored day is 2026-11-14, 10 days ago." in text_of(found)


# --- the file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_load_nothing(language: str, it: Shop) -> None:
    """The pages have no address that a browser would load, and their policy forbids it."""
    made = page.render(figures_of(it.warehouse), language, it.warehouse.database, TODAY)

    assert "default-src 'none'" in made
    assert re.findall(r'(?:href|src|url)[=(](?!"data:,")[^> ]+', html_of(figures_of(it.warehouse), language)) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_is_in_one_language(language: str, it: Shop) -> None:
    """Without titles of articles, the English pages have no Chinese text, and the Chinese ones no English sentence."""
    made = re.sub(r'(?s)<th scope="row" class="title">.*?</th>', "", html_of(figures_of(it.warehouse), language))
    shown = re.sub(r"<[^>]+>", " ", made[made.index("<h1>") :])

    unwanted = r"[\u4e00-\u9fff]" if language == "en" else r"\b(?:the|of|is|readers|followers|not)\b"
    assert re.findall(unwanted, shown) == []
