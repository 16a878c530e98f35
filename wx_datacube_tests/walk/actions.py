"""Actions: what people, machines and WeChat do, as data. A walk is a list of actions with their drawn arguments.

Add an entry to `ACTIONS`; kinds of weather are in `weather`, actions of processes in `system_actions`. `draw` returns
arguments that JSON can represent. `do` takes them, and may yield invariants that failed. Days are drawn relative to the
current day, so that any subset of a walk's steps is a valid walk.
"""

import datetime as dt
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.catalog.periods import due_on
from wx_datacube_tests.walk.invariants import Moment, broken
from wx_datacube_tests.walk.life import LOOK, Life
from wx_datacube_tests.walk.past import drawn_families
from wx_datacube_tests.walk.weather import CLEAR, WEATHERS, Drawn, change, drawn_weather

DAY = dt.timedelta(days=1)
SURPRISES = 3
"""Calls that `status` can't predict: two for a silent day until noon, and one for a token that was revoked."""


@dataclass(frozen=True)
class Action:
    """Something that can happen; the probability is proportional to `weight`."""

    name: str
    weight: int
    do: Callable[..., Iterable[str] | None]
    draw: Callable[[random.Random], Drawn] = lambda chance: {}


# --- weather at WeChat -------------------------------------------------------------------------------------------


def _weather(life: Life, member: int, weather: str, mornings: int) -> Iterator[str]:
    """Change the weather; then let some mornings pass without any action."""
    change(life, life.member(member), next(each for each in WEATHERS if each.name == weather))
    for _ in range(mornings):
        yield from _morning(life)


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


def asked_of(life: Life, drawn: Drawn) -> tuple[str, list[Endpoint], dt.date, dt.date, bool]:
    """Return account, endpoints, first and last day of a backfill, and whether it is a refresh; record a refresh.

    The endpoints are those drawn that are on, or all that are on.
    """
    name = life.member(drawn["member"])
    first = max(life.now.date() - drawn["ago"] * DAY, life.start)
    last = min(first + drawn["days"] * DAY, life.now.date() - DAY)
    on = life.endpoints(name)
    chosen = [each for each in on if ENDPOINTS.index(each) in drawn["endpoints"]] or on
    if drawn["refresh"]:
        for endpoint in chosen:
            labels = life.states(name)[endpoint.name]
            life.facts[name].refreshed |= {(endpoint.name, label) for label in labels if first <= label <= last}
    return name, chosen, first, last, drawn["refresh"]


def _backfill(life: Life, member: int, endpoints: list[int], ago: int, days: int, refresh: bool) -> Iterator[str]:
    """A person runs `wx-datacube backfill`."""
    drawn = {"member": member, "endpoints": endpoints, "ago": ago, "days": days, "refresh": refresh}
    name, chosen, first, last, _ = asked_of(life, drawn)
    busy, pending, before = life.busy, life.to_request(name, chosen, first, last), life.calls(name)
    life.backfill(name, chosen, first, last, refresh)
    if not (busy or refresh or pending) and life.calls(name) != before:
        yield f"stored labels cost no call: nothing was pending, it took {(life.calls(name) - before).total()} calls"


def drawn_backfill(chance: random.Random) -> Drawn:
    """Draw the arguments of a backfill."""
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


def _families(life: Life, member: int, families: list[str]) -> None:
    """A person switches families of an account on or off."""
    life.switch(life.member(member), [Family(each) for each in families])


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
    for name, label in life.overdue(member):
        on_since = facts.on_since.get(BY_NAME[name].family, facts.weather_since)
        began = max(facts.weather_since, life.scheduled_since, on_since).date()
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
        change(life, member, CLEAR)
    _chat(life, 200)
    _schedules(life, on=True)
    busy, look = life.busy, _next_look(life)
    before = {member: (life.calls(member), life.most_calls(member, look)) for member in life.members()}
    life.mend()
    mended = {member: (life.calls(member), _predicted(life, member)) for member in life.members()}
    yield from _until_the_next_look(life)
    yield from broken(life, Moment.QUIET)
    for member, (calls, most) in before.items() if not busy else ():
        for name, made in (life.calls(member) - calls).items():
            if made > most[name]:
                yield f"calls are bounded: {member} {name} took {made} on a quiet day, {most[name]} are enough"
    for member, (calls, most) in mended.items() if not busy else ():
        taken = life.calls(member) - calls
        for name in most:
            if taken[name] > most[name] + SURPRISES:
                yield f"status predicts calls: {member} {name} took {taken[name]}, not {most[name]}"


def _predicted(life: Life, member: str) -> dict[str, int]:
    """Return how many calls the next morning takes; nothing about endpoints of several spans, or if labels lack."""
    life.take_ledger()
    if life.missing_labels(member) or life.facts[member].doubtful:
        return {}
    return {name: calls for name, calls in life.predicted_calls(member).items() if len(BY_NAME[name].spans) == 1}


ACTIONS = (
    Action("a morning", 40, _morning),
    Action("a quiet day", 4, _quiet),
    Action("weather", 16, _weather, drawn_weather),
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
    Action("backfill", 6, _backfill, drawn_backfill),
    Action("doctor", 4, _doctor, lambda chance: {"member": chance.randrange(2)}),
    Action("a look around", 2, _look_around, lambda chance: {"member": chance.randrange(2)}),
    Action("replay", 1, _replay),
    Action(
        "rename",
        1,
        _rename,
        lambda chance: {"member": chance.randrange(2), "new": chance.choice(["shop", "news", "club", "team", "kiosk"])},
    ),
    Action(
        "families are switched",
        3,
        _families,
        lambda chance: {"member": chance.randrange(2), "families": [*map(str, drawn_families(chance))]},
    ),
    Action("the chat is down", 1, lambda life: _chat(life, 500)),
    Action("the chat is back", 2, lambda life: _chat(life, 200)),
    Action("the machine is off", 2, lambda life: _schedules(life, False)),
    Action("the machine is on", 4, lambda life: _schedules(life, True)),
)
