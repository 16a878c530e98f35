"""Doctor: looks for problems that keep this machine from fetching; each result says what to do.

Add an examination where a newcomer got stuck. Doctor creates no database if nothing is stored. It makes at most one
statistics call per endpoint: for the newest settled label that is missing, so that the call is not wasted, or else for
the newest stored one. The answer is kept like any other. Dagster's part is in `orchestration.doctor`, which may import
Dagster.
"""

import datetime as dt
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from wx_datacube.alerts.alert import TOKEN, Source
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.catalog.periods import Clock, beijing_now, settled_at
from wx_datacube.config.settings import API_URL, Account, Settings
from wx_datacube.errors import SettingsError, WeChatError, WxDatacubeError
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.service import Ingest
from wx_datacube.language import Text, joined
from wx_datacube.operations.evidence import Verdict, assumptions
from wx_datacube.operations.lake.places import require_writable
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse import silent_days
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.past_calls import DOCTOR
from wx_datacube.wechat import Client, Limits


@dataclass(frozen=True, slots=True)
class Examined:
    """The result of one examination: whether it is ok, and a text that says what to do if it isn't."""

    ok: bool
    text: Text


def start_hint(account: Account, begun: silent_days.HistoryStart) -> Text:
    """Return when an account's messages began, and the setting that saves the calls for the time before."""
    found = Text("No message came before {day}", "{day} 之前没有消息", day=begun.day)
    if begun.landed:
        found = Text("The first message was on {day}", "第一条消息在 {day}", day=begun.day)
    if not begun.saves_calls:
        return Text("{found}.", "{found}。", found=found)
    return Text(
        "{found}: {setting} in .env saves the calls for the time before.",
        "{found}：在 .env 中设置 {setting}，可节省此前日期的调用。",
        found=found,
        setting=f"{account.variable('START')}={begun.day}",
    )


def examine_here(settings: Settings, accounts: Sequence[Account], clock: Clock = beijing_now) -> Iterator[Examined]:
    """Examine settings, folders and file, and whether there are credentials of each account; make no call."""
    yield from (Examined(False, warning) for warning in settings.warnings)
    yield from (Examined(False, each.settings_error.text) for each in accounts if each.settings_error is not None)
    if usable := [each for each in accounts if each.settings_error is None]:
        yield from _folders(settings, usable, clock)
        yield from map(_credentials, usable)


def examine(settings: Settings, account: Account, clock: Clock = beijing_now) -> Iterator[Examined]:
    """Examine what is here, then token and IP whitelist, quota and permission of each endpoint."""
    found = [*examine_here(settings, [account], clock)]
    yield from found
    if account.settings_error is not None or not found[-1].ok:  # without credentials no call can be made
        return
    can_store = all(each.ok for each in found[len(settings.warnings) :])
    with Client.of(account, settings.api_url, clock=clock) as client:
        try:
            client.check_credentials()
        except WeChatError as error:
            yield Examined(False, error.text)
            return
        yield Examined(True, _TOKEN_OF_SERVER if account.token_url else _TOKEN)
        alerts = Alerts(settings.database)
        alerts.note(account.name, Source.CALLS, [TOKEN], [])
        if not can_store:
            yield Examined(
                False,
                Text(
                    "No endpoint was called: its response could not be stored (see above).",
                    "没有请求任何接口：返回内容无法保存（见上）。",
                ),
            )
            return
        alerts.resolve(account.name, SettingsError)
        yield from _endpoints(client, settings, account, clock)


def examine_lake(settings: Settings) -> Iterator[Examined]:
    """Yield whether the lake can be written, if one is configured. The file written for that is deleted again."""
    if settings.lake is None:
        return
    try:
        require_writable(settings.lake)
    except WxDatacubeError as error:
        yield Examined(False, error.text)
    else:
        yield Examined(True, Text("{url} can be written.", "{url} 可以写入。", url=settings.lake.url))


def sources(settings: Settings) -> Text:
    """Return where the settings come from."""
    if settings.dotenv is None:
        return Text("Settings: the environment; there is no .env.", "设置来自环境变量，没有 .env 文件。")
    return Text(
        "Settings: the environment, and over it {dotenv}.",
        "设置来自环境变量和 {dotenv}，后者优先。",
        dotenv=settings.dotenv,
    )


