"""Faults: deliberate failures, described as data, and the rule that decides which calls they hit.

Add a kind of answer to `KINDS`; `delivery` decides how it is sent. A fault hits calls by their number since the fault
was set, or with a probability. The random draw depends only on seed, endpoint, window and attempt, so the same calls
get the same faults in any order.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import ClassVar

KINDS = {
    "errcode": "a business error, e.g. -1 or 45011",
    "status": "an HTTP status, with a body after a second colon",
    "drop": "the connection closed without an answer",
    "cut": "half of the answer, then the connection closed",
    "html": "a web page with status 200",
    "drip": "the answer byte by byte, with this many seconds between them",
    "delay": "the answer after this many seconds",
    "redirect": "status 302 to this address",
    "revoke": "all tokens replaced just before the call; revoke:sticky until a new one is forced",
}
_SECONDS = r"\d{1,4}(\.\d{1,9})?"
VALUES = {
    "errcode": r"-?\d{1,9}",
    "status": r"[2-5]\d\d",
    "drip": _SECONDS,
    "delay": _SECONDS,
    "redirect": r"[!-~]+",
}
STATISTICS, EVERYTHING = "*", "all"

_CALLS = r"(?:#(?P<first>\d+)(?:-(?P<last>\d*))?)?(?:@(?P<share>[\d.]+))?"
_SHAPE = re.compile(rf"(?P<target>\*|\w+){_CALLS}=(?P<answer>.+)", re.DOTALL)
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_FOREVER = 2**31


@dataclass(frozen=True, slots=True)
class Fault:
    """One deliberate failure.

    `target`: the name of an endpoint, `token`, `stable_token`, `quota`, `*` (every statistics endpoint) or `all`.
    `first`, `last`: the calls that it can hit, counted from when it was set; 1 is the next call.
    `probability`: how likely it is to hit each of them. `kind`, `value`: see `KINDS`.
    `body`: the body of a `status`, in which lone surrogates stand for bytes that are not UTF-8.
    """

    target: str
    kind: str
    value: str = ""
    body: str | None = None
    first: int = 1
    last: int = _FOREVER
    probability: float = 1.0

    GRAMMAR: ClassVar[str] = (
        "TARGET[#CALL[-[CALL]]][@PROBABILITY]=ANSWER, e.g. getupstreammsg#3=-1, *@0.05=502, stable_token#1-2=drop, "
        "*#1=delay:1.5, all=redirect:http://example.org/, *#2=200:{}"
    )

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Parse a fault; raise `ValueError` if the text is wrong."""
        shape = _SHAPE.fullmatch(text)
        if not shape:
            raise ValueError(f"a fault is {cls.GRAMMAR}; not {text[:80]!r}")
        first, last = shape["first"], shape["last"]
        to = int(first) if first and last is None else int(last or _FOREVER)
        share = float(shape["share"] or 1)
        return cls.of(shape["target"], shape["answer"], first=int(first or 1), last=to, probability=share)

    @classmethod
    def of(cls, target: str, answer: str, *, first: int = 1, last: int = _FOREVER, probability: float = 1.0) -> "Fault":
        """Make a fault from its parts.

        `answer` is text such as `-1`, `502`, `503:busy`, `cut` or `delay:1.5`. Raise `ValueError` if a part is wrong.
        """
        kind, _, value = answer.partition(":")
        body = None
        if re.fullmatch(VALUES["status"], kind, re.ASCII):
            kind, value, body = "status", kind, value if ":" in answer else None
        elif re.fullmatch(VALUES["errcode"], kind, re.ASCII):
            kind, value = "errcode", kind
        elif kind == "busy":
            kind, value = "errcode", "-1"
        if kind not in KINDS or not re.fullmatch(VALUES.get(kind, ".*"), value, re.DOTALL | re.ASCII):
            raise ValueError(f"a fault's answer is a number or one of {', '.join(KINDS)}; not {answer[:80]!r}")
        if not (1 <= first <= last and 0 <= probability <= 1):
            raise ValueError("a fault's calls count from 1, and its probability is from 0 to 1")
        if _NO_BYTE.search(body or ""):
            raise ValueError("a fault's body is made of whole characters, and of U+DC80 to U+DCFF for other bytes")
        return cls(target, kind, value, body, first, last, probability)

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        to = "" if self.last == self.first else "-" if self.last == _FOREVER else f"-{self.last}"
        calls = "" if (self.first, self.last) == (1, _FOREVER) else f"#{self.first}{to}"
        calls += f"@{self.probability:f}" if self.probability < 1 else ""
        answer = self.value if self.kind in ("errcode", "status") else f"{self.kind}:{self.value}".rstrip(":")
        return f"{self.target}{calls}={answer}" + ("" if self.body is None else f":{self.body}")

    def meets(self, call: str, statistics: bool) -> bool:
        """Return whether the fault applies to calls of this name."""
        return self.target in (call, EVERYTHING) or (statistics and self.target == STATISTICS)

    def strikes(self, number: int, seed: int, call: str, window: str, attempt: int) -> bool:
        """Return whether the fault hits this call.

        `number` counts the calls that the fault applies to, `attempt` the calls with the same endpoint and window.
        """
        if not self.first <= number <= self.last:
            return False
        drawn = blake2b(f"{seed}|{self}|{call}|{window}|{attempt}".encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(drawn, "big") < self.probability * 2**64


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0


@dataclass(slots=True)
class Faults:
    """The faults of a running emulator, each with the number of calls that it has seen."""

    _armed: list[_Armed] = field(default_factory=list)
    _attempts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def arm(self, faults: Iterable[Fault]) -> None:
        """Replace the faults; unchanged ones at the start of the list keep their counts."""
        known = [*self._armed]
        self._armed = [_Armed(fault) for fault in faults]
        for place, (old, new) in enumerate(zip(known, self._armed, strict=False)):
            if old.fault != new.fault:
                break
            self._armed[place] = old

    def draw(self, seed: int, call: str, window: str, statistics: bool) -> tuple[int, Fault | None]:
        """Return which attempt at its window the call is (from 1), and the first fault that hits it."""
        self._attempts[call, window] += 1
        attempt, struck = self._attempts[call, window], None
        for armed in self._armed:
            if armed.fault.meets(call, statistics):
                armed.seen += 1
                if struck is None and armed.fault.strikes(armed.seen, seed, call, window, attempt):
                    struck = armed.fault
        return attempt, struck
