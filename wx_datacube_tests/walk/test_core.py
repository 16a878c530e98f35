"""Two seeds of the walk without Dagster. `make walk` plays others.

Seed 2 has all families and switches some, 4 only messages.

Each defect that a walk finds gets a test of its own where it belongs.
"""

import pytest

from wx_datacube_tests.walk.core import core
from wx_datacube_tests.walk.steps import draw, play


@pytest.mark.long
@pytest.mark.parametrize(("seed", "steps"), [(2, 10), (4, 20)])
def test_the_core_keeps_its_invariants(seed: int, steps: int) -> None:
    """One or two weeks, in this process; all families take ten times as long as messages."""
    failure = play(core, seed, draw(seed, steps, "core"))
    assert failure is None, f"\n{failure}"
