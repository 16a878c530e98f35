"""Stored data: what the published file holds of one account, for the modules that read figures.

Add a query here if several families need it. A `missing` label has no value (None), an `empty` or `implied` one has
zeros, and a landed one has what the views show; never mix these up.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import label_of
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State, states
from wx_datacube.warehouse.open_labels import open_labels

DAYS_BEFORE = {Period.DAY: (1, 7, 30), Period.WEEK: (7,), Period.MONTH: (30,)}
"""The days to compare a label with, as in WeChat's own console; for a month, 30 days before is the previous month."""
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DailyFigures:
    """A day's figures by the name of their metric, None if nothing is stored.

    `is_open` says that WeChat may still change them, by its own word.
    """

    date: dt.date
    values: Mapping[str, int | None]
    is_open: bool = False

    @property
    def is_known(self) -> bool:
        """Whether at least one of the figures is stored."""
        return any(value is not None for value in self.values.values())


@dataclass(frozen=True, slots=True)
class DailyKey:
    """The newest day of the range that has data; `before` has earlier days, by the number of days before it."""

    day: DailyFigures
    before: Mapping[int, DailyFigures]


class StoredData:
    """The stored data of an account as of `now`, and the range of a report: `first` to `last` inclusive."""

    def __init__(self, con: Connection, account: Account, now: dt.datetime, first: dt.date, last: dt.date) -> None:
        self._con = con
        self.account = account
        self.first, self.last = first, last
        found = states(con, account, now)
        self.label_states = {each.name: found.get(each.name, {}) for each in ENDPOINTS}
        self.rejected = self._labels("SELECT endpoint, label FROM datacube.label_answers WHERE NOT clean")
        self.revised = self._labels("SELECT DISTINCT endpoint, ref_date FROM datacube.revisions WHERE true")

    @property
    def dates(self) -> list[dt.date]:
        """The days of the range."""
        return [self.first + count * _DAY for count in range((self.last - self.first).days + 1)]

    def query(self, sql: str, **parameters: object) -> list:  # type: ignore[type-arg]  # rows of any columns
        """Return the rows of a query with the parameters `$account` and those given."""
        return self._con.execute(sql, {"account": self.account.name, **parameters}).fetchall()

    def rows(self, sql: str) -> list:  # type: ignore[type-arg]  # rows of any columns
        """Return the ordered rows of a query with the parameters `$account`, `$first` and `$last`."""
        return self.query(f"{sql} ORDER BY ALL", first=self.first, last=self.last)

    def overlaps_range(self, label: dt.date, period: Period = Period.DAY) -> bool:
        """Return whether the period of a label lies, at least in part, in the report's range."""
        return label_of(self.first, period) <= label <= self.last

    def due(self, endpoint: Endpoint) -> dict[dt.date, State]:
        """Return the states of the endpoint's due labels in the range."""
        found = self.label_states[endpoint.name].items()
        return {label: state for label, state in found if self.overlaps_range(label, endpoint.period)}

    def known(self, endpoint: Endpoint) -> list[dt.date]:
        """Return the endpoint's due labels in the range that are not missing, oldest first."""
        return [label for label, state in self.due(endpoint).items() if state is not State.MISSING]

    def open(self, endpoint: Endpoint) -> frozenset[dt.date]:
        """Return the endpoint's labels in the range whose figures WeChat may still change."""
        return open_labels(self._con, self.account.name, endpoint) & self.due(endpoint).keys()

    def first_known(self, endpoint: str) -> dt.date:
        """Return the first label that is not missing; the first day of the range if there is none."""
        return min(
            (label for label, state in self.label_states[endpoint].items() if state is not State.MISSING),
            default=self.first,
        )

    def daily(self, endpoint: Endpoint, names: Sequence[str], select: str, empty: int | None = 0) -> list[DailyFigures]:
        """Return the figures of every day of the range, preceded by the days that they are compared with.

        `select` begins a query whose columns are `date` and one for each of the `names`. `empty` is the figure of a day
        for which WeChat has no row.
        """
        begin = self.first - max(DAYS_BEFORE[Period.DAY]) * _DAY
        found = self.query(
            f"{select} WHERE account = $account AND date BETWEEN $begin AND $last GROUP BY ALL",
            begin=begin,
            last=self.last,
        )
        stored = {date: dict(zip(names, values, strict=True)) for date, *values in found}
        nothing, zeros = dict.fromkeys(names), dict.fromkeys(names, empty)
        labels, still_open = self.label_states[endpoint.name], open_labels(self._con, self.account.name, endpoint)

        def values_of(date: dt.date) -> Mapping[str, int | None]:
            state = labels.get(date, State.MISSING)
            if state in (State.EMPTY, State.IMPLIED):
                return zeros
            return stored.get(date, nothing) if state is State.LANDED else nothing

        dates = (begin + count * _DAY for count in range((self.last - begin).days + 1))
        return [DailyFigures(date, values_of(date), date in still_open) for date in dates]

    def key(self, days: Iterable[DailyFigures]) -> DailyKey | None:
        """Return the newest of the days in the range that has data, with earlier days; None if there is none."""
        by_date = {day.date: day for day in days}
        known = [day for day in by_date.values() if day.is_known and self.overlaps_range(day.date)]
        if not known:
            return None
        newest = max(known, key=lambda day: day.date)
        return DailyKey(newest, {count: by_date[newest.date - count * _DAY] for count in DAYS_BEFORE[Period.DAY]})

    def _labels(self, sql: str) -> dict[str, set[dt.date]]:
        found: dict[str, set[dt.date]] = {each.name: set() for each in ENDPOINTS}
        for endpoint, label in self.query(f"{sql} AND account = $account"):
            found[endpoint].add(label)
        return found
