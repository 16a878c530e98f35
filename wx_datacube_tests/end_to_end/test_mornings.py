"""Three mornings with a real daemon: an ordinary one, one on which all calls fail, and the one after.

Simulated mornings with other failures are in `test_month.py`; they are much faster.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from wx_datacube.catalog.model import Period
from wx_datacube.config.environment import load_settings
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.operations.status import read_status
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.end_to_end.project import TOP, Project, wait_until
from wx_datacube_tests.receiver import Receiver

pytestmark = pytest.mark.long

LOCATION = """
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Control
from wx_datacube_tests.same_clock import ByTheSameClock

account = ByTheSameClock(account="default")
defs = build_defs(cron_schedule="* * * * *", clock=Control("{url}").now, resources={{"wechat_default": account}})
"""
"""A location whose schedules tick every minute and use the emulator's time."""
PATIENCE = 300.0


@pytest.fixture
def emulated() -> Iterator[Emulated]:
    """Provide an account without silent days, on a Monday morning."""
    with wechat(silent_share=0, clock="2024-06-10T08:30", frozen=True) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, emulated: Emulated, receiver: Receiver) -> Iterator[Project]:
    """Provide a project with three weeks of history, the three schedules on, and a running daemon."""
    found = Project.on(tmp_path / "project", emulated, START="2024-05-20", WEBHOOK=receiver.url())
    (found.folder / "mornings.py").write_text(LOCATION.format(url=emulated.api_url))
    home = {"DAGSTER_HOME": str(found.folder), "PYTHONPATH": str(TOP)}
    for period in Period:
        command = [found.program("dagster"), "schedule", "start", f"default_{period.adverb}", "-f", "mornings.py"]
        started = found.call(command, **home)
        assert started.returncode == 0, started.stderr
    daemon = [found.program("dagster-daemon"), "run", "-f", "mornings.py"]
    with found.folder.with_suffix(".log").open("w") as log, found.started(daemon, log, **home):
        yield found


def is_there(project: Project, day: dt.date) -> bool:
    """Return whether everything due on `day` is in the published file and nothing is being fetched."""
    if not project.database.exists():
        return False
    ((missing, newest),) = project.query(
        "SELECT count(*) FILTER (state = 'missing'), max(label) FILTER (endpoint = 'getupstreammsg')"
        f" FROM datacube.coverage WHERE label < '{day}' AND NOT (endpoint LIKE '%week' AND label > '{day}'::DATE - 7)"
        f" AND NOT (endpoint LIKE '%month' AND label >= date_trunc('month', '{day}'::DATE))"
    )
    return bool(missing == 0 and newest == day - dt.timedelta(days=1)) and at_rest(project)


def at_rest(project: Project) -> bool:
    """Return whether nothing is being fetched."""
    return not Warehouse(project.database).is_fetching("default")


def judge(project: Project, emulated: Emulated, day: dt.date) -> None:
    """Set the clock to 12:35 and execute the job of the checks."""
    wait_until(lambda: at_rest(project), PATIENCE)
    emulated.control.set_clock(dt.datetime.combine(day, dt.time(12, 35)), frozen=True)
    home = {"DAGSTER_HOME": str(project.folder), "PYTHONPATH": str(TOP)}
    command = [project.program("dagster"), "job", "execute", "-f", "mornings.py", "-j", "default_checks"]
    ran = project.call(command, **home)
    assert ran.returncode == 0, ran.stderr


def needs_person(project: Project, emulated: Emulated, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what `status` says needs a person, at the emulator's time."""
    monkeypatch.chdir(project.folder)
    settings = load_settings()
    (status,) = read_status(settings, settings.accounts, emulated.control.now)
    return [*map(str, status.needs_person)]


def test_three_mornings_send_the_right_alerts(
    project: Project, emulated: Emulated, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary morning sends no alert; a failed one sends a retry alert and one at 12:35; the next sends none."""
    first, second, third = (dt.date(2024, 6, day) for day in (10, 11, 12))
    wait_until(lambda: is_there(project, first), PATIENCE)
    judge(project, emulated, first)
    assert receiver.texts == []
    assert needs_person(project, emulated, monkeypatch) == []

    emulated.control.fault("all", "drop")
    emulated.control.set_clock(dt.datetime.combine(second, dt.time(8, 30)), frozen=True)
    wait_until(lambda: receiver.texts, PATIENCE)
    assert "稍后自动重试" in receiver.texts[0]
    judge(project, emulated, second)
    wait_until(lambda: len(receiver.texts) == 2, PATIENCE)
    assert "需要您处理" in receiver.texts[1]
    assert "Missing since 2024-06-11 12:00" in receiver.texts[1]
    (needed,) = needs_person(project, emulated, monkeypatch)
    assert needed in receiver.texts[1]

    emulated.control.clear_faults()
    emulated.control.set_clock(dt.datetime.combine(third, dt.time(8, 30)), frozen=True)
    wait_until(lambda: is_there(project, third), PATIENCE)
    judge(project, emulated, third)
    assert len(receiver.texts) == 2
    assert needs_person(project, emulated, monkeypatch) == []
