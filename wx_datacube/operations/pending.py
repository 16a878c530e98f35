"""To do: which labels a tick or a command has to see to, and as which ranges.

One rule for both: a due label that is missing must be asked for; one that is stored or implied but not materialized
in this Dagster instance must be materialized, which costs no call. Pure; states and materialized labels are passed in.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wx_datacube.catalog.endpoints import ENDPOINTS, Endpoint
from wx_datacube.warehouse.coverage import State

MERGE_BELOW = 30
"""Ranges with fewer labels than this between them become one: a run costs more than a few stored labels in it."""


@dataclass(frozen=True, slots=True)
class Range:
    """Consecutive due labels, `first` to `last`: how many, and how many of them are missing."""

    first: dt.date
    last: dt.date
    labels: int
    to_ask: int


def pending_labels(states: Mapping[dt.date, State], materialized: Collection[dt.date]) -> list[dt.date]:
    """The labels to see to, oldest first, of the due labels in `states`."""
    done = frozenset(materialized)
    return [label for label, state in sorted(states.items()) if state is State.MISSING or label not in done]


def ranges(labels: Iterable[dt.date], states: Mapping[dt.date, State]) -> list[Range]:
    """The labels as few ranges of consecutive due labels, newest first; none holds a missing label not in `labels`."""
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


def together(
    todo: Mapping[Endpoint, Sequence[dt.date]], states: Mapping[str, Mapping[dt.date, State]]
) -> dict[tuple[dt.date, dt.date], list[Endpoint]]:
    """Ranges of labels, by their first and last label, each with the endpoints that one run is to see to.

    Hours and distributions of days that are to do go into the run of those days: days come first there, and silent or
    late ones spare the calls for what depends on them. What else has the same range shares a run, too. `states` are by
    the endpoints' names.
    """
    found: dict[tuple[dt.date, dt.date], list[Endpoint]] = {}
    days = ranges(todo.get(ENDPOINTS[0], ()), states[ENDPOINTS[0].name])
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
