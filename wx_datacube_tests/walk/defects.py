"""Defects: former bugs, which can be put back one at a time to see whether the walk finds them.

    python -m wx_datacube_tests.walk --level core --defect "doctor makes a refresh" --seeds 20

Each replaces as little of the program as the bug affected: in this process and, through `sitecustomize`, in the
processes that a system walk starts. The program itself contains nothing of this.
"""

import datetime as dt
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wx_datacube.ingest.plan as plan
import wx_datacube.operations.status as status
from wx_datacube.alerts import missing_labels
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.messages import DAILY_MESSAGES
from wx_datacube.catalog.model import Family
from wx_datacube.catalog.periods import midnight_of
from wx_datacube.config import variables
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.service import Ingest
from wx_datacube.warehouse import coverage, load, open_labels, past_calls
from wx_datacube.warehouse.load import history

VARIABLE = "WALK_DEFECT"


def _runs_wait_for_each_other() -> None:
    """A run of hours or distributions waits while another run includes the daily messages (15.1)."""
    import dagster as dg

    from wx_datacube.orchestration import assets

    original = assets._Materialization._fetch_labels

    def waits(self: Any) -> Any:
        days = dg.AssetKey([self._account, DAILY_MESSAGES.name])
        while self._endpoint.implied_by_silence and self._run:
            others = self._context.instance.get_runs(dg.RunsFilter(statuses=_unfinished()))
            if not any(days in (run.asset_selection or ()) for run in others if run.run_id != self._run.run_id):
                break
            time.sleep(0.5)
        return original(self)

    assets._Materialization._fetch_labels = waits  # type: ignore[method-assign]


def _unfinished() -> list[Any]:
    import dagster as dg

    of = dg.DagsterRunStatus
    return [of.QUEUED, of.NOT_STARTED, of.STARTING, of.STARTED, of.CANCELING]


def _another_host_is_alive() -> None:
    """A run on another host always counts as alive, so other runs wait until it ends (15.2)."""
    import dagster as dg

    from wx_datacube.orchestration import backfill_runs, runs

    tags = runs.worker_tags

    def with_host(run_id: str, pid: int) -> dict[str, str]:
        return tags(run_id, pid) | {"walk/host": f"{socket.gethostname()} {pid}"}

    def waits(instance: dg.DagsterInstance) -> list[str]:
        while any(_lives(run) for run in instance.get_runs(dg.RunsFilter(statuses=_unfinished()))):
            time.sleep(0.5)
        return []

    def _lives(run: dg.DagsterRun) -> bool:
        host, _, pid = run.tags.get("walk/host", "").partition(" ")
        return bool(host) and (host != socket.gethostname() or Path(f"/proc/{pid}").exists())

    # In `runs` too: `python -m …backfill_runs` imports from there.
    runs.worker_tags = backfill_runs.worker_tags = with_host
    runs.end_dead_runs = backfill_runs.end_dead_runs = waits


def _live_runs_are_failed() -> None:
    """A run is considered dead when the process of its step has ended, which happens before the run ends (15.3)."""
    from wx_datacube.orchestration import assets, runs, scheduled_checks

    def tag_step(instance: Any, run_id: str) -> None:
        instance.add_run_tags(run_id, runs.worker_tags(run_id, os.getpid()))

    assets.tag_worker = scheduled_checks.tag_worker = tag_step


def _doctor_refreshes() -> None:
    """`doctor` makes its call as a refresh (15.6)."""

    def fetch_one(self: Ingest, endpoint: Any, label: Any, *, run_id: str) -> FetchReport:
        with self.warehouse.transaction() as con:
            begun = past_calls.record_refresh(con, self.account.name, endpoint, None, None, self.clock())
        refresh = plan.RefreshPlan(frozenset([label]), begun)
        return self.fetch_missing(endpoint, [label], run_id=run_id, refresh=refresh)

    Ingest.fetch_one = fetch_one  # type: ignore[method-assign]


