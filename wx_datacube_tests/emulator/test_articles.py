"""The made-up articles: the four article endpoints agree with each other, checked on their rows alone."""

import datetime as dt
import re
import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from wx_datacube.catalog.articles import ARTICLES_START, ENDPOINTS
from wx_datacube.emulator.world import World

DAY = dt.timedelta(days=1)
DAYS = [ARTICLES_START + number * DAY for number in range(90)]
SCENES = ["公众号消息", "聊天会话", "朋友圈", "公众号主页", "其他", "推荐", "搜一搜"]
CUMULATIVE = (
    "read_user",
    "share_user",
    "zaikan_user",
    "like_user",
    "comment_count",
    "collection_user",
    "praise_money",
    "read_subscribe_user",
)

Row = dict[str, Any]


class Season:
    """The rows of the four endpoints for 90 days."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.published = {day: world.rows("getarticletotaldetail", day) for day in DAYS}
        self.read = {day: rows_by_article(world.rows("getarticleread", day)) for day in DAYS}
        self.shared = {day: rows_by_article(world.rows("getarticleshare", day)) for day in DAYS}
        self.account = {day: [row["detail"] for row in world.rows("getbizsummary", day)] for day in DAYS}
        self.articles = [row for rows in self.published.values() for row in rows]


def rows_by_article(rows: Iterable[Row]) -> dict[str, Row]:
    """Return the object `detail` of each row by article."""
    found = [(row["msgid"], row["detail"]) for row in rows]
    assert len(dict(found)) == len(found)
    return dict(found)


def scenes_of(figures: Row) -> tuple[int, dict[str, int]]:
    """Return readers in total and by scene; the total comes first and is `read_user`."""
    total, *others = figures["read_user_source"]
    assert total == {"user_count": figures["read_user"], "scene_desc": "全部"}
    found = {source["scene_desc"]: source["user_count"] for source in others}
    assert len(found) == len(others)
    return total["user_count"], found


@pytest.fixture(scope="module", params=[(0, 300), (5, 3), (9, 3_000)], ids=["usual", "small", "large"])
def season(request: pytest.FixtureRequest) -> Season:
    """Ninety days of accounts of three sizes."""
    seed, size = request.param
    return Season(World(seed, size))


def test_up_to_four_articles_are_published_on_a_day_and_on_some_days_none(season: Season) -> None:
    """There are 0 to 4 articles per day, more on workdays; their ids and addresses are unique."""
    numbers = {day: len(rows) for day, rows in season.published.items()}
    assert set(numbers.values()) == {0, 1, 2, 3, 4}
    workdays, weekends = ([n for day, n in numbers.items() if (day.weekday() >= 5) is free] for free in (False, True))
    assert sum(workdays) / len(workdays) > sum(weekends) / len(weekends)
    for field in ("msgid", "content_url"):
        assert len({row[field] for row in season.articles}) == len(season.articles)
    for day, rows in season.published.items():
        assert all(row["ref_date"] == day.isoformat() for row in rows)


def test_an_article_has_an_id_an_address_and_a_type(season: Season) -> None:
    """The address contains the id's two numbers; most articles are notified, all of one message or none."""
    types: dict[str, set[int]] = {}
    for row in season.articles:
        message, index = row["msgid"].split("_")
        address = rf"https://mp\.weixin\.qq\.com/s\?__biz=[\w=]+&mid={message}&idx={index}&sn=[0-9a-f]{{32}}#rd"
        assert re.fullmatch(address, row["content_url"])
        types.setdefault(message, set()).add(row["publish_type"])
    assert all(len(found) == 1 for found in types.values())
    assert sum(found == {0} for found in types.values()) > sum(found == {1} for found in types.values()) > 0


def test_titles_contain_what_titles_contain() -> None:
    """Titles have Chinese, quotes, emoji, HTML, a backslash and right-to-left text."""
    world = World()
    days = [ARTICLES_START + number * DAY for number in range(300)]
    titles = "\n".join(row["title"] for day in days for row in world.rows("getarticletotaldetail", day))
    for part in ("周末", '"', "“", "🎉", "<b>", "\\", "\u200f", "&"):
        assert part in titles


def test_an_article_counts_from_its_day_for_thirty_days(season: Season) -> None:
    """`detail_list` has the 30 days from publishing on, or those up to `until`."""
    for row in season.articles:
        first = dt.date.fromisoformat(row["ref_date"])
        assert [each["stat_date"] for each in row["detail_list"]] == [str(first + n * DAY) for n in range(30)]
    day = next(day for day, rows in season.published.items() if rows)
    (some, *_), (whole, *_) = (season.world.rows("getarticletotaldetail", day, u) for u in (day + 4 * DAY, None))
    assert some == {**whole, "detail_list": whole["detail_list"][:5]}


