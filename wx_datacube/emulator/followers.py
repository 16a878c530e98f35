"""Followers: who begins and stops following the made-up account on each day, by channel.

Add a channel here. A day's new followers depend on the day alone. Those who leave are a part of those who came 1, 30,
240 or 900 days before. Totals are sums from the first day on, which are kept. From 2025-11-01 on, articles decide
how many come from channel 57.
"""

import datetime as dt
import struct
from functools import lru_cache

from wx_datacube.catalog.articles import ARTICLES_START
from wx_datacube.emulator.articles import Articles
from wx_datacube.emulator.people import People
from wx_datacube.emulator.seasons import mood_of

OTHERS, QR_CODE, ARTICLE = 0, 30, 57
_ALWAYS, _NEVER = dt.date.min, dt.date.max
CHANNELS = {
    OTHERS: (70, _ALWAYS, _NEVER),
    1: (230, _ALWAYS, _NEVER),
    17: (120, _ALWAYS, _NEVER),
    QR_CODE: (300, _ALWAYS, _NEVER),
    51: (40, _ALWAYS, dt.date(2023, 6, 1)),
    ARTICLE: (150, _ALWAYS, ARTICLES_START),
    100: (50, dt.date(2020, 6, 1), _NEVER),
    149: (40, dt.date(2018, 1, 1), _NEVER),
    161: (60, dt.date(2020, 4, 1), _NEVER),
    200: (45, dt.date(2021, 1, 1), _NEVER),
    201: (25, dt.date(2021, 6, 1), _NEVER),
}
"""New followers of a channel per mille of an ordinary day's, its first day, and the day it ended."""

STAYS = ((1, 60), (30, 250), (240, 450), (900, 600))
"""Days after which followers leave, and how many of 1,000 have left by then."""

_DAY = dt.timedelta(days=1)


class Followers:
    """The followers of one account."""

    def __init__(self, people: People, articles: Articles) -> None:
        self._people, self._articles = people, articles
        self._came = lru_cache(8_000)(self._arrivals)
        self._totals: dict[dt.date, int] = {people.start - _DAY: people.joined(0)}
        self._known = people.start - _DAY

    def _arrivals(self, day: dt.date) -> dict[int, tuple[int, int]]:
        """Return the new followers of a day by channel, each with a random number below 1,000."""
        if day < self._people.start:
            return {}
        draws = struct.unpack("<24H", self._people.noise(day, "followers", 48))
        usual = self._people.messages_per_day * mood_of(day).volume * (700 + draws[22] % 601)  # 40 millionths of one
        campaign = draws[23] % 40 == 0
        found: dict[int, tuple[int, int]] = {}
        for place, (channel, (per_mille, first, end)) in enumerate(CHANNELS.items()):
            if channel == ARTICLE and day >= ARTICLES_START:
                number = self._articles.followers_gained(day)
            elif first <= day < end:
                share = per_mille * (6 if campaign and channel == QR_CODE else 1)
                number = (usual * share + draws[2 * place] * 40 * 10**9 // 2**16) // (40 * 10**9)
            else:
                number = 0
            if number:
                found[channel] = number, draws[2 * place + 1] % 1000
        return found

    def _lost(self, day: dt.date) -> dict[int, int]:
        found: dict[int, int] = {}
        left_before = 0
        for stay, left in STAYS:
            for channel, (number, rest) in self._came(day - stay * _DAY).items():
                gone = (number * left + rest) // 1000 - (number * left_before + rest) // 1000
                found[channel] = found.get(channel, 0) + gone
            left_before = left
        return found

    def rows(self, day: dt.date, passing: int) -> list[dict[str, int]]:
        """Return new and lost followers by channel; none for a day without any.

        Channel 0 has a row on every other day. `passing` is a number of people who came and left on a restated day.
        """
        if day < self._people.start:
            return []
        came, lost = self._came(day), self._lost(day)
        figures = {channel: (number, 0) for channel, (number, _) in came.items()}
        figures |= {channel: (figures.get(channel, (0, 0))[0], gone) for channel, gone in lost.items() if gone}
        if not figures and not passing:
            return []
        new, cancelled = figures.get(OTHERS, (0, 0))
        figures[OTHERS] = new + passing, cancelled + passing
        return [
            {"user_source": channel, "new_user": new, "cancel_user": cancelled}
            for channel, (new, cancelled) in sorted(figures.items())
        ]

    def total(self, day: dt.date) -> int | None:
        """Return the number of followers at the end of a day; None before the account's first day."""
        if day < self._people.start:
            return None
        reached = min(self._known, day)
        while reached < day:  # a second thread may do the same work; it stores the same totals
            total = self._totals[reached]
            reached += _DAY
            came = sum(number for number, _ in self._came(reached).values())
            self._totals[reached] = total + came - sum(self._lost(reached).values())
            self._known = max(self._known, reached)
        return self._totals[day]
