"""Doctor: looks for problems that keep this machine from fetching; each result says what to do.

Add an examination where a newcomer got stuck. Doctor creates no database if nothing is stored. It makes at most one
statistics call per endpoint: for the newest settled label that is missing, so that the call is not wasted, or else for
the newest stored one. The answer is kept like any other. Dagster's part is in `orchestration.doctor`, which may import
Dagster.
"""

import datetime as dt
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from wx_datacube.alerts.alert import TOKEN, Source
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.catalog.periods import Clock, beijing_now, settled_at
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import SettingsError, WeChatError, WxDatacubeError
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.service import Ingest
from wx_datacube.operations.evidence import Verdict, assumptions
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse import silent_days
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.wechat import Client, Limits


@dataclass(frozen=True, slots=True)
class Examined:
    """The result of one examination: whether it is ok, and a text that says what to do if it isn't."""

    ok: bool
    text: str


def start_hint(account: Account, begun: silent_days.HistoryStart) -> str:
    """Return when an account's messages began, and the setting that saves the calls for the time before."""
    found = f"The first message was on {begun.day}" if begun.landed else f"No message came before {begun.day}"
    setting = f"{account.variable('START')}={begun.day}"
    return f"{found}: {setting} in .env saves the calls for the time before." if begun.saves_calls else f"{found}."


def examine(settings: Settings, account: Account, clock: Clock = beijing_now) -> Iterator[Examined]:
    """Examine credentials, token and IP whitelist, folders and file, then quota and permission of each endpoint."""
    yield from (Examined(False, str(warning)) for warning in settings.warnings)
    if account.settings_error is not None:
        yield Examined(False, str(account.settings_error))
        return
    files, *others = _folders(settings, account, clock)
    yield from (files, *others)
    credentials = _credentials(account)
    yield credentials
    if not credentials.ok:
        return
    with Client.of(account, settings.api_url, clock=clock) as client:
        try:
            client.check_credentials()
        except WeChatError as error:
            yield Examined(False, str(error))
            return
        yield Examined(True, _TOKEN_OF_SERVER if account.token_url else _TOKEN)
        alerts = Alerts(settings.database)
        alerts.note(account.name, Source.CALLS, [TOKEN], [])
        if not files.ok:
            yield Examined(False, "No endpoint was called: its response could not be stored (see above).")
            return
        alerts.resolve(account.name, SettingsError)
        yield from _endpoints(client, settings, account, clock)


def sources(settings: Settings) -> str:
    """Return where the settings come from."""
    return (
        f"Settings: the environment{f', and over it {settings.dotenv}' if settings.dotenv else '; there is no .env'}."
    )


_TOKEN = "WeChat issued a token, and this machine's IP address is allowed."
_TOKEN_OF_SERVER = "The token server returned a token; the calls below show whether WeChat accepts it."
_HELP = "https://developers.weixin.qq.com/doc/oplatform/developers/dev/api"


def _credentials(account: Account) -> Examined:
    if account.token_url:
        return Examined(
            True,
            "Tokens come from your token server, which needs the AppSecret and the IP whitelist; this machine doesn't.",
        )
    if account.can_call:
        return Examined(True, f"AppID {account.appid} and its AppSecret are set.")
    return Examined(
        False,
        f"{account.variable('APPID')} or {account.variable('SECRET')} is not set. This page shows where an"
        f" administrator of the account finds AppID, AppSecret and IP whitelist: {_HELP}. If another"
        " system of your company uses the account, ask its operator for the AppSecret and do NOT reset it: a reset cuts"
        " that system off. wx_datacube fetches its token with stable_token, which doesn't disturb the tokens of other"
        " systems. Write both into .env (copy .env.example),"
        " add this machine's address to the IP whitelist (IP白名单), and run `wx-datacube doctor` again: if WeChat"
        " refuses the address, it names the one to enter.",
    )


def _folders(settings: Settings, account: Account, clock: Clock) -> Iterator[Examined]:
    try:
        warehouse = Warehouse(settings.database, clock=clock, timeout=5)
        warehouse.require_space()
        with warehouse.reading_committed() as con:
            known.require_bound(con, account)
            begun = silent_days.history_start(con, account, clock())
    except WxDatacubeError as error:
        yield Examined(False, str(error))
        return
    yield Examined(True, f"{settings.database} can be written.")
    if begun is not None:
        yield Examined(True, start_hint(account, begun))
    if settings.project and not os.access(settings.project, os.W_OK):
        yield Examined(False, f"{settings.project} can't be written: Dagster keeps its history there (.dagster/).")


