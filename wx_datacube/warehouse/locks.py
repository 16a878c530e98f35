"""Locks: advisory file locks that end with their holder, however it ends.

Nothing here knows what is locked. `flock` rather than a PID file: the kernel drops it when a process dies, so no
orphan ever holds one. The holder's PID is written into the file, for the message of whoever waits in vain.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL = 0.02
_POLL_GATE = 0.005
_LONGEST_STEP = 1.0
"""Seconds between two tries that are more than this were not spent waiting."""


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


class Wait:
    """How long one has waited: not while one was stopped (Ctrl-Z), as the holder may have been, too."""

    def __init__(self, patience: float | None) -> None:
        self._left = float("inf") if patience is None else patience
        self._looked = time.monotonic()

    def is_over(self) -> bool:
        """Whether patience is at its end; to be asked at each try."""
        looked, self._looked = self._looked, time.monotonic()
        self._left -= min(self._looked - looked, _LONGEST_STEP)
        return self._left < 0


class Gate:
    """A door that lets `places` in at once, of whatever thread or process: each place is a lock file.

    Threads that share the gate wait for each other without a sound; only other processes have to be polled for.
    """

    def __init__(self, folder: Path, name: str, places: int) -> None:
        self._folder = folder
        self._files = [os.fspath(folder / f"{name}.{number}") for number in range(places)]
        self._here = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places; wait for one to become free."""
        with self._here:
            descriptor = self._take()
            try:
                yield
            finally:
                os.close(descriptor)  # and with it the lock

    def _take(self) -> int:
        while True:
            for file in self._files:
                descriptor = self._open(file)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                else:
                    return descriptor
            time.sleep(_POLL_GATE)

    def _open(self, file: str) -> int:
        try:
            return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _acquire(descriptor: int, path: Path, patience: float | None, waiting: Callable[[str], None]) -> None:
    wait, told = Wait(patience), False
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = path.read_text() or "unknown"
        if not told:
            waiting(holder)
            told = True
        if wait.is_over():
            raise TimeoutError(holder)
        time.sleep(_POLL)
