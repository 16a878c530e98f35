"""Ingest: fetch labels, store their figures and report on each label. This is the use case, without Dagster.

Labels already stored are not requested again. The rest is planned into windows, fetched by several threads and
committed about once a second, ledger and tables together. Add here what decides *whether and when* to call. How to call
belongs to `wechat`, which rows of an answer to trust to `warehouse.load`.
"""

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from wx_datacube.alerts.alert import TOKEN, Source, alerts_of
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import ENDPOINTS, Endpoint, Period
from wx_datacube.catalog.periods import Clock, beijing_now, midnight_of, settled_at
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.errors import (
    NotReady,
    QuotaExhausted,
    RequestRefused,
    TokenRejected,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
    error_for,
    needs_person,
)
from wx_datacube.ingest.pool import FetchPool, Progress, RunContext
from wx_datacube.ingest.windows import Window, plan_windows
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse import past_calls
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import Coverage, State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.locks import ProcessSemaphore
from wx_datacube.warehouse.past_calls import Refresh
from wx_datacube.wechat import QUOTA_CALL, Client

_ASK_QUOTA_ABOVE = 10
"""Up to this many windows are sent without querying the day's quota first; WeChat reports it when it is used up."""
_REFRESH_LASTS = dt.timedelta(days=30)
"""A refresh interrupted longer ago than this starts over: WeChat may have changed figures it had already requested."""


