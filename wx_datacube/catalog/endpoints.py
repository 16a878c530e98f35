"""Catalog: the seven message-analysis endpoints of WeChat's datacube API as data.

To add an endpoint of a known family, for a period that the family doesn't have yet, add an entry to `ENDPOINTS`: its
table, asset, checks, commands and documentation derive from it. A new `Family` also needs its views in
`warehouse.schema`, its place in `orchestration.assets` and its figures in `emulator.world`. A type of messages has its
Chinese name in `operations.report.words`. A change of names or columns changes the database: see `warehouse.migrate`.
Source of every number: WeChat's page "Message analysis data interface" (消息分析数据接口) and, where it is silent, live
answers that users published.
"""

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum

HISTORY_START = dt.date(2014, 12, 1)
"""WeChat keeps message statistics from this day on; its page calls older rows "unreliable dirty data"."""


class Period(Enum):
    """The length of time, in Beijing time, that one row of an endpoint covers."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def adverb(self) -> str:
        """`daily`, `weekly` or `monthly`, as in the names of views and schedules."""
        return "daily" if self is Period.DAY else f"{self.value}ly"


class Family(Enum):
    """What an endpoint counts. The value is the column that distinguishes its rows of one label."""

    MESSAGES = "msg_type"
    HOURS = "ref_hour"
    SENDERS = "count_interval"


@dataclass(frozen=True, slots=True)
class Column:
    """A field of an endpoint's rows: WeChat's name, DuckDB's type, and what it means."""

    name: str
    type: str
    en: str
    zh: str
    key: bool = False
    required: bool = True
    low: int = 0
    high: int = 2**63 - 1
    step: int = 1


