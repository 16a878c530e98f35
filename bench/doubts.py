"""Doubts: `python -m bench.doubts` measures how often `figures_are_plausible` is wrong, and what it finds.

It makes accounts, counts the false alarms on two years of their figures as they are, then injects `FAULTS` on random
days and counts those that are found on their day. The accounts are those of the emulator's world, asked without HTTP,
and rougher ones (`ROUGH`), because the world has no chance in its small numbers, no trend and no accident.
`--quick` measures fewer accounts and faults.
"""

import argparse
import datetime as dt
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import exp, sqrt
from statistics import fmean

from wx_datacube.catalog.followers import ARTICLE_CHANNEL, DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.messages import DAILY_MESSAGES, SENDERS_OF
from wx_datacube.catalog.model import Period
from wx_datacube.emulator.world import World
from wx_datacube.warehouse.checks.expectation import SMALLEST, SMALLEST_OF_MESSAGES, Place, Series, days_needed, places
from wx_datacube.warehouse.checks.plausibility import (
    Days,
    Doubt,
    History,
    doubts_about_followers,
    doubts_about_messages,
    large_channels,
    summed,
)

DAY = dt.timedelta(days=1)
BEGIN, FIRST, LAST = dt.date(2023, 7, 1), dt.date(2024, 11, 1), dt.date(2026, 10, 31)
"""The figures begin with the first day. The two years that are judged are those from the second to the last."""
DAYS_OF_A_MONTH = 365.25 / 12


def days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the days of a range."""
    return [first + count * DAY for count in range((last - first).days + 1)]


# --- accounts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """A made-up account: the row of the table that it belongs to, and its figures."""

    name: str
    history: History


SIZES = (100, 300, 1_000, 5_000, 20_000)
"""Messages a day of an account of the world once it is five years old; a fortieth of it are its new followers."""


def of_the_world(seed: int, size: int, silent: float = 0.0, first: dt.date = BEGIN, last: dt.date = LAST) -> Made:
    """Return an account of the emulator's world, with the figures of a range of days."""
    world, days = World(seed, size, silent, dt.date(2021, 1, 1)), days_between(first, last)
    channels: dict[str, dict[int, dict[dt.date, int]]] = {"new_user": {}, "cancel_user": {}}
    for day in days:
        for row in world.rows(DAILY_FOLLOWERS, day):
            for field, found in channels.items():
                found.setdefault(row["user_source"], dict.fromkeys(days, 0))[day] = row[field]
    history = History(
        messages={day: sum(row["msg_count"] for row in world.rows(DAILY_MESSAGES, day)) for day in days},
        senders={day: sum(row["msg_user"] for row in world.rows(SENDERS_OF[Period.DAY], day)) for day in days},
        new=channels["new_user"],
        lost=channels["cancel_user"],
        followers={day: row["cumulate_user"] for day in days for row in world.rows(FOLLOWERS_TOTAL, day)},
    )
    return Made(f"the world, {size:,} messages a day{', 3 % silent days' if silent else ''}", history)


@dataclass(frozen=True, slots=True)
class Rough:
    """A way for an account to be unlike the emulator's world.

    `noise` is the standard deviation of a day's logarithm, part of which stays for the next day. `growth` is the factor
    of each month. `spikes` is the number of days a month on which an article goes viral. `on_holidays` is the factor
    of days off, and `on_weekends` that of weekends.
    """

    name: str
    noise: float = 0.15
    growth: float = 1.02
    spikes: float = 0.3
    on_holidays: float = 0.5
    on_weekends: float = 0.7


ROUGH = (
    Rough("a shop, ordinary noise"),
    Rough("noisy: a day is off by 30 %", noise=0.3),
    Rough("for offices: weekends a tenth, holidays nearly nothing", on_weekends=0.1, on_holidays=0.04),
    Rough("games: weekends and holidays double", on_weekends=2.0, on_holidays=2.2),
    Rough("doubles every two months for a year", growth=sqrt(2)),
    Rough("halves every two months for a year", growth=sqrt(0.5)),
    Rough("viral twice a month, up to tenfold", spikes=2.0),
)


