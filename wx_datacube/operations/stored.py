"""Stored data: what the published file holds of one account, for the modules that read figures.

Add a query here if several families need it. A `missing` label has no value (None), an `empty` or `implied` one has
zeros, and a landed one has what the views show; never mix these up.
"""

import copy
import datetime as dt
from collections.abc import Mapping

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.followers import DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS
from wx_datacube.catalog.messages import DAILY_MESSAGES, SENDERS_OF
from wx_datacube.catalog.metrics import METRIC_BY_NAME
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import label_of
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State, states
from wx_datacube.warehouse.open_labels import open_labels

_DAY = dt.timedelta(days=1)

_READING = ("readers", "sharers", "likes", "hearts", "comments", "saves", "articles_published")
DAILY: Mapping[str, Endpoint] = {
    "messages": DAILY_MESSAGES,
    "senders": SENDERS_OF[Period.DAY],
    "messages_per_sender": SENDERS_OF[Period.DAY],
    "new_followers": DAILY_FOLLOWERS,
    "lost_followers": DAILY_FOLLOWERS,
    "net_followers": DAILY_FOLLOWERS,
    "followers": FOLLOWERS_TOTAL,
    **dict.fromkeys(_READING, DAILY_READING),
    "calls": DAILY_CALLBACKS,
    "failures": DAILY_CALLBACKS,
    "mean_ms": DAILY_CALLBACKS,
    "max_ms": DAILY_CALLBACKS,
}
"""The metrics of the dictionary that have a value for each day, and the endpoint whose days say if it is stored."""
_UNKNOWN_WITHOUT_ROW = frozenset({"followers", "mean_ms", "max_ms"})
"""Metrics that aren't zero on a day without a row.

An account without followers has no row, and neither has a day for which WeChat's answer was wrong. A day without calls
has no time of a call.
"""


class StoredData:
    """The stored data of an account as of `now`, and the range of a report: `first` to `last` inclusive."""

    def __init__(self, con: Connection, account: Account, now: dt.datetime, first: dt.date, last: dt.date) -> None:
        self.con, self.account, self.first, self.last = con, account, first, last
        found = states(con, account, now)
        self.label_states = {each.name: found.get(each.name, {}) for each in ENDPOINTS}
        self.rejected = self._labels("SELECT endpoint, label FROM datacube.label_answers WHERE NOT clean")
        self.revised = self._labels("SELECT DISTINCT endpoint, ref_date FROM datacube.revisions WHERE true")

    def beginning(self, first: dt.date) -> "StoredData":
        """Return the same data with a range that begins on another day."""
        other = copy.copy(self)
        other.first = first
        return other

    @property
    def dates(self) -> list[dt.date]:
        """The days of the range."""
        return [self.first + count * _DAY for count in range((self.last - self.first).days + 1)]

    def query(self, sql: str, **parameters: object) -> list:  # type: ignore[type-arg]  # rows of any columns
        """Return the rows of a query with the parameters `$account` and those given."""
        return self.con.execute(sql, {"account": self.account.name, **parameters}).fetchall()

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
        return open_labels(self.con, self.account.name, endpoint) & self.due(endpoint).keys()

    def by_day(self, name: str) -> dict[dt.date, float | None]:
        """Return a metric of `DAILY` for every day of the range, None where nothing is stored."""
        metric = METRIC_BY_NAME[name]
        found = self.rows(
            f"SELECT date, {metric.expression} FROM {metric.view} WHERE account = $account"
            " AND date BETWEEN $first AND $last GROUP BY date"
        )
        stored, states = dict(found), self.label_states[DAILY[name].name]
        empty = None if name in _UNKNOWN_WITHOUT_ROW else 0

        def value(date: dt.date) -> float | None:
            state = states.get(date, State.MISSING)
            return stored.get(date) if state is State.LANDED else None if state is State.MISSING else empty

        return {date: value(date) for date in self.dates}

    def _labels(self, sql: str) -> dict[str, set[dt.date]]:
        found: dict[str, set[dt.date]] = {each.name: set() for each in ENDPOINTS}
        for endpoint, label in self.query(f"{sql} AND account = $account"):
            found[endpoint].add(label)
        return found
