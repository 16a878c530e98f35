"""The UI: `python -m bench.ui` measures the time from a click to green, a run of one partition, and the UI's start.

It launches backfills with the request that the button sends. The split of the time comes from Dagster's own records:
half of it is the daemon, which looks for backfills every 30 seconds.
"""

import datetime as dt
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from socket import socket
from typing import Any

from bench.__main__ import Emulator, emulator, measure, project
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START
from wx_datacube.catalog.periods import beijing_now

TIMES = 5
LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}
  }
}"""
STATE = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
  status timestamp endTimestamp runs(limit: 20) {status creationTime startTime endTime} } } }"""


def ask(port: int, query: str, **variables: object) -> Any:
    """Return the data of a GraphQL response."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


@contextmanager
def running_ui(folder: Path) -> Iterator[tuple[int, float]]:
    """Run `wx-datacube ui` in a project folder; yield its port, and the seconds until it could list the assets."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WX_DATACUBE_", "DAGSTER_"))}
    environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    began = time.monotonic()
    command = [sys.executable, "-m", "wx_datacube", "ui", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as it:
        try:
            nodes = "{ repositoriesOrError { ... on RepositoryConnection { nodes { assetNodes { id } } } } }"
            while True:
                with suppress(OSError):
                    if ask(port, nodes)["repositoriesOrError"]["nodes"]:
                        break
                time.sleep(0.1)
            yield port, time.monotonic() - began
        finally:
            it.send_signal(signal.SIGINT)


def backfill(port: int, names: list[str], partitions: list[str] | None) -> dict[str, float]:
    """Launch a backfill and wait for it; return the seconds until all runs succeeded, in total and by stage."""
    params: dict[str, object] = {"assetSelection": [{"path": ["default", name]} for name in names]}
    params |= {"partitionNames": partitions} if partitions else {"allPartitions": True}
    launched = ask(port, LAUNCH, params=params)
    number = launched["launchPartitionBackfill"]["backfillId"]
    while True:
        found = ask(port, STATE, id=number)["partitionBackfillOrError"]
        runs = found["runs"]
        if found["status"] not in ("REQUESTED", "IN_PROGRESS"):
            break
        time.sleep(0.2)
    if {run["status"] for run in runs} != {"SUCCESS"}:
        raise SystemExit(f"backfill {number} failed")
    first, last = min(run["creationTime"] for run in runs), max(run["endTime"] for run in runs)
    work = last - min(run["startTime"] for run in runs)
    waiting = first - found["timestamp"]
    return {"all": last - found["timestamp"], "daemon": waiting, "start": last - first - work, "work": work}


def row(what: str, found: list[dict[str, float]]) -> str:
    """Return a row of the table: medians, and the range of the totals."""
    middle = {name: statistics.median(each[name] for each in found) for name in found[0]}
    span = (
        f"{min(each['all'] for each in found):.0f} to {max(each['all'] for each in found):.0f} s" if found[1:] else ""
    )
    cells = " | ".join(f"{middle[name]:.1f} s" for name in ("all", "daemon", "start", "work"))
    return f"| {what} | {cells} | {span} |"


def clicks(scratch: Path, emulated: Emulator, today: dt.date) -> Iterator[str]:
    """Measure backfills of 30 days of `getupstreammsg`, each of other days, then one of everything."""
    folder = project(scratch / "ui", emulated, HISTORY_START)
    with running_ui(folder) as (port, seconds):
        yield f"| `wx-datacube ui` until it shows the assets | {seconds:.1f} s | | | | |"
        found = []
        for turn in range(TIMES):
            days = [(today - dt.timedelta(1 + 30 * turn + day)).isoformat() for day in range(30)]
            found.append(backfill(port, ["getupstreammsg"], days[::-1]))
        yield row(f"30 days of `getupstreammsg`, {TIMES} times", found)
        yield row("the whole history of all seven", [backfill(port, [each.name for each in ENDPOINTS], None)])


def one_partition(scratch: Path, emulated: Emulator, today: dt.date) -> Iterator[str]:
    """Measure `dagster asset materialize` of one day, for our asset and the textbook version in turns."""
    folder = project(scratch / "one", emulated, today - dt.timedelta(60))
    textbook = scratch / "textbook"
    textbook.mkdir()
    given = (emulated.api_url, emulated.appid, emulated.secret, str(textbook / "textbook.duckdb"))
    textbook.joinpath("textbook.txt").write_text(" ".join(given))
    textbook.joinpath("dagster.yaml").write_text(
        "telemetry: {enabled: false}\nstorage: {sqlite: {base_dir: history}}\n"
    )
    ours, theirs, runs = [], [], []
    for turn in range(TIMES + 1):
        day = (today - dt.timedelta(1 + turn)).isoformat()
        run = [sys.executable, "-m", "dagster", "asset", "materialize", "--partition", day]
        ours.append(measure(*run, "-m", "wx_datacube.definitions", "--select", "default/getupstreammsg", cwd=folder))
        theirs.append(measure(*run, "-m", "bench.textbook", "--select", "getupstreammsg", cwd=textbook))
        runs.append((run_seconds(folder), run_seconds(textbook)))
    # The first run of each creates databases, which must not be measured.
    mine, other = (statistics.median(each.seconds for each in found[1:]) for found in (ours, theirs))
    run_of_ours, run_of_theirs = (statistics.median(each) for each in zip(*runs[1:], strict=True))
    yield f"| one partition, `dagster asset materialize`, textbook | {other:.1f} s | | | {run_of_theirs:.1f} s | |"
    note = f"{mine / other:.2f} of the textbook's; the run {run_of_ours / run_of_theirs:.2f}"
    yield f"| one partition, `dagster asset materialize`, ours | {mine:.1f} s | | | {run_of_ours:.1f} s | {note} |"


def run_seconds(folder: Path) -> float:
    """Return the duration of the newest run in Dagster's records."""
    (found,) = folder.rglob("runs.db")
    with closing(sqlite3.connect(found)) as con:
        began, ended = con.execute("SELECT start_time, end_time FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    return float(ended - began)


def main() -> None:
    """Print the table."""
    today = beijing_now().date()
    print("| what | all | until the daemon looks | until the run starts | the run | |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch, emulator(0) as emulated:
        for part in (one_partition, clicks):
            for line in part(Path(scratch), emulated, today):
                print(line, flush=True)


if __name__ == "__main__":
    main()
