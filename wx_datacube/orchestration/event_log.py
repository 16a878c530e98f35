"""Event log: Dagster's SQLite storage, with one transaction per file for a batch of events.

Stock storage opens, commits and closes two databases for every event: 75 s for the events of 4,018 partitions that take
3 s to fetch (Dagster's issue #18789). Here both databases stay open for a batch, and stock code does the rest through
them. Add here what makes storing events on SQLite fast or safe; what events contain belongs to the assets, and what
holds for PostgreSQL too to `event_batches`. `dagster.yaml` names the class. `dagster_internals` lists the internals of
Dagster that it uses.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import func
from sqlalchemy.exc import StatementError

from wx_datacube.orchestration.dagster_internals import ConfigurableClassData, SqliteEventLogStorage
from wx_datacube.orchestration.event_batches import BatchedEventLogStorage
from wx_datacube.warehouse.locks import locked_for_set_up

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Connection, Engine

_INDEX = "index"


class BatchedSqliteEventLogStorage(BatchedEventLogStorage, SqliteEventLogStorage):
    """SQLite event log that stores a batch of events in one transaction for its run and one for the shared index.

    On a minor version of Dagster that it was not tested with, it behaves as `SqliteEventLogStorage` and logs one
    warning.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the event log in `base_dir`, or set it up; a lock lets one process at a time set up a fresh folder."""
        self._start_batching()
        with locked_for_set_up(Path(base_dir) / "set-up.lock"):
            super().__init__(base_dir, inst_data)
        if self._batching:
            # A batch opens two connections in one thread, and each takes this lock.
            self._db_lock = threading.RLock()  # type: ignore[assignment]  # stock declares it as a plain Lock

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Create the storage from the `config` of dagster.yaml; Dagster calls this."""
        return cls(inst_data=inst_data, **config_value)

    def _insert(self, events: Sequence[dg.EventLogEntry]) -> Sequence[int]:
        table = self.prepare_insert_event(events[0]).table
        rows = [self._event_to_row(event) for event in events]
        for connection in self._thread.open.values():
            connection.execute(table.insert(), rows)
        last_id = _newest_id(self._thread.open[_INDEX], table)
        return range(last_id - len(events) + 1, last_id + 1)  # ids are consecutive: no other process can write

    @contextmanager
    def _open(self, events: Sequence[dg.EventLogEntry]) -> Iterator[None]:
        """Open both databases for the events that this thread stores inside; commit both at the end, or neither.

        The run's own file is committed first. If the index, which all runs share, then fails, the run's events are
        deleted again: Dagster stores the batch once more, event by event, and no event may be there twice.
        """
        run_id, table, committed = events[0].run_id, self.prepare_insert_event(events[0]).table, None
        try:
            with super()._connect(_INDEX) as index:
                with super()._connect(run_id) as run:
                    self._thread.open = {run_id: run, _INDEX: index}
                    try:
                        yield
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


def is_on_this_machine(instance: dg.DagsterInstance) -> bool:
    """Return whether all runs of the instance are on this machine: SQLite's files are on a local disk."""
    return isinstance(instance.event_log_storage, SqliteEventLogStorage)


def _newest_id(connection: "Connection", table: "Table") -> int:
    return int(connection.execute(table.select().with_only_columns(func.max(table.c.id))).scalar_one())


def _use_small_pages(connection: Any, _: object) -> None:
    """Set the page size of a database that is still empty; an existing one keeps its own."""
    connection.execute("PRAGMA page_size = 1024")
