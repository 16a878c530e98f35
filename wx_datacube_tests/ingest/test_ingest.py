"""Ingest: which labels are requested, which are not, and what the report says, against an emulator with its own clock.

Add a test here when a rule decides whether or when to call: states of labels, probes, quota, refreshes and runs that
end early. How windows are planned is in `test_windows.py`; how a running fetch behaves is in `test_pool.py`.
"""

import datetime as dt
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import ENDPOINTS, Endpoint, Period
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.errors import (
    TOKEN_CALLS,
    HostDown,
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    RequestRefused,
    SettingsError,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
)
from wx_datacube.ingest.pool import Progress
from wx_datacube.ingest.report import LabelReport, Report
from wx_datacube.ingest.service import Ingest
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, MONTHS, SENDERS, WEEKS, answered, day, hour_row
from wx_datacube_tests.ingesting import AFTERNOON, Shop, shop
from wx_datacube_tests.processes import interruptible, running

MORNING = dt.datetime(2026, 11, 24, 9)
NINE, NOON = MORNING, MORNING.replace(hour=12)
YESTERDAY = day(23)
TALKATIVE = {"silent_share": 0}
Start = Callable[..., Shop]


@pytest.fixture(scope="module")
def emulated() -> Iterator[Emulated]:
    """Run one emulator for all tests, each of which resets it."""
    with wechat() as emulated:
        yield emulated


@pytest.fixture
def start(folder: Path, emulated: Emulated) -> Iterator[Start]:
    """Return a function that starts an emulated account from 1 November 2026 on, with messages on every day."""
    with ExitStack() as shops:
        yield lambda **options: shops.enter_context(
            shop(folder, **{"start": day(1), "silent_share": 0, "running": emulated, **options})
        )


def state_of(report: Report) -> dict[int, State]:
    """Return the states by day of the month."""
    return {each.label.day: each.coverage.state for each in report.labels}


def only(report: Report) -> LabelReport:
    """Return the only label of a report."""
    (found,) = report.labels
    return found


# --- which labels are requested ---------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])
def test_what_is_missing_lands(start: Start, endpoint: Endpoint) -> None:
    """All missing labels land in the fewest calls, with the emulator's figures; a second run makes no call."""
    made = start(start=dt.date(2026, 9, 1))
    report = made.fetch_missing(endpoint)
    expected = {"getupstreammsg": 12, "getupstreammsghour": 84, "getupstreammsgdist": 6}
    calls = expected.get(endpoint.name, 3 if endpoint.period is Period.WEEK else 2)

    assert {each.coverage.state for each in report.labels} == {State.LANDED}
    assert [each.label for each in report.labels] == made.labels(endpoint)
    assert report.unresolved == report.errors == ()
    assert (report.calls, made.calls()) == (calls, calls)
    newest = report.labels[-1]
    rows = made.emulated.world.rows(endpoint, newest.label)
    assert newest.coverage.rows == len(rows)
    assert made.rows(f"SELECT sum(msg_user) FROM datacube.{endpoint.name} WHERE ref_date = $d", d=newest.label) == [
        (sum(int(each["msg_user"]) for each in rows),)
    ]

    again = made.fetch_missing(endpoint)
    assert again.labels == report.labels
    assert (again.calls, made.calls(), len(made.clients)) == (0, calls, 1)


def test_a_stored_label_costs_no_call_whoever_asks(start: Start) -> None:
    """If some labels are stored, only the new one is requested."""
    made = start()
    made.fetch_missing(HOURS, [day(1), day(2), day(3)])
    report = made.fetch_missing(HOURS, [day(2), day(3), day(4)])

    assert report.calls == 1
    assert [begin for begin, _ in made.windows(HOURS)][3:] == ["2026-11-04"]


def test_the_newest_label_is_asked_first(start: Start) -> None:
    """With one call at a time, windows are requested from yesterday back to the start."""
    made = start(concurrency=1)
    made.fetch_missing(MESSAGES)

    ends = [end for _, end in made.windows(MESSAGES)]
    assert ends == sorted(ends, reverse=True)
    assert ends[0] == str(YESTERDAY)


def test_calls_in_flight_are_bounded(start: Start) -> None:
    """The number of calls in flight reaches the setting's limit, and doesn't exceed it."""
    made = start(concurrency=3, latency=20)
    made.fetch_missing(HOURS)

    assert made.emulated.control.state()["most_in_flight"] == 3


def test_a_look_back_comes_along(start: Start) -> None:
    """Yesterday's call is widened over the stored days before it, which finds a revision at no cost."""
    made = start(clock=AFTERNOON - DAY)
    made.fetch_missing(MESSAGES)
    made.emulated.control.restate(day(18), factor=2)
    made.at(AFTERNOON)
    report = made.fetch_missing(MESSAGES)

    assert report.calls == 1
    assert made.windows(MESSAGES)[-1] == ("2026-11-17", "2026-11-23")
    assert {date for (date,) in made.rows("SELECT ref_date FROM datacube.revisions")} == {day(18)}


def test_labels_that_are_not_due_are_not_asked(start: Start) -> None:
    """Labels that aren't due make no call; the report says `NotReady`."""
    made = start()
    for endpoint, labels in ((MESSAGES, [day(24), day(25)]), (WEEKS, [YESTERDAY]), (MONTHS, [day(1)])):
        report = made.fetch_missing(endpoint, labels)
        assert [type(each.error) for each in report.labels] == [NotReady] * len(labels)
        assert {each.coverage.state for each in report.labels} == {State.MISSING}

    assert made.emulated.control.calls() == []


def test_no_labels_make_no_call(start: Start) -> None:
    """Without labels no call is made, but the file is published all the same."""
    made = start()
    report = made.fetch_missing(MESSAGES, [])

    assert (report.labels, report.calls, made.clients) == ((), 0, [])
    assert made.warehouse.database.exists()


def test_labels_before_the_start_may_be_wanted(start: Start) -> None:
    """A label before WX_DATACUBE_START can be requested; commands only begin there by default."""
    made = start(start=day(10))
    report = made.fetch_missing(MESSAGES, [day(5)])

    assert only(report).coverage.state is State.EMPTY


# --- empty answers ----------------------------------------------------------------------------------------------


def test_an_empty_answer_before_noon_is_not_ready(start: Start) -> None:
    """An empty answer before noon leaves yesterday missing, with `NotReady`; older days land.

    The next run requests it again.
    """
    made = start(clock=MORNING, publish_at="10:00")
    report = made.fetch_missing(MESSAGES, [day(21), day(22), YESTERDAY])

    assert state_of(report) == {21: State.LANDED, 22: State.LANDED, 23: State.MISSING}
    assert [type(error) for error in report.errors] == [NotReady]
    assert "2026-11-23" in str(report.errors[0])
    made.at(MORNING.replace(hour=10))
    assert made.fetch_missing(MESSAGES, [YESTERDAY]).unresolved == ()


