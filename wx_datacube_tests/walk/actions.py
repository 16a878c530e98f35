"""Actions: what people, machines and WeChat do, as data. A walk is a list of actions with their drawn arguments.

Add an entry to `ACTIONS`, or a kind of weather to `WEATHERS`. `draw` returns arguments that JSON can represent. `do`
takes them, and may yield invariants that failed. Days are drawn relative to the current day, so that any subset of a
walk's steps is a valid walk.
"""

import datetime as dt
import random
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import due_labels, due_on, gaps
from wx_datacube.emulator.faults import Fault
from wx_datacube_tests.walk.invariants import Moment, broken
from wx_datacube_tests.walk.life import LOOK, Life

if TYPE_CHECKING:
    from wx_datacube_tests.walk.system import System

CORE, SYSTEM = "core", "system"
Drawn = dict[str, Any]
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Action:
    """Something that can happen; the probability is proportional to `weight`."""

    name: str
    weight: int
    do: Callable[..., Iterable[str] | None]
    draw: Callable[[random.Random], Drawn] = lambda chance: {}
    levels: tuple[str, ...] = (CORE, SYSTEM)


# --- weather at WeChat -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weather:
    """How WeChat behaves until it changes: options of the emulator and faults.

    `lies`: it gives wrong answers. `heals`: the number of mornings after which no label is overdue nevertheless; None
    if that isn't guaranteed.
    """

    name: str
    weight: int = 1
    options: Drawn = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    lies: bool = False
    heals: int | None = None


CLEAR = Weather("clear", 8, heals=1)
WEATHERS = (
    CLEAR,
    Weather("late, refused until 11:00", 2, {"publish_at": "11:00", "refuse_unpublished": True}, heals=1),
    Weather("late, empty until 11:00", 2, {"publish_at": "11:00"}, heals=1),
    Weather("late, refused until 14:00", 2, {"publish_at": "14:00", "refuse_unpublished": True}),
    Weather("late, empty until 14:00", 2, {"publish_at": "14:00"}, lies=True),
    Weather("silent until midnight", 1, {"publish_at": "23:59"}, lies=True),
    Weather("partial", 2, {"partial": True}, lies=True, heals=3),
    Weather("one label a call", 1, {"one_label": True}, heals=2),
    Weather("rows outside the window", 1, {"stray_rows": True}, lies=True),
    Weather("down", 2, faults=("all=drop",)),
    Weather("busy", 2, faults=("*=-1",)),
    Weather("one in five fails, one in five is slow", 2, faults=("*@0.2=502", "*@0.2=delay:0.5"), heals=2),
    Weather("tokens are refused", 1, {"secret_frozen": True}),
    Weather("this address is not allowed", 1, {"whitelist": ["198.51.100.7"]}),
    Weather("hours are not granted", 1, {"denied": [ENDPOINTS[1].name]}),
    Weather("nothing is granted", 1, {"denied": ["*"]}),
    Weather("three calls a day", 1, {"quota": 3}),
    Weather("no calls left", 1, {"quota": 0}),
)
_ORDINARY: Drawn = {
    "publish_at": None,
    "refuse_unpublished": None,
    "partial": None,
    "one_label": None,
    "stray_rows": None,
    "secret_frozen": None,
    "whitelist": None,
    "denied": None,
    "quota": None,
}


def _weather(life: Life, member: int, weather: str, mornings: int) -> Iterator[str]:
    """Change the weather; then let some mornings pass without any action."""
    _change(life, life.member(member), next(each for each in WEATHERS if each.name == weather))
    for _ in range(mornings):
        yield from _morning(life)


def _change(life: Life, member: str, weather: Weather) -> None:
    life.take_ledger()
    faults = tuple(map(Fault.parse, weather.faults))
    life.emulated(member).configure({**_ORDINARY, **weather.options, "faults": faults})
    facts = life.facts[member]
    facts.lies_since = life.now if weather.lies else None
    facts.heals, facts.weather_since = weather.heals, life.now


def _drawn_weather(chance: random.Random) -> Drawn:
    (weather,) = chance.choices(WEATHERS, [each.weight for each in WEATHERS])
    mornings = 0 if weather is CLEAR else chance.choice([0, 0, 0, 1, 3, 7])
    return {"member": chance.randrange(2), "weather": weather.name, "mornings": mornings}


# --- single events at WeChat -------------------------------------------------------------------------------------


