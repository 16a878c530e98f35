"""The documentation site: its navigation has every page, its links stay within it, and it builds."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
DOCS = TOP / "docs"
CONFIG = TOP / "zensical.toml"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))

LOST_ITEM = re.compile(r"<p>(?:[^<]|<(?!/p>))*?^(?:\d+\.|[-*]) .*", re.MULTILINE)
"""A list item that became a part of the paragraph before it: the site needs an empty line between them."""


def listed(entry: object) -> Iterator[str]:
    """Yield the pages of an entry of the navigation."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        yield from listed(list(entry.values()))
    elif isinstance(entry, list):
        for each in entry:
            yield from listed(each)


def test_the_navigation_has_every_page_once() -> None:
    """No page is an orphan, and no entry leads nowhere: the build, even a strict one, notices neither."""
    nav = tomllib.loads(CONFIG.read_text("utf-8"))["project"]["nav"]

    assert sorted(listed(nav)) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_stay_within_the_site(page: str) -> None:
    """No link leads to a file outside of docs/, such as the README, since the site hasn't got it."""
    targets = re.findall(r"\]\((?!\w+:)([^)#\s]+)", (DOCS / page).read_text("utf-8"))

    assert [target for target in targets if not ((DOCS / page).parent / target).resolve().is_relative_to(DOCS)] == []


@pytest.mark.parametrize("page", PAGES)
def test_blocks_in_lists_are_indented_by_four(page: str) -> None:
    """A code block within a list is indented by four columns: with less, the site ends the list there."""
    indented = re.findall(r"^( +)(?:```|- |\d+\. )", (DOCS / page).read_text("utf-8"), re.MULTILINE)

    assert [indent for indent in indented if len(indent) % 4] == []


def test_the_site_builds(tmp_path: Path) -> None:
    """No link is dead and no list broken; pages are in one language, and load nothing from elsewhere."""
    pytest.importorskip("zensical")
    for each in (DOCS, TOP / "overrides"):
        shutil.copytree(each, tmp_path / each.name)
    shutil.copy(CONFIG, tmp_path)
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    built = {page: tmp_path / "site" / re.sub(r"(^|/)index$", "", page.removesuffix(".md")) for page in PAGES}

    for page, folder in built.items():
        text = (folder / "index.html").read_text("utf-8")
        assert 2 * text.count("<pre") == len(re.findall("^ *```", (DOCS / page).read_text("utf-8"), re.MULTILINE)), page
        assert LOST_ITEM.findall(text) == [], page
        assert bool(re.search(r">\s*How to\s*<", text)) != page.startswith("zh/"), page
        assert f'<html lang="{"zh" if page.startswith("zh/") else "en"}"' in text, page
        assert re.findall(r'(?:<script[^>]* src|<link rel="stylesheet"[^>]* href|<img[^>]* src)="https?:', text) == []


def test_a_dead_anchor_fails_the_build(tmp_path: Path) -> None:
    """A link to a heading that isn't there fails the strict build."""
    pytest.importorskip("zensical")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n\n[there](#nowhere)\n")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "x"\n')
    build = [sys.executable, "-m", "zensical", "build", "--strict"]

    assert subprocess.run(build, cwd=tmp_path, capture_output=True).returncode != 0