def test_an_empty_answer_after_noon_is_empty(start: Start) -> None:
    """From noon on an empty answer makes the label empty, and it is not requested again."""
    made = start(clock=MORNING, silent_share=1)
    assert only(made.fetch_missing(MESSAGES, [YESTERDAY])).coverage.state is State.MISSING
    made.at(NOON)
    report = made.fetch_missing(MESSAGES, [YESTERDAY])

    assert only(report) == LabelReport(only(report).coverage, None)
    assert only(report).coverage.state is State.EMPTY
    assert made.fetch_missing(MESSAGES, [YESTERDAY]).calls == 0


@pytest.mark.parametrize("endpoint", [HOURS, SENDERS], ids=["hours", "distribution"])
def test_silent_days_are_not_asked_for_hours_and_distribution(start: Start, endpoint: Endpoint) -> None:
    """Hours and distribution of empty days are implied, and not even a client is created for them."""
    made = start(silent_share=1)
    made.fetch_missing(MESSAGES)
    report = made.fetch_missing(endpoint)

    assert {each.coverage.state for each in report.labels} == {State.IMPLIED}
    assert (report.calls, report.unresolved, len(made.clients)) == (0, (), 1)
    assert made.fetch_missing(endpoint, refresh=True).calls == 0


def test_a_third_of_the_days_costs_a_third_of_the_hours(start: Start) -> None:
    """Hours are requested only for days with messages."""
    made = start(silent_share=0.66, start=dt.date(2026, 9, 1))
    landed = sum(each.coverage.state is State.LANDED for each in made.fetch_missing(MESSAGES).labels)
    report = made.fetch_missing(HOURS)

    assert report.calls == landed < 42
    assert report.unresolved == ()


def test_a_day_that_turns_out_to_have_messages_is_asked_for_its_hours(start: Start) -> None:
    """If a look-back finds messages of an empty day, its hours are no longer implied and are fetched."""
    made = start(silent_share=1, clock=AFTERNOON - DAY)
    made.bring_everything_in()
    made.emulated.control.restate(day(20), delta=5)
    made.at(AFTERNOON)
    made.fetch_missing(MESSAGES)
    assert made.states(HOURS)[day(20)] is made.states(SENDERS)[day(20)] is State.MISSING
    report = made.fetch_missing(HOURS)

    assert (report.calls, state_of(report)[20], state_of(report)[19]) == (1, State.LANDED, State.IMPLIED)


def test_hours_that_are_empty_against_their_day_stay_missing(start: Start) -> None:
    """Hours that are empty although their day has messages stay missing; a later run requests them again."""
    made = start()
    made.fetch_missing(MESSAGES)
    made.emulated.control.script("getupstreammsghour", '200:{"list":[]}', last=2)
    report = made.fetch_missing(HOURS, [day(20)])

    assert only(report).coverage.state is State.MISSING
    assert isinstance(only(report).error, NotReady)
    assert "2026-11-20" in str(only(report).error)
    assert "rejected_rows" not in str(only(report).error)
    assert made.fetch_missing(HOURS, [day(20)]).unresolved != ()
    assert made.fetch_missing(HOURS, [day(20)]).unresolved == ()


def test_rows_set_apart_leave_their_label_missing(start: Start) -> None:
    """A rejected row leaves its label missing; the error refers to `datacube.rejected_rows`."""
    made = start()
    body = '{"list":[{"ref_date":"2026-11-20","user_source":0,"msg_type":1,"msg_user":"many","msg_count":3}]}'
    made.emulated.control.script("getupstreammsg", f"200:{body}")
    report = made.fetch_missing(MESSAGES, [day(20)])

    assert "datacube.rejected_rows" in str(only(report).error)
    assert made.rows("SELECT reason FROM datacube.rejected_rows") == [("wrong_type",)]
    assert made.fetch_missing(MESSAGES, [day(20)]).unresolved == ()


def test_dirty_rows_before_history_are_set_apart(start: Start) -> None:
    """The first week of history lands although WeChat adds rows of earlier days, which are rejected."""
    first = dt.date(2014, 12, 1)
    made = start(start=first, dirty_rows=True)
    report = made.fetch_missing(MESSAGES, [first + number * DAY for number in range(7)])

    assert report.unresolved == ()
    assert made.rows("SELECT DISTINCT reason FROM datacube.rejected_rows") == [("before_2014_12_01",)]
    assert made.rows("SELECT min(ref_date) FROM datacube.getupstreammsg") == [(first,)]


def test_stray_rows_are_set_apart(start: Start) -> None:
    """Rows of older weeks in a one-day window, as in August 2022, are rejected and overwrite nothing."""
    made = start(start=dt.date(2025, 1, 1), stray_rows=True)
    report = made.fetch_missing(WEEKS, [day(16)])

    assert report.unresolved == ()
    assert made.rows("SELECT DISTINCT ref_date FROM datacube.getupstreammsgweek") == [(day(16),)]
    assert made.rows("SELECT DISTINCT reason FROM datacube.rejected_rows") == [("outside_window",)]


# --- 61503: not ready -------------------------------------------------------------------------------------------


def test_a_refusal_because_of_yesterday_keeps_no_older_label_back(start: Start) -> None:
    """After 61503 for a window with yesterday in it, the older labels are requested without it."""
    made = start(clock=MORNING, publish_at="10:00", refuse_unpublished=True)
    report = made.fetch_missing(MESSAGES, [day(20), day(21), day(22), YESTERDAY])

    assert state_of(report) == {20: State.LANDED, 21: State.LANDED, 22: State.LANDED, 23: State.MISSING}
    assert [(type(error), error.errcode) for error in report.errors] == [(NotReady, 61503)]
    assert made.windows(MESSAGES) == [("2026-11-20", "2026-11-23"), ("2026-11-20", "2026-11-22")]
    assert report.calls == 2


def test_a_day_that_is_late_keeps_no_settled_one_back(start: Start) -> None:
    """If yesterday is still not ready at 15:00, all earlier days land, for each endpoint with windows of days."""
    made = start(publish_at="18:00", refuse_unpublished=True)
    for endpoint in (MESSAGES, SENDERS):
        report = made.fetch_missing(endpoint, [day(20), day(21), day(22), YESTERDAY])
        assert [each.label for each in report.unresolved] == [YESTERDAY]


