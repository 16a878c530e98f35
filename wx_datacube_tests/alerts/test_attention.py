"""Attention: what is said of missing labels, and that `status`, alerts and the checks of 12:35 say the same.

The situations of a month of mornings are in one table: what each alert said, in order, and what `status` says then.
"""

import datetime as dt
from pathlib import Path

import pytest

from wx_datacube.alerts.alert import Alert, Source, Urgency
from wx_datacube.alerts.attention import Attention, find_alerts, note_and_send
from wx_datacube.alerts.store import Alerts
from wx_datacube.cli.status import show_statuses
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.operations.status import read_status
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, answered, day, row
from wx_datacube_tests.receiver import Receiver

NOON = dt.datetime(2026, 11, 20, 12, 35)
MORNING = NOON.replace(hour=8, minute=30)


class Shop:
    """An account whose history begins on 1 November, its files and its troubles."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.account = Account("shop", start=day(1))
        self.settings = Settings(
            folder, folder / "figures.duckdb", accounts=(self.account,), webhook=Secret(receiver.url())
        )
        self.now = NOON

    @property
    def alerts(self) -> Alerts:
        """What is kept of them."""
        return Alerts(self.settings.database, self.settings.webhook, lambda: self.now)

    def landed(self, *days: dt.date, at: dt.datetime = MORNING) -> None:
        """Store a good answer for each of the days."""
        warehouse = Warehouse(self.settings.database)
        with warehouse.writing() as con:
            store_calls(con, [answered(MESSAGES, each, each, row(each), at=at, asked=[each]) for each in days])
        warehouse.publish()

    def empty(self, day: dt.date) -> None:
        """Store a good answer without a row for a day."""
        warehouse = Warehouse(self.settings.database)
        with warehouse.writing() as con:
            store_calls(con, [answered(MESSAGES, day, at=NOON, asked=[day])])
        warehouse.publish()

    def find_alerts(self) -> Attention:
        """What is to be said now."""
        with Warehouse(self.settings.database).reading() as con:
            return find_alerts(con, self.settings, [self.account], self.now)["shop"]

    def note_and_send(self) -> None:
        """Tell it."""
        with Warehouse(self.settings.database).reading() as con:
            note_and_send(con, self.settings, self.account, self.now)

    def said(self) -> str:
        """The one text about what is missing."""
        (text,) = {each.text for each in self.find_alerts().overdue}
        return text


@pytest.fixture
def made(tmp_path: Path, receiver: Receiver) -> Shop:
    """An account of which nothing is stored."""
    return Shop(tmp_path, receiver)


def days(first: int, last: int) -> list[dt.date]:
    """Days of November."""
    return [day(number) for number in range(first, last + 1)]


def test_it_is_said_why_labels_are_missing(made: Shop) -> None:
    """What calls and runs met; what a check flags on figures that are there is not the reason."""
    made.landed(*days(1, 18))
    made.alerts.note("shop", Source.CALLS, None, [Alert("HostDown", MESSAGES.name, Urgency.LATER, "It is down.")])
    made.alerts.note("shop", Source.CHECKS, None, [Alert("add_up", HOURS.name, Urgency.PERSON, "It is wrong.")])

    assert "原因 · why: It is down. (since 2026-11-20 12:35) 补齐" in made.said()
    assert "It is wrong." not in made.said()


def test_a_machine_that_is_off_is_not_explained_by_what_it_met_before(made: Shop) -> None:
    """A permission was missing a week ago, and nobody has asked for anything since."""
    made.landed(*days(1, 12), at=MORNING - 7 * DAY)
    made.now = NOON - 7 * DAY
    made.alerts.note("shop", Source.CALLS, None, [Alert("NeedsPerson", HOURS.name, Urgency.PERSON, "No.")])
    made.now = NOON

    assert "Nothing has been asked for since 2026-11-13 08:30: are the schedules on" in made.said()
    assert "why:" not in made.said()


def test_a_day_without_messages_is_probably_late(
    made: Shop, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there were some on every day before: it is told once, for information, and is in `status`."""
    made.landed(*days(1, 18))
    made.empty(day(19))
    for _ in range(2):
        made.note_and_send()
    show_statuses(read_status(made.settings, [made.account], lambda: made.now))

    text = next(text for text in receiver.texts if "2026-11-19 没有任何消息" in text)
    assert text.startswith("wx_datacube · shop · 供您参考 · for your information")
    assert len(receiver.texts) == 2  # the other one is about hours and distributions, which are missing
    assert "For your information: 2026-11-19 没有任何消息" in capsys.readouterr().out


def test_what_grew_less_is_not_told_again(made: Shop, receiver: Receiver) -> None:
    """Some of history landed: what is still missing was told, wherever history ends now."""
    made.landed()
    made.note_and_send()
    made.landed(*days(3, 12), at=MORNING - 7 * DAY)
    made.note_and_send()
    assert len(receiver.texts) == 1

    made.now += DAY
    made.note_and_send()
    assert len(receiver.texts) == 2
