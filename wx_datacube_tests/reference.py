"""Reference: the rules for stored figures in plain Python, one response at a time, to compare the SQL with.

It is written from the contract and the design, not from the SQL: no batches, no window functions, one dictionary per
table. Add a rule here when the contract gets one. Nothing here imports the warehouse.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Column, Endpoint, Period
from wx_datacube.catalog.periods import due_on, label_of, labels_from, settled_at

DAILY = BY_NAME["getupstreammsg"]


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
    """The row of `label_answers` for the latest response for a label."""

    call_id: int
    fetched_at: dt.datetime
    settled: bool
    clean: bool
    shown: int
    known: bool


@dataclass
class Reference:
    """The expected contents of the tables after the calls applied so far."""

    answers: dict[Label, Answer] = field(default_factory=dict)
    stored: dict[Label, dict[tuple[Any, ...], tuple[tuple[Any, ...], int]]] = field(default_factory=dict)
    """Values and call of each key (without the date) in the tables."""
    said: dict[tuple[Label, tuple[Any, ...]], tuple[Any, ...] | None] = field(default_factory=dict)
    """The latest values that WeChat returned for each key; None if the row vanished."""
    rejected: list[tuple[Any, ...]] = field(default_factory=list)
    revisions: list[tuple[Any, ...]] = field(default_factory=list)

    def take(self, call_id: int, call: Any) -> None:
        """Apply the next call of the ledger."""
        listed = _list_of(call)
        if listed is None:
            return
        endpoint = BY_NAME[call.endpoint]
        shown, unclean = self._sort(call_id, call, endpoint, listed)
        for date in _covered(call, endpoint):
            label = Label(call.account, call.endpoint, date)
            clean = date not in unclean and None not in unclean
            self._settle(call_id, call, endpoint, label, shown.get(date, {}), clean)

    def _sort(
        self, call_id: int, call: Any, endpoint: Endpoint, listed: list[Any]
    ) -> tuple[dict[dt.date, dict[tuple[Any, ...], tuple[Any, ...]]], set[dt.date | None]]:
        """Return the valid rows by date and key, and the labels of the rejected rows; None stands for any label."""
        shown: dict[dt.date, dict[tuple[Any, ...], tuple[Any, ...]]] = {}
        unclean: set[dt.date | None] = set()
        for row in listed:
            reason, date = reason_to_reject(row, endpoint, call.begin_date, call.end_date)
            fields = dict(row) if isinstance(row, Object) else {}
            key = tuple(fields.get(column.name) for column in endpoint.key[1:])
            if reason is None and date is not None and key in shown.get(date, {}):
                reason = "duplicate_key"
            if reason is None and date is not None:
                shown.setdefault(date, {})[key] = tuple(fields.get(column.name) for column in endpoint.values)
            else:
                self.rejected.append((call.account, call.endpoint, call_id, row, reason))
                unclean.add(date and label_of(date, endpoint.period))
        return shown, unclean

    def _settle(
        self,
        call_id: int,
        call: Any,
        endpoint: Endpoint,
        label: Label,
        shown: dict[tuple[Any, ...], tuple[Any, ...]],
        clean: bool,
    ) -> None:
        before = self.answers.get(label)
        settled = call.requested_at >= settled_at(label.date, endpoint.period)
        table = self.stored.setdefault(label, {})
        for key, values in shown.items():
            self._shown(call_id, call, endpoint, label, key, values)
        for key in [key for key in table if key not in shown and clean and settled]:
            self._vanished(call_id, call, endpoint, label, key)
            if call.refresh and label.date in call.asked and settled:
                del table[key]
        known = bool(shown) or (before is not None and before.known)
        self.answers[label] = Answer(call_id, call.requested_at, settled, clean, len(shown), known)

    def _shown(
        self, call_id: int, call: Any, endpoint: Endpoint, label: Label, key: tuple[Any, ...], new: tuple[Any, ...]
    ) -> None:
        old, before, table = self.said.get((label, key)), self.answers.get(label), self.stored[label]
        for place, column in enumerate(endpoint.values):
            if old is not None and old[place] != new[place]:
                self._revise(call_id, call, endpoint, label, key, column, old[place], new[place], table[key][1])
            elif old is None and column.required and before is not None and before.known:
                self._revise(call_id, call, endpoint, label, key, column, None, new[place], before.call_id)
        self.said[label, key] = new
        if key not in table or table[key][0] != new:
            table[key] = (new, call_id)

    def _vanished(self, call_id: int, call: Any, endpoint: Endpoint, label: Label, key: tuple[Any, ...]) -> None:
        old = self.said[label, key]
        if old is not None:
            for place, column in enumerate(endpoint.values):
                if column.required:
                    brought = self.stored[label][key][1]
                    self._revise(call_id, call, endpoint, label, key, column, old[place], None, brought)
        self.said[label, key] = None

    def _revise(
        self,
        call_id: int,
        call: Any,
        endpoint: Endpoint,
        label: Label,
        key: tuple[Any, ...],
        column: Column,
        old: int | None,
        new: int | None,
        old_call_id: int,
    ) -> None:
        keys = dict(zip((column.name for column in endpoint.key[1:]), key, strict=True))
        named = [keys.get(name) for name in ("ref_hour", "msg_type", "count_interval")]
        change = (column.name, old, new, call.requested_at, old_call_id, call_id)
        self.revisions.append((label.account, label.endpoint, label.date, *named, *change))

    def states(self, account: str, start: dt.date, now: dt.datetime) -> dict[str, dict[dt.date, str]]:
        """Return the state of every due label, by endpoint."""
        found: dict[str, dict[dt.date, str]] = {}
        for endpoint in ENDPOINTS:
            labels = labels_from(label_of(start, endpoint.period), endpoint.period)
            due = takewhile(lambda label, each=endpoint: due_on(label, each.period) <= now.date(), labels)
            found[endpoint.name] = {date: self._state(Label(account, endpoint.name, date)) for date in due}
        return found

    def _state(self, label: Label) -> str:
        if self.stored.get(label):
            return "landed"
        endpoint, answer = BY_NAME[label.endpoint], self.answers.get(label)
        silent = answer is not None and answer.settled and answer.clean and not answer.shown
        if silent and (endpoint is DAILY or not self._talked(label.account, label.date, endpoint.period)):
            return "empty"
        if endpoint.implied_by_silence and self._state(label._replace(endpoint=DAILY.name)) == "empty":
            return "implied"
        return "missing"

    def _talked(self, account: str, label: dt.date, period: Period) -> bool:
        """Return whether messages are stored for any day of the label's period."""
        days = takewhile(lambda day: day < due_on(label, period), labels_from(label, Period.DAY))
        count = next(place for place, column in enumerate(DAILY.values) if column.name == "msg_count")
        return any(
            values[count] > 0
            for day in days
            for values, _ in self.stored.get(Label(account, DAILY.name, day), {}).values()
        )

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of every table as `answers.everything` does, unsorted."""
        found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in BY_NAME}
        for label, rows in self.stored.items():
            for key, (values, call_id) in rows.items():
                found[label.endpoint].append((label.account, label.date, *key, *values, call_id))
        answers = [(*label, *vars(answer).values()) for label, answer in self.answers.items()]
        return found | {"label_answers": answers, "revisions": self.revisions, "rejected_rows": self.rejected}


def parsed(text: str) -> Any:
    """Parse JSON with objects as `Object`; raise `ValueError` for anything else, `NaN` and `Infinity` included."""
    return json.loads(text, object_pairs_hook=Object, parse_int=_integer, parse_constant=_integer)


def _integer(digits: str) -> int:
    """Parse an integer; shorten a huge one, which no column accepts either way, since Python refuses 5,000 digits."""
    return int(digits) if len(digits) <= 30 else int(digits[:30])


def fields_of(text: str) -> dict[str, Any]:
    """Return the fields of a JSON object; none for anything else, or if `list` or `errcode` is there twice."""
    try:
        found = parsed(text)
        json.dumps(found, ensure_ascii=False).encode()  # fails for half a surrogate pair, which is no text
    except (ValueError, RecursionError):
        return {}
    pairs = found if isinstance(found, Object) else Object()
    names = [name for name, _ in pairs]
    return dict(pairs) if names.count("list") < 2 and names.count("errcode") < 2 else {}


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


def reason_to_reject(row: Any, endpoint: Endpoint, begin: dt.date, end: dt.date) -> tuple[str | None, dt.date | None]:
    """Return the first reason to reject a row (apart from duplicates), and its date if it has one."""
    pairs = row if isinstance(row, Object) else Object()
    fields: Mapping[str, Any] = dict(reversed(pairs))  # a duplicate field keeps its first value
    dates = [value for name, value in pairs if name == "ref_date"]
    date = _date(dates[0]) if len(dates) == 1 else None
    present = [column for column in endpoint.columns if fields.get(column.name) is not None]
    if any(column.required and column.name not in fields for column in endpoint.columns):
        return "missing_field", date
    if any(not _right_type(column, fields[column.name]) for column in endpoint.columns if column.name in fields):
        return "wrong_type", date
    names = [name for name, _ in pairs if any(name == column.name for column in endpoint.columns)]
    numbers = [column for column in present if column.type != "DATE"]
    if date is None or len(names) > len(set(names)) or any(_bad(column, fields[column.name]) for column in numbers):
        return "bad_value", date
    if date < HISTORY_START:
        return "before_2014_12_01", date
    if not begin <= date <= end:
        return "outside_window", date
    return (None if label_of(date, endpoint.period) == date else "wrong_label"), date


def _date(value: Any) -> dt.date | None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return None
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        return None


def _right_type(column: Column, value: Any) -> bool:
    if value is None:
        return not column.required
    return isinstance(value, str) if column.type == "DATE" else type(value) is int


def _bad(column: Column, value: int) -> bool:
    return not column.low <= value <= column.high or value % column.step != 0
