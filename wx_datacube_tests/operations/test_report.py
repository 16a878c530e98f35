"""The report: its figures compared with the emulator's world, its texts, and what it shows if there is little data.

Tests of its look and behaviour in a browser are in `browser/test_report.py`, those of the pages of followers and
articles in `test_report_pages.py`.
"""

import datetime as dt
import json
import re
import string
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog import messages as catalog
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Period
from wx_datacube.config.settings import Account
from wx_datacube.emulator.world import World
from wx_datacube.operations.report import page, words
from wx_datacube.operations.report.figures import Figures, KeyFigure, Mark, Value, read_figures
from wx_datacube.operations.report.words import LANGUAGES, Words
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import LATER, answered, body, day, hour_row, row, senders_row
from wx_datacube_tests.ingesting import Shop, shop
from wx_datacube_tests.years import TODAY, years

FIRST, LAST = dt.date(2026, 8, 1), dt.date(2026, 11, 23)
DAY = dt.timedelta(days=1)
DAYS, HOURS, SENDERS = catalog.DAILY_MESSAGES, catalog.HOURLY_MESSAGES, catalog.SENDERS_OF[Period.DAY]


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Provide an account of four months with everything due stored."""
    with shop(tmp_path_factory.mktemp("report"), start=FIRST, messages_per_day=60) as made:
        made.bring_everything_in()
        made.warehouse.publish()
        yield made


def figures_of(
    warehouse: Warehouse,
    start: dt.date = FIRST,
    now: dt.datetime = TODAY,
    first: dt.date | None = None,
    last: dt.date | None = None,
) -> Figures:
    """Return the figures of `shop`."""
    with warehouse.open_published() as con:
        return read_figures(con, Account("shop", start=start), now, first, last)


def text_of(figures: Figures, language: str = "en", now: dt.datetime = TODAY) -> str:
    """Return the text of a report, without script, data and style."""
    made = page.render(figures, language, Path("figures.duckdb"), now)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style)>.*?</\1>", "", made)))


def bars_of(figures: Figures) -> list[dict[str, Any]]:
    """Return the bars of the chart of types in a report, with the keys that `charts.types` describes."""
    (data,) = re.findall(r" data = (\{.*\});", page.render(figures, "en", Path("figures.duckdb"), TODAY))
    bars: list[dict[str, Any]] = json.loads(data)["types"]
    return bars


def counted(world: World, first: dt.date, last: dt.date) -> Value:
    """Count distinct users and messages in a range of days, message by message."""
    sent = [message for count in range((last - first).days + 1) for message in world.messages(first + count * DAY)]
    return Value(len({message.user for message in sent}), len(sent))


# --- figures ----------------------------------------------------------------------------------------------------


def test_key_figures_are_the_worlds(it: Shop) -> None:
    """The key figures of day, week and month, and those they are compared with, match the world; users are distinct."""
    day, week, month = figures_of(it.warehouse).keys
    world = it.emulated.world

    assert (day.label, day.value) == (LAST, counted(world, LAST, LAST))
    assert day.before == {days: counted(world, LAST - days * DAY, LAST - days * DAY) for days in (1, 7, 30)}
    assert (week.label, week.value) == (LAST - 7 * DAY, counted(world, LAST - 7 * DAY, LAST - DAY))
    assert week.before == {7: counted(world, LAST - 14 * DAY, LAST - 8 * DAY)}
    october = dt.date(2026, 10, 1)
    assert (month.label, month.value) == (october, counted(world, october, dt.date(2026, 10, 31)))
    assert month.before == {30: counted(world, dt.date(2026, 9, 1), dt.date(2026, 9, 30))}


def test_absurd_figures_do_not_break_the_report(warehouse: Warehouse) -> None:
    """The report is rendered even if figures have the largest value of their column."""
    huge, start = 2**63 - 1, dt.date(2026, 7, 1)  # shown by week, whose sums are larger
    days = [day(1) + count * DAY for count in range(23)]
    with warehouse.transaction() as con:
        for begin in days[::7]:
            rows = [
                row(each, huge, huge, msg_type=kind) for each in days if 0 <= (each - begin).days < 7 for kind in (1, 2)
            ]
            store_calls(con, [answered(DAYS, begin, begin + 6 * DAY, *rows)])
        for each in days:
            store_calls(con, [answered(HOURS, each, None, hour_row(each, 9, msg_user=huge, msg_count=huge))])
            store_calls(con, [answered(SENDERS, each, None, senders_row(each, huge), senders_row(each, huge, 2))])
    warehouse.publish()

    found = figures_of(warehouse, start, LATER)

    assert "Messages to shop" in text_of(found, now=LATER)
    assert page.key_figures(found) is not None


@pytest.mark.parametrize("month", range(1, 12))
def test_a_month_is_compared_with_the_month_before(month: int, tmp_path: Path) -> None:
    """A month is compared with the month before, whatever its length: thirty days before March is in January."""
    warehouse = years(tmp_path, start=dt.date(2025, 1, 1))
    last = dt.date(2026, month, 1) - DAY

    key = figures_of(warehouse, dt.date(2025, 1, 1), last=last).keys[-1]

    assert key.label == last.replace(day=1)
    with warehouse.open_published() as con:
        values = {value.isoformat()[:7] for (value,) in con.execute("SELECT date FROM totals_monthly").fetchall()}
    before = key.label - DAY
    assert key.before == {30: key.value if before.isoformat()[:7] in values else Value()}


def test_every_day_of_the_trend_is_the_worlds(it: Shop) -> None:
    """The trend has exactly the days of the world; silent days are zeros."""
    found = figures_of(it.warehouse)

    expected = [counted(it.emulated.world, FIRST + count * DAY, FIRST + count * DAY) for count in range(115)]
    assert [day.value for day in found.days] == expected
    assert Value(0, 0) in expected


def test_types_hours_and_senders_are_the_worlds(it: Shop) -> None:
    """Each message is counted once; hours are averages over the days whose hours are known."""
    found, world = figures_of(it.warehouse), it.emulated.world
    sent = [(FIRST + count * DAY, message) for count in range(115) for message in world.messages(FIRST + count * DAY)]
    names = {1: "text", 2: "image", 3: "voice", 4: "video", 6: "link"}

    by_type: Counter[str] = Counter()
    for _, name, messages in found.by_type:
        by_type[name] += messages
    weeks = {
        weekday: sum((FIRST + count * DAY).isoweekday() == weekday for count in range(115)) for weekday in range(1, 8)
    }
    hours = Counter((date.isoweekday(), message.hour) for date, message in sent)

    assert found.unit is Period.WEEK
    assert by_type == Counter(names[message.type] for _, message in sent)
    assert found.hours == [(day, hour, hours[day, hour] / weeks[day]) for day in range(1, 8) for hour in range(24)]
    assert (
        sum(users for date, _, users in found.senders if date == LAST - 7 * DAY)
        == counted(world, LAST - 7 * DAY, LAST - DAY).users
    )


def test_a_chosen_range_excludes_other_days(it: Shop) -> None:
    """With `--from` and `--to`, no figure includes other days."""
    first, last = dt.date(2026, 9, 7), dt.date(2026, 9, 20)
    found = figures_of(it.warehouse, first=first, last=last)

    assert [day.date for day in found.days] == [first + count * DAY for count in range(14)]
    assert sum(messages for *_, messages in found.by_type) == counted(it.emulated.world, first, last).messages
    assert found.hours_first == first
    assert found.earlier == [
        (date, counted(it.emulated.world, date, date)) for date in (first - n * DAY for n in range(14, 0, -1))
    ]
    assert [key.label for key in found.keys] == [last, dt.date(2026, 9, 14), dt.date(2026, 9, 1)]
    assert {each.endpoint.name: each.due for each in found.coverage} == {
        each.name: {Period.DAY: 14, Period.WEEK: 2, Period.MONTH: 1}[each.period] for each in ENDPOINTS
    }


@pytest.mark.parametrize("hour", [9, 15], ids=["before noon", "after noon"])
def test_the_calendar_distinguishes_missing_from_unsettled(hour: int, tmp_path: Path) -> None:
    """Yesterday is unsettled until noon; a label that was never requested is missing and named."""
    with shop(tmp_path, start=dt.date(2026, 11, 20), silent_share=0) as made:
        made.fetch_missing(DAYS, [dt.date(2026, 11, 20), dt.date(2026, 11, 21)])
        made.fetch_missing(HOURS, [dt.date(2026, 11, 20)])
        made.fetch_missing(SENDERS, [dt.date(2026, 11, 20), dt.date(2026, 11, 21)])
        made.warehouse.publish()
        found = figures_of(made.warehouse, dt.date(2026, 11, 20), made.now.replace(hour=hour))

    daily = [each.name for each in (DAYS, HOURS, SENDERS)]
    assert [(day.mark, sorted(day.endpoints)) for day in found.days] == [
        (Mark.LANDED, []),
        (Mark.MISSING, [HOURS.name]),
        (Mark.MISSING, sorted(daily)),
        (Mark.UNSETTLED if hour < 12 else Mark.MISSING, sorted(daily)),
    ]
    assert (found.coverage[0].missing, found.coverage[0].unsettled) == ((1, 1) if hour < 12 else (2, 0))
    assert ("more labels are pending until noon" in text_of(found)) is (hour < 12)


def test_an_incomplete_bar_is_marked(tmp_path: Path) -> None:
    """A bar is marked as partial if its week crosses the edge of the range or has a missing day."""
    start = dt.date(2026, 6, 3)  # a Wednesday
    found = figures_of(years(tmp_path, start=start, gap=(dt.date(2026, 7, 1), dt.date(2026, 7, 1))), start)

    assert found.unit is Period.WEEK
    assert {bar["d"] for bar in bars_of(found) if bar["p"]} == {"2026-06-01", "2026-06-29", "2026-11-23"}
    assert "Pale bars are incomplete" in text_of(found)


def test_the_calendar_shows_revised_and_rejected_rows(tmp_path: Path) -> None:
    """The calendar marks a day whose figures WeChat changed and a day with a rejected row."""
    first = dt.date(2026, 11, 20)
    with shop(tmp_path, start=first, silent_share=0) as made:
        made.bring_everything_in()
        made.emulated.control.restate(dt.date(2026, 11, 21), delta=7)
        made.fetch_missing(DAYS, [dt.date(2026, 11, 21)], refresh=True)
        made.emulated.control.set(faults=[f"{HOURS.name}=200:{body(hour_row('2026-11-23', msg_user=-1))}"])
        made.fetch_missing(HOURS, [dt.date(2026, 11, 23)], refresh=True)
        made.warehouse.publish()
        found = figures_of(made.warehouse, first, made.now)

    assert [day.mark for day in found.days] == [Mark.LANDED, Mark.REVISED, Mark.LANDED, Mark.REJECTED]
    assert [(each.revised, each.rejected) for each in found.coverage[:2]] == [(1, 0), (0, 1)]
    text = text_of(found)
    assert "All data that is due is stored." in text


# --- little or no data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "said"), [("en", "Nothing is stored yet"), ("zh", "还没有任何数据")])
def test_no_data_yet(language: str, said: str, tmp_path: Path) -> None:
    """Without data the report says so, gives the command to run, and has no chart or script."""
    made = page.render(figures_of(Warehouse(tmp_path / "none.duckdb")), language, Path("none.duckdb"), TODAY)

    assert said in made
    assert "wx-datacube backfill --account shop" in made
    assert "<script" not in made
    assert "<section" not in made


def test_one_day_of_data(tmp_path: Path) -> None:
    """With one day of data its figures are shown, comparisons are "not stored", and there is no trend."""
    warehouse = years(tmp_path, start=dt.date(2026, 11, 23))
    text = text_of(figures_of(warehouse, dt.date(2026, 11, 23)))

    assert "A trend needs two days with data." in text
    assert text.count("not stored") == 9  # three figures, three days each
    assert "All data that is due is stored." in text


def test_a_silent_day_is_zero_and_a_missing_one_is_not() -> None:
    """Messages per user are 0 if there are no users, and None if a value is unknown."""
    assert [Value(*each).per_user for each in ((0, 0), (2, 5), (None, 5), (2, None))] == [0, 2.5, None, None]


def test_changes_are_in_percent(it: Shop) -> None:
    """A figure is compared in percent with earlier ones, in words where that is impossible or says nothing."""
    before = [Value(None, messages) for messages in (6666, 19_998, 9999, 10_000, 0, None)]
    key = KeyFigure(Period.WEEK, LAST, Value(None, 9999), dict(enumerate(before)))
    text = text_of(replace(figures_of(it.warehouse), keys=[key]))

    assert "Messages sent 9,999 ▲ 50.0% ▼ 50.0% unchanged ▼ &lt;0.1% previously 0 not stored" in text


def test_a_gap_of_months_is_a_gap(tmp_path: Path) -> None:
    """Days of a gap have no value rather than zero, and the table lists the gap."""
    gap = (dt.date(2026, 2, 3), dt.date(2026, 7, 9))
    found = figures_of(years(tmp_path, start=dt.date(2026, 1, 1), gap=gap), dt.date(2026, 1, 1))

    assert {day.value for day in found.days if gap[0] <= day.date <= gap[1]} == {Value()}
    assert {day.mark for day in found.days if gap[0] <= day.date <= gap[1]} == {Mark.MISSING}
    assert [each.gaps for each in found.coverage if each.endpoint.period is Period.DAY] == [[gap]] * 3
    assert "2026-02-03 – 2026-07-09" in text_of(found)


def test_a_column_of_zeros(tmp_path: Path) -> None:
    """If nobody sent a message, the report says so instead of drawing empty charts."""
    with shop(tmp_path, start=dt.date(2026, 11, 1), silent_share=1) as made:
        made.bring_everything_in()
        made.warehouse.publish()
        found = figures_of(made.warehouse, dt.date(2026, 11, 1), made.now)

    made_page = page.render(found, "en", Path("figures.duckdb"), TODAY)
    assert text_of(found).count("Nobody sent a message between 2026-11-01 and 2026-11-23.") == 5
    assert re.findall(r'class="chart" id="(\w+)"', made_page) == ["calendar"]


def test_a_hundred_thousand_messages_a_day(tmp_path: Path) -> None:
    """Large figures have thousands separators and aren't truncated."""
    text = text_of(figures_of(years(tmp_path, start=dt.date(2026, 9, 1), messages=100_000), dt.date(2026, 9, 1)))

    assert "100,000" in text
    assert "700,000" in text