def test_cumulative_figures_never_decrease(season: Season) -> None:
    """No figure of an article and no scene decreases from one day to the next."""
    for row in season.articles:
        for before, after in pairwise(row["detail_list"]):
            assert all(before[figure] <= after[figure] for figure in CUMULATIVE)
            earlier, later = scenes_of(before)[1], scenes_of(after)[1]
            assert all(later[scene] >= users for scene, users in earlier.items())


def test_readers_are_most_on_the_day_of_publishing_and_decay(season: Season) -> None:
    """All articles together get more readers on the first day than later, and few after a fortnight."""
    totals = [sum(row["detail_list"][age]["read_user"] for row in season.articles) for age in range(30)]
    first, *others = (after - before for before, after in pairwise([0, *totals]))
    assert first > 1.5 * others[0] > others[6] > others[27]
    assert sum(others[13:]) < 0.15 * totals[-1]
    assert all(row["detail_list"][0]["read_user"] >= 1 for row in season.articles)


def test_the_total_is_between_the_largest_scene_and_the_sum_of_all(season: Season) -> None:
    """Readers of several scenes count once in 全部; every scene is a known one."""
    seen: set[str] = set()
    days = [figures for rows in season.read.values() for figures in rows.values()]
    account = [figures for rows in season.account.values() for figures in rows]
    details = [figures for row in season.articles for figures in row["detail_list"]]
    for figures in [*days, *account, *details]:
        total, scenes = scenes_of(figures)
        assert max(scenes.values()) <= total <= sum(scenes.values())
        assert all(scenes.values())
        seen |= set(scenes)
    assert seen == set(SCENES)


def test_nobody_shares_or_follows_without_having_read(season: Season) -> None:
    """No count of users is above that of the readers."""
    for row in season.articles:
        for figures in row["detail_list"]:
            users = [figures[name] for name in CUMULATIVE if name.endswith(("user", "comment_count"))]
            assert max(users) == figures["read_user"]
    for day in DAYS:
        for article, figures in season.shared[day].items():
            assert 0 < figures["share_user"] <= season.read[day][article]["read_user"]
        for figures in season.account[day]:
            users = [n for name, n in figures.items() if name.endswith("_user") and name != "read_user"]
            assert max(users) <= figures["read_user"]


def test_rates_are_from_0_to_1(season: Season) -> None:
    """Rates are within 0 and 1, readers stay for minutes, and the five parts of an article add up to all readers."""
    for row in season.articles:
        for figures in row["detail_list"]:
            assert 0 <= figures["read_delivery_rate"] <= 1
            assert (figures["read_delivery_rate"] == 0) is (row["publish_type"] == 1) or figures["read_user"] < 50
            assert 0 <= figures["read_finish_rate"] <= 1
            assert 0 < figures["read_avg_activetime"] < 5
            assert [jump["position"] for jump in figures["read_jump_position"]] == [1, 2, 3, 4, 5]
            assert sum(jump["rate"] for jump in figures["read_jump_position"]) == pytest.approx(1, abs=0.0003)


def test_daily_readers_and_sharers_cover_the_growth_of_the_totals(season: Season) -> None:
    """On each day at least the new readers read, in total and by scene, and at least the new sharers shared."""
    for row in season.articles:
        before: dict[str, int] = {}
        read_before = shared_before = 0
        for figures in row["detail_list"]:
            day = dt.date.fromisoformat(figures["stat_date"])
            if day not in season.read:
                break
            nobody = {"read_user": 0, "read_user_source": [{"user_count": 0, "scene_desc": "全部"}]}
            read, scenes = scenes_of(season.read[day].get(row["msgid"], nobody))
            assert read >= figures["read_user"] - read_before
            total, now = scenes_of(figures)
            assert all(scenes.get(scene, 0) >= users - before.get(scene, 0) for scene, users in now.items())
            shared = season.shared[day].get(row["msgid"], {"share_user": 0})["share_user"]
            assert shared >= figures["share_user"] - shared_before
            if read_before == 0:
                assert (read, scenes, shared) == (total, now, figures["share_user"])
            before, read_before, shared_before = now, figures["read_user"], figures["share_user"]


def test_only_articles_of_the_last_thirty_days_are_read(season: Season) -> None:
    """Every article that is read or shared was published on the day or within the 29 days before it."""
    for day in DAYS:
        recent = {row["msgid"] for n in range(30) for row in season.published.get(day - n * DAY, [])}
        assert set(season.shared[day]) <= set(season.read[day]) <= recent
        assert {row["msgid"] for row in season.published[day]} <= set(season.read[day])


