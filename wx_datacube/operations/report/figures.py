"""Figures: everything that the report of one account shows, read once from the published file.

Add a figure here, and show it in one of the scripts of the folder `assets`. The report computes sums, means and changes
in the browser, since its reader chooses the range; this module gives it the figures of each day, week and month. A
`missing` label has no value (None), an `empty` one has zeros; never mix the two.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from wx_datacube.catalog.articles import ALL_SCENES, ARTICLES_START, PUBLISHED_ARTICLES
from wx_datacube.catalog.calendar import special_days
from wx_datacube.catalog.messages import HOURLY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.metrics import METRIC_BY_NAME
from wx_datacube.catalog.model import Endpoint, Family, Period
from wx_datacube.catalog.periods import settled_at
from wx_datacube.config.settings import Account
from wx_datacube.language import Language, Text
from wx_datacube.operations import names
from wx_datacube.operations.stored import DAILY, StoredData
from wx_datacube.warehouse.checks import FIGURES_ARE_PLAUSIBLE, CheckContext, comparisons, find_doubts
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.open_labels import open_labels

_DAY = dt.timedelta(days=1)
_CURVES = dt.timedelta(days=400)
"""Articles published longer ago are listed without their reading curve, so that the file stays small."""
_DERIVED = frozenset({"net_followers", "messages_per_sender", "failure_rate", "share_rate"})
"""Metrics that the browser computes from those above."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of an account's report as of `now`.

    `first` to `last` are the days of `document`: from the first that is stored to yesterday. `newest` is the newest day
    with data, None if nothing is stored. `document` is what the page's scripts read; `read_figures` describes it.
    """

    account: Account
    now: dt.datetime
    first: dt.date
    last: dt.date
    newest: dt.date | None
    call_id: int
    last_requested_at: dt.datetime | None
    document: Mapping[str, Any]

    def newest_values(self) -> dict[str, float]:
        """Return the newest stored value of each daily metric, by its name."""
        stored = {
            name: [each for each in values if each is not None] for name, values in self.document["daily"].items()
        }
        return {name: values[-1] for name, values in stored.items() if values}


def read_figures(con: Connection, account: Account, now: dt.datetime) -> Figures:
    """Read the figures of an account from the published file, as of `now`.

    The document has, among texts and names: `daily`, the values of each metric by day from `first` on, None where
    nothing is stored; `open`, for each metric the positions of days that WeChat may still change; `weeks` and `months`
    with their labels; `types`, `intervals`, `channels` and `sources`, the values of each kind by day, which count only
    where the metric that they split is stored; `hours`, the messages of each day by hour; `articles`; `coverage`, the
    state of each label of each endpoint; `doubts` and `compared`, what is unusual about the newest day.
    """
    last = now.date() - _DAY
    data = StoredData(con, account, now, min(account.start, last), last)
    begins = [known[0] for each in account.endpoints if each.period is Period.DAY and (known := data.known(each))]
    first = min(begins, default=last)
    data = data.beginning(first)
    days = _Days(data)
    ((call_id, last_requested_at),) = data.query(
        "SELECT coalesce(max(call_id), 0), max(requested_at) FROM datacube.api_calls WHERE account = $account"
    )
    shown = {name: each for name, each in DAILY.items() if each.family in account.families and name not in _DERIVED}
    ends = [known[-1] for each in account.endpoints if each.period is Period.DAY and (known := data.known(each))]
    document = {
        "account": account.name,
        "title": account.title or account.name,
        "families": list(account.families),
        "first": first,
        "last": last,
        "now": f"{now:%Y-%m-%d %H:%M}",
        "requested": f"{last_requested_at:%Y-%m-%d %H:%M}" if last_requested_at else None,
        "newest": max(ends, default=None),
        "metrics": _metrics([*shown, *sorted(_DERIVED)]),
        "daily": {name: days.values(name) for name in shown},
        "open": {name: found for name, each in shown.items() if (found := days.open(each))},
        "coverage": [_coverage(data, each, now) for each in account.endpoints],
        "families_off": [both(names.FAMILIES[each]) for each in Family if each not in account.families],
        "calendar": [
            {"date": each.date, "kind": each.kind, "name": both(each.name)} for each in special_days(first, last)
        ],
        **_doubts(CheckContext(con, account, now)),
        **(_messages(data, days) if Family.MESSAGES in account.families else {}),
        **(_followers(days) if Family.FOLLOWERS in account.families else {}),
        **(_articles(data, days) if Family.ARTICLES in account.families else {}),
        **(_interface(data) if Family.INTERFACE in account.families else {}),
    }
    return Figures(account, now, first, last, document["newest"], call_id, last_requested_at, document)


def _doubts(context: CheckContext) -> dict[str, Any]:
    """Return what the check `figures_are_plausible` says about the newest day, and what it compared."""
    endpoints = [each for each in context.account.endpoints if FIGURES_ARE_PLAUSIBLE.concerns(each)]
    return {
        "doubts": [
            {"date": each.ref_date, "text": both(each.what), "fails": not each.informational}
            for each in find_doubts(context)
        ],
        "compared": [
            {
                "metric": each.metric,
                "date": each.day,
                "figure": each.figure,
                "expected": each.expected.figure,
                "range": each.expected.range,
                "basis": both(each.basis),
            }
            for endpoint in endpoints
            for each in comparisons(context, endpoint)
        ],
    }


def both(text: Text) -> list[str]:
    """Return a text in English and Chinese, the order of `Language`."""
    return [text.to(each) for each in Language]


def _metrics(shown: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the dictionary's entries that the page needs."""
    found = [METRIC_BY_NAME[name] for name in shown]
    return {
        each.metric: {
            "name": both(names.metric_name(each.metric)),
            "additive": each.additive.value,
        }
        for each in found
    }


