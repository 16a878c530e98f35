"""The walk: three seeds of each level, and that it finds what it is there for.

`make walk` walks further, with any seed. What a walk has found has a test of its own where it belongs.
"""

import pytest

from wx_datacube_tests.walk.core import core
from wx_datacube_tests.walk.steps import draw, play
from wx_datacube_tests.walk.system import system

pytestmark = pytest.mark.long


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_life_without_dagster(seed: int) -> None:
    """Of about a month, in this process."""
    failure = play(core, seed, draw(seed, 40, "core"))
    assert failure is None, f"\n{failure}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_life_of_processes(seed: int) -> None:
    """Of a few days, with `dagster dev` and the commands."""
    failure = play(system, seed, draw(seed, 4, "system"))
    assert failure is None, f"\n{failure}"
