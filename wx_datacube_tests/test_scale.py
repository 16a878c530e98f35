"""Scale: the cost of an account doesn't grow with the other accounts in the file, and `status` reads all in one pass.

The tests measure processor time on small files, with wide bounds. `python -m bench.accounts` measures a hundred
accounts.
"""

import time
from collections.abc import Callable

import pytest

from wx_datacube.catalog.endpoints import BY_NAME, HISTORY_START
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
    with warehouse.writing() as con:
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


def seconds(act: Callable[[], object]) -> float:
    """Return the processor time in seconds, the least of three measurements."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        act()
        taken.append(time.process_time() - began)
    return min(taken)


def a_run(warehouse: Warehouse) -> None:
    """Do what a run does in the file: read states, store a response for a day of hours, read the result."""
    with warehouse.writing() as con:
        known.states(con, "shop", HISTORY_START, TODAY, HOURS)
        store_calls(con, [answered(HOURS, day(23), None, hour_row(day(23)))])
        known.coverage(con, "shop", HOURS, [day(23)], TODAY)
        known.rows_stored(con, "shop", HOURS)


def test_a_run_costs_little_more_among_other_accounts(alone: Warehouse, crowd: Warehouse) -> None:
    """A run takes at most 1.5 times as long plus 0.1 s for a busy machine, though only every tenth row is its own."""
    assert seconds(lambda: a_run(crowd)) < 1.5 * seconds(lambda: a_run(alone)) + 0.1


def test_status_of_all_accounts_is_one_pass(crowd: Warehouse) -> None:
    """`status` of ten accounts takes less time than ten passes over twelve years."""
    accounts = tuple(Account(name) for name in ("shop", *(f"other{number}" for number in range(OTHERS))))
    settings = Settings(crowd.database.parent, crowd.database, accounts=accounts)
    found = read_status(settings, accounts, lambda: TODAY)

    assert [each.missing for status in found for each in status.endpoints] == [0] * 7 * len(accounts)
    assert seconds(lambda: read_status(settings, accounts, lambda: TODAY)) < 0.6
