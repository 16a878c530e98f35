"""A project folder in which a test runs commands in this process."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from wx_datacube.cli import main

TOP = Path(__file__).parents[2]
CREDENTIALS = {"APPID": "wx5eed0fda7acbe011", "SECRET": "0123456789abcdef" * 2}
COMMANDS = [["status"], ["backfill"], ["doctor"], ["replay"], ["ui"]]
"""Commands that read the settings first."""


class Folder:
    """A project folder that is the working directory, and the commands run in it."""

    def __init__(self, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capfd = capfd

    def set(self, **settings: object) -> None:
        """Overwrite `.env`; names have no prefix."""
        env = self.path / ".env"
        env.write_text("".join(f"WX_DATACUBE_{name}={value}\n" for name, value in settings.items()))
        env.chmod(0o600)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command and return its exit code, stdout and stderr."""
        self._capfd.readouterr()
        with mock.patch.dict(os.environ):  # a command leaves the environment of the next one as it was
            code = main.run(arguments)
        out, err = self._capfd.readouterr()
        return code, out, err

    def contents(self) -> dict[str, bytes]:
        """Return every file in the folder except locks, which are empty."""
        files = [path for path in self.path.rglob("*") if path.is_file() and ".locks" not in str(path)]
        return {str(path.relative_to(self.path)): path.read_bytes() for path in files}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Folder]:
    """Provide a fresh project folder without any settings."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(TOP / name, tmp_path)
    for name in ("APPID", "SECRET", "TOKEN_URL", "ACCOUNT", "ACCOUNTS", "API_URL", "DATABASE", "START"):
        monkeypatch.delenv(f"WX_DATACUBE_{name}", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, capfd)
