"""Fixtures of the tests of ingestion: one emulator per module, and accounts on it with warehouses of their own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.answers import day
from wx_datacube_tests.ingesting import Start, shop


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Run one emulator for all tests, each of which resets it."""
    with wechat() as emulated:
        yield emulated


@pytest.fixture
def start(folder: Path, emulated: Emulated) -> Iterator[Start]:
    """Return a function that starts an emulated account from 1 November 2026 on, with messages on every day."""
    with ExitStack() as shops:
        yield lambda **options: shops.enter_context(
            shop(folder, **{"start": day(1), "silent_share": 0, "running": emulated, **options})
        )
