"""Alerts: recorded when an error occurs, sent once until they grow or are resolved, and deleted when resolved.

Add a test here when an alert should be sent, repeated, grouped or dropped in another way, or when an error gets
another urgency. Message formats are in `test_webhook.py`, texts about missing labels in `test_missing_labels.py`.
"""

import datetime as dt
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from wx_datacube.alerts.alert import TOKEN, Alert, Source, Urgency, alerts_of, urgency_of
from wx_datacube.alerts.file import AlertFile
from wx_datacube.alerts.store import Alerts
from wx_datacube.config.settings import Secret
from wx_datacube.errcodes import error_for
from wx_datacube.errors import (
    HostDown,
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    RequestRefused,
    SettingsError,
    TokenRejected,
    UnexpectedAnswer,
    WarehouseError,
    WxDatacubeError,
)
from wx_datacube.language import Language, Text, text_of
from wx_datacube_tests.receiver import KEY, Receiver

DENIED = alerts_of([error_for(48001, endpoint="getupstreammsg")], "getupstreammsg")
DENIED_TOO = alerts_of([error_for(48001, endpoint="getupstreammsgweek")], "getupstreammsgweek")
USED_UP = alerts_of([error_for(45009, endpoint="getupstreammsghour")], "getupstreammsghour")
FLAGGED = Alert("messages_add_up", "getupstreammsg", Urgency.PERSON, text_of("They don't add up."))


def missing(first: int, last: int | None = None) -> Alert:
    """Return an alert about missing days of November."""
    gap = f"2026-11-{first:02}..2026-11-{last or first:02}"
    return Alert("overdue", f"getupstreammsg {gap}", Urgency.PERSON, text_of(f"{gap} is missing."))


class Book:
    """The alerts of a database, and the notifications about alerts that could not be sent."""

    def __init__(self, folder: Path, receiver: Receiver | None) -> None:
        webhook = Secret(receiver.url()) if receiver else None
        self.now = dt.datetime(2026, 11, 24, 8, 30)
        self.database = folder / "figures.duckdb"
        self.alerts = Alerts(self.database, webhook, lambda: self.now)
        self.path = AlertFile(self.database).path
        self.said: list[Text] = []

    def note(self, found: list[Alert], *checked: str, account: str = "shop", source: Source = Source.CALLS) -> None:
        """Record the alerts found for these subjects; without subjects, for those of `found`."""
        subjects = checked or tuple(each.subject for each in found)
        self.alerts.note(account, source, subjects, found, self.said.append)


@pytest.fixture
def book(tmp_path: Path, receiver: Receiver) -> Book:
    """Return the alerts of a fresh database."""
    (tmp_path / "figures.locks").mkdir()
    return Book(tmp_path, receiver)


def test_an_alert_is_sent_once_until_it_is_resolved(book: Book, receiver: Receiver) -> None:
    """An alert is sent once while it lasts, in a message that says what to do."""
    for _ in range(3):
        book.note(DENIED)

    (text,) = receiver.texts
    heading, alert = text.split("\n")
    assert heading == "wx_datacube · shop · 需要您处理 · action needed"
    assert alert.startswith("• getupstreammsg：该账号没有这个接口的权限。")
    assert "getupstreammsg: The account may not call this endpoint. Only certified accounts (微信认证)" in alert
    assert "[errcode 48001]" in alert
    assert book.said == []


def test_another_endpoint_with_the_same_error_sends_one_more_alert(book: Book, receiver: Receiver) -> None:
    """Another endpoint with the same error sends one more alert, which lists all; a recovery sends none."""
    book.note(DENIED)
    book.now += dt.timedelta(days=1)
    for _ in range(3):
        book.note(DENIED_TOO)
        book.note(DENIED)

    first, second = receiver.texts
    assert "also" not in first
    assert "• getupstreammsgweek：该账号没有这个接口的权限。" in second
    assert second.endswith("[errcode 48001] (同样 · also: getupstreammsg)")
    book.note([], "getupstreammsg")
    assert len(receiver.texts) == 2


