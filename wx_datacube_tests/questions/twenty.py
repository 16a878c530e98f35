"""Twenty questions that operators and analysts ask an assistant, with the calls that answer them and the right answers.

The right answers are counted from the emulated world in plain Python, never by the program's SQL. Add a question with
its calls, at most two, what the assistant reads from the results, and how the answer is counted otherwise.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from wx_datacube.catalog.articles import SCENE_DESC
from wx_datacube.catalog.followers import CHANNEL
from wx_datacube.catalog.messages import MSG_TYPE
from wx_datacube.emulator.world import World

YESTERDAY = dt.date(2026, 11, 23)
"""A Monday; the assistant's today is the day after, as in most tests."""
START = dt.date(2026, 10, 1)
LOST = [dt.date(2026, 11, 5), dt.date(2026, 11, 6)]
"""Days whose reading figures are missing in the file."""

Call = tuple[str, dict[str, object]]
Row = dict[str, Any]


def days(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the days of a range, both ends included."""
    return [first + dt.timedelta(days=count) for count in range((last - first).days + 1)]


OCTOBER = days(dt.date(2026, 10, 1), dt.date(2026, 10, 31))
LAST_WEEK = days(dt.date(2026, 11, 16), dt.date(2026, 11, 22))
WEEK_BEFORE = days(dt.date(2026, 11, 9), dt.date(2026, 11, 15))
LAST_30_DAYS = days(dt.date(2026, 10, 25), YESTERDAY)


@dataclass(frozen=True, slots=True)
class Asked:
    """The results of a question's calls: JSON, or the text of an error."""

    results: list[Any]

    @property
    def rows(self) -> list[Row]:
        """The rows of the last result."""
        found: list[Row] = self.results[-1]["rows"]
        return found

    @property
    def value(self) -> Any:
        """The only figure of the last result."""
        (row,) = self.rows
        return row["value"]

    def by(self, *names: str) -> dict[Any, Any]:
        """Return the figures of the last result by one or several keys."""
        return {
            tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]: row["value"] for row in self.rows
        }


@dataclass(frozen=True, slots=True)
class Question:
    """A question in both languages, the calls, what the results say, and the right answer of the worlds by account."""

    en: str
    zh: str
    calls: list[Call]
    told: Callable[[Asked], Any]
    right: Callable[[dict[str, World]], Any]


# --- counting in the world --------------------------------------------------------------------------------------


def details(world: World, day: dt.date) -> Row:
    """Return the reading figures of a day."""
    (row,) = world.rows("getbizsummary", day)
    found: Row = row["detail"]
    return found


def followers(world: World, dates: Iterable[dt.date], field: str = "new_user") -> int:
    """Return the new or lost followers of some days."""
    return sum(row[field] for day in dates for row in world.rows("getusersummary", day))


def net(world: World, dates: list[dt.date]) -> int:
    """Return the net growth of the followers."""
    return followers(world, dates) - followers(world, dates, "cancel_user")


def senders(world: World, dates: Iterable[dt.date]) -> int:
    """Return how many different people sent messages on at least one of the days."""
    return len({message.user for day in dates for message in world.messages(day)})


def volume(world: World, dates: Iterable[dt.date]) -> int:
    """Return the messages of some days."""
    return sum(len(world.messages(day)) for day in dates)


def frequent_share(world: World, dates: Iterable[dt.date]) -> float:
    """Return the share of a day's senders who sent more than ten messages on it, over all days, in percent."""
    sent = [count for day in dates for count in Counter(message.user for message in world.messages(day)).values()]
    return round(100 * sum(count > 10 for count in sent) / len(sent), 2)


def articles(world: World, dates: Iterable[dt.date]) -> list[tuple[str, Row]]:
    """Return the title and the newest figures, as of yesterday, of each article that was published on the days."""
    published = [row for day in dates for row in world.rows("getarticletotaldetail", day, YESTERDAY)]
    return [(row["title"], row["detail_list"][-1]) for row in published]


def best_by_followers(world: World) -> tuple[str, int]:
    """Return October's article that brought the most followers."""
    title, figures = max(articles(world, OCTOBER), key=lambda each: each[1]["read_subscribe_user"])
    return title, figures["read_subscribe_user"]


def readers_by_source(world: World) -> dict[str, float]:
    """Return the readers a day of each source in the last week."""
    total: Counter[str] = Counter()
    for day in LAST_WEEK:
        for row in world.rows("getbizsummary", day):
            for each in row["detail"]["read_user_source"]:
                total[dict(SCENE_DESC.codes)[each["scene_desc"]]] += each["user_count"]
    del total["all"]
    return {source: round(count / len(LAST_WEEK), 2) for source, count in total.items() if count}


