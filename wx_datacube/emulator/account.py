"""Account: the state of one emulated Official Account, and its reply to every call.

Add a call here, or a check. There are no sockets and no HTTP framework here: `app` turns HTTP requests into
`Request`s, and `delivery` sends `Reply`s. Checks run in this order: path, fault, token, permission, quota, method,
body, retired, dates, data. WeChat does not document its order; this one is inferred from answers that users published.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.emulator.clock import SettableClock
from wx_datacube.emulator.errcodes import Refusal, rids
from wx_datacube.emulator.faults import Fault, Faults
from wx_datacube.emulator.journal import CallJournal, JournalEntry
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.quotas import Quotas
from wx_datacube.emulator.statistics import answer, window_of
from wx_datacube.emulator.tokens import IssuedToken, TokenService
from wx_datacube.emulator.world import World

TOKEN_CALLS_A_DAY = {"token": 2_000, "stable_token": 500_000}
STABLE_TOKEN_CALLS_A_MINUTE = 10_000
UNLIMITED_A_MINUTE = 600_000
WEB_PAGE = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_WORLDLY = {"seed", "messages_per_day", "silent_share", "start"}


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it arrived."""

    method: str
    query: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    ip: str

    def object(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raise a `Refusal` with errcode 44002 for an empty body, and 47001 for anything but a JSON object.
        """
        if not self.body.strip():
            raise Refusal(44002)
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refusal(47001) from None
        if not isinstance(found, dict):
            raise Refusal(47001)
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to send, and the fault that changes how it is sent."""

    body: bytes
    status: int = 200
    errcode: int | None = None
    fault: Fault | None = None


class EmulatedAccount:
    """One Official Account as WeChat's servers see it."""

    def __init__(self, options: Options) -> None:
        self.initial = options
        self.reset()

    def reset(self) -> None:
        """Clear all state and restore the options that the emulator was started with."""
        self.options = self.initial
        self.clock = SettableClock(self.options.clock, self.options.frozen)
        self.tokens, self.quotas, self.faults, self.journal = TokenService(), Quotas(), Faults(), CallJournal()
        self._rids = rids(self.options.seed, lambda: self.clock())
        self._settle(_WORLDLY)

    def configure(self, values: Mapping[str, object]) -> None:
        """Change options while running.

        Raise `ValueError`, and change nothing, if any of the values is wrong.
        """
        self.options = self.options.changed(values)
        if "clock" in values:
            self.clock.set(self.options.clock, self.options.frozen)
        elif "frozen" in values:
            self.clock.set(self.clock(), self.options.frozen)
        self._settle(set(values))

    def _settle(self, changed: set[str]) -> None:
        options = self.options
        self.tokens.seed, self.tokens.lifetime = options.seed, dt.timedelta(seconds=options.token_lifetime)
        self.faults.arm(options.faults)
        if changed & _WORLDLY:
            self.world = World(options.seed, options.messages_per_day, options.silent_share, options.start)

    def knows(self, statistics: str) -> bool:
        """Return whether a statistics endpoint of this name exists or has been retired."""
        return statistics in BY_NAME or statistics in self.options.retired

    def handle(self, call: str, request: Request) -> Reply:
        """Answer a call to a statistics endpoint, `token`, `stable_token` or `quota`, and add it to the journal."""
        now, statistics = self.clock(), call not in _OTHER_CALLS
        begin, end, window = _asked(request.body)
        attempt, fault = self.faults.draw(self.options.seed, call, window, statistics)
        reply = self._faulty(call, request, now, fault) if fault else self._reply(call, request, now)
        status = None if fault and fault.kind == "drop" else reply.status
        happened = (status, reply.errcode, str(fault) if fault else None)
        self.journal.calls.append(JournalEntry(now, call, request.method, begin, end, attempt, *happened))
        return reply

    def _reply(self, call: str, request: Request, now: dt.datetime) -> Reply:
        try:
            if call in _OTHER_CALLS:
                body = _OTHER_CALLS[call](self, request, now)
            else:
                body = self._statistics(call, request, now)
        except Refusal as refusal:
            return self._refused(refusal)
        return Reply(body.encode())

    def _refused(self, refusal: Refusal) -> Reply:
        text = {"errcode": refusal.errcode, "errmsg": f"{refusal.errmsg} rid: {next(self._rids)}"}
        return Reply(_json(text).encode(), errcode=refusal.errcode)

    def _faulty(self, call: str, request: Request, now: dt.datetime, fault: Fault) -> Reply:
        if fault.kind == "status":
            page = WEB_PAGE if fault.body is None else fault.body
            page = "" if fault.value in ("204", "304") else page  # HTTP does not allow a body with these
            return Reply(page.encode("utf-8", "surrogateescape"), int(fault.value), fault=fault)
        if fault.kind in ("html", "redirect", "drop"):
            return Reply(WEB_PAGE.encode(), 302 if fault.kind == "redirect" else 200, fault=fault)
        if fault.kind == "errcode":
            if call in BY_NAME and self.quotas.used(call, now) < self._daily(call):
                self.quotas.use(call, now)
            return replace(self._refused(Refusal(int(fault.value), request.ip)), fault=fault)
        if fault.kind == "revoke":
            self.tokens.revoke(now, sticky=fault.value == "sticky")
        return replace(self._reply(call, request, now), fault=fault)

    def _daily(self, call: str) -> int:
        if call in TOKEN_CALLS_A_DAY:
            limit = self.options.token_quota
            return TOKEN_CALLS_A_DAY[call] if limit is None else limit
        return dict(self.options.endpoint_quota).get(call, self.options.quota)

    def _statistics(self, name: str, request: Request, now: dt.datetime) -> str:
        options = self.options
        self.tokens.check(request.query.get("access_token", ""), now)
        family = [BY_NAME[name].family] if name in BY_NAME else []
        if {name, "*", *family} & set(options.denied):
            raise Refusal(48001)
        self.quotas.take(name, now, self._daily(name), options.rate_limit)
        if request.method != "POST":
            raise Refusal(43002)
        asked = request.object()
        if name in options.retired:
            raise Refusal(47009)
        window = window_of(BY_NAME[name], asked, now.date(), options)
        return answer(window, self.world, now, options)

    def _admit(self, call: str, asked: Mapping[str, Any], ip: str, now: dt.datetime) -> None:
        options, appid, secret = self.options, asked.get("appid"), asked.get("secret")
        checks = {
            40002: asked.get("grant_type") != "client_credential",
            41002: not appid,
            40013: appid != options.appid,
            41004: not secret,
            40125: secret != options.secret,
            40243: options.secret_frozen,
            40164: bool(options.whitelist) and ip not in options.whitelist,
        }
        for errcode, failed in checks.items():
            if failed:
                raise Refusal(errcode, ip)
        a_minute = STABLE_TOKEN_CALLS_A_MINUTE if call == "stable_token" else None
        self.quotas.take(call, now, self._daily(call), a_minute)

    def _token(self, request: Request, now: dt.datetime) -> str:
        self._admit("token", request.query, request.ip, now)
        return _given(self.tokens.plain(now), now)

    def _stable_token(self, request: Request, now: dt.datetime) -> str:
        if request.method != "POST":
            raise Refusal(43002)
        asked = request.object()
        self._admit("stable_token", asked, request.ip, now)
        return _given(self.tokens.stable(now, asked.get("force_refresh") is True), now)

    def _quota(self, request: Request, now: dt.datetime) -> str:
        self.tokens.check(request.query.get("access_token", ""), now)
        if request.method != "POST":
            raise Refusal(43002)
        path = request.object().get("cgi_path")
        call = path.rpartition("/")[2] if isinstance(path, str) else ""
        if call not in self.limits():
            raise Refusal(76021)
        limit, used = self._daily(call), self.quotas.used(call, now)
        quota = {"daily_limit": limit, "used": used, "remain": max(0, limit - used)}
        a_minute = self.options.rate_limit or UNLIMITED_A_MINUTE
        rate = {"call_count": a_minute, "refresh_second": 60}
        return _json({"errcode": 0, "errmsg": "ok", "quota": quota, "rate_limit": rate})

    def limits(self) -> dict[str, dict[str, int]]:
        """Return today's limit and use for every call that has a limit."""
        now = self.clock()
        calls = [*BY_NAME, *TOKEN_CALLS_A_DAY]
        return {call: {"limit": self._daily(call), "used": self.quotas.used(call, now)} for call in calls}


_OTHER_CALLS = {
    "token": EmulatedAccount._token,
    "stable_token": EmulatedAccount._stable_token,
    "quota": EmulatedAccount._quota,
}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _given(token: IssuedToken, now: dt.datetime) -> str:
    return _json({"access_token": token.text, "expires_in": int((token.expires - now).total_seconds())})


def _asked(body: bytes) -> tuple[str | None, str | None, str]:
    try:
        asked = json.loads(body)
        days = (asked.get("begin_date"), asked.get("end_date"))
        begin, end = (None if day is None else str(day)[:40] for day in days)
    except (ValueError, AttributeError, RecursionError):
        begin = end = None
    return begin, end, f"{begin}|{end}"
