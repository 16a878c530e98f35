"""The command `digest`: what it prints, sends and returns; and the heartbeat after `backfill`.

The text itself is tested in `operations/test_digest.py`, sending in `operations/test_digest_sending.py`.
"""

import datetime as dt
from pathlib import Path

import pytest

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.emulator.testing import wechat
from wx_datacube_tests.cli.conftest import CREDENTIALS, Folder
from wx_datacube_tests.receiver import HEARTBEAT, KEY, Receiver


@pytest.fixture
def stored(folder: Folder, receiver: Receiver) -> Folder:
    """Provide a project with the last week of its messages, and a chat."""
    start = beijing_now().date() - dt.timedelta(days=3)
    with wechat(publish_at="00:00", silent_share=0) as emulated:
        account = {"API_URL": emulated.api_url, "APPID": emulated.appid, "SECRET": emulated.secret, "START": start}
        folder.set(**account, TITLE="灯下读书", HEARTBEAT=receiver.heartbeat)
        assert folder.run("backfill")[0] in (0, 1)  # before noon, silent weeks may be missing
        assert receiver.beats in ([], [HEARTBEAT])
        folder.set(**account, TITLE="灯下读书", WEBHOOK=receiver.url())
        yield folder


def test_the_digest_is_printed_in_the_reading_language(stored: Folder, receiver: Receiver) -> None:
    """`digest` prints yesterday's figures in Chinese by default and in English on request, and sends nothing."""
    code, out, err = stored.run("digest")
    english = stored.run("digest", "--lang", "en", "--account", "default")

    yesterday = beijing_now().date() - dt.timedelta(days=1)
    assert (code, err) == (0, "")
    assert out.startswith(f"wx_datacube · 日报 · {yesterday}（周")
    assert "\n\n【灯下读书】\n消息发送次数 " in out
    assert english[0] == 0
    assert "\n\n[灯下读书]\nMessages: " in english[1]
    assert receiver.got == []


def test_the_digest_is_sent_once(stored: Folder, receiver: Receiver) -> None:
    """`digest --send` sends what `digest` prints; the second time it says that it was sent, and exits with 0."""
    printed = stored.run("digest")[1]
    code, out, _ = stored.run("digest", "--send")
    again = stored.run("digest", "--send")

    assert receiver.texts == [printed.rstrip("\n")]
    assert (code, out) == (0, f"{printed}\nThe digest was sent: default.\n")
    assert again == (0, "Today's digest was sent already, so it is not sent again: default.\n", "")


def test_an_unconfirmed_digest_exits_with_1_and_shows_in_status(stored: Folder, receiver: Receiver) -> None:
    """If the chat does not confirm, the command exits with 1, and so does `status`; neither shows the URL."""
    receiver.status = 500
    code, out, err = stored.run("digest", "--send")
    status = stored.run("status")

    assert code == 1
    assert "the chat did not confirm it (default): The webhook answered with status 500." in err
    assert status[0] == 1
    assert "the chat did not confirm it: The webhook answered with status 500." in status[1]
    assert KEY not in out + err + status[1] + status[2]


@pytest.mark.parametrize("has_file", [True, False])
def test_sending_without_a_webhook_is_a_wrong_setting(folder: Folder, has_file: bool) -> None:
    """`digest --send` without a webhook exits with 2 and names the variable, with or without data."""
    folder.set(**CREDENTIALS)
    code, out, err = folder.run("digest", "--send")

    assert (code, out) == (2, "")
    assert "WX_DATACUBE_WEBHOOK is not set" in err


def test_without_data_there_is_a_sentence(folder: Folder) -> None:
    """Before anything is stored, the command says so and exits with 1, as `status` does."""
    folder.set(**CREDENTIALS)
    found = folder.run("digest")

    assert found == (1, "", "Nothing is stored yet. Fetch the history: wx-datacube backfill\n")
    assert folder.run("status")[0] == 1
    assert not (folder.path / "data").exists()


def test_a_backfill_that_leaves_nothing_missing_requests_the_heartbeat(
    folder: Folder, receiver: Receiver, tmp_path: Path
) -> None:
    """After a backfill that leaves nothing missing the URL is requested, also if it had nothing to do; never twice."""
    start = beijing_now().date() - dt.timedelta(days=2)
    with wechat(publish_at="00:00") as emulated:
        account = {"API_URL": emulated.api_url, "APPID": emulated.appid, "SECRET": emulated.secret, "START": start}
        folder.set(**account, FAMILIES="followers", HEARTBEAT=receiver.heartbeat)
        first = folder.run("backfill", "--endpoint", "getusersummary")
        assert receiver.beats == []
        receiver.status = 500
        second = folder.run("backfill")
        receiver.status = 200
        assert [each[0] for each in (first, second)] == [0, 0]
        assert "The heartbeat was not sent: The monitor answered with status 500." in second[2]
    assert receiver.beats == [HEARTBEAT]
    assert "made-up-heartbeat-key" not in "".join(map(str, (*first, *second)))
