"""Doubts: `python -m bench.doubts` measures how often `figures_are_plausible` is wrong, and what it finds.

Accounts of several sizes are made by the emulator's world, without HTTP. False alarms are counted on two years of their
figures as they are. Then faults are injected, each into one figure of one day (`FAULTS`), and those found on that day
are counted. Other made-up accounts (`ROUGH`) are wilder than the world: it has no chance in its small numbers.
"""

import datetime as dt
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from wx_datacube.catalog.followers import DAILY_FOLLOWERS
from wx_datacube.catalog.messages import DAILY_MESSAGES, SENDERS_OF
from wx_datacube.catalog.model import Period
from wx_datacube.emulator.world import World
from wx_datacube.warehouse.checks.expectation import SMALLEST, Place, Series, places
from wx_datacube.warehouse.checks.plausibility import (
    ARTICLE,
    Doubt,
    History,
    _large_channels,
    _summed,
    doubts_about_followers,
    doubts_about_messages,
)

DAY = dt.timedelta(days=1)
FIRST, LAST = dt.date(2024, 11, 1), dt.date(2026, 10, 31)
"""The two years that are judged; the figures begin a year and a half earlier, for last year's festivals."""
BEGIN = dt.date(2023, 7, 1)
FAULTS_PER_SERIES = 60


# --- accounts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """A made-up account: its name in the table, its figures, and the families that are judged."""

    name: str
    history: History
    followers: bool = True
    messages: bool = True


def days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the days of a range."""
    return [first + count * DAY for count in range((last - first).days + 1)]


def world_history(
    seed: int, size: int, silent: float, *, messages: bool, first: dt.date = BEGIN, last: dt.date = LAST
) -> History:
    """Return the figures of an account of the emulator's world; messages of a large one take long."""
    world = World(seed, size, silent, dt.date(2021, 1, 1))
    days = days_between(first, last)
    sent: dict[dt.date, int] = {}
    senders: dict[dt.date, int] = {}
    new: dict[int, dict[dt.date, int]] = {}
    lost: dict[int, dict[dt.date, int]] = {}
    for day in days:
        if messages:
            sent[day] = sum(row["msg_count"] for row in world.rows(DAILY_MESSAGES, day))
            senders[day] = sum(row["msg_user"] for row in world.rows(SENDERS_OF[Period.DAY], day))
        for row in world.rows(DAILY_FOLLOWERS, day):
            new.setdefault(row["user_source"], dict.fromkeys(days, 0))[day] = row["new_user"]
            lost.setdefault(row["user_source"], dict.fromkeys(days, 0))[day] = row["cancel_user"]
    totals = {day: total for day in days if (total := world._followers.total(day)) is not None}
    return History(sent, senders, new, lost, totals)


# --- faults -----------------------------------------------------------------------------------------------------

FACTORS = {"halved": 0.5, "doubled": 2.0, "zero": 0.0}
FAULTS = (*FACTORS, "channel missing")
"""What is injected: into one figure of one day, or into the row of one channel of one day."""


def with_fault(history: History, metric: str, channel: int | None, fault: str, day: dt.date) -> History:
    """Return the figures with a fault on one day; nothing else changes, and neither does any other figure."""
    if fault == "channel missing":
        changed = {
            name: {**channels, channel: {**channels[channel], day: 0}}
            for name, channels in (("new", history.new), ("lost", history.lost))
            if channel in channels
        }
        return replace(history, **changed)
    factor = FACTORS[fault]
    if metric in ("messages", "senders"):
        days = getattr(history, metric)
        return replace(history, **{metric: {**days, day: int(days[day] * factor)}})
    name = "new" if metric == "new_followers" else "lost"
    channels = {
        each: {**days, day: int(days[day] * factor)} if channel in (None, each) else days
        for each, days in getattr(history, name).items()
    }
    return replace(history, **{name: channels})


# --- measuring --------------------------------------------------------------------------------------------------


_MESSAGES, _FOLLOWERS = ("messages", "senders"), ("new_followers", "lost_followers")
PAIRS = dict.fromkeys(_MESSAGES, _MESSAGES) | dict.fromkeys(_FOLLOWERS, _FOLLOWERS)
"""The figures whose doubts show a fault: of two that contradict each other, either may be named."""


def series_of(history: History, metric: str, channel: int | None) -> Mapping[dt.date, int]:
    """Return the figures of one series."""
    if metric in ("messages", "senders"):
        return getattr(history, metric)
    channels = history.new if metric == "new_followers" else history.lost
    if channel is None:
        return _summed({each: days for each, days in channels.items() if each != ARTICLE})
    return channels[channel]