def test_a_run_whose_endpoints_all_fail_sends_at_most_two_alerts(book: Book, receiver: Receiver) -> None:
    """A run whose endpoints all fail sends at most two alerts.

    The first endpoint's is sent at once, the others' with the next tick.
    """
    for name in ("getupstreammsg", "getupstreammsgdist", "getupstreammsghour"):
        book.note(alerts_of([error_for(48001, endpoint=name)], name))
    assert len(receiver.texts) == 1

    book.now += dt.timedelta(hours=1)
    for _ in range(2):
        book.alerts.deliver(book.said.append)
    assert len(receiver.texts) == 2
    assert receiver.texts[1].endswith("(同样 · also: getupstreammsgdist, getupstreammsg)")


def test_an_alert_at_the_end_of_a_command_lists_all_endpoints(book: Book, receiver: Receiver) -> None:
    """An alert sent at the end of a command, such as `backfill`, lists all endpoints."""
    book.note(DENIED)
    book.note(DENIED_TOO)
    book.alerts.note("shop", Source.LABELS, None, [missing(24)])

    _, text = receiver.texts
    assert "(同样 · also: getupstreammsg)\n• 2026-11-24..2026-11-24 is missing." in text


def test_an_alert_that_needs_no_person_is_not_sent_again_for_another_endpoint(book: Book, receiver: Receiver) -> None:
    """An alert that needs no person, such as a used-up quota, isn't sent again for another endpoint."""
    book.note(USED_UP)
    book.now += dt.timedelta(days=1)
    book.note(alerts_of([error_for(45009, endpoint="getupstreammsg")], "getupstreammsg"))

    assert len(receiver.texts) == 1


def test_missing_labels_are_sent_again_only_when_more_are_missing(book: Book, receiver: Receiver) -> None:
    """Missing labels are sent again only when more are missing, not when some landed or a gap split."""
    for found in ([missing(24)], [missing(24, 26)], [missing(24), missing(26)], [missing(26)], [missing(26, 27)]):
        book.now += dt.timedelta(days=1)
        book.alerts.note("shop", Source.LABELS, None, found, book.said.append)

    assert [text.split("• ")[1] for text in receiver.texts] == [
        "2026-11-24..2026-11-24 is missing.",
        "2026-11-24..2026-11-26 is missing.",
        "2026-11-26..2026-11-27 is missing.",
    ]


def test_a_later_tick_sends_an_alert_that_the_chat_refused(book: Book, receiver: Receiver) -> None:
    """An alert that the chat refused is sent by a later tick, even if nothing new happened.

    A tick within ten minutes of the refusal sends nothing.
    """
    receiver.status = 500
    book.note([*DENIED, *DENIED_TOO])
    book.alerts.deliver()  # too early for another attempt
    assert len(receiver.texts) == 1

    receiver.status = 200
    book.now += dt.timedelta(hours=1)
    for _ in range(2):
        book.alerts.deliver()
    assert len(receiver.texts) == 2
    assert receiver.texts[0] == receiver.texts[1]


def test_an_alert_claimed_by_a_killed_process_is_sent_by_another(book: Book, receiver: Receiver) -> None:
    """An alert claimed by a killed process is sent by another after a minute."""

    def now_until_claimed() -> dt.datetime:
        assert not book.path.exists(), "killed"  # the claim is stored, and the post comes next
        return book.now

    with pytest.raises(AssertionError, match="killed"):
        Alerts(book.database, Secret(receiver.url()), now_until_claimed).note("shop", Source.CALLS, None, DENIED)
    book.note(DENIED)
    assert receiver.texts == []

    book.now += dt.timedelta(minutes=2)
    book.note(DENIED)
    assert len(receiver.texts) == 1


