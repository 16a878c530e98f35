"""Views for people: the figures under plain names, with codes in words and hours from 0 to 23.

Add a view here, with its words in English and Chinese; `schema` creates it. Words for a column that is a metric come
from `catalog.metrics`. The names of views and columns are public: changing one breaks users' queries. Nothing here runs
a query.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wx_datacube.catalog.articles import ALL_SCENES, DAILY_READING, MSGID, PUBLISHED_ARTICLES, SCENE_DESC
from wx_datacube.catalog.followers import CHANNEL, CHANNELS_IN_CHINESE, DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS, HOURLY_CALLBACKS
from wx_datacube.catalog.messages import COUNT_INTERVAL, HOURLY_MESSAGES, MESSAGES_OF, MSG_TYPE, SENDERS_OF
from wx_datacube.catalog.metrics import METRIC_BY_NAME, Additive
from wx_datacube.catalog.model import Column, Endpoint, Period
from wx_datacube.warehouse.sql import quoted

Columns = Mapping[str, tuple[str, str]]
"""Column name to its DuckDB type and its comment."""

ACCOUNT = "The account's name, as in WX_DATACUBE_ACCOUNT. 公众号的名称，即 WX_DATACUBE_ACCOUNT。"


@dataclass(frozen=True, slots=True)
class View:
    """A view of the schema `main`: its name, its comment, its columns with their comments, and its query."""

    name: str
    comment: str
    columns: Columns
    select: str


# --- words ------------------------------------------------------------------------------------------------------

_ADDITIVE = {
    Additive.YES: ("Additive.", "可以相加。"),
    Additive.NOT_OVER_TIME: ("Not additive over days.", "不同日期之间不可相加。"),
    Additive.NO: ("Not additive.", "不可相加。"),
}
_CUMULATIVE = ("From publishing up to the date; not additive over days.", "自发表起至该日累计，不同日期之间不可相加。")
_RATE = ("0 to 1.", "取值 0 至 1。")


def _metric(name: str, kind: str = "BIGINT", note: tuple[str, str] | None = None) -> tuple[str, str]:
    """Return the type and comment of a column that holds a metric, with a note on adding up or another one."""
    metric = METRIC_BY_NAME[name]
    en, zh = note or _ADDITIVE[metric.additive]
    return kind, f"{metric.description} {en} {metric.description_zh}{zh}"


def decoded(column: Column) -> str:
    """Return SQL for a code in words; an unknown one becomes `other (N)`."""
    cases = " ".join(f"WHEN {quoted(code)} THEN {quoted(word)}" for code, word in column.codes)
    return f"CASE {column.name} {cases} ELSE 'other (' || {column.name} || ')' END"


def _words_of(column: Column) -> str:
    return ", ".join(column.words)


def _words_in_chinese(column: Column, chinese: Mapping[int | str, str] | None = None) -> str:
    """Return the words of a column, each with its Chinese name; by default, WeChat's codes are Chinese words."""
    return "，".join(
        f"{word} {chinese[code] if chinese else code}" for code, word in column.codes if code != ALL_SCENES
    )


_KEY: Columns = {
    "account": ("VARCHAR", ACCOUNT),
    "date": ("DATE", "The day, the Monday of the week, or the 1st of the month. 日期：当日、当周周一或当月 1 日。"),
}
_HOUR = ("INTEGER", "Hour of the day, 0 to 23, Beijing time. 小时（北京时间），0 至 23。")
_HOUR_SQL = "(ref_hour // 100)::INTEGER AS hour,"

# --- messages ---------------------------------------------------------------------------------------------------

_TYPE = (
    "VARCHAR",
    f"Type of the messages: {_words_of(MSG_TYPE)}, other (N)."
    " 消息类型：text 文字，image 图片，voice 语音，video 视频，link 链接；未知代码为 other (代码)。",
)
_MESSAGES_SENT = (
    "VARCHAR",
    f"Messages that each of these users sent in the period: {_words_of(COUNT_INTERVAL)}."
    " 每人发送次数区间：1-5、6-10、more than 10（10 次以上）。",
)
_COUNTS: Columns = {"users": _metric("senders"), "messages": _metric("messages")}
_REPORTS = {Period.DAY: "日报", Period.WEEK: "周报", Period.MONTH: "月报"}


def _views_of(period: Period) -> Iterator[View]:
    messages, senders = MESSAGES_OF[period], SENDERS_OF[period]
    noun, adverb, report = period.value, period.adverb, _REPORTS[period]
    yield View(
        f"messages_{adverb}",
        f"Messages by {noun} and type. 消息{report}，按类型统计。",
        {**_KEY, "type": _TYPE, **_COUNTS},
        _messages_select(messages),
    )
    if period is Period.DAY:
        yield View(
            "messages_hourly",
            "Messages by hour and type. 消息小时报，按类型统计。",
            {**_KEY, "hour": _HOUR, "type": _TYPE, **_COUNTS},
            _messages_select(HOURLY_MESSAGES, _HOUR_SQL),
        )
    yield View(
        f"senders_{adverb}",
        f"How many users sent how many messages in a {noun}. 消息发送人数分布{report}。",
        {**_KEY, "messages_sent": _MESSAGES_SENT, "users": _metric("senders")},
        f"SELECT account, ref_date AS date, {decoded(COUNT_INTERVAL)} AS messages_sent,"
        f" msg_user AS users FROM datacube.{senders.name}",
    )
    yield View(
        f"totals_{adverb}",
        f"Users, messages and messages per user by {noun}; users from the distribution, since users of types overlap."
        f" 消息{report}合计：人数取自发送次数分布，因为不同类型的用户有重复。",
        {**_KEY, **_COUNTS, "messages_per_user": _metric("messages_per_sender", "DOUBLE")},
        _totals_select(messages, senders),
    )


