"""Status: what is there, what is missing and what was called today, for every account and endpoint; no call.

Add a figure of `wx-datacube status` here. It reads the published file only, so it is as fresh as the last
publication, and needs neither Dagster nor credentials.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from wx_datacube.catalog import ENDPOINTS, Endpoint
from wx_datacube.errors import BY_ERRCODE, NeedsPerson
from wx_datacube.periods import Clock, beijing_now
from wx_datacube.settings import Account, Settings
from wx_datacube.troubles import Troubles
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Connection, Warehouse
from wx_datacube.windows import plan_windows

DAILY_QUOTA = 1000
"""Calls a day and endpoint that operators plan with; WeChat documents no number. `doctor` asks for the account's."""


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """Due labels of one endpoint by state; `missing_ranges` are the first and last label of each gap."""

    account: str
    endpoint: str
    due: int
    landed: int
    empty: int
    implied: int
    missing: int
    missing_ranges: list[tuple[dt.date, dt.date]]
    last_landed: dt.date | None
    calls_today: int
    calls_needed: int
    days_needed: int
    """Days of quota that these calls take, today not counted where it is used up."""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """All endpoints of an account, and what only a person can mend."""

    account: str
    appid: str | None
    start: dt.date
    first_message: dt.date | None
    endpoints: list[EndpointStatus]
    needs_person: list[str]

    def as_json(self) -> dict[str, object]:
        """For `--json`: endpoints by name, dates as `YYYY-MM-DD`."""
        return asdict(self) | {"endpoints": {each.endpoint: asdict(each) for each in self.endpoints}}


def read_status(settings: Settings, account: Account, clock: Clock = beijing_now) -> AccountStatus:
    """The status of one account by the published file; raises `WarehouseError` if that can't be read."""
    now = clock()
    with Warehouse(settings.database).reading() as con:
        states = known.states(con, account.name, account.start, now)
        calls = known.calls_since(con, account.name, now.replace(hour=0, minute=0, second=0, microsecond=0))
        return AccountStatus(
            account.name,
            known.accounts(con).get(account.name) or account.appid,
            account.start,
            known.first_message(con, account.name),
            [
                _endpoint_status(account.name, each, states[each.name], calls[each.name], settings.daily_calls)
                for each in ENDPOINTS
            ],
            [*_needs_person(con, account), *_troubles(settings, con, account)],
        )


def _endpoint_status(
    account: str, endpoint: Endpoint, states: Mapping[dt.date, State], calls: int, daily_calls: int | None
) -> EndpointStatus:
    count = {state: sum(each is state for each in states.values()) for state in State}
    missing = [label for label, state in states.items() if state is State.MISSING]
    landed = [label for label, state in states.items() if state is State.LANDED]
    needed = len(plan_windows(endpoint, missing))
    quota = daily_calls or DAILY_QUOTA
    return EndpointStatus(
        account,
        endpoint.name,
        len(states),
        count[State.LANDED],
        count[State.EMPTY],
        count[State.IMPLIED],
        count[State.MISSING],
        gaps(missing, states),
        max(landed, default=None),
        calls,
        needed,
        -(-max(needed - max(quota - calls, 0), 0) // quota) + (needed > 0 and calls < quota),
    )


def gaps(missing: Iterable[dt.date], due: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """First and last label of every run of consecutive due labels that are missing, oldest first."""
    lacking = frozenset(missing)
    found: list[tuple[dt.date, dt.date]] = []
    follows = False
    for label in sorted(due):
        if label in lacking:
            found[-1:] = [(found[-1][0], label)] if follows else [*found[-1:], (label, label)]
        follows = label in lacking
    return found


def _needs_person(con: Connection, account: Account) -> list[str]:
    """What WeChat last said, of each endpoint, that only a person can mend."""
    found = []
    for endpoint in ENDPOINTS:
        errcode = known.last_errcode(con, account.name, endpoint)
        meaning = BY_ERRCODE.get(errcode) if errcode is not None else None
        if meaning is not None and meaning.kind is NeedsPerson:
            found.append(account.own(f"{endpoint.name}: {meaning.message} {meaning.advice or ''}".strip()))
    return found


def _troubles(settings: Settings, con: Connection, account: Account) -> list[str]:
    """What else was met that only a person can mend: in the call for a token, in files, by the checks."""
    in_ledger = {str(known.last_errcode(con, account.name, endpoint)) for endpoint in ENDPOINTS}
    standing = Troubles(settings.database).standing(account.name)
    return list(dict.fromkeys(each.text for each in standing if each.cause.split()[-1] not in in_ledger))
