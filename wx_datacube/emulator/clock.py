"""Clock: the emulator's own Beijing time, which runs from any moment or stands still, and can be set while it runs.

Everything that ages in the emulator (tokens, quotas, publication) ages by this clock; latency and slow answers take
real time. It is the only place in the emulator that reads the machine's clock.
"""

import datetime as dt

from wx_datacube.catalog.periods import Clock, beijing_now


class SettableClock:
    """Gives naive Beijing time; `real` is what it runs by."""

    def __init__(self, start: dt.datetime | None = None, frozen: bool = False, real: Clock = beijing_now) -> None:
        self._real = real
        self.set(start, frozen)

    def __call__(self) -> dt.datetime:
        """The emulator's present moment."""
        return self._moment if self.frozen else self._moment + (self._real() - self._since)

    def set(self, moment: dt.datetime | None, frozen: bool = False) -> None:
        """Go on from `moment`, or stand still there; None is the real present."""
        self._since = self._real()
        self._moment = moment or self._since
        self.frozen = frozen

    def advance(self, by: dt.timedelta) -> None:
        """Move on (or back) without changing whether the clock runs."""
        self._moment += by
