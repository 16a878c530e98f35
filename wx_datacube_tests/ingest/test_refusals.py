"""Refusals: labels that WeChat refuses, leaves out or has not published, and what a run learns from them.

Add a test here when an answer decides what is requested next. How windows are planned is in `test_windows.py`.
"""

import datetime as dt
import json

import pytest

from wx_datacube.catalog.model import Endpoint
from wx_datacube.errors import (
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    RequestRefused,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
)
from wx_datacube.language import Text
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, MONTHS, SENDERS, WEEKS, answered, day
from wx_datacube_tests.ingesting import AFTERNOON, MORNING, YESTERDAY, Shop, Start, only, state_of

# --- 61503: not ready -------------------------------------------------------------------------------------------


def test_older_labels_are_requested_without_a_refused_yesterday(start: Start) -> None:
    """After 61503 for a window with yesterday in it, the older labels are requested without it."""
    made = start(clock=MORNING, publish_at="10:00", refuse_unpublished=True)
    report = made.fetch_missing(MESSAGES, [day(20), day(21), day(22), YESTERDAY])

    assert state_of(report) == {20: State.LANDED, 21: State.LANDED, 22: State.LANDED, 23: State.MISSING}
    assert [(type(error), error.errcode) for error in report.errors] == [(NotReady, 61503)]
    assert made.windows(MESSAGES) == [("2026-11-20", "2026-11-23"), ("2026-11-20", "2026-11-22")]
    assert report.calls == 2


def test_a_late_day_does_not_hold_back_settled_days(start: Start) -> None:
    """If yesterday is still not ready at 15:00, all earlier days land, for each endpoint with windows of days."""
    made = start(publish_at="18:00", refuse_unpublished=True)
    for endpoint in (MESSAGES, SENDERS):
        report = made.fetch_missing(endpoint, [day(20), day(21), day(22), YESTERDAY])
        assert [each.label for each in report.unresolved] == [YESTERDAY]


def test_a_refused_look_back_is_not_repeated(start: Start) -> None:
    """After 61503 for a window whose older labels are stored, no second call is made."""
    made = start(clock=MORNING, publish_at="10:00", refuse_unpublished=True)
    made.fetch_missing(MESSAGES, [day(21), day(22)])
    report = made.fetch_missing(MESSAGES, [YESTERDAY])

    assert (report.calls, type(only(report).error)) == (1, NotReady)


# --- 61501: several labels a call? ------------------------------------------------------------------------------


MONDAYS = [dt.date(2026, 8, 31) + number * 7 * DAY for number in range(12)]


def test_the_first_window_of_several_weeks_is_requested_alone(start: Start) -> None:
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
def test_labels_are_requested_alone_after_a_refusal_of_several(start: Start, endpoint: Endpoint) -> None:
    """After one refusal each label is requested alone; the next run reads the refusal from the ledger."""
    made = start(start=dt.date(2025, 12, 1), one_label=True, concurrency=8)
    wanted = made.labels(endpoint)
    said: list[Text] = []
    report = made.fetch_missing(endpoint, wanted, notify=said.append)

    assert report.unresolved == ()
    assert report.calls == len(wanted) + 1
    assert [call.errcode for call in made.emulated.control.calls(endpoint.name)].count(61501) == 1
    period = endpoint.period.value
    assert [*map(str, said)] == [
        f"{endpoint.name}: WeChat accepts 1 {period} per call; continuing with shorter windows."
    ]

    again = made.fetch_missing(endpoint, wanted[-5:], refresh=True)
    assert (again.calls, again.unresolved) == (5, ())
    assert all(begin == end for begin, end in made.windows(endpoint)[1:])


def test_a_refusal_of_several_labels_is_remembered_in_the_next_month(start: Start) -> None:
    """A refusal of several labels is remembered: next month's weeks are requested one by one without another."""
    made = start(start=MONDAYS[0], one_label=True)
    made.fetch_missing(WEEKS)
    made.at(AFTERNOON + 30 * DAY)
    report = made.fetch_missing(WEEKS)

    assert (report.calls, report.unresolved) == (4, ())


