"""The report: its figures against the emulator's world, its words, and what it says where there is little to draw.

How it looks and behaves in a browser is tested in `browser/test_report.py`.
"""

import datetime as dt
import json
import re
import string
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import ENDPOINTS, HISTORY_START, Family, Period
from wx_datacube.emulator.world import World
from wx_datacube.operations.report import page, words
from wx_datacube.operations.report.figures import Figures, Mark, Value, read_figures
from wx_datacube.operations.report.words import LANGUAGES, Words
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import LATER, answered, day, hour_row, row, senders_row
from wx_datacube_tests.ingesting import Shop, shop
from wx_datacube_tests.years import TODAY, years

FIRST, LAST = dt.date(2026, 8, 1), dt.date(2026, 11, 23)
DAY = dt.timedelta(days=1)
DAYS, HOURS, SENDERS = (
    next(each for each in ENDPOINTS if each.period is Period.DAY and each.family is family)
    for family in (Family.MESSAGES, Family.HOURS, Family.SENDERS)
)


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An account of four months with everything that is due stored."""
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
    """The figures of `shop`."""
    with warehouse.reading() as con:
        return read_figures(con, "shop", start, now, first, last)


def text_of(figures: Figures, language: str = "en", now: dt.datetime = TODAY) -> str:
    """The words of a report, without the script, its data and the style."""
    made = page.render(figures, language, Path("figures.duckdb"), now)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style)>.*?</\1>", "", made)))


def counted(world: World, first: dt.date, last: dt.date) -> Value:
    """Distinct users and messages from one day to another, message by message."""
    sent = [message for count in range((last - first).days + 1) for message in world.messages(first + count * DAY)]
    return Value(len({message.user for message in sent}), len(sent))


# --- figures ----------------------------------------------------------------------------------------------------


def test_key_figures_are_the_worlds(it: Shop) -> None:
    """Of the last day, week and month, and of those they are compared with; users are distinct ones."""
    day, week, month = figures_of(it.warehouse).keys
    world = it.emulated.world

    assert (day.label, day.value) == (LAST, counted(world, LAST, LAST))
    assert day.before == {days: counted(world, LAST - days * DAY, LAST - days * DAY) for days in (1, 7, 30)}
    assert (week.label, week.value) == (LAST - 7 * DAY, counted(world, LAST - 7 * DAY, LAST - DAY))
    assert week.before == {7: counted(world, LAST - 14 * DAY, LAST - 8 * DAY)}
    assert (month.label, month.value) == (
        dt.date(2026, 10, 1),
        counted(world, dt.date(2026, 10, 1), dt.date(2026, 10, 31)),
    )
    assert month.before == {30: counted(world, dt.date(2026, 9, 1), dt.date(2026, 9, 30))}


def test_absurd_figures_do_not_break_the_report(warehouse: Warehouse) -> None:
    """The largest that a column holds, several of them in a week: the page is made, and so is its chart."""
    huge, start = 2**63 - 1, dt.date(2026, 7, 1)  # by weeks, whose sums are larger
    days = [day(1) + count * DAY for count in range(23)]
    with warehouse.writing() as con:
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
    """Whatever its length: thirty days before March lies in January."""
    warehouse = years(tmp_path, start=dt.date(2025, 1, 1))
    last = dt.date(2026, month, 1) - DAY

    key = figures_of(warehouse, dt.date(2025, 1, 1), last=last).keys[-1]

    assert key.label == last.replace(day=1)
    with warehouse.reading() as con:
        values = {value.isoformat()[:7] for (value,) in con.execute("SELECT date FROM totals_monthly").fetchall()}
    before = key.label - DAY
    assert key.before == {30: key.value if before.isoformat()[:7] in values else Value()}


def test_every_day_of_the_trend_is_the_worlds(it: Shop) -> None:
    """Silent days are zeros, and there is no other."""
    found = figures_of(it.warehouse)

    expected = [counted(it.emulated.world, FIRST + count * DAY, FIRST + count * DAY) for count in range(115)]
    assert [day.value for day in found.days] == expected
    assert Value(0, 0) in expected


def test_types_hours_and_senders_are_the_worlds(it: Shop) -> None:
    """Each message once; hours are averages over the days of which hours are known."""
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


def test_a_chosen_time_is_kept_to(it: Shop) -> None:
    """`--from` and `--to`: nothing of other days is in any figure."""
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
def test_the_calendar_tells_missing_from_not_settled(hour: int, tmp_path: Path) -> None:
    """Yesterday may still come until noon; a label of an endpoint that was never asked is missing, and named."""
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
    assert ("more are not settled before noon" in text_of(found)) is (hour < 12)


def test_a_bar_that_is_not_whole_is_marked(tmp_path: Path) -> None:
    """A week at the edge of the range, or with a day that isn't stored, is not taken for one with few messages."""
    start = dt.date(2026, 6, 3)  # a Wednesday
    found = figures_of(years(tmp_path, start=start, gap=(dt.date(2026, 7, 1), dt.date(2026, 7, 1))), start)

    assert found.unit is Period.WEEK
    assert page._partial(found) == {dt.date(2026, 6, 1), dt.date(2026, 6, 29), dt.date(2026, 11, 23)}
    assert "Pale bars are not whole" in text_of(found)


