"""Alerts: the open alerts of each account, stored beside the database and sent to the chat of `WX_DATACUBE_WEBHOOK`.

Add to `urgency` when an error needs another treatment, and to `CHINESE` when a new code in `errors.BY_ERRCODE` needs a
person. `attention` decides which labels are worth an alert, `webhook` formats the messages. Nothing here raises: an
alert must not fail a run.
"""

import datetime as dt
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.settings import Secret
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
from wx_datacube.warehouse.locks import locked

TOKEN = "token"
"""The subject of alerts about the token call, whichever endpoint needed the token. The first token resolves them."""

BACKFILL = "backfill"
"""The subject of alerts about a backfill as a whole. The next backfill resolves them, or any run that succeeds."""

_SIZE = 64 * 1024
"""The size of the file is a multiple of this many bytes. One multiple is more than a few hundred alerts need."""
_LOCK_TIMEOUT = 30.0
"""Seconds to wait for the file's lock, which other processes hold for milliseconds."""
_CLAIM_HOLDS = dt.timedelta(minutes=1)
"""How long no other process posts what one has claimed; the claimant may have been killed before it posted."""
_GROUPING_TIME = dt.timedelta(minutes=3)
"""How long a run's new alert isn't sent again because it grows.

Seven endpoints may hit the same error in a run. The first is sent at once, the others after this, by a tick or at
12:35.
"""
_RETRY_AFTER = dt.timedelta(minutes=10)
"""How long ticks send nothing to a chat that did not accept a message."""
_LAST_TICK = dt.time(12, 30)
"""The last tick of a morning: what fails from then on is retried the next morning."""


class Urgency(Enum):
    """What an alert asks of a person; the value is the heading of its message."""

    PERSON = "需要您处理 · needs you"
    TOMORROW = "等到明天，无需处理 · waits till tomorrow, nothing to do"
    LATER = "稍后自动重试 · is tried again by itself"
    NOTE = "供您参考 · for your information"

    def heading(self, now: dt.time) -> str:
        """Return the heading of a message sent at that time of the day."""
        if self is Urgency.LATER and now >= _LAST_TICK:
            return "明天早上自动重试 · is tried again tomorrow morning"
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
"""What a person reads first in the chat; the full error follows."""


def urgency(error: Exception) -> Urgency | None:
    """Return what an error asks of a person; None for figures not published yet, which are no alert."""
    if isinstance(error, NotReady):
        return None
    if isinstance(error, QuotaExhausted):
        return Urgency.TOMORROW
    # The base class itself means that a process was ended: the next run, or the next cron job, continues.
    again = isinstance(error, TryAgain | UnexpectedAnswer) or type(error) is WxDatacubeError
    return Urgency.LATER if again else Urgency.PERSON


def alerts_of(errors: Iterable[Exception], subject: str) -> list[Alert]:
    """Return the alerts for errors; the same error of several endpoints is one incident.

    Of an unforeseen exception only the class name is used, since its text may hold anything.
    """
    found = []
    for error in errors:
        if asks := urgency(error):
            errcode = error.errcode if isinstance(error, WeChatError) else None
            # A used-up quota is one incident, whether WeChat reported it now or earlier.
            code = "" if errcode is None or asks is Urgency.TOMORROW else f" {errcode}"
            chinese = CHINESE[45009] if asks is Urgency.TOMORROW else CHINESE.get(errcode or 0, "")
            text = str(error) if isinstance(error, WxDatacubeError) else _UNEXPECTED.format(type(error).__name__)
            token = isinstance(error, WeChatError) and error.endpoint in TOKEN_CALLS
            met = TOKEN if token else subject
            found.append(Alert(f"{type(error).__name__}{code}", met, asks, one_line(f"{chinese} {text}")))
    return found


_UNEXPECTED = "It failed for a reason that wx_datacube doesn't know ({}): see the run in Dagster, and please report it."


