"""Client: statistics and quota of one account, shared by threads.

Add a method here for another call of the API. How bytes are sent, what they mean and when to retry belong to the other
modules. A statistics call returns `{"list": […]}`. A journal records the answer of every attempt; `ingest` stores it.
"""

import datetime as dt
import json
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self
from urllib.parse import quote

import requests

from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.settings import API_URL, Account, Secret
from wx_datacube.errors import UnexpectedAnswer, WeChatError
from wx_datacube.language import Text
from wx_datacube.wechat.answers import ADVICE_NOT_IN_LEDGER, Answer, ReplySpec, parse_response
from wx_datacube.wechat.deadline import deadline_session
from wx_datacube.wechat.retry import Limits, Retry
from wx_datacube.wechat.tokens import Fetcher, NoToken, StableToken, Tokens, TokenServer, no_credentials
from wx_datacube.wechat.transport import TOKEN_SERVER, Bounds, Transport, host_name

QUOTA_CALL = "quota/get"
"""The endpoint name in errors of `Client.quota`."""

log = logging.getLogger("wx_datacube.wechat")


class Journal(Protocol):
    """Records the attempts for one account and endpoint. Its methods are called from several threads."""

    def permit(self) -> None:
        """Called right before every attempt; raises if it must not be made, for example `QuotaExhausted`."""
        ...

    def record(self, answer: Answer) -> None:
        """Called with the answer of every permitted attempt, whatever its outcome."""
        ...


@dataclass(frozen=True, slots=True)
class Quota:
    """The day's quota of an endpoint, in calls, as WeChat counts them; its count may lag by about 1 %."""

    daily_limit: int
    used: int
    remain: int


class Client:
    """The API for one account.

    `bounds` limits one attempt: seconds to connect, between two bytes, and in total. `sleep` may return early, as
    `Event.wait` does. `name_variables` replaces the names of variables in an error's advice by the account's own.
    """

    def __init__(
        self,
        *,
        api_url: str = API_URL,
        appid: str | None = None,
        secret: Secret | str | None = None,
        token_url: Secret | str | None = None,
        clock: Clock = beijing_now,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
        session_factory: Callable[[], requests.Session] = deadline_session,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
        limits: Limits = Limits(),  # noqa: B008 - frozen
        stopwatch: Callable[[], float] = time.monotonic,
        name_variables: Callable[[Text], Text] = lambda text: text,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._clock = clock
        self._name_variables = name_variables
        self._secrets = tuple(_hidden(each) for each in (secret, token_url) if each)
        waits: dict[str, Any] = {"sleep": sleep, "jitter": jitter, "limits": limits, "stopwatch": stopwatch}
        self._who = host_name(self._api_url)
        self._retry = Retry(self._who, clock=clock, **waits)
        self._transport = Transport(self._who, bounds, session_factory)
        self._token_transports: list[Transport] = []
        fetcher: Fetcher = NoToken()
        if token_url:
            retry = Retry(TOKEN_SERVER, clock=clock, **waits)
            self._token_transports = [Transport(TOKEN_SERVER, bounds, session_factory)]
            fetcher = TokenServer(_hidden(token_url), self._token_transports[0], retry, clock)
        elif appid and secret:
            fetcher = StableToken(self._api_url, appid, _hidden(secret), self._transport, self._retry, clock)
        self._tokens = Tokens(fetcher, clock)

    @classmethod
    def of(cls, account: Account, api_url: str = API_URL, **options: Any) -> Self:
        """Return the client of a configured account; `options` are those of `Client`.

        Raises `SettingsError` if its credentials are missing or its settings are wrong.
        """
        if not account.checked().can_call:
            raise no_credentials(account.variable("APPID"), account.variable("SECRET"), account.variable("TOKEN_URL"))
        options = {"name_variables": account.with_own_variables, **options}
        return cls(api_url=api_url, appid=account.appid, secret=account.secret, token_url=account.token_url, **options)

    def __repr__(self) -> str:
        return f"Client({self._api_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fetch(self, endpoint: str, begin: dt.date, end: dt.date, journal: Journal) -> Answer:
        """Request a statistics endpoint for the days `begin` to `end`, both included; return the answer with the data.

        Raises `WeChatError` if no attempt succeeds, `SettingsError` without credentials, and what the journal raises.
        """
        body = json.dumps({"begin_date": begin.isoformat(), "end_date": end.isoformat()}).encode()

        def attempt(token: str) -> Answer:
            answer = self._call(endpoint, f"/datacube/{endpoint}", body, token, "list", list)
            log.debug("%s %s..%s: HTTP %s, %s ms", endpoint, begin, end, answer.http_status, answer.elapsed_ms)
            journal.record(answer)
            if answer.error:
                raise answer.error
            return answer

        with self._with_own_variables():
            return self._retry.run(attempt, tokens=self._tokens, permit=journal.permit)

    def quota(self, endpoint: str) -> Quota:
        """Return the day's quota of a statistics endpoint.

        The call costs no quota and is not recorded. Raises `WeChatError`.
        """
        body = json.dumps({"cgi_path": f"/datacube/{endpoint}"}).encode()

        def attempt(token: str) -> Quota:
            answer = self._call(QUOTA_CALL, "/cgi-bin/openapi/quota/get", body, token, "quota", dict)
            if answer.error:
                raise answer.error
            return _quota((answer.data or {})["quota"])

        with self._with_own_variables():
            return self._retry.run(attempt, tokens=self._tokens)

    def check_credentials(self) -> None:
        """Fetch a token and make no other call. Raises `WeChatError` or `SettingsError`."""
        with self._with_own_variables():
            self._tokens.current()

    def close(self) -> None:
        """Close all connections."""
        for transport in (self._transport, *self._token_transports):
            transport.close()

    @contextmanager
    def _with_own_variables(self) -> Iterator[None]:
        """Make the advice of an error name the account's own variables: each of several accounts has its own."""
        try:
            yield
        except WeChatError as error:
            error.advice = self._name_variables(error.advice)
            raise

    def _call(self, name: str, path: str, body: bytes, token: str, field: str, field_type: type) -> Answer:
        """Make one attempt of a call with a token. The token is sent to the API's host only."""
        url = f"{self._api_url}{path}?access_token={quote(token, safe='')}"
        asked = self._clock()
        response = self._transport.send(url, body, seconds=self._retry.host.seconds_left())
        secrets = (token, *(each.reveal() for each in self._secrets))
        spec = ReplySpec(self._who, name, field, field_type, secrets, in_ledger=name != QUOTA_CALL)
        return parse_response(response, spec, asked)


def _hidden(value: Secret | str) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _quota(data: dict[str, object]) -> Quota:
    numbers = [data.get(name) for name in ("daily_limit", "used", "remain")]
    whole = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool)]
    if len(whole) < len(numbers):
        raise UnexpectedAnswer(
            Text("WeChat sent a quota without valid numbers.", "微信返回的配额不是有效数字。"),
            advice=ADVICE_NOT_IN_LEDGER,
            endpoint=QUOTA_CALL,
        )
    return Quota(*whole)
