"""Check that the last commit can be released: `make release-check`.

It builds sdist and wheel twice, under different conditions, and compares them byte for byte; compares their contents
with git; checks the licences of all locked packages; runs the demo from the wheel on every Python that it finds; writes
the SBOM; and looks for known vulnerabilities. The two packages are put into dist/, the rest into build/release/. What
could not be checked here is reported as NOT RUN, and is an error with `--strict`.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

from scripts.release_build import DIST, REPORT, STEM, TOP, check_builds, check_contents, run, tracked
from wx_datacube import __version__

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TOOLS = ("cyclonedx-bom==7.5.0", "pip-audit==2.10.1")
PERMISSIVE = re.compile(
    r"\b(MIT(-0)?|BSD|Apache|ISC|PSF|Python Software Foundation|MPL[- ]2\.0|Mozilla Public License 2\.0)\b"
)
REVIEWED = {
    "axe-playwright-python": "MIT by its LICENSE file, with axe-core under MPL-2.0; for tests only",
    "psycopg2-binary": "LGPL with exceptions; used unchanged, by the extra postgres only",
}
"""Packages whose licence a person has read, because their metadata don't name a permissive one."""


def check_version(tag: str | None) -> None:
    """The tag, if there is one, names the version, and the changelog has a section for it."""
    if tag and tag != f"v{__version__}":
        sys.exit(f"release-check: the tag {tag} is not v{__version__}, the version in wx_datacube/__init__.py")
    if tag and f"\n## [{__version__}]" not in (TOP / "CHANGELOG.md").read_text():
        sys.exit(f"release-check: CHANGELOG.md has no section [{__version__}]")


def licence(package: importlib.metadata.Distribution) -> tuple[str, bool]:
    """Return the licence that a package names, and whether it is one that users may accept without reading it."""
    if reviewed := REVIEWED.get(package.name):
        return reviewed, True
    classifiers = [c.split(" :: ")[-1] for c in package.metadata.get_all("Classifier", []) if c.startswith("License")]
    named = package.metadata["License-Expression"] or ", ".join(c for c in classifiers if c != "OSI Approved")
    named = named or (package.metadata["License"] or "none named").split("\n")[0]
    parts = re.split(r" AND | OR |, ", named)
    return named, all(PERMISSIVE.search(part) and "GPL" not in part for part in parts)


def check_licences() -> None:
    """Every package that requirements.lock installs here has a permissive licence, or one that was reviewed."""
    packages = sorted(importlib.metadata.distributions(), key=lambda package: package.name.lower())
    rows = [(package.name, package.version, *licence(package)) for package in packages]
    (REPORT / "licences.txt").write_text("".join(f"{name} {version}: {text}\n" for name, version, text, _ in rows))
    if unknown := [f"{name}: {text}" for name, _, text, good in rows if not good]:
        sys.exit("release-check: licences to review, see REVIEWED in this script:\n  " + "\n  ".join(unknown))
    print(f"  licences of {len(rows)} packages: permissive, or reviewed ({', '.join(REVIEWED)})")


def find_pythons(version: str) -> Iterator[str]:
    """Yield working interpreters of a version: a name on the PATH may be a launcher without one."""
    test = f"import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for folder in os.get_exec_path():
        path = shutil.which(f"python{version}", path=folder)
        if path and not subprocess.run([path, "-c", test], capture_output=True).returncode:
            yield path


def check_demo(python: str, folder: Path, constraints: Path) -> Path:
    """Install the wheel alone with every extra for users, run the demo in an empty folder, and return the venv."""
    extras = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wheel = f"{DIST / STEM}-py3-none-any.whl[{','.join(sorted(extras.keys() - {'dev', 'docs'}))}]"
    (folder / "empty").mkdir(parents=True)
    run(python, "-m", "venv", folder / "venv")
    bin, started = folder / "venv" / "bin", time.monotonic()
    run(bin / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel)
    run(bin / "python", "-m", "pip", "check")
    env = {"PATH": f"{bin}:/usr/bin:/bin", "HOME": str(folder / "empty"), "LANG": "C.UTF-8"}
    installed = time.monotonic()
    run(bin / "wx-datacube", "init", cwd=folder / "empty", env=env)
    run(bin / "wx-datacube", "demo", "--days", "40", cwd=folder / "empty", env=env)
    if not list(folder.glob("empty/demo/data/report_demo.html")):
        sys.exit("release-check: the demo wrote no report")
    version = run(bin / "python", "-c", "import platform; print(platform.python_version())").strip()
    took = f"installed in {installed - started:.0f} s, demo in {time.monotonic() - installed:.0f} s"
    print(f"  the wheel alone, Python {version}, versions of {constraints.name}: {took}", flush=True)
    return folder / "venv"