class Alerts:
    """The alerts of all accounts of a database, and the chat they are sent to (None: nothing is sent).

    An alert is noted when an error occurs, and resolved when its subject works again. It is sent once, and again
    whenever it grows by an endpoint or a missing label, unless it resolves by itself. What the chat did not accept is
    sent with the next note or tick.

    The file is in the folder of locks, since it must be writable when the database isn't. It has its full size from the
    start and is written in place: overwriting a block needs no space on a full disk. Its lock is never held during a
    post: a process marks what it is about to post as claimed.
    """

    def __init__(self, database: Path, webhook: Secret | None = None, clock: Clock = beijing_now) -> None:
        self._path = database.with_name(f"{database.stem}.locks") / "troubles"
        self._webhook = webhook
        self._clock = clock

    # --- noting

    def note(
        self,
        account: str,
        source: Source,
        checked: Collection[str] | None,
        found: Collection[Alert],
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Note the alerts found for the subjects `checked` (None: all of this source), and send the new ones.

        Known alerts of these subjects that were not found are resolved. `notify` gets the reason if something could not
        be sent. If the folder can't be written, the alerts are sent all the same, and may be sent again.
        """
        if not found and not self._path.exists():
            return
        now = self._clock()
        within_a_run = source in (Source.CALLS, Source.RUNS)
        claimed = self._change(
            lambda before: _updated(before, account, source, checked, found, now), account, notify, more=within_a_run
        )
        if claimed is None:
            claimed = _updated([], account, source, checked, found, now)
        self._send(claimed, notify)

    def note_passed_checks(self, account: str, endpoint: str, checks: Collection[str]) -> None:
        """Note that these checks of an endpoint pass. The scheduled checks send those that fail."""
        known = [each for each in self._stored() if each["source"] == Source.CHECKS]
        if any(_endpoint(subject) == endpoint for each in known for subject in each["subjects"]):
            self._change(lambda before: _without_checks(before, account, endpoint, checks), account)

    def resolve(self, account: str, *errors: type[Exception]) -> None:
        """Resolve the alerts that runs raised for these classes of errors: somebody has checked that all is well."""

        def is_resolved(each: _StoredAlert) -> bool:
            of_runs = (each["account"], each["source"]) == (account, Source.RUNS)
            return of_runs and str(each["cause"]).split()[0] in {error.__name__ for error in errors}

        if any(is_resolved(each) for each in self._stored()):
            self._change(lambda before: [each for each in before if not is_resolved(each)], account)

    def forget(self, account: str) -> None:
        """Drop the alerts of an account that was renamed or removed."""
        if self._path.exists():
            self._change(lambda before: [each for each in before if each["account"] != account], account)

    def _change(
        self,
        change: "Callable[[list[_StoredAlert]], list[_StoredAlert]]",
        account: str | None,
        notify: Callable[[str], None] = lambda message: None,
        *,
        more: bool = False,
    ) -> "list[_StoredAlert] | None":
        """Change the stored alerts; return those of the account (None: of all) to send now, claimed by this process.

        `more` says that other endpoints may hit the same error in a moment. Returns None if the folder can't be
        written.
        """
        try:
            with locked(self._path.with_suffix(".lock"), timeout=_LOCK_TIMEOUT):
                before = self._read()
                after = change(before)
                claimed = [] if self._webhook is None else _claimed(after, account, self._clock(), more)
                if after != before:
                    with suppress(OSError):  # then it is sent now, and again the next time
                        self._write(after)
                return claimed
        except TimeoutError as holder:
            notify(f"An alert was not stored: process {holder} holds {self._path.with_suffix('.lock')}.")
            return []
        except OSError:
            return None

    # --- reading

    def has_any(self, account: str) -> bool:
        """Return whether anything is stored about an account."""
        return any(each["account"] == account for each in self._stored())

    def open_for_person(self, account: str) -> list[Alert]:
        """Return the open alerts that need a person, without those about overdue labels."""
        return [
            Alert(each["cause"], subject, Urgency.PERSON, f"{each['text']} (since {each['since']})")
            for each in self._stored()
            if (each["account"], each["urgency"]) == (account, Urgency.PERSON.name) and each["source"] != Source.LABELS
            for subject in each["subjects"]
        ]

    def recent_failures(self, account: str, since: dt.datetime) -> list[str]:
        """Return the open alerts of calls and runs that last occurred at `since` or later, whatever their urgency."""
        return [
            f"{each['text']} (since {each['since']})"
            for each in self._stored()
            if each["account"] == account
            and each["source"] in (Source.CALLS, Source.RUNS)
            and str(each.get("met", "")) >= _minute(since)
        ]

    def token_refused(self, account: str, since: dt.datetime) -> str:
        """Return why no token could be fetched at `since` or later, if only a person can fix that; otherwise ''.

        It is empty again as soon as any call of the account gets through, or `doctor` gets a token.
        """
        for each in self._stored():
            of_token = (each["account"], each["source"]) == (account, Source.CALLS) and TOKEN in each["subjects"]
            if of_token and each["urgency"] == Urgency.PERSON.name and str(each.get("met", "")) >= _minute(since):
                return str(each["text"])
        return ""

    # --- sending

    def deliver(self, notify: Callable[[str], None] = lambda message: None) -> None:
        """Send what the chat has not accepted yet, of all accounts; send nothing for a while after a failure."""
        if self._webhook is None:
            return
        now = self._clock()
        unsent = [each for each in self._stored() if _needs_sending(each)]
        if unsent and not any(_is_within(each.get("tried"), _RETRY_AFTER, now) for each in unsent):
            self._send(self._change(list, None, notify) or [], notify)

    def _send(self, claimed: "list[_StoredAlert]", notify: Callable[[str], None]) -> None:
        """Post what was claimed: one message per account and urgency, split where the chat limits its size."""
        if self._webhook is None:
            return
        from wx_datacube.alerts.webhook import (  # loads the HTTP library, which `status` can do without
            chat_of,
            post,
        )

        messages: dict[tuple[str, str], list[_StoredAlert]] = {}
        for each in claimed:
            messages.setdefault((each["account"], each["urgency"]), []).append(each)
        reason, max_bytes = None, chat_of(self._webhook.reveal()).max_bytes
        for asks in Urgency:
            for (account, urgency), stored in messages.items():
                heading = f"wx_datacube · {account} · {asks.heading(self._clock().time())}"
                for fitting in (
                    _split_messages(stored, max_bytes - len(heading.encode())) if urgency == asks.name else ()
                ):
                    # After one failure nothing more is posted: each message may take its whole timeout.
                    reason = reason or post(self._webhook, "\n".join([heading, *map(_line, fitting)]))
                    self._note_sent(fitting, accepted=reason is None)
        if reason:
            notify(f"Nobody was told of this: {reason} It is told the next time.")

    def _note_sent(self, posted: "list[_StoredAlert]", *, accepted: bool) -> None:
        """Store whether the claimed alerts were sent."""
        subjects = {_identity(each): each["subjects"] for each in posted}
        tried = _minute(self._clock())

        def after_sending(each: _StoredAlert) -> _StoredAlert:
            if _identity(each) not in subjects:
                return each
            if not accepted:
                return each | {"claimed": "", "tried": tried}
            # Ranges of missing labels grow: the newest ones include those sent before.
            before = [] if each["source"] == Source.LABELS else each["told"]
            told = list(dict.fromkeys([*before, *subjects[_identity(each)]]))
            return each | {"claimed": "", "tried": "", "told": told}

        with suppress(OSError), locked(self._path.with_suffix(".lock"), timeout=_LOCK_TIMEOUT):
            self._write([after_sending(each) for each in self._read()])

    # --- the file

    def _stored(self) -> "list[_StoredAlert]":
        """Return the stored alerts; none if the file can't be read."""
        try:
            return self._read()
        except OSError:
            return []

    def _read(self) -> "list[_StoredAlert]":
        try:
            found = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return []  # a power failure cut the write: alerts that persist are noted again
        return [_upgraded(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def _write(self, stored: "list[_StoredAlert]") -> None:
        body = json.dumps(stored, ensure_ascii=False).encode()
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(file, body + b" " * (-len(body) % _SIZE), 0)
            os.ftruncate(file, len(body) + -len(body) % _SIZE)
        finally:
            os.close(file)


_StoredAlert = dict[str, Any]
"""An alert in the file.

`account`, `source` and `cause` identify it. `urgency` and `text` are the alert's. `subjects` are those affected, `told`
those already sent. `since` and `met` are the first and last occurrence, `claimed` is when a process claimed it for
sending, and `tried` when sending last failed.
"""


def _upgraded(stored: _StoredAlert) -> _StoredAlert:
    """Return an alert in the current format: an older version stored only whether it was sent."""
    if isinstance(stored.get("told"), list):
        return stored
    return stored | {"told": list(stored["subjects"]) if stored.get("told") else []}


def _identity(stored: _StoredAlert) -> tuple[str, str, str]:
    return stored["account"], stored["source"], stored["cause"]


def _needs_sending(stored: _StoredAlert) -> bool:
    """Return whether it was never sent, or has grown since. The growth of one that resolves by itself isn't sent."""
    if stored["told"] and stored["urgency"] in (Urgency.TOMORROW.name, Urgency.LATER.name):
        return False
    return not all(any(_covers(told, subject) for told in stored["told"]) for subject in stored["subjects"])


def _endpoint(subject: str) -> str:
    return subject.partition(" ")[0]


def _covers(told: str, subject: str) -> bool:
    """Return whether `subject` is `told`, or a range of labels within it (`getupstreammsg 2026-11-24..2026-11-26`)."""
    if told == subject:
        return True
    (name, _, ends), (other, _, within) = told.partition(" "), subject.partition(" ")
    (first, dots, last), (begin, _, end) = ends.partition(".."), within.partition("..")
    return bool(dots) and name == other and first <= begin and end <= last


def _claimed(stored: list[_StoredAlert], account: str | None, now: dt.datetime, more: bool) -> list[_StoredAlert]:
    """Claim and return the alerts to send of an account (None: of all).

    Those that another process is about to send are left out.
    """
    claimed = []
    for place, each in enumerate(stored):
        mine = account in (None, each["account"]) and _needs_sending(each)
        began = more and each["told"] and _is_within(each["since"], _GROUPING_TIME, now)
        if mine and not began and not _is_within(each.get("claimed"), _CLAIM_HOLDS, now):
            stored[place] = each | {"claimed": f"{now:%Y-%m-%d %H:%M:%S}"}
            claimed.append(stored[place])
    return claimed


def _is_within(moment: str | None, span: dt.timedelta, now: dt.datetime) -> bool:
    """Return whether a moment is less than `span` before now, or after now."""
    return bool(moment) and dt.datetime.fromisoformat(str(moment)) > now - span


def _line(stored: _StoredAlert) -> str:
    others = list(dict.fromkeys(map(_endpoint, stored["subjects"])))[1:] if stored["source"] != Source.LABELS else []
    return f"• {stored['text']}" + (f" (同样 · also: {', '.join(others)})" if others else "")


def _split_messages(stored: Sequence[_StoredAlert], max_bytes: int) -> Iterator[list[_StoredAlert]]:
    """Yield the alerts of each message: as many as have lines of `most` bytes together, at least one."""
    message: list[_StoredAlert] = []
    for each in stored:
        if message and sum(len(_line(one).encode()) + 1 for one in [*message, each]) > max_bytes:
            yield message
            message = []
        message.append(each)
    if message:
        yield message


def _without_checks(
    before: list[_StoredAlert], account: str, endpoint: str, checks: Collection[str]
) -> list[_StoredAlert]:
    """Return the alerts without those of these checks of an endpoint."""
    after = []
    for each in before:
        subjects = each["subjects"]
        if (each["account"], each["source"]) == (account, Source.CHECKS) and each["cause"] in checks:
            subjects = [subject for subject in subjects if _endpoint(subject) != endpoint]
        if subjects:
            after.append(each | {"subjects": subjects})
    return after


def _updated(
    before: Iterable[_StoredAlert],
    account: str,
    source: Source,
    checked: Collection[str] | None,
    found: Iterable[Alert],
    now: dt.datetime,
) -> list[_StoredAlert]:
    """Return the alerts after some subjects of an account were looked at (None: all of them).

    An alert without subjects left is resolved.
    """
    found_by_key = {(alert.cause, alert.subject): alert for alert in found}
    stored = []
    for each in before:
        subjects = each["subjects"]
        if (each["account"], each["source"]) == (account, source.value):
            looked = subjects if checked is None else checked
            subjects = [it for it in subjects if it not in looked or (each["cause"], it) in found_by_key]
        if subjects or any((account, source.value, cause) == _identity(each) for cause, _ in found_by_key):
            stored.append(each | {"subjects": subjects})
    mine = {each["cause"]: each for each in stored if (each["account"], each["source"]) == (account, source.value)}
    for (cause, subject), alert in found_by_key.items():
        if cause not in mine:
            mine[cause] = {
                "account": account,
                "source": source.value,
                "cause": cause,
                "subjects": [],
                "since": _minute(now),
                "told": [],
            }
            stored.append(mine[cause])
        # The text is about the first subject.
        subjects = [subject, *(each for each in mine[cause]["subjects"] if each != subject)]
        new = {"urgency": alert.urgency.name, "text": alert.text, "met": _minute(now), "subjects": subjects}
        mine[cause] |= new
    return stored


def _minute(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
