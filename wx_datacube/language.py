"""Language: texts for people, in English and Chinese side by side, and the language that commands print.

Write a text where it is used, as `Text("{calls} calls.", "{calls} 次调用。", calls=3)`. Logs, JSON, SQL and Dagster
show `str(text)`, which is English. Commands print `text.to(spoken())`. Nothing here does I/O.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum


class Language(StrEnum):
    """A language that this package writes."""

    ENGLISH = "en"
    CHINESE = "zh"


class Text:
    """A text in both languages, with the values of its placeholders (`str.format`).

    A value that is a `Text` itself is shown in the same language. Without values, braces are ordinary characters.
    """

    __slots__ = ("en", "values", "zh")

    def __init__(self, en: str, zh: str, **values: object) -> None:
        self.en, self.zh, self.values = en, zh, values

    def fill(self, **values: object) -> "Text":
        """Return the same text with these values."""
        return Text(self.en, self.zh, **self.values | values)

    def to(self, language: Language) -> str:
        """Return the text in one language."""
        template = self.zh if language is Language.CHINESE else self.en
        values = {name: each.to(language) if isinstance(each, Text) else each for name, each in self.values.items()}
        return template.format(**values) if values else template

    def both(self, separator: str = " ") -> str:
        """Return the Chinese text, then the English one, for a chat and Dagster's UI; once if they are the same."""
        return separator.join(dict.fromkeys(self.to(each) for each in (Language.CHINESE, Language.ENGLISH)))

    def mapped(self, change: Callable[[str], str]) -> "Text":
        """Return the text with each language changed, such as the names of variables in it."""
        return Text(change(self.to(Language.ENGLISH)), change(self.to(Language.CHINESE)))

    def __str__(self) -> str:
        return self.to(Language.ENGLISH)

    def __repr__(self) -> str:
        return f"Text({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self.en)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and all(self.to(each) == other.to(each) for each in Language)

    def __hash__(self) -> int:
        return hash(str(self))


def text_of(value: Text | str) -> Text:
    """Return a text; a plain string, such as a name or a command, is the same in both languages."""
    return value if isinstance(value, Text) else Text(value, value)


def joined(texts: Iterable[Text | str], en: str = " ", zh: str = "") -> Text:
    """Return sentences as one text, without the empty ones; by default, Chinese has no blanks between them."""
    found = [text_of(each) for each in texts if each]
    return Text(en.join(map(str, found)), zh.join(each.to(Language.CHINESE) for each in found))


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = tuple(zip(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], "一二三四五六日", strict=True))


def date_text(day: dt.date, year: int | None = None) -> Text:
    """Return a day in words, with its year if it isn't `year`."""
    english, chinese = f"{day.day} {_MONTHS[day.month - 1]}", f"{day:%m-%d}"
    return Text(english, chinese) if day.year == year else Text(f"{english} {day.year}", f"{day.year}-{chinese}")


def weekday_text(day: dt.date) -> Text:
    """Return the day's weekday."""
    english, chinese = _WEEKDAYS[day.weekday()]
    return Text(english, f"周{chinese}")


def language_of(variables: Mapping[str, str]) -> Language:
    """Return the language of a command's environment: WX_DATACUBE_LANG, else that of the locale, else English."""
    wanted = variables.get("WX_DATACUBE_LANG", "").strip().lower()
    if wanted in set(Language):
        return Language(wanted)
    locale = next((variables[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if variables.get(name)), "")
    return Language.CHINESE if locale.lower().startswith("zh") else Language.ENGLISH


_spoken = Language.ENGLISH


def spoken() -> Language:
    """Return the language that the current command prints."""
    return _spoken


def speak(language: Language) -> None:
    """Set the language that the current command prints, from all of its threads."""
    global _spoken
    _spoken = language