def test_a_refusal_counts_only_if_its_labels_are_then_accepted_alone(start: Start) -> None:
    """A refused window counts only if its labels are then accepted alone; otherwise the next run tries again.

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


def test_an_accepted_window_overrides_an_older_refusal(start: Start) -> None:
    """An accepted window of several weeks overrides an older refusal."""
    made = start(start=MONDAYS[0])
    made.emulated.control.script("getupstreammsgweek", "61501")
    made.fetch_missing(WEEKS, MONDAYS[-2:])
    with made.warehouse.transaction() as con:
        store_calls(con, [answered(WEEKS, MONDAYS[-5], MONDAYS[-1], account="shop", at=AFTERNOON)])
    made.emulated.control.clear_calls()
    made.fetch_missing(WEEKS, MONDAYS[:5])

    assert made.windows(WEEKS) == [("2026-08-31", "2026-09-28")]


def test_a_probe_that_fails_with_another_error_is_followed_by_another_probe(start: Start) -> None:
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


def test_labels_left_out_of_an_answer_are_requested_alone(start: Start) -> None:
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


def test_all_labels_are_requested_alone_once_a_left_out_label_lands_alone(start: Start) -> None:
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


def test_left_out_days_of_a_distribution_are_requested_alone(start: Start) -> None:
    """Days left out of a distribution's window of fifteen are requested alone."""
    made = start(start=day(9), concurrency=1)
    made.fetch_missing(MESSAGES)
    only_the_first(made, SENDERS, day(9))
    assert len(made.fetch_missing(SENDERS, run_id="first").unresolved) == 14
    report = made.fetch_missing(SENDERS, run_id="second")

    assert (report.unresolved, report.calls) == ((), 14)


# --- permission -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", [MESSAGES, HOURS, WEEKS], ids=["days", "hours", "weeks"])
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


def test_a_busy_error_leaves_the_permission_unknown(start: Start) -> None:
    """After a "system busy" the next window is requested alone too, as the permission is still unknown."""
    made = start(start=dt.date(2026, 6, 1), denied=["*"], concurrency=8)
    made.emulated.control.script(HOURS.name, "-1", last=4)

    assert made.fetch_missing(HOURS).calls == 5


# --- days come first --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "answer", "kind"),
    [
        (HOURS, "-1", TryAgain),
        (HOURS, "45009", QuotaExhausted),
        (SENDERS, "502", TryAgain),
        (SENDERS, "html", UnexpectedAnswer),
    ],
    ids=["hours -1", "hours 45009", "distribution 502", "distribution html"],
)
def test_hours_and_distributions_of_days_that_failed_are_not_requested(
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
    (met,) = made.ingest.alerts.recent_failures("shop", dt.datetime.min)
    assert f"{MESSAGES.name}: " in str(met.text)
    assert made.fetch_missing(endpoint, run_id="another").unresolved == ()


@pytest.mark.parametrize("refuse", [True, False], ids=["61503", "empty"])
def test_the_distribution_of_a_late_day_is_not_requested(start: Start, refuse: bool) -> None:
    """The distribution of a day that isn't ready is left out, so the other days take one call, not two."""
    made = start(clock=MORNING, publish_at="10:00", refuse_unpublished=refuse)
    made.fetch_missing(MESSAGES, [day(22), YESTERDAY])
    report = made.fetch_missing(SENDERS, [day(22), YESTERDAY])

    assert (state_of(report), report.calls) == ({22: State.LANDED, 23: State.MISSING}, 1)
    assert [type(error) for error in report.errors] == [NotReady]


def test_hours_of_a_day_with_rejected_rows_are_requested(start: Start) -> None:
    """Hours of a day with rejected rows are requested, since the day has messages."""
    made = start()
    body = '{"list":[{"ref_date":"2026-11-20","user_source":0,"msg_type":1,"msg_user":"many","msg_count":3}]}'
    made.emulated.control.script(MESSAGES.name, f"200:{body}")
    made.fetch_missing(MESSAGES, [day(20)])

    assert made.fetch_missing(HOURS, [day(20)]).unresolved == ()
