"""Figures: a metric over a range of days, by the keys that were asked for.

Values that may not be added never are: a total of people who are counted once a day, or of levels, is refused, with the
reason and with what to ask instead. A label for which WeChat has nothing counts as 0, a missing one as unknown.
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import due_on, label_of
from wx_datacube.config.settings import Account
from wx_datacube.operations.questions.dates import DAY, Range, Refused, range_of
from wx_datacube.operations.questions.labels import Context, Labels, read_labels
from wx_datacube.operations.questions.measures import OVER_A_WHOLE, Measure, measure_named
from wx_datacube.warehouse.sql import quoted

MOST_ROWS = 600
"""Rows of an answer: a year of days fits, and a company's accounts."""
_DEFAULT_DAYS = 30

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, checked. `time` is day, week, month, total or mean; `others` are the other keys of a row."""

    measure: Measure
    accounts: Sequence[Account]
    time: str
    others: list[str]
    days: Range
    notes: list[str] = field(default_factory=list)

    @property
    def by_time(self) -> list[str]:
        """The key in time, if rows have one."""
        return [] if self.time in ("total", "mean") else ["date" if self.time == "day" else self.time]

    @property
    def is_averaged(self) -> bool:
        """Whether values are means over labels; a rate over a range is weighted by its expression instead."""
        return self.measure.is_of_people or (self.time == "mean" and self.measure.adds_up)

    def key_of(self, label: dt.date) -> tuple[str, ...]:
        """Return the key in time of a label."""
        return (str(label_of(label, Period(self.time))),) if self.by_time else ()


def figures(
    context: Context,
    metric: str,
    start: str | None = None,
    end: str | None = None,
    by: str | None = None,
    account: str | None = None,
) -> dict[str, object]:
    """Return a metric over a range, with the SQL, and what is missing or not final. Raises `Refused`."""
    asked = _checked(context, metric, (start, end), by, account)
    labels = read_labels(context, asked.accounts, asked.measure.endpoints, asked.days)
    rows, sql = _rows(context, asked, labels)
    if len(rows) > MOST_ROWS:
        raise Refused(
            f"The answer would have {len(rows):,} rows; at most {MOST_ROWS} are given.",
            advice="Ask for a shorter range, or by week, month, total or mean.",
        )
    (first, last), entry = asked.days, asked.measure.metric
    answer = {
        "metric": entry.metric,
        "meaning": f"{entry.description} {entry.description_zh}",
        "unit": entry.unit,
        "from": str(first),
        "to": str(last),
        "accounts": [each.name for each in asked.accounts],
        "rows": rows,
    }
    if asked.measure.adds_up and asked.time != "mean" and len(rows) > 1:
        answer["total"] = plain(sum(row["value"] or 0 for row in rows))
    return answer | labels.notice | {"notes": [*asked.notes, *_notes(asked, rows)], "sql": sql}


# --- what is asked ----------------------------------------------------------------------------------------------


def _checked(
    context: Context, metric: str, days: tuple[str | None, str | None], by: str | None, account: str | None
) -> _Asked:
    measure, accounts, notes = measure_named(metric), context.accounts(account), list[str]()
    families = {each.family for each in measure.endpoints}
    if off := [each for each in accounts if not families & set(each.families)]:
        accounts = [each for each in accounts if each not in off] or accounts
        names = ", ".join(each.name for each in off[:20])
        notes.append(f"WX_DATACUBE_FAMILIES lacks {', '.join(families)} for {names}; nothing is fetched there.")
    time, others = _keys(measure, by)
    for each in others:
        measure = measure.split_by(each)
    if measure.is_of_people:  # people of several types or sources overlap, too
        others += [each for each in measure.dimensions if each not in others]
    if len(accounts) > 1 and "account" not in others and not ((measure.adds_up and time != "mean") or measure.is_level):
        others.insert(0, "account")
    within, more = _within_history(context, measure, accounts, range_of(*days, context.today))
    asked = _Asked(measure, accounts, time, others, within, notes + more)
    if "total" in re.findall("[a-z]+", (by or "").lower()):
        _require_addable(asked)
    return asked


def _keys(measure: Measure, by: str | None) -> tuple[str, list[str]]:
    """Return the key in time and the other keys that `by` names; raise `Refused`."""
    words = list(dict.fromkeys(re.findall(r"\w+", (by or "").lower())))
    times = [each for each in words if each in ("day", "week", "month", "total", "mean")]
    others = [each for each in words if each not in times]
    time = times[0] if times else "total" if others or measure.is_of_articles else measure.period.value
    if time == "mean" and "mean" not in measure.keys:
        time = "total"
    if len(times) > 1 or time not in ("total", *measure.keys):
        raise Refused(
            f"{measure.name} has no figure by {' and '.join(times)}.",
            advice=f"`by` may be one time and any other of: {', '.join(measure.keys)}.",
        )
    return time, others


def _within_history(
    context: Context, measure: Measure, accounts: Sequence[Account], days: Range | None
) -> tuple[Range, list[str]]:
    """Return the part of the range that has due labels, with notes on the rest; raise `Refused` if no part has."""
    period, notes = measure.period, []
    newest = label_of(context.today, period) - DAY  # the last day of the newest label that is due
    oldest = min(each.first(account.start) for account in accounts for each in measure.endpoints)
    first, last = days or (newest - (_DEFAULT_DAYS - 1) * DAY, newest)
    if last < oldest:
        raise Refused(
            f"{measure.name} begins on {oldest}; the range ends before, on {last}.",
            advice="Earlier days aren't fetched (WX_DATACUBE_START), and WeChat has no articles before 2025-11-01.",
        )
    if label_of(first, period) > newest:
        raise Refused(
            f"{measure.name} ends on {newest}; today in Beijing is {context.today}.",
            advice=f"WeChat publishes a {period.value} on the morning after it ended (次日). Ask for an earlier range.",
        )
    if first < oldest and days:
        notes.append(f"History begins on {oldest}; nothing is known of the days before.")
    if last > newest:
        notes.append(f"The newest {period.value} that WeChat has published ends on {newest}.")
    return (max(first, label_of(oldest, period)), min(last, newest)), notes


def _require_addable(asked: _Asked) -> None:
    """Raise `Refused` if values of several labels would have to be added that may not be added."""
    measure, (first, last) = asked.measure, asked.days
    noun, name = measure.period.value, measure.name
    if label_of(first, measure.period) == label_of(last, measure.period):
        return
    if measure.is_level:
        raise Refused(
            f"{name} may not be added up over {noun}s: it is a level (累积人数), not a flow.",
            advice=f"For the level at the end of the range, ask by {noun} from {last} to {last}; for the change, ask"
            " net_followers by total.",
        )
    if measure.is_of_people:
        own = ", ".join(f"{other} (by {period})" for period, other in OVER_A_WHOLE.get(name, {}).items())
        raise Refused(
            f"{name} may not be added up over {noun}s: each person is counted once a {noun} (去重), so who comes on"
            f" several {noun}s would count several times. How many different people came from {first} to {last} is"
            " not known.",
            advice=(f"WeChat counts the people of a whole week or month in {own}. " if own else "")
            + f"Or ask by {noun}, or by mean for the mean per {noun} (日均).",
        )


# --- the answer -------------------------------------------------------------------------------------------------


def _rows(context: Context, asked: _Asked, labels: Labels) -> tuple[list[Row], str]:
    """Return the rows, those of known labels without figures included, and the SQL that they come from."""
    names, known = [*asked.by_time, *asked.others], _known(asked, labels)
    sql = _sql(asked)
    found = [tuple(map(plain, each)) for each in context.con.execute(sql).fetchall()]
    values = _averages(asked, found, known) if asked.is_averaged else {tuple(key): value for *key, value in found}
    if not set(asked.others) - {"account"}:
        for *time, account in known:
            values.setdefault((*time, account) if asked.others else tuple(time), asked.measure.empty)
    rows = [dict(zip(names, key, strict=True)) | {"value": plain(value)} for key, value in values.items()]
    return sorted(rows, key=lambda row: (*(row[each] for each in asked.by_time), -(row["value"] or 0))), sql


def _sql(asked: _Asked) -> str:
    """Return the SQL of the rows, or of the labels that are averaged. An assistant may change it for `run_sql`."""
    metric, date, (first, last) = asked.measure.metric, asked.measure.date, asked.days
    time = [f"date_trunc('{asked.time}', {date})::DATE AS {each}" for each in asked.by_time]
    if asked.is_averaged or asked.time == asked.measure.period.value:
        time = [date]
    columns = [*time, *asked.others]
    names = ", ".join(quoted(each.name) for each in asked.accounts)
    return (
        f"SELECT {', '.join([*columns, f'{metric.expression} AS value'])} FROM {metric.view} WHERE account IN ({names})"
        f" AND {date} BETWEEN DATE '{label_of(first, asked.measure.period)}' AND DATE '{last}'"
        + (" GROUP BY ALL ORDER BY ALL" if columns else " HAVING count(*) > 0")
    )


def _known(asked: _Asked, labels: Labels) -> Counter[tuple[str, ...]]:
    """Return the number of known labels by key in time and account."""
    return Counter((*asked.key_of(label), each.name) for each in asked.accounts for label in labels.known(each.name))


def _averages(
    asked: _Asked, found: Sequence[tuple[Any, ...]], known: Counter[tuple[str, ...]]
) -> dict[tuple[Any, ...], float | None]:
    """Return the means over the known labels, also those without figures; each row found begins with its label."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for date, *others, value in found:
        sums[*asked.key_of(dt.date.fromisoformat(date)), *others] += value or 0
    time = len(asked.by_time)

    def labels_of(key: tuple[Any, ...]) -> int:
        names = dict(zip(asked.others, key[time:], strict=True))
        return known[*key[:time], names.get("account", asked.accounts[0].name)]

    return {key: total / labels_of(key) for key, total in sums.items() if labels_of(key)}


