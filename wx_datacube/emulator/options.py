"""Options: every setting of an emulator, as one frozen dataclass.

Add a field here: its name, default, how its text is parsed, and one line of help. It is then a command-line option, a
field of `POST /_emulator/options` and an argument of `testing.wechat`. Nothing here applies an option.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, NamedTuple

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import HISTORY_START
from wx_datacube.emulator.faults import Fault
from wx_datacube.language import Text, text_of

OFFLINE = ("getarticlesummary", "getarticletotal", "getuserread", "getuserreadhour", "getusershare", "getusersharehour")
"""Statistics endpoints that WeChat has taken offline."""

FIRST_DAY, LAST_DAY = dt.date(2000, 1, 1), dt.date(2099, 12, 31)
"""The limits of the clock and of the account's dates; they keep date arithmetic within Python's range."""


def _whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return read


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError
    return number


def _day(text: str) -> dt.date:
    day = dt.date.fromisoformat(text)
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError
    return day


def _moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is not None or not FIRST_DAY <= moment.date() <= LAST_DAY:
        raise ValueError
    return moment


def _switch(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def _word(text: str) -> str:
    if not text or not text.isascii() or not text.isalnum():
        raise ValueError
    return text


def _quota(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return BY_NAME[name].name, _whole(0)(number)


def _span(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return BY_NAME[name].name, _whole(1)(number)


def _time(text: str) -> dt.time:
    time = dt.time.fromisoformat(text)
    if time.tzinfo is not None:
        raise ValueError
    return time


class InvalidOption(ValueError):
    """An option that doesn't exist, or a wrong value; `text` names the option and the values that it takes."""

    def __init__(self, text: Text) -> None:
        super().__init__(str(text))
        self.text = text


class Kind(NamedTuple):
    """How to parse an option's text, a description of the values it takes, and its placeholder in `--help`."""

    read: Callable[[str], object]
    takes: Text
    metavar: str


COUNT = Kind(_whole(0), Text("a whole number", "整数"), "N")
NATURAL = Kind(_whole(1), Text("a whole number from 1 on", "不小于 1 的整数"), "N")
NUMBER = Kind(int, Text("a whole number, also a negative one", "整数，可为负数"), "N")
SIZE = Kind(_whole(1, 100_000), Text("a whole number from 1 to 100,000", "1 至 100,000 的整数"), "N")
MILLISECONDS = Kind(_whole(0, 600_000), Text("a whole number up to 600,000", "不大于 600,000 的整数"), "N")
SECONDS = Kind(_whole(1, 31_536_000), Text("a whole number from 1 to 31,536,000", "1 至 31,536,000 的整数"), "N")
SHARE = Kind(_share, Text("a number from 0 to 1", "0 至 1 的数"), "SHARE")
WORD = Kind(_word, Text("letters and digits", "字母和数字"), "WORD")
TEXT = Kind(str, Text("text", "文字"), "TEXT")
SWITCH = Kind(_switch, Text("true or false", "true 或 false"), "")
DAY = Kind(_day, Text("a date, YYYY-MM-DD, from 2000 to 2099", "2000 至 2099 年的日期（YYYY-MM-DD）"), "DATE")
MOMENT = Kind(
    _moment,
    Text("Beijing time, YYYY-MM-DDTHH:MM, from 2000 to 2099", "2000 至 2099 年的北京时间（YYYY-MM-DDTHH:MM）"),
    "MOMENT",
)
TIME = Kind(_time, Text("Beijing time, HH:MM", "北京时间（HH:MM）"), "TIME")
ENDPOINT_QUOTA = Kind(_quota, text_of("ENDPOINT=N"), "ENDPOINT=N")
ENDPOINT_SPAN = Kind(_span, Text("ENDPOINT=N, from 1 on", "ENDPOINT=N，不小于 1"), "ENDPOINT=N")
FAULT = Kind(Fault.parse, text_of(Fault.GRAMMAR), "FAULT")


def _about(kind: Kind, en: str, zh: str, many: bool = False) -> dict[str, object]:
    return {"kind": kind, "help": Text(en, zh), "many": many}