def test_the_calendar_shows_what_was_revised_and_what_was_set_apart(tmp_path: Path) -> None:
    """A figure that WeChat changed, and an answer with a row that can't be right."""
    first = dt.date(2026, 11, 20)
    with shop(tmp_path, start=first, silent_share=0) as made:
        made.bring_everything_in()
        made.emulated.control.restate(dt.date(2026, 11, 21), delta=7)
        made.fetch_missing(DAYS, [dt.date(2026, 11, 21)], refresh=True)
        body = {
            "ref_date": "2026-11-23",
            "ref_hour": 0,
            "user_source": 0,
            "msg_type": 1,
            "msg_user": -1,
            "msg_count": 1,
        }
        made.emulated.control.set(faults=[f"{HOURS.name}=200:{json.dumps({'list': [body]})}"])
        made.fetch_missing(HOURS, [dt.date(2026, 11, 23)], refresh=True)
        made.warehouse.publish()
        found = figures_of(made.warehouse, first, made.now)

    assert [day.mark for day in found.days] == [Mark.LANDED, Mark.REVISED, Mark.LANDED, Mark.REJECTED]
    assert [(each.revised, each.rejected) for each in found.coverage[:2]] == [(1, 0), (0, 1)]
    text = text_of(found)
    assert "Everything that is due is there." in text


# --- in words, where there is little to draw --------------------------------------------------------------------


@pytest.mark.parametrize(("language", "said"), [("en", "Nothing is stored yet"), ("zh", "还没有任何数据")])
def test_no_data_yet(language: str, said: str, tmp_path: Path) -> None:
    """Said in words, with the command that changes it; no chart and no script."""
    made = page.render(figures_of(Warehouse(tmp_path / "none.duckdb")), language, Path("none.duckdb"), TODAY)

    assert said in made
    assert "wx-datacube backfill --account shop" in made
    assert "<script" not in made
    assert "<section" not in made


def test_one_day_of_data(tmp_path: Path) -> None:
    """Its figures are shown; what it is compared with is not stored, and a trend needs two days."""
    warehouse = years(tmp_path, start=dt.date(2026, 11, 23))
    text = text_of(figures_of(warehouse, dt.date(2026, 11, 23)))

    assert "A trend needs two days with data." in text
    assert text.count("not stored") == 9  # three figures against three days
    assert "Everything that is due is there." in text


def test_a_silent_day_is_zero_and_a_missing_one_is_not() -> None:
    """Messages a user of nobody are zero, of something unknown unknown."""
    assert [Value(0, 0).per_user, Value(2, 5).per_user, Value(None, 5).per_user, Value(2).per_user] == [
        0,
        2.5,
        None,
        None,
    ]
    english = Words("en")
    changes = [
        page._change(now, before, english)
        for now, before in ((3, 2), (2, 4), (1, 1), (9999, 10_000), (1, 0), (1, None))
    ]
    assert changes == ["▲ 50.0%", "▼ 50.0%", "unchanged", "▼ <0.1%", "0 before", "not stored"]


def test_a_gap_of_months_is_a_gap(tmp_path: Path) -> None:
    """Its days have no value, which is not zero; the table names it; the line breaks."""
    gap = (dt.date(2026, 2, 3), dt.date(2026, 7, 9))
    found = figures_of(years(tmp_path, start=dt.date(2026, 1, 1), gap=gap), dt.date(2026, 1, 1))

    assert {day.value for day in found.days if gap[0] <= day.date <= gap[1]} == {Value()}
    assert {day.mark for day in found.days if gap[0] <= day.date <= gap[1]} == {Mark.MISSING}
    assert [each.gaps for each in found.coverage if each.endpoint.period is Period.DAY] == [[gap]] * 3
    assert "2026-02-03 – 2026-07-09" in text_of(found)


def test_a_column_of_zeros(tmp_path: Path) -> None:
    """Nobody wrote: said in words instead of an empty frame."""
    with shop(tmp_path, start=dt.date(2026, 11, 1), silent_share=1) as made:
        made.bring_everything_in()
        made.warehouse.publish()
        found = figures_of(made.warehouse, dt.date(2026, 11, 1), made.now)

    made_page = page.render(found, "en", Path("figures.duckdb"), TODAY)
    assert text_of(found).count("Nobody sent a message between 2026-11-01 and 2026-11-23.") == 5
    assert re.findall(r'class="chart" id="(\w+)"', made_page) == ["calendar"]


def test_a_hundred_thousand_messages_a_day(tmp_path: Path) -> None:
    """Are written with separators, and no figure is cut."""
    text = text_of(figures_of(years(tmp_path, start=dt.date(2026, 9, 1), messages=100_000), dt.date(2026, 9, 1)))

    assert "100,000" in text
    assert "700,000" in text


