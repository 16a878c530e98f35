"""Three seeds of the walk through a whole system, side by side. `make walk LEVEL=system` plays others.

Seed 226 launches a UI backfill of all fifteen endpoints over ranges with gaps, 504 interrupts a backfill in a
container, 1070 kills one in a user's own project that includes ours. Each defect that a walk finds gets a test of its
own where it belongs.
"""

import signal
import subprocess
import sys

import pytest

SEEDS = (226, 504, 1070)
PATIENCE = 900
"""Seconds until the walks must have ended; they take about three minutes, most of it waiting."""


@pytest.mark.long
def test_systems_keep_their_invariants() -> None:
    """A day with `dagster dev`, the commands and a clock that is moved."""
    command = [sys.executable, "-m", "wx_datacube_tests.walk", "--level", "system", "--steps", "1", "--shorten", "0"]
    walks = [subprocess.Popen([*command, "--seed", str(seed)], stdout=subprocess.PIPE, text=True) for seed in SEEDS]
    try:
        printed = [walk.communicate(timeout=PATIENCE)[0] for walk in walks]
    finally:
        for walk in walks:
            walk.send_signal(signal.SIGINT)  # as Ctrl-C: a walk stops what it started
            walk.wait(60)
    assert [walk.returncode for walk in walks] == [0] * len(SEEDS), "\n".join(printed)
