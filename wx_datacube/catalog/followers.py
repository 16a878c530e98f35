"""Followers: the two endpoints about people who follow the account and leave it (用户分析).

Source: WeChat's page "User analysis data interface" (用户分析数据接口) and live answers that users published.
"""

import datetime as dt

from wx_datacube.catalog.model import REF_DATE, Column, Endpoint, Family, Period

CHANNEL = Column(
    "user_source",
    "INTEGER",
    "How they found the account: 0 all other ways together (not a total), 1 search, 17 name card, 30 QR code, 57"
    " account name inside an article, 100 WeChat ads, 149 mini program, 161 reposted by others, 200 Channels, 201 live;"
    " WeChat may use other codes.",
    "关注渠道：0 其他合计（不是总数），1 搜一搜，17 名片分享，30 扫描二维码，57 文章内账号名称，100 微信广告，"
    "149 小程序关注，161 他人转载，200 视频号，201 直播；微信可能使用其他代码。",
    key=True,
    low=-(2**31),
    high=2**31 - 1,
    codes=(
        (0, "others"),
        (1, "search"),
        (17, "name card"),
        (30, "QR code"),
        (57, "article"),
        (100, "WeChat ads"),
        (149, "mini program"),
        (161, "reposted by others"),
        (200, "Channels"),
        (201, "live"),
        # Older answers have these. 51 was merged into 0 in June 2023.
        (3, "QR code (2015)"),
        (35, "search by id (2015)"),
        (39, "query of account (2015)"),
        (43, "article menu (2015)"),
        (51, "payment"),
        (75, "article ad"),
        (78, "Moments ad"),
        (176, "album"),
    ),
)

CHANNELS_IN_CHINESE: dict[int | str, str] = {
    0: "其他合计",
    1: "搜一搜",
    17: "名片分享",
    30: "扫描二维码",
    57: "文章内账号名称",
    100: "微信广告",
    149: "小程序关注",
    161: "他人转载",
    200: "视频号",
    201: "直播",
    3: "扫描二维码（2015 年）",
    35: "搜索微信号（2015 年）",
    39: "查询公众号（2015 年）",
    43: "图文页右上角菜单（2015 年）",
    51: "支付后关注",
    75: "文章内广告",
    78: "朋友圈广告",
    176: "专辑页内账号名称",
}
"""The channels' names in Chinese."""
ARTICLE_CHANNEL = 57
"""The channel of those who follow from within an article."""
CHANNEL_BREAKS = (dt.date(2020, 4, 1), dt.date(2020, 6, 1), dt.date(2023, 6, 1))
"""Months in which WeChat began to count followers under other channels: 161, 100; 51 was merged into 0."""

DAILY_FOLLOWERS = Endpoint(
    "getusersummary",
    Period.DAY,
    Family.FOLLOWERS,
    (7,),
    "People who began or stopped following the account on a day, by how they found it.",
    "每日用户增减：按关注渠道统计当日新增关注和取消关注的人数。",
    (
        REF_DATE,
        CHANNEL,
        Column("new_user", "BIGINT", "New followers. Additive.", "新增关注人数。可以相加。"),
        Column("cancel_user", "BIGINT", "Lost followers. Additive.", "取消关注人数。可以相加。"),
    ),
    (("new_followers", "sum(new_user)"), ("lost_followers", "sum(cancel_user)")),
)
FOLLOWERS_TOTAL = Endpoint(
    "getusercumulate",
    Period.DAY,
    Family.FOLLOWERS,
    (7,),
    "Followers of the account at the end of a day.",
    "累计用户：当日结束时的关注总人数。",
    (
        REF_DATE,
        Column(
            "cumulate_user",
            "BIGINT",
            "Followers at the end of the day. Not additive over days.",
            "当日结束时的关注总人数。不同日期之间不可相加。",
        ),
    ),
    (("followers", "max(cumulate_user)"),),
    unstored=("user_source",),  # undocumented; 0 in every known answer
)

ENDPOINTS = (DAILY_FOLLOWERS, FOLLOWERS_TOTAL)
