"""The made-up world: its figures agree with its messages, and it is the same on every machine."""

import datetime as dt
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import DAILY_MESSAGES, ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Period
from wx_datacube.catalog.periods import due_on, label_of
from wx_datacube.emulator.seasons import EVE_HOURS, SPRING_FESTIVALS, mood_of, table
from wx_datacube.emulator.world import Message, World

NEW_YEAR = dt.date(2024, 2, 10)
MONDAY = dt.date(2024, 2, 5)
FEBRUARY = dt.date(2024, 2, 1)


def days(first: dt.date, end: dt.date) -> Iterator[dt.date]:
    """Yield the days from `first` up to, but not including, `end`."""
    return (first + dt.timedelta(days=n) for n in range((end - first).days))


def messages_of(world: World, label: dt.date, period: Period) -> list[Message]:
    """Return all messages of a period."""
    return [message for day in days(label, due_on(label, period)) for message in world.messages(day)]


def by_type(messages: Iterable[Message]) -> dict[int, tuple[int, int]]:
    """Return users and messages by type, counted one message at a time."""
    users: dict[int, set[int]] = {}
    counts: dict[int, int] = {}
    for message in messages:
        users.setdefault(message.type, set()).add(message.user)
        counts[message.type] = counts.get(message.type, 0) + 1
    return {kind: (len(users[kind]), counts[kind]) for kind in counts}


def by_interval(messages: Iterable[Message]) -> dict[int, int]:
    """Return users by how many messages they sent, counted one user at a time."""
    sent: dict[int, int] = {}
    for message in messages:
        sent[message.user] = sent.get(message.user, 0) + 1
    intervals = {1: range(1, 6), 2: range(6, 11), 3: range(11, 10**9)}
    users = {code: sum(count in interval for count in sent.values()) for code, interval in intervals.items()}
    return {code: number for code, number in users.items() if number}


@pytest.fixture(scope="module")
def world() -> World:
    """An account of the default size."""
    return World()


@pytest.mark.parametrize(
    ("endpoint", "label"),
    [
        ("getupstreammsg", NEW_YEAR),
        ("getupstreammsgweek", MONDAY),
        ("getupstreammsgmonth", FEBRUARY),
        ("getupstreammsgmonth", HISTORY_START),
    ],
)
def test_messages_by_type_are_those_that_people_sent(world: World, endpoint: str, label: dt.date) -> None:
    """Days, weeks and months count the distinct users and all messages of each type."""
    rows = world.rows(endpoint, label)
    found = {row["msg_type"]: (row["msg_user"], row["msg_count"]) for row in rows}
    assert found == by_type(messages_of(world, label, BY_NAME[endpoint].period))
    assert [row["msg_type"] for row in rows] == sorted(found)


@pytest.mark.parametrize(
    ("endpoint", "label"),
    [("getupstreammsgdist", NEW_YEAR), ("getupstreammsgdistweek", MONDAY), ("getupstreammsgdistmonth", FEBRUARY)],
)
def test_distributions_count_the_messages_of_each_user_over_the_whole_period(
    world: World, endpoint: str, label: dt.date
) -> None:
    """A user with three messages on each day of a week is in the interval above ten for that week."""
    found = {row["count_interval"]: row["msg_user"] for row in world.rows(endpoint, label)}
    assert found == by_interval(messages_of(world, label, BY_NAME[endpoint].period))


def test_hours_are_those_that_people_sent(world: World) -> None:
    """Each hour of a day counts its own users and messages; `ref_hour` is the hour times 100."""
    found = {
        (row["ref_hour"], row["msg_type"]): (row["msg_user"], row["msg_count"])
        for row in world.rows("getupstreammsghour", NEW_YEAR)
    }
    expected = {}
    for hour in range(24):
        types = by_type(message for message in world.messages(NEW_YEAR) if message.hour == hour)
        expected |= {(hour * 100, kind): figures for kind, figures in types.items()}
    assert found == expected
    assert list(found) == sorted(found)


