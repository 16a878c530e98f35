"""Stored alert: an alert as it is in the file, and how it changes when something is checked, claimed or sent.

Add a key when an alert must remember something else; files of older versions must stay readable (`upgraded`). Nothing
here does I/O: `file` reads and writes.
"""

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any

from wx_datacube.alerts.alert import Alert, Source, Urgency
from wx_datacube.errors import one_line
from wx_datacube.language import Language, Text

_CLAIM_HOLDS = dt.timedelta(minutes=1)
"""How long a claim lasts. Then another process may post the alert, since the claiming process may have been killed."""
_GROUPING_TIME = dt.timedelta(minutes=3)
"""For this long, a run's new alert isn't sent again when it grows.

Seven endpoints may hit the same error in a run. The first is sent at once, the others after this time, by a tick or at
12:35.
"""

StoredAlert = dict[str, Any]
"""An alert in the file.

`account`, `source` and `cause` identify it. `urgency`, `text` and `text_zh` (Chinese) are the alert's; an older version
stored both languages in `text`. `subjects` are those affected, `told` those already sent. `since` and `met` are the
first and last occurrence, `claimed` is when a process claimed it for sending, and `tried` when sending last failed.
"""


def upgraded(stored: StoredAlert) -> StoredAlert:
    """Return an alert in the current format: an older version stored only whether it was sent."""
    if isinstance(stored.get("told"), list):
        return stored
    return stored | {"told": list(stored["subjects"]) if stored.get("told") else []}


def text_in(stored: StoredAlert) -> Text:
    """Return an alert's text."""
    return Text(stored["text"], stored.get("text_zh") or stored["text"])


def identity(stored: StoredAlert) -> tuple[str, str, str]:
    """Return the values that identify an alert."""
    return stored["account"], stored["source"], stored["cause"]


def needs_sending(stored: StoredAlert) -> bool:
    """Return whether the alert was never sent, or has grown since.

    An alert that resolves by itself isn't sent again when it grows.
    """
    if stored["told"] and stored["urgency"] in (Urgency.TOMORROW.name, Urgency.LATER.name):
        return False
    return not all(any(_covers(told, subject) for told in stored["told"]) for subject in stored["subjects"])


def endpoint_of(subject: str) -> str:
    """Return the endpoint of a subject, which may also name a range of its labels."""
    return subject.partition(" ")[0]


def _covers(told: str, subject: str) -> bool:
    """Return whether `subject` is `told`, or a range of labels within it (`getupstreammsg 2026-11-24..2026-11-26`)."""
    if told == subject:
        return True
    (name, _, ends), (other, _, within) = told.partition(" "), subject.partition(" ")
    (first, dots, last), (begin, _, end) = ends.partition(".."), within.partition("..")
    return bool(dots) and name == other and first <= begin and end <= last


def claim(stored: list[StoredAlert], account: str | None, now: dt.datetime, more: bool) -> list[StoredAlert]:
    """Claim and return the alerts to send of an account (None: of all).

    Those that another process is about to send are left out.
    """
    claimed = []
    for place, each in enumerate(stored):
        mine = account in (None, each["account"]) and needs_sending(each)
        began = more and each["told"] and is_within(each["since"], _GROUPING_TIME, now)
        if mine and not began and not is_within(each.get("claimed"), _CLAIM_HOLDS, now):
            stored[place] = each | {"claimed": f"{now:%Y-%m-%d %H:%M:%S}"}
            claimed.append(stored[place])
    return claimed


def is_within(moment: str | None, span: dt.timedelta, now: dt.datetime) -> bool:
    """Return whether a moment is less than `span` before now, or after now."""
    return bool(moment) and dt.datetime.fromisoformat(str(moment)) > now - span


def without_checks(
    before: list[StoredAlert], account: str, endpoint: str, checks: Collection[str]
) -> list[StoredAlert]:
    """Return the alerts without those of these checks of an endpoint."""
    after = []
    for each in before:
        subjects = each["subjects"]
        if (each["account"], each["source"]) == (account, Source.CHECKS) and each["cause"] in checks:
            subjects = [subject for subject in subjects if endpoint_of(subject) != endpoint]
        if subjects:
            after.append(each | {"subjects": subjects})
    return after


def updated(
    before: Iterable[StoredAlert],
    account: str,
    source: Source,
    checked: Collection[str] | None,
    alerts: Iterable[Alert],
    now: dt.datetime,
) -> list[StoredAlert]:
    """Return the alerts after some subjects of an account were checked (None: all of them).

    An alert without subjects left is resolved.
    """
    found_by_key = {(alert.cause, alert.subject): alert for alert in alerts}
    after = []
    for each in before:
        subjects = each["subjects"]
        if (each["account"], each["source"]) == (account, source.value):
            looked = subjects if checked is None else checked
            subjects = [it for it in subjects if it not in looked or (each["cause"], it) in found_by_key]
        if subjects or any((account, source.value, cause) == identity(each) for cause, _ in found_by_key):
            after.append(each | {"subjects": subjects})
    by_cause = {each["cause"]: each for each in after if (each["account"], each["source"]) == (account, source.value)}
    for alert in found_by_key.values():
        if alert.cause not in by_cause:
            by_cause[alert.cause] = _new(account, source, alert.cause, now)
            after.append(by_cause[alert.cause])
        _add(by_cause[alert.cause], alert, now)
    return after


def _new(account: str, source: Source, cause: str, now: dt.datetime) -> StoredAlert:
    return {
        "account": account,
        "source": source.value,
        "cause": cause,
        "subjects": [],
        "since": minute(now),
        "told": [],
    }


def _add(stored: StoredAlert, alert: Alert, now: dt.datetime) -> None:
    """Add an occurrence: its subject comes first, since the text is about the first subject."""
    subjects = [alert.subject, *(each for each in stored["subjects"] if each != alert.subject)]
    text, chinese = (one_line(alert.text.to(each)) for each in (Language.ENGLISH, Language.CHINESE))
    stored |= {"urgency": alert.urgency.name, "text": text, "text_zh": chinese}
    stored |= {"met": minute(now), "subjects": subjects}


def after_sending(stored: StoredAlert, sent: StoredAlert, *, accepted: bool, now: dt.datetime) -> StoredAlert:
    """Return a stored alert after the chat accepted, or didn't accept, what was `sent` of it."""
    if not accepted:
        return stored | {"claimed": "", "tried": minute(now)}
    # Ranges of missing labels grow: the newest ones include those sent before.
    before = [] if stored["source"] == Source.LABELS else stored["told"]
    return stored | {"claimed": "", "tried": "", "told": list(dict.fromkeys([*before, *sent["subjects"]]))}


def minute(moment: dt.datetime) -> str:
    """Return a moment as it is stored."""
    return f"{moment:%Y-%m-%d %H:%M}"
