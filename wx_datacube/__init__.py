"""WeChat Official Account message statistics (公众号消息分析) in DuckDB, orchestrated by Dagster.

The package imports nothing on its own: `wx_datacube.definitions` is the Dagster entry point, `wx_datacube.ingest`
the use case without Dagster, `wx_datacube.cli` the terminal.
"""

__version__ = "0.1.0"
