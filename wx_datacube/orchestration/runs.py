"""Runs: the tags of our runs, and the end of runs whose worker process is dead.

Dagster's default launcher doesn't notice that the process of a run was killed: the run stays started until Dagster's
run monitoring ends it after hours. Add here what is about runs as such. No run ever waits for another one here: what
two runs both want is settled by the fetch lock of the endpoint (`Warehouse.fetching`), which dies with its holder.
"""

import functools
import multiprocessing
import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

import dagster as dg

from wx_datacube.orchestration.event_log import is_on_this_machine

REASON_TAG = "wx_datacube/reason"
WORKER_TAG = "wx_datacube/worker"
"""The process that executes the run, as `Worker` writes it."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config of what a command runs in its own process: nothing of Dagster's log on the terminal."""

QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_IN_A_PROCESS = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_GONE = (
    "The process of this run is gone (killed, or the machine restarted). What landed stays stored; run the same again,"
    " or let the schedule do it."
)


class Reason(StrEnum):
    """Why a run was launched by us; runs launched by hand carry no reason."""

    SCHEDULE = "schedule"
    BACKFILL = "backfill"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Worker:
    """A process of one boot of one machine.

    A PID alone doesn't name a process: containers share a host name and number their processes from 1, and a machine
    that was restarted gives the same numbers again. `boot` and `namespace` say whose number `pid` is, `started` (clock
    ticks since the boot) tells it from a later process with the same number. Source: proc(5), pid_namespaces(7).
    """

    boot: str
    namespace: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The living process `pid` as this process sees it; None where there is none, or no /proc, as on macOS."""
        started = _started(pid)
        return cls(*_here(), pid, started) if started and all(_here()) else None

    @classmethod
    def of_run(cls, run: dg.DagsterRun) -> Self | None:
        """The worker that the run's tag names; None without one, or with that of the run it was copied from."""
        parts = run.tags.get(WORKER_TAG, "").split()
        if len(parts) != 5 or parts[0] != run.run_id or not parts[3].isdigit():
            return None
        return cls(parts[1], parts[2], int(parts[3]), parts[4])

    @property
    def is_alive(self) -> bool:
        """Whether it is proven that the process lives."""
        return (self.boot, self.namespace) == _here() and _started(self.pid) == self.started

    def is_dead(self, *, on_this_machine: bool) -> bool:
        """Whether it is proven that the process is gone.

        `on_this_machine` says that it ran on this machine for certain, so that another boot id means a restart.
        """
        if not all(_here()):
            return False
        if self.boot != _here()[0]:
            return on_this_machine
        return self.namespace == _here()[1] and _started(self.pid) != self.started


def worker_tags(run_id: str, pid: int) -> dict[str, str]:
    """The tag that names the process `pid` as the worker of the run; empty where it can't be named.

    It holds the run's id, since Dagster copies a run's tags when the run is executed again.
    """
    worker = Worker.of(pid)
    return {WORKER_TAG: f"{run_id} {worker.boot} {worker.namespace} {worker.pid} {worker.started}"} if worker else {}


def tag_worker(instance: dg.DagsterInstance, run_id: str) -> None:
    """Tag the run, one of whose steps this process executes, with its worker.

    The worker is not always this process: with Dagster's multiprocess executor each step has a process of its own,
    which ends before the run does. The executor notes in the run's log which process it is in. Nothing is tagged where
    that is neither this process nor its parent: nothing could be proven of it.
    """
    near = {os.getpid()}
    if parent := multiprocessing.parent_process():
        near.add(parent.pid or 0)
    pid = _executor_pid(instance, run_id)
    if pid in near and (tags := worker_tags(run_id, pid)):
        instance.add_run_tags(run_id, tags)


def _executor_pid(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """The process that the run's executor says it is in; None where it doesn't say."""
    for entry in reversed(instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
        found = entry.get_dagster_event().engine_event_data.metadata.get("pid")
        if found is not None and str(found.value).isdigit():
            return int(str(found.value))
    return None


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs failed whose worker is proven dead; returns their ids. All others are left alone.

    Runs that can't be judged (another machine, another container, killed before they were tagged) are left to
    Dagster's run monitoring; they keep nobody waiting.
    """
    here, ended = is_on_this_machine(instance), []
    for run in instance.get_runs(dg.RunsFilter(statuses=list(_IN_A_PROCESS))):
        worker = Worker.of_run(run)
        if worker is None or not worker.is_dead(on_this_machine=here):
            continue
        # Read again: it may have ended well between the reading of its status and the end of its process.
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status in _IN_A_PROCESS:
            instance.report_run_failed(now, _GONE)
            ended.append(run.run_id)
    return ended


def assets_at_work(instance: dg.DagsterInstance) -> set[dg.AssetKey]:
    """The assets of runs that wait in Dagster's queue, or whose worker is proven alive.

    A run that was killed where nobody can see it (in a container that is gone, say) does neither: no tick waits for it.
    """
    unfinished = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED, *_IN_A_PROCESS]))
    return {key for run in unfinished if _is_at_work(run) for key in run.asset_selection or ()}


def _is_at_work(run: dg.DagsterRun) -> bool:
    if run.status is dg.DagsterRunStatus.QUEUED:
        return True
    worker = Worker.of_run(run)
    return worker is not None and worker.is_alive


@functools.cache
def _here() -> tuple[str, str]:
    """The boot id of this machine and the PID namespace of this process; empty strings where there is no /proc."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip(), str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "", ""


def _started(pid: int) -> str:
    """When the process began, in clock ticks since the boot; empty where there is none, or only a zombie of it."""
    with suppress(OSError, IndexError):
        # The second field of proc(5), the program's name in brackets, may hold blanks and brackets itself.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        state, started = fields[0], fields[19]
        return "" if state in "ZX" else started
    return ""
