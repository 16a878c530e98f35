"""Side by side: runs, commands and containers on one folder at once, and what killed ones leave behind.

Each of these situations once caused a deadlock: a run waited for another run that was waiting too, or whose death could
not be detected. Add a test here for another way in which two processes can affect each other. All processes are real.
"""

import datetime as dt
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import Project, session, wait_until

pytestmark = pytest.mark.long

TODAY = beijing_now().date()
START = TODAY - dt.timedelta(days=46)
BOUND = 60.0
"""Seconds after a kill within which the next command must end."""
THREE = "default/getupstreammsg,default/getupstreammsghour,default/getupstreammsgdist"

RUNS = """
import json
from pathlib import Path
from wx_datacube.orchestration.instance import project_instance
with project_instance(Path.cwd()) as instance:
    print(json.dumps({run.run_id: run.status.value for run in instance.get_runs()}))
"""
DOWNSTREAM = """
import time
from pathlib import Path
import dagster as dg
from wx_datacube.definitions import build_defs

DAILY = dg.DailyPartitionsDefinition(start_date="{start}", timezone="Asia/Shanghai")

@dg.asset(deps=[["default", "getupstreammsg"]], partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
def theirs() -> None:
    Path("begun").touch()
    while not Path("go").exists():
        time.sleep(0.1)

defs = dg.Definitions.merge(build_defs(), dg.Definitions(assets=[theirs]))
"""
"""A user's own code location, with Dagster's default executor, which starts a process for each step."""


@pytest.fixture
def emulated() -> Iterator[Emulated]:
    """Provide an ordinary account with slow responses, so that runs last a while."""
    with wechat(latency=100, publish_at="00:00") as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, emulated: Emulated) -> Project:
    """Provide a folder with six weeks of history, of which nothing has been requested."""
    return Project.on(tmp_path / "project", emulated, START=START)


def materialize(
    project: Project, assets: str, first: str, last: str, module: str = "wx_datacube.definitions"
) -> list[str]:
    """Return the command line of `dagster asset materialize` over a range."""
    source = ["-f", module] if module.endswith(".py") else ["-m", module]
    command = [project.program("dagster"), "asset", "materialize", "--select", assets]
    return [*command, "--partition-range", f"{first}...{last}", *source]


def day(number: int) -> str:
    """Return a day of the history by its number."""
    return str(START + dt.timedelta(days=number))


def in_container(host: str, command: list[str]) -> list[str]:
    """Return a command that runs under another host name and in its own PID namespace, as in a container."""
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = 'hostname "$0" && exec "$@"'
    return [
        "unshare",
        *rights,
        "--uts",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        script,
        host,
        *command,
    ]


def statuses(project: Project) -> dict[str, str]:
    """Return the statuses of the Dagster instance's runs, by id."""
    found: dict[str, str] = json.loads(project.call([sys.executable, "-c", RUNS]).stdout)
    return found


def kill(process_id: int) -> None:
    """Send SIGKILL to a process and everything that it started."""
    for pid in session(process_id):
        os.kill(pid, signal.SIGKILL)


def test_runs_over_the_same_days_do_not_wait_for_each_other(project: Project, emulated: Emulated) -> None:
    """Three runs and a backfill over the same days all succeed, and no call for an hour is repeated."""
    ranges = [(day(0), day(9)), (day(14), day(19)), (day(24), day(40))]
    # Processes that start in a folder without a history fail when Dagster sets up its databases.
    assert project.run("backfill", "--endpoint", "getupstreammsgmonth").returncode == 0
    began = time.monotonic()
    commands = [materialize(project, THREE, *each) for each in ranges] + [project.command("backfill")]
    with ExitStack() as stack:
        logs = [stack.enter_context((project.folder / f"{number}.log").open("w")) for number in range(len(commands))]
        processes = [
            stack.enter_context(project.started(command, log)) for command, log in zip(commands, logs, strict=True)
        ]
        codes = [process.wait(BOUND * 2) for process in processes]

    assert codes == [0] * len(codes)
    assert time.monotonic() - began < BOUND * 2
    assert set(statuses(project).values()) == {"SUCCESS"}
    assert {call.attempt for call in emulated.control.statistics_calls() if call.endpoint.endswith("hour")} == {1}
    assert project.query("SELECT count(*) FROM datacube.coverage WHERE state = 'missing'") == [(0,)]


