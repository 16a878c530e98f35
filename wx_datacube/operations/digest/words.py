"""Words: every text of a digest, in English and Chinese, and how it writes names, figures and changes.

Add a text here. Names of metrics and families are in `operations.names`.
"""

import unicodedata
from collections.abc import Iterable

from wx_datacube.catalog.model import Period
from wx_datacube.errors import one_line
from wx_datacube.language import Text, joined

HEAD = Text("wx_datacube · Daily digest · {weekday} {day}", "wx_datacube · 日报 · {day}（{weekday}）")
ACCOUNT = Text("[{name}]", "【{name}】")
FIGURE = Text("{name}: {value}", "{name} {value}")
COMPARED = Text("{name}: {value} ({changes})", "{name} {value}（{changes}）")
DAY_BEFORE = Text("day before: {change}", "较前日{change}")
WEEK_BEFORE = Text("week before: {change}", "较上周同日{change}")
UNCHANGED = Text("unchanged", "持平")
PER_DAY = Text("{name} per day", "日均{name}")
BEST = Text("Most read: {article}, {readers} readers", "昨日阅读最多：{article}，{readers} 人")
BEST_PUBLISHED = Text(
    "Most read of those published: {article}, {readers} readers",
    "期间发表的文章中阅读最多：{article}，{readers} 人",
)
TITLED = Text("《{title}》", "《{title}》")
UNTITLED = Text("article {article}", "文章 {article}")
OPEN_NOTE = Text("* WeChat may still change this figure.", "* 微信仍可能更新该数据。")
NOT_THERE = Text("Not there yet: {names}.", "暂无数据：{names}。")
# An empty line comes before a week or month.
PERIODS = {
    Period.WEEK: Text(
        "\nLast week, {first} to {last}, and its change against the week before",
        "\n上周（{first} 至 {last}），括号内为较前一周的变化",
    ),
    Period.MONTH: Text(
        "\nLast month, {first} to {last}, and its change against the month before",
        "\n上月（{first} 至 {last}），括号内为较前一月的变化",
    ),
}

NOTHING = Text(
    "Nothing is stored yet. Fetch data: wx-datacube backfill --account {account}",
    "还没有任何数据。获取数据：wx-datacube backfill --account {account}",
)
PROBLEM = Text("Action needed: {problem}", "需要您处理：{problem}")
OTHERS = Text(
    "Open alerts that need action: {count}. See wx-datacube status.",
    "未处理的告警：{count} 项，详见 wx-datacube status。",
)
DOUBT = Text("Please check: {what}.", "请核实：{what}。")
UNUSUAL = Text("Unusual: {what}.", "异常波动：{what}。")
RESTATED = Text("WeChat changed the figures of {days}.", "微信修订了 {days} 的数据。")
RESTATED_MANY = Text(
    "WeChat changed the figures of {count} days from {first} to {last}.",
    "微信修订了 {first} 至 {last} 之间 {count} 天的数据。",
)
WAITING = Text(
    "Not fetched yet: {families}. WeChat publishes by noon as a rule.",
    "尚未获取：{families}。微信一般最迟中午 12 点更新。",
)
MISSING = Text("Missing: {families}.", "数据缺失：{families}。")
SINCE = Text("{family} (since {day})", "{family}（自 {day} 起）")
HISTORY = Text("History that is not being fetched: {families}.", "历史数据没有在补齐：{families}。")
QUOTA = Text(
    "Today's quota is used up; fetching continues after 00:00 Beijing time.",
    "今天的调用配额已用完，北京时间 0 点后自动继续。",
)
FETCH = Text("To fetch it: wx-datacube backfill --account {account}", "补齐：wx-datacube backfill --account {account}")

# --- sending ----------------------------------------------------------------------------------------------------

NO_DATA = Text(
    "Nothing is stored yet. Fetch the history: wx-datacube backfill",
    "还没有任何数据。获取全部历史：wx-datacube backfill",
)
SENT = Text("The digest was sent: {accounts}.", "日报已发送：{accounts}。")
SENT_BEFORE = Text(
    "Today's digest was sent already, so it is not sent again: {accounts}.",
    "今天的日报已发送过，不再发送：{accounts}。",
)
FAILED = Text(
    "The digest was posted, but the chat did not confirm it ({accounts}): {why} Look whether it is in the chat. It is"
    " not sent again today.",
    "日报已发出，但群聊没有确认（{accounts}）：{why} 请查看群里是否收到。今天不会再次发送。",
)
UNSENT = Text(
    "The digest was not sent ({accounts}): {why} Send it with the same command when that is mended.",
    "日报未发送（{accounts}）：{why} 问题解决后，请再次运行同一命令发送。",
)
NO_WEBHOOK = Text(
    "WX_DATACUBE_WEBHOOK is not set, so there is no chat to send a digest to.",
    "未设置 WX_DATACUBE_WEBHOOK，没有可发送日报的群聊。",
)
SET_WEBHOOK = Text("Set it in .env to the URL of a group chat's robot.", "请在 .env 中填写群机器人的地址。")

# --- names and figures -------------------------------------------------------------------------------------------

_LONGEST_NAME = 40
"""Characters of a title that are shown; more would fill a phone's screen."""
_DIRECTIONS = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
_JOINER = "\u200d"


def plain(name: str) -> str:
    """Return a title or name as one short line that can't change the order or the layout of the text around it.

    A right-to-left name is isolated. Control characters, marks of direction included, are left out.
    """
    shown = _shortened(one_line(name.translate(_DIRECTIONS)))
    is_right_to_left = any(unicodedata.bidirectional(each) in ("R", "AL") for each in shown)
    return f"{_ISOLATE}{shown}{_END_ISOLATE}" if is_right_to_left else shown


def _shortened(name: str) -> str:
    """Cut a name that is too long, but not within an emoji or an accented letter."""
    if len(name) <= _LONGEST_NAME:
        return name
    end = _LONGEST_NAME - 1
    while end > 1 and (_continues(name[end]) or name[end - 1] == _JOINER):
        end -= 1
    return f"{name[:end].rstrip()}…"


def _continues(character: str) -> bool:
    """Return whether a character belongs to the one before: a joiner, an accent, a skin tone or a variant."""
    return (
        character == _JOINER
        or unicodedata.category(character) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def listed(texts: Iterable[Text | str]) -> Text:
    """Return texts as a list."""
    return joined(texts, ", ", "、")


def number(metric: str, value: float) -> str:
    """Return a figure as it is written."""
    if metric == "messages_per_sender":
        return f"{value:.2f}"
    return f"{value:+,.0f}" if metric == "net_followers" and round(value) else f"{value:,.0f}"


def change(value: float, before: float, *, people: bool) -> Text:
    """Return the change of a figure: in percent, or as a difference for people and for what was zero."""
    if people or not before:
        difference = f"{value - before:+,.2f}".rstrip("0").rstrip(".")
        return UNCHANGED if value == before else Text(difference, difference)
    percent = f"{100 * (value - before) / before:+,.1f}%"
    return UNCHANGED if percent in ("+0.0%", "-0.0%") else Text(percent, percent)


def against(text: Text, change: Text) -> Text:
    """Return a change with what it is compared with; Chinese has a blank before a number only."""
    shown = change if change is UNCHANGED else Text(change.en, f" {change.zh}")
    return text.fill(change=shown)
