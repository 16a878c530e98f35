"""Rights: a folder for tests of what a user may not do, which root may do everywhere."""

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
    """A folder that everybody may enter; whoever became nobody special in it is himself again at its end."""
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
    """Be nobody special from now on: root may read and write whatever its mode is."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def given(right: str, path: Path, *options: str) -> str:
    """The command by which the present user gets a right to what is in the way, as it is advised."""
    if path.stat().st_uid == os.geteuid():
        return f"chmod u+{right} {path}"
    return " ".join(["sudo chown", *options, pwd.getpwuid(os.geteuid()).pw_name, str(path)])
