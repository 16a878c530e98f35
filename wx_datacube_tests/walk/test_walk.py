"""The walk: three seeds of each level. `make walk` takes any seed and walks further.

The seeds of the system level are those that covered the most. The first has a backfill in the UI over gaps; the second
the same in a user's own project, with a slow asset downstream of ours; the third a morning, and a backfill that is
interrupted in a container. Write a separate test for what a walk finds, in the file where it belongs.
"""

import pytest

from wx_datacube_tests.walk.core import core
from wx_datacube_tests.walk.steps import draw, play
from wx_datacube_tests.walk.system import system

pytestmark = pytest.mark.long


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_life_without_dagster(seed: int) -> None:
    """No invariant fails in about two weeks in this process."""
    failure = play(core, seed, draw(seed, 20, "core"))
    assert failure is None, f"\n{failure}"


@pytest.mark.parametrize(("seed", "steps"), [(241, 1), (8, 2), (30, 2)])
def test_a_life_of_processes(seed: int, steps: int) -> None:
    """No invariant fails in up to three days of `dagster dev` and commands with a moved clock."""
    failure = play(system, seed, draw(seed, steps, "system"))
    assert failure is None, f"\n{failure}"
