"""Words: every text of the report, in Chinese and in English.

Add a text here and use it by its key. Don't write texts anywhere else, or a report mixes languages. The caller fills
in the `{…}`. The Chinese names of the figures are those of WeChat's own console.
"""

from collections.abc import Mapping

LANGUAGES = ("zh", "en")

_WORDS: Mapping[str, tuple[str, str]] = {
    "lang": ("zh-CN", "en"),
    "title": ("{account} 消息分析", "Messages to {account}"),
    "span": ("{first} 至 {last}", "{first} to {last}"),
    "made": (
        "制作于 {made}，数据文件 {file}，数据截至 {asked} 的第 {call} 次调用。时间均为北京时间。",
        "Made {made} from {file}, which holds WeChat's answers up to call {call} of {asked}."
        " All times are Beijing time.",
    ),
    "made_empty": (
        "制作于 {made}，数据文件 {file}。时间均为北京时间。",
        "Made {made} from {file}. All times are Beijing time.",
    ),
    # Figures
    "users": ("消息发送人数", "Users who sent"),
    "messages": ("消息发送次数", "Messages sent"),
    "per_user": ("人均发送次数", "Messages a user"),
    "month": ("月", "Month"),
    "key_figures": ("关键指标", "Key figures"),
    "key_day": ("{date}", "{date}"),
    "key_week": ("{date} 当周", "Week of {date}"),
    "key_month": ("{date}", "{date}"),
    "before_1": ("较 1 天前", "against 1 day before"),
    "before_7": ("较 7 天前", "against 7 days before"),
    "before_30": ("较 30 天前", "against 30 days before"),
    "before_week": ("较上周", "against the week before"),
    "before_month": ("较上月", "against the month before"),
    "not_stored": ("无数据", "not stored"),
    "no_change": ("持平", "unchanged"),
    "from_zero": ("此前为 0", "0 before"),
    "key_note": (
        "人数为去重人数，不同日期不可相加：周和月的人数来自微信的周、月接口。",
        "Users are counted once a period and can't be added: those of weeks and months are WeChat's own.",
    ),
    # Trend
    "trend": ("趋势", "Trend"),
    "trend_note": (
        "在最下方的概览图上拖动可选择时间段，或使用按钮；虚线为上一个同样长的时间段。断开处没有数据。",
        "Drag over the overview at the bottom to choose a stretch of time, or use the buttons; the dashed line is the"
        " stretch of the same length before it. Where the line breaks, nothing is stored.",
    ),
    "choose": ("选择时间段", "Choose a stretch of time"),
    "last_30": ("近 30 天", "30 days"),
    "last_90": ("近 90 天", "90 days"),
    "last_365": ("近一年", "A year"),
    "all": ("全部", "Everything"),
    "this_period": ("所选时间段", "chosen"),
    "previous_period": ("上一时间段", "before it"),
    "chosen": (
        "{first} 至 {last}：{now}；之前 {days} 天：{before}",
        "{first} to {last}: {now}; the {days} days before: {before}",
    ),
    "sum": ("{messages} 条消息，日均 {users} 人", "{messages} messages, {users} users a day"),
    "sum_partial": (
        "{messages} 条消息，日均 {users} 人（{days} 天中 {known} 天有数据）",
        "{messages} messages, {users} users a day ({known} of {days} days stored)",
    ),
    "date": ("日期", "Date"),
    # Types
    "types": ("消息类型", "What people send"),
    "types_note": ("消息发送次数，按{unit}合计。", "Messages sent, by {unit}."),
    "unit_day": ("日", "day"),
    "unit_week": ("周", "week"),
    "unit_month": ("月", "month"),
    "partial": (
        "颜色较浅的柱子不完整：其中有的日子不在所选范围内，或没有数据。",
        "Pale bars are not whole: some of their days are not stored, or outside the range.",
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
    "hours": ("一周中的时段", "Hours of the week"),
    "hours_note": (
        "{first} 至 {last}，每小时平均消息发送次数。",
        "Messages an hour on average, {first} to {last}.",
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
        "最忙的时段：{weekday} {hour} 点，平均 {messages} 条。",
        "Busiest: {weekday}, {hour}:00, {messages} messages on average.",
    ),
    # Senders
    "senders": ("每人发送条数", "How many messages people send"),
    "senders_note": (
        "每{unit}发送消息的用户中，发送 1-5 条、6-10 条、10 条以上的比例。",
        "Of the users who sent in a {unit}, how many sent 1-5, 6-10 or more than 10 messages.",
    ),
    "interval": ("条数", "Messages sent"),
    "interval_1-5": ("1-5 条", "1-5"),
    "interval_6-10": ("6-10 条", "6-10"),
    "interval_more than 10": ("10 条以上", "more than 10"),
    "interval_other": ("其他（{code}）", "other ({code})"),
    # Months
    "months": ("逐月数据", "Months in numbers"),
    # Coverage
    "coverage": ("数据完整性", "What is stored"),
    "coverage_note": (
        "每格一天，按当天最需要注意的状态着色，涵盖三个日接口；周、月接口见下表。",
        "A square a day, in the colour of the state that most wants looking at, over the three daily endpoints; the"
        " table has the weekly and monthly ones too.",
    ),
    "state": ("状态", "State"),
    "mark_landed": ("已入库", "stored"),
    "mark_empty": ("无消息", "no messages"),
    "mark_missing": ("缺失", "missing"),
    "mark_unsettled": ("尚未公布", "not settled"),
    "mark_rejected": ("有被剔除的行", "rows set apart"),
    "mark_revised": ("被微信修改过", "revised by WeChat"),
    "concerns": ("接口", "Endpoints"),
    "endpoint": ("接口", "Endpoint"),
    "due": ("应有", "Due"),
    "landed": ("已入库", "Stored"),
    "silent": ("无消息", "No messages"),
    "missing": ("缺失", "Missing"),
    "unsettled": ("尚未公布", "Not settled"),
    "rejected": ("有剔除", "Set apart"),
    "revised": ("被修改", "Revised"),
    "gaps": ("缺失范围", "Gaps"),
    "more": ("另有 {count} 段", "{count} more"),
    "whole": ("全部到齐：应有的数据都在。", "Everything that is due is there."),
    "waiting": ("另有 {unsettled} 项尚未公布，最迟中午。", "{unsettled} more are not settled before noon."),
    "lacking": (
        "缺失 {missing} 项。补齐：wx-datacube backfill --account {account} --start {first} --end {last}",
        "{missing} labels are missing. Bring them in:"
        " wx-datacube backfill --account {account} --start {first} --end {last}",
    ),
    # Shown instead of charts that have no data
    "nothing": (
        "还没有任何数据。先取数：wx-datacube backfill --account {account}",
        "Nothing is stored yet. Bring figures in: wx-datacube backfill --account {account}",
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
    "not_yet": ("还没有这部分数据。", "Nothing of this is stored yet."),
    "stale": (
        "最新一天的数据是 {newest}，已是 {days} 天前。更新：wx-datacube backfill --account {account}",
        "The newest day that is stored is {newest}, {days} days ago. Go on: wx-datacube backfill --account {account}",
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

    def type(self, name: str) -> str:
        """Return the text for a message type of the views."""
        return self._of("type", name)

    def interval(self, name: str) -> str:
        """Return the text for an interval of the views."""
        return self._of("interval", name)

    def _of(self, kind: str, name: str) -> str:
        if f"{kind}_{name}" in _WORDS:
            return self(f"{kind}_{name}")
        return self(f"{kind}_other", code=name.removeprefix("other (").removesuffix(")"))
