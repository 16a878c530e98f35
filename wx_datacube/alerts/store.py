"""Alerts: the open alerts of each account, stored beside the database and sent to the chat of `WX_DATACUBE_WEBHOOK`.

Add a method when callers need to know, or to do, something else about alerts. `stored_alert` defines how they change,
`file` stores them, `layout` formats the messages, `webhook` posts. Nothing here raises: an alert must not fail a run.
"""

import datetime as dt
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from wx_datacube.alerts.alert import TOKEN, Alert, Source, Urgency
from wx_datacube.alerts.file import AlertFile
from wx_datacube.alerts.layout import messages
from wx_datacube.alerts.stored_alert import (
    StoredAlert,
    after_sending,
    claim,
    endpoint_of,
    identity,
    is_within,
    minute,
    needs_sending,
    text_in,
    updated,
    without_checks,
)
from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.settings import Secret
from wx_datacube.language import Text

_RETRY_AFTER = dt.timedelta(minutes=10)
"""How long ticks send nothing to a chat that did not accept a message."""


class Alerts:
    """The alerts of all accounts of a database, and the chat they are sent to (None: nothing is sent).

    An alert is noted when an error occurs, and resolved when its subject works again. It is sent once, and again
    whenever it grows by an endpoint or a missing label, unless it resolves by itself. An alert that the chat did not
    accept is sent with the next note or tick.

    The file's lock is never held during a post: a process marks what it is about to post as claimed.
    """

    def __init__(self, database: Path, webhook: Secret | None = None, clock: Clock = beijing_now) -> None:
        self._file = AlertFile(database)
        self._webhook = webhook
        self._clock = clock

    # --- noting

    def note(
        self,
        account: str,
        source: Source,
        checked: Collection[str] | None,
        alerts: Collection[Alert],
        notify: Callable[[Text], None] = lambda message: None,
    ) -> None:
        """Note the alerts found for the subjects `checked` (None: all of this source), and send the new ones.

        Known alerts of these subjects that were not found again are resolved. `notify` gets the reason if something
        could not be sent. If the folder can't be written, the alerts are sent all the same, and may be sent again.
        """
        if not alerts and not self._file.exists():
            return
        now = self._clock()
        within_a_run = source in (Source.CALLS, Source.RUNS)
        claimed = self._change(
            lambda before: updated(before, account, source, checked, alerts, now), account, notify, more=within_a_run
        )
        if claimed is None:
            claimed = updated([], account, source, checked, alerts, now)
        self._send(claimed, notify)

    def note_passed_checks(self, account: str, endpoint: str, checks: Collection[str]) -> None:
        """Note that these checks of an endpoint pass. The scheduled checks send those that fail."""
        known = [each for each in self._file.alerts() if each["source"] == Source.CHECKS]
        if any(endpoint_of(subject) == endpoint for each in known for subject in each["subjects"]):
            self._change(lambda before: without_checks(before, account, endpoint, checks), account)

    def resolve(self, account: str, *errors: type[Exception]) -> None:
        """Resolve the alerts that runs raised for these classes of errors, after `doctor` found no such error."""

        def is_resolved(each: StoredAlert) -> bool:
            of_runs = (each["account"], each["source"]) == (account, Source.RUNS)
            return of_runs and str(each["cause"]).split()[0] in {error.__name__ for error in errors}

        if any(is_resolved(each) for each in self._file.alerts()):
            self._change(lambda before: [each for each in before if not is_resolved(each)], account)

    def forget(self, account: str) -> None:
        """Delete the alerts of an account that was renamed or removed."""
        if self._file.exists():
            self._change(lambda before: [each for each in before if each["account"] != account], account)

    def _change(
        self,
        change: Callable[[list[StoredAlert]], list[StoredAlert]],
        account: str | None,
        notify: Callable[[Text], None] = lambda message: None,
        *,
        more: bool = False,
    ) -> list[StoredAlert] | None:
        """Change the stored alerts; return those of the account (None: of all) to send now, claimed by this process.

        `more` says that other endpoints may hit the same error in a moment. Returns None if the folder can't be
        written.
        """
        claimed: list[StoredAlert] = []

        def change_and_claim(before: list[StoredAlert]) -> list[StoredAlert]:
            after = change(before)
            if self._webhook is not None:
                claimed.extend(claim(after, account, self._clock(), more))
            return after

        try:
            self._file.change(change_and_claim)
        except TimeoutError as holder:
            notify(
                Text(
                    "An alert was not stored: process {process} holds {lock}.",
                    "有告警未能保存：进程 {process} 占用 {lock}。",
                    process=str(holder),
                    lock=self._file.lock,
                )
            )
            return []
        except OSError:
            return None
        return claimed

    # --- reading

    def has_any(self, account: str) -> bool:
        """Return whether anything is stored about an account."""
        return any(each["account"] == account for each in self._file.alerts())

    def open_for_person(self, account: str) -> list[Alert]:
        """Return the open alerts that need a person, without those about overdue labels."""
        return [
            Alert(each["cause"], subject, Urgency.PERSON, _with_time(each))
            for each in self._file.alerts()
            if (each["account"], each["urgency"]) == (account, Urgency.PERSON.name) and each["source"] != Source.LABELS
            for subject in each["subjects"]
        ]

    def recent_failures(self, account: str, since: dt.datetime) -> list[Alert]:
        """Return the open alerts of calls and runs that last occurred at `since` or later, one for each cause."""
        return [
            Alert(each["cause"], subject, Urgency[each["urgency"]], _with_time(each))
            for each in self._file.alerts()
            if each["account"] == account
            and each["source"] in (Source.CALLS, Source.RUNS)
            and str(each.get("met", "")) >= minute(since)
            for subject in each["subjects"][:1]
        ]

    def token_refused(self, account: str, since: dt.datetime) -> Text | None:
        """Return why no token could be fetched at `since` or later, if only a person can fix that; otherwise None.

        It is None again as soon as any call of the account gets through, or `doctor` gets a token.
        """
        for each in self._file.alerts():
            of_token = (each["account"], each["source"]) == (account, Source.CALLS) and TOKEN in each["subjects"]
            if of_token and each["urgency"] == Urgency.PERSON.name and str(each.get("met", "")) >= minute(since):
                return text_in(each)
        return None

    # --- sending

    def deliver(self, notify: Callable[[Text], None] = lambda message: None) -> None:
        """Send what the chat has not accepted yet, of all accounts; send nothing for a while after a failure."""
        if self._webhook is None:
            return
        now = self._clock()
        unsent = [each for each in self._file.alerts() if needs_sending(each)]
        if unsent and not any(is_within(each.get("tried"), _RETRY_AFTER, now) for each in unsent):
            self._send(self._change(list, None, notify) or [], notify)

    def _send(self, claimed: list[StoredAlert], notify: Callable[[Text], None]) -> None:
        """Post what was claimed and store what the chat accepted."""
        if self._webhook is None:
            return
        from wx_datacube.alerts.webhook import (  # loads the HTTP library, which `status` can do without
            chat_of,
            post,
        )

        failure = None
        max_bytes = chat_of(self._webhook.reveal()).max_bytes
        for text, alerts in messages(claimed, self._clock().time(), max_bytes):
            # After one failure nothing more is posted: each message may take its whole timeout.
            failure = failure or post(self._webhook, text)
            self._note_sent(alerts, accepted=failure is None)
        if failure:
            notify(
                Text(
                    "The alert was not sent: {reason} It will be sent next time.",
                    "告警未能发送：{reason}下次会再发送。",
                    reason=failure.reason,
                )
            )

    def _note_sent(self, posted: list[StoredAlert], *, accepted: bool) -> None:
        """Store whether the claimed alerts were sent."""
        sent, now = {identity(each): each for each in posted}, self._clock()
        with suppress(OSError):
            self._file.change(
                lambda before: [
                    after_sending(each, sent[identity(each)], accepted=accepted, now=now)
                    if identity(each) in sent
                    else each
                    for each in before
                ]
            )


def _with_time(stored: StoredAlert) -> Text:
    """Return an alert's text with the time of its first occurrence."""
    return Text("{text} (since {since})", "{text}首次出现于 {since}。", text=text_in(stored), since=stored["since"])
