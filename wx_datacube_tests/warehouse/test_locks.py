"""Locks: they end with their holder, a waiter learns the holder's PID, and a semaphore admits a fixed number.

Add a test here when a rule of `warehouse.locks` changes. Hung holders are simulated by processes that are stopped
with SIGSTOP. What the locks protect is tested in `test_files.py` and `test_foreign.py`.
"""

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from wx_datacube.errors import TryAgain, WarehouseError
from wx_datacube.orchestration.event_log import BatchedSqliteEventLogStorage
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.warehouse import locks
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.locks import ProcessSemaphore, locked
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
    """A lock excludes other threads too; the wait ends at the timeout, with the holder's PID as the error's text."""
    path = tmp_path / "locks" / "write"
    told: list[str] = []
    with locked(path):
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=f"^{os.getpid()}$"), locked(path, timeout=0.2, on_wait=told.append):
            pass
        assert 0.2 <= time.monotonic() - began < 2
    assert told == [str(os.getpid())]


def test_a_free_lock_is_taken_at_once(tmp_path: Path) -> None:
    """A free lock is acquired repeatedly with a timeout of 0, and `on_wait` is not called."""
    told: list[str] = []
    for _ in range(3):
        with locked(tmp_path / "write", timeout=0, on_wait=told.append):
            pass
    assert told == []


def test_a_lock_is_released_on_errors(tmp_path: Path) -> None:
    """A lock is released when its block raises."""
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "write"):
        raise ZeroDivisionError
    with locked(tmp_path / "write", timeout=0):
        pass


def test_a_killed_holder_releases_its_lock(tmp_path: Path) -> None:
    """The kernel releases a killed holder's lock; while the holder lived, the timeout error named its PID."""
    path = tmp_path / "write"
    with running(HOLDER, path) as process:
        with pytest.raises(TimeoutError, match=f"^{process.pid}$"), locked(path, timeout=0.1):
            pass
        process.kill()
        process.wait()
        with locked(path, timeout=1):
            assert path.read_text() == str(os.getpid())


def test_a_waiter_acquires_a_released_lock(tmp_path: Path) -> None:
    """A waiter acquires the lock as soon as the holder is gone."""
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
with locked(Path(sys.argv[1]), timeout=3):
    print("got it", flush=True)
"""


def test_time_spent_stopped_does_not_count_towards_the_timeout(tmp_path: Path) -> None:
    """Time during which the waiter itself is stopped (Ctrl-Z) doesn't count towards its timeout.

    Ctrl-Z stops a backfill together with its Dagster process, which may hold the lock. Neither may time out.
    """
    path = tmp_path / "write"
    with ExitStack() as stack:
        with locked(path):
            process = stack.enter_context(running(WAITER, path))
            time.sleep(0.3)
            process.send_signal(signal.SIGSTOP)
            time.sleep(3.2)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.2)
        assert process.stdout is not None
        assert process.stdout.readline() == "got it\n"


def test_a_lock_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A lock file that can't be created raises `OSError`, which the caller translates."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / "write"):
        pass


def test_a_semaphore_admits_as_many_holders_as_it_has_places(tmp_path: Path) -> None:
    """At most three of twelve threads hold the semaphore at once, and all twelve get it."""
    semaphore = ProcessSemaphore(tmp_path / "locks", "shop.call", 3)
    inside, most, lock = [0], [0], threading.Lock()

    def pass_through() -> None:
        with semaphore.acquire():
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
from wx_datacube.warehouse.locks import ProcessSemaphore
with ProcessSemaphore(Path(sys.argv[1]), "shop.call", 1).acquire():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_semaphore_is_shared_by_processes(tmp_path: Path) -> None:
    """A place stays taken until the other process leaves or dies; semaphores of other names stay free."""
    with running(IN_GATE, tmp_path) as process:
        passed = threading.Event()

        def pass_through() -> None:
            with ProcessSemaphore(tmp_path, "shop.call", 1).acquire():
                passed.set()

        thread = threading.Thread(target=pass_through)
        thread.start()
        with ProcessSemaphore(tmp_path, "news.call", 1).acquire():
            assert not passed.wait(0.2)
        process.kill()
        assert passed.wait(5)
        thread.join()


# --- hung holders -----------------------------------------------------------------------------------------------

FETCH = """
import sys
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
with Warehouse(Path(sys.argv[1])).fetching("shop", "getupstreammsg", print):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_the_wait_for_a_live_process_exceeds_the_timeout(tmp_path: Path) -> None:
    """A waiter waits past the timeout for a process that gives heartbeats, since a fetch may take hours."""
    warehouse = Warehouse(tmp_path / "figures.duckdb", timeout=0.6)  # 1.2 seconds of silence
    with running(FETCH, warehouse.database) as process:
        timer = threading.Timer(4, process.kill)
        timer.start()
        began = time.monotonic()
        with warehouse.fetching("shop", "getupstreammsg", lambda holder: None):
            assert time.monotonic() - began > 3
        timer.join()


