"""Words: every text of the report, in Chinese and in English.

Add a text here and use it by its key. Don't write texts anywhere else, or a report mixes languages. The caller fills
in the `{…}`. The Chinese names of the figures are those of WeChat's own console. The names and meanings of metrics come
from `catalog.metrics`.
"""

import re
from collections.abc import Mapping

from wx_datacube.catalog.articles import SCENE_DESC
from wx_datacube.catalog.metrics import METRIC_BY_NAME

LANGUAGES = ("zh", "en")

_WORDS: Mapping[str, tuple[str, str]] = {
    "lang": ("zh-CN", "en"),
    "title": ("{account} 消息分析", "Messages to {account}"),
    "title_all": ("{account} 数据分析", "Statistics of {account}"),
    "span": ("{first} 至 {last}", "{first} to {last}"),
    "made": (
        "数据更新至 {updated}。生成于 {made}，数据文件 {file}。时间均为北京时间。",
        "Data updated {updated}. Generated {made} from {file}. All times are Beijing time.",
    ),
    "made_empty": (
        "生成于 {made}，数据文件 {file}。时间均为北京时间。",
        "Generated {made} from {file}. All times are Beijing time.",
    ),
    # Figures
    "users": ("消息发送人数", "Users who sent messages"),
    "messages": ("消息发送次数", "Messages sent"),
    "per_user": ("人均发送次数", "Messages per user"),
    "month": ("月", "Month"),
    "key_figures": ("关键指标", "Key figures"),
    "key_day": ("{date}（日报）", "{date}"),
    "key_week": ("{date}（周报）", "Week {date}"),
    "key_month": ("{date}（月报）", "{date}"),
    "before_1": ("较 1 天前", "vs. 1 day earlier"),
    "before_7": ("较 7 天前", "vs. 7 days earlier"),
    "before_30": ("较 30 天前", "vs. 30 days earlier"),
    "before_week": ("较上周", "vs. the previous week"),
    "before_month": ("较上月", "vs. the previous month"),
    "not_stored": ("无数据", "not stored"),
    "no_change": ("持平", "unchanged"),
    "from_zero": ("此前为 0", "previously 0"),
    "key_note": (
        "人数已去重，不同日期不可相加；周报和月报的人数来自微信的周、月接口。",
        "Each user is counted once per period, so users of several days can't be added up. Users of weeks and months"
        " come from WeChat's weekly and monthly endpoints.",
    ),
    # Trend
    "trend": ("趋势", "Trend"),
    "trend_note": (
        "在最下方的概览图上拖动或点击按钮，可选择日期范围；虚线为等长的上一个日期范围。线条断开处没有数据。",
        "Drag in the overview to select a date range, or use the buttons. The dashed line is the previous range of the"
        " same length. The line breaks where nothing is stored.",
    ),
    "choose": ("选择日期范围", "Select a date range"),
    "last_30": ("近 30 天", "30 days"),
    "last_90": ("近 90 天", "90 days"),
    "last_365": ("近一年", "A year"),
    "all": ("全部", "All"),
    "this_period": ("所选范围", "selected range"),
    "previous_period": ("上一范围", "previous range"),
    "chosen": (
        "{first} 至 {last}：{now}；此前 {days} 天：{before}",
        "{first} to {last}: {now}; previous {days} days: {before}",
    ),
    "sum": ("消息发送 {messages} 次，日均 {users} 人", "{messages} messages, {users} users per day"),
    "sum_partial": (
        "消息发送 {messages} 次，日均 {users} 人（{days} 天中 {known} 天有数据）",
        "{messages} messages, {users} users per day ({known} of {days} days stored)",
    ),
    "date": ("日期", "Date"),
    # Types
    "types": ("消息类型", "Message types"),
    "types_note": ("消息发送次数，按{unit}合计。", "Messages sent per {unit}."),
    "unit_day": ("日", "day"),
    "unit_week": ("周", "week"),
    "unit_month": ("月", "month"),
    "partial": (
        "颜色较浅的柱子数据不完整：部分日期不在所选范围内，或没有数据。",
        "Pale bars are incomplete: some of their days are not stored or are outside the range.",
    ),
    "type": ("类型", "Type"),
    "share": ("占比", "Share"),
    "type_text": ("文字", "text"),
    "type_image": ("图片", "image"),
    "type_voice": ("语音", "voice"),
    "type_video": ("视频", "video"),
    "type_link": ("链接", "link"),
    "type_other": ("其他（{code}）", "other ({code})"),
    # Hours
    "hours": ("消息时段分布", "Messages by weekday and hour"),
    "hours_note": (
        "{first} 至 {last}，每小时平均消息发送次数。",
        "Average messages per hour, {first} to {last}.",
    ),
    "hour": ("小时", "Hour"),
    "weekday": ("星期", "Weekday"),
    "weekday_1": ("周一", "Mon"),
    "weekday_2": ("周二", "Tue"),
    "weekday_3": ("周三", "Wed"),
    "weekday_4": ("周四", "Thu"),
    "weekday_5": ("周五", "Fri"),
    "weekday_6": ("周六", "Sat"),
    "weekday_7": ("周日", "Sun"),
    "busiest": (
        "高峰时段：{weekday} {hour} 点，平均 {messages} 次。",
        "Busiest: {weekday}, {hour}:00, {messages} messages on average.",
    ),
    # Senders
    "senders": ("消息发送分布", "Distribution of messages per user"),
    "senders_note": (
        "每{unit}发送消息的用户中，发送 1-5次、6-10次、10次以上的比例。",
        "Share of users who sent 1-5, 6-10 or more than 10 messages per {unit}.",
    ),
    "interval": ("发送次数", "Messages sent"),
    "interval_1-5": ("1-5次", "1-5"),
    "interval_6-10": ("6-10次", "6-10"),
    "interval_more than 10": ("10次以上", "more than 10"),
    "interval_other": ("其他（{code}）", "other ({code})"),
    # Months
    "months": ("月报", "Monthly figures"),
    # Followers
    "followers": ("用户", "Followers"),
    "changes_note": (
        "净增人数的变化为人数之差，其他为百分比。",
        "The change of net followers is a number of people, the others are in percent.",
    ),
    "follower_trend": ("用户增减趋势", "New and lost followers"),
    "gap_note": ("线条断开处没有数据。", "The line breaks where nothing is stored."),
    "channels": ("关注渠道", "Followers by channel"),
    "channels_note": ("{first} 至 {last}，合计。", "Total of {first} to {last}."),
    "channel": ("渠道", "Channel"),
    "channel_others": ("其他合计", "others"),
    "channel_search": ("搜一搜", "search"),
    "channel_name card": ("名片分享", "name card"),
    "channel_QR code": ("扫描二维码", "QR code"),
    "channel_article": ("文章内账号名称", "account name in an article"),
    "channel_WeChat ads": ("微信广告", "WeChat ads"),
    "channel_mini program": ("小程序关注", "mini program"),
    "channel_reposted by others": ("他人转载", "reposted by others"),
    "channel_Channels": ("视频号", "Channels"),
    "channel_live": ("直播", "live"),
    "channel_QR code (2015)": ("扫描二维码（2015 年）", "QR code (2015)"),
    "channel_search by id (2015)": ("搜索微信号（2015 年）", "search by id (2015)"),
    "channel_query of account (2015)": ("查询公众号（2015 年）", "query of account (2015)"),
    "channel_article menu (2015)": ("图文页右上角菜单（2015 年）", "article menu (2015)"),
    "channel_payment": ("支付后关注", "payment"),
    "channel_article ad": ("文章内广告", "article ad"),
    "channel_Moments ad": ("朋友圈广告", "Moments ad"),
    "channel_album": ("专辑页内账号名称", "album"),
    "channel_other": ("其他（{code}）", "other ({code})"),
    "no_follower_changes": (
        "{first} 至 {last} 之间没有新增或取消关注。",
        "Nobody began or stopped following between {first} and {last}.",
    ),
    "stored_days": ("{due} 天中 {known} 天有数据。", "{known} of {due} days are stored."),
    # Articles
    "articles": ("内容", "Articles"),
    "readers_trend": ("阅读人数趋势", "Readers by day"),
    "open_note": ("* 微信仍可能更新该数据。", "* WeChat may still change this figure."),
    "open_points": (
        "空心点表示微信仍可能更新当日数据。",
        "A hollow point is a day whose figure WeChat may still change.",
    ),
    "open_days": (
        "微信仍可能更新其中 {count} 天的数据。",
        "WeChat may still change the figures of {count} of these days.",
    ),
    "sources": ("阅读来源", "Readers by source"),
    "source": ("来源", "Source"),
    "source_other": ("其他（{code}）", "other ({code})"),
    "per_day": ("日均阅读人数", "Readers per day"),
    "sources_note": (
        "{first} 至 {last}，按天平均。",
        "Average per day, {first} to {last}.",
    ),
    "no_readers": ("{first} 至 {last} 之间没有人阅读。", "Nobody read between {first} and {last}."),
    "top": ("热门文章", "Top articles"),
    "top_note": (
        "{first} 至 {last} 发表的 {count} 篇文章中，阅读人数最多的 {shown} 篇；数据自发表起累计。",
        "The {shown} articles with the most readers, out of {count} published from {first} to {last}. Figures count"
        " from publishing on.",
    ),
    "article": ("文章", "Article"),
    "published_on": ("发表日期", "Published on"),
    "brought": ("阅读后关注人数", "Followers brought"),
    "article_state": ("数据状态", "State"),
    "final": ("已确定", "final"),
    "still_open": ("仍在更新", "still open"),
    "no_articles": (
        "{first} 至 {last} 之间没有发表文章。",
        "No article was published between {first} and {last}.",
    ),
    # Coverage
    "coverage": ("数据完整性", "Data coverage"),
    "coverage_note": (
        "每格一天，颜色表示当天三个日接口中最严重的状态；周、月接口见下表。",
        "One square per day. Its colour is the most severe state of the three daily endpoints; the table includes the"
        " weekly and monthly endpoints.",
    ),
    "coverage_note_all": (
        "每格一天，颜色表示当天所有日接口中最严重的状态；各接口见下表。",
        "One square per day. Its colour is the most severe state of all daily endpoints; the table shows each of them.",
    ),
    "state": ("状态", "State"),
    "mark_landed": ("已入库", "stored"),
    "mark_empty": ("无消息", "no messages"),
    "mark_missing": ("缺失", "missing"),
    "mark_unsettled": ("微信尚未发布", "pending"),
    "mark_rejected": ("有剔除数据", "rows rejected"),
    "mark_revised": ("微信已修订", "revised by WeChat"),
    "concerns": ("接口", "Endpoints"),
    "endpoint": ("接口", "Endpoint"),
    "due": ("应有", "Due"),
    "landed": ("已入库", "Stored"),
    "empty": ("无消息", "No messages"),
    "all_empty": ("数据为空", "empty"),
    "all_empty_title": ("数据为空", "Empty"),
    "missing": ("缺失", "Missing"),
    "unsettled": ("微信尚未发布", "Pending"),
    "rejected": ("有剔除", "Rows rejected"),
    "revised": ("已修订", "Revised"),
    "open": ("仍在更新", "Still open"),
    "gaps": ("缺失范围", "Gaps"),
    "more": ("另有 {count} 段", "{count} more"),
    "whole": ("应有数据已全部入库。", "All data that is due is stored."),
    "waiting": (
        "另有 {unsettled} 项微信尚未发布，一般最迟中午 12 点更新。",
        "{unsettled} more labels are pending until noon.",
    ),
    "missing_labels": (
        "缺失 {missing} 项。补齐：wx-datacube backfill --account {account} --start {first} --end {last}",
        "{missing} labels are missing. Fetch them:"
        " wx-datacube backfill --account {account} --start {first} --end {last}",
    ),
    # Shown instead of charts that have no data
    "nothing": (
        "还没有任何数据。获取数据：wx-datacube backfill --account {account}",
        "Nothing is stored yet. Fetch data: wx-datacube backfill --account {account}",
    ),
    "nothing_in_range": (
        "{first} 至 {last} 之间没有已入库的数据。",
        "Nothing is stored between {first} and {last}.",
    ),
    "no_messages": (
        "{first} 至 {last} 之间没有人发送消息。",
        "Nobody sent a message between {first} and {last}.",
    ),
    "one_day": ("趋势至少需要两天的数据。", "A trend needs two days with data."),
    "not_yet": ("暂无此项数据。", "No data for this chart yet."),
    "stale": (
        "最新数据日期为 {newest}，距今 {days} 天。更新数据：wx-datacube backfill --account {account}",
        "The newest stored day is {newest}, {days} days ago. Update: wx-datacube backfill --account {account}",
    ),
    "broken": ("图表无法显示：", "This chart can't be shown: "),
}


