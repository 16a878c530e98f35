"""Report: one HTML file with what people look at, made from the published file.

`figures` reads, `charts` draws, `page` puts together, `words` says it in Chinese and English.
"""

from pathlib import Path


def report_file(database: Path, account: str) -> Path:
    """Where an account's report is written unless told otherwise: beside the database."""
    return database.with_name(f"report_{account}.html")
