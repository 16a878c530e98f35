"""Webhook: post a text into a group chat, to a robot of 企业微信, 飞书 or 钉钉, or in Slack's format.

Add a chat here when it needs another body. The path of the URL decides which chat it is, so that a gateway works too.
`secret_url` makes the request; nothing here raises. Sources: the chats' own pages on robots (群机器人, 自定义机器人,
incoming webhooks).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from wx_datacube.alerts.secret_url import send, why_not_accepted
from wx_datacube.config.settings import Secret
from wx_datacube.language import Text


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat: the start of its robots' paths, the most bytes of a text, its body, and whether an answer means success.

    `escape` disables what the chat would read as a mention, a link or a format: part of the text is WeChat's.
    """

    path: str
    max_bytes: int
    escape: Callable[[str], str]
    body: Callable[[str], dict[str, Any]]
    accepted: Callable[[dict[str, Any]], bool]


def _full_width_brackets(text: str) -> str:
    """Disable tags such as `<at user_id="all">` or `<@all>`.

    The brackets become full-width ones, since no source says that these chats support escaped brackets.
    """
    return text.replace("<", "＜").replace(">", "＞")


def _slack_escape(text: str) -> str:
    """Escape a text as Slack does (https://docs.slack.dev/messaging/formatting-message-text), against `<!channel>`.

    Other chats that take Slack's format also read `@all` and `@channel`; a zero-width space after the `@` prevents
    that.
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"@(?=\w)", "@\u200b", text)


CHATS = (
    Chat(  # 企业微信: https://developer.work.weixin.qq.com/document/path/91770
        "/cgi-bin/webhook/send",
        2048,
        _full_width_brackets,
        lambda text: {"msgtype": "text", "text": {"content": text}},
        lambda answer: answer.get("errcode") == 0,
    ),
    Chat(  # 飞书, Lark: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
        "/open-apis/bot/",
        20_000,
        _full_width_brackets,
        lambda text: {"msg_type": "text", "content": {"text": text}},
        lambda answer: answer.get("code", answer.get("StatusCode")) == 0,
    ),
    Chat(  # 钉钉: https://open.dingtalk.com/document/robots/custom-robot-access
        "/robot/send",
        20_000,
        _full_width_brackets,
        lambda text: {"msgtype": "text", "text": {"content": text}},
        lambda answer: answer.get("errcode") == 0,
    ),
)
SLACK = Chat("", 40_000, _slack_escape, lambda text: {"text": text}, lambda answer: True)
"""Slack's format, which Mattermost, Rocket.Chat and others take too; the HTTP status says whether it was accepted."""


def chat_of(url: str) -> Chat:
    """Return the chat that a webhook's URL belongs to."""
    path = urlsplit(url).path
    return next((chat for chat in CHATS if path.startswith(chat.path)), SLACK)


_RECEIVER = Text("The webhook", "群机器人")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the chat didn't confirm a message, without the URL; it can't have arrived if it is `unsent`."""

    reason: Text
    unsent: bool = False


def post(webhook: Secret, text: str) -> Failure | None:
    """Post a text, cut to what the chat accepts; return None on success."""
    chat = chat_of(webhook.reveal())

    def body() -> bytes:
        return json.dumps(chat.body(_truncated(chat.escape(text), chat.max_bytes))).encode()

    reply = send(_RECEIVER, webhook, body)
    if reason := reply.problem or why_not_accepted(_RECEIVER, reply):
        return Failure(reason, reply.unsent)
    if not chat.accepted(_parsed_answer(reply.body)):
        rejected = Text(
            "{who} rejected the message: check its URL, and that the robot still exists.",
            "{who}拒收了消息：请检查其地址，以及该机器人是否还在。",
            who=_RECEIVER,
        )
        return Failure(rejected)
    return None


def _truncated(text: str, max_bytes: int) -> str:
    """Return the text in at most `max_bytes` bytes of UTF-8."""
    encoded = text.encode()
    return text if len(encoded) <= max_bytes else encoded[: max_bytes - 3].decode(errors="ignore") + "…"


def _parsed_answer(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
