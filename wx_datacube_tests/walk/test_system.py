"""Three seeds of the walk through a whole system. `make walk LEVEL=system` plays others.

Seed 241 launches a UI backfill over ranges with gaps, 216 interrupts a backfill in a container, 470 stops one in a
user's own project that includes ours. Each defect that a walk finds gets a test of its own where it belongs.
"""

import pytest

from wx_datacube_tests.walk.steps import draw, play
from wx_datacube_tests.walk.system import system


@pytest.mark.long
@pytest.mark.parametrize("seed", [241, 216, 470])
def test_a_system_keeps_its_invariants(seed: int) -> None:
    """A day with `dagster dev`, the commands and a clock that is moved."""
    failure = play(system, seed, draw(seed, 1, "system"))
    assert failure is None, f"\n{failure}"
