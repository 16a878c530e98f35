"""Scale: the cost of an account doesn't grow with the other accounts in the file, and `status` reads all in one pass.

The tests count rows, or compare processor time with processor time, so that they don't depend on the machine.
`python -m bench.accounts` measures a hundred accounts.
"""

import json
from collections.abc import Callable
from functools import partial
from time import process_time
from timeit import timeit
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import HISTORY_START
from wx_datacube.config.settings import Account, Settings
from wx_datacube.operations.status import read_status
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import HOURS, answered, day, hour_row
from wx_datacube_tests.years import TODAY, years

OTHERS = 9


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Provide a file with one account of twelve years."""
    return years(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Provide a file with the same account and nine others, whose rows are interleaved with its own, day by day."""
    warehouse = years(tmp_path_factory.mktemp("crowd"))
    with warehouse.transaction() as con:
        con.execute(f"CREATE TEMP TABLE other AS SELECT 'other' || unnest(range({OTHERS})) AS name")
        con.execute(
            "INSERT INTO datacube.accounts SELECT a.* REPLACE (name AS account) FROM datacube.accounts a, other"
        )
        for table, order in (("label_answers", "label"), *((name, "ref_date") for name in BY_NAME)):
            con.execute(
                f"CREATE TEMP TABLE mixed AS FROM datacube.{table} UNION ALL"
                f" SELECT t.* REPLACE (name AS account) FROM datacube.{table} AS t, other ORDER BY {order}"
            )
            con.execute(f"DELETE FROM datacube.{table}")
            con.execute(f"INSERT INTO datacube.{table} FROM mixed")
            con.execute("DROP TABLE mixed")
    warehouse.publish()
    return warehouse


def cost(act: Callable[[Any], object], much: object, little: object) -> float:
    """Return the processor time of `act` with `much`, divided by that with `little`: least of five, taken in turns."""
    turns = [timeit(partial(act, given), timer=process_time, number=1) for given in (much, little) * 5]
    return min(turns[::2]) / min(turns[1::2])


def a_run(warehouse: Warehouse) -> int:
    """Do what a run does in the file; return how many rows the operators of its reading queries passed on."""
    rows = 0
    with warehouse.transaction() as con:
        con.execute("PRAGMA enable_profiling = 'no_output'")
        for act in (
            lambda: known.states(con, Account("shop", start=HISTORY_START), TODAY, HOURS),
            lambda: store_calls(con, [answered(HOURS, day(23), None, hour_row(day(23)))]),
            lambda: known.coverage(con, Account("shop"), HOURS, [day(23)], TODAY),
            lambda: known.rows_stored(con, "shop", HOURS),
        ):
            act()
            profile = json.loads(con.get_profiling_information())
            rows += profile.get("query", {}).get("total_intermediate_rows", 0)  # DuckDB 2
            rows += profile.get("cumulative_cardinality", 0)  # DuckDB 1
    assert rows
    return rows


def test_a_run_costs_little_more_among_other_accounts(alone: Warehouse, crowd: Warehouse) -> None:
    """Among ten times the rows, a run's queries pass on no more rows, and it costs less than twice as much."""
    assert a_run(crowd) < 1.1 * a_run(alone)
    assert cost(a_run, crowd, alone) < 2


def test_status_of_all_accounts_is_one_pass(crowd: Warehouse) -> None:
    """`status` of ten accounts takes less than four times as long as that of one of them, and not ten times."""
    accounts = tuple(Account(name) for name in ("shop", *(f"other{number}" for number in range(OTHERS))))
    settings = Settings(crowd.database.parent, crowd.database, accounts=accounts)
    found = read_status(settings, accounts, lambda: TODAY)

    assert [each.missing for status in found for each in status.endpoints] == [0] * 7 * len(accounts)
    assert cost(lambda chosen: read_status(settings, chosen, lambda: TODAY), accounts, accounts[:1]) < 4
