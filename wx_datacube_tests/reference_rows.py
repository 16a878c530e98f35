"""Reference rows: the rules for the rows of one answer in plain Python, and the parsing of bodies, for `reference`.

Add a rule here if it decides whether a row is accepted. Nothing here imports the warehouse.
"""

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from wx_datacube.catalog.model import HISTORY_START, Column, Endpoint, Relation
from wx_datacube.catalog.periods import label_of

Key = tuple[Any, ...]
"""The key of a row without `account` and `ref_date`; a nested row's key begins with its parent's."""
Values = tuple[Any, ...]


class Object(tuple):  # type: ignore[type-arg]
    """A JSON object as pairs, which keeps duplicate names."""

    __slots__ = ()


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


def _own_key(relation: Relation) -> list[Column]:
    """Return the key columns that come from the item itself, without `ref_date`."""
    return [column for column in relation.fields if column.key and column.name != "ref_date"]


def with_parents(relation: Relation | None) -> Iterator[Relation]:
    """Yield a relation and all tables above it, the innermost first."""
    while relation:
        yield relation
        relation = relation.parent


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
