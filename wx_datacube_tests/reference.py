"""Reference: the rules for stored figures in plain Python, one response at a time, to compare the SQL with.

It is written from the contract and the design, not from the SQL: no batches, no window functions, one dictionary per
table. Add a rule here when the contract gets one. Nothing here imports the warehouse.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Column, Endpoint, Family, Period, Relation
from wx_datacube.catalog.periods import SETTLED_HOUR, due_labels, due_on, label_of, labels_from, settled_at
from wx_datacube_tests.reference_rows import Key, Reading, Values, fields_of, with_parents

Table = dict[Key, tuple[Values, int]]
"""Values and call of each key of one label."""


class Label(NamedTuple):
    """A label with its account and endpoint."""

    account: str
    endpoint: str
    date: dt.date


@dataclass(frozen=True)
class Answer:
    """The row of `label_answers` for the latest response that counts for a label."""

    call_id: int
    fetched_at: dt.datetime
    settled: bool
    clean: bool
    shown: int
    known: bool
    final: bool
    last_undelayed: int | None


class _Place(NamedTuple):
    """What an answer is compared with: a table, a label, and the label's answer before."""

    reading: Reading
    relation: Relation
    label: Label
    before: Answer | None


@dataclass
class Reference:
    """The expected contents of the tables after the calls applied so far."""

    answers: dict[Label, Answer] = field(default_factory=dict)
    stored: dict[Label, Table] = field(default_factory=dict)
    """The endpoints' own tables."""
    nested: dict[tuple[str, Label], Table] = field(default_factory=dict)
    """The nested tables, by name and label."""
    vanished: set[tuple[str, Label, Key]] = field(default_factory=set)
    """Stored rows that WeChat, by its last answer about them, no longer has."""
    rejected: list[tuple[Any, ...]] = field(default_factory=list)
    revisions: list[tuple[Any, ...]] = field(default_factory=list)

    def take(self, call_id: int, call: Any) -> None:
        """Apply the next call of the ledger."""
        listed = _list_of(call)
        if listed is None:
            return
        endpoint = BY_NAME[call.endpoint]
        said = fields_of(call.response).get("is_delay")
        delayed = said is True or (isinstance(said, str) and said.lower() == "true")
        reading = Reading(call_id, call, endpoint, endpoint.has_delay and delayed)
        reading.read(endpoint.table, listed, "$.list", None)
        self.rejected += [(call.account, call.endpoint, call_id, *each) for each in reading.rejected]
        for date in _covered(call, endpoint):
            label = Label(call.account, call.endpoint, date)
            before = self.answers.get(label)
            if not (reading.delayed and before and before.final):
                self._settle(reading, label, before)

    def _settle(self, reading: Reading, label: Label, before: Answer | None) -> None:
        call_id, call, endpoint = reading.call_id, reading.call, reading.endpoint
        settled = call.requested_at >= settled_at(label.date, endpoint.period) and not reading.delayed
        for relation in endpoint.relations:
            self._merge(_Place(reading, relation, label, before), settled)
        clean = reading.sure(endpoint.table, label.date)
        shown = len(reading.rows.get((endpoint.name, label.date), {}))
        was_known = before is not None and before.known
        final = not endpoint.has_delay or (before is not None and before.final)
        if not final and not reading.delayed and endpoint.grows:
            last = dt.datetime.combine(label.date + dt.timedelta(days=endpoint.asked_again[-1]), dt.time(SETTLED_HOUR))
            final = call.requested_at >= last or (shown == 0 and settled and clean and not was_known)
        elif not final and not reading.delayed:
            final = shown > 0 or (settled and clean)
        undelayed = call_id if not reading.delayed else before.last_undelayed if before else None
        at, known = call.requested_at, shown > 0 or was_known
        self.answers[label] = Answer(call_id, at, settled, clean, shown, known, final, undelayed)

    def _merge(self, at: _Place, settled: bool) -> None:
        """Apply what the answer says about the label's rows of one table."""
        reading, relation, date, parent = at.reading, at.relation, at.label.date, at.relation.parent
        rows, table = reading.rows.get((relation.name, date), {}), self._table(at)
        for key, values in rows.items():
            self._shown(at, table, key, values)
        parents = reading.rows.get((parent.name, date), {}) if parent else {}
        asked = reading.call.refresh and date in reading.call.asked
        removes = asked and settled and all(reading.sure(each, date) for each in with_parents(relation))
        for key in [key for key in table if key not in rows]:
            parent_shown = parent is None or key[: len(parent.key) - 1] in parents
            if settled and parent_shown and reading.sure(relation, date):
                self._absent(at, table, key)
            if removes:
                del table[key]
                self.vanished.discard((relation.name, at.label, key))

    def _table(self, at: _Place) -> Table:
        if at.relation.parent:
            return self.nested.setdefault((at.relation.name, at.label), {})
        return self.stored.setdefault(at.label, {})

    def _shown(self, at: _Place, table: Table, key: Key, new: Values) -> None:
        before, reappears = at.before, (at.relation.name, at.label, key) in self.vanished
        old, brought = table.get(key, (None, 0))
        if before and (reappears or (old is None and before.known and before.final)):
            for column, value in _figures(at.relation, key, new):
                self._revise(at, key, column, (None, value), before.call_id)
        elif before and old is not None and before.last_undelayed is not None and brought <= before.last_undelayed:
            for column, was, now in zip(at.relation.values, old, new, strict=True):
                if was != now:
                    self._revise(at, key, column, (was, now), brought)
        self.vanished.discard((at.relation.name, at.label, key))
        if old != new:
            table[key] = (new, at.reading.call_id)

    def _absent(self, at: _Place, table: Table, key: Key) -> None:
        if (at.relation.name, at.label, key) not in self.vanished:
            values, brought = table[key]
            for column, value in _figures(at.relation, key, values):
                self._revise(at, key, column, (value, None), brought)
        self.vanished.add((at.relation.name, at.label, key))

    def _revise(self, at: _Place, key: Key, column: Column, change: tuple[Any, Any], old_call_id: int) -> None:
        keys = dict(zip((each.name for each in at.relation.key[1:]), key, strict=True))
        first = [keys.get(name) for name in ("ref_hour", "msg_type", "count_interval")]
        others = [keys.get(name) for name in ("user_source", "msgid", "stat_date", "scene_desc", "position")]
        number, rate, text = (change if column.type in kinds else (None, None) for kinds in _KINDS)
        calls = (at.reading.call.requested_at, old_call_id, at.reading.call_id)
        name = at.relation.name
        self.revisions.append((*at.label, *first, column.name, *number, *calls, name, *others, *rate, *text))

    def states(
        self, account: str, start: dt.date, now: dt.datetime, families: Iterable[Family] = (Family.MESSAGES,)
    ) -> dict[str, dict[dt.date, str]]:
        """Return the state of every due label of the families, by endpoint."""
        found: dict[str, dict[dt.date, str]] = {}
        for endpoint in ENDPOINTS:
            if endpoint.family in families:
                due = due_labels(endpoint.period, max(start, endpoint.first_day), now.date())
                found[endpoint.name] = {date: self._state(Label(account, endpoint.name, date)) for date in due}
        return found

    def _state(self, label: Label) -> str:
        if self.stored.get(label):
            return "landed"
        endpoint, answer = BY_NAME[label.endpoint], self.answers.get(label)
        silent = answer is not None and answer.settled and answer.clean and not answer.shown
        if silent and not self._contradicted(label, endpoint):
            return "empty"
        if endpoint.implied_by_silence and self._state(label._replace(endpoint=endpoint.days)) == "empty":
            return "implied"
        return "missing"

    def _contradicted(self, label: Label, endpoint: Endpoint) -> bool:
        """Return whether the endpoint's days have figures for any day of the label's period."""
        if not endpoint.days:
            return False
        daily = BY_NAME[endpoint.days]
        days = takewhile(lambda day: day < due_on(label.date, endpoint.period), labels_from(label.date, Period.DAY))
        count = next(place for place, column in enumerate(daily.table.values) if column.name == daily.volume)
        return any(
            values[count] > 0
            for day in days
            for values, _ in self.stored.get(Label(label.account, daily.name, day), {}).values()
        )

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of every table as `answers.everything` does, unsorted."""
        found: dict[str, list[tuple[Any, ...]]] = {each.name: [] for end in ENDPOINTS for each in end.relations}
        own = {(label.endpoint, label): table for label, table in self.stored.items()}
        for (name, label), rows in (own | self.nested).items():
            for key, (values, call_id) in rows.items():
                found[name].append((label.account, label.date, *key, *values, call_id))
        answers = [(*label, *vars(answer).values()) for label, answer in self.answers.items()]
        return found | {"label_answers": answers, "revisions": self.revisions, "rejected_rows": self.rejected}


_KINDS = (("INTEGER", "BIGINT"), ("DOUBLE",), ("VARCHAR",))
"""Types of the fields that a revision has in `old` and `new`, `old_rate` and `new_rate`, `old_text` and `new_text`."""


def _figures(relation: Relation, key: Key, values: Values) -> Iterator[tuple[Column, Any]]:
    """Yield what a revision says about a row that appears or vanishes: its required values, or the end of its key."""
    if not relation.measures:
        yield relation.key[-1], key[-1]
    for column, value in zip(relation.values, values, strict=True):
        if column.required:
            yield column, value


def _list_of(call: Any) -> list[Any] | None:
    """Return the rows of a successful response (an object with one list and no error), or None."""
    if call.http_status != 200 or call.errcode or call.errmsg is not None or call.response is None:
        return None
    listed = fields_of(call.response).get("list")
    return listed if isinstance(listed, list) else None


def _covered(call: Any, endpoint: Endpoint) -> Iterator[dt.date]:
    """Yield the labels in the call's window whose period had ended when the call was made."""
    for date in labels_from(label_of(call.begin_date, endpoint.period), endpoint.period):
        if date > call.end_date:
            return
        ended = dt.datetime.combine(due_on(date, endpoint.period), dt.time()) <= call.requested_at
        if date >= max(call.begin_date, HISTORY_START) and ended:
            yield date
