"""Statistics: the rows that a request for a window returns at a given moment, or why it is refused.

Add a rule about dates here, with its source. Tokens, quotas and faults are handled earlier; nothing here reads a clock.
Sources: WeChat's documentation (span, closed periods, publication), and what users observed in addition.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile

from wx_datacube.catalog.messages import COUNT_INTERVAL, MSG_COUNT
from wx_datacube.catalog.model import HISTORY_START, REF_HOUR, Endpoint, Period
from wx_datacube.catalog.periods import due_on, label_of, labels_from
from wx_datacube.emulator.errcodes import Refusal
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.world import Row, World

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
DAY = dt.timedelta(days=1)
STRAY_DAYS = 700
"""Stray rows are up to two years older than their window, even after rounding to the start of a month."""
EARLY = HISTORY_START + 7 * DAY
"""Windows that begin before this day can return the dirty rows from before WeChat's history."""


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


def window_of(endpoint: Endpoint, asked: dict[str, object], today: dt.date, one_label: bool) -> RequestedWindow:
    """Return the window in a request's body; refuse malformed dates (61500) and dates out of range (61501)."""
    begin, end = _date(asked.get("begin_date")), _date(asked.get("end_date"))
    window = RequestedWindow(endpoint, begin, end)
    if end < begin or end >= today or (end - begin).days >= endpoint.max_span_days:
        raise Refusal(61501)
    if one_label and endpoint.period is not Period.DAY and len(list(window.labels())) > 1:
        raise Refusal(61501)
    return window


def answer(window: RequestedWindow, world: World, now: dt.datetime, options: Options) -> str:
    """Return the body of a successful reply; refuse unpublished windows with 61503 if the options say so."""
    published, period = [], window.endpoint.period
    labels = list(window.labels())
    for label in labels[:1] if options.partial and period is not Period.DAY else labels:
        if now >= dt.datetime.combine(due_on(label, period), options.publish_at):
            published.append(world.json(window.endpoint, label))
        elif options.refuse_unpublished and due_on(label, period) <= now.date():
            raise Refusal(61503)
    strays = [*_stray_rows(window, world, options), _inside(_dirty_rows(window, options))]
    return '{"list":[' + ",".join(filter(None, strays + published)) + "]}"


def _inside(rows: list[Row]) -> str:
    return json.dumps(rows, separators=(",", ":"))[1:-1]


def _draw(parts: int, *of: object) -> int:
    return int.from_bytes(blake2b(repr(of).encode(), digest_size=8).digest(), "big") % parts


def _stray_rows(window: RequestedWindow, world: World, options: Options) -> list[str]:
    """Return rows of up to three older labels in a one-day window, as users saw for weeks in August 2022."""
    if not options.stray_rows or window.begin != window.end:
        return []
    period = window.endpoint.period
    label = label_of(window.begin, period)
    back = (1 + _draw(STRAY_DAYS, options.seed, label.isoformat(), number) for number in range(3))
    labels = {label_of(label - dt.timedelta(days=days), period) for days in back if label - HISTORY_START >= DAY * days}
    return [world.json(window.endpoint, older) for older in sorted(labels)]


def _dirty_rows(window: RequestedWindow, options: Options) -> list[Row]:
    """Return rows from before history: those in the window, and those of the last label before history if the window
    reaches the start of history.
    """
    if not options.dirty_rows or window.begin >= EARLY:
        return []
    labels = set(window.labels())
    if window.end >= HISTORY_START:
        labels.add(label_of(HISTORY_START - DAY, window.endpoint.period))
    return [_dirty_row(window.endpoint, label, options.seed) for label in sorted(labels) if label < HISTORY_START]


def _dirty_row(endpoint: Endpoint, label: dt.date, seed: int) -> Row:
    users = 1 + _draw(90, seed, endpoint.name, label.isoformat())
    hour: Row = {"ref_hour": 1200} if REF_HOUR in endpoint.columns else {}
    key = "count_interval" if COUNT_INTERVAL in endpoint.columns else "msg_type"
    count: Row = {"msg_count": 3 * users} if MSG_COUNT in endpoint.columns else {}
    return {"ref_date": label.isoformat(), **hour, "user_source": 0, key: 1, "msg_user": users, **count}
