"""Situations: which alerts an account's problems send, in order, and what `status` says.

The clock is the emulator's. A tick requests everything that is missing, as the schedules do; at 12:35 Dagster evaluates
the checks. Add a row to `SITUATIONS` for another situation.
"""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.config.settings import Secret
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.operations.status import AccountStatus, read_status
from wx_datacube.warehouse.coverage import State
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, SENDERS, SENDERS_OF_WEEKS, WEEKS, day
from wx_datacube_tests.dagster_environment import QUIET_RUN_CONFIG, DagsterEnv, dagster_env
from wx_datacube_tests.ingesting import Shop, shop
from wx_datacube_tests.receiver import Receiver, receiving

TODAY = dt.datetime(2026, 11, 26, 8, 30)
"""The first tick of a Thursday: yesterday's figures are due; all older ones are stored."""

ACCOUNT: dict[str, Any] = {"start": day(16), "clock": TODAY - DAY, "silent_share": 0}


@dataclass
class Morning:
    """An account whose alerts go to a receiver, and its Dagster instance."""

    made: Shop
    it: DagsterEnv
    receiver: Receiver
    under_way: ExitStack

    @property
    def wechat(self) -> Emulated:
        """The emulator of the account."""
        return self.made.emulated

    def at(self, hour: int, minute: int = 30, later: int = 0) -> None:
        """Set the clock to an hour of today, or `later` days after."""
        self.made.at(TODAY.replace(hour=hour, minute=minute) + later * DAY)

    def ticks(self, *hours: int, later: int = 0) -> None:
        """Request what is missing at these hours, as the schedules do; first deliver pending alerts."""
        for hour in hours:
            self.at(hour, later=later)
            self.alerts.deliver()
            for endpoint in ENDPOINTS:
                if missing := [each for each, state in self.made.states(endpoint).items() if state is State.MISSING]:
                    self.made.fetch_missing(endpoint, missing)

    def judge(self, later: int = 0) -> None:
        """Evaluate the checks at 12:35."""
        self.at(12, 35, later)
        job = build_defs(clock=self.wechat.account.clock).resolve_job_def("shop_checks")
        assert job.execute_in_process(instance=self.it.instance, run_config=QUIET_RUN_CONFIG).success

    def whole_day(self, later: int = 0) -> None:
        """Run the first and the last tick, and the checks."""
        self.ticks(8, 12, later=later)
        self.judge(later)

    @property
    def alerts(self) -> Alerts:
        """The account's stored alerts."""
        return Alerts(self.it.settings.database, self.it.settings.webhook, self.wechat.account.clock)

    def status(self) -> AccountStatus:
        """Return what `status` says now."""
        settings = self.it.settings
        (found,) = read_status(settings, settings.accounts, self.wechat.account.clock)
        return found

    def told(self) -> list[tuple[str, str]]:
        """Return each line of every accepted message, with the urgency from the message's heading."""
        messages = [text.split("\n") for text in self.receiver.texts]
        return [(heading.split(" · ")[2], line) for heading, *lines in messages for line in lines]


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    """Provide an emulator that every test resets."""
    with wechat() as emulated:
        yield emulated


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory: pytest.TempPathFactory, running: Emulated) -> Path:
    """Provide files with everything that was due the day before; history begins on 16 November."""
    folder = tmp_path_factory.mktemp("yesterday")
    with shop(folder, running=running, **ACCOUNT) as made:
        made.bring_everything_in()
    return folder


@pytest.fixture
def morning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Emulated, yesterday: Path) -> Iterator[Morning]:
    """Provide an account for which everything that was due the day before is stored."""
    shutil.copytree(yesterday, tmp_path, dirs_exist_ok=True)
    with (
        receiving() as receiver,
        dagster_env(tmp_path, monkeypatch) as it,
        shop(tmp_path, running=running, **ACCOUNT) as made,
        ExitStack() as under_way,
    ):
        given = {"ACCOUNT": "shop", "START": day(16), "DATABASE": made.warehouse.database, "WEBHOOK": receiver.url()}
        it.use(made.emulated, **given)
        yield Morning(made.with_(webhook=Secret(receiver.url())), it, receiver, under_way)


# --- situations: events ------------------------------------------------------------------------------------------


def all_there(it: Morning) -> None:
    """Nothing goes wrong."""
    it.whole_day()


def late_before_noon(it: Morning) -> None:
    """WeChat has published nothing by 11:00."""
    it.wechat.control.set(publish_at="13:00", refuse_unpublished=True)
    it.ticks(8, 11)


def late_after_noon(it: Morning) -> None:
    """WeChat publishes at 13:00."""
    it.wechat.control.set(publish_at="13:00", refuse_unpublished=True)
    it.whole_day()


def late_and_there_in_the_end(it: Morning) -> None:
    """WeChat publishes at 12:30, and the last tick finds the figures."""
    it.wechat.control.set(publish_at="12:30", refuse_unpublished=True)
    it.whole_day()


def dead_host(it: Morning) -> None:
    """WeChat is unreachable all morning."""
    it.wechat.control.fault("*", "503")
    it.whole_day()


