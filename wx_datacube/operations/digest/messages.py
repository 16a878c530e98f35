"""Messages: the digests of several accounts as one message, or as several where a chat's limit requires it.

Whole lines are left out where even one account is too long, the least important first; no sentence is ever cut. The
limit counts the text as the chat gets it, escaped. Nothing here does I/O.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wx_datacube.language import Language, date_text, weekday_text
from wx_datacube.operations.digest import words
from wx_datacube.operations.digest.lines import Digest, Importance, Line, lines

MAX_BYTES = 4000
"""The most bytes of a message, in UTF-8: more is not read in a group."""
_MANY = 5
"""Above so many accounts, each has only its most important lines."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message and the accounts that it is about."""

    accounts: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How messages are laid out: the day, the language, the most bytes, and how the chat escapes a text.

    `accounts` is the number of accounts in all messages.
    """

    day: dt.date
    language: Language
    max_bytes: int
    escape: Callable[[str], str]
    accounts: int

    def message(self, digests: Sequence[Digest]) -> Message:
        """Return one message about these accounts."""
        sections = [self.section(each) for each in digests]
        return Message(tuple(each.account.name for each in digests), self._text(sections))

    def fits(self, digests: Sequence[Digest]) -> bool:
        """Return whether one message about these accounts is within the limit."""
        return self._fits([self.section(each) for each in digests])

    def section(self, digest: Digest) -> list[Line]:
        """Return the lines of an account, without the least important ones that its own message has no room for."""
        most = Importance.FIRST if self.accounts > _MANY else Importance.LAST
        section = [line for line in lines(digest) if line.importance <= most]
        while not self._fits([section]) and (worst := max(line.importance for line in section)):
            last = max(place for place, line in enumerate(section) if line.importance == worst)
            section = [*section[:last], *section[last + 1 :]]
        return section

    def _fits(self, sections: Sequence[Sequence[Line]]) -> bool:
        return len(self.escape(self._text(sections)).encode()) <= self.max_bytes

    def _text(self, sections: Sequence[Sequence[Line]]) -> str:
        head = words.HEAD.fill(day=date_text(self.day), weekday=weekday_text(self.day))
        note = [words.OPEN_NOTE] if any(line.is_open for section in sections for line in section) else []
        parts = [[head], *([line.text for line in section] for section in sections), note]
        return "\n\n".join("\n".join(each.to(self.language) for each in part) for part in parts if part)


def grouped(digests: Sequence[Digest], layout: Layout) -> list[list[Digest]]:
    """Return the accounts of each message: as few messages as possible, in the order of the accounts."""
    found: list[list[Digest]] = []
    for digest in digests:
        if found and layout.fits([*found[-1], digest]):
            found[-1].append(digest)
        else:
            found.append([digest])
    return found
