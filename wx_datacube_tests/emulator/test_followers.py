"""The made-up followers and callbacks: they agree with each other, with the articles and with the messages."""

import datetime as dt
import time
from collections import Counter

import pytest

from wx_datacube.catalog.articles import ARTICLES_START
from wx_datacube.catalog.model import HISTORY_START
from wx_datacube.emulator.world import World

DAY = dt.timedelta(days=1)
LAST_DAY = dt.date(2026, 11, 23)
RECENT = [LAST_DAY - number * DAY for number in reversed(range(90))]
OLD = [HISTORY_START + number * DAY for number in range(90)]
CODES = {0, 1, 17, 30, 57, 100, 149, 161, 200, 201}


@pytest.fixture(scope="module", params=[(0, 300), (5, 3), (9, 3_000)], ids=["usual", "small", "large"])
def world(request: pytest.FixtureRequest) -> World:
    """Accounts of three sizes."""
    seed, size = request.param
    return World(seed, size)


def new_and_lost(world: World, day: dt.date) -> dict[int, tuple[int, int]]:
    """Return new and lost followers by channel."""
    rows = world.rows("getusersummary", day)
    assert all(row["ref_date"] == day.isoformat() for row in rows)
    found = {row["user_source"]: (row["new_user"], row["cancel_user"]) for row in rows}
    assert list(found) == sorted(found)
    assert len(found) == len(rows)
    return found


def total(world: World, day: dt.date) -> int:
    """Return the followers at the end of a day."""
    (row,) = world.rows("getusercumulate", day)
    assert row == {"ref_date": day.isoformat(), "user_source": 0, "cumulate_user": row["cumulate_user"]}
    return int(row["cumulate_user"])


@pytest.mark.parametrize("days", [OLD, RECENT], ids=["2014", "2026"])
def test_followers_change_by_those_who_came_and_left(world: World, days: list[dt.date]) -> None:
    """Each day's total is the day before's, plus new, minus lost followers, over all channels."""
    before = total(world, days[0])
    for day in days[1:]:
        after = total(world, day)
        assert after - before == sum(new - lost for new, lost in new_and_lost(world, day).values())
        assert after > 0
        before = after


def test_a_listed_day_has_a_row_for_channel_0_often_all_zeros() -> None:
    """Channel 0 has a row on every listed day; only there may both figures be zero."""
    world = World()
    days = [found for day in RECENT if (found := new_and_lost(world, day))]
    assert all(0 in found for found in days)
    assert sum(found[0] == (0, 0) for found in days) > 5
    assert all(any(figures) for found in days for channel, figures in found.items() if channel)


def test_small_accounts_have_days_that_are_not_listed_but_counted() -> None:
    """A day on which nobody came or left has no row, but has a total."""
    world = World(5, 3)
    unlisted = [day for day in OLD if not new_and_lost(world, day)]
    assert unlisted
    assert all(total(world, day) for day in unlisted)


def test_channels_are_those_that_wechat_had_at_the_time(world: World) -> None:
    """Newer channels don't occur before they existed, and payments only until June 2023."""
    assert set().union(*(new_and_lost(world, day) for day in RECENT)) <= CODES | {51}
    old = set().union(*(new_and_lost(world, day) for day in OLD))
    assert old <= {0, 1, 17, 30, 51, 57}
    assert all(new_and_lost(world, day).get(51, (0, 0))[0] == 0 for day in RECENT)


def test_a_usual_account_has_all_channels() -> None:
    """Within 90 days an account of the usual size has new and lost followers of every channel."""
    world = World()
    new, lost = Counter[int](), Counter[int]()
    for day in RECENT:
        for channel, (came, left) in new_and_lost(world, day).items():
            new[channel] += came
            lost[channel] += left
    assert +new
    assert set(+new) == CODES
    assert len(+lost) >= 8
    assert 0.3 < lost.total() / new.total() < 1


def test_followers_of_channel_57_come_from_articles(world: World) -> None:
    """From November 2025 on, they are the growth of `read_subscribe_user`, added up over all articles."""
    days = [ARTICLES_START + number * DAY for number in range(90)]
    gained = dict.fromkeys(days, 0)
    for published in days:
        for article in world.rows("getarticletotaldetail", published):
            before = 0
            for figures in article["detail_list"]:
                day = dt.date.fromisoformat(figures["stat_date"])
                gained[day] = gained.get(day, 0) + figures["read_subscribe_user"] - before
                before = figures["read_subscribe_user"]
    assert [new_and_lost(world, day).get(57, (0, 0))[0] for day in days] == [gained[day] for day in days]
    assert sum(gained.values())


