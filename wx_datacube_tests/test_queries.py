"""The queries of docs/queries.md and the files of `export`, over four months of an emulated account.

Add a test here when the page gets a query whose figures can be computed from the emulated messages.
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from wx_datacube.errors import WarehouseError
from wx_datacube.operations.export import FORMATS, export_views
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.ingesting import Shop, shop

TEXT = (Path(__file__).parent.parent / "docs" / "queries.md").read_text()
QUESTIONS = re.findall(r"^### \d+\. (.+)\n\n(.+)\n\n```sql\n([^`]+)```", TEXT, re.MULTILINE)
FIRST, LAST = dt.date(2026, 8, 1), dt.date(2026, 11, 23)


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Provide an account for which everything due is stored."""
    with shop(tmp_path_factory.mktemp("queries"), start=FIRST, messages_per_day=60) as made:
        made.bring_everything_in()
        made.warehouse.publish()
        yield made


def test_there_are_ten_questions_in_two_languages() -> None:
    """The page has ten questions in English and Chinese, each with its query."""
    assert len(QUESTIONS) == len(re.findall("^### ", TEXT, re.MULTILINE)) == 10
    assert [english for english, chinese, _ in QUESTIONS if not re.search(r"[\u4e00-\u9fff]", chinese)] == []


@pytest.mark.parametrize("number", range(1, 11))
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


@pytest.mark.parametrize("form", FORMATS)
def test_every_view_is_exported_and_replaced_in_one_step(form: str, it: Shop, tmp_path: Path) -> None:
    """An export has the rows of its view and replaces the old file atomically, while a reader keeps the old one."""
    views = [name for (name,) in it.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")]
    out = tmp_path / "a folder's / of its own"
    old = out / f"totals_daily.{form}"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    with old.open() as reader:
        written = export_views(it.warehouse, out, form)
        assert reader.read() == "old"

    assert {path.name for path in out.iterdir()} == {path.name for path in written} == {f"{v}.{form}" for v in views}
    with duckdb.connect() as con:
        for path, rows in written.items():
            name = "datacube.coverage" if path.stem == "coverage" else path.stem
            read = con.read_csv(str(path)) if form == "csv" else con.read_parquet(str(path))
            shown = it.rows(f"FROM {name} ORDER BY ALL")
            assert (len(shown), read.order("ALL").fetchall()) == (rows, shown)


def test_a_failed_export_leaves_no_file(it: Shop, tmp_path: Path) -> None:
    """An export without a published file or to a folder that can't be written fails and leaves no file behind."""
    with pytest.raises(WarehouseError, match="nothing to export yet"):
        export_views(Warehouse(tmp_path / "none.duckdb"), tmp_path / "out", "csv")
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match="can't be written"):
        export_views(it.warehouse, tmp_path / "file" / "out", "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
