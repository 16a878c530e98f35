"""Pending labels: which labels a tick or a command has to process, and in which ranges.

One rule serves both. A due label that is missing must be requested. A label that is stored or implied but not
materialized in this Dagster instance must be materialized, which costs no call. The functions are pure: states and
materialized labels are passed in.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wx_datacube.catalog.messages import DAILY_MESSAGES
from wx_datacube.catalog.model import Endpoint
from wx_datacube.warehouse.coverage import State

MERGE_BELOW = 30
"""Ranges with fewer labels than this between them are merged: a run costs more than a few stored labels in it."""


@dataclass(frozen=True, slots=True)
class Range:
    """Consecutive due labels, `first` to `last`: how many they are, and how many of them are missing."""

    first: dt.date
    last: dt.date
    labels: int
    missing: int


def pending_labels(states: Mapping[dt.date, State], materialized: Collection[dt.date]) -> list[dt.date]:
    """Return the pending labels among the due labels in `states`, oldest first."""
    done = frozenset(materialized)
    return [label for label, state in sorted(states.items()) if state is State.MISSING or label not in done]


def ranges(labels: Iterable[dt.date], states: Mapping[dt.date, State]) -> list[Range]:
    """Group the labels into as few ranges of consecutive due labels as possible, newest first.

    No range holds a missing label that is not in `labels`.
    """
    due = sorted(states)
    place = {label: number for number, label in enumerate(due)}
    groups: list[list[dt.date]] = []
    for label in sorted(labels):
        between = due[place[groups[-1][-1]] + 1 : place[label]] if groups else []
        if groups and len(between) < MERGE_BELOW and not any(states[each] is State.MISSING for each in between):
            groups[-1].append(label)
        else:
            groups.append([label])
    return [_range(group, states) for group in reversed(groups)]


def group_by_range(
    todo: Mapping[Endpoint, Sequence[dt.date]], states: Mapping[str, Mapping[dt.date, State]]
) -> dict[tuple[dt.date, dt.date], list[Endpoint]]:
    """Return ranges by their first and last label, each with the endpoints that one run covers.

    Pending hours and distributions join the run over the days that contain them. Days come first in that run, and
    silent or late days spare the calls for what depends on them. Other endpoints with the same range share a run, too.
    `states` are by endpoint name.
    """
    found: dict[tuple[dt.date, dt.date], list[Endpoint]] = {}
    days = ranges(todo.get(DAILY_MESSAGES, ()), states[DAILY_MESSAGES.name])
    for endpoint, labels in todo.items():
        left = list(labels)
        if endpoint.implied_by_silence:
            with_days = [each for each in days if any(each.first <= label <= each.last for label in labels)]
            left = [label for label in labels if not any(each.first <= label <= each.last for each in with_days)]
            for each in with_days:
                found.setdefault((each.first, each.last), []).append(endpoint)
        for each in ranges(left, states[endpoint.name]):
            found.setdefault((each.first, each.last), []).append(endpoint)
    return found


def _range(group: Sequence[dt.date], states: Mapping[dt.date, State]) -> Range:
    within = [label for label in states if group[0] <= label <= group[-1]]
    return Range(group[0], group[-1], len(within), sum(states[label] is State.MISSING for label in group))
