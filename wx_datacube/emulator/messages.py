"""Messages: the rows of the seven message endpoints, counted from the messages of one or more days.

Add a way to count messages here. `people` decides who sends them; `world` chooses the days. Nothing here knows dates.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import add

from wx_datacube.emulator.people import DayMessages

BIT_OF_A_TYPE = bytes([0, *(1 << kind for kind in range(8))]).ljust(256, b"\0")


def by_type(days: list[DayMessages]) -> Iterator[dict[str, int]]:
    """Yield users and messages of each type, over all the days together."""
    sent = _marks(days)
    for day in days:
        for user, bit in zip(day.users, day.types.translate(BIT_OF_A_TYPE), strict=True):
            sent[user] |= bit
    users = _marked(sent)
    for kind in sorted(set().union(*(set(day.types) for day in days))):
        some = sum(number for bits, number in users.items() if bits & BIT_OF_A_TYPE[kind])
        figures = {"msg_user": some, "msg_count": sum(day.types.count(kind) for day in days)}
        yield {"user_source": 0, "msg_type": kind, **figures}


def by_hour(days: list[DayMessages]) -> Iterator[dict[str, int]]:
    """Yield users and messages of each type in each hour of a single day."""
    (day,) = days
    keys = bytes(map(add, map((8).__mul__, day.hours), day.types))
    counts, users = Counter(keys), _users_of_keys(set(_pairs(day.users, keys)))
    for key in sorted(counts):
        figures = {"msg_user": users[key], "msg_count": counts[key]}
        yield {"ref_hour": key // 8 * 100, "user_source": 0, "msg_type": key % 8, **figures}


def by_messages_sent(days: list[DayMessages]) -> Iterator[dict[str, int]]:
    """Yield users by how many messages each of them sent, over all the days together."""
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
