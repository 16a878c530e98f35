"""Settings: what can be set, as one frozen, checked object, and the names of the variables that set it.

Add an entry to `SETTINGS` and a field when something becomes a setting; `variables` parses and checks it. Nothing here
does I/O.
"""

import datetime as dt
import hmac
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Family
from wx_datacube.errors import SettingsError
from wx_datacube.language import Language, Text

PREFIX = "WX_DATACUBE_"
API_URL = "https://api.weixin.qq.com"
DATABASE = "data/wx_datacube.duckdb"
ACCOUNT = "default"
CONCURRENCY = 8
MAX_CONCURRENCY = 64
DEFAULT_FAMILIES = (Family.MESSAGES,)

DEMO_ACCOUNT = "demo"
"""The demo's account. No real account may have this name, so that made-up figures are never mistaken for WeChat's."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable: its meaning, its default (empty: none), and whether each of several accounts has its own."""

    about: Text
    default: str = ""
    of_account: bool = False


SETTINGS = {
    "APPID": Setting(
        Text("AppID (开发者ID) of the account; begins with `wx`.", "公众号的开发者ID（AppID），以 `wx` 开头。"),
        of_account=True,
    ),
    "SECRET": Setting(Text("Its AppSecret.", "公众号的开发者密钥（AppSecret）。"), of_account=True),
    "TOKEN_URL": Setting(
        Text(
            'The URL of a central token server, instead of the AppSecret: a GET returns `{"access_token": …}`.'
            " Credentials in it (`https://user:password@host/…`) are sent as HTTP Basic. After 40001 it is requested"
            " once more. The whole URL is a secret. https, or http to a private address, with a warning.",
            '中控服务器的地址，代替 AppSecret：GET 返回 `{"access_token": …}`。地址中的用户名和密码'
            "（`https://user:password@host/…`）按 HTTP Basic 发送。遇到 40001 时会再请求一次。整个地址按机密处理。"
            "须为 https；内网地址可用 http，但会警告。",
        ),
        of_account=True,
    ),
    "START": Setting(
        Text(
            "First day of history; the default is the earliest. Weeks and months begin with the one that contains it.",
            "历史数据的第一天，默认值也是最早的日期；周、月从包含这一天的那一周、那一月开始。",
        ),
        str(HISTORY_START),
        of_account=True,
    ),
    "FAMILIES": Setting(
        Text(
            "What to fetch: some of `messages`, `followers`, `articles`, `interface`, separated by commas, or `all`,"
            " as in `.env.example`. Stored data of a family stays when you switch it off.",
            "获取哪些类别：`messages` 消息、`followers` 用户、`articles` 内容、`interface` 接口，用英文逗号分隔，"
            "或 `all`（`.env.example` 中的值）。关闭某个类别后，已保存的数据保留。",
        ),
        ",".join(DEFAULT_FAMILIES),
        of_account=True,
    ),
    "TITLE": Setting(
        Text(
            "The account's name (公众号名称) for the readers of reports and digests, at most 64 characters.",
            "公众号名称，显示在报告和日报中，最多 64 个字符。",
        ),
        of_account=True,
    ),
    "ACCOUNT": Setting(
        Text(
            "The account's name here: `[a-z][a-z0-9_]{0,31}`, but not `demo`. Bound to one AppID at first use.",
            "账号在本项目中的名称：`[a-z][a-z0-9_]{0,31}`，但不能是 `demo`。首次使用时与一个 AppID 绑定。",
        ),
        ACCOUNT,
    ),
    "ACCOUNTS": Setting(
        Text(
            "Several accounts in one file, `shop,news`: instead of `WX_DATACUBE_ACCOUNT`, with `WX_DATACUBE_SHOP_APPID`"
            " and so on for each. Without their own `START` and `FAMILIES`, the shared ones apply.",
            "多个公众号共用一个文件，例如 `shop,news`：代替 `WX_DATACUBE_ACCOUNT`，并为每个账号设置"
            " `WX_DATACUBE_SHOP_APPID` 等变量。`START` 和 `FAMILIES` 未单独设置时使用共用的值。",
        ),
    ),
    "DATABASE": Setting(
        Text(
            "The file that readers open; its folder is created. It must be on a local disk. If it is a link, everything"
            " is kept beside the real file.",
            "供查询的文件，所在文件夹会自动创建。必须在本地磁盘上。如果是链接，则所有文件都保存在实际文件所在的文件夹。",
        ),
        DATABASE,
    ),
    "DAILY_CALLS": Setting(
        Text(
            "The most calls per endpoint per day, retries included, to leave quota for other programs.",
            "每个接口每天最多调用次数（含重试），为其他程序保留配额。",
        ),
    ),
    "CONCURRENCY": Setting(
        Text("Calls in flight at once, 1 to {most}.", "同时进行的调用数，1 至 {most}。", most=MAX_CONCURRENCY),
        str(CONCURRENCY),
    ),
    "API_URL": Setting(
        Text(
            "For the emulator, or a gateway of your own; plain http to this machine only.",
            "用于仿真接口或自建网关；只有本机地址可用 http。",
        ),
        API_URL,
    ),
    "WEBHOOK": Setting(
        Text(
            "The URL of a group chat's robot (企业微信, 飞书, 钉钉, or Slack's format) that receives the alerts and the"
            " digest. The whole URL is a secret. https, or http to a private address.",
            "接收告警和日报的群机器人的地址（企业微信、飞书、钉钉，或 Slack 格式）。整个地址按机密处理。须为 https；"
            "内网地址可用 http。",
        ),
    ),
    "HEARTBEAT": Setting(
        Text(
            "A URL of your monitor (healthchecks.io, Uptime Kuma) that is requested after each complete morning. The"
            " whole URL is a secret. https, or http to a private address.",
            "监控的心跳地址（healthchecks.io、Uptime Kuma），每天早上数据到齐后请求一次。整个地址按机密处理。"
            "须为 https；内网地址可用 http。",
        ),
    ),
    "LAKE": Setting(
        Text(
            "Where `export --lake` writes Parquet files for other engines: a folder, or `s3://bucket/prefix`. S3 also"
            " needs `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` and, unless it is Amazon's,"
            " `AWS_ENDPOINT_URL`, which may be in `.env` too.",
            "`export --lake` 写入 Parquet 文件的位置，供其他查询引擎读取：文件夹，或 `s3://bucket/prefix`。S3 还需要"
            " `AWS_ACCESS_KEY_ID`、`AWS_SECRET_ACCESS_KEY`、`AWS_REGION`，非亚马逊的服务还需 `AWS_ENDPOINT_URL`，"
            "也可写在 `.env` 中。",
        ),
    ),
    "LANG": Setting(
        Text(
            "The language of what commands print: `zh` or `en`; the locale's without it. Reports and digests follow"
            " this variable alone, and are Chinese without it.",
            "命令输出的语言：`zh` 或 `en`，不设置时按系统语言。报告和日报只看这个变量，不设置时为中文。",
        ),
    ),
}
"""Every setting, by the name of its variable without the prefix. `docs/reference/settings.md` is made of them."""

