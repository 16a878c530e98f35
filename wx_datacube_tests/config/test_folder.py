"""Project folders: what `wx-datacube init` creates, leaves alone and prints.

Add a test here when `init` creates another file. How a project folder is found is tested in `test_settings.py`.
"""

import os
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest

import wx_datacube
from wx_datacube.cli import main
from wx_datacube.config.environment import find_project
from wx_datacube.config.folder import FILES, template
from wx_datacube.orchestration.event_log import BatchedSqliteEventLogStorage


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a folder that is no project folder, without variables of ours or Dagster's."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("WX_DATACUBE_", "DAGSTER_"))]:
        monkeypatch.delenv(name)


def test_init_creates_a_project_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`init DIR` creates a project folder with its four files, and prints the next steps."""
    assert main.run(["init", "new/project"]) == 0
    said = capsys.readouterr()
    folder = tmp_path / "new" / "project"

    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert find_project({}, folder) == folder
    for command in ("chmod 600 .env", "wx-datacube doctor", "wx-datacube backfill"):
        assert command in said.out
    assert f"Project folder {folder}: made dagster.yaml, workspace.yaml, .env.example, .gitignore\n" in said.out
    assert said.err == ""


def test_init_without_dir_uses_the_current_folder(tmp_path: Path) -> None:
    """`init` without DIR uses the current folder."""
    assert main.run(["init"]) == 0
    assert {name: (tmp_path / name).read_text() for name in FILES} == {name: template(name) for name in FILES}


def test_a_second_init_creates_only_missing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second `init` creates only missing files, keeps equal ones, and succeeds."""
    main.run(["init"])
    (tmp_path / ".env.example").unlink()
    before = (tmp_path / "dagster.yaml").stat()
    capsys.readouterr()

    assert main.run(["init"]) == 0
    assert f"Project folder {tmp_path}: made .env.example\n" in capsys.readouterr().out
    assert (tmp_path / "dagster.yaml").stat() == before
    assert main.run(["init"]) == 0
    assert f"Project folder {tmp_path}: nothing to make\n" in capsys.readouterr().out


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with other content is kept and named on stderr, with exit code 1; other files are created."""
    (tmp_path / "dagster.yaml").write_text("mine")
    (tmp_path / ".gitignore").mkdir()

    assert main.run(["init"]) == 1
    said = capsys.readouterr()
    assert "made workspace.yaml, .env.example\n" in said.out
    assert "Left unchanged, and different from this version's: dagster.yaml." in said.err
    assert "Add to .gitignore, so that no secret is committed: /.env, " in said.err
    assert (tmp_path / "dagster.yaml").read_text() == "mine"


def test_init_beside_an_env_file_does_not_advise_to_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a `.env` in place, the next steps don't advise to copy the example over it.

    That would lose the AppSecret. A `.gitignore` with more lines than ours is accepted.
    """
    monkeypatch.chdir(tmp_path)
    main.run(["init"])
    (tmp_path / ".env").write_text("WX_DATACUBE_SECRET=kept")
    with (tmp_path / ".gitignore").open("a") as file:
        file.write("*.pyc\n")
    capsys.readouterr()

    assert main.run(["init"]) == 0
    assert "cp .env.example .env" not in capsys.readouterr().out


def test_init_prints_the_entries_that_a_gitignore_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The entries that a `.gitignore` lacks are printed, `.env` first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".gitignore").write_text("*.pyc\ndata/\n")

    assert main.run(["init"]) == 0
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
def test_init_creates_no_workspace_in_another_dagster_project(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In another Dagster project no workspace.yaml is created, as it would hide that project's code."""
    (tmp_path / name).write_text(text)

    assert main.run(["init"]) == 0
    assert f"Project folder {tmp_path}: made dagster.yaml, .env.example, .gitignore\n" in capsys.readouterr().out
    assert not (tmp_path / "workspace.yaml").exists()


@pytest.mark.parametrize("folder", ["", "a file", "a file/below", "/proc/1/wx_datacube"])
def test_a_path_that_cannot_be_a_folder_is_refused(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that can't be a folder is an error of one line, with exit code 2."""
    (tmp_path / "a file").touch()

    assert main.run(["init", folder]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_init_warns_if_dagster_home_is_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If DAGSTER_HOME is another folder, `init` warns, as commands would use that one."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert main.run(["init"]) == 0
    assert capsys.readouterr().err == ""
    assert main.run(["init", "other"]) == 0
    assert capsys.readouterr().err.startswith(f"DAGSTER_HOME is {tmp_path}: while it is set, commands use that folder.")


def test_a_folder_made_by_an_earlier_version_still_works(tmp_path: Path) -> None:
    """The `dagster.yaml` that `init` wrote as of commit 59df016 loads, and the modules that users' files name exist."""
    (tmp_path / "dagster.yaml").write_bytes(Path(__file__).with_name("dagster_59df016.yaml").read_bytes())

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.event_log_storage) is BatchedSqliteEventLogStorage
        assert not instance.get_runs()
    assert import_module("wx_datacube.definitions").defs
    assert issubclass(wx_datacube.MessageAnalysis, dg.Component)
    assert import_module("wx_datacube.emulator.testing")
