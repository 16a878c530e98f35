"""Benchmarks: what they import exists, also in the programs that they start, since no test runs them."""

import importlib.util
import re
from pathlib import Path

import pytest

BENCHES = sorted(Path(__file__).parent.parent.joinpath("bench").glob("*.py"))


@pytest.mark.parametrize("bench", BENCHES, ids=lambda path: str(path.stem))
def test_every_import_of_a_benchmark_works(bench: Path) -> None:
    """Every name that a line imports from our package exists, in the module and in the programs in its strings."""
    lines = re.findall(r"^from (wx_datacube\S*) import ([\w, ]+)", bench.read_text(), re.MULTILINE)
    lacking = [
        (module, name)
        for module, names in lines
        for name in re.findall(r"\w+(?: as \w+)?", names)
        if not hasattr(importlib.import_module(module), name.split(" as ")[0])
        and importlib.util.find_spec(f"{module}.{name}") is None
    ]

    assert lacking == []
