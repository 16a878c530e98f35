"""Settings: environment and `.env` of the project folder → one frozen, checked object.

Add a setting here, and nowhere else: this is the only reader of `os.environ` and of `.env` (Dagster's resources name
their variables by `variable`). Nothing here calls WeChat or opens the database, and no message ever shows a value that
could be a secret. As everywhere in Dagster, `.env` wins over the environment, a blank `KEY=` over an exported one.
"""

import datetime as dt
import difflib
import hmac
import ipaddress
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from dotenv import dotenv_values

from wx_datacube.catalog import HISTORY_START
from wx_datacube.errors import SettingsError
from wx_datacube.periods import Clock, beijing_now

PREFIX = "WX_DATACUBE_"
API_URL = "https://api.weixin.qq.com"
DATABASE = "data/wx_datacube.duckdb"
ACCOUNT = "default"
CONCURRENCY = 8
MAX_CONCURRENCY = 64

MADE_UP = "demo"
"""The account of the demo: never the name of a real one, so that nobody takes made-up figures for WeChat's."""

SHARED_FIELDS = ("API_URL", "DATABASE", "CONCURRENCY", "DAILY_CALLS", "ACCOUNT", "ACCOUNTS", "WEBHOOK")
ACCOUNT_FIELDS = ("APPID", "SECRET", "TOKEN_URL", "START")

_ACCOUNT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAME_RULE = "up to 32 small letters, digits and _, a letter first, such as shop"
_OF_A_SINGLE_ONE = re.compile(rf"\b{PREFIX}({'|'.join(ACCOUNT_FIELDS)})\b")
_OF_ANY = re.compile(rf"{PREFIX}([A-Z][A-Z0-9_]*)_({'|'.join(ACCOUNT_FIELDS)})")
_ODD_IN_URL = re.compile(r"[^\x21-\x7e]|[\\<>\"{}|^`]")
_PRIVATE = tuple(
    ipaddress.ip_network(block)
    for block in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)


class Secret:
    """A string that no `repr`, `str`, format, pickle or copy shows; `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself; hand it to nothing that logs, stores or prints."""
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
    """An Official Account: the name it has here, how to get its token, and the first day of its history.

    Credentials may be missing: they are needed only where something must be asked. `single` says that it was named by
    `WX_DATACUBE_ACCOUNT`, so that its variables don't carry its name. `fault` is what is wrong with the variables of
    one of several: the others go on without it.
    """

    name: str
    appid: str | None = None
    secret: Secret | None = None
    token_url: Secret | None = None
    start: dt.date = HISTORY_START
    single: bool = True
    fault: SettingsError | None = None

    @property
    def can_call(self) -> bool:
        """Whether there is what a token needs: AppID and AppSecret, or a token server."""
        return self.token_url is not None or (self.appid is not None and self.secret is not None)

    def variable(self, field: str) -> str:
        """The variable that holds a field of this account: `APPID`, `SECRET`, `TOKEN_URL` or `START`."""
        return variable(None if self.single else self.name, field)

    def own(self, text: str) -> str:
        """`text`, which names the variables of a single account, with those of this one in their place."""
        return text if self.single else _OF_A_SINGLE_ONE.sub(lambda found: self.variable(found[1]), text)

    def checked(self) -> "Account":
        """This account; raises what is wrong with its settings."""
        if self.fault is not None:
            raise self.fault
        return self


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked. `database` is absolute, `api_url` has no slash at its end, `daily_calls` None: no limit.

    `webhook` is where a person is told of trouble; None: nowhere.

    `warnings` are sentences for the operator: what works but should not stay as it is.
    """

    project: Path
    database: Path
    api_url: str = API_URL
    concurrency: int = CONCURRENCY
    daily_calls: int | None = None
    accounts: tuple[Account, ...] = (Account(ACCOUNT),)
    webhook: Secret | None = None
    warnings: tuple[str, ...] = ()

    def account(self, name: str | None = None) -> Account:
        """The account of that name; None means the only one.

        SettingsError when there is none, or a choice, or something is wrong with its own settings.
        """
        names = ", ".join(account.name for account in self.accounts)
        if name is None:
            if len(self.accounts) > 1:
                raise SettingsError(f"There are several accounts ({names}).", advice="Say which: --account NAME.")
            return self.accounts[0].checked()
        for account in self.accounts:
            if account.name == name:
                return account.checked()
        raise SettingsError(
            f"There is no account of the name {name[:32]!r}.",
            advice=f"Configured: {names} (WX_DATACUBE_ACCOUNT or WX_DATACUBE_ACCOUNTS).",
        )


def variable(account: str | None, field: str) -> str:
    """The variable that holds a field (`APPID`, …) of a single account (None) or of one named in `…_ACCOUNTS`."""
    return f"{PREFIX}{account.upper()}_{field}" if account else f"{PREFIX}{field}"


def require_name(name: str) -> None:
    """Raise SettingsError where `name` can't be a real account's: it becomes part of variables, keys and file names."""
    if not _ACCOUNT_NAME.fullmatch(name):
        raise SettingsError(f"{name[:40]!r} can't be the name of an account.", advice=f"A name is {_NAME_RULE}.")
    if name == MADE_UP:
        raise _made_up()


def _made_up() -> SettingsError:
    return SettingsError(
        f"{MADE_UP!r} is the account of made-up figures (`wx-datacube demo`).",
        advice="Give a real account another name, so that nobody takes the one for the other.",
    )


def process_environment() -> dict[str, str]:
    """A copy of this process's environment, for the processes that it starts."""
    return dict(os.environ)


