"""Heartbeat: once a day, as soon as everything due is stored, request the URL of `WX_DATACUBE_HEARTBEAT`.

A monitor that expects the request every day notices a dead machine, daemon or cron, and a morning that stays
incomplete. Ticks of the schedules call `beat` when they have nothing to do, and `backfill` at its end; so a day that
was complete at the first tick counts too. Nothing here raises: a failure is a line in the log, and the next tick tries
again.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from wx_datacube.alerts.notes import NoteFile, Notes
from wx_datacube.config.settings import Settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.language import Text
from wx_datacube.operations.digest.concerns import everything_is_there

_LOOK_AGAIN = dt.timedelta(minutes=5)
"""How long the ticks of other schedules and accounts, which come at the same minute, don't look again."""
_TRY_AGAIN = dt.timedelta(minutes=1)
"""How long no other process requests the URL; a request takes seconds."""
_LOOKED, _TRIED = "looked", "tried"
_NOT_SENT = Text("The heartbeat was not sent: {why}", "心跳没有发出：{why}")


def beat(settings: Settings, now: dt.datetime, notify: Callable[[Text], None], *, is_tick: bool = False) -> None:
    """Request the URL if everything due is there for all configured accounts and no request of today has succeeded.

    With `is_tick`, nothing is done if another tick has just looked. `notify` gets the reason of a failure.
    """
    if settings.heartbeat is None:
        return
    note = _Note(settings.database)
    try:
        if is_tick and not note.claim(_LOOKED, _LOOK_AGAIN, now):
            return
        if note.is_done(now) or not everything_is_there(settings, settings.accounts, now):
            return
        if note.claim(_TRIED, _TRY_AGAIN, now):
            from wx_datacube.alerts.heartbeat import request  # loads the HTTP library, which most ticks can do without

            reason = request(settings.heartbeat)
            if reason is None:
                note.done(now)
            else:
                notify(_NOT_SENT.fill(why=reason))
    except WxDatacubeError as error:
        notify(_NOT_SENT.fill(why=error.text))


class _Note:
    """The note of a database about the heartbeat: the day of the last success, the last look and the last attempt."""

    def __init__(self, database: Path) -> None:
        self._file = NoteFile(database, "heartbeat")

    def is_done(self, now: dt.datetime) -> bool:
        return self._file.read().get("done", {}).get("day") == now.date().isoformat()

    def claim(self, what: str, span: dt.timedelta, now: dt.datetime) -> bool:
        """Note a look or an attempt; return whether it may be made: nobody has made one within `span`, and not done."""
        claimed = False

        def change(before: Notes) -> Notes:
            nonlocal claimed
            at = before.get(what, {}).get("at")
            recent = at is not None and dt.timedelta() <= now - dt.datetime.fromisoformat(at) < span
            claimed = not recent and before.get("done", {}).get("day") != now.date().isoformat()
            return {**before, what: {"at": now.isoformat(" ", "seconds")}} if claimed else before

        if not self.is_done(now):
            self._file.change(change)
        return claimed

    def done(self, now: dt.datetime) -> None:
        self._file.change(lambda before: {**before, "done": {"day": now.date().isoformat()}})