def dead_host_for_two_days(it: Morning) -> None:
    """WeChat is unreachable on the next morning too."""
    dead_host(it)
    it.whole_day(later=1)


def busy_host_that_recovers(it: Morning) -> None:
    """WeChat is busy until noon."""
    it.wechat.control.fault("*", "busy")
    it.ticks(8)
    it.wechat.control.clear_faults()
    it.ticks(12)
    it.judge()


def our_own_limit(it: Morning) -> None:
    """A refresh in the night used up WX_DATACUBE_DAILY_CALLS."""
    it.it.patch.setenv("WX_DATACUBE_DAILY_CALLS", "1")
    it.at(7)
    for endpoint in (MESSAGES, HOURS, SENDERS):
        it.made.fetch_missing(endpoint, [day(20)], refresh=True)
    it.made = it.made.with_(daily_calls=1)
    it.whole_day()


def quota_taken(it: Morning) -> None:
    """Another program of the account has used up the quota."""
    it.wechat.control.set_quota(0)
    it.whole_day()


def quota_taken_for_two_days(it: Morning) -> None:
    """Another program uses up the quota on both days."""
    quota_taken(it)
    it.whole_day(later=1)


def not_whitelisted(it: Morning) -> None:
    """This machine's address is not whitelisted."""
    it.wechat.control.set(whitelist=["203.0.113.7"])
    it.wechat.control.revoke_tokens()
    it.whole_day()


def not_granted(it: Morning) -> None:
    """The account may no longer request hours."""
    it.wechat.control.set(denied=[HOURS.name])
    it.whole_day()


def not_granted_and_another(it: Morning) -> None:
    """The next day it may no longer request distributions either."""
    not_granted(it)
    it.wechat.control.set(denied=[HOURS.name, SENDERS.name])
    it.whole_day(later=1)


def granted_again(it: Morning) -> None:
    """An administrator grants the endpoint again by the next day."""
    not_granted(it)
    it.wechat.control.set(denied=[])
    it.whole_day(later=1)


def off_for_six_days(it: Morning) -> None:
    """The machine comes back after six days at noon, and only the schedule of the checks has run."""
    it.judge(later=5)


def backfill_under_way(it: Morning) -> None:
    """A `wx-datacube backfill` is fetching the hours."""
    it.under_way.enter_context(it.made.warehouse.fetching("shop", HOURS.name, lambda holder: None))
    it.judge()


def restated(it: Morning) -> None:
    """WeChat changes a day of last week, which is in the window of the call for yesterday."""
    it.wechat.control.restate(day(20), factor=2)
    it.whole_day()


def restated_and_healed(it: Morning) -> None:
    """Everything that the checks name is refreshed once."""
    restated(it)
    it.at(14, 0)
    for endpoint in (MESSAGES, HOURS, SENDERS):
        it.made.fetch_missing(endpoint, [day(20)], refresh=True)
    for endpoint in (WEEKS, SENDERS_OF_WEEKS):
        it.made.fetch_missing(endpoint, [day(16)], refresh=True)
    it.judge()


def stolen_token(it: Morning) -> None:
    """Another program fetches tokens, which invalidates ours at the first call."""
    it.wechat.control.fault("*", "revoke")
    for hour in (8, 12):
        it.at(hour)
        it.made.fetch_missing(MESSAGES, [day(25)])
    it.judge()


def webhook_down_until_noon(it: Morning) -> None:
    """The webhook works again before the checks are evaluated."""
    it.receiver.status = 500
    it.wechat.control.set(denied=[HOURS.name])
    it.ticks(8, 9)
    it.receiver.got.clear()
    it.receiver.status = 200
    it.ticks(12)
    it.judge()


def never_begun(it: Morning) -> None:
    """Only the schedule of the checks was switched on."""
    it.made.warehouse.database.unlink()
    it.made.warehouse.writer.unlink()
    it.judge()


# --- situations: expected alerts and status ----------------------------------------------------------------------

PERSON, TOMORROW, LATER = "需要您处理", "等到明天，无需处理", "稍后自动重试"
ALL = "getupstreammsg, getupstreammsghour, getupstreammsgdist"
SINCE = "Missing since 2026-11-26 12:00: "
YESTERDAY, TWO_DAYS = f"{SINCE}{ALL} 2026-11-25.", f"{SINCE}{ALL} 2026-11-25 … 2026-11-26."
LATE_AGAIN = f"{YESTERDAY} + Why: + WeChat has not published them yet"
TAKEN = "does another program use it"
BUSY, DOWN, USED_UP = "WeChat is busy", "(not WeChat) failed with HTTP 503", "It is reset at 00:00 Beijing time"
DENIED, DENIED_TOO = "getupstreammsghour: The account may not", "getupstreammsgdist: The account may not"
HOURS_YESTERDAY = f"{SINCE}getupstreammsghour 2026-11-25."
HOURS_DENIED = f"{HOURS_YESTERDAY} + Why: + {DENIED}"
HOURS_AND_SENDERS = f"{SINCE}getupstreammsghour 2026-11-25 … 2026-11-26; getupstreammsgdist 2026-11-26."
WHITELIST, REJECTED = "its address 127.0.0.1 is not whitelisted", "WeChat rejects the access token, even a new one"
REVISED, UNEQUAL = "figures_were_not_revised", "messages_add_up"
SIX_DAYS = f"{SINCE}{ALL} 2026-11-25 … 2026-11-30; + No request since 2026-11-25 08:30"
EVERYTHING = f"{ALL} 2026-11-25; + History that isn't being fetched: + No request has been made yet."


