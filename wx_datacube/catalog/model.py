"""Model: what an entry of the catalog says about an endpoint, its tables and their columns.

Add a field here when WeChat's endpoints differ in a new respect. The entries are in `messages`, `followers`, `articles`
and `interface`; everything else reads them through this model and never asks for one endpoint by name.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from wx_datacube.language import Text

HISTORY_START = dt.date(2014, 12, 1)
"""WeChat keeps statistics from this day on; its pages call older rows "unreliable dirty data"."""


class Period(Enum):
    """The length of time, in Beijing time, that one row of an endpoint covers."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def adverb(self) -> str:
        """`daily`, `weekly` or `monthly`, as in the names of views and schedules."""
        return "daily" if self is Period.DAY else f"{self.value}ly"

    def counted(self, number: int) -> Text:
        """Return a number of these periods as a text, such as `90 days`."""
        chinese = {Period.DAY: "天", Period.WEEK: "周", Period.MONTH: "个月"}[self]
        noun = Text(self.value if number == 1 else f"{self.value}s", chinese)
        return Text("{number:,} {noun}", "{number:,} {noun}", number=number, noun=noun)

    def named(self, label: dt.date) -> Text:
        """Return a label as a text; weeks and months are told from days."""
        if self is Period.WEEK:
            return Text("the week of {label}", "{label} 起的一周", label=label)
        if self is Period.MONTH:
            return Text("{label:%B %Y}", "{label:%Y} 年 {label:%m} 月", label=label)
        return Text("{label}", "{label}", label=label)


class Family(StrEnum):
    """Endpoints that an account switches on together. WeChat grants its permissions by the same groups."""

    MESSAGES = "messages"
    FOLLOWERS = "followers"
    ARTICLES = "articles"
    INTERFACE = "interface"


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a row: WeChat's name, DuckDB's type, and what it means.

    `type` is INTEGER, BIGINT, DOUBLE, VARCHAR or DATE. `low`, `high` and `step` limit whole numbers and, except for
    `step`, DOUBLE. A DATE with `within_days` lies between the row's label and so many days later. `inside` names the
    object within the row that holds the field; the table has it as a column of its own. `codes` are the known codes in
    words; an empty tuple means that the field is no code.
    """

    name: str
    type: str
    en: str
    zh: str
    key: bool = False
    required: bool = True
    low: int = 0
    high: int = 2**63 - 1
    step: int = 1
    within_days: int | None = None
    inside: str = ""
    codes: tuple[tuple[int | str, str], ...] = ()

    @property
    def words(self) -> list[str]:
        """The known codes in words."""
        return [word for _, word in self.codes]


@dataclass(frozen=True, slots=True)
class Nested:
    """A list within each row, which becomes a table of its own. It may hold lists too.

    `inside` names the object within the row that holds the list. A row without the list counts as one with an empty
    list.
    """

    field: str
    en: str
    zh: str
    columns: tuple[Column, ...]
    inside: str = ""
    nested: tuple["Nested", ...] = ()


@dataclass(frozen=True, slots=True)
class Relation:
    """A table of an endpoint: one row for each item of its list, or of a list nested in another table's rows.

    `fields` are the columns that come from the item itself. `parent` is None for the endpoint's own table.
    """

    name: str
    en: str
    zh: str
    fields: tuple[Column, ...]
    nested: tuple[Nested, ...] = ()
    parent: "Relation | None" = None
    list_field: str = "list"
    list_inside: str = ""

    @property
    def list_path(self) -> str:
        """Where the list is in the answer, or in a row of the parent, as in `detail.read_user_source`."""
        return ".".join(filter(None, (self.list_inside, self.list_field)))

    @property
    def known_fields(self) -> dict[str, list[str]]:
        """The names that an item and each object within it may have; the item itself has the key `""`."""
        placed = [
            *((each.inside, each.name) for each in self.fields),
            *((each.inside, each.field) for each in self.nested),
        ]
        found: dict[str, list[str]] = {"": []}
        for inside, name in placed:
            found.setdefault(inside, []).append(name)
        found[""] += [name for name in found if name]
        return found

    @property
    def columns(self) -> tuple[Column, ...]:
        """The table's columns besides `account` and `call_id`: the parent's key, then the item's own fields."""
        return (*(self.parent.key if self.parent else ()), *self.fields)

    @property
    def key(self) -> tuple[Column, ...]:
        """Natural key of a row within an account."""
        return tuple(column for column in self.columns if column.key)

    @property
    def values(self) -> tuple[Column, ...]:
        """The columns of a row besides its key."""
        return tuple(column for column in self.columns if not column.key)

    @property
    def measures(self) -> tuple[Column, ...]:
        """The values that every row has."""
        return tuple(column for column in self.values if column.required)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One statistics endpoint: its name, the meaning of its rows, and how it is to be requested.

    `spans` are the numbers of days that one call may cover, to be tried in this order, the longest first. N allows N
    days inclusive (`end_date - begin_date < N`); beyond that, WeChat answers 61501. `figures` are the figures of a
    label that people look at first: a name and an SQL expression over the label's rows. Two endpoints are equal if
    their names are.
    """

    name: str
    period: Period = field(compare=False)
    family: Family = field(compare=False)
    spans: tuple[int, ...] = field(compare=False)
    en: str = field(compare=False)
    zh: str = field(compare=False)
    columns: tuple[Column, ...] = field(repr=False, compare=False)
    figures: tuple[tuple[str, str], ...] = field(repr=False, compare=False)
    nested: tuple[Nested, ...] = field(default=(), repr=False, compare=False)
    unstored: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Fields of a row that answers are known to have and that no column holds."""
    first_day: dt.date = field(default=HISTORY_START, compare=False)
    """No figures exist for earlier days."""
    has_delay: bool = field(default=False, compare=False)
    """Whether an answer may say `is_delay`: its figures are not final."""
    asked_again: tuple[int, ...] = field(default=(), compare=False)
    """Days after a label on which it is requested again, because its figures grow until the last of them."""
    days: str = field(default="", compare=False)
    """The endpoint whose days tell about this one's labels; empty for none.

    A silent day of that endpoint implies that this one has nothing for the day. A day with figures contradicts an empty
    answer of this one for a period that contains the day.
    """
    volume: str = field(default="", compare=False)
    """The figure that is above 0 on a day that is not silent, for an endpoint that others name as their `days`."""

    @property
    def path(self) -> str:
        """Path under the API's host; also the `cgi_path` of the quota call."""
        return f"/datacube/{self.name}"

    @property
    def max_span_days(self) -> int:
        """The most days that one call may cover."""
        return self.spans[0]

    @property
    def table(self) -> Relation:
        """The endpoint's own table, with a row for each item of the answer's list."""
        return Relation(self.name, self.en, self.zh, self.columns, self.nested)

    @property
    def relations(self) -> tuple[Relation, ...]:
        """All tables of the endpoint; a parent comes before its nested tables."""
        return tuple(_with_nested(self.table))

    @property
    def shape(self) -> dict[str, Any]:
        """The fields of an item with DuckDB's types, objects and nested lists included, as `from_json` takes them."""
        return _shape(self.columns, self.nested)

    @property
    def key(self) -> tuple[Column, ...]:
        """Natural key of a row of the endpoint's own table within an account."""
        return self.table.key

    @property
    def takes_a_call_a_day(self) -> bool:
        """Whether every label needs a call of its own, which makes a long history expensive."""
        return self.max_span_days == 1

    @property
    def implied_by_silence(self) -> bool:
        """Whether a silent day of the endpoint `days` needs no call of this one."""
        return self.period is Period.DAY and bool(self.days)

    @property
    def grows(self) -> bool:
        """Whether the figures of a label grow for a while after it has landed."""
        return bool(self.asked_again)

    def first(self, start: dt.date) -> dt.date:
        """Return the first day of this endpoint's history for an account whose history begins at `start`."""
        return max(start, self.first_day)


