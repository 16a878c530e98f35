"""Report: writes reports, and an overview of the accounts, if the extra `report` is installed."""

import datetime as dt
from pathlib import Path
from typing import Any

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.cli.console import require_extra, say
from wx_datacube.cli.outcomes import for_each
from wx_datacube.config.settings import Account, Settings
from wx_datacube.language import Text
from wx_datacube.operations.accounts import explain_not_configured, not_configured
from wx_datacube.operations.report import default_overview_path, default_report_path, path_beside
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

    def _write_overview(self, output: Path) -> None:
        """Write the page with a row for each account whose report was written."""
        with require_extra("report"):
            from wx_datacube.operations.report.overview import render_overview
            from wx_datacube.operations.report.page import save

        save(render_overview(self._rows, self._now, self._language), output)

    def write_all(self, accounts: tuple[Account, ...], output: Path | None, *, overview: bool) -> int:
        """Write the reports of the accounts, and an overview beside them if `overview`; return the exit code."""
        if left := not_configured(self._settings):
            say(explain_not_configured(left), err=True)
        path = output or default_overview_path(self._settings.database) if overview else None

        def make(account: Account) -> int:
            written, is_empty = self.write(account.checked(), path_beside(path, account.name) if path else output)
            say(Text("Report of {account}: {path}", "{account} 的报告：{path}", account=account.name, path=written))
            if is_empty:
                empty = Text(
                    "It is empty: nothing is stored for {account}. Run wx-datacube backfill first.",
                    "报告是空的：{account} 还没有保存任何数据。请先执行 wx-datacube backfill。",
                    account=account.name,
                )
                say(empty, err=True)
            return 1 if is_empty else 0

        code = for_each(accounts, make)
        if path:
            self._write_overview(path)
            say(Text("Overview of all accounts: {path}", "全部账号总览：{path}", path=path))
        return code
