"""An adversary with `run_sql`: SQL that tries to change, read or send what it must not, or to use up the machine.

Add an attack to `REFUSED`, `FILES` or `GREEDY`. Greedy SQL runs in a process of its own, as the server does it.
"""

import asyncio
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.config.settings import Account
from wx_datacube.operations.questions.asking import Questions
from wx_datacube.operations.questions.child import MEMORY, answer
from wx_datacube.operations.questions.dates import Refused
from wx_datacube.warehouse.coverage import bind_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.answers import LATER

Run = Callable[..., Any]
"""Runs SQL."""
ONE_SELECT = "exactly one SELECT"
SECONDS = 4
"""Time for an answer here; long enough for a loaded machine to run out of memory first."""
REFUSED = [
    "",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW articles",
    "/* a */ ; SELECT 1; COMMIT",
    "PRAGMA database_list",
    "/* a */ PRAGMA version",
    "COPY (SELECT 1) TO '{folder}/made.csv'",
    "COPY datacube.accounts FROM '/etc/passwd'",
    "ATTACH '{folder}/other.duckdb'",
    "DETACH figures",
    "INSTALL httpfs",
    "FORCE INSTALL spatial FROM community",
    "LOAD httpfs",
    "LOAD '{folder}/evil.duckdb_extension'",
    "EXPORT DATABASE '{folder}/made'",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET memory_limit",
    "SET VARIABLE x = 1",
    "USE temp",
    "INSERT INTO datacube.accounts VALUES ('x', 'x', '2026-01-01', '2026-01-01', [])",
    "DELETE FROM datacube.api_calls",
    "UPDATE datacube.meta SET schema_version = 99",
    "CREATE TABLE made AS SELECT 1",
    "CREATE TEMP TABLE made AS SELECT 1",
    "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE MACRO f() AS 1",
    "DROP VIEW articles",
    "ALTER TABLE datacube.meta ADD COLUMN x INTEGER",
    "COMMENT ON VIEW articles IS 'x'",
    "MERGE INTO datacube.meta USING datacube.meta AS m ON true WHEN MATCHED THEN DELETE",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "CALL duckdb_settings()",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "PIVOT totals_daily ON account",  # creates a type; with `IN (…)` it is a SELECT
]
"""What isn't one SELECT."""
NOT_SQL = [
    "SELECT",
    "WITH made AS (INSERT INTO datacube.meta VALUES (1, now()) RETURNING *) FROM made",
    "IMPORT DATABASE '{folder}'",
    "SELECT * INTO made FROM articles",
    "SELECT 1 AS a\0b",
    "SELECT '\ud800'",
]
FILES = [
    "FROM read_csv('/etc/passwd')",
    "FROM read_text('/etc/passwd')",
    "FROM read_blob('{database}')",
    "FROM read_blob('figures.duckdb')",
    "FROM read_parquet('{folder}/*')",
    "FROM read_json_auto('{folder}/x.json')",
    "FROM read_duckdb('{folder}/other.duckdb')",
    "FROM glob('{folder}/*')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM parquet_metadata('{folder}/x')",
    "FROM '/etc/passwd'",
    'FROM "{folder}/secret.csv"',
    "FROM '{database}'",
    "FROM 'https://example.com/a.csv'",
    "FROM read_csv('http://127.0.0.1:9/a')",
    "FROM read_parquet('s3://bucket/a')",
    "FROM query('FROM read_text(''/etc/passwd'')')",
    "FROM query_table('/etc/passwd')",
    "SELECT getenv('HOME')",
    "FROM duckdb_extensions()",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''/etc/passwd'')'))",
    "SELECT * FROM articles WHERE title = (SELECT content FROM read_text('/etc/passwd'))",
    "FROM pg_read_file('/etc/passwd')",
    "FROM load_aws_credentials()",
    "FROM sqlite_scan('{folder}/x', 'y')",
    "FROM questions",  # no variable of Python is a table
]
GREEDY = {
    "SELECT repeat('x', 1000000000)": "memory",
    "SELECT range(100000000)": "memory",
    "SELECT list(range) FROM range(100000000)": "memory",
    "SELECT printf('%2000000000d', 1)": "memory",
    "SELECT string_agg(repeat('x', 1000000), '') FROM range(2000)": "memory",
    "FROM range(1000000000) ORDER BY hash(range)": "memory",
    "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r": f"{SECONDS} seconds",
    "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b": f"{SECONDS} seconds",
    "SELECT sum(hash(a.range + b.range)) FROM range(10000000) AS a, range(10000000) AS b": f"{SECONDS} seconds",
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a published file with an account, and other files beside it."""
    warehouse = Warehouse(tmp_path_factory.mktemp("data") / "figures.duckdb")
    with warehouse.transaction() as con:
        bind_account(con, Account("shop", "wx0123456789abcdef"), LATER)
    warehouse.publish()
    duckdb.connect(str(warehouse.database.with_name("other.duckdb"))).close()
    warehouse.database.with_name("secret.csv").write_text("a,b\n1,2\n")
    return warehouse.database


@pytest.fixture
def run(database: Path) -> Run:
    """Return a function that runs SQL as the child process does, and returns the answer or the text of the error."""

    def sql(text: str, limit: int = 200) -> Any:
        text = text.replace("{folder}", str(database.parent)).replace("{database}", str(database))
        question = {"database": str(database), "titles": {}, "now": LATER.isoformat(), "tool": "run_sql"}
        found = answer(question | {"arguments": {"sql": text, "limit": limit}})
        return json.loads(json.dumps(found["answer"], allow_nan=False)) if "answer" in found else found["error"]

    return sql


@pytest.fixture(autouse=True)
def _nothing_changes(database: Path) -> Iterator[None]:
    """Check that the folder and the file are the same afterwards."""
    before = {path.name: path.stat().st_mtime_ns for path in database.parent.iterdir() if path.is_file()}
    yield
    assert {path.name: path.stat().st_mtime_ns for path in database.parent.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("sql", REFUSED)
def test_anything_but_one_select_is_refused(sql: str, run: Run) -> None:
    """Statements that change something, several statements and none are refused for what they are."""
    assert ONE_SELECT in run(sql)


@pytest.mark.parametrize("sql", NOT_SQL)
def test_what_duckdb_can_not_parse_is_an_error(sql: str, run: Run) -> None:
    """SQL that isn't valid, or would be cut off, is an error with advice."""
    assert isinstance(run(sql), str)


@pytest.mark.parametrize("sql", FILES)
def test_files_and_the_network_are_out_of_reach(sql: str, run: Run) -> None:
    """No function or name reads a file, the environment or the network, not even the bytes of the file itself."""
    found = run(sql)

    assert isinstance(found, str), found
    assert "DuckDB refuses the SQL" in found
    assert "root:" not in found


def test_only_the_path_of_the_file_can_be_seen(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's own functions show the path of the file, which the user configured, and no other path or secret."""
    monkeypatch.setenv("WX_DATACUBE_SECRET", "0123456789abcdef" * 2)
    monkeypatch.setenv("HOME", "/made-up-person")

    async def main() -> str:
        questions = Questions(database, {}, lambda: LATER)
        functions = ("settings", "databases", "secrets", "variables", "logs")
        found = [await questions.ask("run_sql", sql=f"FROM duckdb_{each}()", limit=1000) for each in functions]
        return str(found).replace(str(database), "<file>")

    text = asyncio.run(main())
    assert "<file>" in text
    assert [each for each in ("made-up-person", "0123456789abcdef", str(database.parent)) if each in text] == []


def test_settings_stay_locked(run: Run) -> None:
    """The settings that protect the machine are those of the sandbox."""
    names = "('enable_external_access', 'lock_configuration', 'temp_directory', 'threads')"
    rows = run(f"SELECT name, value FROM duckdb_settings() WHERE name IN {names} ORDER BY 1")["rows"]

    assert [value for _, value in rows] == ["false", "true", "", "1"]


@pytest.mark.parametrize("sql", GREEDY)
def test_greedy_sql_ends_within_its_limits(sql: str, database: Path) -> None:
    """SQL that would take too much memory or time ends with the reason, and the next question is answered."""

    async def main() -> tuple[str, float, str]:
        questions = Questions(database, {}, lambda: LATER, SECONDS)
        started = time.monotonic()
        with pytest.raises(Refused) as refused:
            await questions.ask("run_sql", sql=sql)
        took = time.monotonic() - started
        answered = await questions.ask("run_sql", sql="SELECT 42 AS a")
        return str(refused.value), took, answered

    error, took, answered = asyncio.run(main())
    assert GREEDY[sql] in error
    assert took < SECONDS + 3
    assert '"rows":[[42]]' in answered
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < MEMORY


def test_a_large_result_is_cut_off(run: Run) -> None:
    """Rows, cells and the whole answer are bounded, and `truncated` says so."""
    rows = run("FROM range(5000)", 1000)
    wide = run("SELECT repeat('x', 1900) FROM range(1000)", 1000)
    cells = run("SELECT repeat('x', 50000000), range(500), {'a': repeat('y', 3000)}, repeat('z', 5000)::BLOB")

    assert (len(rows["rows"]), rows["truncated"]) == (1000, True)
    assert len(wide["rows"]) < 60
    assert wide["truncated"]
    assert len(str(cells)) < 12_000
    assert cells["rows"][0][0].endswith("… (50,000,000 characters)")
    assert cells["truncated"] is False


def test_odd_values_are_json(run: Run) -> None:
    """Values that JSON lacks, and text that hides its direction, arrive as text and change nothing else."""
    (row,) = run(
        "SELECT 'nan'::DOUBLE, 'infinity'::DOUBLE, 1.5::DECIMAL(9, 2), DATE '2026-11-23', INTERVAL 2 DAY, NULL,"
        " 2::HUGEINT ** 100, '\u202eevil\u2066', MAP {1: 'a'}, uuid() IS NOT NULL,"
        " 170141183460469231731687303715884105727"
    )["rows"]

    assert row[:8] == ["nan", "inf", 1.5, "2026-11-23", "2 days, 0:00:00", None, 2**100, "\u202eevil\u2066"]
    assert row[8:] == [{"1": "a"}, True, 170141183460469231731687303715884105727]


def test_a_long_statement_is_refused(run: Run) -> None:
    """SQL beyond the limit isn't parsed; deeply nested SQL does no harm."""
    assert "20,000" in run(f"SELECT {'1 + ' * 6000}1")
    for opening, closing in ("()", "[]"):
        assert run(f"SELECT {opening * 3000}1{closing * 3000}")  # an answer or an error, by the version of DuckDB


def test_selects_in_their_many_forms_are_answered(run: Run) -> None:
    """What is one SELECT is answered, with or without a semicolon and comments."""
    for sql in (
        "SELECT 1 -- a\n;",
        "/* a; b */ SELECT 1",
        "FROM totals_daily",
        "WITH a AS (SELECT 1) FROM a",
        "VALUES (1)",
        "TABLE articles",
        "DESCRIBE articles",
        "SUMMARIZE articles",
        "SHOW TABLES",
        "PIVOT totals_daily ON account IN ('shop') USING sum(messages)",
        "SELECT ';' AS a",
        "FROM datacube.metrics",
        "FROM query('SELECT 1')",
    ):
        assert "rows" in run(sql), sql
