"""Report: an account's figures as one HTML file, made from the published file.

`figures` reads the data and `words` has the texts; `page` puts them into the file with the scripts of `assets`, which
show them.
"""

from pathlib import Path


def default_report_path(database: Path, account: str) -> Path:
    """Return the default path of an account's report: beside the database."""
    return database.with_name(f"report_{account}.html")
