"""Interrupts: a Ctrl-C that is not lost, whoever is at work in the main thread when it comes.

Dagster takes it for one more way in which a run fails, and DuckDB can drop it while it looks for optional modules: the
command would go on. Nothing else belongs here. See https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def heeded_interrupts() -> Iterator[Callable[[], None]]:
    """Gives a function to call between steps: it raises KeyboardInterrupt once a Ctrl-C has come.

    Python notes the signal in a pipe before any handler runs, ours or Dagster's. Signals come to the main thread; in
    any other the function does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    ends = read, write = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def heed() -> None:
        with suppress(BlockingIOError):
            if signal.SIGINT in os.read(read, 4096):
                raise KeyboardInterrupt

    try:
        yield heed
    finally:
        signal.set_wakeup_fd(before)
        for end in ends:
            os.close(end)