def test_there_are_fewer_followers_than_people_who_ever_came(world: World) -> None:
    """The account grows over the years, and more people follow it than send messages on a day."""
    totals = [total(world, dt.date(year, 11, 23)) for year in range(2015, 2027)]
    assert totals == sorted(totals)
    assert totals[-1] > len({message.user for message in world.messages(LAST_DAY)})


def test_totals_begin_with_the_account_and_have_no_gaps() -> None:
    """Every day from the account's first one on has a total; earlier days have no rows."""
    first = dt.date(2024, 2, 8)
    world = World(start=first)
    for name in ("getusersummary", "getusercumulate"):
        assert world.rows(name, first - DAY) == world.rows(name, dt.date.min) == []
    assert all(total(world, first + number * DAY) for number in range(100))


def test_totals_do_not_depend_on_the_order_of_requests() -> None:
    """A total is the same whether later or earlier days were asked before."""
    one, days = World(), [*RECENT[::7], *OLD[::7], *RECENT[::5]]
    totals = [total(one, day) for day in days]
    assert totals == [total(World(), day) for day in days]
    assert [total(one, day) for day in reversed(days)] == totals[::-1]


def test_twelve_years_of_followers_take_milliseconds_per_day() -> None:
    """The first total of a twelve-year-old account takes less than a client's timeout, later ones nothing."""
    world, began = World(), time.process_time()
    total(world, LAST_DAY)
    first = time.process_time()
    for day in RECENT:
        total(world, day)
        new_and_lost(world, day)
    assert first - began < 4  # 0.4 s on an idle machine
    assert time.process_time() - first < 90 * 0.01


def test_a_restated_day_has_more_passing_followers_and_the_same_total() -> None:
    """On a restated day more people came and left; no other day and no total changes."""
    world, before = World(), World()
    world.restate(LAST_DAY - DAY, factor=1.5)
    assert new_and_lost(world, LAST_DAY - DAY) != new_and_lost(before, LAST_DAY - DAY)
    for day in RECENT:
        assert total(world, day) == total(before, day)
        if day != LAST_DAY - DAY:
            assert new_and_lost(world, day) == new_and_lost(before, day)
    net = [sum(new - lost for new, lost in new_and_lost(each, LAST_DAY - DAY).values()) for each in (world, before)]
    assert net[0] == net[1]


def test_the_server_answers_every_message_of_a_day_and_of_an_hour(world: World) -> None:
    """Callbacks are the messages, by hour; a day without messages has no row."""
    silent = 0
    for day in RECENT:
        sent = Counter(100 * message.hour for message in world.messages(day))
        hours = world.rows("getinterfacesummaryhour", day)
        assert {row["ref_hour"]: row["callback_count"] for row in hours} == sent
        assert [row["ref_hour"] for row in hours] == sorted(sent)
        assert [row["callback_count"] for row in world.rows("getinterfacesummary", day)] == [sent.total()] * bool(sent)
        silent += not sent
    assert silent or world.rows("getinterfacesummary", RECENT[0])


def test_hours_add_up_to_the_day(world: World) -> None:
    """Callbacks, failures and times of the hours add up to the day's; the day's longest is the hours' longest."""
    failures = 0
    for day in RECENT:
        hours = world.rows("getinterfacesummaryhour", day)
        for row in world.rows("getinterfacesummary", day):
            for figure in ("callback_count", "fail_count", "total_time_cost"):
                assert row[figure] == sum(hour[figure] for hour in hours)
            assert row["max_time_cost"] == max(hour["max_time_cost"] for hour in hours)
            failures += row["fail_count"]
        for row in hours:
            assert 0 < row["max_time_cost"] <= row["total_time_cost"] <= row["callback_count"] * row["max_time_cost"]
            assert row["max_time_cost"] <= 5044
            assert (row["fail_count"] > 0) is (row["max_time_cost"] >= 5000)
    assert failures


def test_days_without_callbacks_exist() -> None:
    """Silent days have no callbacks, in the day's rows and in the hours'."""
    world = World(silent_share=0.2)
    silent = [day for day in RECENT if not world.messages(day)]
    assert silent
    for day in silent:
        assert world.rows("getinterfacesummary", day) == world.rows("getinterfacesummaryhour", day) == []


def test_callbacks_follow_restated_messages() -> None:
    """A restated day has as many callbacks as messages; those that it had keep their times."""
    world = World()
    (before,) = world.rows("getinterfacesummary", LAST_DAY)
    messages = world.restate(LAST_DAY, delta=1)
    (after,) = world.rows("getinterfacesummary", LAST_DAY)
    assert after["callback_count"] == before["callback_count"] + 1 == messages
    assert 0 < after["total_time_cost"] - before["total_time_cost"] <= 5044