def test_the_wait_for_a_suspended_process_times_out(tmp_path: Path) -> None:
    """A suspended process gives no heartbeat, so the wait ends with an error that names it and the remedy."""
    warehouse = Warehouse(tmp_path / "figures.duckdb", timeout=0.6)
    told: list[str] = []
    with running(FETCH, warehouse.database) as process:
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        said = (
            f"Process {process.pid} is fetching getupstreammsg for shop and has given no heartbeat for 1 s. If it"
            rf" was suspended, resume it \(kill -CONT {process.pid}\) or kill it \(kill -9 {process.pid}\)"
        )
        with (
            pytest.raises(WarehouseError, match=said),
            warehouse.fetching("shop", "getupstreammsg", told.append),
        ):
            pass
        assert time.monotonic() - began < 10
        assert told == [str(process.pid)]


def test_the_wait_for_a_semaphore_of_a_suspended_process_times_out(tmp_path: Path) -> None:
    """If a suspended process holds every place, the wait times out with `TryAgain`, which names the process."""
    with running(IN_GATE, tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        semaphore = ProcessSemaphore(tmp_path, "shop.call", 1, timeout=0.5)
        began = time.monotonic()
        with pytest.raises(TryAgain, match=rf"processes {process.pid} hold all .*kill -CONT"), semaphore.acquire():
            pass
        assert 0.5 <= time.monotonic() - began < 5
        process.kill()
        process.wait()
        with semaphore.acquire():
            pass


def test_an_interruption_ends_the_wait_for_a_semaphore(tmp_path: Path) -> None:
    """An interruption (Ctrl-C) ends the wait for the semaphore with `TryAgain`."""
    stop_event = threading.Event()
    with running(IN_GATE, tmp_path):
        threading.Timer(0.2, stop_event.set).start()
        began = time.monotonic()
        with (
            pytest.raises(TryAgain, match="interrupted"),
            ProcessSemaphore(tmp_path, "shop.call", 1).acquire(stop_event),
        ):
            pass
        assert time.monotonic() - began < 5


def test_a_process_that_hangs_while_it_sets_dagster_up_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process hangs during set-up, opening the folder times out and names the process and the lock file.

    The timeout is a minute, shortened here.
    """
    monkeypatch.setattr(locks, "SET_UP", 0.3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").write_text("")
    for lock, opening in (
        (tmp_path / ".dagster" / "opening.lock", lambda: project_instance(tmp_path).__enter__()),
        (tmp_path / "history" / "set-up.lock", lambda: BatchedSqliteEventLogStorage(str(tmp_path / "history"))),
    ):
        lock.parent.mkdir()
        with running(HOLDER, lock) as process:
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(WarehouseError) as caught:
                opening()
        assert str(caught.value).startswith(f"Process {process.pid} has held {lock} for over 0 s. ")


FORKING = """
import os, sys, time
from pathlib import Path
from wx_datacube.warehouse.locks import ProcessSemaphore, locked
with locked(Path(sys.argv[1]) / "write"), ProcessSemaphore(Path(sys.argv[1]), "shop.call", 1).acquire():
    child = os.fork()
    if not child:
        time.sleep(5)
        os._exit(0)
    print("ready", flush=True)
    sys.stdin.readline()
print(child, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["released", "killed"])
def test_a_forked_child_keeps_no_lock(tmp_path: Path, end: str) -> None:
    """A forked child inherits its parent's open files but doesn't keep their locks."""
    with running(FORKING, tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if end == "killed":
            process.kill()
            process.wait()
        else:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline()
        with locked(tmp_path / "write", timeout=1), ProcessSemaphore(tmp_path, "shop.call", 1, timeout=1).acquire():
            pass


def test_a_new_pid_replaces_a_longer_one(tmp_path: Path) -> None:
    """A new holder's PID replaces the whole text of the lock file, even a longer one."""
    path = tmp_path / "write"
    path.write_text("1234567890")
    with locked(path, timeout=0):
        assert path.read_text() == str(os.getpid())