def find_project(environ: Mapping[str, str], cwd: Path) -> Path:
    """The project folder: `DAGSTER_HOME`, else the nearest folder upwards with a `dagster.yaml`, else SettingsError."""
    home = environ.get("DAGSTER_HOME", "").strip()
    if home:
        folder = Path(home).expanduser()
        if not (folder.is_absolute() and folder.is_dir()):
            _wrong("DAGSTER_HOME", "the absolute path of a folder that exists: the project folder")
        return folder.resolve()
    for folder in (cwd.resolve(), *cwd.resolve().parents):
        if (folder / "dagster.yaml").is_file():
            return folder
    raise SettingsError(
        "This is not inside a project folder: there is no dagster.yaml here or in any folder above.",
        advice="Change to the folder that you cloned, or make one: wx-datacube init. DAGSTER_HOME may name it, too.",
    )


def effective_environ(environ: Mapping[str, str], project: Path) -> dict[str, str]:
    """`environ` with the project's `.env` over it, parsed as Dagster parses it. SettingsError if it can't be read."""
    path = project / ".env"
    try:
        values = dotenv_values(path) if path.exists() else {}
    except (OSError, ValueError) as error:
        problem = type(error).__name__
    else:
        return {**environ, **{key: value for key, value in values.items() if value is not None}}
    raise SettingsError(
        f"The file .env of the project folder can't be read ({problem}).",
        advice="Save it as plain UTF-8 text that you may read.",
    )


def adopt_dotenv(project: Path) -> None:
    """Put the project's `.env` over this process's environment, as `dagster dev` does: `dg.EnvVar` looks there."""
    os.environ.update(effective_environ(os.environ, project))


def load_settings(
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    clock: Clock = beijing_now,
    platform: str = sys.platform,
) -> Settings:
    """Read and check all settings; SettingsError names the variable that is wrong and what it should hold.

    `environ` None means the process's environment with the project's `.env` over it; a mapping is taken as it is.
    """
    if platform == "win32":
        raise SettingsError("wx_datacube does not run on Windows itself.", advice="Use WSL 2, where it does.")
    here = cwd or Path.cwd()
    project = find_project(os.environ if environ is None else environ, here)
    values = effective_environ(os.environ, project) if environ is None else environ
    return _Reader(values, project, clock().date()).settings()


def account_names() -> list[str]:
    """The names of the configured accounts, whatever else is wrong with the settings; of wrong names, the default."""
    try:
        project = find_project(os.environ, Path.cwd())
        return [name for name, _ in _Reader(effective_environ(os.environ, project), project, dt.date.max).names()]
    except SettingsError:
        return [ACCOUNT]


def set_variables(project: Path, account: Account) -> list[str]:
    """The names of an account's own variables that hold something."""
    values = effective_environ(os.environ, project)
    names = [account.variable(field) for field in ACCOUNT_FIELDS]
    return [name for name in names if values.get(name, "").strip()]


