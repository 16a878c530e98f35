"""Mornings: every situation that an account gets into, what the chat is told of it, in order, and what `status` says.

The clock is the emulator's. A tick asks for all that is missing, as the schedules do; at 12:35 the checks are judged by
Dagster. Add a row to `SITUATIONS` for another situation.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from wx_datacube.catalog import ENDPOINTS
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.settings import Secret
from wx_datacube.status import AccountStatus, read_status
from wx_datacube.troubles import Troubles
from wx_datacube.warehouse.coverage import State
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, SENDERS, day
from wx_datacube_tests.ingesting import Shop, shop
from wx_datacube_tests.orchestrating import QUIET, Orchestra, orchestra
from wx_datacube_tests.receiver import Receiver, receiving

TODAY = dt.datetime(2026, 11, 26, 8, 30)
"""The first tick of a Thursday: yesterday's figures are due. All before came the day before."""


@dataclass
class Morning:
    """An account whose troubles are told to a receiver, and its Dagster."""

    made: Shop
    it: Orchestra
    receiver: Receiver

    @property
    def wechat(self) -> Emulated:
        """The account's WeChat."""
        return self.made.emulated

    def at(self, hour: int, minute: int = 30, later: int = 0) -> None:
        """Move the clock to an hour of today, or of as many days later."""
        self.made.at(TODAY.replace(hour=hour, minute=minute) + later * DAY)

    def ticks(self, *hours: int, later: int = 0) -> None:
        """Ask for what is missing at these hours, as the schedules do; first tell what the chat has not taken yet."""
        for hour in hours:
            self.at(hour, later=later)
            self.troubles.deliver()
            for endpoint in ENDPOINTS:
                missing = [each for each, state in self.made.states(endpoint).items() if state is State.MISSING]
                self.made.bring_in(endpoint, missing)

    def judge(self, later: int = 0) -> None:
        """Judge the checks at 12:35."""
        self.at(12, 35, later)
        job = build_defs(clock=self.wechat.account.clock).resolve_job_def("shop_checks")
        assert job.execute_in_process(instance=self.it.instance, run_config=QUIET).success

    def whole_day(self, later: int = 0) -> None:
        """The first and the last tick, and the checks."""
        self.ticks(8, 12, later=later)
        self.judge(later)

    @property
    def troubles(self) -> Troubles:
        """What is kept of the account's troubles."""
        return Troubles(self.it.settings.database, self.it.settings.webhook, self.wechat.account.clock)

    def status(self) -> AccountStatus:
        """What `status` says now."""
        settings = self.it.settings
        (found,) = read_status(settings, settings.accounts, self.wechat.account.clock)
        return found

    def told(self) -> list[tuple[str, str]]:
        """What the chat took: the first words of a message's heading, and each of its lines."""
        messages = [text.split("\n") for text in self.receiver.texts]
        return [(heading.split(" · ")[2], line) for heading, *lines in messages for line in lines]


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    """An emulator that every test uses from its beginning."""
    with wechat() as emulated:
        yield emulated


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Emulated) -> Iterator[Morning]:
    """An account of which nothing was ever asked for, on the day before; its history begins on 9 November."""
    with (
        receiving() as receiver,
        orchestra(tmp_path, monkeypatch) as it,
        shop(tmp_path, start=day(9), clock=TODAY - DAY, running=running, silent_share=0) as made,
    ):
        it.use(
            made.emulated,
            ACCOUNT="shop",
            START=day(9),
            DATABASE=made.warehouse.database,
            WEBHOOK=receiver.url(),
        )
        yield Morning(made.with_(webhook=Secret(receiver.url())), it, receiver)


@pytest.fixture
def morning(fresh: Morning) -> Morning:
    """An account of which all is there that was due on the day before."""
    fresh.made.bring_everything_in()
    return fresh


# --- situations: what happens ------------------------------------------------------------------------------------


def all_there(it: Morning) -> None:
    """An ordinary morning."""
    it.whole_day()


def late_before_noon(it: Morning) -> None:
    """WeChat has published nothing by eleven."""
    it.wechat.control.set(publish_at="13:00", refuse_unpublished=True)
    it.ticks(8, 11)


def late_after_noon(it: Morning) -> None:
    """WeChat publishes at one o'clock."""
    it.wechat.control.set(publish_at="13:00", refuse_unpublished=True)
    it.whole_day()


def late_and_there_in_the_end(it: Morning) -> None:
    """WeChat publishes at half past twelve, and the last tick finds it."""
    it.wechat.control.set(publish_at="12:30", refuse_unpublished=True)
    it.whole_day()


def dead_host(it: Morning) -> None:
    """Nothing gets through all morning."""
    it.wechat.control.fault("*", "503")
    it.whole_day()


