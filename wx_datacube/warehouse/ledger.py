"""Ledger: calls go in with their answers, and from there into the tables, in one transaction.

`store_calls` is the only writer of `datacube.api_calls`, `replay` the only other way into the tables. What a row must
look like to be trusted is the business of `load`.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import duckdb

from wx_datacube.catalog import ENDPOINTS
from wx_datacube.warehouse.load import load_calls
from wx_datacube.warehouse.schema import API_CALLS

_REPLAY_BATCH = 10_000


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


_SHAPE = json.dumps([{name: kind if "[" not in kind else [kind[:-2]] for name, (kind, _) in API_CALLS.items()}])
_APPEND = f"INSERT INTO datacube.api_calls BY NAME SELECT unnest(from_json($rows, '{_SHAPE}'), recursive := true)"


def store_calls(con: duckdb.DuckDBPyConnection, calls: Sequence[Call]) -> None:
    """Append the calls to the ledger and bring their rows into the tables, in the caller's transaction."""
    found = con.execute("SELECT coalesce(max(call_id), 0) FROM datacube.api_calls").fetchone()
    last = int(found[0]) if found else 0
    # As one text: executemany manages 500 rows a second, and DuckDB looks for pandas anew for each value given to it.
    rows = [{"call_id": number} | asdict(call) for number, call in enumerate(calls, last + 1)]
    con.execute(_APPEND, {"rows": json.dumps(rows, default=str)})
    load_calls(con, last + 1, last + len(calls))


def replay(con: duckdb.DuckDBPyConnection, batch: int = _REPLAY_BATCH) -> int:
    """Rebuild every table from the ledger, in the caller's transaction; returns the number of calls."""
    for table in ("label_answers", "rejected_rows", "revisions", *(endpoint.name for endpoint in ENDPOINTS)):
        con.execute(f"DELETE FROM datacube.{table}")
    found = con.execute("SELECT coalesce(max(call_id), 0) FROM datacube.api_calls").fetchone()
    last = int(found[0]) if found else 0
    for first in range(1, last + 1, batch):
        load_calls(con, first, min(first + batch - 1, last))
    return last
