"""Troubles: what stands between an account and its figures at present, kept beside the database, and told once.

A trouble is noted when it is met, and forgotten when what it is about goes well again; while it lasts it is told to the
chat of `WX_DATACUBE_WEBHOOK` once, however often it is met. Add to `urgency` when an error needs another treatment, and
to `CHINESE` when a code gets an entry in `errors.BY_ERRCODE` that somebody has to see to. Nothing here raises: telling
of a trouble must not be one.

The file is in the folder of locks, since it must be written when the database can't be. It has a size from the
beginning and is written in place: an overwritten block needs no room on a disk that is full.
"""

import datetime as dt
import json
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

from wx_datacube.errors import (
    TOKEN_CALLS,
    NotReady,
    QuotaExhausted,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
    WxDatacubeError,
    one_line,
)
from wx_datacube.periods import Clock, beijing_now
from wx_datacube.settings import Secret
from wx_datacube.warehouse.locks import locked

TOKEN = "token"
"""What meets the troubles of the call for a token, whichever endpoint it was for: they end with the first token."""

BACKFILL = "backfill"
"""What meets the troubles of a backfill as a whole: they end with the next one, or with any run that ends well."""

_SIZE = 64 * 1024
"""Bytes of the file; more than some hundred troubles need."""
_PATIENCE = 30.0
"""Seconds for another process that is telling something just now."""


class Urgency(Enum):
    """What a trouble asks of a person, as the heading of its message."""

    PERSON = "需要您处理 · needs you"
    TOMORROW = "等到明天，无需处理 · waits till tomorrow, nothing to do"
    LATER = "稍后自动重试 · is tried again by itself"


