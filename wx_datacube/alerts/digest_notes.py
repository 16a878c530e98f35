"""Digest notes: whose digest was posted today, and whether the chat confirmed it.

An account's digest is noted before it is posted, so that it is never posted twice a day, whoever posts it and whatever
is killed. A note that stays unconfirmed is for a person to look at. Nothing here posts.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from wx_datacube.alerts.notes import NoteFile, Notes
from wx_datacube.errors import WarehouseError
from wx_datacube.language import Language, Text, date_text

_IN_FLIGHT = dt.timedelta(minutes=1)
"""A post takes seconds. A note that is older than this and has no outcome belongs to a process that was killed."""
_SHOWN = dt.timedelta(days=1)
"""How long an unconfirmed digest is shown: the day after, unless the next one has replaced its note."""


_UNCONFIRMED = Text(
    "The digest of {day} was posted at {at}, but the chat did not confirm it: {why} Look whether it is in the chat. It"
    " is not sent again that day; to see its text: wx-datacube digest",
    "{day} 的日报已于 {at} 发出，但群聊没有确认：{why} 请查看群里是否收到。当天不会再次发送；"
    "查看内容：wx-datacube digest",
)
_INTERRUPTED = Text("the process was interrupted.", "发送过程被中断。")


class DigestNotes:
    """The notes about the digests of all accounts of a database."""

    def __init__(self, database: Path) -> None:
        self._file = NoteFile(database, "digests")

    def sent(self, day: dt.date) -> set[str]:
        """Return the accounts whose digest was posted on the day, confirmed or not; raises `WarehouseError`."""
        return {account for account, note in self._file.read().items() if note.get("day") == day.isoformat()}

    def claim(self, accounts: Sequence[str], now: dt.datetime) -> list[str]:
        """Note that the caller is about to post these accounts' digests; return those that it may post.

        The others were posted today already. Raises `WarehouseError`; then nothing may be posted.
        """
        claimed: list[str] = []

        def change(before: Notes) -> Notes:
            today = now.date().isoformat()
            claimed.extend(each for each in accounts if before.get(each, {}).get("day") != today)
            return {**before, **{each: {"day": today, "at": now.isoformat(" ", "seconds")} for each in claimed}}

        self._file.change(change)
        return claimed

    def withdraw(self, accounts: Collection[str]) -> None:
        """Delete the notes of digests that were claimed and can't have arrived, so that they may be posted again.

        If that can't be written, they stay unconfirmed.
        """
        with suppress(WarehouseError):
            self._file.change(lambda before: {name: note for name, note in before.items() if name not in accounts})

    def note_outcome(self, accounts: Collection[str], reason: Text | None) -> None:
        """Note that the chat confirmed the digests that were claimed, or the reason why it didn't.

        If that can't be written, they stay unconfirmed.
        """
        outcome: dict[str, object] = {"confirmed": reason is None}
        if reason is not None:
            outcome |= {f"reason_{each}": reason.to(each) for each in Language}
        with suppress(WarehouseError):
            self._file.change(lambda before: {**before, **{each: before.get(each, {}) | outcome for each in accounts}})

    def unconfirmed(self, account: str, now: dt.datetime) -> Text | None:
        """Return what a person should know about an account's digest of today or yesterday that was not confirmed."""
        try:
            note = self._file.read().get(account, {})
            at = dt.datetime.fromisoformat(str(note.get("at")))
        except (WarehouseError, ValueError):
            return None
        is_recent = now.date() - at.date() <= _SHOWN
        if note.get("confirmed") or not is_recent or ("confirmed" not in note and now - at < _IN_FLIGHT):
            return None
        english, chinese = (str(note.get(f"reason_{each}", "")) for each in (Language.ENGLISH, Language.CHINESE))
        why = Text(english, chinese) if english and chinese else _INTERRUPTED
        day = date_text(at.date() - dt.timedelta(days=1))
        return _UNCONFIRMED.fill(day=day, at=f"{at:%Y-%m-%d %H:%M}", why=why)

    def forget(self, account: str) -> None:
        """Delete the note of an account that was renamed or removed."""
        with suppress(WarehouseError):
            if account in self._file.read():
                self._file.change(lambda before: {name: note for name, note in before.items() if name != account})
