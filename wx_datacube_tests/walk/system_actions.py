"""System actions: what happens to Dagster's UI, to processes and to files, as data like `actions`.

Add an entry to `SYSTEM_ACTIONS` if an action needs real processes.
"""

import datetime as dt
import random
import signal
from typing import TYPE_CHECKING, Any

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.periods import due_labels, gaps
from wx_datacube_tests.walk.actions import DAY, Action, asked_of, drawn_backfill
from wx_datacube_tests.walk.weather import Drawn

if TYPE_CHECKING:
    from wx_datacube_tests.walk.system import System

# --- Dagster's UI, and failures of processes ---------------------------------------------------------------------


def _ui_backfill(life: "System", member: int, assets: list[dict[str, Any]], settle: bool) -> None:
    """A person launches a backfill in the UI over ranges with gaps; it may still run during the next action."""
    today, ranges, on = life.now.date(), {}, life.endpoints(life.member(member))
    for each in assets:
        endpoint = ENDPOINTS[each["endpoint"]]
        due = due_labels(endpoint.period, endpoint.first(life.start), today) if endpoint in on else []
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
    for endpoint in life.endpoints(name):
        due = due_labels(endpoint.period, endpoint.first(life.start), life.now.date())
        if found := gaps(set(due) - held[endpoint.name], due):
            ranges[endpoint] = found
    if ranges:
        life.launch(name, ranges)
    life.settle()


def _materialize(life: "System", member: int, endpoint: int, ago: int, days: int) -> None:
    """A person runs `dagster asset materialize`."""
    on = life.endpoints(life.member(member))
    chosen = on[endpoint % len(on)]
    due = due_labels(chosen.period, chosen.first(life.start), life.now.date())
    first = life.now.date() - ago * DAY
    if labels := [label for label in due if first <= label <= first + days * DAY]:
        life.materialize(life.member(member), chosen, labels[0], labels[-1])


def _side_by_side(life: "System", one: Drawn, other: Drawn) -> None:
    """Two backfills run at the same time."""
    life.side_by_side([asked_of(life, each) for each in (one, other)])


def _stopped_backfill(life: "System", backfill: Drawn, after: float, how: str, victim: int, where: str) -> None:
    """A process of a backfill is killed, interrupted or suspended; the next backfill continues."""
    life.stopped_backfill(asked_of(life, backfill), after, how, victim, where)


def _kill(life: "System", victim: int) -> None:
    """A process of `dagster dev` or of a run gets `kill -9`."""
    life.start_dev()
    life.hit(life.processes(), victim, signal.SIGKILL)


def _suspend(life: "System", minutes: int) -> None:
    """The machine is suspended with all its processes."""
    life.suspend(dt.timedelta(minutes=minutes))


def _drawn_stop(chance: random.Random) -> Drawn:
    return {
        "backfill": drawn_backfill(chance),
        "after": round(chance.uniform(0.5, 6), 1),
        "how": chance.choice(["SIGKILL", "SIGKILL", "SIGINT", "SIGSTOP"]),
        "victim": chance.randrange(4),
        "where": chance.choice(["here", "here", "another host", "a container"]),
    }


SYSTEM_ACTIONS = (
    Action("a backfill in the UI", 14, _ui_backfill, _drawn_ui_backfill),
    Action("failed and missing", 4, _failed_and_missing, lambda chance: {"member": chance.randrange(2)}),
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
    ),
    Action(
        "two backfills at once",
        4,
        _side_by_side,
        lambda chance: {"one": drawn_backfill(chance), "other": drawn_backfill(chance)},
    ),
    Action("a backfill is stopped", 8, _stopped_backfill, _drawn_stop),
    Action("a process is killed", 4, _kill, lambda chance: {"victim": chance.randrange(12)}),
    Action(
        "a run is terminated",
        3,
        lambda life, run: life.terminate(run),
        lambda chance: {"run": chance.randrange(4)},
    ),
    Action("a run is executed again", 3, lambda life: life.execute_again()),
    Action("the machine sleeps", 2, _suspend, lambda chance: {"minutes": chance.choice([5, 60, 600])}),
    Action("a foreign file in place of ours", 2, lambda life: life.foreign_file()),
    Action("another program writes to the file", 2, lambda life: life.intruder()),
    Action("a reader holds the file", 2, lambda life: life.reader()),
    Action("the disk is full", 2, lambda life: life.full_disk()),
)
