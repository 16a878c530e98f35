"""Ingesting: an account of the emulator with its own warehouse, both on the emulator's clock.

Add a helper here when several tests need it to ingest figures or to see which calls that took. Sleeping takes no real
time: it advances the emulator's clock.
"""

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wx_datacube.catalog.model import HISTORY_START, Endpoint, Family
from wx_datacube.catalog.periods import due_labels
from wx_datacube.config.settings import Account, Secret
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.ingest.fetch_report import FetchReport, LabelReport
from wx_datacube.ingest.plan import RefreshPlan
from wx_datacube.ingest.pool import Progress
from wx_datacube.ingest.service import Ingest
from wx_datacube.language import Text
from wx_datacube.operations.backfill_protocol import Run
from wx_datacube.warehouse.coverage import State, states
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.past_calls import Refresh, record_refresh
from wx_datacube.wechat import Client
from wx_datacube_tests.answers import day

AFTERNOON = dt.datetime(2026, 11, 24, 15)
"""The current time in most tests: a Tuesday on which everything up to yesterday is settled."""
MORNING = AFTERNOON.replace(hour=9)
NINE, NOON = MORNING, MORNING.replace(hour=12)
YESTERDAY = day(23)
TALKATIVE = {"silent_share": 0}


@dataclass
class RecordingListener:
    """A listener that records what a backfill reports."""

    plans: list[tuple[int, int]] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    runs: list[tuple[Endpoint, dt.date, dt.date]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def planned(self, labels: int, calls: int) -> None:
        """Record the planned labels and calls."""
        self.plans.append((labels, calls))

    def progress(self, progress: Progress) -> None:
        """Record which endpoint had something stored."""
        self.stored.append(progress.endpoint.name)

    def message(self, text: Text | str) -> None:
        """Record a message to the user."""
        self.messages.append(str(text))

    def ran(self, run: Run) -> None:
        """Record a successful run."""
        self.runs.append((run.endpoint, run.range.first, run.range.last))


@dataclass(frozen=True)
class Shop:
    """An emulated account and the ingestion of its figures."""

    emulated: Emulated
    ingest: Ingest
    clients: list[Client]

    @property
    def warehouse(self) -> Warehouse:
        """The account's warehouse."""
        return self.ingest.warehouse

    @property
    def now(self) -> dt.datetime:
        """The emulator's current time."""
        return self.emulated.account.clock()

    def at(self, moment: dt.datetime) -> None:
        """Set the emulator's clock."""
        self.emulated.account.clock.set(moment, frozen=True)

    def with_(self, **fields: Any) -> "Shop":
        """Return a shop with the same account and files whose ingestion has other fields."""
        return replace(self, ingest=replace(self.ingest, **fields))

    def labels(self, endpoint: Endpoint) -> list[dt.date]:
        """Return all labels that are due."""
        return due_labels(endpoint.period, endpoint.first(self.ingest.account.start), self.now.date())

    def fetch_missing(
        self,
        endpoint: Endpoint,
        labels: Iterable[dt.date] | None = None,
        *,
        refresh: RefreshPlan | bool = False,
        **options: Any,
    ) -> FetchReport:
        """Ingest labels, by default all that are due; with `refresh`, request each of them again."""
        wanted = self.labels(endpoint) if labels is None else list(labels)
        again = RefreshPlan(frozenset(wanted), self.begin_refresh(endpoint)) if refresh is True else refresh or None
        return self.ingest.fetch_missing(endpoint, wanted, **{"run_id": "run", "refresh": again, **options})

    def begin_refresh(self, endpoint: Endpoint) -> Refresh:
        """Record the start of a refresh."""
        with self.warehouse.transaction() as con:
            return record_refresh(con, self.ingest.account.name, endpoint, None, None, self.now)

    def bring_everything_in(self) -> list[FetchReport]:
        """Ingest all endpoints, in catalog order: calls for days may make later calls unnecessary. Publish once."""
        quiet = self.with_(publishing=False)
        reports = [quiet.fetch_missing(endpoint) for endpoint in self.ingest.account.endpoints]
        self.warehouse.publish()
        return reports

    def windows(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """Return the begin and end of every call that the emulator received for the endpoint, oldest first."""
        return [(str(call.begin), str(call.end)) for call in self.emulated.control.calls(endpoint.name)]

    def calls(self) -> int:
        """Return how many statistics calls the emulator received."""
        return len(self.emulated.control.statistics_calls())

    def states(self, endpoint: Endpoint) -> dict[dt.date, State]:
        """Return the state of every due label in the published file."""
        account = self.ingest.account
        with self.warehouse.open_published() as con:
            return states(con, account, self.now, endpoint)[endpoint.name]

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query of the published file."""
        with self.warehouse.open_published() as con:
            return con.execute(sql, parameters or None).fetchall()


@contextmanager
def shop(
    folder: Path,
    *,
    start: dt.date = HISTORY_START,
    clock: dt.datetime = AFTERNOON,
    concurrency: int = 4,
    daily_calls: int | None = None,
    running: Emulated | None = None,
    families: tuple[Family, ...] = (Family.MESSAGES,),
    **options: Any,
) -> Iterator[Shop]:
    """Provide an emulator with a frozen clock and an ingestion of its account; `options` are the emulator's.

    An emulator that is already `running` is reset and reused, which is faster than starting another.
    """
    chosen = {"clock": clock, "frozen": True, "start": start, "messages_per_day": 20, **options}
    with wechat(**chosen) if running is None else nullcontext(running) as emulated:
        if running is not None:
            emulated.account.reset()
            emulated.account.configure(chosen)
        ticking, clients = emulated.account.clock, []

        def connect(stop_event: threading.Event) -> Client:
            def sleep(seconds: float) -> None:
                ticking.advance(dt.timedelta(seconds=seconds))

            client = Client(
                api_url=emulated.api_url,
                appid=emulated.appid,
                secret=emulated.secret,
                clock=ticking,
                sleep=sleep,
                stopwatch=lambda: ticking().timestamp(),
                jitter=lambda: 0.5,
            )
            clients.append(client)
            return client

        account = Account("shop", emulated.appid, Secret(emulated.secret), start=start, families=families)
        warehouse = Warehouse(folder / "figures.duckdb", clock=ticking, timeout=10)
        yield Shop(emulated, Ingest(warehouse, account, connect, concurrency, daily_calls, ticking), clients)


Start = Callable[..., Shop]
"""The fixture `start`: starts an emulated account; the arguments are those of `shop`."""


def state_of(report: FetchReport) -> dict[int, State]:
    """Return the states by day of the month."""
    return {each.label.day: each.coverage.state for each in report.labels}


def only(report: FetchReport) -> LabelReport:
    """Return the only label of a report."""
    (found,) = report.labels
    return found
