"""Disks: folders that a test can fill, either on their own file system or by a limit on file size.

Nothing here depends on what is written to them.
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
        """Leave about `size` bytes for files to grow."""

    def free(self) -> None:
        """Free the space again."""


class Small:
    """A file system of 24 MB, filled with a filler file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._filler = folder, folder / "filler"

    def leave(self, size: int) -> None:
        """Fill it until `size` bytes are left."""
        stat = os.statvfs(self.folder)
        self._filler.write_bytes(bytes(max(0, stat.f_bavail * stat.f_frsize - size)))

    def free(self) -> None:
        """Delete the filler."""
        self._filler.unlink(missing_ok=True)


class Limited:
    """A folder whose files this process can't grow beyond a limit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, size: int) -> None:
        """Limit the size of every file to `size` bytes."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    def free(self) -> None:
        """Remove the limit."""
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """Mount a small file system; skip the test if this user may not."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield Small(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def limited(folder: Path) -> Iterator[Disk]:
    """Provide a disk that uses the limit on file size."""
    disk = Limited(folder)
    try:
        yield disk
    finally:
        disk.free()
