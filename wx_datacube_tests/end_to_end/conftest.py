"""Test order: tests that wait for Dagster's own intervals start their work first and check it last."""

from pathlib import Path

import pytest

BEGINS, WAITS = {"backfill", "launched", "ticking"}, {"finished", "ticked"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In each file, run tests that start something first and tests that wait for it last."""
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(Path(__file__).parent)]
    files = list(dict.fromkeys(items[place].path for place in places))
    ordered = sorted((items[place] for place in places), key=lambda item: (files.index(item.path), _turn(item)))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _turn(item: pytest.Item) -> int:
    used = set(getattr(item, "fixturenames", ()))
    if used & WAITS:
        return 2
    return 0 if used & BEGINS else 1
