"""Report: an account's figures as one HTML file, made from the published file.

`figures` reads the data, `charts` defines the charts, `page` renders the HTML, and `words` has the texts in Chinese
and English.
"""

from pathlib import Path


def report_file(database: Path, account: str) -> Path:
    """Return the default path of an account's report: beside the database."""
    return database.with_name(f"report_{account}.html")
