"""Context: read from the files what checks need, in a run and when nothing ran.

Add here what several checks need and can't read with their SELECT. Nothing here decides whether a check passes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from wx_datacube.catalog.model import Endpoint
from wx_datacube.config.settings import Account
from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.checks.check import CheckContext, Fingerprint
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.overdue import find_overdue
from wx_datacube.warehouse.sql import names


@contextmanager
def check_context_of_run(
    warehouse: Warehouse, account: Account, endpoint: Endpoint, daily_calls: int | None = None
) -> Iterator[CheckContext]:
    """Open the check context of a run: the last committed state, and both files' contents if they may differ.

    The context's `published_error` is set if the published file can't be read.
    """
    with warehouse.snapshot_and_published() as (con, published):
        now = warehouse.clock()
        overdue = find_overdue(con, [account], now, daily_calls=daily_calls)[account.name]
        context = CheckContext(con, account, now, tuple(overdue))
        if isinstance(published, WarehouseError):
            context = replace(context, published_error=published.text)
        elif published is not None:
            written = fingerprint(con, account.name, [endpoint])
            context = replace(context, written=written, published=fingerprint(published, account.name, [endpoint]))
            published.close()  # while it is open, DuckDB shows this process no newer file
        yield context


@contextmanager
def check_context_of_readers(
    warehouse: Warehouse, account: Account, endpoints: Sequence[Endpoint], daily_calls: int | None = None
) -> Iterator[CheckContext]:
    """Open the check context of readers: the published file, and both files' contents if they may differ.

    Raises `WarehouseError` if the published file can't be read.
    """
    with warehouse.snapshot_and_published() as (con, published):
        if isinstance(published, WarehouseError):
            raise published
        read, now = published or con, warehouse.clock()
        overdue = find_overdue(read, [account], now, daily_calls=daily_calls, is_fetching=warehouse.is_fetching)[
            account.name
        ]
        context = CheckContext(read, account, now, tuple(overdue))
        if published is not None:
            written = fingerprint(con, account.name, endpoints)
            context = replace(context, written=written, published=fingerprint(published, account.name, endpoints))
        yield context


def fingerprint(con: Connection, account: str, endpoints: Sequence[Endpoint]) -> Fingerprint:
    """Return a fingerprint of what a file holds for an account: a few numbers for each endpoint."""
    found = con.execute("SELECT call_id, requested_at FROM datacube.api_calls ORDER BY call_id DESC LIMIT 1").fetchall()
    last_call, last_call_at = found[0] if found else (0, None)
    return Fingerprint(last_call, last_call_at, {each.name: _numbers(con, account, each) for each in endpoints})


def _numbers(con: Connection, account: str, endpoint: Endpoint) -> tuple[int, int, int]:
    tables = " UNION ALL ".join(
        f"SELECT count(*) AS counted, coalesce(bit_xor(hash({names(each.columns)}, call_id)), 0) AS hashed"
        f" FROM datacube.{each.name} WHERE account = $account"
        for each in endpoint.relations
    )
    calls, rows, hashed = con.execute(
        "SELECT (SELECT count(*) FROM datacube.api_calls WHERE account = $account AND endpoint = $endpoint),"
        f" sum(counted)::BIGINT, bit_xor(hashed) FROM ({tables})",
        {"account": account, "endpoint": endpoint.name},
    ).fetchall()[0]
    return calls, rows, hashed
