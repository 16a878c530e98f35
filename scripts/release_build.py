"""Build sdist and wheel twice, under different conditions, and compare them: the first half of `make release-check`."""

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from wx_datacube import __version__

TOP = Path(__file__).parent.parent
DIST, REPORT = TOP / "dist", TOP / "build" / "release"
STEM = f"wx_datacube-{__version__}"
SDIST_EXTRA = {"PKG-INFO", "setup.cfg"} | {
    f"wx_datacube.egg-info/{name}"
    for name in ("PKG-INFO", "SOURCES.txt", "dependency_links.txt", "entry_points.txt", "requires.txt", "top_level.txt")
}
WHEEL_EXTRA = {
    f"{STEM}.dist-info/{name}"
    for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
}
NEVER = re.compile(r"(^|/)\.env$|__pycache__|\.(py[cod]|duckdb|wal|db|sqlite|pem|key|log)$")
"""Files that must not be released even if git tracks them."""
# Two sets of conditions that must not change the packages: umask of the unpacked files, times, languages, hash seeds.
CONDITIONS = (
    ("a", 0o022, [], {"LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "1"}),
    ("b/another folder", 0o077, ["--touch"], {"LC_ALL": "POSIX", "TZ": "Asia/Shanghai", "PYTHONHASHSEED": "2"}),
)


def run(*command: object, **options: object) -> str:
    """Run a command and return its output; if it fails, show the end of the output and leave."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"release-check: {' '.join(map(str, command))} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def tracked() -> set[str]:
    """Return the names of all files in the last commit."""
    return set(run("git", "ls-tree", "-r", "-z", "--name-only", "HEAD", cwd=TOP).split("\0")) - {""}


def rewrite(sdist: Path, epoch: int) -> None:
    """Write an sdist anew with sorted files, one time and one owner, since setuptools keeps those of the machine."""
    with tarfile.open(sdist) as old:
        files = {member.name: (member, old.extractfile(member).read()) for member in old if member.isfile()}
    with (
        sdist.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for name, (member, content) in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(content), epoch, 0o755 if member.mode & 0o100 else 0o644
            new.addfile(info, io.BytesIO(content))


def build(folder: Path, umask: int, unpacking: list[str], env: dict[str, str]) -> list[Path]:
    """Build the sdist from the last commit, and the wheel from the sdist, with the locked setuptools."""
    source, out = folder / "source", folder / "out"
    source.mkdir(parents=True)
    out.mkdir()
    run("git", "archive", "--output", folder / "source.tar", "HEAD", cwd=TOP)
    run("tar", "-xf", folder / "source.tar", "-C", source, "--no-same-permissions", *unpacking, umask=umask)
    epoch = int(run("git", "log", "-1", "--format=%ct", cwd=TOP))
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "SOURCE_DATE_EPOCH": str(epoch), **env}
    code = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
    run(sys.executable, "-c", code, "build_sdist", out, cwd=source, env=env, umask=0o022)
    sdist = out / f"{STEM}.tar.gz"
    rewrite(sdist, epoch)
    run("tar", "-xf", sdist, "-C", folder, umask=0o022)
    run(sys.executable, "-c", code, "build_wheel", out, cwd=folder / STEM, env=env, umask=0o022)
    return [sdist, out / f"{STEM}-py3-none-any.whl"]


def check_builds(work: Path) -> None:
    """Two builds are equal byte for byte; the first is put into dist/."""
    first, second = (build(work / folder, *conditions) for folder, *conditions in CONDITIONS)
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    sums = ""
    for one, other in zip(first, second, strict=True):
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other)]
        if digests[0] != digests[1]:
            kept = [shutil.copy(path, REPORT / f"{number}-{path.name}") for number, path in enumerate((one, other))]
            sys.exit(f"release-check: two builds differ: {kept[0]} {kept[1]}")
        shutil.copy(one, DIST)
        sums += f"{digests[0]}  {one.name}\n"
        print(f"  two builds are equal: {one.name}, {one.stat().st_size:,} bytes, sha256 {digests[0]}")
    (REPORT / "SHA256SUMS").write_text(sums)


def check_contents(names: Collection[str]) -> None:
    """The sdist holds what git tracks, the wheel the package, and both only what setuptools adds besides."""
    with tarfile.open(DIST / f"{STEM}.tar.gz") as sdist:
        found = {f"sdist/{name.removeprefix(STEM + '/')}" for name in sdist.getnames()}
    with zipfile.ZipFile(DIST / f"{STEM}-py3-none-any.whl") as wheel:
        found |= {f"wheel/{name}" for name in wheel.namelist()}
        metadata = wheel.read(f"{STEM}.dist-info/METADATA").decode()
    expected = {f"sdist/{name}" for name in {*names, *SDIST_EXTRA}} | {
        f"wheel/{name}" for name in {*WHEEL_EXTRA, *(name for name in names if name.startswith("wx_datacube/"))}
    }
    (REPORT / "contents.txt").write_text("".join(f"{name}\n" for name in sorted(found)))
    wrong = [f"missing: {name}" for name in sorted(expected - found)]
    wrong += [f"unexpected: {name}" for name in sorted(found - expected)]
    wrong += [f"must not be released: {name}" for name in sorted(names) if NEVER.search(name)]
    wrong += [] if f"\nVersion: {__version__}\n" in metadata else ["the wheel has another version"]
    if wrong:
        sys.exit("release-check: contents:\n  " + "\n  ".join(wrong))
    counts = Counter(name.split("/")[0] for name in sorted(found))
    print(f"  contents as expected: {', '.join(f'{n} files in the {kind}' for kind, n in counts.items())}")