@dataclass(frozen=True, slots=True)
class LabelReport:
    """The outcome of one label.

    `error` says why it is missing, or why a refresh could not request it again.
    """

    coverage: Coverage
    error: WeChatError | None = None

    @property
    def label(self) -> dt.date:
        """The day, the Monday of the week, or the 1st of the month."""
        return self.coverage.label

    @property
    def there(self) -> bool:
        """Whether the label is landed, empty or implied."""
        return self.coverage.state is not State.MISSING


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of all labels requested, oldest first; `calls` counts attempts, each of which costs quota."""

    endpoint: Endpoint
    labels: tuple[LabelReport, ...]
    calls: int = 0

    @property
    def undone(self) -> tuple[LabelReport, ...]:
        """The labels that are missing, or that a refresh should have requested again and did not."""
        return tuple(report for report in self.labels if report.error is not None)

    @property
    def errors(self) -> tuple[WeChatError, ...]:
        """The distinct reasons why labels are undone, most frequent first."""
        reasons: dict[tuple[str, int | None], list[WeChatError]] = {}
        for report in self.undone:
            if error := report.error:
                reasons.setdefault((error.message, error.errcode), []).append(error)
        return tuple(found[0] for found in sorted(reasons.values(), key=len, reverse=True))


def _ignore(progress: Progress) -> None:
    pass


def _quiet(message: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Ingest:
    """Ingestion for one account. `connect` creates the client when the first call is due.

    `connect` gets the `halted` event. The client sleeps by its `wait`, so an interruption ends every pause.
    """

    warehouse: Warehouse
    account: Account
    connect: Callable[[threading.Event], Client]
    concurrency: int = 8
    daily_calls: int | None = None
    clock: Clock = beijing_now
    webhook: Secret | None = None
    publishing: bool = True
    """Whether `bring_in` publishes what it stored before it reports. If False, the caller must publish."""
    halted: threading.Event = field(init=False)
    """Set it to stop all fetching as soon as the calls in flight have ended."""
    semaphore: ProcessSemaphore = field(init=False)
    """Limits the account's calls in flight, over all processes, to `concurrency`."""
    alerts: Alerts = field(init=False)
    """Stores the account's alerts and sends them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "halted", threading.Event())
        object.__setattr__(self, "semaphore", self.warehouse.semaphore(self.account.name, self.concurrency))
        object.__setattr__(self, "alerts", Alerts(self.warehouse.database, self.webhook, self.clock))

    @classmethod
    def of(cls, settings: Settings, account: Account, *, clock: Clock = beijing_now, **client: Any) -> "Ingest":
        """Return the `Ingest` of a configured account; `client` holds options of `Client`.

        Missing credentials raise an error only when a call is due.
        """

        def connect(halted: threading.Event) -> Client:
            return Client.of(account, settings.api_url, **{"clock": clock, "sleep": halted.wait, **client})

        return cls(
            Warehouse(settings.database, clock=clock),
            account,
            connect,
            settings.concurrency,
            settings.daily_calls,
            clock,
            settings.webhook,
        )

    def bring_in(
        self,
        endpoint: Endpoint,
        labels: Iterable[dt.date],
        *,
        run_id: str,
        refresh: "RefreshPlan | None" = None,
        manual: bool = False,
        progress: Callable[[Progress], None] = _ignore,
        notify: Callable[[str], None] = _quiet,
    ) -> Report:
        """Make the labels landed, empty or implied with the fewest calls, and report on each.

        Labels in `refresh` are requested once more even if they are stored. With `manual`, a run may query WeChat's
        quota once if the ledger says that it is used up. `notify` gets messages for the operator. Raises
        `SettingsError` and `WarehouseError`; WeChat's errors are in the report.
        """
        wanted = sorted(set(labels))
        task = _Task(self, endpoint, wanted, self.clock(), run_id, refresh, manual, progress, notify)
        try:
            if task.plan().windows:
                self.warehouse.require_space()
                with self.warehouse.fetching(self.account.name, endpoint.name, task.say_waiting):
                    task.fetch(task.plan())
        finally:
            if self.publishing:
                self.warehouse.publish()
        return self._noted(task)

    def look(self, endpoint: Endpoint, label: dt.date, *, run_id: str) -> Report:
        """Make one call for a due label, whether or not it is stored, and store the answer like any other.

        It doesn't wait for another process that fetches the same endpoint. It isn't a refresh: an empty answer deletes
        nothing.
        """
        task = _Task(self, endpoint, [label], self.clock(), run_id, None, True, _ignore, _quiet, look=True)
        self.warehouse.require_space()
        try:
            task.fetch(task.plan())
        finally:
            self.warehouse.publish()
        return self._noted(task)

    def _noted(self, task: "_Task") -> Report:
        """Note the alerts of a task and return its report."""
        report, endpoint = task.report(), task.endpoint
        met = [error for error in report.errors if error.attempts]
        if report.calls or met:  # labels that are stored or held back say nothing about calls
            found = alerts_of(met, endpoint.name)
            checked = [endpoint.name, *([TOKEN] if report.calls else [])]  # every call needs a token
            self.alerts.note(self.account.name, Source.CALLS, checked, found, task.notify)
        return report

    def ask_again(
        self, wanted: Mapping[Endpoint, Mapping[dt.date, State]], after_call_id: int
    ) -> "dict[Endpoint, RefreshPlan]":
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
        notify: Callable[[str], None] = _quiet,
    ) -> "dict[Endpoint, RefreshPlan]":
        """Begin a refresh of the labels in `wanted` that are due and not implied; `first` and `last` are its bounds.

        If a refresh with the same bounds was interrupted, for example by the quota, it is resumed: labels that WeChat
        has answered in it are not requested again.
        """
        now, account = self.clock(), self.account.name
        with self.warehouse.transaction() as con:
            start = min([self.account.start, *(label for labels in wanted.values() for label in labels)])
            states = known.states(con, account, start, now)
            found: dict[Endpoint, RefreshPlan] = {}
            for endpoint, labels in wanted.items():
                due = states[endpoint.name]
                of = frozenset(each for each in labels if due.get(each, State.IMPLIED) is not State.IMPLIED)
                before = past_calls.last_refresh(con, account, endpoint, first, last)
                if before is None or before.begun_at < now - _REFRESH_LASTS:
                    found[endpoint] = RefreshPlan(of, None)
                else:
                    done = past_calls.refreshed_labels(con, account, endpoint, before.after_call_id)
                    found[endpoint] = RefreshPlan(of, before, done & of)
            goes_on = any(again.begun and again.left for again in found.values())
            for endpoint, again in found.items():
                if again.begun is None or not goes_on:
                    begun = past_calls.record_refresh(con, account, endpoint, first, last, now)
                    found[endpoint] = RefreshPlan(again.labels, begun)
                elif again.done:
                    count = f"{len(again.done):,} of {len(again.labels):,} {endpoint.period.value}s"
                    notify(
                        f"{endpoint.name}: going on with the refresh of {again.begun.begun_at:%Y-%m-%d %H:%M};"
                        f" {count} were asked again already."
                    )
        return found


@dataclass(frozen=True, slots=True)
class RefreshPlan:
    """A refresh of one endpoint: the `labels` to request again, and those of them already `done`."""

    labels: frozenset[dt.date]
    begun: Refresh | None
    done: frozenset[dt.date] = frozenset()

    @property
    def left(self) -> list[dt.date]:
        """The labels still to request, oldest first."""
        return sorted(self.labels - self.done)


@dataclass(frozen=True, slots=True)
class _Plan:
    windows: list[Window]
    asked: list[dt.date]
    calls_today: int = 0
    quota_stop: bool = False
    granted: bool = True
    """Whether WeChat has answered this endpoint and has no standing error that needs a person.

    If not, windows are sent one at a time, since WeChat may refuse them all.
    """
    probe: bool = False
    """Whether the first window with several labels is sent alone, since WeChat may refuse such windows."""


@dataclass(slots=True)
class _Task:
    """One call of `Ingest.bring_in` or `Ingest.look`."""

    ingest: Ingest
    endpoint: Endpoint
    labels: Sequence[dt.date]
    now: dt.datetime
    run_id: str
    refresh: RefreshPlan | None
    manual: bool
    progress: Callable[[Progress], None]
    notify: Callable[[str], None]
    look: bool = False
    """Whether to request the label even if it is stored, and no other label with it."""
    calls: int = 0
    errors: dict[dt.date, WeChatError] = field(default_factory=dict)
    held: dict[dt.date, WeChatError] = field(default_factory=dict)
    """Missing labels that were not requested because of their days, with the reason."""

    # --- plan

    def plan(self) -> _Plan:
        """Return what to request, judged by the current state of the file."""
        account, endpoint = self.ingest.account, self.endpoint
        start = min([account.start, *self.labels])
        with self.ingest.warehouse.transaction() as con:
            known.bind_account(con, account.name, account.appid, account.start, self.now)
            states = known.states(con, account.name, start, self.now, endpoint)[endpoint.name]
            again = self._left_to_refresh(con)
            asked = [label for label in self.labels if self._to_ask(states.get(label), label in again)]
            self.held = self._held_back(con, asked)
            asked = [label for label in asked if label not in self.held]
            if not asked:
                return _Plan([], [])
            habit = _window_support(con, account.name, endpoint)
            silent = known.empty_settled_labels(con, account.name, endpoint)
            errors = past_calls.unresolved_errors(con, account.name, endpoint).get((account.name, endpoint.name), {})
            granted = known.was_answered(con, account.name, endpoint) and not any(map(needs_person, errors))
            calls_today = past_calls.calls_since(con, account.name, midnight_of(self.now))[endpoint.name]
        stored = frozenset(label for label, state in states.items() if state in (State.LANDED, State.EMPTY))
        alone = {label for label in silent.intersection(asked) if states[label] is State.MISSING}
        one_label = self.look or habit is _WindowSupport.ONE_LABEL
        windows = plan_windows(endpoint, asked, stored, one_label=one_label, alone=alone)
        stopped = self._quota_stop(errors.get(past_calls.QUOTA_USED_UP))
        return _Plan(windows, asked, calls_today, stopped, granted, habit is _WindowSupport.UNKNOWN)

    def _left_to_refresh(self, con: Connection) -> frozenset[dt.date]:
        """Return the labels to refresh that no run has brought in since the refresh began.

        Another run may be working on the same refresh.
        """
        if self.refresh is None or self.refresh.begun is None:
            return frozenset()
        after = self.refresh.begun.after_call_id
        return self.refresh.labels - past_calls.refreshed_labels(con, self.ingest.account.name, self.endpoint, after)

    def _to_ask(self, state: State | None, again: bool) -> bool:
        if state is None:  # not due yet: nothing to request; the report says so
            return False
        return state is State.MISSING or self.look or (again and state is not State.IMPLIED)

    def _held_back(self, con: Connection, asked: Sequence[dt.date]) -> dict[dt.date, WeChatError]:
        """Return the labels not to request, with the reason.

        In this same run, their days failed or are not published yet. Such a day may turn out to be silent, and a silent
        day needs no call. Only the ledger is read; no run is waited for. A label whose day this run has not requested
        gets its call.
        """
        account, days = self.ingest.account.name, ENDPOINTS[0]
        words = past_calls.outcomes_of_run(con, account, days, self.run_id) if self.endpoint.implied_by_silence else []
        if not words or not asked or self.look:
            return {}
        states = known.states(con, account, min(asked), self.now, days)[days.name]
        newest = {label: word for word in words for label in word.asked}
        held = {}
        for label in asked:
            # A day that has no outcome after a failure was given up because of that failure.
            word = newest.get(label) or (
                None if words[-1].good or words[-1].errcode == past_calls.NOT_READY else words[-1]
            )
            if word and states.get(label) is State.MISSING and (error := _unknown_day(word, label, self.endpoint)):
                held[label] = error
        return held

    def _quota_stop(self, refused: dt.datetime | None) -> bool:
        """Return whether WeChat said today that the quota is used up.

        Just after midnight, such an answer may be about yesterday's quota, so it doesn't count.
        """
        return refused is not None and refused >= midnight_of(self.now) + past_calls.JUST_AFTER_MIDNIGHT

    def say_waiting(self, holder: str) -> None:
        """Notify that another process fetches the same; the labels that it stores need no call."""
        if holder != str(os.getpid()):
            self.notify(f"Waiting for process {holder}, which is fetching {self.endpoint.name} for this account.")

    # --- fetch

    def fetch(self, plan: _Plan) -> None:
        """Fetch the plan's windows and put the error of each label that isn't answered into `errors`."""
        if not plan.windows:
            return
        client = self.ingest.connect(self.ingest.halted)
        try:
            if plan.quota_stop and not self._quota_is_back(client):
                stop = QuotaExhausted("Today's quota of this endpoint is used up.", endpoint=self.endpoint.name)
                self.errors.update(dict.fromkeys(plan.asked, stop))
                return
            self._fetch_windows(client, plan)
        except WeChatError as error:  # from querying the quota
            self.errors.update(dict.fromkeys(plan.asked, error))
        finally:
            client.close()

    def _quota_is_back(self, client: Client) -> bool:
        return self.manual and client.quota(self.endpoint.name).remain > 0

    def _fetch_windows(self, client: Client, plan: _Plan) -> None:
        ingest = self.ingest
        stamp = RunContext(self.run_id, ingest.account.name, self.refresh is not None)
        crew = FetchPool(
            ingest.warehouse,
            client,
            self.endpoint,
            stamp,
            self.now,
            ingest.concurrency,
            ingest.semaphore,
            ingest.halted,
            self._budget(client, plan),
            self.progress,
        )
        try:
            crew.work(self._probe(crew, plan))
        finally:
            self.calls = crew.calls
            self.errors |= crew.errors

    def _budget(self, client: Client, plan: _Plan) -> int | None:
        """Return the attempts allowed today: what the settings leave and, for larger plans, what WeChat has left."""
        limit = self.ingest.daily_calls
        budgets = [] if limit is None else [limit - plan.calls_today]
        if len(plan.windows) > _ASK_QUOTA_ABOVE:
            try:
                budgets.append(client.quota(self.endpoint.name).remain)
            except WeChatError as error:
                if error.endpoint != QUOTA_CALL or isinstance(error, TryAgain | TokenRejected):
                    raise  # the statistics calls would fail the same way
                self.notify(f"{self.endpoint.name}: going on without knowing what is left of today's quota. {error}")
        return min(budgets, default=None)

    def _probe(self, crew: FetchPool, plan: _Plan) -> list[Window]:
        """Send windows one at a time until it is known what WeChat accepts; return the windows that are left.

        This shows whether WeChat lets calls of the endpoint through at all, and whether it accepts several labels per
        call.
        """
        left, granted, probing = list(plan.windows), plan.granted, plan.probe
        answered: set[dt.date] = set()
        while left and not crew.stopped:
            several = [window for window in left if not window.holds_one_label()] if probing else []
            if granted and not several:
                break
            probe = (several or left)[0]
            left.remove(probe)
            crew.work([probe])
            errors = [crew.errors.get(label) for label in probe.asked]
            if any(isinstance(error, RequestRefused) and error.errcode == past_calls.RANGE_REFUSED for error in errors):
                self.notify(f"{self.endpoint.name}: WeChat takes one {self.endpoint.period.value} a call; going on so.")
                crew.errors.clear()
                return plan_windows(self.endpoint, set(plan.asked) - answered, one_label=True)
            answered |= {label for label, error in zip(probe.asked, errors, strict=True) if error is None}
            probing = probing and (probe.holds_one_label() or None not in errors)
            # An error about the call itself, not about the account, shows that WeChat let the call through.
            granted = granted or any(error is None or isinstance(error, NotReady | RequestRefused) for error in errors)
        return left

    # --- report

    def report(self) -> Report:
        """Return the state of every label as stored, with the reason for each that is missing."""
        account = self.ingest.account
        with self.ingest.warehouse.reading_committed() as con:
            found = known.coverage(con, account.name, self.endpoint, self.labels, self.now)
            set_apart = known.labels_with_rejected_rows(con, account.name, self.endpoint, self.labels)
            if odd := known.count_unknown_sources(con, account.name, self.endpoint, self.labels):
                self.notify(
                    f"{self.endpoint.name}: {odd:,} rows have a user_source other than 0, which nobody has explained."
                )
        due = {coverage.label for coverage in found}
        late = [Coverage.unknown(label) for label in self.labels if label not in due]
        reports = [LabelReport(each, self._why(each, each.label in set_apart)) for each in found + late]
        return Report(self.endpoint, tuple(sorted(reports, key=lambda report: report.label)), self.calls)

    def _why(self, coverage: Coverage, set_apart: bool) -> WeChatError | None:
        again = self.refresh is not None and coverage.label in self.refresh.labels
        if coverage.label in self.held and (again or coverage.state is State.MISSING):
            return self.held[coverage.label]
        if coverage.label in self.errors and (again or self.look or coverage.state is State.MISSING):
            return self.errors[coverage.label]
        if coverage.state is not State.MISSING:
            return None
        name, label = self.endpoint.name, coverage.label
        if set_apart:
            return UnexpectedAnswer(
                f"WeChat's answer for {label} can't be right: rows of it were set apart.",
                advice="See datacube.rejected_rows; a later run asks again.",
                endpoint=name,
            )
        if self.now < settled_at(label, self.endpoint.period):
            advice = "Figures come after 08:00 and by noon Beijing time: run the same again later today."
        else:
            advice = "Messages are stored for its days, so nothing can't be all: a later run asks again."
        return NotReady(f"WeChat has not published {label} yet.", advice=advice, endpoint=name)


def _unknown_day(word: past_calls.CallOutcome, label: dt.date, endpoint: Endpoint) -> WeChatError | None:
    """Return why a label waits for its day, by the last outcome of that day's call; None if it need not wait."""
    if word.good and word.requested_at >= settled_at(label, Period.DAY):
        return None  # rows were set apart, so the day is not silent
    kind: type[WeChatError] = UnexpectedAnswer
    if word.good:
        kind = NotReady
    elif word.errcode is not None:
        kind = type(error_for(word.errcode))
    elif word.http_status is None or word.http_status >= 500:
        kind = TryAgain
    return kind(
        f"{ENDPOINTS[0].name} of the same days is not there yet, and silent days need no call, so none was made.",
        advice="Run the same again once it is.",
        endpoint=endpoint.name,
    ).with_attempts(0)


