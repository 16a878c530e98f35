"""Backfill protocol: what a backfill covers, and what it exchanges with Dagster's side and with the display.

Add here only what crosses the pipe to the process that makes the Dagster runs, or what the CLI receives. Nothing here
does the work.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.ingest.pool import Progress
from wx_datacube.language import Text
from wx_datacube.operations.pending import Range
from wx_datacube.warehouse.coverage import State

States = Mapping[dt.date, State]


@dataclass(frozen=True, slots=True)
class Scope:
    """The due labels that a backfill covers: of these endpoints, from `start` to `end`.

    Without `start` it begins with the history, without `end` it goes to the newest label.

    `labels`, by endpoint name, restricts the backfill to them. They are the labels that `heal` requests again, found
    from the calls up to `after_call_id`.
    """

    start: dt.date | None = None
    end: dt.date | None = None
    endpoints: Sequence[Endpoint] = ENDPOINTS
    refresh: bool = False
    labels: Mapping[str, frozenset[dt.date]] | None = None
    after_call_id: int = 0

    def of(self, states: Mapping[str, States]) -> dict[Endpoint, States]:
        """Return the states of the labels in scope, by endpoint; those that take the most calls come last."""
        cheap_first = sorted(self.endpoints, key=lambda endpoint: endpoint.takes_a_call_a_day)
        return {
            endpoint: self.within(endpoint, states[endpoint.name])
            for endpoint in cheap_first
            if endpoint.name in states
        }

    def within(self, endpoint: Endpoint, states: States) -> States:
        """Return the states of the endpoint's labels in scope."""
        first, last = self.start or dt.date.min, self.end or dt.date.max
        only = states if self.labels is None else self.labels.get(endpoint.name, frozenset())
        return {label: state for label, state in states.items() if first <= label <= last and label in only}


@dataclass(frozen=True, slots=True)
class Batch:
    """Labels of an endpoint that have landed: all that are in scope if `complete`, else a large part of them.

    In a complete one, `answered` holds the labels that WeChat has answered for in this backfill, or in the refresh that
    it continues. `changed` holds those whose figures have changed, so that Dagster has to be told again.
    """

    endpoint: Endpoint
    complete: bool = True
    answered: frozenset[dt.date] = frozenset()
    changed: frozenset[dt.date] = frozenset()


@dataclass(frozen=True, slots=True)
class Run:
    """A Dagster run of an asset that has ended; `failure` gives the reason if it failed.

    `asset` is the endpoint's name, or its whole key if that has a prefix.
    """

    endpoint: Endpoint
    asset: str
    range: Range
    failure: Text | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Dagster's state at the start: how many `labels` in scope are pending, and how many are materialized."""

    labels: int
    materialized: int


class Runs(Protocol):
    """Dagster's side of a backfill."""

    def backlog(self) -> Backlog:
        """Return what was pending when the backfill began."""

    def materialize(self, batch: Batch) -> Iterator[Run]:
        """Materialize what is stored but not materialized of the batch's endpoint; yield the runs as they end."""


class Listener(Protocol):
    """Receives the progress of a backfill; called from several threads."""

    def planned(self, labels: int, calls: int) -> None:
        """Receive how many partitions are pending, and how many calls that takes at most."""

    def progress(self, progress: Progress) -> None:
        """Receive what was stored."""

    def message(self, text: Text | str) -> None:
        """Receive a message for a person."""

    def ran(self, run: Run) -> None:
        """Receive a Dagster run that succeeded."""
