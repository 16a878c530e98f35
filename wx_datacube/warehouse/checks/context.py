"""Context: read from the files what checks need, in a run and when nothing ran.

Add here what several checks need and can't read with their SELECT. Nothing here decides whether a check passes.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from wx_datacube.catalog.model import Endpoint
from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.checks.check import CheckContext, Fingerprint
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.overdue import find_overdue


@contextmanager
def check_context_of_run(
    warehouse: Warehouse, account: str, start: dt.date, endpoint: Endpoint, daily_calls: int | None = None
) -> Iterator[CheckContext]:
    """Open the check context of a run: the last committed state, and both files' contents if they may differ.

    The context's `published_error` is set if the published file can't be read.
    """
    with warehouse.snapshot_and_published() as (con, published):
        now = warehouse.clock()
        overdue = find_overdue(con, {account: start}, now, daily_calls=daily_calls)[account]
        context = CheckContext(con, account, start, now, tuple(overdue))
        if isinstance(published, WarehouseError):
            context = replace(context, published_error=str(published))
        elif published is not None:
            written = fingerprint(con, account, [endpoint])
            context = replace(context, written=written, published=fingerprint(published, account, [endpoint]))
            published.close()  # while it is open, DuckDB shows this process no newer file
        yield context


@contextmanager
def check_context_of_readers(
    warehouse: Warehouse, account: str, start: dt.date, endpoints: list[Endpoint], daily_calls: int | None = None
) -> Iterator[CheckContext]:
    """Open the check context of readers: the published file, and both files' contents if they may differ.

    Raises `WarehouseError` if the published file can't be read.
    """
    with warehouse.snapshot_and_published() as (con, published):
        if isinstance(published, WarehouseError):
            raise published
        read, now = published or con, warehouse.clock()
        overdue = find_overdue(read, {account: start}, now, daily_calls=daily_calls, is_fetching=warehouse.is_fetching)[
            account
        ]
        context = CheckContext(read, account, start, now, tuple(overdue))
        if published is not None:
            written = fingerprint(con, account, endpoints)
            context = replace(context, written=written, published=fingerprint(published, account, endpoints))
        yield context


def fingerprint(con: Connection, account: str, endpoints: list[Endpoint]) -> Fingerprint:
    """Return a fingerprint of what a file holds for an account: a few numbers for each endpoint."""
    found = con.execute("SELECT call_id, requested_at FROM datacube.api_calls ORDER BY call_id DESC LIMIT 1").fetchall()
    last_call, last_call_at = found[0] if found else (0, None)
    return Fingerprint(last_call, last_call_at, {each.name: _numbers(con, account, each) for each in endpoints})


def _numbers(con: Connection, account: str, endpoint: Endpoint) -> tuple[int, int, int]:
    columns = ", ".join(column.name for column in endpoint.columns)
    calls, rows, hashed = con.execute(
        "SELECT (SELECT count(*) FROM datacube.api_calls WHERE account = $account AND endpoint = $endpoint), count(*),"
        f" coalesce(bit_xor(hash({columns}, call_id)), 0) FROM datacube.{endpoint.name} WHERE account = $account",
        {"account": account, "endpoint": endpoint.name},
    ).fetchall()[0]
    return calls, rows, hashed
