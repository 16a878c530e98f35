"""Fixtures that several files share: an empty warehouse in memory and one on disk, emulators and a webhook receiver."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import duckdb
import pytest

from wx_datacube.catalog.endpoints import RELATIONS
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.schema import TABLES, create_statements
from wx_datacube_tests.emulator_caller import Emulators
from wx_datacube_tests.receiver import Receiver, receiving

if TYPE_CHECKING:
    from wx_datacube_tests.dagster_environment import DagsterEnv

collect_ignore = [
    *([] if (Path(__file__).parent / "node" / "node_modules").is_dir() else ["node"]),
    *([] if find_spec("playwright") else ["browser"]),
    *([] if find_spec("dagster_postgres") else ["orchestration/test_event_log_postgres.py"]),
]
"""Tests with further requirements: `make clients` installs Node's, `make install` Playwright and dagster-postgres.

`make newest` installs none of them; dagster-postgres requires one exact version of Dagster.
"""

LONGEST_FIRST = (
    "guest",
    "system",
    "kills",
    "mornings",
    "crowds",
    "month",
    "server",
    "side_by_side",
    "commands",
    "heal",
)
"""Files with long tests, in the order in which they start.

If they start late, one worker is still busy with them when all others have finished.
"""

KEPT = {"meta", "endpoints", "metrics"}
"""Tables that are filled only when a warehouse is created."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests marked `long` in the order of `LONGEST_FIRST`; all other tests come first, in their own order."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)) if item.get_closest_marker("long") else -1)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Restore the environment after each test: commands set variables for the rest of their process."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def _memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """Create one in-memory database for all tests, with a single thread, which is fastest for a few rows."""
    with duckdb.connect(config={"threads": 1}) as con:
        for statement in create_statements():
            con.execute(statement)
        yield con


@pytest.fixture
def con(_memory: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a connection to an empty warehouse."""
    empty(_memory)
    return _memory


@pytest.fixture(scope="module")
def emulators() -> Iterator[Emulators]:
    """Provide emulators that the tests of one file share."""
    with Emulators() as emulators:
        yield emulators


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[DagsterEnv]":
    """Provide a fresh project and Dagster instance, without any settings."""
    from wx_datacube_tests.dagster_environment import dagster_env  # tests without Dagster need not wait for it

    with dagster_env(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Provide a webhook receiver that accepts every message."""
    with receiving() as found:
        yield found


def empty(con: duckdb.DuckDBPyConnection) -> None:
    """Delete everything that tests have stored."""
    tables = {relation.name for relation in RELATIONS}
    for name in {*TABLES, *tables} - KEPT:
        con.execute(f"DELETE FROM datacube.{name}")


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Return a warehouse, not yet created, in its own folder; its lock timeout is half a second."""
    return Warehouse(tmp_path / "data" / "figures.duckdb", timeout=0.5)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a published warehouse without figures; copying it is faster than creating another."""
    made = Warehouse(tmp_path_factory.mktemp("template") / "figures.duckdb")
    made.publish()
    return made.database


@pytest.fixture
def folder(_template: Path, tmp_path: Path) -> Path:
    """Return a folder with an empty warehouse, `figures.duckdb`."""
    made = tmp_path / "data"
    made.mkdir()
    shutil.copy(_template, made)
    return made
