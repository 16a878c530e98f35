"""Guarded: runs a module as `python -m` does, in a process that ends when the one that started it is gone.

Whoever starts it gives it the reading end of a pipe (`processes.run_module`). The kernel closes the writing end with
its holder, also after `kill -9`: nothing else tells of that on every system. Imports nothing of ours.
"""

import os
import runpy
import signal
import sys
import threading
import time

SECONDS_TO_END = 30
"""For an ordinary end, as after Ctrl-C; then all of the group is killed."""


def _end_with(starter: int) -> None:
    """Wait for the other end of the pipe to be closed; then end as Ctrl-C does, and at last with all of the group."""
    os.read(starter, 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(SECONDS_TO_END)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=[int(sys.argv[1])], daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
