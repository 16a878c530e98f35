"""Figures: everything that a report shows, read once from the published file.

Add a figure of messages or of the data's completeness here, one of another family to its own module. Define its value
when nothing is stored: a `missing` label has no value (None), an `empty` one has zeros; never mix the two. Users are
distinct users of a period and can't be summed, so the users of weeks and months come from their own endpoints.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from wx_datacube.catalog.articles import DAILY_READING, PUBLISHED_ARTICLES
from wx_datacube.catalog.followers import DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS
from wx_datacube.catalog.messages import DAILY_MESSAGES, HOURLY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Family, Period
from wx_datacube.catalog.periods import gaps, label_of, settled_at
from wx_datacube.config.settings import Account
from wx_datacube.operations.report.articles import ArticleFigures, read_articles
from wx_datacube.operations.report.followers import FollowerFigures, read_followers
from wx_datacube.operations.report.stored import DAYS_BEFORE, StoredData
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State

_DAY = dt.timedelta(days=1)
_HEAT_DAYS = 364
"""The heat map covers the newest 52 weeks: each weekday occurs equally often, and habits change over the years."""
_LEADING = (DAILY_MESSAGES, DAILY_FOLLOWERS, FOLLOWERS_TOTAL, DAILY_READING, PUBLISHED_ARTICLES, DAILY_CALLBACKS)
"""The endpoints that decide which day is the newest with data; the others belong to one of them."""


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
    """Counts of an endpoint's labels by state, and the first and last label of each gap.

    `open` counts the labels whose figures WeChat may still change.
    """

    endpoint: Endpoint
    due: int
    landed: int
    empty: int
    missing: int
    unsettled: int
    rejected: int
    revised: int
    open: int
    gaps: list[tuple[dt.date, dt.date]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that a report of one account shows, from `first` to `last` inclusive.

    What a family of endpoints has is empty or None if the account has it switched off. `newest`: the newest day in the
    range with data; None if there is none. From `keys` to `hours_first`, everything but `days` is about messages.
    `earlier`: as many days before `first` as the range has, for comparison. `by_type`: (date, type, messages), and
    `senders`: (date, interval, users), both per `unit`. `hours`: (ISO weekday, hour, average number of messages), over
    the days from `hours_first` to `last`.
    """

    account: str
    families: tuple[Family, ...]
    first: dt.date
    last: dt.date
    call_id: int
    last_requested_at: dt.datetime | None
    newest: dt.date | None
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
    followers: FollowerFigures | None
    articles: ArticleFigures | None

    @property
    def has_messages(self) -> bool:
        """Whether the account's messages are fetched."""
        return Family.MESSAGES in self.families

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
    begins = min((endpoint.first_day for endpoint in account.endpoints), default=HISTORY_START)
    first = max(first or max(account.start, begins), HISTORY_START)
    last = min(last or now.date() - _DAY, now.date() - _DAY)
    data = _StoredMessages(con, account, now, first, last)
    ((call_id, last_requested_at),) = data.query(
        "SELECT coalesce(max(call_id), 0), max(requested_at) FROM datacube.api_calls WHERE account = $account"
    )
    unit = _unit(last - first)
    length = last - first + _DAY
    hours_first = max(first, data.first_known(HOURLY_MESSAGES.name), last - (_HEAT_DAYS - 1) * _DAY)
    has_messages = Family.MESSAGES in account.families
    return Figures(
        account=account.name,
        families=account.families,
        first=first,
        last=last,
        call_id=call_id,
        last_requested_at=last_requested_at,
        newest=max((known[-1] for endpoint in _LEADING if (known := data.known(endpoint))), default=None),
        keys=[key for period in Period if (key := data.key_figure(period)) is not None],
        days=[data.day(date, now) for date in data.dates if date >= begins],
        earlier=[item for item in data.values[Period.DAY].items() if first - length <= item[0] < first],
        months=[item for item in data.values[Period.MONTH].items() if data.overlaps_range(item[0], Period.MONTH)],
        unit=unit,
        by_type=data.by_type(unit) if has_messages else [],
        senders=data.senders(unit) if has_messages else [],
        hours=data.hours(hours_first, last) if has_messages else [],
        hours_first=hours_first,
        coverage=[data.coverage(endpoint, now) for endpoint in account.endpoints],
        followers=read_followers(data) if Family.FOLLOWERS in account.families else None,
        articles=read_articles(data) if Family.ARTICLES in account.families else None,
    )


