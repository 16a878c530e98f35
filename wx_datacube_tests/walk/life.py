"""Life: accounts at an emulated WeChat, one database, a chat, and what has happened to them so far.

Both levels of the walk are lives: `core.Core` in this process, `system.System` in real processes. Add a verb here when
an action needs one that both levels can do; how they do it is theirs. `Facts` is what the invariants know, taken down
from what the emulator was told to do and from the published file, and not from the program's own opinion.
"""

import datetime as dt
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS, Endpoint, Period
from wx_datacube.catalog.periods import due_labels, due_on, label_of, labels_from, settled_at
from wx_datacube.emulator.account import Account
from wx_datacube.errors import needs_person
from wx_datacube.warehouse.ledger import Call
from wx_datacube_tests.company import Company, company
from wx_datacube_tests.receiver import Receiver, receiving
from wx_datacube_tests.reference import Label, Reference

BEGINNING = dt.datetime(2025, 3, 3, 14)
"""When every life begins: a Monday afternoon."""
HISTORY = dt.timedelta(days=20)
"""What lies before it."""
LOOK = dt.time(12, 40)
"""When it is looked at what people were told."""
PERSON, MISSING = "需要您处理", "数据缺失"
"""What the heading of a message says that calls somebody, and its text where labels are missing."""


@dataclass(frozen=True)
class Heard:
    """A message of the chat."""

    at: dt.datetime
    account: str
    heading: str
    text: str


@dataclass
class Facts:
    """What is known of one account's past, whatever the program thinks of it."""

    lies_since: dt.datetime | None = None
    """Since when the weather makes WeChat answer what isn't true, until it changes."""
    doubtful: dict[tuple[str, dt.date], dt.datetime] = field(default_factory=dict)
    """Labels, by endpoint, of which something else may be stored than is true, and since when."""
    restated: set[tuple[str, dt.date]] = field(default_factory=set)
    """Those of them that were restated: until they are asked again, some of their old rows may be stored."""
    contradicted: set[tuple[str, dt.date]] = field(default_factory=set)
    """Labels that had landed before WeChat said something else of them."""
    landed: set[tuple[str, dt.date]] = field(default_factory=set)
    """Labels that have landed."""
    refreshed: set[tuple[str, dt.date]] = field(default_factory=set)
    """Labels that somebody has asked to have asked again."""
    whole_from: dt.date | None = None
    """The day on which everything due was there for the first time."""
    errcodes: dict[str, int] = field(default_factory=dict)
    """Of each endpoint the errcode of the last answer, where it was one."""
    wrong: bool = False
    """Whether something was wrong since it was last looked at what people were told."""
    weather_since: dt.datetime = BEGINNING
    heals: int | None = 1
    """After so many mornings of this weather everything is there; None where it need not be."""