class Words:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **filled: object) -> str:
        """Return the text of a key, with its placeholders filled in."""
        text = _WORDS[key][self._place]
        return text.format(**filled) if filled else text

    def joined(self, *sentences: str) -> str:
        """Return sentences as one text, without the empty ones; Chinese has no spaces between them."""
        return ("", " ")[self._place].join(filter(None, sentences))

    def type(self, name: str) -> str:
        """Return the text for a message type of the views."""
        return self._of("type", name)

    def interval(self, name: str) -> str:
        """Return the text for an interval of the views."""
        return self._of("interval", name)

    def channel(self, name: str) -> str:
        """Return the text for a channel of the views."""
        return self._of("channel", name)

    def source(self, name: str) -> str:
        """Return the text for a source of readers of the views: in Chinese, WeChat's own word."""
        chinese = {word: str(code) for code, word in SCENE_DESC.codes}
        if name in chinese:
            return (chinese[name], name)[self._place]
        return self._of("source", name)

    def metric(self, name: str) -> str:
        """Return the name of a metric: in Chinese, the dictionary's meaning without its remarks."""
        if self._place == LANGUAGES.index("zh"):
            return re.split("[（。，]", METRIC_BY_NAME[name].description_zh)[0]
        return name.replace("_", " ").capitalize()

    def meaning(self, name: str) -> str:
        """Return the dictionary's meaning of a metric."""
        metric = METRIC_BY_NAME[name]
        return (metric.description_zh, metric.description)[self._place]

    def _of(self, kind: str, name: str) -> str:
        if f"{kind}_{name}" in _WORDS:
            return self(f"{kind}_{name}")
        return self(f"{kind}_other", code=name.removeprefix("other (").removesuffix(")"))
