"""Past: what has happened to the accounts so far, by the published file, the emulator and the rules in plain Python.

Add a method here when an invariant needs to know something about the past. Nothing here asks the program.
"""

import datetime as dt
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import duckdb

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.catalog.periods import due_on, label_of, labels_from, settled_at
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.errcodes import needs_person
from wx_datacube.warehouse.ledger import Call
from wx_datacube_tests.company import Company
from wx_datacube_tests.reference import Answer, Label, Reference
from wx_datacube_tests.walk.facts import (
    BEGINNING,
    HISTORY,
    Facts,
    Of,
    Tables,
    endpoints_of,
    seen_at,
    tables_at_wechat,
    tables_stored,
)
from wx_datacube_tests.walk.turns import is_delayed, is_open, is_turn_due, why_unfounded


class Past(ABC):
    """The past of one or two accounts, from `BEGINNING` on."""

    overlap = dt.timedelta()
    """How long a process may take from planning a call to making it, while others make calls too."""

    def __init__(self, company: Company, seed: int) -> None:
        self.company = company
        self.start = (BEGINNING - HISTORY).date()
        self.names = {member: member for member in company.members}
        """The current name of each account."""
        chance = random.Random(f"{seed} families")
        self.families = {member: drawn_families(chance) for member in company.members}
        """The families that are on, by account."""
        self.facts = {member: Facts() for member in company.members}
        self.reference = Reference()
        self.complaints: list[str] = []
        """Invariants that failed during an action."""
        self.ledger = 0
        self.ledger_hash = 0
        self._truth: dict[tuple[object, ...], Tables] = {}

    @property
    @abstractmethod
    def now(self) -> dt.datetime:
        """The current time, in Beijing and at WeChat."""

    @property
    @abstractmethod
    def database(self) -> Path:
        """The published file."""

    def members(self) -> list[str]:
        """Return the accounts by their original names."""
        return list(self.company.members)

    def emulated(self, member: str) -> EmulatedAccount:
        """Return the account at WeChat."""
        return self.company.members[member]

    def endpoints(self, member: str) -> list[Endpoint]:
        """Return the endpoints of the account's families."""
        return endpoints_of(self.families[member])

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
            incomplete = {BY_NAME[name].family for name, _ in overdue}
            for family in set(self.families[member]) - incomplete - facts.whole_from.keys():
                facts.whole_from[family] = self.now.date()

    def _take_call(self, call_id: int, call: Call) -> None:
        member = {name: member for member, name in self.names.items()}[call.account]
        facts = self.facts[member]
        good = call.http_status == 200 and not call.errcode and call.errmsg is None
        if call.http_status is not None:
            if call.errcode:
                facts.errcodes[call.endpoint] = call.errcode
            elif good:
                facts.errcodes.pop(call.endpoint, None)
        endpoint = BY_NAME[call.endpoint]
        lied = facts.lied(endpoint, call.requested_at)
        for label in _labels(call):
            of = call.endpoint, label
            if good and (lied or of in facts.doubtful):
                self._contradict(member, *of)
            if good and lied:
                facts.doubtful[of] = call.requested_at
            if good and lied and facts.adds_rows:
                facts.restated.add(of)
                facts.contradicted.add(of)
        self._judge_call(member, call_id, call)
        self.reference.take(call_id, replace(call, account=member))
        for label in _labels(call):
            of, answer = (call.endpoint, label), self.answer_of(member, endpoint, label)
            if answer is None or answer.call_id != call_id:
                continue  # it says nothing about the label
            if endpoint.grows:
                seen, before = seen_at(self.emulated(member), call.requested_at), facts.seen.get(of)
                if call.refresh and before and seen.titles > before.titles:
                    facts.contradicted.add(of)  # titles where there were none
                facts.seen[of] = seen
            if call.refresh and label in call.asked and answer.settled and answer.clean and not lied:
                facts.restated.discard(of)

    def _judge_call(self, member: str, call_id: int, call: Call) -> None:
        """Complain about a call that should not have been made. Only `doctor` requests what it likes."""
        about = f"{member} {call.endpoint} {call.begin_date} … {call.end_date}, call {call_id} at {call.requested_at}"
        about += f" of run {call.run_id}"
        if call.run_id != "doctor" and BY_NAME[call.endpoint].family not in self.families[member]:
            self.complaints.append(f"families that are off are not requested: {about}")
        for label in call.asked:
            if call.refresh and (call.endpoint, label) not in self.facts[member].refreshed:
                self.complaints.append(f"no unrequested refresh: {label} in {about}")
            if not call.refresh and call.run_id != "doctor":
                of = Label(member, call.endpoint, label)
                if why := why_unfounded(self.reference, of, call.requested_at, self.overlap):
                    self.complaints.append(f"stored labels cost no call: {label} {why}; {about}")

    def doubt(self, member: str, endpoint: str, label: dt.date, since: dt.datetime) -> None:
        """Record that a label's stored figures may differ from the true ones."""
        self.facts[member].doubtful[endpoint, label] = since
        self._contradict(member, endpoint, label)

    def _contradict(self, member: str, endpoint: str, label: dt.date) -> None:
        facts = self.facts[member]
        if (endpoint, label) in facts.landed or self.reference.stored.get(Label(member, endpoint, label)):
            facts.contradicted.add((endpoint, label))

    # --- labels

    def states(self, member: str) -> dict[str, dict[dt.date, str]]:
        """Return the state of every due label, computed by the rules in plain Python."""
        return self.reference.states(member, self.start, self.now, self.families[member])

    def overdue(self, member: str) -> list[Of]:
        """Return the labels that are settled but missing, oldest first within an endpoint."""
        return [
            (name, label)
            for name, labels in self.states(member).items()
            for label, state in labels.items()
            if state == "missing" and settled_at(label, BY_NAME[name].period) <= self.now
        ]

    def missing(self, member: str) -> set[Of]:
        """Return the overdue labels that became due after `whole_from`."""
        whole = self.facts[member].whole_from
        return {
            (name, label)
            for name, label in self.overdue(member)
            if due_on(label, BY_NAME[name].period) > whole.get(BY_NAME[name].family, dt.date.max)
        }

    def turns(self, member: str) -> list[Of]:
        """Return the open labels whose turn is due and wasn't taken."""
        return [of for of in self.open_labels(member) if is_turn_due(self.reference, Label(member, *of), self.now)]

    def open_labels(self, member: str) -> list[Of]:
        """Return the open labels of the account's families."""
        on = {each.name: each.first(self.start) for each in self.endpoints(member)}
        return [
            (label.endpoint, label.date)
            for label in self.reference.answers
            if label.account == member and label.endpoint in on and label.date >= on[label.endpoint]
            if is_open(self.reference, label)
        ]

    def to_request(self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date) -> list[Of]:
        """Return the due labels from `first` to `last` that are missing, or open with their turn due."""
        turns = [of for of in self.turns(member) if BY_NAME[of[0]] in endpoints and first <= of[1] <= last]
        return [*self.missing_in(member, endpoints, first, last), *turns]

    def missing_in(self, member: str, endpoints: Sequence[Endpoint], first: dt.date, last: dt.date) -> list[Of]:
        """Return the due labels from `first` to `last` that are missing."""
        self.take_ledger()
        missing = self.missing_labels(member)
        return [(name, label) for name, label in missing if BY_NAME[name] in endpoints and first <= label <= last]

    def missing_labels(self, member: str) -> list[Of]:
        """Return the due labels that are missing."""
        states = self.states(member)
        return [(name, label) for name, found in states.items() for label, state in found.items() if state == "missing"]

    # --- calls and answers

    def calls(self, member: str) -> Counter[str]:
        """Return the number of statistics calls so far, by endpoint."""
        return Counter(call.endpoint for call in self.emulated(member).journal.calls if call.endpoint in BY_NAME)

    def most_calls(self, member: str, until: dt.datetime) -> dict[str, int]:
        """Return how many calls of each endpoint are enough until then, if WeChat answers everything.

        A label that is missing takes at most three: one at each tick, until noon settles an empty answer. A label whose
        day may have been answered wrongly may turn out to be missing. Two more are for `doctor` and for a token that
        was revoked. An open label takes one.
        """
        suspects = {label for _, label in self.facts[member].doubtful}
        states = self.reference.states(member, self.start, until, self.families[member])
        open_labels = Counter(name for name, _ in self.open_labels(member))
        most = {
            name: 2
            + open_labels[name]
            + 3 * sum(state == "missing" or label in suspects for label, state in each.items())
            for name, each in states.items()
        }
        return dict.fromkeys(BY_NAME, 2) | most  # `doctor` makes a call of each family that is off

    def refused(self, member: str) -> set[str]:
        """Return the endpoints whose last answer only a person can resolve; `token` stands for the token call."""
        errcodes, on = self.facts[member].errcodes, {each.name for each in self.endpoints(member)}
        found = {name for name, code in errcodes.items() if needs_person(code) and name in on}
        tokens = [call for call in self.emulated(member).journal.calls if call.endpoint == "stable_token"]
        if tokens and tokens[-1].errcode and needs_person(tokens[-1].errcode):
            found.add("token")
        return found

    def something_is_wrong(self, member: str) -> bool:
        """Return whether WeChat refuses calls or a label is overdue."""
        return bool(self.refused(member) or self.overdue(member))

    def answer_of(self, member: str, endpoint: Endpoint, label: dt.date) -> Answer | None:
        """Return the reference's assessment of a label's last answer; None without an answer."""
        return self.reference.answers.get(Label(member, endpoint.name, label))

    def is_delayed(self, member: str, endpoint: Endpoint, label: dt.date) -> bool:
        """Return whether WeChat said that a label's figures aren't final yet."""
        return is_delayed(self.reference, Label(member, endpoint.name, label))

    def is_final(self, member: str, endpoint: str, label: dt.date) -> bool:
        """Return whether a label is stored and WeChat will not change it any more."""
        of = Label(member, endpoint, label)
        answer = self.reference.answers.get(of)
        return self.reference._state(of) != "missing" and (answer is None or answer.final)

    def stored(self, member: str, endpoint: Endpoint, label: dt.date) -> Tables:
        """Return the stored rows of a label."""
        return tables_stored(self.reference, Label(member, endpoint.name, label), endpoint)

    def truth(self, member: str, endpoint: Endpoint, label: dt.date) -> Tables:
        """Return WeChat's rows of a label; if they grow, as they were at the time of the answer in force."""
        emulated, seen = self.emulated(member), self.facts[member].seen.get((endpoint.name, label))
        restated = tuple(emulated.world._restated.items())
        about = member, endpoint.name, label, seen, restated
        if about not in self._truth:
            self._truth[about] = tables_at_wechat(emulated, endpoint, label, seen)
        return self._truth[about]


def drawn_families(chance: random.Random) -> tuple[Family, ...]:
    """Draw the families of an account: those of messages, all, or any."""
    some = chance.sample(list(Family), chance.randint(1, len(Family)))
    chosen = chance.choice([[Family.MESSAGES], list(Family), list(Family), some])
    return tuple(family for family in Family if family in chosen)


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
