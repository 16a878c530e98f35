"""Figures: the figures that the digest of one account shows, read from the published file.

Add a key figure to `SHOWN`, with its metric of the dictionary and the endpoint that it needs. A figure that is not
stored is None and an empty day is zero; never mix the two. Users are distinct users of a period and can't be summed:
for weeks and months, senders come from their own endpoints and readers are averaged over the days.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from wx_datacube.catalog.articles import ARTICLE_READING
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.messages import SENDERS_OF
from wx_datacube.catalog.metrics import METRIC_BY_NAME, Additive
from wx_datacube.catalog.model import Endpoint, Family, Period
from wx_datacube.catalog.periods import due_on, label_of
from wx_datacube.config.settings import Account
from wx_datacube.operations.stored import DAILY, StoredData
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.sql import json_list

_DAY = dt.timedelta(days=1)
_WEEK = dt.timedelta(days=7)
_REACH = dt.timedelta(days=62)
"""Yesterday may end 31 days that are compared with the 31 days before."""
_RECENT = dt.timedelta(days=1)
"""Restatements of this time are shown, so that each is in one digest if one is made every day."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A metric of the dictionary that a digest shows.

    `people` says that a change is shown as a number of people: a percentage of a difference, or of a large total, says
    little. `by_period` are the metrics of weeks and months that have endpoints of their own. `of_periods` says whether
    weeks and months show it.
    """

    metric: str
    people: bool = False
    of_periods: bool = False
    by_period: Mapping[Period, tuple[str, Endpoint]] = field(default_factory=dict)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint whose days say whether the metric is stored."""
        return DAILY[self.metric]


SHOWN = (
    Shown("readers", of_periods=True),
    Shown("sharers"),
    Shown("net_followers", people=True, of_periods=True),
    Shown("followers", people=True),
    Shown("messages", of_periods=True),
    Shown(
        "senders",
        of_periods=True,
        by_period={
            Period.WEEK: ("weekly_senders", SENDERS_OF[Period.WEEK]),
            Period.MONTH: ("monthly_senders", SENDERS_OF[Period.MONTH]),
        },
    ),
    Shown("messages_per_sender"),
    Shown("calls"),
    Shown("failures"),
)
"""What people look at first, in the order of a digest."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with the earlier ones that it is compared with; None: not stored.

    `is_open` says that WeChat may still change it, by its own word.
    """

    shown: Shown
    value: float | None
    before: float | None
    week_before: float | None = None
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class BestArticle:
    """The article with the most readers; `title` is None if WeChat gave none."""

    article: str
    title: str | None
    readers: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """A week or month that ended yesterday, compared with the one before."""

    period: Period
    first: dt.date
    last: dt.date
    figures: list[Figure]
    best: BestArticle | None


@dataclass(frozen=True, slots=True)
class DigestFigures:
    """The figures of yesterday, of a week or month that ended with it, and the days that WeChat has restated."""

    day: dt.date
    figures: list[Figure]
    best: BestArticle | None
    periods: list[PeriodFigures]
    restated: list[dt.date]


def read_digest_figures(con: Connection, account: Account, now: dt.datetime) -> DigestFigures:
    """Read the figures of an account's digest from the published file, as of `now`."""
    day = now.date() - _DAY
    data = StoredData(con, account, now, day - _REACH, day)
    by_day = _ByDay(data)
    ended = [each for each in (Period.WEEK, Period.MONTH) if due_on(label_of(day, each), each) == now.date()]
    return DigestFigures(
        day=day,
        figures=[by_day.of_day(each, day) for each in by_day.shown(day)],
        best=_best_of_day(data, day),
        periods=[_period(data, by_day, each, day) for each in ended],
        restated=_restated(data, now),
    )


