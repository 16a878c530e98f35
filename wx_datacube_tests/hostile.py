"""Hostile: bodies that are nearly a WeChat response, ledgers of nested ones, and an independent parser for bodies.

A valid response is corrupted in a few places: a field, a row, the surrounding object, its bytes. Add another kind of
corruption here. JSON is kept as text, so that duplicate keys, numbers of any size and escapes are sent as drawn.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st

from wx_datacube.catalog import interface
from wx_datacube.catalog.articles import ARTICLES_START, PUBLISHED_ARTICLES
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Column, Endpoint, Family, Relation
from wx_datacube.warehouse.ledger import Call
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, SENDERS, answered, day
from wx_datacube_tests.reference_rows import fields_of
from wx_datacube_tests.wechat_stand_in import http

ENDPOINTS = (MESSAGES, HOURS, SENDERS)
BOM = b"\xef\xbb\xbf"

Pairs = list[tuple[str, str]]
"""A JSON object; the values are JSON text."""

WORDS = (
    *("null", "true", "false", "[]", "{}", '""', '"1"', '" 1"', '"0x1"', "0", "-0", "-1", "1.5", "1.0", "1e3", "1e-3"),
    *("1e999", "-1e999", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808"),
    *("-9223372036854775808", "-9223372036854775809", "18446744073709551616", "9" * 31, "9" * 5000, "007", "+1"),
    *("NaN", "Infinity", "0.1" + "0" * 400, '"2026-11-04"', '"2026-11-0\\u0034"', '"2026-11-4"', '"2026-11-04 "'),
    *('"2026-11-31"', '"2014-11-30"', '"2026-12-01"', '"0000-00-00"', '"99999-01-01"', '"2026-11-04T00:00:00Z"'),
    *("20261104", '"2026\\/11\\/04"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\ud800"', '"微信"', '"' + "x" * 5000 + '"'),
    *("[" * depth + "]" * depth for depth in (1, 60, 400, 100_000)),
    *('{"a":' * 60 + "1" + "}" * 60, "{'a':1}", '"a\tb"', "'; DROP TABLE datacube.api_calls; --"),
)
"""Values for a field; not all of them are valid JSON."""

NAMES = ("ref_date", "ref_hour", "msg_type", "count_interval", "user_source", "msg_user", "msg_count")
ODD_NAMES = (*NAMES, "Msg_User", "MSG_COUNT", "msg\\u005fuser", "ref_date ", "new", "", "$.list", "a\\u0000b", "新")
AROUND = ("errcode", "errcode", "errmsg", "list", "LIST", "l\\u0069st", "rid", "data", "")
CODES = ("0", "-1", "40001", "45009", "48001", "61501", "61503", "12345", '"45009"', '"0"', "45009.0", "1.5", "true")
ANSWERS = (
    *(b"", b"null", b"[]", b"1", b'"list"', b"{}", b"<html><body>Log in</body></html>", b"\0" * 20, b"\xff\xfe{}"),
    *(b'{"list":{}}', b'{"list":null}', b'{"data":{"list":[]}}', b"\xef\xbb\xbf\xef\xbb\xbf" + b'{"list":[]}'),
    *(b'{"list":[' + b"[" * 100_000, b'{"list":[' + b"1," * 5000 + b"1]}", b'{"list":[]}{"list":[]}', b'[{"list":[]}]'),
)


@dataclass(frozen=True)
class Sent:
    """The response of the server to a call for the endpoint `name`: status and body."""

    name: str
    status: int = 200
    body: bytes = b""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint's entry in the catalog."""
        return BY_NAME[self.name]

    @property
    def window(self) -> tuple[dt.date, dt.date]:
        """The first and the last day of the call."""
        return day(1), day(min(self.endpoint.max_span_days, 7))

    @property
    def raw(self) -> bytes:
        """The raw HTTP response."""
        return http(self.body, self.status)


def _row(draw: st.DrawFn, endpoint: Endpoint) -> Pairs:
    """Draw a row as WeChat writes it."""
    number = st.integers(0, 3)
    values = {
        "ref_date": f'"{day(draw(st.integers(1, min(endpoint.max_span_days, 7))))}"',
        "ref_hour": str(draw(number) * 100),
        "msg_type": str(draw(number)),
        "count_interval": str(draw(number)),
        "user_source": "0",
        "msg_user": str(draw(number)),
        "msg_count": str(draw(number)),
    }
    return [(column.name, values[column.name]) for column in endpoint.columns]


