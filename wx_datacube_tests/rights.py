"""Rights: helpers for tests of missing file permissions, which don't apply to root."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def anybody() -> Iterator[Path]:
    """Provide a folder that everybody may enter; at the end, restore the user that `nobody_special` changed."""
    folder, myself = Path(tempfile.mkdtemp()).resolve(), os.geteuid()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        os.seteuid(myself)
        for path in folder.rglob("*"):
            path.chmod(0o700)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def nobody_special() -> None:
    """Drop root's rights, since root may read and write regardless of a file's mode."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def given(right: str, path: Path, *options: str) -> str:
    """Return the command that the advice names for giving the current user a right to `path`."""
    if path.stat().st_uid == os.geteuid():
        return f"chmod u+{right} {path}"
    return " ".join(["sudo chown", *options, pwd.getpwuid(os.geteuid()).pw_name, str(path)])
