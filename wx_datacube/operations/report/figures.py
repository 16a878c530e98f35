"""Figures: everything that a report shows, read once from the published file.

Add a figure here, and define its value when nothing is stored: a `missing` label has no value (None), an `empty` one
has zeros; never mix the two. Users are distinct users of a period and can't be summed, so the users of weeks and
months come from their own endpoints.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from wx_datacube.catalog import messages
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.messages import HOURLY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Period
from wx_datacube.catalog.periods import gaps, label_of, settled_at
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State, states

DAYS_BEFORE = {Period.DAY: (1, 7, 30), Period.WEEK: (7,), Period.MONTH: (30,)}
"""The days to compare a label with, as in WeChat's own console; for a month, 30 days before is the previous month."""
_DAY = dt.timedelta(days=1)
_HEAT_DAYS = 364
"""The heat map covers the newest 52 weeks: each weekday occurs equally often, and habits change over the years."""


@dataclass(frozen=True, slots=True)
class Value:
    """Distinct users and messages of one label; None if nothing is stored."""

    users: int | None = None
    messages: int | None = None

    @property
    def per_user(self) -> float | None:
        """Messages per user who sent any; zero if there are no users, None if either figure is not stored."""
        if self.users is None or self.messages is None:
            return None
        return self.messages / self.users if self.users else 0.0


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """The newest label of a period that has data; `before` has earlier values, by the number of days before it."""

    period: Period
    label: dt.date
    value: Value
    before: Mapping[int, Value]


