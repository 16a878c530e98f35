"""Runs: the tags that our runs carry, and the end of runs whose process is gone.

Add here what is about runs as such. Dagster's default launcher doesn't notice that a run's process was killed: the
run would stay started for ever and keep schedules waiting.
"""

import os
import socket
from enum import StrEnum

import dagster as dg

REASON_TAG = "wx_datacube/reason"
HOST_TAG = "wx_datacube/host"
PID_TAG = "wx_datacube/pid"
STOPPED_TAG = "wx_datacube/stopped"


class Reason(StrEnum):
    """Why a run was launched by us; runs launched by hand carry no reason."""

    SCHEDULE = "schedule"
    BACKFILL = "backfill"
    REFRESH = "refresh"


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs of this machine failed whose process no longer exists; returns their ids."""
    filters = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING], tags={HOST_TAG: socket.gethostname()}
    )
    dead = [run for run in instance.get_runs(filters) if not _alive(run.tags.get(PID_TAG, ""))]
    for run in dead:
        instance.report_run_failed(
            run, "The process of this run is gone (killed, or the machine restarted). What had landed stays stored."
        )
    return [run.run_id for run in dead]


def _alive(pid: str) -> bool:
    if not pid.isdigit():
        return True  # not one of ours: leave it alone
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