class Source(StrEnum):
    """Who meets troubles: calls, in WeChat's answers; runs, in files, settings and faults; the checks of 12:35."""

    CALLS = "calls"
    RUNS = "runs"
    CHECKS = "checks"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble of an account: `cause` makes it one incident, `subject` is what met it, such as an endpoint."""

    cause: str
    subject: str
    urgency: Urgency
    text: str


CHINESE: dict[int, str] = {
    40013: "微信不认识这个 AppID，请核对 .env 中的 AppID（开发者ID，以 wx 开头）。",
    40125: "AppSecret 错误，请向该账号其他系统的维护人索取正在使用的 AppSecret，切勿重置。",
    40164: "本机 IP 不在白名单中，请管理员把上述地址加入 API IP 白名单。",
    40243: "AppSecret 已被冻结，请管理员在微信后台解冻，切勿重置。",
    45009: "今天的调用额度已用完，北京时间 0 点后自动继续。",
    48001: "该账号没有这个接口的权限：请查看微信认证和“数据统计接口”权限。",
    48004: "微信已封禁该账号的这个接口，请管理员在微信后台查看原因。",
    50002: "该账号被微信限制，请管理员在微信后台查看原因。",
    50004: "微信禁止该账号获取 access_token，请管理员在微信后台查看原因。",
    50007: "该账号已被冻结，请管理员在微信后台查看原因。",
    61007: "该账号没有把统计权限授权给所用的第三方平台，请管理员重新授权。",
    89501: "管理员尚未允许本机调用，请在手机上确认微信发来的消息，或把本机 IP 加入白名单。",
    89503: "需要管理员允许本机调用，请在手机上确认微信发来的消息，或把本机 IP 加入白名单。",
    89506: "管理员已两次拒绝本机调用，请一天后再试，或把本机 IP 加入白名单。",
    89507: "管理员拒绝了本机调用，请一小时后再试，或把本机 IP 加入白名单。",
}
"""What a person reads first in the chat; the error in full follows."""


def urgency(error: Exception) -> Urgency | None:
    """What an error asks of a person; None where it is no trouble yet: figures that have not been published."""
    if isinstance(error, NotReady):
        return None
    if isinstance(error, QuotaExhausted):
        return Urgency.TOMORROW
    # One of no class of ours is about a process that was ended: the next run, or the next line of cron, goes on.
    again = isinstance(error, TryAgain | UnexpectedAnswer) or type(error) is WxDatacubeError
    return Urgency.LATER if again else Urgency.PERSON


def troubles_of(errors: Iterable[Exception], subject: str) -> list[Trouble]:
    """The troubles that errors are; the same error of several endpoints is one incident.

    Of an unexpected one the name is told only: who knows what its text holds.
    """
    found = []
    for error in errors:
        if asks := urgency(error):
            errcode = error.errcode if isinstance(error, WeChatError) else None
            # Of a used-up quota it is all the same whether WeChat has said so now or before.
            code = "" if errcode is None or asks is Urgency.TOMORROW else f" {errcode}"
            chinese = CHINESE[45009] if asks is Urgency.TOMORROW else CHINESE.get(errcode or 0, "")
            text = str(error) if isinstance(error, WxDatacubeError) else _UNKNOWN.format(type(error).__name__)
            token = isinstance(error, WeChatError) and error.endpoint in TOKEN_CALLS
            met = TOKEN if token else subject
            found.append(Trouble(f"{type(error).__name__}{code}", met, asks, one_line(f"{chinese} {text}")))
    return found


_UNKNOWN = "It failed for a reason that wx_datacube doesn't know ({}): see the run in Dagster, and please report it."


class Troubles:
    """The troubles of all accounts of a database, and the chat that they are told to (None: nobody is told)."""

    def __init__(self, database: Path, webhook: Secret | None = None, clock: Clock = beijing_now) -> None:
        self._path = database.with_name(f"{database.stem}.locks") / "troubles"
        self._webhook = webhook
        self._clock = clock

    def note(
        self,
        account: str,
        source: Source,
        looked_at: Collection[str],
        found: Collection[Trouble],
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Note what was found of the subjects `looked_at`: what is not among it is over, and what is new is told.

        `say` gets why something could not be told. What can't be noted is told nevertheless, and perhaps again.
        """
        try:
            if not found and not self._path.exists():
                return
            with locked(self._path.with_suffix(".lock"), patience=_PATIENCE):
                before = self._read()
                now = _updated(before, account, source, looked_at, found, self._clock())
                if found:
                    self._tell(account, now, say)
                if now != before:
                    with suppress(OSError):
                        self._write(now)
        except OSError:  # the folder can't be written, or somebody doesn't let go of the lock
            self._tell(account, _updated([], account, source, looked_at, found, self._clock()), say)

    def forget(self, account: str) -> None:
        """Forget what was met with an account: it is called otherwise now, or is no more."""
        with suppress(OSError), locked(self._path.with_suffix(".lock"), patience=_PATIENCE):
            if found := self._read():
                self._write([each for each in found if each["account"] != account])

    def knows(self, account: str) -> bool:
        """Whether anything is kept of an account."""
        return any(each["account"] == account for each in self._known())

    def standing(self, account: str) -> list[Trouble]:
        """What calls and runs of an account met that only a person can mend; checks are judged once a day only."""
        return [
            Trouble(each["cause"], subject, Urgency.PERSON, f"{each['text']} (since {each['since']})")
            for each in self._known()
            if each["account"] == account and each["urgency"] == Urgency.PERSON.name and each["source"] != Source.CHECKS
            for subject in each["subjects"]
        ]

    def subjects(self, account: str, source: Source) -> set[str]:
        """What of an account has any trouble, as that source knows."""
        return {
            subject
            for each in self._known()
            if (each["account"], each["source"]) == (account, source.value)
            for subject in each["subjects"]
        }

    def _tell(self, account: str, kept: "list[_Kept]", say: Callable[[str], None]) -> None:
        """Post what has not been told, a message for each urgency; what isn't taken is told the next time."""
        if self._webhook is None:
            return
        from wx_datacube.webhook import post  # and with it the HTTP library, which `status` can do without

        for asks in Urgency:
            untold = [
                each
                for each in kept
                if each["account"] == account and each["urgency"] == asks.name and not each["told"]
            ]
            if untold:
                lines = [
                    f"wx_datacube · {account} · {asks.value}",
                    *(f"• {each['text']}{_others(each)}" for each in untold),
                ]
                why_not = post(self._webhook, "\n".join(lines))
                if why_not is None:
                    for each in untold:
                        each["told"] = True
                else:
                    say(f"Nobody was told of this: {why_not} It is told the next time.")

    def _known(self) -> "list[_Kept]":
        """What is kept; nothing where that can't be read, which is told of the file itself."""
        try:
            return self._read()
        except OSError:
            return []

    def _read(self) -> "list[_Kept]":
        try:
            found = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return []  # half of it was written when the power went: what lasts is met again
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def _write(self, kept: "list[_Kept]") -> None:
        body = json.dumps(kept, ensure_ascii=False).encode()
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(file, body + b" " * (-len(body) % _SIZE), 0)
            os.ftruncate(file, len(body) + -len(body) % _SIZE)
        finally:
            os.close(file)


def _others(kept: "_Kept") -> str:
    """What else has met it."""
    others = kept["subjects"][1:]
    return f" (同样 · also: {', '.join(others)})" if others else ""


_Kept = dict[str, Any]
"""A trouble in the file: `account`, `source`, `cause`, `urgency`, `text`, `subjects`, `since` and `told`."""


def _updated(
    before: Iterable[_Kept],
    account: str,
    source: Source,
    looked_at: Collection[str],
    found: Iterable[Trouble],
    now: dt.datetime,
) -> list[_Kept]:
    """The troubles after a look at some subjects of an account; one without a subject left is over."""
    there = {(trouble.cause, trouble.subject): trouble for trouble in found}
    kept = []
    for each in before:
        subjects = each["subjects"]
        if (each["account"], each["source"]) == (account, source.value):
            subjects = [it for it in subjects if it not in looked_at or (each["cause"], it) in there]
        if subjects:
            kept.append(each | {"subjects": subjects})
    mine = {each["cause"]: each for each in kept if (each["account"], each["source"]) == (account, source.value)}
    for (cause, subject), trouble in there.items():
        if cause not in mine:
            mine[cause] = {
                "account": account,
                "source": source.value,
                "cause": cause,
                "urgency": trouble.urgency.name,
                "text": trouble.text,
                "subjects": [],
                "since": f"{now:%Y-%m-%d %H:%M}",
                "told": False,
            }
            kept.append(mine[cause])
        if subject not in mine[cause]["subjects"]:
            mine[cause]["subjects"].append(subject)
    return kept
