"""A release: one version, lowest versions, contents of the sdist, pinned actions, and what the release check decides.

Nothing is built here: `make release-check` builds, compares and installs.
"""

import fnmatch
import re
import subprocess
import tomllib
from email.message import Message
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
import yaml

from scripts.release_build import NEVER, TOP, rewrite, tracked
from scripts.release_check import REVIEWED, check_version, judge_audit, licence
from wx_datacube import __version__
from wx_datacube_tests.test_packaging import tracked_files

PYPROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
WORKFLOWS = {path.name: path.read_text() for path in (TOP / ".github" / "workflows").iterdir()}
BY_TAG = {"pypa/gh-action-pypi-publish"}
"""Actions whose commit nobody has compared with the tag yet."""


@pytest.fixture
def texts() -> dict[str, str]:
    """Return the text of every page, module, script and setting of the project, this file excepted."""
    kinds = {".md", ".py", ".sh", ".yml", ".yaml", ".toml", ".html"}
    pages = {str(path.relative_to(TOP)): path for path in tracked_files() if path.suffix in kinds}
    return {name: path.read_text() for name, path in pages.items() if path != Path(__file__)}


def test_the_version_stands_in_one_place(texts: dict[str, str]) -> None:
    """Only wx_datacube/__init__.py sets the version; pyproject.toml reads it there, and no page repeats it."""
    assert PROJECT["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "wx_datacube.__version__"}
    named = re.compile(rf"wx[_-]datacube[-= ]+v?{re.escape(__version__)}|__version__ *=[^=]")
    assert [name for name, text in texts.items() if named.search(text)] == ["wx_datacube/__init__.py"]


def test_a_tag_must_name_the_version() -> None:
    """A release whose tag differs from the version stops; without a tag there is nothing to compare."""
    check_version(None)

    with pytest.raises(SystemExit, match=re.escape(f"is not v{__version__}")):
        check_version("v99.0.0")


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    """.ci/lowest.txt has exactly the lower bounds in pyproject.toml, those of docs and dev excepted."""
    extras = PROJECT["optional-dependencies"]
    bounds = [*PYPROJECT["build-system"]["requires"], *PROJECT["dependencies"]]
    bounds += [bound for extra in extras.keys() - {"docs", "dev"} for bound in extras[extra]]
    lower = {f"{found[1]}=={found[2]}" for bound in bounds if (found := re.match(r"([\w-]+)>=([\w.]+)", bound))}
    lines = [line for line in (TOP / ".ci" / "lowest.txt").read_text().splitlines() if not line.startswith("#")]

    assert lines == sorted(lines)
    assert set(lines) == lower
    assert [bound for bound in bounds if ">=" not in bound] == ["tzdata"]


def test_the_sdist_holds_what_git_tracks() -> None:
    """MANIFEST.in and the package's own rules name every tracked file, and no file that must not be released."""
    rules = [line.split() for line in (TOP / "MANIFEST.in").read_text().splitlines() if not line.startswith("#")]
    assert {rule for rule, *_ in rules} == {"include", "graft", "prune", "global-exclude"}
    named = {rule: [name for kind, *names in rules if kind == rule for name in names] for rule, *_ in rules}
    data = PYPROJECT["tool"]["setuptools"]["package-data"]["wx_datacube"]
    always = ["LICENSE", "README.md", "pyproject.toml", "wx_datacube/*.py", *(f"wx_datacube/{glob}" for glob in data)]
    files = {str(path.relative_to(TOP)) for path in tracked_files()}

    missing = {
        name
        for name in files
        if name.split("/")[0] not in named["graft"]
        and name not in named["include"]
        and not any(fnmatch.fnmatchcase(name, glob) for glob in always)
    }
    assert missing == set()
    assert [name for name in named["include"] if name not in files] == []
    assert [name for name in files if NEVER.search(name) or name.startswith(tuple(named["prune"]))] == []
    assert NEVER.search(".env")
    assert NEVER.search("data/wx_datacube.duckdb")
    assert not NEVER.search(".env.example")


def test_the_files_of_the_last_commit_are_listed() -> None:
    """The release check compares the packages with the files of the last commit."""
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=TOP, capture_output=True).returncode:
        pytest.skip("this is not a git checkout")

    assert {"pyproject.toml", "wx_datacube/__init__.py", "wx_datacube_tests/test_packaging.py"} <= tracked()


