"""Journal: what was asked of the emulator and how it answered, to assert on.

Add a field here when tests need to see more of a call. No token or secret belongs in an entry.
"""

import datetime as dt
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CALLS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `endpoint` is a statistics endpoint, `token`, `stable_token` or `quota`.

    `at` by the emulator's clock; `begin` and `end` as they came; `attempt` counts equal calls from 1; `status` None
    when the connection was closed without an answer; `errcode` None where the answer has none; `fault` the text of
    the fault that struck.
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
        """The call as JSON knows it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"at": self.at.isoformat()}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Call":
        """The reverse of `as_json`."""
        return cls(**{**entry, "at": dt.datetime.fromisoformat(entry["at"])})


@dataclass(slots=True)
class Journal:
    """The last calls, oldest first, and how many were in flight at once."""

    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    in_flight: int = 0
    most_in_flight: int = 0

    def __enter__(self) -> None:
        """A call is in flight."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def __exit__(self, *_: object) -> None:
        """It is no longer."""
        self.in_flight -= 1