class _ByDay:
    """The figures of an account by day, as the dictionary defines them."""

    def __init__(self, data: StoredData) -> None:
        self._data = data
        self._values: dict[str, dict[dt.date, float | None]] = {}
        self._open: dict[str, frozenset[dt.date]] = {}
        for each in self.shown(data.last):
            self._values[each.metric] = data.by_day(each.metric)
            self._open[each.metric] = data.open(each.endpoint)
        self._divide()

    def shown(self, day: dt.date) -> list[Shown]:
        """Return what is shown of the account: families that are off, and days before their history, have nothing."""
        account = self._data.account
        return [
            each
            for each in SHOWN
            if each.endpoint.family in account.families and each.endpoint.first(account.start) <= day
        ]

    def _divide(self) -> None:
        """Replace the messages per sender: a day of which only one of the two is stored has none."""
        per_sender = self._values.get("messages_per_sender", {})
        for day in per_sender:
            messages, senders = self._values["messages"][day], self._values["senders"][day]
            known = messages is not None and senders is not None
            per_sender[day] = (messages or 0) / senders if known and senders else 0.0 if known else None

    def of_day(self, shown: Shown, day: dt.date) -> Figure:
        """Return a figure of a day."""
        values = self._values[shown.metric]
        is_open = day in self._open[shown.metric]
        return Figure(shown, values.get(day), values.get(day - _DAY), values.get(day - _WEEK), is_open)

    def of_period(self, shown: Shown, period: Period, label: dt.date, before: dt.date) -> Figure:
        """Return a figure of a week or month, compared with the one `before`."""
        value, earlier = (self._of_period(shown, period, each) for each in (label, before))
        is_open = any(label <= day < due_on(label, period) for day in self._open[shown.metric])
        return Figure(shown, value, earlier, is_open=is_open)

    def _of_period(self, shown: Shown, period: Period, label: dt.date) -> float | None:
        """Return the figure of its own endpoint, else the sum of the days, or their mean if values may not be added."""
        if period in shown.by_period:
            return self._of_label(*shown.by_period[period], label)
        days = (due_on(label, period) - label).days
        values = [self._values[shown.metric].get(label + count * _DAY) for count in range(days)]
        known = [each for each in values if each is not None]
        if len(known) < days:
            return None
        return sum(known) if METRIC_BY_NAME[shown.metric].additive is Additive.YES else sum(known) / days

    def _of_label(self, name: str, endpoint: Endpoint, label: dt.date) -> float | None:
        state, metric = self._data.label_states[endpoint.name].get(label, State.MISSING), METRIC_BY_NAME[name]
        if state is not State.LANDED:
            return None if state is State.MISSING else 0
        select = f"SELECT {metric.expression} FROM {metric.view} WHERE account = $account AND date = $label"
        ((value,),) = self._data.query(select, label=label)
        return None if value is None else float(value)


def _period(data: StoredData, by_day: _ByDay, period: Period, day: dt.date) -> PeriodFigures:
    label = label_of(day, period)
    before = label_of(label - _DAY, period)
    return PeriodFigures(
        period,
        label,
        day,
        [by_day.of_period(each, period, label, before) for each in by_day.shown(label) if each.of_periods],
        _best_published(data, label, day),
    )


def _best_of_day(data: StoredData, day: dt.date) -> BestArticle | None:
    """Return the article that most users read on the day; None if nobody read, or if it is not stored."""
    if Family.ARTICLES not in data.account.families:
        return None
    found = data.query(
        "SELECT msgid, title, read_user FROM datacube.getarticleread LEFT JOIN"
        " (SELECT article AS msgid, any_value(title) AS title FROM articles WHERE account = $account GROUP BY ALL)"
        " USING (msgid) WHERE account = $account AND ref_date = $day AND read_user > 0"
        " ORDER BY read_user DESC, msgid LIMIT 1",
        day=day,
    )
    is_open = day in data.open(ARTICLE_READING)
    return next((BestArticle(article, title, readers, is_open) for article, title, readers in found), None)


def _best_published(data: StoredData, first: dt.date, last: dt.date) -> BestArticle | None:
    """Return the article published in the range that has the most readers so far; they may still grow."""
    if Family.ARTICLES not in data.account.families:
        return None
    found = data.query(
        "SELECT article, title, readers, NOT final FROM articles WHERE account = $account"
        " AND published_on BETWEEN $first AND $last AND readers > 0 ORDER BY readers DESC, article LIMIT 1",
        first=first,
        last=last,
    )
    return next((BestArticle(*row) for row in found), None)


def _restated(data: StoredData, now: dt.datetime) -> list[dt.date]:
    """Return the days of which WeChat changed a figure in the last day, oldest first."""
    found = data.query(
        "SELECT DISTINCT ref_date FROM datacube.revisions WHERE account = $account AND seen_at > $since"
        " AND endpoint IN (SELECT unnest($daily::JSON::VARCHAR[])) ORDER BY 1",
        since=now - _RECENT,
        daily=json_list(each.name for each in ENDPOINTS if each.period is Period.DAY),
    )
    return [label for (label,) in found]
