"""Processes: child processes that end with the command that started them, however it ends.

The other half is `cli.watchdog`, which runs in the child.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path

from wx_datacube.cli.watchdog import SHUTDOWN_SECONDS


def run_module(module: str, arguments: Sequence[str], folder: Path, environ: Mapping[str, str], *flags: str) -> int:
    """Run a module with Python's `flags` to its end; return its exit code, or 130 if interrupted.

    The child gets a process group of its own, so that Ctrl-C reaches it once, through us: interrupted twice, `dagster
    dev` would leave its processes behind. If this process is killed, `cli.watchdog` ends the child. When the child has
    ended, what is left of its group is killed before this returns: a second Dagster daemon on the same folder would
    start runs a second time.
    """
    theirs, ours = Pipe(duplex=False)
    with signals_as_interrupt(), theirs, ours:
        reading = theirs.fileno()
        command = [sys.executable, *flags, "-m", "wx_datacube.cli.watchdog", str(reading), module, *arguments]
        process = subprocess.Popen(command, cwd=folder, env=environ, process_group=0, pass_fds=[reading])
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(SHUTDOWN_SECONDS)
            return 130
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Treat a closed terminal, `kill` and a service manager's stop like Ctrl-C, so that no paid call is lost.

    Signals that are ignored stay ignored: `nohup` is meant to survive the terminal.
    """
    heeded = [number for number in _TERMINATION_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signal.default_int_handler) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_TERMINATION_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