REF_DATE = Column(
    "ref_date",
    "DATE",
    "The day, the Monday of the week, or the 1st of the month that the row is about, in Beijing time.",
    "数据日期（北京时间）：日数据为当日，周数据为当周周一，月数据为当月 1 日。",
    key=True,
)
REF_HOUR = Column(
    "ref_hour",
    "INTEGER",
    "Hour × 100: 0, 100, … 2300; 900 covers 09:00 to 10:00, Beijing time.",
    "小时 × 100：0、100……2300；900 表示北京时间 09:00 至 10:00。",
    key=True,
    high=2300,
    step=100,
)
MSG_TYPE = Column(
    "msg_type",
    "INTEGER",
    "Type of the messages: 1 text, 2 image, 3 voice, 4 video, 6 link; WeChat may use other codes.",
    "消息类型：1 文字，2 图片，3 语音，4 视频，6 第三方应用消息（链接）；微信可能使用其他代码。",
    key=True,
    low=-(2**31),
    high=2**31 - 1,
)
COUNT_INTERVAL = Column(
    "count_interval",
    "INTEGER",
    "How many messages each of these users sent in the period: 0 none, 1 for 1-5, 2 for 6-10, 3 for more than 10.",
    "每位用户在该周期内的消息发送次数区间：0 为 0次，1 为 1-5次，2 为 6-10次，3 为 10次以上。",
    key=True,
    low=-(2**31),
    high=2**31 - 1,
)
USER_SOURCE = Column(
    "user_source",
    "INTEGER",
    "Undocumented by WeChat; 0 in every known answer, NULL where an answer had none.",
    "微信文档未说明；已知返回值均为 0，返回中没有该字段时为 NULL。",
    required=False,
    low=-(2**31),
    high=2**31 - 1,
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

MESSAGE_TYPES = {1: "text", 2: "image", 3: "voice", 4: "video", 6: "link"}
"""`msg_type` in words; any other code is shown as `other (N)`."""

COUNT_INTERVALS = {0: "0", 1: "1-5", 2: "6-10", 3: "more than 10"}
"""`count_interval` in words; any other code is shown as `other (N)`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One statistics endpoint: its name, the meaning of its rows, and how many days one call may cover.

    `max_span_days` N allows N days inclusive (`end_date - begin_date < N`); beyond that, WeChat answers 61501.
    """

    name: str
    period: Period
    family: Family
    max_span_days: int
    en: str
    zh: str
    columns: tuple[Column, ...] = field(repr=False)

    @property
    def path(self) -> str:
        """Path under the API's host; also the `cgi_path` of the quota call."""
        return f"/datacube/{self.name}"

    @property
    def key(self) -> tuple[Column, ...]:
        """Natural key of a row within an account."""
        return tuple(column for column in self.columns if column.key)

    @property
    def values(self) -> tuple[Column, ...]:
        """The columns of a row besides its key, `user_source` included."""
        return tuple(column for column in self.columns if not column.key)

    @property
    def measures(self) -> tuple[Column, ...]:
        """The figures of a row: `msg_user` and, except for distributions, `msg_count`."""
        return tuple(column for column in self.values if column.required)

    @property
    def counts_messages(self) -> bool:
        """Whether rows carry `msg_count`."""
        return MSG_COUNT in self.columns

    @property
    def implied_by_silence(self) -> bool:
        """Whether a day without messages needs no call of this endpoint."""
        return self.period is Period.DAY and self.family is not Family.MESSAGES


_MESSAGES = (REF_DATE, MSG_TYPE, USER_SOURCE, MSG_USER, MSG_COUNT)
_HOURS = (REF_DATE, REF_HOUR, MSG_TYPE, USER_SOURCE, MSG_USER, MSG_COUNT)
_SENDERS = (REF_DATE, COUNT_INTERVAL, USER_SOURCE, MSG_USER)

# Spans are from the table of the official page of 2015, the only version that live answers confirm.
ENDPOINTS = (
    Endpoint(
        "getupstreammsg",
        Period.DAY,
        Family.MESSAGES,
        7,
        "Messages that followers sent to the account on a day, by type of message.",
        "每日消息发送概况：按消息类型统计粉丝发送给公众号的消息。",
        _MESSAGES,
    ),
    Endpoint(
        "getupstreammsghour",
        Period.DAY,
        Family.HOURS,
        1,
        "Messages that followers sent in an hour of a day, by type of message.",
        "每日消息分时数据：按小时和消息类型统计粉丝发送给公众号的消息。",
        _HOURS,
    ),
    Endpoint(
        "getupstreammsgweek",
        Period.WEEK,
        Family.MESSAGES,
        30,
        "Messages that followers sent in a week, by type of message; the date is the week's Monday.",
        "消息发送周数据：按消息类型统计一周内粉丝发送给公众号的消息，日期为当周周一。",
        _MESSAGES,
    ),
    Endpoint(
        "getupstreammsgmonth",
        Period.MONTH,
        Family.MESSAGES,
        30,
        "Messages that followers sent in a month, by type of message; the date is the month's 1st.",
        "消息发送月数据：按消息类型统计一个月内粉丝发送给公众号的消息，日期为当月 1 日。",
        _MESSAGES,
    ),
    Endpoint(
        "getupstreammsgdist",
        Period.DAY,
        Family.SENDERS,
        15,
        "How many users sent 1-5, 6-10 or more than 10 messages on a day.",
        "每日消息发送分布：当日发送 1-5次、6-10次、10次以上消息的用户数。",
        _SENDERS,
    ),
    Endpoint(
        "getupstreammsgdistweek",
        Period.WEEK,
        Family.SENDERS,
        30,
        "How many users sent 1-5, 6-10 or more than 10 messages in a week; the date is the week's Monday.",
        "消息发送分布周数据：一周内发送 1-5次、6-10次、10次以上消息的用户数，日期为当周周一。",
        _SENDERS,
    ),
    Endpoint(
        "getupstreammsgdistmonth",
        Period.MONTH,
        Family.SENDERS,
        30,
        "How many users sent 1-5, 6-10 or more than 10 messages in a month; the date is the month's 1st.",
        "消息发送分布月数据：一个月内发送 1-5次、6-10次、10次以上消息的用户数，日期为当月 1 日。",
        _SENDERS,
    ),
)

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
DAILY_MESSAGES = BY_NAME["getupstreammsg"]
"""The endpoint whose days without messages imply that there are no figures by hour and no distribution."""
