"""Interface: the two endpoints about replies of the account's own server to users' messages (接口分析).

Source: WeChat's page "Interface analysis data interface" (接口分析数据接口).
"""

from wx_datacube.catalog.model import REF_DATE, REF_HOUR, Column, Endpoint, Family, Period

_CALLBACKS = (
    Column(
        "callback_count",
        "BIGINT",
        "Messages and events that WeChat passed to the account's server. Additive.",
        "微信向公众号服务器推送并等待被动回复的次数。可以相加。",
    ),
    Column("fail_count", "BIGINT", "Those of them that failed. Additive.", "其中失败的次数。可以相加。"),
    Column(
        "total_time_cost",
        "BIGINT",
        "Time that the server took for all of them together, in milliseconds. Additive.",
        "被动回复的总耗时，单位毫秒。可以相加。",
    ),
    Column(
        "max_time_cost",
        "BIGINT",
        "The longest time of one of them, in milliseconds. Not additive.",
        "被动回复的最大耗时，单位毫秒。不可相加。",
    ),
)
_FIGURES = (("calls", "sum(callback_count)"), ("failures", "sum(fail_count)"))

DAILY_CALLBACKS = Endpoint(
    "getinterfacesummary",
    Period.DAY,
    Family.INTERFACE,
    (30,),
    "Calls of WeChat to the account's server on a day, with failures and times.",
    "每日接口调用：当日微信调用公众号服务器的次数、失败次数和耗时。",
    (REF_DATE, *_CALLBACKS),
    _FIGURES,
    volume="callback_count",
)
HOURLY_CALLBACKS = Endpoint(
    "getinterfacesummaryhour",
    Period.DAY,
    Family.INTERFACE,
    (1,),
    "Calls of WeChat to the account's server in an hour of a day, with failures and times.",
    "每日接口分时调用：按小时统计微信调用公众号服务器的次数、失败次数和耗时。",
    (REF_DATE, REF_HOUR, *_CALLBACKS),
    _FIGURES,
    days=DAILY_CALLBACKS.name,
)

ENDPOINTS = (DAILY_CALLBACKS, HOURLY_CALLBACKS)