@dataclass(frozen=True, slots=True)
class _Reader:
    """One pass over the variables: each method reads one, checks it, and says what is wrong by its name."""

    values: Mapping[str, str]
    project: Path
    today: dt.date

    def settings(self) -> Settings:
        api_url = self._api_url()
        accounts = tuple(_apart([self._account(name, single, api_url) for name, single in self.names()]))
        return Settings(
            project=self.project,
            database=self._database(),
            api_url=api_url,
            concurrency=self._number("CONCURRENCY", CONCURRENCY, MAX_CONCURRENCY) or CONCURRENCY,
            daily_calls=self._number("DAILY_CALLS", None, 10**9),
            accounts=accounts,
            webhook=_secret(self._webhook()),
            warnings=tuple(self._warnings(accounts)),
        )

    def _get(self, name: str) -> str | None:
        """A variable's value without white space around it; None when it is unset or blank."""
        return self.values.get(name, "").strip() or None

    def names(self) -> list[tuple[str, bool]]:
        """The accounts' names, and of each whether it is the single one, whose variables don't carry its name."""
        listed, single = self._get("WX_DATACUBE_ACCOUNTS"), self._get("WX_DATACUBE_ACCOUNT")
        if listed and single:
            raise SettingsError(
                "Both WX_DATACUBE_ACCOUNT and WX_DATACUBE_ACCOUNTS are set.",
                advice="Keep WX_DATACUBE_ACCOUNT for one account, WX_DATACUBE_ACCOUNTS for several.",
            )
        name = "WX_DATACUBE_ACCOUNTS" if listed else "WX_DATACUBE_ACCOUNT"
        words = [word.strip() for word in listed.split(",")] if listed else [single or ACCOUNT]
        if not all(_ACCOUNT_NAME.fullmatch(word) for word in words) or len(set(words)) < len(words):
            several = "different names separated by commas, each" if listed else "a name:"
            _wrong(name, f"{several} {_NAME_RULE}")
        return [(word, not listed) for word in words]

    def _account(self, name: str, single: bool, api_url: str) -> Account:
        """An account with its variables; what is wrong with those of one of several is its own `fault`."""
        try:
            account = self._with_variables(name, single)
            if name == MADE_UP and account.can_call and not _is_loopback(urlsplit(api_url).hostname):
                raise _made_up()
        except SettingsError as error:
            if single:
                raise
            return Account(name, start=self._start_or_default(name), single=False, fault=error)
        return account

    def _start_or_default(self, name: str) -> dt.date:
        """Where partitions begin must not jump because something else is wrong."""
        try:
            return self._start_of(name)
        except SettingsError:
            return HISTORY_START

    def _start_of(self, name: str | None) -> dt.date:
        start = variable(name, "START")
        return self._start(start if self._get(start) else variable(None, "START"))

    def _with_variables(self, name: str, single: bool) -> Account:
        key = None if single else name
        appid, secret = variable(key, "APPID"), variable(key, "SECRET")
        return Account(
            name,
            appid=self._matching(
                appid, r"wx[0-9A-Za-z_-]{1,62}", "the account's AppID (开发者ID), which begins with wx"
            ),
            secret=_secret(self._matching(secret, r"[\x21-\x7e]{1,512}", "the account's AppSecret, without blanks")),
            token_url=_secret(self._token_url(variable(key, "TOKEN_URL"))),
            start=self._start_of(key),
            single=single,
        )

    def _matching(self, name: str, pattern: str, meaning: str) -> str | None:
        value = self._get(name)
        if value is not None and not re.fullmatch(pattern, value):
            _wrong(name, meaning)
        return value

    def _start(self, name: str) -> dt.date:
        value = self._get(name)
        if value is None:
            return HISTORY_START
        day = _date(value)
        if day is None or not HISTORY_START <= day <= self.today:
            _wrong(name, f"a date YYYY-MM-DD from {HISTORY_START} (WeChat has no data before) to today in Beijing")
        return day

    def _number(self, field: str, default: int | None, most: int) -> int | None:
        name = variable(None, field)
        value = self._get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,10}", value) or not 1 <= int(value) <= most:
            _wrong(name, f"a whole number from 1 to {most}")
        return int(value)

    def _database(self) -> Path:
        name = "WX_DATACUBE_DATABASE"
        value = self._get(name) or DATABASE
        path = self.project / Path(value).expanduser()
        if value.endswith("/") or value.startswith((":memory:", "md:", "ducklake:")) or path.is_dir():
            _wrong(name, f"the path of a file, such as {DATABASE}, not of a folder or a service")
        if any(folder.exists() and not folder.is_dir() for folder in path.parents):
            _wrong(name, f"the path of a file in a folder, such as {DATABASE}; a part of it is a file, not a folder")
        if "?" in str(path):
            # DuckDB takes what follows for the query of an address, and puts its WAL elsewhere.
            _wrong(name, f"the path of a file, such as {DATABASE}, without a question mark in it")
        return Path(os.path.normpath(path))

    def _api_url(self) -> str:
        name = "WX_DATACUBE_API_URL"
        value = (self._get(name) or API_URL).rstrip("/")
        parts = _split(value)
        bare = parts and not (parts.query or parts.fragment or "@" in parts.netloc or "?" in value or "#" in value)
        if not parts or not bare or not (parts.scheme == "https" or _is_loopback(parts.hostname)):
            _wrong(
                name, f"an address such as {API_URL}, with https (http only to this machine itself), nothing else in it"
            )
        return value

    def _token_url(self, name: str) -> str | None:
        return self._secret_url(name, "your token server")

    def _webhook(self) -> str | None:
        return self._secret_url("WX_DATACUBE_WEBHOOK", "your chat's robot")

    def _secret_url(self, name: str, whose: str) -> str | None:
        value = self._get(name)
        if value is None:
            return None
        parts = _split(value)
        plain = bool(parts and parts.scheme == "http")
        if not parts or (plain and (not _is_private(parts.hostname) or "@" in parts.netloc)):
            _wrong(name, f"the address of {whose} with https (http only to a private address such as 10.0.0.5)")
        return value

    def _warnings(self, accounts: tuple[Account, ...]) -> Iterator[str]:
        env = self.project / ".env"
        if env.exists() and stat.S_IMODE(env.stat().st_mode) & 0o077:
            yield "Others on this machine can read .env, which may hold the AppSecret: chmod 600 .env"
        for account in accounts:
            name = account.variable("TOKEN_URL")
            if (self._get(name) or "").lower().startswith("http:"):
                yield f"{name} uses http: whoever can listen in that network can read the token. Use https if you can."
        yield from self._unknown(accounts)

    def _unknown(self, accounts: Sequence[Account]) -> Iterator[str]:
        """Warnings about variables of ours that nothing reads: a slip of the pen leaves a setting at its default."""
        known = {account.variable(field) for account in accounts for field in ACCOUNT_FIELDS}
        known |= {variable(None, field) for field in (*SHARED_FIELDS, "START")}
        for name in sorted(name for name in self.values if name.startswith(PREFIX) and name not in known):
            if self._get(name):
                yield f"{name} is not a setting, nothing reads it{self._meant(name, known, accounts)}"

    def _meant(self, name: str, known: set[str], accounts: Sequence[Account]) -> str:
        """The end of a sentence about an unknown variable: of which account it may be, or which one it may mean."""
        bare = {variable(None, field): field for field in ACCOUNT_FIELDS}
        if name in bare:  # of the single account that there was before
            whose = accounts[0].variable(bare[name])
            return f" beside WX_DATACUBE_ACCOUNTS: it wants its account's name, as in {whose}."
        of = _OF_ANY.fullmatch(name)
        names = [account.name for account in accounts]
        if of and not difflib.get_close_matches(of[1].lower(), names, 1, 0.8):
            return f": {of[1].lower()} is not in WX_DATACUBE_ACCOUNTS."
        close = difflib.get_close_matches(name, sorted(known), 1, 0.8)
        return f"; did you mean {close[0]}?" if close else "."


