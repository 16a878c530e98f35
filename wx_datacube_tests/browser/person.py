"""A person who clicks, types and reads in Dagster's UI, in Chromium.

Add here what several tests click. Actions are clicks only; GraphQL (`ui`) is used only to wait. Tests look for text
that the page shows, so a test fails where a person would not find it.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from wx_datacube_tests.end_to_end.project import Ui, wait_until

BACKFILLS = """
{ partitionBackfillsOrError { ... on PartitionBackfills { results {id status runs(limit: 20) {id status}} } } }"""
STATS = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats {numMaterialized numFailed numMaterializing} } } }"""
TICKS = """
query($location: String!, $name: String!) {
  scheduleOrError(scheduleSelector: {
    repositoryName: "__repository__", repositoryLocationName: $location, scheduleName: $name
  }) { ... on Schedule { scheduleState { ticks(limit: 1) {skipReason} } } } }"""
ALL_RUNS = "{ runsOrError(limit: 100) { ... on Runs { results {id status tags {key value} assetSelection {path}} } } }"


@dataclass
class Person:
    """A browser page, the UI, the folder for screenshots, and the errors on the page's console."""

    page: Page
    ui: Ui
    screenshots: Path
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Record the errors on the page's console."""

        def note(message: ConsoleMessage) -> None:
            if message.type == "error":
                self.complaints.append(message.text)

        self.page.on("console", note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str) -> None:
        """Open a page of the UI."""
        self.page.goto(f"http://127.0.0.1:{self.ui.port}{path}")

    def photograph(self, name: str) -> None:
        """Take a screenshot, half a second later, when animations have ended."""
        self.page.wait_for_timeout(500)
        self.page.screenshot(path=self.screenshots / f"{name}.png")

    def button(self, text: str, inside: Locator | None = None) -> Locator:
        """Return the first button that contains a text; icons have their own text before it."""
        return (inside or self.page.locator("body")).get_by_role("button").filter(has_text=text).first

    def sees(self, text: str) -> None:
        """Fail unless the page shows the text before the timeout."""
        expect(self.page.get_by_text(text).first).to_be_visible()

    # --- materializing

    def materialize(self, account: str, endpoint: str) -> Locator:
        """Open the dialog of an asset's Materialize button."""
        self.open(f"/assets/{account}/{endpoint}?view=partitions")
        self.button("Materialize").click()
        return self.page.get_by_role("dialog").last

    def choose(self, dialog: Locator, first: dt.date, last: dt.date) -> None:
        """Type a range of partitions."""
        box = dialog.get_by_role("textbox").first
        box.fill(f"[{first}...{last}]")
        box.press("Enter")

    def launch_backfill(self, dialog: Locator) -> str:
        """Launch the backfill; return its id."""
        before = {each["id"] for each in self.backfills()}
        self.button("Launch backfill", dialog).click()
        self.sees("Created backfill")
        (found,) = {each["id"] for each in self.backfills()} - before
        return str(found)

    # --- waiting

    def backfills(self) -> list[Any]:
        """Return all backfills, newest first."""
        return list(self.ui.ask(BACKFILLS)["partitionBackfillsOrError"]["results"])

    def ended(self, backfill: str) -> Any:
        """Wait until a backfill has ended, and return it."""

        def found() -> Any:
            (it,) = [each for each in self.backfills() if each["id"] == backfill]
            return it if it["status"] not in ("REQUESTED", "IN_PROGRESS") else None

        return wait_until(found)

    def stats(self, *key: str) -> dict[str, int]:
        """Return how many partitions of an asset are materialized, failed and materializing."""
        return dict(self.ui.ask(STATS, key={"path": list(key)})["assetNodeOrError"]["partitionStats"])

    def runs(self, *key: str) -> list[Any]:
        """Return the runs of an asset with their tags, newest first."""
        found = self.ui.ask(ALL_RUNS)["runsOrError"]["results"]
        runs = [run for run in found if {"path": list(key)} in (run["assetSelection"] or [])]
        return [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in runs]

    # --- schedules

    def last_skip(self, location: str, schedule: str) -> str | None:
        """Return why the last tick requested no run."""
        ticks = self.ui.ask(TICKS, location=location, name=schedule)["scheduleOrError"]["scheduleState"]["ticks"]
        return ticks[0]["skipReason"] if ticks else None

    def switch(self, location: str, schedule: str) -> None:
        """Turn a schedule on or off on its page."""
        self.open(f"/locations/{location}/schedules/{schedule}")
        self.sees("Execution timezone")
        self.page.locator("label").filter(has=self.page.get_by_role("checkbox")).first.click()


Visit = Callable[[str], AbstractContextManager[Person]]
"""Opens the UI for a person; the argument names the screenshot taken when the context ends."""
