"""Publishing: the names of the two files, and helpers that store a row and read the published days."""

from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import MESSAGES, answered, day, row

WRITER = "figures.writer.duckdb"
PUBLISHED = "figures.duckdb"


def store(warehouse: Warehouse, number: int = 4) -> None:
    """Commit a call with a row for that day."""
    with warehouse.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(number), None, row(day(number)))])


def days_in(warehouse: Warehouse) -> list[int]:
    """Return the days with rows in the published file."""
    with warehouse.open_published() as con:
        return [
            date.day for (date,) in con.execute("SELECT ref_date FROM datacube.getupstreammsg ORDER BY 1").fetchall()
        ]
