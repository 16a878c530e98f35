"""Definitions: Dagster's entry point, named by `workspace.yaml` and `[tool.dg]`; `build_defs` is for other projects."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from wx_datacube.orchestration.code_location import build_defs

__all__ = ["build_defs", "defs"]


@dg.definitions
def defs() -> dg.Definitions:
    """The code location of this project: every configured account, runs in one process each.

    Dagster's default, a process for each step, costs 4 s a run and gains nothing here.
    """
    with _nothing_to_collect():
        return dg.Definitions.merge(build_defs(), dg.Definitions(executor=dg.in_process_executor))


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Don't look for garbage among what stays as long as the process: with many accounts, a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