def test_hours_add_up_to_days_and_days_to_weeks_and_months(world: World) -> None:
    """`msg_count` is additive for every type."""

    def counts(endpoint: str, labels: Iterable[dt.date]) -> Counter[int]:
        total: Counter[int] = Counter()
        for row in (row for label in labels for row in world.rows(endpoint, label)):
            total[int(row["msg_type"])] += int(row["msg_count"])
        return total

    month = list(days(FEBRUARY, dt.date(2024, 3, 1)))
    by_day = counts("getupstreammsg", month)
    assert counts("getupstreammsghour", month) == by_day == counts("getupstreammsgmonth", [FEBRUARY])
    week = days(MONDAY, MONDAY + dt.timedelta(days=7))
    assert counts("getupstreammsg", week) == counts("getupstreammsgweek", [MONDAY])


def test_users_overlap_between_types_hours_and_days(world: World) -> None:
    """`msg_user` can't be summed: the same people send several types, at several hours, on several days."""
    sent = [{message.user for message in world.messages(day)} for day in days(MONDAY, MONDAY + dt.timedelta(days=7))]
    week = sum(int(row["msg_user"]) for row in world.rows("getupstreammsgdistweek", MONDAY))
    assert week == len(set().union(*sent)) < sum(map(len, sent))
    monday = sum(int(row["msg_user"]) for row in world.rows("getupstreammsgdist", MONDAY))
    assert monday == len(sent[0]) < sum(int(row["msg_user"]) for row in world.rows("getupstreammsg", MONDAY))


def test_rows_have_the_fields_of_real_answers_in_their_order(world: World) -> None:
    """Fields are in the order date, hour, `user_source` (0), key, figures."""
    for endpoint in ENDPOINTS:
        (first, *_) = world.rows(endpoint, label_of(NEW_YEAR, endpoint.period))
        keys = [column.name for column in endpoint.key if column.name != "ref_date"]
        hour = [name for name in keys if name == "ref_hour"]
        others = [name for name in keys if name != "ref_hour"]
        figures = [column.name for column in endpoint.table.measures]
        assert list(first) == ["ref_date", *hour, "user_source", *others, *figures]
        assert first["user_source"] == 0
        assert first["ref_date"] == label_of(NEW_YEAR, endpoint.period).isoformat()
        assert all(type(value) is int for name, value in first.items() if name != "ref_date")


def test_a_silent_day_has_no_rows_at_all() -> None:
    """A silent day has no rows, not rows with zeros, in any endpoint."""
    world = World(silent_share=1.0)
    assert world.messages(NEW_YEAR) == []
    assert not any(world.rows(endpoint, label_of(NEW_YEAR, endpoint.period)) for endpoint in ENDPOINTS)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_the_share_of_silent_days_follows_the_option(share: float) -> None:
    """`silent_share` holds over three years; at 0, even the smallest account has a message every day."""
    world = World(messages_per_day=3, silent_share=share)
    silent = sum(not world.messages(day) for day in days(dt.date(2020, 1, 1), dt.date(2023, 1, 1)))
    assert silent / 1096 == pytest.approx(share, abs=0.04 if share else 0)


def test_nothing_happens_before_the_account_starts() -> None:
    """There are no messages before WeChat's history or the account's first day; the first week is partial."""
    world = World(start=dt.date(2024, 2, 8), silent_share=0)
    assert World().messages(HISTORY_START - dt.timedelta(days=1)) == world.messages(dt.date(2024, 2, 7)) == []
    assert World(silent_share=0).messages(HISTORY_START)
    assert by_type(messages_of(world, dt.date(2024, 2, 8), Period.DAY))
    (first, *_) = world.rows("getupstreammsgweek", MONDAY)
    assert first["ref_date"] == "2024-02-05"


def volume(world: World, first: dt.date, length: int) -> float:
    """Return the median number of messages per day."""
    return statistics.median(len(world.messages(day)) for day in days(first, first + dt.timedelta(days=length)))


def test_the_audience_grows_to_the_configured_size() -> None:
    """Volume is a third at the beginning, about `messages_per_day` after five years, and slightly higher later."""
    world = World(messages_per_day=1000, silent_share=0)
    young, grown, old = (volume(world, dt.date(year, 12, 1), 20) for year in (2014, 2020, 2025))
    assert young < 500 < 800 < grown < 1250
    assert grown * 0.95 < old < 1600


