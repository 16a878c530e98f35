"""Client: statistics and quota of one account; threads share it.

Add a method here for another call of the API. How bytes travel, what they mean, and when to ask again are the other
modules' business. A statistics call answers `{"list": […]}`; every attempt goes into a journal, which `ingest` keeps.
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
from wx_datacube.wechat.answers import NOT_KEPT, Attempt, Finding, Source, parse_reply, to_attempt
from wx_datacube.wechat.deadline import deadline_session
from wx_datacube.wechat.retry import Limits, Retry
from wx_datacube.wechat.tokens import Fetcher, NoToken, StableToken, Tokens, TokenServer, no_credentials
from wx_datacube.wechat.transport import Bounds, Reply, Transport

QUOTA_CALL = "quota/get"
"""What errors of `Client.quota` name as their endpoint."""

log = logging.getLogger("wx_datacube.wechat")


class Journal(Protocol):
    """What keeps account of the attempts of one account and endpoint; called from several threads."""

    def permit(self) -> None:
        """Called right before every attempt; raises, QuotaExhausted for one, when it must not be made."""
        ...

    def record(self, attempt: Attempt) -> None:
        """Called after every attempt that was permitted, whatever came of it."""
        ...


@dataclass(frozen=True, slots=True)
class Quota:
    """The day's quota of an endpoint, in calls, as WeChat counts (it may lag by about 1 %)."""

    daily_limit: int
    used: int
    remain: int


class Client:
    """The API for one account.

    Time-outs are seconds of one attempt: to connect, between two bytes, in all. `sleep` may return early (an
    `Event.wait` for one): the journal is asked before each attempt, and stops a call by raising.
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
        chance: Callable[[], float] = random.random,
        session_factory: Callable[[], requests.Session] = deadline_session,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
        limits: Limits = Limits(),  # noqa: B008 - frozen
        stopwatch: Callable[[], float] = time.monotonic,
        own: Callable[[str], str] = str,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._clock = clock
        self._own = own
        self._secrets = tuple(_hidden(each) for each in (secret, token_url) if each)
        waits: dict[str, Any] = {"sleep": sleep, "chance": chance, "limits": limits, "stopwatch": stopwatch}
        self._retry = Retry("WeChat", clock=clock, **waits)
        self._transport = Transport("WeChat", bounds, session_factory)
        self._others: list[Transport] = []
        fetcher: Fetcher = NoToken()
        if token_url:
            retry = Retry("the token server", clock=clock, **waits)
            self._others = [Transport("The token server", bounds, session_factory)]
            fetcher = TokenServer(_hidden(token_url), self._others[0], retry, clock)
        elif appid and secret:
            fetcher = StableToken(self._api_url, appid, _hidden(secret), self._transport, self._retry, clock)
        self._tokens = Tokens(fetcher, clock)

    @classmethod
    def of(cls, account: Account, api_url: str = API_URL, **options: Any) -> Self:
        """The client of a configured account; `options` as above.

        SettingsError when its credentials are missing, or something is wrong with its settings.
        """
        if not account.checked().can_call:
            raise no_credentials(account.variable("APPID"), account.variable("SECRET"), account.variable("TOKEN_URL"))
        options = {"own": account.own, **options}
        return cls(api_url=api_url, appid=account.appid, secret=account.secret, token_url=account.token_url, **options)

    def __repr__(self) -> str:
        return f"Client({self._api_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fetch(self, endpoint: str, begin: dt.date, end: dt.date, journal: Journal) -> Attempt:
        """Ask a statistics endpoint for the days `begin` to `end`, both included; the attempt that succeeded.

        Raises WeChatError when none did, SettingsError without credentials, and whatever the journal raises.
        """
        body = json.dumps({"begin_date": begin.isoformat(), "end_date": end.isoformat()}).encode()

        def once(token: str) -> Attempt:
            asked = self._clock()
            finding, reply = self._call(endpoint, f"/datacube/{endpoint}", body, token, "list", list)
            attempt = to_attempt(finding, reply, endpoint, begin, end, asked)
            log.debug("%s %s..%s: HTTP %s, %s ms", endpoint, begin, end, reply.status, reply.elapsed_ms)
            journal.record(attempt)
            if finding.error:
                raise finding.error
            return attempt

        with self._named():
            return self._retry.run(once, tokens=self._tokens, permit=journal.permit)

    def quota(self, endpoint: str) -> Quota:
        """The day's quota of a statistics endpoint; costs none of it and is not recorded. Raises WeChatError."""
        body = json.dumps({"cgi_path": f"/datacube/{endpoint}"}).encode()

        def once(token: str) -> Quota:
            finding, _ = self._call(QUOTA_CALL, "/cgi-bin/openapi/quota/get", body, token, "quota", dict)
            if finding.error:
                raise finding.error
            return _quota((finding.data or {})["quota"])

        with self._named():
            return self._retry.run(once, tokens=self._tokens)

    def check_credentials(self) -> None:
        """See whether a token can be had, without any other call. Raises WeChatError or SettingsError."""
        with self._named():
            self._tokens.current()

    def close(self) -> None:
        """Close all connections."""
        for transport in (self._transport, *self._others):
            transport.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let the advice of an error name the account's own variables: of several accounts, each has others."""
        try:
            yield
        except WeChatError as error:
            error.advice = self._own(error.advice)
            raise

    def _call(self, name: str, path: str, body: bytes, token: str, wanted: str, kind: type) -> tuple[Finding, Reply]:
        """One attempt of a call with a token; it goes to the API's host and nowhere else."""
        url = f"{self._api_url}{path}?access_token={quote(token, safe='')}"
        reply = self._transport.send(url, body, seconds=self._retry.host.seconds_left())
        secrets = (token, *(each.reveal() for each in self._secrets))
        source = Source("WeChat", name, wanted, kind, secrets, kept=name != QUOTA_CALL)
        return parse_reply(reply, source), reply


def _hidden(value: Secret | str) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _quota(data: dict[str, object]) -> Quota:
    numbers = [data.get(name) for name in ("daily_limit", "used", "remain")]
    whole = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool)]
    if len(whole) < len(numbers):
        raise UnexpectedAnswer("WeChat sent a quota without proper numbers.", advice=NOT_KEPT, endpoint=QUOTA_CALL)
    return Quota(*whole)
