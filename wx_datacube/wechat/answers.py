"""Answers: parse the bytes of a reply, and make the ledger row of an attempt.

Add a rule here when WeChat has another form of answer that must be distinguished. Everything is pure: no socket, no
clock. WeChat reports errors in the body of an HTTP 200, so the status says little; `errors` defines the errcodes.
"""

import datetime as dt
import html
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from wx_datacube.errors import (
    BY_ERRCODE,
    NeedsPerson,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
    error_for,
    one_line,
)
from wx_datacube.wechat.transport import Reply

_SHORTEST_SECRET = 8
"""Shorter strings are not redacted: that could destroy figures, and WeChat issues no secret this short."""

_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")

_IN_BETWEEN = "Check WX_DATACUBE_API_URL, and what may answer in WeChat's place (a proxy, a network's log-in page)."
NOT_KEPT = (
    "Run the same again later; if that is answered again, report it with the errcode and rid, where there are any."
)
_TOKEN_SERVER = "See what the token server, whose address is in WX_DATACUBE_TOKEN_URL, says about it in its own log."


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a statistics call: a row of the ledger.

    `requested_at` is Beijing time. The attempt succeeded if and only if `http_status` is 200 and both `errcode` and
    `errmsg` are None; then `response` is a JSON object with an array `list`. Otherwise `errmsg` is WeChat's, or a
    sentence of ours if WeChat sent none. If `http_status` is None, no complete response arrived, and `response` is the
    part that did.
    """

    endpoint: str
    begin: dt.date
    end: dt.date
    requested_at: dt.datetime
    elapsed_ms: int
    http_status: int | None = None
    errcode: int | None = None
    errmsg: str | None = None
    rid: str | None = None
    response: str | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether WeChat answered with the requested data."""
        return self.http_status == 200 and self.errcode is None and self.errmsg is None


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer comes from: its name in messages, what was requested, the field it must hold, and what to redact.

    `kept` says that the answer goes into the ledger, which is so for statistics calls only.
    """

    who: str
    endpoint: str
    wanted: str
    kind: type
    secrets: tuple[str, ...] = field(default=(), repr=False)
    token_call: bool = False
    own_server: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A parsed reply: its text without secrets, WeChat's errcode and errmsg, and either `data` or an `error`."""

    text: str | None = field(repr=False)
    data: dict[str, Any] | None = field(default=None, repr=False)
    errcode: int | None = None
    errmsg: str | None = None
    rid: str | None = None
    error: WeChatError | None = None


def to_attempt(
    finding: Finding, reply: Reply, endpoint: str, begin: dt.date, end: dt.date, requested_at: dt.datetime
) -> Attempt:
    """Return the ledger row of a reply."""
    return Attempt(
        endpoint=endpoint,
        begin=begin,
        end=end,
        requested_at=requested_at,
        elapsed_ms=reply.elapsed_ms,
        http_status=reply.status,
        errcode=finding.errcode,
        errmsg=finding.errmsg or (finding.error.message if finding.error else None),
        rid=finding.rid,
        response=finding.text,
    )


def parse_reply(reply: Reply, source: Source) -> Finding:
    """Return what a reply means. Never raises: whatever is wrong is in the finding's `error`."""
    text = redact(to_text(reply.body), source.secrets) if reply.body or reply.status is not None else None
    problem = _http_problem(reply, source)
    if problem:
        return Finding(text, error=problem)
    try:
        _require_text(reply.body)
        data = parse(text or "")
        twice = isinstance(data, dict) and _contradicts_itself(text or "", source.wanted)
    except ValueError:
        return _garbled(reply, text, source)
    if not isinstance(data, dict):
        return Finding(text, error=_unexpected("sent JSON that is not an object.", source))
    if twice:
        return Finding(text, error=_unexpected(f"sent two `errcode`s, or two `{source.wanted}`s, in one.", source))
    return _business(data, text, source)


def _contradicts_itself(text: str, wanted: str) -> bool:
    """Return whether the object has `errcode` or the wanted field twice.

    A search of the text is enough to rule that out for most bodies.
    """
    if "\\u" not in text and all(text.count(f'"{name}"') < 2 for name in ("errcode", wanted)):
        return False
    names = [name for name, _ in _load(text, strict=True, pairs=list)]
    return any(names.count(name) > 1 for name in ("errcode", wanted))


def _http_problem(reply: Reply, source: Source) -> WeChatError | None:
    """Return the error of a reply whose body need not be read, else None."""
    if reply.status is None:
        return TryAgain(reply.fault or f"{source.who} did not answer.", endpoint=source.endpoint)
    if 500 <= reply.status <= 599:
        return TryAgain(f"{source.who} is out of order (HTTP {reply.status}).", endpoint=source.endpoint)
    if 300 <= reply.status <= 399:
        return _unexpected(f"sends us elsewhere (HTTP {reply.status}); redirects are not followed.", source)
    if reply.status != 200:
        return _unexpected(f"answered HTTP {reply.status} where 200 is due.", source)
    return UnexpectedAnswer(reply.fault, advice=_advice(source), endpoint=source.endpoint) if reply.fault else None


