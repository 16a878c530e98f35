"""WeChat Official Account message statistics (公众号消息分析) in DuckDB, orchestrated by Dagster.

Importing the package imports none of its modules. `wx_datacube.definitions` is Dagster's entry point, `wx_datacube.cli`
is the command line, and `wx_datacube.ingest` fetches and stores without Dagster. `MessageAnalysis`, the Dagster
component, is imported on first use.
"""

from importlib import import_module

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "MessageAnalysis":
        return import_module("wx_datacube.orchestration.component").MessageAnalysis
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "MessageAnalysis"]  # Dagster discovers the component from this list
