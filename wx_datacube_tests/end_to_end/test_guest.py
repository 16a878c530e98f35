"""Our wheel in another project: one made by `create-dagster` and `dg`, with assets of its own.

Packages come from the package index. `dg dev` runs during the commands of each test, since its daemon takes half a
minute to start a backfill. Add a test here for a feature that must work beside other people's code.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import TOP, Ui, end, free_port, wait_until
from wx_datacube_tests.processes import interruptible

pytestmark = pytest.mark.long

SECONDS = 400
UV = Path(sys.executable).with_name("uv")
ADVICE = "Set DAGSTER_HOME, or make WX_DATACUBE_DATABASE absolute"
SECTION = (TOP / "docs/how-to/dagster.md").read_text().split("## In another Dagster project\n")[1].split("\n## ")[0]

TICK = """
mutation($schedule: ScheduleSelector!, $now: Float!) {
  scheduleDryRun(selectorData: $schedule, timestamp: $now) {
    ... on DryRunInstigationTick {evaluationResult {runRequests {runKey} skipReason error {message}}}
    ... on PythonError {message}
  }
}"""
"""Evaluates a schedule in the project's code server, as the UI's *Test schedule* does."""

RUN = """
query($tags: [ExecutionTag!]) {
  runsOrError(filter: {tags: $tags}) { ... on Runs { results {
    status eventConnection(limit: 50) { events { ... on ExecutionStepFailureEvent { error { message } } } }
  } } }
}"""
START = "mutation($schedule: ScheduleSelector!) { startSchedule(scheduleSelector: $schedule) { __typename } }"
"""Switches a schedule on, as the UI does."""

THEIR_ASSETS = """
import dagster as dg
from dagster_duckdb import DuckDBResource
from wx_datacube.definitions import build_defs


@dg.asset(deps=[["shop", "getupstreammsg"]])
def their_days(duckdb: DuckDBResource) -> dg.MaterializeResult:
    with duckdb.get_connection() as con:
        found = con.execute("SELECT count(*) FROM totals_daily WHERE account = 'shop'").fetchall()
    return dg.MaterializeResult(metadata={"days": found[0][0]})


@dg.job
def shop_daily_of_theirs() -> None: ...


@dg.definitions
def defs() -> dg.Definitions:
    ours = build_defs(accounts="shop", key_prefix=["marketing", "wechat"])
    return dg.Definitions.merge(dg.Definitions(assets=[their_days], jobs=[shop_daily_of_theirs]), ours)
