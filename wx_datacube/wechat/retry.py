"""Retry: the one loop that decides whether to try again, when, and when to give up.

Add a rule here when an error should be answered by waiting or by a fresh token. `errors` and `answers` decide which
error it is. Every wait and every count has a limit: a popular SDK fetched 137 tokens for one call.
"""

import datetime as dt
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from wx_datacube.catalog.periods import Clock
from wx_datacube.errors import HostDown, RateLimited, TokenRejected, TryAgain, UnexpectedAnswer, WeChatError
from wx_datacube.language import Text, joined

T = TypeVar("T")
log = logging.getLogger("wx_datacube.wechat")

FORGET_AFTER = 300.0
"""Seconds without an attempt after which a series of failures is forgotten: the host may have recovered meanwhile."""


class TokenSource(Protocol):
    """The loop's source of tokens, which also takes its reports of rejected ones."""

    def current(self) -> str:
        """Return the current token; fetch it if necessary."""
        ...

    def replace(self, rejected: str) -> None:
        """Make sure that the current token is not `rejected`."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to try: attempts, pauses for 45011, and seconds without any success after which the host counts as down.

    `ends_within` limits the seconds from the first failure of a dead host to the end, including the attempt in flight.
    """

    attempts: int = 4
    pauses: int = 3
    dead_after: float = 40.0
    ends_within: float = 58.0


class CircuitBreaker:
    """Tracks, for all threads, how long nothing has got through to a host.

    `stopwatch` counts only seconds in which the machine was awake: by the clock, a suspended machine would look like a
    dead host.
    """

    def __init__(self, who: Text, stopwatch: Callable[[], float], limits: Limits) -> None:
        self._who, self._stopwatch, self._limits = who, stopwatch, limits
        self._lock = threading.Lock()
        self._alive_at = -math.inf
        self._since: float | None = None
        self._last = -math.inf
        self._error: WeChatError | None = None

    def note(self, started: float, error: WeChatError | None) -> None:
        """Note how an attempt that began at `started` ended."""
        now = self._stopwatch()
        with self._lock:
            if not _worth_retrying(error) or isinstance(error, RateLimited):
                self._alive_at, self._since = now, None
                return
            if self._since is None:
                self._since = max(started, self._alive_at)
            self._last, self._error = now, error

    def check(self) -> None:
        """Raise `HostDown` if nothing has got through for too long."""
        age = self._age()
        if age > self._limits.dead_after:
            down = Text(
                "{who}: nothing has got through for {seconds:.0f} s.",
                "已 {seconds:.0f} 秒无法连通{who}。",
                who=self._who,
                seconds=age,
            )
            raise HostDown(joined([down, *([self._error.message] if self._error else [])]))

    def seconds_left(self) -> float:
        """Return how long an attempt may still take, so that a dead host ends the run in time."""
        return max(1.0, self._limits.ends_within - self._age())

    def _age(self) -> float:
        """Return the seconds since the current series of failures began; 0 if there is none."""
        now = self._stopwatch()
        with self._lock:
            if now - self._last > FORGET_AFTER:
                self._since = None
            return 0.0 if self._since is None else now - self._since


@dataclass(slots=True)
class _Usage:
    """How much of its limits one call has used."""

    asked: int = 0
    failed: int = 0
    pauses: int = 0
    renewed: bool = False


class Retry:
    """The retry loop for one host. Threads share it, its pauses and its circuit breaker."""

    def __init__(
        self,
        who: Text,
        *,
        clock: Clock,
        sleep: Callable[[float], object],
        limits: Limits,
        jitter: Callable[[], float] = random.random,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = CircuitBreaker(who, stopwatch, limits)
        self._stopwatch, self._clock, self._sleep, self._limits, self._jitter = stopwatch, clock, sleep, limits, jitter
        self._resume_at = dt.datetime.min

    def run(
        self,
        attempt: Callable[[str], T],
        *,
        tokens: TokenSource | None = None,
        permit: Callable[[], None] = lambda: None,
    ) -> T:
        """Return the result of `attempt(token)`, tried again as often as that may help; otherwise raise its last error.

        `permit` is called right before every attempt and may raise. Errors of `tokens` and `permit` end the call.
        """
        usage = _Usage()
        while True:
            self._wait()
            self.host.check()
            token = tokens.current() if tokens else ""
            permit()
            started, at = self._stopwatch(), self._clock()
            try:
                result = attempt(token)
            except WeChatError as caught:
                error = caught
            else:
                self.host.note(started, None)
                return result
            self.host.note(started, error)
            self._recover(error, usage, at)
            if isinstance(error, TokenRejected):
                self._renew(error, usage, tokens, token)

    def _recover(self, error: WeChatError, usage: _Usage, at: dt.datetime) -> None:
        """Wait as long as the error requires; raise it if a retry can't help or the limits are used up."""
        usage.asked += 1
        if isinstance(error, RateLimited):
            self._pause(error, usage, at)
        elif _worth_retrying(error):
            self._back_off(error, usage)
        elif not isinstance(error, TokenRejected):
            raise error.with_attempts(usage.asked)

    def _renew(self, error: TokenRejected, usage: _Usage, tokens: TokenSource | None, token: str) -> None:
        """Replace a rejected token, once per call; raise the error after that, or if only one attempt is allowed."""
        if tokens is None or usage.renewed or self._limits.attempts == 1:
            raise error.with_attempts(usage.asked)
        usage.renewed = True
        tokens.replace(token)

    def _pause(self, error: RateLimited, usage: _Usage, at: dt.datetime) -> None:
        """Make all threads wait for the minute after the one in which the call was made."""
        usage.pauses += 1
        if usage.pauses > self._limits.pauses:
            raise error.with_attempts(usage.asked)
        next_minute = at.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
        self._resume_at = max(self._resume_at, next_minute)
        log.info("too many calls a minute: waiting until %s", next_minute.time())

    def _back_off(self, error: WeChatError, usage: _Usage) -> None:
        """Wait about 1, 2, 4 s while attempts are left and the host is not down."""
        usage.failed += 1
        self.host.check()
        if usage.failed >= self._limits.attempts:
            raise error.with_attempts(usage.asked)
        self._sleep(2 ** (usage.failed - 1) * (0.5 + self._jitter()))

    def _wait(self) -> None:
        """Wait while all threads pause. Each adds a random delay, so that they don't all start at once."""
        left = (self._resume_at - self._clock()).total_seconds() if self._resume_at > self._clock() else 0.0
        if left > 0:
            self._sleep(left + self._jitter())


def _worth_retrying(error: WeChatError | None) -> bool:
    """Return whether an error may pass by itself: the host is busy or unreachable, or its answer was garbled."""
    return isinstance(error, TryAgain) or (isinstance(error, UnexpectedAnswer) and error.transient)
