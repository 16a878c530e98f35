"""Life: accounts at an emulated WeChat, one database, a group chat, and what has happened to them so far.

There are two levels of the walk: `core.Core` in this process, and `system.System` in real processes. Add a method here
when an action needs one that both levels can implement. `Facts` is what the invariants know. It comes from the
emulator's settings and from the published file, never from the program's own judgement.
"""

import datetime as dt
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import DAILY_MESSAGES, ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import due_labels, due_on, label_of, labels_from, settled_at
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.errors import needs_person
from wx_datacube.warehouse.ledger import Call
from wx_datacube_tests.company import Company, company
from wx_datacube_tests.receiver import Receiver, receiving
from wx_datacube_tests.reference import Label, Reference

BEGINNING = dt.datetime(2025, 3, 3, 14)
"""When every life begins: a Monday afternoon."""
HISTORY = dt.timedelta(days=20)
"""How far the accounts' history goes back at that time."""
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


@dataclass
class Facts:
    """The known facts about one account's past, independent of the program."""

    lies_since: dt.datetime | None = None
    """Since when the current weather makes WeChat give wrong answers; None if it doesn't."""
    doubtful: dict[tuple[str, dt.date], dt.datetime] = field(default_factory=dict)
    """Labels, by endpoint, whose stored figures may differ from the true ones, and since when."""
    restated: set[tuple[str, dt.date]] = field(default_factory=set)
    """Those of them that were restated; some of their old rows may be stored until they are requested again."""
    contradicted: set[tuple[str, dt.date]] = field(default_factory=set)
    """Labels that had landed before WeChat gave a different answer for them."""
    landed: set[tuple[str, dt.date]] = field(default_factory=set)
    """Labels that have landed."""
    refreshed: set[tuple[str, dt.date]] = field(default_factory=set)
    """Labels that a person has refreshed."""
    whole_from: dt.date | None = None
    """The first day on which no label was overdue."""
    errcodes: dict[str, int] = field(default_factory=dict)
    """The errcode of each endpoint's last answer, if it was an error."""
    wrong: bool = False
    """Whether anything was wrong since the messages were last checked."""
    weather_since: dt.datetime = BEGINNING
    heals: int | None = 1
    """The number of mornings in this weather after which no label is overdue; None if that isn't guaranteed."""


