"""The queries of docs/queries.md and the files of `export`, over four months of an emulated account.

Add a test here when the page gets a query. The figures of messages are computed from the emulated messages; those of
followers, articles and the interface are rows made by hand, `OTHERS`.
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.config.settings import Lake
from wx_datacube.errors import WarehouseError
from wx_datacube.operations.export import FORMATS, export_relations
from wx_datacube.operations.lake.export import export_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.ingesting import Shop, shop

TEXT = (Path(__file__).parent.parent / "docs" / "queries.md").read_text()
QUESTIONS = re.findall(r"^### \d+\. (.+)\n\n(.+)\n\n```sql\n([^`]+)```", TEXT, re.MULTILINE)
FIRST, LAST = dt.date(2026, 8, 1), dt.date(2026, 11, 23)

# Rows by table, without `account` and `call_id`. Articles are on a Monday, a Tuesday, a Monday, a Tuesday and a Sunday.
OTHERS: dict[str, list[tuple[Any, ...]]] = {
    "getusersummary": [
        ("2026-08-01", 30, 1000, 0),  # too old for the queries
        ("2026-11-16", 30, 10, 12),
        ("2026-11-16", 1, 0, 2),
        ("2026-11-23", 30, 40, 8),
        ("2026-11-23", 0, 3, 1),
    ],
    "getusercumulate": [("2026-11-16", 1002), ("2026-11-23", 1030)],
    "getbizsummary": [
        ("2026-10-01", 500, 1, 1, 1, 1, 1, 1, 1),
        ("2026-11-20", 100, 10, 3, 4, 5, 6, 7, 1),
        ("2026-11-21", 60, 6, 0, 0, 0, 0, 0, 0),
    ],
    "getbizsummary__read_user_source": [
        ("2026-10-01", "公众号消息", 500),
        ("2026-11-20", "全部", 100),
        ("2026-11-20", "公众号消息", 80),
        ("2026-11-20", "朋友圈", 30),
        ("2026-11-21", "全部", 60),
        ("2026-11-21", "公众号消息", 40),
        ("2026-11-21", "视频号", 20),
    ],
    "getarticletotaldetail": [
        ("2026-11-02", "2247490001_1", 0, "it's new 🎉", "https://mp.weixin.qq.com/s/1"),
        ("2026-11-03", "2247490002_1", 1, None, None),
        ("2026-11-09", "2247490003_1", 0, "第三篇", "https://mp.weixin.qq.com/s/3"),
        ("2026-11-10", "2247490004_1", None, "4", "https://mp.weixin.qq.com/s/4"),
        ("2026-11-22", "2247490005_1", 1, "no figures yet", "https://mp.weixin.qq.com/s/5"),
    ],
    # readers, sharers, hearts, likes, comments, saves, fen, new followers, delivery, finishing, minutes
    "getarticletotaldetail__detail_list": [
        ("2026-11-02", "2247490001_1", "2026-11-02", 100, 5, 1, 1, 1, 1, 0, 1, 0.1, 0.1, 0.5),
        ("2026-11-02", "2247490001_1", "2026-11-08", 300, 30, 2, 2, 2, 2, 100, 9, 0.3, 0.4, 1.5),
        ("2026-11-02", "2247490001_1", "2026-11-22", 400, 40, 3, 3, 3, 3, 300, 12, 0.4, 0.5, 2.0),
        ("2026-11-03", "2247490002_1", "2026-11-03", 20, 1, 0, 0, 0, 0, None, 1, 0.0, 0.9, 4.0),
        ("2026-11-03", "2247490002_1", "2026-11-09", 50, 10, 1, 1, 1, 1, None, 3, 0.0, 0.8, 3.5),
        ("2026-11-09", "2247490003_1", "2026-11-15", 200, 30, 1, 1, 1, 1, 50, 20, 0.2, 0.25, 1.0),
        ("2026-11-10", "2247490004_1", "2026-11-16", 100, 5, 1, 1, 1, 1, None, None, None, None, None),
    ],
    "getinterfacesummary": [("2026-11-22", 30, 0, 600, 100), ("2026-11-23", 15, 1, 3500, 900)],
    "getinterfacesummaryhour": [
        ("2026-09-01", 900, 100, 100, 900_000, 9_000),
        ("2026-11-22", 900, 30, 0, 600, 100),
        ("2026-11-23", 900, 10, 1, 1000, 400),
        ("2026-11-23", 2000, 5, 0, 2500, 900),
    ],
}
# Question to its rows without the account.
ANSWERS: dict[int, list[tuple[Any, ...]]] = {
    11: [
        (dt.date(2026, 11, 9), "第三篇", 200, 20, 10.0),
        (dt.date(2026, 11, 2), "it's new 🎉", 400, 12, 3.0),
        (dt.date(2026, 11, 3), "2247490002_1", 50, 3, 6.0),
        (dt.date(2026, 11, 22), "no figures yet", None, None, None),
        (dt.date(2026, 11, 10), "4", 100, None, None),
    ],
    12: [
        ("it's new 🎉", 1, dt.date(2026, 11, 2), 100, 100, 25.0),
        ("it's new 🎉", 7, dt.date(2026, 11, 8), 300, 200, 75.0),
        ("it's new 🎉", 21, dt.date(2026, 11, 22), 400, 100, 100.0),
    ],
    13: [("1 Mon", 2, 250.0), ("2 Tue", 2, 75.0)],
    15: [("notified", 2, 250.0, 100.0), ("not notified", 1, 50.0, 0.0), ("unknown", 1, 100.0, 0.0)],
    16: [("account messages", 60.0, 75.0), ("Moments", 15.0, 18.8), ("other (视频号)", 10.0, 12.5)],
    17: [("QR code", 50, 20, 40.0, 87.0), ("search", 0, 2, None, 8.7), ("others", 3, 1, 33.3, 4.3)],
    18: [
        ("month", dt.date(2026, 11, 1), 53, 23, 30, 1030),
        ("week", dt.date(2026, 11, 23), 43, 9, 34, 1030),
        ("week", dt.date(2026, 11, 16), 10, 14, -4, 1002),
    ],
    19: [
        ("it's new 🎉", 400, 40, 10.0, 50.0, 2.0, 2),
        ("第三篇", 200, 30, 15.0, 25.0, 1.0, 3),
        ("2247490002_1", 50, 10, 20.0, 80.0, 3.5, 1),
        ("4", 100, 5, 5.0, None, None, 4),
    ],
    20: [(20, 5, 0.0, 500.0, 900), (9, 40, 2.5, 40.0, 400)],
}


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Provide an account for which all messages due are stored, and `OTHERS`."""
    with shop(tmp_path_factory.mktemp("queries"), start=FIRST, messages_per_day=60) as made:
        made.bring_everything_in()
        with made.warehouse.transaction() as con:
            for table, rows in OTHERS.items():
                places = ", ".join("?" * len(rows[0]))
                con.executemany(f"INSERT INTO datacube.{table} VALUES ('shop', {places}, 1)", rows)
        made.warehouse.publish()
        yield made


