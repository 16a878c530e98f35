"""Metrics: the dictionary of the figures that people ask for, each as SQL over one of the views for people.

Add a figure here as an entry under its view. `datacube.metrics` holds the dictionary in the DuckDB file, and
`warehouse.views` takes the words for its columns from it, so that a meaning is written once. The Chinese names are
those of WeChat's console. Nothing here runs a query.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Additive(StrEnum):
    """Whether the values of a metric may be added up."""

    YES = "yes"
    """Over days, accounts and everything else."""
    NOT_OVER_TIME = "not over time"
    """Over accounts, but not over days."""
    NO = "no"
    """Not at all: distinct users overlap, and rates and means have different bases."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure: an SQL aggregate over the rows of a view, as in `SELECT date, <expression> FROM <view> GROUP BY date`.

    The view `articles` has `published_on` instead of `date`. Where values may not be added, the expression never adds
    them: over several rows, distinct users are averaged, and rates are weighted by their bases.
    """

    metric: str
    view: str
    expression: str
    unit: str
    additive: Additive
    description: str
    description_zh: str


_YES, _NO = Additive.YES, Additive.NO

_Entry = tuple[str, str, str, Additive, str, str]
"""Name, expression, unit, whether it is additive, and the meaning in English and in Chinese."""


def _percent(part: str, base: str) -> str:
    return f"100.0 * {part} / nullif({base}, 0)"


def _mean(value: str, weight: str) -> str:
    """Return SQL for a mean that leaves out rows without the value."""
    return f"sum({value} * {weight}) / nullif(sum({weight}) FILTER ({value} IS NOT NULL), 0)"


def _after(days: int) -> _Entry:
    """Return the entry for the readers of a typical article at the end of a day after publishing."""
    return (
        f"readers_day_{days}",
        f"median(readers) FILTER (day = {days})",
        "users",
        _NO,
        f"Readers of a typical article by the end of day {days}, the day of publishing being day 1; the median.",
        f"文章发表后前 {days} 天的累计阅读人数（发表当日为第 1 天），取中位数。",
    )


_MESSAGES: Mapping[str, tuple[_Entry, ...]] = {
    "totals_daily": (
        ("messages", "sum(messages)", "messages", _YES, "Messages sent to the account.", "消息发送次数。"),
        (
            "senders",
            "avg(users)",
            "users",
            _NO,
            "Users who sent messages, each counted once.",
            "消息发送人数（去重）。",
        ),
        (
            "messages_per_sender",
            "sum(messages) FILTER (users IS NOT NULL) / nullif(sum(users) FILTER (messages IS NOT NULL), 0)",
            "messages",
            _NO,
            "Messages per sender.",
            "人均发送次数。",
        ),
    ),
    "totals_weekly": (
        (
            "weekly_senders",
            "avg(users)",
            "users",
            _NO,
            "Users who sent messages in a week.",
            "一周的消息发送人数（去重）。",
        ),
    ),
    "totals_monthly": (
        (
            "monthly_senders",
            "avg(users)",
            "users",
            _NO,
            "Users who sent messages in a month.",
            "一个月的消息发送人数（去重）。",
        ),
    ),
    "messages_hourly": (
        ("messages_by_hour", "sum(messages)", "messages", _YES, "Messages by hour of the day.", "分时消息发送次数。"),
    ),
    "senders_daily": (
        (
            "frequent_sender_share",
            _percent(
                "coalesce(sum(users) FILTER (messages_sent = 'more than 10'), 0)",
                "sum(users) FILTER (messages_sent <> '0')",
            ),
            "%",
            _NO,
            "Share of the senders who sent more than 10 messages on a day.",
            "当日发送 10次以上消息的用户占消息发送人数的比例。",
        ),
    ),
}

_FOLLOWERS: Mapping[str, tuple[_Entry, ...]] = {
    "followers_daily": (
        ("new_followers", "sum(new_followers)", "users", _YES, "Users who began to follow.", "新增人数。"),
        ("lost_followers", "sum(lost_followers)", "users", _YES, "Users who stopped following.", "取消关注人数。"),
        (
            "net_followers",
            "sum(new_followers) - sum(lost_followers)",
            "users",
            _YES,
            "New followers minus lost followers.",
            "净增人数。",
        ),
        (
            "unfollow_rate",
            _percent("sum(lost_followers)", "sum(new_followers)"),
            "%",
            _NO,
            "Lost followers per 100 new followers.",
            "取消关注人数与新增人数之比。",
        ),
    ),
    "followers_total": (
        (
            "followers",
            "sum(followers) / count(DISTINCT date)",
            "users",
            Additive.NOT_OVER_TIME,
            "Followers at the end of the day.",
            "累积人数（当日结束时）。",
        ),
    ),
}

_READING: Mapping[str, tuple[_Entry, ...]] = {
    "reads_daily": (
        ("readers", "avg(readers)", "users", _NO, "Users who read articles of the account.", "阅读人数（去重）。"),
        ("sharers", "avg(sharers)", "users", _NO, "Users who shared articles.", "分享人数（去重）。"),
        (
            "share_rate",
            _percent("sum(sharers)", "sum(readers)"),
            "%",
            _NO,
            "Users who shared on a day per 100 who read on it.",
            "当日分享人数与阅读人数之比。",
        ),
        ("likes", "avg(likes)", "users", _NO, "Users who gave a thumb (赞).", "点赞人数（去重）。"),
        ("hearts", "avg(hearts)", "users", _NO, "Users who gave a heart (在看).", "在看人数（去重）。"),
        ("comments", "sum(comments)", "comments", _YES, "Comments.", "留言条数。"),
        ("saves", "avg(saves)", "users", _NO, "Users who saved articles.", "收藏人数（去重）。"),
        (
            "original_link_readers",
            "avg(original_link_readers)",
            "users",
            _NO,
            "Users who opened the original link of an article.",
            "跳转原文人数（去重）。",
        ),
        ("articles_published", "sum(articles_published)", "articles", _YES, "Articles published.", "发表篇数。"),
    ),
    "reads_by_source_daily": (
        (
            "readers_by_source",
            "avg(readers)",
            "users",
            _NO,
            "Readers who came from one source; a reader may count in several sources.",
            "各来源的阅读人数（去重），同一读者可能计入多个来源。",
        ),
    ),
}

_ARTICLES: Mapping[str, tuple[_Entry, ...]] = {
    "articles": (
        (
            "articles_listed",
            "count(*)",
            "articles",
            _YES,
            "Articles with figures of their own; an account may have articles that WeChat doesn't list.",
            "有单篇数据的文章数；公众号可能有微信未列出的文章。",
        ),
        (
            "article_readers",
            "sum(readers)",
            "users",
            _YES,
            "Readers, counted for each article.",
            "按篇统计的阅读人数。",
        ),
        ("readers_per_article", "avg(readers)", "users", _NO, "Readers of an article on average.", "篇均阅读人数。"),
        (
            "median_readers",
            "median(readers)",
            "users",
            _NO,
            "Readers of a typical article: half of the articles have more, half have fewer.",
            "单篇阅读人数的中位数。",
        ),
        (
            "article_sharers",
            "sum(sharers)",
            "users",
            _YES,
            "Sharers, counted for each article.",
            "按篇统计的分享人数。",
        ),
        (
            "article_share_rate",
            _percent("sum(sharers)", "sum(readers)"),
            "%",
            _NO,
            "Users who shared an article per 100 who read it.",
            "单篇分享人数与阅读人数之比。",
        ),
        (
            "article_likes",
            "sum(likes)",
            "users",
            _YES,
            "Thumbs (赞), counted for each article.",
            "按篇统计的点赞人数。",
        ),
        (
            "article_hearts",
            "sum(hearts)",
            "users",
            _YES,
            "Hearts (在看), counted for each article.",
            "按篇统计的在看人数。",
        ),
        ("article_saves", "sum(saves)", "users", _YES, "Savers, counted for each article.", "按篇统计的收藏人数。"),
        (
            "article_new_followers",
            "sum(new_followers)",
            "users",
            _YES,
            "Users who followed the account after reading the article.",
            "阅读文章后关注的人数。",
        ),
        (
            "follow_rate",
            _percent("sum(new_followers)", "sum(readers) FILTER (new_followers IS NOT NULL)"),
            "%",
            _NO,
            "Users who followed after reading per 100 readers.",
            "阅读后关注人数与阅读人数之比。",
        ),
        ("rewards", "sum(reward_fen) / 100.0", "yuan", _YES, "Rewards that readers paid.", "赞赏金额。"),
        (
            "delivery_rate",
            "100.0 * avg(delivery_rate) FILTER (coalesce(notified, true))",
            "%",
            _NO,
            "Share of the notified followers who read.",
            "送达阅读率。",
        ),
        (
            "finish_rate",
            f"100.0 * {_mean('finish_rate', 'readers')}",
            "%",
            _NO,
            "Share of the readers who read to the end.",
            "读完率。",
        ),
        (
            "minutes_per_reader",
            _mean("minutes_per_reader", "readers"),
            "minutes",
            _NO,
            "Minutes that a reader spent on an article on average.",
            "人均阅读时长（分钟）。",
        ),
    ),
    "article_days": (_after(1), _after(7), _after(30)),
}

_INTERFACE: Mapping[str, tuple[_Entry, ...]] = {
    "interface_daily": (
        (
            "calls",
            "sum(calls)",
            "calls",
            _YES,
            "Calls of WeChat to the account's server.",
            "微信调用公众号服务器的次数。",
        ),
        ("failures", "sum(failures)", "calls", _YES, "Calls that failed.", "调用失败次数。"),
        (
            "failure_rate",
            _percent("sum(failures)", "sum(calls)"),
            "%",
            _NO,
            "Share of the calls that failed.",
            "调用失败率。",
        ),
        ("mean_ms", _mean("mean_ms", "calls"), "ms", _NO, "Time of a call on average.", "平均耗时（毫秒）。"),
        ("max_ms", "max(max_ms)", "ms", _NO, "Time of the slowest call.", "最大耗时（毫秒）。"),
    ),
    "interface_hourly": (
        (
            "mean_ms_by_hour",
            _mean("mean_ms", "calls"),
            "ms",
            _NO,
            "Time of a call on average, by hour of the day.",
            "分时平均耗时（毫秒）。",
        ),
    ),
}

METRICS = tuple(
    Metric(name, view, expression, unit, additive, en, zh)
    for family in (_MESSAGES, _FOLLOWERS, _READING, _ARTICLES, _INTERFACE)
    for view, entries in family.items()
    for name, expression, unit, additive, en, zh in entries
)
"""Every metric, in the order of the views."""

METRIC_BY_NAME = {metric.metric: metric for metric in METRICS}
