"""The walk, from the command line: `make walk SEED=7 STEPS=300`.

    python -m wx_datacube_tests.walk --level core --seed 7 --steps 300

If a walk fails, it is printed, then shortened to as few steps as can be found in the time given by `--shorten`.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from wx_datacube_tests.walk.core import core
from wx_datacube_tests.walk.defects import DEFECTS, put_back
from wx_datacube_tests.walk.steps import draw, play, shorten
from wx_datacube_tests.walk.system import system

LEVELS = {"core": core, "system": system}


def main() -> int:
    """Walk; return 1 if an invariant failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--level", choices=LEVELS, default="core")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds to walk, one after the other")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--shorten", type=float, default=120, help="seconds to look for a shorter walk")
    parser.add_argument("--defect", choices=DEFECTS, help="put a former defect back")
    parser.add_argument("--quiet", action="store_true", help="print failures only")
    asked = parser.parse_args()
    level, failed = LEVELS[asked.level], 0
    if asked.defect:
        os.environ |= put_back(asked.defect, Path(mkdtemp(prefix="defect-")))
    for seed in range(asked.seed, asked.seed + asked.seeds):
        began = time.monotonic()
        failure = play(level, seed, draw(seed, asked.steps, asked.level), _nothing if asked.quiet else _line)
        outcome = "FAILED" if failure else "ok"
        _line(f"{asked.level}, seed {seed}, {asked.steps} steps: {outcome}, {time.monotonic() - began:.0f} s")
        if failure:
            failed += 1
            _line(str(failure))
            _line(str(shorten(level, failure, time.monotonic() + asked.shorten, _line)))
    return 1 if failed else 0


def _line(text: str) -> None:
    print(text, flush=True)


def _nothing(text: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