class _Days:
    """Queries for values by day; a day's position is its number of days after the report's first."""

    def __init__(self, data: StoredData) -> None:
        self._data = data

    def values(self, metric: str) -> list[float | None]:
        """Return a metric's value of each day."""
        return [_compact(each) for each in self._data.by_day(metric).values()]

    def open(self, endpoint: Endpoint) -> list[int]:
        """Return the positions of the days that WeChat may still change."""
        return sorted(
            (label - self._data.first).days for label in self._data.open(endpoint) if label >= self._data.first
        )

    def by_kind(self, kind: str, value: str, view: str) -> dict[str, dict[str, Any]]:
        """Return the values of each kind by day, largest sum first; `at` is the position of the first value."""
        found = self._data.rows(
            f"SELECT {kind}, date, sum({value}) FROM {view} WHERE account = $account"
            f" AND date BETWEEN $first AND $last GROUP BY ALL HAVING sum({value}) > 0"
        )
        by_kind = {
            word: {date: int(count) for _, date, count in rows} for word, rows in groupby(found, lambda row: row[0])
        }
        ordered = sorted(by_kind.items(), key=lambda item: -sum(item[1].values()))
        return {word: self.trimmed(counts) for word, counts in ordered}

    def trimmed(self, counts: Mapping[dt.date, int]) -> dict[str, Any]:
        """Return counts by day from the first that is there to the last."""
        begin, end = min(counts), max(counts)
        listed = [counts.get(begin + number * _DAY, 0) for number in range((end - begin).days + 1)]
        return {"at": (begin - self._data.first).days, "values": listed}


def _compact(value: float | None) -> float | None:
    """Return a figure without decimals that nobody reads."""
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 1)


def _named(words: Iterable[str], known: Mapping[str, Text]) -> dict[str, list[str]]:
    return {word: both(names.name_of(known, word)) for word in words}


# --- messages -----------------------------------------------------------------------------------------------------


