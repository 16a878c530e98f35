"""Articles: the four endpoints about reading and sharing of published articles (图文分析).

All figures count users. WeChat replaced six older endpoints by these on 2025-11-01; the older ones answer 47009. The
days on which a published article is requested again are this project's choice: its curve is steep at first, and asking
on all thirty days would take three times the calls and the space. Source: WeChat's pages of `getbizsummary`,
`getarticleread`, `getarticleshare` and `getarticletotaldetail`.
"""

import datetime as dt

from wx_datacube.catalog.model import REF_DATE, Column, Endpoint, Family, Nested, Period

ARTICLES_START = dt.date(2025, 11, 1)
"""WeChat has article figures in this form from this day on."""

ALL_SCENES = "全部"
"""The `scene_desc` of the total over all scenes, which has a row like any other."""

MSGID = Column(
    "msgid",
    "VARCHAR",
    "The article: the number of the message that published it, and the article's place in that message.",
    "文章编号：群发消息编号_文章在该消息中的位置。",
    key=True,
)
SCENE_DESC = Column(
    "scene_desc",
    "VARCHAR",
    "Where the readers came from, in WeChat's words; 全部 is the total.",
    "阅读来源：全部（总数）、公众号消息、聊天会话、朋友圈、公众号主页、其他、推荐、搜一搜；微信可能增加新的来源。",
    key=True,
    codes=(
        (ALL_SCENES, "all"),
        ("公众号消息", "account messages"),
        ("聊天会话", "chats"),
        ("朋友圈", "Moments"),
        ("公众号主页", "account page"),
        ("其他", "others"),
        ("推荐", "recommendations"),
        ("搜一搜", "search"),
    ),
)


def _readers(inside: str = "") -> Nested:
    return Nested(
        "read_user_source",
        "Readers by where they came from; the row 全部 is the total.",
        "按阅读来源统计的阅读人数，全部为总数。",
        (
            SCENE_DESC,
            Column(
                "user_count",
                "BIGINT",
                "Distinct readers from this source. Not additive over sources or days.",
                "该来源的去重阅读人数。不同来源、日期之间不可相加。",
            ),
        ),
        inside=inside,
    )


def _users(name: str, en: str, zh: str, inside: str = "", required: bool = True) -> Column:
    return Column(
        name,
        "BIGINT",
        f"{en} Distinct users, not additive over days.",
        f"{zh}去重人数，不同日期之间不可相加。",
        required=required,
        inside=inside,
    )


def _reactions(inside: str = "") -> tuple[Column, ...]:
    return (
        _users("read_user", "Users who read.", "阅读人数。", inside),
        _users("share_user", "Users who shared.", "分享人数。", inside),
        _users("zaikan_user", "Users who gave a heart (在看).", "在看（爱心）人数。", inside),
        _users("like_user", "Users who gave a thumb (赞).", "点赞人数。", inside),
        Column("comment_count", "BIGINT", "Comments.", "留言条数。", inside=inside),
        _users("collection_user", "Users who saved.", "收藏人数。", inside),
    )


def _rate(name: str, en: str, zh: str) -> Column:
    return Column(name, "DOUBLE", en, zh, required=False)


