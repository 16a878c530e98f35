"""Steps: a walk as data. A walk is drawn from a seed, played on a level, and shortened if it fails.

A step is an action's name and its drawn arguments, so a walk can be printed, replayed and cut: any subset of its steps
is a valid walk. The actions are in `actions`, the invariants in `invariants`.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from wx_datacube_tests.walk.actions import ACTIONS, Action
from wx_datacube_tests.walk.invariants import Moment, broken
from wx_datacube_tests.walk.life import Life
from wx_datacube_tests.walk.system_actions import SYSTEM_ACTIONS

Level = Callable[[int], AbstractContextManager[Life]]
"""Begins the life of a seed; at the end it stops everything that it started."""


@dataclass(frozen=True)
class Step:
    """An action with its drawn arguments."""

    action: Action
    drawn: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.action.name} {json.dumps(self.drawn)}" if self.drawn else self.action.name


@dataclass(frozen=True)
class Failure:
    """The invariants that failed, and the steps up to the failure."""

    seed: int
    steps: Sequence[Step]
    problems: Sequence[str]

    def __str__(self) -> str:
        numbered = [f"{number:4} {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([*numbered, *(f"  -> {problem}" for problem in self.problems)])


def draw(seed: int, count: int, level: str) -> list[Step]:
    """Return the first steps of a seed's walk; the last step is a quiet day on which all invariants are checked."""
    chance = random.Random(f"{seed} {level}")
    possible = [*ACTIONS, *(SYSTEM_ACTIONS if level == "system" else ())]
    chosen = chance.choices(possible, [action.weight for action in possible], k=count)
    steps = [Step(action, action.draw(chance)) for action in chosen]
    return [*steps, Step(next(each for each in ACTIONS if each.name == "a quiet day"), {})]


def play(
    level: Level, seed: int, steps: Sequence[Step], notify: Callable[[str], None] = lambda line: None
) -> Failure | None:
    """Play steps from the beginning of a life; return the first failure, or None."""
    with level(seed) as life:
        for number, step in enumerate(steps, 1):
            notify(f"{number:4} {life.now:%Y-%m-%d %H:%M} {step}")
            problems = [*(step.action.do(life, **step.drawn) or ()), *broken(life, Moment.ACTION)]
            if number == len(steps) and not problems:
                problems = broken(life, Moment.END)
            if problems:
                life.failed = True
                return Failure(seed, steps[:number], problems)
    return None


def shorten(level: Level, failure: Failure, deadline: float, notify: Callable[[str], None]) -> Failure:
    """Return the same failure with as few steps as can be found until `deadline` (of `time.monotonic`).

    It leaves out halves of the steps first, then quarters, down to single steps.
    """
    wanted = _kind(failure)
    size = max(len(failure.steps) // 2, 1)
    while time.monotonic() < deadline:
        place, shorter = 0, False
        while place < len(failure.steps) and time.monotonic() < deadline:
            kept = [*failure.steps[:place], *failure.steps[place + size :]]
            found = play(level, failure.seed, kept) if kept else None
            if found is not None and _kind(found) == wanted:
                failure, shorter = found, True
                notify(f"{len(failure.steps)} steps are enough")
            else:
                place += size
        if size == 1 and not shorter:
            break
        size = max(size // 2, 1)
    return failure


def _kind(failure: Failure) -> str:
    return failure.problems[0].partition(":")[0]
