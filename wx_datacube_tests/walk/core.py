"""Core: a life in this process, without Dagster; a day takes a few seconds, most of them in DuckDB.

This module does what Dagster's runs would do for the requests of a schedule's tick. The rest is the program's own code
with the emulator's clock. Pauses take no time.
"""

import datetime as dt
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from wx_datacube.alerts.alert import BACKFILL, Source, alerts_of
from wx_datacube.alerts.missing_labels import note_and_send
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Endpoint
from wx_datacube.catalog.periods import due_labels
from wx_datacube.config.environment import load_settings
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.service import Ingest
from wx_datacube.operations.backfill import Backfill, check_account
from wx_datacube.operations.backfill_protocol import Backlog, Batch, Run, Scope, States
from wx_datacube.operations.doctor import examine
from wx_datacube.operations.export import export_relations
from wx_datacube.operations.pending import pending_labels, ranges
from wx_datacube.operations.status import AccountStatus, read_status
from wx_datacube.operations.tick import plan_tick
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.accounts import rename_account
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import replay
from wx_datacube_tests.company import Company
from wx_datacube_tests.ingesting import RecordingListener
from wx_datacube_tests.receiver import Receiver
from wx_datacube_tests.walk.facts import BEGINNING
from wx_datacube_tests.walk.life import Life, born

TICKS = [dt.time(hour, 30) for hour in (8, 10, 12)]
CHECKS = dt.time(12, 35)
LATER_LOOKS = [dt.time(13, 35), dt.time(15, 35)]
SCHEDULES = (
    [each for each in ENDPOINTS if each.first_day == HISTORY_START],
    [each for each in ENDPOINTS if each.first_day != HISTORY_START],
)
"""Endpoints whose ticks are planned together. Articles have a schedule of their own."""


@dataclass
class InMemory:
    """Dagster's part of a backfill: a dictionary of the materialized labels."""

    held: dict[tuple[str, str], set[dt.date]]
    states: dict[Endpoint, States]
    warehouse: Warehouse
    account: Account
    scope: Scope
    now: dt.datetime

    def backlog(self) -> Backlog:
        """Return the number of pending labels in scope, and of those already materialized."""
        held = {each: self._held(each) & labels.keys() for each, labels in self.states.items()}
        labels = sum(len(pending_labels(states, held[endpoint])) for endpoint, states in self.states.items())
        return Backlog(labels, sum(map(len, held.values())))

    def materialize(self, batch: Batch) -> Iterator[Run]:
        """Record the stored labels of a batch as materialized."""
        with self.warehouse.transaction() as con:
            found = known.states(con, self.account, self.now, batch.endpoint)
        states = self.scope.within(batch.endpoint, found[batch.endpoint.name])
        there = {label for label, state in states.items() if state is not State.MISSING}
        wanted = batch.answered & there if self.scope.refresh else there - self._held(batch.endpoint)
        for each in ranges(wanted, states):
            self._held(batch.endpoint).update(label for label in there if each.first <= label <= each.last)
            yield Run(batch.endpoint, "", each)

    def _held(self, endpoint: Endpoint) -> set[dt.date]:
        return self.held.setdefault((self.account.name, endpoint.name), set())


