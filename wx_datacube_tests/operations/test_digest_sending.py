"""Sending digests: every chat gets them once a day, whatever is killed and however many processes send.

Tests of the text are in `test_digest.py`.
"""

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from wx_datacube.alerts.digest_notes import DigestNotes
from wx_datacube.alerts.notes import NoteFile
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.language import Language, Text
from wx_datacube.operations.digest import sending
from wx_datacube.operations.digest.sending import Outcome, send_digests
from wx_datacube.operations.status import read_status
from wx_datacube.warehouse.locks import locked
from wx_datacube_tests.receiver import KEY, PATHS, Receiver
from wx_datacube_tests.years import TODAY, years

TOP = Path(__file__).parents[2]
START = dt.date(2026, 11, 1)
SHOP, NEWS = Account("shop", start=START, title="灯下读书"), Account("news", start=START)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a published file with everything that is due for the account `shop`."""
    return years(tmp_path_factory.mktemp("stored"), start=START).database


@pytest.fixture
def settings(database: Path, tmp_path: Path, receiver: Receiver) -> Settings:
    """Provide settings with the receiver as the chat; nothing was sent yet."""
    copy = tmp_path / database.name
    copy.symlink_to(database)
    return at(receiver, copy)


def at(receiver: Receiver, database: Path, *accounts: Account, chat: str = "企业微信") -> Settings:
    """Return settings with a chat of the receiver."""
    return Settings(None, database, accounts=accounts or (SHOP,), webhook=Secret(receiver.url(chat)))


def send(settings: Settings, now: dt.datetime = TODAY) -> Outcome:
    """Send the digests of all accounts in Chinese."""
    return send_digests(settings, settings.accounts, Language.CHINESE, lambda: now)


def text_in(chat: str, receiver: Receiver) -> str:
    """Return the text of the only message that a chat has received."""
    ((path, body),) = receiver.got
    assert path == PATHS[chat]
    text = body["text"] if chat == "Slack" else body.get("content", body.get("text"))
    return str(text if isinstance(text, str) else next(iter(text.values())))


# --- once a day -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chat", PATHS)
def test_every_chat_gets_the_digest_once_a_day(chat: str, settings: Settings, receiver: Receiver) -> None:
    """Each chat gets the whole text in its own format, once that day, and again the next day."""
    here = at(receiver, settings.database, chat=chat)
    first, second = send(here), send(here, TODAY.replace(hour=23))

    (message,) = first.sent
    assert text_in(chat, receiver) == message.text
    assert message.text.startswith("wx_datacube · 日报 · 2026-11-23（周一）\n\n【灯下读书】\n消息发送次数 ")
    assert (first.sent_before, first.failure) == ([], None)
    assert (second.sent, second.sent_before) == ([], ["shop"])
    assert send(here, TODAY + dt.timedelta(hours=10)).sent_before == []
    assert len(receiver.got) == 2


def test_all_accounts_are_one_message(settings: Settings, receiver: Receiver) -> None:
    """All accounts are in one message; an account that was sent alone before is not sent again."""
    send(at(receiver, settings.database, NEWS))
    outcome = send(at(receiver, settings.database, SHOP, NEWS))

    assert [each.accounts for each in outcome.sent] == [("shop",)]
    assert outcome.sent_before == ["news"]
    assert ["【news】" in text for text in receiver.texts] == [True, False]
    send(at(receiver, settings.database, SHOP, NEWS), TODAY + dt.timedelta(days=1))
    assert "【灯下读书】" in receiver.texts[2]
    assert "【news】" in receiver.texts[2]


def test_without_a_webhook_nothing_is_noted(settings: Settings) -> None:
    """Without a webhook the error names the variable, and nothing counts as sent."""
    without = Settings(None, settings.database, accounts=(SHOP,))
    with pytest.raises(SettingsError, match="WX_DATACUBE_WEBHOOK is not set") as error:
        send(without)

    assert "群机器人" in error.value.text.to(Language.CHINESE)
    assert DigestNotes(settings.database).sent(TODAY.date()) == set()


# --- not confirmed ----------------------------------------------------------------------------------------------


def told(settings: Settings, now: dt.datetime) -> list[str]:
    """Return what `status` says needs a person about a digest."""
    (found,) = read_status(settings, settings.accounts, lambda: now)
    return [str(text) for text in found.needs_person if "digest" in str(text)]


def test_a_message_that_was_refused_is_shown_in_status(settings: Settings, receiver: Receiver) -> None:
    """A message that the chat did not confirm is not sent again that day, and `status` shows it until the next one."""
    receiver.status = 500
    outcome = send(settings)
    receiver.status = 200

    assert "status 500" in str(outcome.failure)
    assert send(settings).sent_before == ["shop"]
    assert len(receiver.got) == 1
    (text,) = told(settings, TODAY)
    assert (
        "The digest of 23 Nov 2026 was posted at 2026-11-24 15:00, but the chat did not confirm it: The webhook" in text
    )
    assert KEY not in text
    assert told(settings, TODAY + dt.timedelta(days=1)) == [text]
    send(settings, TODAY + dt.timedelta(days=1))
    assert told(settings, TODAY + dt.timedelta(days=1)) == []


def test_a_message_that_found_no_connection_is_sent_by_the_next_attempt(settings: Settings, receiver: Receiver) -> None:
    """Without a connection nothing can have arrived: the digest counts as not sent, and `status` doesn't show it."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    nobody = replace(settings, webhook=Secret(f"http://127.0.0.1:{port}{PATHS['企业微信']}?key={KEY}"))
    outcome = send(nobody)

    assert "the connection is refused" in str(outcome.failure)
    assert outcome.unsent is not None
    assert outcome.unsent.accounts == ("shop",)
    assert outcome.sent == []
    assert told(settings, TODAY) == []
    assert [each.accounts for each in send(settings).sent] == [("shop",)]
    assert len(receiver.got) == 1