def check_demos(work: Path) -> tuple[Path, list[str]]:
    """Run the demo with locked versions on every Python, and with the lowest versions on the first one."""
    pins = re.findall(r"^[a-z0-9.-]+==[^ \\\n]+(?: ;[^\\\n]*)?", (TOP / "requirements.lock").read_text(), re.MULTILINE)
    locked = work / "requirements.lock"
    locked.write_text("\n".join(pins))
    found = {version: next(find_pythons(version), None) for version in PYTHONS}
    venvs = [check_demo(path, work / version, locked) for version, path in found.items() if path]
    check_demo(next(filter(None, found.values())), work / "lowest", TOP / ".ci" / "lowest.txt")
    return venvs[0], [
        f"the demo on Python {version}: it is not on this machine" for version in PYTHONS if not found[version]
    ]


def check_dependencies(tools: Path, venv: Path) -> list[str]:
    """Write the SBOM of an installed wheel, and look for known vulnerabilities in requirements.lock."""
    for record in venv.glob("lib/*/site-packages/*.dist-info/direct_url.json"):
        record.unlink()  # else the SBOM names a folder of this machine
    sbom, audit = REPORT / "sbom.cdx.json", REPORT / "audit.json"
    project = TOP / "pyproject.toml"
    run(tools / "cyclonedx-py", "environment", "--pyproject", project, "--output-file", sbom, venv / "bin" / "python")
    content = json.loads(sbom.read_text())
    content["metadata"]["component"]["version"] = __version__  # which pyproject.toml doesn't have
    sbom.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    print(f"  SBOM (CycloneDX): {len(content['components'])} components of a user's install")
    audit.unlink(missing_ok=True)
    command = [tools / "pip-audit", "--requirement", "requirements.lock", "--require-hashes", "--disable-pip"]
    done = subprocess.run([*command, "--format=json", "--output", audit], cwd=TOP, capture_output=True, text=True)
    if not audit.is_file():
        return [f"pip-audit: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}"]
    return judge_audit(json.loads(audit.read_text())["dependencies"])


def judge_audit(answers: list[dict]) -> list[str]:
    """Leave if there are vulnerabilities; return what was not audited, since pip-audit calls that a success."""
    if bad := [f"{a['name']} {a['version']}: {v['id']}" for a in answers for v in a.get("vulns", ())]:
        sys.exit("release-check: known vulnerabilities:\n  " + "\n  ".join(bad))
    skipped = [answer["name"] for answer in answers if "skip_reason" in answer]
    if audited := len(answers) - len(skipped):
        print(f"  pip-audit: no known vulnerability in {audited} of {len(answers)} packages")
    return [f"pip-audit of {len(skipped)} packages, which the advisory service doesn't know"] if skipped else []


def main() -> None:
    """Run every check; leave with 1 at the first that fails, and with `--strict` also if one could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--strict", action="store_true", help="fail if a check could not be run here")
    parser.add_argument("--tools", type=Path, required=True, help="the folder of the venv with the release's tools")
    options = parser.parse_args()
    if changed := run("git", "status", "--porcelain", cwd=TOP):
        sys.exit(f"release-check: the last commit is what is released, so commit first:\n{changed}")
    check_version(os.environ.get("RELEASE_TAG"))
    print(f"release-check: {STEM}, commit {run('git', 'log', '-1', '--format=%h', cwd=TOP).strip()}", flush=True)
    shutil.rmtree(REPORT, ignore_errors=True)
    REPORT.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        check_builds(Path(name))
        check_contents(tracked())
        check_licences()
        venv, missing = check_demos(Path(name))
        run(sys.executable, "-m", "venv", options.tools)
        run(options.tools / "bin" / "python", "-m", "pip", "install", "--quiet", *TOOLS)
        missing += check_dependencies(options.tools / "bin", venv)
    for what in missing:
        print(f"NOT RUN: {what}")
    if missing and options.strict:
        sys.exit(1)
    print(f"Ready, but for what was not run: {DIST}" if missing else f"Ready: {DIST}")


if __name__ == "__main__":
    main()
