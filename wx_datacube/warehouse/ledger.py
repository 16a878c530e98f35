"""Ledger: calls go in with their answers, and from there into the tables, in one transaction.

`store_calls` is the only writer of `datacube.api_calls`, `replay` the only other way into the tables. What a row must
look like to be trusted is the business of `load`.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

import duckdb

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.warehouse.load import load_calls
from wx_datacube.warehouse.schema import API_CALLS

_BATCH = 400
"""Calls that are loaded at once: the JSON of a thousand hours, taken apart, fills 200 MB."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of a statistics call, as it is kept; the fields are the columns of `datacube.api_calls`."""

    run_id: str
    account: str
    endpoint: str
    begin_date: dt.date
    end_date: dt.date
    asked: tuple[dt.date, ...]
    refresh: bool
    requested_at: dt.datetime
    elapsed_ms: int
    http_status: int | None
    errcode: int | None
    errmsg: str | None
    rid: str | None
    response: str | None


_FIELDS = [field.name for field in fields(Call)]
_SHAPE = json.dumps([{name: kind if "[" not in kind else [kind[:-2]] for name, (kind, _) in API_CALLS.items()}])
_APPEND = f"INSERT INTO datacube.api_calls BY NAME SELECT unnest(from_json($rows, '{_SHAPE}'), recursive := true)"


def store_calls(con: duckdb.DuckDBPyConnection, calls: Sequence[Call]) -> int:
    """Append the calls to the ledger and bring their rows, which are counted, into the tables: one transaction."""
    stored = 0
    for start in range(0, len(calls), _BATCH):
        last = last_call(con)
        # As one text: executemany manages 500 rows a second, and DuckDB looks for pandas anew for each value given.
        rows = [
            {"call_id": number} | {name: getattr(call, name) for name in _FIELDS}
            for number, call in enumerate(calls[start : start + _BATCH], last + 1)
        ]
        con.execute(_APPEND, {"rows": json.dumps(rows, default=str)})
        stored += load_calls(con, last + 1, last + len(rows))
    return stored


def last_call(con: duckdb.DuckDBPyConnection) -> int:
    """The number of the newest call; 0 before the first."""
    found = con.execute("SELECT coalesce(max(call_id), 0) FROM datacube.api_calls").fetchone()
    return int(found[0]) if found else 0


def replay(con: duckdb.DuckDBPyConnection, batch: int = _BATCH, account: str | None = None) -> int:
    """Rebuild every table from the ledger, in the caller's transaction, for one account or all; the number of calls."""
    whose = {"account": account}
    for table in ("label_answers", "rejected_rows", "revisions", *(endpoint.name for endpoint in ENDPOINTS)):
        con.execute(f"DELETE FROM datacube.{table} WHERE account = coalesce($account, account)", whose)
    last = last_call(con)
    for start in range(1, last + 1, batch):
        load_calls(con, start, min(start + batch - 1, last), account)
    found = con.execute("SELECT count(*) FROM datacube.api_calls WHERE account = coalesce($account, account)", whose)
    return int(found.fetchall()[0][0])
