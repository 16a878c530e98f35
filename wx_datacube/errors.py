"""Errors by consequence: the class of an error says what to do about it.

    WxDatacubeError
    ├── SettingsError            correct a setting, then start again
    ├── WarehouseError           the DuckDB file: locked, foreign, damaged, of another version, not writable
    ├── LakeError                the lake can't be read or written; the DuckDB file is not affected
    └── WeChatError              WeChat answered with an error, or not at all
        ├── TokenRejected        use a fresh token, once
        ├── TryAgain             busy, timeouts, broken connections: all attempts are used up
        │   ├── RateLimited      try again in the next minute
        │   └── HostDown         nothing got through for too long: end the run
        ├── NotReady             try again later today
        ├── QuotaExhausted       wait until midnight in Beijing
        ├── NeedsPerson          a person has to act; never retried
        ├── RequestRefused       a bug in this program; never retried
        └── UnexpectedAnswer     unknown to this program; kept in the ledger

Add a class when callers must react differently. `errcodes` says which of WeChat's codes becomes which of them. Nothing
here does I/O. No message may hold a token, a secret or a URL.
"""

import re
import traceback
from typing import Self

from wx_datacube.language import Text, joined, text_of


def one_line(text: str) -> str:
    """Return `text` with each run of white space and control characters replaced by one blank."""
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()


def describe_bug(error: BaseException) -> str:
    """Return an unforeseen error for a log: its class and traceback, without its text, which may hold secrets."""
    places = "".join(traceback.format_tb(error.__traceback__))
    return f"Bug in wx_datacube: {type(error).__name__}.\n{places}"


def bug(error: BaseException) -> Text:
    """Return an unforeseen error for a person: its class only, since its text may hold anything."""
    return Text("Bug in wx_datacube: {error}.", "wx_datacube 的缺陷：{error}。", error=type(error).__name__)


class WxDatacubeError(Exception):
    """Base of all errors of this package: what happened, and what to do next.

    `text` has both in English and Chinese. `str(error)` is one English line, for logs.
    """

    advice: Text = Text("", "")
    """What to do next, in one or more sentences. The class attribute is the default."""

    def __init__(self, message: Text | str, *, advice: Text | str | None = None) -> None:
        super().__init__(str(message))
        self.message = text_of(message)
        if advice is not None:
            self.advice = text_of(advice)

    @property
    def text(self) -> Text:
        """The message and the advice."""
        return joined([self.message, self.advice])

    def __str__(self) -> str:
        return one_line(str(self.text))


class SettingsError(WxDatacubeError):
    """A setting is missing or wrong (exit code 2); the message names the variable and what it should hold."""


class WarehouseError(WxDatacubeError):
    """The DuckDB file can't be used: locked, not ours, damaged, from another version, or not writable.

    The same holds for Dagster's history, which is kept beside it: a fault of either affects every account.
    """


class LakeError(WxDatacubeError):
    """The lake can't be read or written: S3 doesn't answer, or the disk is full. A later export may succeed."""


class WeChatError(WxDatacubeError):
    """WeChat answered with an error, or not at all.

    `errcode` and `rid` are WeChat's (its support asks for the `rid`), `endpoint` is the endpoint requested, and
    `attempts` is the number of requests made for this result. It is 0 if none was made because another endpoint had
    failed.
    """

    def __init__(
        self,
        message: Text | str,
        *,
        advice: Text | str | None = None,
        errcode: int | None = None,
        rid: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.errcode = errcode
        self.rid = rid
        self.endpoint = endpoint
        self.attempts = 1

    @property
    def text(self) -> Text:
        """The endpoint, the message and the advice, then the facts that WeChat's support asks for."""
        facts: list[Text | str] = [f"errcode {self.errcode}"] if self.errcode is not None else []
        facts += [f"rid {self.rid}"] if self.rid else []
        facts += [Text("{n} attempts", "共尝试 {n} 次", n=self.attempts)] if self.attempts > 1 else []
        text = super().text
        if self.endpoint:
            where = _TOKEN_SERVER if self.endpoint == str(_TOKEN_SERVER) else self.endpoint
            text = Text("{where}: {what}", "{where}：{what}", where=where, what=text)
        return joined([text, Text(" [{facts}]", "（{facts}）", facts=joined(facts, ", ", "，"))], "") if facts else text

    def with_attempts(self, attempts: int) -> Self:
        """Set the number of attempts after which the caller gave up, and return this error."""
        self.attempts = attempts
        return self


_TOKEN_SERVER = Text("token server", "中控服务器")
TOKEN_CALLS = ("stable_token", str(_TOKEN_SERVER))
"""The endpoint names of errors about the token, which affect every endpoint."""


class TokenRejected(WeChatError):
    """The access token is invalid or expired (40001, 40014, 42001).

    Callers get this error once a fresh token is rejected too.
    """


class TryAgain(WeChatError):
    """WeChat is busy or can't be reached, and all attempts are used up. A later run may succeed."""

    advice = Text(
        "Try again in a few minutes: stored data is kept and not requested again.",
        "请几分钟后重试；已保存的数据会保留，不会重复请求。",
    )


INTERRUPTED = Text("The run was interrupted.", "运行被中断。")


class RateLimited(TryAgain):
    """Too many calls per minute (45011), even after pauses until the next minute."""


class HostDown(TryAgain):
    """Nothing got through for so long that more attempts make no sense; ends the run."""

    advice = Text(
        "Check the network of this machine (name resolution, firewall, proxy), then try again: "
        "stored data is kept and not requested again.",
        "请检查本机网络（域名解析、防火墙、代理）后重试；已保存的数据会保留，不会重复请求。",
    )


class NotReady(WeChatError):
    """WeChat has not published these figures yet (61503, or an empty answer that is not settled)."""


class QuotaExhausted(WeChatError):
    """The day's quota is used up (45009, or this program's own limit): no call before midnight in Beijing."""

    advice = Text(
        "It is reset at 00:00 Beijing time. The schedules continue after that, or run the same command again.",
        "配额在北京时间 0 点重置，之后由定时任务自动继续，也可再次运行同一命令。",
    )


class NeedsPerson(WeChatError):
    """A person has to act at WeChat or change the settings; never retried.

    `ip` is the address that WeChat refused (40164), for the account's IP whitelist, else None.
    """

    def __init__(
        self,
        message: Text | str,
        *,
        advice: Text | str | None = None,
        errcode: int | None = None,
        rid: str | None = None,
        endpoint: str | None = None,
        ip: str | None = None,
    ) -> None:
        super().__init__(message, advice=advice, errcode=errcode, rid=rid, endpoint=endpoint)
        self.ip = ip


class RequestRefused(WeChatError):
    """WeChat says that the call itself is wrong; never retried."""

    advice = Text(
        "This is a bug in wx_datacube: please report it with the errcode and the rid.",
        "这是 wx_datacube 的缺陷，请附上 errcode 和 rid 反馈。",
    )


class UnexpectedAnswer(WeChatError):
    """An answer that this program doesn't know: not JSON, no object, no list, an unknown errcode.

    `transient` says that the answer may have been cut or garbled in transit, so that a retry made sense.
    """

    advice = Text(
        "The answer is stored in datacube.api_calls, column `response`. Please report it if a later run gets it again.",
        "返回内容保存在 datacube.api_calls 的 response 列。如果再次出现，请反馈。",
    )

    def __init__(
        self,
        message: Text | str,
        *,
        advice: Text | str | None = None,
        errcode: int | None = None,
        rid: str | None = None,
        endpoint: str | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(message, advice=advice, errcode=errcode, rid=rid, endpoint=endpoint)
        self.transient = transient