class Mark(StrEnum):
    """The mark of a day in the coverage calendar: the first of these that applies to one of its endpoints."""

    MISSING = "missing"
    REJECTED = "rejected"
    UNSETTLED = "unsettled"
    REVISED = "revised"
    LANDED = "landed"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the calendar and of the trend; `endpoints` cause the mark, none if it is `landed` or `empty`."""

    date: dt.date
    value: Value
    mark: Mark
    endpoints: list[str]


@dataclass(frozen=True, slots=True)
class EndpointCoverage:
    """Counts of an endpoint's labels by state, and the first and last label of each gap."""

    endpoint: Endpoint
    due: int
    landed: int
    empty: int
    missing: int
    unsettled: int
    rejected: int
    revised: int
    gaps: list[tuple[dt.date, dt.date]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that a report of one account shows, from `first` to `last` inclusive.

    `earlier`: as many days before `first` as the range has, for comparison. `by_type`: (date, type, messages), and
    `senders`: (date, interval, users), both per `unit`. `hours`: (ISO weekday, hour, average number of messages), over
    the days from `hours_first` to `last`.
    """

    account: str
    first: dt.date
    last: dt.date
    call_id: int
    last_requested_at: dt.datetime | None
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
    def known_days(self) -> list[Day]:
        """The days whose number of messages is known, oldest first."""
        return [day for day in self.days if day.value.messages is not None]

    @property
    def no_messages(self) -> bool:
        """Whether no known day has a message."""
        return not any(day.value.messages for day in self.known_days)


def read_figures(
    con: Connection, account: Account, now: dt.datetime, first: dt.date | None, last: dt.date | None
) -> Figures:
    """Read the figures of an account from the published file, as of `now`.

    `first` defaults to the start of its history, `last` to the newest day that is due.
    """
    first = max(first or account.start, HISTORY_START)
    last = min(last or now.date() - _DAY, now.date() - _DAY)
    data = _StoredData(con, account.name, states(con, account, now), first, last)
    ((call_id, last_requested_at),) = con.execute(
        "SELECT coalesce(max(call_id), 0), max(requested_at) FROM datacube.api_calls WHERE account = $account",
        {"account": account.name},
    ).fetchall()
    unit = _unit(last - first)
    length = last - first + _DAY
    hours_first = max(first, data.first_known(HOURLY_MESSAGES.name), last - (_HEAT_DAYS - 1) * _DAY)
    return Figures(
        account=account.name,
        first=first,
        last=last,
        call_id=call_id,
        last_requested_at=last_requested_at,
        keys=[key for period in Period if (key := data.key_figure(period)) is not None],
        days=[data.day(first + count * _DAY, now) for count in range((last - first).days + 1)],
        earlier=[item for item in data.values[Period.DAY].items() if first - length <= item[0] < first],
        months=[item for item in data.values[Period.MONTH].items() if data.overlaps_range(item[0], Period.MONTH)],
        unit=unit,
        by_type=data.rows(
            f"SELECT date_trunc('{unit.value}', date)::DATE AS date, type, sum(messages) FROM messages_daily"
            " WHERE account = $account AND date BETWEEN $first AND $last GROUP BY ALL HAVING sum(messages) > 0"
        ),
        senders=data.rows(
            f"SELECT date, messages_sent, users FROM senders_{unit.adverb} WHERE account = $account"
            " AND date BETWEEN $first AND $last AND users > 0 AND messages_sent <> '0'"
        ),
        hours=data.hours(hours_first, last),
        hours_first=hours_first,
        coverage=[data.coverage(endpoint, now) for endpoint in messages.ENDPOINTS],
    )


def _unit(span: dt.timedelta) -> Period:
    """Return the period to draw a range by, so that even twelve years have only about 150 steps."""
    if span <= dt.timedelta(days=92):
        return Period.DAY
    return Period.WEEK if span <= dt.timedelta(days=2 * 366) else Period.MONTH


def _before(label: dt.date, days: int, period: Period) -> dt.date:
    """Return the label `days` days before another; for a month, the previous month, since months differ in length."""
    return label_of(label - _DAY, period) if period is Period.MONTH else label - days * _DAY


class _StoredData:
    """The stored data of an account; the value of a label depends on the states of its endpoints."""

    def __init__(
        self,
        con: Connection,
        account: str,
        label_states: dict[str, dict[dt.date, State]],
        first: dt.date,
        last: dt.date,
    ) -> None:
        self._con = con
        self._first, self._last = first, last
        self._range: dict[str, object] = {"account": account, "first": first, "last": last}
        self.label_states = {each.name: label_states.get(each.name, {}) for each in ENDPOINTS}
        self.values = {period: self._values(period) for period in Period}
        self.rejected = self._labels("SELECT endpoint, label FROM datacube.label_answers WHERE NOT clean")
        self.revised = self._labels("SELECT DISTINCT endpoint, ref_date FROM datacube.revisions WHERE true")

    def first_known(self, endpoint: str) -> dt.date:
        """Return the first label that is not missing; the first day of the range if there is none."""
        return min(
            (label for label, state in self.label_states[endpoint].items() if state is not State.MISSING),
            default=self._first,
        )

    def rows(self, sql: str) -> list:  # type: ignore[type-arg]  # rows of any columns
        """Return the ordered rows of a query with the parameters `$account`, `$first` and `$last`."""
        return self._con.execute(f"{sql} ORDER BY ALL", self._range).fetchall()

    def overlaps_range(self, label: dt.date, period: Period = Period.DAY) -> bool:
        """Return whether the period of a label lies, at least in part, in the report's range."""
        return label_of(self._first, period) <= label <= self._last

    def _values(self, period: Period) -> dict[dt.date, Value]:
        """Return the value of every due label of the period."""
        by_type, by_sender = MESSAGES_OF[period].name, SENDERS_OF[period].name
        found = self._con.execute(
            f"SELECT date, users, messages FROM totals_{period.adverb} WHERE account = $account",
            {"account": self._range["account"]},
        )
        stored = {date: (users, messages) for date, users, messages in found.fetchall()}

        def figure(endpoint: str, label: dt.date, place: int) -> int | None:
            state = self.label_states[endpoint].get(label, State.MISSING)
            return None if state is State.MISSING else stored.get(label, (0, 0))[place] or 0

        return {
            label: Value(figure(by_sender, label, 0), figure(by_type, label, 1)) for label in self.label_states[by_type]
        }

    def _labels(self, sql: str) -> dict[str, set[dt.date]]:
        found: dict[str, set[dt.date]] = {each.name: set() for each in ENDPOINTS}
        rows = self._con.execute(f"{sql} AND account = $account", {"account": self._range["account"]}).fetchall()
        for endpoint, label in rows:
            found[endpoint].add(label)
        return found

    def key_figure(self, period: Period) -> KeyFigure | None:
        """Return the key figure of the newest label in the range that has data; None if there is none."""
        values = self.values[period]
        known = [label for label, value in values.items() if self.overlaps_range(label, period) and value != Value()]
        if not known:
            return None
        label = max(known)
        before = {days: values.get(_before(label, days, period), Value()) for days in DAYS_BEFORE[period]}
        return KeyFigure(period, label, values[label], before)

    def hours(self, first: dt.date, last: dt.date) -> list[tuple[int, int, float]]:
        """Return the average number of messages by ISO weekday and hour, over the days whose hours are known."""
        counted = self.label_states[HOURLY_MESSAGES.name]
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
        """Return a day of the calendar."""
        value = self.values[Period.DAY].get(date, Value())
        states_of = {name: self.label_states[name].get(date, State.MISSING) for name in _BY_DAY}
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
        """Return the coverage of an endpoint in the range; labels that are not settled yet don't count as gaps."""
        due = {
            label: state
            for label, state in self.label_states[endpoint.name].items()
            if self.overlaps_range(label, endpoint.period)
        }
        missing = [
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
            len(missing),
            count[State.MISSING] - len(missing),
            sum(label in due for label in self.rejected[endpoint.name]),
            sum(label in due for label in self.revised[endpoint.name]),
            gaps(missing, due),
        )


_BY_DAY = [each.name for each in messages.ENDPOINTS if each.period is Period.DAY]