def test_a_hanging_receiver_blocks_no_other_command(book: Book, tmp_path: Path, receiver: Receiver) -> None:
    """No lock is held while an alert is posted, so another command records and reads alerts meanwhile."""
    receiver.delay = 3600
    posting = threading.Thread(target=book.note, args=(DENIED,))
    posting.start()
    while not receiver.got:
        assert posting.is_alive()
        time.sleep(0.01)
    begun = time.monotonic()
    another = Book(tmp_path, None)
    another.note(USED_UP)
    assert len(another.alerts.open_for_person("shop")) == 1
    took = time.monotonic() - begun

    assert posting.is_alive()
    assert took < 2
    posting.join(20)
    assert not posting.is_alive()
    assert "The alert was not sent" in str(book.said[0])


def test_alerts_beyond_the_size_limit_are_split_into_several_messages(book: Book, receiver: Receiver) -> None:
    """Alerts that exceed the 2,048 bytes of 企业微信 are sent in several messages, none of them cut."""
    found = [Alert(f"check {number}", "it", Urgency.PERSON, text_of(f"{number}{'无' * 300}.")) for number in range(5)]
    book.note(found, source=Source.CHECKS)

    lines = [line for text in receiver.texts for line in text.split("\n")[1:]]
    assert lines == [f"• {each.text}" for each in found]
    assert len(receiver.texts) == 3
    assert {text.split("\n")[0] for text in receiver.texts} == {"wx_datacube · shop · 需要您处理 · action needed"}


def test_an_error_that_returns_after_it_was_resolved_is_sent_again(book: Book, receiver: Receiver) -> None:
    """An alert is sent again only if its error returns after it was resolved for every endpoint."""
    book.note([*DENIED, *DENIED_TOO])
    book.note([], "getupstreammsg")
    book.note(DENIED)
    assert len(receiver.texts) == 1  # the weeks have not recovered

    book.note([], "getupstreammsg", "getupstreammsgweek")
    book.note(DENIED)
    assert len(receiver.texts) == 2


def test_waiting_alerts_and_alerts_that_need_a_person_are_separate_messages(book: Book, receiver: Receiver) -> None:
    """Alerts that wait and alerts that need a person are sent in two messages with different headings."""
    book.note([*DENIED, *USED_UP])

    assert [text.split("\n")[0] for text in receiver.texts] == [
        "wx_datacube · shop · 需要您处理 · action needed",
        "wx_datacube · shop · 等到明天，无需处理 · resumes tomorrow, no action needed",
    ]
    assert "配额在北京时间 0 点重置，之后由定时任务自动继续" in receiver.texts[1]


def test_accounts_and_sources_are_kept_apart(book: Book, receiver: Receiver) -> None:
    """An alert is resolved only by its own account and source: a passed check doesn't resolve a failed call."""
    book.note(DENIED)
    book.note([], "getupstreammsg", account="news")
    book.note([], "getupstreammsg", source=Source.CHECKS)
    book.note(DENIED)
    assert len(receiver.texts) == 1

    book.note(DENIED, account="news")
    assert [text.split(" · ")[1] for text in receiver.texts] == ["shop", "news"]


def test_open_for_person_lists_alerts_that_need_a_person(book: Book) -> None:
    """`open_for_person` lists alerts that need a person, without missing labels, which `status` finds itself."""
    book.note([*DENIED, *USED_UP])
    book.note([FLAGGED], source=Source.CHECKS)
    book.note([missing(24)], source=Source.LABELS)

    denied, flagged = book.alerts.open_for_person("shop")
    assert (denied.cause, flagged.cause) == ("NeedsPerson 48001", FLAGGED.cause)
    assert str(denied.text).endswith("(since 2026-11-24 08:30)")
    assert book.alerts.open_for_person("news") == []


def test_a_passing_check_resolves_its_alert(book: Book, receiver: Receiver) -> None:
    """A check that passes in a run of its endpoint resolves its alert; a later failure is sent again.

    The alert doesn't wait for the scheduled checks at 12:35.
    """
    book.note([FLAGGED], source=Source.CHECKS)
    book.alerts.note_passed_checks("shop", "getupstreammsgweek", [FLAGGED.cause])
    book.alerts.note_passed_checks("shop", "getupstreammsg", ["keys_are_unique"])
    assert len(book.alerts.open_for_person("shop")) == 1

    book.alerts.note_passed_checks("shop", "getupstreammsg", [FLAGGED.cause])
    assert book.alerts.open_for_person("shop") == []
    book.note([FLAGGED], source=Source.CHECKS)
    assert len(receiver.texts) == 2


