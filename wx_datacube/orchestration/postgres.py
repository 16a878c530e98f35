"""PostgreSQL: Dagster's storage there, with a batch of events in one transaction, over a connection that is kept.

Stock storage opens a connection for every statement, some three for each event; that was two thirds of the time of a
year's backfill, and commits were most of the rest. `docs/how-to/machines.md` says what `dagster.yaml` has to contain.
Add here what makes storing on PostgreSQL fast or safe; what holds for SQLite too belongs to `event_batches`. Nothing
else imports this module: it needs the extra `postgres`. `dagster_internals` lists the internals that it uses.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from wx_datacube.errors import SettingsError
from wx_datacube.language import Text
from wx_datacube.orchestration.dagster_internals import TESTED_MINOR, ConfigurableClassData, is_tested
from wx_datacube.orchestration.event_batches import BatchedEventLogStorage

try:
    from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
    from dagster_postgres.utils import (
        DagsterPostgresException,
        create_pg_engine,
        get_token_provider_from_config,
        pg_url_from_config,
    )
except ModuleNotFoundError as error:
    # Dagster hides a ModuleNotFoundError of a class that dagster.yaml names behind its own words.
    raise SettingsError(
        Text(
            "dagster.yaml names PostgreSQL, but the package {package} isn't installed.",
            "dagster.yaml 指定了 PostgreSQL，但未安装软件包 {package}。",
            package=error.name or "dagster-postgres",
        ),
        advice=Text(
            "Install the wheel of wx_datacube with [postgres]; in a clone, run make install.",
            "请安装 wx_datacube 的 wheel 并带上 [postgres]；在克隆的仓库中请运行 make install。",
        ),
    ) from None

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

_KEEP_SECONDS = 60
"""How old a kept connection may be: networks drop idle ones after minutes, silently."""
_ASK_SECONDS = 60
"""How long the server is asked about a commit whose answer was lost."""


class BatchedPostgresEventLogStorage(BatchedEventLogStorage, PostgresEventLogStorage):
    """PostgreSQL event log that stores a batch of events in one transaction, and keeps a connection open.

    On a minor version of Dagster that it was not tested with, it behaves as `PostgresEventLogStorage` and logs one
    warning.
    """

    def __init__(self, postgres_url: str, *arguments: Any, **named: Any) -> None:
        """Open the event log with the arguments of the stock class."""
        self._start_batching()
        super().__init__(postgres_url, *arguments, **named)
        if self._batching:
            self._engine = _keeping_engine(postgres_url, self._token_provider)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Create the storage from the `config` of dagster.yaml; Dagster calls this."""
        return cls(inst_data=inst_data, **_arguments(config_value))

    def _insert(self, events: Sequence[dg.EventLogEntry]) -> Sequence[int]:
        insert = self.prepare_insert_event_batch(events)
        return [int(event_id) for (event_id,) in self._thread.open.execute(insert.returning(insert.table.c.id))]

    @contextmanager
    def _open(self, events: Sequence[dg.EventLogEntry]) -> Iterator[None]:
        """Begin a transaction for the events that this thread stores inside.

        If the connection breaks before the commit, nothing is stored, and Dagster stores the events one by one. If it
        breaks during the commit, the server knows whether they are stored.
        """
        transaction_id = None
        try:
            with super()._connect() as connection:
                connection = connection.execution_options(isolation_level="READ COMMITTED")
                with connection.begin():
                    self._thread.open = connection
                    try:
                        yield
                    finally:
                        self._thread.open = None
                    transaction_id = int(connection.execute(text("SELECT txid_current()")).scalar_one())
        except DBAPIError as error:
            if transaction_id is not None and self._has_committed(transaction_id):
                return
            error.statement = None  # Dagster prints the error, and the statement holds the whole batch
            raise

    def _has_committed(self, transaction_id: int) -> bool:
        """Return whether the server has committed a transaction; wait until it can be asked and knows the answer.

        It may be restarting, or its process may still be at it. If it can't be asked in time, the error of the commit
        stands, and Dagster stores the events again: perhaps twice, but they aren't lost.
        """
        asked = text("SELECT txid_status(:id)")
        end, status = time.monotonic() + _ASK_SECONDS, "in progress"
        while status == "in progress" and time.monotonic() < end:
            time.sleep(0.1)
            with suppress(DBAPIError, DagsterPostgresException), super()._connect() as connection:
                status = connection.execute(asked, {"id": transaction_id}).scalar_one()
        return bool(status == "committed")

    @contextmanager
    def _connect(self) -> Iterator["Connection"]:
        if self._thread.open is not None:
            yield self._thread.open
        else:
            with super()._connect() as connection:
                yield connection

    def dispose(self) -> None:
        """Close the connection that was kept."""
        super().dispose()
        self._engine.dispose()


class BatchedPostgresStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage with our event log; runs and schedules use the same connection.

    Its config is that of Dagster's section `postgres`. On an untested minor version of Dagster it is the stock storage.
    """

    tested_minor = TESTED_MINOR
    event_log_class = BatchedPostgresEventLogStorage

    def __init__(self, postgres_url: str, *arguments: Any, **named: Any) -> None:
        """Open the storage with the arguments of the stock class."""
        super().__init__(postgres_url, *arguments, **named)
        if is_tested(self.tested_minor):
            stock = self._event_log_storage
            ours = self.event_log_class(postgres_url, False, token_provider=stock._token_provider)
            self._event_log_storage = ours
            self._run_storage._engine = self._schedule_storage._engine = ours._engine

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Create the storage from the `config` of dagster.yaml; Dagster calls this."""
        return cls(inst_data=inst_data, **_arguments(config_value))


def _arguments(config_value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments, as the stock classes make them from their config."""
    return {
        "postgres_url": pg_url_from_config(config_value),
        "should_autocreate_tables": config_value.get("should_autocreate_tables", True),
        "token_provider": get_token_provider_from_config(config_value),
    }


def _keeping_engine(postgres_url: str, token_provider: Any) -> "Engine":
    """Return an engine as stock has it, but with one connection that is kept and tested before each use.

    More connections are opened when several threads need them, and closed after use.
    """
    return create_pg_engine(
        postgres_url,
        token_provider,
        isolation_level="AUTOCOMMIT",
        pool_size=1,
        max_overflow=-1,
        pool_pre_ping=True,
        pool_recycle=_KEEP_SECONDS,
    )
