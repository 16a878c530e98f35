"""SQL: one SELECT of the assistant's own, within limits.

The connection is sandboxed (`warehouse.connections.SANDBOXED`), and the process has limits of its own (`child`). Add a
limit of statements or results here.
"""

import re
from itertools import accumulate
from typing import Any

import duckdb

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.operations.questions.dates import Refused
from wx_datacube.operations.questions.figures import plain
from wx_datacube.operations.questions.labels import Context, read_notice
from wx_datacube.warehouse.errors import first_line
from wx_datacube.warehouse.views import VIEWS

MOST_ROWS, LONGEST_SQL = 1000, 20_000
_LONGEST_TEXT, _LONGEST_LIST, _LONGEST_ANSWER = 2_000, 100, 100_000
_SELECTS = {each.name: each.select for each in VIEWS}


def select(context: Context, sql: str, limit: int) -> dict[str, object]:
    """Return the first rows of a SELECT, and what is missing or not final in what it reads. Raises `Refused`."""
    con = context.con
    try:
        found = con.execute(_only_select(con, sql))
        columns = [name for name, *_ in found.description]
        rows = found.fetchmany(limit + 1)
    except duckdb.OutOfMemoryException:
        raise  # `child` says what it means
    except (duckdb.Error, RuntimeError) as error:
        raise Refused(
            f"DuckDB refuses the SQL: {first_line(error)}",
            advice="DESCRIBE <view> lists columns; files, extensions, settings and the network are out of reach.",
        ) from None
    shown = _bounded([[_cell(value) for value in row] for row in rows[:limit]])
    return {"columns": columns, "rows": shown, "truncated": len(shown) < len(rows)} | _notice(context, sql)


def _only_select(con: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """Return the statement if the SQL is exactly one SELECT."""
    if len(sql) > LONGEST_SQL or "\0" in sql:
        raise Refused(f"The SQL has more than {LONGEST_SQL:,} characters, or a NUL.", advice="Ask in smaller steps.")
    statements = con.extract_statements(sql)
    # DuckDB turns some PRAGMAs into SELECTs while it parses.
    words = [sql[at : at + 6].lower() for at, kind in duckdb.tokenize(sql) if kind != duckdb.token_type.comment]
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT or "pragma" in words[:1]:
        raise Refused("The SQL must be exactly one SELECT.", advice="Nothing in the file can be changed from here.")
    return statements[0]


def _cell(value: Any) -> Any:
    """Return a value as JSON has it, cut off if it is long."""
    if isinstance(value, bytes):
        value = value[:_LONGEST_TEXT].hex()
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:_LONGEST_TEXT]}… ({len(value):,} characters)"
    if isinstance(value, list | tuple):
        return [_cell(each) for each in value[:_LONGEST_LIST]] + ["…"] * (len(value) > _LONGEST_LIST)
    if isinstance(value, dict):
        return {str(_cell(key)): _cell(each) for key, each in list(value.items())[:_LONGEST_LIST]}
    return plain(value)


def _bounded(rows: list[list[Any]]) -> list[list[Any]]:
    """Return the first rows that fit into an answer; the first one in any case."""
    sizes = accumulate(len(str(row)) for row in rows)
    return rows[: max(1, sum(size <= _LONGEST_ANSWER for size in sizes))]


def _notice(context: Context, sql: str) -> dict[str, object]:
    """Return what is missing or not final in the endpoints that a query names, whatever days it reads."""
    words = set(re.findall(r"\w+", sql.lower()))
    text = " ".join([*words, *(select for name, select in _SELECTS.items() if name in words)])
    endpoints = [each for name, each in BY_NAME.items() if re.search(rf"\b{name}(__\w+)?\b", text)]
    if not endpoints:
        return {"missing": [], "not_final": [], "notes": ["The query names no view or table of WeChat's figures."]}
    notes = ["`missing` and `not_final` are of all accounts and days that were checked, whatever the query reads."]
    return read_notice(context, context.accounts(None), endpoints) | {"notes": notes}
