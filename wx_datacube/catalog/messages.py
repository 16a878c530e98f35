"""Messages: the seven endpoints about messages that followers send to the account (消息分析).

A type of messages has its Chinese name in `operations.names`. Source of every number: WeChat's page "Message
analysis data interface" (消息分析数据接口) and, where it is silent, live answers that users published. Spans are those
of the page of 2015, the only version that live answers confirm. The newest pages allow one week or month a call.
"""

from wx_datacube.catalog.model import REF_DATE, REF_HOUR, USER_SOURCE, Column, Endpoint, Family, Period

MSG_TYPE = Column(
    "msg_type",
    "INTEGER",
    "Type of the messages: 1 text, 2 image, 3 voice, 4 video, 6 link; WeChat may use other codes.",
    "消息类型：1 文字，2 图片，3 语音，4 视频，6 第三方应用消息（链接）；微信可能使用其他代码。",
    key=True,
    low=-(2**31),
    high=2**31 - 1,
    codes=((1, "text"), (2, "image"), (3, "voice"), (4, "video"), (6, "link")),
)
COUNT_INTERVAL = Column(
    "count_interval",
    "INTEGER",
    "How many messages each of these users sent in the period: 0 none, 1 for 1-5, 2 for 6-10, 3 for more than 10.",
    "每位用户在该周期内的消息发送次数区间：0 为 0次，1 为 1-5次，2 为 6-10次，3 为 10次以上。",
    key=True,
    low=-(2**31),
    high=2**31 - 1,
    codes=((0, "0"), (1, "1-5"), (2, "6-10"), (3, "more than 10")),
)
MSG_USER = Column(
    "msg_user",
    "BIGINT",
    "Distinct users who sent. Not additive over types, hours or days.",
    "发送消息的去重用户数。不同类型、小时、日期之间不可相加。",
)
MSG_COUNT = Column(
    "msg_count",
    "BIGINT",
    "Messages sent to the account. Additive.",
    "发送给公众号的消息总数。可以相加。",
)

_MESSAGES = (REF_DATE, MSG_TYPE, USER_SOURCE, MSG_USER, MSG_COUNT)
_HOURS = (REF_DATE, REF_HOUR, MSG_TYPE, USER_SOURCE, MSG_USER, MSG_COUNT)
_SENDERS = (REF_DATE, COUNT_INTERVAL, USER_SOURCE, MSG_USER)

# Users of different types and hours overlap, so the largest number in any row is a lower bound of a label's users.
_COUNTED = (("messages", "sum(msg_count)"), ("users_at_least", "max(msg_user)"))
# Each user is in one interval; interval 0 is users who sent nothing.
_SPREAD = (("users", "sum(msg_user) FILTER (count_interval <> 0)"),)

DAILY_MESSAGES = Endpoint(
    "getupstreammsg",
    Period.DAY,
    Family.MESSAGES,
    (7,),
    "Messages that followers sent to the account on a day, by type of message.",
    "每日消息发送概况：按消息类型统计粉丝发送给公众号的消息。",
    _MESSAGES,
    _COUNTED,
    volume=MSG_COUNT.name,
)
HOURLY_MESSAGES = Endpoint(
    "getupstreammsghour",
    Period.DAY,
    Family.MESSAGES,
    (1,),
    "Messages that followers sent in an hour of a day, by type of message.",
    "每日消息分时数据：按小时和消息类型统计粉丝发送给公众号的消息。",
    _HOURS,
    _COUNTED,
    days=DAILY_MESSAGES.name,
)
MESSAGES_OF = {
    Period.DAY: DAILY_MESSAGES,
    Period.WEEK: Endpoint(
        "getupstreammsgweek",
        Period.WEEK,
        Family.MESSAGES,
        (30, 1),
        "Messages that followers sent in a week, by type of message; the date is the week's Monday.",
        "消息发送周数据：按消息类型统计一周内粉丝发送给公众号的消息，日期为当周周一。",
        _MESSAGES,
        _COUNTED,
        days=DAILY_MESSAGES.name,
    ),
    Period.MONTH: Endpoint(
        "getupstreammsgmonth",
        Period.MONTH,
        Family.MESSAGES,
        (30, 1),
        "Messages that followers sent in a month, by type of message; the date is the month's 1st.",
        "消息发送月数据：按消息类型统计一个月内粉丝发送给公众号的消息，日期为当月 1 日。",
        _MESSAGES,
        _COUNTED,
        days=DAILY_MESSAGES.name,
    ),
}
"""The endpoints that count messages by type."""
SENDERS_OF = {
    Period.DAY: Endpoint(
        "getupstreammsgdist",
        Period.DAY,
        Family.MESSAGES,
        (15,),
        "How many users sent 1-5, 6-10 or more than 10 messages on a day.",
        "每日消息发送分布：当日发送 1-5次、6-10次、10次以上消息的用户数。",
        _SENDERS,
        _SPREAD,
        days=DAILY_MESSAGES.name,
    ),
    Period.WEEK: Endpoint(
        "getupstreammsgdistweek",
        Period.WEEK,
        Family.MESSAGES,
        (30, 1),
        "How many users sent 1-5, 6-10 or more than 10 messages in a week; the date is the week's Monday.",
        "消息发送分布周数据：一周内发送 1-5次、6-10次、10次以上消息的用户数，日期为当周周一。",
        _SENDERS,
        _SPREAD,
        days=DAILY_MESSAGES.name,
    ),
    Period.MONTH: Endpoint(
        "getupstreammsgdistmonth",
        Period.MONTH,
        Family.MESSAGES,
        (30, 1),
        "How many users sent 1-5, 6-10 or more than 10 messages in a month; the date is the month's 1st.",
        "消息发送分布月数据：一个月内发送 1-5次、6-10次、10次以上消息的用户数，日期为当月 1 日。",
        _SENDERS,
        _SPREAD,
        days=DAILY_MESSAGES.name,
    ),
}
"""The endpoints that count senders by how many messages they sent."""

ENDPOINTS = (DAILY_MESSAGES, HOURLY_MESSAGES, MESSAGES_OF[Period.WEEK], MESSAGES_OF[Period.MONTH], *SENDERS_OF.values())
