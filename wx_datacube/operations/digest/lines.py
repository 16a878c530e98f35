"""Lines: the digest of one account as lines of text, each with its importance.

Add a line here, with an `Importance` that says when it may be left out. `words` has the texts, and nothing here does
I/O.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from wx_datacube.config.settings import Account
from wx_datacube.language import Text, date_text, joined
from wx_datacube.operations.digest import words
from wx_datacube.operations.digest.concerns import Concerns, MissingFamily
from wx_datacube.operations.digest.figures import BestArticle, DigestFigures, Figure, PeriodFigures
from wx_datacube.operations.names import FAMILIES, metric_name

_MOST_PROBLEMS, _MOST_DOUBTS = 2, 3
_MOST_DAYS = 3


class Importance(IntEnum):
    """How important a line is. If a message is too long, the last lines of the least importance are left out."""

    NAME = 0
    """The account's name, always shown."""
    FIRST = 1
    """What everyone looks at, and what is wrong. With many accounts, only this is shown."""
    SECOND = 2
    THIRD = 3
    LAST = 4


_IMPORTANCE = {
    "readers": Importance.FIRST,
    "net_followers": Importance.FIRST,
    "messages": Importance.FIRST,
    "followers": Importance.SECOND,
    "senders": Importance.SECOND,
    "sharers": Importance.THIRD,
    "messages_per_sender": Importance.THIRD,
}
"""The importance of figures of a day; the others are of the last."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a digest; `is_open` says that it has a figure that WeChat may still change."""

    text: Text
    importance: Importance
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of an account. Without `figures` and `concerns`, its settings are wrong."""

    account: Account
    figures: DigestFigures | None = None
    concerns: Concerns | None = None

    @property
    def has_data(self) -> bool:
        """Whether anything was ever requested for the account."""
        return self.concerns is not None and self.concerns.asked

    @property
    def name(self) -> str:
        """The name that readers know."""
        return words.plain(self.account.title or self.account.name)


def lines(digest: Digest) -> list[Line]:
    """Return the lines of an account's digest."""
    figures, concerns, account = digest.figures, digest.concerns, digest.account.name
    name = Line(words.ACCOUNT.fill(name=digest.name), Importance.NAME)
    if figures is None or concerns is None:
        error = digest.account.settings_error
        return [name, Line(words.PROBLEM.fill(problem=error.text if error else ""), Importance.FIRST)]
    if not digest.has_data:
        return [name, Line(words.NOTHING.fill(account=account), Importance.FIRST)]
    return [
        name,
        *_of_day(figures, concerns),
        *_unusual(figures, concerns),
        *_missing(figures, concerns, account),
        *_ended(figures),
    ]


def _of_day(figures: DigestFigures, concerns: Concerns) -> Iterator[Line]:
    for each in figures.figures:
        if each.value is not None:
            yield Line(_day_figure(each), _IMPORTANCE.get(each.shown.metric, Importance.LAST), each.is_open)
    # A family without any figure is among those that are missing.
    whole = {each.family for each in concerns.missing} - {
        each.shown.endpoint.family for each in figures.figures if each.value is not None
    }
    unknown = [each.shown for each in figures.figures if each.value is None and each.shown.endpoint.family not in whole]
    if unknown:
        names = words.listed([metric_name(each.metric) for each in unknown])
        yield Line(words.NOT_THERE.fill(names=names), Importance.FIRST)
    if figures.best:
        yield Line(_best(words.BEST, figures.best), Importance.SECOND, figures.best.is_open)


def _day_figure(figure: Figure) -> Text:
    """Return a figure of a day with its changes; one that is compared with nothing stored has none."""
    compared = ((words.DAY_BEFORE, figure.before), (words.WEEK_BEFORE, figure.week_before))
    changes = [words.against(text, change) for text, before in compared if (change := _change(figure, before))]
    return _figure(metric_name(figure.shown.metric), figure, changes)


def _figure(name: Text, figure: Figure, changes: list[Text]) -> Text:
    value = f"{words.number(figure.shown.metric, figure.value or 0)}{'*' if figure.is_open else ''}"
    if not changes:
        return words.FIGURE.fill(name=name, value=value)
    return words.COMPARED.fill(name=name, value=value, changes=joined(changes, ", ", "，"))