def other_host(settings: Settings) -> Text | None:
    """Return which host is called if it isn't WeChat's, else None."""
    host = urlsplit(settings.api_url).netloc
    if host == urlsplit(API_URL).netloc:
        return None
    return Text("API: {host}, not WeChat", "接口地址：{host}，不是微信", host=host)


_TOKEN = Text(
    "WeChat issued a token, and this machine's IP address is allowed.", "微信已发放 access_token，本机 IP 在白名单中。"
)
_TOKEN_OF_SERVER = Text(
    "The token server returned a token; the calls below show whether WeChat accepts it.",
    "中控服务器已返回 access_token；微信是否接受，见以下调用。",
)
_HELP = "https://developers.weixin.qq.com/doc/oplatform/developers/dev/api"


def _credentials(account: Account) -> Examined:
    if account.token_url:
        return Examined(
            True,
            Text(
                "Tokens come from your token server, which needs the AppSecret and the IP whitelist; this machine"
                " doesn't.",
                "access_token 来自您的中控服务器；AppSecret 和 IP 白名单由中控服务器使用，本机不需要。",
            ),
        )
    if account.can_call:
        set_up = Text(
            "AppID {appid} and its AppSecret are set.", "已设置 AppID {appid} 及其 AppSecret。", appid=account.appid
        )
        return Examined(True, set_up)
    return Examined(
        False,
        Text(
            "{appid} or {secret} is not set. If another system of your company uses the account, ask its operator for"
            " the AppSecret and do NOT reset it: a reset cuts that system off. wx_datacube fetches its token with"
            " stable_token, which doesn't disturb the tokens of other systems. Write both into .env (copy"
            " .env.example), add this machine's address to the IP whitelist (IP白名单), and run `wx-datacube doctor`"
            " again: if WeChat refuses the address, it names the one to enter. Where an administrator of the account"
            " finds AppID, AppSecret and IP whitelist: {page}",
            "没有设置 {appid} 或 {secret}。如果公司已有其他系统使用这个公众号，请向其负责人索取 AppSecret，切勿重置："
            "一旦重置，该系统会立即失效。wx_datacube 通过 stable_token 获取 access_token，不影响其他系统。"
            "请把两者写入 .env（复制 .env.example），将本机 IP 加入 API IP 白名单，再执行 wx-datacube doctor："
            "如果微信拒绝本机 IP，会显示应加入白名单的 IP。管理员查看 AppID、AppSecret 和 API IP 白名单的入口：{page}",
            appid=account.variable("APPID"),
            secret=account.variable("SECRET"),
            page=_HELP,
        ),
    )


def _folders(settings: Settings, accounts: Sequence[Account], clock: Clock) -> Iterator[Examined]:
    try:
        warehouse = Warehouse(settings.database, clock=clock, timeout=5)
        warehouse.require_space()
        with warehouse.reading_committed() as con:
            of_accounts = [each for account in accounts for each in _in_file(con, account, clock)]
        with warehouse.open_published():
            pass  # what readers open can be opened: another program may hold it read-write
    except WxDatacubeError as error:
        yield Examined(False, error.text)
        return
    yield Examined(True, Text("{path} can be written.", "{path} 可以写入。", path=settings.database))
    yield from of_accounts
    if settings.project and not os.access(settings.project, os.W_OK):
        unwritable = Text(
            "{folder} can't be written: Dagster keeps its history there (.dagster/).",
            "{folder} 不能写入：Dagster 的历史记录保存在其中（.dagster/）。",
            folder=settings.project,
        )
        yield Examined(False, unwritable)


def _in_file(con: Connection, account: Account, clock: Clock) -> Iterator[Examined]:
    """Examine the account's name in the file, and when its figures begin."""
    try:
        known.require_bound(con, account)
    except SettingsError as error:
        yield Examined(False, error.text)
        return
    if (begun := silent_days.history_start(con, account, clock())) is not None:
        yield Examined(True, start_hint(account, begun))


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
        yield Examined(False, error.text)