def judged(made: Made, history: History, day: dt.date, special: Mapping[dt.date, Place]) -> list[Doubt]:
    """Return the doubts about a day."""
    found = doubts_about_messages(history, day, special) if made.messages else []
    return found + (doubts_about_followers(history, day, special) if made.followers else [])


def endpoint_of(doubt: Doubt) -> str:
    """Return the asset whose check fails."""
    return {"messages": "messages", "senders": "senders"}.get(doubt.metric, "followers")


def false_alarms(made: Made, days: list[dt.date], special: Mapping[dt.date, Place]) -> list[Doubt]:
    """Return the doubts about figures that are as they were made."""
    return [doubt for day in days for doubt in judged(made, made.history, day, special)]


def found_faults(
    made: Made, days: list[dt.date], special: Mapping[dt.date, Place], rng: random.Random, number: int
) -> Iterator[tuple[str, str, str, bool]]:
    """Inject faults, and yield the series, the fault, the kind of day, and whether it was found that day."""
    wanted: list[tuple[str, int | None]] = []
    if made.messages:
        wanted += [("messages", None), ("senders", None)]
    if made.followers:
        wanted += [("new_followers", None), ("lost_followers", None)]
        for metric, channels in (("new_followers", made.history.new), ("lost_followers", made.history.lost)):
            large = {channel for day in days[::30] for channel in _large_channels(channels, day)}
            wanted += [(metric, channel) for channel in sorted(large)]
    for metric, channel in wanted:
        series = Series.of(series_of(made.history, metric, channel), special)
        kinds = list(FACTORS) if channel is None else [*FACTORS, "channel missing"]
        for fault in kinds:
            for day in rng.sample(days, number):
                expected = series.expected(day)
                large = channel is None or channel in _large_channels(
                    made.history.new if metric == "new_followers" else made.history.lost, day
                )
                if channel == ARTICLE and fault in ("halved", "doubled"):
                    continue
                if expected is None or expected.figure < SMALLEST or not series.figure(day) or not large:
                    continue
                faulty = with_fault(made.history, metric, channel, fault, day)
                hit = any(
                    each.fails and (each.metric in PAIRS[metric])
                    for each in judged(made, faulty, day, special)
                )
                kind = "special" if day in special else "weekend" if day.weekday() >= 5 else "weekday"
                yield f"{metric}{'' if channel is None else ' by channel'}", fault, kind, hit


SIZES = (100, 300, 1_000, 5_000, 20_000)
"""Messages a day once an account is five years old; a fortieth of it are new followers."""


def worlds(seeds: range, silent: float) -> Iterator[Made]:
    """Yield accounts of the emulator's world."""
    for size in SIZES:
        for seed in seeds:
            yield Made(f"{size:,} messages a day", world_history(seed, size, silent, messages=True))


def measure(accounts: list[Made], number: int, seed: int = 7) -> None:
    days = days_between(FIRST, LAST)
    special = places(BEGIN, LAST)
    rng = random.Random(seed)
    months = len(days) / 30.4
    hits: dict[tuple[str, ...], list[bool]] = {}
    for made in accounts:
        alarms = false_alarms(made, days, special)
        failing = [each for each in alarms if each.fails]
        per = Counter((each.metric, each.channel, each.direction.value) for each in failing)
        mornings = len({each.day for each in failing}) / months
        assets = len({(each.day, endpoint_of(each)) for each in failing}) / months
        notes = len({each.day for each in alarms if not each.fails}) / months
        print(f"{made.name:34} mornings {mornings:.2f} assets {assets:.2f} notes {notes:.2f}", dict(per), flush=True)
        for series, fault, kind, hit in found_faults(made, days, special, rng, number):
            for key in ((fault, "all", "all"), (fault, series, "all"), (fault, "all", kind), (fault, series, made.name)):
                hits.setdefault(key, []).append(hit)
    for key, found in sorted(hits.items()):
        print(f"{' | '.join(key):80} {100 * sum(found) / len(found):5.1f}% of {len(found)}")


if __name__ == "__main__":
    import pickle, os
    f = f"/tmp/worlds_{sys.argv[1]}_{sys.argv[3]}.pkl"
    if not os.path.exists(f):
        with open(f, "wb") as o:
            lo, hi = map(int, sys.argv[3].split("-"))
            pickle.dump(list(worlds(range(lo, hi), float(sys.argv[1]))), o)
    measure(pickle.load(open(f, "rb")), int(sys.argv[2]))
