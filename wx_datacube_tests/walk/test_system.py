"""A seed of the walk through a whole system. `make walk LEVEL=system` plays others.

Seed 2495 interrupts a backfill in a container. It has messages only and takes three minutes on an idle machine; a walk
with all families takes five. Each defect that a walk finds gets a test of its own where it belongs.
"""

import signal
import subprocess
import sys

import pytest

SEEDS = (2495,)
BOUND = 900
"""Timeout in seconds of a walk on a busy machine."""


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_systems_keep_their_invariants(seed: int) -> None:
    """A day with `dagster dev`, the commands and a clock that is moved."""
    command = [sys.executable, "-m", "wx_datacube_tests.walk", "--level", "system", "--steps", "1", "--shorten", "0"]
    with subprocess.Popen([*command, "--seed", str(seed)], stdout=subprocess.PIPE, text=True) as walk:
        try:
            printed = walk.communicate(timeout=BOUND)[0]
        finally:
            walk.send_signal(signal.SIGINT)  # as Ctrl-C: a walk stops what it started
    assert walk.returncode == 0, printed