def test_a_failed_post_is_reported_and_tried_again(book: Book, receiver: Receiver) -> None:
    """A failed post doesn't fail the run; it is reported without the URL, and tried again next time."""
    receiver.status = 500
    book.note(DENIED)
    assert [*map(str, book.said)] == [
        "The alert was not sent: The webhook answered with status 500. It will be sent next time."
    ]

    receiver.status = 200
    book.note(DENIED)
    book.note(DENIED)
    assert len(receiver.texts) == 2


def test_alerts_are_recorded_without_a_webhook(tmp_path: Path) -> None:
    """Without a webhook alerts are recorded for `status`; without alerts no file is created."""
    book = Book(tmp_path, None)
    book.note([], "getupstreammsg")
    assert list(tmp_path.iterdir()) == []

    book.note(DENIED)
    assert len(book.alerts.open_for_person("shop")) == 1
    assert book.said == []


def test_an_alert_from_before_the_webhook_is_sent_when_its_error_recurs(tmp_path: Path, receiver: Receiver) -> None:
    """An alert from before there was a webhook is sent when its error occurs again."""
    Book(tmp_path, None).note(DENIED)
    Book(tmp_path, receiver).note(DENIED)

    assert len(receiver.texts) == 1


def test_simultaneous_runs_with_the_same_error_send_one_alert(tmp_path: Path, receiver: Receiver) -> None:
    """Seven runs that meet the same error within a second, such as an IP not whitelisted, send one alert."""
    receiver.delay = 0.2
    books = [Book(tmp_path, receiver) for _ in range(7)]
    found = alerts_of([error_for(40164, "invalid ip 203.0.113.7", endpoint="stable_token", token_call=True)], "it")
    threads = [threading.Thread(target=each.note, args=(found,)) for each in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (text,) = receiver.texts
    assert "请管理员把 203.0.113.7 加入 API IP 白名单" in text
    assert [each.said for each in books] == [[]] * 7


def test_a_full_disk_sends_one_alert(tmp_path: Path, receiver: Receiver) -> None:
    """On a full disk an alert is sent once: its file reserves space at first use and is written in place."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        book = Book(folder, receiver)
        book.note(USED_UP)
        filler = folder / "filler"
        with filler.open("wb") as file:
            stat = os.statvfs(folder)
            file.write(bytes(stat.f_bavail * stat.f_frsize))
        full = alerts_of([WarehouseError(f"There is no space left for {folder}.", advice="Make some.")], "run")
        for _ in range(3):
            book.note(full)

        assert book.said == []
        assert len(receiver.texts) == 2
        assert "There is no space left" in receiver.texts[1]
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_an_alert_that_cannot_be_recorded_is_sent(tmp_path: Path, receiver: Receiver) -> None:
    """An alert that can't be recorded is sent anyway: twice is better than never."""
    book = Book(tmp_path, receiver)
    (tmp_path / "figures.locks").write_text("a file where the folder should be")
    book.note(DENIED)

    assert len(receiver.texts) == 1
    assert book.said == []
    assert book.alerts.open_for_person("shop") == []  # the file can't be read
    assert not book.alerts.has_any("shop")


@pytest.mark.parametrize("half", [b"", b"[{", b"{}", b"\x00" * 100, b"null"])
def test_a_damaged_file_is_replaced(book: Book, receiver: Receiver, half: bytes) -> None:
    """A damaged file, as after a power cut, is replaced, and lasting errors are recorded again."""
    book.path.write_bytes(half)
    book.note(DENIED)
    book.note(DENIED)

    assert len(receiver.texts) == 1


@pytest.mark.parametrize("told", [["getupstreammsg"], True], ids=["current format", "only whether it was sent"])
def test_the_file_of_an_earlier_version_is_read(
    tmp_path: Path, book: Book, receiver: Receiver, told: list[str] | bool
) -> None:
    """Its name and keys stay the same, so an alert that an earlier version sent is not sent again."""
    stored = {
        "account": "shop",
        "source": "calls",
        "cause": "NeedsPerson 48001",
        "subjects": ["getupstreammsg"],
        "since": "2026-11-23 08:30",
        "told": told,
        "urgency": "PERSON",
        "text": "Not granted.",
        "met": "2026-11-24 08:30",
    }
    (tmp_path / "figures.locks" / "troubles").write_text(json.dumps([stored]) + " " * 1000)

    (alert,) = book.alerts.open_for_person("shop")
    assert str(alert.text) == "Not granted. (since 2026-11-23 08:30)"
    assert alert.text.to(Language.CHINESE) == "Not granted.首次出现于 2026-11-23 08:30。"
    book.note(DENIED)
    assert receiver.texts == []
    assert json.loads(book.path.read_bytes())[0].keys() == stored.keys() | {"text_zh"}


def test_no_secret_is_kept(book: Book) -> None:
    """The file doesn't hold the webhook's URL or key."""
    book.note(DENIED)

    assert KEY.encode() not in book.path.read_bytes()
    assert KEY not in repr(book.alerts)


@pytest.mark.parametrize(
    ("error", "asks"),
    [
        (NotReady("early"), None),
        (QuotaExhausted("used up"), Urgency.TOMORROW),
        (HostDown("gone"), Urgency.LATER),
        (UnexpectedAnswer("odd"), Urgency.LATER),
        (WxDatacubeError("killed"), Urgency.LATER),
        (NeedsPerson("do"), Urgency.PERSON),
        (TokenRejected("again"), Urgency.PERSON),
        (RequestRefused("ours"), Urgency.PERSON),
        (SettingsError("wrong"), Urgency.PERSON),
        (WarehouseError("full"), Urgency.PERSON),
        (KeyError("a fault"), Urgency.PERSON),
    ],
)
def test_the_class_of_an_error_determines_its_urgency(error: Exception, asks: Urgency | None) -> None:
    """An error's class determines its urgency; `NotReady` sends no alert."""
    assert urgency_of(error) is asks


def test_an_alert_names_the_refused_address_in_both_languages() -> None:
    """The alert of a refused address names it in Chinese and in English."""
    (alert,) = alerts_of([error_for(40164, "invalid ip 203.0.113.7")], "getupstreammsg")

    assert "请管理员把 203.0.113.7 加入 API IP 白名单" in alert.text.to(Language.CHINESE)
    assert "add 203.0.113.7 to its API IP whitelist" in str(alert.text)


@pytest.mark.parametrize(
    ("endpoint", "subject"),
    [("stable_token", TOKEN), ("token server", TOKEN), ("getupstreammsgweek", "getupstreammsg")],
)
def test_a_token_error_is_one_alert_for_all_endpoints(endpoint: str, subject: str) -> None:
    """The subject of a token error is the token, not the endpoint that was called."""
    (alert,) = alerts_of([error_for(40164, endpoint=endpoint)], "getupstreammsg")

    assert alert.subject == subject


def test_an_alert_omits_the_text_of_an_unexpected_error() -> None:
    """The alert of an unexpected error has its class, but not its text, which may hold secrets."""
    (alert,) = alerts_of([RuntimeError(f"at https://example.com/?key={KEY}")], "getupstreammsg")

    assert "RuntimeError" in str(alert.text)
    assert KEY not in str(alert.text)


def test_what_is_retried_says_when() -> None:
    """What is retried automatically is retried the same morning until the last tick at 12:30, then the next morning."""
    assert "retried automatically" in str(Urgency.LATER.heading(dt.time(12, 29)))
    assert "retried tomorrow morning" in str(Urgency.LATER.heading(dt.time(12, 30)))
    assert Urgency.PERSON.heading(dt.time(12, 30)) == Urgency.PERSON.value