def _spoil(draw: st.DrawFn, row: Pairs) -> Pairs:
    """Corrupt one thing in a row, or make it merely unusual."""
    at = draw(st.integers(0, len(row) - 1))
    (name, value), word = row[at], draw(st.sampled_from(WORDS))
    how = draw(st.sampled_from(["replace", "replace", "replace", "drop", "twice", "add", "rename", "shuffle"]))
    if how == "replace":
        return [*row[:at], (name, word), *row[at + 1 :]]
    if how == "drop":
        return row[:at] + row[at + 1 :]
    if how == "twice":
        return [*row, (name, draw(st.sampled_from([value, word])))]
    if how == "add":
        return [*row, (draw(st.sampled_from(ODD_NAMES)), word)]
    if how == "rename":
        return [*row[:at], (draw(st.sampled_from(ODD_NAMES)), value), *row[at + 1 :]]
    return draw(st.permutations(row))


def _written(pairs: Pairs) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"


def _garble(draw: st.DrawFn, body: bytes) -> bytes:
    """Corrupt the bytes of the body."""
    at = draw(st.integers(0, len(body)))
    how = draw(st.sampled_from(["cut", "flip", "insert", "bom", "charset", "after", "before"]))
    if how == "cut":
        return body[:at]
    if how == "flip":
        return body[:at] + draw(st.binary(min_size=1, max_size=1)) + body[at + 1 :]
    if how == "insert":
        return body[:at] + draw(st.binary(min_size=1, max_size=3)) + body[at:]
    if how == "bom":
        return b"\xef\xbb\xbf" + body
    if how == "charset":
        charset = draw(st.sampled_from(["utf-16", "utf-32", "gbk", "latin-1", "utf-8-sig"]))
        return body.decode("utf-8", "replace").encode(charset, "replace")
    return body + draw(st.sampled_from([b"\n ", b"x", b"\0", b"<!-- -->"])) if how == "after" else b" \r\n" + body


