"""Settings: what can be set, as one frozen, checked object, and the names of the variables that set it.

Add a field here when something becomes a setting; `variables` parses and checks it. Nothing here does I/O.
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
DEFAULT_FAMILIES = (Family.MESSAGES,)

DEMO_ACCOUNT = "demo"
"""The demo's account. No real account may have this name, so that made-up figures are never mistaken for WeChat's."""

SHARED_FIELDS = (
    "API_URL",
    "DATABASE",
    "CONCURRENCY",
    "DAILY_CALLS",
    "ACCOUNT",
    "ACCOUNTS",
    "WEBHOOK",
    "HEARTBEAT",
    "LANG",
)
ACCOUNT_FIELDS = ("APPID", "SECRET", "TOKEN_URL", "START", "FAMILIES", "TITLE")

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
class Settings:
    """All settings, checked.

    `database` is absolute, and `api_url` doesn't end with a slash. `daily_calls` None means no limit. `webhook` is the
    chat that alerts and digests are sent to; None: none. `heartbeat` is the URL that is requested after a complete
    morning. `reading_language` is the language of reports and digests. `project` is None outside a project folder.
    `dotenv` is the `.env` that was read. `warnings` are sentences for the operator about what works but should be
    changed.
    """

    project: Path | None
    database: Path
    api_url: str = API_URL
    concurrency: int = CONCURRENCY
    daily_calls: int | None = None
    accounts: tuple[Account, ...] = (Account(ACCOUNT),)
    webhook: Secret | None = None
    heartbeat: Secret | None = None
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
