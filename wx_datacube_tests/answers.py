"""Test data: response bodies as WeChat writes them, and the ledger rows that hold them.

Add a helper here when several tests of the warehouse need it to build an API response. Nothing here tests anything.
"""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import duckdb

from wx_datacube.catalog.endpoints import RELATIONS
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.warehouse.ledger import Call
from wx_datacube.warehouse.schema import TABLES

Row = dict[str, Any]

MESSAGES, HOURS, WEEKS, MONTHS, SENDERS, SENDERS_OF_WEEKS, SENDERS_OF_MONTHS = ENDPOINTS
DAY = dt.timedelta(days=1)
LATER = dt.datetime(2026, 11, 24, 15)
"""An afternoon on which every label that the tests use is settled."""
MORNING = dt.datetime(2026, 11, 4, 9)
"""A time at which 3 November is due but not settled."""


def day(number: int) -> dt.date:
    """Return a day of November 2026; the 2nd, 9th and 16th are Mondays."""
    return dt.date(2026, 11, 1) + (number - 1) * DAY


def row(date: dt.date | str, users: int = 1, count: int | None = 2, **others: Any) -> Row:
    """Build a row of messages by type.

    `others` adds or replaces fields; with `count=None`, `msg_count` is left out.
    """
    figures: Row = {"ref_date": str(date), "user_source": 0, "msg_type": 1, "msg_user": users, "msg_count": count}
    if count is None:
        del figures["msg_count"]
    return figures | others


def hour_row(date: dt.date | str, hour: int = 9, **others: Any) -> Row:
    """Build a row of messages by hour (0 to 23) and type."""
    return row(date, **{"ref_hour": hour * 100, **others})


def senders_row(date: dt.date | str, users: int = 1, interval: int = 1, **others: Any) -> Row:
    """Build a row that counts the users in one interval of messages sent."""
    return {"ref_date": str(date), "user_source": 0, "count_interval": interval, "msg_user": users} | others


def body(*rows: Any) -> str:
    """Build the body of a successful response."""
    return json.dumps({"list": list(rows)}, separators=(",", ":"))


def answered(
    endpoint: Endpoint,
    begin: dt.date,
    end: dt.date | None = None,
    *rows: Any,
    at: dt.datetime = LATER,
    asked: Sequence[dt.date] | None = None,
    refresh: bool = False,
    account: str = "shop",
    **others: Any,
) -> Call:
    """Build a call for the days `begin` to `end` (None: only `begin`) with its response.

    `others` replaces fields of the call.
    """
    last = begin if end is None else end
    fields: dict[str, Any] = {
        "run_id": "run",
        "account": account,
        "endpoint": endpoint.name,
        "begin_date": begin,
        "end_date": last,
        "asked": tuple((last,) if asked is None else asked),
        "refresh": refresh,
        "requested_at": at,
        "elapsed_ms": 80,
        "http_status": 200,
        "errcode": None,
        "errmsg": None,
        "rid": None,
        "response": body(*rows),
    }
    return Call(**fields | others)


def rows_of(con: duckdb.DuckDBPyConnection, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Return all rows of a query."""
    return con.execute(sql, parameters or None).fetchall()


def stored(con: duckdb.DuckDBPyConnection, endpoint: Endpoint) -> list[tuple[Any, ...]]:
    """Return every row of an endpoint's table without its account, sorted: key, user_source, figures, call_id."""
    return rows_of(con, f"SELECT * EXCLUDE (account) FROM datacube.{endpoint.name} ORDER BY ALL")


def everything(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """Return the sorted rows of every table that is filled from responses, by table name."""
    tables = [relation.name for relation in RELATIONS]
    names = ["label_answers", "rejected_rows", "revisions", *tables]
    assert {*names, "meta", "api_calls", "accounts", "refreshes", "endpoints", "metrics"} == {*TABLES, *tables}
    return {name: rows_of(con, f"SELECT * FROM datacube.{name} ORDER BY ALL") for name in names}
