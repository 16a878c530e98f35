"""Pending labels: which labels a tick or a command has to process, and in which ranges.

One rule serves both. A due label that is missing must be requested, and an open one whose turn is due. A label that is
stored or implied but not materialized in this Dagster instance must be materialized, which costs no call. The functions
are pure: states, turns and materialized labels are passed in.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wx_datacube.catalog.model import Endpoint
from wx_datacube.warehouse.coverage import State

MERGE_BELOW = 30
"""Ranges with fewer labels than this between them are merged: a run costs more than a few stored labels in it."""
NEW_LABELS = 45
"""Ranges that begin among this many of the newest labels share a run. Articles are open for a month."""


@dataclass(frozen=True, slots=True)
class Range:
    """Consecutive due labels, `first` to `last`: how many they are, and how many of them are missing."""

    first: dt.date
    last: dt.date
    labels: int
    missing: int


def pending_labels(
    states: Mapping[dt.date, State], materialized: Collection[dt.date], turns: Collection[dt.date] = ()
) -> list[dt.date]:
    """Return the pending labels among the due labels in `states`, oldest first; `turns` are open ones to request."""
    done = frozenset(materialized).difference(turns)
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


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The labels of one run: a range, and the endpoints that the run covers."""

    first: dt.date
    last: dt.date
    endpoints: list[Endpoint]


def plan_runs(
    todo: Mapping[Endpoint, Sequence[dt.date]], states: Mapping[str, Mapping[dt.date, State]]
) -> tuple[RunPlan | None, list[RunPlan]]:
    """Return the run over all new labels, if there are any, and the runs over older gaps, newest first.

    An endpoint's newest range counts as new if it begins among its `NEW_LABELS` newest due labels. All endpoints share
    the run over new labels, unless its range would hold a missing label that is not in `todo`. `states` are by endpoint
    name.
    """
    newest = {
        endpoint: found[0] for endpoint, labels in todo.items() if (found := ranges(labels, states[endpoint.name]))
    }
    new = {
        endpoint: each for endpoint, each in newest.items() if each.first in sorted(states[endpoint.name])[-NEW_LABELS:]
    }
    run = None
    if new:
        first, last = min(each.first for each in new.values()), max(each.last for each in new.values())
        run = RunPlan(first, last, [each for each in new if _covers(todo[each], states[each.name], first, last)])
    left = {
        endpoint: [
            label for label in labels if not (run and endpoint in run.endpoints and run.first <= label <= run.last)
        ]
        for endpoint, labels in todo.items()
    }
    return run if run and run.endpoints else None, _gap_runs(left, states)


def _covers(labels: Sequence[dt.date], states: Mapping[dt.date, State], first: dt.date, last: dt.date) -> bool:
    """Return whether every missing label from `first` to `last` is one of `labels`."""
    missing = {label for label, state in states.items() if first <= label <= last and state is State.MISSING}
    return missing.issubset(labels)


def _gap_runs(
    todo: Mapping[Endpoint, Sequence[dt.date]], states: Mapping[str, Mapping[dt.date, State]]
) -> list[RunPlan]:
    """Return a run for each range of labels, newest first; endpoints with the same range share it.

    Labels that a silent day would imply join the run over their days. Days come first in that run, and silent or late
    days spare the calls for what depends on them.
    """
    found: dict[tuple[dt.date, dt.date], list[Endpoint]] = {}
    by_name = {endpoint.name: labels for endpoint, labels in todo.items()}
    for endpoint, labels in todo.items():
        left = list(labels)
        if endpoint.implied_by_silence and endpoint.days in by_name:
            days = ranges(by_name[endpoint.days], states[endpoint.days])
            with_days = [each for each in days if any(each.first <= label <= each.last for label in labels)]
            left = [label for label in labels if not any(each.first <= label <= each.last for each in with_days)]
            for each in with_days:
                found.setdefault((each.first, each.last), []).append(endpoint)
        for each in ranges(left, states[endpoint.name]):
            found.setdefault((each.first, each.last), []).append(endpoint)
    newest_first = sorted(found.items(), key=lambda item: item[0][1], reverse=True)
    return [RunPlan(first, last, endpoints) for (first, last), endpoints in newest_first]


def _range(group: Sequence[dt.date], states: Mapping[dt.date, State]) -> Range:
    within = [label for label in states if group[0] <= label <= group[-1]]
    return Range(group[0], group[-1], len(within), sum(states[label] is State.MISSING for label in group))