@dataclass(frozen=True)
class Situation:
    """An event, the expected messages (heading, words), and the problems that `status` must show.

    A string lists all words that the text contains, separated by " + ". Nothing else is sent or shown.
    """

    happens: Callable[[Morning], None]
    told: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()


SITUATIONS = (
    Situation(all_there),
    Situation(late_before_noon),
    Situation(late_after_noon, ((PERSON, LATE_AGAIN),), (LATE_AGAIN,)),
    Situation(late_and_there_in_the_end),
    Situation(dead_host, ((LATER, DOWN), (PERSON, f"{YESTERDAY} + Why: + {DOWN}")), (f"{YESTERDAY} + Why: + {DOWN}",)),
    Situation(
        dead_host_for_two_days,
        ((LATER, DOWN), (PERSON, YESTERDAY), (PERSON, f"{TWO_DAYS} + Why: + {DOWN} + (since 2026-11-26 08:30)")),
        (f"{TWO_DAYS} + Why: + {DOWN} + (since 2026-11-26 08:30)",),
    ),
    Situation(busy_host_that_recovers, ((LATER, BUSY),)),
    Situation(our_own_limit, ((TOMORROW, USED_UP),)),
    Situation(quota_taken, ((TOMORROW, USED_UP),)),
    Situation(
        quota_taken_for_two_days,
        ((TOMORROW, USED_UP), (PERSON, f"{TWO_DAYS} + Why: + {USED_UP} + {TAKEN}")),
        (f"{TWO_DAYS} + Why: + {USED_UP} + {TAKEN}",),
    ),
    Situation(
        not_whitelisted,
        ((PERSON, WHITELIST), (PERSON, f"{YESTERDAY} + Why: + {WHITELIST}")),
        (WHITELIST, YESTERDAY),
    ),
    Situation(not_granted, ((PERSON, DENIED), (PERSON, HOURS_DENIED)), (DENIED, HOURS_YESTERDAY)),
    Situation(
        not_granted_and_another,
        (
            (PERSON, DENIED),
            (PERSON, HOURS_DENIED),
            (PERSON, f"{DENIED_TOO} + (同样 · also: getupstreammsghour)"),
            (PERSON, f"{HOURS_AND_SENDERS} + Why:"),
        ),
        (f"getupstreammsghour + {DENIED_TOO}", HOURS_AND_SENDERS),
    ),
    Situation(granted_again, ((PERSON, DENIED), (PERSON, HOURS_DENIED))),
    Situation(off_for_six_days, ((PERSON, SIX_DAYS),), (SIX_DAYS,)),
    Situation(backfill_under_way),
    Situation(restated, ((PERSON, REVISED), (PERSON, UNEQUAL)), (REVISED, UNEQUAL)),
    Situation(restated_and_healed, ((PERSON, REVISED), (PERSON, UNEQUAL))),
    Situation(
        stolen_token,
        ((PERSON, REJECTED), (PERSON, f"{YESTERDAY} + Why: + {REJECTED}")),
        (REJECTED, YESTERDAY),
    ),
    Situation(webhook_down_until_noon, ((PERSON, DENIED), (PERSON, HOURS_DENIED)), (DENIED, HOURS_YESTERDAY)),
    Situation(never_begun, ((PERSON, EVERYTHING),), (EVERYTHING,)),
)


LONG = (
    late_and_there_in_the_end,
    dead_host_for_two_days,
    quota_taken_for_two_days,
    not_granted_and_another,
    granted_again,
    off_for_six_days,
    restated_and_healed,
    webhook_down_until_noon,
)
"""The situations that combine others or last several days."""


def says(words: str, text: str) -> bool:
    """Return whether a text contains all of the words."""
    return all(each in text for each in words.split(" + "))


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(each, id=each.happens.__name__, marks=pytest.mark.long if each.happens in LONG else ())
        for each in SITUATIONS
    ],
)
def test_status_and_alerts_say_the_same(situation: Situation, morning: Morning) -> None:
    """The alerts and the lines of `status` are the expected ones and agree; `status` says a cause once."""
    situation.happens(morning)
    told, status = morning.told(), morning.status()

    assert [heading for heading, _ in told] == [heading for heading, _ in situation.told]
    assert [text for (_, text), (_, words) in zip(told, situation.told, strict=True) if not says(words, text)] == []
    assert len(status.needs_person) == len(situation.needs), status.needs_person
    for text, words in zip(status.needs_person, situation.needs, strict=True):
        assert says(words, str(text))
        assert ("Why:" in str(text)) == ("Why:" in words)  # not if the cause has a line of its own
        assert any(heading == PERSON and says(words, line) for heading, line in told)
    assert status.as_json()["needs_person"] == [*map(str, status.needs_person)]