def _change(figure: Figure, before: float | None) -> Text | None:
    if figure.value is None or before is None:
        return None
    return words.change(figure.value, before, people=figure.shown.people)


def _best(text: Text, best: BestArticle) -> Text:
    title = words.plain(best.title or "")
    article = words.TITLED.fill(title=title) if title else words.UNTITLED.fill(article=best.article)
    return text.fill(article=article, readers=f"{best.readers:,}{'*' if best.is_open else ''}")


def _unusual(figures: DigestFigures, concerns: Concerns) -> Iterator[Line]:
    for problem, advice in concerns.problems[:_MOST_PROBLEMS]:
        yield Line(words.PROBLEM.fill(problem=problem), Importance.FIRST)
        if advice:
            yield Line(advice, Importance.SECOND)
    if others := concerns.others + len(concerns.problems[_MOST_PROBLEMS:]):
        yield Line(words.OTHERS.fill(count=others), Importance.FIRST)
    for each in concerns.doubts[:_MOST_DOUBTS]:
        text, importance = (words.UNUSUAL, Importance.THIRD) if each.informational else (words.DOUBT, Importance.FIRST)
        yield Line(text.fill(what=each.what), importance)
    if days := figures.restated:
        dates = [date_text(each, figures.day.year) for each in days]
        few = words.RESTATED.fill(days=words.listed(dates))
        many = words.RESTATED_MANY.fill(count=len(days), first=dates[0], last=dates[-1])
        yield Line(few if len(days) <= _MOST_DAYS else many, Importance.THIRD)


def _missing(figures: DigestFigures, concerns: Concerns, account: str) -> Iterator[Line]:
    """Yield what is missing and since when, why if it is known, and the command that fetches it."""
    recent = [each for each in concerns.missing if not each.history]
    settled = [each for each in recent if each.settled]
    history = [each for each in concerns.missing if each.history]
    if waiting := [FAMILIES[each.family] for each in recent if not each.settled]:
        yield Line(words.WAITING.fill(families=words.listed(waiting)), Importance.FIRST)
    for text, found in ((words.MISSING, settled), (words.HISTORY, history)):
        if found:
            yield Line(text.fill(families=_since(found, figures.day.year)), Importance.FIRST)
    if concerns.idle:
        yield Line(concerns.idle, Importance.FIRST)
    elif concerns.missing and concerns.quota:
        yield Line(words.QUOTA, Importance.FIRST)
    if (settled or history) and not concerns.quota:
        yield Line(words.FETCH.fill(account=account), Importance.SECOND)


def _since(missing: list[MissingFamily], year: int) -> Text:
    """Return the families with the day since when they are missing; those of the same day are named together."""
    days = dict.fromkeys(each.since for each in missing)
    by_day = {day: [FAMILIES[each.family] for each in missing if each.since == day] for day in days}
    return words.listed(
        [words.SINCE.fill(family=words.listed(names), day=date_text(day, year)) for day, names in by_day.items()]
    )


def _ended(figures: DigestFigures) -> Iterator[Line]:
    for each in figures.periods:
        if found := [*_of_period(each)]:
            first, last = (date_text(day, figures.day.year) for day in (each.first, each.last))
            yield Line(words.PERIODS[each.period].fill(first=first, last=last), Importance.SECOND)
            yield from found


def _of_period(period: PeriodFigures) -> Iterator[Line]:
    for each in period.figures:
        if each.value is not None:
            name = metric_name(each.shown.metric)
            shown = words.PER_DAY.fill(name=name) if each.shown.metric == "readers" else name
            change = _change(each, each.before)
            is_first = _IMPORTANCE.get(each.shown.metric) is Importance.FIRST
            importance = Importance.SECOND if is_first else Importance.THIRD
            yield Line(_figure(shown, each, [change] if change else []), importance, each.is_open)
    if unknown := [metric_name(each.shown.metric) for each in period.figures if each.value is None]:
        yield Line(words.NOT_THERE.fill(names=words.listed(unknown)), Importance.SECOND)
    if period.best:
        yield Line(_best(words.BEST_PUBLISHED, period.best), Importance.LAST, period.best.is_open)