def _restate(life: Life, member: int, ago: int, factor: float) -> None:
    """WeChat restates a day."""
    name, day = life.member(member), life.now.date() - ago * DAY
    life.take_ledger()
    life.emulated(name).world.restate(day, factor)
    facts = life.facts[name]
    for of in life.labels_of_day(day):
        facts.restated.add(of)
        life.doubt(name, *of, life.now)


def _revoke(life: Life, member: int, sticky: bool) -> None:
    """Another program's token call invalidates ours."""
    account = life.emulated(life.member(member))
    account.tokens.revoke(account.clock(), sticky=sticky)


def _use_quota(life: Life, member: int, endpoint: int, calls: int) -> None:
    """Another program makes calls."""
    account = life.emulated(life.member(member))
    account.quotas.use(ENDPOINTS[endpoint % len(ENDPOINTS)].name, account.clock(), calls)


# --- people ------------------------------------------------------------------------------------------------------


def _backfill(life: Life, member: int, endpoints: list[int], ago: int, days: int, refresh: bool) -> Iterator[str]:
    """A person runs `wx-datacube backfill`."""
    drawn = {"member": member, "endpoints": endpoints, "ago": ago, "days": days, "refresh": refresh}
    name, chosen, first, last, _ = _asked_of(life, drawn)
    busy, missing, before = life.busy, life.missing_in(name, chosen, first, last), life.calls(name)
    life.backfill(name, chosen, first, last, refresh)
    if not (busy or refresh or missing) and life.calls(name) != before:
        yield f"stored labels cost no call: nothing was missing, it took {(life.calls(name) - before).total()} calls"


def _drawn_backfill(chance: random.Random) -> Drawn:
    endpoints = sorted(chance.sample(range(len(ENDPOINTS)), chance.randint(1, len(ENDPOINTS))))
    ago = chance.randint(1, 40)
    return {
        "member": chance.randrange(2),
        "endpoints": endpoints,
        "ago": ago,
        "days": chance.randint(0, ago),
        "refresh": chance.random() < 0.4,
    }


def _doctor(life: Life, member: int) -> None:
    """A person runs `wx-datacube doctor`, which changes nothing."""
    life.doctor(life.member(member))


def _look_around(life: Life, member: int) -> Iterator[str]:
    """A person looks at the data."""
    name = life.member(member)
    busy, before = life.busy, life.calls(name)
    life.look_around(name)
    if not busy and life.calls(name) != before:
        yield "status, report and export make no call: one was made"


def _replay(life: Life) -> None:
    """A person rebuilds the tables."""
    life.replay()


def _rename(life: Life, member: int, new: str) -> None:
    """A person renames an account."""
    if new not in life.names.values():
        life.rename(life.member(member), new)


def _chat(life: Life, status: int) -> None:
    """The chat's robot goes down, or comes back."""
    life.take_messages()
    life.receiver.status = status
    life.chat_down_on.add(life.now.date())


def _schedules(life: Life, on: bool) -> None:
    """The machine with its schedules is turned on or off."""
    if on and not life.scheduled:
        life.scheduled_since = life.now
    life.scheduled = on


# --- Dagster's UI, and failures of processes ---------------------------------------------------------------------


def _ui_backfill(life: "System", member: int, assets: list[dict[str, Any]], settle: bool) -> None:
    """A person launches a backfill in the UI over ranges with gaps; it may still run during the next action."""
    today, ranges = life.now.date(), {}
    for each in assets:
        endpoint = ENDPOINTS[each["endpoint"]]
        due = due_labels(endpoint.period, life.start, today)
        found = []
        for ago, days in each["ranges"]:
            labels = [label for label in due if today - ago * DAY <= label <= today - (ago - days) * DAY]
            found += [(labels[0], labels[-1])] if labels else []
        if found:
            ranges[endpoint] = found
    if ranges:
        life.launch(life.member(member), ranges)
    if settle:
        life.settle()


def _drawn_ranges(chance: random.Random) -> list[list[int]]:
    """Draw ranges of days before the current one, oldest first, with days between them."""
    ends = sorted(chance.sample(range(1, 21), 2 * chance.randint(1, 3)), reverse=True)
    return [[first, first - last] for first, last in zip(ends[::2], ends[1::2], strict=True)]


