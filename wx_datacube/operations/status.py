"""Status: what is stored, what is missing and today's calls, for every account and endpoint. It makes no call.

Add a figure of `wx-datacube status` here. It reads only the published file, so it is as fresh as the last publication,
and it needs neither Dagster nor credentials.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from wx_datacube.alerts.digest_notes import DigestNotes
from wx_datacube.alerts.missing_labels import alerts_from
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.catalog.periods import LAST_TICK, Clock, beijing_now, due_on, label_of
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errcodes import BY_ERRCODE, needs_person
from wx_datacube.errors import SettingsError
from wx_datacube.ingest.windows import count_windows, plan_windows
from wx_datacube.language import Text, joined
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse import past_calls, silent_days
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import Summary
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.open_labels import turns_due
from wx_datacube.warehouse.overdue import quota_used_up_at

DAILY_QUOTA = 1000
"""Calls per endpoint per day that operators plan with. WeChat documents no number; `doctor` queries the account's."""


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """Due labels of one endpoint by state; `missing_ranges` holds the first and last label of each gap, newest first.

    `not_final` counts landed labels that WeChat may still change. `calls_next_morning` is how many calls the next day
    takes for its new labels and for the open ones whose turn it is, if nothing is missing by then.
    `quota_used_up_at` is None while calls are left today.
    """

    account: str
    endpoint: str
    family: str
    due: int
    landed: int
    empty: int
    implied: int
    missing: int
    not_final: int
    missing_ranges: list[tuple[dt.date, dt.date]]
    last_landed: dt.date | None
    calls_today: int
    calls_needed: int
    days_needed: int
    """Days of quota that `calls_needed` takes; today counts only if some of its quota is left."""
    calls_next_morning: int
    quota_used_up_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The endpoints of an account, the problems that need a person (overdue labels included), and the notes."""

    account: str
    appid: str | None
    start: dt.date
    families_off: list[str]
    first_message: dt.date | None
    endpoints: list[EndpointStatus]
    needs_person: list[Text]
    notes: list[Text]

    def as_json(self) -> dict[str, object]:
        """Return what `--json` prints: endpoints by name, dates as `YYYY-MM-DD`, texts in English."""
        return asdict(self) | {
            "endpoints": {each.endpoint: asdict(each) for each in self.endpoints},
            "needs_person": [*map(str, self.needs_person)],
            "notes": [*map(str, self.notes)],
        }


def read_status(settings: Settings, accounts: Sequence[Account], clock: Clock = beijing_now) -> list[AccountStatus]:
    """Read the accounts' status from the published file in one pass; raise `WarehouseError` if it can't be read."""
    if not accounts:
        return []
    now = clock()
    with Warehouse(settings.database).open_published() as con:
        found = known.summaries(con, accounts, now)
        recent = past_calls.recent_calls(con, now)
        attention = alerts_from(con, settings, accounts, now, found, recent, causes_are_shown=True)
        appids, first_messages = known.accounts(con), silent_days.first_messages(con)
        errors = past_calls.unresolved_errors(con)
        name_conflicts = {
            each.name: _name_conflict(con, each) for each in accounts if appids.get(each.name) != each.appid
        }
        endpoints = {
            each.name: _endpoint_statuses(con, each, found, recent, settings.daily_calls, now) for each in accounts
        }
    return [
        AccountStatus(
            account.name,
            appids.get(account.name) or account.appid,
            account.start,
            [family for family in Family if family not in account.families],
            first_messages.get(account.name),
            endpoints[account.name],
            [
                *name_conflicts.get(account.name, ()),
                *_needs_person(account, errors),
                *_other_alerts(settings, account, errors),
                *dict.fromkeys(each.text for each in attention[account.name].overdue),
                *filter(None, [DigestNotes(settings.database).unconfirmed(account.name, now)]),
            ],
            [each.text for each in attention[account.name].late],
        )
        for account in accounts
    ]


def _endpoint_statuses(
    con: Connection,
    account: Account,
    found: Mapping[tuple[str, str], Summary],
    recent: Mapping[tuple[str, str], past_calls.RecentCalls],
    daily_calls: int | None,
    now: dt.datetime,
) -> list[EndpointStatus]:
    tomorrow = dt.datetime.combine(now.date() + dt.timedelta(days=1), LAST_TICK)
    turns, then = (turns_due(con, account.name, moment, account.endpoints) for moment in (now, tomorrow))
    return [
        _endpoint_status(
            account.name,
            each,
            found.get((account.name, each.name), _NOTHING_DUE),
            (turns[each.name], then[each.name]),
            recent.get((account.name, each.name), past_calls.RecentCalls()),
            daily_calls,
            tomorrow.date(),
        )
        for each in account.endpoints
    ]


_NOTHING_DUE = Summary(0, 0, 0, 0, 0, 0, None, None, [])


def _endpoint_status(
    account: str,
    endpoint: Endpoint,
    found: Summary,
    turns: tuple[frozenset[dt.date], frozenset[dt.date]],
    recent: past_calls.RecentCalls,
    daily_calls: int | None,
    tomorrow: dt.date,
) -> EndpointStatus:
    (now, then), calls = turns, recent.today
    needed = count_windows(endpoint, sorted([*found.gaps, *((label, label) for label in now)]))
    quota = daily_calls or DAILY_QUOTA
    newest = label_of(tomorrow - dt.timedelta(days=1), endpoint.period)
    new = {newest} if due_on(newest, endpoint.period) == tomorrow and newest >= endpoint.first_day else set()
    return EndpointStatus(
        account,
        endpoint.name,
        endpoint.family.value,
        found.due,
        found.landed,
        found.empty,
        found.implied,
        found.missing,
        found.not_final,
        found.gaps[::-1],
        found.last_landed,
        calls,
        needed,
        -(-max(needed - max(quota - calls, 0), 0) // quota) + (needed > 0 and calls < quota),
        len(plan_windows(endpoint, new | then)),
        quota_used_up_at(recent, daily_calls),
    )


def _name_conflict(con: Connection, account: Account) -> list[Text]:
    """Return an error if the account's AppID is stored under another name, as after `rename-account`."""
    try:
        known.require_bound(con, account)
    except SettingsError as error:
        return [error.text]
    return []


Errors = Mapping[tuple[str, str], Mapping[int, dt.datetime]]


def _needs_person(account: Account, errors: Errors) -> list[Text]:
    """Return WeChat's latest errors that only a person can fix, each once, with the endpoints that have it."""
    affected: dict[int, list[str]] = {}
    for endpoint in account.endpoints:
        needs = filter(needs_person, errors.get((account.name, endpoint.name), ()))
        for errcode in [*needs][-1:]:
            affected.setdefault(errcode, []).append(endpoint.name)
    return [
        account.with_own_variables(
            Text(
                "{endpoints}: {what}",
                "{endpoints}：{what}",
                endpoints=joined(names, ", ", "、"),
                what=joined([BY_ERRCODE[errcode].message, BY_ERRCODE[errcode].advice or ""]),
            )
        )
        for errcode, names in affected.items()
    ]


def _other_alerts(settings: Settings, account: Account, errors: Errors) -> list[Text]:
    """Return the other alerts that only a person can fix: about calls for a token, files and settings."""
    reported = {
        str(errcode)
        for (name, _), found in errors.items()
        for errcode in found
        if name == account.name and needs_person(errcode)
    }
    standing = Alerts(settings.database).open_for_person(account.name)
    return list(dict.fromkeys(each.text for each in standing if each.cause.split()[-1] not in reported))
