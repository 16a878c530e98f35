"""Tokens: the two kinds of access token, how they expire and how they replace each other.

Add a rule here when it is about a token's lifetime. `account` decides who may fetch one (credentials, whitelist,
limits). Source: WeChat's pages on getAccessToken and getStableAccessToken. The two kinds don't affect each other.
"""

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from hashlib import shake_256

from wx_datacube.emulator.errcodes import Refusal

RENEWED_BEFORE_END = dt.timedelta(minutes=5)
GRACE_OF_THE_OLD = dt.timedelta(minutes=5)
FORCED_A_DAY = 20
BETWEEN_FORCED = dt.timedelta(seconds=30)
SHAPE = re.compile(r"\d{2}_[A-Za-z0-9_-]{100,509}")


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An issued token: from `expires` on it is answered with 42001, from `replaced` on with 40001."""

    text: str
    expires: dt.datetime
    replaced: dt.datetime = dt.datetime.max


@dataclass(slots=True)
class TokenService:
    """All tokens of one account."""

    seed: int = 0
    lifetime: dt.timedelta = dt.timedelta(hours=2)
    _given: dict[str, IssuedToken] = field(default_factory=dict)
    _stable: IssuedToken | None = None
    _plain: IssuedToken | None = None
    _made: int = 0
    _forced: list[dt.datetime] = field(default_factory=list)
    _sticky: bool = False

    def _make(self, now: dt.datetime) -> IssuedToken:
        self._made += 1
        text = f"{57 + self._made % 40}_" + shake_256(f"{self.seed}|token|{self._made}".encode()).hexdigest(67)
        return self._keep(IssuedToken(text, now + self.lifetime))

    def _keep(self, token: IssuedToken) -> IssuedToken:
        self._given[token.text] = token
        return token

    def _replace(self, token: IssuedToken | None, moment: dt.datetime) -> None:
        if token is not None and moment < self._given[token.text].replaced:
            self._keep(replace(token, replaced=moment))

    def plain(self, now: dt.datetime) -> IssuedToken:
        """Issue a new token of `/cgi-bin/token`; the previous one stays valid for five minutes."""
        self._replace(self._plain, now + GRACE_OF_THE_OLD)
        self._plain = self._make(now)
        return self._plain

    def stable(self, now: dt.datetime, force: bool = False) -> IssuedToken:
        """Return the token of `/cgi-bin/stable_token`.

        It is the same one until its last five minutes, unless a refresh is forced. A forced refresh replaces the old
        token at once, but does nothing within 30 seconds of the previous forced refresh. After 20 in a Beijing day it
        is refused with 45009.
        """
        if force and self._may_force(now):
            self._replace(self._stable, now)
            self._stable = None
        if self._stable is None or not self._lasts(self._stable, now):
            self._stable, self._sticky = self._make(now), False
        return self._stable

    def _lasts(self, token: IssuedToken, now: dt.datetime) -> bool:
        return now < token.expires - RENEWED_BEFORE_END and (self._sticky or now < self._given[token.text].replaced)

    def _may_force(self, now: dt.datetime) -> bool:
        today = [moment for moment in self._forced if moment.date() == now.date()]
        if len(today) >= FORCED_A_DAY:
            raise Refusal(45009)
        if today and now - today[-1] < BETWEEN_FORCED:
            return False
        self._forced = [*today, now]
        return True

    def revoke(self, now: dt.datetime, sticky: bool = False) -> None:
        """Revoke every token: all that were issued are answered with 40001 from now on.

        With `sticky`, `stable_token` keeps returning the revoked token until a refresh is forced.
        """
        self._sticky = sticky
        for token in list(self._given.values()):
            self._replace(token, now)

    def check(self, text: str, now: dt.datetime) -> None:
        """Refuse a token that is missing, malformed, unknown, replaced or expired."""
        if not text:
            raise Refusal(41001)
        if not SHAPE.fullmatch(text):
            raise Refusal(40014)
        token = self._given.get(text)
        if token is None or now >= token.replaced:
            raise Refusal(40001)
        if now >= token.expires:
            raise Refusal(42001)
