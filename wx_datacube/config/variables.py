"""Variables: what each variable may hold, and the `Settings` made of them.

Every rule about a variable is here and nowhere else; `environment` decides where variables come from. No message shows
a value that could be a secret.
"""

import datetime as dt
import difflib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from wx_datacube.catalog.model import HISTORY_START, Family
from wx_datacube.config.settings import (
    ACCOUNT,
    ACCOUNT_FIELDS,
    API_URL,
    CONCURRENCY,
    DATABASE,
    DEFAULT_FAMILIES,
    DEMO_ACCOUNT,
    MAX_CONCURRENCY,
    NAME,
    NAME_RULE,
    PREFIX,
    SHARED_FIELDS,
    Account,
    Lake,
    Secret,
    Settings,
    demo_name_error,
    no_project,
    raise_wrong_value,
    variable,
)
from wx_datacube.config.urls import is_loopback, is_private, split_url
from wx_datacube.errors import SettingsError
from wx_datacube.language import Language, Text, joined

_ACCOUNT_VARIABLE = re.compile(rf"{PREFIX}([A-Z][A-Z0-9_]*)_({'|'.join(ACCOUNT_FIELDS)})")


@dataclass(frozen=True, slots=True)
class Reader:
    """One pass over the variables: each method reads one and checks it; an error names the variable.

    `dotenv` is the `.env` that was read; `invalid_lines` are the numbers of its lines that are neither settings
    nor comments.
    """

    values: Mapping[str, str]
    project: Path | None
    today: dt.date
    dotenv: Path | None = None
    invalid_lines: tuple[int, ...] = ()

    def settings(self) -> Settings:
        """Return all settings, checked; SettingsError names the first shared variable that is wrong."""
        api_url = self._api_url()
        accounts = tuple(
            _with_unique_credentials([self._account(name, single, api_url) for name, single in self.names()])
        )
        return Settings(
            project=self.project,
            database=self._database(),
            api_url=api_url,
            concurrency=self._number("CONCURRENCY", CONCURRENCY, MAX_CONCURRENCY) or CONCURRENCY,
            daily_calls=self._number("DAILY_CALLS", None, 10**9),
            accounts=accounts,
            webhook=_secret(self._webhook()),
            heartbeat=_secret(self._secret_url("WX_DATACUBE_HEARTBEAT", Text("your monitor", "监控服务"))),
            lake=self._lake(),
            reading_language=self._language() or Language.CHINESE,
            warnings=tuple(self._warnings(accounts)),
            dotenv=self.dotenv,
        )

    def accounts_ignoring_faults(self) -> tuple[Account, ...]:
        """Return the accounts with names and first days, even if other settings are wrong.

        Raises SettingsError for a wrong name.
        """
        return tuple(self._without_credentials(name, single) for name, single in self.names())

    def _get(self, name: str) -> str | None:
        """Return a variable's value without surrounding white space; None if it is unset or blank."""
        return self.values.get(name, "").strip() or None

    def names(self) -> list[tuple[str, bool]]:
        """Return the accounts' names, each with whether it is the single one, whose variables don't carry its name."""
        listed, single = self._get("WX_DATACUBE_ACCOUNTS"), self._get("WX_DATACUBE_ACCOUNT")
        if listed and single:
            raise SettingsError(
                Text(
                    "Both WX_DATACUBE_ACCOUNT and WX_DATACUBE_ACCOUNTS are set.",
                    "同时设置了 WX_DATACUBE_ACCOUNT 和 WX_DATACUBE_ACCOUNTS。",
                ),
                advice=Text(
                    "Keep WX_DATACUBE_ACCOUNT for one account, WX_DATACUBE_ACCOUNTS for several.",
                    "一个账号请只保留 WX_DATACUBE_ACCOUNT，多个账号只保留 WX_DATACUBE_ACCOUNTS。",
                ),
            )
        name = "WX_DATACUBE_ACCOUNTS" if listed else "WX_DATACUBE_ACCOUNT"
        words = [word.strip() for word in listed.split(",")] if listed else [single or ACCOUNT]
        if not all(NAME.fullmatch(word) for word in words) or len(set(words)) < len(words):
            one = Text("a name of {rule}", "一个账号名，{rule}", rule=NAME_RULE)
            several = Text(
                "different names separated by commas, each {rule}", "以英文逗号分隔的不同账号名，{rule}", rule=NAME_RULE
            )
            raise_wrong_value(name, several if listed else one)
        return [(word, not listed) for word in words]

    def _account(self, name: str, single: bool, api_url: str) -> Account:
        """Return an account; an error in the variables of one of several accounts becomes its `settings_error`."""
        try:
            account = self._with_variables(name, single)
            if name == DEMO_ACCOUNT and account.can_call and not is_loopback(urlsplit(api_url).hostname):
                raise demo_name_error()
        except SettingsError as error:
            if single:
                raise
            return replace(self._without_credentials(name, single), settings_error=error)
        return account

    def _without_credentials(self, name: str, single: bool) -> Account:
        """Return an account with its first day and its families, or their defaults if they are wrong.

        Another wrong setting must not move the start of the partitions, nor make assets disappear.
        """
        key = None if single else name
        return Account(name, start=self._start_or_default(key), families=self._families_or_default(key), single=single)

    def _start_or_default(self, name: str | None) -> dt.date:
        try:
            return self._start(self._own_or_shared(name, "START"))
        except SettingsError:
            return HISTORY_START

    def _families_or_default(self, name: str | None) -> tuple[Family, ...]:
        try:
            return self._families(self._own_or_shared(name, "FAMILIES"))
        except SettingsError:
            return DEFAULT_FAMILIES

    def _own_or_shared(self, name: str | None, field: str) -> str:
        """Return the account's variable of a field if it is set, else the one that all accounts share."""
        own = variable(name, field)
        return own if self._get(own) else variable(None, field)

    def _with_variables(self, name: str, single: bool) -> Account:
        key = None if single else name
        appid, secret = variable(key, "APPID"), variable(key, "SECRET")
        return Account(
            name,
            appid=self._matching(appid, r"wx[0-9A-Za-z_-]{1,62}", _APPID),
            secret=_secret(self._matching(secret, r"[\x21-\x7e]{1,512}", _APPSECRET)),
            token_url=_secret(self._token_url(variable(key, "TOKEN_URL"))),
            start=self._start(self._own_or_shared(key, "START")),
            families=self._families(self._own_or_shared(key, "FAMILIES")),
            title=self._matching(variable(key, "TITLE"), r"[^\x00-\x1f\x7f]{1,64}", _TITLE),
            single=single,
        )

    def _matching(self, name: str, pattern: str, meaning: Text) -> str | None:
        value = self._get(name)
        if value is not None and not re.fullmatch(pattern, value):
            raise_wrong_value(name, meaning)
        return value

    def _start(self, name: str) -> dt.date:
        value = self._get(name)
        if value is None:
            return HISTORY_START
        day = _date(value)
        if day is None or not HISTORY_START <= day <= self.today:
            raise_wrong_value(
                name,
                Text(
                    "a date YYYY-MM-DD from {first} (WeChat has no earlier data) to today in Beijing",
                    "YYYY-MM-DD 格式的日期，从 {first}（微信没有更早的数据）到北京时间今天",
                    first=HISTORY_START,
                ),
            )
        return day

    def _families(self, name: str) -> tuple[Family, ...]:
        value = self._get(name)
        if value is None:
            return DEFAULT_FAMILIES
        words = [word.strip().lower() for word in value.split(",")]
        if words == ["all"]:
            return tuple(Family)
        if not set(words) <= set(Family):
            raise_wrong_value(
                name,
                Text(
                    "all, or some of {names}, separated by commas",
                    "all，或 {names} 中的几个，以英文逗号分隔",
                    names=", ".join(Family),
                ),
            )
        return tuple(family for family in Family if family in words)

    def _language(self) -> Language | None:
        name = "WX_DATACUBE_LANG"
        value = (self._get(name) or "").lower()
        if value and value not in set(Language):
            raise_wrong_value(name, Text("one of {names}", "{names} 之一", names=", ".join(Language)))
        return Language(value) if value else None

    def _number(self, field: str, default: int | None, maximum: int) -> int | None:
        name = variable(None, field)
        value = self._get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,10}", value) or not 1 <= int(value) <= maximum:
            raise_wrong_value(
                name, Text("a whole number from 1 to {maximum}", "1 到 {maximum} 的整数", maximum=maximum)
            )
        return int(value)

    def _database(self) -> Path:
        name = "WX_DATACUBE_DATABASE"
        value = self._get(name) or DATABASE
        path = _resolve_link(self._in_project(name, value))
        if value.endswith("/") or value.startswith((":memory:", "md:", "ducklake:")) or path.is_dir():
            raise_wrong_value(name, _file_path(Text("not of a folder or a service", "不能是文件夹或服务")))
        if any(folder.exists() and not folder.is_dir() for folder in path.parents):
            raise_wrong_value(
                name, _file_path(Text("in a folder; one of its parent folders is a file", "其上级路径不能是文件"))
            )
        if "?" in str(path):
            # DuckDB reads what follows as the query of a URL, and puts its WAL elsewhere.
            raise_wrong_value(name, _file_path(Text("without a question mark in it", "路径中不能有问号")))
        return Path(os.path.normpath(path))

    def _in_project(self, name: str, value: str) -> Path:
        """Return the absolute path of a value; a relative one belongs to the project folder, which must exist then."""
        given = Path(value).expanduser()
        if self.project is None and not given.is_absolute():
            raise no_project(
                Text("{name} is a relative path ({value})", " {name} 是相对路径（{value}）", name=name, value=value),
                Text("make {name} absolute", "将 {name} 改为绝对路径", name=name),
            )
        return (self.project or Path("/")) / given

    def _lake(self) -> Lake | None:
        name = "WX_DATACUBE_LAKE"
        value = self._get(name)
        if value is None:
            return None
        if "://" not in value:
            folder = Path(os.path.normpath(self._in_project(name, value)))
            in_the_way = any(each.exists() and not each.is_dir() for each in (folder, *folder.parents))
            if in_the_way or _NOT_IN_LAKE.search(str(folder)):
                raise_wrong_value(name, _LAKE)
            return Lake(str(folder))
        if not _S3.fullmatch(value) or ".." in value:
            raise_wrong_value(name, _LAKE)
        return Lake(
            value.rstrip("/"),
            key_id=self._matching("AWS_ACCESS_KEY_ID", _PRINTABLE, _AWS_KEY),
            secret=_secret(self._matching("AWS_SECRET_ACCESS_KEY", _PRINTABLE, _AWS_KEY)),
            session_token=_secret(self._matching("AWS_SESSION_TOKEN", _PRINTABLE, _AWS_KEY)),
            region=self._get("AWS_REGION") or self._get("AWS_DEFAULT_REGION"),
            endpoint=self._s3_endpoint(),
        )

    def _s3_endpoint(self) -> str | None:
        value = self._secret_url("AWS_ENDPOINT_URL", Text("the S3 service", " S3 服务"))
        return value and value.rstrip("/")

    def _api_url(self) -> str:
        name = "WX_DATACUBE_API_URL"
        value = (self._get(name) or API_URL).rstrip("/")
        parts = split_url(value)
        bare = parts and not (parts.query or parts.fragment or "@" in parts.netloc or "?" in value or "#" in value)
        if not parts or not bare or not (parts.scheme == "https" or is_loopback(parts.hostname)):
            raise_wrong_value(
                name,
                Text(
                    "a URL such as {url}, with https (http only to this machine), without user, query or fragment",
                    "形如 {url} 的 https 地址（仅本机可用 http），不含用户名、查询参数和片段",
                    url=API_URL,
                ),
            )
        return value

    def _token_url(self, name: str) -> str | None:
        return self._secret_url(name, Text("your token server", "中控服务器"))

    def _webhook(self) -> str | None:
        return self._secret_url("WX_DATACUBE_WEBHOOK", Text("your chat robot", "群机器人"))

    def _secret_url(self, name: str, whose: Text) -> str | None:
        value = self._get(name)
        if value is None:
            return None
        parts = split_url(value)
        plain = bool(parts and parts.scheme == "http")
        if not parts or (plain and not is_private(parts.hostname)):
            raise_wrong_value(
                name,
                Text(
                    "the URL of {whose}, with https (http only to a private address such as 10.0.0.5)",
                    "{whose}的 https 地址（仅内网地址可用 http，例如 10.0.0.5）",
                    whose=whose,
                ),
            )
        return value

    def _warnings(self, accounts: tuple[Account, ...]) -> Iterator[Text]:
        if self.dotenv and self.dotenv.exists() and stat.S_IMODE(self.dotenv.stat().st_mode) & 0o077:
            yield Text(
                "Other users of this machine can read .env, which may hold the AppSecret: chmod 600 {path}",
                "本机其他用户可以读取 .env，其中可能有 AppSecret，请执行：chmod 600 {path}",
                path=self.dotenv,
            )
        if self.invalid_lines:
            yield Text(
                "{path} {lines} not NAME=value (or a quote is not closed).",
                "{path} 第 {lines} 行不是 NAME=value 格式（或引号未闭合）。",
                path=self.dotenv,
                lines=Text(
                    "lines {numbers} are" if len(self.invalid_lines) > 1 else "line {numbers} is",
                    "{numbers}",
                    numbers=joined(map(str, self.invalid_lines), ", ", "、"),
                ),
            )
        for account in accounts:
            name = account.variable("TOKEN_URL")
            if (self._get(name) or "").lower().startswith("http:"):
                yield Text(
                    "{name} uses http: anyone on that network can read the token. Use https if possible.",
                    "{name} 使用 http，同一网络中的人可以读取 access_token，请尽量改用 https。",
                    name=name,
                )
        yield from self._unknown(accounts)

    def _unknown(self, accounts: Sequence[Account]) -> Iterator[Text]:
        """Yield warnings about variables with our prefix that nothing reads: a typo leaves a setting at its default."""
        known = {account.variable(field) for account in accounts for field in ACCOUNT_FIELDS}
        known |= {variable(None, field) for field in (*SHARED_FIELDS, "START", "FAMILIES")}
        for name in sorted(name for name in self.values if name.startswith(PREFIX) and name not in known):
            if self._get(name):
                yield self._unknown_variable(name, known, accounts)

    def _unknown_variable(self, name: str, known: set[str], accounts: Sequence[Account]) -> Text:
        """Return the warning about an unknown variable. It names the account or variable that it may mean."""
        bare = {variable(None, field): field for field in ACCOUNT_FIELDS}
        if name in bare:  # left from when there was a single account
            return Text(
                "{name} is ignored when WX_DATACUBE_ACCOUNTS is set; use {own}.",
                "设置了 WX_DATACUBE_ACCOUNTS 时，{name} 不起作用，请改用 {own}。",
                name=name,
                own=accounts[0].variable(bare[name]),
            )
        return Text(
            "{name} is not a setting and is ignored{suggestion}",
            "{name} 不是设置项，已忽略{suggestion}",
            name=name,
            suggestion=self._suggestion(name, known, accounts),
        )

    def _suggestion(self, name: str, known: set[str], accounts: Sequence[Account]) -> Text:
        of = _ACCOUNT_VARIABLE.fullmatch(name)
        names = [account.name for account in accounts]
        if of and not difflib.get_close_matches(of[1].lower(), names, 1, 0.8):
            return Text(
                ": {name} is not in WX_DATACUBE_ACCOUNTS.",
                "：WX_DATACUBE_ACCOUNTS 中没有 {name}。",
                name=of[1].lower(),
            )
        close = difflib.get_close_matches(name, sorted(known), 1, 0.8)
        return Text("; did you mean {close}?", "。是否应为 {close}？", close=close[0]) if close else Text(".", "。")


