"""Reference: the rules for stored figures in plain Python, one response at a time, to compare the SQL with.

It is written from the contract and the design, not from the SQL: no batches, no window functions, one dictionary per
table. Add a rule here when the contract gets one. Nothing here imports the warehouse.
"""

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Column, Endpoint, Family, Period, Relation
from wx_datacube.catalog.periods import SETTLED_HOUR, due_labels, due_on, label_of, labels_from, settled_at

Key = tuple[Any, ...]
"""The key of a row without `account` and `ref_date`; a nested row's key begins with its parent's."""
Values = tuple[Any, ...]
Table = dict[Key, tuple[Values, int]]
"""Values and call of each key of one label."""


class Object(tuple):  # type: ignore[type-arg]
    """A JSON object as pairs, which keeps duplicate names."""

    __slots__ = ()


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


@dataclass
class Reading:
    """The judged rows of one response."""

    call_id: int
    call: Any
    endpoint: Endpoint
    delayed: bool
    rows: dict[tuple[str, dt.date], dict[Key, Values]] = field(default_factory=dict)
    """The accepted rows of each table and date."""
    rejected: list[tuple[Any, str, str | None]] = field(default_factory=list)
    """Rejected rows, with reason and path."""
    doubts: set[tuple[str, dt.date | None]] = field(default_factory=set)
    """Tables and labels with rejected rows; None stands for every label."""

    def read(self, relation: Relation, items: Iterable[Any], path: str, above: tuple[dt.date, Key] | None) -> None:
        """Judge the items of a list; `above` is the date and the key of the row that the list belongs to."""
        children = [each for each in self.endpoint.relations if each.parent and each.parent.name == relation.name]
        for place, item in enumerate(items):
            row = _Row(item, relation, children)
            date = above[0] if above else row.date
            key = (*(above[1] if above else ()), *row.values(_own_key(relation)))
            reason = row.reason(date) if above else row.reason_by_itself(self)
            if reason is None and date and key in self.rows.get((relation.name, date), {}):
                reason = "duplicate_key"
            if reason or date is None:
                self.reject(relation, date, item, str(reason), f"{path}[{place}]" if above else None)
                continue
            self.rows.setdefault((relation.name, date), {})[key] = row.values(relation.values)
            for child in children:
                self.descend(child, row, f"{path}[{place}]", (date, key))

    def descend(self, child: Relation, row: "_Row", path: str, above: tuple[dt.date, Key]) -> None:
        """Judge a nested list of an accepted row."""
        found = row.get(child.list_inside, child.list_field)
        path = ".".join(filter(None, (path, child.list_inside, child.list_field)))
        if isinstance(found, list):
            self.read(child, found, path, above)
        elif found is not None:
            self.reject(child, above[0], found, "wrong_type", path)

    def reject(self, relation: Relation, date: dt.date | None, item: Any, reason: str, path: str | None) -> None:
        """Add a rejected row."""
        self.rejected.append((item, reason, path))
        self.doubts.add((relation.name, date and label_of(date, self.endpoint.period)))

    def sure(self, relation: Relation, date: dt.date) -> bool:
        """Return whether the table has no rejected row of the label."""
        return not self.doubts & {(relation.name, date), (relation.name, None)}


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
        removes = asked and settled and all(reading.sure(each, date) for each in _with_parents(relation))
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


def _own_key(relation: Relation) -> list[Column]:
    """Return the key columns that come from the item itself, without `ref_date`."""
    return [column for column in relation.fields if column.key and column.name != "ref_date"]


def _with_parents(relation: Relation | None) -> Iterator[Relation]:
    while relation:
        yield relation
        relation = relation.parent


def _figures(relation: Relation, key: Key, values: Values) -> Iterator[tuple[Column, Any]]:
    """Yield what a revision says about a row that appears or vanishes: its required values, or the end of its key."""
    if not relation.measures:
        yield relation.key[-1], key[-1]
    for column, value in zip(relation.values, values, strict=True):
        if column.required:
            yield column, value


def parsed(text: str) -> Any:
    """Parse JSON with objects as `Object`; raise `ValueError` for anything else, `NaN` and `Infinity` included."""
    return json.loads(text, object_pairs_hook=Object, parse_int=_integer, parse_constant=_integer)


def _integer(digits: str) -> int:
    """Parse an integer; shorten a huge one, which no column accepts either way, since Python refuses 5,000 digits."""
    return int(digits) if len(digits) <= 400 else int(digits[:400])


