"""Windows: cover the labels to request with the fewest calls that the API accepts.

Add a rule here when an endpoint limits what one call may cover. Nothing here reads the clock, the network or the file;
`ingest` passes in which labels are stored. Source: the span column of the catalog (`end - begin < span`).
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import label_of

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """One call: the days `begin` to `end`, both included, and the labels it is made for, oldest first."""

    begin: dt.date
    end: dt.date
    asked: tuple[dt.date, ...]

    @property
    def days(self) -> int:
        """The number of days that the call covers."""
        return (self.end - self.begin).days + 1


def plan_windows(
    endpoint: Endpoint,
    asked: Iterable[dt.date],
    stored: Collection[dt.date] = (),
    *,
    span: int | None = None,
    isolated: Collection[dt.date] = (),
) -> list[Window]:
    """Return the fewest windows that cover the labels `asked`, newest first.

    The plan is greedy from the newest label backwards: each window takes every label within its span, so the number of
    windows is minimal. Each window is then widened backwards over labels in `stored`. That costs no call and brings in
    figures that WeChat has changed since. `span` is the number of days that a window may cover, by default the longest
    of the catalog. A label in `isolated` always gets a window of its own, and no other window covers it.
    """
    days = span or endpoint.max_span_days
    left = sorted(set(asked))
    known, barriers = frozenset(stored), sorted(isolated)
    windows = []
    while left:
        end = left[-1]
        place = bisect_right(barriers, end)
        barrier = barriers[place - 1] if place else dt.date.min
        earliest = end if barrier == end else max(end - (days - 1) * _DAY, barrier + _DAY)
        taken = tuple(label for label in left[-days:] if label >= earliest)
        del left[-len(taken) :]
        windows.append(Window(_widen_begin(taken[0], earliest, endpoint, known), end, taken))
    return windows


def count_windows(endpoint: Endpoint, gaps: Iterable[tuple[dt.date, dt.date]]) -> int:
    """Return how many windows `plan_windows` makes for all labels in `gaps`.

    Each gap is its first and last label; gaps are ordered oldest first.
    """
    span = dt.timedelta(days=endpoint.max_span_days)
    count, begin = 0, dt.date.max  # `begin` is the oldest day of the windows counted so far
    for first, last in reversed(list(gaps)):
        end = min(last, label_of(begin - _DAY, endpoint.period))
        while end >= first:
            windows = (end - first) // span + 1 if endpoint.period is Period.DAY else 1
            count += windows
            begin = end - windows * span + _DAY
            end = label_of(begin - _DAY, endpoint.period)
    return count


def _widen_begin(begin: dt.date, earliest: dt.date, endpoint: Endpoint, stored: frozenset[dt.date]) -> dt.date:
    """Return the oldest begin, not before `earliest`, that adds only labels in `stored`."""
    while (before := label_of(begin - _DAY, endpoint.period)) in stored and before >= earliest:
        begin = before
    return begin