_UNIQUE = {"APPID": "AppID", "TOKEN_URL": "address"}


def _apart(accounts: Sequence[Account]) -> Iterator[Account]:
    """The accounts; those that share an AppID, or a token server's address, with a fault instead of credentials."""
    holders: dict[object, list[str]] = {}
    for account in accounts:
        for field in _UNIQUE:
            holders.setdefault(getattr(account, field.lower()), []).append(account.variable(field))
    for account in accounts:
        for field, what in _UNIQUE.items():
            value = getattr(account, field.lower())
            if value is not None and len(holders[value]) > 1:
                fault = SettingsError(
                    f"{' and '.join(holders[value])} hold the same {what}.",
                    advice="Each account has its own: the same figures would be fetched, and counted, twice.",
                )
                yield Account(account.name, start=account.start, single=account.single, fault=fault)
                break
        else:
            yield account


def _wrong(name: str, meaning: str) -> NoReturn:
    """Raise the error of a wrong value: the variable and what it should hold, never what it does hold."""
    raise SettingsError(f"{name} is wrong.", advice=f"It should hold {meaning}.")


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value is not None else None


def _date(text: str) -> dt.date | None:
    """The date of `YYYY-MM-DD`, else None."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) URL with a host; None when it is anything else, or could be read in two ways."""
    if _ODD_IN_URL.search(url):
        return None
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if sound else None


def _is_private(host: str | None) -> bool:
    """Whether a host is this machine or a literal address of a private network."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return any(address in block for block in _PRIVATE)


def _is_loopback(host: str | None) -> bool:
    """Whether a host is this machine."""
    return _is_private(host) and (host == "localhost" or ipaddress.ip_address(host or "").is_loopback)
