"""Journal: the calls that the emulator received and its answers, for tests to check.

Add a field here when a test needs to know more about a call. Entries must not contain a token or a secret.
"""

import datetime as dt
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CALLS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One call to a statistics endpoint, `token`, `stable_token` or `quota`.

    `at` is the emulator's time. `begin` and `end` are as the caller sent them. `attempt` counts calls with the same
    endpoint and window, from 1. `status` is None if the connection was closed without a reply. `errcode` is None if the
    reply has none. `fault` is the text of the fault that hit the call.
    """

    at: dt.datetime
    endpoint: str
    method: str
    begin: str | None
    end: str | None
    attempt: int
    status: int | None
    errcode: int | None
    fault: str | None

    def as_json(self) -> dict[str, object]:
        """Return the call as values that JSON can represent."""
        return {name: getattr(self, name) for name in self.__slots__} | {"at": self.at.isoformat()}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "JournalEntry":
        """Make a call from the result of `as_json`."""
        return cls(**{**entry, "at": dt.datetime.fromisoformat(entry["at"])})


@dataclass(slots=True)
class CallJournal:
    """The last calls, oldest first, and the current and highest number of calls in flight."""

    calls: deque[JournalEntry] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    in_flight: int = 0
    most_in_flight: int = 0

    def __enter__(self) -> None:
        """Count a call as in flight."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def __exit__(self, *_: object) -> None:
        """Stop counting it."""
        self.in_flight -= 1
