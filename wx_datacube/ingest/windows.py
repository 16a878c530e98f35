"""Windows: cover the labels still to ask with the fewest calls that the API accepts.

Add a rule here when an endpoint limits what one call may cover. Nothing here reads the clock, the network or the
file; `ingest` passes in which labels are stored. Source: the span column of the catalog (`end - begin < span`).
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from wx_datacube.catalog.endpoints import Endpoint, Period
from wx_datacube.catalog.periods import label_of

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """One call: the days `begin` to `end`, both included, and the labels that it is made for, oldest first."""

    begin: dt.date
    end: dt.date
    asked: tuple[dt.date, ...]

    def holds_one_label(self) -> bool:
        """Whether begin and end are the same day, the form that every edition of WeChat's page allows."""
        return self.begin == self.end


def plan_windows(
    endpoint: Endpoint,
    asked: Iterable[dt.date],
    stored: Collection[dt.date] = (),
    *,
    one_label: bool = False,
    alone: Collection[dt.date] = (),
) -> list[Window]:
    """The fewest windows over the labels `asked`, newest first.

    Greedy from the newest label backwards: no window reaches a label that an earlier one could still take, so their
    number is the minimum for the span. Each is then widened backwards, at no cost, over labels in `stored`, so that
    figures WeChat has changed since come along. `one_label` gives each label a call of its own; so do those in `alone`
    get one, and no other window reaches over them.
    """
    span = dt.timedelta(days=0 if one_label else endpoint.max_span_days - 1)
    left = sorted(set(asked))
    known, apart = frozenset(stored), sorted(alone)
    windows = []
    while left:
        end = left[-1]
        place = bisect_right(apart, end)
        barrier = apart[place - 1] if place else dt.date.min
        earliest = end if barrier == end else max(end - span, barrier + _DAY)
        taken = tuple(label for label in left[-endpoint.max_span_days :] if label >= earliest)
        del left[-len(taken) :]
        windows.append(Window(_widened(taken[0], earliest, endpoint, known), end, taken))
    return windows


def count_windows(endpoint: Endpoint, gaps: Iterable[tuple[dt.date, dt.date]]) -> int:
    """How many windows `plan_windows` makes of all labels in `gaps`, first and last label of each, oldest first."""
    span = dt.timedelta(days=endpoint.max_span_days)
    count, begin = 0, dt.date.max  # of the newest windows, and the day that they reach back to
    for first, last in reversed(list(gaps)):
        end = min(last, label_of(begin - _DAY, endpoint.period))
        while end >= first:
            windows = (end - first) // span + 1 if endpoint.period is Period.DAY else 1
            count += windows
            begin = end - windows * span + _DAY
            end = label_of(begin - _DAY, endpoint.period)
    return count


def _widened(begin: dt.date, earliest: dt.date, endpoint: Endpoint, stored: frozenset[dt.date]) -> dt.date:
    """The oldest begin, not before `earliest`, such that only labels in `stored` are added."""
    while (before := label_of(begin - _DAY, endpoint.period)) in stored and before >= earliest:
        begin = before
    return begin
