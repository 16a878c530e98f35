"""Missing labels: the alerts about them, for `status` and for the chat.

Add the wording of an alert about labels here. `warehouse.overdue` decides which labels are overdue and which of them
need no action. Nothing here opens the database: its connection is passed in.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from wx_datacube.alerts.alert import Alert, Source, Urgency
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import due_on, join_ranges, midnight_of
from wx_datacube.config.settings import Account, Settings
from wx_datacube.language import Text, joined
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import Summary, summaries
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.overdue import Gap, Overdue, overdue_from, quota_is_used_up
from wx_datacube.warehouse.past_calls import RecentCalls, last_calls_at, recent_calls
from wx_datacube.warehouse.silent_days import doubtful_silent_days

OVERDUE = "overdue"
"""The cause of alerts about missing labels."""
LATE = "zero day"
"""The cause of alerts about a day without messages whose figures are probably late."""
_STALE = dt.timedelta(days=1)
"""If no call was made for this long, nothing is running: schedules, daemon or cron are off."""
_QUOTA_SHORT = Text(
    "The quota ran out on more than one day: does another program use it, or is WX_DATACUBE_DAILY_CALLS too low?",
    "配额不止一天不够用：请确认是否有其他程序占用，或调高 WX_DATACUBE_DAILY_CALLS。",
)
_UNPUBLISHED = Text("WeChat has not published them yet (61503).", "微信尚未发布（61503）。")
_ZERO_DAY = Text(
    "No message is stored for {day}, although there were messages on each of the 14 days before: WeChat is probably"
    " late. The calls of the next six days check it again.",
    "{day} 没有任何消息，而此前 14 天每天都有：很可能是微信延迟发布，之后六天会自动重查。",
)


@dataclass(frozen=True, slots=True)
class Attention:
    """The alerts about an account's labels: `overdue` needs a person, `late` is for information only."""

    overdue: tuple[Alert, ...] = ()
    late: tuple[Alert, ...] = ()

    @property
    def alerts(self) -> list[Alert]:
        """All alerts about the labels, `overdue` first."""
        return [*self.overdue, *self.late]


def find_alerts(
    con: Connection, settings: Settings, accounts: Sequence[Account], now: dt.datetime
) -> dict[str, Attention]:
    """Return the alerts about the accounts' labels at `now`, read from the published file `con`."""
    if not accounts:
        return {}
    return alerts_from(con, settings, accounts, now, summaries(con, accounts, now), recent_calls(con, now))


def alerts_from(
    con: Connection,
    settings: Settings,
    accounts: Sequence[Account],
    now: dt.datetime,
    found: Mapping[tuple[str, str], Summary],
    recent: Mapping[tuple[str, str], RecentCalls],
    *,
    causes_are_shown: bool = False,
) -> dict[str, Attention]:
    """Return the same as `find_alerts`, for callers that have already read the summaries and calls.

    `causes_are_shown` says that the caller itself shows the errors that need a person. The texts then don't repeat
    them.
    """
    names = [each.name for each in accounts]
    warehouse, alerts = Warehouse(settings.database), Alerts(settings.database)
    overdue = overdue_from(found, recent, accounts, now, settings.daily_calls, warehouse.is_fetching)
    used_up = {of for of, calls in recent.items() if quota_is_used_up(calls, settings.daily_calls)}
    unpublished = {of for of, calls in recent.items() if calls.not_ready}
    last_calls, zeros = last_calls_at(con), doubtful_silent_days(con, names, now)
    return {
        name: Attention(
            tuple(
                _overdue_alerts(
                    name, overdue[name], last_calls.get(name), alerts, now, used_up, unpublished, causes_are_shown
                )
            ),
            tuple(Alert(LATE, f"{day}", Urgency.NOTE, _ZERO_DAY.fill(day=day)) for day in zeros.get(name, ())),
        )
        for name in names
    }


def note_and_send(
    con: Connection,
    settings: Settings,
    account: Account,
    now: dt.datetime,
    notify: Callable[[Text], None] = lambda message: None,
) -> Attention:
    """Note the alerts about an account's labels, send the new ones, and return them all."""
    found = find_alerts(con, settings, [account], now)[account.name]
    alerts = Alerts(settings.database, settings.webhook, lambda: now)
    alerts.note(account.name, Source.LABELS, None, found.alerts, notify)
    return found