SHARED_FIELDS = tuple(name for name, each in SETTINGS.items() if not each.of_account)
ACCOUNT_FIELDS = tuple(name for name, each in SETTINGS.items() if each.of_account)

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
NAME_RULE = Text(
    "up to 32 lowercase letters, digits and _, starting with a letter, such as shop",
    "以小写字母开头，由小写字母、数字和 _ 组成，最多 32 个字符，例如 shop",
)
_SINGLE_ACCOUNT_VARIABLE = re.compile(rf"\b{PREFIX}({'|'.join(ACCOUNT_FIELDS)})\b")


class Secret:
    """A string that no `repr`, `str`, format, pickle or copy shows; only `reveal()` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the string itself; pass it to nothing that logs, stores or prints."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret does not leave memory: it can't be pickled")


@dataclass(frozen=True, slots=True)
class Account:
    """An Official Account: its name here, how to fetch its token, the first day of its history, and what to fetch.

    Credentials may be missing: only calls need them. `title` is the name that readers know (公众号名称). `single` says
    that the account is the only one, named by `WX_DATACUBE_ACCOUNT`, so that its variables don't carry its name.
    `settings_error` is the error in the variables of one of several accounts; the others work without it.
    """

    name: str
    appid: str | None = None
    secret: Secret | None = None
    token_url: Secret | None = None
    start: dt.date = HISTORY_START
    families: tuple[Family, ...] = DEFAULT_FAMILIES
    title: str | None = None
    single: bool = True
    settings_error: SettingsError | None = None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of the families that are switched on, in the catalog's order."""
        return tuple(endpoint for endpoint in ENDPOINTS if endpoint.family in self.families)

    @property
    def can_call(self) -> bool:
        """Whether a token can be fetched: by AppID and AppSecret, or from a token server."""
        return self.token_url is not None or (self.appid is not None and self.secret is not None)

    def variable(self, field: str) -> str:
        """Return the variable that holds a field of this account, one of `ACCOUNT_FIELDS`."""
        return variable(None if self.single else self.name, field)

    def with_own_variables(self, text: Text) -> Text:
        """Return `text` with the variables of a single account replaced by those of this account."""
        if self.single:
            return text
        return text.mapped(lambda each: _SINGLE_ACCOUNT_VARIABLE.sub(lambda found: self.variable(found[1]), each))

    def checked(self) -> "Account":
        """Return this account; raise the error in its settings, if any."""
        if self.settings_error is not None:
            raise self.settings_error
        return self


