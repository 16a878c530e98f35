"""Plan: which labels a run requests, in which windows, judged by the current state of the file.

Add here what decides whether a label is requested. `windows` covers the labels with the fewest calls, `fetch` makes
the calls. Nothing here makes a call.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import midnight_of, settled_at
from wx_datacube.config.settings import Account
from wx_datacube.errcodes import error_for, needs_person
from wx_datacube.errors import NotReady, TryAgain, UnexpectedAnswer, WeChatError
from wx_datacube.ingest.windows import Window, plan_windows
from wx_datacube.language import Text
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse import past_calls
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.open_labels import open_labels, turns_due
from wx_datacube.warehouse.past_calls import Refresh


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
class FetchRequest:
    """A caller's request: labels of one endpoint, oldest first, and those of them to refresh."""

    account: Account
    endpoint: Endpoint
    labels: Sequence[dt.date]
    now: dt.datetime
    run_id: str
    refresh: RefreshPlan | None = None
    single: bool = False
    """Whether to request the label even if it is stored, and no other label with it."""


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """The plan for a `FetchRequest`: the windows, newest first, and the known limits of WeChat."""

    windows: Sequence[Window] = ()
    asked: Sequence[dt.date] = ()
    calls_today: int = 0
    quota_stop: bool = False
    """Whether WeChat said today that the quota is used up."""
    access_confirmed: bool = True
    """Whether WeChat has answered this endpoint and has no standing error that needs a person.

    If not, windows are sent one at a time, since WeChat may refuse them all.
    """
    span: int = 1
    """The number of days that a window may cover."""
    probe: bool = False
    """Whether windows that may be too long are sent one at a time, since WeChat may refuse them."""
    turns: frozenset[dt.date] = frozenset()
    """The labels that are requested because they are open and their turn is due."""
    waiting_for_days: dict[dt.date, WeChatError] = field(default_factory=dict)
    """The labels that are not requested because of their days, with the reason."""

    @classmethod
    def of(cls, con: Connection, request: FetchRequest) -> "FetchPlan":
        """Return what to request, judged by the current state of the file; binds the account's name to its AppID."""
        account, endpoint, now = request.account, request.endpoint, request.now
        known.bind_account(con, account, now)
        since = replace(account, start=min([account.start, *request.labels]))
        states = known.states(con, since, now, endpoint)[endpoint.name]
        turns = turns_due(con, account.name, now, [endpoint])[endpoint.name]
        again = _left_to_refresh(con, request) | turns
        asked = [label for label in request.labels if _needs_request(request, states.get(label), label in again)]
        waiting = _waiting_for_days(con, request, asked)
        asked = [label for label in asked if label not in waiting]
        if not asked:
            return cls(waiting_for_days=waiting)
        span, is_certain = _span(con, account.name, endpoint)
        silent = known.empty_settled_labels(con, account.name, endpoint)
        errors = past_calls.unresolved_errors(con, account.name, endpoint).get((account.name, endpoint.name), {})
        answered = known.was_answered(con, account.name, endpoint)
        stored = frozenset(label for label, state in states.items() if state in (State.LANDED, State.EMPTY))
        stored -= open_labels(con, account.name, endpoint)
        isolated = {label for label in silent.intersection(asked) if states[label] is State.MISSING}
        span = 1 if request.single else span
        return cls(
            windows=plan_windows(endpoint, asked, stored, span=span, isolated=isolated),
            asked=asked,
            calls_today=past_calls.calls_since(con, account.name, midnight_of(now))[endpoint.name],
            quota_stop=_is_quota_used_up(errors.get(past_calls.QUOTA_USED_UP), now),
            access_confirmed=answered and not any(map(needs_person, errors)),
            span=span,
            probe=not is_certain,
            turns=turns.intersection(asked),
            waiting_for_days=waiting,
        )


def _left_to_refresh(con: Connection, request: FetchRequest) -> frozenset[dt.date]:
    """Return the labels to refresh that no run has requested again since the refresh began.

    Another run may be working on the same refresh.
    """
    if request.refresh is None or request.refresh.begun is None:
        return frozenset()
    after = request.refresh.begun.after_call_id
    return request.refresh.labels - past_calls.refreshed_labels(con, request.account.name, request.endpoint, after)


def _needs_request(request: FetchRequest, state: State | None, again: bool) -> bool:
    if state is None:  # not due yet: nothing to request; the report says so
        return False
    return state is State.MISSING or request.single or (again and state is not State.IMPLIED)