def rough(kind: Rough, seed: int, size: float) -> Made:
    """Return a rough account that has `size` messages on an ordinary day in the middle of the two years."""
    rng, special = random.Random(f"{kind.name} {seed}"), places(BEGIN, LAST)
    weekdays = [exp(rng.gauss(0, 0.08)) * (kind.on_weekends if day >= 5 else 1) for day in range(7)]
    middle = FIRST + (LAST - FIRST) / 2
    messages, senders, followers = {}, {}, {}
    new: dict[int, dict[dt.date, int]] = {channel: {} for channel in (0, 1, 30, ARTICLE_CHANNEL)}
    lost: dict[int, dict[dt.date, int]] = {channel: {} for channel in new}
    total, stays, viral = 40 * round(size), {"messages": 0.0, "new": 0.0, "lost": 0.0}, 0.0
    for day in days_between(BEGIN, LAST):
        months = max(-6.0, min(6.0, (day - middle).days / DAYS_OF_A_MONTH))
        place = special.get(day)
        is_off = place is not None and place != ("working weekend", 0) and -2 <= place[1] <= 6
        factor = kind.growth**months * (kind.on_holidays if is_off else weekdays[day.weekday()])
        viral = max(viral / 3, rng.uniform(0.5, 9) if rng.random() < kind.spikes / DAYS_OF_A_MONTH else 0.0)
        for name, last in stays.items():
            stays[name] = 0.4 * last + rng.gauss(0, kind.noise * sqrt(1 - 0.4**2))
        count = size * factor * exp(stays["messages"]) * (1 + viral)
        messages[day] = _drawn(rng, count)
        senders[day] = min(messages[day], _drawn(rng, messages[day] / 2.4 * exp(rng.gauss(0, 0.05))))
        for channel, share in ((0, 0.2), (1, 0.3), (30, 0.4), (ARTICLE_CHANNEL, 0.3)):
            boost = 1 + viral * (4 if channel == ARTICLE_CHANNEL else 0.3)
            new[channel][day] = _drawn(rng, size / 4 * share * factor * exp(stays["new"]) * boost)
            lost[channel][day] = _drawn(rng, size / 8 * share * kind.growth**months * exp(stays["lost"]))
        total += sum(new[channel][day] - lost[channel][day] for channel in new)
        followers[day] = total
    return Made(kind.name, History(messages, senders, new, lost, followers))


def _drawn(rng: random.Random, mean: float) -> int:
    """Return a count that varies as counts of independent people do."""
    return max(0, round(rng.gauss(mean, sqrt(mean))))


def accounts(quick: bool) -> Iterator[Callable[[], Made]]:
    """Yield what makes each account, those of one row of the table next to each other."""
    seeds = range(101, 102) if quick else range(101, 103)  # not the seeds with which the limits were chosen
    for size in SIZES[:3] if quick else SIZES:
        yield from (partial(of_the_world, seed, size) for seed in seeds)
    yield from (partial(of_the_world, seed, 1_000, silent=0.03) for seed in seeds)
    for kind in ROUGH:
        yield from (partial(rough, kind, seed, 500 * 4 ** (seed - seeds[0])) for seed in seeds)


# --- faults -----------------------------------------------------------------------------------------------------

FACTORS = {"halved": 0.5, "doubled": 2.0, "zero": 0.0}
MISSING = "a channel missing"
EVERYTHING = {"everything halved": 0.5, "everything zero": 0.0}
"""Faults of all figures of a family at once; the totals of followers change as new and lost followers say."""
FAULTS = (*FACTORS, MISSING, *EVERYTHING)
SERIES = ("messages", "senders", "new_followers", "lost_followers")
_PAIRS = {"messages": SERIES[:2], "senders": SERIES[:2], "new_followers": SERIES[2:], "lost_followers": SERIES[2:]}
"""The figures whose doubts show a fault: of two that contradict each other, either may be named."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault in one figure of one day, or in the row of one channel; `channel` is None for all of them."""

    fault: str
    metric: str
    channel: int | None
    day: dt.date


