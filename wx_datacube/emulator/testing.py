"""Testing: an emulator for a test, on a free port of this machine, and the typed client of its controls.

    from wx_datacube.emulator.testing import wechat

    def test_my_client():
        with wechat(quota=5, clock="2026-11-24T09:00") as emulated:
            my_client(emulated.api_url, emulated.appid, emulated.secret)
            assert len(emulated.control.calls("getupstreammsg")) == 1

The arguments are the fields of `options.Options`. In a pytest fixture, write `with wechat() as it: yield it`. Add a
method to `Control` for every new call of `control`.
"""

import contextlib
import datetime as dt
import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.emulator.faults import Fault
from wx_datacube.emulator.journal import JournalEntry
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.server import serving
from wx_datacube.emulator.world import World


class Control:
    """The controls of a running emulator, in this process or another. Wrong values raise `ValueError`."""

    def __init__(self, api_url: str) -> None:
        self._host = urlsplit(api_url).netloc

    def _ask(self, method: str, name: str, **values: object) -> Any:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        query, body = ("", json.dumps(values)) if method == "POST" else (f"?{urlencode(values)}", None)
        try:
            connection.request(method, f"/_emulator/{name}{query}", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(found["error"])
        return found

    def state(self) -> dict[str, Any]:
        """Return `now`, `frozen`, `calls`, `in_flight`, `most_in_flight`, and `limits` by call."""
        return dict(self._ask("GET", "state"))

    def options(self) -> Options:
        """Return the current options."""
        return Options().changed(self._ask("GET", "options"))

    def set(self, **options: object) -> None:
        """Change options (see `options.Options`) while the emulator runs; None restores a default."""
        self._ask("POST", "options", **{name: _plain(value) for name, value in options.items()})

    def now(self) -> dt.datetime:
        """Return the emulator's current time, naive Beijing time."""
        return dt.datetime.fromisoformat(self.state()["now"])

    def set_clock(self, moment: dt.datetime | str | None, *, frozen: bool = False) -> None:
        """Set the clock to a moment (naive Beijing time), running or frozen; None means the real current time."""
        self.set(clock=moment, frozen=frozen)

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock forward."""
        self._ask("POST", "advance", seconds=by.total_seconds())

    def set_quota(self, calls: int, endpoint: str | None = None) -> None:
        """Change the daily quota of one endpoint, or of all endpoints that have no quota of their own."""
        if endpoint is None:
            return self.set(quota=calls)
        own = {**dict(self.options().endpoint_quota), endpoint: calls}
        return self.set(endpoint_quota=[list(pair) for pair in own.items()])

    def use_quota(self, endpoint: str, calls: int) -> None:
        """Count calls as if another program of the account had made them today."""
        self._ask("POST", "use_quota", endpoint=endpoint, calls=calls)

    def used(self, endpoint: str) -> int:
        """Return how many calls count against the endpoint's quota today, by the emulator's clock."""
        return int(self.state()["limits"][endpoint]["used"])

    def set_latency(self, milliseconds: int) -> None:
        """Set how long every reply takes from now on."""
        self.set(latency=milliseconds)

    def script(self, target: str, answer: str, *, call: int = 1, last: int | None = None) -> None:
        """Give this answer to the `call`th call of `target` from now on, up to the `last`th; see `faults.Fault`."""
        self._add(Fault.of(target, answer, first=call, last=call if last is None else last))

    def fault(self, target: str, answer: str, *, probability: float = 1.0) -> None:
        """Give this answer to all calls of `target` from now on, each with this probability."""
        self._add(Fault.of(target, answer, probability=probability))

    def _add(self, fault: Fault) -> None:
        self._ask("POST", "script", faults=[str(fault)])

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.set(faults=())

    def restate(self, day: dt.date, *, factor: float | None = None, delta: int | None = None) -> int:
        """Revise the figures of a day and of its hours, week and month; return the day's new number of messages."""
        given = {"factor": factor} if delta is None else {"delta": delta}
        return int(self._ask("POST", "restate", day=day.isoformat(), **given)["messages"])

    def revoke_tokens(self, *, sticky: bool = False) -> None:
        """Revoke all tokens: they are answered with 40001 from now on.

        With `sticky`, `stable_token` keeps returning the revoked token until a refresh is forced.
        """
        self._ask("POST", "revoke_tokens", sticky=sticky)

    def calls(self, endpoint: str | None = None) -> list[JournalEntry]:
        """Return the calls so far, oldest first.

        `endpoint` is a statistics endpoint, `token`, `stable_token` or `quota`; None means all of them.
        """
        wanted = {} if endpoint is None else {"endpoint": endpoint}
        return [JournalEntry.from_json(entry) for entry in self._ask("GET", "journal", **wanted)["calls"]]

    def statistics_calls(self) -> list[JournalEntry]:
        """Return the calls to statistics endpoints so far, oldest first."""
        return [call for call in self.calls() if call.endpoint in BY_NAME]

    def wait_until_idle(self, seconds: float = 10) -> None:
        """Wait until no call is in flight; raise `TimeoutError` after `seconds`."""
        end = time.monotonic() + seconds
        while self.state()["in_flight"]:
            if time.monotonic() > end:
                raise TimeoutError(f"calls are still in flight after {seconds} s")
            time.sleep(0.01)

    def clear_calls(self) -> None:
        """Empty the journal."""
        self._ask("DELETE", "journal")

    def reset(self) -> None:
        """Restore the state that the emulator started with."""
        self._ask("POST", "reset")


@dataclass(frozen=True, slots=True)
class Emulated:
    """A running emulator: its URL, its controls and its account."""

    api_url: str
    control: Control
    account: EmulatedAccount

    @property
    def appid(self) -> str:
        """AppID of the made-up account."""
        return self.account.options.appid

    @property
    def secret(self) -> str:
        """AppSecret of the made-up account."""
        return self.account.options.secret

    @property
    def world(self) -> World:
        """The made-up figures, for tests to compare with."""
        return self.account.world

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Names of the emulated statistics endpoints."""
        return tuple(endpoint.name for endpoint in ENDPOINTS)


@contextlib.contextmanager
def wechat(**options: object) -> Iterator[Emulated]:
    """Run an emulator in a thread of this process, on a free port of 127.0.0.1, for the duration of the context.

    Raise `ValueError` for an unknown option or a wrong value.
    """
    account = EmulatedAccount(Options().changed(options))
    with serving(account) as api_url:
        yield Emulated(api_url, Control(api_url), account)


def _plain(value: object) -> object:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | dict | None) else _text(value)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