def test_the_report_of_an_old_file_names_its_newest_day(tmp_path: Path) -> None:
    """The report of an outdated file says which day is the newest."""
    found = figures_of(years(tmp_path, start=dt.date(2026, 9, 1)), dt.date(2026, 9, 1), TODAY + 60 * DAY)

    text = text_of(found, now=TODAY + 60 * DAY)
    assert "The newest stored day is 2026-11-23, 61 days ago." in text


def test_the_report_of_a_range_without_data_says_so(it: Shop) -> None:
    """For a time without data the report says so."""
    found = figures_of(it.warehouse, dt.date(2026, 1, 1), first=dt.date(2026, 2, 1), last=dt.date(2026, 2, 3))

    assert "Nothing is stored between 2026-02-01 and 2026-02-03." in text_of(found)


def test_an_unknown_message_type_is_shown(tmp_path: Path) -> None:
    """An unknown message type is shown as `other` with its code, after the known ones, in both languages."""
    warehouse = years(tmp_path, start=dt.date(2026, 11, 1))
    with warehouse.transaction() as con:
        con.execute("UPDATE datacube.getupstreammsg SET msg_type = 9 WHERE msg_type = 6")
    warehouse.publish()
    found = figures_of(warehouse, dt.date(2026, 11, 1))

    assert "other (9)" in text_of(found, "en")
    assert "其他（9）" in text_of(found, "zh")
    assert max(bars_of(found), key=lambda bar: bar["o"])["k"] == "other (9)"


