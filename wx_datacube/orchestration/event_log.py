"""Event log: Dagster's SQLite storage, with one transaction per file for a batch of events.

Stock storage opens, commits and closes two databases for every event: 75 s for the events of 4,018 partitions that take
3 s to fetch (Dagster's issue #18789). Here both databases stay open for a batch, and stock code does the rest through
them. Add here what makes storing events fast or safe; what events contain belongs to the assets. `dagster.yaml` names
the class. `dagster_internals` lists the internals of Dagster that it uses.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import func
from sqlalchemy.exc import StatementError

from wx_datacube.orchestration.dagster_internals import (
    TESTED_MINOR,
    ConfigurableClassData,
    SqliteEventLogStorage,
    check_executions_table,
    is_tested,
)
from wx_datacube.warehouse.locks import locked_for_set_up

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Connection, Engine

BATCH_SIZE = 500
"""Events per transaction, unless DAGSTER_EVENT_BATCH_SIZE is set; few, so that others don't wait long for the index."""

_BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
_INDEX = "index"
_BULK_TYPES = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_OBSERVATION,
}
"""Event types that occur once per partition and are inserted in bulk; others go through stock's `store_event`."""

_log = logging.getLogger(__name__)


class _ThreadState(threading.local):
    """State of the thread that writes a batch; other threads get connections of their own, as in stock storage."""

    open: Mapping[str, "Connection"] | None = None
    pending: list[dg.EventLogEntry] | None = None


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """SQLite event log that stores a batch of events in one transaction for its run and one for the shared index.

    On a minor version of Dagster that it was not tested with, it behaves as `SqliteEventLogStorage` and logs one
    warning.
    """

    tested_minor = TESTED_MINOR
    """The minor version of Dagster whose storage this class was compared with, event by event."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the event log in `base_dir`, or set it up; a lock lets one process at a time set up a fresh folder."""
        self._thread = _ThreadState()
        self._batching = is_tested(self.tested_minor)
        with locked_for_set_up(Path(base_dir) / "set-up.lock"):
            super().__init__(base_dir, inst_data)
        if self._batching:
            # A batch opens two connections in one thread, and each takes this lock.
            self._db_lock = threading.RLock()  # type: ignore[assignment]  # stock declares it as a plain Lock
            # Dagster reads the variable for every event. Servers and runs that this process starts inherit it.
            os.environ.setdefault(_BATCH_SIZE_VARIABLE, str(BATCH_SIZE))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Create the storage from the `config` of dagster.yaml; Dagster calls this."""
        return cls(inst_data=inst_data, **config_value)

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
            with self._open(run_id, of_run) as (run, index):
                for many, group in groupby(of_run, _is_bulk):
                    if many:
                        self._store_bulk(run, index, list(group))
                    else:
                        for event in group:
                            super().store_event(event)

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

    def _store_bulk(self, run: "Connection", index: "Connection", events: list[dg.EventLogEntry]) -> None:
        """Do what stock does for each of these events, with one statement instead of one per event."""
        table = self.prepare_insert_event(events[0]).table
        rows = [self._event_to_row(event) for event in events]
        run.execute(table.insert(), rows)
        index.execute(table.insert(), rows)
        last_id = _newest_id(index, table)
        ids = range(last_id - len(events) + 1, last_id + 1)  # ids are consecutive: no other process can write
        self._store_asset_event_tags(index, events, ids)
        for event, event_id in _newest_of_each_kind(events, ids):
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
        self._thread.open[_INDEX].execute(check_executions_table().insert(), rows)

    @contextmanager
    def _open(self, run_id: str, events: Sequence[dg.EventLogEntry]) -> Iterator[tuple["Connection", "Connection"]]:
        """Open both databases for the events that this thread stores inside; commit both at the end, or neither.

        The run's own file is committed first. If the index, which all runs share, then fails, the run's events are
        deleted again: Dagster stores the batch once more, event by event, and no event may be there twice.
        """
        table, committed = self.prepare_insert_event(events[0]).table, None
        try:
            with super()._connect(_INDEX) as index:
                with super()._connect(run_id) as run:
                    self._thread.open = {run_id: run, _INDEX: index}
                    try:
                        yield run, index
                    finally:
                        self._thread.open = None
                    newest = _newest_id(run, table)
                committed = newest
        except BaseException as error:
            if committed is not None:
                with super()._connect(run_id) as run:  # written under SQLite's lock, so the batch has the last ids
                    run.execute(table.delete().where(table.c.id > committed - len(events), table.c.id <= committed))
            if isinstance(error, StatementError):
                error.hide_parameters = True  # Dagster prints the error, and the parameters are the whole batch
            raise

    def _initdb(self, engine: "Engine", for_index_shard: bool = False) -> None:
        """Set up a database as stock does, a run's with small pages: most of its 24 tables and indexes stay empty."""
        if self._batching and not for_index_shard:
            sqlalchemy_event.listen(engine, "connect", _use_small_pages)
        super()._initdb(engine, for_index_shard)

    @contextmanager
    def _connect(self, shard: str) -> Iterator["Connection"]:
        if self._thread.open is not None:
            yield self._thread.open[shard]
        else:
            with super()._connect(shard) as connection:
                yield connection


@contextmanager
def batched_events(instance: dg.DagsterInstance) -> Iterator[None]:
    """Store the events that this thread logs inside in shared transactions; other storages store each on its own."""
    storage = instance.event_log_storage
    if isinstance(storage, BatchedSqliteEventLogStorage):
        with storage.batch():
            yield
    else:
        yield


def is_on_this_machine(instance: dg.DagsterInstance) -> bool:
    """Return whether all runs of the instance are on this machine: SQLite's files are on a local disk."""
    return isinstance(instance.event_log_storage, SqliteEventLogStorage)


def _newest_id(connection: "Connection", table: "Table") -> int:
    return int(connection.execute(table.select().with_only_columns(func.max(table.c.id))).scalar_one())


def _use_small_pages(connection: Any, _: object) -> None:
    """Set the page size of a database that is still empty; an existing one keeps its own."""
    connection.execute("PRAGMA page_size = 1024")


def _is_bulk(event: dg.EventLogEntry) -> bool:
    return event.is_dagster_event and event.dagster_event_type in _BULK_TYPES


def _newest_of_each_kind(
    events: Sequence[dg.EventLogEntry], ids: Sequence[int]
) -> Iterator[tuple[dg.EventLogEntry, int]]:
    """Yield the last event of each type and asset, in log order; it would overwrite the earlier ones."""
    newest: dict[tuple[dg.AssetKey | None, str], tuple[dg.EventLogEntry, int]] = {}
    for event, event_id in zip(reversed(events), reversed(ids), strict=True):
        dagster_event = event.get_dagster_event()
        newest.setdefault((dagster_event.asset_key, dagster_event.event_type_value), (event, event_id))
    yield from reversed(newest.values())
