"""By hand: a file of the account `shop` with rows and answers that a test chooses, and nothing else.

Add a helper here when several tests need figures that no emulated account has. Nothing here tests anything.
"""

import datetime as dt
from pathlib import Path

from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.config.settings import Account
from wx_datacube.operations.report.figures import Figures, read_figures
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.years import TODAY


class Stored:
    """A file of the account `shop` whose rows and answers are made by hand."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder / "figures.duckdb", clock=lambda: TODAY)
        with self.warehouse.transaction() as con:
            con.execute(
                "INSERT INTO datacube.api_calls BY NAME SELECT 1 AS call_id, 'shop' AS account, 'x' AS endpoint,"
                " $now AS requested_at",
                {"now": TODAY},
            )

    def rows(self, table: str, *rows: tuple[object, ...], account: str = "shop") -> None:
        """Store rows, given without `account` and `call_id`."""
        with self.warehouse.transaction() as con:
            for row in rows:
                blanks = ", ".join("?" * len(row))
                con.execute(f"INSERT INTO datacube.{table} VALUES (?, {blanks}, 1)", [account, *row])

    def answered(self, endpoint: Endpoint, *labels: dt.date, shown: int = 1, final: bool = True) -> None:
        """Store that the labels have been answered for, with `shown` rows each."""
        with self.warehouse.transaction() as con:
            for label in labels:
                con.execute(
                    "INSERT INTO datacube.label_answers BY NAME SELECT 'shop' AS account, $endpoint AS endpoint,"
                    " $label AS label, 1 AS call_id, $now AS fetched_at, true AS settled, true AS clean,"
                    " $shown AS shown, true AS known, $final AS final, 1 AS last_undelayed",
                    {"endpoint": endpoint.name, "label": label, "now": TODAY, "shown": shown, "final": final},
                )

    def figures(self, families: tuple[Family, ...], start: dt.date, now: dt.datetime = TODAY) -> Figures:
        """Publish the file and return the figures of an account with these families and this start."""
        self.warehouse.publish()
        return figures_of(self.warehouse, families, start, now)


def figures_of(
    warehouse: Warehouse, families: tuple[Family, ...], start: dt.date, now: dt.datetime = TODAY, title: str = ""
) -> Figures:
    """Return the figures of `shop` with these families and this start."""
    with warehouse.open_published() as con:
        return read_figures(con, Account("shop", start=start, families=families, title=title or None), now)