@dataclass(frozen=True, slots=True)
class Options:
    """How an emulator behaves; the defaults are an ordinary day at WeChat."""

    appid: str = field(
        default="wx5eed0fda7acbe011", metadata=_about(WORD, "AppID of the made-up account.", "虚构账号的 AppID。")
    )
    secret: str = field(
        default="0123456789abcdef" * 2,
        metadata=_about(WORD, "AppSecret of the made-up account.", "虚构账号的 AppSecret。"),
    )
    seed: int = field(default=0, metadata=_about(NUMBER, "Seed of the made-up figures.", "生成数据的随机种子。"))
    messages_per_day: int = field(
        default=300,
        metadata=_about(
            SIZE, "Messages per day once the account is about five years old.", "账号满五年左右时每天的消息数。"
        ),
    )
    silent_share: float = field(
        default=0.03,
        metadata=_about(SHARE, "Share of days without messages and readers.", "没有消息和阅读的日期所占比例。"),
    )
    start: dt.date = field(default=HISTORY_START, metadata=_about(DAY, "First day of the account.", "账号的第一天。"))
    clock: dt.datetime | None = field(
        default=None,
        metadata=_about(
            MOMENT,
            "Beijing time to start at, e.g. 2026-11-24T09:00. Default: now.",
            "开始时的北京时间，例如 2026-11-24T09:00。默认：现在。",
        ),
    )
    frozen: bool = field(default=False, metadata=_about(SWITCH, "Stop the clock.", "时钟停住不走。"))
    publish_at: dt.time = field(
        default=dt.time(8),
        metadata=_about(TIME, "Beijing time at which yesterday's figures are published.", "发布昨日数据的北京时间。"),
    )
    refuse_unpublished: bool = field(
        default=False,
        metadata=_about(
            SWITCH, "Answer 61503 instead of an empty list before publication.", "发布之前返回 61503，而不是空列表。"
        ),
    )
    delay_until: dt.time = field(
        default=dt.time(),
        metadata=_about(
            TIME,
            "Until then, yesterday's article figures are too low (is_delay).",
            "在此时间之前，昨日的内容数据偏低（is_delay）。",
        ),
    )
    delayed: bool = field(
        default=False,
        metadata=_about(SWITCH, "Every article answer says is_delay.", "所有内容接口的返回都带 is_delay。"),
    )
    delay_as_text: bool = field(
        default=False,
        metadata=_about(
            SWITCH,
            'is_delay is "true" or "false" instead of a boolean.',
            'is_delay 为 "true" 或 "false"，而不是布尔值。',
        ),
    )
    quota: int = field(
        default=1000,
        metadata=_about(
            COUNT, "Daily calls per statistics endpoint (Beijing time).", "每个统计接口每天可调用的次数（北京时间）。"
        ),
    )
    endpoint_quota: tuple[tuple[str, int], ...] = field(
        default=(),
        metadata=_about(
            ENDPOINT_QUOTA, "Quota of one endpoint, instead of --quota.", "单个接口的配额，代替 --quota。", many=True
        ),
    )
    token_quota: int | None = field(
        default=None,
        metadata=_about(
            COUNT,
            "Daily token calls. Default: 2,000 for token, 500,000 for stable_token.",
            "每天可获取 access_token 的次数。默认：token 2,000，stable_token 500,000。",
        ),
    )
    rate_limit: int | None = field(
        default=None,
        metadata=_about(
            NATURAL,
            "Calls per minute per endpoint; more are refused (45011).",
            "每个接口每分钟可调用的次数，超出时拒绝（45011）。",
        ),
    )
    token_lifetime: int = field(
        default=7200, metadata=_about(SECONDS, "Lifetime of a token in seconds.", "access_token 的有效期（秒）。")
    )
    whitelist: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            TEXT,
            "An address that may fetch tokens; others are refused (40164).",
            "可获取 access_token 的 IP，其他 IP 拒绝（40164）。",
            many=True,
        ),
    )
    secret_frozen: bool = field(
        default=False,
        metadata=_about(SWITCH, "Refuse the AppSecret as frozen (40243).", "AppSecret 已冻结，拒绝请求（40243）。"),
    )
    denied: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            TEXT,
            "An endpoint or family not granted to the account (48001); * for all.",
            "账号没有权限的接口或类别（48001）；* 表示全部。",
            many=True,
        ),
    )
    retired: tuple[str, ...] = field(
        default=OFFLINE,
        metadata=_about(TEXT, "An endpoint taken offline by WeChat (47009).", "微信已下线的接口（47009）。", many=True),
    )
    longest_span: tuple[tuple[str, int], ...] = field(
        default=(),
        metadata=_about(
            ENDPOINT_SPAN,
            "Most days of one call (61501 above), instead of WeChat's.",
            "单次最多天数，超出时返回 61501；代替微信的规定。",
            many=True,
        ),
    )
    one_label: bool = field(
        default=False,
        metadata=_about(
            SWITCH, "Refuse windows with several weeks or months (61501).", "拒绝包含多周或多月的请求（61501）。"
        ),
    )
    partial: bool = field(
        default=False,
        metadata=_about(
            SWITCH,
            "Return only the oldest label of a window with several weeks or months.",
            "请求包含多周或多月时，只返回最早的一个。",
        ),
    )
    stray_rows: bool = field(
        default=False,
        metadata=_about(
            SWITCH,
            "One-day windows also return rows up to two years older (August 2022).",
            "请求一天时，也返回最多两年前的数据（2022 年 8 月的情况）。",
        ),
    )
    dirty_rows: bool = field(
        default=False,
        metadata=_about(
            SWITCH,
            "Windows in the first days of history also return rows of the days before.",
            "请求历史最初几天时，也返回此前日期的数据。",
        ),
    )
    unknown_codes: bool = field(
        default=False,
        metadata=_about(
            SWITCH,
            "Followers have an undocumented channel, readers an undocumented scene.",
            "关注渠道和阅读来源中含有文档未说明的代码。",
        ),
    )
    latency: int = field(
        default=0, metadata=_about(MILLISECONDS, "Delay of every answer in milliseconds.", "每次返回的延迟（毫秒）。")
    )
    faults: tuple[Fault, ...] = field(
        default=(),
        metadata=_about(
            FAULT, f"A deliberate failure: {Fault.GRAMMAR}.", f"故意制造的故障：{Fault.GRAMMAR}。", many=True
        ),
    )

    def changed(self, values: Mapping[str, object]) -> "Options":
        """Return a copy with other values, each given as text or as its own type; None restores the default.

        Raise `InvalidOption` with one line that names the option and the values that it takes.
        """
        known = {option.name: option for option in fields(self)}
        unknown = [name for name in values if name not in known]
        if unknown:
            wrong = Text("no such option: {unknown}; there are {known}", "没有选项 {unknown}；可用的有 {known}")
            raise InvalidOption(wrong.fill(unknown=", ".join(unknown), known=", ".join(known)))
        read: dict[str, Any] = {name: _read(known[name], value) for name, value in values.items()}
        return replace(self, **read)

    def as_json(self) -> dict[str, object]:
        """Return every option as a value that JSON can represent; `changed` accepts the result."""
        return {option.name: _plain(getattr(self, option.name)) for option in fields(self)}


def _read(option: Field[Any], value: object) -> object:
    if value is None:
        return option.default
    kind: Kind = option.metadata["kind"]
    try:
        if not option.metadata["many"]:
            return _read_one(option, value)
        items: Iterable[object] = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else value
        items = value.items() if isinstance(value, Mapping) else items
        return tuple(_read_one(option, item) for item in items)
    except (ValueError, KeyError, TypeError):
        wrong = Text("{name} takes {takes}, not {value!r}", "{name} 应为{takes}，而不是 {value!r}")
        raise InvalidOption(wrong.fill(name=option.name, takes=kind.takes, value=str(value)[:80])) from None


def _read_one(option: Field[Any], value: object) -> object:
    pair = "=".join(map(str, value)) if isinstance(value, tuple | list) else value
    kind: Kind = option.metadata["kind"]
    return kind.read(_plain_text(pair))


def _plain_text(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return ["=".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else _plain_text(value)
