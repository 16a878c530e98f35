"""Three seeds of the walk without Dagster. `make walk` plays others.

Seed 2 has all families and switches some, 4 only messages, 7 two accounts with different families.

Each defect that a walk finds gets a test of its own where it belongs.
"""

import pytest

from wx_datacube_tests.walk.core import core
from wx_datacube_tests.walk.steps import draw, play


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 4])
def test_the_core_keeps_its_invariants(seed: int) -> None:
    """About two weeks, in this process."""
    failure = play(core, seed, draw(seed, 20, "core"))
    assert failure is None, f"\n{failure}"
