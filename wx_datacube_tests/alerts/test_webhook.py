"""Webhook: four message formats, chosen by the URL's path, and receivers that don't accept a message.

Add a chat to `BODIES`, `TAKEN` and `REFUSALS` when `alerts.webhook` supports it. When alerts are sent, and which, is
tested in `test_store.py`.
"""

import socket
import time
from typing import Any

import pytest

from wx_datacube.alerts.secret_url import BOUNDS
from wx_datacube.alerts.webhook import post
from wx_datacube.config.settings import Secret
from wx_datacube_tests.receiver import KEY, PATHS, Receiver, receiving

TEXT = "wx_datacube · shop · 需要您处理"
BODIES: dict[str, dict[str, Any]] = {
    "企业微信": {"msgtype": "text", "text": {"content": TEXT}},
    "飞书": {"msg_type": "text", "content": {"text": TEXT}},
    "钉钉": {"msgtype": "text", "text": {"content": TEXT}},
    "Slack": {"text": TEXT},
}
REFUSALS = {
    "企业微信": b'{"errcode": 93000, "errmsg": "invalid webhook url"}',
    "飞书": b'{"code": 19001, "msg": "param invalid: incoming webhook access token invalid", "data": {}}',
    "钉钉": b'{"errcode": 310000, "errmsg": "keywords not in content"}',
}
TAKEN = {
    "企业微信": b'{"errcode": 0, "errmsg": "ok"}',
    "飞书": b'{"StatusCode": 0, "StatusMessage": "success"}',
    "钉钉": b'{"errcode": 0, "errmsg": "ok"}',
    "Slack": b"ok",
}


def said(receiver: Receiver, chat: str = "企业微信") -> str:
    """Return the reason why a message was not accepted, and assert that it doesn't show the URL."""
    failure = post(Secret(receiver.url(chat)), TEXT)
    assert failure is not None
    assert not failure.unsent  # the receiver was connected
    assert KEY not in str(failure.reason)
    assert str(receiver.port) not in str(failure.reason)
    return str(failure.reason)


@pytest.mark.parametrize("chat", PATHS)
def test_the_path_determines_the_format(receiver: Receiver, chat: str) -> None:
    """Each chat gets its own format at the whole URL, and its success answer is recognized."""
    receiver.body = TAKEN[chat]

    assert post(Secret(receiver.url(chat)), TEXT) is None
    assert receiver.got == [(PATHS[chat], BODIES[chat])]


@pytest.mark.parametrize("chat", REFUSALS)
def test_a_refusal_with_status_200_is_an_error(receiver: Receiver, chat: str) -> None:
    """A refusal with status 200, as of a robot that was removed or requires a keyword, is an error."""
    receiver.body = REFUSALS[chat]

    assert "rejected the message" in said(receiver, chat)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errcode": "0"}', b"\xff", b"[" * 60_000])
def test_an_answer_other_than_success_is_an_error(receiver: Receiver, body: bytes) -> None:
    """An answer that isn't the chat's success answer, such as a proxy's page, is an error."""
    receiver.body = body

    assert "rejected the message" in said(receiver)


@pytest.mark.parametrize(("status", "words"), [(404, "status 404"), (500, "status 500"), (429, "status 429")])
def test_an_error_status_is_reported(receiver: Receiver, status: int, words: str) -> None:
    """An error status, as from Slack or a gateway, is reported."""
    receiver.status = status

    assert words in said(receiver, "Slack")


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """A redirect isn't followed, so the message and the key in the URL stay with the configured host."""
    with receiving() as elsewhere:
        receiver.status, receiver.location = 307, elsewhere.url()

        assert "status 307, which is not followed" in said(receiver)
        assert elsewhere.got == []


def test_a_silent_receiver_times_out_within_seconds(receiver: Receiver) -> None:
    """A silent receiver is given up after a timeout of a few seconds."""
    receiver.delay = 60
    began = time.monotonic()

    assert said(receiver) == f"The webhook was silent for {BOUNDS.read:g} s."
    assert time.monotonic() - began < BOUNDS.total + 2


def test_a_refused_connection_is_reported_at_once(receiver: Receiver) -> None:
    """A refused connection is reported at once, in words."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    failure = post(Secret(f"http://127.0.0.1:{port}/robot/send"), TEXT)

    assert failure is not None
    assert str(failure.reason) == "The webhook can't be reached: the connection is refused."
    assert failure.unsent


@pytest.mark.parametrize("chat", PATHS)
def test_text_from_wechat_cannot_mention_users_or_add_links(receiver: Receiver, chat: str) -> None:
    """WeChat's text in an error can't mention everybody in the chat or show up as a link."""
    receiver.body = TAKEN[chat]
    words = 'errmsg <!channel> <at user_id="all">x</at> <@all> @all & <https://elsewhere.example|click>'
    assert post(Secret(receiver.url(chat)), words) is None

    ((_, found),) = receiver.got
    text = found["text"] if chat == "Slack" else found.get("content", found.get("text"))
    text = text if isinstance(text, str) else next(iter(text.values()))
    assert "<" not in text
    assert ">" not in text
    expected = {
        "Slack": 'errmsg &lt;!channel&gt; &lt;at user_id="all"&gt;x&lt;/at&gt; &lt;@\u200ball&gt; @\u200ball &amp;'
        " &lt;https://elsewhere.example|click&gt;"
    }
    assert text == expected.get(chat, words.replace("<", "＜").replace(">", "＞"))


def test_a_long_text_is_cut_to_the_chats_limit(receiver: Receiver) -> None:
    """A text is cut to the chat's limit, 2,048 bytes for 企业微信, and never within a character."""
    assert post(Secret(receiver.url()), "错" * 1000) is None

    (text,) = receiver.texts
    assert 2040 < len(text.encode()) <= 2048
    assert set(text) == {"错", "…"}