def _messages(data: StoredData, days: _Days) -> dict[str, Any]:
    types = days.by_kind("type", "messages", "messages_daily")
    found = days.by_kind("messages_sent", "users", "senders_daily")
    intervals = {word: found[word] for word in (*names.INTERVALS, *found) if word in found and word != "0"}
    return {
        "types": types,
        "intervals": intervals,
        "hours": _hours(data),
        "weeks": _periods(data, Period.WEEK),
        "months": _periods(data, Period.MONTH),
        "names_of_types": _named(types, names.MESSAGE_TYPES),
        "names_of_intervals": _named(intervals, names.INTERVALS),
    }


def _hours(data: StoredData) -> dict[str, Any]:
    """Return the messages of each day by hour; None for a day whose hours are not stored."""
    found = data.rows(
        "SELECT date, hour, sum(messages) FROM messages_hourly WHERE account = $account"
        " AND date BETWEEN $first AND $last GROUP BY ALL"
    )
    by_day = {date: {hour: int(count) for _, hour, count in rows} for date, rows in groupby(found, lambda row: row[0])}
    states = data.label_states[HOURLY_MESSAGES.name]
    known = [date for date in data.dates if states.get(date, State.MISSING) is not State.MISSING]
    if not known:
        return {"at": 0, "values": []}
    dates = [known[0] + number * _DAY for number in range((known[-1] - known[0]).days + 1)]
    there = frozenset(known)
    values = [[by_day.get(date, {}).get(hour, 0) for hour in range(24)] if date in there else None for date in dates]
    # A silent day is common and long to write.
    return {
        "at": (known[0] - data.first).days,
        "values": [0 if value and not any(value) else value for value in values],
    }


def _periods(data: StoredData, period: Period) -> dict[str, Any]:
    """Return the messages and senders of each due week or month that overlaps the report's days."""
    found = data.query(f"SELECT date, users, messages FROM totals_{period.adverb} WHERE account = $account")
    stored = {date: (users, messages) for date, users, messages in found}
    unknown = (None, None)
    labels = list(data.due(MESSAGES_OF[period]))

    def values(endpoint: Endpoint, place: int) -> list[int | None]:
        states = data.due(endpoint)

        def value(label: dt.date) -> int | None:
            state = states.get(label, State.MISSING)
            return stored.get(label, unknown)[place] if state is State.LANDED else None if state is State.MISSING else 0

        return [value(label) for label in labels]

    return {"labels": labels, "senders": values(SENDERS_OF[period], 0), "messages": values(MESSAGES_OF[period], 1)}


# --- followers ----------------------------------------------------------------------------------------------------


def _followers(days: _Days) -> dict[str, Any]:
    new = days.by_kind("source", "new_followers", "followers_daily")
    lost = days.by_kind("source", "lost_followers", "followers_daily")
    return {"channels": {"new": new, "lost": lost}, "names_of_channels": _named({**new, **lost}, names.CHANNELS)}


# --- articles -----------------------------------------------------------------------------------------------------

_ARTICLE = (
    "article",
    "title",
    "url",
    "published_on",
    "notified",
    "readers",
    "sharers",
    "likes",
    "hearts",
    "comments",
    "saves",
    "new_followers",
    "reward_fen",
    "delivery_rate",
    "finish_rate",
    "minutes_per_reader",
    "final",
)


