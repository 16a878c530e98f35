"""A guest in somebody else's Dagster project: one made by `create-dagster` and `dg`, with our wheel and their assets.

Packages come from the index that pip uses by itself. Add a test here for what must work beside other people's code.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.orchestrating import TOP

pytestmark = pytest.mark.long

SECONDS = 400
ADVICE = "Set DAGSTER_HOME, or make WX_DATACUBE_DATABASE absolute"
SECTION = (TOP / "README.md").read_text().split("### In another Dagster project\n")[1].split("\n## ")[0]

TICK = """
import os
import sys
from pathlib import Path

import dagster as dg

found = dg.load_from_defs_folder(path_within_project=Path("src/theirs"))
schedule = found.get_repository_def().get_schedule_def(sys.argv[1])
instance = dg.DagsterInstance.get() if "DAGSTER_HOME" in os.environ else dg.DagsterInstance.local_temp()
with instance, dg.build_schedule_context(instance=instance) as context:
    tick = schedule.evaluate_tick(context)
print(len(tick.run_requests or ()), tick.skip_message)
"""

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
    """A folder, and the commands that are typed in it with a venv of its own and nothing of the caller's settings."""

    folder: Path
    venv: Path
    environ: Mapping[str, str]

    def type_in(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line by bash."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WX_", "DAGSTER_", "PYTHON"))}
        environ = kept | {"PATH": f"{self.venv / 'bin'}:{os.environ['PATH']}", **self.environ}
        command = ["bash", "-c", line]
        return subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def must(self, line: str) -> str:
        """Run a line that has to succeed; all that it said."""
        done = self.type_in(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def tick(self, schedule: str) -> str:
        """How many runs a schedule requests now, and what it says if it requests none."""
        (self.folder / "tick.py").write_text(TICK)
        done = self.type_in(f"python tick.py {schedule}")
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(TOP / "wx_datacube", source / "wx_datacube", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, timeout=SECONDS)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the wheel, its extras and Dagster's commands for making projects."""
    made = tmp_path_factory.mktemp("venv") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(made)], check=True, timeout=SECONDS)
    install = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", "create-dagster", f"{wheel}[ui,report]"]
    subprocess.run(install, check=True, timeout=SECONDS)
    return made


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """WeChat, where everything that is due is published."""
    with wechat(publish_at="00:00", silent_share=0) as running:
        yield running


