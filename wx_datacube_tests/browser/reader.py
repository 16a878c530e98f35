"""Reader: somebody who opens a report in Chromium, chooses a range and reads what the page shows.

Add a helper here when several tests need it to find something in the page. Everything waits for the page to be drawn.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from playwright.sync_api import Browser, Locator, Page

PATIENCE = 15_000
"""Milliseconds to wait for something in a page."""

_SECTIONS = """() => Object.fromEntries([...document.querySelectorAll("section")].map(section => [
  section.querySelector("h2").textContent,
  { texts: [...section.querySelectorAll("p:not(.tools, .hint)")].map(each => each.textContent),
    tables: [...section.querySelectorAll("table")].map(
      table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))) }]))"""


@dataclass(frozen=True)
class Shown:
    """What a section shows: its paragraphs, and its tables as rows of texts, the first of which has the headers."""

    texts: list[str]
    tables: list[list[list[str]]]


@dataclass
class Reader:
    """A page with a report, what its console said, and the addresses that it requested."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Record the console and the requests."""
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def is_drawn(self) -> None:
        """Wait until all charts are drawn."""
        self.page.wait_for_selector("body[data-drawn]")

    @contextmanager
    def redrawn(self) -> Iterator[None]:
        """Wait until the page has been drawn again after what the caller does."""
        self.page.evaluate("delete document.body.dataset.drawn")
        yield
        self.is_drawn()

    def go(self, fragment: str) -> None:
        """Change the URL's fragment, and nothing else."""
        if self.page.evaluate("location.hash") in (fragment, f"#{fragment}"):
            return
        with self.redrawn():
            self.page.evaluate("fragment => { location.hash = fragment }", fragment)

    @property
    def chosen(self) -> dict[str, str]:
        """What the fragment says."""
        return dict(parse_qsl(self.page.evaluate("location.hash.slice(1)")))

    # --- what is there

    def button(self, name: str) -> Locator:
        """Return a button by its text."""
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        """Return a link by its text."""
        return self.page.get_by_role("link", name=name, exact=True)

    def date(self, name: str) -> Locator:
        """Return one of the four dates: `from`, `to`, `vs_from` or `vs_to`."""
        return self.page.locator(f"input[name={name}]")

    @property
    def dates(self) -> list[str]:
        """The dates of the range and, but for the page of completeness, of the comparison."""
        return [each.input_value() for each in self.page.locator("input[type=date]").filter(visible=True).all()]

    def section(self, heading: str) -> Locator:
        """Return a section by its heading."""
        return self.page.locator("section").filter(has=self.page.get_by_role("heading", name=heading, exact=True))

    def sections(self) -> dict[str, Shown]:
        """Return what every section shows, by its heading."""
        return {heading: Shown(**found) for heading, found in self.page.evaluate(_SECTIONS).items()}

    def downloaded(self, section: Locator, press: Any = None) -> "Download":
        """Press the section's button for CSV, and return the file."""
        button = section.locator("button").filter(has_text="CSV").last
        with self.page.expect_download(timeout=60_000) as found:
            (press or Locator.click)(button)
        return Download(found.value.suggested_filename, Path(found.value.path()).read_bytes())

    @property
    def width(self) -> int:
        """The width that the whole page needs."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


@dataclass(frozen=True)
class Download:
    """A file that was downloaded."""

    name: str
    content: bytes

    @property
    def rows(self) -> list[list[str]]:
        """The rows of the CSV."""
        return list(csv.reader(io.StringIO(self.content.decode("utf-8-sig"), newline="")))


@contextmanager
def reading(
    browser: Browser, path: Path, fragment: str = "", *, width: int = 1280, scheme: str = "light", ready: str = ""
) -> Iterator[Reader]:
    """Open a report in a context of its own, without a network; assert that the console stays empty.

    Nothing but the file itself may be requested, and downloads, which the page makes itself. `ready` is a script that
    runs before the page's.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=True,
        is_mobile=width < 500,
        locale="en-US",
        offline=True,
    )
    context.set_default_timeout(PATIENCE)
    if ready:
        context.add_init_script(ready)
    reader = Reader(context.new_page())
    reader.listen()
    try:
        reader.page.goto(f"{path.as_uri()}{fragment}")
        reader.is_drawn()
        yield reader
    finally:
        context.close()
    assert reader.complaints == []
    assert {url.split("#")[0] for url in reader.requests if not url.startswith("blob:")} == {path.as_uri()}
