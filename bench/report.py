"""The report: `python -m bench.report` measures the views, the report and its pages over twelve years of all families.

The database is that of the tests, `wx_datacube_tests.years`. The pages are drawn in Chromium, for 30 days and for all.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from wx_datacube.catalog.model import HISTORY_START, Family
from wx_datacube.config.settings import Account
from wx_datacube.operations.report.figures import read_figures
from wx_datacube.operations.report.page import render, save
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.years import TODAY, years

TIMES = 5
MESSAGES_A_DAY = 3000
PAGES = ("overview", "followers", "articles", "messages", "interface", "coverage")
RANGES = ("30", "all")


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
    """Print how long reading the figures and rendering the page take, the first time and again, and the page's size."""
    account = Account("shop", start=HISTORY_START, families=tuple(Family))
    for _ in range(2):
        began = time.perf_counter()
        with warehouse.open_published() as con:
            figures = read_figures(con, account, TODAY)
        read = time.perf_counter()
        save(render(figures, "zh"), output)
        print(f"read in {read - began:.1f} s, rendered in {time.perf_counter() - read:.1f} s")
    print(f"{output.stat().st_size:,} bytes")


def milliseconds_to_draw(page: Page, address: str) -> float:
    """Return how long after its beginning a page is drawn."""
    page.goto("about:blank")  # otherwise a new fragment doesn't load the page anew
    page.goto(address)
    page.wait_for_selector("body[data-drawn]")
    return float(page.evaluate("performance.now()"))


def show_pages(output: Path) -> None:
    """Print how long each of the report's pages takes to be drawn: the first time, then the least of several."""
    if not (chromium := shutil.which("chromium")):
        return
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        print(f"drawn at first after {milliseconds_to_draw(page, output.as_uri()):.0f} ms")
        for name in PAGES:
            for days in RANGES:
                address = f"{output.as_uri()}#page={name}&days={days}"
                least = min(milliseconds_to_draw(page, address) for _ in range(TIMES))
                print(f"{name}, {days} days: drawn after {least:.0f} ms")


def main() -> None:
    """Print everything."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = years(Path(folder), messages=MESSAGES_A_DAY, families=tuple(Family))
        show_views(warehouse)
        output = Path(folder, "report.html")
        show_report(warehouse, output)
        show_pages(output)


if __name__ == "__main__":
    main()
