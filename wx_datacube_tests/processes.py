"""Processes for tests that need another one: a few lines of Python that report when they are ready.

Add here what starts and stops processes. Nothing here depends on what they do.
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
    """Make this process and its new children react to SIGINT, even where it is ignored (`make test &`).

    Only the main thread can do that; processes started from other threads can't be interrupted.
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
"""A prefix for `python -c` code: without `__file__`, DuckDB assumes an interactive session and prints its progress."""


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a Python process that has printed its first line, `ready`; kill it at the end if it still runs."""
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
"""Opens a DuckDB file read-write, runs a statement if given, and holds the file until it is killed or gets a line."""