def dead_host_for_two_days(it: Morning) -> None:
    """Nor on the next."""
    dead_host(it)
    it.whole_day(later=1)


def busy_host_that_recovers(it: Morning) -> None:
    """WeChat says that it is busy, until noon."""
    it.wechat.control.fault("*", "busy")
    it.ticks(8)
    it.wechat.control.clear_faults()
    it.ticks(12)
    it.judge()


def our_own_limit(it: Morning) -> None:
    """WX_DATACUBE_DAILY_CALLS was used up by a refresh of the small hours."""
    it.it.patch.setenv("WX_DATACUBE_DAILY_CALLS", "1")
    limited = Morning(it.made.with_(daily_calls=1), it.it, it.receiver)
    limited.at(7)
    for endpoint in (MESSAGES, HOURS, SENDERS):
        it.made.bring_in(endpoint, [day(20)], refresh=True)
    limited.whole_day()


def quota_taken(it: Morning) -> None:
    """Another program of the account has used the quota up."""
    it.wechat.control.set_quota(0)
    it.whole_day()


def quota_taken_for_two_days(it: Morning) -> None:
    """Every day."""
    quota_taken(it)
    it.whole_day(later=1)


def not_whitelisted(it: Morning) -> None:
    """This machine's address is not on the list."""
    it.wechat.control.set(whitelist=["203.0.113.7"])
    it.wechat.control.revoke_tokens()
    it.whole_day()


def not_granted(it: Morning) -> None:
    """The account may not ask for hours any more."""
    it.wechat.control.set(denied=[HOURS.name])
    it.whole_day()


def not_granted_and_another(it: Morning) -> None:
    """Nor for distributions on the next day."""
    not_granted(it)
    it.wechat.control.set(denied=[HOURS.name, SENDERS.name])
    it.whole_day(later=1)


def granted_again(it: Morning) -> None:
    """An administrator has mended it by the next day."""
    not_granted(it)
    it.wechat.control.set(denied=[])
    it.whole_day(later=1)


def off_for_six_days(it: Morning) -> None:
    """The machine comes back at noon, and no schedule has run yet but that of the checks."""
    it.judge(later=5)


def backfill_under_way(it: Morning) -> None:
    """Somebody runs `wx-datacube backfill`, which is at the hours."""
    it.at(12, 35)
    with it.made.warehouse.fetching("shop", HOURS.name, lambda holder: None):
        it.judge()
        it.status_then = it.status()  # type: ignore[attr-defined]


def restated(it: Morning) -> None:
    """WeChat changes a day of last week; the call for yesterday looks back on it."""
    it.wechat.control.restate(day(20), factor=2)
    it.whole_day()


def restated_and_healed(it: Morning) -> None:
    """All that the checks name is asked for again, once."""
    restated(it)
    it.at(14, 0)
    for endpoint in (MESSAGES, HOURS, SENDERS):
        it.made.bring_in(endpoint, [day(20)], refresh=True)
    for endpoint in ENDPOINTS:
        if endpoint.period.value == "week":
            it.made.bring_in(endpoint, [day(16)], refresh=True)
    it.judge(later=0)


def stolen_token(it: Morning) -> None:
    """Another program fetches tokens of its own, and ours end."""
    it.wechat.control.fault("*", "revoke")
    it.whole_day()


def webhook_down_until_noon(it: Morning) -> None:
    """The robot is back when the checks are judged."""
    it.receiver.status = 500
    it.wechat.control.set(denied=[HOURS.name])
    it.ticks(8, 9)
    it.receiver.got.clear()
    it.receiver.status = 200
    it.ticks(12)
    it.judge()


def fresh_project(it: Morning) -> None:
    """The schedules were never switched on, but that of the checks."""
    it.judge()


# --- situations: what is said ------------------------------------------------------------------------------------

PERSON, TOMORROW, LATER, LATER_TOMORROW = "需要您处理", "等到明天，无需处理", "稍后自动重试", "明天早上自动重试"
YESTERDAY = r"missing since 2026-11-26 12:00: getupstreammsg, getupstreammsghour, getupstreammsgdist 2026-11-25\."
TWO_DAYS = (
    r"missing since 2026-11-26 12:00: getupstreammsg, getupstreammsghour, getupstreammsgdist 2026-11-25 … 2026-11-26\."
)
HOURS_ALONE = r"missing since 2026-11-26 12:00: getupstreammsghour 2026-11-25\."
DENIED, WHITELIST = r"The account may not call this endpoint", r"its address 127\.0\.0\.1 is not whitelisted"


@dataclass(frozen=True)
class Situation:
    """What happens; the messages, by heading and what each says; what `status` says that a person has to see to."""

    happens: Callable[[Morning], None]
    told: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()


SITUATIONS = (Situation(all_there),)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.happens.__name__)
def test_debug(situation: Situation, morning: Morning) -> None:
    pass
