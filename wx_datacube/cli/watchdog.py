"""Watchdog: runs a module as `python -m` does, in a process that ends when its parent is gone.

The parent passes the reading end of a pipe (`processes.run_module`). The kernel closes the writing end when the parent
ends, also after `kill -9`; nothing else reports that on every system. This module imports nothing of the package.
"""

import os
import runpy
import signal
import sys
import threading
import time

SECONDS_TO_END = 30
"""Seconds for an ordinary end, as after Ctrl-C; then the whole process group is killed."""


def _end_with(starter: int) -> None:
    """Wait until the parent's end of the pipe is closed; then end as on Ctrl-C, and at last kill the process group."""
    os.read(starter, 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(SECONDS_TO_END)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=[int(sys.argv[1])], daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