class Life(ABC):
    """Two accounts, from `BEGINNING` on."""

    def __init__(self, folder: Path, company: Company, receiver: Receiver) -> None:
        self.folder, self.company, self.receiver = folder, company, receiver
        self.start = (BEGINNING - HISTORY).date()
        self.names = {member: member for member in company.members}
        """What each account is called, which may change."""
        self.facts = {member: Facts() for member in company.members}
        self.reference = Reference()
        self.heard: list[Heard] = []
        self.complaints: list[str] = []
        """What did not hold within an action."""
        self.failed = False
        """Whether an invariant was broken."""
        self.chat_down_on: set[dt.date] = set()
        self.judged_on: set[dt.date] = set()
        """Days on which the schedules were on at 12:35."""
        self.scheduled = True
        self.scheduled_since = BEGINNING
        self.ledger = 0
        self.ledger_hash = 0

    # --- verbs of both levels

    @property
    @abstractmethod
    def now(self) -> dt.datetime:
        """The present, in Beijing and at WeChat."""

    @abstractmethod
    def materialized(self, member: str) -> dict[str, set[dt.date]]:
        """The labels that are materialized, by endpoint."""

    @abstractmethod
    def pass_until(self, moment: dt.datetime) -> None:
        """Let time pass; where the schedules are on, they tick."""

    @abstractmethod
    def backfill(
        self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date, refresh: bool
    ) -> None:
        """`wx-datacube backfill` by hand."""

    @abstractmethod
    def doctor(self, member: str) -> None:
        """`wx-datacube doctor`."""

    @abstractmethod
    def look_around(self, member: str) -> None:
        """`status`, `report` and `export`: none of them may change anything."""

    @abstractmethod
    def replay(self) -> None:
        """`wx-datacube replay`."""

    @abstractmethod
    def rename(self, member: str, new: str) -> None:
        """`wx-datacube rename-account`, and the settings that follow."""

    @abstractmethod
    def needs_person(self, member: str) -> list[str]:
        """What `status` says that a person has to see to."""

    @property
    @abstractmethod
    def database(self) -> Path:
        """The published file."""

    def mend(self) -> None:
        """Put right what only a person can: after a refusal that is mended, somebody runs `doctor`."""
        for member in self.members():
            self.doctor(member)

    # --- the world

    def members(self) -> list[str]:
        """The accounts, by the names that they were born with."""
        return list(self.company.members)

    def member(self, place: int) -> str:
        """One of the accounts."""
        return self.members()[place % len(self.members())]

    def emulated(self, member: str) -> Account:
        """The account at WeChat."""
        return self.company.members[member]

    def configuration(self) -> dict[str, object]:
        """The settings, without their prefix, by the names that the accounts have now."""
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
        """Every label that counts a day, with the name of its endpoint."""
        for endpoint in ENDPOINTS:
            yield endpoint.name, label_of(day, endpoint.period)

    def take_messages(self) -> None:
        """Take down what the chat took since the last time."""
        got, self.receiver.got = self.receiver.got, []
        if self.receiver.status != 200:
            return
        for _, body in got:
            heading, _, text = body["text"]["content"].partition("\n")
            _, account, what = heading.split(" · ", 2)
            self.heard.append(Heard(self.now, account, what, text))

    # --- what is published

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The published file, as any reader opens it."""
        with duckdb.connect(str(self.database), read_only=True) as con:
            yield con

    def take_ledger(self) -> None:
        """Take down the calls that were published since the last time; complain of those that are gone."""
        if not self.database.exists():
            if self.ledger:
                self.complaints.append("nothing that was committed is gone: the published file is")
            return
        with self.reading() as con:
            kept = con.execute(_KEPT, [self.ledger]).fetchone()
            if kept != (self.ledger, self.ledger_hash):
                self.complaints.append(f"nothing that was committed is gone: {self.ledger} calls became {kept}")
            rows = con.execute(_NEW, [self.ledger]).fetchall()
            self.ledger, self.ledger_hash = con.execute(_KEPT, [2**62]).fetchone() or (0, 0)
        for call_id, *values in rows:
            self._take_call(call_id, Call(*values))
        for member, facts in self.facts.items():
            overdue = self.overdue(member)
            facts.wrong = facts.wrong or bool(overdue or self.refused(member))
            if facts.whole_from is None and not overdue and self.states(member)[ENDPOINTS[0].name]:
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
                    self.complaints.append(f"nobody asked for a refresh: {call.endpoint} {label}, call {call_id}")
                if good and not lied:
                    facts.restated.discard((call.endpoint, label))
        self.reference.take(call_id, replace(call, account=member))

    def doubt(self, member: str, endpoint: str, label: dt.date, since: dt.datetime) -> None:
        """Take down that something else may be stored of a label than is true."""
        self.facts[member].doubtful[endpoint, label] = since
        self._contradict(member, endpoint, label)

    def _contradict(self, member: str, endpoint: str, label: dt.date) -> None:
        facts = self.facts[member]
        if (endpoint, label) in facts.landed or self.stored(member, BY_NAME[endpoint], label):
            facts.contradicted.add((endpoint, label))

    def states(self, member: str) -> dict[str, dict[dt.date, str]]:
        """The state of every label that is due, by the rules in plain Python."""
        return self.reference.states(member, self.start, self.now)

    def overdue(self, member: str) -> list[tuple[str, dt.date]]:
        """The labels that should be there by now and aren't, oldest first within an endpoint."""
        return [
            (name, label)
            for name, labels in self.states(member).items()
            for label, state in labels.items()
            if state == "missing" and settled_at(label, BY_NAME[name].period) <= self.now
        ]

    def missing(self, member: str) -> set[tuple[str, dt.date]]:
        """What is overdue of what was due after everything had been there once."""
        whole = self.facts[member].whole_from
        if whole is None:
            return set()
        return {(name, label) for name, label in self.overdue(member) if due_on(label, BY_NAME[name].period) > whole}

    def missing_in(self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date) -> int:
        """How many due labels from `first` to `last` are missing."""
        self.take_ledger()
        states = self.states(member)
        return sum(
            state == "missing" and first <= label <= last
            for endpoint in endpoints
            for label, state in states[endpoint.name].items()
        )

    def calls(self, member: str) -> int:
        """The statistics calls so far."""
        return sum(call.endpoint in BY_NAME for call in self.emulated(member).journal.calls)

    def refused(self, member: str) -> set[str]:
        """The endpoints of which the last answer was a refusal that only a person can mend; `token` for all."""
        found = {name for name, code in self.facts[member].errcodes.items() if needs_person(code)}
        tokens = [call for call in self.emulated(member).journal.calls if call.endpoint == "stable_token"]
        if tokens and tokens[-1].errcode and needs_person(tokens[-1].errcode):
            found.add("token")
        return found

    def something_is_wrong(self, member: str) -> bool:
        """Whether WeChat refuses, or something that should be there is missing."""
        return bool(self.refused(member) or self.overdue(member))

    def answer_of(self, member: str, endpoint: Endpoint, label: dt.date) -> Any:
        """What the last answer for a label was worth; None without one."""
        return self.reference.answers.get(Label(member, endpoint.name, label))

    def stored(self, member: str, endpoint: Endpoint, label: dt.date) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """The figures that are stored of a label, by key."""
        rows = self.reference.stored.get(Label(member, endpoint.name, label), {})
        return {key: values for key, (values, _) in rows.items()}

    def truth(self, member: str, endpoint: Endpoint, label: dt.date) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """The figures that WeChat has of a label, by key."""
        rows = self.emulated(member).world.rows(endpoint, label)
        return {
            tuple(row[column.name] for column in endpoint.key[1:]): tuple(
                row.get(each.name) for each in endpoint.values
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
    """The labels in a call's window."""
    period = BY_NAME[call.endpoint].period
    until = takewhile(lambda label: label <= call.end_date, labels_from(label_of(call.begin_date, period), period))
    return [label for label in until if label >= call.begin_date]


def days_of(label: dt.date, period: Period) -> list[dt.date]:
    """The days that a label counts."""
    return due_labels(Period.DAY, label, due_on(label, period))


@contextmanager
def born(seed: int, parent: Path | None = None, **clock: object) -> Iterator[tuple[Path, Company, Receiver]]:
    """What a life begins with: scratch space in `parent`, its accounts, two with an odd seed, and a chat.

    `clock` are options of the emulator.
    """
    folder = Path(mkdtemp(prefix="walk-", dir=parent))
    names = ["shop", "news"][: 1 + seed % 2]
    options = {"start": (BEGINNING - dt.timedelta(days=400)).date(), "messages_per_day": 12, "silent_share": 0.1}
    try:
        with company(*names, **options, **clock) as accounts, receiving() as receiver:
            yield folder, accounts, receiver
    finally:
        shutil.rmtree(folder, ignore_errors=True)
