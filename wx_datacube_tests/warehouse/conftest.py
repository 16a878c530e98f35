"""Fixtures of the tests of the warehouse."""

from pathlib import Path

import pytest

from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.warehouse.publishing import PUBLISHED, store


@pytest.fixture
def published(folder: Path) -> Warehouse:
    """Publish a warehouse with a row for the 4th and a timeout of half a second."""
    warehouse = Warehouse(folder / PUBLISHED, timeout=0.5)
    store(warehouse)
    warehouse.publish()
    return warehouse