def test_a_refused_look_back_is_not_asked_again(start: Start) -> None:
    """After 61503 for a window whose older labels are stored, no second call is made."""
    made = start(clock=MORNING, publish_at="10:00", refuse_unpublished=True)
    made.fetch_missing(MESSAGES, [day(21), day(22)])
    report = made.fetch_missing(MESSAGES, [YESTERDAY])

    assert (report.calls, type(only(report).error)) == (1, NotReady)


# --- 61501: several labels a call? ------------------------------------------------------------------------------


MONDAYS = [dt.date(2026, 8, 31) + number * 7 * DAY for number in range(12)]


def test_the_first_window_of_several_weeks_goes_alone(start: Start) -> None:
    """No other window is requested until one of several weeks has been accepted; then all are."""
    made = start(start=MONDAYS[0], latency=30, concurrency=8)
    most: list[int] = []
    report = made.fetch_missing(
        WEEKS, progress=lambda progress: most.append(made.emulated.control.state()["most_in_flight"])
    )

    assert (report.calls, report.unresolved) == (3, ())
    assert most[0] == 1
    assert made.windows(WEEKS)[0] == ("2026-10-19", "2026-11-16")


@pytest.mark.parametrize("endpoint", [WEEKS, MONTHS], ids=["weeks", "months"])
def test_one_label_a_call_where_wechat_refuses_more(start: Start, endpoint: Endpoint) -> None:
    """After one refusal each label is requested alone; the next run learns it from the ledger, without a refusal."""
    made = start(start=dt.date(2025, 12, 1), one_label=True, concurrency=8)
    wanted = made.labels(endpoint)
    said: list[str] = []
    report = made.fetch_missing(endpoint, wanted, notify=said.append)

    assert report.unresolved == ()
    assert report.calls == len(wanted) + 1
    assert [call.errcode for call in made.emulated.control.calls(endpoint.name)].count(61501) == 1
    period = endpoint.period.value
    period = endpoint.period.value
    assert said == [f"{endpoint.name}: WeChat accepts one {period} per call; continuing with single {period}s."]

    again = made.fetch_missing(endpoint, wanted[-5:], refresh=True)
    assert (again.calls, again.unresolved) == (5, ())
    assert all(begin == end for begin, end in made.windows(endpoint)[1:])


def test_the_lesson_lasts_into_the_next_month(start: Start) -> None:
    """A refusal of several labels is remembered: next month's weeks are requested one by one without another."""
    made = start(start=MONDAYS[0], one_label=True)
    made.fetch_missing(WEEKS)
    made.at(AFTERNOON + 30 * DAY)
    report = made.fetch_missing(WEEKS)

    assert (report.calls, report.unresolved) == (4, ())


def test_a_refusal_teaches_nothing_unless_its_labels_then_come_alone(start: Start) -> None:
    """A refused window counts only if its labels are then accepted alone; else the next run tries again.

    At midnight WeChat's clock may differ from ours, so that it refuses a window and then the single newest week too.
    """
    made = start(start=MONDAYS[0], concurrency=1)
    made.emulated.control.script("getupstreammsgweek", "61501", last=2)
    report = made.fetch_missing(WEEKS, MONDAYS[-2:])
    assert [each.label for each in report.unresolved] == MONDAYS[-1:]
    assert isinstance(report.errors[0], RequestRefused)
    made.fetch_missing(WEEKS, MONDAYS[-6:])

    assert made.windows(WEEKS) == [
        ("2026-11-09", "2026-11-16"),
        ("2026-11-16", "2026-11-16"),
        ("2026-11-09", "2026-11-09"),
        ("2026-10-19", "2026-11-16"),
        ("2026-10-12", "2026-10-12"),
    ]


def test_a_lesson_that_was_wrong_is_unlearned(start: Start) -> None:
    """An accepted window of several weeks overrides an older refusal."""
    made = start(start=MONDAYS[0])
    made.emulated.control.script("getupstreammsgweek", "61501")
    made.fetch_missing(WEEKS, MONDAYS[-2:])
    with made.warehouse.writing() as con:
        store_calls(con, [answered(WEEKS, MONDAYS[-5], MONDAYS[-1], account="shop", at=AFTERNOON)])
    made.emulated.control.clear_calls()
    made.fetch_missing(WEEKS, MONDAYS[:5])

    assert made.windows(WEEKS) == [("2026-08-31", "2026-09-28")]


def test_a_probe_that_fails_otherwise_is_followed_by_another(start: Start) -> None:
    """A probe that fails as "system busy" says nothing about windows, so the next window is a probe too."""
    made = start(start=dt.date(2026, 1, 1), one_label=True, concurrency=8)
    made.emulated.control.script("getupstreammsgweek", "-1", last=4)
    report = made.fetch_missing(WEEKS)

    assert [call.errcode for call in made.emulated.control.calls(WEEKS.name)].count(61501) == 1
    assert report.unresolved == ()


def test_days_need_no_probe(start: Start) -> None:
    """Windows of several days are requested in parallel at once, without a probe."""
    made = start(latency=100, start=dt.date(2026, 9, 1), concurrency=8)
    made.fetch_missing(MESSAGES)

    assert made.emulated.control.state()["most_in_flight"] > 4


def only_the_first(made: Shop, endpoint: Endpoint, *firsts: dt.date) -> None:
    """Script the next answers of an endpoint to hold only these first labels of their windows."""
    for call, first in enumerate(firsts, 1):
        body = json.dumps({"list": made.emulated.world.rows(endpoint, first)}, default=str)
        made.emulated.control.script(endpoint.name, f"200:{body}", call=call)


def test_labels_that_an_answer_left_out_are_asked_alone(start: Start) -> None:
    """Labels left out of an answer, whose days have messages, are requested alone by the next run."""
    made = start(start=MONDAYS[0], concurrency=1)
    made.fetch_missing(MESSAGES)
    only_the_first(made, WEEKS, MONDAYS[7], MONDAYS[2], MONDAYS[0])
    report = made.fetch_missing(WEEKS)
    assert [each.label for each in report.labels if each.is_stored] == [MONDAYS[0], MONDAYS[2], MONDAYS[7]]

    made.emulated.control.clear_calls()
    made.at(AFTERNOON + DAY)
    report = made.fetch_missing(WEEKS)
    assert (report.unresolved, report.calls) == ((), 9)
    assert all(begin == end for begin, end in made.windows(WEEKS))
    assert made.rows("SELECT * FROM datacube.revisions") == []
    assert made.fetch_missing(WEEKS).calls == 0