def _drawn_ui_backfill(chance: random.Random) -> Drawn:
    endpoints = sorted(chance.sample(range(len(ENDPOINTS)), chance.randint(1, len(ENDPOINTS))))
    same = _drawn_ranges(chance)
    alike = chance.random() < 0.7  # as with *Failed and missing*
    assets = [{"endpoint": each, "ranges": same if alike else _drawn_ranges(chance)} for each in endpoints]
    return {"member": chance.randrange(2), "assets": assets, "settle": chance.random() < 0.6}


def _failed_and_missing(life: "System", member: int) -> None:
    """A person launches *Failed and missing* for all assets."""
    name, ranges = life.member(member), {}
    held = life.materialized(name)
    for endpoint in ENDPOINTS:
        due = due_labels(endpoint.period, life.start, life.now.date())
        if found := gaps(set(due) - held[endpoint.name], due):
            ranges[endpoint] = found
    if ranges:
        life.launch(name, ranges)
    life.settle()


def _materialize(life: "System", member: int, endpoint: int, ago: int, days: int) -> None:
    """A person runs `dagster asset materialize`."""
    chosen = ENDPOINTS[endpoint]
    due = due_labels(chosen.period, life.start, life.now.date())
    first = life.now.date() - ago * DAY
    if labels := [label for label in due if first <= label <= first + days * DAY]:
        life.materialize(life.member(member), chosen, labels[0], labels[-1])


def _side_by_side(life: "System", one: Drawn, other: Drawn) -> None:
    """Two backfills run at the same time."""
    life.side_by_side([_asked_of(life, each) for each in (one, other)])


def _asked_of(life: Life, drawn: Drawn) -> tuple[str, list[Endpoint], dt.date, dt.date, bool]:
    """Return account, endpoints, first and last day of a backfill, and whether it is a refresh; record a refresh."""
    name = life.member(drawn["member"])
    first = max(life.now.date() - drawn["ago"] * DAY, life.start)
    last = min(first + drawn["days"] * DAY, life.now.date() - DAY)
    chosen = [ENDPOINTS[number] for number in drawn["endpoints"]]
    if drawn["refresh"]:
        for endpoint in chosen:
            labels = life.states(name)[endpoint.name]
            life.facts[name].refreshed |= {(endpoint.name, label) for label in labels if first <= label <= last}
    return name, chosen, first, last, drawn["refresh"]


def _stopped_backfill(life: "System", backfill: Drawn, after: float, how: str, victim: int, where: str) -> None:
    """A process of a backfill is killed, interrupted or suspended; the next backfill continues."""
    life.stopped_backfill(_asked_of(life, backfill), after, how, victim, where)


def _kill(life: "System", victim: int) -> None:
    """A process of `dagster dev` or of a run gets `kill -9`."""
    life.start_dev()
    life.hit(life.processes(), victim, signal.SIGKILL)


def _suspend(life: "System", minutes: int) -> None:
    """The machine is suspended with all its processes."""
    life.suspend(dt.timedelta(minutes=minutes))


def _drawn_stop(chance: random.Random) -> Drawn:
    return {
        "backfill": _drawn_backfill(chance),
        "after": round(chance.uniform(0.5, 6), 1),
        "how": chance.choice(["SIGKILL", "SIGKILL", "SIGINT", "SIGSTOP"]),
        "victim": chance.randrange(4),
        "where": chance.choice(["here", "here", "another host", "a container"]),
    }


# --- time --------------------------------------------------------------------------------------------------------


def _morning(life: Life) -> Iterator[str]:
    """Time passes until 12:40 of the next day, when messages and `status` are checked."""
    yield from _until_the_next_look(life)
    for member in life.members():
        if life.scheduled and (missing := list(_not_healed(life, member))):
            yield f"missing labels arrive without a person: {member} lacks {missing[0]}, {len(missing)} labels in all"


def _not_healed(life: Life, member: str) -> Iterator[tuple[str, dt.date]]:
    """Yield the labels that are still overdue although the weather gave them enough mornings."""
    facts = life.facts[member]
    if facts.heals is None:
        return
    began = max(facts.weather_since, life.scheduled_since).date()
    for name, label in life.overdue(member):
        # In clear weather a label must be there on the day it is due.
        since = max(began, due_on(label, BY_NAME[name].period) - 2 * DAY)
        if (life.now.date() - since).days > facts.heals:
            yield name, label


def _next_look(life: Life) -> dt.datetime:
    day = life.now.date() + DAY if life.now.time() >= dt.time(8) else life.now.date()
    return dt.datetime.combine(day, LOOK)


