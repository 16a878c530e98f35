"""Family pages: what the template `families.html` shows of followers and articles, and the data of their charts.

Add what a page shows here; its figures are in the module of the family. A value that WeChat may still change is marked
with an asterisk, and a point of a chart is hollow.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from wx_datacube.catalog.model import Period
from wx_datacube.operations.report import charts
from wx_datacube.operations.report.articles import Article, ArticleFigures
from wx_datacube.operations.report.figures import Figures
from wx_datacube.operations.report.followers import FollowerFigures
from wx_datacube.operations.report.stored import DailyFigures, DailyKey
from wx_datacube.operations.report.texts import change, comparison_label, date_text, difference, number
from wx_datacube.operations.report.words import Words

FOLLOWER_KEYS = ("followers", "new_followers", "lost_followers", "net_followers")
ARTICLE_KEYS = ("readers", "sharers", "articles_published")
_FOLLOWER_SERIES = {"n": "new_followers", "l": "lost_followers", "g": "net_followers"}
_READER_SERIES = {"r": "readers"}
_BELOW_ZERO = {"net_followers"}
_TOOLTIP_DAYS = 2 * 366
"""Charts of more days have no tooltips, since a circle for each day would make them slow."""


def family_charts(figures: Figures, words: Words) -> dict[str, Any]:
    """Return the charts of the family pages that have data, by the name of their data set."""
    drawn = {}
    if figures.followers and len(points := _follower_points(figures.followers)) > 1:
        drawn["followers"] = charts.followers(words, _circles(points))
    if figures.articles and len(points := _reader_points(figures.articles)) > 1:
        drawn["readers"] = charts.readers(words, _circles(points), any("o" in each for each in points))
    return drawn


def family_data(figures: Figures) -> dict[str, list[dict[str, Any]]]:
    """Return the data sets of the charts of the family pages."""
    data = {}
    if figures.followers:
        data["followers"] = _follower_points(figures.followers)
    if figures.articles:
        data["readers"] = _reader_points(figures.articles)
    return data


def followers_page(figures: Figures, words: Words) -> dict[str, Any] | None:
    """Return what the page of followers shows; None if the account doesn't fetch them."""
    found = figures.followers
    if found is None:
        return None
    stored = _stored_days(len(found.known), found.due, words)
    return {
        "key": _key(found.key, FOLLOWER_KEYS, words),
        "channels": [(words.channel(name), number(new), number(lost)) for name, new, lost in found.by_channel],
        "channels_note": words.joined(_of_range(figures, "channels_note", words), stored),
        "no_chart": _no_chart(figures, len(found.known), words),
        "nothing": words.joined(_of_range(figures, "no_follower_changes" if found.known else "not_yet", words), stored),
    }


def articles_page(figures: Figures, words: Words) -> dict[str, Any] | None:
    """Return what the page of articles shows; None if the account doesn't fetch them."""
    found = figures.articles
    if found is None:
        return None
    stored = _stored_days(len(found.known), found.due, words)
    open_days = words("open_days", count=found.open_days) if found.open_days else ""
    average = _of_range(figures, "sources_note", words)
    return {
        "key": _key(found.key, ARTICLE_KEYS, words),
        "sources": [(words.source(name), number(readers, ",.1f")) for name, readers in found.by_source],
        "sources_note": words.joined(average, stored, open_days, words.meaning("readers_by_source")),
        "top": [_article(each, words) for each in found.top],
        "listed": found.listed,
        "open_days": found.open_days,
        "no_chart": _no_chart(figures, len(found.known), words),
        "no_sources": words.joined(_of_range(figures, "no_readers" if found.no_readers else "not_yet", words), stored),
        "no_articles": _of_range(figures, "no_articles" if found.articles_known else "not_yet", words),
    }


# --- texts ------------------------------------------------------------------------------------------------------


def _key(key: DailyKey | None, names: Sequence[str], words: Words) -> dict[str, Any] | None:
    """Return a table of the newest day's figures with their changes, in the form of the key figures of messages."""
    if key is None:
        return None
    day, marked = key.day, " *" if key.day.is_open else ""
    return {
        "period": Period.DAY.value,
        "title": words("key_day", date=date_text(day.date, Period.DAY, words)),
        "comparisons": [comparison_label(Period.DAY, days, words) for days in key.before],
        "figures": [
            {
                "name": words.metric(name),
                "value": number(day.values[name]) + (marked if day.values[name] is not None else ""),
                "changes": [_change(name, day, before, words) for before in key.before.values()],
            }
            for name in names
        ],
        "is_open": day.is_open or any(before.is_open for before in key.before.values()),
    }


def _change(name: str, day: DailyFigures, before: DailyFigures, words: Words) -> str:
    """Return a figure's change, marked if WeChat may still change one of the two values."""
    now, then = day.values[name], before.values[name]
    said = difference(now, then, words) if name in _BELOW_ZERO else change(now, then, words)
    if (day.is_open or before.is_open) and now is not None and then is not None:
        said += " *"
    # On a phone, a line may break within words, but not between an arrow and its number.
    return said.replace(" ", "\u00a0") if said[0] in "▲▼" else said


def _article(article: Article, words: Words) -> dict[str, str]:
    """Return a row of the table of articles; an article without a title is named by its number."""
    return {
        "title": (article.title or "").strip() or article.article,
        "published_on": article.published_on.isoformat(),
        "readers": number(article.readers),
        "sharers": number(article.sharers),
        "new_followers": number(article.new_followers),
        "finish_rate": number(article.finish_rate, ".1%"),
        "state": words("final" if article.final else "still_open"),
    }


def _no_chart(figures: Figures, known: int, words: Words) -> str:
    """Return the reason for a chart that is not drawn."""
    return words("one_day") if known == 1 else _of_range(figures, "not_yet", words)


def _of_range(figures: Figures, key: str, words: Words) -> str:
    """Return a text about the range."""
    return words(key, first=figures.first, last=figures.last)


def _stored_days(known: int, due: int, words: Words) -> str:
    """Return how many of the due days are counted; empty if all are."""
    return words("stored_days", known=f"{known:,}", due=f"{due:,}") if known < due else ""


# --- data of charts ---------------------------------------------------------------------------------------------


def _follower_points(found: FollowerFigures) -> list[dict[str, Any]]:
    return _points(found.days, _FOLLOWER_SERIES)


def _reader_points(found: ArticleFigures) -> list[dict[str, Any]]:
    return _points(found.days, _READER_SERIES)


def _circles(points: Sequence[Mapping[str, Any]]) -> charts.Circles:
    if len(points) <= _TOOLTIP_DAYS:
        return "all"
    return "alone" if any("a" in each for each in points) else "none"


def _points(days: Sequence[DailyFigures], series: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the points from the first to the last known day, as `charts.followers` describes them."""
    main = next(iter(series.values()))
    known = [place for place, day in enumerate(days) if day.values[main] is not None]
    shown = days[known[0] : known[-1] + 1] if known else []
    there = [None, *[day.values[main] for day in shown], None]
    return [
        {"d": day.date.isoformat()}
        | {key: day.values[name] for key, name in series.items()}
        | ({"a": 1} if there[place] is None and there[place + 2] is None else {})
        | ({"o": 1} if day.is_open and day.values[main] is not None else {})
        for place, day in enumerate(shown)
    ]
