"""Figures: everything that a report shows, read from the published file once.

Add a figure here, with what it is when nothing is stored: a label that is `missing` has no value, one that is `empty`
has zeros, and the two are never taken for each other. Users are distinct users of a period, which can't be added, so
those of weeks and months come from their own endpoints.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from wx_datacube.catalog.endpoints import ENDPOINTS, HISTORY_START, Endpoint, Family, Period
from wx_datacube.catalog.periods import gaps, label_of, settled_at
from wx_datacube.warehouse.coverage import Connection, State, states

DAYS_BEFORE = {Period.DAY: (1, 7, 30), Period.WEEK: (7,), Period.MONTH: (30,)}
"""What a label is compared with, as in WeChat's own console; 30 days before a month means the month before it."""
_DAY = dt.timedelta(days=1)
_HEAT_DAYS = 364
"""The heat map is of the newest 52 weeks: every weekday as often, and habits change over years."""


@dataclass(frozen=True, slots=True)
class Value:
    """Distinct users and messages of one label; None where nothing is stored."""

    users: int | None = None
    messages: int | None = None

    @property
    def per_user(self) -> float | None:
        """Messages a user who sent any, zero where nobody did; None where either is not stored."""
        if self.users is None or self.messages is None:
            return None
        return self.messages / self.users if self.users else 0.0


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """The newest label of a period that is known, and the values so many days before it."""

    period: Period
    label: dt.date
    value: Value
    before: Mapping[int, Value]


