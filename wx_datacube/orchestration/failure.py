"""Failure: ends a run for an expected reason, with a message and without a stack trace.

Dagster adds the stack of its own functions to whatever fails a step, and again to the run: thirty lines that say
nothing about a used-up quota. It adds none to an error that another process described, so this failure poses as one.
Nothing else belongs here.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from wx_datacube.errors import WxDatacubeError
from wx_datacube.orchestration.event_log import is_tested


class Explained(dg.Failure):
    """A failure whose `cause` is an error of this package; no retry policy repeats it."""

    cause: WxDatacubeError


def explained_failure(
    cause: WxDatacubeError, description: str | None = None, metadata: Mapping[str, Any] | None = None
) -> Explained:
    """Return a failure without a stack trace; its text defaults to the text of `cause`.

    On an untested version of Dagster, the failure has a stack trace.
    """
    failure = _failure(description or str(cause), metadata)
    failure.cause = cause
    return failure


def _failure(description: str, metadata: Mapping[str, Any] | None) -> Explained:
    if not is_tested():
        return Explained(description, metadata, allow_retries=False)
    from dagster._core.errors import DagsterUserCodeProcessError
    from dagster_shared.error import SerializableErrorInfo

    class Stopped(DagsterUserCodeProcessError, Explained):
        def __init__(self) -> None:
            told = SerializableErrorInfo(message=f"{description}\n", stack=[], cls_name="Failure")
            super().__init__(description, user_code_process_error_infos=[told])  # type: ignore[no-untyped-call]
            dg.Failure.__init__(self, description, metadata, allow_retries=False)

    return Stopped()
