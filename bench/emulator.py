"""`python -m bench.emulator` measures and prints the emulator's table in `docs/benchmarks.md`; it takes half a minute.

The emulator runs in its own process, pinned to one core, and is called over persistent connections. *Processor* is
the emulator's own CPU time, which is more reliable than wall-clock time on a shared machine. Linux only.
"""

import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from wx_datacube.emulator.options import Options

FIRST = dt.date(2020, 1, 1)
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Running:
    """A running emulator: its process, host and port, a token, and the seconds until it listened."""

    pid: int
    host: str
    token: str
    started: float

    def cpu(self) -> float:
        """Return the CPU seconds that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running(*options: str) -> Iterator[Running]:
    """Run an emulator in its own process, with no silent days and no quota limit in practice."""
    command = [sys.executable, "-m", "wx_datacube", "emulator", "--quota", "1000000", "--silent-share", "0", *options]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip().partition("=")[2]
            started = time.perf_counter() - began
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
            host = urlsplit(url).netloc
            asked = {"grant_type": "client_credential", "appid": Options().appid, "secret": Options().secret}
            token = json.loads(post(HTTPConnection(host, timeout=60), "/cgi-bin/stable_token", asked))["access_token"]
            yield Running(process.pid, host, token, started)
        finally:
            process.terminate()


def post(connection: HTTPConnection, path: str, asked: dict[str, str]) -> bytes:
    """Return the body of a reply."""
    connection.request("POST", path, json.dumps(asked))
    return connection.getresponse().read()


def ask(it: Running, endpoint: str, days: Sequence[dt.date]) -> list[float]:
    """Request days one by one over one connection; return the seconds that each took."""
    connection, took = HTTPConnection(it.host, timeout=60), []
    for day in days:
        began = time.perf_counter()
        window = {"begin_date": day.isoformat(), "end_date": day.isoformat()}
        found = post(connection, f"/datacube/{endpoint}?access_token={it.token}", window)
        took.append(time.perf_counter() - began)
        assert found.startswith(b'{"list":[{'), found[:200]
    connection.close()
    return took


def some_days(number: int, step: int = 1) -> list[dt.date]:
    """Return past days."""
    return [FIRST + dt.timedelta(days=n * step) for n in range(number)]


def line(what: str, figure: str, cpu: str = "", note: str = "") -> str:
    """Return a row of the table."""
    return f"| {what} | {figure} | {cpu} | {note} |"


def calls(it: Running, what: str, endpoint: str, days: Sequence[dt.date]) -> str:
    """Measure calls one after the other; return a row with median, 99th percentile and CPU time per call."""
    before = it.cpu()
    took = sorted(ask(it, endpoint, days))
    cpu = (it.cpu() - before) / len(days)
    slow = took[-1 - len(took) // 100]
    figure = f"{statistics.median(took) * 1000:.1f} ms, 99 % within {slow * 1000:.1f} ms"
    return line(f"`{endpoint}` {what}", figure, f"{cpu * 1000:.1f} ms", f"{len(days):,} calls")


def warm(number: int = 4_000, connections: int = 4) -> Iterator[str]:
    """Measure requests for hours that the emulator has already computed."""
    with running() as it:
        days = some_days(100)
        ask(it, "getupstreammsghour", days)
        yield calls(it, "warm, one connection", "getupstreammsghour", days * 10)
        share = days * (number // connections // 100)
        workers = [threading.Thread(target=ask, args=(it, "getupstreammsghour", share)) for _ in range(connections)]
        before, began = it.cpu(), time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds, cpu = time.perf_counter() - began, it.cpu() - before
        figures = (f"{number / seconds:,.0f}", f"{number / cpu:,.0f}", f"{number:,} calls")
        yield line(f"answers a second, {connections} connections", *figures)


def cold() -> Iterator[str]:
    """Measure requests for days that the emulator has not computed yet."""
    months = [dt.date(year, 3, 1) for year in (2021, 2022, 2023)]
    for size, number in (("1000", 400), ("100000", 40)):
        with running("--messages-per-day", size) as it:
            what = f"cold, {int(size):,} messages a day"
            yield calls(it, what, "getupstreammsghour", some_days(number, 5))
            yield calls(it, what, "getupstreammsgmonth", months)


def start(times: int = 5) -> str:
    """Measure how long the command takes until it listens."""
    took, cpu = [], []
    for _ in range(times):
        with running() as it:
            took.append(it.started)
            cpu.append(it.cpu())
    figures = (f"{statistics.median(took):.2f} s", f"{statistics.median(cpu):.2f} s", f"median of {times}")
    return line("`wx-datacube emulator` listens after", *figures)


def main() -> None:
    """Print the table."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| what | time | processor | |")
    print("|---|---|---|---|", flush=True)
    print(start(), flush=True)
    for row in (*warm(), *cold()):
        print(row, flush=True)


if __name__ == "__main__":
    main()
