"""Statistics: the rows that a request for a window returns at a given moment, or why it is refused.

Add a rule about dates here, with its source. Tokens, quotas and faults are handled earlier; nothing here reads a clock.
Sources: WeChat's documentation (span, closed periods, publication), and what users observed in addition.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import takewhile

from wx_datacube.catalog.messages import COUNT_INTERVAL, MSG_COUNT
from wx_datacube.catalog.model import REF_HOUR, Endpoint, Family, Period
from wx_datacube.catalog.periods import due_on, label_of, labels_from
from wx_datacube.emulator.errcodes import Refusal
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.presentation import Presentation, Row
from wx_datacube.emulator.world import World

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
DAY = dt.timedelta(days=1)
STRAY_DAYS = 700
"""Stray rows are up to two years older than their window, even after rounding to the start of a month."""
EARLY_DAYS = 7
"""Windows that begin in the first days of an endpoint's history can return the dirty rows from before it."""
TITLES_SINCE = dt.date(2026, 3, 3)
"""Answers since this day have an article's title and address."""
ARTICLE_DAYS = 30
"""An article has figures for this many days."""


def _date(value: object) -> dt.date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise Refusal(61500)
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise Refusal(61500) from None


@dataclass(frozen=True, slots=True)
class RequestedWindow:
    """The dates that one call asks for, first and last day included."""

    endpoint: Endpoint
    begin: dt.date
    end: dt.date

    def labels(self) -> Iterator[dt.date]:
        """Return the labels in the window."""
        period = self.endpoint.period
        inside = takewhile(lambda label: label <= self.end, labels_from(label_of(self.begin, period), period))
        return (label for label in inside if label >= self.begin)


def window_of(endpoint: Endpoint, asked: dict[str, object], today: dt.date, options: Options) -> RequestedWindow:
    """Return the window in a request's body; refuse malformed dates (61500) and dates out of range (61501)."""
    begin, end = _date(asked.get("begin_date")), _date(asked.get("end_date"))
    window = RequestedWindow(endpoint, begin, end)
    longest = dict(options.longest_span).get(endpoint.name, endpoint.max_span_days)
    if end < begin or end >= today or (end - begin).days >= longest:
        raise Refusal(61501)
    if options.one_label and endpoint.period is not Period.DAY and len(list(window.labels())) > 1:
        raise Refusal(61501)
    return window


def answer(window: RequestedWindow, world: World, now: dt.datetime, options: Options) -> str:
    """Return the body of a successful reply; refuse unpublished windows with 61503 if the options say so."""
    published, endpoint = [], window.endpoint
    labels = list(window.labels())
    for label in labels[:1] if options.partial and endpoint.period is not Period.DAY else labels:
        if now >= dt.datetime.combine(due_on(label, endpoint.period), options.publish_at):
            published.append(world.json(endpoint, label, _presentation(endpoint, label, now, options)))
        elif options.refuse_unpublished and due_on(label, endpoint.period) <= now.date():
            raise Refusal(61503)
    strays = [*_stray_rows(window, world, now, options), _inside(_dirty_rows(window, world, options))]
    rows = ",".join(filter(None, strays + published))
    return f'{{"list":[{rows}]{_is_delay(window, now, options)}}}'


def _is_delay(window: RequestedWindow, now: dt.datetime, options: Options) -> str:
    if not window.endpoint.has_delay:
        return ""
    delayed = options.delayed or _not_final(window.endpoint, window.end, now, options)
    text = str(delayed).lower()
    return f',"is_delay":"{text}"' if options.delay_as_text else f',"is_delay":{text}'


def _not_final(endpoint: Endpoint, label: dt.date, now: dt.datetime, options: Options) -> bool:
    """Return whether a label is yesterday and WeChat still counts its readers."""
    return endpoint.has_delay and label == now.date() - DAY and now.time() < options.delay_until


def _presentation(endpoint: Endpoint, label: dt.date, now: dt.datetime, options: Options) -> Presentation:
    newest = now.date() - (DAY if now.time() >= options.publish_at else 2 * DAY)
    return Presentation(
        until=min(newest, label + (ARTICLE_DAYS - 1) * DAY) if endpoint.grows else None,
        titles=not endpoint.grows or now.date() >= TITLES_SINCE,
        lower=_not_final(endpoint, label, now, options),
        unknown_codes=options.unknown_codes,
    )


def _inside(rows: list[Row]) -> str:
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False)[1:-1]


def _draw(parts: int, *of: object) -> int:
    return int.from_bytes(blake2b(repr(of).encode(), digest_size=8).digest(), "big") % parts


def _stray_rows(window: RequestedWindow, world: World, now: dt.datetime, options: Options) -> list[str]:
    """Return rows of up to three older labels in a one-day window, as users saw for weeks in August 2022."""
    if not options.stray_rows or window.begin != window.end:
        return []
    endpoint, period = window.endpoint, window.endpoint.period
    label = label_of(window.begin, period)
    most = min(STRAY_DAYS, (label - endpoint.first_day).days)
    back = [1 + _draw(most, options.seed, label.isoformat(), number) for number in range(3 if most > 0 else 0)]
    labels = sorted({label_of(label - dt.timedelta(days=days), period) for days in back})
    return [world.json(endpoint, older, _presentation(endpoint, older, now, options)) for older in labels]


def _dirty_rows(window: RequestedWindow, world: World, options: Options) -> list[Row]:
    """Return rows from before history: those in the window, and those of the last label before history if the window
    reaches the start of history.
    """
    first = window.endpoint.first_day
    if not options.dirty_rows or window.begin >= first + EARLY_DAYS * DAY:
        return []
    labels = set(window.labels())
    if window.end >= first:
        labels.add(label_of(first - DAY, window.endpoint.period))
    make = _dirty_message_row if window.endpoint.family is Family.MESSAGES else partial(_dirty_row, world)
    found = [make(window.endpoint, label, options.seed) for label in sorted(labels) if label < first]
    return [row for row in found if row]


def _dirty_message_row(endpoint: Endpoint, label: dt.date, seed: int) -> Row:
    users = 1 + _draw(90, seed, endpoint.name, label.isoformat())
    hour: Row = {"ref_hour": 1200} if REF_HOUR in endpoint.columns else {}
    key = "count_interval" if COUNT_INTERVAL in endpoint.columns else "msg_type"
    count: Row = {"msg_count": 3 * users} if MSG_COUNT in endpoint.columns else {}
    return {"ref_date": label.isoformat(), **hour, "user_source": 0, key: 1, "msg_user": users, **count}


def _dirty_row(world: World, endpoint: Endpoint, label: dt.date, _seed: int) -> Row:
    """Return the first row of the first day with rows, under an earlier date; empty if two months have no rows."""
    days = (endpoint.first_day + number * DAY for number in range(60))
    first = next((rows[0] for day in days if (rows := world.rows(endpoint, day, day))), None)
    return {**first, "ref_date": label.isoformat()} if first else {}
