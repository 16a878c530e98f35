"""Definitions: Dagster's entry point, which `workspace.yaml` and `[tool.dg]` name.

`defs` is the code location of this project; other projects call `build_defs`. Add nothing else here:
`orchestration.code_location` builds the definitions.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from wx_datacube.orchestration.code_location import build_defs

__all__ = ["build_defs", "defs"]


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location of this project: every configured account, with each run in a single process.

    Dagster's default executor starts a process for each step. Here that would cost 4 s per run and gain nothing.
    """
    with _nothing_to_collect():
        return dg.Definitions.merge(build_defs(), dg.Definitions(executor=dg.in_process_executor))


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Turn garbage collection off while the definitions are built, then exempt what they hold.

    These objects live as long as the process. With many accounts, collecting takes a fifth of the loading time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
