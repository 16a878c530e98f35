"""Packaging: pyproject, lock file, Makefile, settings example, changelog and project files agree with each other.

Add a test here when two files that no code imports must agree. Tests of what a module shows to users belong beside that
module.
"""

import ast
import datetime as dt
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from wx_datacube import __version__
from wx_datacube.config.environment import load_settings
from wx_datacube.config.folder import FILES, make_project, template
from wx_datacube.config.settings import ACCOUNT_FIELDS, PREFIX, SHARED_FIELDS

TOP = Path(__file__).parent.parent
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
LOCK = (TOP / "requirements.lock").read_text()
PIN = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ;[^\n\\]*)?(?P<hashes>(?: \\\n    --hash=\S+)*)$", re.MULTILINE
)
PINS = {pin["name"]: pin for pin in PIN.finditer(LOCK)}
EXAMPLE = (TOP / ".env.example").read_text()
EXAMPLES = dict(re.findall(r"^(?:# )?(WX_DATACUBE_[A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
SEVERAL = {name: value for name, value in EXAMPLES.items() if re.search("ACCOUNTS|SHOP|NEWS", name)}


def tracked_files() -> list[Path]:
    """Return every text file of the project that git doesn't ignore, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=TOP, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    return [path for name in listed.stdout.splitlines() if (path := TOP / name).is_file()]


def requirements(extra: str | None = None) -> list[str]:
    """Return the names of the requirements of an extra or of the package itself."""
    asked = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return [re.split(r"[\[<>=]", requirement)[0] for requirement in asked]


@pytest.mark.parametrize("extra", [None, *PROJECT["optional-dependencies"]])
def test_the_lock_pins_every_requirement(extra: str | None) -> None:
    """Every requirement of the package and of its extras is pinned in requirements.lock."""
    assert set(requirements(extra)) <= {*PINS, PROJECT["name"]}


def test_the_development_set_up_takes_every_extra() -> None:
    """`make install` installs the requirements of all extras."""
    extras = ",".join(extra for extra in PROJECT["optional-dependencies"] if extra != "dev")

    assert f"{PROJECT['name']}[{extras}]" in PROJECT["optional-dependencies"]["dev"]


def test_every_pin_has_hashes() -> None:
    """Every pinned version in the lock has the hashes of its files."""
    named = re.findall(r"^([a-z0-9-]+)==", LOCK, re.MULTILINE)
    pins = [*PIN.finditer(LOCK)]  # a package has several pins if its version depends on that of Python

    assert named == [pin["name"] for pin in pins]
    assert [pin["name"] for pin in pins if "--hash=sha256:" not in pin["hashes"]] == []


def test_the_lock_has_no_url() -> None:
    """The lock has no URL and no index: the machine decides where packages come from."""
    assert re.findall(r"\S*://\S*|^-.*", LOCK, re.MULTILINE) == []


def test_the_lock_keeps_the_duckdb_that_has_all_extensions() -> None:
    """DuckDB is pinned to the newest version for which all extensions are available."""
    assert PINS["duckdb"]["version"] == "1.5.5"


def test_help_lists_every_command_of_the_makefile() -> None:
    """`make` without a target lists every target with a description."""
    phony = re.search(r"^\.PHONY: (.*)$", (TOP / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make", "--no-print-directory"], cwd=TOP, capture_output=True, text=True, check=True).stdout

    assert phony is not None
    assert phony[1].split() == re.findall(r"^make ([a-z-]+) +\S", shown, re.MULTILINE)


def test_every_make_target_that_uses_the_venv_depends_on_install() -> None:
    """Every Makefile target that uses .venv depends on `install`, directly or indirectly."""
    rules = re.findall(r"^([a-z-]+): ?([a-z -]*)##[^\n]*\n((?:\t.*\n)*)", (TOP / "Makefile").read_text(), re.MULTILINE)

    assert [name for name, needs, recipe in rules if "$(BIN)" in recipe and "install" not in needs.split()] == []


def test_the_example_of_settings_names_every_setting() -> None:
    """.env.example has a line for each setting of one account, and others only for several accounts."""
    single = {PREFIX + field for field in (*SHARED_FIELDS, *ACCOUNT_FIELDS)}
    of_several = {f"{PREFIX}{name}_{field}" for name in ("SHOP", "NEWS") for field in ACCOUNT_FIELDS}

    assert single <= set(EXAMPLES) <= single | of_several


def test_the_example_of_settings_sets_only_the_families() -> None:
    """Every other line of .env.example is a comment: new users fetch all families, and no value is blanked."""
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("# ") and line != "#"] == [
        "WX_DATACUBE_FAMILIES=all"
    ]


def test_each_setting_is_explained_in_both_languages() -> None:
    """Every setting in .env.example is explained by lines in English and then by lines in Chinese."""
    blocks = EXAMPLE.strip().split("\n\n")[1:]

    assert [
        block
        for block in blocks
        if not re.match(r"# [A-Z][ -~…]+\n(?:# [ -~…]+\n)*(?:# .*[\u4e00-\u9fff].*\n)+(?:# )?WX_DATACUBE_", block)
    ] == []


@pytest.mark.parametrize("names", [set(EXAMPLES) - set(SEVERAL), set(SEVERAL)], ids=["one account", "several"])
def test_the_example_values_are_accepted(names: set[str], tmp_path: Path) -> None:
    """Every line of .env.example is valid once it is uncommented."""
    environ = {"DAGSTER_HOME": str(tmp_path), **{name: EXAMPLES[name] for name in names}}

    assert load_settings(environ, clock=lambda: dt.datetime(2026, 11, 24)).warnings == ()


def test_dagsters_own_paths_stay_in_one_folder() -> None:
    """Every path in dagster.yaml is below .dagster/, which git ignores."""
    folders = re.findall(r"base_dir: (\S+)", (TOP / "dagster.yaml").read_text())

    assert len(folders) == 5
    assert [folder for folder in folders if folder.split("/")[0] != ".dagster"] == []
    assert "/.dagster/" in (TOP / ".gitignore").read_text().splitlines()


def test_dg_and_dagster_load_the_same_code_under_the_same_name() -> None:
    """[tool.dg] and workspace.yaml name the same module and the same code location."""
    dg = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    workspace = (TOP / "workspace.yaml").read_text()

    assert f"module_name: {dg['code_location_target_module']}\n" in workspace
    assert f"location_name: {dg['code_location_name']}\n" in workspace


@pytest.mark.parametrize("name", FILES)
def test_the_packages_copies_equal_the_project_files_at_the_top(name: str) -> None:
    """The package's copies of the project files equal those at the top; only the top's .gitignore has more lines."""
    ours = (TOP / name).read_text()

    if name == ".gitignore":
        assert set(template(name).splitlines()) <= set(ours.splitlines())
    else:
        assert template(name) == ours


def test_git_ignores_the_files_that_commands_create(tmp_path: Path) -> None:
    """In a folder made by `init`, git ignores data, history, settings and logs, but not the project files."""
    make_project(tmp_path)
    left = [".env", "data/x.duckdb", ".dagster/history/runs.db", ".venv/bin/python", "backfill.log", "status.txt"]
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    ignored = subprocess.run(["git", "check-ignore", *left, *FILES], cwd=tmp_path, capture_output=True, text=True)

    assert ignored.stdout.split() == left


def test_only_one_module_imports_dagsters_internals() -> None:
    """Only `dagster_internals` imports `dagster._…`, which may change in any release; it names the fallbacks."""
    touched = {
        path.relative_to(TOP / "wx_datacube").as_posix()
        for path in (TOP / "wx_datacube").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if re.match(r"dagster\w*\.(.*\.)?_(?!_)", name)
    }

    assert touched == {"orchestration/dagster_internals.py"}


def _imported(node: ast.AST) -> list[str]:
    """Return the full names that an import statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def test_the_changelog_puts_data_first() -> None:
    """Every version in the changelog that has sections begins with Data."""
    versions = re.split(r"^## ", (TOP / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]

    assert [
        version for version in versions if re.findall(r"^### (.*)", version, re.MULTILINE)[:1] not in ([], ["Data"])
    ] == []


def test_the_version_is_in_the_changelog_once_it_is_released() -> None:
    """The changelog has an entry for the package's version or for Unreleased."""
    assert re.search(
        rf"^## \[({re.escape(__version__)}|Unreleased)\]", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_no_file_contains_a_path_below_a_home_folder() -> None:
    """No file contains a path below a home or work folder, so that everything works in any folder."""
    path = re.compile(r"(?<![\w.$}/])/(?:home|root|Users|work|mnt|opt)/\w")
    texts = {file: file.read_text(errors="ignore") for file in tracked_files() if file.suffix not in {".png", ".lock"}}

    assert [file.name for file, text in texts.items() if path.search(text)] == []