@st.composite
def bodies(draw: st.DrawFn) -> Sent:
    """Draw a nearly valid response: mostly with one to three faults, rarely with none, rarely something else."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    made = [_row(draw, endpoint) for _ in range(draw(st.integers(0, 4)))]
    rows, around, raw = [*made], [("list", "")], False
    status = 200
    items: list[str] = []
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 2, 3]))):
        what = draw(st.sampled_from(["row", "row", "row", "row", "item", "again", "code", "around", "bytes", "status"]))
        if what == "row" and rows:
            at = draw(st.integers(0, len(rows) - 1))
            rows[at] = _spoil(draw, rows[at])
        elif what == "item":
            items.append(draw(st.sampled_from(WORDS)))
        elif what == "again" and rows:
            rows.append(draw(st.sampled_from(rows)))
        elif what == "code":
            codes = draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=2))
            around += [("errcode", code) for code in codes]
        elif what == "around":
            around.append((draw(st.sampled_from(AROUND)), draw(st.sampled_from((*WORDS, *CODES)))))
        elif what == "bytes":
            raw = True
        elif what == "status":
            status = draw(st.sampled_from([200, 201, 302, 404, 500, 502]))
    around[0] = ("list", "[" + ",".join([*map(_written, rows), *items]) + "]")
    body = _written(draw(st.permutations(around))).encode("utf-8", "surrogatepass")
    if raw:
        body = draw(st.sampled_from(ANSWERS)) if draw(st.integers(0, 9)) == 9 else _garble(draw, body)
    return Sent(endpoint.name, status, body)


# --- ledgers with nested rows -----------------------------------------------------------------------------------

PUBLISHED, NESTED_START = ARTICLES_START, ARTICLES_START - DAY
NESTED = [endpoint for endpoint in BY_NAME.values() if endpoint.family is not Family.MESSAGES]
ODD = "'\"\\<b>&amp;\u202e😀"
_KEYS: dict[str, list[Any]] = {
    "ref_hour": [0, 2300],
    "user_source": [0, 30],
    "msgid": ["1_1", "1_2"],
    "scene_desc": ["全部", ODD],
    "position": [1, 5],
}
_FIGURES: dict[str, list[Any]] = {"VARCHAR": ["t", ODD], "DOUBLE": [0.5, 1], "BIGINT": [1, 2], "INTEGER": [0, 1]}
_JSON = (
    *("null", "true", "7", "-1", "1.0", "0.5", "1e3", "1e999", "-0.0", "9223372036854775808", "2147483648", "1" * 400),
    *('"1"', '""', '"全部"', '"a\\u0000b"', "[]", "{}", "[7]", "[null]", "[[]]", "[{}]", "[[1,2]]", '{"0":{}}'),
    *('"2025-11-02"', '"2025-11-31"', '"2025-10-31"', '"2014-11-30"', '"2025-11-2"', '{"read_user":1}', "01"),
)
"""Values that take the place of another; the last is not JSON."""
_IS_DELAY = ["", "", "false", "false", "true", "true", '"true"', '"TRUE"', '"false"', '" true"', "1", "null", "[true]"]


class Fields(list):  # type: ignore[type-arg]
    """A JSON object as a list of [name, value], which may have a name twice."""


class _Raw(str):
    """A value as JSON text."""

    __slots__ = ()


def _text_of(value: Any) -> str:
    """Return a value as JSON text."""
    if isinstance(value, Fields):
        return "{" + ",".join(f"{_text_of(name)}:{_text_of(each)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text_of, value)) + "]"
    return value if isinstance(value, _Raw) else json.dumps(value, ensure_ascii=False)


def _key_values(column: Column, label: dt.date) -> list[Any]:
    """Return the few values that a key column has in these tests."""
    if column.within_days is None:
        return _KEYS.get(column.name, [str(label)])
    return [str(label + days * DAY) for days in (*[0, 1, column.within_days] * 3, -1, column.within_days + 1)]


def _figure(column: Column, variant: int, first: bool) -> Any:
    """Return a figure of a row: `variant` 1 changes the first, 2 the others; 3 and 4 lack what is not required."""
    if not column.required and variant > 2:
        return None if variant == 3 else ...
    return _FIGURES[column.type][variant == (1 if first else 2)]


@st.composite
def _nested_rows(draw: st.DrawFn, relation: Relation, children: list[Relation], label: dt.date) -> Fields:
    """Draw a row of a table with its nested lists; it has few figures, so that rows are often alike."""
    variant, made, inside = draw(st.integers(0, 4)), Fields(), Fields()
    for column in relation.fields:
        if column.key:
            made.append([column.name, draw(st.sampled_from(_key_values(column, label)))])
        elif (value := _figure(column, variant, column == relation.values[0])) is not ...:
            (inside if column.inside else made).append([column.name, value])
    for child in children:
        if child.parent == relation:
            listed = draw(st.lists(_nested_rows(child, children, label), min_size=1, max_size=3, unique_by=_key_text))
            (inside if child.list_inside else made).append([child.list_field, listed])
    return Fields([*made, ["detail", inside]]) if inside else made


def _key_text(made: Fields) -> str:
    """Return the keys of a row as text."""
    return repr([each for each in made if each[0] in ("ref_date", "stat_date", *_KEYS)])


def _parts(value: Any) -> Iterator[Any]:
    """Yield every object and array in a value."""
    if isinstance(value, list):
        yield value
        for each in value:
            yield from _parts(each[1] if isinstance(value, Fields) else each)


def _change(draw: st.DrawFn, listed: list[Any]) -> None:
    """Leave out an item of a list, or change a figure."""
    lists = [part for part in _parts(listed) if part and not isinstance(part, Fields)]
    figures = [pair for part in _parts(listed) if isinstance(part, Fields) for pair in part if pair[1] in (1, 2, 0.5)]
    if draw(st.booleans()) and figures:
        pair = draw(st.sampled_from(figures))
        pair[1] = draw(st.sampled_from([0, 1, 2]))
    elif lists:
        part = draw(st.sampled_from(lists))
        del part[draw(st.integers(0, len(part) - 1))]


def _corrupt(draw: st.DrawFn, listed: list[Any]) -> None:
    """Corrupt one thing in the rows, or make it merely unusual."""
    found = list(_parts(listed))[1:] or [listed]
    part = draw(st.sampled_from(found))
    word = _Raw(draw(st.sampled_from([*_JSON, *map(_text_of, found[:4])])))
    at = draw(st.integers(0, len(part)))
    how = draw(st.sampled_from(["replace", "replace", "replace", "drop", "twice", "add"]))
    if at == len(part) or how == "add":
        part.append(["new", word] if isinstance(part, Fields) else word)
    elif how == "drop":
        del part[at]
    elif how == "twice":
        part.append(part[at] if draw(st.booleans()) or not isinstance(part, Fields) else [part[at][0], word])
    else:
        part[at] = [part[at][0], word] if isinstance(part, Fields) else word


@st.composite
def _nested_calls(draw: st.DrawFn, bases: dict[Endpoint, list[Fields]]) -> Call:
    """Draw a call up to 31 days later, whose answer is nearly the base of its endpoint, delayed or not."""
    endpoint = draw(st.sampled_from(list(bases)))
    begin = PUBLISHED + draw(st.sampled_from([0, 0, 0, 0, 0, 1, -1])) * DAY
    window = [begin + n * DAY for n in range(1 + draw(st.integers(0, min(1, endpoint.max_span_days - 1))))]
    fits = draw(st.integers(0, 9)) < 9
    listed = [row for row in deepcopy(bases[endpoint]) if not fits or row[0][1] in map(str, window)]
    for _ in range(draw(st.integers(0, 3))):
        _change(draw, listed)
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        _corrupt(draw, listed)
    listed += draw(st.sampled_from([[]] * 9 + [[7]]))
    delay = draw(st.sampled_from(_IS_DELAY))
    response = "{" + (f'"is_delay":{delay},' if delay else "") + f'"list":{_text_of(listed)}' + "}"
    days, time = draw(st.sampled_from([1, 1, 2, 7, 29, 30, 30, 31])), draw(st.sampled_from(_TIMES))
    at = dt.datetime.combine(window[-1] + days * DAY, time)
    asked, refresh = draw(st.sampled_from([window, window, window[-1:], []])), draw(st.booleans())
    account = draw(st.sampled_from(["shop"] * 9 + ["news"]))
    fields: dict[str, Any] = {"refresh": refresh, "account": account, "response": response}
    return answered(endpoint, begin, window[-1], at=at, asked=asked, **fields)


_TIMES = [dt.time(9), dt.time(11, 59, 59), dt.time(12), dt.time(15)]
_GROUPS = [*[[PUBLISHED_ARTICLES]] * 6, *[[endpoint] for endpoint in NESTED], list(interface.ENDPOINTS), NESTED]
"""Endpoints whose answers a ledger has together."""


@st.composite
def nested_ledgers(draw: st.DrawFn) -> list[Call]:
    """Draw a ledger of followers, articles or interface: several answers for a few labels, which differ in few rows."""
    bases: dict[Endpoint, list[Fields]] = {}
    for endpoint in draw(st.sampled_from(_GROUPS)):
        own, *children = endpoint.relations
        dates = st.sampled_from([PUBLISHED] * 4 + [PUBLISHED + DAY])
        made = dates.flatmap(partial(_nested_rows, own, children))
        bases[endpoint] = draw(st.lists(made, min_size=1, max_size=3, unique_by=_key_text))
    return draw(st.lists(_nested_calls(bases), max_size=8))


# --- the independent parser -------------------------------------------------------------------------------------


def as_text(body: bytes) -> str:
    """Return the text that the ledger must store for a body; bytes that are not UTF-8 become `\\xNN`."""
    return body.removeprefix(BOM).decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def noted(sent: Sent, at: dt.datetime) -> Call:
    """Return the call as the ledger must hold it, with an error unless the body is a clean response."""
    problem = None if sent.status == 200 and errcode_of(sent.body) == 0 else "no answer"
    fields: dict[str, Any] = {"http_status": sent.status, "errmsg": problem, "response": as_text(sent.body)}
    return answered(sent.endpoint, *sent.window, at=at, **fields)


def errcode_of(body: bytes) -> int | None:
    """Return the errcode that a body states; 0 for an array `list` without an errcode, None for anything else.

    An errcode is a whole number of 32 bits. It may be written as a string or with a fraction of zero.
    """
    try:
        fields = fields_of(body.removeprefix(BOM).decode())
    except UnicodeDecodeError:
        return None
    code = fields.get("errcode", 0)
    if isinstance(code, str) and re.fullmatch(r"[+-]?[0-9]{1,9}", code.strip()):
        code = int(code)
    if code is None or (code == 0 and code is not False):
        return 0 if isinstance(fields.get("list"), list) else None
    return int(code) if type(code) in (int, float) and code % 1 == 0 and abs(code) < 2**31 else None