def _waiting_for_days(con: Connection, request: FetchRequest, asked: Sequence[dt.date]) -> dict[dt.date, WeChatError]:
    """Return the labels not to request, with the reason.

    Their days were requested in this same run, and failed or are not published yet. Such a day may turn out to be
    silent, and a silent day needs no call. Only the ledger is read; no run is waited for. A label whose day this run
    has not requested gets its call.
    """
    if not request.endpoint.implied_by_silence or not asked or request.single:
        return {}
    account, days = replace(request.account, start=min(asked)), BY_NAME[request.endpoint.days]
    outcomes = past_calls.outcomes_of_run(con, account.name, days, request.run_id)
    if not outcomes:
        return {}
    states = known.states(con, account, request.now, days)[days.name]
    newest = {label: outcome for outcome in outcomes for label in outcome.asked}
    # If a day has no outcome and the last call failed, the run gave up on the day because of that failure.
    last = outcomes[-1]
    given_up = None if last.good or last.errcode == past_calls.NOT_READY else last
    waiting = {}
    for label in asked:
        outcome = newest.get(label) or given_up
        if outcome is None or states.get(label) is not State.MISSING:
            continue
        if error := _why_day_is_unknown(outcome, label, request.endpoint):
            waiting[label] = error
    return waiting


def _why_day_is_unknown(outcome: past_calls.CallOutcome, label: dt.date, endpoint: Endpoint) -> WeChatError | None:
    """Return why a label waits for its day, by the last outcome of that day's call; None if it need not wait."""
    if outcome.good and outcome.requested_at >= settled_at(label, Period.DAY):
        return None  # rows were rejected, so the day is not silent
    kind: type[WeChatError] = UnexpectedAnswer
    if outcome.good:
        kind = NotReady
    elif outcome.errcode is not None:
        kind = type(error_for(outcome.errcode))
    elif outcome.http_status is None or outcome.http_status >= 500:
        kind = TryAgain
    return kind(
        Text(
            "Not requested: {days} is missing for the same days, and silent days need no call.",
            "未请求：同一日期的 {days} 尚缺失；该数据为空的日期无需请求。",
            days=endpoint.days,
        ),
        advice=Text("Run the same command again once it is there.", "请在该数据入库后再次运行同一命令。"),
        endpoint=endpoint.name,
    ).with_attempts(0)


def _is_quota_used_up(refused: dt.datetime | None, now: dt.datetime) -> bool:
    """Return whether WeChat said today that the quota is used up.

    Just after midnight, such an answer may be about yesterday's quota, so it doesn't count.
    """
    return refused is not None and refused >= midnight_of(now) + past_calls.JUST_AFTER_MIDNIGHT


# --- how many days a call may cover ---------------------------------------------------------------------------------


def _span(con: Connection, account: str, endpoint: Endpoint) -> tuple[int, bool]:
    """Return how many days a window may cover, and whether that is certain.

    WeChat's pages and clients disagree about some spans, so the catalog lists several, and the ledger decides: the
    longest that WeChat has not refused. It is certain once WeChat has answered a window that no shorter span allows.
    """
    *longer, shortest = endpoint.spans
    calls = past_calls.last_calls(con, account, endpoint, (past_calls.RANGE_REFUSED,)) if longer else []
    for span, next_span in zip(longer, endpoint.spans[1:], strict=True):
        is_accepted = _is_accepted(endpoint, calls, span, next_span)
        if is_accepted is not False:
            return span, is_accepted is True
    return shortest, True


def _is_accepted(endpoint: Endpoint, calls: Sequence[past_calls.PastCall], span: int, next_span: int) -> bool | None:
    """Return whether WeChat accepts windows of more days than `next_span` and up to `span`; None if it is unknown.

    The newest such window decides. A refusal counts once a shorter window has been answered for each of its labels. An
    answer counts unless it left out a settled label for which a later, shorter window brought rows.
    """
    answered: set[dt.date] = set()
    shown: set[dt.date] = set()
    for call in calls:
        days = (call.end - call.begin).days + 1
        if days <= next_span:
            answered |= set(call.asked) if call.errcode is None else set()
            shown |= set(call.labels_in_answer)
        elif days <= span:
            if call.errcode is None:
                left_out = shown.intersection(call.asked) - set(call.labels_in_answer)
                return not any(settled_at(label, endpoint.period) <= call.requested_at for label in left_out)
            return False if answered.issuperset(call.asked) else None
    return None
