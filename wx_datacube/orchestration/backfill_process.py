"""Backfill process: makes the Dagster runs of a backfill in a child process, requested through a pipe.

This side doesn't import Dagster, so that fetching begins at once; the other side is `orchestration.backfill_runs`. Add
here only what starts, drives or ends the child process.
"""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from types import TracebackType
from typing import Any, Self

from wx_datacube.config.environment import child_environment
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.language import Text
from wx_datacube.operations.backfill_protocol import Backlog, Batch, Run, Scope

SHUTDOWN_SECONDS = 30
"""Seconds that the current run may still take after the parent is done with the process, or dead."""

PLANNED_EVENTS = {"DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}
"""Makes Dagster emit one planned event per run instead of one per partition.

This saves 2 s in twelve years, and a run that fails leaves partitions that were materialized earlier as they were. It
is set only here, because the page of a backfill launched from the UI relies on the events per partition.
"""


class DagsterProcess:
    """The `Runs` of a backfill in a project's Dagster instance: a context manager over the process that makes them.

    The child has a process group of its own, so Ctrl-C reaches only this process and the current run can finish. The
    child ends at most `SHUTDOWN_SECONDS` after this process is done with it or dead: the kernel then closes this
    process's end of a second pipe.
    """

    def __init__(self, settings: Settings, account: Account, scope: Scope, now: dt.datetime) -> None:
        self._connection, theirs = Pipe()
        lifeline_reader, self._lifeline = Pipe(duplex=False)
        with theirs, lifeline_reader:
            descriptors = [theirs.fileno(), lifeline_reader.fileno()]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wx_datacube.orchestration.backfill_runs", *map(str, descriptors)],
                cwd=settings.require_project(),
                env=child_environment(settings) | PLANNED_EVENTS,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                process_group=0,
            )
        self._connection.send((account.name, scope, now))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._connection.close()
        self._lifeline.close()
        try:
            self._process.wait()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def backlog(self) -> Backlog:
        """Return the backlog as it was when the child process began."""
        found: Backlog = self._receive()
        return found

    def materialize(self, batch: Batch) -> Iterator[Run]:
        """Materialize a batch in the child process; yield its runs as they end.

        Raises the `WxDatacubeError` that the child met, or one that says the child is gone.
        """
        with self._raise_if_child_gone():
            self._connection.send(batch)
        while (run := self._receive()) is not None:
            yield run

    def _receive(self) -> Any:
        with self._raise_if_child_gone():
            message = self._connection.recv()
        if isinstance(message, WxDatacubeError):
            raise message
        return message

    @contextmanager
    def _raise_if_child_gone(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError):
            raise WxDatacubeError(
                Text(
                    "The process that runs Dagster ended with {code} before it was done.",
                    "运行 Dagster 的进程在完成之前退出（退出码 {code}）。",
                    code=self._process.wait(),
                ),
                advice=Text(
                    "What has landed stays; run the same command again to continue.",
                    "已保存的数据会保留；再次运行同一命令即可继续。",
                ),
            ) from None
