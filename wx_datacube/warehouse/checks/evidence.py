"""Evidence: what checks go by, taken from the files, in a run and when nothing ran.

Add here what several checks need to know that no SELECT says. Nothing is judged here.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from wx_datacube.catalog import Endpoint
from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.checks.check import Contents, Evidence
from wx_datacube.warehouse.files import Connection, Warehouse


@contextmanager
def evidence_of_a_run(warehouse: Warehouse, account: str, start: dt.date, endpoint: Endpoint) -> Iterator[Evidence]:
    """By the writer's file; the published one is opened only if it isn't the copy that was made last."""
    with warehouse.writing() as con:
        evidence = Evidence(con, account, start, warehouse.clock())
        if not warehouse.is_published:
            evidence = replace(evidence, written=contents(con, account, [endpoint]))
            try:
                with warehouse.reading() as published:
                    evidence = replace(evidence, published=contents(published, account, [endpoint]))
            except WarehouseError as error:
                evidence = replace(evidence, fault=str(error))
        yield evidence


@contextmanager
def evidence_of_readers(
    warehouse: Warehouse, account: str, start: dt.date, endpoints: list[Endpoint]
) -> Iterator[Evidence]:
    """By the published file, which is compared with the writer's where there is one."""
    with ExitStack() as stack:
        written = published = None
        if warehouse.writer.exists():
            with warehouse.writing() as writer:  # meanwhile nobody publishes
                con = stack.enter_context(warehouse.reading())
                written, published = contents(writer, account, endpoints), contents(con, account, endpoints)
        else:
            con = stack.enter_context(warehouse.reading())
        yield Evidence(con, account, start, warehouse.clock(), written, published)


def contents(con: Connection, account: str, endpoints: list[Endpoint]) -> Contents:
    """What a file holds of an account, in a few numbers for each endpoint."""
    found = con.execute("SELECT call_id, requested_at FROM datacube.api_calls ORDER BY call_id DESC LIMIT 1").fetchall()
    last_call, last_call_at = found[0] if found else (0, None)
    return Contents(last_call, last_call_at, {each.name: _numbers(con, account, each) for each in endpoints})


def _numbers(con: Connection, account: str, endpoint: Endpoint) -> tuple[int, int, int]:
    columns = ", ".join(column.name for column in endpoint.columns)
    calls, rows, fingerprint = con.execute(
        "SELECT (SELECT count(*) FROM datacube.api_calls WHERE account = $account AND endpoint = $endpoint), count(*),"
        f" coalesce(bit_xor(hash({columns}, call_id)), 0) FROM datacube.{endpoint.name} WHERE account = $account",
        {"account": account, "endpoint": endpoint.name},
    ).fetchall()[0]
    return calls, rows, fingerprint
