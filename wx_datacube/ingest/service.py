"""Ingest: fetch labels, store their figures and report on each label. This is the use case, without Dagster.

Labels already stored are not requested again. The rest is planned into windows (`plan`), fetched by several threads
(`fetch`, `pool`) and committed about once a second, ledger and tables together. Add here what a caller may do with an
account's figures. How to call WeChat belongs to `wechat`, which rows of an answer to trust to `warehouse.load`.
"""

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wx_datacube.alerts.alert import TOKEN, Source, alerts_of
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.ingest.fetch import Fetch
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.plan import FetchPlan, FetchRequest, RefreshPlan
from wx_datacube.ingest.pool import Progress
from wx_datacube.language import Text
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse import past_calls
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.locks import ProcessSemaphore
from wx_datacube.warehouse.past_calls import Refresh
from wx_datacube.wechat import Client

_REFRESH_LASTS = dt.timedelta(days=30)
"""A refresh interrupted longer ago than this starts over: WeChat may have changed the first figures since."""


def _no_progress(progress: Progress) -> None:
    pass


def _no_notify(message: Text | str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Ingest:
    """Ingestion for one account. `connect` creates the client when the first call is due.

    `connect` gets `stop_event`. The client sleeps by its `wait`, so an interruption ends every pause.
    """

    warehouse: Warehouse
    account: Account
    connect: Callable[[threading.Event], Client]
    concurrency: int = 8
    daily_calls: int | None = None
    clock: Clock = beijing_now
    webhook: Secret | None = None
    publishing: bool = True
    """Whether `fetch_missing` and `fetch_one` publish what they stored. If False, the caller must publish."""
    stop_event: threading.Event = field(init=False)
    """Set it to stop all fetching as soon as the calls in flight have ended."""
    semaphore: ProcessSemaphore = field(init=False)
    """Limits the account's calls in flight, over all processes, to `concurrency`."""
    alerts: Alerts = field(init=False)
    """Stores the account's alerts and sends them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop_event", threading.Event())
        object.__setattr__(self, "semaphore", self.warehouse.semaphore(self.account.name, self.concurrency))
        object.__setattr__(self, "alerts", Alerts(self.warehouse.database, self.webhook, self.clock))

    @classmethod
    def of(cls, settings: Settings, account: Account, *, clock: Clock = beijing_now, **client: Any) -> "Ingest":
        """Return the `Ingest` of a configured account; `client` holds options of `Client`.

        Missing credentials raise an error only when a call is due.
        """

        def connect(stop_event: threading.Event) -> Client:
            return Client.of(account, settings.api_url, **{"clock": clock, "sleep": stop_event.wait, **client})

        return cls(
            Warehouse(settings.database, clock=clock),
            account,
            connect,
            settings.concurrency,
            settings.daily_calls,
            clock,
            settings.webhook,
        )

    def fetch_missing(
        self,
        endpoint: Endpoint,
        labels: Iterable[dt.date],
        *,
        run_id: str,
        refresh: RefreshPlan | None = None,
        manual: bool = False,
        progress: Callable[[Progress], None] = _no_progress,
        notify: Callable[[Text | str], None] = _no_notify,
    ) -> FetchReport:
        """Make the labels landed, empty or implied with the fewest calls, and report on each.

        Labels in `refresh` are requested once more even if they are stored. With `manual`, a run may query WeChat's
        quota once if the ledger says that it is used up. `notify` gets messages for the operator. Raises
        `SettingsError` and `WarehouseError`; WeChat's errors are in the report.
        """
        request = FetchRequest(self.account, endpoint, sorted(set(labels)), self.clock(), run_id, refresh)
        fetch = self._fetch(request, manual, progress, notify)

        def notify_waiting(holder: str) -> None:
            if holder != str(os.getpid()):
                waiting = Text(
                    "Waiting for process {holder}, which is fetching {endpoint} for this account.",
                    "正在等待进程 {holder}：它正在获取本账号的 {endpoint}。",
                    holder=holder,
                    endpoint=endpoint.name,
                )
                notify(waiting)

        try:
            plan, report = self._plan(fetch)
            if report is None:
                self.warehouse.require_space()
                with self.warehouse.fetching(self.account.name, endpoint.name, notify_waiting):
                    # The process waited for may have stored some of the labels.
                    plan, report = self._plan_and_run(fetch)
        finally:
            if self.publishing:
                self.warehouse.publish()
        return self._report_and_note(fetch, plan, report)

    def fetch_one(self, endpoint: Endpoint, label: dt.date, *, run_id: str) -> FetchReport:
        """Make one call for a due label, whether or not it is stored, and store the answer like any other.

        It doesn't wait for another process that fetches the same endpoint. It isn't a refresh: an empty answer deletes
        nothing.
        """
        request = FetchRequest(self.account, endpoint, [label], self.clock(), run_id, single=True)
        fetch = self._fetch(request, True, _no_progress, _no_notify)
        self.warehouse.require_space()
        try:
            plan, report = self._plan_and_run(fetch)
        finally:
            if self.publishing:
                self.warehouse.publish()
        return self._report_and_note(fetch, plan, report)

    def _fetch(
        self,
        request: FetchRequest,
        manual: bool,
        progress: Callable[[Progress], None],
        notify: Callable[[Text | str], None],
    ) -> Fetch:
        return Fetch(
            request=request,
            warehouse=self.warehouse,
            connect=self.connect,
            stop_event=self.stop_event,
            semaphore=self.semaphore,
            concurrency=self.concurrency,
            daily_calls=self.daily_calls,
            manual=manual,
            progress=progress,
            notify=notify,
        )

    def _plan_and_run(self, fetch: Fetch) -> tuple[FetchPlan, FetchReport | None]:
        plan, report = self._plan(fetch)
        if report is None:
            fetch.run(plan)
        return plan, report

    def _plan(self, fetch: Fetch) -> tuple[FetchPlan, FetchReport | None]:
        """Return what to request, or the report if there is nothing to request: the file is opened once for both."""
        with self.warehouse.transaction() as con:
            plan = FetchPlan.of(con, fetch.request)
            return plan, None if plan.windows else self._report(con, fetch, plan)

    def _report(self, con: Connection, fetch: Fetch, plan: FetchPlan) -> FetchReport:
        endpoint, labels = fetch.request.endpoint, fetch.request.labels
        if odd := known.count_unknown_sources(con, self.account.name, endpoint, labels):
            unknown = Text(
                "{endpoint}: {rows:,} rows have an undocumented user_source other than 0.",
                "{endpoint}：{rows:,} 行的 user_source 不是 0，文档没有说明。",
                endpoint=endpoint.name,
                rows=odd,
            )
            fetch.notify(unknown)
        return FetchReport.of(con, fetch.request, plan.waiting_for_days, plan.turns, fetch.errors, fetch.calls)

    def _report_and_note(self, fetch: Fetch, plan: FetchPlan, report: FetchReport | None) -> FetchReport:
        """Return the report of a fetch, and note the alerts of its calls."""
        if report is None:
            with self.warehouse.transaction() as con:
                report = self._report(con, fetch, plan)
        met = [error for error in report.errors if error.attempts]
        # Labels that are stored or wait for their days say nothing about calls. A family that is off needs no alert.
        if (report.calls or met) and fetch.request.endpoint in self.account.endpoints:
            name = report.endpoint.name
            called = [name, *([TOKEN] if report.calls else [])]  # every call needs a token
            self.alerts.note(self.account.name, Source.CALLS, called, alerts_of(met, name), fetch.notify)
        return report

    def unrecorded_refresh(
        self, wanted: Mapping[Endpoint, Mapping[dt.date, State]], after_call_id: int
    ) -> dict[Endpoint, RefreshPlan]:
        """Return a refresh of `wanted` that isn't recorded: it can't be resumed and replaces no interrupted refresh.

        `wanted` was determined at `after_call_id`. Labels that any refresh has brought in since then are not requested
        again.
        """
        begun = Refresh(self.clock(), after_call_id)
        return {
            endpoint: RefreshPlan(
                frozenset(label for label, state in labels.items() if state is not State.IMPLIED), begun
            )
            for endpoint, labels in wanted.items()
        }

    def begin_refresh(
        self,
        wanted: Mapping[Endpoint, Iterable[dt.date]],
        first: dt.date | None,
        last: dt.date | None,
        notify: Callable[[Text | str], None] = _no_notify,
    ) -> dict[Endpoint, RefreshPlan]:
        """Begin a refresh of the labels in `wanted` that are due and not implied; `first` and `last` are its bounds.

        If a refresh with the same bounds was interrupted, for example by the quota, it is resumed: labels that WeChat
        has answered in it are not requested again.
        """
        now, account = self.clock(), self.account.name
        with self.warehouse.transaction() as con:
            start = min([self.account.start, *(label for labels in wanted.values() for label in labels)])
            states = known.states(con, replace(self.account, start=start), now)
            found: dict[Endpoint, RefreshPlan] = {}
            for endpoint, labels in wanted.items():
                due = states[endpoint.name]
                to_refresh = frozenset(each for each in labels if due.get(each, State.IMPLIED) is not State.IMPLIED)
                before = past_calls.last_refresh(con, account, endpoint, first, last)
                if before is None or before.begun_at < now - _REFRESH_LASTS:
                    found[endpoint] = RefreshPlan(to_refresh, None)
                else:
                    done = past_calls.refreshed_labels(con, account, endpoint, before.after_call_id)
                    found[endpoint] = RefreshPlan(to_refresh, before, done & to_refresh)
            resumes = any(plan.begun and plan.left for plan in found.values())
            for endpoint, plan in found.items():
                if plan.begun is None or not resumes:
                    begun = past_calls.record_refresh(con, account, endpoint, first, last, now)
                    found[endpoint] = RefreshPlan(plan.labels, begun)
                elif plan.done:
                    resuming = Text(
                        "{endpoint}: resuming the refresh of {begun:%Y-%m-%d %H:%M}; {done:,} of {labels} are done.",
                        "{endpoint}：继续 {begun:%Y-%m-%d %H:%M} 开始的重新获取，已完成 {done:,} / {labels}。",
                        endpoint=endpoint.name,
                        begun=plan.begun.begun_at,
                        done=len(plan.done),
                        labels=endpoint.period.counted(len(plan.labels)),
                    )
                    notify(resuming)
        return found
