"""A server as in `docs/how-to/server.md` and `backup.md`: a folder made by `init`, the cron line, a move, the services.

The commands are taken from the English pages and run with a temporary folder in place of theirs. systemd doesn't run
here: the tests do what it would do with the unit files, and `systemd-analyze` checks the files.
"""

import datetime as dt
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import PATIENCE, TOP, Project, Ui, end, free_port, wait_until

PAGES = "".join((TOP / "docs" / "how-to" / name).read_text() for name in ("server.md", "backup.md"))
UNITS = TOP / "wx_datacube" / "config" / "project"
THERE = "/srv/wx_datacube"
"""The project folder in the pages and the unit files."""
DAYS = 3
MINUTELY = """
import pathlib
import dagster as dg
from wx_datacube.definitions import build_defs
from wx_datacube.orchestration.own_accounts import accounts_of_this_run
accounts = accounts_of_this_run()
with pathlib.Path("loaded.txt").open("a") as loaded:
    print(accounts, file=loaded)
defs = dg.Definitions.merge(
    build_defs(accounts=accounts, cron_schedule="* * * * *", schedules="location"),
    dg.Definitions(executor=dg.in_process_executor),
)
"""
WORKSPACE = "load_from:\n  - python_file: {relative_path: minutely.py, location_name: wx_datacube}\n"
"""Code as in `wx_datacube.many_accounts`, under the same name, that ticks every minute and notes what it loads."""


def typed(beginning: str) -> str:
    """Return the only command line of the pages that starts with `beginning`."""
    (line,) = re.findall(rf"^ *(?:\$ |[\d*/ -]+ )({re.escape(beginning)}.*?)(?: +#.*)?$", PAGES, re.MULTILINE)
    return str(line)


def made(folder: Path, emulated: Emulated, **settings: object) -> Project:
    """Make a project folder by `init`, with settings of an account that started some days ago, and a `.venv`."""
    ran = Project(folder.parent).run("init", folder.name)
    assert (ran.returncode, ran.stderr) == (0, "")
    project = Project(folder)
    (folder / ".venv").symlink_to(sys.prefix)
    start = beijing_now().date() - dt.timedelta(days=DAYS)
    project.set(API_URL=emulated.api_url, APPID=emulated.appid, SECRET=emulated.secret, **({"START": start} | settings))
    return project


