"""WeChat Official Account message statistics (公众号消息分析) in DuckDB, orchestrated by Dagster.

The package imports nothing on its own: `wx_datacube.definitions` is the Dagster entry point, `wx_datacube.ingest`
the use case without Dagster, `wx_datacube.cli` the terminal. `MessageAnalysis`, Dagster's component, is imported when
it is asked for.
"""

from importlib import import_module

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "MessageAnalysis":
        return import_module("wx_datacube.component").MessageAnalysis
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "MessageAnalysis"]  # which is how Dagster finds it
