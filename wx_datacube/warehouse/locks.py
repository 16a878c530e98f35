"""Locks: advisory file locks that end with the process that holds them, however it ends.

They use `flock` rather than PID files: the kernel releases the lock when a process dies, so no lock is orphaned. The
holder's PID is in the file for the error message when another process times out. Every wait has a timeout. A file that
isn't a lock file is never changed: links are not followed, and other content is left alone. Add another kind of lock
here. Nothing here knows what is locked.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from wx_datacube.errors import INTERRUPTED, NeedsPerson, TryAgain
from wx_datacube.language import Text, joined
from wx_datacube.warehouse.errors import lock_timeout, unwritable

_POLL = 0.02
_POLL_SEMAPHORE = 0.005
_MAX_STEP = 1.0
"""At most this many seconds between two attempts count as waiting; the process was suspended for the rest."""
_HEARTBEAT = 1.0
"""Seconds between two heartbeats."""
SET_UP = 60.0
"""Seconds to wait for another process that sets something up, which takes a few seconds."""
_LONGEST_PID = 10
_UNKNOWN = "unknown"


@contextmanager
def locked(
    path: Path,
    *,
    timeout: float = 60.0,
    on_wait: Callable[[str], None] = lambda holder: None,
    heartbeat: bool = False,
) -> Iterator[None]:
    """Hold the lock `path`; wait for it for at most `timeout` seconds.

    With `heartbeat`, the holder touches the lock file every second as a heartbeat, and `timeout` counts from the last
    heartbeat. `on_wait` is called once, with the holder's PID, if the lock isn't free at once. Raises `TimeoutError`,
    whose text is that PID, and `OSError` if the file can't be created or is a link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(path)
    try:
        _acquire(descriptor, timeout, on_wait, heartbeat)
        _write_pid(descriptor)
        if heartbeat:
            with _heartbeat(descriptor):
                yield
        else:
            yield
    finally:
        _close(descriptor)


@contextmanager
def locked_for_set_up(path: Path) -> Iterator[None]:
    """Hold a lock while something is set up; raises `WarehouseError` if another process holds it for too long."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path, timeout=SET_UP))
        except TimeoutError as error:
            raise lock_timeout(path, error, SET_UP) from None
        yield


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock `path`; creates no file and makes no process wait."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class Timeout:
    """A timeout that doesn't run while this process is suspended (Ctrl-Z), since the holder may be suspended too."""

    def __init__(self, timeout: float) -> None:
        self._left = timeout
        self._looked = time.monotonic()

    def is_over(self) -> bool:
        """Return whether the timeout is over; call this at each attempt."""
        looked, self._looked = self._looked, time.monotonic()
        self._left -= min(self._looked - looked, _MAX_STEP)
        return self._left < 0


class ProcessSemaphore:
    """A semaphore shared by threads and processes; each of its `places` is a lock file.

    Threads that share the semaphore wait for each other without polling and without a timeout. Places that other
    processes hold are polled for, for `timeout` seconds.
    """

    def __init__(self, folder: Path, name: str, places: int, timeout: float = 300.0) -> None:
        self._files = [folder / f"{name}.{number}" for number in range(places)]
        self._here = threading.BoundedSemaphore(places)
        self._timeout = timeout

    @contextmanager
    def acquire(self, stop_event: threading.Event | None = None) -> Iterator[None]:
        """Hold one of the places.

        Raises `TryAgain` if none becomes free in time, or once `stop_event` is set, and `NeedsPerson` if the lock files
        can't be used.
        """
        with self._here:
            descriptor = self._take(stop_event or threading.Event())
            try:
                yield
            finally:
                _close(descriptor)

    def _take(self, stop_event: threading.Event) -> int:
        wait = Timeout(self._timeout)
        while True:
            holders = []
            for file in self._files:
                descriptor = self._open(file)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holders.append(_holder(descriptor))
                    _close(descriptor)
                else:
                    _write_pid(descriptor)
                    return descriptor
            if stop_event.wait(_POLL_SEMAPHORE):
                raise TryAgain(INTERRUPTED)
            if wait.is_over():
                raise _semaphore_timeout(holders, self._timeout)

    def _open(self, file: Path) -> int:
        try:
            try:
                return _open(file)
            except FileNotFoundError:
                file.parent.mkdir(parents=True, exist_ok=True)
                return _open(file)
        except OSError as error:
            fault = unwritable(file.parent, error)
            raise NeedsPerson(fault.message, advice=fault.advice) from None


def _semaphore_timeout(holders: list[str], seconds: float) -> TryAgain:
    return TryAgain(
        Text(
            "No call could start for {seconds:.0f} s: processes {processes} hold all WX_DATACUBE_CONCURRENCY slots.",
            "已 {seconds:.0f} 秒无法发出调用：进程 {processes} 占满了 WX_DATACUBE_CONCURRENCY。",
            seconds=seconds,
            processes=joined(sorted(set(holders)), ", ", "、"),
        ),
        advice=Text(
            "If a process was suspended, resume it (kill -CONT PID) or kill it (kill -9 PID). {then}",
            "如果有进程被挂起，请恢复（kill -CONT PID）或终止（kill -9 PID）。{then}",
            then=TryAgain.advice,
        ),
    )


_held: set[int] = set()
"""Lock descriptors of this process. A forked child inherits them and would keep the locks after this process dies."""


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP or path.is_symlink():  # FreeBSD has another errno for a link
            raise OSError(errno.ELOOP, "It is a symbolic link", str(path)) from None
        raise
    _held.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    """Release the lock and close its file; does nothing in a child that was forked while the lock was held."""
    if descriptor in _held:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # close isn't enough if a child still has the file open
        _held.discard(descriptor)
        os.close(descriptor)


def _acquire(descriptor: int, timeout: float, on_wait: Callable[[str], None], heartbeat: bool) -> None:
    wait, notified, beat = Timeout(timeout), False, 0
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = _holder(descriptor)
        if not notified:
            on_wait(holder)
            notified = True
        if heartbeat and (latest := os.fstat(descriptor).st_mtime_ns) != beat:
            wait, beat = Timeout(timeout), latest
        if wait.is_over():
            raise TimeoutError(holder)
        time.sleep(_POLL)


@contextmanager
def _heartbeat(descriptor: int) -> Iterator[None]:
    """Touch a lock file every second, from a thread: it stops with the process, and long work doesn't delay it."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(_HEARTBEAT):
            with suppress(OSError):
                os.utime(descriptor)

    thread = threading.Thread(target=beat, name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _holder(descriptor: int) -> str:
    return _pid_in(descriptor) or _UNKNOWN


def _pid_in(descriptor: int) -> str | None:
    """Return the PID in a lock file, an empty string for a new file, or None if the file holds anything else."""
    text = os.pread(descriptor, _LONGEST_PID + 1, 0).decode("ascii", "replace")
    return text if not text or (text.isdecimal() and len(text) <= _LONGEST_PID) else None


def _write_pid(descriptor: int) -> None:
    """Write this process's PID into a lock file, unless the file holds something other than a PID.

    The truncation only has an effect if the file held a longer PID.
    """
    before, pid = _pid_in(descriptor), str(os.getpid())
    if before is not None and before != pid:
        os.pwrite(descriptor, pid.encode(), 0)
        os.ftruncate(descriptor, len(pid))