def test_the_account_has_as_many_readers_as_its_articles_allow(season: Season) -> None:
    """The account's readers are at least those of the most-read article and at most the sum; so are its scenes."""
    for day in DAYS:
        articles = [scenes_of(figures) for figures in season.read[day].values()]
        assert len(season.account[day]) == (1 if articles else 0)
        for figures in season.account[day]:
            total, scenes = scenes_of(figures)
            assert max(read for read, _ in articles) <= total <= sum(read for read, _ in articles)
            for scene, users in scenes.items():
                by_article = [each.get(scene, 0) for _, each in articles]
                assert max(by_article) <= users <= sum(by_article)
            shares = [each["share_user"] for each in season.shared[day].values()]
            assert max(shares, default=0) <= figures["share_user"] <= sum(shares)
            assert figures["send_page_count"] == len(season.published[day])


def test_comments_of_the_account_are_those_of_its_articles(season: Season) -> None:
    """Comments are additive: the account's comments of a day are the growth of its articles' comments."""
    grown = dict.fromkeys(DAYS, 0)
    for row in season.articles:
        for before, after in pairwise([{"comment_count": 0}, *row["detail_list"]]):
            day = dt.date.fromisoformat(after["stat_date"])
            grown[day] = grown.get(day, 0) + after["comment_count"] - before["comment_count"]
    for day in DAYS:
        assert sum(figures["comment_count"] for figures in season.account[day]) == grown[day]


def test_on_silent_days_nothing_is_published_read_or_shared() -> None:
    """Days without a row occur, so that clients meet empty answers: the silent ones, and those before any article."""
    world = World(silent_share=0.1)
    season, silent = Season(world), {day for day in DAYS if not world.messages(day)}
    first = next(day for day in DAYS if season.published[day])
    assert 3 < len(silent) < 20
    for rows in (season.read, season.shared, season.account):
        assert {day for day, found in rows.items() if not found and day >= first} == {
            day for day in silent if day >= first
        }
    assert not any(season.published[day] for day in silent)
    assert not any(World(silent_share=1).rows(endpoint, day) for endpoint in ENDPOINTS for day in DAYS)


def test_a_small_account_has_days_on_which_nothing_is_shared() -> None:
    """A day may have readers and no sharers."""
    small = Season(World(5, 3))
    assert any(small.read[day] and not small.shared[day] for day in DAYS)


def test_there_are_no_articles_before_november_2025_or_before_the_account() -> None:
    """The four endpoints have nothing for earlier days; an account that starts later begins with its start."""
    world, late = World(), World(start=dt.date(2026, 3, 1))
    for endpoint in ENDPOINTS:
        assert world.rows(endpoint, ARTICLES_START - DAY) == world.rows(endpoint, dt.date(2015, 1, 1)) == []
        assert late.rows(endpoint, dt.date(2026, 2, 28)) == world.rows(endpoint, dt.date.min) == []
    month = [dt.date(2026, 3, 1) + number * DAY for number in range(31)]
    assert any(late.rows("getbizsummary", day) for day in month)
    assert any(world.rows("getbizsummary", ARTICLES_START + number * DAY) for number in range(7))


def test_any_day_of_articles_is_computed_in_milliseconds() -> None:
    """A year of all four endpoints, computed for the first time, takes less than 40 ms per day."""
    world = World()
    began = time.process_time()
    for number in range(365):
        for endpoint in ENDPOINTS:
            world.rows(endpoint, ARTICLES_START + number * DAY)
    assert time.process_time() - began < 365 * 0.04  # 4 ms on an idle machine


def test_a_restated_day_has_more_readers_and_sharers_and_changes_no_other_day() -> None:
    """Readers, sharers, the account and the articles published on the day change; their cumulative readers don't."""
    world, before = World(), World()
    day = next(day for day in DAYS[30:] if world.rows("getarticletotaldetail", day))
    world.restate(day, factor=1.3)
    for endpoint in ENDPOINTS:
        assert world.rows(endpoint, day) != before.rows(endpoint, day)
        assert world.rows(endpoint, day - DAY) == before.rows(endpoint, day - DAY)
        assert world.rows(endpoint, day + DAY) == before.rows(endpoint, day + DAY)
        first = world.json(endpoint, day)
        world.restate(day, delta=100)
        assert world.json(endpoint, day) != first
    for old, new in zip(
        before.rows("getarticletotaldetail", day), world.rows("getarticletotaldetail", day), strict=True
    ):
        for was, now in zip(old["detail_list"], new["detail_list"], strict=True):
            assert {name for name in was if was[name] != now[name]} == {"read_avg_activetime"}
    read = rows_by_article(world.rows("getarticleread", day))
    for article, was in rows_by_article(before.rows("getarticleread", day)).items():
        total, scenes = scenes_of(read[article])
        assert max(scenes.values()) <= total <= sum(scenes.values())
        assert total > was["read_user"]
