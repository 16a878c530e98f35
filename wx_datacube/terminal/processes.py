"""Processes: those that a command starts end with it, however it is ended."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


def run_process(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> int:
    """Run a process to its end; 130 when interrupted, after it and what it started have ended too.

    It gets a process group of its own, so that Ctrl-C reaches it once, through us: told twice, `dagster dev` would
    leave its processes behind.
    """
    with endings_are_ctrl_c():
        process = subprocess.Popen(command, cwd=folder, env=environ, process_group=0)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(_SECONDS_TO_END)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return 130


@contextmanager
def endings_are_ctrl_c() -> Iterator[None]:
    """Let a closed terminal, `kill` and a service manager end what runs as Ctrl-C does: nothing that was paid is lost.

    What is ignored stays so: `nohup` is to survive the terminal.
    """
    heeded = [number for number in _ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signal.default_int_handler) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS_TO_END = 30
