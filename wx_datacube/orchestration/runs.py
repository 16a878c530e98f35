"""Runs: the tags of our runs, and the end of runs whose worker process is dead.

Dagster's default launcher doesn't notice that the process of a run was killed: the run stays started until Dagster's
run monitoring ends it hours later. Add here what concerns runs as such. No run waits here for another. If two runs want
the same labels, the fetch lock of the endpoint (`Warehouse.fetching`) orders them; the lock ends with the process that
holds it.
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
"""Tag that names the process that executes the run, as `worker_tags` writes it."""

QUIET_RUN_CONFIG = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config for runs in a command's own process: it keeps Dagster's log off the terminal."""

QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_UNFINISHED = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_WORKER_GONE_MESSAGE = (
    "The process of this run is gone (killed, or the machine restarted). What landed stays stored. Run the same command"
    " again, or leave it to the schedule."
)


class Reason(StrEnum):
    """Why we launched a run; runs launched manually carry no reason."""

    SCHEDULE = "schedule"
    BACKFILL = "backfill"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Worker:
    """A process of one boot of one machine.

    A PID alone doesn't identify a process: containers share a host name and number their processes from 1, and a
    machine assigns the same numbers again after a restart. `boot` and `namespace` tell which numbering `pid` belongs
    to. `started` (clock ticks since the boot) tells the process from a later one with the same number. Source: proc(5),
    pid_namespaces(7).
    """

    boot: str
    namespace: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the living process `pid` as this process sees it; None if there is none, or no /proc, as on macOS."""
        started = _started(pid)
        return cls(*_here(), pid, started) if started and all(_here()) else None

    @classmethod
    def of_run(cls, run: dg.DagsterRun) -> Self | None:
        """Return the worker that the run's tag names; None without a tag, or if the tag was copied from another run."""
        parts = run.tags.get(WORKER_TAG, "").split()
        if len(parts) != 5 or parts[0] != run.run_id or not parts[3].isdigit():
            return None
        return cls(parts[1], parts[2], int(parts[3]), parts[4])

    @property
    def is_alive(self) -> bool:
        """Whether the process is proven to be alive."""
        return (self.boot, self.namespace) == _here() and _started(self.pid) == self.started

    def is_dead(self, *, on_this_machine: bool) -> bool:
        """Return whether the process is proven to be gone.

        `on_this_machine` asserts that it ran on this machine, so that another boot id means a restart.
        """
        if not all(_here()):
            return False
        if self.boot != _here()[0]:
            return on_this_machine
        return self.namespace == _here()[1] and _started(self.pid) != self.started


def worker_tags(run_id: str, pid: int) -> dict[str, str]:
    """Return the tag that names the process `pid` as the run's worker; empty if the process can't be identified.

    The tag holds the run's id, since Dagster copies a run's tags when the run is executed again.
    """
    worker = Worker.of(pid)
    return {WORKER_TAG: f"{run_id} {worker.boot} {worker.namespace} {worker.pid} {worker.started}"} if worker else {}


def tag_worker(instance: dg.DagsterInstance, run_id: str) -> None:
    """Tag the run with its worker; this process executes one of the run's steps.

    The worker is not always this process: with Dagster's multiprocess executor, each step has its own process, which
    ends before the run does. The executor logs its process id in the run's events. If that is neither this process nor
    its parent, nothing is tagged, because nothing could be proven about it.
    """
    near = {os.getpid()}
    if parent := multiprocessing.parent_process():
        near.add(parent.pid or 0)
    pid = _executor_pid(instance, run_id)
    if pid in near and (tags := worker_tags(run_id, pid)):
        instance.add_run_tags(run_id, tags)


def _executor_pid(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Return the process id that the run's executor logged; None if it logged none."""
    for entry in reversed(instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
        found = entry.get_dagster_event().engine_event_data.metadata.get("pid")
        if found is not None and str(found.value).isdigit():
            return int(str(found.value))
    return None


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed if their worker is proven dead; return their ids. All other runs are left alone.

    Runs that can't be judged (another machine, another container, killed before they were tagged) are left to Dagster's
    run monitoring. Nothing waits for them.
    """
    here, ended = is_on_this_machine(instance), []
    for run in instance.get_runs(dg.RunsFilter(statuses=list(_UNFINISHED))):
        worker = Worker.of_run(run)
        if worker is None or not worker.is_dead(on_this_machine=here):
            continue
        # Read again: the run may have succeeded between the read of its status and the end of its process.
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status in _UNFINISHED:
            instance.report_run_failed(now, _WORKER_GONE_MESSAGE)
            ended.append(run.run_id)
    return ended


def assets_in_progress(instance: dg.DagsterInstance) -> set[dg.AssetKey]:
    """Return the assets of runs that wait in Dagster's queue, or whose worker is proven alive.

    A run that was killed in a container that is gone, or on another machine, is neither. So no tick waits for it.
    """
    unfinished = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED, *_UNFINISHED]))
    return {key for run in unfinished if _is_in_progress(run) for key in run.asset_selection or ()}


def _is_in_progress(run: dg.DagsterRun) -> bool:
    if run.status is dg.DagsterRunStatus.QUEUED:
        return True
    worker = Worker.of_run(run)
    return worker is not None and worker.is_alive


@functools.cache
def _here() -> tuple[str, str]:
    """Return the boot id of this machine and the PID namespace of this process; empty strings without /proc."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip(), str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "", ""


def _started(pid: int) -> str:
    """Return when the process began, in clock ticks since the boot; empty if it is gone or a zombie."""
    with suppress(OSError, IndexError):
        # The second field of proc(5), the program's name in brackets, may itself contain blanks and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        state, started = fields[0], fields[19]
        return "" if state in "ZX" else started
    return ""
