"""`python -m bench` measures and prints the table of `docs/benchmarks.md`; `--quick` measures one year of history."""

import argparse
import datetime as dt
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from wx_datacube.catalog.model import HISTORY_START
from wx_datacube.catalog.periods import beijing_now
from wx_datacube.emulator.testing import Control

TEXTBOOK_DAYS = 10
MORNINGS = 3


@dataclass(frozen=True, slots=True)
class Emulator:
    """Address and credentials of an emulator that runs in its own process."""

    api_url: str
    appid: str
    secret: str


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a command: wall-clock seconds, CPU seconds, peak memory of its processes in MB, and its output."""

    seconds: float
    cpu: float
    memory: float
    output: str


@contextmanager
def emulator(latency: int) -> Iterator[Emulator]:
    """Run an emulator that needs the most calls: no silent days, everything published, practically no quota limit."""
    command = [sys.executable, "-m", "wx_datacube", "emulator", "--quota", "1000000", "--silent-share", "0"]
    command += ["--publish-at", "00:00"]
    with subprocess.Popen([*command, "--latency", str(latency)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Emulator(*(process.stdout.readline().strip().partition("=")[2] for _ in range(3)))
        finally:
            process.terminate()


def measure(*command: str, cwd: Path) -> Measured:
    """Run a command until it ends; exit if it fails."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WX_DATACUBE_", "DAGSTER_"))}
    environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=cwd, env=environ, stdout=output, stderr=subprocess.STDOUT)
        memory = 0.0
        while process.poll() is None:
            memory = max(memory, sum(map(used_memory, family(process.pid))))
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        output.seek(0)
        text = output.read()
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, cpu, memory, text)