class Mark(StrEnum):
    """What the coverage calendar shows of a day: the first that applies to one of its endpoints."""

    MISSING = "missing"
    REJECTED = "rejected"
    UNSETTLED = "unsettled"
    REVISED = "revised"
    LANDED = "landed"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the calendar and of the trend; `endpoints` are those that the mark is about, if it is about trouble."""

    date: dt.date
    value: Value
    mark: Mark
    endpoints: list[str]


@dataclass(frozen=True, slots=True)
class EndpointCoverage:
    """How many labels of an endpoint are there, and the first and last of each gap."""

    endpoint: Endpoint
    due: int
    landed: int
    silent: int
    missing: int
    unsettled: int
    rejected: int
    revised: int
    gaps: list[tuple[dt.date, dt.date]]


@dataclass(frozen=True, slots=True)
class Figures:
    """All that a report of one account shows, from `first` to `last`, both included.

    `earlier` are the days before `first`, as many as there are in the range, for comparison. `by_type` are (date, type,
    messages), `senders` (date, interval, users), each by `unit`; `hours` are (ISO weekday, hour, messages on such a day
    on average) of the days from `hours_first` to `last`.
    """

    account: str
    first: dt.date
    last: dt.date
    call_id: int
    asked_at: dt.datetime | None
    keys: list[KeyFigure]
    days: list[Day]
    earlier: list[tuple[dt.date, Value]]
    months: list[tuple[dt.date, Value]]
    unit: Period
    by_type: list[tuple[dt.date, str, int]]
    senders: list[tuple[dt.date, str, int]]
    hours: list[tuple[int, int, float]]
    hours_first: dt.date
    coverage: list[EndpointCoverage]

    @property
    def known(self) -> list[Day]:
        """The days of which it is known how many messages they had, oldest first."""
        return [day for day in self.days if day.value.messages is not None]

    @property
    def silent(self) -> bool:
        """Whether nobody sent a message on any day that is known."""
        return not any(day.value.messages for day in self.known)


def read_figures(
    con: Connection, account: str, start: dt.date, now: dt.datetime, first: dt.date | None, last: dt.date | None
) -> Figures:
    """The figures of an account whose history begins on `start`, by the published file at the moment `now`.

    Without `first`, from `start` on; without `last`, to the newest day that is due.
    """
    first = max(first or start, HISTORY_START)
    last = min(last or now.date() - _DAY, now.date() - _DAY)
    found = _Found(con, account, states(con, account, start, now), first, last)
    ((call_id, asked_at),) = con.execute(
        "SELECT coalesce(max(call_id), 0), max(requested_at) FROM datacube.api_calls WHERE account = $account",
        {"account": account},
    ).fetchall()
    unit = _unit(last - first)
    length = last - first + _DAY
    hours_first = max(first, found.begins(_BY_DAY[Family.HOURS]), last - (_HEAT_DAYS - 1) * _DAY)
    return Figures(
        account=account,
        first=first,
        last=last,
        call_id=call_id,
        asked_at=asked_at,
        keys=[key for period in Period if (key := found.key_figure(period)) is not None],
        days=[found.day(first + count * _DAY, now) for count in range((last - first).days + 1)],
        earlier=[item for item in found.values[Period.DAY].items() if first - length <= item[0] < first],
        months=[item for item in found.values[Period.MONTH].items() if found.within(item[0], Period.MONTH)],
        unit=unit,
        by_type=found.rows(
            f"SELECT date_trunc('{unit.value}', date)::DATE AS date, type, sum(messages) FROM messages_daily"
            " WHERE account = $account AND date BETWEEN $first AND $last GROUP BY ALL HAVING sum(messages) > 0"
        ),
        senders=found.rows(
            f"SELECT date, messages_sent, users FROM senders_{unit.adverb} WHERE account = $account"
            " AND date BETWEEN $first AND $last AND users > 0 AND messages_sent <> '0'"
        ),
        hours=found.hours(hours_first, last),
        hours_first=hours_first,
        coverage=[found.coverage(endpoint, now) for endpoint in ENDPOINTS],
    )


def _unit(span: dt.timedelta) -> Period:
    """The period by which a stretch of time is drawn, so that it takes at most some hundred steps."""
    if span <= dt.timedelta(days=92):
        return Period.DAY
    return Period.WEEK if span <= dt.timedelta(days=2 * 366) else Period.MONTH


def _before(label: dt.date, days: int, period: Period) -> dt.date:
    """The label so many days before another; months differ in length, so of a month it is the one before it."""
    return label_of(label - _DAY, period) if period is Period.MONTH else label - days * _DAY


class _Found:
    """What the file knows of an account; figures of labels by the states of the endpoints that they come from."""

    def __init__(
        self, con: Connection, account: str, known: dict[str, dict[dt.date, State]], first: dt.date, last: dt.date
    ) -> None:
        self._con = con
        self._first, self._last = first, last
        self._range: dict[str, object] = {"account": account, "first": first, "last": last}
        self.known = known
        self.values = {period: self._values(period) for period in Period}
        self.rejected = self._labels("SELECT endpoint, label FROM datacube.label_answers WHERE NOT clean")
        self.revised = self._labels("SELECT DISTINCT endpoint, ref_date FROM datacube.revisions WHERE true")

    def begins(self, endpoint: str) -> dt.date:
        """The first label of which anything is known; the first of the range where there is none."""
        return min(
            (label for label, state in self.known[endpoint].items() if state is not State.MISSING), default=self._first
        )

    def rows(self, sql: str) -> list:  # type: ignore[type-arg]  # rows of any columns
        """Rows of a query by `$account`, `$first` and `$last`, in their order."""
        return self._con.execute(f"{sql} ORDER BY ALL", self._range).fetchall()

    def within(self, label: dt.date, period: Period = Period.DAY) -> bool:
        """Whether a label is of a period that lies, at least in part, in the report's range."""
        return label_of(self._first, period) <= label <= self._last

    def _values(self, period: Period) -> dict[dt.date, Value]:
        """The value of every due label of the period."""
        of = {each.family: each.name for each in ENDPOINTS if each.period is period}
        found = self._con.execute(
            f"SELECT date, users, messages FROM totals_{period.adverb} WHERE account = $account",
            {"account": self._range["account"]},
        )
        stored = {date: (users, messages) for date, users, messages in found.fetchall()}

        def figure(family: Family, label: dt.date, place: int) -> int | None:
            state = self.known[of[family]].get(label, State.MISSING)
            return None if state is State.MISSING else stored.get(label, (0, 0))[place] or 0

        return {
            label: Value(figure(Family.SENDERS, label, 0), figure(Family.MESSAGES, label, 1))
            for label in self.known[of[Family.MESSAGES]]
        }

    def _labels(self, sql: str) -> dict[str, set[dt.date]]:
        found: dict[str, set[dt.date]] = {each.name: set() for each in ENDPOINTS}
        rows = self._con.execute(f"{sql} AND account = $account", {"account": self._range["account"]}).fetchall()
        for endpoint, label in rows:
            found[endpoint].add(label)
        return found

    def key_figure(self, period: Period) -> KeyFigure | None:
        """The newest label of the period that is known; None where there is none in the range."""
        values = self.values[period]
        known = [label for label, value in values.items() if self.within(label, period) and value != Value()]
        if not known:
            return None
        label = max(known)
        before = {days: values.get(_before(label, days, period), Value()) for days in DAYS_BEFORE[period]}
        return KeyFigure(period, label, values[label], before)

    def hours(self, first: dt.date, last: dt.date) -> list[tuple[int, int, float]]:
        """Messages by ISO weekday and hour, on average over the days of which hours are known."""
        counted = self.known[_BY_DAY[Family.HOURS]]
        days = {
            weekday: sum(
                first <= label <= last and label.isoweekday() == weekday and state is not State.MISSING
                for label, state in counted.items()
            )
            for weekday in range(1, 8)
        }
        found = self._con.execute(
            "SELECT isodow(date), hour, sum(messages) FROM messages_hourly"
            " WHERE account = $account AND date BETWEEN $first AND $last GROUP BY ALL",
            self._range | {"first": first, "last": last},
        )
        sums = {(weekday, hour): int(messages) for weekday, hour, messages in found.fetchall()}
        if not any(sums.values()):
            return []
        return [
            (weekday, hour, sums.get((weekday, hour), 0) / days[weekday])
            for weekday in range(1, 8)
            for hour in range(24)
            if days[weekday]
        ]

    def day(self, date: dt.date, now: dt.datetime) -> Day:
        """A day of the calendar."""
        value = self.values[Period.DAY].get(date, Value())
        states_of = {name: self.known[name].get(date, State.MISSING) for name in _BY_DAY.values()}
        missing = [name for name, state in states_of.items() if state is State.MISSING]
        rejected = [name for name in states_of if date in self.rejected[name]]
        revised = [name for name in states_of if date in self.revised[name]]
        if missing and now < settled_at(date, Period.DAY):
            return Day(date, value, Mark.UNSETTLED, missing)
        for mark, names in ((Mark.MISSING, missing), (Mark.REJECTED, rejected), (Mark.REVISED, revised)):
            if names:
                return Day(date, value, mark, names)
        return Day(date, value, Mark.LANDED if State.LANDED in states_of.values() else Mark.EMPTY, [])

    def coverage(self, endpoint: Endpoint, now: dt.datetime) -> EndpointCoverage:
        """What is there of an endpoint in the range; a label not settled yet is no gap."""
        due = {
            label: state for label, state in self.known[endpoint.name].items() if self.within(label, endpoint.period)
        }
        lacking = [
            label
            for label, state in due.items()
            if state is State.MISSING and now >= settled_at(label, endpoint.period)
        ]
        count = {state: sum(each is state for each in due.values()) for state in State}
        return EndpointCoverage(
            endpoint,
            len(due),
            count[State.LANDED],
            count[State.EMPTY] + count[State.IMPLIED],
            len(lacking),
            count[State.MISSING] - len(lacking),
            sum(label in due for label in self.rejected[endpoint.name]),
            sum(label in due for label in self.revised[endpoint.name]),
            gaps(lacking, due),
        )


_BY_DAY = {each.family: each.name for each in ENDPOINTS if each.period is Period.DAY}
