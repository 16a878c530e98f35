"""Runs: the tags that our runs carry, and the end of runs whose process is gone.

Add here what is about runs as such. Dagster's default launcher doesn't notice that a run's process was killed: the
run would stay started for ever and keep schedules waiting.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import dagster as dg

REASON_TAG = "wx_datacube/reason"
HOST_TAG = "wx_datacube/host"
PID_TAG = "wx_datacube/pid"
BORN_TAG = "wx_datacube/born"
"""What tells a process from a later one with the same PID, such as after a restart of the machine."""
STOPPED_TAG = "wx_datacube/stopped"


_UNDER_WAY = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_IN_A_PROCESS = [*_UNDER_WAY, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.CANCELING]
_PATIENCE = 60.0
"""Seconds for a run that waits its turn, which may be waiting for ours."""
_POLL = 0.5


class Reason(StrEnum):
    """Why a run was launched by us; runs launched by hand carry no reason."""

    SCHEDULE = "schedule"
    BACKFILL = "backfill"
    REFRESH = "refresh"


def process_tags() -> dict[str, str]:
    """The tags of a run that this process executes."""
    return {HOST_TAG: socket.gethostname(), PID_TAG: str(os.getpid()), BORN_TAG: _born(os.getpid())}


def wait_for_runs(instance: dg.DagsterInstance, key: dg.AssetKey, own_run: str, say: Callable[[str], None]) -> None:
    """Wait while other runs of the asset are under way; for one that only waits its turn, not for long.

    Days that turn out silent spare their hours and distributions: those are asked after the days.
    """
    began, told = time.monotonic(), False
    while True:
        statuses = [*_UNDER_WAY, *(WAITING if time.monotonic() - began < _PATIENCE else ())]
        runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
        if not any(key in (run.asset_selection or ()) and run.run_id != own_run for run in runs):
            return
        if not told:
            say(f"Waiting for a run of {key.to_user_string()}: days that turn out silent need not be asked for here.")
            told = True
        end_dead_runs(instance)
        time.sleep(_POLL)


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs of this machine failed whose process no longer exists; returns their ids."""
    filters = dg.RunsFilter(statuses=_IN_A_PROCESS, tags={HOST_TAG: socket.gethostname()})
    dead = [run for run in instance.get_runs(filters) if not _alive(run.tags)]
    for run in dead:
        instance.report_run_failed(
            run,
            "The process of this run is gone (killed, or the machine restarted). What had landed stays stored; run the"
            " same again, or let the schedule do it.",
        )
    return [run.run_id for run in dead]


def _alive(tags: Mapping[str, str]) -> bool:
    pid = tags.get(PID_TAG, "")
    if not pid.isdigit():
        return True  # not one of ours: leave it alone
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's process
    return tags.get(BORN_TAG, "") in ("", _born(int(pid)))


def _born(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty where there is no /proc, as on macOS."""
    with suppress(OSError):
        # Field 22 of proc(5); the second, the program's name, may hold blanks.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