def _endpoints(client: Client, settings: Settings, account: Account, clock: Clock) -> Iterator[Examined]:
    """Examine quota and permission of each endpoint. The answers are published once, after the last call."""
    try:
        ingest = Ingest.of(settings, account, clock=clock, limits=Limits(attempts=1, pauses=0))
        ingest = replace(ingest, publishing=False)
        for endpoint in account.endpoints:
            yield _endpoint(client, ingest, endpoint, clock())
        for family in Family:
            if family not in account.families:
                yield _family_that_is_off(ingest, family, clock())
        if ingest.warehouse.writer.exists():
            ingest.warehouse.publish()
            yield from _assumptions(ingest)
    except WxDatacubeError as error:
        yield Examined(False, str(error))


def _endpoint(client: Client, ingest: Ingest, endpoint: Endpoint, now: dt.datetime) -> Examined:
    try:
        quota = client.quota(endpoint.name)
        left = f"{quota.remain:,} of {quota.daily_limit:,} calls are left today"
        report = _one_call(ingest, endpoint, now)
    except WxDatacubeError as failure:
        return Examined(False, str(failure))
    if report is None:
        return Examined(True, f"{endpoint.name}: nothing is due yet, so no call was made; {left}.")
    if report.errors:
        return Examined(False, str(report.errors[0]))
    return Examined(quota.remain > 0, f"{endpoint.name} is granted; {left}.")


def _assumptions(ingest: Ingest) -> Iterator[Examined]:
    """Yield which assumptions about WeChat the stored answers contradict, and how many they bear out.

    WeChat's pages leave much open, so this project assumes some of it.
    """
    with ingest.warehouse.open_published() as con:
        found = assumptions(con, ingest.account.name)
    count = Counter(each.verdict for each in found)
    for each in found:
        if each.verdict is Verdict.CONTRADICTED:
            calls = ", ".join(map(str, each.call_ids))
            yield Examined(
                True, f"WeChat's answers contradict an assumption: {each.en} See the calls {calls}. {_TELL_US}"
            )
    yield Examined(
        True,
        f"Assumptions about WeChat's answers: {count[Verdict.BORNE_OUT]} borne out,"
        f" {count[Verdict.CONTRADICTED]} contradicted, {count[Verdict.NOT_SEEN]} not seen yet.",
    )


_TELL_US = "Please tell us: `wx-datacube doctor --bundle FILE` writes what we need, without figures or secrets."


def _family_that_is_off(ingest: Ingest, family: Family, now: dt.datetime) -> Examined:
    """Return whether the account may fetch a family that is switched off, by one call of its first endpoint."""
    endpoint = next(each for each in ENDPOINTS if each.family is family)
    is_off = f"The family {family} is off"
    try:
        report = _one_call(ingest, endpoint, now)
    except WxDatacubeError as failure:
        return Examined(True, f"{is_off}. It could not be fetched: {failure.message}")
    if report is None:
        return Examined(True, f"{is_off}. Nothing of it is due yet, so no call was made.")
    if report.errors:
        return Examined(True, f"{is_off}. It could not be fetched: {endpoint.name}: {report.errors[0].message}")
    on = [each for each in Family if each is family or each in ingest.account.families]
    wanted = "all" if len(on) == len(Family) else ",".join(on)
    return Examined(
        True,
        f"{is_off}, and the account may fetch it: to switch it on, set"
        f" {ingest.account.variable('FAMILIES')}={wanted} in .env.",
    )


def _one_call(ingest: Ingest, endpoint: Endpoint, now: dt.datetime) -> FetchReport | None:
    """Request the newest settled label that is missing, or else the newest stored one; return None if there is none.

    Only an answer shows whether the endpoint is permitted.
    """
    account = ingest.account
    with ingest.warehouse.reading_committed() as con:
        states = known.states(con, account, now, endpoint)[endpoint.name]
    settled = {label: state for label, state in states.items() if now >= settled_at(label, endpoint.period)}
    missing = [label for label, state in settled.items() if state is State.MISSING]
    stored = [label for label, state in settled.items() if state in (State.LANDED, State.EMPTY)]
    labels = (missing or stored)[-1:]
    if not labels:
        return None
    return ingest.fetch_one(endpoint, labels[0], run_id="doctor")
