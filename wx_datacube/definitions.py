"""Definitions: Dagster's entry point, which `workspace.yaml` and `[tool.dg]` name.

`defs` is the code location of this project; other projects call `build_defs`. Add nothing else here:
`orchestration.code_location` builds the definitions.
"""

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import dagster as dg

from wx_datacube.orchestration.code_location import build_defs
from wx_datacube.orchestration.own_accounts import accounts_of_this_run

__all__ = ["build_defs", "defs"]


@dg.definitions
@functools.cache  # Dagster calls it twice when it loads the location
def defs() -> dg.Definitions:
    """Return the code location of this project: every configured account, with schedules of its own."""
    return build_location("account")


def build_location(schedules: Literal["account", "location"]) -> dg.Definitions:
    """Build a code location of every configured account and nothing else, with each run in a single process.

    Dagster's default executor starts a process for each step. Here that would cost 4 s per run and gain nothing. The
    process of a run loads the run's accounts only.
    """
    with _nothing_to_collect():
        ours = build_defs(accounts=accounts_of_this_run(), schedules=schedules)
        return dg.Definitions.merge(ours, dg.Definitions(executor=dg.in_process_executor))


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
