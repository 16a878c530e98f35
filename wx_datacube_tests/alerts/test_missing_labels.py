"""Attention: the texts about missing labels, and that `status` and alerts agree.

Add a test here when a reason or a sentence for missing labels changes. Which labels need a person is decided in
`warehouse/test_overdue.py`; when an alert is sent again is tested in `test_store.py`.
"""

import datetime as dt
from pathlib import Path

import pytest

from wx_datacube.alerts.alert import Alert, Source, Urgency
from wx_datacube.alerts.missing_labels import Attention, find_alerts, note_and_send
from wx_datacube.alerts.store import Alerts
from wx_datacube.cli.status import show_statuses
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.language import text_of
from wx_datacube.operations.status import read_status
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, answered, day, row
from wx_datacube_tests.receiver import Receiver

NOON = dt.datetime(2026, 11, 20, 12, 35)
MORNING = NOON.replace(hour=8, minute=30)


class Shop:
    """An account whose history begins on 1 November, with its files and alerts."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.account = Account("shop", start=day(1))
        self.settings = Settings(
            folder, folder / "figures.duckdb", accounts=(self.account,), webhook=Secret(receiver.url())
        )
        self.now = NOON

    @property
    def alerts(self) -> Alerts:
        """Return the account's alerts."""
        return Alerts(self.settings.database, self.settings.webhook, lambda: self.now)

    def landed(self, *days: dt.date, at: dt.datetime = MORNING) -> None:
        """Store an answer with a row for each day, and publish."""
        warehouse = Warehouse(self.settings.database)
        with warehouse.transaction() as con:
            store_calls(con, [answered(MESSAGES, each, each, row(each), at=at, asked=[each]) for each in days])
        warehouse.publish()

    def empty(self, day: dt.date) -> None:
        """Store an answer without rows for a day, and publish."""
        warehouse = Warehouse(self.settings.database)
        with warehouse.transaction() as con:
            store_calls(con, [answered(MESSAGES, day, at=NOON, asked=[day])])
        warehouse.publish()

    def find_alerts(self) -> Attention:
        """Return what needs attention now."""
        with Warehouse(self.settings.database).open_published() as con:
            return find_alerts(con, self.settings, [self.account], self.now)["shop"]

    def note_and_send(self) -> None:
        """Send the alerts."""
        with Warehouse(self.settings.database).open_published() as con:
            note_and_send(con, self.settings, self.account, self.now)

    def said(self) -> str:
        """Return the only text about missing labels."""
        (text,) = {each.text for each in self.find_alerts().overdue}
        return str(text)


@pytest.fixture
def made(tmp_path: Path, receiver: Receiver) -> Shop:
    """Return an account with nothing stored."""
    return Shop(tmp_path, receiver)


def days(first: int, last: int) -> list[dt.date]:
    """Return days of November."""
    return [day(number) for number in range(first, last + 1)]


def test_an_alert_states_why_labels_are_missing(made: Shop) -> None:
    """The reason for missing labels is an error of calls or runs, not a failed check of stored figures."""
    made.landed(*days(1, 18))
    made.alerts.note(
        "shop", Source.CALLS, None, [Alert("HostDown", MESSAGES.name, Urgency.LATER, text_of("It is down."))]
    )
    made.alerts.note(
        "shop", Source.CHECKS, None, [Alert("add_up", HOURS.name, Urgency.PERSON, text_of("It is wrong."))]
    )

    assert "Why: It is down. (since 2026-11-20 12:35) To fetch it:" in made.said()
    assert "It is wrong." not in made.said()


def test_an_idle_week_is_not_explained_by_an_older_error(made: Shop) -> None:
    """If nothing was requested for a week, that is the reason, not an older error."""
    made.landed(*days(1, 12), at=MORNING - 7 * DAY)
    made.now = NOON - 7 * DAY
    made.alerts.note("shop", Source.CALLS, None, [Alert("NeedsPerson", HOURS.name, Urgency.PERSON, text_of("No."))])
    made.now = NOON

    assert "No request since 2026-11-13 08:30: are the schedules on" in made.said()
    assert "why:" not in made.said()


def test_a_day_without_messages_is_sent_once_for_information(
    made: Shop, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day without messages after days that had some is sent once, for information, and shown by `status`."""
    made.landed(*days(1, 18))
    made.empty(day(19))
    for _ in range(2):
        made.note_and_send()
    show_statuses(read_status(made.settings, [made.account], lambda: made.now))

    text = next(text for text in receiver.texts if "2026-11-19 没有任何消息" in text)
    assert text.startswith("wx_datacube · shop · 供您参考 · for your information")
    assert len(receiver.texts) == 2  # the other alert is about hours and distributions, which are missing
    assert "For your information: No message is stored for 2026-11-19," in capsys.readouterr().out


def test_a_shrinking_gap_sends_no_second_alert(made: Shop, receiver: Receiver) -> None:
    """No second alert is sent when some missing labels land, only when more are missing."""
    made.landed()
    made.note_and_send()
    made.landed(*days(3, 12), at=MORNING - 7 * DAY)
    made.note_and_send()
    assert len(receiver.texts) == 1

    made.now += DAY
    made.note_and_send()
    assert len(receiver.texts) == 2