_APPID = Text("the account's AppID (开发者ID), which begins with wx", "公众号的 AppID（开发者ID），以 wx 开头")
_APPSECRET = Text("the account's AppSecret, without spaces", "公众号的 AppSecret，不含空格")
_TITLE = Text("a name of at most 64 characters", "不超过 64 个字符的名称")
_PRINTABLE = r"[\x21-\x7e]{1,4096}"
_AWS_KEY = Text("a value without spaces, as the S3 service issued it", "S3 服务提供的值，不含空格")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*/?")
_NOT_IN_LAKE = re.compile(r"[*?\[\]{}'\"\x00-\x1f]")
"""Characters that engines read as a pattern, or that would end a string in SQL."""
_LAKE = Text(
    "the path of a folder, without any of * ? [ ] { } and quotes, or s3://bucket/prefix with letters, digits, _ . = -"
    " and slashes, without keys in it",
    "文件夹路径（不含 * ? [ ] { } 和引号），或 s3://bucket/prefix（由字母、数字、_ . = - 和斜杠组成，不含密钥）",
)


def _file_path(but: Text) -> Text:
    """Return what WX_DATACUBE_DATABASE should hold."""
    return Text("the path of a file, such as {path}, {but}", "文件路径，例如 {path}，{but}", path=DATABASE, but=but)


