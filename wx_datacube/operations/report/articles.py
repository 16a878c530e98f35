"""Articles: the figures of the report's page about articles, from the views of reading and of articles.

Add a figure of articles here. `family_pages` decides how it is shown. Readers are distinct users of a day or of an
article, so they are never added up over days.
"""

import datetime as dt
from dataclasses import dataclass

from wx_datacube.catalog.articles import DAILY_READING, PUBLISHED_ARTICLES
from wx_datacube.operations.report.stored import DailyFigures, DailyKey, StoredData

TOP = 10


@dataclass(frozen=True, slots=True)
class Article:
    """An article with its figures since publishing; `title` is None if WeChat didn't give it, figures are if unknown.

    `final` says that WeChat will not change the figures any more.
    """

    article: str
    title: str | None
    published_on: dt.date
    readers: int | None
    sharers: int | None
    new_followers: int | None
    finish_rate: float | None
    final: bool


@dataclass(frozen=True, slots=True)
class ArticleFigures:
    """Articles in the range; `by_source` has each source of readers with its average of readers per known day.

    `known` are the days whose readers are stored, out of `due` days; `open_days` are those that WeChat may still
    change. `top` are the `TOP` articles by readers, out of the `listed` ones that were published in the range;
    `articles_known` says whether any day of publishing is known.
    """

    key: DailyKey | None
    days: list[DailyFigures]
    by_source: list[tuple[str, float]]
    known: list[dt.date]
    due: int
    open_days: int
    top: list[Article]
    listed: int
    articles_known: bool

    @property
    def no_readers(self) -> bool:
        """Whether there are known days, and nobody read on any of them."""
        return bool(self.known) and not any(day.values["readers"] for day in self.days)


def read_articles(data: StoredData) -> ArticleFigures:
    """Read the figures of articles."""
    days = data.daily(
        DAILY_READING,
        ("readers", "sharers", "articles_published"),
        "SELECT date, max(readers), max(sharers), max(articles_published) FROM reads_daily",
    )
    known, published = data.known(DAILY_READING), data.known(PUBLISHED_ARTICLES)
    return ArticleFigures(
        key=data.key(days),
        days=[day for day in days if data.overlaps_range(day.date)],
        by_source=_by_source(data, known),
        known=known,
        due=len(data.due(DAILY_READING)),
        open_days=len(data.open(DAILY_READING)),
        top=_top(data, published),
        listed=_listed(data, published),
        articles_known=bool(published),
    )


def _by_source(data: StoredData, known: list[dt.date]) -> list[tuple[str, float]]:
    """Return the sources, most readers first; a known day without a row of a source had no readers from it."""
    if not known:
        return []
    found = data.query(
        "SELECT source, sum(readers) FROM reads_by_source_daily WHERE account = $account"
        " AND date BETWEEN $first AND $last GROUP BY source ORDER BY 2 DESC, 1",
        first=known[0],
        last=known[-1],
    )
    return [(source, readers / len(known)) for source, readers in found]


def _top(data: StoredData, published: list[dt.date]) -> list[Article]:
    if not published:
        return []
    found = data.query(
        "SELECT article, title, published_on, readers, sharers, new_followers, finish_rate, final FROM articles"
        " WHERE account = $account AND published_on BETWEEN $first AND $last"
        f" ORDER BY readers DESC NULLS LAST, published_on DESC, article LIMIT {TOP}",
        first=published[0],
        last=published[-1],
    )
    return [Article(*row) for row in found]


def _listed(data: StoredData, published: list[dt.date]) -> int:
    if not published:
        return 0
    ((count,),) = data.query(
        "SELECT count(*) FROM articles WHERE account = $account AND published_on BETWEEN $first AND $last",
        first=published[0],
        last=published[-1],
    )
    return int(count)