def test_no_window_reaches_over_a_label_that_was_left_out(start: Start) -> None:
    """No later window includes a label that was left out, whose row would otherwise seem to vanish."""
    made = start(start=MONDAYS[0], concurrency=1)
    made.fetch_missing(MESSAGES)
    only_the_first(made, WEEKS, MONDAYS[5])
    made.fetch_missing(WEEKS, MONDAYS[5:7])
    made.emulated.control.clear_faults()
    made.emulated.control.clear_calls()
    made.fetch_missing(WEEKS, MONDAYS[3:9])

    assert made.windows(WEEKS) == [
        (str(MONDAYS[7]), str(MONDAYS[8])),
        (str(MONDAYS[6]), str(MONDAYS[6])),
        (str(MONDAYS[3]), str(MONDAYS[4])),
    ]


def test_the_habit_of_several_labels_a_call_is_unlearned(start: Start) -> None:
    """Once a label that a window left out lands alone, all labels are requested alone."""
    made = start(start=MONDAYS[0], concurrency=1)
    made.fetch_missing(MESSAGES)
    only_the_first(made, WEEKS, MONDAYS[7])
    made.fetch_missing(WEEKS, MONDAYS[7:])
    made.emulated.control.clear_faults()
    made.fetch_missing(WEEKS, MONDAYS[7:])
    made.emulated.control.clear_calls()
    report = made.fetch_missing(WEEKS)

    assert (report.unresolved, report.calls) == ((), 7)
    assert all(begin == end for begin, end in made.windows(WEEKS))


def test_distributions_of_days_that_were_left_out_are_asked_alone(start: Start) -> None:
    """Days left out of a distribution's window of fifteen are requested alone."""
    made = start(start=day(9), concurrency=1)
    made.fetch_missing(MESSAGES)
    only_the_first(made, SENDERS, day(9))
    assert len(made.fetch_missing(SENDERS, run_id="first").unresolved) == 14
    report = made.fetch_missing(SENDERS, run_id="second")

    assert (report.unresolved, report.calls) == ((), 14)


# --- permission -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])
def test_an_endpoint_that_is_not_granted_costs_one_call(start: Start, endpoint: Endpoint) -> None:
    """Until an endpoint's first success, and after a refusal, one window is requested alone.

    A missing permission then costs one call.
    """
    made = start(start=dt.date(2026, 6, 1), denied=["*"], concurrency=8, latency=20)
    report = made.fetch_missing(endpoint)
    assert (report.calls, {type(error) for error in report.errors}) == (1, {NeedsPerson})

    made.emulated.control.set(denied=[])
    newest = made.labels(endpoint)[-1:]
    assert made.fetch_missing(endpoint, newest).unresolved == ()
    made.emulated.control.set(denied=["*"])
    made.fetch_missing(endpoint, newest, refresh=True)
    assert made.fetch_missing(endpoint, refresh=True).calls == 1


def test_a_busy_wechat_says_nothing_of_permissions(start: Start) -> None:
    """After a "system busy" the next window is requested alone too, as the permission is still unknown."""
    made = start(start=dt.date(2026, 6, 1), denied=["*"], concurrency=8)
    made.emulated.control.script(HOURS.name, "-1", last=4)

    assert made.fetch_missing(HOURS).calls == 5


# --- days come first --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", [HOURS, SENDERS], ids=["hours", "distribution"])
@pytest.mark.parametrize(
    ("answer", "kind"), [("-1", TryAgain), ("45009", QuotaExhausted), ("502", TryAgain), ("html", UnexpectedAnswer)]
)
def test_what_hangs_on_days_that_failed_in_this_run_is_not_asked(
    start: Start, endpoint: Endpoint, answer: str, kind: type[WeChatError]
) -> None:
    """Hours and distributions of days that failed in the same run aren't requested, as the days may be empty.

    Their error is that of the days. Another run, which has not requested the days, makes the calls.
    """
    made = start(concurrency=1)
    made.fetch_missing(MESSAGES, [day(22)], run_id="before")
    made.emulated.control.fault(MESSAGES.name, answer)
    assert made.fetch_missing(MESSAGES, run_id="this").unresolved != ()
    report = made.fetch_missing(endpoint, run_id="this")

    assert state_of(report)[22] is State.LANDED
    assert {each.label.day for each in report.unresolved} == set(range(1, 24)) - {22}
    assert {type(each) for each in report.errors} == {kind}
    assert report.calls == 1
    (met,) = made.ingest.alerts.in_the_way("shop", dt.datetime.min)
    assert f"{MESSAGES.name}: " in met
    assert made.fetch_missing(endpoint, run_id="another").unresolved == ()


@pytest.mark.parametrize("refuse", [True, False], ids=["61503", "empty"])
def test_what_hangs_on_a_day_that_is_late_is_not_asked(start: Start, refuse: bool) -> None:
    """The distribution of a day that isn't ready is left out, so the other days take one call, not two."""
    made = start(clock=MORNING, publish_at="10:00", refuse_unpublished=refuse)
    made.fetch_missing(MESSAGES, [day(22), YESTERDAY])
    report = made.fetch_missing(SENDERS, [day(22), YESTERDAY])

    assert (state_of(report), report.calls) == ({22: State.LANDED, 23: State.MISSING}, 1)
    assert [type(error) for error in report.errors] == [NotReady]


def test_hours_of_a_day_whose_rows_were_set_apart_are_asked(start: Start) -> None:
    """Hours of a day with rejected rows are requested, since the day has messages."""
    made = start()
    body = '{"list":[{"ref_date":"2026-11-20","user_source":0,"msg_type":1,"msg_user":"many","msg_count":3}]}'
    made.emulated.control.script(MESSAGES.name, f"200:{body}")
    made.fetch_missing(MESSAGES, [day(20)])

    assert made.fetch_missing(HOURS, [day(20)]).unresolved == ()


# --- quota ------------------------------------------------------------------------------------------------------


def test_a_used_up_quota_stops_every_run_until_midnight(start: Start) -> None:
    """What landed stays, other labels' error names midnight, and runs make no call before it but do after."""
    made = start(quota=5, concurrency=1)
    report = made.fetch_missing(HOURS, made.labels(HOURS)[-9:])
    assert sum(each.is_stored for each in report.labels) == 5
    assert [type(error) for error in report.errors] == [QuotaExhausted]
    assert "00:00 Beijing time" in str(report.errors[0])
    assert report.calls == 6

    made.at(AFTERNOON.replace(hour=23, minute=59))
    again = made.fetch_missing(HOURS)
    assert (again.calls, made.calls()) == (0, 6)
    assert {type(each.error) for each in again.labels if not each.is_stored} == {QuotaExhausted}
    assert {each.error for each in again.labels if each.is_stored} == {None}

    made.at(AFTERNOON.replace(hour=0, minute=0) + DAY)
    assert made.fetch_missing(HOURS, [day(1)]).unresolved == ()


