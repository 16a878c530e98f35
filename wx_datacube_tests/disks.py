"""Disks: folders that a test can fill, on a file system of its own or by the limit on a file's size.

Nothing here knows what is written.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest


class Disk(Protocol):
    """A disk that a test can fill."""

    folder: Path

    def leave(self, size: int) -> None:
        """Leave about so many bytes for files to grow."""

    def free(self) -> None:
        """Have space again."""


class Small:
    """A file system of 24 MB that a filler file takes up."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._filler = folder, folder / "filler"

    def leave(self, size: int) -> None:
        """Fill it."""
        stat = os.statvfs(self.folder)
        self._filler.write_bytes(bytes(max(0, stat.f_bavail * stat.f_frsize - size)))

    def free(self) -> None:
        """Empty the filler."""
        self._filler.unlink(missing_ok=True)


class Limited:
    """A folder whose files this process may not let grow any more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, size: int) -> None:
        """No file may become larger than this."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    def free(self) -> None:
        """No limit."""
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """A small file system, where this user may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield Small(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def limited(folder: Path) -> Iterator[Disk]:
    """The limit on a file's size."""
    disk = Limited(folder)
    try:
        yield disk
    finally:
        disk.free()