# --- the file ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twelve_years(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Provide a file with everything since 2014-12-01."""
    return years(tmp_path_factory.mktemp("years"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_twelve_years_are_one_small_file_within_ten_seconds(language: str, twelve_years: Warehouse) -> None:
    """A report of twelve years takes less than ten seconds of processor time and 2.5 MB."""
    begun = time.process_time()
    made = page.render(figures_of(twelve_years, HISTORY_START), language, twelve_years.database, TODAY)

    assert time.process_time() - begun < 10
    assert len(made.encode()) <= 2_500_000
    assert len(re.findall('"d"', made)) > 2 * 4376


def test_every_view_answers_at_once(twelve_years: Warehouse) -> None:
    """Typical queries of every view over twelve years take less than 0.1 s of processor time."""
    with twelve_years.open_published() as con:
        views = con.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        slow = {}
        for schema, view in views:
            names = [name for name, *_ in con.execute(f"DESCRIBE {schema}.{view}").fetchall()]
            date = {"coverage": "label", "articles": "published_on"}.get(view, "date")
            figures = ", ".join(f'max("{name}")' for name in names)
            for what, sql in {
                "by month": f"SELECT date_trunc('month', {date}), count(*), {figures} FROM {schema}.{view} GROUP BY 1",
                "newest": f"FROM {schema}.{view} ORDER BY {date} DESC LIMIT 100",
                "last weeks": f"FROM {schema}.{view} WHERE {date} >= DATE '2026-10-01'",
            }.items():
                took = min(_took(con, sql) for _ in range(5))
                if took > 0.1:
                    slow[view, what] = took

    assert len(views) == 19
    assert slow == {}


def _took(con: Any, sql: str) -> float:
    begun = time.process_time()
    con.execute(sql).fetchall()
    return time.process_time() - begun


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_loads_nothing(language: str, it: Shop) -> None:
    """The page loads nothing external, and its policy forbids it."""
    made = page.render(figures_of(it.warehouse), language, it.warehouse.database, TODAY)

    assert "default-src 'none'" in made
    outside = re.sub(r"(?s)<script>.*?</script>", "", made)
    assert re.findall(r'(?:href|src|url)[=(](?!"data:,")[^> ]+', outside) == []
    assert f'<html lang="{Words(language)("lang")}">' in made


def test_file_names_are_escaped(tmp_path: Path) -> None:
    """A file name is escaped in the page."""
    made = page.render(figures_of(Warehouse(tmp_path / "n.duckdb")), "en", Path("<b>&.duckdb"), TODAY)

    assert "&lt;b&gt;&amp;.duckdb" in made


# --- texts ------------------------------------------------------------------------------------------------------


def test_both_languages_have_every_text_with_the_same_blanks() -> None:
    """Every text exists in both languages, with the same placeholders."""

    def blanks(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    table = words._WORDS  # private: `Words` gives single texts, and has no list of them
    assert {key: texts for key, texts in table.items() if blanks(texts[0]) != blanks(texts[1])} == {}
    assert [
        key for key, (chinese, _) in table.items() if key != "lang" and not re.search(r"[\u4e00-\u9fff{]", chinese)
    ] == []
    assert [key for key, (_, english) in table.items() if re.search(r"[\u4e00-\u9fff]", english)] == []


def test_every_text_is_used() -> None:
    """Every text is used."""
    folder = Path(page.__file__).parent
    used = "".join(
        path.read_text("utf-8") for path in folder.iterdir() if path.suffix in (".html", ".py") and path.stem != "words"
    )
    made_up = ("unit_", "type_", "weekday_", "interval_", "mark_", "key_", "before_", "last_", "channel_", "source_")

    unused = [key for key in words._WORDS if not re.search(rf"['\"]{key}['\"]", used) and not key.startswith(made_up)]
    assert unused == []