def test_other_endpoints_go_on(start: Start) -> None:
    """A used-up quota stops only its own endpoint."""
    made = start(endpoint_quota={"getupstreammsghour": 1})
    made.fetch_missing(HOURS, made.labels(HOURS)[-5:])

    assert made.fetch_missing(MESSAGES).unresolved == ()


def test_a_run_by_hand_asks_whether_quota_is_left(start: Start) -> None:
    """A manual run queries the quota once: without quota it makes no call, with quota it goes on."""
    made = start(quota=2, concurrency=1)
    made.fetch_missing(HOURS, made.labels(HOURS)[-3:])
    made.emulated.control.clear_calls()
    report = made.fetch_missing(HOURS, [day(20)], manual=True)
    assert isinstance(only(report).error, QuotaExhausted)
    assert [call.endpoint for call in made.emulated.control.calls()] == ["stable_token", "quota"]

    made.emulated.control.set_quota(10)
    assert made.fetch_missing(HOURS, [day(20)]).calls == 0
    assert made.fetch_missing(HOURS, [day(20)], manual=True).unresolved == ()


@pytest.mark.parametrize(("minute", "calls"), [(5, 1), (15, 0)])
def test_a_refusal_just_after_midnight_stops_its_own_run_only(start: Start, minute: int, calls: int) -> None:
    """A quota refusal in the first ten minutes of a day may be yesterday's, so later runs try again."""
    made = start(clock=dt.datetime(2026, 11, 24, 0, minute))
    made.emulated.control.script("getupstreammsghour", "45009")
    assert isinstance(only(made.fetch_missing(HOURS, [day(20)])).error, QuotaExhausted)
    made.at(AFTERNOON)
    report = made.fetch_missing(HOURS, [day(20)])

    assert report.calls == calls
    assert len(report.unresolved) == 1 - calls


def test_a_large_fetch_asks_first_what_is_left(start: Start) -> None:
    """A fetch of more than ten calls queries the quota first, and makes no call beyond it."""
    made = start()
    made.emulated.control.use_quota("getupstreammsghour", 997)
    report = made.fetch_missing(HOURS)

    assert report.calls == 3
    assert [type(error) for error in report.errors] == [QuotaExhausted]
    assert [call.errcode for call in made.emulated.control.calls(HOURS.name)] == [None] * 3


def test_a_refused_question_for_the_quota_keeps_nobody_from_asking(start: Start) -> None:
    """If the quota can't be queried, a large fetch goes on and notifies."""
    made = start()
    made.emulated.control.script("quota", "48001", last=99)
    told: list[str] = []

    assert made.fetch_missing(HOURS, notify=told.append).unresolved == ()
    assert "continuing without knowing today's remaining quota" in told[0]


def test_daily_calls_keep_a_reserve(start: Start) -> None:
    """WX_DATACUBE_DAILY_CALLS limits the attempts per day and endpoint, over all runs, failed ones included."""
    made = start(daily_calls=5)
    made.emulated.control.script("getupstreammsghour", "-1", call=2)
    report = made.fetch_missing(HOURS)
    assert (report.calls, made.calls()) == (5, 5)
    assert sum(each.is_stored for each in report.labels) == 4
    assert isinstance(report.errors[0], QuotaExhausted)
    assert "WX_DATACUBE_DAILY_CALLS" in str(report.errors[0])

    assert made.fetch_missing(HOURS).calls == 0
    assert made.fetch_missing(MESSAGES).unresolved == ()
    made.at(AFTERNOON + DAY)
    assert made.fetch_missing(HOURS).calls == 5


def test_a_used_up_token_quota_stops_everything(start: Start) -> None:
    """If the token quota is used up, no call is made, and the error names the token call."""
    made = start(token_quota=0)
    report = made.fetch_missing(MESSAGES)

    assert report.calls == 0
    (error,) = report.errors
    assert isinstance(error, QuotaExhausted)
    assert error.endpoint in TOKEN_CALLS


# --- errors -----------------------------------------------------------------------------------------------------


def test_three_windows_that_failed_in_a_row_end_the_run(start: Start) -> None:
    """Three failed windows in a row, of four attempts each, end the run; all labels get the reason."""
    made = start(concurrency=1)
    made.emulated.control.fault("getupstreammsghour", "-1")
    report = made.fetch_missing(HOURS)

    assert report.calls == 12
    assert {type(each.error) for each in report.labels} == {TryAgain}
    assert len(report.unresolved) == 23
    made.emulated.control.clear_faults()
    assert made.fetch_missing(HOURS).unresolved == ()


def test_failures_with_successes_between_them_end_nothing(start: Start) -> None:
    """Two failures, a success and two failures don't end the run."""
    made = start(concurrency=1)
    for first in (1, 10):
        made.emulated.control.script("getupstreammsghour", "-1", call=first, last=first + 7)
    report = made.fetch_missing(HOURS, [day(number) for number in range(10, 20)])

    assert len(report.unresolved) == 4
    assert report.calls == 16 + 6


def test_a_dead_host_ends_the_run(start: Start) -> None:
    """A dead host ends the run within a minute of the clock."""
    made = start(latency=0)
    made.emulated.control.fault("getupstreammsghour", "drop")
    began = made.now
    report = made.fetch_missing(HOURS)

    assert len(report.unresolved) == 23
    assert {type(error) for error in report.errors} <= {TryAgain, HostDown}
    assert made.now - began < dt.timedelta(seconds=60)


@pytest.mark.parametrize(
    ("errcode", "kind"),
    [(48001, NeedsPerson), (61007, NeedsPerson), (61500, RequestRefused), (99999, UnexpectedAnswer)],
)
def test_what_cannot_help_is_not_tried_again(start: Start, errcode: int, kind: type) -> None:
    """Errors that a retry can't help cost one attempt; if a person must act, no other label is tried."""
    made = start(concurrency=1)
    made.emulated.control.fault("getupstreammsghour", str(errcode))
    report = made.fetch_missing(HOURS, [day(number) for number in range(10, 15)])

    assert report.calls == (1 if kind is NeedsPerson else 5)
    assert {type(each.error) for each in report.labels} == {kind}
    assert {each.error.errcode for each in report.labels if isinstance(each.error, kind)} == {errcode}


