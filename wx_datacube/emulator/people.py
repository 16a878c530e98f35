"""People: who follows the made-up account on a day, and every message that they send on it.

Add a habit here. Any day is computed alone, from the seed and its date: nothing is carried over from the day before,
and nothing here knows an endpoint or a period. Only integers and SHAKE-256 decide, so that a seed gives the same
people on every machine and Python version; work on whole columns keeps large accounts fast.
"""

import datetime as dt
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import shake_256
from itertools import accumulate, chain, repeat
from operator import add

from wx_datacube.emulator.seasons import mood_of, table

MESSAGES_OF_A_SENDER = table(
    {1: 600, 2: 180, 3: 90, 4: 40, 5: 30, 6: 15, 7: 10, 8: 8, 9: 5, 10: 4, 11: 5, 14: 4, 18: 4, 25: 3, 40: 2}
)
DRIFT = table({0: 80, 1: 15, 2: 5})
LAST_HOUR = bytes(min(hour, 23) for hour in range(256))

FOLLOWS_FOR = (None, 900, 900, 240, 240, 30, 30, 30)
"""Days until a follower leaves, by number modulo 8; the first kind stays for good."""
KIND_OF_A_SENDER = table({0: 46, 1: 11, 2: 11, 3: 8, 4: 8, 5: 6, 6: 5, 7: 5})


@dataclass(frozen=True, slots=True)
class Day:
    """The messages of a day as columns of equal length: who sent it, in which hour (0…23), of which type."""

    users: "array[int]"
    hours: bytes
    types: bytes

    def __len__(self) -> int:
        return len(self.types)


def _spread(values: Iterable[int], times: Iterable[int]) -> Iterable[int]:
    return chain.from_iterable(map(repeat, values, times))


@dataclass(frozen=True, slots=True)
class People:
    """The audience of one account: its size, how often it is silent, and since when it exists.

    `messages_per_day` is what an ordinary day brings once the account has grown up, after about five years.
    """

    seed: int
    messages_per_day: int
    silent_share: float
    start: dt.date

    def _noise(self, day: dt.date, what: str, length: int) -> bytes:
        return shake_256(f"{self.seed}|{day.isoformat()}|{what}".encode()).digest(length)

    def _share(self, day: dt.date, what: str, parts: int) -> int:
        return int.from_bytes(self._noise(day, what, 8), "big") * parts >> 64

    def joined(self, age: int) -> int:
        """How many people have ever followed by the end of the account's day number `age` (0 is its first)."""
        return 0 if age < 0 else 40 + self.messages_per_day * (800 + age) // 40

    def volume(self, day: dt.date) -> int:
        """How many messages the day brings: 0 before the account's start and on silent days, at least 1 else."""
        age = (day - self.start).days
        if age < 0 or self._share(day, "silent", 10**9) < int(self.silent_share * 10**9):
            return 0
        grown = 300 + 700 * min(age, 2000) // 2000 + max(age - 2000, 0) // 10
        luck = 800 + self._share(day, "luck", 400) + (self._share(day, "article", 24) == 0) * 1200
        exact = self.messages_per_day * grown * mood_of(day).volume * luck
        return max(1, (exact + self._share(day, "rounding", 10**9)) // 10**9)

    def _ranges(self, age: int) -> list[tuple[int, int, int]]:
        """For each kind of follower the number of the first to be drawn, the step to the next, and how many follow."""
        joined = self.joined(age)
        ranges: list[tuple[int, int, int]] = []
        for kind, stay in enumerate(FOLLOWS_FOR):
            gone = 0 if stay is None else self.joined(age - stay)
            first, last = gone + (kind - gone) % 8, joined - 1 - (joined - 1 - kind) % 8
            count = (last - first) // 8 + 1
            regulars = (first, 8, count)
            ranges.append(regulars if kind == 0 else (last, -8, count) if count > 0 else ranges[0])
        return ranges

    def _senders(self, day: dt.date, count: int) -> list[int]:
        """The people of `count` visits; squaring the draw prefers old regulars and those who have just come."""
        ranges = self._ranges((day - self.start).days)
        kinds = self._noise(day, "kinds", count).translate(KIND_OF_A_SENDER)
        draws = struct.unpack(f"<{count}I", self._noise(day, "people", 4 * count))
        return [
            first + step * ((draw * draw >> 32) * size >> 32)
            for (first, step, size), draw in zip(map(ranges.__getitem__, kinds), draws, strict=True)
        ]

    def day(self, day: dt.date, volume: int) -> Day:
        """The first `volume` messages of a day; more or fewer of them leave the others as they were."""
        mood = mood_of(day)
        each = self._noise(day, "sizes", volume).translate(MESSAGES_OF_A_SENDER)
        visits = bisect_left(list(accumulate(each)), volume) + 1 if volume else 0
        senders, each = self._senders(day, visits), each[:visits]
        began = self._noise(day, "hours", visits).translate(mood.hours)
        drift = self._noise(day, "drift", volume).translate(DRIFT)
        return Day(
            array("I", _spread(senders, each))[:volume],
            bytes(map(add, _spread(began, each), drift)).translate(LAST_HOUR),
            self._noise(day, "types", volume).translate(mood.types),
        )
