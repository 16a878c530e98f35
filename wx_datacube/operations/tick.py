"""Tick: which labels a scheduled morning run has to process, and why others wait. It doesn't import Dagster.

It makes no call to WeChat. Add a reason to wait here; `operations.pending` decides which labels are pending at all.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import midnight_of
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errcodes import BY_ERRCODE, needs_person
from wx_datacube.language import Text, joined, text_of
from wx_datacube.operations.pending import RunPlan, pending_labels, plan_runs
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse import past_calls
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.open_labels import turns_due

_MAX_GAP_RUNS = 10
"""Most runs over older gaps that one tick requests for a group. The new labels of a morning take one run more."""
_RETRY_NOTE = Text(
    "The schedule tries again tomorrow, or at the next tick after `wx-datacube doctor` found the problem fixed.",
    "定时任务明天重试；wx-datacube doctor 确认问题已解决后，下一次触发即重试。",
)
_CONTINUES = Text("It continues tomorrow.", "明天继续。")


Materialized = Callable[[Endpoint, dt.date], Collection[dt.date]]
"""Returns the labels of an endpoint, from a given day on, that are materialized in Dagster."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The runs that a tick requests, and why other labels wait."""

    runs: Sequence[RunPlan]
    reason: Text


def plan_tick(
    settings: Settings,
    account: str,
    groups: Sequence[Sequence[Endpoint]],
    busy: Collection[Endpoint],
    materialized: Materialized,
    now: dt.datetime,
) -> Tick:
    """Plan what a tick at `now` requests for an account: for each group of endpoints, newest first.

    A run covers endpoints of one group only. Endpoints in `busy` have a run in progress and wait. Raises
    `SettingsError` and `WarehouseError`.
    """
    configured, midnight = settings.account(account), midnight_of(now)
    if refused := Alerts(settings.database, settings.webhook, lambda: now).token_refused(account, midnight):
        return Tick([], joined([refused, _RETRY_NOTE]))
    with Warehouse(settings.database).open_published() as con:
        known.require_bound(con, configured)
        states = known.states(con, configured, now)
        errors = past_calls.unresolved_errors(con, account)
        calls = past_calls.calls_since(con, account, midnight)
        endpoints = [endpoint for group in groups for endpoint in group]
        left_out = {endpoint: known.labels_left_out(con, account, endpoint, midnight) for endpoint in endpoints}
        turns, soon = (turns_due(con, account, now, about_to_begin=begins) for begins in (False, True))
    todo: dict[Endpoint, list[dt.date]] = {}
    reasons: dict[Text, list[str]] = {}
    for endpoint in endpoints:
        standing = errors.get((account, endpoint.name), {})
        if why := _why_not(endpoint, configured, endpoint in busy, calls, settings.daily_calls, standing, midnight):
            reasons.setdefault(why, []).append(endpoint.name)
            continue
        # WeChat returned no rows for these labels, although they can't be empty: request them once a day.
        tomorrow = {each for each in left_out[endpoint] if states[endpoint.name].get(each) is State.MISSING}
        if tomorrow:
            reasons.setdefault(_LEFT_OUT.fill(day=min(tomorrow)), []).append(endpoint.name)
        # If the run requests yesterday's reading figures first, open labels may come after them in the same run.
        begins = now.date() - dt.timedelta(days=1) in todo.get(DAILY_READING, ())
        done = materialized(endpoint, configured.start)
        pending = pending_labels(states[endpoint.name], done, (soon if begins else turns)[endpoint.name])
        todo[endpoint] = [label for label in pending if label not in tomorrow]
    runs: list[RunPlan] = []
    for group in groups:
        new, gaps = plan_runs({each: todo[each] for each in group if each in todo}, states)
        runs += [*([new] if new else []), *gaps[:_MAX_GAP_RUNS]]
    waiting = [
        Text("{names}: {why}", "{names}：{why}", names=joined(names, ", ", "、"), why=why)
        for why, names in reasons.items()
    ]
    return Tick(runs, joined(waiting))


_LEFT_OUT = Text(
    "WeChat returned no rows for {day} today; tomorrow's first tick retries.",
    "微信今天没有返回 {day} 的数据，明天第一次触发时重试。",
)


def _why_not(
    endpoint: Endpoint,
    account: Account,
    is_busy: bool,
    calls: Mapping[str, int],
    daily_calls: int | None,
    errors: Mapping[int, dt.datetime],
    midnight: dt.datetime,
) -> Text:
    """Return why a tick requests nothing of an endpoint; empty if it may."""
    if endpoint not in account.endpoints:
        setting = account.variable("FAMILIES")
        return Text("its family is off ({setting}).", "所属类别未开启（{setting}）。", setting=setting)
    if is_busy:
        return Text("a run is in progress; the next tick checks again.", "有运行正在进行，下一次触发时再检查。")
    if daily_calls is not None and calls[endpoint.name] >= daily_calls:
        return joined([Text("WX_DATACUBE_DAILY_CALLS is used up.", "WX_DATACUBE_DAILY_CALLS 已用完。"), _CONTINUES])
    return account.with_own_variables(_stopped_today(errors, midnight))


def _stopped_today(errors: Mapping[int, dt.datetime], midnight: dt.datetime) -> Text:
    """Return why no call of an endpoint makes sense today, by its standing errors; empty if calls make sense."""
    for errcode, when in reversed([*errors.items()]):
        meaning = BY_ERRCODE.get(errcode)
        if meaning is not None and needs_person(errcode) and when >= midnight:
            return joined([meaning.message, meaning.advice or "", _RETRY_NOTE])
        if (
            meaning is not None
            and errcode == past_calls.QUOTA_USED_UP
            and when >= midnight + past_calls.JUST_AFTER_MIDNIGHT
        ):
            return joined([meaning.message, _CONTINUES])
    return text_of("")
