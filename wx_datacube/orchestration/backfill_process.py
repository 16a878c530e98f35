"""Dagster's process: the runs of a backfill, made by a process of their own and asked for through a pipe.

This side imports no Dagster, so that fetching begins at once; the other is `orchestration.materialize`. Nothing else
belongs here.
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
from wx_datacube.operations.backfill import Backlog, Batch, Run, Scope

SECONDS_TO_END = 30
"""How long the run under way may still take when nobody waits for it any more."""

# One event for all that a run plans, not one a partition: 2 s less in twelve years, and a run that fails leaves what
# had landed earlier as it was. Only here: the page of a backfill from the UI counts on the others.
_ENVIRONMENT = {"DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}


class DagsterProcess:
    """`backfill.Runs` in the Dagster instance of a project, as a context manager over the process that makes them.

    It is in a process group of its own: Ctrl-C reaches us alone, and the run that is under way ends well. It ends at
    most `SECONDS_TO_END` after we are done with it or dead: the kernel then closes our end of its second pipe.
    """

    def __init__(self, settings: Settings, account: Account, scope: Scope, now: dt.datetime) -> None:
        self._connection, theirs = Pipe()
        watched, self._life = Pipe(duplex=False)
        with theirs, watched:
            descriptors = [theirs.fileno(), watched.fileno()]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wx_datacube.orchestration.materialize", *map(str, descriptors)],
                cwd=settings.require_project(),
                env=child_environment(settings) | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                process_group=0,
            )
        self._connection.send((account.name, scope, now))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._connection.close()
        self._life.close()
        try:
            self._process.wait()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def backlog(self) -> Backlog:
        """What was to do when the process began."""
        found: Backlog = self._receive()
        return found

    def materialize(self, landed: Batch) -> Iterator[Run]:
        """Have what landed materialized; the runs as they end."""
        with self._gone_is_an_error():
            self._connection.send(landed)
        while (run := self._receive()) is not None:
            yield run

    def _receive(self) -> Any:
        with self._gone_is_an_error():
            news = self._connection.recv()
        if isinstance(news, WxDatacubeError):
            raise news
        return news

    @contextmanager
    def _gone_is_an_error(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError):
            raise WxDatacubeError(
                f"The process that runs Dagster ended with {self._process.wait()} before its work was done.",
                advice="What has landed stays; run the same again to go on.",
            ) from None