def test_after_a_failure_the_other_messages_wait(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one message that was not confirmed nothing more is posted; what was not posted may be sent later."""
    monkeypatch.setattr(sending, "MAX_BYTES", 300)
    here = at(receiver, settings.database, SHOP, NEWS, chat="Slack")
    receiver.status = 404
    assert [each.accounts for each in send(here).sent] == [("shop",)]
    receiver.status = 200

    assert [each.accounts for each in send(here).sent] == [("news",)]
    assert len(receiver.got) == 2


def test_an_old_failure_is_no_longer_shown(settings: Settings, receiver: Receiver) -> None:
    """An unconfirmed digest is shown on its day and the day after; then nobody remembers whether it came."""
    receiver.status = 500
    send(settings)

    assert DigestNotes(settings.database).unconfirmed("shop", TODAY + dt.timedelta(days=1)) is not None
    assert DigestNotes(settings.database).unconfirmed("shop", TODAY + dt.timedelta(days=2)) is None


def test_both_languages_keep_the_reason(settings: Settings) -> None:
    """The reason is kept in both languages, and a kill has its own."""
    notes = DigestNotes(settings.database)
    notes.claim(["shop", "news"], TODAY)
    notes.note_outcome(["shop"], Text("It refused.", "被拒绝。"))
    later = TODAY + dt.timedelta(minutes=2)
    refused, killed = (notes.unconfirmed(each, later) for each in ("shop", "news"))

    assert refused is not None
    assert killed is not None
    assert "被拒绝。" in refused.to(Language.CHINESE)
    assert "It refused." in refused.to(Language.ENGLISH)
    assert "发送过程被中断。" in killed.to(Language.CHINESE)
    assert notes.unconfirmed("news", TODAY) is None  # it may be under way


# --- files ------------------------------------------------------------------------------------------------------


def test_nothing_is_posted_if_it_cannot_be_noted(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the note can't be written, as on a full disk, nothing is posted, since it could be posted twice."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wx_datacube.alerts.notes.os.fsync", full)
    with pytest.raises(WarehouseError):
        send(settings)
    assert receiver.got == []
    monkeypatch.undo()
    send(settings)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"shop": 1}', b"\xff"])
def test_a_damaged_note_stops_the_sending(content: bytes, settings: Settings, receiver: Receiver) -> None:
    """If the notes can't be read, nothing is posted, and the error names the file; `status` still works."""
    path = NoteFile(settings.database, "digests").path
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)

    with pytest.raises(WarehouseError, match="digests can't be read"):
        send(settings)
    assert receiver.got == []
    assert told(settings, TODAY) == []


