"""Dagster as its users run it: `dagster dev`, backfills in the UI, commands and a daemon, with a reader at all times.

One `dagster dev` and one daemon serve all tests of this file. Dagster starts backfills after up to half a minute and
ticks after a minute, so they are started first and checked last (see `conftest`).
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import Project, Ui, dagster_dev, wait_until

READER = """
import sys, time, duckdb
reads = 0
while True:
    with duckdb.connect(sys.argv[1], read_only=True) as con:
        rows, calls = con.execute(
            "SELECT (SELECT count(*) FROM totals_daily), (SELECT count(*) FROM datacube.api_calls)"
        ).fetchone()
    reads += 1
    print(reads, rows, calls, flush=True)
    time.sleep(0.2)
"""
MIX = {
    "getupstreammsg": ("2024-03-01", "2024-03-31"),
    "getupstreammsghour": ("2024-03-25", "2024-03-31"),
    "getupstreammsgweek": ("2024-02-26", "2024-03-25"),
    "getupstreammsgmonth": ("2024-02-01", "2024-03-01"),
}
GAPS = [("2024-02-03", "2024-02-05"), ("2024-02-12", "2024-02-14"), ("2024-02-20", "2024-02-22")]
"""The ranges that *Failed and missing* selects for days, hours and distributions if three ranges are missing."""
THEIRS = """
import dagster as dg
from dagster_duckdb import DuckDBResource

@dg.asset(deps=[["default", "getupstreammsg"]])
def busiest_day(duckdb: DuckDBResource) -> dg.MaterializeResult:
    with duckdb.get_connection() as con:
        (found,) = con.execute("SELECT date FROM totals_daily ORDER BY messages DESC LIMIT 1").fetchall()
    return dg.MaterializeResult(metadata={"day": str(found[0])})

figures = DuckDBResource(database="data/wx_datacube.duckdb", connection_config={"access_mode": "READ_ONLY"})
defs = dg.Definitions(assets=[busiest_day], resources={"duckdb": figures})
"""
"""A user's own code location in the same workspace."""

ASSET = """
query($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode {
    description kinds groupName dependencyKeys {path} partitionStats {numMaterialized numFailed}
    assetMaterializations(limit: 1) {metadataEntries {label ... on IntMetadataEntry {intValue}}}
    metadataEntries {label ... on TableSchemaMetadataEntry {schema {columns {name}}} ... on TextMetadataEntry {text}}
  } }
}"""
LOCATION = """
{ repositoriesOrError { ... on RepositoryConnection { nodes {
  location {name} schedules {name scheduleState {status}} assetNodes {assetKey {path}}
  allTopLevelResourceDetails {name configuredValues {key value type}}
} } } }"""


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an ordinary account with slow responses, so that runs last a while."""
    with wechat(latency=20) as running:
        yield running


@pytest.fixture(scope="module")
def project(emulated: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Provide a project folder in which `dagster asset materialize` has refreshed ten days."""
    found = Project.on(tmp_path_factory.mktemp("dev") / "project", emulated, START="2024-02-01")
    (found.folder / "theirs.py").write_text(THEIRS)
    with (found.folder / "workspace.yaml").open("a") as workspace:
        workspace.write("  - python_file: {relative_path: theirs.py, location_name: theirs}\n")
    wanted = ["--select", "default/getupstreammsgdist", "--partition-range", "2024-03-01...2024-03-10"]
    config = {"ops": {"default__getupstreammsgdist": {"config": {"refresh": True}}}}
    command = ["asset", "materialize", "-m", "wx_datacube.definitions", *wanted, "--config-json", json.dumps(config)]
    ran = found.call([found.program("dagster"), *command])
    assert ran.returncode == 0, ran.stderr
    return found