def _unit(span: dt.timedelta) -> Period:
    """Return the period to draw a range by, so that even twelve years have only about 150 steps."""
    if span <= dt.timedelta(days=92):
        return Period.DAY
    return Period.WEEK if span <= dt.timedelta(days=2 * 366) else Period.MONTH


def _before(label: dt.date, days: int, period: Period) -> dt.date:
    """Return the label `days` days before another; for a month, the previous month, since months differ in length."""
    return label_of(label - _DAY, period) if period is Period.MONTH else label - days * _DAY


class _StoredMessages(StoredData):
    """The stored data of an account, with its messages; the value of a label depends on the states of its endpoints."""

    def __init__(self, con: Connection, account: Account, now: dt.datetime, first: dt.date, last: dt.date) -> None:
        super().__init__(con, account, now, first, last)
        self.values = {period: self._values(period) for period in Period}

    def by_type(self, unit: Period) -> list[tuple[dt.date, str, int]]:
        """Return the messages in the range by date and type."""
        return self.rows(
            f"SELECT date_trunc('{unit.value}', date)::DATE AS date, type, sum(messages) FROM messages_daily"
            " WHERE account = $account AND date BETWEEN $first AND $last GROUP BY ALL HAVING sum(messages) > 0"
        )

    def senders(self, unit: Period) -> list[tuple[dt.date, str, int]]:
        """Return the users who sent messages in the range, by date and interval."""
        return self.rows(
            f"SELECT date, messages_sent, users FROM senders_{unit.adverb} WHERE account = $account"
            " AND date BETWEEN $first AND $last AND users > 0 AND messages_sent <> '0'"
        )

    def _values(self, period: Period) -> dict[dt.date, Value]:
        """Return the value of every due label of the period."""
        by_type, by_sender = MESSAGES_OF[period].name, SENDERS_OF[period].name
        if not self.label_states[by_type]:
            return {}
        found = self.query(f"SELECT date, users, messages FROM totals_{period.adverb} WHERE account = $account")
        stored = {date: (users, messages) for date, users, messages in found}

        def figure(endpoint: str, label: dt.date, place: int) -> int | None:
            state = self.label_states[endpoint].get(label, State.MISSING)
            return None if state is State.MISSING else stored.get(label, (0, 0))[place] or 0

        return {
            label: Value(figure(by_sender, label, 0), figure(by_type, label, 1)) for label in self.label_states[by_type]
        }

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
        found = self.query(
            "SELECT isodow(date), hour, sum(messages) FROM messages_hourly"
            " WHERE account = $account AND date BETWEEN $first AND $last GROUP BY ALL",
            first=first,
            last=last,
        )
        sums = {(weekday, hour): int(messages) for weekday, hour, messages in found}
        if not any(sums.values()):
            return []
        return [
            (weekday, hour, sums.get((weekday, hour), 0) / days[weekday])
            for weekday in range(1, 8)
            for hour in range(24)
            if days[weekday]
        ]

    def day(self, date: dt.date, now: dt.datetime) -> Day:
        """Return a day of the calendar, with the state of all daily endpoints that have figures for it."""
        value = self.values[Period.DAY].get(date, Value())
        states_of = {
            each.name: self.label_states[each.name].get(date, State.MISSING)
            for each in self.account.endpoints
            if each.period is Period.DAY and each.first_day <= date
        }
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
        due = self.due(endpoint)
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
            len(self.open(endpoint)),
            gaps(missing, due),
        )
