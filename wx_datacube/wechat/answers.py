"""Answers: parse the response of one attempt.

Add a rule here when WeChat has another form of answer that must be distinguished. Everything is pure: no socket, no
clock. WeChat reports errors in the body of an HTTP 200, so the status says little; `errors` defines the errcodes.
"""

import datetime as dt
import html
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, Self
from urllib.parse import quote, quote_plus

from wx_datacube.errcodes import BY_ERRCODE, error_for
from wx_datacube.errors import NeedsPerson, TryAgain, UnexpectedAnswer, WeChatError, one_line
from wx_datacube.language import Text, joined
from wx_datacube.wechat.transport import Response

_SHORTEST_SECRET = 8
"""Shorter strings are not redacted: that could destroy figures, and WeChat issues no secret this short."""

_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")

_ADVICE_PROXY = Text(
    "Check WX_DATACUBE_API_URL, and whether something answers in WeChat's place (a proxy, a network's log-in page).",
    "请检查 WX_DATACUBE_API_URL，以及是否有代理或网络登录页代替微信返回了内容。",
)
ADVICE_NOT_IN_LEDGER = Text(
    "Run the same command again later; if the answer is the same, report it with its errcode and rid, if any.",
    "请稍后再次运行同一命令；如果结果相同，请附上 errcode 和 rid（如有）反馈。",
)
_TOKEN_SERVER = Text(
    "See the log of the token server (WX_DATACUBE_TOKEN_URL).", "请查看中控服务器（WX_DATACUBE_TOKEN_URL）的日志。"
)


@dataclass(frozen=True, slots=True)
class ReplySpec:
    """What a call expects, and how to report it.

    `who` is the name of the other side in messages, `endpoint` that of the call. The answer must be an object whose
    `field` is a `field_type`. `secrets` are redacted. `in_ledger` says that the answer goes into the ledger; only those
    of statistics calls do.
    """

    who: Text
    endpoint: str
    field: str
    field_type: type
    secrets: tuple[str, ...] = dataclass_field(default=(), repr=False)
    token_call: bool = False
    own_server: bool = False
    in_ledger: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The parsed response of one attempt: what the ledger stores of it, and either `data` or an `error`.

    `requested_at` is Beijing time. `response` is the body as text without secrets. If `http_status` is None, no
    complete response arrived, and `response` is the part that did. `errmsg` is WeChat's, or the message of `error` if
    WeChat sent none. It is None only for a success: the status is 200, and `response` is a JSON object with the field.
    """

    requested_at: dt.datetime
    elapsed_ms: int = 0
    http_status: int | None = None
    errcode: int | None = None
    errmsg: str | None = None
    rid: str | None = None
    response: str | None = dataclass_field(default=None, repr=False)
    data: dict[str, Any] | None = dataclass_field(default=None, repr=False)
    error: WeChatError | None = None

    @property
    def ok(self) -> bool:
        """Whether WeChat answered with the requested data."""
        return self.error is None

    def failed(self, error: WeChatError) -> Self:
        """Return this answer with an error of ours."""
        return replace(self, error=error, errmsg=str(error.message))


def parse_response(response: Response, spec: ReplySpec, requested_at: dt.datetime) -> Answer:
    """Return what a response means. Never raises: any problem is in the answer's `error`."""
    complete = response.status is not None
    text = redact(to_text(response.body), spec.secrets) if response.body or complete else None
    answer = Answer(requested_at, response.elapsed_ms, response.status, response=text)
    if error := _http_error(response, spec):
        return answer.failed(error)
    try:
        _require_text(response.body)
        data = parse(text or "")
        duplicate = isinstance(data, dict) and _has_duplicate_fields(text or "", spec.field)
    except ValueError:
        return _parse_leniently(response.body, answer, spec)
    if not isinstance(data, dict):
        return answer.failed(_unexpected(_NOT_OBJECT, spec))
    if duplicate:
        return answer.failed(_unexpected(_DUPLICATE, spec))
    return _parse_object(data, answer, spec)


def _has_duplicate_fields(text: str, field: str) -> bool:
    """Return whether the object has `errcode` or the requested field twice.

    A search of the text is enough to rule that out for most bodies.
    """
    if "\\u" not in text and all(text.count(f'"{name}"') < 2 for name in ("errcode", field)):
        return False
    names = [name for name, _ in _load(text, strict=True, pairs=list)]
    return any(names.count(name) > 1 for name in ("errcode", field))