def _resolve_link(path: Path) -> Path:
    """Return the file that a path leads to, with a link followed.

    Everything is kept beside that file, since publishing would replace a link by a file. SettingsError if the path
    can't be followed or leads to a folder that doesn't exist.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise SettingsError(
            Text("{path} is not accessible: {error}.", "无法访问 {path}：{error}。", path=path, error=error.strerror),
            advice=Text(
                "Check that this user can enter every parent folder, and that no link leads back to itself.",
                "请检查当前用户能否进入每一级上级文件夹，以及链接是否指向自身。",
            ),
        ) from None
    real = Path(os.path.realpath(path)) if path.is_symlink() else path
    astray = [path] if real != path and not real.parent.is_dir() else []
    for link in (*astray, *path.parents):
        if link.is_symlink() and not link.exists():
            raise SettingsError(
                Text(
                    "{link} is a link to {target}, which does not exist.",
                    "{link} 指向的 {target} 不存在。",
                    link=link,
                    target=link.readlink(),
                ),
                advice=Text(
                    "Is its disk mounted? If so, create that folder, or set WX_DATACUBE_DATABASE to another path.",
                    "请检查磁盘是否已挂载。已挂载时，请创建该文件夹，或将 WX_DATACUBE_DATABASE 设为其他路径。",
                ),
            )
    return real


_UNIQUE = {"APPID": Text("AppID", " AppID "), "TOKEN_URL": Text("URL", "地址")}


def _with_unique_credentials(accounts: Sequence[Account]) -> Iterator[Account]:
    """Yield the accounts; those that share an AppID or a token server's URL get an error instead of credentials."""
    holders: dict[object, list[str]] = {}
    for account in accounts:
        for field in _UNIQUE:
            holders.setdefault(getattr(account, field.lower()), []).append(account.variable(field))
    for account in accounts:
        for field, what in _UNIQUE.items():
            value = getattr(account, field.lower())
            if value is not None and len(holders[value]) > 1:
                settings_error = SettingsError(
                    Text(
                        "{names} hold the same {what}.",
                        "{names} 的{what}相同。",
                        names=joined(holders[value], " and ", " 和 "),
                        what=what,
                    ),
                    advice=Text(
                        "Accounts must not share one: the same figures would be counted twice.",
                        "各账号不能共用，否则同一数据会重复计算。",
                    ),
                )
                yield replace(account, appid=None, secret=None, token_url=None, settings_error=settings_error)
                break
        else:
            yield account


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value is not None else None


def _date(text: str) -> dt.date | None:
    """Return the date of `YYYY-MM-DD`, else None."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None
