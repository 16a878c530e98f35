"""Scale: what one account costs doesn't grow with the others in the file, and all are looked at in one pass.

Processor time, smaller numbers and wide bounds; `python -m bench.accounts` measures a hundred accounts.
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
    """One account of twelve years."""
    return years(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """The same account, and nine others whose rows lie between its own, day by day."""
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


def seconds(act: Callable[[], object]) -> float:
    """Of processor, the least of three."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        act()
        taken.append(time.process_time() - began)
    return min(taken)


def a_run(warehouse: Warehouse) -> None:
    """What a run asks of the file and stores in it: states, an answer for a day of hours, and what became of it."""
    with warehouse.transaction() as con:
        known.states(con, "shop", HISTORY_START, TODAY, HOURS)
        store_calls(con, [answered(HOURS, day(23), None, hour_row(day(23)))])
        known.coverage(con, "shop", HOURS, [day(23)], TODAY)
        known.rows_stored(con, "shop", HOURS)


def test_a_run_costs_little_more_among_other_accounts(alone: Warehouse, crowd: Warehouse) -> None:
    """Half as much again, and what a busy machine adds, though every tenth row only is its own."""
    assert seconds(lambda: a_run(crowd)) < 1.5 * seconds(lambda: a_run(alone)) + 0.1


def test_status_of_all_accounts_is_one_pass(crowd: Warehouse) -> None:
    """Ten accounts in less time than ten passes over twelve years take."""
    accounts = tuple(Account(name) for name in ("shop", *(f"other{number}" for number in range(OTHERS))))
    settings = Settings(crowd.database.parent, crowd.database, accounts=accounts)
    found = read_status(settings, accounts, lambda: TODAY)

    assert [each.missing for status in found for each in status.endpoints] == [0] * 7 * len(accounts)
    assert seconds(lambda: read_status(settings, accounts, lambda: TODAY)) < 0.6
