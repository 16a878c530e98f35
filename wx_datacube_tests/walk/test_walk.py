"""The walk: three seeds of each level. `make walk` walks further, with any seed.

The seeds of the whole system are those that met most: a backfill in the UI over gaps; the same in somebody's own
project, with a slow asset below ours; a morning, and a backfill that is interrupted in a container. What a walk finds
gets a test of its own where it belongs.
"""

import pytest

from wx_datacube_tests.walk.core import core
from wx_datacube_tests.walk.steps import draw, play
from wx_datacube_tests.walk.system import system

pytestmark = pytest.mark.long


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_life_without_dagster(seed: int) -> None:
    """Two weeks, in this process."""
    failure = play(core, seed, draw(seed, 20, "core"))
    assert failure is None, f"\n{failure}"


@pytest.mark.parametrize(("seed", "steps"), [(241, 1), (8, 2), (30, 2)])
def test_a_life_of_processes(seed: int, steps: int) -> None:
    """Up to three days, with `dagster dev`, the commands and a moved clock."""
    failure = play(system, seed, draw(seed, steps, "system"))
    assert failure is None, f"\n{failure}"