def callbacks(world: World, dates: Iterable[dt.date], field: str) -> int:
    """Return a figure of the interface over some days."""
    return sum(row[field] for day in dates for row in world.rows("getinterfacesummary", day))


def rounded(figures: dict[Any, Any]) -> dict[Any, float]:
    """Return the figures rounded to two decimals, without zeros."""
    return {key: round(value, 2) for key, value in figures.items() if value}


def titled(name: str) -> str:
    """Return an account's title, as its operator calls it."""
    return {"shop": "灯下读书", "cafe": "巷口咖啡"}[name]


# --- the questions ----------------------------------------------------------------------------------------------

SHOP = {"account": "shop"}

QUESTIONS = [
    Question(
        "How many people read our articles yesterday?",
        "昨天有多少人阅读了我们的文章？",
        [("query_metric", {"metric": "readers", "start": "yesterday", **SHOP})],
        lambda asked: asked.value,
        lambda worlds: details(worlds["shop"], YESTERDAY)["read_user"],
    ),
    Question(
        "Net followers last week, against the week before?",
        "上周净增粉丝比前一周多还是少？",
        [
            (
                "query_metric",
                {"metric": "net_followers", "start": "week before last", "end": "last week", "by": "week", **SHOP},
            )
        ],
        lambda asked: asked.by("week"),
        lambda worlds: {str(week[0]): net(worlds["shop"], week) for week in (WEEK_BEFORE, LAST_WEEK)},
    ),
    Question(
        "Which article of last month brought the most followers?",
        "上个月哪篇文章带来的关注最多？",
        [("top_articles", {"by": "new_followers", "start": "last month", "limit": 1, **SHOP})],
        lambda asked: (asked.rows[0]["title"], asked.rows[0]["new_followers"]),
        lambda worlds: best_by_followers(worlds["shop"]),
    ),
    Question(
        "At which hour do people write most, over the last 30 days?",
        "最近30天，粉丝在几点发消息最多？",
        [("query_metric", {"metric": "messages", "start": "last 30 days", "by": "hour", **SHOP})],
        lambda asked: (asked.rows[0]["hour"], asked.rows[0]["value"]),
        lambda worlds: Counter(
            message.hour for day in LAST_30_DAYS for message in worlds["shop"].messages(day)
        ).most_common(1)[0],
    ),
    Question(
        "What share of the people who wrote in October sent more than ten messages on a day?",
        "十月发消息的人里，单日发送10次以上的占多少？",
        [("query_metric", {"metric": "frequent_sender_share", "start": "2026-10", "by": "total", **SHOP})],
        lambda asked: round(asked.value, 2),
        lambda worlds: frequent_share(worlds["shop"], OCTOBER),
    ),
    Question(
        "Are yesterday's readers final, or may WeChat still change them?",
        "昨天的阅读人数是最终数据吗？",
        [("query_metric", {"metric": "readers", "start": "yesterday", **SHOP})],
        lambda asked: asked.results[0]["not_final"],
        lambda _: [{"account": "shop", "endpoint": "getbizsummary", "dates": [str(YESTERDAY)]}],
    ),
    Question(
        "Which days are missing?",
        "哪些天的数据缺失？",
        [("coverage", SHOP)],
        lambda asked: asked.results[0]["missing"],
        lambda _: [{"account": "shop", "endpoint": "getbizsummary", "dates": [f"{LOST[0]}..{LOST[1]}"]}],
    ),
    Question(
        "How many different people wrote to us in October?",
        "十月一共有多少不同的用户发过消息？",
        [
            ("query_metric", {"metric": "senders", "start": "2026-10-01", "end": "2026-10-31", "by": "total", **SHOP}),
            ("query_metric", {"metric": "monthly_senders", "start": "2026-10", **SHOP}),
        ],
        lambda asked: ("去重" in asked.results[0], "monthly_senders" in asked.results[0], asked.value),
        lambda worlds: (True, True, senders(worlds["shop"], OCTOBER)),
    ),
    Question(
        "Through which channels did new followers come in the last 30 days?",
        "最近30天的新增粉丝来自哪些渠道？",
        [("query_metric", {"metric": "new_followers", "start": "last 30 days", "by": "source", **SHOP})],
        lambda asked: rounded(asked.by("source")),
        lambda worlds: rounded(
            sum(
                (
                    Counter({dict(CHANNEL.codes)[row["user_source"]]: row["new_user"]})
                    for day in LAST_30_DAYS
                    for row in worlds["shop"].rows("getusersummary", day)
                ),
                Counter(),
            )
        ),
    ),
    Question(
        "Where did last week's readers come from?",
        "上周的读者来自哪里？",
        [("query_metric", {"metric": "readers", "start": "last week", "by": "source", **SHOP})],
        lambda asked: rounded(asked.by("source")),
        lambda worlds: readers_by_source(worlds["shop"]),
    ),
    Question(
        "Which of our accounts got more messages last week?",
        "上周两个公众号各收到多少条消息？",
        [("query_metric", {"metric": "messages", "start": "last week", "by": "account"})],
        lambda asked: {titled(name): value for name, value in asked.by("account").items()},
        lambda worlds: {titled(name): volume(world, LAST_WEEK) for name, world in worlds.items()},
    ),
    Question(
        "How many readers does a typical article of October have?",
        "十月发表的文章，单篇阅读人数的中位数是多少？",
        [("query_metric", {"metric": "median_readers", "start": "2026-10", "account": "灯下读书"})],
        lambda asked: asked.value,
        lambda worlds: median(figures["read_user"] for _, figures in articles(worlds["shop"], OCTOBER)),
    ),
    Question(
        "What is our open rate for October's notified articles?",
        "十月群发文章的打开率是多少？",
        [
            ("query_metric", {"metric": "open_rate", "start": "2026-10"}),
            ("query_metric", {"metric": "delivery_rate", "start": "2026-10", **SHOP}),
        ],
        lambda asked: ("delivery_rate" in asked.results[0], round(asked.value, 2)),
        lambda worlds: (
            True,
            round(
                100
                * fmean(
                    row["detail_list"][-1]["read_delivery_rate"]
                    for day in OCTOBER
                    for row in worlds["shop"].rows("getarticletotaldetail", day, YESTERDAY)
                    if row["publish_type"] == 0
                ),
                2,
            ),
        ),
    ),
    Question(
        "How many messages did we get in March 2026?",
        "2026年3月收到多少条消息？",
        [("query_metric", {"metric": "messages", "start": "2026-03", "by": "total", **SHOP})],
        lambda asked: (str(START) in asked.results[0], "WX_DATACUBE_START" in asked.results[0]),
        lambda _: (True, True),
    ),
    Question(
        "What types of messages did people send last month?",
        "上个月各类型的消息各有多少条？",
        [("query_metric", {"metric": "messages", "start": "last month", "by": "type", **SHOP})],
        lambda asked: asked.by("type"),
        lambda worlds: Counter(
            dict(MSG_TYPE.codes)[message.type] for day in OCTOBER for message in worlds["shop"].messages(day)
        ),
    ),
    Question(
        "How many followers did we have at the end of October?",
        "十月底一共有多少粉丝？",
        [("query_metric", {"metric": "followers", "start": "2026-10-31", "end": "2026-10-31", **SHOP})],
        lambda asked: asked.value,
        lambda worlds: worlds["shop"].rows("getusercumulate", OCTOBER[-1])[0]["cumulate_user"],
    ),
    Question(
        "How many people write on an average day of the last 30 days?",
        "最近30天平均每天有多少人发消息？",
        [("query_metric", {"metric": "senders", "start": "last 30 days", "by": "mean", **SHOP})],
        lambda asked: round(asked.value, 2),
        lambda worlds: round(fmean(senders(worlds["shop"], [day]) for day in LAST_30_DAYS), 2),
    ),
    Question(
        "How many people wrote in each of the last two weeks?",
        "最近两周每周有多少人发消息？",
        [("query_metric", {"metric": "weekly_senders", "start": "week before last", "end": "last week", **SHOP})],
        lambda asked: asked.by("week"),
        lambda worlds: {str(week[0]): senders(worlds["shop"], week) for week in (WEEK_BEFORE, LAST_WEEK)},
    ),
    Question(
        "How often did our server fail last week?",
        "上周接口调用失败率是多少？",
        [("query_metric", {"metric": "failure_rate", "start": "last week", "by": "total", **SHOP})],
        lambda asked: round(asked.value, 2),
        lambda worlds: round(
            100
            * callbacks(worlds["shop"], LAST_WEEK, "fail_count")
            / callbacks(worlds["shop"], LAST_WEEK, "callback_count"),
            2,
        ),
    ),
    Question(
        "On how many days of October did more than 15 people begin to follow?",
        "十月有多少天新增粉丝超过 15 人？",
        [
            (
                "run_sql",
                {
                    "sql": "SELECT count(*) FROM (SELECT date FROM followers_daily WHERE account = 'shop'"
                    " AND date BETWEEN '2026-10-01' AND '2026-10-31' GROUP BY date"
                    " HAVING sum(new_followers) > 15)"
                },
            )
        ],
        lambda asked: asked.results[0]["rows"],
        lambda worlds: [[sum(followers(worlds["shop"], [day]) > 15 for day in OCTOBER)]],
    ),
]


def read(text: str) -> Any:
    """Return a result as JSON; an error's text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