def fields_of(text: str) -> dict[str, Any]:
    """Return the fields of a JSON object; none for anything else, or if `list` or `errcode` is there twice."""
    try:
        found = parsed(text)
        json.dumps(found, ensure_ascii=False).encode()  # fails for half a surrogate pair, which is no text
    except (ValueError, RecursionError):
        return {}
    pairs = found if isinstance(found, Object) else Object()
    names = [name for name, _ in pairs]
    return dict(reversed(pairs)) if names.count("list") < 2 and names.count("errcode") < 2 else {}


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


# --- one row ----------------------------------------------------------------------------------------------------


class _Row:
    """An item of a list, as a row of a table."""

    def __init__(self, item: Any, relation: Relation, children: Iterable[Relation]) -> None:
        self.columns = relation.fields
        lists = [(each.list_inside, each.list_field) for each in children]
        self.known = {(column.inside, column.name) for column in self.columns} | {*lists}
        self.objects = {inside for inside, _ in self.known if inside}
        self.known |= {("", name) for name in self.objects}
        self.parts = {"": item if isinstance(item, Object) else Object()}
        self.parts |= {name: self.get("", name) for name in self.objects if self.has("", name)}

    def has(self, inside: str, name: str) -> bool:
        """Return whether the field is there, whatever its value."""
        part = self.parts.get(inside)
        return isinstance(part, Object) and any(name == each for each, _ in part)

    def get(self, inside: str, name: str) -> Any:
        """Return the first value of a field; None without one."""
        part = self.parts.get(inside)
        return next((value for each, value in part if each == name), None) if isinstance(part, Object) else None

    def values(self, columns: Iterable[Column]) -> Values:
        """Return the values of the columns, as stored; only for an accepted row are they all right."""
        return tuple(_stored(column, self.get(column.inside, column.name)) for column in columns)

    @property
    def date(self) -> dt.date | None:
        """The row's `ref_date`, if there is exactly one and it is valid."""
        return None if ("", "ref_date") in self.repeated() else _date(self.get("", "ref_date"))

    def repeated(self) -> set[tuple[str, str]]:
        """Return the known fields that are there more than once."""
        parts = {inside: part for inside, part in self.parts.items() if isinstance(part, Object)}
        names = [(inside, name) for inside, part in parts.items() for name, _ in part]
        return {each for each in self.known if names.count(each) > 1}

    def reason_by_itself(self, reading: Reading) -> str | None:
        """Return the first reason to reject a row of the answer's own list, apart from duplicates."""
        call, date = reading.call, self.date
        if (reason := self.reason(None)) or date is None:
            return reason
        if date < HISTORY_START:
            return "before_2014_12_01"
        if not call.begin_date <= date <= call.end_date:
            return "outside_window"
        return None if label_of(date, reading.endpoint.period) == date else "wrong_label"

    def reason(self, label: dt.date | None) -> str | None:
        """Return the first reason to reject a row, apart from duplicates and from an own row's `ref_date`."""
        there = {each: self.get(each.inside, each.name) for each in self.columns if self.has(each.inside, each.name)}
        broken = {name for name in self.objects if name in self.parts and not isinstance(self.parts[name], Object)}
        if any(each.required and each not in there and each.inside not in broken for each in self.columns):
            return "missing_field"
        if broken or not all(_right_type(column, value) for column, value in there.items()):
            return "wrong_type"
        if self.repeated() or any(_bad(column, value) for column, value in there.items() if value is not None):
            return "bad_value"
        for column, value in there.items():
            if label and column.within_days is not None:
                after = (dt.date.fromisoformat(value) - label).days
                return None if 0 <= after <= column.within_days else "outside_window"
        return None


def _date(value: Any) -> dt.date | None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return None
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        return None


def _stored(column: Column, value: Any) -> Any:
    """Return the value as the table has it."""
    if column.type == "DATE":
        return _date(value)
    return _float(value) if column.type == "DOUBLE" and type(value) in (int, float) else value


def _float(value: float) -> float:
    try:
        return float(value) + 0.0  # turns -0.0 into 0.0
    except OverflowError:
        return math.inf


def _right_type(column: Column, value: Any) -> bool:
    if value is None:
        return not column.required
    if column.type in ("DATE", "VARCHAR"):
        return isinstance(value, str)
    return type(value) is int or (type(value) is float and column.type == "DOUBLE")


def _bad(column: Column, value: Any) -> bool:
    if column.type == "DOUBLE":
        return not column.low <= _float(value) <= float(column.high)
    if column.type == "DATE":
        return _date(value) is None
    return column.type != "VARCHAR" and (not column.low <= value <= column.high or value % column.step != 0)