@dataclass(frozen=True, slots=True)
class Lake:
    """Where Parquet files for other engines are written.

    `url` is the absolute path of a folder, or `s3://bucket` with an optional prefix, without a slash at its end. The
    other fields are those of S3, from the standard variables `AWS_…`; `endpoint` None means Amazon's own.
    """

    url: str
    key_id: str | None = None
    secret: Secret | None = None
    session_token: Secret | None = None
    region: str | None = None
    endpoint: str | None = None

    @property
    def in_s3(self) -> bool:
        """Whether the lake is in a bucket, not in a folder."""
        return self.url.startswith("s3://")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked.

    `database` is absolute, and `api_url` doesn't end with a slash. `daily_calls` None means no limit. `webhook` is the
    chat that alerts and digests are sent to; None: none. `heartbeat` is the URL that is requested after a complete
    morning. `lake` None means that none is configured. `reading_language` is the language of reports and digests.
    `project` is None outside a project folder. `dotenv` is the `.env` that was read. `warnings` are sentences for the
    operator about what works but should be changed.
    """

    project: Path | None
    database: Path
    api_url: str = API_URL
    concurrency: int = CONCURRENCY
    daily_calls: int | None = None
    accounts: tuple[Account, ...] = (Account(ACCOUNT),)
    webhook: Secret | None = None
    heartbeat: Secret | None = None
    lake: Lake | None = None
    reading_language: Language = Language.CHINESE
    warnings: tuple[Text, ...] = ()
    dotenv: Path | None = None

    def require_project(self) -> Path:
        """Return the project folder; raise SettingsError if there is none, because Dagster's history is kept in it."""
        if self.project is None:
            raise no_project(Text("Dagster keeps its history in it", "Dagster 的运行历史保存在其中"))
        return self.project

    def language(self, chosen: str) -> Language:
        """Return the language of a report or digest: the chosen one, or without a choice that of the settings."""
        if chosen and chosen not in set(Language):
            raise SettingsError(
                Text("lang is {lang!r}; it should be zh or en.", "lang 是 {lang!r}，应为 zh 或 en。", lang=chosen[:32])
            )
        return Language(chosen) if chosen else self.reading_language

    def account(self, name: str | None = None) -> Account:
        """Return the account of that name; None means the only one.

        Raises SettingsError if there is no such account, if None leaves a choice, or if the account's settings are
        wrong.
        """
        names = ", ".join(account.name for account in self.accounts)
        if name is None:
            if len(self.accounts) > 1:
                raise SettingsError(
                    Text("Several accounts are configured ({names}).", "配置了多个账号（{names}）。", names=names),
                    advice=Text("Choose one with --account NAME.", "请用 --account NAME 指定一个。"),
                )
            return self.accounts[0].checked()
        for account in self.accounts:
            if account.name == name:
                return account.checked()
        raise SettingsError(
            Text("There is no account named {name!r}.", "没有名为 {name} 的账号。", name=name[:32]),
            advice=Text(
                "Configured: {names} (WX_DATACUBE_ACCOUNT or WX_DATACUBE_ACCOUNTS).",
                "已配置：{names}（WX_DATACUBE_ACCOUNT 或 WX_DATACUBE_ACCOUNTS）。",
                names=names,
            ),
        )


def variable(account: str | None, field: str) -> str:
    """Return the variable of a field (`APPID`, …), of a single account (None) or of one named in `…_ACCOUNTS`."""
    return f"{PREFIX}{account.upper()}_{field}" if account else f"{PREFIX}{field}"


def require_name(name: str) -> None:
    """Raise SettingsError if no real account may have this name.

    The name becomes part of variables, keys and file names.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(
            Text("{name!r} is not a valid account name.", "账号名 {name} 无效。", name=name[:40]),
            advice=Text("A name is {rule}.", "账号名须{rule}。", rule=NAME_RULE),
        )
    if name == DEMO_ACCOUNT:
        raise demo_name_error()


def raise_wrong_value(name: str, expected: Text) -> NoReturn:
    """Raise the error of a wrong value. It names the variable and what is expected, never the value itself."""
    raise SettingsError(
        Text("{name} is invalid.", "{name} 的值无效。", name=name),
        advice=Text("Expected: {expected}.", "应为：{expected}。", expected=expected),
    )


def no_project(why: Text, otherwise: Text | None = None) -> SettingsError:
    """Return the error for a missing project folder; `otherwise` names another way out."""
    return SettingsError(
        Text(
            "No project folder was found, and {why}: DAGSTER_HOME is not set, and neither this folder nor any folder"
            " above has a dagster.yaml.",
            "找不到项目文件夹，而{why}：未设置 DAGSTER_HOME，当前文件夹及其上级文件夹中也没有 dagster.yaml。",
            why=why,
        ),
        advice=Text(
            "Set DAGSTER_HOME{otherwise}. Or change to the folder that you cloned, or create a project folder:"
            " wx-datacube init.",
            "请设置 DAGSTER_HOME{otherwise}；或进入克隆的文件夹，或新建项目文件夹：wx-datacube init。",
            otherwise=Text(", or {otherwise}", "，或{otherwise}", otherwise=otherwise) if otherwise else "",
        ),
    )


def demo_name_error() -> SettingsError:
    """Return the error of a real account that has the name of the demo's."""
    return SettingsError(
        Text(
            "{name!r} is reserved for made-up figures (`wx-datacube demo`).",
            "账号名 {name} 保留给演示数据（`wx-datacube demo`）。",
            name=DEMO_ACCOUNT,
        ),
        advice=Text("Choose another name for a real account.", "请为真实账号另取名称。"),
    )