def with_fault(history: History, it: Injected) -> History:
    """Return the figures with a fault."""
    if it.fault == MISSING:
        return _of_channels(_of_channels(history, "new", it, 0.0), "lost", it, 0.0)
    if it.fault in FACTORS:
        factor = FACTORS[it.fault]
        if it.metric in ("messages", "senders"):
            return _scaled(history, it.metric, it.day, factor)
        return _of_channels(history, "new" if it.metric == "new_followers" else "lost", it, factor)
    factor = EVERYTHING[it.fault]
    if it.metric in ("messages", "senders"):
        return _scaled(_scaled(history, "messages", it.day, factor), "senders", it.day, factor)
    faulty = _of_channels(_of_channels(history, "new", it, factor), "lost", it, factor)
    gained = summed(faulty.new)[it.day] - summed(faulty.lost)[it.day]
    return replace(faulty, followers={**history.followers, it.day: history.followers[it.day - DAY] + gained})


def _scaled(history: History, name: str, day: dt.date, factor: float) -> History:
    days: Days = getattr(history, name)
    return replace(history, **{name: {**days, day: int(days[day] * factor)}})


def _of_channels(history: History, name: str, it: Injected, factor: float) -> History:
    channels: Mapping[int, Days] = getattr(history, name)
    changed = {
        channel: {**days, it.day: int(days[it.day] * factor)} if it.channel in (None, channel) else days
        for channel, days in channels.items()
    }
    return replace(history, **{name: changed})


# --- measuring --------------------------------------------------------------------------------------------------

Special = Mapping[dt.date, Place]


def judged(history: History, day: dt.date, special: Special) -> list[Doubt]:
    """Return all doubts about a day, from the figures that the check loads for it."""
    history = _loaded(history, day)
    return [*doubts_about_messages(history, day, special), *doubts_about_followers(history, day, special)]


def _loaded(history: History, day: dt.date) -> History:
    days = [each for first, last in days_needed(day) for each in days_between(first, last)]

    def cut(figures: Days) -> Days:
        return {each: figures[each] for each in days if each in figures}

    channels = ({channel: cut(each) for channel, each in sums.items()} for sums in (history.new, history.lost))
    return History(cut(history.messages), cut(history.senders), *channels, cut(history.followers))


def series_of(history: History, metric: str, channel: int | None) -> Days:
    """Return the figures of one series."""
    if metric in ("messages", "senders"):
        return history.messages if metric == "messages" else history.senders
    channels = history.new if metric == "new_followers" else history.lost
    return (
        channels[channel]
        if channel is not None
        else summed({of: channels[of] for of in channels if of != ARTICLE_CHANNEL})
    )


def is_judged(history: History, it: Injected, special: Special) -> bool:
    """Return whether a figure is above the least volume, and a channel large; an injected zero must change it."""
    history = _loaded(history, it.day)
    series = Series.of(series_of(history, it.metric, it.channel), special)
    expected = series.expected(it.day)
    if it.channel is not None:
        channels = history.new if it.metric == "new_followers" else history.lost
        if it.channel not in large_channels(channels, it.day):
            return False
    smallest = SMALLEST_OF_MESSAGES if it.metric == "messages" else SMALLEST
    return expected is not None and expected.figure >= smallest and series.figure(it.day) > 1


def is_found(history: History, it: Injected, special: Special) -> bool:
    """Return whether a fault is found on its day."""
    found = judged(with_fault(history, it), it.day, special)
    return any(each.fails and each.metric in _PAIRS[it.metric] for each in found)


