"""Failure: ends a run for an expected reason, with a message and without a stack trace.

Dagster adds the stack of its own functions to any error that fails a step, and again to the run: thirty lines that say
nothing about a used-up quota. Nothing else belongs here.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from wx_datacube.errors import WxDatacubeError
from wx_datacube.orchestration.dagster_internals import without_stack_trace


class ExpectedFailure(dg.Failure):
    """A failure whose `cause` is an error of this package; no retry policy repeats it."""

    cause: WxDatacubeError


def explained_failure(
    cause: WxDatacubeError, description: str | None = None, metadata: Mapping[str, Any] | None = None
) -> ExpectedFailure:
    """Return a failure without a stack trace; its text defaults to the text of `cause`.

    On an untested version of Dagster, the failure has a stack trace.
    """
    failure = without_stack_trace(ExpectedFailure, description or str(cause), metadata)
    failure.cause = cause
    return failure
