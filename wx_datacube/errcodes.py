"""Errcodes: what WeChat's codes mean: the class of the error, a sentence, and what to do.

Add an entry to `BY_ERRCODE` when WeChat has a new code; `errors` has the classes. Nothing here does I/O. The module is
not in `wechat`, since `status` needs the codes and not the client. Source: WeChat's page of global return codes
(全局返回码), and live answers that users published.
"""

import ipaddress
import re
from dataclasses import dataclass

from wx_datacube.errors import (
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    TokenRejected,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
)
from wx_datacube.language import Text, joined


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an errcode means: the class of its error, a sentence, and advice (None: the class's own).

    The advice names the variables of a single account; `settings.Account.with_own_variables` replaces them by those of
    one of several. `{ip}` and `{address}` are the address that WeChat refused, if it named one.
    """

    kind: type[WeChatError]
    message: Text
    advice: Text | None = None


_KEEP_SECRET = Text(
    "Do not reset the AppSecret: every other system that uses it would stop working at once.",
    "切勿重置 AppSecret，否则使用它的其他系统会立即失效。",
)
_TOKEN_CONFLICT = joined(
    [
        Text(
            "Another program keeps replacing the account's token: find it (it calls stable_token with force_refresh)."
            " If WX_DATACUBE_TOKEN_URL is set, check that the token server returns the current token.",
            "有其他程序在反复刷新该账号的 access_token（用 force_refresh 调用 stable_token），请找到它。"
            "设置了 WX_DATACUBE_TOKEN_URL 时，请检查中控服务器返回的是否为最新的 access_token。",
        ),
        _KEEP_SECRET,
    ]
)
_RIGHT_SECRET = joined(
    [
        Text(
            "Set WX_DATACUBE_SECRET to the current AppSecret. The people who run the account's other systems have it.",
            "请向该账号其他系统的维护人索取正在使用的 AppSecret，填入 WX_DATACUBE_SECRET。",
        ),
        _KEEP_SECRET,
    ]
)
_WHITELIST = Text(
    "An administrator of the account must add {address} to its API IP whitelist (IP白名单), one address per line."
    " In WeChat's console it is where the AppID and AppSecret are. Then try again after a few minutes. {keep}",
    "请管理员把{address}加入 API IP 白名单（与 AppID、AppSecret 在同一页面，每行一个），几分钟后重试。{keep}",
    address=Text("the address", "本机 IP "),
    keep=_KEEP_SECRET,
)
_CONFIRM = joined(
    [
        Text(
            "WeChat asks the account's administrator to allow this machine. Have them answer the message that WeChat"
            " sent to their phone, or add the machine to the account's IP whitelist (IP白名单). Then try again.",
            "请管理员在手机上确认微信发来的消息，或把本机 IP 加入 API IP 白名单，然后重试。",
        ),
        _KEEP_SECRET,
    ]
)
_CERTIFY = Text(
    "Only certified accounts (微信认证) may read statistics. In WeChat's console, check the account's certification, "
    "and under API permissions (接口权限) that the data statistics interfaces (数据统计接口) are granted. To do"
    " without, take the endpoint's family out of WX_DATACUBE_FAMILIES.",
    "请在微信后台确认该账号已完成微信认证，且「接口权限」中已获得「数据统计接口」。"
    "不需要这类数据时，请从 WX_DATACUBE_FAMILIES 中去掉该类别。",
)
_FROZEN = Text(
    "The reason, and how to lift the restriction, are shown in WeChat's console to an administrator.",
    "请管理员在微信后台查看原因和解除办法。",
)

BY_ERRCODE: dict[int, Meaning] = {
    -1: Meaning(TryAgain, Text("WeChat is busy.", "微信系统繁忙。")),
    40001: Meaning(
        TokenRejected,
        Text("WeChat rejects the access token, even a new one.", "微信不接受 access_token，重新获取后仍不接受。"),
        _TOKEN_CONFLICT,
    ),
    40002: Meaning(
        RequestRefused,
        Text("WeChat does not know the grant_type of the token call.", "微信不认识获取 access_token 时的 grant_type。"),
    ),
    40013: Meaning(
        NeedsPerson,
        Text("WeChat does not know this AppID.", "AppID 无效。"),
        Text(
            "Set WX_DATACUBE_APPID to the account's AppID (开发者ID). It begins with wx; the one that begins "
            "with gh_ is a different ID.",
            "请将 WX_DATACUBE_APPID 设为该账号的 AppID（开发者ID，以 wx 开头；以 gh_ 开头的是原始 ID）。",
        ),
    ),
    40014: Meaning(
        TokenRejected,
        Text("WeChat says that the access token is malformed.", "微信认为 access_token 格式不正确。"),
        _TOKEN_CONFLICT,
    ),
    40125: Meaning(NeedsPerson, Text("The AppSecret is wrong.", "AppSecret 错误。"), _RIGHT_SECRET),
    40164: Meaning(
        NeedsPerson,
        Text(
            "WeChat refuses calls from this machine: its address{ip} is not whitelisted.",
            "微信拒绝了本机的请求：IP{ip} 不在白名单中。",
            ip="",
        ),
        _WHITELIST,
    ),
    40243: Meaning(
        NeedsPerson,
        Text("The account's AppSecret is frozen.", "该账号的 AppSecret 已被冻结。"),
        joined(
            [
                Text(
                    "An administrator of the account can unfreeze it (解冻) in WeChat's console, where the AppSecret"
                    " is.",
                    "请管理员在微信后台 AppSecret 所在的页面解冻。",
                ),
                _KEEP_SECRET,
            ]
        ),
    ),
    41001: Meaning(RequestRefused, Text("WeChat got no access token.", "微信没有收到 access_token。")),
    41002: Meaning(
        RequestRefused,
        Text("WeChat got no AppID with the token call.", "获取 access_token 时，微信没有收到 AppID。"),
    ),
    41004: Meaning(
        RequestRefused,
        Text("WeChat got no AppSecret with the token call.", "获取 access_token 时，微信没有收到 AppSecret。"),
    ),
    42001: Meaning(
        TokenRejected,
        Text(
            "WeChat says that the access token has expired, even a new one.",
            "微信认为 access_token 已过期，重新获取后仍是如此。",
        ),
        _TOKEN_CONFLICT,
    ),
    43002: Meaning(RequestRefused, Text("WeChat requires POST for this call.", "微信要求该请求使用 POST。")),
    44002: Meaning(RequestRefused, Text("WeChat got an empty body.", "微信收到的请求内容为空。")),
    45009: Meaning(QuotaExhausted, Text("The day's quota of this call is used up.", "该接口今天的调用配额已用完。")),
    45011: Meaning(
        RateLimited,
        Text("WeChat got too many calls within a minute, even after pauses.", "一分钟内调用过多，暂停后仍被微信拒绝。"),
        Text(
            "Other programs share this limit: try again in a few minutes, or lower WX_DATACUBE_CONCURRENCY.",
            "该上限与其他程序共用：请几分钟后重试，或调低 WX_DATACUBE_CONCURRENCY。",
        ),
    ),
    47001: Meaning(RequestRefused, Text("WeChat could not read the body as JSON.", "微信无法将请求内容解析为 JSON。")),
    47009: Meaning(
        RequestRefused,
        Text("WeChat has retired this endpoint.", "微信已下线该接口。"),
        Text(
            "Skip it, and check whether a newer version of wx_datacube supports its replacement.",
            "请跳过该接口，并查看新版本的 wx_datacube 是否支持替代接口。",
        ),
    ),
    48001: Meaning(
        NeedsPerson, Text("The account may not call this endpoint.", "该账号没有这个接口的权限。"), _CERTIFY
    ),
    48004: Meaning(
        NeedsPerson, Text("WeChat has blocked this call for the account.", "微信已封禁该账号的这个接口。"), _FROZEN
    ),
    50002: Meaning(NeedsPerson, Text("WeChat has restricted the account.", "该账号被微信限制。"), _FROZEN),
    50004: Meaning(
        NeedsPerson,
        Text("WeChat does not allow the account to fetch tokens.", "微信禁止该账号获取 access_token。"),
        _FROZEN,
    ),
    50007: Meaning(NeedsPerson, Text("The account is frozen.", "该账号已被冻结。"), _FROZEN),
    61007: Meaning(
        NeedsPerson,
        Text(
            "The account has not granted its statistics to the third-party platform whose token is used.",
            "该账号没有把统计权限授权给所用的第三方平台。",
        ),
        Text(
            "The account's administrator must authorize the platform again, with the permission for statistics. Or use "
            "the account's own AppID and AppSecret.",
            "请管理员重新授权该平台并勾选统计权限，或改用该账号自己的 AppID 和 AppSecret。",
        ),
    ),
    61500: Meaning(RequestRefused, Text("WeChat says that the dates are malformed.", "微信认为日期格式不正确。")),
    61501: Meaning(RequestRefused, Text("WeChat does not accept this range of dates.", "微信不接受该日期范围。")),
    61503: Meaning(
        NotReady,
        Text("WeChat has not computed these figures yet.", "微信尚未发布这些数据。"),
        Text(
            "They are usually published after 08:00 and by noon Beijing time. Try again then.",
            "一般在北京时间 8 点之后、最迟中午 12 点更新，请届时重试。",
        ),
    ),
    89501: Meaning(
        NeedsPerson,
        Text("The account's administrator has not yet allowed this machine.", "管理员尚未允许本机调用。"),
        _CONFIRM,
    ),
    89503: Meaning(
        NeedsPerson,
        Text("The account's administrator must allow this machine.", "需要管理员允许本机调用。"),
        _CONFIRM,
    ),
    89506: Meaning(
        NeedsPerson,
        Text(
            "The account's administrator refused this machine twice: wait a day.",
            "管理员已两次拒绝本机调用，需要等待一天。",
        ),
        _CONFIRM,
    ),
    89507: Meaning(
        NeedsPerson,
        Text(
            "The account's administrator refused this machine: wait an hour.",
            "管理员拒绝了本机调用，需要等待一小时。",
        ),
        _CONFIRM,
    ),
}
"""What each errcode means, defined nowhere else. A code that is not here becomes an `UnexpectedAnswer`."""

_SECRET_REFUSED = Meaning(
    NeedsPerson, Text("WeChat refuses this AppID and AppSecret.", "微信不接受该 AppID 和 AppSecret。"), _RIGHT_SECRET
)
_UNKNOWN = Meaning(UnexpectedAnswer, Text("WeChat answered with an unknown errcode.", "微信返回了未知的错误码。"))


def needs_person(errcode: int) -> bool:
    """Return whether a person has to act at WeChat or change the settings before another call makes sense."""
    return errcode in BY_ERRCODE and BY_ERRCODE[errcode].kind is NeedsPerson


def error_for(
    errcode: int, errmsg: str = "", *, rid: str | None = None, endpoint: str | None = None, token_call: bool = False
) -> WeChatError:
    """Return the error for an errcode; `errmsg` is used only to find the address that 40164 names.

    `token_call` says that it answered a token call, where 40001 is about the AppSecret.
    """
    meaning = BY_ERRCODE.get(errcode, _UNKNOWN)
    if token_call and meaning.kind is TokenRejected:
        meaning = _SECRET_REFUSED
    message, advice, ip = meaning.message, meaning.advice, address_in(errmsg) if errcode == 40164 else None
    if ip and advice:
        message, advice = message.fill(ip=f" {ip}"), advice.fill(address=Text(ip, f" {ip} "))
    error = meaning.kind(message, advice=advice, errcode=errcode, rid=rid, endpoint=endpoint)
    if isinstance(error, NeedsPerson):
        error.ip = ip
    return error


def address_in(text: str) -> str | None:
    """Return the first IP address in a text, or None.

    An example of a text: `invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist`.
    """
    for word in re.findall(r"[0-9A-Fa-f:.]{3,45}", text):
        try:
            return str(ipaddress.ip_address(word.strip(".")))
        except ValueError:
            continue
    return None