@pytest.fixture(scope="module")
def theirs(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their project, as Dagster's own commands make it: two components of ours, and a `build_defs` beside an asset."""
    above = tmp_path_factory.mktemp("company")
    Guest(above, venv, {}).must("create-dagster project theirs --no-uv-sync")
    project = Guest(above / "theirs", venv, {})
    project.must("pip install --quiet --editable .")
    for name, fields in COMPONENTS.items():
        project.must(f"dg scaffold defs wx_datacube.MessageAnalysis {name}")
        part = project.folder / "src" / "theirs" / "defs" / name / "defs.yaml"
        part.write_text(f"type: wx_datacube.MessageAnalysis\nattributes:\n  {fields}\n")
    (project.folder / "src" / "theirs" / "defs" / "paper.py").write_text(THEIR_ASSETS)
    return project.folder


@pytest.fixture
def settings(emulated: Emulated) -> dict[str, str]:
    """Two accounts, of which one has credentials."""
    return {
        "WX_DATACUBE_ACCOUNTS": "shop,news",
        "WX_DATACUBE_START": "2026-11-01",
        "WX_DATACUBE_API_URL": emulated.api_url,
        "WX_DATACUBE_SHOP_APPID": emulated.appid,
        "WX_DATACUBE_SHOP_SECRET": emulated.secret,
    }


@pytest.fixture
def dotenv(theirs: Path, settings: dict[str, str]) -> Iterator[Path]:
    """Their `.env`, beside their code."""
    path = theirs / ".env"
    path.touch(0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    yield path
    path.unlink()


DAY = "dg launch --assets shop/getupstreammsg --partition 2026-11-02"
RANGE = "dg launch --assets marketing/wechat/shop/getupstreammsg --partition-range 2026-11-03...2026-11-09"


@pytest.mark.usefixtures("dotenv")
def test_nothing_is_exported(theirs: Path, venv: Path) -> None:
    """As `create-dagster` leaves it: it loads with what is set, and all say alike what a relative path needs."""
    project = Guest(theirs, venv, {})

    assert ADVICE in project.must("dg check defs")
    assert "wechat/news/getupstreammsg" in project.must("dg list defs --json")
    launched = project.type_in(DAY)
    assert launched.returncode != 0
    assert ADVICE in launched.stdout + launched.stderr
    assert ADVICE in project.tick("shop_daily")
    status = project.type_in("wx-datacube status")
    assert (status.returncode, status.stdout) == (2, "")
    assert ADVICE in status.stderr


def test_variables_only(theirs: Path, venv: Path, settings: dict[str, str], tmp_path: Path) -> None:
    """As in a container: with an absolute path, no folder is needed but for what looks into Dagster's history."""
    database = tmp_path / "figures" / "wechat.duckdb"
    project = Guest(theirs, venv, settings | {"WX_DATACUBE_DATABASE": str(database)})

    assert "Every run will fail" not in project.must("dg check defs")
    for line in (DAY, RANGE, "dg launch --assets their_days"):
        project.must(line)
    assert re.match(r"[1-9]\d* None", project.tick("marketing__wechat__shop_daily"))
    assert "Account shop" in project.type_in("wx-datacube status").stdout
    backfill = project.type_in("wx-datacube backfill --account shop")
    assert (backfill.returncode, backfill.stderr.count("\n")) == (2, 1)
    assert "Set DAGSTER_HOME" in backfill.stderr
    assert database.exists()


@pytest.mark.usefixtures("dotenv")
def test_dagster_home(theirs: Path, venv: Path, tmp_path: Path) -> None:
    """Figures and history are there; commands and Dagster show the same accounts, from the `.env` beside the code."""
    project = Guest(theirs, venv, {"DAGSTER_HOME": str(tmp_path)})

    assert "Every run will fail" not in project.must("dg check defs")
    for line in (DAY, RANGE, "dg launch --assets their_days"):
        project.must(line)
    before = project.tick("shop_daily")
    filled = project.must("wx-datacube backfill --account shop --start 2026-11-01 --end 2026-11-09")
    assert re.match(r"[1-9]\d* None", before)
    assert "getupstreammsg 2026-11-01 to 2026-11-09: 9 days materialized" in filled
    assert "Account shop" in project.type_in("wx-datacube status").stdout
    assert str(theirs / ".env") in project.type_in("wx-datacube doctor --account news").stdout
    assert (tmp_path / "data" / "wx_datacube.duckdb").exists()


def blocks(language: str) -> list[str]:
    """The blocks of that language in the README's section."""
    return [textwrap.dedent(found) for found in re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)]


def test_the_readme_can_be_typed_word_by_word(venv: Path, wheel: Path, emulated: Emulated, tmp_path: Path) -> None:
    """In an empty folder with the wheel in it: each command succeeds, with the code in the file that is named."""
    shutil.copy(wheel, tmp_path)
    guest = Guest(
        tmp_path,
        venv,
        {
            "WX_DATACUBE_API_URL": emulated.api_url,
            "WX_DATACUBE_APPID": emulated.appid,
            "WX_DATACUBE_SECRET": emulated.secret,
        },
    )
    (code, *_) = blocks("python")
    (tmp_path / "definitions.py").write_text(code)
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]

    said = guest.must("\n".join(["set -e", *lines]))

    assert len(lines) >= 6
    assert "RUN_SUCCESS" in said
    assert (tmp_path / "data" / "wx_datacube.duckdb").exists()