def test_a_run_killed_in_a_container_blocks_no_other_run(project: Project, emulated: Emulated) -> None:
    """After `kill -9` in one container, backfills in two others each succeed within a minute."""
    if shutil.which("unshare") is None:
        pytest.fail("this test needs unshare of util-linux")
    emulated.control.set(latency=1000)
    first = in_container("container-1", materialize(project, THREE, day(0), day(40)))
    with project.started(first) as process:
        wait_until(lambda: len(emulated.control.statistics_calls()) > 3)
        kill(process.pid)
    emulated.control.set(latency=50)

    for host in ("container-2", "container-3"):
        began = time.monotonic()
        through = project.call(in_container(host, project.command("backfill")))

        assert through.returncode == 0, through.stderr
        assert time.monotonic() - began < BOUND
    assert project.query("SELECT count(*) FROM datacube.coverage WHERE state = 'missing'") == [(0,)]


def test_a_run_with_a_process_for_each_step_is_not_marked_failed(project: Project) -> None:
    """A run stays STARTED while the user's own step runs, although our step's process has ended."""
    (project.folder / "location.py").write_text(DOWNSTREAM.replace("{start}", day(0)))
    command = materialize(project, "default/getupstreammsg,theirs", day(0), day(4), "location.py")
    with (project.folder / "run.log").open("w") as log, project.started(command, log) as process:
        wait_until((project.folder / "begun").exists)
        beside = project.run("backfill", "--endpoint", "getupstreammsgweek")
        during = statuses(project)
        (project.folder / "go").touch()
        code = process.wait(BOUND)

    assert beside.returncode == 0, beside.stderr
    assert sorted(during.values()) == ["STARTED", "SUCCESS"]
    assert (code, set(statuses(project).values())) == (0, {"SUCCESS"})


def test_a_run_whose_worker_was_killed_is_ended_by_the_next_command(project: Project, emulated: Emulated) -> None:
    """With a process for each step, the next command ends a run whose worker is proven dead."""
    (project.folder / "location.py").write_text(DOWNSTREAM.replace("{start}", day(0)))
    command = materialize(project, "default/getupstreammsg,theirs", day(0), day(4), "location.py")
    with (project.folder / "run.log").open("w") as log, project.started(command, log) as process:
        wait_until((project.folder / "begun").exists)
        kill(process.pid)
        assert project.run("backfill", "--endpoint", "getupstreammsgweek").returncode == 0

    assert sorted(statuses(project).values()) == ["FAILURE", "SUCCESS"]


def test_the_child_of_a_killed_backfill_ends_with_it(project: Project, emulated: Emulated) -> None:
    """The child of a killed backfill ends within a minute, even in the middle of something."""
    emulated.control.set(latency=1000)
    with project.started(project.command("backfill")) as process:
        wait_until(lambda: len(session(process.pid)) > 1 and len(emulated.control.statistics_calls()) > 3)
        (child,) = [pid for pid in session(process.pid) if pid != process.pid]
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: child not in session(process.pid), BOUND)


def test_ctrl_c_ends_a_backfill_beside_a_run(project: Project, emulated: Emulated) -> None:
    """Ctrl-C ends a backfill that waits for what another run is fetching."""
    emulated.control.set(latency=2000)
    with project.started(materialize(project, THREE, day(0), day(40))):
        wait_until(lambda: len(emulated.control.statistics_calls()) > 3)
        with project.started(project.command("backfill")) as beside:
            time.sleep(5)
            beside.send_signal(signal.SIGINT)
            assert beside.wait(BOUND) == 130
