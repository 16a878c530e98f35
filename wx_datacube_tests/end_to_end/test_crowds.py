"""Crowds: many runs, readers and a foreign writer use the same files at once.

No label is requested twice, no process fails because of another, every read sees a consistent state, and no foreign
change survives.
"""

import datetime as dt
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import PATIENCE, Project, wait_until
from wx_datacube_tests.processes import HOLD, NO_TERMINAL, running

pytestmark = pytest.mark.long

START = dt.date(2024, 1, 1)

RUN = """
import datetime as dt, os, sys
from pathlib import Path
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.ingest.service import Ingest
from wx_datacube.catalog.periods import beijing_now, due_labels
from wx_datacube.config.environment import adopt_dotenv, load_settings
os.chdir(sys.argv[1])
adopt_dotenv()
print("ready", flush=True)
for line in sys.stdin:
    settings = load_settings()
    ingest = Ingest.of(settings, settings.account())
    first, last, *names = line.split()
    for endpoint in [each for each in ENDPOINTS if each.name in names]:
        due = due_labels(endpoint.period, dt.date.fromisoformat(first), beijing_now().date())
        report = ingest.fetch_missing(endpoint, [label for label in due if str(label) <= last], run_id="crowd")
        assert not report.unresolved, report.errors
    print("done", flush=True)
"""
"""Runs, without Dagster, over the labels between two days: one per input line, which also names the endpoints."""

READ = """
import json, re, sys, time, duckdb
from pathlib import Path
found = {"reads": 0, "held_by": [], "calls": 0}
while not Path("stop").exists():
    time.sleep(1)
    try:
        con = duckdb.connect(sys.argv[1], read_only=True)
    except duckdb.IOException as error:
        found["held_by"].append(int(re.search(r"PID (\\d+)", str(error))[1]))
        continue
    with con:
        calls, answers, odd = con.execute(sys.argv[2]).fetchone()
    assert odd == 0, odd
    assert calls >= found["calls"], (calls, found)
    found["reads"] += 1
    found["calls"] = calls
print(json.dumps(found))
"""
"""Reads in a loop until a file `stop` exists; prints the number of reads and the processes that held the file."""

STATE = """
WITH asked AS (SELECT account, endpoint, unnest(asked) AS label FROM datacube.api_calls),
covered AS (SELECT endpoint, label, "rows" FROM datacube.coverage WHERE state = 'landed'),
counted AS (SELECT 'getupstreammsg' AS endpoint, ref_date AS label, count(*) AS "rows"
    FROM datacube.getupstreammsg GROUP BY ALL
    UNION ALL SELECT 'getupstreammsghour', ref_date, count(*) FROM datacube.getupstreammsghour GROUP BY ALL),
odd AS ((SELECT endpoint, label FROM asked ANTI JOIN datacube.label_answers USING (account, endpoint, label))
    UNION ALL (SELECT endpoint, label FROM counted ANTI JOIN covered USING (endpoint, label, "rows"))
    UNION ALL (SELECT endpoint, label FROM covered SEMI JOIN (SELECT DISTINCT endpoint FROM counted) USING (endpoint)
        ANTI JOIN counted USING (endpoint, label, "rows"))
    UNION ALL (SELECT endpoint, label FROM datacube.label_answers ANTI JOIN datacube.api_calls USING (call_id)))
SELECT (SELECT count(*) FROM datacube.api_calls), (SELECT count(*) FROM datacube.label_answers),
    (SELECT count(*) FROM odd)"""
"""The number of calls, of label answers, and of labels for which ledger, tables and coverage disagree."""

INTRUDE = """
import sys, time, duckdb
from pathlib import Path
while True:
    try:
        Path(sys.argv[1]).chmod(0o644)
        con = duckdb.connect(sys.argv[1])
        break
    except (duckdb.IOException, FileNotFoundError):
        time.sleep(0.01)
con.execute("CREATE OR REPLACE TABLE intruder AS SELECT 1; INSERT INTO datacube.meta SELECT 1, NULL; CHECKPOINT")
print("ready", flush=True)
sys.stdin.readline()
"""
"""Opens the published file read-write once no reader has it open, changes it, and holds it until it is killed."""

FOREIGN = (
    "SELECT (SELECT count(*) FROM datacube.meta), (FROM duckdb_tables() SELECT count(*) WHERE table_name ~ 'intr')"
)

DOUBLED = """
SELECT ref_date FROM datacube.getupstreammsg GROUP BY ref_date, msg_type HAVING count(*) > 1
UNION ALL SELECT ref_date FROM datacube.getupstreammsghour GROUP BY ref_date, ref_hour, msg_type HAVING count(*) > 1
UNION ALL SELECT ref_date FROM datacube.getupstreammsgdist GROUP BY ref_date, count_interval HAVING count(*) > 1"""

ASKED_AGAIN = """
SELECT endpoint, label FROM (SELECT endpoint, unnest(asked) AS label FROM datacube.api_calls)
GROUP BY ALL HAVING count(*) > 1"""


@pytest.fixture
def emulated() -> Iterator[Emulated]:
    """Provide an account with slow responses, so that runs overlap."""
    with wechat(latency=50) as started:
        yield started


