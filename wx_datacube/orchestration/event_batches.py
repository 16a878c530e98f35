"""Event batches: what our event logs have in common, on SQLite (`event_log`) and on PostgreSQL (`postgres`).

Stock storages store every event by itself, with connections and commits of its own. Here a batch of events of a run is
stored all or none, and stock code writes most of it. What a database needs for that belongs to its own module. Dagster
collects some events into batches (`DAGSTER_EVENT_BATCH_SIZE`), and `batched_events` those that our assets log.
"""

import logging
import os
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from typing import Any

import dagster as dg

from wx_datacube.orchestration.dagster_internals import (
    TESTED_MINOR,
    SqlEventLogStorage,
    check_executions_table,
    is_tested,
    remember_cron_intervals,
)

BATCH_SIZE = 500
"""Events per transaction, unless DAGSTER_EVENT_BATCH_SIZE is set; few, so that others don't wait long for its locks."""

_BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
_BULK_TYPES = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_OBSERVATION,
}
"""Event types that occur once per partition and are inserted in bulk; others go through stock's `store_event`."""

_log = logging.getLogger(__name__)


class _ThreadState(threading.local):
    """State of the thread that writes a batch; other threads get connections of their own, as in stock storage."""

    open: Any = None
    """The connection or connections of the batch that is being stored."""
    pending: list[dg.EventLogEntry] | None = None


class BatchedEventLogStorage(SqlEventLogStorage):
    """An event log that stores a batch of events together; a base class to be put before a stock storage.

    While `_open` is open, the stock storage has to use its connections.
    """

    tested_minor = TESTED_MINOR
    """The minor version of Dagster whose storage this class was compared with, event by event."""

    def _start_batching(self) -> None:
        """Set this storage up before the stock one; on an untested Dagster it then behaves like stock."""
        self._thread = _ThreadState()
        self._batching = is_tested(self.tested_minor)
        if self._batching:
            # Dagster reads the variable for every event. Servers and runs that this process starts inherit it.
            os.environ.setdefault(_BATCH_SIZE_VARIABLE, str(BATCH_SIZE))
            remember_cron_intervals()  # every process of Dagster opens the event log before it loads a location

    @abstractmethod
    def _open(self, events: Sequence[dg.EventLogEntry]) -> AbstractContextManager[None]:
        """Return a context in which these events of one run are stored, all or none."""

    @abstractmethod
    def _insert(self, events: Sequence[dg.EventLogEntry]) -> Sequence[int]:
        """Insert the rows of these events while `_open` is open; return their ids, in the same order."""

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event; inside `batch`, add it to the batch."""
        pending = self._thread.pending
        if pending is None:
            super().store_event(event)
            return
        pending.append(event)
        if len(pending) >= BATCH_SIZE:
            self._store_pending(pending)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events of a run all or none, so that Dagster can store them one by one if this fails."""
        if not self._batching:
            super().store_event_batch(events)
            return
        for run_id in dict.fromkeys(event.run_id for event in events):
            of_run = [event for event in events if event.run_id == run_id]
            with self._open(of_run):
                self._store_together(of_run)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Store the events that this thread logs inside in batches, the last one on exit."""
        if not self._batching or self._thread.pending is not None:
            yield
            return
        pending: list[dg.EventLogEntry] = []
        self._thread.pending = pending
        try:
            yield
        finally:
            self._thread.pending = None
            self._store_pending(pending)

    def _store_pending(self, pending: list[dg.EventLogEntry]) -> None:
        events = pending[:]
        pending.clear()
        try:
            self.store_event_batch(events)
        except Exception:  # as Dagster does for its own batches: one bad event must not lose the others
            _log.warning("Storing %d events together failed, storing them one by one", len(events), exc_info=True)
            for event in events:
                super().store_event(event)

    def _store_together(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Do what stock does for each of these events, with one statement instead of one per event."""
        stored: list[tuple[dg.EventLogEntry, int]] = []
        for many, group in groupby(events, _is_bulk):
            if many:
                bulk = list(group)
                ids = self._insert(bulk)
                with self.index_connection() as index:
                    self._store_asset_event_tags(index, bulk, ids)
                stored.extend(zip(bulk, ids, strict=True))
            else:
                for event in group:
                    super().store_event(event)
        with self.index_connection() as index:
            for event, event_id in _newest_of_each_kind(stored):
                self._store_asset_event(index, event, event_id)

    def _store_asset_check_evaluation_planned(self, event: dg.EventLogEntry, event_id: int | None) -> None:
        """Store a row per partition without the event.

        Stock stores the whole event again for every partition. That is half the size of a history, and nothing reads
        it: the event is in the log itself. When the check is evaluated, the result that replaces the row is stored as
        in stock.
        """
        planned: Any = event.get_dagster_event().event_specific_data
        if self._thread.open is None or planned.partitions_subset is None:
            super()._store_asset_check_evaluation_planned(event, event_id)
            return
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": "PLANNED",
            "evaluation_event": None,
            "evaluation_event_timestamp": self._event_to_row(event)["timestamp"],
            "evaluation_event_storage_id": event_id,
        }
        rows = [{**row, "partition": key} for key in planned.partitions_subset.get_partition_keys()]
        with self.index_connection() as index:
            index.execute(check_executions_table().insert(), rows)


@contextmanager
def batched_events(instance: dg.DagsterInstance) -> Iterator[None]:
    """Store the events that this thread logs inside in shared transactions; other storages store each on its own."""
    storage = instance.event_log_storage
    if isinstance(storage, BatchedEventLogStorage):
        with storage.batch():
            yield
    else:
        yield


def _is_bulk(event: dg.EventLogEntry) -> bool:
    return event.is_dagster_event and event.dagster_event_type in _BULK_TYPES


def _newest_of_each_kind(stored: Sequence[tuple[dg.EventLogEntry, int]]) -> list[tuple[dg.EventLogEntry, int]]:
    """Return the last event of each type and asset, which would overwrite the earlier ones.

    They are in the order of their assets, so that two processes can't each wait for an asset's row that the other
    holds, and within an asset in log order.
    """
    newest = {}
    for event, event_id in stored:
        dagster_event = event.get_dagster_event()
        key = dagster_event.asset_key.to_string() if dagster_event.asset_key else ""
        newest[key, dagster_event.event_type_value] = key, event_id, event
    return [(event, event_id) for _, event_id, event in sorted(newest.values(), key=lambda each: each[:2])]