def drawn_faults(
    history: History, days: Sequence[dt.date], special: Special, number: int, seed: int
) -> Iterator[Injected]:
    """Yield `number` faults of each kind for each figure and each large channel, a fifth of them on special days."""
    rng, off = random.Random(seed), [day for day in days if day in special]
    channels = sorted({channel for day in days[::30] for channel in large_channels(history.new, day)})
    for metric in SERIES:
        faults: list[tuple[str, int | None]] = [(fault, None) for fault in (*FACTORS, *EVERYTHING)]
        if metric in _PAIRS["new_followers"]:
            # The channel of articles follows publishing: only its absence is judged.
            faults += [(fault, each) for each in channels for fault in FACTORS if each != ARTICLE_CHANNEL]
            faults += [(MISSING, each) for each in channels]
        for fault, channel in faults:
            for day in [*rng.choices(days, k=number - number // 5), *rng.choices(off, k=number // 5)]:
                yield Injected(fault, metric, channel, day)


Hits = dict[tuple[str, str], list[bool]]
"""Whether each fault was found, by fault and by account, kind of day, series, or `all`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted for an account: false alarms and notes per month, and the faults that were found."""

    name: str
    alarms: float
    notes: float
    hits: Hits


def measure(made: Iterable[Callable[[], Made]], number: int) -> tuple[dict[str, list[Measured]], Hits]:
    """Measure accounts on all processors; return the results by row of the table, and the faults of all of them."""
    rows: dict[str, list[Measured]] = defaultdict(list)
    hits: Hits = defaultdict(list)
    with ProcessPoolExecutor() as pool:
        for each in pool.map(partial(_measured, number=number), made):
            rows[each.name].append(each)
            for key, found in each.hits.items():
                hits[key] += found
    return rows, hits


def _measured(make: Callable[[], Made], number: int) -> Measured:
    made = make()
    days, special = days_between(FIRST, LAST), places(BEGIN, LAST)
    alarms = [doubt for day in days for doubt in judged(made.history, day, special)]
    failing = {doubt.day for doubt in alarms if doubt.fails}
    noted = {doubt.day for doubt in alarms} - failing
    hits: Hits = defaultdict(list)
    for it in drawn_faults(made.history, days, special, number, seed=1):
        if is_judged(made.history, it, special):
            hit = is_found(made.history, it, special)
            kind = "special day" if it.day in special else "weekend" if it.day.weekday() >= 5 else "weekday"
            series = it.metric if it.channel is None else f"{it.metric} of a channel"
            for place in (made.name, kind, series, "all"):
                hits[it.fault, place].append(hit)
    months = len(days) / DAYS_OF_A_MONTH
    return Measured(made.name, len(failing) / months, len(noted) / months, hits)


def main() -> None:
    """Print the tables of `docs/why.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one account of each kind, fewer faults")
    quick = parser.parse_args().quick
    rows, hits = measure(accounts(quick), 5 if quick else 12)
    _print("account", ["false alarms per month", "in the worst account", "notes per month", *FAULTS])
    for name, found in rows.items():
        alarms, notes = [each.alarms for each in found], [each.notes for each in found]
        figures = [f"{fmean(alarms):.2f}", f"{max(alarms):.2f}", f"{fmean(notes):.1f}"]
        print("|", " | ".join([name, *figures, *(_share(hits[fault, name]) for fault in FAULTS)]), "|")
    print()
    _print("faults found on", list(FAULTS))
    kinds = ["all", "weekday", "weekend", "special day", *SERIES, *(f"{each} of a channel" for each in SERIES[2:])]
    for place in kinds:
        print("|", " | ".join([place, *(_share(hits[fault, place]) for fault in FAULTS)]), "|")
    print(f"\n{sum(len(hits[fault, 'all']) for fault in FAULTS):,} faults.")


def _print(first: str, heads: Sequence[str]) -> None:
    print("|", " | ".join([first, *heads]), "|")
    print("|---" * (1 + len(heads)), "|", sep="")


def _share(hits: Sequence[bool]) -> str:
    return f"{100 * sum(hits) / len(hits):.0f} %" if hits else "-"


if __name__ == "__main__":
    main()
