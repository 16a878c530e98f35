"""The report: `python -m bench.report` measures views and report over twelve years, and how fast Chromium draws it.

The database is that of `bench.checks`: generated there, stored as a run stores it.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

from bench.checks import NOW, twelve_years
from wx_datacube.catalog.model import HISTORY_START
from wx_datacube.config.settings import Account
from wx_datacube.operations.report.figures import read_figures
from wx_datacube.operations.report.page import save
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse

TIMES = 5


def questions(view: str, columns: list[str]) -> Iterator[tuple[str, str]]:
    """Yield typical queries of a view: everything by month, the newest rows, the last weeks."""
    date = {"coverage": "label", "articles": "published_on"}.get(view, "date")
    figures = ", ".join(f'max("{name}")' for name in columns)
    yield "by month", f"SELECT date_trunc('month', {date}), count(*), {figures} FROM {view} GROUP BY 1"
    yield "newest 100", f"FROM {view} ORDER BY {date} DESC LIMIT 100"
    yield "last weeks", f"FROM {view} WHERE {date} >= DATE '2026-10-01'"


def milliseconds(con: Connection, sql: str) -> float:
    """Return the shortest wall-clock time of several executions."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        con.execute(sql).fetchall()
        taken.append(time.perf_counter() - began)
    return 1000 * min(taken)


def show_views(warehouse: Warehouse) -> None:
    """Print a line per view."""
    with warehouse.open_published() as con:
        con.execute("USE datacube")
        for (view,) in con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall():
            columns = [name for name, *_ in con.execute(f"DESCRIBE {view}").fetchall()]
            said = ", ".join(f"{what} {milliseconds(con, sql):.0f} ms" for what, sql in questions(view, columns))
            print(f"{view}: {said}")


def show_report(warehouse: Warehouse, output: Path) -> None:
    """Print how long the report takes to make, its size, and how long Chromium takes to draw it."""
    began = time.perf_counter()
    with warehouse.open_published() as con:
        figures = read_figures(con, Account("shop", start=HISTORY_START), NOW, None, None)
    save(figures, "zh", warehouse.database, NOW, output)
    print(f"made in {time.perf_counter() - began:.1f} s, {output.stat().st_size:,} bytes")
    if chromium := shutil.which("chromium"):
        with sync_playwright() as playwright:
            page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
            for _ in range(TIMES):
                page.goto(output.as_uri())
                page.wait_for_selector("body[data-drawn]")
                print(f"drawn {page.evaluate('performance.now()'):.0f} ms after the page began")


def main() -> None:
    """Print everything."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = twelve_years(Path(folder))
        show_views(warehouse)
        show_report(warehouse, Path(folder, "report.html"))


if __name__ == "__main__":
    main()
