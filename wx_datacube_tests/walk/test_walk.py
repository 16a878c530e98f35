"""The walk: three seeds of the core level. `make walk` walks further, with any seed, and with whole systems.

What a walk has found has a test of its own where it belongs.
"""

import pytest

from wx_datacube_tests.walk.core import core
from wx_datacube_tests.walk.steps import draw, play

pytestmark = pytest.mark.long


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_life_without_dagster(seed: int) -> None:
    """Of about three weeks, in this process."""
    failure = play(core, seed, draw(seed, 40, "core"))
    assert failure is None, f"\n{failure}"