def test_followers_come_and_go_and_regulars_return(world: World) -> None:
    """A year apart, some senders are the same people, most are not, and new users have higher numbers."""
    before, after = (
        {message.user for day in days(first, first + dt.timedelta(days=30)) for message in world.messages(day)}
        for first in (dt.date(2022, 3, 1), dt.date(2023, 3, 1))
    )
    assert 0.05 < len(before & after) / len(after) < 0.6
    assert max(after) > max(before)


def test_nights_weekends_and_the_eve_of_the_new_year_differ() -> None:
    """Nights, weekends and the eve of the Chinese New Year differ enough to see in a chart."""
    world = World(messages_per_day=2000, silent_share=0)
    hours = Counter(
        message.hour for day in days(dt.date(2024, 3, 1), dt.date(2024, 4, 1)) for message in world.messages(day)
    )
    assert set(hours) == set(range(24))
    assert hours[20] > 8 * hours[3]
    month = list(days(dt.date(2024, 5, 6), dt.date(2024, 9, 2)))
    workdays, weekends = (
        statistics.median(len(world.messages(day)) for day in month if (day.weekday() >= 5) is weekend)
        for weekend in (False, True)
    )
    assert weekends < 0.9 * workdays
    eve = world.messages(NEW_YEAR - dt.timedelta(days=1))
    assert len(eve) > 1.5 * workdays
    assert sum(message.hour >= 19 for message in eve) > len(eve) / 2


def test_spring_festivals_fall_between_21_january_and_20_february_about_a_lunar_year_apart() -> None:
    """The list of dates has no typing mistake that would break one of these two rules."""
    assert all((1, 21) <= (day.month, day.day) <= (2, 20) for day in SPRING_FESTIVALS)
    gaps = {(after - before).days for before, after in pairwise(SPRING_FESTIVALS)}
    assert gaps <= {353, 354, 355, 383, 384, 385}
    assert mood_of(NEW_YEAR - dt.timedelta(days=1)).hours == EVE_HOURS


def test_a_table_draws_in_the_given_proportions() -> None:
    """A table has 256 entries, and each value has its share of them."""
    assert len(table({7: 3, 9: 1})) == 256
    assert Counter(table({7: 3, 9: 1})) == {7: 192, 9: 64}


def test_restating_a_day_changes_it_and_everything_that_contains_it() -> None:
    """Hours, distribution, week and month of the day change; other days don't."""
    world, before = World(), World()
    endpoints = {endpoint.name: label_of(NEW_YEAR, endpoint.period) for endpoint in ENDPOINTS}
    assert world.json(DAILY_MESSAGES, NEW_YEAR) == before.json(DAILY_MESSAGES, NEW_YEAR)
    now = world.restate(NEW_YEAR, factor=1.2)
    assert now == len(world.messages(NEW_YEAR)) == round(1.2 * len(before.messages(NEW_YEAR)))
    for name, label in endpoints.items():
        assert world.rows(name, label) != before.rows(name, label)
        assert world.json(BY_NAME[name], label) == json.dumps(world.rows(name, label), separators=(",", ":"))[1:-1]
    assert world.rows("getupstreammsg", MONDAY) == before.rows("getupstreammsg", MONDAY)
    found = {row["msg_type"]: (row["msg_user"], row["msg_count"]) for row in world.rows("getupstreammsgweek", MONDAY)}
    assert found == by_type(messages_of(world, MONDAY, Period.WEEK))


def test_a_restatement_appends_or_drops_only_the_last_messages() -> None:
    """A restatement appends messages or drops the last ones."""
    world = World()
    before = world.messages(NEW_YEAR)
    world.restate(NEW_YEAR, delta=5)
    assert world.messages(NEW_YEAR)[: len(before)] == before
    world.restate(NEW_YEAR, delta=-10)
    assert world.messages(NEW_YEAR) == before[:-5]
    assert world.restate(NEW_YEAR, delta=-(10**6)) == 0
    assert world.rows("getupstreammsg", NEW_YEAR) == []


def test_a_restatement_by_a_factor_always_changes_something() -> None:
    """A factor changes the number even if rounding would not, and a silent day can get messages."""
    world = World(messages_per_day=3, silent_share=0)
    before = len(world.messages(NEW_YEAR))
    assert world.restate(NEW_YEAR, factor=1.01) == before + 1
    silent = World(silent_share=1)
    assert silent.restate(NEW_YEAR, delta=7) == 7 == len(silent.messages(NEW_YEAR))
    with pytest.raises(ValueError, match="either factor or delta"):
        world.restate(NEW_YEAR)


