"""Reading: the rows of the four article endpoints, made from the articles and their readers.

Add a field of an article endpoint here, in WeChat's order. `articles` decides what is published and read;
`presentation` decides how an answer that is not final differs. `returned` is a number of readers who came back on a
restated day.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

from wx_datacube.emulator.articles import DAYS_READ, SCENES, Article, Articles

ALL = "全部"
_DAY = dt.timedelta(days=1)
_KINDS_OF_READERS = ((300, 520, 680, 800, 1000), (450, 640, 770, 860, 1000), (180, 330, 480, 640, 1000))
"""Readers who have left by the end of each fifth of the article, per mille, for three kinds of article."""


def daily_reading(articles: Articles, day: dt.date, returned: int) -> Iterator[dict[str, Any]]:
    """Yield the row of each article that was read on a day."""
    for article, age in articles.read_on(day):
        scenes, users = article.visitors(age, returned)
        if users:
            yield {"msgid": article.msgid, "detail": _readers(users, scenes)}


def daily_sharing(articles: Articles, day: dt.date, returned: int) -> Iterator[dict[str, Any]]:
    """Yield the row of each article that was shared on a day."""
    for article, age in articles.read_on(day):
        sharers = article.sharers(age, article.visitors(age, returned)[1], returned)
        if sharers:
            yield {"msgid": article.msgid, "detail": {"share_user": sharers}}


def daily_summary(articles: Articles, day: dt.date, returned: int) -> Iterator[dict[str, Any]]:
    """Yield the row of the whole account on a day, or none if nothing was read."""
    read = list(articles.read_on(day))
    visits = [article.visitors(age, returned) for article, age in read]
    by_article = [users for _, users in visits]
    if not any(by_article):
        return
    scenes = [_overlapping(users) for users in zip(*(scenes for scenes, _ in visits), strict=True)]
    # Some people read several articles, and some come from several scenes.
    low, high = max(*by_article, *scenes), min(sum(by_article), sum(scenes))
    users = min(max(_overlapping(by_article), low), high)

    def reacted(figure: str) -> int:
        return min(users, _overlapping([article.growth(figure, age) for article, age in read]))

    shared = [article.sharers(age, here, returned) for (article, age), here in zip(read, by_article, strict=True)]
    yield {
        "detail": {
            **_readers(users, scenes),
            "share_user": min(users, _overlapping(shared)),
            "zaikan_user": reacted("zaikan_user"),
            "like_user": reacted("like_user"),
            "comment_count": sum(article.growth("comment_count", age) for article, age in read),
            "collection_user": reacted("collection_user"),
            "redirect_ori_page_user": users * 3 // 100,
            "send_page_count": len(articles.published(day)),
        }
    }


def published(articles: Articles, day: dt.date, until: dt.date, returned: int) -> Iterator[dict[str, Any]]:
    """Yield the row of each article published on a day, with its figures on each day up to `until`."""
    for article in articles.published(day):
        ages = [age for age in range(DAYS_READ) if day + age * _DAY <= until]
        yield {
            "msgid": article.msgid,
            "publish_type": 0 if article.recipients else 1,
            "title": article.title,
            "content_url": article.url,
            "detail_list": [_totals(article, age, returned) for age in ages],
        }


def _totals(article: Article, age: int, returned: int) -> dict[str, Any]:
    users = article.readers[age]
    scenes = [scene[age] for scene in article.scenes]
    figures = ("share_user", "zaikan_user", "like_user", "comment_count", "collection_user")
    finished = users * (300 + article.draws[32] % 500) // 1000
    seconds = users * (25 + article.draws[33] % 120) + article.draws[31] % users + returned * users
    return {
        "stat_date": (article.published + age * _DAY).isoformat(),
        **_readers(users, scenes),
        **{figure: article.total(figure, age) for figure in figures},
        "praise_money": article.total("praise_money", age),
        "read_subscribe_user": article.total("read_subscribe_user", age),
        "read_delivery_rate": _rate(scenes[0], article.recipients),
        "read_finish_rate": _rate(finished, users),
        "read_avg_activetime": _rate(seconds, 60 * users),
        "read_jump_position": _jumps(article, users),
    }


def _rate(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _jumps(article: Article, users: int) -> list[dict[str, Any]]:
    left = [users * each // 1000 for each in _KINDS_OF_READERS[article.draws[30] % 3]]
    here = [now - before for before, now in zip([0, *left], left, strict=False)]
    return [{"position": place, "rate": _rate(number, users)} for place, number in enumerate(here, 1)]


def _readers(users: int, scenes: Iterable[int]) -> dict[str, Any]:
    sources = [(users, ALL), *((here, scene) for here, scene in zip(scenes, SCENES, strict=True) if here)]
    return {
        "read_user": users,
        "read_user_source": [{"user_count": here, "scene_desc": scene} for here, scene in sources],
    }


def _overlapping(users: Iterable[int]) -> int:
    """Return how many distinct users there are among groups that share a fifth of the smaller ones."""
    groups = list(users)
    return (20 * max(groups) + 80 * sum(groups)) // 100