def test_an_sdist_keeps_nothing_of_the_machine(tmp_path: Path) -> None:
    """Two sdists of the same files are equal, whatever the order, times, owners and access rights of the files."""
    written = []
    for folder, names, mode in (("a", ["x", "y"], 0o600), ("b", ["y", "x"], 0o664)):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text(name)
            (tmp_path / folder / name).chmod(mode)
        sdist = tmp_path / f"{folder}.tar.gz"
        subprocess.run(["tar", "-czf", sdist, "-C", tmp_path / folder, *names], check=True)
        rewrite(sdist, 1_700_000_000)
        written.append(sdist.read_bytes())

    assert written[0] == written[1]


def package(name: str, *fields: tuple[str, str]) -> Distribution:
    """Return a package with these fields in its metadata."""
    message = Message()
    for field, value in (("Name", name), *fields):
        message[field] = value

    class Made(PathDistribution):
        metadata = message

    return Made(Path("nowhere"))


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ([("License-Expression", "MIT OR Apache-2.0")], True),
        ([("Classifier", "License :: OSI Approved"), ("Classifier", "License :: OSI Approved :: BSD License")], True),
        ([("License", "3-Clause BSD License")], True),
        ([("License-Expression", "MIT AND GPL-3.0-only")], False),
        ([("Classifier", "License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)")], False),
        ([("License", "UNKNOWN")], False),
        ([("License", "Permitted for research")], False),
        ([], False),
    ],
)
def test_only_permissive_licences_are_accepted(fields: list[tuple[str, str]], accepted: bool) -> None:
    """Each part of a licence must be permissive; a licence that is unknown or not named is not accepted."""
    assert licence(package("any", *fields))[1] is accepted


def test_a_reviewed_licence_is_accepted_for_that_package_only() -> None:
    """A package in the list of reviewed licences is accepted with the reason that stands there."""
    name, reason = next(iter(REVIEWED.items()))

    assert licence(package(name)) == (reason, True)


def test_packages_that_were_not_audited_are_reported() -> None:
    """If the advisory service doesn't know a package, the audit has not been run: pip-audit calls that a success."""
    answers = [{"name": "click", "version": "8.1", "vulns": []}, {"name": "rich", "skip_reason": "not found"}]

    assert judge_audit(answers[:1]) == []
    assert judge_audit(answers) == ["pip-audit of 1 packages, which the advisory service doesn't know"]
    with pytest.raises(SystemExit, match=r"click 8\.1: PYSEC-1"):
        judge_audit([{"name": "click", "version": "8.1", "vulns": [{"id": "PYSEC-1"}]}])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned(name: str) -> None:
    """Every action is pinned by its commit, its version as a comment; exceptions are named, with a full tag."""
    uses = re.findall(r"uses: (\S+)@(\S+)(.*)", WORKFLOWS[name])

    assert uses
    assert [
        action
        for action, at, comment in uses
        if not (re.fullmatch(r"[0-9a-f]{40}", at) and re.fullmatch(r" # v\d+\.\d+\.\d+", comment))
        and not (action in BY_TAG and re.fullmatch(r"v\d+\.\d+\.\d+", at))
    ] == []


def test_only_the_job_that_publishes_may_write() -> None:
    """Workflows may read the code; publishing gets two tokens, on a tag, after the check."""
    loaded = {name: yaml.safe_load(text) for name, text in WORKFLOWS.items()}
    jobs = loaded["release.yml"]["jobs"]

    assert {name: workflow["permissions"] for name, workflow in loaded.items()} == {
        "ci.yml": {"contents": "read"},
        "release.yml": {},
    }
    assert not any("permissions" in job for job in loaded["ci.yml"]["jobs"].values())
    assert jobs["check"]["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {"id-token": "write", "attestations": "write"}
    assert (jobs["publish"]["needs"], jobs["publish"]["if"]) == ("check", "github.ref_type == 'tag'")
    assert not any("run" in step for step in jobs["publish"]["steps"])
    assert "make release-check" in str(jobs["check"]["steps"])
    assert "secrets." not in "".join(WORKFLOWS.values())


def test_nobody_is_told_to_install_the_name_from_an_index(texts: dict[str, str]) -> None:
    """No page, message or script installs `wx-datacube` by its name, which somebody else could register."""
    command = re.compile(
        r"""\b(?:pip|pipx|uv|uvx|poetry|conda)\b[^\n`]*?[ '"](?:wx[-_]datacube)(?![\w/.]|-\S*\.whl|-\*)"""
    )

    assert {name: found[0] for name, text in texts.items() if (found := command.search(text))} == {}
    assert command.search("$ pip install wx-datacube")
    assert command.search("uv tool install 'wx_datacube[ui]'")