class Life(ABC):
    """One or two accounts, from `BEGINNING` on."""

    def __init__(self, folder: Path, company: Company, receiver: Receiver) -> None:
        self.folder, self.company, self.receiver = folder, company, receiver
        self.start = (BEGINNING - HISTORY).date()
        self.names = {member: member for member in company.members}
        """The current name of each account."""
        self.facts = {member: Facts() for member in company.members}
        self.reference = Reference()
        self.heard: list[Heard] = []
        self.complaints: list[str] = []
        """Invariants that failed during an action."""
        self.failed = False
        """Whether an invariant has failed."""
        self.chat_down_on: set[dt.date] = set()
        self.judged_on: set[dt.date] = set()
        """Days on which the schedules were on at 12:35."""
        self.scheduled = True
        self.scheduled_since = BEGINNING
        self.ledger = 0
        self.ledger_hash = 0

    # --- methods that each level implements

    @property
    @abstractmethod
    def now(self) -> dt.datetime:
        """The current time, in Beijing and at WeChat."""

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
    def needs_person(self, member: str) -> list[str]:
        """Return what `status` reports as needing a person."""

    @property
    def busy(self) -> bool:
        """Whether runs are under way that make calls of their own."""
        return False

    @property
    @abstractmethod
    def database(self) -> Path:
        """The published file."""

    def mend(self) -> None:
        """Do what only a person can: run `doctor` after the cause of a refusal has been removed."""
        for member in self.members():
            self.doctor(member)

    # --- accounts and settings

    def members(self) -> list[str]:
        """Return the accounts by their original names."""
        return list(self.company.members)

    def member(self, place: int) -> str:
        """Return one of the accounts."""
        return self.members()[place % len(self.members())]

    def emulated(self, member: str) -> EmulatedAccount:
        """Return the account at WeChat."""
        return self.company.members[member]

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
        return found

    def labels_of_day(self, day: dt.date) -> Iterator[tuple[str, dt.date]]:
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

    # --- the published file

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the published file as any reader does."""
        with duckdb.connect(str(self.database), read_only=True) as con:
            yield con

    def take_ledger(self) -> None:
        """Record the calls published since the last time; complain if earlier ones are gone."""
        if not self.database.exists():
            if self.ledger:
                self.complaints.append("no committed call is lost: the published file is gone")
            return
        with self.reading() as con:
            kept = con.execute(_KEPT, [self.ledger]).fetchone()
            if kept != (self.ledger, self.ledger_hash):
                self.complaints.append(f"no committed call is lost: {self.ledger} calls became {kept}")
            rows = con.execute(_NEW, [self.ledger]).fetchall()
            self.ledger, self.ledger_hash = con.execute(_KEPT, [2**62]).fetchone() or (0, 0)
        for call_id, *values in rows:
            self._take_call(call_id, Call(*values))
        for member, facts in self.facts.items():
            overdue = self.overdue(member)
            facts.wrong = facts.wrong or bool(overdue or self.refused(member))
            if facts.whole_from is None and not overdue and self.states(member)[DAILY_MESSAGES.name]:
                facts.whole_from = self.now.date()

    def _take_call(self, call_id: int, call: Call) -> None:
        member = {name: member for member, name in self.names.items()}[call.account]
        facts = self.facts[member]
        good = call.http_status == 200 and not call.errcode and call.errmsg is None
        if call.http_status is not None:
            if call.errcode:
                facts.errcodes[call.endpoint] = call.errcode
            elif good:
                facts.errcodes.pop(call.endpoint, None)
        lied = facts.lies_since is not None and call.requested_at >= facts.lies_since
        for label in _labels(call):
            if good and (lied or (call.endpoint, label) in facts.doubtful):
                self._contradict(member, call.endpoint, label)
            if good and lied:
                facts.doubtful[call.endpoint, label] = call.requested_at
            if call.refresh and label in call.asked:
                if (call.endpoint, label) not in facts.refreshed:
                    self.complaints.append(f"no unrequested refresh: {call.endpoint} {label}, call {call_id}")
                if good and not lied:
                    facts.restated.discard((call.endpoint, label))
        self.reference.take(call_id, replace(call, account=member))

    def doubt(self, member: str, endpoint: str, label: dt.date, since: dt.datetime) -> None:
        """Record that a label's stored figures may differ from the true ones."""
        self.facts[member].doubtful[endpoint, label] = since
        self._contradict(member, endpoint, label)

    def _contradict(self, member: str, endpoint: str, label: dt.date) -> None:
        facts = self.facts[member]
        if (endpoint, label) in facts.landed or self.stored(member, BY_NAME[endpoint], label):
            facts.contradicted.add((endpoint, label))

    def states(self, member: str) -> dict[str, dict[dt.date, str]]:
        """Return the state of every due label, computed by the rules in plain Python."""
        return self.reference.states(member, self.start, self.now)

    def overdue(self, member: str) -> list[tuple[str, dt.date]]:
        """Return the labels that are settled but missing, oldest first within an endpoint."""
        return [
            (name, label)
            for name, labels in self.states(member).items()
            for label, state in labels.items()
            if state == "missing" and settled_at(label, BY_NAME[name].period) <= self.now
        ]

    def missing(self, member: str) -> set[tuple[str, dt.date]]:
        """Return the overdue labels that became due after `whole_from`."""
        whole = self.facts[member].whole_from
        if whole is None:
            return set()
        return {(name, label) for name, label in self.overdue(member) if due_on(label, BY_NAME[name].period) > whole}

    def missing_in(self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date) -> int:
        """Return how many due labels from `first` to `last` are missing."""
        self.take_ledger()
        states = self.states(member)
        return sum(
            state == "missing" and first <= label <= last
            for endpoint in endpoints
            for label, state in states[endpoint.name].items()
        )

    def calls(self, member: str) -> Counter[str]:
        """Return the number of statistics calls so far, by endpoint."""
        return Counter(call.endpoint for call in self.emulated(member).journal.calls if call.endpoint in BY_NAME)

    def most_calls(self, member: str, until: dt.datetime) -> dict[str, int]:
        """Return how many calls of each endpoint are enough until then, if WeChat answers everything.

        A label that is missing takes at most three: one at each tick, until noon settles an empty answer. A label whose
        day may have been answered wrongly may turn out to be missing. Two more are for `doctor` and for a token that
        was revoked.
        """
        suspects = {label for _, label in self.facts[member].doubtful}
        return {
            name: 2 + 3 * sum(state == "missing" or label in suspects for label, state in labels.items())
            for name, labels in self.reference.states(member, self.start, until).items()
        }

    def refused(self, member: str) -> set[str]:
        """Return the endpoints whose last answer only a person can resolve; `token` stands for the token call."""
        found = {name for name, code in self.facts[member].errcodes.items() if needs_person(code)}
        tokens = [call for call in self.emulated(member).journal.calls if call.endpoint == "stable_token"]
        if tokens and tokens[-1].errcode and needs_person(tokens[-1].errcode):
            found.add("token")
        return found

    def something_is_wrong(self, member: str) -> bool:
        """Return whether WeChat refuses calls or a label is overdue."""
        return bool(self.refused(member) or self.overdue(member))

    def answer_of(self, member: str, endpoint: Endpoint, label: dt.date) -> Any:
        """Return the reference's assessment of a label's last answer; None without an answer."""
        return self.reference.answers.get(Label(member, endpoint.name, label))

    def stored(self, member: str, endpoint: Endpoint, label: dt.date) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """Return the stored figures of a label, by key."""
        rows = self.reference.stored.get(Label(member, endpoint.name, label), {})
        return {key: values for key, (values, _) in rows.items()}

    def truth(self, member: str, endpoint: Endpoint, label: dt.date) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """Return WeChat's figures of a label, by key."""
        rows = self.emulated(member).world.rows(endpoint, label)
        return {
            tuple(row[column.name] for column in endpoint.key[1:]): tuple(
                row.get(each.name) for each in endpoint.table.values
            )
            for row in rows
        }


_COLUMNS = (
    "run_id, account, endpoint, begin_date, end_date, asked, refresh, requested_at, elapsed_ms, http_status, errcode,"
    " errmsg, rid, response"
)
_NEW = f"SELECT call_id, {_COLUMNS} FROM datacube.api_calls WHERE call_id > ? ORDER BY call_id"
_KEPT = """
SELECT count(*), coalesce(bit_xor(hash(call_id, endpoint, begin_date, requested_at, errcode, response)), 0)
FROM datacube.api_calls WHERE call_id <= ?"""


def _labels(call: Call) -> list[dt.date]:
    """Return the labels in a call's window."""
    period = BY_NAME[call.endpoint].period
    until = takewhile(lambda label: label <= call.end_date, labels_from(label_of(call.begin_date, period), period))
    return [label for label in until if label >= call.begin_date]


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