def _messages_select(endpoint: Endpoint, hour: str = "") -> str:
    return (
        f"SELECT account, ref_date AS date, {hour} {decoded(MSG_TYPE)} AS type,"
        f" msg_user AS users, msg_count AS messages FROM datacube.{endpoint.name}"
    )


def _totals_select(messages: Endpoint, senders: Endpoint) -> str:
    return f"""
SELECT account, date, users, messages, messages / nullif(users, 0) AS messages_per_user
FROM (SELECT account, ref_date AS date, TRY_CAST(sum(msg_count) AS BIGINT) AS messages
      FROM datacube.{messages.name} GROUP BY ALL)
FULL JOIN (SELECT account, ref_date AS date, TRY_CAST(sum(msg_user) AS BIGINT) AS users
      FROM datacube.{senders.name} WHERE count_interval <> 0 GROUP BY ALL) USING (account, date)"""


# --- followers --------------------------------------------------------------------------------------------------


def _follower_views() -> Iterator[View]:
    yield View(
        "followers_daily",
        "New and lost followers by day and channel. 每日新增与取消关注人数，按关注渠道统计。",
        {
            **_KEY,
            "source": (
                "VARCHAR",
                f"How they found the account: {_words_of(CHANNEL)}, other (N); others is no total."
                f" 关注渠道：{_words_in_chinese(CHANNEL, CHANNELS_IN_CHINESE)}；others 为其他渠道合计，不是总数。",
            ),
            "new_followers": _metric("new_followers"),
            "lost_followers": _metric("lost_followers"),
        },
        f"SELECT account, ref_date AS date, {decoded(CHANNEL)} AS source,"
        f" new_user AS new_followers, cancel_user AS lost_followers FROM datacube.{DAILY_FOLLOWERS.name}",
    )
    yield View(
        "followers_total",
        "Followers at the end of each day. 每日累积人数。",
        {**_KEY, "followers": _metric("followers")},
        f"SELECT account, ref_date AS date, cumulate_user AS followers FROM datacube.{FOLLOWERS_TOTAL.name}",
    )


# --- articles ---------------------------------------------------------------------------------------------------

_REACTIONS = {
    "readers": "read_user",
    "sharers": "share_user",
    "likes": "like_user",
    "hearts": "zaikan_user",
    "comments": "comment_count",
    "saves": "collection_user",
}
_OF_THE_ACCOUNT = {
    **_REACTIONS,
    "original_link_readers": "redirect_ori_page_user",
    "articles_published": "send_page_count",
}
_OF_AN_ARTICLE = {**_REACTIONS, "new_followers": "read_subscribe_user"}
_ARTICLE_METRICS = {**{name: f"article_{name}" for name in _OF_AN_ARTICLE}, "comments": "comments"}
_ARTICLE_KEY: Columns = {
    "account": ("VARCHAR", ACCOUNT),
    "article": ("VARCHAR", f"{MSGID.en} {MSGID.zh}"),
}
_PUBLISHED_ON = ("DATE", "The day of publishing. 发表日期。")
_DETAILS = f"datacube.{PUBLISHED_ARTICLES.name}__detail_list"


def _renamed(fields: Mapping[str, str]) -> str:
    """Return SQL that selects WeChat's fields under the names of the view's columns."""
    return ", ".join(f"{field} AS {name}" for name, field in fields.items())


def _reading_views() -> Iterator[View]:
    yield View(
        "reads_daily",
        "Users who read, shared and reacted on a day, over all articles. 每日内容概况：阅读、分享和互动人数。",
        {**_KEY, **{name: _metric(name) for name in _OF_THE_ACCOUNT}},
        f"SELECT account, ref_date AS date, {_renamed(_OF_THE_ACCOUNT)} FROM datacube.{DAILY_READING.name}",
    )
    yield View(
        "reads_by_source_daily",
        "Readers by day and where they came from, without the total. 每日阅读人数，按阅读来源统计，不含“全部”。",
        {
            **_KEY,
            "source": (
                "VARCHAR",
                f"Where the readers came from: {', '.join(SCENE_DESC.words[1:])}, other (TEXT)."
                f" 阅读来源：{_words_in_chinese(SCENE_DESC)}；未知来源为 other (原文)。",
            ),
            "readers": _metric("readers_by_source"),
        },
        f"SELECT account, ref_date AS date, {decoded(SCENE_DESC)} AS source, user_count AS readers"
        f" FROM datacube.{DAILY_READING.name}__read_user_source WHERE scene_desc <> {quoted(ALL_SCENES)}",
    )