DIGESTED = """
import datetime as dt, hashlib
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.emulator.world import World
from wx_datacube.catalog.periods import label_of
text = ""
for size, endpoints in ((3, ENDPOINTS), (300, ENDPOINTS), (2_000, ENDPOINTS), (20_000, ENDPOINTS[:2])):
    for day in (dt.date(2014, 12, 1), dt.date(2019, 2, 4), dt.date(2026, 11, 16)):
        world = World(seed=7, messages_per_day=size)
        text += "".join(world.json(endpoint, label_of(day, endpoint.period)) for endpoint in endpoints)
print(hashlib.sha256(text.encode()).hexdigest())
"""
DIGEST = "248a3dadb77bab402cb8a94fc19115ae6078d8ba9d8dddc63f43dbc6232f1ddb"
OTHERS_DIGESTED = """
import datetime as dt, hashlib
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.emulator.world import World
text = ""
for size in (3, 300, 100_000):
    for day in (dt.date(2014, 12, 1), dt.date(2019, 2, 4), dt.date(2026, 11, 16), dt.date(2026, 11, 17)):
        world = World(seed=7, messages_per_day=size)
        text += "".join(world.json(endpoint, day) for endpoint in ENDPOINTS[7:])
print(hashlib.sha256(text.encode()).hexdigest())
"""
OTHERS_DIGEST = "466c335c6854bcc81d0622fedf893984464d8d5ab22689e3ea92c6df920404db"


@pytest.mark.parametrize("hash_seed", ["0", "1"])
@pytest.mark.parametrize(("program", "digest"), [(DIGESTED, DIGEST), (OTHERS_DIGESTED, OTHERS_DIGEST)])
def test_a_seed_gives_the_same_world_in_every_process(program: str, digest: str, hash_seed: str) -> None:
    """The figures have a fixed digest: a new digest means that every figure that users wrote down has changed."""
    command = [sys.executable, "-W", "error", "-c", program]
    path = ":".join(filter(None, sys.path))
    done = subprocess.run(
        command, env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest


def test_a_day_is_the_same_alone_and_after_others() -> None:
    """A day doesn't depend on the days computed before it, and caches don't leak."""
    wandered = World()
    for day in days(dt.date(2024, 1, 1), NEW_YEAR):
        wandered.messages(day)
    assert wandered.messages(NEW_YEAR) == World().messages(NEW_YEAR)


def test_another_seed_is_another_world() -> None:
    """Another seed gives other figures."""
    one, other = World(seed=1), World(seed=2)
    assert one.rows("getupstreammsg", NEW_YEAR) != other.rows("getupstreammsg", NEW_YEAR)


def seconds(world: World, endpoint: str, label: dt.date) -> float:
    """Return the CPU time to compute a label's rows for the first time."""
    began = time.process_time()
    assert world.rows(endpoint, label)
    return time.process_time() - began


def test_any_day_of_a_large_account_is_computed_within_two_seconds() -> None:
    """Uncached, a day of 1,000 messages takes 20 ms at most, and one of 100,000 less than two seconds."""
    labels = [dt.date(year, 3, 4) for year in range(2015, 2026)]
    for messages, within, days in ((1_000, 0.02, labels), (100_000, 2, labels[-3:])):
        world = World(messages_per_day=messages, silent_share=0)
        assert statistics.median(seconds(world, "getupstreammsghour", label) for label in days) < within


def test_a_month_of_a_large_account_takes_seconds() -> None:
    """Three million uncached messages take less than a client's timeout, and a second view of them takes less."""
    world = World(messages_per_day=100_000, silent_share=0)
    assert seconds(world, "getupstreammsgmonth", FEBRUARY) < 25
    assert seconds(world, "getupstreammsgdistmonth", FEBRUARY) < 10


def test_computed_rows_are_cached() -> None:
    """The second request for the same rows takes a fraction of the first one's time."""
    world = World(messages_per_day=20_000, silent_share=0)
    endpoint = BY_NAME["getupstreammsgmonth"]
    began = time.perf_counter()
    first = world.json(endpoint, FEBRUARY)
    between = time.perf_counter()
    assert world.json(endpoint, FEBRUARY) == first
    assert time.perf_counter() - between < (between - began) / 20
