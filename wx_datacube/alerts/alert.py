"""Alert: what an alert is, and which alerts an error causes.

Add to `urgency_of` when an error needs another treatment. An alert's text is the error's. `missing_labels` decides
which labels are worth an alert. Nothing here does I/O.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum

from wx_datacube.catalog.periods import LAST_TICK
from wx_datacube.errors import (
    TOKEN_CALLS,
    NotReady,
    QuotaExhausted,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
    WxDatacubeError,
)
from wx_datacube.language import Text

TOKEN = "token"
"""The subject of alerts about the token call, whichever endpoint needed the token. The first token resolves them."""

BACKFILL = "backfill"
"""The subject of alerts about a backfill as a whole. The next backfill resolves them, or any run that succeeds."""


class Urgency(Enum):
    """The action that an alert asks for; the value is the heading of its message."""

    PERSON = Text("action needed", "需要您处理")
    TOMORROW = Text("resumes tomorrow, no action needed", "等到明天，无需处理")
    LATER = Text("retried automatically", "稍后自动重试")
    NOTE = Text("for your information", "供您参考")

    def heading(self, now: dt.time) -> Text:
        """Return the heading of a message sent at that time of the day."""
        if self is Urgency.LATER and now >= LAST_TICK:
            return Text("retried tomorrow morning", "明天早上自动重试")
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
    text: Text


_UNEXPECTED = Text(
    "It failed with an unexpected error ({error}): see the run in Dagster, and please report it.",
    "因意外错误（{error}）失败：请在 Dagster 中查看该次运行，并反馈此问题。",
)


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
            token = isinstance(error, WeChatError) and error.endpoint in TOKEN_CALLS
            affected = TOKEN if token else subject
            unexpected = _UNEXPECTED.fill(error=type(error).__name__)
            text = error.text if isinstance(error, WxDatacubeError) else unexpected
            found.append(Alert(f"{type(error).__name__}{code}", affected, urgency, text))
    return found
