"""Folder: the files that a project folder needs besides data and history; the package has them in `project/`.

Add a file there, and its name here, when commands or Dagster need it in every project folder.
"""

import tomllib
from importlib.resources import files
from pathlib import Path

DAGSTER_FILES = ("dagster.yaml", "workspace.yaml")
"""The files that Dagster reads. They make a folder a project folder."""
FILES = (*DAGSTER_FILES, ".env.example", ".gitignore")


def template(name: str) -> str:
    """Return the text of one of `FILES` in this version."""
    return files("wx_datacube.config").joinpath("project", name).read_text("utf-8")


def make_project(folder: Path) -> tuple[list[str], list[str]]:
    """Turn a folder, created if necessary, into a project folder; no existing file is overwritten.

    Returns the names of the files created, and of the existing files that differ from this version's; a different
    `.gitignore` isn't listed. Another Dagster project gets no `workspace.yaml`, which would hide its own code. Raises
    `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in FILES if not (name == "workspace.yaml" and _is_dagster_project(folder))]
    lacking = [name for name in names if not (folder / name).exists()]
    for name in lacking:
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(template(name))
    return lacking, [name for name in names if name != ".gitignore" and not _is_ours(folder / name)]


def loads_many_accounts(folder: Path) -> bool:
    """Return whether the folder's `workspace.yaml` names the code location with one schedule for all accounts."""
    try:
        lines = (folder / "workspace.yaml").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any("wx_datacube.many_accounts" in line.partition("#")[0] for line in lines)


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_bytes() == template(path.name).encode()


def _is_dagster_project(folder: Path) -> bool:
    """Return whether a `pyproject.toml` or `dg.toml` tells Dagster where the folder's own code is."""
    try:
        tools = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("tool", {})
    except (OSError, ValueError):
        tools = {}
    return (folder / "dg.toml").exists() or "dg" in tools or "dagster" in tools


def missing_gitignore_lines(folder: Path) -> list[str]:
    """Return the lines that a folder's own `.gitignore` should have and lacks, secrets first."""
    file = folder / ".gitignore"
    theirs = {line.strip("/") for line in file.read_text("utf-8", "replace").split()} if file.is_file() else set()
    ours = [line for line in template(".gitignore").splitlines() if line and not line.startswith("#")]
    return sorted((line for line in ours if line.strip("/") not in theirs), key="/.env".__ne__)
