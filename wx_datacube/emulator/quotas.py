"""Quotas: counters of calls per Beijing day and per minute, by endpoint.

Add a kind of limit here. The limits themselves are in `options`; nothing here knows what a call does.
"""

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field

from wx_datacube.emulator.errcodes import Refusal


@dataclass(slots=True)
class Quotas:
    """The calls made so far, by name."""

    _days: Counter[tuple[str, dt.date]] = field(default_factory=Counter)
    _minutes: Counter[tuple[str, dt.datetime]] = field(default_factory=Counter)

    def used(self, call: str, now: dt.datetime) -> int:
        """Return the number of calls on the Beijing day of `now`."""
        return self._days[call, now.date()]

    def use(self, call: str, now: dt.datetime, calls: int = 1) -> None:
        """Count calls, including simulated calls of other programs."""
        self._days[call, now.date()] += calls

    def take(self, call: str, now: dt.datetime, daily: int, a_minute: int | None) -> None:
        """Count a call, or refuse it: 45009 if the day's limit is reached, 45011 if the minute's limit is."""
        if self.used(call, now) >= daily:
            raise Refusal(45009)
        minute = (call, now.replace(second=0, microsecond=0))
        if a_minute is not None and self._minutes[minute] >= a_minute:
            raise Refusal(45011)
        self._minutes[minute] += 1
        self.use(call, now)