def _overdue_alerts(
    account: str,
    overdue: Sequence[Overdue],
    last_call_at: dt.datetime | None,
    alerts: Alerts,
    now: dt.datetime,
    used_up: Collection[tuple[str, str]],
    unpublished: Collection[tuple[str, str]],
    causes_are_shown: bool,
) -> list[Alert]:
    """Return one incident for everything that needs a person; each gap is a subject, so that growth is noticed."""
    needs_person = [each for each in overdue if not each.waiting_reason]
    if not needs_person:
        return []
    yesterday = midnight_of(now) - dt.timedelta(days=1)
    failures = alerts.recent_failures(account, yesterday)
    causes = [each.text for each in failures if not (causes_are_shown and each.urgency is Urgency.PERSON)]
    if any((account, each.endpoint.name) in used_up for each in needs_person):
        causes.append(_QUOTA_SHORT)
    if any((account, each.endpoint.name) in unpublished for each in needs_person):
        causes.append(_UNPUBLISHED)
    if causes:
        why: Text | None = Text("Why: {causes}", "原因：{causes}", causes=joined(causes))
    else:
        why = None if failures else no_request_since(last_call_at, now)
    text = _overdue_text(account, needs_person, why)
    return [
        Alert(OVERDUE, f"{endpoint.name} {first}..{last}", Urgency.PERSON, text)
        for endpoint, (first, last) in _merged_gaps(needs_person)
    ]


def _merged_gaps(needs_person: Sequence[Overdue]) -> Iterator[tuple[Endpoint, Gap]]:
    """Yield the gaps of each endpoint.

    A gap that is split between history and newer labels is joined, so that it stays the same when that boundary moves.
    """
    gaps: dict[str, list[Gap]] = {}
    for each in needs_person:
        gaps.setdefault(each.endpoint.name, []).extend(each.gaps)
    for name in sorted(gaps):
        endpoint = BY_NAME[name]
        for gap in join_ranges(gaps[name], partial(due_on, period=endpoint.period)):
            yield endpoint, gap


def _overdue_text(
    account: str,
    needs_person: Sequence[Overdue],
    why: Text | None,
) -> Text:
    recent = [each for each in needs_person if not each.history]
    history = [each for each in needs_person if each.history]
    parts = []
    if recent:
        parts.append(
            Text(
                "Missing since {since:%Y-%m-%d %H:%M}: {gaps}.",
                "数据缺失，自 {since:%Y-%m-%d %H:%M} 起：{gaps}。",
                since=min(each.since for each in recent),
                gaps=_list_gaps(recent),
            )
        )
    if history:
        parts.append(
            Text("History that isn't being fetched: {gaps}.", "历史数据没有在补齐：{gaps}。", gaps=_list_gaps(history))
        )
    if why:
        parts.append(why)
    parts.append(
        Text("To fetch it: {command}", "补齐请运行 {command}", command=f"wx-datacube backfill --account {account}")
    )
    if history and not recent:
        first = min(gaps[-1][1] for gaps in (each.gaps for each in history)) + dt.timedelta(days=1)
        parts.append(
            Text(
                "Or, if you don't want it: WX_DATACUBE_START={first}",
                "；不需要更早的数据时，请设置 WX_DATACUBE_START={first}",
                first=first,
            )
        )
    return joined(parts)


def no_request_since(last_call_at: dt.datetime | None, now: dt.datetime) -> Text | None:
    """Return that nothing is running, if the account's last call was long ago, or if there is none."""
    if last_call_at is None:
        return Text("No request has been made yet.", "还没有请求过任何数据。")
    if now - last_call_at < _STALE:
        return None
    return Text(
        "No request since {last:%Y-%m-%d %H:%M}: are the schedules on, and is the daemon or cron running?",
        "自 {last:%Y-%m-%d %H:%M} 起没有任何请求，请检查定时任务、Dagster daemon 或 cron 是否在运行。",
        last=last_call_at,
    )


_SHOWN = 3
"""The most gaps named per endpoint; the newest are named."""


def _list_gaps(overdue: Sequence[Overdue]) -> Text:
    """Return the gaps as text; endpoints with the same gaps are named together."""
    by_gaps: dict[tuple[Gap, ...], list[str]] = {}
    for each in overdue:
        by_gaps.setdefault(each.gaps, []).append(each.endpoint.name)
    return joined(
        [
            Text("{names} {ranges}", "{names} {ranges}", names=joined(names, ", ", "、"), ranges=_ranges(gaps))
            for gaps, names in by_gaps.items()
        ],
        "; ",
        "；",
    )


def _ranges(gaps: Sequence[Gap]) -> str:
    texts = [f"{first}" if first == last else f"{first} … {last}" for first, last in reversed(gaps)]
    more = f" (+{len(texts) - _SHOWN})" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
