"""Callbacks: the rows of the two interface endpoints. WeChat passes every message of a day to the account's server.

Add a behaviour of the made-up server here. Messages and their hours come from `people`. Like WeChat, the emulator
waits five seconds for a reply; a message whose reply takes longer has failed.
"""

from collections.abc import Iterator
from itertools import compress

from wx_datacube.emulator.people import DayMessages

SLOWEST = 5044
"""Milliseconds: the longest time in published answers."""

_FAILED_BELOW = 2
"""Random bytes below this are failures: two in 256."""


def _milliseconds(luck: int, pace: int) -> int:
    """Return how long a reply takes, given two random bytes; most replies take less than half a second."""
    if luck < _FAILED_BELOW:
        return 5000 + pace % (SLOWEST - 4999)
    return 40 + pace + (luck > 240) * pace * 9


def by_day(day: DayMessages, noise: bytes) -> Iterator[dict[str, int]]:
    """Yield the row of a day, or none for a day without messages; `noise` has two random bytes per message."""
    if len(day):
        yield _figures(noise[::2], noise[1::2])


def by_hour(day: DayMessages, noise: bytes) -> Iterator[dict[str, int]]:
    """Yield the row of each hour that has messages; `noise` has two random bytes per message."""
    lucks, paces = noise[::2], noise[1::2]
    for hour in sorted(set(day.hours)):
        mine = list(map(hour.__eq__, day.hours))
        yield {"ref_hour": 100 * hour, **_figures(bytes(compress(lucks, mine)), bytes(compress(paces, mine)))}


def _figures(lucks: bytes, paces: bytes) -> dict[str, int]:
    times = list(map(_milliseconds, lucks, paces))
    return {
        "callback_count": len(times),
        "fail_count": sum(luck < _FAILED_BELOW for luck in lucks),
        "total_time_cost": sum(times),
        "max_time_cost": max(times),
    }
