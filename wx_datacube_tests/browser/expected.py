"""Expected: the figures that a report has to show, counted from the emulator's world, and as the texts of the page.

Nothing here uses the report: figures are counted from the messages and the rows of the world, and written in English
as people write them. Add a figure to `_FIELDS` or `RATES`.
"""

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import partial
from itertools import groupby
from typing import Any

from wx_datacube.catalog.articles import ALL_SCENES, ARTICLES_START, DAILY_READING, PUBLISHED_ARTICLES, SCENE_DESC
from wx_datacube.catalog.followers import CHANNEL, DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS
from wx_datacube.catalog.messages import HOURLY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.emulator.world import World

DAY = dt.timedelta(days=1)
_FIELDS: dict[str, tuple[Endpoint, str]] = {
    "readers": (DAILY_READING, "read_user"),
    "sharers": (DAILY_READING, "share_user"),
    "likes": (DAILY_READING, "like_user"),
    "hearts": (DAILY_READING, "zaikan_user"),
    "comments": (DAILY_READING, "comment_count"),
    "saves": (DAILY_READING, "collection_user"),
    "articles_published": (DAILY_READING, "send_page_count"),
    "new_followers": (DAILY_FOLLOWERS, "new_user"),
    "lost_followers": (DAILY_FOLLOWERS, "cancel_user"),
    "followers": (FOLLOWERS_TOTAL, "cumulate_user"),
    "calls": (DAILY_CALLBACKS, "callback_count"),
    "failures": (DAILY_CALLBACKS, "fail_count"),
    "milliseconds": (DAILY_CALLBACKS, "total_time_cost"),
    "max_ms": (DAILY_CALLBACKS, "max_time_cost"),
}
RATES = {
    "messages_per_sender": ("messages", "senders", 1),
    "share_rate": ("sharers", "readers", 100),
    "failure_rate": ("failures", "calls", 100),
    "mean_ms": ("milliseconds", "calls", 1),
}
SUMS = {"messages", "new_followers", "lost_followers", "net_followers", "articles_published", "comments", "calls"}
SUMS |= {"failures"}
NAMES = {
    **{name: name.replace("_", " ").capitalize() for name in (*_FIELDS, "messages", "senders", "net_followers")},
    "messages_per_sender": "Messages per sender",
    "share_rate": "Share rate",
    "calls": "Calls of your server",
    "failures": "Failed calls of your server",
    "failure_rate": "Failure rate",
    "mean_ms": "Mean time (ms)",
    "max_ms": "Longest time (ms)",
}
Number = int | Fraction


