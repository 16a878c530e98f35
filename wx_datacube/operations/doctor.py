"""Doctor: examines what keeps this machine from its figures; each finding says what to do.

Add a finding where a newcomer got stuck. Doctor makes no file if nothing is stored. It makes at most one statistics
call per endpoint: for the newest settled label that is missing, so that the call is not wasted, or else for the newest
stored one. The answer is kept like any other. Dagster's part is in `orchestration.doctor`, which may import it.
"""

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from wx_datacube.alerts.store import TOKEN, Alerts, Source
from wx_datacube.catalog.endpoints import ENDPOINTS, Endpoint
from wx_datacube.catalog.periods import Clock, beijing_now, settled_at
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import SettingsError, WeChatError, WxDatacubeError
from wx_datacube.ingest.report import Report
from wx_datacube.ingest.service import Ingest
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.wechat import Client, Limits


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing examined: whether it is well, and a text that says what to do if it isn't."""

    well: bool
    text: str


def start_hint(account: Account, begun: known.Beginning) -> str:
    """Return when an account's messages began, and the setting that saves the calls for the time before."""
    said = f"The first message was on {begun.day}" if begun.landed else f"No message came before {begun.day}"
    setting = f"{account.variable('START')}={begun.day}"
    return f"{said}: {setting} in .env saves the calls for what is before." if begun.saves else f"{said}."


def examine(settings: Settings, account: Account, clock: Clock = beijing_now) -> Iterator[Finding]:
    """Examine credentials, token and IP whitelist, folders and file, then quota and permission of each endpoint."""
    yield from (Finding(False, warning) for warning in settings.warnings)
    if account.fault is not None:
        yield Finding(False, str(account.fault))
        return
    files, *others = _folders(settings, account, clock)
    yield from (files, *others)
    credentials = _credentials(account)
    yield credentials
    if not credentials.well:
        return
    with Client.of(account, settings.api_url, clock=clock) as client:
        try:
            client.check_credentials()
        except WeChatError as error:
            yield Finding(False, str(error))
            return
        yield Finding(True, _TOKEN_OF_SERVER if account.token_url else _TOKEN)
        troubles = Alerts(settings.database)
        troubles.note(account.name, Source.CALLS, [TOKEN], [])
        if not files.well:
            yield Finding(False, "No endpoint is asked: its answer could not be kept (see above).")
            return
        troubles.mended(account.name, SettingsError)
        yield from _endpoints(client, settings, account, clock)


def sources(settings: Settings) -> str:
    """Return where the settings come from."""
    return (
        f"Settings: the environment{f', and over it {settings.dotenv}' if settings.dotenv else '; there is no .env'}."
    )


_TOKEN = "WeChat gives out a token, and this machine's IP address is allowed."
_TOKEN_OF_SERVER = "Your token server gives out a token; whether WeChat takes it is seen below."
_HELP = "https://developers.weixin.qq.com/doc/oplatform/developers/dev/api"


def _credentials(account: Account) -> Finding:
    if account.token_url:
        return Finding(True, "Tokens come from your token server; AppSecret and IP whitelist are its business.")
    if account.can_call:
        return Finding(True, f"AppID {account.appid} and its AppSecret are set.")
    return Finding(
        False,
        f"{account.variable('APPID')} or {account.variable('SECRET')} is not set. WeChat's own page says where an"
        f" administrator of the account finds AppID, AppSecret and IP whitelist: {_HELP}. If another"
        " system of your company uses the account, ask its operator for the AppSecret and do NOT reset it: a reset cuts"
        " that system off. wx_datacube fetches its token with stable_token, which doesn't disturb the tokens of other"
        " systems. Write both into .env (copy .env.example),"
        " add this machine's address to the IP whitelist (IP白名单), and run `wx-datacube doctor` again: if WeChat"
        " refuses the address, it names the one to enter.",
    )


def _folders(settings: Settings, account: Account, clock: Clock) -> Iterator[Finding]:
    try:
        warehouse = Warehouse(settings.database, clock=clock, timeout=5)
        warehouse.require_room()
        with warehouse.looking() as con:
            known.require_bound(con, account.name, account.appid)
            begun = known.beginning(con, account.name, account.start, clock())
    except WxDatacubeError as error:
        yield Finding(False, str(error))
        return
    yield Finding(True, f"{settings.database} can be written.")
    if begun is not None:
        yield Finding(True, start_hint(account, begun))
    if settings.project and not os.access(settings.project, os.W_OK):
        yield Finding(False, f"{settings.project} can't be written: Dagster keeps its history there (.dagster/).")


def _endpoints(client: Client, settings: Settings, account: Account, clock: Clock) -> Iterator[Finding]:
    """Quota and permission of each endpoint. The answers are published once, after the last call."""
    try:
        ingest = Ingest.of(settings, account, clock=clock, limits=Limits(attempts=1, pauses=0))
        ingest = replace(ingest, publishing=False)
        for endpoint in ENDPOINTS:
            yield _endpoint(client, ingest, endpoint, clock())
        if ingest.warehouse.writer.exists():
            ingest.warehouse.publish()
    except WxDatacubeError as error:
        yield Finding(False, str(error))


def _endpoint(client: Client, ingest: Ingest, endpoint: Endpoint, now: dt.datetime) -> Finding:
    try:
        quota = client.quota(endpoint.name)
        left = f"{quota.remain:,} of {quota.daily_limit:,} calls are left today"
        report = _one_call(ingest, endpoint, now)
    except WxDatacubeError as failure:
        return Finding(False, str(failure))
    if report is None:
        return Finding(True, f"{endpoint.name}: nothing of it is due yet, so nothing was asked; {left}.")
    if report.errors:
        return Finding(False, str(report.errors[0]))
    return Finding(quota.remain > 0, f"{endpoint.name} is granted; {left}.")


def _one_call(ingest: Ingest, endpoint: Endpoint, now: dt.datetime) -> Report | None:
    """Request the newest settled label that is missing, or else the newest stored one; return None if there is none.

    Only an answer shows whether the endpoint is permitted.
    """
    account = ingest.account
    with ingest.warehouse.looking() as con:
        states = known.states(con, account.name, account.start, now, endpoint)[endpoint.name]
    settled = {label: state for label, state in states.items() if now >= settled_at(label, endpoint.period)}
    missing = [label for label, state in settled.items() if state is State.MISSING]
    stored = [label for label, state in settled.items() if state in (State.LANDED, State.EMPTY)]
    labels = (missing or stored)[-1:]
    if not labels:
        return None
    return ingest.fetch_one(endpoint, labels[0], run_id="doctor")