def test_answers_that_are_none_are_not_asked_for_without_end(start: Start) -> None:
    """Ten unexpected answers in a row end the run."""
    made = start(concurrency=1)
    made.emulated.control.fault("getupstreammsghour", "200:[]")
    report = made.fetch_missing(HOURS)

    assert report.calls == 10
    assert {type(each.error) for each in report.labels} == {UnexpectedAnswer}


@pytest.mark.parametrize("answer", ["html", "200:", "200:{", "200:[]", "200:{}", '200:{"list":0}', "502", "404", "-1"])
def test_broken_answers_are_kept_as_they_came(start: Start, answer: str) -> None:
    """Each attempt is in the ledger with its body, no table has a row, and the label is missing."""
    made = start()
    made.emulated.control.fault("getupstreammsg", answer)
    report = made.fetch_missing(MESSAGES, [day(20)])

    assert only(report).coverage.state is State.MISSING
    assert only(report).error is not None
    kept = made.rows("SELECT http_status, errmsg IS NOT NULL, response FROM datacube.api_calls")
    assert len(kept) == report.calls == len(made.windows(MESSAGES))
    assert {failed for _, failed, _ in kept} == {True}
    if answer.startswith("200:"):
        assert {(status, text) for status, _, text in kept} == {(200, answer[4:])}
    made.emulated.control.clear_faults()
    assert made.fetch_missing(MESSAGES, [day(20)]).unresolved == ()


def test_every_attempt_is_in_the_ledger(start: Start) -> None:
    """Each attempt is in the ledger with window, labels, time, account and run; failed ones have errcode and rid."""
    made = start()
    made.emulated.control.script("getupstreammsg", "-1")
    made.fetch_missing(MESSAGES, [day(20), day(22)], run_id="run-7")

    found = made.rows(
        "SELECT call_id, run_id, account, endpoint, begin_date, end_date, asked, refresh, http_status, errcode,"
        " rid IS NOT NULL FROM datacube.api_calls ORDER BY call_id"
    )
    asked = ("run-7", "shop", "getupstreammsg", day(20), day(22), [day(20), day(22)], False, 200)
    assert found == [(1, *asked, -1, True), (2, *asked, None, False)]
    assert made.rows("SELECT min(requested_at) FROM datacube.api_calls") == [(AFTERNOON,)]


def test_a_window_that_fails_keeps_nothing_else_back(start: Start) -> None:
    """The other windows of a run land when one fails."""
    made = start(concurrency=1)
    made.emulated.control.script("getupstreammsghour", "-1", call=2, last=5)
    report = made.fetch_missing(HOURS, [day(20), day(21), day(22)])

    assert state_of(report) == {20: State.LANDED, 21: State.MISSING, 22: State.LANDED}
    assert str(report.errors[0]).startswith("getupstreammsghour: WeChat is busy.")


def test_reasons_are_told_once_each_the_most_frequent_first(start: Start) -> None:
    """A report lists each distinct error once, the most frequent first, so that it stays short."""
    made = start(concurrency=1)
    made.emulated.control.script("getupstreammsghour", "99999", call=1)
    made.emulated.control.script("getupstreammsghour", "61500", call=2, last=3)
    report = made.fetch_missing(HOURS, [day(20), day(21), day(22), day(23)])

    assert [error.errcode for error in report.errors] == [61500, 99999]
    assert [each.label for each in report.unresolved] == [day(21), day(22), day(23)]


# --- refresh ----------------------------------------------------------------------------------------------------


def test_a_refresh_asks_again_and_replaces(start: Start) -> None:
    """A refresh overwrites changed figures, removes vanished rows, and records both."""
    made = start(messages_per_day=200)
    made.fetch_missing(MESSAGES, [day(20), day(21)])
    made.emulated.control.restate(day(20), delta=-(10**6))
    made.emulated.control.restate(day(21), factor=0.5)
    assert made.fetch_missing(MESSAGES, [day(20), day(21)]).calls == 0
    report = made.fetch_missing(MESSAGES, [day(20), day(21)], refresh=True)

    assert (report.calls, report.unresolved) == (1, ())
    assert state_of(report) == {20: State.EMPTY, 21: State.LANDED}
    messages = sum(1 for _ in made.emulated.world.messages(day(21)))
    assert made.rows("SELECT sum(msg_count) FROM datacube.getupstreammsg") == [(messages,)]
    assert made.rows("SELECT count(*) > 0 FROM datacube.revisions WHERE new IS NULL") == [(True,)]
    assert made.rows("SELECT refresh, asked FROM datacube.api_calls ORDER BY call_id")[-1] == (True, [day(20), day(21)])


def test_a_refresh_of_silence_asks_again(start: Start) -> None:
    """A refresh requests empty labels again."""
    made = start(silent_share=1)
    made.fetch_missing(MESSAGES, [day(20)])

    assert made.fetch_missing(MESSAGES, [day(20)], refresh=True).calls == 1


def test_a_refresh_that_fails_says_so_and_keeps_what_is_there(start: Start) -> None:
    """After a failed refresh the label stays landed, and the report has the error."""
    made = start()
    made.fetch_missing(MESSAGES, [day(20)])
    made.emulated.control.fault("getupstreammsg", "48001")
    report = made.fetch_missing(MESSAGES, [day(20)], refresh=True)

    assert only(report).coverage.state is State.LANDED
    assert isinstance(only(report).error, NeedsPerson)
    assert report.unresolved == report.labels


def test_a_refresh_that_was_cut_off_goes_on_with_what_is_left(start: Start) -> None:
    """A repeated refresh continues an interrupted one of the same range, within a month.

    Labels already requested by it, also of endpoints that are done, are not requested again.
    """
    made = start(silent_share=0)
    wanted = {HOURS: made.labels(HOURS)[-4:], MESSAGES: made.labels(MESSAGES)[-4:]}
    first, last = wanted[HOURS][0], wanted[HOURS][-1]
    told: list[str] = []

    def begin(first: dt.date | None = first) -> tuple[list[dt.date], list[dt.date]]:
        found = made.ingest.begin_refresh(wanted, first, last, told.append)
        return found[HOURS].left, found[MESSAGES].left

    def ask(endpoint: Endpoint, *places: int) -> None:
        again = made.ingest.begin_refresh(wanted, first, last)[endpoint]
        made.fetch_missing(endpoint, [wanted[endpoint][place] for place in places], refresh=again)

    assert begin() == (wanted[HOURS], wanted[MESSAGES])
    made.fetch_missing(HOURS, wanted[HOURS][1:2])  # fetched because it is missing, not as part of the refresh
    ask(HOURS, 2, 3)
    ask(MESSAGES, 0, 1, 2, 3)
    assert begin() == (wanted[HOURS][:2], [])
    assert told == [
        "getupstreammsghour: resuming the refresh of 2026-11-24 15:00; 2 of 4 days are done.",
        "getupstreammsg: resuming the refresh of 2026-11-24 15:00; 4 of 4 days are done.",
    ]
    ask(HOURS, 0, 1)
    assert begin() == (wanted[HOURS], wanted[MESSAGES])

    ask(HOURS, 2, 3)
    assert begin(None) == (wanted[HOURS], wanted[MESSAGES])
    assert begin() == (wanted[HOURS], wanted[MESSAGES])
    ask(HOURS, 2, 3)
    made.at(AFTERNOON + dt.timedelta(days=31))
    assert begin() == (wanted[HOURS], wanted[MESSAGES])
    assert len(told) == 2


