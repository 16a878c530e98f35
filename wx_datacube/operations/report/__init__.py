"""Report: an account's figures as one HTML file, made from the published file.

`figures` reads the data, with `followers` and `articles` for those families; `charts` defines the charts, `page` and
`family_pages` render the HTML, and `words` has the texts in Chinese and English.
"""

from pathlib import Path


def default_report_path(database: Path, account: str) -> Path:
    """Return the default path of an account's report: beside the database."""
    return database.with_name(f"report_{account}.html")
