"""Concerns: what is unusual about an account or missing, for its digest, and whether yesterday is complete.

Add here what a digest warns about. `warehouse.overdue` decides what is overdue, as for `status` and the alerts. Before
noon a digest also names what WeChat may still publish.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wx_datacube.alerts.missing_labels import no_request_since
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.model import Family, Period
from wx_datacube.catalog.periods import due_on, settled_at
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errcodes import BY_ERRCODE, error_for, needs_person
from wx_datacube.language import Text
from wx_datacube.warehouse.checks import CheckContext, Finding, find_doubts
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import summaries
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.overdue import Overdue, overdue_from, quota_is_used_up
from wx_datacube.warehouse.past_calls import RecentCalls, last_calls_at, recent_calls, unresolved_errors

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class MissingFamily:
    """Missing labels of a family, the oldest of them `since`.

    `history` says that they are older history that isn't being fetched, and `settled` that they should be there by now.
    """

    family: Family
    since: dt.date
    history: bool
    settled: bool


@dataclass(frozen=True, slots=True)
class Concerns:
    """What needs attention in an account.

    `problems` are WeChat's errors that need a person, each with what to do about it, and `others` counts the other
    incidents that do. `doubts` are the findings of `figures_are_plausible` about yesterday: the failing ones first.
    `asked` says whether a call was ever made. `idle` says since when none was, and `quota` that today's quota is used
    up, if that may be the reason why something is missing.
    """

    problems: list[tuple[Text, Text]]
    others: int
    doubts: list[Finding]
    missing: list[MissingFamily]
    asked: bool
    idle: Text | None
    quota: bool


def read_concerns(
    con: Connection, settings: Settings, accounts: Sequence[Account], now: dt.datetime
) -> dict[str, Concerns]:
    """Read the concerns of accounts, by name, from the published file `con`."""
    recent, last_calls, errors = recent_calls(con, now), last_calls_at(con), unresolved_errors(con)
    overdue = overdue_from(
        summaries(con, accounts, now),
        recent,
        accounts,
        _settled_by(now),
        settings.daily_calls,
        Warehouse(settings.database).is_fetching,
    )
    found = {}
    for account in accounts:
        missing = sorted(_missing(overdue[account.name], now), key=lambda each: (each.history, each.since))
        problems, others = _problems(settings, account, errors)
        found[account.name] = Concerns(
            problems=problems,
            others=others,
            doubts=_doubts(con, account, now),
            missing=missing,
            asked=account.name in last_calls,
            idle=no_request_since(last_calls.get(account.name), now) if missing else None,
            quota=_quota_is_used_up(account, overdue[account.name], recent, settings.daily_calls),
        )
    return found


def _doubts(con: Connection, account: Account, now: dt.datetime) -> list[Finding]:
    """Return the doubts about yesterday's figures; the check also judges the day before until yesterday is there."""
    found, yesterday = find_doubts(CheckContext(con, account, now)), str(now.date() - _DAY)
    return [each for each in found if each.ref_date == yesterday]


def is_complete(settings: Settings, accounts: Sequence[Account], now: dt.datetime) -> bool:
    """Return whether what ended yesterday (the day, a week, a month) is stored for all accounts; raises WarehouseError.

    Open labels count as stored.
    """
    with Warehouse(settings.database).open_published() as con:
        found = summaries(con, accounts, now) if accounts else {}
    return not any(
        due_on(last, endpoint.period) == now.date()
        for account in accounts
        for endpoint in account.endpoints
        if (summary := found.get((account.name, endpoint.name)))
        for _, last in summary.gaps
    )


def everything_is_there(settings: Settings, accounts: Sequence[Account], now: dt.datetime) -> bool:
    """Return whether nothing due is missing, except history that is still being fetched; raises WarehouseError."""
    with Warehouse(settings.database).open_published() as con:
        found, recent = summaries(con, accounts, now), recent_calls(con, now)
    overdue = overdue_from(found, recent, accounts, _settled_by(now), settings.daily_calls, lambda account: False)
    return all(_waits(each) for found_of in overdue.values() for each in found_of)


def _waits(overdue: Overdue) -> bool:
    return overdue.history and bool(overdue.waiting_reason)


def _settled_by(now: dt.datetime) -> dt.datetime:
    """Return a moment of the same day at which all labels that are due have settled."""
    return max(now, settled_at(now.date() - _DAY, Period.DAY))


_Errors = Mapping[tuple[str, str], Mapping[int, dt.datetime]]


def _problems(settings: Settings, account: Account, errors: _Errors) -> tuple[list[tuple[Text, Text]], int]:
    """Return WeChat's errors that only a person can fix, each once, and the number of other incidents that need one.

    Errors of statistics calls are in the ledger, those of the token call among the alerts. An error has what it means,
    and what to do.
    """
    latest = (
        [*filter(needs_person, errors.get((account.name, endpoint.name), ()))][-1:] for endpoint in account.endpoints
    )
    alerts = {each.cause: str(each.text) for each in Alerts(settings.database).open_for_person(account.name)}
    by_code = {int(cause.split()[-1]): text for cause, text in alerts.items() if cause.split()[-1].isdigit()}
    known = {code: text for code, text in by_code.items() if code in BY_ERRCODE}
    codes = dict.fromkeys(code for found in latest for code in found) | known
    # The text of an alert has the address that WeChat refused.
    met = [error_for(code, text or "") for code, text in codes.items()]
    problems = [(each.message, account.with_own_variables(each.advice)) for each in met]
    return problems, len(alerts) - len(known)


def _quota_is_used_up(
    account: Account,
    overdue: Sequence[Overdue],
    recent: Mapping[tuple[str, str], RecentCalls],
    daily_calls: int | None,
) -> bool:
    calls = (recent.get((account.name, each.endpoint.name)) for each in overdue)
    return any(quota_is_used_up(each, daily_calls) for each in calls if each)


def _missing(overdue: Sequence[Overdue], now: dt.datetime) -> Iterator[MissingFamily]:
    """Yield what is missing by family, without history that is being fetched."""
    families: dict[tuple[Family, bool], list[Overdue]] = {}
    for each in overdue:
        if not _waits(each):
            families.setdefault((each.endpoint.family, each.history), []).append(each)
    for (family, history), found in families.items():
        since = min(each.gaps[0][0] for each in found)
        yield MissingFamily(family, since, history, any(each.since <= now for each in found))
