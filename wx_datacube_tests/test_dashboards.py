"""docs/how-to/dashboards.md: its snippets and settings, with a file that is published again while it is being read.

Anything that needs a program other than DuckDB is tested manually, and the page says with which version and when. Add a
test here when the page makes a statement about reading the file or an export that can be tested with DuckDB alone.
"""

import datetime as dt
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.catalog.messages import DAILY_MESSAGES
from wx_datacube.operations.export import export_relations
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.ingesting import Shop, shop

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "dashboards.md").read_text()
FILE = Path("data/wx_datacube.duckdb")
TOOLS = re.findall(r"^\| (?!tool|-)([^|]+?) \|.*\| ([^|]+?) \|$", PAGE, re.MULTILINE)
SECTIONS = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
DAYS = "SELECT count(DISTINCT date) FROM {}messages_daily"


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Provide a project folder as in the page, with a published week of figures, as the working directory."""
    monkeypatch.chdir(tmp_path)
    FILE.parent.mkdir()
    with shop(tmp_path, start=dt.date(2026, 10, 31), messages_per_day=60) as made:
        made = made.with_(warehouse=Warehouse(tmp_path / FILE, clock=made.emulated.account.clock))
        publish(made, 7)
        yield made


def publish(it: Shop, days: int) -> None:
    """Ingest the newest days and publish."""
    it.fetch_missing(DAILY_MESSAGES, it.labels(DAILY_MESSAGES)[-days:])
    it.warehouse.publish()


def count(con: duckdb.DuckDBPyConnection, schema: str = "") -> int:
    """Return how many days a connection sees."""
    ((days,),) = con.execute(DAYS.format(schema)).fetchall()
    return int(days)


@pytest.mark.parametrize(("tool", "tried"), TOOLS)
def test_every_tool_has_a_section_of_the_same_form(tool: str, tried: str) -> None:
    """Every section says, in two languages, how a tool connects, goes stale and is refreshed, and if it was tested."""
    marks = re.findall(r"^\*\*([^*]+?)\.?:?\*\*(.*?)(?=^\*\*[A-Z]|^```|\Z)", SECTIONS[tool], re.MULTILINE | re.DOTALL)
    shape = ["Connects", "Goes stale", "What to do"]

    assert [mark for mark, _ in marks[:3]] == shape
    assert [mark for mark, text in marks if not re.search("[\u4e00-\u9fff]", text)] == []
    ((mark, text),) = marks[3:]
    assert mark == {"no": "Not tried here", "in": "Tried in part"}.get(tried.split()[0].strip(":"), "Tried")
    assert mark == "Not tried here" or re.search(r" on 20\d\d-\d\d-\d\d[:,]", text)


def test_every_requested_tool_has_a_section() -> None:
    """Every requested tool is in the table and has its own section."""
    names = [tool for tool, _ in TOOLS]

    assert names == list(SECTIONS)[1:-1]
    assert names == ["DBeaver", "Metabase", "Superset", "Notebooks", "Excel", "Power BI", "帆软 FineReport, FineBI"]


def test_an_attached_file_stays_old_until_it_is_attached_again(it: Shop) -> None:
    """An attached file stays whole and old until it is attached again."""
    attach, attach_again, _ = blocks("sql")
    with duckdb.connect() as con:
        con.execute(attach)
        before = count(con, "wx.")
        publish(it, 20)
        stale = count(con, "wx.")
        con.execute(attach_again)

        assert before == stale < count(con, "wx.")


def test_a_process_sees_a_newer_file_when_its_last_connection_is_closed(it: Shop) -> None:
    """A new connection shows the old file while another one of the same process is open."""
    with duckdb.connect(FILE, read_only=True) as first:
        before = count(first)
        publish(it, 20)
        with duckdb.connect(FILE, read_only=True) as second:
            assert count(first) == count(second) == before
    with duckdb.connect(FILE, read_only=True) as third:
        assert count(third) > before


def test_the_function_for_notebooks_always_sees_the_newest_file(it: Shop) -> None:
    """The notebook function reads the newest file even if another connection is still open."""
    (block,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(block, "docs/how-to/dashboards.md", "exec"), names)
    ask: Callable[[str], list[tuple[int]]] = names["ask"]

    with duckdb.connect(FILE, read_only=True) as left_open:
        ((before,),) = ask(DAYS.format(""))
        publish(it, 20)

        assert count(left_open) == before
        assert ask(DAYS.format("")) > [(before,)]


def test_each_query_of_an_exported_file_reads_the_latest_export(it: Shop) -> None:
    """A query of an exported file reads the latest export, even on a connection that stays open."""
    *_, query = blocks("sql")
    with duckdb.connect() as con:
        export_relations(it.warehouse, Path("export"), "parquet")
        before = con.execute(query).fetchall()
        it.at(it.now + dt.timedelta(days=1))
        publish(it, 1)
        export_relations(it.warehouse, Path("export"), "parquet")

        assert con.execute(query).fetchone() > max(before)


def test_the_settings_of_the_page_open_the_file_read_only(it: Shop) -> None:
    """The page's settings for SQLAlchemy and for the JDBC URL open the file read-only."""
    (engine,) = map(json.loads, blocks("json"))
    urls = re.findall(r"^jdbc:duckdb:/.*/data/wx_datacube\.duckdb;(\w+)=(\w+)$", PAGE, re.MULTILINE)
    ways: list[dict[str, Any]] = [engine["connect_args"], *({"config": dict([url])} for url in urls)]

    assert len(ways) == 3
    for way in ways:
        with duckdb.connect(FILE, **way) as con:
            assert count(con)
            with pytest.raises(duckdb.InvalidInputException, match="read-only mode"):
                con.execute("CREATE TABLE mine (a INTEGER)")


def test_the_page_quotes_the_errors_of_opening_the_file_read_write(it: Shop) -> None:
    """The page quotes DuckDB's errors for opening the file read-write; root doesn't get the one about file mode."""
    said = re.sub(r"\s+", " ", PAGE)
    with duckdb.connect(FILE, read_only=True), pytest.raises(duckdb.ConnectionException) as beside:
        duckdb.connect(FILE)
    assert str(beside.value).removeprefix("Connection Error: ") in said
    if os.geteuid() != 0:
        with pytest.raises(duckdb.IOException) as refused:
            duckdb.connect(FILE)
        assert re.sub('".*"', '"…"', str(refused.value)).removeprefix("IO Error: ") in said


def test_an_exported_csv_is_ascii(it: Shop) -> None:
    """CSV of the messages' views is pure ASCII, so Excel may read it as GBK; the page warns of "dates"."""
    it.bring_everything_in()
    it.warehouse.publish()
    written = export_relations(it.warehouse, Path("export"), "csv")
    views = {name for (name,) in it.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    texts = {path.stem: path.read_bytes() for path in written if path.stem in views}

    assert [name for name, text in texts.items() if not text.isascii()] == []
    dates = {name for name, text in texts.items() if re.search(rb",\d+-\d+,", text)}
    assert dates == {name for name in texts if name.startswith("senders_")}
    assert "**Don't double-click `senders_….csv`:**" in PAGE