@pytest.fixture(scope="module")
def ticking(emulated: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Run a daemon on a user's code location whose weekly schedule is on and ticks every minute."""
    project = Project.on(tmp_path_factory.mktemp("daemon") / "project", emulated, START="2024-10-01")
    (project.folder / "theirs.py").write_text(
        "import datetime as dt\n"
        "from wx_datacube.definitions import build_defs\n"
        "defs = build_defs(cron_schedule='* * * * *', clock=lambda: dt.datetime(2024, 11, 12, 9, 30))\n"
    )
    home = {"DAGSTER_HOME": str(project.folder)}
    started = project.call(
        [project.program("dagster"), "schedule", "start", "default_weekly", "-f", "theirs.py"], **home
    )
    assert started.returncode == 0, started.stderr
    with (
        project.folder.with_suffix(".log").open("w") as log,
        project.started([project.program("dagster-daemon"), "run", "-f", "theirs.py"], log, **home),
    ):
        yield project


@pytest.fixture(scope="module")
def ticked(ticking: Project) -> Project:
    """Return the daemon's project once six weeks are stored."""

    def weeks(name: str) -> int:
        return int(ticking.query(f"SELECT count(DISTINCT ref_date) FROM datacube.{name}")[0][0])

    wait_until(lambda: ticking.database.exists() and weeks("getupstreammsgweek") == 6)
    wait_until(lambda: weeks("getupstreammsgdistweek") == 6)
    return ticking


@pytest.fixture(scope="module")
def ui(project: Project, ticking: Project) -> Iterator[Ui]:
    """Run `dagster dev` in the project folder, on the workspace with both locations."""
    with dagster_dev(project, "-w", "workspace.yaml") as found:
        yield found


@pytest.fixture(scope="module")
def reads(project: Project) -> Iterator[Path]:
    """Run a process that opens, queries and closes the published file in a loop, and yield its log."""
    log = project.folder.with_suffix(".reads")
    with log.open("w") as out, project.started([sys.executable, "-c", READER, str(project.database)], out):
        yield log


@pytest.fixture(scope="module")
def backfill(ui: Ui, reads: Path) -> str:
    """Launch a backfill of days, hours, weeks and months, and return its id."""
    return ui.launch({("default", name): [ends] for name, ends in MIX.items()})


@pytest.fixture(scope="module")
def gaps(ui: Ui, backfill: str) -> str:
    """Launch a second backfill of three ranges of days, hours and distributions each, and return its id."""
    return ui.launch({("default", f"getupstreammsg{suffix}"): GAPS for suffix in ("", "hour", "dist")})


@pytest.fixture(scope="module")
def launched(project: Project, ui: Ui) -> str:
    """Queue a run with `dagster job launch`, and return the endpoint that only this run fetches."""
    tags = {
        f"dagster/asset_partition_range_{end}": day for end, day in (("start", "2024-02-01"), ("end", "2024-03-01"))
    }
    command = [project.program("dagster"), "job", "launch", "-w", "workspace.yaml", "-l", "wx_datacube"]
    home = {"DAGSTER_HOME": str(project.folder)}
    ran = project.call([*command, "-j", "default_monthly", "--tags", json.dumps(tags)], **home)
    assert ran.returncode == 0, ran.stderr
    return "getupstreammsgdistmonth"


@pytest.fixture(scope="module")
def finished(ui: Ui, backfill: str, gaps: str) -> Any:
    """Return the first backfill once both have ended."""
    ui.ended(gaps)
    return ui.ended(backfill)


def location(ui: Ui, name: str = "wx_datacube") -> Any:
    """Return what the UI knows of a code location."""
    (found,) = [node for node in ui.ask(LOCATION)["repositoriesOrError"]["nodes"] if node["location"]["name"] == name]
    return found


def asset(ui: Ui, name: str) -> Any:
    """Return what the UI shows of an asset."""
    return ui.ask(ASSET, key={"path": ["default", name]})["assetNodeOrError"]


def test_the_location_shows_its_assets_and_schedules(ui: Ui, backfill: str) -> None:
    """The location `wx_datacube` shows seven assets, a digest, a report and five schedules, which are off."""
    ours = location(ui)

    assert {"/".join(node["assetKey"]["path"]) for node in ours["assetNodes"]} == {
        f"default/{name}" for name in (*(endpoint.name for endpoint in ENDPOINTS), "digest", "report")
    }
    assert {each["name"]: each["scheduleState"]["status"] for each in ours["schedules"]} == dict.fromkeys(
        ("default_daily", "default_weekly", "default_monthly", "default_checks", "wx_datacube_digest"), "STOPPED"
    )


def test_the_location_holds_no_credentials(ui: Ui, emulated: Emulated) -> None:
    """The location's resources name environment variables and contain no credentials."""
    (ours,) = [each for each in location(ui)["allTopLevelResourceDetails"] if each["name"] == "wechat_default"]

    found = {each["key"]: (each["value"], each["type"]) for each in ours["configuredValues"]}
    assert found["secret"] == ("WX_DATACUBE_SECRET", "ENV_VAR")
    assert found["appid"] == ("WX_DATACUBE_APPID", "ENV_VAR")
    assert emulated.secret not in json.dumps(location(ui))


def test_dagster_asset_materialize_takes_a_range_and_a_refresh(project: Project, ui: Ui) -> None:
    """`dagster asset materialize --partition-range` with `refresh: true` makes one call for ten partitions."""
    assert asset(ui, "getupstreammsgdist")["partitionStats"]["numMaterialized"] == 10
    assert project.query(
        "SELECT count(*), bool_and(refresh) FROM datacube.api_calls WHERE endpoint = 'getupstreammsgdist'"
    ) == [(1, True)]


def test_dg_launch_takes_a_range(project: Project, ui: Ui, backfill: str) -> None:
    """`dg launch` loads the same assets through [tool.dg] and writes to the same history."""
    wanted = ["--assets", "default/getupstreammsgdistweek", "--partition-range", "2024-02-26...2024-03-18"]
    ran = project.call([project.program("dg"), "launch", *wanted])

    assert ran.returncode == 0, ran.stderr
    assert asset(ui, "getupstreammsgdistweek")["partitionStats"]["numMaterialized"] == 4


def test_dagster_job_launch_takes_a_range(ui: Ui, launched: str, finished: Any) -> None:
    """The daemon executes a job over a range that `dagster job launch` queued."""
    wait_until(lambda: asset(ui, launched)["partitionStats"]["numMaterialized"] == 2)


def test_another_location_reads_what_ours_wrote(project: Project, ui: Ui, finished: Any) -> None:
    """An asset of another code location depends on ours and reads the published file."""
    command = [project.program("dagster"), "asset", "materialize", "-f", "theirs.py", "--select", "busiest_day"]
    ran = project.call(command, DAGSTER_HOME=str(project.folder))

    assert ran.returncode == 0, ran.stderr
    assert ["busiest_day"] in [node["assetKey"]["path"] for node in location(ui, "theirs")["assetNodes"]]
    theirs = ui.ask(ASSET, key={"path": ["busiest_day"]})["assetNodeOrError"]
    assert theirs["dependencyKeys"] == [{"path": ["default", "getupstreammsg"]}]
    assert len(theirs["assetMaterializations"]) == 1


def test_dg_lists_the_same_assets(project: Project) -> None:
    """`dg list defs` finds the same assets through [tool.dg]; `test_packaging` checks that the names agree."""
    listed = project.call([project.program("dg"), "list", "defs", "--json"])

    assert listed.returncode == 0, listed.stderr
    assert [name for name in (endpoint.name for endpoint in ENDPOINTS) if f"default/{name}" not in listed.stdout] == []


def test_a_backfill_of_days_hours_weeks_and_months_completes(ui: Ui, finished: Any) -> None:
    """A backfill makes one run per asset and materializes all partitions."""
    assert finished["status"] == "COMPLETED_SUCCESS"
    assert [run["status"] for run in finished["runs"]] == ["SUCCESS"] * len(MIX)
    counts = {name: asset(ui, name)["partitionStats"] for name in MIX}
    assert counts == {
        name: {"numMaterialized": count, "numFailed": 0} for name, count in zip(MIX, (31 + 9, 7 + 9, 5, 2), strict=True)
    }


def test_three_ranges_of_three_assets_complete_side_by_side(project: Project, ui: Ui, gaps: str) -> None:
    """Three ranges of three assets each are completed by three runs at the same time."""
    found = ui.ended(gaps)
    days = ", ".join(f"('{first}', '{last}')" for first, last in GAPS)

    assert found["status"] == "COMPLETED_SUCCESS"
    assert [run["status"] for run in found["runs"]] == ["SUCCESS"] * 3
    assert project.query(
        "SELECT count(*) FROM datacube.coverage WHERE state <> 'missing' AND EXISTS ("
        f"FROM (VALUES {days}) AS gap(first, last) WHERE label BETWEEN first::DATE AND last::DATE)"
        " AND endpoint IN ('getupstreammsg', 'getupstreammsghour', 'getupstreammsgdist')"
    ) == [(27,)]


def test_readers_are_never_disturbed(project: Project, finished: Any, reads: Path) -> None:
    """Every read succeeds while runs write."""
    time.sleep(0.5)
    found = [tuple(map(int, line.split())) for line in reads.read_text().splitlines() if line[:1].isdigit()]

    assert "Error" not in reads.read_text()
    assert len(found) > 20
    assert found == sorted(found)  # no read sees less than an earlier one
    assert found[-1][1] > found[0][1]
    assert found[-1][2] == project.query("SELECT count(*) FROM datacube.api_calls")[0][0]


def test_the_ui_explains_an_asset(ui: Ui, finished: Any) -> None:
    """The UI shows the description in two languages, the table, its columns, and a partition's figures as numbers."""
    found = asset(ui, "getupstreammsg")
    metadata = {entry["label"]: entry for entry in found["metadataEntries"]}
    figures = {each["label"]: each.get("intValue") for each in found["assetMaterializations"][0]["metadataEntries"]}

    assert "每日消息发送概况" in found["description"]
    assert (found["groupName"], "duckdb" in found["kinds"]) == ("wx_default", True)
    assert metadata["dagster/table_name"]["text"] == "datacube.getupstreammsg"
    assert [column["name"] for column in metadata["dagster/column_schema"]["schema"]["columns"]][:2] == [
        "account",
        "ref_date",
    ]
    plotted = ("dagster/row_count", "dagster/partition_row_count", "messages")
    assert all(isinstance(figures[name], int) for name in plotted)
    assert {"state", "answer"} < set(figures)


def test_a_schedule_fetches_what_is_missing(ticked: Project) -> None:
    """A daemon's tick launches one run per endpoint over the whole gap, and later ticks launch none."""
    launched = ticked.query("SELECT endpoint, count(DISTINCT run_id) FROM datacube.api_calls GROUP BY ALL ORDER BY 1")
    assert launched == [("getupstreammsgdistweek", 1), ("getupstreammsgweek", 1)]


def test_no_file_holds_a_secret(project: Project, finished: Any, emulated: Emulated) -> None:
    """No database, history or log contains the AppSecret or a token."""
    token = emulated.account.tokens.stable(emulated.control.now(), False).text

    def bodies() -> Iterator[tuple[Path, bytes]]:
        for path in project.folder.parent.rglob("*"):
            with suppress(FileNotFoundError, IsADirectoryError):  # SQLite deletes its -wal when nobody uses the file
                yield path, path.read_bytes()

    files = [(path, body) for path, body in bodies() if path.name != ".env"]
    assert len(files) > 20
    assert [path for path, body in files if any(each.encode() in body for each in (emulated.secret, token))] == []