DAILY_READING = Endpoint(
    "getbizsummary",
    Period.DAY,
    Family.ARTICLES,
    (30, 7, 1),  # WeChat's page says 30; one client found 7
    "How many users read, shared and reacted to the account's content on a day.",
    "每日内容概况：当日阅读、分享、点赞、在看、收藏等账号整体数据。",
    (
        REF_DATE,
        *_reactions("detail"),
        _users(
            "redirect_ori_page_user", "Users who opened the original link.", "跳转原文人数。", "detail", required=False
        ),
        Column(
            "send_page_count",
            "BIGINT",
            "Articles published on the day.",
            "当日发表篇数。",
            False,
            False,
            inside="detail",
        ),
    ),
    (("readers", "max(read_user)"), ("articles_published", "max(send_page_count)")),
    nested=(_readers("detail"),),
    first_day=ARTICLES_START,
    has_delay=True,
)
ARTICLE_READING = Endpoint(
    "getarticleread",
    Period.DAY,
    Family.ARTICLES,
    (1,),
    "How many users read each article on a day.",
    "每日文章阅读：当日每篇文章的阅读人数。",
    (REF_DATE, MSGID, _users("read_user", "Users who read the article.", "阅读该文章的人数。", "detail")),
    (("articles", "count(*)"), ("readers_at_least", "max(read_user)")),
    nested=(_readers("detail"),),
    first_day=ARTICLES_START,
    has_delay=True,
)
ARTICLE_SHARING = Endpoint(
    "getarticleshare",
    Period.DAY,
    Family.ARTICLES,
    (1,),
    "How many users shared each article on a day.",
    "每日文章分享：当日每篇文章的分享人数。",
    (REF_DATE, MSGID, _users("share_user", "Users who shared the article.", "分享该文章的人数。", "detail")),
    (("articles", "count(*)"), ("sharers_at_least", "max(share_user)")),
    first_day=ARTICLES_START,
    has_delay=True,
)
STAT_DATE = Column(
    "stat_date",
    "DATE",
    "The day up to which the figures count, from publishing on; at most 30 days after publishing.",
    "统计截止日：数据为自发表起至该日的累计值，最多到发表后 30 天。",
    key=True,
    within_days=30,
)
PUBLISHED_ARTICLES = Endpoint(
    "getarticletotaldetail",
    Period.DAY,
    Family.ARTICLES,
    (1,),
    "The articles published on a day; the date is that of publishing.",
    "当日发表的文章；日期为发表日期。",
    (
        REF_DATE,
        MSGID,
        Column(
            "publish_type",
            "INTEGER",
            "0: followers were notified; 1: they were not.",
            "发表方式：0 通知粉丝（群发），1 不通知（发布）。",
            required=False,
            low=-(2**31),
            high=2**31 - 1,
            codes=((0, "notified"), (1, "not notified")),
        ),
        Column(
            "title",
            "VARCHAR",
            "The article's title; answers before 2026-03-03 had none.",
            "文章标题；2026-03-03 之前的返回中没有。",
            required=False,
        ),
        Column(
            "content_url",
            "VARCHAR",
            "The article's address; answers before 2026-03-03 had none.",
            "文章链接；2026-03-03 之前的返回中没有。",
            required=False,
        ),
    ),
    (("articles", "count(*)"),),
    nested=(
        Nested(
            "detail_list",
            "Figures of an article from publishing up to a day, cumulative.",
            "文章自发表起至统计截止日的累计数据。",
            (
                STAT_DATE,
                *_reactions(),
                Column("praise_money", "BIGINT", "Rewards in fen (1/100 yuan).", "赞赏金额，单位分。", required=False),
                _users("read_subscribe_user", "Users who followed after reading.", "阅读后关注人数。", required=False),
                _rate(
                    "read_delivery_rate",
                    "Share of the notified followers who read, 0 to 1.",
                    "送达阅读率，0 至 1。",
                ),
                _rate("read_finish_rate", "Share of the readers who read to the end, 0 to 1.", "读完率，0 至 1。"),
                _rate("read_avg_activetime", "Minutes that a reader spent on average.", "人均阅读时长，单位分钟。"),
            ),
            nested=(
                _readers(),
                Nested(
                    "read_jump_position",
                    "Where readers left the article.",
                    "读者跳出位置分布。",
                    (
                        Column(
                            "position",
                            "INTEGER",
                            "Part of the article: 1 is its first fifth, 5 its last.",
                            "文章位置：1 为前 20%，5 为最后 20%。",
                            key=True,
                            low=-(2**31),
                            high=2**31 - 1,
                            codes=tuple((each, f"{20 * each - 20}-{20 * each}%") for each in range(1, 6)),
                        ),
                        Column("rate", "DOUBLE", "Share of the readers who left there.", "在该位置跳出的读者占比。"),
                    ),
                ),
            ),
        ),
    ),
    first_day=ARTICLES_START,
    has_delay=True,
    asked_again=(1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30),
)

ENDPOINTS = (DAILY_READING, ARTICLE_READING, ARTICLE_SHARING, PUBLISHED_ARTICLES)
