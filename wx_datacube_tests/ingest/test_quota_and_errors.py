"""Quota and errors: which answers end a run, an endpoint's day or nothing, and what the ledger keeps of them.

Add a test here about errors that reach the report. When a running fetch stops is in `test_pool.py`.
"""

import datetime as dt

import pytest

from wx_datacube.errors import (
    TOKEN_CALLS,
    HostDown,
    NeedsPerson,
    QuotaExhausted,
    RequestRefused,
    TryAgain,
    UnexpectedAnswer,
)
from wx_datacube.language import Text
from wx_datacube.warehouse.coverage import State
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, day
from wx_datacube_tests.ingesting import AFTERNOON, Start, only, state_of

# --- quota ------------------------------------------------------------------------------------------------------


def test_a_used_up_quota_stops_every_run_until_midnight(start: Start) -> None:
    """Landed labels stay; the error of the others names midnight; runs make calls again only after it."""
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


def test_a_used_up_quota_stops_only_its_own_endpoint(start: Start) -> None:
    """A used-up quota stops only its own endpoint."""
    made = start(endpoint_quota={"getupstreammsghour": 1})
    made.fetch_missing(HOURS, made.labels(HOURS)[-5:])

    assert made.fetch_missing(MESSAGES).unresolved == ()


def test_a_manual_run_queries_the_remaining_quota(start: Start) -> None:
    """A manual run queries the quota once: without quota it makes no call, with quota it continues."""
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


def test_a_large_fetch_queries_the_quota_first(start: Start) -> None:
    """A fetch of more than ten calls queries the quota first, and makes no call beyond it."""
    made = start()
    made.emulated.control.use_quota("getupstreammsghour", 997)
    report = made.fetch_missing(HOURS)

    assert report.calls == 3
    assert [type(error) for error in report.errors] == [QuotaExhausted]
    assert [call.errcode for call in made.emulated.control.calls(HOURS.name)] == [None] * 3


def test_a_large_fetch_continues_if_the_quota_cannot_be_queried(start: Start) -> None:
    """If the quota can't be queried, a large fetch continues and notifies."""
    made = start()
    made.emulated.control.script("quota", "48001", last=99)
    told: list[Text] = []

    assert made.fetch_missing(HOURS, notify=told.append).unresolved == ()
    assert "continuing without knowing today's remaining quota" in str(told[0])


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


def test_failures_with_successes_between_them_do_not_end_the_run(start: Start) -> None:
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
def test_errors_that_a_retry_cannot_help_cost_one_attempt(start: Start, errcode: int, kind: type) -> None:
    """Errors that a retry can't help cost one attempt; if a person must act, no other label is tried."""
    made = start(concurrency=1)
    made.emulated.control.fault("getupstreammsghour", str(errcode))
    report = made.fetch_missing(HOURS, [day(number) for number in range(10, 15)])

    assert report.calls == (1 if kind is NeedsPerson else 5)
    assert {type(each.error) for each in report.labels} == {kind}
    assert {each.error.errcode for each in report.labels if isinstance(each.error, kind)} == {errcode}


def test_ten_unexpected_answers_in_a_row_end_the_run(start: Start) -> None:
    """Ten unexpected answers in a row end the run."""
    made = start(concurrency=1)
    made.emulated.control.fault("getupstreammsghour", "200:[]")
    report = made.fetch_missing(HOURS)

    assert report.calls == 10
    assert {type(each.error) for each in report.labels} == {UnexpectedAnswer}


@pytest.mark.parametrize("answer", ["html", "200:", "200:{", "200:[]", "200:{}", '200:{"list":0}', "502", "404", "-1"])
def test_broken_answers_are_kept_as_received(start: Start, answer: str) -> None:
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


def test_a_failed_window_does_not_stop_the_others(start: Start) -> None:
    """The other windows of a run land when one fails."""
    made = start(concurrency=1)
    made.emulated.control.script("getupstreammsghour", "-1", call=2, last=5)
    report = made.fetch_missing(HOURS, [day(20), day(21), day(22)])

    assert state_of(report) == {20: State.LANDED, 21: State.MISSING, 22: State.LANDED}
    assert str(report.errors[0]).startswith("getupstreammsghour: WeChat is busy.")


def test_a_report_lists_each_error_once_the_most_frequent_first(start: Start) -> None:
    """A report lists each distinct error once, the most frequent first, so that it stays short."""
    made = start(concurrency=1)
    made.emulated.control.script("getupstreammsghour", "99999", call=1)
    made.emulated.control.script("getupstreammsghour", "61500", call=2, last=3)
    report = made.fetch_missing(HOURS, [day(20), day(21), day(22), day(23)])

    assert [error.errcode for error in report.errors] == [61500, 99999]
    assert [each.label for each in report.unresolved] == [day(21), day(22), day(23)]