def family(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in thread.joinpath("children").read_text().split():
                yield from family(int(child))


def used_memory(pid: int) -> float:
    """Return the memory of a process in MB; memory shared with other processes is divided among them."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
    return 0.0


def project(folder: Path, emulated: Emulator, start: dt.date, families: str = "messages") -> Path:
    """Make a project folder that uses the emulator."""
    folder.mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        folder.joinpath(name).write_text(files("wx_datacube.config").joinpath("project", name).read_text())
    lines = (
        f"WX_DATACUBE_API_URL={emulated.api_url}",
        f"WX_DATACUBE_APPID={emulated.appid}",
        f"WX_DATACUBE_SECRET={emulated.secret}",
        f"WX_DATACUBE_START={start}",
        f"WX_DATACUBE_FAMILIES={families}",
    )
    folder.joinpath(".env").write_text("\n".join(lines))
    folder.joinpath(".env").chmod(0o600)
    return folder


def backfill(folder: Path, *options: str) -> Measured:
    """Run `wx-datacube backfill` in a project folder."""
    return measure(sys.executable, "-m", "wx_datacube", "backfill", *options, cwd=folder)


def line(latency: int, what: str, measured: Measured, beside: Measured | None = None, note: str = "") -> str:
    """Return a row of the table; the ratio is relative to `beside`."""
    ratio = f"{measured.seconds / beside.seconds:.2f}" if beside else ""
    return (
        f"| {latency} ms | {what} | {measured.seconds:.1f} s | {ratio} | {measured.cpu:.1f} s"
        f" | {measured.memory:.0f} MB | {note} |"
    )


def whole_history(scratch: Path, latency: int, start: dt.date, today: dt.date, families: str) -> Iterator[str]:
    """Measure the floor, then the project, on the same emulator."""
    with emulator(latency) as emulated:
        given = (emulated.api_url, emulated.appid, emulated.secret)
        end = newest(today, MORNINGS if families == "messages" else 0)  # leave some days for `daily`
        # The first pass is a warm-up: the emulator computes its figures, which must not be measured.
        for attempt in ("warm", "floor"):
            database = scratch / f"{attempt}{latency}.duckdb"
            floor = measure(
                *(sys.executable, "-m", "bench.floor", *given, str(start), end, str(today), str(database), families),
                cwd=scratch,
            )
        control = Control(emulated.api_url)
        already = len(control.calls())
        folder = project(scratch / f"project{latency}", emulated, start, families)
        planned = predicted(folder)
        ours = backfill(folder, "--end", end)
        journal = [call for call in control.calls()[already:] if call.endpoint.startswith("get")]
        yield line(latency, "floor", floor, floor, f"{floor.output.strip()} calls")
        yield line(
            latency,
            "wx-datacube backfill",
            ours,
            floor,
            f"{len(journal)} calls; `status` predicted {planned} up to today",
        )
        if latency:
            first, last = journal[0].at, journal[-1].at
            rate = len(journal) / (last - first).total_seconds()
            allowed = 8 / (latency / 1000)
            yield f"| {latency} ms | calls a second, of {allowed:.0f} | {rate:.0f} | {rate / allowed:.2f} | | | |"
        elif families == "messages":
            yield from afterwards(folder, end)
            yield from daily(scratch, folder, emulated, today)
            yield from textbook(scratch, emulated, today)


def predicted(folder: Path) -> int:
    """Return how many calls `wx-datacube status` says that the history needs."""
    command = [sys.executable, "-m", "wx_datacube", "status", "--json"]
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    found = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    accounts = json.loads(found.stdout)["accounts"].values()
    return sum(each["calls_needed"] for account in accounts for each in account["endpoints"].values())


def afterwards(folder: Path, end: str) -> Iterator[str]:
    """Measure what is cheap once everything is stored."""
    nothing = backfill(folder, "--end", end)
    yield line(0, "backfill with nothing to do", nothing)
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 2**20:.1f} MB" for path in folder.glob("data/*.duckdb"))
    history = sum(path.stat().st_size for path in folder.joinpath(".dagster").rglob("*") if path.is_file())
    yield f"| | sizes | | | | | {sizes}, .dagster {history / 2**20:.0f} MB |"
    shutil.rmtree(folder / ".dagster")
    again = backfill(folder, "--end", end)
    yield line(0, "all materialized again on a fresh Dagster", again)


def daily(scratch: Path, folder: Path, emulated: Emulator, today: dt.date) -> Iterator[str]:
    """Measure daily runs with a month and with the whole history stored, in turns; report the median of each."""
    little = project(scratch / "month", emulated, today - dt.timedelta(days=MORNINGS + 31))
    backfill(little, "--end", newest(today, MORNINGS))
    found: dict[Path, list[Measured]] = {little: [], folder: []}
    for left in reversed(range(MORNINGS)):
        for each, mornings in found.items():
            mornings.append(backfill(each, "--end", newest(today, left)))
    month, everything = (sorted(each, key=lambda run: run.seconds)[MORNINGS // 2] for each in found.values())
    yield line(0, "a day's run with a month stored", month, month)
    yield line(0, "a day's run with the whole history stored", everything, month)


def newest(today: dt.date, left: int) -> str:
    """Return the newest day that is due, or the day `left` days before it."""
    return (today - dt.timedelta(days=1 + left)).isoformat()


def textbook(scratch: Path, emulated: Emulator, today: dt.date) -> Iterator[str]:
    """Measure ten daily partitions of one endpoint: ten runs of the textbook version, and one run of ours."""
    days = [(today - dt.timedelta(days=back)).isoformat() for back in range(TEXTBOOK_DAYS, 0, -1)]
    folder = project(scratch / "ten", emulated, today - dt.timedelta(days=TEXTBOOK_DAYS))
    ours = backfill(folder, "--endpoint", "getupstreammsg")
    given = (emulated.api_url, emulated.appid, emulated.secret, str(scratch / "textbook.duckdb"))
    theirs = measure(sys.executable, "-m", "bench.textbook", *given, *days, cwd=scratch)
    yield line(0, "ten days of getupstreammsg, wx-datacube backfill", ours, ours)
    yield line(0, "ten days of getupstreammsg, textbook", theirs, ours)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one year instead of the whole history")
    parser.add_argument("--latency", type=int, action="append", help="milliseconds; default: 80 and 0")
    parser.add_argument("--families", default="messages", help="families to fetch, or all; default: messages")
    chosen = parser.parse_args()
    today = beijing_now().date()
    start = today - dt.timedelta(days=365) if chosen.quick else HISTORY_START
    packages = ", ".join(f"{name} {version(name)}" for name in ("dagster", "duckdb", "requests"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}, {today}\n")
    print("| latency | what | time | ratio | processor | memory | |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for latency in chosen.latency or (80, 0):
            folder = Path(scratch, f"{latency}ms")
            folder.mkdir()
            for row in whole_history(folder, latency, start, today, chosen.families):
                print(row, flush=True)


if __name__ == "__main__":
    main()
