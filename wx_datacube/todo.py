"""To do: which labels a tick or a command has to see to, and as which ranges.

One rule for both: a due label that is missing must be asked for; one that is stored or implied but not materialized
in this Dagster instance must be materialized, which costs no call. Pure; states and materialized labels are passed in.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

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


def to_do(states: Mapping[dt.date, State], materialized: Collection[dt.date]) -> list[dt.date]:
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


def _range(group: Sequence[dt.date], states: Mapping[dt.date, State]) -> Range:
    within = [label for label in states if group[0] <= label <= group[-1]]
    return Range(group[0], group[-1], len(within), sum(states[label] is State.MISSING for label in group))