def test_there_are_twenty_questions_in_two_languages() -> None:
    """The page has twenty questions in English and Chinese, each with its query."""
    assert len(QUESTIONS) == len(re.findall("^### ", TEXT, re.MULTILINE)) == 20
    assert [english for english, chinese, _ in QUESTIONS if not re.search(r"[\u4e00-\u9fff]", chinese)] == []


@pytest.mark.parametrize("number", range(1, 21))
def test_every_question_is_answered(number: int, it: Shop) -> None:
    """Every query returns rows that name the account, and no column is empty."""
    with it.warehouse.open_published() as con:
        found = con.execute(QUESTIONS[number - 1][2])
        names, rows = [column[0] for column in found.description], found.fetchall()

    assert rows
    assert {row[0] for row in rows} == {"shop"}
    empty = [name for name, values in zip(names, zip(*rows, strict=True), strict=True) if set(values) == {None}]
    assert empty == (["than a year before, in %"] if number == 7 else [])  # four months have no year to compare with


def test_yesterday_is_compared_with_1_7_and_30_days_before(it: Shop) -> None:
    """The first query compares yesterday with 1, 7 and 30 days before, as computed from the emulated messages."""

    def users(days_before: int) -> int:
        return len({message.user for message in it.emulated.world.messages(LAST - dt.timedelta(days=days_before))})

    ((_, date, today, messages, _, *changes),) = it.rows(QUESTIONS[0][2])
    assert (date, today) == (LAST, users(0))
    assert messages == sum(1 for _ in it.emulated.world.messages(LAST))
    assert changes == [users(0) - users(days) for days in (1, 7, 30)]


