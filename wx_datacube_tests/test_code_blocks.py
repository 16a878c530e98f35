"""Code blocks of the READMEs and of docs/: each is run by a test, or says why it isn't.

Console blocks are run here, in a project folder with a week of figures. Other blocks are run by the tests in `RUN_BY`.
A block that is neither has a line above it, which readers don't see: `<!-- not run: the reason -->`, or
`<!-- run by test_server.py -->`. Blocks of the language `text` are no code: drawings, messages, output.
"""

import datetime as dt
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.ingesting import shop

TOP = Path(__file__).parent.parent
PAGES = ["README.md", "README.zh-CN.md", *(str(path.relative_to(TOP)) for path in sorted(TOP.glob("docs/**/*.md")))]
RUN_BY = {
    ("docs/emulator.md", "python"): "test_docs.py",
    ("docs/how-to/alerts.md", "json"): "test_docs.py",
    ("docs/how-to/dagster.md", "python"): "test_docs.py",
    ("docs/how-to/dagster.md", "yaml"): "test_docs.py",
    ("docs/how-to/dashboards.md", "json"): "test_dashboards.py",
    ("docs/how-to/dashboards.md", "python"): "test_dashboards.py",
    ("docs/how-to/dashboards.md", "sql"): "test_dashboards.py",
    ("docs/how-to/lake.md", "python"): "test_lake.py",
    ("docs/how-to/lake.md", "sql"): "test_lake.py",
    ("docs/how-to/machines.md", "yaml"): "test_postgres.py",
    ("docs/queries.md", "sql"): "test_queries.py",
    ("docs/tutorial.md", "python"): "test_docs.py",
    ("docs/zh/alerts.md", "json"): "test_docs.py",
    ("docs/zh/dagster.md", "python"): "test_docs.py",
    ("docs/zh/dagster.md", "yaml"): "test_docs.py",
    ("docs/zh/lake.md", "python"): "test_lake.py",
    ("docs/zh/lake.md", "sql"): "test_lake.py",
    ("docs/zh/tutorial.md", "python"): "test_docs.py",
}
"""The test file that runs all blocks of a language on a page."""


class Block(NamedTuple):
    """A code block: where it is, its language and lines, and the mark above it (`run by`, `not run:`) with its text."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]
    mark: str
    why: str


def blocks() -> Iterator[Block]:
    """Yield the code blocks of all pages."""
    fence = re.compile(
        r"(?:^ *<!-- (run by|not run:) (.+?) -->\n\n?)?^( *)```(\w*)\n(.*?)^\3```$", re.MULTILINE | re.DOTALL
    )
    for page in PAGES:
        text = (TOP / page).read_text("utf-8")
        for found in fence.finditer(text):
            mark, why, indent, language, body = found.groups(default="")
            lines = tuple(line.removeprefix(indent) for line in body.splitlines())
            yield Block(page, text.count("\n", 0, found.start()) + 1, language, lines, mark, why)


BLOCKS = [*blocks()]


def commands(block: Block) -> Iterator[str]:
    """Yield the commands of a console block, each of which is one line, without their output."""
    return (line.removeprefix("$ ") for line in block.lines if line.startswith("$ "))


CONSOLE = {tuple(commands(each)): each for each in reversed(BLOCKS) if each.language == "console" and not each.mark}
"""The console blocks to run, by their commands: pages in two languages have the same ones."""


def test_every_block_is_found() -> None:
    """No fence escapes the pattern: each page has two for each block."""
    for page in PAGES:
        fences = re.findall(r"^ *```", (TOP / page).read_text("utf-8"), re.MULTILINE)
        assert len(fences) == 2 * sum(block.page == page for block in BLOCKS), page


def test_every_command_is_one_line() -> None:
    """No quote of a command stays open: the site's copy button takes the lines that begin with `$ `."""
    for block in BLOCKS:
        for command in commands(block) if block.language == "console" else ():
            assert shlex.split(command, comments=True), (block.page, block.line)


def test_every_block_is_run_or_says_why_not() -> None:
    """Every block is run here or by the test file that is named for it, or has a reason above it."""
    tests = {path.name for path in (TOP / "wx_datacube_tests").rglob("test_*.py")}
    left = []
    for each in BLOCKS:
        runner = each.why if each.mark == "run by" else RUN_BY.get((each.page, each.language))
        if each.language not in ("console", "text") and each.mark != "not run:" and runner is None:
            left.append(f"{each.page}:{each.line}")
        assert runner is None or runner in tests, each

    assert not left, f"run these blocks by a test, or write <!-- not run: reason --> above them: {', '.join(left)}"


def test_the_table_of_tests_names_no_page_or_language_in_vain() -> None:
    """Every entry of `RUN_BY` has blocks, and the test file reads the page."""
    assert RUN_BY.keys() <= {(each.page, each.language) for each in BLOCKS}
    for (page, _), name in RUN_BY.items():
        (path,) = (TOP / "wx_datacube_tests").rglob(name)
        assert Path(page).name in path.read_text("utf-8"), (page, name)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a project folder to copy: a week of figures of the account `default`, and the commands in `.venv`."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "data").mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "dagster.yaml").write_text("")
    start = dt.date(2026, 11, 17)
    (folder / ".env").write_text(f"WX_DATACUBE_START={start}\n")
    (folder / ".env.example").write_text("")
    with shop(folder, start=start) as made:
        warehouse = Warehouse(folder / "data" / "wx_datacube.duckdb", clock=made.emulated.account.clock)
        account = replace(made.ingest.account, name="default")
        made.with_(warehouse=warehouse, account=account).bring_everything_in()
    return folder


@pytest.mark.parametrize(
    "given", [pytest.param(given, id=f"{block.page}:{block.line}") for given, block in CONSOLE.items()]
)
def test_console_blocks_run(given: tuple[str, ...], project: Path, tmp_path: Path) -> None:
    """Every command succeeds in a project folder with figures; `status` may also say that labels are missing."""
    folder = shutil.copytree(project, tmp_path / "project", symlinks=True)
    environ = os.environ | {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "PYTHONPATH": str(TOP)}
    for command in given:
        ran = subprocess.run(["sh", "-c", command], cwd=folder, env=environ, capture_output=True, text=True)
        assert ran.returncode <= ("wx-datacube status" in command), (command, ran.stdout, ran.stderr)

    assert given