def days_from(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the days of a range, both ends included."""
    return [first + count * DAY for count in range((last - first).days + 1)]


@dataclass(frozen=True)
class Article:
    """An article of the world with its newest figures, and its readers up to each day after publishing."""

    title: str
    published: dt.date
    newest: dict[str, Any]
    curve: dict[int, int]

    @property
    def readers(self) -> int:
        """Its readers so far."""
        return int(self.newest["read_user"])

    @property
    def brought(self) -> int:
        """The followers that it brought."""
        return int(self.newest["read_subscribe_user"])

    @property
    def share_rate(self) -> Fraction | None:
        """Its sharers in percent of its readers."""
        return Fraction(100 * self.newest["share_user"], self.readers) if self.readers else None


@dataclass(frozen=True)
class Range:
    """A range of days of a world, without the days that are missing in the file."""

    expected: "Expected"
    first: dt.date
    last: dt.date

    @property
    def before(self) -> "Range":
        """The range before this one: of the same length, or the month before a whole month, as far as history goes."""
        begin = self.first - (self.last - self.first) - DAY
        if self.first.day == 1 and self.last + DAY == (self.first + 31 * DAY).replace(day=1):
            begin = (self.first - DAY).replace(day=1)
        return Range(self.expected, max(begin, self.expected.first), self.first - DAY)

    def days(self, *metrics: str) -> list[dt.date]:
        """Return the days for which all of these are stored."""
        return [
            day
            for day in days_from(self.first, self.last)
            if all(self.expected.of_day(metric, day) is not None for metric in metrics)
        ]

    def known(self, metric: str) -> int:
        """Return on how many days a metric is stored."""
        return len(self.days(*RATES[metric][:2]) if metric in RATES else self.days(metric))

    def value(self, metric: str) -> Number | None:
        """Return a metric: a sum, a mean per day, a rate, or what it was at the end."""
        if metric in RATES:
            part, base, scale = RATES[metric]
            days = self.days(part, base)
            parts, bases = (sum(self.expected.of_day(each, day) or 0 for day in days) for each in (part, base))
            if not days or (metric == "mean_ms" and not bases):
                return None
            return Fraction(scale * parts, bases) if bases else 0
        values = [self.expected.of_day(metric, day) or 0 for day in self.days(metric)]
        if not values:
            return None
        if metric in ("followers", "max_ms"):
            return values[-1] if metric == "followers" else max(values)
        return sum(values) if metric in SUMS else Fraction(sum(values), len(values))

    def row(self, metric: str) -> list[str]:
        """Return a metric's row of the table of the range: its name, its value, the one before and the change."""
        now, before = self.value(metric), self.before.value(metric)
        name = NAMES[metric]
        if metric == "followers":
            name = f"{name} at the end"
        elif metric not in RATES and metric not in SUMS and metric != "max_ms":
            name = f"{name} per day"
        lengths = [len(each.days(metric)) for each in (self, self.before)] if metric in SUMS else [1, 1]
        change = changed(metric, now, before)
        if lengths[0] != lengths[1] and now is not None and before is not None:
            per_day = f"{changed(metric, Fraction(now, lengths[0]), Fraction(before, lengths[1]))} per day"
            whole = all((each.last - each.first).days + 1 == len(each.days(metric)) for each in (self, self.before))
            change = f"{change} ({per_day})" if whole else per_day
        text = mean if name.endswith(" per day") else partial(shown, metric)
        return [name, text(now), text(before), change]

    def sent(self) -> Iterator[tuple[dt.date, list[Any]]]:
        """Yield the messages of each day for which they are stored."""
        for day in self.days("messages"):
            yield day, self.expected.world.messages(day)

    def busiest_hour(self) -> tuple[int, int, float]:
        """Return the weekday (0 is Monday) and hour with the most messages on average, and that average."""
        days = [
            day
            for day in days_from(self.first, self.last)
            if day not in self.expected.missing.get(HOURLY_MESSAGES.name, ())
        ]
        weekdays = Counter(day.weekday() for day in days)
        hours = Counter((day.weekday(), message.hour) for day in days for message in self.expected.world.messages(day))
        (weekday, hour), _ = min(hours.items(), key=lambda item: (-item[1] / weekdays[item[0][0]], item[0]))
        return weekday, hour, hours[weekday, hour] / weekdays[weekday]

    def types(self) -> Counter[int]:
        """Return the messages by type."""
        return Counter(message.type for _, sent in self.sent() for message in sent)

    def senders_by_messages(self) -> Counter[str]:
        """Return the senders of all days by how many messages they sent on a day."""
        found: Counter[str] = Counter()
        for day in self.days("senders"):
            for count in Counter(message.user for message in self.expected.world.messages(day)).values():
                found["1-5" if count <= 5 else "6-10" if count <= 10 else "more than 10"] += 1
        return found

    def channels(self) -> list[tuple[str, int, int]]:
        """Return the new and the lost followers by channel."""
        new, lost = Counter[int](), Counter[int]()
        for day in self.days("new_followers"):
            for row in self.expected.world.rows(DAILY_FOLLOWERS, day):
                new[row["user_source"]] += row["new_user"]
                lost[row["user_source"]] += row["cancel_user"]
        words = dict(CHANNEL.codes)
        return [(words[code], new[code], lost[code]) for code in {*(+new), *(+lost)}]

    def sources(self) -> dict[str, Fraction]:
        """Return the readers per day by where they came from."""
        days = self.days("readers")
        found: Counter[str] = Counter()
        for day in days:
            for row in self.expected.world.rows(DAILY_READING, day):
                for each in row["detail"]["read_user_source"]:
                    found[each["scene_desc"]] += each["user_count"]
        words = dict(SCENE_DESC.codes)
        return {words[scene]: Fraction(count, len(days)) for scene, count in found.items() if scene != ALL_SCENES}

    def articles(self) -> list[Article]:
        """Return the articles published in the range."""
        return [each for each in self.expected.articles() if self.first <= each.published <= self.last]


@dataclass(frozen=True)
class Expected:
    """A world, the days that a file has of it, and the labels that are missing by endpoint."""

    world: World
    first: dt.date
    last: dt.date
    missing: Mapping[str, frozenset[dt.date]] = field(default_factory=dict)
    _known: dict[tuple[str, dt.date], int | None] = field(default_factory=dict)
    _articles: list[Article] = field(default_factory=list)

    def range(self, first: dt.date, last: dt.date) -> Range:
        """Return a range of days."""
        return Range(self, first, last)

    def newest(self, days: int) -> Range:
        """Return the last days."""
        return Range(self, self.last - (days - 1) * DAY, self.last)

    def of_day(self, metric: str, day: dt.date) -> int | None:
        """Return a metric of a day; None if it isn't stored, 0 if nothing happened."""
        key = metric, day
        if key not in self._known:
            self._known[key] = self._of_day(metric, day)
        return self._known[key]

    def _of_day(self, metric: str, day: dt.date) -> int | None:
        if metric == "net_followers":
            new, lost = self.of_day("new_followers", day), self.of_day("lost_followers", day)
            return None if new is None or lost is None else new - lost
        special = {"messages": MESSAGES_OF[Period.DAY], "senders": SENDERS_OF[Period.DAY]}
        endpoint = special[metric] if metric in special else _FIELDS[metric][0]
        if not self.first <= day <= self.last or day in self.missing.get(endpoint.name, ()):
            return None
        if metric in special:
            users = [message.user for message in self.world.messages(day)]
            return len(users) if metric == "messages" else len(set(users))
        rows = self.world.rows(endpoint, day)
        return sum(int(row.get("detail", row)[_FIELDS[metric][1]]) for row in rows)

    def distinct_senders(self, first: dt.date, last: dt.date) -> int:
        """Return how many people sent messages in a range, each counted once."""
        return len({message.user for day in days_from(first, last) for message in self.world.messages(day)})

    def articles(self) -> list[Article]:
        """Return all articles of the file, with their figures of the newest day that WeChat has."""
        if not self._articles:
            for day in days_from(max(self.first, ARTICLES_START), self.last):
                if day in self.missing.get(PUBLISHED_ARTICLES.name, ()):
                    continue
                for row in self.world.rows(PUBLISHED_ARTICLES, day, until=self.last):
                    curve = {place: each["read_user"] for place, each in enumerate(row["detail_list"], 1)}
                    self._articles.append(Article(row["title"], day, row["detail_list"][-1], curve))
        return self._articles

    def typical_readers(self, days: int) -> float:
        """Return the median of the articles' readers some days after publishing."""
        return statistics.median(each.curve[days] for each in self.articles() if days in each.curve)

    def typical_share_rate(self) -> Number:
        """Return the median of the articles' share rates."""
        return statistics.median(rate for each in self.articles() if (rate := each.share_rate) is not None)


# --- texts ----------------------------------------------------------------------------------------------------------


def rounded(value: Number | float, digits: int) -> str:
    """Return a figure with thousands separators, halves rounded up as JavaScript does."""
    exact = (
        Decimal(value.numerator) / Decimal(value.denominator) if isinstance(value, Fraction) else Decimal(str(value))
    )
    return f"{exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):,}".replace("-", "−")


def mean(value: Number | None) -> str:
    """Return a mean per day; one below 100 has a decimal."""
    return "–" if value is None else rounded(value, 1 if abs(value) < 100 else 0)


def number(value: Number | float) -> str:
    """Return a count; one below 100 has a decimal unless it is whole."""
    return rounded(value, 0 if value == int(value) or abs(value) >= 100 else 1)


def shown(metric: str, value: Number | None) -> str:
    """Return a metric's value as the page writes it."""
    if value is None:
        return "–"
    if metric in ("share_rate", "failure_rate"):
        return f"{rounded(value, 1)}%"
    if metric == "messages_per_sender":
        return rounded(value, 2)
    return f"{'+' if metric == 'net_followers' and value > 0 else ''}{number(value)}"


def changed(metric: str, now: Number | None, before: Number | None) -> str:
    """Return a change as the page writes it."""
    if now is None or before is None:
        return "no data"
    if now == before:
        return "unchanged"
    arrow, difference = "▲" if now > before else "▼", abs(now - before)
    if metric in ("followers", "net_followers"):
        return f"{arrow} {number(difference)}"
    if metric in ("share_rate", "failure_rate"):
        points = abs(Decimal(rounded(now, 1)) - Decimal(rounded(before, 1)))
        return f"{arrow} {points} points" if points else "unchanged"
    if before == 0:
        return "previously 0"
    share = Fraction(100 * difference, abs(before))
    return f"{arrow} {'<0.1%' if share < Fraction(1, 20) else f'{rounded(share, 1)}%'}"


def day_text(day: dt.date) -> str:
    """Return a day of 2026 in English."""
    return f"{day.day} {day:%b}" if day.year == 2026 else f"{day.day} {day:%b} {day.year}"


def runs(days: list[dt.date], known: Callable[[dt.date], bool]) -> list[int]:
    """Return the lengths of the runs of days that are known."""
    return [len(list(group)) for there, group in groupby(days, known) if there]
