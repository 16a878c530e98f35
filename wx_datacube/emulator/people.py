"""People: who follows the made-up account on a day, and every message that they send on that day.

Add a behaviour here. Each day is computed from the seed and its date alone, without the day before it. Nothing here
knows endpoints or periods. Only integers and SHAKE-256 are used, so a seed gives the same people on every machine and
Python version. Work on whole columns keeps large accounts fast.
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
"""Days until a follower leaves, by user number modulo 8; the first kind never leaves."""
KIND_OF_A_SENDER = table({0: 46, 1: 11, 2: 11, 3: 8, 4: 8, 5: 6, 6: 5, 7: 5})


@dataclass(frozen=True, slots=True)
class DayMessages:
    """The messages of a day as columns of equal length: user, hour (0…23) and type."""

    users: "array[int]"
    hours: bytes
    types: bytes

    def __len__(self) -> int:
        return len(self.types)


def _spread(values: Iterable[int], times: Iterable[int]) -> Iterable[int]:
    return chain.from_iterable(map(repeat, values, times))


@dataclass(frozen=True, slots=True)
class People:
    """The followers of one account.

    `messages_per_day` is the number of messages on an ordinary day of an account that is about five years old.
    `silent_share` is the share of days without messages and readers; `start` is the account's first day.
    """

    seed: int
    messages_per_day: int
    silent_share: float
    start: dt.date

    def noise(self, day: dt.date, what: str, length: int) -> bytes:
        """Return random bytes of a day for one purpose; a greater `length` appends to them."""
        return shake_256(f"{self.seed}|{day.isoformat()}|{what}".encode()).digest(length)

    def _share(self, day: dt.date, what: str, parts: int) -> int:
        return int.from_bytes(self.noise(day, what, 8), "big") * parts >> 64

    def joined(self, age: int) -> int:
        """Return how many people have ever followed by the end of day `age` of the account; its first day is 0."""
        return 0 if age < 0 else 40 + self.messages_per_day * (800 + age) // 40

    def silent(self, day: dt.date) -> bool:
        """Return whether nobody sends or reads anything on a day."""
        return self._share(day, "silent", 10**9) < int(self.silent_share * 10**9)

    def volume(self, day: dt.date) -> int:
        """Return the number of messages on a day: 0 before the account's start and on silent days, else at least 1."""
        age = (day - self.start).days
        if age < 0 or self.silent(day):
            return 0
        grown = 300 + 700 * min(age, 2000) // 2000 + max(age - 2000, 0) // 10
        luck = 800 + self._share(day, "luck", 400) + (self._share(day, "article", 24) == 0) * 1200
        exact = self.messages_per_day * grown * mood_of(day).volume * luck
        return max(1, (exact + self._share(day, "rounding", 10**9)) // 10**9)

    def _ranges(self, age: int) -> list[tuple[int, int, int]]:
        """Return, for each kind of follower, the number of the first one to draw, the step to the next, and a count."""
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
        """Return the user of each of `count` visits; early permanent followers and newcomers occur more often."""
        ranges = self._ranges((day - self.start).days)
        kinds = self.noise(day, "kinds", count).translate(KIND_OF_A_SENDER)
        draws = struct.unpack(f"<{count}I", self.noise(day, "people", 4 * count))
        return [
            first + step * ((draw * draw >> 32) * size >> 32)
            for (first, step, size), draw in zip(map(ranges.__getitem__, kinds), draws, strict=True)
        ]

    def day(self, day: dt.date, volume: int) -> DayMessages:
        """Return the first `volume` messages of a day; a larger `volume` adds messages and changes none."""
        mood = mood_of(day)
        each = self.noise(day, "sizes", volume).translate(MESSAGES_OF_A_SENDER)
        visits = bisect_left(list(accumulate(each)), volume) + 1 if volume else 0
        senders, each = self._senders(day, visits), each[:visits]
        began = self.noise(day, "hours", visits).translate(mood.hours)
        drift = self.noise(day, "drift", volume).translate(DRIFT)
        return DayMessages(
            array("I", _spread(senders, each))[:volume],
            bytes(map(add, _spread(began, each), drift)).translate(LAST_HOUR),
            self.noise(day, "types", volume).translate(mood.types),
        )