def test_an_old_file_says_so(tmp_path: Path) -> None:
    """Whoever opens a report months after the last answer reads of which day its figures are."""
    found = figures_of(years(tmp_path, start=dt.date(2026, 9, 1)), dt.date(2026, 9, 1), TODAY + 60 * DAY)

    text = text_of(found, now=TODAY + 60 * DAY)
    assert "The newest day that is stored is 2026-11-23, 61 days ago." in text


def test_a_time_without_data_says_so(it: Shop) -> None:
    """Before the first message, say."""
    found = figures_of(it.warehouse, dt.date(2026, 1, 1), first=dt.date(2026, 2, 1), last=dt.date(2026, 2, 3))

    assert "Nothing is stored between 2026-02-01 and 2026-02-03." in text_of(found)


def test_a_kind_that_wechat_adds_is_shown(tmp_path: Path) -> None:
    """As `other`, with its code, in both languages, after the known ones."""
    warehouse = years(tmp_path, start=dt.date(2026, 11, 1))
    with warehouse.writing() as con:
        con.execute("UPDATE datacube.getupstreammsg SET msg_type = 9 WHERE msg_type = 6")
    warehouse.publish()
    found = figures_of(warehouse, dt.date(2026, 11, 1))

    assert "other (9)" in text_of(found, "en")
    assert "其他（9）" in text_of(found, "zh")
    assert page._names(found.by_type, ["text", "image", "voice", "video", "link"])[-1] == "other (9)"


# --- the file ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twelve_years(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Everything since 2014-12-01."""
    return years(tmp_path_factory.mktemp("years"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_twelve_years_are_one_small_file_within_ten_seconds(language: str, twelve_years: Warehouse) -> None:
    """At most 2.5 MB; the time is the processor's."""
    begun = time.process_time()
    made = page.render(figures_of(twelve_years, HISTORY_START), language, twelve_years.database, TODAY)

    assert time.process_time() - begun < 10
    assert len(made.encode()) <= 2_500_000
    assert len(re.findall('"d"', made)) > 2 * 4376


def test_every_view_answers_at_once(twelve_years: Warehouse) -> None:
    """Over twelve years, by the processor's clock: by month over everything, the newest rows, the last weeks."""
    with twelve_years.reading() as con:
        views = con.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        slow = {}
        for schema, view in views:
            names = [name for name, *_ in con.execute(f"DESCRIBE {schema}.{view}").fetchall()]
            date = "label" if view == "coverage" else "date"
            figures = ", ".join(f'max("{name}")' for name in names)
            for what, sql in {
                "by month": f"SELECT date_trunc('month', {date}), count(*), {figures} FROM {schema}.{view} GROUP BY 1",
                "newest": f"FROM {schema}.{view} ORDER BY {date} DESC LIMIT 100",
                "last weeks": f"FROM {schema}.{view} WHERE {date} >= DATE '2026-10-01'",
            }.items():
                took = min(_took(con, sql) for _ in range(5))
                if took > 0.1:
                    slow[view, what] = took

    assert len(views) == 11
    assert slow == {}


def _took(con: Any, sql: str) -> float:
    begun = time.process_time()
    con.execute(sql).fetchall()
    return time.process_time() - begun


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_loads_nothing(language: str, it: Shop) -> None:
    """No address to load from outside the script's own texts, and a policy that forbids it."""
    made = page.render(figures_of(it.warehouse), language, it.warehouse.database, TODAY)

    assert "default-src 'none'" in made
    outside = re.sub(r"(?s)<script>.*?</script>", "", made)
    assert re.findall(r'(?:href|src|url)[=(](?!"data:,")[^> ]+', outside) == []
    assert f'<html lang="{Words(language)("lang")}">' in made


def test_what_comes_from_outside_is_escaped(tmp_path: Path) -> None:
    """A file name is text, and so is whatever WeChat sends."""
    made = page.render(figures_of(Warehouse(tmp_path / "n.duckdb")), "en", Path("<b>&.duckdb"), TODAY)

    assert "&lt;b&gt;&amp;.duckdb" in made


# --- words ------------------------------------------------------------------------------------------------------


def test_both_languages_have_every_text_with_the_same_blanks() -> None:
    """So that no report is half in one language, and none fails in one only."""

    def blanks(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    table = words._WORDS
    assert {key: texts for key, texts in table.items() if blanks(texts[0]) != blanks(texts[1])} == {}
    assert [
        key for key, (chinese, _) in table.items() if key != "lang" and not re.search(r"[\u4e00-\u9fff{]", chinese)
    ] == []
    assert [key for key, (_, english) in table.items() if re.search(r"[\u4e00-\u9fff]", english)] == []


def test_every_text_is_used() -> None:
    """A text that nobody shows is not kept."""
    folder = Path(page.__file__).parent
    used = "".join(folder.joinpath(name).read_text("utf-8") for name in ("page.html", "page.py", "charts.py"))
    made_up = ("unit_", "type_", "weekday_", "interval_", "mark_", "key_", "before_", "last_")

    unused = [key for key in words._WORDS if not re.search(rf"['\"]{key}['\"]", used) and not key.startswith(made_up)]
    assert unused == []