def _article_views() -> Iterator[View]:
    yield View(
        "articles",
        "Each article with its newest figures, cumulative since publishing. 文章及其最新累计数据。",
        {
            **_ARTICLE_KEY,
            "title": ("VARCHAR", "The title; NULL in answers before 2026-03-03. 标题；2026-03-03 之前的返回中没有。"),
            "url": ("VARCHAR", "The address; NULL in answers before 2026-03-03. 链接；2026-03-03 之前的返回中没有。"),
            "published_on": _PUBLISHED_ON,
            "notified": (
                "BOOLEAN",
                "Whether followers were notified; NULL if unknown. 是否通知粉丝（群发）；未知时为 NULL。",
            ),
            "days": (
                "INTEGER",
                "Days that the figures count, from 1; 0 if there are none yet. 数据覆盖的天数；尚无数据时为 0。",
            ),
            **{name: _metric(metric) for name, metric in _ARTICLE_METRICS.items()},
            "reward_fen": _metric("rewards", note=("In fen, 1/100 yuan. Additive.", "单位分，可以相加。")),
            "delivery_rate": _metric("delivery_rate", "DOUBLE", _RATE),
            "finish_rate": _metric("finish_rate", "DOUBLE", _RATE),
            "minutes_per_reader": _metric("minutes_per_reader", "DOUBLE"),
            "final": ("BOOLEAN", "Whether WeChat will not change the figures any more. 微信是否不再更新这些数据。"),
        },
        _articles_select(),
    )
    yield View(
        "article_days",
        "Readers and reactions of each article from publishing up to each day. 文章自发表起逐日的累计数据。",
        {
            **_ARTICLE_KEY,
            "published_on": _PUBLISHED_ON,
            "day": ("INTEGER", "Days since publishing; the day of publishing is 1. 发表后的第几天，发表当日为 1。"),
            "date": ("DATE", "The last day that the figures count. 统计截止日。"),
            **{name: _metric(metric, note=_CUMULATIVE) for name, metric in _ARTICLE_METRICS.items()},
        },
        f"SELECT account, msgid AS article, ref_date AS published_on, (stat_date - ref_date + 1)::INTEGER AS day,"
        f" stat_date AS date, {_renamed(_OF_AN_ARTICLE)} FROM {_DETAILS}",
    )


def _articles_select() -> str:
    return f"""
SELECT article.account, msgid AS article, title, content_url AS url, ref_date AS published_on,
    CASE publish_type WHEN 0 THEN true WHEN 1 THEN false END AS notified,
    coalesce(stat_date - ref_date + 1, 0)::INTEGER AS days, {_renamed(_OF_AN_ARTICLE)}, praise_money AS reward_fen,
    read_delivery_rate AS delivery_rate, read_finish_rate AS finish_rate, read_avg_activetime AS minutes_per_reader,
    coalesce(answer.final, false) AS final
FROM datacube.{PUBLISHED_ARTICLES.name} AS article
LEFT JOIN (
    FROM {_DETAILS} QUALIFY row_number() OVER (PARTITION BY account, ref_date, msgid ORDER BY stat_date DESC) = 1
) AS newest USING (account, ref_date, msgid)
LEFT JOIN datacube.label_answers AS answer
    ON answer.account = article.account AND answer.label = article.ref_date
        AND answer.endpoint = {quoted(PUBLISHED_ARTICLES.name)}"""


# --- interface --------------------------------------------------------------------------------------------------

_CALLS: Columns = {
    "calls": _metric("calls"),
    "failures": _metric("failures"),
    "mean_ms": _metric("mean_ms", "DOUBLE"),
    "max_ms": _metric("max_ms"),
}


def _interface_views() -> Iterator[View]:
    yield View(
        "interface_daily",
        "Calls of WeChat to the account's server by day. 每日接口调用次数、失败次数和耗时。",
        {**_KEY, **_CALLS},
        _interface_select(DAILY_CALLBACKS),
    )
    yield View(
        "interface_hourly",
        "Calls of WeChat to the account's server by hour. 分时接口调用次数、失败次数和耗时。",
        {**_KEY, "hour": _HOUR, **_CALLS},
        _interface_select(HOURLY_CALLBACKS, _HOUR_SQL),
    )


def _interface_select(endpoint: Endpoint, hour: str = "") -> str:
    return (
        f"SELECT account, ref_date AS date, {hour} callback_count AS calls, fail_count AS failures,"
        " total_time_cost / nullif(callback_count, 0) AS mean_ms, max_time_cost AS max_ms"
        f" FROM datacube.{endpoint.name}"
    )


VIEWS = (
    *(view for period in Period for view in _views_of(period)),
    *_follower_views(),
    *_reading_views(),
    *_article_views(),
    *_interface_views(),
)
"""Every view for people."""
