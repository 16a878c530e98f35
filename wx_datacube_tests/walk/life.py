"""Life: accounts at an emulated WeChat, one database, a group chat, and what has happened to them so far.

There are two levels of the walk: `core.Core` in this process, and `system.System` in real processes. Add a method here
when an action needs one that both levels can implement. What the invariants know is in `past`.
"""

import datetime as dt
import shutil
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Family, Period
from wx_datacube.catalog.periods import due_labels, due_on, label_of
from wx_datacube_tests.company import Company, company
from wx_datacube_tests.receiver import Receiver, receiving
from wx_datacube_tests.walk.facts import BEGINNING, Of
from wx_datacube_tests.walk.past import Past

LOOK = dt.time(12, 40)
"""The time of day when messages and `status` are checked."""
PERSON, MISSING = "需要您处理", "数据缺失"
"""In a message, the heading that calls for a person, and the text that reports missing labels."""


@dataclass(frozen=True)
class Heard:
    """A message of the group chat."""

    at: dt.datetime
    account: str
    heading: str
    text: str


class Life(Past):
    """One or two accounts, from `BEGINNING` on."""

    def __init__(self, folder: Path, company: Company, receiver: Receiver, seed: int) -> None:
        super().__init__(company, seed)
        self.folder, self.receiver = folder, receiver
        self.heard: list[Heard] = []
        self.failed = False
        """Whether an invariant has failed."""
        self.chat_down_on: set[dt.date] = set()
        self.judged_on: set[dt.date] = set()
        """Days on which the schedules were on at 12:35."""
        self.scheduled = True
        self.scheduled_since = BEGINNING

    # --- methods that each level implements

    @abstractmethod
    def materialized(self, member: str) -> dict[str, set[dt.date]]:
        """Return the labels that are materialized, by endpoint."""

    @abstractmethod
    def pass_until(self, moment: dt.datetime) -> None:
        """Let time pass; schedules tick if they are on."""

    @abstractmethod
    def backfill(
        self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date, refresh: bool
    ) -> None:
        """Run a manual `wx-datacube backfill`."""

    @abstractmethod
    def doctor(self, member: str) -> None:
        """Run `wx-datacube doctor`."""

    @abstractmethod
    def look_around(self, member: str) -> None:
        """Run `status`, `report` and `export`, none of which may change anything."""

    @abstractmethod
    def replay(self) -> None:
        """Run `wx-datacube replay`."""

    @abstractmethod
    def rename(self, member: str, new: str) -> None:
        """Run `wx-datacube rename-account`, and change the settings accordingly."""

    @abstractmethod
    def configure(self) -> None:
        """Change the settings to `configuration`."""

    @abstractmethod
    def needs_person(self, member: str) -> list[str]:
        """Return what `status` reports as needing a person."""

    @abstractmethod
    def predicted_calls(self, member: str) -> dict[str, int]:
        """Return how many calls of each endpoint the next morning takes, by `status`."""

    @property
    def busy(self) -> bool:
        """Whether runs are under way that make calls of their own."""
        return False

    def mend(self) -> None:
        """Do what only a person can: run `doctor` after the cause of a refusal has been removed."""
        for member in self.members():
            self.doctor(member)

    # --- accounts and settings

    def member(self, place: int) -> str:
        """Return one of the accounts."""
        return self.members()[place % len(self.members())]

    def configuration(self) -> dict[str, object]:
        """Return the settings, without their prefix, for the accounts' current names."""
        found: dict[str, object] = {
            "API_URL": self.company.api_url,
            "ACCOUNTS": ",".join(self.names.values()),
            "START": self.start,
            "WEBHOOK": self.receiver.url(),
        }
        for member, name in self.names.items():
            options = self.emulated(member).options
            found |= {f"{name.upper()}_APPID": options.appid, f"{name.upper()}_SECRET": options.secret}
            found[f"{name.upper()}_FAMILIES"] = ",".join(self.families[member])
        return found

    def switch(self, member: str, families: Collection[Family]) -> None:
        """Switch families of an account on, and all others off."""
        self.take_ledger()
        facts, before = self.facts[member], self.families[member]
        self.families[member] = tuple(family for family in Family if family in families)
        for family in set(self.families[member]).difference(before):
            facts.on_since[family] = self.now
            facts.whole_from.pop(family, None)
        self.configure()

    def labels_of_day(self, day: dt.date) -> Iterator[Of]:
        """Yield the endpoint's name and the label of every period that contains a day."""
        for endpoint in ENDPOINTS:
            yield endpoint.name, label_of(day, endpoint.period)

    def take_messages(self) -> None:
        """Record the messages that the chat has accepted since the last time."""
        got, self.receiver.got = self.receiver.got, []
        if self.receiver.status != 200:
            return
        for _, body in got:
            heading, _, text = body["text"]["content"].partition("\n")
            _, account, what = heading.split(" · ", 2)
            self.heard.append(Heard(self.now, account, what, text))


def days_of(label: dt.date, period: Period) -> list[dt.date]:
    """Return the days of a label's period."""
    return due_labels(Period.DAY, label, due_on(label, period))


@contextmanager
def born(seed: int, parent: Path | None = None, **clock: object) -> Iterator[tuple[Path, Company, Receiver]]:
    """Provide what a life begins with: a temporary folder in `parent`, the accounts, and a chat.

    There is one account, or two if the seed is odd. `clock` has options of the emulator.
    """
    folder = Path(mkdtemp(prefix="walk-", dir=parent))
    names = ["shop", "news"][: 1 + seed % 2]
    options = {"start": (BEGINNING - dt.timedelta(days=400)).date(), "messages_per_day": 12, "silent_share": 0.1}
    try:
        with company(*names, **options, **clock) as accounts, receiving() as receiver:
            yield folder, accounts, receiver
    finally:
        shutil.rmtree(folder, ignore_errors=True)
