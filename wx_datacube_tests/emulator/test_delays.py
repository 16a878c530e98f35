"""Answers about articles that are not final: they say `is_delay`, and their figures are too low."""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from wx_datacube.catalog.articles import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube_tests.emulator_caller import Caller, Emulators, Started, newest_published

DAY = dt.timedelta(days=1)
NOON = dt.datetime(2026, 11, 24, 12)
YESTERDAY = dt.date(2026, 11, 23)

each_of_articles = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)


@pytest.fixture
def start(emulators: Emulators) -> Iterator[Started]:
    """Starts emulators, by default at noon and without silent days."""
    with ExitStack() as used:
        yield lambda **options: emulators.start(used, **{"clock": NOON, "frozen": True, "silent_share": 0, **options})


def answer(caller: Caller, endpoint: Endpoint | str, begin: dt.date, end: dt.date | None = None) -> dict[str, Any]:
    """Return the whole answer of a call."""
    name = endpoint if isinstance(endpoint, str) else endpoint.name
    return caller.call(name, begin, end).json()


def figures_of(value: Any) -> list[int]:
    """Return all whole numbers in a row but codes and the number of articles, in their order."""
    if isinstance(value, dict):
        keys = {"publish_type", "position", "send_page_count"}
        return [number for name, each in value.items() if name not in keys for number in figures_of(each)]
    if isinstance(value, list):
        return [number for each in value for number in figures_of(each)]
    return [value] if isinstance(value, int) else []


@each_of_articles
def test_by_default_no_answer_is_delayed(start: Started, endpoint: Endpoint) -> None:
    """From publication on, answers say `"is_delay":false`."""
    caller = start(clock="2026-11-24T08:00")
    assert caller.call(endpoint.name, YESTERDAY).text.endswith('],"is_delay":false}')


@each_of_articles
def test_yesterday_may_be_delayed_until_a_time(start: Started, endpoint: Endpoint) -> None:
    """Before `delay_until`, yesterday's answer says so and has lower figures; older days are final."""
    caller = start(delay_until="10:30")
    day = newest_published(caller.emulated)
    caller.emulated.control.set_clock(dt.datetime.combine(day + DAY, dt.time(10, 29, 59)), frozen=True)
    early = answer(caller, endpoint, day)
    assert early["is_delay"] is True
    for before in (day - DAY, day - 2 * DAY):
        assert answer(caller, endpoint, before) == {
            "list": caller.emulated.world.rows(endpoint, before, day),
            "is_delay": False,
        }
    caller.emulated.control.advance(DAY / 86_400)
    final = answer(caller, endpoint, day)
    assert final == {"list": caller.emulated.world.rows(endpoint, day, day), "is_delay": False}
    low, high = figures_of(early["list"]), figures_of(final["list"])
    assert len(low) == len(high) > 0
    assert all(high_one * 6 // 10 <= low_one <= high_one for low_one, high_one in zip(low, high, strict=True))
    assert sum(low) < 0.8 * sum(high)


def test_a_delayed_window_has_lower_figures_for_yesterday_only(start: Started) -> None:
    """A window that ends yesterday is delayed as a whole, but its older days have their final figures."""
    caller = start(clock="2026-11-24T09:00", delay_until="10:00")
    window, world = (YESTERDAY - 3 * DAY, YESTERDAY), caller.emulated.world
    found = answer(caller, "getbizsummary", *window)
    assert found["is_delay"] is True
    *older, newest = found["list"]
    assert older == [row for n in (3, 2, 1) for row in world.rows("getbizsummary", YESTERDAY - n * DAY)]
    (final,) = world.rows("getbizsummary", YESTERDAY)
    assert newest["detail"]["read_user"] < final["detail"]["read_user"]
    assert newest["detail"]["send_page_count"] == final["detail"]["send_page_count"]
    assert answer(caller, "getbizsummary", window[0], YESTERDAY - DAY)["is_delay"] is False


def test_a_lower_answer_is_still_coherent(start: Started) -> None:
    """In a delayed answer too, the total is between the largest scene and the sum."""
    caller = start(clock="2026-11-24T09:00", delay_until="10:00", messages_per_day=20)
    details = [row["detail"] for name in ("getbizsummary", "getarticleread") for row in caller.rows(name, YESTERDAY)]
    assert len(details) > 5
    for detail in details:
        total, *scenes = (source["user_count"] for source in detail["read_user_source"])
        assert max(scenes) <= total == detail["read_user"] <= sum(scenes)


def test_an_unpublished_day_is_empty_and_delayed(start: Started) -> None:
    """Before publication, yesterday's answer is empty, and delayed if `delay_until` is later."""
    caller = start(clock="2026-11-24T07:00", delay_until="10:00")
    assert caller.call("getarticleread", YESTERDAY).text == '{"list":[],"is_delay":true}'


@each_of_articles
def test_every_answer_may_be_delayed(start: Started, endpoint: Endpoint) -> None:
    """With `delayed`, every article answer says `is_delay`; figures are the final ones."""
    caller = start(delayed=True)
    for day in (YESTERDAY, YESTERDAY - 100 * DAY):
        rows = caller.emulated.world.rows(endpoint, day, YESTERDAY)
        assert answer(caller, endpoint, day) == {"list": rows, "is_delay": True}
    assert answer(caller, "getusersummary", YESTERDAY).keys() == {"list"}


@each_of_articles
def test_is_delay_may_be_text(start: Started, endpoint: Endpoint) -> None:
    """With `delay_as_text`, it is "true" or "false", as a client has seen."""
    caller = start(delay_as_text=True)
    assert answer(caller, endpoint, YESTERDAY)["is_delay"] == "false"
    caller.emulated.control.set(delayed=True)
    assert answer(caller, endpoint, YESTERDAY)["is_delay"] == "true"
