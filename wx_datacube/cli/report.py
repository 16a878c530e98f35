"""Report: writes reports, and an overview of the accounts, if the extra `report` is installed."""

import datetime as dt
from pathlib import Path
from typing import Any

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.cli.console import require_extra
from wx_datacube.config.settings import Account, Settings
from wx_datacube.operations.report import default_report_path
from wx_datacube.warehouse.files import Warehouse


class ReportWriter:
    """Writes the reports of accounts in one language, and keeps the rows of an overview.

    `first` and `last` are the range that the reports open with.
    """

    def __init__(self, settings: Settings, language: str, first: dt.date | None, last: dt.date | None) -> None:
        self._settings, self._language = settings, language
        self._first, self._last = first, last
        self._now = beijing_now()
        self._rows: list[dict[str, Any]] = []

    def write(self, account: Account, output: Path | None) -> tuple[Path, bool]:
        """Write the report of an account; return its path, and whether it is empty because nothing was requested."""
        with require_extra("report"):
            from wx_datacube.operations.report.page import render, save
        from wx_datacube.operations.report.figures import read_figures
        from wx_datacube.operations.report.overview import overview_row

        with Warehouse(self._settings.database).open_published() as con:
            figures = read_figures(con, account, self._now)
        path = output or default_report_path(self._settings.database, account.name)
        save(render(figures, self._language, self._first, self._last), path)
        self._rows.append(overview_row(figures, path.name))
        return path, figures.last_requested_at is None

    def write_overview(self, output: Path) -> None:
        """Write the page with a row for each account whose report was written."""
        with require_extra("report"):
            from wx_datacube.operations.report.overview import render_overview
            from wx_datacube.operations.report.page import save

        save(render_overview(self._rows, self._now, self._language), output)