def test_hours_and_weekdays_are_those_of_the_world(it: Shop) -> None:
    """The heatmap counts all messages of eight weeks by hour and weekday."""
    counted: Counter[tuple[int, int]] = Counter()
    for days in range(56):
        date = LAST - dt.timedelta(days=days)
        counted.update((message.hour, date.isoweekday()) for message in it.emulated.world.messages(date))

    found = {
        (hour, day): value
        for _, hour, *values in it.rows(QUESTIONS[3][2])
        for day, value in enumerate(values, 1)
        if value
    }
    assert found == counted


def test_active_hours_are_those_of_the_world(it: Shop) -> None:
    """The hours of activity count all messages of eight weeks by hour, the busiest hour first."""
    counted: Counter[int] = Counter()
    for days in range(56):
        counted.update(message.hour for message in it.emulated.world.messages(LAST - dt.timedelta(days=days)))

    found = it.rows(QUESTIONS[13][2])
    assert {hour: messages for _, hour, messages, _ in found} == counted
    assert [messages for _, _, messages, _ in found] == sorted(counted.values(), reverse=True)
    assert [share for *_, share in found] == [pytest.approx(100 * row[2] / counted.total(), abs=0.051) for row in found]


@pytest.mark.parametrize("number", ANSWERS)
def test_followers_articles_and_the_interface_are_those_of_the_rows(number: int, it: Shop) -> None:
    """The queries about followers, articles and the interface answer what was computed by hand from `OTHERS`."""
    assert [row[1:] for row in it.rows(QUESTIONS[number - 1][2])] == ANSWERS[number]


@pytest.mark.parametrize("form", FORMATS)
def test_every_view_and_table_is_exported_and_replaced_in_one_step(form: str, it: Shop, tmp_path: Path) -> None:
    """A file has the rows of its view or table. It replaces the old file at once; a reader keeps the old one."""
    found = it.rows(
        "SELECT view_name, schema_name FROM duckdb_views() WHERE NOT internal"
        " UNION ALL SELECT table_name, schema_name FROM duckdb_tables() WHERE NOT internal"
    )
    schemas = dict(found)
    assert len(schemas) == len(found)  # no view has the name of a table
    out = tmp_path / "a folder's / of its own"
    old = out / f"totals_daily.{form}"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    with old.open() as reader:
        written = export_relations(it.warehouse, out, form)
        assert reader.read() == "old"

    assert {path.name for path in out.iterdir()} == {path.name for path in written} == {f"{v}.{form}" for v in schemas}
    with duckdb.connect() as con:
        for path, rows in written.items():
            shown = it.rows(f"FROM {schemas[path.stem]}.{path.stem} ORDER BY ALL")
            types = [row[1] for row in it.rows(f"DESCRIBE {schemas[path.stem]}.{path.stem}")]
            read = con.read_csv(str(path), dtype=types) if form == "csv" else con.read_parquet(str(path))
            assert (len(shown), read.order("ALL").fetchall()) == (rows, shown), path.stem


def test_every_question_has_the_same_answer_over_the_lake(it: Shop, tmp_path: Path) -> None:
    """With `lake.sql`, each query of the page runs over the lake as it is, and returns the same rows."""
    export_account(it.warehouse, Lake(str(tmp_path / "lake")), "shop")

    with duckdb.connect() as con, it.warehouse.open_published() as published:
        con.execute((tmp_path / "lake" / "lake.sql").read_text())
        for question, _, query in QUESTIONS:
            found, expected = (each.execute(query).fetchall() for each in (con, published))
            if "busiest" in question:  # its tenth day is one of several with as many messages
                found, expected = ([row[3] for row in rows] for rows in (found, expected))
            assert found == expected, question


def test_a_failed_export_leaves_no_file(it: Shop, tmp_path: Path) -> None:
    """An export without a published file or to a folder that can't be written fails and leaves no file behind."""
    with pytest.raises(WarehouseError, match="nothing to export yet"):
        export_relations(Warehouse(tmp_path / "none.duckdb"), tmp_path / "out", "csv")
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match="can't be written"):
        export_relations(it.warehouse, tmp_path / "file" / "out", "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