def _with_nested(relation: Relation) -> Iterator[Relation]:
    yield relation
    for each in relation.nested:
        name = f"{relation.name}__{each.field}"
        yield from _with_nested(
            Relation(name, each.en, each.zh, each.columns, each.nested, relation, each.field, each.inside)
        )


def _shape(fields: Sequence[Column], nested: Sequence[Nested]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column in fields:
        (found.setdefault(column.inside, {}) if column.inside else found)[column.name] = column.type
    for each in nested:
        (found.setdefault(each.inside, {}) if each.inside else found)[each.field] = [_shape(each.columns, each.nested)]
    return found


REF_DATE = Column(
    "ref_date",
    "DATE",
    "The day, the Monday of the week, or the 1st of the month that the row is about, in Beijing time.",
    "数据日期（北京时间）：日数据为当日，周数据为当周周一，月数据为当月 1 日。",
    key=True,
)
REF_HOUR = Column(
    "ref_hour",
    "INTEGER",
    "Hour × 100: 0, 100, … 2300; 900 covers 09:00 to 10:00, Beijing time.",
    "小时 × 100：0、100……2300；900 表示北京时间 09:00 至 10:00。",
    key=True,
    high=2300,
    step=100,
)
USER_SOURCE = Column(
    "user_source",
    "INTEGER",
    "Undocumented by WeChat; 0 in every known answer, NULL where an answer had none.",
    "微信文档未说明；已知返回值均为 0，返回中没有该字段时为 NULL。",
    required=False,
    codes=((0, "0"),),
    low=-(2**31),
    high=2**31 - 1,
)
