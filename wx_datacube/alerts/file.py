"""File: where the open alerts of a database are stored, in the folder of its locks.

The folder of locks must be writable even if the database isn't. The file has its full size from the start and is
written in place: overwriting a block needs no space on a full disk. `stored_alert` defines what an entry holds.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wx_datacube.alerts.stored_alert import StoredAlert, upgraded
from wx_datacube.warehouse.locks import locked

_SIZE = 64 * 1024
"""The size of the file is a multiple of this many bytes. One multiple is more than a few hundred alerts need."""
_LOCK_TIMEOUT = 30.0
"""Seconds to wait for the file's lock, which other processes hold for milliseconds."""


class AlertFile:
    """The file of alerts of a database."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(f"{database.stem}.locks") / "troubles"
        self.lock = self.path.with_suffix(".lock")

    def exists(self) -> bool:
        """Return whether an alert was ever stored."""
        return self.path.exists()

    def alerts(self) -> list[StoredAlert]:
        """Return the stored alerts; none if the file can't be read."""
        try:
            return self._read()
        except OSError:
            return []

    def change(self, change: Callable[[list[StoredAlert]], list[StoredAlert]]) -> None:
        """Replace the stored alerts by the result of `change`, under the lock.

        If the result can't be written, they stay as they were. Raises `TimeoutError`, whose text is the PID of the
        lock's holder, and `OSError` if the folder can't be written or the file can't be read.
        """
        with locked(self.lock, timeout=_LOCK_TIMEOUT):
            before = self._read()
            after = change(before)
            if after != before:
                with suppress(OSError):
                    self._write(after)

    def _read(self) -> list[StoredAlert]:
        try:
            found = json.loads(self.path.read_bytes())
        except (FileNotFoundError, ValueError):
            return []  # a power failure cut the write: alerts that persist are noted again
        return [upgraded(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def _write(self, alerts: list[StoredAlert]) -> None:
        body = json.dumps(alerts, ensure_ascii=False).encode()
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(file, body + b" " * (-len(body) % _SIZE), 0)
            os.ftruncate(file, len(body) + -len(body) % _SIZE)
        finally:
            os.close(file)