# --- several labels per call ------------------------------------------------------------------------------------


class _WindowSupport(Enum):
    """Whether WeChat accepts windows of several weeks or months. Its pages disagree, so the ledger decides."""

    SEVERAL = "several"
    ONE_LABEL = "one label"
    UNKNOWN = "unknown"


def _window_support(con: Connection, account: str, endpoint: Endpoint) -> _WindowSupport:
    """Return what the ledger shows, judged by the newest window of several labels.

    A refusal counts once each of its labels has been answered alone. An answer counts as support unless it left out a
    label for which a later call for that label alone brought rows.
    """
    if endpoint.period is Period.DAY:
        return _WindowSupport.SEVERAL
    answered: set[dt.date] = set()
    shown: set[dt.date] = set()
    for call in past_calls.last_calls(con, account, endpoint, (past_calls.RANGE_REFUSED,)):
        if call.begin == call.end:
            answered |= {call.begin} if call.errcode is None else set()
            shown |= set(call.labels_in_answer)
        elif call.errcode is None:
            left_out = shown.intersection(call.asked) - set(call.labels_in_answer)
            return _WindowSupport.ONE_LABEL if left_out else _WindowSupport.SEVERAL
        else:
            return _WindowSupport.ONE_LABEL if answered.issuperset(call.asked) else _WindowSupport.UNKNOWN
    return _WindowSupport.UNKNOWN
