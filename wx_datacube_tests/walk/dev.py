"""Dev: `dagster dev` and Dagster's instance in a project folder, with a clock that can be moved.

libfaketime (Debian: faketime) moves the processes' clock, so that time between events is skipped: each process reads
its offset from a file. Questions to Dagster go to its instance; what a person does in the UI goes to the webserver.
"""

import datetime as dt
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import TickStatus

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.messages import DAILY_MESSAGES
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.catalog.periods import BEIJING, beijing_now
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.schedules import schedule_names
from wx_datacube_tests.company import Company
from wx_datacube_tests.end_to_end.project import Project, Ui, end, free_port, session
from wx_datacube_tests.receiver import Receiver
from wx_datacube_tests.walk.defects import VARIABLE
from wx_datacube_tests.walk.dev_texts import AGAIN, SCHEDULES, SWITCH_ON, TERMINATE, THEIRS
from wx_datacube_tests.walk.facts import BEGINNING
from wx_datacube_tests.walk.life import Life

TICKS = (dt.time(8, 30), dt.time(12, 30), dt.time(12, 35))
"""The morning's ticks to wait for; skipped ticks between them come late, as after a suspend."""
BOUND = 180.0
"""Timeout in seconds of a command, a tick or a run on a busy machine."""
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_LIBRARIES = [*Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1")]
_UNDER_WAY = ("REQUESTED", "CANCELING", "FAILING")


class DevLife(Life):
    """A life of processes of Dagster; what they need of commands is in `system`."""

    overlap = dt.timedelta(minutes=5)

    def __init__(self, folder: Path, company: Company, receiver: Receiver, seed: int, stack: ExitStack) -> None:
        super().__init__(folder, company, receiver, seed)
        self.stack = stack
        self.guest = seed % 3 == 2
        """Whether ours is part of a user's own project, which needs the messages of the first account."""
        self._keep_messages()
        self._shift_file = folder / "shift"
        self.set_clocks(BEGINNING)
        self.project = Project.make(folder / "project")
        self._configure()
        self.dev: subprocess.Popen[str] | None = None
        self.ui = Ui(0)
        self.abandoned: set[str] = set()
        """Runs killed in a container or on another host. Nothing here can prove that: Dagster ends them after 4 h."""
        self.hits: list[dt.datetime] = []
        """When we signalled a process or terminated a run."""
        self.judged: set[str] = set()
        """Failed runs that have been examined."""
        self._switched_on: set[str] = set()
        """The schedules that are on."""
        self.open_instance()
        self.start_dev()

    # --- time

    @property
    def now(self) -> dt.datetime:
        """The current time of all processes."""
        return beijing_now() + self.shift

    @now.setter
    def now(self, moment: dt.datetime) -> None:
        self.shift = moment - beijing_now()

    def set_clocks(self, moment: dt.datetime) -> None:
        """Set the time of all processes and of WeChat; the clocks run on from there."""
        self.now = moment
        part = self._shift_file.with_suffix(".part")
        part.write_text(f"{self.shift.total_seconds():+.3f}\n")
        part.replace(self._shift_file)
        for account in self.company.members.values():
            account.clock.set(moment, frozen=False)

    def environ(self) -> dict[str, str]:
        """Return the environment variables that give a process this time."""
        if not _LIBRARIES:
            raise RuntimeError("A walk of the whole system moves the clock by libfaketime: apt install faketime")
        (library, *_) = _LIBRARIES
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._shift_file),
            "FAKETIME_CACHE_DURATION": "1",  # read at every look at the clock, the file takes a third of the processors
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "DAGSTER_HOME": str(self.project.folder),
            **({"PYTHONPATH": os.environ["PYTHONPATH"]} if VARIABLE in os.environ else {}),
        }

    def pass_until(self, moment: dt.datetime) -> None:
        """Let time pass; wait for the ticks on the way and for the runs that they request."""
        self.settle()  # a run doesn't take hours, unless `suspend` makes it
        day = self.now.date()
        while day <= moment.date():
            for tick in TICKS:
                at = dt.datetime.combine(day, tick)
                if self.now < at <= moment and self.scheduled:
                    if tick == TICKS[-1]:
                        self.judged_on.add(day)
                    self._tick(at)
            day += dt.timedelta(days=1)
        if self.now < moment:
            self.set_clocks(moment)
        self.take_messages()

    def _tick(self, at: dt.datetime) -> None:
        self.set_clocks(at - dt.timedelta(seconds=4))
        self.start_dev()
        checks = at.time() == TICKS[-1]
        schedules = {each for each in self._schedules() if each.endswith("_checks") == checks}
        stamp = at.replace(tzinfo=BEIJING).timestamp()

        def ticked() -> bool:
            if not self._has_code():  # a jump of the clock can make it exit seconds later
                self.start_dev()
            done = {
                state.name
                for state in self.instance.all_instigator_state()
                for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
                if tick.timestamp >= stamp and tick.status is not TickStatus.STARTED
            }
            return schedules <= done

        if not self.wait(ticked, BOUND):
            self.complaints.append(f"schedules tick: those of {at} did not within {BOUND:.0f} s")
        self.settle()
        self.take_messages()

    def wait(self, happened: Callable[[], bool], seconds: float, every: float = 0.3) -> bool:
        """Return whether it happened within `seconds`."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                return False
            time.sleep(every)
        return True

    # --- Dagster

    def open_instance(self) -> None:
        """Open the project's Dagster instance in this process."""
        before = Path.cwd()
        self.instance = self.stack.enter_context(project_instance(self.project.folder))
        os.chdir(before)

    def start_dev(self) -> None:
        """Start `dagster dev` if it isn't running, and turn the schedules on."""
        if self.dev is not None and self.dev.poll() is None and self.ui.is_there() and self._has_code():
            return
        self.stop_dev()
        self.ui = Ui(free_port())
        command = [self.project.program("dagster"), "dev", "--port", str(self.ui.port), *self._workspace()]
        log = self.stack.enter_context((self.folder / "dev.log").open("a"))
        self.dev = self.stack.enter_context(self.project.started(command, log, **self.environ()))
        if not self.wait(self.ui.is_there, BOUND):
            self.complaints.append(f"dagster dev starts: it did not within {BOUND:.0f} s")
        if self._switched_on != self._schedules():
            self._switch_schedules_on()

    def _schedules(self) -> set[str]:
        """Return the schedules of all accounts."""
        return {
            f"{name}_{what}"
            for member, name in self.names.items()
            for what in [*schedule_names(self.endpoints(member)), "checks"]
        }

    def _has_code(self) -> bool:
        """Return whether the code server still has the process that loads the code; Dagster doesn't restart it.

        It exits if the clock jumps between two of its heartbeats, about once in thirty jumps: see docs/why.md.
        """
        return any("\0api\0grpc" in command_of(pid) for pid in self.processes())

    def _switch_schedules_on(self) -> None:
        (location,) = self.ui.ask(SCHEDULES)["repositoriesOrError"]["nodes"]
        ours = self._schedules()  # without the digest, which would be in the chat between the alerts
        for schedule in (each for each in location["schedules"] if each["name"] in ours):
            self._asked(
                SWITCH_ON,
                of={
                    "repositoryName": location["name"],
                    "repositoryLocationName": location["location"]["name"],
                    "scheduleName": schedule["name"],
                },
            )
        self._switched_on = self._schedules()

    def _workspace(self) -> list[str]:
        if not self.guest:
            return ["-w", "workspace.yaml"]
        first = next(iter(self.names.values()))
        (self.project.folder / "theirs.py").write_text(THEIRS.format(account=first, start=self.start))
        return ["-f", "theirs.py"]

    def stop_dev(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.dev is not None:
            end(self.dev)
            self.dev = None

    def unfinished(self) -> list[dg.DagsterRun]:
        """Return the runs that have not ended."""
        runs = self.instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
        return [run for run in runs if run.run_id not in self.abandoned]

    def started(self) -> list[dg.DagsterRun]:
        """Return the runs that are being executed."""
        return [run for run in self.unfinished() if run.status is dg.DagsterRunStatus.STARTED]

    @property
    def busy(self) -> bool:
        """Whether runs or backfills of the UI have not ended."""
        backfills = self.instance.get_backfills()
        return bool(self.unfinished()) or any(each.status.name in _UNDER_WAY for each in backfills)

    def settle(self) -> None:
        """Wait until every run and backfill has ended."""

        if not self.wait(lambda: not self.busy, BOUND):
            left = [
                f"{run.run_id[:8]} {run.status.name} {sorted(run.asset_selection or ())}" for run in self.unfinished()
            ]
            self.complaints.append(f"every run ends: after {BOUND:.0f} s there are {left}"[:600])
        self._judge_failures()

    def _judge_failures(self) -> None:
        """Complain about failed runs whose log gives no reason and that we didn't hit."""
        for record in self.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])):
            run_id = record.dagster_run.run_id
            if run_id in self.judged:
                continue
            self.judged.add(run_id)
            steps = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
            if not steps and not self._was_hit(record):
                logs = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
                self.complaints.append(f"runs fail for a reason: {run_id} {[each.message for each in logs][:2]}")

    def _was_hit(self, record: dg.RunRecord) -> bool:
        """Return whether we hit a process, perhaps the code server, in a run's lifetime or the ten minutes before."""
        made, end = record.create_timestamp.timestamp(), record.end_time or record.update_timestamp.timestamp()
        hits = [each.replace(tzinfo=BEIJING).timestamp() for each in self.hits]
        return any(made - 600 <= hit <= end + 1 for hit in hits)

    def launch(self, member: str, ranges: dict[Endpoint, list[tuple[dt.date, dt.date]]]) -> None:
        """Launch a backfill in the UI."""
        self.start_dev()
        chosen = {
            (self.names[member], endpoint.name): [(str(first), str(last)) for first, last in each]
            for endpoint, each in ranges.items()
        }
        if self.guest and member == self.members()[0] and DAILY_MESSAGES in ranges:
            chosen["busiest_day",] = chosen[self.names[member], DAILY_MESSAGES.name]
        with suppress(OSError):  # the webserver was killed: the next action starts another
            self.ui.launch(chosen)
            self.wait(self._is_in_the_middle, 60)  # Dagster looks for backfills every 30 s

    def _is_in_the_middle(self) -> bool:
        """Return whether a run has executed some of its steps."""
        over = dg.DagsterEventType.STEP_SUCCESS
        return any(self.instance.all_logs(run.run_id, of_type=over) for run in self.started())

    def terminate(self, place: int) -> None:
        """Terminate a started run in the UI, if there is one."""
        if runs := self.started():
            self.hits.append(self.now)
            self._asked(TERMINATE, id=runs[place % len(runs)].run_id)

    def execute_again(self) -> None:
        """Re-execute the newest failed or canceled run in the UI."""
        over = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
        for run in self.instance.get_runs(dg.RunsFilter(statuses=over), limit=1):
            self._asked(AGAIN, id=run.run_id)

    def _asked(self, query: str, **variables: Any) -> None:
        with suppress(OSError):  # the webserver was killed: the next action starts another
            found = self.ui.ask(query, **variables)
            (kind,) = [each["__typename"] for each in found.values()]
            if kind == "PythonError":
                self.complaints.append(f"the UI launches what is requested: {found}"[:500])

    def materialized(self, member: str) -> dict[str, set[dt.date]]:
        """Return the labels that Dagster has as materialized, by endpoint."""
        found = {}
        for endpoint in ENDPOINTS:
            keys = self.instance.get_materialized_partitions(dg.AssetKey([self.names[member], endpoint.name]))
            found[endpoint.name] = {dt.date.fromisoformat(key) for key in keys}
        return found

    # --- settings and processes

    def configure(self) -> None:
        """Write `.env` anew and restart Dagster, whose assets and schedules may be others now."""
        self._keep_messages()
        self.settle()
        self.stop_dev()
        self._configure()

    def _keep_messages(self) -> None:
        first = self.members()[0]
        if self.guest and Family.MESSAGES not in self.families[first]:
            self.families[first] = (Family.MESSAGES, *self.families[first])

    def _configure(self) -> None:
        self.project.set(**self.configuration())

    @property
    def database(self) -> Path:
        """The published file."""
        return self.project.database

    def processes(self) -> list[int]:
        """Return the processes of `dagster dev` and of its runs."""
        return session(self.dev.pid) if self.dev is not None else []


def command_of(pid: int) -> str:
    """Return the command line of a process; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""
