"""Fixtures that several files share: an empty warehouse in memory, and one on disk."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.schema import TABLES, create_statements
from wx_datacube_tests.emulator_caller import Emulators
from wx_datacube_tests.receiver import Receiver, receiving

collect_ignore = [
    *([] if (Path(__file__).parent / "node" / "node_modules").is_dir() else ["node"]),
    *([] if find_spec("playwright") else ["browser"]),
]
"""What needs more than is here: `make clients` brings the one, `make install` the other, `make newest` neither."""

LONGEST_FIRST = ("guest", "kills", "mornings", "crowds", "month", "server", "side_by_side", "commands", "heal")
"""Files with long tests that must begin first, or one process is still at them when all others have ended."""

KEPT = {"meta", "endpoints"}
"""Tables that are filled when a warehouse is made, and never again."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long tests come in the order of `LONGEST_FIRST`; the others stay where they are."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)) if item.get_closest_marker("long") else -1)


@pytest.fixture(scope="session")
def _memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """One database in memory for all tests; a single thread is the fastest for a few rows."""
    with duckdb.connect(config={"threads": 1}) as con:
        for statement in create_statements():
            con.execute(statement)
        yield con


@pytest.fixture
def con(_memory: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A connection to an empty warehouse."""
    empty(_memory)
    return _memory


@pytest.fixture(scope="module")
def emulators() -> Iterator[Emulators]:
    """Those that tests of one file share."""
    with Emulators() as emulators:
        yield emulators


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A chat's robot that takes everything."""
    with receiving() as found:
        yield found


def empty(con: duckdb.DuckDBPyConnection) -> None:
    """Delete all that was ever stored."""
    for name in {*TABLES, *BY_NAME} - KEPT:
        con.execute(f"DELETE FROM datacube.{name}")


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """A warehouse in a folder of its own that nobody has used yet; it waits half a second for others."""
    return Warehouse(tmp_path / "data" / "figures.duckdb", timeout=0.5)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published warehouse without any figures: copying it is faster than making one."""
    made = Warehouse(tmp_path_factory.mktemp("template") / "figures.duckdb")
    made.publish()
    return made.database


@pytest.fixture
def folder(_template: Path, tmp_path: Path) -> Path:
    """A folder with an empty warehouse, `figures.duckdb`."""
    made = tmp_path / "data"
    made.mkdir()
    shutil.copy(_template, made)
    return made