def _endpoint(client: Client, ingest: Ingest, endpoint: Endpoint, now: dt.datetime) -> Examined:
    try:
        quota = client.quota(endpoint.name)
        left = Text(
            "{remain:,} of {limit:,} calls are left today",
            "今天剩余 {remain:,}/{limit:,} 次",
            remain=quota.remain,
            limit=quota.daily_limit,
        )
        report = _one_call(ingest, endpoint, now)
    except WxDatacubeError as failure:
        return Examined(False, failure.text)
    if report is None:
        not_due = Text(
            "{endpoint}: nothing is due yet, so no call was made; {left}.",
            "{endpoint}：暂无应有数据，未请求；{left}。",
            endpoint=endpoint.name,
            left=left,
        )
        return Examined(True, not_due)
    if report.errors:
        return Examined(False, report.errors[0].text)
    granted = Text("{endpoint} is granted; {left}.", "{endpoint} 有权限；{left}。", endpoint=endpoint.name, left=left)
    return Examined(quota.remain > 0, granted)


def _assumptions(ingest: Ingest) -> Iterator[Examined]:
    """Yield which assumptions about WeChat the stored answers contradict, and how many they bear out.

    WeChat's pages leave much open, so this project assumes some of it.
    """
    with ingest.warehouse.open_published() as con:
        found = assumptions(con, ingest.account.name)
    count = Counter(each.verdict for each in found)
    for each in found:
        if each.verdict is Verdict.CONTRADICTED:
            contradicted = Text(
                "WeChat's answers contradict an assumption: {claim} See the calls {calls}. Please tell us:"
                " `wx-datacube doctor --bundle FILE` writes what we need, without figures or secrets.",
                "微信的返回与一项假设不符：{claim}见调用 {calls}。请反馈给我们：wx-datacube doctor --bundle FILE"
                " 会生成所需的诊断文件，不含数据和密钥。",
                claim=each.text,
                calls=joined(map(str, each.call_ids), ", ", "、"),
            )
            yield Examined(True, contradicted)
    summary = Text(
        "Assumptions about WeChat's answers: {borne_out} borne out, {contradicted} contradicted, {not_seen} not seen"
        " yet.",
        "对微信返回内容的假设：{borne_out} 项相符，{contradicted} 项不符，{not_seen} 项尚未遇到。",
        borne_out=count[Verdict.BORNE_OUT],
        contradicted=count[Verdict.CONTRADICTED],
        not_seen=count[Verdict.NOT_SEEN],
    )
    yield Examined(True, summary)


def _family_that_is_off(ingest: Ingest, family: Family, now: dt.datetime) -> Examined:
    """Return whether the account may fetch a family that is switched off, by one call of its first endpoint."""
    endpoint = next(each for each in ENDPOINTS if each.family is family)
    refused = Text(
        "The family {family} is off. It could not be fetched: {reason}",
        "类别 {family} 未开启，请求失败：{reason}",
        family=family,
    )
    try:
        report = _one_call(ingest, endpoint, now)
    except WxDatacubeError as failure:
        return Examined(True, refused.fill(reason=failure.message))
    if report is None:
        not_due = Text(
            "The family {family} is off. Nothing of it is due yet, so no call was made.",
            "类别 {family} 未开启，暂无应有数据，未请求。",
            family=family,
        )
        return Examined(True, not_due)
    if report.errors:
        return Examined(True, refused.fill(reason=joined([endpoint.name, report.errors[0].message], ": ", "：")))
    on = [each for each in Family if each is family or each in ingest.account.families]
    wanted = "all" if len(on) == len(Family) else ",".join(on)
    granted = Text(
        "The family {family} is off, and the account may fetch it: to switch it on, set {setting} in .env.",
        "类别 {family} 未开启，但账号有权限。如需开启，请在 .env 中设置 {setting}。",
        family=family,
        setting=f"{ingest.account.variable('FAMILIES')}={wanted}",
    )
    return Examined(True, granted)


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
    return ingest.fetch_one(endpoint, labels[0], run_id=DOCTOR)
