"""Sending: make the digests of accounts, and post them to the chat of `WX_DATACUBE_WEBHOOK`, at most once a day each.

Each account is noted before its digest is posted (`alerts.digest_notes`), so that neither a kill nor a second process
posts it again. A post that the chat didn't confirm is not repeated: it may have arrived. `status` shows it. If there
was no connection to the chat, the note is deleted, and the next attempt posts it.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from wx_datacube.alerts.digest_notes import DigestNotes
from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.errors import SettingsError
from wx_datacube.language import Language, Text
from wx_datacube.operations.digest import words
from wx_datacube.operations.digest.concerns import read_concerns
from wx_datacube.operations.digest.figures import read_digest_figures
from wx_datacube.operations.digest.lines import Digest
from wx_datacube.operations.digest.messages import MAX_BYTES, Layout, Message, grouped
from wx_datacube.warehouse.files import Warehouse


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was sent now, and the accounts whose digest had been sent before.

    `failure` is why the chat didn't confirm the last message; nothing was posted after it. If that message can't have
    arrived, it is `unsent` and not in `sent`.
    """

    sent: list[Message]
    sent_before: list[str]
    failure: Text | None = None
    unsent: Message | None = None


def read_digests(settings: Settings, accounts: Sequence[Account], now: dt.datetime) -> list[Digest]:
    """Read the accounts' digests from the published file; raises `WarehouseError`."""
    usable = [each for each in accounts if each.settings_error is None]
    with Warehouse(settings.database).open_published() as con:
        concerns = read_concerns(con, settings, usable, now) if usable else {}
        return [
            Digest(each, read_digest_figures(con, each, now), concerns[each.name]) if each in usable else Digest(each)
            for each in accounts
        ]


def make_messages(
    settings: Settings, accounts: Sequence[Account], language: Language, now: dt.datetime
) -> list[Message]:
    """Return the messages that would be sent for the accounts; raises `WarehouseError`."""
    digests = read_digests(settings, accounts, now)
    layout = _layout(settings, language, now, len(accounts))
    return [layout.message(group) for group in grouped(digests, layout)]


def _layout(settings: Settings, language: Language, now: dt.datetime, accounts: int) -> Layout:
    """Return the layout of messages for the configured chat; without one, for any."""
    yesterday = now.date() - dt.timedelta(days=1)
    if settings.webhook is None:
        return Layout(yesterday, language, MAX_BYTES, str, accounts)
    from wx_datacube.alerts.webhook import chat_of  # loads the HTTP library

    chat = chat_of(settings.webhook.reveal())
    return Layout(yesterday, language, min(MAX_BYTES, chat.max_bytes), chat.escape, accounts)


def require_webhook(settings: Settings) -> Secret:
    """Return the webhook; raise `SettingsError` if there is none."""
    if settings.webhook is None:
        raise SettingsError(words.NO_WEBHOOK, advice=words.SET_WEBHOOK)
    return settings.webhook


def all_sent(settings: Settings, accounts: Sequence[Account], now: dt.datetime) -> bool:
    """Return whether the digests of all these accounts were posted today; raises `WarehouseError`."""
    return {each.name for each in accounts} <= DigestNotes(settings.database).sent(now.date())


def send_digests(
    settings: Settings, accounts: Sequence[Account], language: Language, clock: Clock = beijing_now
) -> Outcome:
    """Post the digests of accounts that were not posted today; raises `SettingsError` and `WarehouseError`."""
    from wx_datacube.alerts.webhook import Failure, post

    webhook, now, notes = require_webhook(settings), clock(), DigestNotes(settings.database)
    before = notes.sent(now.date())
    digests = read_digests(settings, [each for each in accounts if each.name not in before], now)
    layout = _layout(settings, language, now, len(digests))
    sent: list[Message] = []
    failure: Failure | None = None
    for group in grouped(digests, layout):
        claimed = notes.claim([each.account.name for each in group], now)
        # Another process may have posted some of these accounts meanwhile.
        if left := [each for each in group if each.account.name in claimed]:
            sent.append(layout.message(left))
            failure = post(webhook, sent[-1].text)
            if failure and failure.unsent:
                notes.withdraw(claimed)
            else:
                notes.note_outcome(claimed, failure.reason if failure else None)
        if failure:
            break
    unsent = sent.pop() if failure and failure.unsent else None
    ours, done = {name for each in sent for name in each.accounts}, notes.sent(now.date())
    before_us = [each.name for each in accounts if each.name in done - ours]
    return Outcome(sent, before_us, failure.reason if failure else None, unsent)
