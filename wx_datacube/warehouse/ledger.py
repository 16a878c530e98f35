"""Ledger: store calls with their answers, and load them into the tables in the same transaction.

Only `store_calls` and `copy_calls` add to `datacube.api_calls`. Only these two and `replay` load the tables. Add here
how a call is stored. Rules about which rows are accepted belong in `load`.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

from wx_datacube.catalog.endpoints import RELATIONS
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.load import load_calls
from wx_datacube.warehouse.schema import API_CALLS

_BATCH = 400
"""Calls loaded at once: the parsed JSON of a thousand hourly answers takes 200 MB."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of a statistics call as it is stored; the fields are the columns of `datacube.api_calls`."""

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


def store_calls(con: Connection, calls: Sequence[Call]) -> int:
    """Append the calls to the ledger and load their rows into the tables, in the caller's transaction.

    Returns the number of accepted rows.
    """
    stored = 0
    for start in range(0, len(calls), _BATCH):
        last = last_call(con)
        # One JSON text: executemany inserts 500 rows a second, and DuckDB looks for pandas again for each value given.
        rows = [
            {"call_id": number} | {name: getattr(call, name) for name in _FIELDS}
            for number, call in enumerate(calls[start : start + _BATCH], last + 1)
        ]
        con.execute(_APPEND, {"rows": json.dumps(rows, default=str)})
        stored += load_calls(con, last + 1, last + len(rows))
    return stored


def copy_calls(con: Connection, source: str, account: str) -> None:
    """Append the account's calls in the attached database `source`, in their order, and load their rows.

    The calls get the numbers after the last one here. Each batch is a transaction of its own, since DuckDB keeps all
    that a transaction has inserted in memory.
    """
    whose = {"account": account}
    of_account = f"FROM {source}.datacube.api_calls WHERE account = $account"
    numbers = [number for (number,) in con.execute(f"SELECT call_id {of_account} ORDER BY 1", whose).fetchall()]
    for start in range(0, len(numbers), _BATCH):
        some, last = numbers[start : start + _BATCH], last_call(con)
        con.begin()
        con.execute(
            "INSERT INTO datacube.api_calls BY NAME"
            " SELECT * REPLACE (row_number() OVER (ORDER BY call_id) + $last AS call_id)"
            f" {of_account} AND call_id BETWEEN $first_old AND $last_old ORDER BY call_id",
            whose | {"last": last, "first_old": some[0], "last_old": some[-1]},
        )
        load_calls(con, last + 1, last + len(some))
        con.commit()


def last_call(con: Connection) -> int:
    """Return the number of the newest call; 0 if there is none."""
    found = con.execute("SELECT coalesce(max(call_id), 0) FROM datacube.api_calls").fetchone()
    return int(found[0]) if found else 0


def replay(con: Connection, batch: int = _BATCH, account: str | None = None) -> int:
    """Rebuild every table from the ledger, for one account or all, in the caller's transaction.

    Returns the number of calls.
    """
    whose = {"account": account}
    for table in ("label_answers", "rejected_rows", "revisions", *(relation.name for relation in RELATIONS)):
        con.execute(f"DELETE FROM datacube.{table} WHERE account = coalesce($account, account)", whose)
    last = last_call(con)
    for start in range(1, last + 1, batch):
        load_calls(con, start, min(start + batch - 1, last), account)
    found = con.execute("SELECT count(*) FROM datacube.api_calls WHERE account = coalesce($account, account)", whose)
    return int(found.fetchall()[0][0])
