"""Receipt: the recorded state of the two database files after the last publication.

It is a small JSON file in the folder of locks. It distinguishes the files that wx_datacube wrote from those of other
programs. Add here what must be remembered between publications; `database_files` and `publication` act on it.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from wx_datacube.warehouse.copies import created_at, replacing


class Receipt:
    """The receipt in `folder`: the states of the files, the number of calls, and counters of publications."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "published"

    def read(self) -> dict[str, Any]:
        """Return the receipt; empty if there is none or if it can't be read as JSON."""
        try:
            receipt: dict[str, Any] = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return receipt if isinstance(receipt, dict) else {}

    def write(self, receipt: dict[str, Any]) -> None:
        """Replace the receipt atomically, since it is also read without a lock."""
        with replacing(self._path) as file:
            file.write(json.dumps(receipt).encode())

    def is_recorded(self, path: Path) -> bool:
        """Return whether this is the same file as at the last publication, changed or not."""
        now = file_state(path).get(path.name)
        return now is not None and _is_same_file(self.read().get("files", {}).get(path.name), now)


def file_state(file: Path) -> dict[str, list[int | None]]:
    """Return inode number, modification time, size and creation time of a file and of its WAL, if they exist."""
    found = {}
    for path in (file, wal_of(file)):
        with suppress(FileNotFoundError):
            stat = path.stat()
            found[path.name] = [stat.st_ino, stat.st_mtime_ns, stat.st_size, created_at(path)]
    return found


def wal_of(path: Path) -> Path:
    """Return the path where DuckDB looks for a file's WAL; for a link, that is beside the link's target."""
    path = path.resolve()
    return path.with_name(f"{path.name}.wal")


def _is_same_file(recorded: object, now: list[int | None]) -> bool:
    """Return whether a file is the recorded one, changed or not."""
    if not isinstance(recorded, list) or len(recorded) != len(now):
        return False
    return recorded == now or (now[3] is not None and (recorded[0], recorded[3]) == (now[0], now[3]))
