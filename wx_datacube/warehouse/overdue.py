"""Overdue: settled labels that are missing, and whether a person has to act.

`status`, the alerts and the check `due_labels_are_there` all use this result. Add a reason to wait here if labels may
be missing although all is well. The wording for people is in `wx_datacube.alerts.missing_labels`.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import due_on, label_of, midnight_of, settled_at
from wx_datacube.config.settings import Account
from wx_datacube.language import Text
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import Summary, summaries
from wx_datacube.warehouse.past_calls import RecentCalls, recent_calls

_DAY = dt.timedelta(days=1)
Gap = tuple[dt.date, dt.date]
"""The first and last of consecutive missing labels."""

_NONE = Text("", "")
_BEING_FETCHED = Text("It is being fetched now.", "正在获取。")
_USED_UP = Text("Today's quota is used up.", "今天的配额已用完。")
_BACKFILLING = Text("History is being backfilled, newest first.", "历史数据正在补齐，从最新的日期开始。")


@dataclass(frozen=True, slots=True)
class Overdue:
    """Settled labels of an endpoint that are missing, as gaps, oldest first.

    `history` is true if they are older than every label that had been answered for before yesterday. `waiting_reason`
    says why no action is needed; it is empty if a person has to act.
    """

    endpoint: Endpoint
    gaps: tuple[Gap, ...]
    history: bool = False
    waiting_reason: Text = _NONE

    @property
    def since(self) -> dt.datetime:
        """The time at which the oldest of them should have been there."""
        return settled_at(self.gaps[0][0], self.endpoint.period)


def find_overdue(
    con: Connection,
    accounts: Sequence[Account],
    now: dt.datetime,
    *,
    daily_calls: int | None = None,
    is_fetching: Callable[[str], bool] = lambda account: False,
) -> dict[str, list[Overdue]]:
    """Return what is overdue at `now`, by account.

    `daily_calls` is the limit from the settings. `is_fetching` returns whether a process is fetching for an account
    right now.
    """
    found = summaries(con, accounts, now)
    return overdue_from(found, recent_calls(con, now), accounts, now, daily_calls, is_fetching)


def overdue_from(
    found: Mapping[tuple[str, str], Summary],
    recent: Mapping[tuple[str, str], RecentCalls],
    accounts: Sequence[Account],
    now: dt.datetime,
    daily_calls: int | None,
    is_fetching: Callable[[str], bool],
) -> dict[str, list[Overdue]]:
    """Do the same as `find_overdue`, for a caller that has read the summaries and calls already."""
    judged: dict[str, list[Overdue]] = {each.name: [] for each in accounts}
    for account in judged:
        for endpoint in ENDPOINTS:
            if (summary := found.get((account, endpoint.name))) and summary.gaps:
                calls = recent.get((account, endpoint.name), RecentCalls())
                # Labels that a silent day would imply aren't requested while that day is missing. They wait for the
                # quota of the endpoint of their days.
                of_days = recent.get((account, endpoint.days), RecentCalls())
                days = found.get((account, endpoint.days)) if endpoint.implied_by_silence else None
                held = days.gaps if days and quota_is_used_up(of_days, daily_calls) else []
                judged[account] += _of_endpoint(endpoint, summary, calls, (of_days, held), now, daily_calls)
        if any(not each.waiting_reason for each in judged[account]) and is_fetching(account):
            judged[account] = [
                each if each.waiting_reason else Overdue(each.endpoint, each.gaps, each.history, _BEING_FETCHED)
                for each in judged[account]
            ]
    return judged


def _of_endpoint(
    endpoint: Endpoint,
    summary: Summary,
    own: RecentCalls,
    waits_for: tuple[RecentCalls, Sequence[Gap]],
    now: dt.datetime,
    daily_calls: int | None,
) -> Iterator[Overdue]:
    of_days, held = waits_for

    def calls_for(gaps: Sequence[Gap]) -> RecentCalls:
        waiting = all(any(a <= first and last <= b for a, b in held) for first, last in gaps)
        return of_days if waiting else own

    midnight = midnight_of(now)
    # Labels older than every label that had been answered for before yesterday are history, which may have gaps while
    # it is being fetched. The labels of today and yesterday aren't history, unless nothing was ever requested.
    newest = _newest_due(endpoint, now.date())
    if own.oldest is not None and settled_at(_previous_label(endpoint, newest), endpoint.period) >= midnight - _DAY:
        newest = _previous_label(endpoint, newest)
    reached = newest if summary.reached is None else min(summary.reached, newest)
    settled = [gap for gap in (_settled(endpoint, each, now) for each in summary.gaps) if gap]
    near = [(max(first, reached), last) for first, last in settled if last >= reached]
    far = [(first, min(last, _previous_label(endpoint, reached))) for first, last in settled if first < reached]
    if near:
        used_up = quota_is_used_up(calls_for(near), daily_calls)
        # If a label has been missing since yesterday, today's quota isn't the reason.
        of_today = settled_at(near[0][0], endpoint.period) >= midnight
        yield Overdue(endpoint, tuple(near), waiting_reason=_USED_UP if used_up and of_today else _NONE)
    if far:
        calls = calls_for(far)
        going_on = calls.oldest is not None and settled_at(calls.oldest, endpoint.period) < midnight - _DAY
        reason = _BACKFILLING if going_on else _NONE
        if quota_is_used_up(calls, daily_calls) and not (calls.used_up_yesterday and calls.good_at is None):
            reason = reason or _USED_UP
        yield Overdue(endpoint, tuple(far), history=True, waiting_reason=reason)


def quota_is_used_up(calls: RecentCalls, daily_calls: int | None) -> bool:
    """Return whether no call is left today, by WeChat's last answer or by the limit from the settings."""
    return quota_used_up_at(calls, daily_calls) is not None


def quota_used_up_at(calls: RecentCalls, daily_calls: int | None) -> dt.datetime | None:
    """Return when today's last call was made or refused, if none is left, else None."""
    if calls.used_up_at is not None and (calls.good_at is None or calls.good_at <= calls.used_up_at):
        return calls.used_up_at
    return calls.last_at if daily_calls is not None and calls.today >= daily_calls else None


def _newest_due(endpoint: Endpoint, today: dt.date) -> dt.date:
    label = label_of(today, endpoint.period)
    return label if due_on(label, endpoint.period) <= today else _previous_label(endpoint, label)


def _previous_label(endpoint: Endpoint, label: dt.date) -> dt.date:
    return label_of(label - _DAY, endpoint.period)


def _settled(endpoint: Endpoint, gap: Gap, now: dt.datetime) -> Gap | None:
    """Return the part of a gap that should be there by now; None if no label of it should."""
    first, last = gap
    while settled_at(last, endpoint.period) > now:
        last = _previous_label(endpoint, last)
        if last < first:
            return None
    return first, last
