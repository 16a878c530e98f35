"""Reference pages: docs/reference/ and docs/zh/reference/ say what the code says.

`scripts/reference.py` makes them. Add a page there; nothing here knows single pages.
"""

from scripts import reference


def test_the_reference_pages_are_up_to_date() -> None:
    """The pages are those that the code makes now, and no others: after a change of the code, run `make reference`."""
    made = dict(reference.pages())
    kept = {path: path.read_text("utf-8") for folder in {path.parent for path in made} for path in folder.glob("*.md")}
    differing = [path for path in made.keys() | kept.keys() if made.get(path) != kept.get(path)]
    stale = sorted(str(path.relative_to(reference.TOP)) for path in differing)

    assert not stale, f"run `make reference`: it changes {', '.join(stale)}"