def _partial_answers_never_heal() -> None:
    """Labels that an answer left out are requested in the same window forever (15.7)."""
    coverage.empty_settled_labels = lambda *_: frozenset()
    coverage.labels_left_out = lambda *_: frozenset()
    plan._span = lambda con, account, endpoint: (endpoint.max_span_days, True)


def _status_shows_only_noted_alerts() -> None:
    """`status` exits with 0 when nothing has run for days (16.1)."""
    status.alerts_from = lambda con, settings, accounts, *_, **__: {
        each.name: missing_labels.Attention() for each in accounts
    }


def _long_outages_are_silent() -> None:
    """Overdue labels are not reported while any alert about calls is open (16.2)."""
    original = missing_labels.find_alerts

    def find_alerts(con: Any, settings: Any, accounts: Any, now: Any) -> Any:
        found, alerts = original(con, settings, accounts, now), Alerts(settings.database)
        return {
            name: missing_labels.Attention() if alerts.recent_failures(name, midnight_of(now)) else each
            for name, each in found.items()
        }

    missing_labels.find_alerts = find_alerts


def _first_figures_are_revisions() -> None:
    """A label's first figures count as revised if an earlier answer was empty or could not be parsed (16.8)."""
    original = history._revisions
    history._revisions = lambda *about: original(*about).replace("known_before", "previous_call_id IS NOT NULL")


def _growth_is_a_revision() -> None:
    """Rows that appear while a label is open count as revised (20)."""
    original = history._revisions
    history._revisions = lambda *about: original(*about).replace("AND final_before", "")


def _open_labels_every_tick() -> None:
    """An open label is requested again at every tick after its turn has begun (20)."""
    original = open_labels._open

    def _open(*about: Any) -> Any:
        return [(label, at - dt.timedelta(days=1), delayed) for label, at, delayed in original(*about)]

    open_labels._open = _open


def _delayed_answers_overwrite_final_figures() -> None:
    """A delayed answer counts for a label that is final (20)."""
    original = load.label_coverage
    load.label_coverage = lambda endpoint: original(endpoint).replace("NOT (delayed AND final_before)", "true")


def _families_off_are_due() -> None:
    """A family that is off is due all the same (20)."""
    variables.Reader._families = lambda self, name: tuple(Family)  # type: ignore[method-assign]


def _open_labels_are_final() -> None:
    """A label that has landed is never requested again (20)."""
    open_labels._open = lambda *about: []


DEFECTS: dict[str, Callable[[], None]] = {
    "runs wait for each other": _runs_wait_for_each_other,
    "another host is alive": _another_host_is_alive,
    "live runs are failed": _live_runs_are_failed,
    "doctor makes a refresh": _doctor_refreshes,
    "partial answers never heal": _partial_answers_never_heal,
    "status shows only noted alerts": _status_shows_only_noted_alerts,
    "long outages are silent": _long_outages_are_silent,
    "first figures are revisions": _first_figures_are_revisions,
    "growth is a revision": _growth_is_a_revision,
    "open labels are requested every tick": _open_labels_every_tick,
    "a delayed answer overwrites final figures": _delayed_answers_overwrite_final_figures,
    "a family that is off is due": _families_off_are_due,
    "open labels are never requested": _open_labels_are_final,
}
"""The bugs that the walk has to find, by name; the numbers refer to the issues about endings, mornings and families."""


def put_back(defect: str, folder: Path) -> dict[str, str]:
    """Put a defect back in this process; return the environment variables that put it back in others.

    `folder` is scratch space.
    """
    DEFECTS[defect]()
    top = Path(__file__).parent.parent.parent
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        # Runs are multiprocessing processes, so their command line doesn't show that they belong to Dagster.
        "if not any('resource_tracker' in each for each in sys.orig_argv):\n"
        "    from wx_datacube_tests.walk.defects import DEFECTS, VARIABLE\n"
        "    DEFECTS[os.environ[VARIABLE]]()\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(top)]), VARIABLE: defect}
