"""Processes for tests that need another one: a few lines of Python that say when they are ready.

Add here what starts and stops processes. Nothing here knows what they do.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).parent.parent


@contextmanager
def interruptible() -> Iterator[None]:
    """Let this process, and those started meanwhile, heed SIGINT, also where it is ignored (`make test &`).

    Only the main thread can do that; what others start, nobody interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


NO_TERMINAL = "__file__ = 'test'\n"
"""Before code for `python -c`: DuckDB takes what has no file for somebody at a terminal, and prints its progress."""


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has printed its first line, `ready`; it is killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{NO_TERMINAL}{code}", *map(str, arguments)],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


HOLD = """
import sys, duckdb
con = duckdb.connect(sys.argv[1])
if len(sys.argv) > 2:
    con.execute(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
"""
"""Opens a DuckDB file read-write, runs a statement if there is one, and holds the file until it is killed or told."""