@pytest.fixture
def project(emulated: Emulated, tmp_path: Path) -> Project:
    """Provide a fresh project folder for that account."""
    return Project.on(tmp_path / "project", emulated, START=START)


def run(process: subprocess.Popen[str], first: dt.date, last: dt.date, names: Iterable[str]) -> None:
    """Make a `RUN` process do one run, and wait until it is done."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{first} {last} {' '.join(names)}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def backfill(project: Project, first: dt.date, last: dt.date) -> list[str]:
    """Return the command line of a complete backfill."""
    return project.command("backfill", "--start", str(first), "--end", str(last))


def day(number: int) -> dt.date:
    """Return the day that is `number` days after the first."""
    return START + dt.timedelta(days=number)


@contextmanager
def readers(project: Project) -> Iterator[list[dict[str, Any]]]:
    """Run three processes that read the published file in a loop, and yield a list that receives their results."""
    found: list[dict[str, Any]] = []
    command = [sys.executable, "-c", f"{NO_TERMINAL}{READ}", str(project.database), STATE]
    with ExitStack() as stack:
        started = [stack.enter_context(project.started(command)) for _ in range(3)]
        yield found
        (project.folder / "stop").touch()
        for process in started:
            out, err = process.communicate(timeout=PATIENCE)
            assert (process.returncode, err) == (0, "")
            found.append(json.loads(out))


def check(project: Project, emulated: Emulated) -> None:
    """Assert that no label was requested twice, no row is duplicated, and there is no revision or foreign change."""
    assert project.query(ASKED_AGAIN) == []
    assert project.query("SELECT count(*) FROM datacube.api_calls") == [(len(emulated.control.statistics_calls()),)]
    assert project.query(DOUBLED) == []
    assert project.query("FROM datacube.revisions") == []
    assert project.query("FROM datacube.rejected_rows") == []
    assert project.query(STATE)[0][2] == 0
    assert project.query(FOREIGN) == [(1, 0)]


def replaced(project: Project, before: int) -> bool:
    """Return whether the published file has been replaced."""
    return project.database.stat().st_ino != before


def intrude(project: Project, started: Sequence[subprocess.Popen[str]], stack: ExitStack) -> set[int]:
    """Run two foreign writers that are killed and a third one that stays, and return their process ids."""
    pids, before = set(), project.database.stat().st_ino
    for holds in (False, False, True):
        intruder = stack.enter_context(running(INTRUDE, project.database))
        pids.add(intruder.pid)
        if not holds:
            time.sleep(0.3)
            intruder.kill()
            intruder.wait()
    assert any(process.poll() is None for process in started)
    wait_until(partial(replaced, project, before), every=0.01)  # by whichever run ends next
    return pids


def test_eight_runs_three_readers_and_an_intruder_at_once(project: Project, emulated: Emulated) -> None:
    """Eight backfills over overlapping ranges all succeed, and so does every read."""
    with ExitStack() as stack:
        publish_something(project)
        held = stack.enter_context(running(HOLD.replace("1])", "1], read_only=True)"), project.database))
        said = stack.enter_context(readers(project))
        spans = [(day(7 * place), day(7 * place + 20)) for place in range(8)]
        started = [stack.enter_context(project.started(backfill(project, *span))) for span in spans]
        with ExitStack() as intruders:
            pids = intrude(project, started, intruders)
            ends = [(process.communicate(timeout=PATIENCE)[1], process.returncode) for process in started]
            assert ends == [("", 0)] * 8
        check(project, emulated)
        assert held.poll() is None

    assert all(each["reads"] > 10 and set(each["held_by"]) <= pids for each in said)
    assert {each["calls"] for each in said} == {len(emulated.control.statistics_calls())}


def test_two_hundred_runs_eight_at_a_time(project: Project, emulated: Emulated) -> None:
    """Two hundred runs with overlapping ranges in eight processes, every fortieth a `backfill`, all succeed."""
    chance = random.Random(200)
    starts = [chance.randrange(500) for _ in range(200)]
    spans = [(day(start), day(start + chance.randrange(60))) for start in starts]
    chosen = [chance.sample(list(BY_NAME), 2) for _ in starts]
    emulated.control.set(quota=10_000)
    publish_something(project)
    pending_labels = iter(enumerate(spans))

    def work() -> int:
        made = 0
        with running(RUN, project.folder) as process:
            for number, span in pending_labels:  # each thread takes the next one: `enumerate` is atomic
                if number % 40 == 0:
                    found = project.call(backfill(project, *span))
                    assert (found.returncode, found.stderr) == (0, "")
                else:
                    run(process, *span, chosen[number])
                made += 1
        return made

    with readers(project) as said, ThreadPoolExecutor(8) as crowd:
        made = [worker.result() for worker in [crowd.submit(work) for _ in range(8)]]
        check(project, emulated)

    assert sum(made) == 200
    assert min(made) > 5
    assert all(each["held_by"] == [] for each in said)


def publish_something(project: Project) -> None:
    """Publish a few labels for the readers."""
    with running(RUN, project.folder) as process:
        run(process, day(0), day(1), BY_NAME)
