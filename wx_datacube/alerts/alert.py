"""Alert: what an alert is, and which alerts an error causes.

Add to `urgency_of` when an error needs another treatment, and to `CHINESE` when a new code in `errors.BY_ERRCODE` needs
a person. `missing_labels` decides which labels are worth an alert. Nothing here does I/O.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum

from wx_datacube.catalog.periods import LAST_TICK
from wx_datacube.errors import (
    TOKEN_CALLS,
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
    WxDatacubeError,
    one_line,
)

TOKEN = "token"
"""The subject of alerts about the token call, whichever endpoint needed the token. The first token resolves them."""

BACKFILL = "backfill"
"""The subject of alerts about a backfill as a whole. The next backfill resolves them, or any run that succeeds."""


class Urgency(Enum):
    """The action that an alert asks for; the value is the heading of its message."""

    PERSON = "需要您处理 · action needed"
    TOMORROW = "等到明天，无需处理 · resumes tomorrow, no action needed"
    LATER = "稍后自动重试 · retried automatically"
    NOTE = "供您参考 · for your information"

    def heading(self, now: dt.time) -> str:
        """Return the heading of a message sent at that time of the day."""
        if self is Urgency.LATER and now >= LAST_TICK:
            return "明天早上自动重试 · retried tomorrow morning"
        return self.value


class Source(StrEnum):
    """Where an alert comes from.

    Calls: WeChat's answers. Runs: files, settings and bugs. Checks: figures. Labels: overdue labels.
    """

    CALLS = "calls"
    RUNS = "runs"
    CHECKS = "checks"
    LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of an account.

    Alerts of one `cause` are one incident; `subject` is what it affects, such as an endpoint.
    """

    cause: str
    subject: str
    urgency: Urgency
    text: str


CHINESE: dict[int, str] = {
    40013: "AppID 无效，请核对 .env 中的 AppID（开发者ID，以 wx 开头）。",
    40125: "AppSecret 错误，请向该账号其他系统的维护人索取正在使用的 AppSecret，切勿重置。",
    40164: "本机 IP 不在白名单中，请管理员把本机 IP 加入 API IP 白名单。",
    40243: "AppSecret 已被冻结，请管理员在微信后台解冻，切勿重置。",
    45009: "今天的调用配额已用完，北京时间 0 点后自动继续。",
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
"""The text that comes first in the chat; the full error follows."""
_UNEXPECTED = "It failed with an unexpected error ({}): see the run in Dagster, and please report it."


def urgency_of(error: Exception) -> Urgency | None:
    """Return the urgency of an error; None for figures that are not published yet, which cause no alert."""
    if isinstance(error, NotReady):
        return None
    if isinstance(error, QuotaExhausted):
        return Urgency.TOMORROW
    # The base class itself means that a process was ended: the next run, or the next cron job, continues.
    again = isinstance(error, TryAgain | UnexpectedAnswer) or type(error) is WxDatacubeError
    return Urgency.LATER if again else Urgency.PERSON


def alerts_of(errors: Iterable[Exception], subject: str) -> list[Alert]:
    """Return the alerts for errors; the same error of several endpoints is one incident.

    An unforeseen exception is named by its class only, since its text may hold anything.
    """
    found = []
    for error in errors:
        if urgency := urgency_of(error):
            errcode = error.errcode if isinstance(error, WeChatError) else None
            # A used-up quota is one incident, whether WeChat reported it now or earlier.
            code = "" if errcode is None or urgency is Urgency.TOMORROW else f" {errcode}"
            chinese = CHINESE[45009] if urgency is Urgency.TOMORROW else _chinese(error, errcode)
            text = str(error) if isinstance(error, WxDatacubeError) else _UNEXPECTED.format(type(error).__name__)
            token = isinstance(error, WeChatError) and error.endpoint in TOKEN_CALLS
            affected = TOKEN if token else subject
            found.append(Alert(f"{type(error).__name__}{code}", affected, urgency, one_line(f"{chinese} {text}")))
    return found


def _chinese(error: Exception, errcode: int | None) -> str:
    """Return the Chinese text of an errcode, with the address that WeChat refused, if it named one."""
    text = CHINESE.get(errcode or 0, "")
    return (
        text.replace("把本机 IP 加入", f"把 {error.ip} 加入") if isinstance(error, NeedsPerson) and error.ip else text
    )
