"""Asset checks: `python -m bench.checks` measures all checks of each asset over twelve years of answers.

The answers are generated here: consistent, without silent days, and stored as a run stores them.
"""

import datetime as dt
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wx_datacube.catalog.messages import COUNT_INTERVAL, ENDPOINTS, MSG_TYPE
from wx_datacube.catalog.model import HISTORY_START, REF_HOUR, Endpoint
from wx_datacube.catalog.periods import due_labels, due_on
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.checks import check_context_of_readers, check_context_of_run, checks_of, run_check
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import Call, store_calls

NOW = dt.datetime(2026, 11, 24, 15)
TIMES = 5


def rows(endpoint: Endpoint, label: dt.date) -> Iterator[dict[str, Any]]:
    """Yield the rows of a label: one message of each type in each hour of each day."""
    days = (due_on(label, endpoint.period) - label).days
    row = {"ref_date": str(label), "user_source": 0}
    if COUNT_INTERVAL in endpoint.columns:
        yield row | {"count_interval": 3, "msg_user": 5}
        return
    for kind, _ in MSG_TYPE.codes:
        if REF_HOUR in endpoint.columns:
            yield from (
                row | {"ref_hour": 100 * at, "msg_type": kind, "msg_user": 1, "msg_count": 1} for at in range(24)
            )
        else:
            yield row | {"msg_type": kind, "msg_user": 5, "msg_count": 24 * days}


def calls(endpoint: Endpoint) -> Iterator[Call]:
    """Yield a call for each label, oldest first."""
    for label in due_labels(endpoint.period, HISTORY_START, NOW.date()):
        last = due_on(label, endpoint.period) - dt.timedelta(days=1)
        body = json.dumps({"list": list(rows(endpoint, label))}, separators=(",", ":"))
        yield Call("bench", "shop", endpoint.name, label, last, (label,), False, NOW, 1, 200, None, None, None, body)


def measured(warehouse: Warehouse, endpoint: Endpoint) -> tuple[float, int]:
    """Return the least CPU seconds of an asset's checks, executed as in a run, and the number of findings."""
    taken, found = [], 0
    for _ in range(TIMES):
        # Opening the file isn't measured: a run does it anyway.
        with check_context_of_run(warehouse, Account("shop", start=HISTORY_START), endpoint) as check_context:
            began = time.process_time()
            found = sum(len(run_check(check, check_context, endpoint)) for check in checks_of(endpoint))
            taken.append(time.process_time() - began)
    return min(taken), found


def twelve_years(folder: Path) -> Warehouse:
    """Make a warehouse with everything since 2014-12-01, stored and published."""
    warehouse = Warehouse(folder / "figures.duckdb", clock=lambda: NOW)
    with warehouse.transaction() as con:
        for endpoint in ENDPOINTS:
            store_calls(con, list(calls(endpoint)))
    warehouse.publish()
    return warehouse


def main() -> None:
    """Print a line per asset, and one for all checks against the published file."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = twelve_years(Path(folder))
        for endpoint in ENDPOINTS:
            with warehouse.open_published() as con:
                ((stored,),) = con.execute(f"SELECT count(*) FROM datacube.{endpoint.name}").fetchall()
            seconds, found = measured(warehouse, endpoint)
            print(
                f"{endpoint.name}: {len(checks_of(endpoint))} checks, {stored:,} rows, {1000 * seconds:.0f} ms, {found}"
            )
        began = time.process_time()
        with check_context_of_readers(
            warehouse, Account("shop", start=HISTORY_START), list(ENDPOINTS)
        ) as check_context:
            found = sum(len(run_check(check, check_context, each)) for each in ENDPOINTS for check in checks_of(each))
        print(f"all of them by the published file: {1000 * (time.process_time() - began):.0f} ms, {found}")


if __name__ == "__main__":
    main()
