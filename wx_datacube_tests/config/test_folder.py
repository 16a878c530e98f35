"""Project folders: what `wx-datacube init` creates, leaves alone and prints.

Add a test here when `init` creates another file. How a project folder is found is tested in `test_settings.py`.
"""

import os
from pathlib import Path

import pytest

from wx_datacube.cli import commands
from wx_datacube.config.environment import find_project
from wx_datacube.config.folder import FILES, content


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a folder that is no project folder, without variables of ours or Dagster's."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("WX_DATACUBE_", "DAGSTER_"))]:
        monkeypatch.delenv(name)


def test_it_makes_a_folder_in_which_commands_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`init DIR` creates a project folder with its four files, and prints the next steps."""
    assert commands.run(["init", "new/project"]) == 0
    said = capsys.readouterr()
    folder = tmp_path / "new" / "project"

    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert find_project({}, folder) == folder
    for command in ("chmod 600 .env", "wx-datacube doctor", "wx-datacube backfill"):
        assert command in said.out
    assert f"Project folder {folder}: made dagster.yaml, workspace.yaml, .env.example, .gitignore\n" in said.out
    assert said.err == ""


def test_it_makes_one_of_the_current_folder(tmp_path: Path) -> None:
    """`init` without DIR uses the current folder."""
    assert commands.run(["init"]) == 0
    assert {name: (tmp_path / name).read_text() for name in FILES} == {name: content(name) for name in FILES}


def test_once_more_it_makes_what_is_lacking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second `init` creates only missing files, leaves equal ones alone, and succeeds."""
    commands.run(["init"])
    (tmp_path / ".env.example").unlink()
    before = (tmp_path / "dagster.yaml").stat()
    capsys.readouterr()

    assert commands.run(["init"]) == 0
    assert f"Project folder {tmp_path}: made .env.example\n" in capsys.readouterr().out
    assert (tmp_path / "dagster.yaml").stat() == before
    assert commands.run(["init"]) == 0
    assert f"Project folder {tmp_path}: nothing to make\n" in capsys.readouterr().out


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with other content is kept and named on stderr, with exit code 1; other files are created."""
    (tmp_path / "dagster.yaml").write_text("mine")
    (tmp_path / ".gitignore").mkdir()

    assert commands.run(["init"]) == 1
    said = capsys.readouterr()
    assert "made workspace.yaml, .env.example\n" in said.out
    assert "Left as found, and not what this version would make: dagster.yaml." in said.err
    assert "Add to .gitignore, so that no secret is committed: /.env, " in said.err
    assert (tmp_path / "dagster.yaml").read_text() == "mine"


def test_a_folder_in_use_is_not_told_to_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a `.env` in place, the next steps don't advise to copy the example over it.

    That would lose the AppSecret. A `.gitignore` with more lines than ours is accepted.
    """
    monkeypatch.chdir(tmp_path)
    commands.run(["init"])
    (tmp_path / ".env").write_text("WX_DATACUBE_SECRET=kept")
    with (tmp_path / ".gitignore").open("a") as file:
        file.write("*.pyc\n")
    capsys.readouterr()

    assert commands.run(["init"]) == 0
    assert "cp .env.example .env" not in capsys.readouterr().out


def test_a_gitignore_that_lets_secrets_through_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The entries that a `.gitignore` lacks are printed, `.env` first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".gitignore").write_text("*.pyc\ndata/\n")

    assert commands.run(["init"]) == 0
    said = capsys.readouterr().err
    assert "Add to .gitignore, so that no secret is committed: /.env, " in said
    assert "/data/" not in said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[tool.dg]\ndirectory_type = "project"\n'),
        ("pyproject.toml", '[tool.dagster]\nmodule_name = "theirs"\n'),
        ("dg.toml", 'directory_type = "workspace"\n'),
    ],
    ids=["dg", "dagster", "workspace"],
)
def test_the_code_of_another_project_stays_in_sight(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In another Dagster project no workspace.yaml is created, as it would hide that project's code."""
    (tmp_path / name).write_text(text)

    assert commands.run(["init"]) == 0
    assert f"Project folder {tmp_path}: made dagster.yaml, .env.example, .gitignore\n" in capsys.readouterr().out
    assert not (tmp_path / "workspace.yaml").exists()


@pytest.mark.parametrize("folder", ["", "a file", "a file/below", "/proc/1/wx_datacube"])
def test_what_can_not_be_a_folder_is_refused(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that can't be a folder is an error of one line, with exit code 2."""
    (tmp_path / "a file").touch()

    assert commands.run(["init", folder]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_another_folder_in_dagster_home_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If DAGSTER_HOME is another folder, `init` warns, as commands would use that one."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert commands.run(["init"]) == 0
    assert capsys.readouterr().err == ""
    assert commands.run(["init", "other"]) == 0
    assert capsys.readouterr().err.startswith(f"DAGSTER_HOME is {tmp_path}: while it is set, commands use that folder.")