"""

COMPONENTS = {"shop": "accounts: shop", "news": "accounts: [news]\n  key_prefix: wechat"}


@dataclass(frozen=True)
class Guest:
    """A folder and the commands run in it, with its own venv and without the caller's settings."""

    folder: Path
    venv: Path
    environ: Mapping[str, str]

    @property
    def _environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WX_", "DAGSTER_", "PYTHON"))}
        path = os.pathsep.join([str(self.venv / "bin"), str(UV.parent), os.environ["PATH"]])
        return kept | {"PATH": path, "VIRTUAL_ENV": str(self.venv), **self.environ}

    def type_in(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in bash."""
        command = ["bash", "-c", line]
        return subprocess.run(
            command, cwd=self.folder, env=self._environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def must(self, line: str) -> str:
        """Run a line that must succeed, and return its output."""
        done = self.type_in(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @contextmanager
    def dev(self) -> Iterator[Ui]:
        """Run `dg dev` (webserver, daemon and code server) in the folder, and wait until it responds."""
        ui, log = Ui(free_port()), self.folder.with_suffix(".log")
        with log.open("w") as out, interruptible():
            process = subprocess.Popen(
                ["bash", "-c", f"exec dg dev --port {ui.port}"],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(ui.is_there)
            yield ui
        finally:
            end(process)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(TOP / "wx_datacube", source / "wx_datacube", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, timeout=SECONDS)
    (made,) = folder.glob("*.whl")
    return made


def fresh_venv(folder: Path, *packages: str) -> Path:
    """Create a venv with pip and these packages."""
    subprocess.run([UV, "venv", "--quiet", "--seed", "--python", sys.executable, folder], check=True, timeout=SECONDS)
    install = [UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *packages]
    subprocess.run(install, check=True, timeout=SECONDS)
    return folder


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a venv with the wheel, its extras and `create-dagster`."""
    return fresh_venv(tmp_path_factory.mktemp("venv") / "venv", "create-dagster", f"{wheel}[ui,report]")


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account for which everything due is published."""
    with wechat(publish_at="00:00", silent_share=0) as running:
        yield running


@pytest.fixture(scope="module")
def theirs(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a project with Dagster's commands, with two of our components and a `build_defs` beside an asset."""
    above = tmp_path_factory.mktemp("company")
    Guest(above, venv, {}).must("create-dagster project theirs --no-uv-sync")
    project = Guest(above / "theirs", venv, {})
    # The template pins create-dagster's own version of Dagster, which other Dagster packages may not support yet.
    project.must("uv pip install --quiet --no-deps --editable .")
    for name, fields in COMPONENTS.items():
        project.must(f"dg scaffold defs wx_datacube.MessageAnalysis {name}")
        part = project.folder / "src" / "theirs" / "defs" / name / "defs.yaml"
        part.write_text(f"type: wx_datacube.MessageAnalysis\nattributes:\n  {fields}\n")
    (project.folder / "src" / "theirs" / "defs" / "paper.py").write_text(THEIR_ASSETS)
    return project.folder


@pytest.fixture
def settings(emulated: Emulated) -> dict[str, str]:
    """Return the settings of two accounts, of which one has credentials."""
    return {
        "WX_DATACUBE_ACCOUNTS": "shop,news",
        "WX_DATACUBE_START": "2026-11-01",
        "WX_DATACUBE_API_URL": emulated.api_url,
        "WX_DATACUBE_SHOP_APPID": emulated.appid,
        "WX_DATACUBE_SHOP_SECRET": emulated.secret,
    }


@pytest.fixture
def dotenv(theirs: Path, settings: dict[str, str]) -> Iterator[Path]:
    """Write the settings to a `.env` beside the project's code."""
    path = theirs / ".env"
    path.touch(0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    yield path
    path.unlink()


UNDER_A_PREFIX = "marketing/wechat/shop/getupstreammsg"
LAUNCH = f"dg launch --assets {UNDER_A_PREFIX} --partition-range 2026-11-03...2026-11-09"


def backfill(ui: Ui) -> str:
    """Launch a backfill of two days of the component's asset, as the UI does, and return its id."""
    return ui.launch({("shop", "getupstreammsg"): [("2026-11-01", "2026-11-02")]})


def run_of(ui: Ui, backfill: str) -> Any:
    """Return the single run of a backfill once it has ended; the backfill itself ends half a minute later."""

    def found() -> Any:
        runs = ui.ask(RUN, tags=[{"key": "dagster/backfill", "value": backfill}])["runsOrError"]["results"]
        return runs if runs and runs[0]["status"] in ("SUCCESS", "FAILURE") else None

    (run,) = wait_until(found)
    return run


def schedule(name: str) -> dict[str, str]:
    """Return the selector of a schedule."""
    return {"repositoryLocationName": "theirs", "repositoryName": "__repository__", "scheduleName": name}


def tick(ui: Ui, name: str) -> tuple[int, str]:
    """Return how many runs a schedule requests now, and its skip message."""
    found = ui.ask(TICK, schedule=schedule(name), now=time.time())["scheduleDryRun"]["evaluationResult"]
    assert found["error"] is None, found
    return len(found["runRequests"] or ()), found["skipReason"] or ""


@pytest.mark.usefixtures("dotenv")
def test_without_dagster_home_runs_and_commands_give_the_same_advice(theirs: Path, venv: Path) -> None:
    """Without DAGSTER_HOME the project loads; runs, ticks and commands give the same advice on relative paths."""
    project = Guest(theirs, venv, {})

    with project.dev() as ui:
        begun = backfill(ui)
        assert ADVICE in project.must("dg check defs")
        launched = project.type_in(LAUNCH)
        assert launched.returncode != 0
        assert ADVICE in launched.stdout + launched.stderr
        requested, said = tick(ui, "wechat__news_daily")
        assert requested == 0
        assert ADVICE in said
        status = project.type_in("wx-datacube status")
        assert (status.returncode, status.stdout) == (2, "")
        assert ADVICE in status.stderr
        run = run_of(ui, begun)
    assert run["status"] == "FAILURE"
    assert ADVICE in json.dumps(run)


def test_variables_are_enough_without_dagsters_history(
    theirs: Path, venv: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    """With variables only and an absolute database path, only commands that need Dagster's history fail."""
    database = tmp_path / "figures" / "wechat.duckdb"
    project = Guest(theirs, venv, settings | {"WX_DATACUBE_DATABASE": str(database)})

    with project.dev() as ui:
        begun = backfill(ui)
        assert "Every run will fail" not in project.must("dg check defs")
        project.must(LAUNCH)
        project.must("dg launch --assets their_days")
        assert tick(ui, "marketing__wechat__shop_daily")[0] > 0
        assert "Account shop" in project.type_in("wx-datacube status").stdout
        filled = project.type_in("wx-datacube backfill --account shop")
        assert (filled.returncode, filled.stderr.count("\n")) == (2, 1)
        assert "Set DAGSTER_HOME" in filled.stderr
        assert run_of(ui, begun)["status"] == "SUCCESS"
    with duckdb.connect(str(database), read_only=True) as con:
        assert con.sql("SELECT min(date)::VARCHAR, count(*) FROM totals_daily").fetchall() == [("2026-11-01", 9)]


@pytest.mark.usefixtures("dotenv")
def test_commands_and_dagster_agree_with_dagster_home(theirs: Path, venv: Path, tmp_path: Path) -> None:
    """With DAGSTER_HOME, commands and Dagster use the `.env` beside the code and show the same accounts."""
    project = Guest(theirs, venv, {"DAGSTER_HOME": str(tmp_path)})

    with project.dev() as ui:
        begun = backfill(ui)
        assert "Every run will fail" not in project.must("dg check defs")
        project.must(LAUNCH)
        assert tick(ui, "shop_daily")[0] > 0
        for what in ("daily", "weekly", "monthly", "checks"):
            ui.ask(START, schedule=schedule(f"marketing__wechat__shop_{what}"))
        assert run_of(ui, begun)["status"] == "SUCCESS"
        filled = project.must(
            "wx-datacube backfill --account shop --start 2026-11-01 --end 2026-11-09 --endpoint getupstreammsg"
        )
    assert "getupstreammsg 2026-11-03 to 2026-11-09: 7 days materialized" in filled
    assert f"{UNDER_A_PREFIX} 2026-11-01 to 2026-11-02: 2 days materialized" in " ".join(filled.split())
    assert "Account shop" in project.type_in("wx-datacube status").stdout
    looked = " ".join(project.must("wx-datacube doctor --account shop").split())  # its lines are wrapped
    assert str(theirs / ".env") in looked
    assert "All schedules are on: marketing__wechat__shop_daily, marketing__wechat__shop_weekly" in looked
    assert (tmp_path / "data" / "wx_datacube.duckdb").exists()


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in the page's section."""
    return [textwrap.dedent(found) for found in re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)]


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_the_commands_of_the_page_succeed_as_written(
    installer: str, wheel: Path, emulated: Emulated, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """The page's commands succeed beside an installed Dagster, whose version stays the same."""
    shutil.copy(wheel, tmp_path)
    dagster = fresh_venv(tmp_path_factory.mktemp("theirs") / "venv", "dagster", "dagster-webserver")
    account = {"API_URL": emulated.api_url, "APPID": emulated.appid, "SECRET": emulated.secret}
    guest = Guest(tmp_path, dagster, {f"WX_DATACUBE_{name}": value for name, value in account.items()})
    by_pip, by_uv, *others = ([line.removeprefix("$ ") for line in block.splitlines()] for block in blocks("console"))
    (code,) = blocks("python")
    (tmp_path / "definitions.py").write_text(code)
    ours = "pip freeze | grep -i '^dagster' | grep -v duckdb"
    before = guest.must(f"uv {ours}")

    guest.must("\n".join(["set -e", *(by_pip if installer == "pip" else by_uv)]))
    lines = [line for block in others for line in block]
    # Both installers install the same packages, so only one continues to the end.
    said = guest.must("\n".join(["set -e", *(lines if installer == "pip" else lines[:2])]))

    assert guest.must(f"uv {ours}") == before
    assert all(" install " in "\n".join(each) for each in (by_pip, by_uv))
    assert "Validation successful" in said
    if installer == "pip":
        assert said.count("RUN_SUCCESS") == 3
        assert (tmp_path / "data" / "wx_datacube.duckdb").exists()
