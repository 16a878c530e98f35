"""Quotas: calls a Beijing day and a minute, counted by endpoint.

Add a limit here. What the limits are is in `options`; nothing here knows what a call does.
"""

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field

from wx_datacube.emulator.errcodes import Refusal


@dataclass(slots=True)
class Quotas:
    """What has been used, by name of the call."""

    _days: Counter[tuple[str, dt.date]] = field(default_factory=Counter)
    _minutes: Counter[tuple[str, dt.datetime]] = field(default_factory=Counter)

    def used(self, call: str, now: dt.datetime) -> int:
        """Calls of this Beijing day."""
        return self._days[call, now.date()]

    def use(self, call: str, now: dt.datetime, calls: int = 1) -> None:
        """Count calls, also those of programs that the emulator never saw."""
        self._days[call, now.date()] += calls

    def take(self, call: str, now: dt.datetime, daily: int, a_minute: int | None) -> None:
        """Count a call, or refuse it: 45009 beyond the day's limit, 45011 beyond the minute's."""
        if self.used(call, now) >= daily:
            raise Refusal(45009)
        minute = (call, now.replace(second=0, microsecond=0))
        if a_minute is not None and self._minutes[minute] >= a_minute:
            raise Refusal(45011)
        self._minutes[minute] += 1
        self.use(call, now)
