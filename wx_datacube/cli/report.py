"""Report: writes an account's report, if the extra `report` is installed."""

import datetime as dt
from pathlib import Path

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.cli.console import require_extra
from wx_datacube.config.settings import Account, Settings
from wx_datacube.operations.report import default_report_path
from wx_datacube.warehouse.files import Warehouse


def run_report(
    settings: Settings,
    account: Account,
    language: str,
    first: dt.date | None = None,
    last: dt.date | None = None,
    output: Path | None = None,
) -> tuple[Path, bool]:
    """Write the report of one account; return its path, and whether it is empty because nothing was ever requested."""
    with require_extra("report"):
        from wx_datacube.operations.report.page import render, save
    from wx_datacube.operations.report.figures import read_figures

    now = beijing_now()
    with Warehouse(settings.database).open_published() as con:
        figures = read_figures(con, account, now)
    output = output or default_report_path(settings.database, account.name)
    save(render(figures, language, first, last), output)
    return output, figures.last_requested_at is None
