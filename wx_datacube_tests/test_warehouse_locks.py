"""Locks: they end with their holder, name it to whoever waits, and gates let in as many as they have places."""

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from wx_datacube.warehouse.locks import Gate, locked
from wx_datacube_tests.processes import running

HOLDER = """
import sys
from pathlib import Path
from wx_datacube.warehouse.locks import locked
with locked(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_lock_excludes_others(tmp_path: Path) -> None:
    """Other threads of the process too; patience is bounded, and the error is the holder's PID."""
    path = tmp_path / "locks" / "write"
    told: list[str] = []
    with locked(path):
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=f"^{os.getpid()}$"), locked(path, patience=0.2, waiting=told.append):
            pass
        assert 0.2 <= time.monotonic() - began < 2
    assert told == [str(os.getpid())]


def test_a_free_lock_is_taken_at_once(tmp_path: Path) -> None:
    """Again and again, also with no patience at all; nobody is told of waiting."""
    told: list[str] = []
    for _ in range(3):
        with locked(tmp_path / "write", patience=0, waiting=told.append):
            pass
    assert told == []


def test_a_lock_is_released_on_errors(tmp_path: Path) -> None:
    """However its block ends."""
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "write"):
        raise ZeroDivisionError
    with locked(tmp_path / "write", patience=0):
        pass


def test_a_killed_holder_releases_its_lock(tmp_path: Path) -> None:
    """The kernel does it: no orphan ever holds a lock. While it lived, its PID was told."""
    path = tmp_path / "write"
    with running(HOLDER, path) as process:
        with pytest.raises(TimeoutError, match=f"^{process.pid}$"), locked(path, patience=0.1):
            pass
        process.kill()
        process.wait()
        with locked(path, patience=1):
            assert path.read_text() == str(os.getpid())


def test_whoever_waits_comes_next(tmp_path: Path) -> None:
    """Without a bound it takes as long as it takes."""
    path = tmp_path / "write"
    with running(HOLDER, path) as process:
        threading.Timer(0.3, process.kill).start()
        with locked(path):
            assert process.wait() != 0


WAITER = """
import sys
from pathlib import Path
from wx_datacube.warehouse.locks import locked
print("ready", flush=True)
with locked(Path(sys.argv[1]), patience=1.5):
    print("got it", flush=True)
"""


def test_while_one_is_stopped_one_does_not_wait(tmp_path: Path) -> None:
    """Ctrl-Z stops a backfill and its Dagster process, which may hold the lock: neither gives up on the other."""
    path = tmp_path / "write"
    with ExitStack() as stack:
        with locked(path):
            process = stack.enter_context(running(WAITER, path))
            time.sleep(0.3)
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.7)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.2)
        assert process.stdout is not None
        assert process.stdout.readline() == "got it\n"


def test_a_lock_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """Of the system, for the caller to translate."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / "write"):
        pass


def test_a_gate_lets_in_as_many_as_it_has_places(tmp_path: Path) -> None:
    """Threads that come later wait until one leaves; all get in."""
    gate = Gate(tmp_path / "locks", "shop.call", 3)
    inside, most, lock = [0], [0], threading.Lock()

    def pass_through() -> None:
        with gate.place():
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=pass_through) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (most, inside) == ([3], [0])


IN_GATE = """
import sys
from pathlib import Path
from wx_datacube.warehouse.locks import Gate
with Gate(Path(sys.argv[1]), "shop.call", 1).place():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_gate_holds_over_processes(tmp_path: Path) -> None:
    """A place that another process has is taken until that process leaves or dies; other gates stay open."""
    with running(IN_GATE, tmp_path) as process:
        passed = threading.Event()

        def pass_through() -> None:
            with Gate(tmp_path, "shop.call", 1).place():
                passed.set()

        thread = threading.Thread(target=pass_through)
        thread.start()
        with Gate(tmp_path, "news.call", 1).place():
            assert not passed.wait(0.2)
        process.kill()
        assert passed.wait(5)
        thread.join()