def test_forgetting_an_account_leaves_the_others(settings: Settings) -> None:
    """The note of an account that was removed or renamed is deleted, and those of others stay."""
    notes = DigestNotes(settings.database)
    notes.forget("shop")
    notes.claim(["shop", "news"], TODAY)
    notes.forget("shop")

    assert notes.sent(TODAY.date()) == {"news"}


# --- processes --------------------------------------------------------------------------------------------------

SEND = """
import datetime as dt, sys
from pathlib import Path
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.language import Language
from wx_datacube.operations.digest.sending import send_digests
{arm}
account = Account("shop", start=dt.date(2026, 11, 1))
settings = Settings(None, Path(sys.argv[1]), accounts=(account,), webhook=Secret(sys.argv[2]))
send_digests(settings, [account], Language.CHINESE, lambda: dt.datetime(2026, 11, 24, 10))
"""
ARM = """
import os, signal, functools, importlib
module, _, path = {place!r}.partition(":")
*owners, name = path.split(".")
owner = functools.reduce(getattr, owners, importlib.import_module(module))
original = getattr(owner, name)
def deadly(*arguments, **named):
    if {after!r}:
        original(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, deadly)
"""
NOTES = "wx_datacube.alerts.digest_notes:DigestNotes"
MOMENTS = {
    "before the text is made": ("wx_datacube.operations.digest.sending:read_digests", False, 0),
    "after the text is made": ("wx_datacube.operations.digest.sending:read_digests", True, 0),
    "before noting": (f"{NOTES}.claim", False, 0),
    "before the note is in place": ("pathlib:Path.replace", False, 0),
    "once the note is in place": ("pathlib:Path.replace", True, 0),
    "after noting": (f"{NOTES}.claim", True, 0),
    "before posting": ("wx_datacube.alerts.webhook:post", False, 0),
    "after posting": ("wx_datacube.alerts.webhook:post", True, 1),
    "before the outcome is noted": (f"{NOTES}.note_outcome", False, 1),
    "after the outcome is noted": (f"{NOTES}.note_outcome", True, 1),
}
"""The function at which the process kills itself, whether after it, and how many messages have arrived by then."""
NOTED = {"once the note is in place", "after noting", "before posting"}
"""Moments after which the digest of the day counts as sent, although it did not arrive."""


def started(settings: Settings, receiver: Receiver, arm: str = "") -> "subprocess.Popen[bytes]":
    """Start a process that sends the digest."""
    command = [sys.executable, "-c", SEND.format(arm=arm), str(settings.database), receiver.url()]
    return subprocess.Popen(command, cwd=TOP, env=os.environ | {"PYTHONPATH": str(TOP)})


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_moment_sends_nothing_twice(moment: str, settings: Settings, receiver: Receiver) -> None:
    """Killed anywhere between making, noting and sending, a digest is never sent twice the same day.

    One that was noted and did not arrive, or arrived unconfirmed, is shown in `status`.
    """
    place, after, arrived = MOMENTS[moment]
    with started(settings, receiver, ARM.format(place=place, after=after)) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert len(receiver.got) == arrived

    later = TODAY.replace(hour=12, minute=45)
    send(settings, later)
    assert len(receiver.got) == (0 if moment in NOTED else 1)
    confirmed = moment == "after the outcome is noted" or (moment not in NOTED and not arrived)
    assert bool(told(settings, later)) is not confirmed
    assert send(settings, TODAY + dt.timedelta(days=1)).failure is None
    assert told(settings, TODAY + dt.timedelta(days=1)) == []


def test_two_processes_at_once_send_one_message(settings: Settings, receiver: Receiver) -> None:
    """Of four processes that send at the same moment, one posts the message."""
    lock = NoteFile(settings.database, "digests").path.with_suffix(".lock")
    with locked(lock):  # all of them get here before one goes on
        processes = [started(settings, receiver) for _ in range(4)]
        wait_for(lambda: len(waiting_for(lock)) >= 4)
    for process in processes:
        assert process.wait(60) == 0

    assert len(receiver.got) == 1


def waiting_for(path: Path) -> list[str]:
    """Return the other processes that have a file open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(each.readlink()) for each in (process / "fd").iterdir()]
        except OSError:
            continue
        if process.name != str(os.getpid()) and str(path) in links:
            found.append(process.name)
    return found


def wait_for(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something has happened."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if happened():
            return
        pause.wait(0.05)
    raise AssertionError("nothing happened")