def test_two_refreshes_at_once_ask_once(start: Start) -> None:
    """Of two equal refreshes at once, the second finds every label already requested."""
    made = start(silent_share=0)
    wanted = made.labels(HOURS)[-3:]
    both = [made.ingest.begin_refresh({HOURS: wanted}, None, None)[HOURS] for _ in range(2)]

    assert [made.fetch_missing(HOURS, wanted, refresh=again).calls for again in both] == [3, 0]


def test_what_silence_implies_is_no_part_of_a_refresh(start: Start) -> None:
    """A refresh leaves out implied labels, as they would never be done."""
    made = start(silent_share=1)
    made.fetch_missing(MESSAGES, [day(20)])

    assert made.ingest.begin_refresh({HOURS: [day(20), day(21)]}, day(20), day(21))[HOURS].left == [day(21)]


# --- settings ---------------------------------------------------------------------------------------------------


def test_credentials_are_needed_only_to_ask(start: Start, folder: Path) -> None:
    """Without credentials stored labels are reported; requesting another raises an error that names the variables."""
    made = start()
    made.fetch_missing(MESSAGES, [day(20)])
    settings = Settings(project=folder, database=made.warehouse.database, api_url=made.emulated.api_url)
    without = Ingest.of(settings, Account("shop", start=day(1)))
    assert without.fetch_missing(MESSAGES, [day(20)], run_id="run").unresolved == ()
    with pytest.raises(SettingsError, match=r"WX_DATACUBE_APPID.*WX_DATACUBE_SECRET"):
        without.fetch_missing(MESSAGES, [day(21)], run_id="run")


def test_settings_make_an_ingest(start: Start, folder: Path) -> None:
    """`Ingest.of` takes URL, credentials, database, concurrency and daily calls from the settings."""
    made = start(start=dt.date(2016, 1, 1))
    account = Account("other", made.emulated.appid, Secret(made.emulated.secret))
    settings = Settings(folder, folder / "other.duckdb", made.emulated.api_url, 3, 7, (account,))
    ingest = Ingest.of(settings, account)
    report = ingest.fetch_missing(MESSAGES, [dt.date(2016, 1, 4)], run_id="run")

    assert (ingest.concurrency, ingest.daily_calls, ingest.warehouse.database) == (3, 7, folder / "other.duckdb")
    assert only(report).coverage.state is State.LANDED


def test_another_appid_under_a_name_is_refused_before_any_call(start: Start) -> None:
    """Another AppID under a stored account's name is an error before any call, and changes nothing."""
    made = start()
    made.fetch_missing(MESSAGES, [day(20)])
    other = made.with_(account=Account("shop", "wx0000000000000000", Secret("0" * 32), start=day(1)))
    before = made.warehouse.database.read_bytes()
    with pytest.raises(SettingsError, match="belongs to the AppID"):
        other.fetch_missing(MESSAGES, [day(21)])

    assert made.calls() == 1
    assert made.warehouse.database.read_bytes() == before


# --- runs that end early ----------------------------------------------------------------------------------------


@contextmanager
def interrupted_after(made: Shop, calls: int, seconds: float = 0) -> Iterator[None]:
    """Send SIGINT `seconds` after the emulator's call number `calls`, and expect it to end the block."""

    def interrupt() -> None:
        while made.calls() < calls:
            time.sleep(0.01)
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with interruptible(), pytest.raises(KeyboardInterrupt):
        yield
    thread.join()


def test_an_interrupted_run_keeps_what_came(start: Start) -> None:
    """After Ctrl-C the calls in flight end, and all answers are stored and published."""
    made = start(latency=100, concurrency=2)
    with interrupted_after(made, 6):
        made.fetch_missing(HOURS)
    calls = made.calls()

    assert 6 <= calls < 23
    assert made.rows("SELECT count(*) FROM datacube.api_calls") == [(calls,)]
    assert sum(state is State.LANDED for state in made.states(HOURS).values()) == calls
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("wechat")]


def test_an_interruption_when_the_last_calls_are_under_way_ends_too(start: Start) -> None:
    """Ctrl-C ends a run whose first workers have already ended, and keeps all answers."""
    made = start(concurrency=2)
    made.fetch_missing(HOURS, [day(19)])  # an endpoint's first call is made alone
    made.emulated.control.script("getupstreammsghour", "delay:0.8")
    with interrupted_after(made, 3, 0.2):
        made.fetch_missing(HOURS, [day(20), day(21)])

    assert made.rows("SELECT count(*) FROM datacube.getupstreammsghour WHERE ref_date > '2026-11-19'") != [(0,)]
    assert set(made.rows("SELECT begin_date FROM datacube.api_calls")) == {(day(number),) for number in (19, 20, 21)}