def _http_error(response: Response, spec: ReplySpec) -> WeChatError | None:
    """Return the error of a response whose body need not be read, else None."""
    status, problem = response.status, response.problem
    if status is None:
        silent = Text("{who} did not answer.", "{who}没有响应。", who=spec.who)
        return TryAgain(problem or silent, endpoint=spec.endpoint)
    if 500 <= status <= 599:
        failed = Text("{who} failed with HTTP {status}.", "{who}返回 HTTP {status}。", who=spec.who, status=status)
        return TryAgain(failed, endpoint=spec.endpoint)
    if 300 <= status <= 399:
        return _unexpected(_REDIRECT.fill(status=status), spec)
    if status != 200:
        return _unexpected(_NOT_200.fill(status=status), spec)
    return UnexpectedAnswer(problem, advice=_advice(spec), endpoint=spec.endpoint) if problem else None


def _parse_leniently(body: bytes, answer: Answer, spec: ReplySpec) -> Answer:
    """Return the answer for a body that is not valid JSON; an errcode among garbled characters still counts."""
    try:
        lenient = _load(body.decode("utf-8-sig", "replace"), strict=False)
    except ValueError:
        lenient = None
    if isinstance(lenient, dict):
        parsed = _parse_object(lenient, answer, spec)
        if parsed.errcode is not None:
            return parsed
    return answer.failed(_unexpected(_NOT_JSON, spec, transient=True))


def _parse_object(data: dict[str, Any], answer: Answer, spec: ReplySpec) -> Answer:
    """Return the answer with the content of a JSON object: WeChat's error, or the requested data."""
    try:
        errcode = _errcode(data.get("errcode"))
    except ValueError:
        return answer.failed(_unexpected(_NO_NUMBER, spec))
    if errcode is not None:
        errmsg = _errmsg(data.get("errmsg"), spec)
        error = _wechat_error(errcode, errmsg, spec)
        return replace(answer, errcode=errcode, errmsg=errmsg or str(error.message), rid=_rid(errmsg), error=error)
    if not isinstance(data.get(spec.field), spec.field_type):
        return answer.failed(_unexpected(_NO_FIELD, spec))
    return replace(answer, data=data)


def _wechat_error(errcode: int, errmsg: str, spec: ReplySpec) -> WeChatError:
    rid, at_wechat = _rid(errmsg), spec.token_call and not spec.own_server
    error = error_for(errcode, errmsg, rid=rid, endpoint=spec.endpoint, token_call=at_wechat)
    if spec.own_server and not isinstance(error, TryAgain) and errcode != 40164:
        message = Text(
            "{who} answered with errcode {errcode} instead of a token.",
            "{who}没有返回 access_token，而是返回 errcode {errcode}。",
            who=spec.who,
            errcode=errcode,
        )
        return NeedsPerson(message, advice=_TOKEN_SERVER, errcode=errcode, rid=rid, endpoint=spec.endpoint)
    if errcode not in BY_ERRCODE and not spec.in_ledger:
        error.advice = ADVICE_NOT_IN_LEDGER
    if errcode not in BY_ERRCODE and not spec.token_call:
        error.message = joined([error.message, re.sub(r"https?:\S+", "", errmsg)[:200]])
    return error


_NOT_OBJECT = Text("{who} sent JSON that is not an object.", "{who}返回的 JSON 不是对象。")
_DUPLICATE = Text(
    "{who} sent JSON with a duplicate `errcode` or `{field}`.", "{who}返回的 JSON 中 `errcode` 或 `{field}` 重复。"
)
_REDIRECT = Text(
    "{who} answered with a redirect (HTTP {status}), which is not followed.",
    "{who}返回了重定向（HTTP {status}），程序不会跟随。",
)
_NOT_200 = Text("{who} answered HTTP {status}; expected 200.", "{who}返回 HTTP {status}，应为 200。")
_NOT_JSON = Text("{who} sent something that is not JSON.", "{who}返回的不是 JSON。")
_NO_NUMBER = Text("{who} sent an errcode that is not a number.", "{who}返回的 errcode 不是数字。")
_NO_FIELD = Text("{who} sent an object without a valid `{field}`.", "{who}返回的对象中没有有效的 `{field}`。")


def _unexpected(what: Text, spec: ReplySpec, *, transient: bool = False) -> UnexpectedAnswer:
    """Return the error of an answer; `what` may name the other side and the field expected."""
    message = what.fill(who=spec.who, field=spec.field)
    return UnexpectedAnswer(message, advice=_advice(spec), endpoint=spec.endpoint, transient=transient)


def _advice(spec: ReplySpec) -> Text | None:
    """Return what to do about an unexpected answer; None for the class's own advice, which is about the ledger."""
    if spec.own_server:
        return _TOKEN_SERVER
    if spec.token_call:
        return _ADVICE_PROXY
    return None if spec.in_ledger else ADVICE_NOT_IN_LEDGER


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


def _errmsg(value: object, spec: ReplySpec) -> str:
    """Return WeChat's errmsg as one line of at most 1000 characters that DuckDB accepts; empty if there is none."""
    text = redact(value, spec.secrets) if isinstance(value, str) else ""
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
