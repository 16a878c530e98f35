"""Report: an account's figures as one HTML file, made from the published file.

`figures` reads the data and `words` has the texts; `page` puts them into the file with the scripts of `assets`, which
show them.
"""

from pathlib import Path


def default_report_path(database: Path, account: str) -> Path:
    """Return the default path of an account's report: beside the database."""
    return path_beside(default_overview_path(database), account)


def default_overview_path(database: Path) -> Path:
    """Return the default path of the overview of all accounts: beside the database."""
    return database.with_name("report.html")


def path_beside(overview: Path, account: str) -> Path:
    """Return the path of an account's report beside an overview: `report.html` has `report_<account>.html`."""
    return overview.with_name(f"{overview.stem}_{account}{overview.suffix}")