def test_an_error_while_reporting_progress_keeps_what_came(start: Start) -> None:
    """If the progress callback raises, the calls are committed once all the same."""
    made = start(concurrency=1)

    def fail(progress: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made.fetch_missing(HOURS, [day(20), day(21)], progress=fail)

    assert made.rows("SELECT count(*), count(DISTINCT begin_date) FROM datacube.api_calls") == [(made.calls(),) * 2]


def test_progress_tells_of_every_window_once(start: Start) -> None:
    """Progress reports each window once, in the order of commits, and the total of calls."""
    made = start()
    told: list[Progress] = []
    report = made.fetch_missing(HOURS, progress=told.append)
    stored = [window.end for progress in told for window in progress.stored]

    assert sorted(stored) == made.labels(HOURS)
    assert told[-1].calls == report.calls == 23
    assert told[-1].left == 0
    assert {progress.endpoint for progress in told} == {HOURS}


def test_a_fault_of_ours_leaves_no_window_without_a_reason(start: Start) -> None:
    """An unforeseen error ends the run, and each label has an error that names it."""
    made = start(concurrency=1)

    class Broken:
        def fetch(self, *_: object) -> None:
            raise ZeroDivisionError

        def quota(self, *_: object) -> Any:
            return type("Quota", (), {"remain": 100})

        def close(self) -> None:
            pass

    report = made.with_(connect=lambda stop_event: Broken()).fetch_missing(HOURS)

    assert {type(each.error) for each in report.labels} == {UnexpectedAnswer}
    assert "ZeroDivisionError" in str(report.errors[0])


# --- midnight, clocks, and other runs ---------------------------------------------------------------------------


def test_today_is_read_once_a_run(start: Start) -> None:
    """A label that becomes due during a run, at midnight, is left to the next run."""
    made = start(clock=dt.datetime(2026, 11, 24, 23, 59, 59), concurrency=1)
    wanted = [day(22), day(23), day(24)]
    report = made.fetch_missing(HOURS, wanted, progress=lambda _: made.at(dt.datetime(2026, 11, 25, 0, 0, 1)))

    assert state_of(report) == {22: State.LANDED, 23: State.LANDED, 24: State.MISSING}
    assert (report.calls, made.calls()) == (2, 2)


def test_a_clock_that_jumps_back_loses_nothing(start: Start) -> None:
    """After the clock jumps back stored labels stay, and are known again once they are due."""
    made = start()
    made.fetch_missing(MESSAGES)
    made.at(AFTERNOON - 3 * DAY)
    report = made.fetch_missing(MESSAGES, [day(19), day(22)])
    assert [each.coverage.state for each in report.labels] == [State.LANDED, State.MISSING]
    made.at(AFTERNOON)

    assert made.fetch_missing(MESSAGES).unresolved == ()
    assert made.calls() == 4


FETCH = """
import sys, threading
import datetime as dt
from pathlib import Path
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.ingest.service import Ingest
from wx_datacube.config.settings import Account, Secret
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.wechat import Client

url, appid, secret, database, first, last = sys.argv[1:]
clock = lambda: dt.datetime(2026, 11, 24, 15)
account = Account("shop", appid, Secret(secret), start=dt.date(2026, 11, 1))
connect = lambda stop_event: Client(api_url=url, appid=appid, secret=secret, clock=clock)
ingest = Ingest(Warehouse(Path(database)), account, connect, 2, clock=clock)
print("ready", flush=True)
sys.stdin.readline()
labels = [dt.date(2026, 11, day) for day in range(int(first), int(last) + 1)]
report = ingest.fetch_missing(BY_NAME["getupstreammsghour"], labels, run_id=first, notify=print)
print(report.calls, len(report.unresolved), flush=True)
"""


def test_two_runs_at_once_make_no_call_twice(start: Start) -> None:
    """Of two processes with overlapping days, the second waits, plans again, and requests only the rest."""
    made = start(latency=200)
    emulated = made.emulated
    common = (emulated.api_url, emulated.appid, emulated.secret, made.warehouse.database)
    with running(FETCH, *common, 1, 16) as one, running(FETCH, *common, 8, 23) as other:
        for process in (one, other):
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0].splitlines() for process in (one, other)]

    windows = made.windows(HOURS)
    assert sorted(windows) == [(str(day(number)), str(day(number))) for number in range(1, 24)]
    assert sum(int(lines[-1].split()[0]) for lines in outputs) == 23
    assert {lines[-1].split()[1] for lines in outputs} == {"0"}
    waited = [line for lines in outputs for line in lines[:-1]]
    assert len(waited) == 1
    assert waited[0].startswith("Waiting for process ")
    assert made.rows("SELECT count(*) FROM datacube.revisions") == [(0,)]


def test_whoever_waited_in_vain_asks_for_nothing(start: Start) -> None:
    """Of two threads that want the same days, one fetches them and the other finds them stored, without a call."""
    made = start(latency=20)
    reports: list[Report] = []
    threads = [threading.Thread(target=lambda: reports.append(made.fetch_missing(HOURS))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(report.calls for report in reports) == [0, 23]
    assert all(report.unresolved == () for report in reports)


def test_a_user_source_other_than_zero_is_told(start: Start) -> None:
    """A row with an unknown `user_source` is stored, and the run notifies."""
    made, said = start(), list[str]()
    body = '{"list":[{"ref_date":"2026-11-20","user_source":17,"msg_type":1,"msg_user":2,"msg_count":3}]}'
    made.emulated.control.script(MESSAGES.name, f"200:{body}")
    made.fetch_missing(MESSAGES, [day(20)], notify=said.append)

    assert [each for each in said if "user_source" in each] == [
        "getupstreammsg: 1 rows have an undocumented user_source other than 0."
    ]
    assert made.rows("SELECT user_source FROM datacube.getupstreammsg") == [(17,)]


def test_two_accounts_share_a_database(start: Start, folder: Path) -> None:
    """Two accounts in one database have their own figures and calls."""
    made = start()
    news = made.with_(account=Account("news", "wx02", start=day(1)))
    made.fetch_missing(MESSAGES, [day(20)])
    report = news.fetch_missing(MESSAGES, [day(20)])

    assert report.calls == 1
    assert made.rows("SELECT account FROM datacube.accounts ORDER BY 1") == [("news",), ("shop",)]
    assert made.rows("SELECT count(DISTINCT account) FROM datacube.getupstreammsg") == [(2,)]


BE_FETCHING = """
import sys
from pathlib import Path
from wx_datacube.warehouse.files import Warehouse
with Warehouse(Path(sys.argv[1])).fetching("shop", "getupstreammsghour", print):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_what_another_run_stored_meanwhile_is_not_asked(start: Start) -> None:
    """A run that waits for another process notifies, then plans again, and makes no call for stored labels."""
    made = start()
    with running(BE_FETCHING, made.warehouse.database) as other:

        def end_the_other(message: str) -> None:
            assert message == f"Waiting for process {other.pid}, which is fetching {HOURS.name} for this account."
            with made.warehouse.writing() as con:
                store_calls(con, [answered(HOURS, day(20), None, hour_row(day(20)), at=AFTERNOON)])
            other.communicate("\n", timeout=30)

        report = made.fetch_missing(HOURS, [day(20)], notify=end_the_other)

    assert (report.calls, only(report).coverage.state) == (0, State.LANDED)


def test_a_fetcher_that_was_killed_holds_nobody_up(start: Start) -> None:
    """A killed process releases its lock, so the next run doesn't wait."""
    made = start()
    with running(BE_FETCHING, made.warehouse.database) as other:
        other.kill()
        other.wait()

        assert made.fetch_missing(HOURS, [day(20)]).unresolved == ()
