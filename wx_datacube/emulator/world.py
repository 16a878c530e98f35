"""World: the made-up account, and the rows of every endpoint for any label.

Add an endpoint to `_VIEWS`. `people`, `articles` and `followers` decide what happens; `messages`, `reading` and
`callbacks` count it; `statistics` decides what the API returns and when. Nothing here reads a clock: a world has
figures for past and future days alike.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

from wx_datacube.catalog import articles as article_catalog
from wx_datacube.catalog import followers as follower_catalog
from wx_datacube.catalog import interface as interface_catalog
from wx_datacube.catalog.messages import HOURLY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Period
from wx_datacube.catalog.periods import due_on, label_of, labels_from
from wx_datacube.emulator import callbacks, messages, reading
from wx_datacube.emulator.articles import Articles
from wx_datacube.emulator.followers import Followers
from wx_datacube.emulator.people import DayMessages, People
from wx_datacube.emulator.presentation import PLAIN, Presentation, Row

MESSAGES_KEPT = 4_000_000
"""Limit of the messages cached in memory, in whole days; each takes six bytes."""


class Message(NamedTuple):
    """A message: the number of its sender, the hour (0…23, Beijing time), and `msg_type`."""

    user: int
    hour: int
    type: int


class World:
    """A made-up account, the same for the same arguments on every machine.

    `messages_per_day` is 3 … 100,000. `silent_share`, 0 … 1, is the share of days without messages and readers.
    Nothing happens before `start`.
    """

    def __init__(
        self,
        seed: int = 0,
        messages_per_day: int = 300,
        silent_share: float = 0.03,
        start: dt.date = HISTORY_START,
    ) -> None:
        self._people = People(seed, messages_per_day, silent_share, start)
        self._articles = Articles(self._people)
        self._followers = Followers(self._people, self._articles)
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

    def _came_back(self, day: dt.date) -> int:
        """Return how many more people came back on a restated day than WeChat counted at first; 0 on other days."""
        return -(-abs(self._volume(day) - self._people.volume(day)) // 10)

    def rows(self, endpoint: Endpoint | str, label: dt.date, until: dt.date | None = None) -> list[Row]:
        """Return the rows of a label, published or not, in the order of their keys; a label may have none.

        `until` is the last `stat_date` of articles; None means all 30 days.
        """
        name = endpoint if isinstance(endpoint, str) else endpoint.name
        figures = _VIEWS[name](self, label, until or dt.date.max)
        return [{"ref_date": label.isoformat(), **each} for each in figures]

    def json(self, endpoint: Endpoint, label: dt.date, presentation: Presentation = PLAIN) -> str:
        """Return `rows` as the inside of a JSON list, as they look in an answer; the result is cached."""
        period = endpoint.period
        revision = tuple((day, n) for day, n in self._restated.items() if label_of(day, period) == label)
        return self._json(endpoint.name, label, revision, presentation)

    def _make_json(
        self, endpoint: str, label: dt.date, _revision: tuple[tuple[dt.date, int], ...], presentation: Presentation
    ) -> str:
        rows = presentation.of(self.rows(endpoint, label, presentation.until))
        return json.dumps(rows, separators=(",", ":"), ensure_ascii=False)[1:-1]

    def restate(self, day: dt.date, factor: float | None = None, delta: int | None = None) -> int:
        """Revise the figures of a day and of its hours, week and month; return the day's new number of messages.

        Callbacks follow the messages. More people come and leave, and more readers come back; totals of followers and
        of an article's readers don't change. Give either `factor` or `delta`. A factor always changes the day by at
        least one message.
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


_View = Callable[[World, dt.date, dt.date], Iterable[dict[str, Any]]]


def _days_of(label: dt.date, period: Period) -> Iterator[dt.date]:
    end = due_on(label, period)
    return takewhile(lambda day: day < end, labels_from(label, Period.DAY))


def _of_messages(count: Callable[[list[DayMessages]], Iterable[dict[str, int]]], period: Period) -> _View:
    return lambda world, label, _: count([world._columns(day) for day in _days_of(label, period)])


def _of_callbacks(count: Callable[[DayMessages, bytes], Iterable[dict[str, int]]]) -> _View:
    def view(world: World, day: dt.date, _until: dt.date) -> Iterable[dict[str, int]]:
        sent = world._columns(day)
        return count(sent, world._people.noise(day, "callbacks", 2 * len(sent)))

    return view


def _of_reading(rows: Callable[[Articles, dt.date, int], Iterable[dict[str, Any]]]) -> _View:
    return lambda world, day, _: rows(world._articles, day, world._came_back(day))


def _published(world: World, day: dt.date, until: dt.date) -> Iterable[dict[str, Any]]:
    return reading.published(world._articles, day, until, world._came_back(day))


def _followers(world: World, day: dt.date, _until: dt.date) -> Iterable[dict[str, int]]:
    return world._followers.rows(day, world._came_back(day))


def _followers_total(world: World, day: dt.date, _until: dt.date) -> Iterable[dict[str, int]]:
    total = world._followers.total(day)
    return [] if total is None else [{"user_source": 0, "cumulate_user": total}]


_VIEWS: dict[str, _View] = {
    HOURLY_MESSAGES.name: _of_messages(messages.by_hour, Period.DAY),
    **{each.name: _of_messages(messages.by_type, each.period) for each in MESSAGES_OF.values()},
    **{each.name: _of_messages(messages.by_messages_sent, each.period) for each in SENDERS_OF.values()},
    follower_catalog.DAILY_FOLLOWERS.name: _followers,
    follower_catalog.FOLLOWERS_TOTAL.name: _followers_total,
    article_catalog.DAILY_READING.name: _of_reading(reading.daily_summary),
    article_catalog.ARTICLE_READING.name: _of_reading(reading.daily_reading),
    article_catalog.ARTICLE_SHARING.name: _of_reading(reading.daily_sharing),
    article_catalog.PUBLISHED_ARTICLES.name: _published,
    interface_catalog.DAILY_CALLBACKS.name: _of_callbacks(callbacks.by_day),
    interface_catalog.HOURLY_CALLBACKS.name: _of_callbacks(callbacks.by_hour),
}
