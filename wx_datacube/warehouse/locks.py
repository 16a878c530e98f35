"""Locks: advisory file locks that end with their holder, however it ends.

Nothing here knows what is locked. `flock` rather than a PID file: the kernel drops it when a process dies, so no
orphan ever holds one. The holder's PID is written into the file, for the message of whoever waits in vain.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL = 0.02


@contextmanager
def locked(
    path: Path, *, patience: float | None = None, waiting: Callable[[str], None] = lambda holder: None
) -> Iterator[None]:
    """Hold the lock `path`; wait `patience` seconds for it at most (None: as long as it takes).

    `waiting` is called once, with the holder's PID, when the lock isn't free at once. Raises `TimeoutError`, whose
    text is that PID, and `OSError` when the file can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _acquire(file.fileno(), path, patience, waiting)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _acquire(descriptor: int, path: Path, patience: float | None, waiting: Callable[[str], None]) -> None:
    deadline = None if patience is None else time.monotonic() + patience
    told = False
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = path.read_text() or "unknown"
        if not told:
            waiting(holder)
            told = True
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError(holder)
        time.sleep(_POLL)
