"""Clock: the emulator's own Beijing time. It can start at any moment, run or be frozen, and be set at any time.

Tokens, quotas and publication follow this clock. Latency and delayed answers take real time. No other module of the
emulator reads the machine's clock.
"""

import datetime as dt

from wx_datacube.catalog.periods import Clock, beijing_now


class SettableClock:
    """A clock that returns naive Beijing time; `real` is the clock that drives it."""

    def __init__(self, start: dt.datetime | None = None, frozen: bool = False, real: Clock = beijing_now) -> None:
        self._real = real
        self.set(start, frozen)

    def __call__(self) -> dt.datetime:
        """Return the emulator's current time."""
        return self._moment if self.frozen else self._moment + (self._real() - self._since)

    def set(self, moment: dt.datetime | None, frozen: bool = False) -> None:
        """Set the clock to `moment`, running or frozen; None means the real current time."""
        self._since = self._real()
        self._moment = moment or self._since
        self.frozen = frozen

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock forward, or back, without freezing or starting it."""
        self._moment += by
