"""Tick: which labels a scheduled morning run has to process, and why others wait. It doesn't import Dagster.

It makes no call to WeChat. Add a reason to wait here; `operations.pending` decides which labels are to do at all.
"""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import Endpoint
from wx_datacube.catalog.periods import midnight_of
from wx_datacube.config.settings import Settings
from wx_datacube.errors import BY_ERRCODE, needs_person
from wx_datacube.operations.pending import pending_labels, together
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse

_MOST_RUNS = 10
_ON = "The schedule tries again tomorrow, or at the next tick once `wx-datacube doctor` has found it mended."


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick requests: ranges of labels, by first and last, each with its endpoints; and why other labels wait."""

    wanted: Sequence[tuple[tuple[dt.date, dt.date], Sequence[Endpoint]]]
    reasons: Sequence[str]


def plan_tick(
    settings: Settings,
    account: str,
    endpoints: Sequence[Endpoint],
    busy: Collection[Endpoint],
    materialized: Callable[[Endpoint, dt.date], Collection[dt.date]],
    now: dt.datetime,
    notify: Callable[[str], None],
) -> Tick:
    """Plan what a tick at `now` requests for an account, newest first; send alerts that the chat did not accept before.

    Endpoints in `busy` have a run under way and wait. `materialized` returns the labels, from a given day on, that
    Dagster holds as materialized. Raises `SettingsError` and `WarehouseError`.
    """
    configured, midnight = settings.account(account), midnight_of(now)
    troubles = Alerts(settings.database, settings.webhook, lambda: now)
    troubles.deliver(notify)
    if refused := troubles.token_refused(account, midnight):
        return Tick([], [f"{refused} {_ON}"])
    with Warehouse(settings.database).reading() as con:
        known.require_bound(con, account, configured.appid)
        states = known.states(con, account, configured.start, now)
        errors = known.standing_errors(con, account)
        calls = {} if settings.daily_calls is None else known.calls_since(con, account, midnight)
        in_vain = {endpoint: known.asked_in_vain(con, account, endpoint, midnight) for endpoint in endpoints}
    todo: dict[Endpoint, list[dt.date]] = {}
    reasons: list[str] = []
    for endpoint in endpoints:
        if endpoint in busy:
            reasons.append(f"{endpoint.name}: a run is under way; the next tick looks again.")
        elif settings.daily_calls is not None and calls[endpoint.name] >= settings.daily_calls:
            reasons.append(f"{endpoint.name}: WX_DATACUBE_DAILY_CALLS is used up. It goes on tomorrow.")
        elif why := configured.own(_stopped_today(errors.get((account, endpoint.name), {}), midnight)):
            reasons.append(f"{endpoint.name}: {why}")
        else:
            # WeChat left these labels out, although they can't be empty: they are requested once a day, not at every
            # tick.
            vain = {each for each in in_vain[endpoint] if states[endpoint.name].get(each) is State.MISSING}
            if vain:
                reasons.append(f"{endpoint.name}: WeChat left out {min(vain)} today; tomorrow's first tick asks again.")
            done = materialized(endpoint, configured.start)
            todo[endpoint] = [label for label in pending_labels(states[endpoint.name], done) if label not in vain]
    wanted = sorted(together(todo, states).items(), key=lambda each: each[0][1], reverse=True)
    return Tick(wanted[:_MOST_RUNS], reasons)


def _stopped_today(errors: dict[int, dt.datetime], midnight: dt.datetime) -> str:
    """Return why no call of an endpoint makes sense today, by its standing errors; empty if calls make sense."""
    for errcode, when in reversed(errors.items()):
        meaning = BY_ERRCODE.get(errcode)
        if meaning is not None and needs_person(errcode) and when >= midnight:
            return f"{meaning.message} {meaning.advice} {_ON}"
        if meaning is not None and errcode == known.QUOTA_USED_UP and when >= midnight + known.JUST_AFTER_MIDNIGHT:
            return f"{meaning.message} It goes on tomorrow."
    return ""
