"""Notes: small files beside the alerts that remember what was done today, such as the digest that was sent.

They are written whole and reach the disk before the caller goes on: what a note says was begun survives a kill and a
power failure. Add nothing here about what a note means. Nothing here posts.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wx_datacube.errors import WarehouseError
from wx_datacube.language import Text
from wx_datacube.warehouse.errors import lock_timeout, unwritable
from wx_datacube.warehouse.locks import locked

_LOCK_TIMEOUT = 30.0
"""Seconds to wait for the file's lock, which other processes hold for milliseconds."""

Notes = Mapping[str, dict[str, Any]]
"""Notes by what they are about, such as an account."""


class NoteFile:
    """A file of notes of a database, in the folder of its locks."""

    def __init__(self, database: Path, name: str) -> None:
        self.path = database.with_name(f"{database.stem}.locks") / name

    def read(self) -> Notes:
        """Return the notes; raises `WarehouseError` if the file is there and can't be read."""
        try:
            found = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._unreadable() from error
        if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
            raise self._unreadable()
        return found

    def change(self, change: Callable[[Notes], Notes]) -> None:
        """Replace the notes by the result of `change`, under the file's lock; raises `WarehouseError`."""
        lock = self.path.with_suffix(".lock")
        try:
            with locked(lock, timeout=_LOCK_TIMEOUT):
                before = self.read()
                after = change(before)
                if after != before:
                    self._write(after)
        except TimeoutError as error:
            raise lock_timeout(lock, error, _LOCK_TIMEOUT) from None
        except OSError as error:
            raise unwritable(self.path.parent, error) from None

    def _write(self, notes: Notes) -> None:
        new = self.path.with_suffix(".new")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(file, "wb") as stream:
            stream.write(json.dumps(notes, ensure_ascii=False).encode())
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _unreadable(self) -> WarehouseError:
        return WarehouseError(
            Text("{path} can't be read.", "无法读取 {path}。", path=self.path),
            advice=Text(
                "If nothing was sent today, delete it and start again.", "如果今天没有发送过，请删除该文件后重试。"
            ),
        )
