"""Tokens: one access token shared by all threads, and the sources it comes from.

Add a source here when a token can be fetched in another way; it needs a `fetch` method. Nothing here knows statistics,
and nothing stores a token. `stable_token` returns the same token to every caller, so programs don't invalidate each
other's token; tokens of `/cgi-bin/token` are separate and unaffected. Where a token server (中控) exists, nothing else
may fetch tokens.
"""

import copy
import datetime as dt
import json
import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

from wx_datacube.catalog.periods import Clock
from wx_datacube.config.settings import Secret
from wx_datacube.errcodes import error_for
from wx_datacube.errors import NeedsPerson, QuotaExhausted, SettingsError, UnexpectedAnswer, WeChatError
from wx_datacube.language import Text
from wx_datacube.wechat.answers import ReplySpec, parse_response
from wx_datacube.wechat.retry import Retry
from wx_datacube.wechat.transport import TOKEN_SERVER, Transport, host_name

FORCE_EVERY = dt.timedelta(seconds=30)
"""WeChat's minimum interval between two forced tokens; it allows 20 a day."""

MAX_FORCED = 5
"""The most forced tokens per client.

If more are needed, another program keeps replacing the token. Other programs need some of the day's 20, too.
"""

REFUSAL_CACHED_FOR = dt.timedelta(seconds=60)
"""How long a `NeedsPerson` or `QuotaExhausted` error is raised to all callers without a new request."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; `until` is None if its source doesn't say how long it is valid."""

    value: str = field(repr=False)
    until: dt.datetime | None = None


class Fetcher(Protocol):
    """A source of tokens."""

    def fetch(self, rejected: str | None) -> Token:
        """Return a token, if possible not `rejected`. Raises `WeChatError`."""
        ...


class Tokens:
    """The current token, shared by all threads. A thread that arrives during a fetch waits and shares its result."""

    def __init__(self, fetcher: Fetcher, clock: Clock) -> None:
        self._fetcher, self._clock = fetcher, clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._failure: WeChatError | None = None
        self._failure_until = dt.datetime.min
        self._round = 0

    def current(self) -> str:
        """Return the current token; fetch one if there is none or it has expired."""
        return self._obtain(None)

    def replace(self, rejected: str) -> None:
        """Fetch a new token, unless another thread has already replaced the rejected one."""
        self._obtain(rejected)

    def _obtain(self, rejected: str | None) -> str:
        seen = self._round
        with self._lock:
            if self._token and self._is_valid(self._token, rejected):
                return self._token.value
            self._share_failure(seen)
            self._token = self._fetch(rejected)
            return self._token.value

    def _is_valid(self, token: Token, rejected: str | None) -> bool:
        return token.value != rejected and (token.until is None or self._clock() < token.until)

    def _share_failure(self, seen: int) -> None:
        """Raise the last fetch's error if that fetch ended while this caller waited, or if the error still holds."""
        if self._failure and (self._round != seen or self._clock() < self._failure_until):
            raise copy.copy(self._failure)

    def _fetch(self, rejected: str | None) -> Token:
        self._failure = None
        try:
            return self._fetcher.fetch(rejected)
        except WeChatError as error:
            self._failure = copy.copy(error)
            lasting = isinstance(error, NeedsPerson | QuotaExhausted)
            self._failure_until = self._clock() + REFUSAL_CACHED_FOR if lasting else dt.datetime.min
            raise
        finally:
            self._round += 1


class StableToken:
    """WeChat's `/cgi-bin/stable_token`, with AppID and AppSecret."""

    def __init__(
        self, api_url: str, appid: str, secret: Secret, transport: Transport, retry: Retry, clock: Clock
    ) -> None:
        self._url, self._who = f"{api_url}/cgi-bin/stable_token", host_name(api_url)
        self._appid, self._secret = appid, secret
        self._transport, self._retry, self._clock = transport, retry, clock
        self._forced = 0
        self._forced_at = dt.datetime.min

    def fetch(self, rejected: str | None) -> Token:
        """Return the account's token; force a new one if WeChat hands out the rejected one.

        Raises `TokenRejected` if tokens were forced too often or too recently.
        """
        token = self._ask(force=False)
        if token.value != rejected:
            return token
        if self._forced >= MAX_FORCED or self._clock() - self._forced_at < FORCE_EVERY:
            raise error_for(40001, endpoint="stable_token")
        self._forced, self._forced_at = self._forced + 1, self._clock()
        return self._ask(force=True)

    def _ask(self, *, force: bool) -> Token:
        secret = self._secret.reveal()
        fields = {"grant_type": "client_credential", "appid": self._appid, "secret": secret, "force_refresh": force}
        spec = ReplySpec(self._who, "stable_token", "access_token", str, (secret,), token_call=True)
        body = json.dumps(fields).encode()
        return self._retry.run(lambda _: _token(self._transport, self._retry, spec, self._url, body, self._clock))


class TokenServer:
    """The token server (中控) of the account's owner: a GET answers `{"access_token": …}`. Its URL is a secret."""

    def __init__(self, url: Secret, transport: Transport, retry: Retry, clock: Clock) -> None:
        self._url, self._transport, self._retry, self._clock = url, transport, retry, clock

    def fetch(self, rejected: str | None) -> Token:
        """Return the server's token, even if it is the rejected one: only the server can replace it."""
        url = self._url.reveal()
        spec = ReplySpec(TOKEN_SERVER, "token server", "access_token", str, (url,), token_call=True, own_server=True)
        return self._retry.run(lambda _: _token(self._transport, self._retry, spec, url, None, self._clock))


class NoToken:
    """Stands in for missing credentials: fetching a token is an error of the settings."""

    def fetch(self, rejected: str | None) -> Token:
        """Raise SettingsError."""
        raise no_credentials("WX_DATACUBE_APPID", "WX_DATACUBE_SECRET", "WX_DATACUBE_TOKEN_URL")


def no_credentials(appid: str, secret: str, token_url: str) -> SettingsError:
    """Return the error of an account that can't fetch a token; the arguments are names of variables."""
    return SettingsError(
        Text("The credentials for WeChat are missing.", "缺少访问微信的凭据。"),
        advice=Text(
            "Set {appid} and {secret}, or {token_url}, in .env.",
            "请在 .env 中设置 {appid} 和 {secret}，或 {token_url}。",
            appid=appid,
            secret=secret,
            token_url=token_url,
        ),
    )


def _token(transport: Transport, retry: Retry, spec: ReplySpec, url: str, body: bytes | None, clock: Clock) -> Token:
    """Make one attempt of a token call."""
    asked = clock()
    answer = parse_response(transport.send(url, body, seconds=retry.host.seconds_left()), spec, asked)
    if answer.error:
        raise answer.error
    data = answer.data or {}
    value = data["access_token"]
    if not value.isascii() or not value.isprintable() or " " in value or not 0 < len(value) <= 4096:
        message = Text(
            "{who} sent something that can't be a token.", "{who}返回的内容不可能是 access_token。", who=spec.who
        )
        raise UnexpectedAnswer(message, endpoint=spec.endpoint, advice="")
    return Token(value, _until(data.get("expires_in"), asked))


def _until(seconds: Any, asked: dt.datetime) -> dt.datetime | None:
    """Return when to fetch the next token: a little before this one expires (`expires_in` counts down).

    None if `expires_in` isn't a plausible number of seconds.
    """
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
        seconds = int(seconds[:9])
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds <= 10**6:
        return None
    return asked + dt.timedelta(seconds=seconds - min(60, seconds / 10))
