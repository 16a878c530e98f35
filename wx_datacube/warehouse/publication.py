"""Publication: copy the writer's file to the file that readers open, and decide how often.

Readers may keep a published file open for as long as they like: the next publication replaces it under its name. Add
here what concerns this copy, or a backup. Transactions and snapshots are in `files`; `copies` works on any file.
"""

import glob
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb

from wx_datacube.errors import WarehouseError
from wx_datacube.warehouse.connections import READ_ONLY
from wx_datacube.warehouse.copies import copy_file, flush_to_disk, read_all, read_changed
from wx_datacube.warehouse.database_files import READABLE, DatabaseFiles
from wx_datacube.warehouse.errors import damaged_writer, is_file_fault
from wx_datacube.warehouse.ledger import last_call
from wx_datacube.warehouse.locks import locked
from wx_datacube.warehouse.receipt import file_state
from wx_datacube.warehouse.schema import SCHEMA_VERSION

PUBLISH_SECONDS = 5.0
"""Seconds between publications in a long fetch. A publication copies the whole file, so not every commit gets one."""
PUBLISH_SHARE = 10
"""If publishing is slow, the pause before the next publication is this many times as long as the last one took."""
_PUBLISH_TIMEOUT_FACTOR = 10
"""Multiple of the transaction timeout to wait for another process that publishes: its time grows with the file."""


class Publication(DatabaseFiles):
    """The database files with their publication; `Warehouse` adds what runs and readers do with them."""

    @property
    def is_published(self) -> bool:
        """Whether the published file is the last copy made, and the writer's file hasn't changed since."""
        return self._receipt.read().get("files") == file_state(self.writer) | file_state(self.database)

    def publish(self) -> None:
        """Replace the published file with a copy of the writer's file, atomically; readers of the old file keep it.

        Does nothing if the published file is the last copy made and the writer's file hasn't changed since, or if
        another process has meanwhile published everything that was committed before this call. So when several
        processes wait to publish, one publishes for all. Commits wait while the file is copied, but not while the copy
        is verified.
        """
        with self._translating_errors():
            begun = self._receipt.read().get("begun", 0)
            with self._publishing():
                if not self.is_published and self._receipt.read().get("published", 0) <= begun:
                    self._publish()

    def migrate_published(self) -> None:
        """Migrate the writer's file and publish it, if the published file is of an older version."""
        with self._translating_errors(), self._publishing():
            with self._published() as (_, version):  # another process may have migrated it during the wait
                outdated = version < SCHEMA_VERSION
            if outdated:
                self._publish()

    def _publishing(self) -> AbstractContextManager[None]:
        return locked(self._lock("publishing"), timeout=_PUBLISH_TIMEOUT_FACTOR * self._timeout)

    def _publish(self) -> None:
        copy = self.database.with_name(f".{self.database.name}.{os.getpid()}.publishing")
        with self._write_lock():
            self._delete_leftovers()
            with self._open_writer() as con:
                con.execute("CHECKPOINT")
                calls = last_call(con)
            receipt = self._receipt.read()
            number = receipt.get("begun", 0) + 1
            self._receipt.write(receipt | {"begun": number})
            copy_file(self.writer, copy, READABLE)
            copied = file_state(self.writer)
        try:
            flush_to_disk(copy)
            self._require_undamaged(copy)
            with self._write_lock():
                self._require_no_lost_calls(calls)
                self._clear_wal(self.database)
                copy.replace(self.database)
                flush_to_disk(self.database)
                files = copied | file_state(self.database)
                self._receipt.write({"files": files, "calls": calls, "begun": number, "published": number})
        finally:
            copy.unlink(missing_ok=True)

    def _require_undamaged(self, copy: Path) -> None:
        """Reject a copy that is damaged, before it is published.

        Blocks that are the same in the last published copy are not read again.
        """
        last = self._receipt.read().get("files", {}).get(self.database.name)
        try:
            with self._connect(copy, READ_ONLY) as con:
                if last is not None and last == file_state(self.database).get(self.database.name):
                    try:
                        read_changed(con, copy, self.database)
                    except PermissionError:  # this user may not read the last published copy, which is being replaced
                        read_all(con)
                else:
                    read_all(con)
        except (OSError, duckdb.Error, WarehouseError) as error:
            if not is_file_fault(error) and not isinstance(error, WarehouseError):
                raise
            raise damaged_writer(self.writer, self.database, error) from None

    def back_up(self, before: str) -> Path:
        """Copy the published file to a backup beside it, named for the operation `before` and the time.

        The caller holds the write lock. Returns the backup's path.
        """
        name = f"{self.database.stem}.before-{before}.{self.clock():%Y%m%d-%H%M%S}.duckdb"
        backup = self.database.with_name(name)
        with self._translating_errors():
            copy_file(self.database, backup, READABLE)
            flush_to_disk(backup)
        return backup

    def copies(self) -> list[Path]:
        """Return the backups, copies of older schema versions and left-over WALs beside the two files."""
        folder, writer = self.database.parent, glob.escape(self.writer.name)
        stem = glob.escape(self.database.stem)
        patterns = (f"{stem}.before-*.duckdb", f"{writer}.schema-*", f"{stem}*.duckdb.wal.left-over-*")
        return [path for pattern in patterns for path in folder.glob(pattern)]


class PublicationTimer:
    """Publishes during a long fetch, with a pause between publications."""

    def __init__(self, files: Publication) -> None:
        self._files = files
        self._due = time.monotonic() + PUBLISH_SECONDS

    def publish_if_due(self) -> None:
        """Publish if the pause since the last publication is over."""
        began = time.monotonic()
        if began > self._due:
            self._files.publish()
            ended = time.monotonic()
            self._due = ended + max(PUBLISH_SECONDS, PUBLISH_SHARE * (ended - began))
