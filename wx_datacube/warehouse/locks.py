"""Locks: advisory file locks that end with their holder, however it ends.

Nothing here knows what is locked. `flock` rather than a PID file: the kernel drops it when a process dies, so no
orphan ever holds one. The holder's PID is written into the file, for the message of whoever waits in vain.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_POLL = 0.02
_POLL_GATE = 0.005


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


@dataclass(frozen=True, slots=True)
class Gate:
    """A door that lets `places` in at once, of whatever thread or process: each place is a lock file."""

    folder: Path
    name: str
    places: int

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places; wait for one to become free."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            for number in range(self.places):
                with self.folder.joinpath(f"{self.name}.{number}").open("w") as file:
                    try:
                        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    yield
                    return
            time.sleep(_POLL_GATE)


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
