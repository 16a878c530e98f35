"""All families through Dagster: the UI's launches over all fifteen assets, on one code location with all families on.

Add a test here when a family needs something else of Dagster's UI. Ticks over many mornings are in
`ingest/test_turns.py`, since they need a clock of their own.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.periods import beijing_now, due_labels
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import Project, Ui, dagster_dev

pytestmark = pytest.mark.long

START = beijing_now().date() - dt.timedelta(days=40)
ALL_PARTITIONS = """mutation ($keys: [AssetKeyInput!]!) {
  launchPartitionBackfill(backfillParams: {assetSelection: $keys, allPartitions: true}) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}
  }
}"""
TAGS = "{ assetNodes { assetKey {path} tags {key value} } }"


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Provide an account whose figures are published at midnight, so that every due label has them."""
    with wechat(publish_at="00:00", silent_share=0) as running:
        yield running


@pytest.fixture(scope="module")
def project(emulated: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Provide a project folder with all families on."""
    folder = tmp_path_factory.mktemp("families") / "project"
    return Project.on(folder, emulated, START=START.isoformat(), FAMILIES="all")


@pytest.fixture(scope="module")
def ui(project: Project) -> Iterator[Ui]:
    """Run `dagster dev` in the project folder."""
    with dagster_dev(project) as found:
        yield found


@pytest.fixture(scope="module")
def launched(ui: Ui) -> Any:
    """Launch all partitions of all fifteen assets, as the UI does, and return the backfill once it has ended."""
    keys = [{"path": ["default", name]} for name in BY_NAME]
    started = ui.ask(ALL_PARTITIONS, keys=keys)["launchPartitionBackfill"]
    return ui.ended(str(started["backfillId"]))


def test_every_asset_carries_its_family(ui: Ui) -> None:
    """Every asset of an endpoint has the tag `wx_datacube/family`."""
    found = {
        node["assetKey"]["path"][-1]: {tag["key"]: tag["value"] for tag in node["tags"]}
        for node in ui.ask(TAGS)["assetNodes"]
    }
    assert {name: found[name]["wx_datacube/family"] for name in BY_NAME} == {
        endpoint.name: endpoint.family.value for endpoint in ENDPOINTS
    }


def test_all_partitions_of_all_assets_come_in_with_one_launch(project: Project, launched: Any) -> None:
    """The UI's launch of all partitions brings in all fifteen endpoints."""
    assert launched["status"] == "COMPLETED_SUCCESS"
    states = dict(project.query("SELECT endpoint, list(DISTINCT state) FROM datacube.coverage GROUP BY endpoint"))
    assert {name for name, found in states.items() if "missing" not in found} == set(BY_NAME)


def test_a_launch_by_asset_makes_no_call_for_what_is_stored(
    project: Project, ui: Ui, emulated: Emulated, launched: Any
) -> None:
    """A launch of the ranges of each asset over stored labels makes no call, and no open label is requested twice."""
    before = len(emulated.control.statistics_calls())
    ranges = {}
    for endpoint in ENDPOINTS:
        labels = due_labels(endpoint.period, endpoint.first(START), beijing_now().date())
        ranges["default", endpoint.name] = [(str(labels[0]), str(labels[-1]))]
    ended = ui.ended(ui.launch(ranges))

    assert ended["status"] == "COMPLETED_SUCCESS"
    assert len(emulated.control.statistics_calls()) == before