def type_in(project: Project, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line by `sh` in the project folder, with the minimal environment of cron."""
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(project.folder), "SHELL": "/bin/sh"} | more
    command = ["sh", "-c", line.replace(THERE, str(project.folder))]
    return subprocess.run(command, cwd=project.folder, env=environ, capture_output=True, text=True, timeout=PATIENCE)


def states(project: Project) -> Counter[str]:
    """Return how many labels are in each state."""
    return Counter(dict(project.query("SELECT state, count(*) FROM datacube.coverage GROUP BY state")))


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account with messages every day, whose figures are published at midnight."""
    with wechat(publish_at="00:00", silent_share=0) as running:
        yield running


@pytest.fixture(scope="module")
def by_cron(emulated: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Provide a folder made by `init`, in which the page's cron line has run once."""
    project = made(tmp_path_factory.mktemp("cron") / "project", emulated)
    ran = type_in(project, typed(f"cd {THERE} && .venv/bin/wx-datacube backfill"))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", ""), (project.folder / "backfill.log").read_text()
    return project


# --- cron, and moving to another machine ------------------------------------------------------------------------


@pytest.mark.long
def test_the_cron_line_fetches_everything_due(by_cron: Project, emulated: Emulated) -> None:
    """The cron line fetches everything due and writes a log, without a clone and with cron's environment."""
    assert list(states(by_cron)) == ["landed"]
    assert by_cron.query("SELECT count(*) FROM totals_daily") == [(DAYS,)]
    assert len(emulated.control.statistics_calls()) == by_cron.query("SELECT count(*) FROM datacube.api_calls")[0][0]
    assert "default: " in (by_cron.folder / "backfill.log").read_text()


@pytest.mark.long
def test_a_second_run_of_the_cron_line_makes_no_call(by_cron: Project, emulated: Emulated) -> None:
    """The cron line makes no call if everything is stored."""
    emulated.control.clear_calls()
    ran = type_in(by_cron, typed(f"cd {THERE} && .venv/bin/wx-datacube backfill"))

    assert ran.returncode == 0
    assert emulated.control.calls() == []
    assert "default: nothing to do" in (by_cron.folder / "backfill.log").read_text()


@pytest.mark.long
def test_the_cron_line_for_mails_prints_only_when_a_person_is_needed(by_cron: Project) -> None:
    """The `status` line for cron prints something, which cron mails, only if a person is needed."""
    line = typed(f"cd {THERE} && .venv/bin/wx-datacube status")
    well = type_in(by_cron, line)
    wrong = type_in(by_cron, line.replace("&&", "&& WX_DATACUBE_CONCURRENCY=none"))

    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    assert "WX_DATACUBE_CONCURRENCY" in wrong.stderr


@pytest.mark.long
def test_a_restored_backup_makes_no_call_on_another_machine(
    by_cron: Project, emulated: Emulated, tmp_path: Path
) -> None:
    """Dagster in a new folder reads from a restored backup what is stored, without a call.

    The same holds after its history was deleted.
    """
    backup = typed(f"cp -f {THERE}/data/wx_datacube.duckdb").replace("\\%", "%")
    for _ in range(2):  # the same weekday comes again
        assert type_in(by_cron, backup.replace("/backup", str(tmp_path))).returncode == 0
    (copy,) = tmp_path.glob("*.duckdb")
    theirs = made(tmp_path / "project", emulated)
    restore = re.sub(r"/backup/\S+\.duckdb", str(copy), typed("install -D -m 444 /backup"))
    assert type_in(theirs, restore).returncode == 0
    emulated.control.clear_calls()

    for line in (".venv/bin/wx-datacube backfill", typed("rm -r .dagster/history .dagster/logs")):
        ran = type_in(theirs, line)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert f"default: {states(by_cron).total()} partitions to fetch, in at most 0 calls" in ran.stdout
    assert emulated.control.calls() == []
    assert states(theirs) == states(by_cron)


# --- services ---------------------------------------------------------------------------------------------------


def unit(name: str, folder: Path) -> dict[str, str]:
    """Return the settings of a unit file, for another folder."""
    text = (UNITS / f"wx-datacube-{name}.service").read_text().replace(THERE, str(folder))
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def environment(says: dict[str, str]) -> dict[str, str]:
    """Return the environment variables that a unit sets."""
    return dict(each.split("=", 1) for each in says["Environment"].split())


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` accepts the unit files at the page's paths."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        if "CI" in os.environ or "CI_RUN_MARK" in os.environ:
            pytest.fail("CI has to have systemd-analyze: .ci/run installs systemd")
        pytest.skip("no systemd-analyze")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    pages = PAGES + (TOP / "docs" / "how-to" / "machines.md").read_text()
    where = re.findall(r"sudo install -m 0644 ~/wx_datacube/(\S+) /etc/systemd/system/", pages)
    files = [tmp_path / (TOP / path).relative_to(UNITS) for path in where]
    for path in files:
        path.write_text((UNITS / path.name).read_text().replace(THERE, str(tmp_path)))
    verify = [analyze, "verify", "--man=no", *map(str, files)]
    found = subprocess.run(verify, capture_output=True, text=True)

    assert len(files) == 3
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_ui_listens_only_locally(tmp_path: Path) -> None:
    """The UI listens only locally, on the port of the page's tunnel; both services share /tmp for the runs' sockets."""
    webserver, daemon = unit("webserver", tmp_path), unit("daemon", tmp_path)
    (port,) = re.findall(r" --host 127\.0\.0\.1 --port (\d+)$", webserver["ExecStart"])

    assert f"-L 3000:127.0.0.1:{port} " in typed("ssh -N")
    assert webserver["PrivateTmp"] == daemon["PrivateTmp"] == "yes"
    assert webserver["JoinsNamespaceOf"] == "wx-datacube-daemon.service"


@contextmanager
def service(name: str, project: Project, port: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Run what a unit starts, as the unit says, and kill all of it at the end."""
    says = unit(name, project.folder)
    environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": says["WorkingDirectory"]}
    with (project.folder.with_suffix(f".{name}.log")).open("a") as log:
        process = subprocess.Popen(
            says["ExecStart"].replace(" 3000", f" {port}").split(),
            cwd=says["WorkingDirectory"],
            env=environ | environment(says),
            umask=int(says["UMask"], 8),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def stop(process: subprocess.Popen[str]) -> int:
    """Stop a service as systemd does with KillMode=mixed: SIGTERM to the main process, then SIGKILL to the rest."""
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=300)  # as long as the units allow
    end(process)
    return process.returncode


def run_statuses(project: Project) -> Counter[str]:
    """Return how many Dagster runs are in each state."""
    with closing(sqlite3.connect(project.folder / ".dagster/history/runs.db")) as con:
        return Counter(dict(con.execute("SELECT status, count(*) FROM runs GROUP BY status")))


@pytest.mark.long
def test_two_services_fetch_what_is_missing_and_a_restart_interrupts_no_run(tmp_path: Path) -> None:
    """Schedules fetch everything missing, and a restart of the daemon during a run doesn't interrupt the run."""
    with wechat(publish_at="00:00", silent_share=0, latency=300) as emulated:
        project = made(tmp_path / "project", emulated, CONCURRENCY=1)
        (project.folder / "minutely.py").write_text(MINUTELY)
        (project.folder / "workspace.yaml").write_text(WORKSPACE)
        assert type_in(project, typed(".venv/bin/wx-datacube doctor")).returncode == 0  # creates Dagster's databases
        ui = Ui(free_port())
        with service("webserver", project, ui.port) as webserver:
            with service("daemon", project) as daemon:
                on = type_in(project, typed('DAGSTER_HOME="$PWD" .venv/bin/dagster schedule start'))
                assert on.returncode == 0, on.stderr
                wait_until(ui.is_there)
                wait_until(lambda: run_statuses(project)["STARTED"])
                assert stop(daemon) == 0
            assert set(run_statuses(project)) <= {"SUCCESS", "QUEUED"}
            with service("daemon", project) as daemon:
                wait_until(lambda: list(states(project)) == ["landed"] and list(run_statuses(project)) == ["SUCCESS"])
                # A single run fetches everything, possibly before this daemon handles signals.
                assert stop(daemon) in (0, -signal.SIGTERM)
            assert stop(webserver) in (0, -signal.SIGTERM)

        windows = Counter((call.endpoint, call.begin, call.end) for call in emulated.control.statistics_calls())
        assert set(windows.values()) == {1}
        loaded = Counter((project.folder / "loaded.txt").read_text().splitlines())
        assert loaded.keys() == {"None", "['default']"}  # all accounts in the code servers, its own in a run
        assert loaded["['default']"] == run_statuses(project).total()
        logs = [*(project.folder / ".dagster" / "logs").rglob("*")]
        assert logs
        assert [path for path in logs if path.stat().st_mode & 0o077] == []