class Core(Life):
    """A life in this process."""

    def __init__(self, folder: Path, company: Company, receiver: Receiver, seed: int) -> None:
        super().__init__(folder, company, receiver, seed)
        self.held: dict[tuple[str, str], set[dt.date]] = {}
        self.runs = 0
        self.set_clocks(BEGINNING)
        self.settings = self._configured()

    def configure(self) -> None:
        """Read the settings again."""
        self.settings = self._configured()

    def _configured(self) -> Settings:
        # One call at a time, so that the same seed makes the same calls in the same order.
        given = self.configuration() | {"CONCURRENCY": 1, "DATABASE": self.folder / "wx_datacube.duckdb"}
        return load_settings({f"WX_DATACUBE_{name}": str(value) for name, value in given.items()}, self.folder)

    @property
    def database(self) -> Path:
        """The published file."""
        return self.settings.database

    def clock(self) -> dt.datetime:
        """Return the current time."""
        return self.now

    def ingest(self, name: str) -> Ingest:
        """Return an account's `Ingest` with the emulator's clock."""
        account = self.settings.account(name)
        return Ingest.of(self.settings, account, clock=self.clock, sleep=lambda seconds: None)

    # --- time

    @property
    def now(self) -> dt.datetime:
        """The current time, which stands still."""
        return self._now

    def set_clocks(self, moment: dt.datetime) -> None:
        """Set the time, here and at WeChat."""
        self._now = moment
        for account in self.company.members.values():
            account.clock.set(moment, frozen=True)

    def pass_until(self, moment: dt.datetime) -> None:
        """Let time pass, tick by tick."""
        day = self.now.date()
        while day <= moment.date():
            for time in [*TICKS, CHECKS, *LATER_LOOKS]:
                if self.now < (at := dt.datetime.combine(day, time)) <= moment:
                    self.set_clocks(at)
                    if self.scheduled:
                        self._scheduled(time)
            day += dt.timedelta(days=1)
        self.set_clocks(moment)

    def _scheduled(self, time: dt.time) -> None:
        if time == CHECKS:
            self.judged_on.add(self.now.date())
        for name in self.names.values():
            if time in TICKS:
                for endpoints in SCHEDULES:
                    self._tick(name, endpoints)
            else:
                self._note_and_send(name, deliver=time != CHECKS)
        self.take_messages()

    def _tick(self, name: str, endpoints: Sequence[Endpoint]) -> None:
        def held(endpoint: Endpoint, start: dt.date) -> set[dt.date]:
            return self.held.setdefault((name, endpoint.name), set())

        try:
            Alerts(self.database, self.settings.webhook, self.clock).deliver()
            plan = plan_tick(self.settings, name, [endpoints], (), held, self.now)
        except WxDatacubeError:
            return  # the schedule does the same, and reports why it requested no run
        for run in plan.runs:
            self.runs += 1
            for endpoint in run.endpoints:
                self._run(name, endpoint, run.first, run.last, publishing=endpoint is run.endpoints[-1])

    def _run(self, name: str, endpoint: Endpoint, first: dt.date, last: dt.date, publishing: bool) -> None:
        """Execute a step of a run and note its alerts as the hooks do; only the last step publishes, to save time."""
        ingest = replace(self.ingest(name), publishing=publishing)
        labels = due_labels(endpoint.period, endpoint.first(self.start), self.now.date())
        errors: list[Exception] = []
        try:
            wanted = [label for label in labels if first <= label <= last]
            report = ingest.fetch_missing(endpoint, wanted, run_id=f"run {self.runs}")
            self.held[name, endpoint.name] |= {each.label for each in report.labels if each.is_stored}
            self._believe(report)
        except WxDatacubeError as error:
            errors = [error]
        of = [endpoint.name] if errors else [endpoint.name, BACKFILL]
        ingest.alerts.note(name, Source.RUNS, of, alerts_of(errors, endpoint.name))

    def _believe(self, report: FetchReport) -> None:
        for each in report.labels:
            if not each.is_stored and each.error is None:
                self.complaints.append(f"every missing label has a reason: not {report.endpoint.name} {each.label}")

    def _note_and_send(self, name: str, deliver: bool) -> None:
        try:
            with Warehouse(self.database).open_published() as con:
                note_and_send(con, self.settings, self.settings.account(name), self.now)
        except WxDatacubeError:
            return
        if deliver:
            Alerts(self.database, self.settings.webhook, self.clock).deliver()

    # --- people

    def backfill(
        self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date, refresh: bool
    ) -> None:
        """Run a backfill as the command does."""
        name, scope = self.names[member], Scope(first, last, endpoints, refresh)
        account, ingest = self.settings.account(name), self.ingest(name)
        errors: list[Exception] = []
        try:
            check_account(self.settings, account, scope, self.now)
            with ingest.warehouse.transaction() as con:
                states = scope.of(known.states(con, account, self.now))
            runs = InMemory(self.held, states, ingest.warehouse, account, scope, self.now)
            done = Backfill(runs, ingest, scope, self.now, RecordingListener())
            done.run()
            for report in done.reports:
                self._believe(report)
        except WxDatacubeError as error:
            errors = [error]
        ingest.alerts.note(name, Source.RUNS, [BACKFILL], alerts_of(errors, BACKFILL))
        self._note_and_send(name, deliver=False)
        self.take_messages()

    def doctor(self, member: str) -> None:
        """Run doctor's examinations of WeChat and files; complain if they contradict what WeChat does."""
        found = list(examine(self.settings, self.settings.account(self.names[member]), self.clock))
        wrong = [each.text for each in found if not each.ok]
        options = self.emulated(member).options
        granted = {"*", *self.families[member], *(each.name for each in self.endpoints(member))}
        refuses = bool(granted.intersection(options.denied) or options.whitelist or options.secret_frozen)
        if refuses and not wrong:
            self.complaints.append(f"doctor is right: WeChat refuses calls of {member}, but doctor finds no problem")
        late = options.delayed or self.now.time() < options.delay_until
        if not refuses and not options.faults and not late and self.facts[member].lies_since is None:
            # Other programs may have used the quota or revoked the token.
            allowed = ("quota", "calls are left", "token")
            unfounded = [text for text in wrong if not any(word in str(text) for word in allowed)]
            self.complaints += [f"doctor is right: nothing is wrong, but it says {text}" for text in unfounded]
        self.take_messages()

    def look_around(self, member: str) -> None:
        """Run `status` and `export`."""
        self.needs_person(member)
        if self.database.exists():
            export_relations(Warehouse(self.database), self.folder / "export", "csv", self.names[member])

    def replay(self) -> None:
        """Rebuild the tables of all accounts."""
        warehouse = Warehouse(self.database, clock=self.clock)
        with warehouse.transaction() as con:
            replay(con)
        warehouse.publish()

    def rename(self, member: str, new: str) -> None:
        """Rename the account in the file, then in the settings."""
        old = self.names[member]
        if self.ledger:
            rename_account(Warehouse(self.database, clock=self.clock), old, new)
        Alerts(self.database).forget(old)
        self.names[member] = new
        self.held = {(new if name == old else name, of): held for (name, of), held in self.held.items() if name != old}
        self.configure()

    def materialized(self, member: str) -> dict[str, set[dt.date]]:
        """Return the labels that runs and backfills have recorded."""
        return {each.name: self.held.get((self.names[member], each.name), set()) for each in ENDPOINTS}

    def needs_person(self, member: str) -> list[str]:
        """Return what `status` reports."""
        return [*map(str, self._status(member).needs_person)] if self.database.exists() else []

    def predicted_calls(self, member: str) -> dict[str, int]:
        """Return what `status` predicts."""
        found = self._status(member).endpoints if self.database.exists() else []
        return {each.endpoint: each.calls_next_morning for each in found}

    def _status(self, member: str) -> AccountStatus:
        (found,) = read_status(self.settings, [self.settings.account(self.names[member])], self.clock)
        return found


_MEMORY = Path("/dev/shm")


@contextmanager
def core(seed: int) -> Iterator[Life]:
    """Begin a life in this process, with its files in memory if possible."""
    parent = _MEMORY if _MEMORY.is_dir() else None
    with _no_pandas(), born(seed, parent, clock=BEGINNING, frozen=True) as (folder, accounts, receiver):
        yield Core(folder, accounts, receiver, seed)


@contextmanager
def _no_pandas() -> Iterator[None]:
    """Mark pandas as not installed: DuckDB looks for it in every query, which takes a tenth of a walk's time."""
    absent = "pandas" not in sys.modules
    if absent:
        sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules["pandas"]