def _notes(asked: _Asked, rows: Sequence[Row]) -> list[str]:
    """Return what an assistant has to know to read the rows."""
    measure, (first, last), notes = asked.measure, asked.days, []
    noun = measure.period.value
    if asked.is_averaged and asked.time != noun and first != last:
        notes.append(f"Values are means per {noun} (日均), not totals.")
    if asked.by_time and asked.time != noun:
        begin, end = label_of(first, Period(asked.time)), due_on(label_of(last, Period(asked.time)), Period(asked.time))
        if (begin, end) != (first, last + DAY):
            notes.append(f"The first and the last {asked.time} only count days of the range.")
        if own := OVER_A_WHOLE.get(measure.name, {}).get(asked.time):
            notes.append(f"The different people of a whole {asked.time} are in {own}.")
    if "source" in asked.others and measure.is_of_people:
        notes.append("Who comes from two sources counts in both.")
    if measure.is_of_articles:
        notes.append("Of the articles published in the range, with their newest figures; recent ones still grow.")
    return notes if rows else [*notes, "Nothing of this range is stored. Fetch it: wx-datacube backfill"]


def plain(value: Any) -> Any:
    """Return a value as JSON has it: fractions rounded, dates as text."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and abs(value) < float("inf"):
        return round(value, 4) if value != int(value) else int(value)
    return value if value is None or isinstance(value, bool | int) else str(value)
