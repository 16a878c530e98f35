"""World: the made-up account. The rows of every endpoint are computed from the messages that its people send.

Add a family of figures here when the catalog gets one. `people` decides what people do; `statistics` decides what the
API returns and when. Nothing here reads a clock: a world has figures for past and future days alike.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import takewhile
from operator import add
from typing import NamedTuple

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import HOURLY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Period
from wx_datacube.catalog.periods import due_on, label_of, labels_from
from wx_datacube.emulator.people import DayMessages, People

Row = dict[str, int | str]
"""A row in WeChat's format, with its fields in the order of real answers."""

BIT_OF_A_TYPE = bytes([0, *(1 << kind for kind in range(8))]).ljust(256, b"\0")

MESSAGES_KEPT = 4_000_000
"""Limit of the messages cached in memory, in whole days; each takes six bytes."""


class Message(NamedTuple):
    """A message: the number of its sender, the hour (0…23, Beijing time), and `msg_type`."""

    user: int
    hour: int
    type: int


def _pairs(users: Iterable[int], keys: Iterable[int]) -> Iterator[int]:
    """Encode each user and a key below 256 as one integer: sets of integers are twice as fast as sets of tuples."""
    return map(add, map((256).__mul__, users), keys)


def _users_of_keys(pairs: set[int]) -> Counter[int]:
    return Counter(map((255).__and__, pairs))


def _marks(days: list[DayMessages]) -> bytearray:
    """Return a byte per user: a large account has millions of messages in a month, too many for sets."""
    return bytearray(max((max(day.users) for day in days if day.users), default=0) + 1)


def _marked(marks: bytearray) -> Counter[int]:
    return Counter(marks.translate(None, b"\0"))


def _by_type(days: list[DayMessages]) -> Iterator[dict[str, int]]:
    sent = _marks(days)
    for day in days:
        for user, bit in zip(day.users, day.types.translate(BIT_OF_A_TYPE), strict=True):
            sent[user] |= bit
    users = _marked(sent)
    for kind in sorted(set().union(*(set(day.types) for day in days))):
        some = sum(number for bits, number in users.items() if bits & BIT_OF_A_TYPE[kind])
        figures = {"msg_user": some, "msg_count": sum(day.types.count(kind) for day in days)}
        yield {"user_source": 0, "msg_type": kind, **figures}


def _by_hour(days: list[DayMessages]) -> Iterator[dict[str, int]]:
    (day,) = days
    keys = bytes(map(add, map((8).__mul__, day.hours), day.types))
    counts, users = Counter(keys), _users_of_keys(set(_pairs(day.users, keys)))
    for key in sorted(counts):
        figures = {"msg_user": users[key], "msg_count": counts[key]}
        yield {"ref_hour": key // 8 * 100, "user_source": 0, "msg_type": key % 8, **figures}


def _by_messages_sent(days: list[DayMessages]) -> Iterator[dict[str, int]]:
    sent = _marks(days)
    for day in days:
        for user in day.users:
            if sent[user] <= 10:
                sent[user] += 1
    users = Counter[int]()
    for count, some in _marked(sent).items():
        users[1 if count <= 5 else 2 if count <= 10 else 3] += some
    for interval in sorted(users):
        yield {"user_source": 0, "count_interval": interval, "msg_user": users[interval]}


_VIEWS: dict[str, Callable[[list[DayMessages]], Iterator[dict[str, int]]]] = {
    HOURLY_MESSAGES.name: _by_hour,
    **{each.name: _by_type for each in MESSAGES_OF.values()},
    **{each.name: _by_messages_sent for each in SENDERS_OF.values()},
}


def _days_of(label: dt.date, period: Period) -> Iterator[dt.date]:
    end = due_on(label, period)
    return takewhile(lambda day: day < end, labels_from(label, Period.DAY))


class World:
    """A made-up account, the same for the same arguments on every machine.

    `messages_per_day` is 3 … 100,000. `silent_share`, 0 … 1, is the share of days without messages. There are no
    messages before `start`.
    """

    def __init__(
        self,
        seed: int = 0,
        messages_per_day: int = 300,
        silent_share: float = 0.03,
        start: dt.date = HISTORY_START,
    ) -> None:
        self._people = People(seed, messages_per_day, silent_share, start)
        self._restated: dict[dt.date, int] = {}
        days_kept = min(5_000, max(40, MESSAGES_KEPT // messages_per_day))
        self._day = lru_cache(days_kept)(self._people.day)
        self._json = lru_cache(8_192)(self._make_json)

    def _volume(self, day: dt.date) -> int:
        restated = self._restated.get(day)
        return self._people.volume(day) if restated is None else restated

    def _columns(self, day: dt.date) -> DayMessages:
        return self._day(day, self._volume(day))

    def messages(self, day: dt.date) -> list[Message]:
        """Return every message of a day, in no particular order; all endpoints' figures can be counted from them."""
        columns = self._columns(day)
        return list(map(Message, columns.users, columns.hours, columns.types))

    def rows(self, endpoint: Endpoint | str, label: dt.date) -> list[Row]:
        """Return the rows of a label, published or not: only rows that have messages, ordered by key."""
        endpoint = BY_NAME[endpoint] if isinstance(endpoint, str) else endpoint
        days = [self._columns(day) for day in _days_of(label, endpoint.period)]
        return [{"ref_date": label.isoformat(), **figures} for figures in _VIEWS[endpoint.name](days)]

    def json(self, endpoint: Endpoint, label: dt.date) -> str:
        """Return `rows` as the inside of a JSON list; the result is cached."""
        period = endpoint.period
        revision = tuple((day, n) for day, n in self._restated.items() if label_of(day, period) == label)
        return self._json(endpoint.name, label, revision)

    def _make_json(self, endpoint: str, label: dt.date, _revision: tuple[tuple[dt.date, int], ...]) -> str:
        return json.dumps(self.rows(endpoint, label), separators=(",", ":"))[1:-1]

    def restate(self, day: dt.date, factor: float | None = None, delta: int | None = None) -> int:
        """Revise the figures of a day and of its hours, week and month; return the day's new number of messages.

        Give either `factor` or `delta`. A factor always changes the day by at least one message.
        """
        if (factor is None) == (delta is None):
            raise ValueError("restate needs either factor or delta")
        before = self._volume(day)
        after = max(0, before + delta if delta is not None else round(before * (factor or 0)))
        if after == before and factor is not None:
            after = before + 1 if factor >= 1 else max(0, before - 1)
        if after > MESSAGES_KEPT:
            raise ValueError(f"a day of {after:,} messages is more than the emulator can hold")
        self._restated[day] = after
        return after