def _until_the_next_look(life: Life) -> Iterator[str]:
    look = _next_look(life)
    day = look.date()
    if life.receiver.status != 200:
        life.chat_down_on.add(day)
    life.pass_until(look)
    yield from broken(life, Moment.LOOK)
    life.pass_until(dt.datetime.combine(day, dt.time(16)))


def _quiet(life: Life) -> Iterator[str]:
    """A morning without failures passes, then everything is checked."""
    for member in life.members():
        _change(life, member, CLEAR)
    _chat(life, 200)
    _schedules(life, on=True)
    busy, look = life.busy, _next_look(life)
    before = {member: (life.calls(member), life.most_calls(member, look)) for member in life.members()}
    life.mend()
    yield from _until_the_next_look(life)
    yield from broken(life, Moment.QUIET)
    for member, (calls, most) in before.items() if not busy else ():
        for name, made in (life.calls(member) - calls).items():
            if made > most[name]:
                yield f"calls are bounded: {member} {name} took {made} on a quiet day, {most[name]} are enough"


ACTIONS = (
    Action("a morning", 40, _morning),
    Action("a quiet day", 4, _quiet),
    Action("weather", 16, _weather, _drawn_weather),
    Action(
        "a day is restated",
        4,
        _restate,
        lambda chance: {
            "member": chance.randrange(2),
            "ago": chance.randint(1, 25),
            "factor": chance.choice([0.5, 1.1, 3]),
        },
    ),
    Action(
        "tokens are revoked",
        2,
        _revoke,
        lambda chance: {"member": chance.randrange(2), "sticky": chance.random() < 0.5},
    ),
    Action(
        "another program calls",
        3,
        _use_quota,
        lambda chance: {
            "member": chance.randrange(2),
            "endpoint": chance.randrange(len(ENDPOINTS)),
            "calls": chance.choice([10, 1000]),
        },
    ),
    Action("backfill", 6, _backfill, _drawn_backfill),
    Action("doctor", 4, _doctor, lambda chance: {"member": chance.randrange(2)}),
    Action("a look around", 2, _look_around, lambda chance: {"member": chance.randrange(2)}),
    Action("replay", 1, _replay),
    Action(
        "rename",
        1,
        _rename,
        lambda chance: {"member": chance.randrange(2), "new": chance.choice(["shop", "news", "club", "team", "kiosk"])},
    ),
    Action("a backfill in the UI", 14, _ui_backfill, _drawn_ui_backfill, (SYSTEM,)),
    Action("failed and missing", 4, _failed_and_missing, lambda chance: {"member": chance.randrange(2)}, (SYSTEM,)),
    Action(
        "dagster asset materialize",
        4,
        _materialize,
        lambda chance: {
            "member": chance.randrange(2),
            "endpoint": chance.randrange(len(ENDPOINTS)),
            "ago": chance.randint(1, 40),
            "days": chance.randint(0, 40),
        },
        (SYSTEM,),
    ),
    Action(
        "two backfills at once",
        4,
        _side_by_side,
        lambda chance: {"one": _drawn_backfill(chance), "other": _drawn_backfill(chance)},
        (SYSTEM,),
    ),
    Action("a backfill is stopped", 8, _stopped_backfill, _drawn_stop, (SYSTEM,)),
    Action("a process is killed", 4, _kill, lambda chance: {"victim": chance.randrange(12)}, (SYSTEM,)),
    Action(
        "a run is terminated",
        3,
        lambda life, run: life.terminate(run),
        lambda chance: {"run": chance.randrange(4)},
        (SYSTEM,),
    ),
    Action("a run is executed again", 3, lambda life: life.execute_again(), levels=(SYSTEM,)),
    Action("the machine sleeps", 2, _suspend, lambda chance: {"minutes": chance.choice([5, 60, 600])}, (SYSTEM,)),
    Action("a foreign file in place of ours", 2, lambda life: life.foreign_file(), levels=(SYSTEM,)),
    Action("another program writes to the file", 2, lambda life: life.intruder(), levels=(SYSTEM,)),
    Action("a reader holds the file", 2, lambda life: life.reader(), levels=(SYSTEM,)),
    Action("the disk is full", 2, lambda life: life.full_disk(), levels=(SYSTEM,)),
    Action("the chat is down", 1, lambda life: _chat(life, 500)),
    Action("the chat is back", 2, lambda life: _chat(life, 200)),
    Action("the machine is off", 2, lambda life: _schedules(life, False)),
    Action("the machine is on", 4, lambda life: _schedules(life, True)),
)