def _garbled(reply: Reply, text: str | None, source: Source) -> Finding:
    """Return the finding of a body that is not valid JSON; an errcode among garbled characters still counts."""
    try:
        lenient = _load(reply.body.decode("utf-8-sig", "replace"), strict=False)
    except ValueError:
        lenient = None
    if isinstance(lenient, dict):
        finding = _business(lenient, text, source)
        if finding.errcode is not None:
            return finding
    return Finding(text, error=_unexpected("sent something that is not JSON.", source, transient=True))


def _business(data: dict[str, Any], text: str | None, source: Source) -> Finding:
    """Return the finding of a JSON object: WeChat's error, or the requested data."""
    try:
        errcode = _errcode(data.get("errcode"))
    except ValueError:
        return Finding(text, error=_unexpected("sent an errcode that is not a number.", source))
    if errcode is not None:
        errmsg = _errmsg(data.get("errmsg"), source)
        return Finding(text, None, errcode, errmsg, _rid(errmsg), _wechat_error(errcode, errmsg, source))
    if not isinstance(data.get(source.wanted), source.kind):
        return Finding(text, error=_unexpected(f"sent an object without a proper `{source.wanted}`.", source))
    return Finding(text, data)


def _wechat_error(errcode: int, errmsg: str, source: Source) -> WeChatError:
    rid, at_wechat = _rid(errmsg), source.token_call and not source.own_server
    error = error_for(errcode, errmsg, rid=rid, endpoint=source.endpoint, token_call=at_wechat)
    if source.own_server and not isinstance(error, TryAgain) and errcode != 40164:
        words = f"{source.who} answered with errcode {errcode} instead of a token."
        return NeedsPerson(words, advice=_TOKEN_SERVER, errcode=errcode, rid=rid, endpoint=source.endpoint)
    if errcode not in BY_ERRCODE and not source.kept:
        error.advice = NOT_KEPT
    if errcode not in BY_ERRCODE and not source.token_call:
        error.message += " " + re.sub(r"https?:\S+", "", errmsg)[:200]
    return error


def _unexpected(what: str, source: Source, *, transient: bool = False) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"{source.who} {what}", advice=_advice(source), endpoint=source.endpoint, transient=transient
    )


def _advice(source: Source) -> str | None:
    """Return what to do about an unexpected answer; None for the class's own advice, which is about the ledger."""
    if source.own_server:
        return _TOKEN_SERVER
    if source.token_call:
        return _IN_BETWEEN
    return None if source.kept else NOT_KEPT


def to_text(body: bytes) -> str:
    """Return a body as text that DuckDB accepts.

    UTF-8 without byte order mark; undecodable bytes and NULs become `\\xNN`.
    """
    return body.decode("utf-8-sig", "backslashreplace").replace("\0", "\\x00")


def _require_text(body: bytes) -> None:
    """Raise ValueError if `to_text` escapes something in the body, which then isn't JSON.

    The text alone doesn't show it: a backslash before the escape turns the two into valid JSON.
    """
    if b"\0" in body:
        raise ValueError("a NUL")
    body.decode()


def parse(text: str) -> Any:
    """Parse JSON at least as strictly as DuckDB does; raise ValueError otherwise.

    Integers of more than 30 digits stay text.
    """
    data = _load(text, strict=True)
    if _HALF_PAIR.search(_PAIR.sub("", text.replace("\\\\", ""))):
        raise ValueError("half a surrogate pair")
    return data


def _load(text: str, *, strict: bool, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse JSON; raise ValueError if it is invalid.

    `strict=False` accepts control characters; `pairs` builds each object from its list of pairs.
    """
    try:
        return json.loads(text, parse_int=_integer, parse_constant=_refuse, object_pairs_hook=pairs, strict=strict)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= 30 else digits


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _errcode(value: object) -> int | None:
    """Return an errcode as a number; None for success (absent, null or 0). Raise ValueError for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
        raise ValueError("not an errcode")
    return value


def _errmsg(value: object, source: Source) -> str:
    """Return WeChat's errmsg as one line of at most 1000 characters that DuckDB accepts; empty if there is none."""
    text = redact(value, source.secrets) if isinstance(value, str) else ""
    return one_line(text[:5000]).encode("utf-8", "backslashreplace").decode()[:1000]


def _rid(errmsg: str) -> str | None:
    """Return the request id that WeChat puts at the end of its errmsg."""
    found = re.search(r"\brid:\s*([0-9A-Za-z-]{1,64})", errmsg)
    return found[1] if found else None


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with `***` in place of every secret, in any form in which a body may quote one."""
    for secret in secrets:
        for form in sorted(_forms(secret), key=len, reverse=True):
            text = text.replace(form, "***")
    return text


def _forms(secret: str) -> set[str]:
    """Return the forms in which JSON, HTML and URLs write a string."""
    if len(secret) < _SHORTEST_SECRET:
        return set()
    quoted = json.dumps(secret)[1:-1]
    in_json = {quoted, quoted.replace("/", "\\/")}
    return {secret, html.escape(secret), quote(secret, safe=""), quote(secret), quote_plus(secret)} | in_json
