"""Three seeds of the walk through a whole system. `make walk LEVEL=system` plays others.

The seeds cover what found most: a UI backfill over ranges with gaps; the same in somebody else's project, with a slow
asset downstream; a morning, and a backfill that is interrupted in a container. Each defect that a walk finds gets a
test of its own where it belongs.
"""

import pytest

from wx_datacube_tests.walk.steps import draw, play
from wx_datacube_tests.walk.system import system


@pytest.mark.long
@pytest.mark.parametrize("seed", [241, 216, 470])
def test_a_system_keeps_its_invariants(seed: int) -> None:
    """A day with `dagster dev`, the commands and a clock that is moved; 470 is a user's own project that includes ours."""
    failure = play(system, seed, draw(seed, 1, "system"))
    assert failure is None, f"\n{failure}"