def _articles(data: StoredData, days: _Days) -> dict[str, Any]:
    """Return the articles, oldest first, with the readers up to each day after publishing, and where they came from."""
    found = [
        dict(zip(_ARTICLE, row, strict=True))
        for row in data.query(
            f"SELECT {', '.join(_ARTICLE)} FROM articles WHERE account = $account ORDER BY published_on, article"
        )
    ]
    since = data.last - _CURVES
    curves = _by_article(
        data.query(
            "SELECT published_on, article, day, readers FROM article_days WHERE account = $account"
            " AND published_on > $since ORDER BY ALL",
            since=since,
        )
    )
    sources = _by_article(_newest_details(data, "read_user_source", "scene_desc, user_count", since))
    jumps = _by_article(_newest_details(data, "read_jump_position", "position, rate", since))
    for each in found:
        key = each["published_on"], each["article"]
        each["curve"] = curves.get(key, [])
        each["sources"] = [[scene, count] for scene, count in sources.get(key, []) if scene != ALL_SCENES]
        each["jumps"] = [[position, round(rate, 3)] for position, rate in jumps.get(key, [])]
        each["minutes_per_reader"] = _rounded(each["minutes_per_reader"])
        each["finish_rate"], each["delivery_rate"] = _rounded(each["finish_rate"]), _rounded(each["delivery_rate"])
    read = days.by_kind("source", "readers", "reads_by_source_daily")
    scenes = {scene for each in found for scene, _ in each["sources"]}
    words = {str(name): word for word, name in ((word, text.zh) for word, text in names.SOURCES.items())}
    return {
        "articles": found,
        "sources": read,
        "articles_start": ARTICLES_START,
        "names_of_sources": _named(read, names.SOURCES),
        "names_of_scenes": {
            scene: both(names.SOURCES[words[scene]]) if scene in words else [scene, scene] for scene in sorted(scenes)
        },
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _newest_details(data: StoredData, nested: str, columns: str, since: dt.date) -> list[tuple[Any, ...]]:
    """Return rows of a nested table for the newest day of each article."""
    table = f"datacube.{PUBLISHED_ARTICLES.name}__detail_list__{nested}"
    return data.query(
        f"SELECT ref_date, msgid, {columns} FROM {table} WHERE account = $account AND ref_date > $since"
        " QUALIFY stat_date = max(stat_date) OVER (PARTITION BY ref_date, msgid) ORDER BY ALL",
        since=since,
    )


def _by_article(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[dt.date, str], list[list[Any]]]:
    found: dict[tuple[dt.date, str], list[list[Any]]] = {}
    for date, article, *values in rows:
        found.setdefault((date, article), []).append(values)
    return found


# --- interface ----------------------------------------------------------------------------------------------------


def _interface(data: StoredData) -> dict[str, Any]:
    """Return the newest day's calls by hour: hour, calls, failures, mean and longest time in milliseconds."""
    found = data.query(
        "SELECT date, hour, calls, failures, round(mean_ms, 1), max_ms FROM interface_hourly WHERE account = $account"
        " QUALIFY date = max(date) OVER () ORDER BY hour"
    )
    return {"calls_by_hour": {"date": found[0][0] if found else None, "rows": [row[1:] for row in found]}}


# --- coverage -----------------------------------------------------------------------------------------------------


def _coverage(data: StoredData, endpoint: Endpoint, now: dt.datetime) -> dict[str, Any]:
    """Return the states of an endpoint's due labels as letters, repeated ones counted: `L3M1` is LLLM.

    L: landed, O: landed and open, E: empty, I: implied, M: missing, P: missing, but WeChat may not have published it.
    """
    states = data.label_states[endpoint.name]
    still_open = open_labels(data.con, data.account.name, endpoint)

    def letter(label: dt.date, state: State) -> str:
        if state is State.MISSING:
            return "M" if now >= settled_at(label, endpoint.period) else "P"
        return "O" if label in still_open else state.value[0].upper()

    letters = [letter(label, state) for label, state in states.items()]
    return {
        "endpoint": endpoint.name,
        "name": both(names.ENDPOINTS[endpoint.name]),
        "family": endpoint.family,
        "period": endpoint.period.value,
        "first": next(iter(states), None),
        "states": "".join(f"{each}{len(list(group))}" for each, group in groupby(letters)),
        "rejected": sorted(label for label in data.rejected[endpoint.name] if label in states),
        "revised": sorted(label for label in data.revised[endpoint.name] if label in states),
    }
