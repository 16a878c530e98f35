"""The emulator's statistics endpoints over a real socket: what they answer and when, and what they refuse.

Tests of tokens, faults and controls are in other files.
"""

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Period
from wx_datacube.catalog.periods import due_on, label_of
from wx_datacube.emulator.testing import wechat
from wx_datacube_tests.emulator_caller import Caller, Emulators, Started

NOON = dt.datetime(2026, 11, 24, 12)
YESTERDAY = dt.date(2026, 11, 23)
TODAY = dt.date(2026, 11, 24)
WEEK = dt.date(2026, 11, 16)
MONTH = dt.date(2026, 10, 1)
NEWEST = {Period.DAY: YESTERDAY, Period.WEEK: WEEK, Period.MONTH: MONTH}

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])


@pytest.fixture
def start(emulators: Emulators) -> Iterator[Started]:
    """Starts emulators, by default at noon."""
    with ExitStack() as used:
        yield lambda **options: emulators.start(used, **{"clock": NOON, "frozen": True, "silent_share": 0, **options})


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    """One emulator for all tests that change nothing."""
    with wechat(clock=NOON, frozen=True, silent_share=0, quota=10_000) as emulated, Caller(emulated) as caller:
        yield caller


@each_endpoint
def test_the_newest_rows_are_those_of_the_world(caller: Caller, endpoint: Endpoint) -> None:
    """Every endpoint returns the world's rows in WeChat's format: compact JSON with only the list."""
    label = NEWEST[endpoint.period]
    answer = caller.call(endpoint.name, label)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == {"list": caller.emulated.world.rows(endpoint, label)}
    assert answer.text.startswith('{"list":[{"ref_date":"')
    assert "errcode" not in answer.text


@each_endpoint
def test_a_window_may_span_as_many_days_as_the_catalog_says(caller: Caller, endpoint: Endpoint) -> None:
    """Span N means N days inclusive; one more day is refused with 61501."""
    begin = YESTERDAY - dt.timedelta(days=endpoint.max_span_days - 1)
    rows = caller.rows(endpoint.name, begin, YESTERDAY)
    assert {row["ref_date"] for row in rows} == {
        label.isoformat()
        for label in {label_of(begin + dt.timedelta(days=n), endpoint.period) for n in range(endpoint.max_span_days)}
        if label >= begin and due_on(label, endpoint.period) <= TODAY
    }
    assert [row["ref_date"] for row in rows] == sorted(row["ref_date"] for row in rows)
    assert caller.errcode(endpoint.name, begin - dt.timedelta(days=1), YESTERDAY) == 61501


@each_endpoint
def test_today_and_reversed_windows_are_refused(caller: Caller, endpoint: Endpoint) -> None:
    """`end_date` must not be after yesterday in Beijing, nor before `begin_date`."""
    assert caller.errcode(endpoint.name, TODAY) == 61501
    assert caller.errcode(endpoint.name, YESTERDAY, YESTERDAY - dt.timedelta(days=1)) == 61501


def test_yesterday_is_a_beijing_date(start: Started) -> None:
    """At 00:30 Beijing time yesterday can be requested, although that day isn't over in London."""
    caller = start(clock="2026-11-24T00:30", publish_at="00:00")
    assert caller.rows("getupstreammsg", YESTERDAY)


@pytest.mark.parametrize("day", [None, 20261123, "", "2026-1-1", "20261123", "2026-02-30", "2026-11-23T00:00", "昨天"])
def test_malformed_dates_are_refused(caller: Caller, day: object) -> None:
    """A date that is missing or not `YYYY-MM-DD` is refused with 61500, as begin or as end."""
    for window in ({"begin_date": day, "end_date": "2026-11-23"}, {"begin_date": "2026-11-23", "end_date": day}):
        answer = caller.post(caller.path("getupstreammsg"), json=window).json()
        assert answer["errcode"] == 61500


@each_endpoint
def test_an_empty_answer_is_an_empty_list(start: Started, endpoint: Endpoint) -> None:
    """An account without messages gets exactly `{"list":[]}`."""
    assert start(silent_share=1).call(endpoint.name, NEWEST[endpoint.period]).text == '{"list":[]}'


def test_silent_days_leave_gaps(start: Started) -> None:
    """A request for seven days returns only the days that have messages."""
    caller = start(silent_share=0.6)
    dates = {row["ref_date"] for row in caller.rows("getupstreammsg", "2026-11-17", YESTERDAY)}
    heard = {day for day in (YESTERDAY - dt.timedelta(days=n) for n in range(7)) if caller.emulated.world.messages(day)}
    assert dates == {day.isoformat() for day in heard}
    assert 0 < len(dates) < 7


@each_endpoint
def test_yesterday_is_published_after_eight(start: Started, endpoint: Endpoint) -> None:
    """Days, weeks and months that have just ended are empty before 08:00 and have rows after it."""
    caller, label = start(clock="2026-12-01T07:59:59"), dt.date(2026, 11, 30)
    first_of = {Period.DAY: label, Period.WEEK: dt.date(2026, 11, 23), Period.MONTH: dt.date(2026, 11, 1)}
    if endpoint.period is Period.WEEK:
        caller.emulated.control.set_clock("2026-11-30T07:59:59", frozen=True)
    assert caller.rows(endpoint.name, first_of[endpoint.period]) == []
    caller.emulated.control.advance(dt.timedelta(seconds=1))
    assert caller.rows(endpoint.name, first_of[endpoint.period])


def test_a_partial_window_shows_what_is_published(start: Started) -> None:
    """At 07:00 a window returns the day before yesterday but not yesterday."""
    caller = start(clock="2026-11-24T07:00")
    assert {row["ref_date"] for row in caller.rows("getupstreammsg", "2026-11-22", YESTERDAY)} == {"2026-11-22"}


def test_publication_may_be_late(start: Started) -> None:
    """`publish_at` changes the time of publication."""
    caller = start(clock="2026-11-24T10:29", publish_at="10:30")
    assert caller.rows("getupstreammsg", YESTERDAY) == []
    caller.emulated.control.set(publish_at="10:00")
    assert caller.rows("getupstreammsg", YESTERDAY)


def test_unpublished_windows_may_be_refused(start: Started) -> None:
    """With `refuse_unpublished`, unpublished windows get 61503 instead of an empty list; older ones get rows."""
    caller = start(clock="2026-11-24T07:00", refuse_unpublished=True)
    assert caller.errcode("getupstreammsg", "2026-11-17", YESTERDAY) == 61503
    assert caller.rows("getupstreammsg", "2026-11-22")
    assert caller.errcode("getupstreammsgmonth", "2026-11-01", "2026-11-20") is None


@pytest.mark.parametrize("suffix", ["", "dist"])
def test_weeks_and_months_exist_once_they_have_ended(start: Started, suffix: str) -> None:
    """A current week or month has no row, and only its label selects it: the window may end anywhere."""
    caller = start(clock="2026-11-30T23:59", token_lifetime=100_000)
    week, month = f"getupstreammsg{suffix}week", f"getupstreammsg{suffix}month"
    assert caller.rows(month, "2026-11-01", "2026-11-05") == []
    caller.emulated.control.set_clock("2026-12-01T08:00", frozen=True)
    assert {row["ref_date"] for row in caller.rows(month, "2026-11-01", "2026-11-05")} == {"2026-11-01"}
    assert caller.rows(month, "2026-11-02", "2026-11-30") == []
    assert {row["ref_date"] for row in caller.rows(week, "2026-11-02", "2026-11-30")} == {
        "2026-11-02",
        "2026-11-09",
        "2026-11-16",
        "2026-11-23",
    }
    assert caller.rows(week, "2026-11-30") == []


def test_windows_of_several_labels_may_be_refused(start: Started) -> None:
    """With `one_label`, a window may contain one week or month only; windows of days are not affected."""
    caller = start(one_label=True)
    assert caller.errcode("getupstreammsgweek", "2026-11-09", "2026-11-16") == 61501
    assert caller.errcode("getupstreammsgdistmonth", "2026-10-01", "2026-10-30") is None
    assert caller.rows("getupstreammsgdistweek", WEEK)
    assert caller.rows("getupstreammsg", "2026-11-17", YESTERDAY)


def test_windows_of_several_labels_may_return_the_oldest_only(start: Started) -> None:
    """With `partial`, a window of several weeks or months returns the oldest only; days are not affected."""
    caller = start(partial=True)
    weeks = {row["ref_date"] for row in caller.rows("getupstreammsgweek", "2026-11-09", "2026-11-16")}
    days = {row["ref_date"] for row in caller.rows("getupstreammsg", "2026-11-17", YESTERDAY)}
    assert weeks == {"2026-11-09"}
    assert len(days) > 1


@each_endpoint
def test_one_day_windows_may_return_stray_rows(start: Started, endpoint: Endpoint) -> None:
    """With `stray_rows`, a one-day window also returns other labels, up to two years older and always the same."""
    caller, label = start(stray_rows=True), NEWEST[endpoint.period]
    rows = caller.rows(endpoint.name, label)
    dates = [dt.date.fromisoformat(row["ref_date"]) for row in rows]
    assert label - dt.timedelta(days=731) <= min(dates) < max(dates) == label
    assert dates == sorted(dates)
    for day in set(dates):
        mine = [row for row in rows if row["ref_date"] == day.isoformat()]
        assert mine == caller.emulated.world.rows(endpoint, day)
    assert caller.rows(endpoint.name, label) == rows
    assert caller.rows(endpoint.name, HISTORY_START) == caller.emulated.world.rows(endpoint, HISTORY_START)
    if endpoint.max_span_days > 1:
        longer = caller.rows(endpoint.name, label - dt.timedelta(days=1), label)
        assert min(row["ref_date"] for row in longer) >= (label - dt.timedelta(days=1)).isoformat()


@each_endpoint
def test_dates_before_december_2014_are_empty(caller: Caller, endpoint: Endpoint) -> None:
    """Dates before December 2014 return an empty list instead of an error."""
    assert caller.rows(endpoint.name, label_of(dt.date(2014, 11, 24), endpoint.period)) == []
    assert caller.rows(endpoint.name, "2001-02-03") == []


@each_endpoint
def test_dirty_rows_may_come_from_before_december_2014(start: Started, endpoint: Endpoint) -> None:
    """With `dirty_rows`, windows in early December 2014 also return older rows; later windows don't."""
    caller = start(dirty_rows=True)
    before = label_of(HISTORY_START - dt.timedelta(days=1), endpoint.period)
    (asked,) = caller.rows(endpoint.name, before)
    assert asked["ref_date"] == before.isoformat()
    dates = [row["ref_date"] for row in caller.rows(endpoint.name, HISTORY_START)]
    assert dates[0] == before.isoformat()
    assert set(dates[1:]) == {"2014-12-01"}
    columns = {column.name for column in endpoint.columns}
    assert set(asked) == columns
    later = caller.rows(endpoint.name, label_of(dt.date(2015, 1, 5), endpoint.period))
    assert all(row["ref_date"] >= "2014-12-01" for row in later)


def test_errors_have_status_200_a_text_and_a_new_rid_each_time(caller: Caller) -> None:
    """Each error has a new `rid`, which WeChat's support asks for: the time in hexadecimal seconds and two groups."""
    answers = [caller.call("getupstreammsg", TODAY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    first, second = (answer.json() for answer in answers)
    assert list(first) == ["errcode", "errmsg"]
    rid = re.fullmatch(r".+ rid: ([0-9a-f]{8})-[0-9a-f]{8}-[0-9a-f]{8}", first["errmsg"])
    assert rid
    assert dt.datetime.fromtimestamp(int(rid[1], 16), dt.timezone(dt.timedelta(hours=8))).replace(tzinfo=None) == NOON
    assert first["errmsg"] != second["errmsg"]


@pytest.mark.parametrize(
    "path",
    ["/datacube", "/datacube/", "/datacube/getnothing", "/cgi-bin/datacube/getupstreammsg", "/cgi-bin/user/info"],
)
def test_unknown_paths_are_404_without_a_body(caller: Caller, path: str) -> None:
    """Unknown paths get 404 with any token, and no redirect adds or removes a slash."""
    answer = caller.post(path, json={})
    assert (answer.status_code, answer.content) == (404, b"")


def asked(
    caller: Caller, token: str | None = None, method: str = "POST", name: str = "getupstreammsg", **kw: Any
) -> int:
    """Return the errcode for a request, 0 if it succeeds."""
    url = caller.emulated.api_url + caller.path(name, token)
    return caller.session.request(method, url, timeout=30, **kw).json().get("errcode", 0)


def test_malformed_requests_are_refused(caller: Caller) -> None:
    """GET, a missing body, broken JSON, and JSON other than an object are refused."""
    assert asked(caller, method="GET") == 43002
    assert asked(caller) == 44002
    assert asked(caller, data=b" ") == 44002
    for broken in (b"{", b"[]", b'"2026-11-23"', b"\xff\xfe\xff", b"[" * 100_000):
        assert asked(caller, data=broken) == 47001


def test_checks_come_in_wechats_order(start: Started) -> None:
    """Checks run in this order: token, permission, quota, method, body, retired, date format, date range."""
    caller = start(denied=["getupstreammsghour"], endpoint_quota={"getupstreammsgweek": 0}, retired=["getupstreammsg"])
    everything_wrong = {"method": "GET", "name": "getupstreammsghour"}
    assert asked(caller, token="", **everything_wrong) == 41001
    assert asked(caller, **everything_wrong) == 48001
    assert asked(caller, method="GET", name="getupstreammsgweek") == 45009
    assert asked(caller, method="GET") == 43002
    assert asked(caller, data=b"") == 44002
    assert asked(caller, data=b"{") == 47001
    assert asked(caller, json={}) == 47009
    caller.emulated.control.set(retired=None)
    assert asked(caller, json={"begin_date": "2026-11-24", "end_date": "x"}) == 61500
    assert asked(caller, json={"begin_date": "2026-11-24", "end_date": "2026-11-24"}) == 61501


def test_retired_endpoints_answer_47009(caller: Caller) -> None:
    """Retired endpoints are known: they get 47009, not 404."""
    assert caller.errcode("getarticlesummary", YESTERDAY) == 47009


def test_uncertified_accounts_are_denied(start: Started) -> None:
    """Every endpoint refuses an account without permission with 48001, at no cost in quota."""
    caller = start(denied="*")
    assert {caller.errcode(name, YESTERDAY) for name in BY_NAME} == {48001}
    assert caller.emulated.control.used("getupstreammsg") == 0


def test_each_endpoint_has_its_own_daily_quota_until_midnight_in_beijing(start: Started) -> None:
    """Beyond its quota, which refused calls count towards, an endpoint answers 45009 until midnight; others don't."""
    caller = start(quota=3, clock="2026-11-24T23:59:59")
    codes = [caller.errcode("getupstreammsg", day) for day in (YESTERDAY, TODAY, YESTERDAY, YESTERDAY, YESTERDAY)]
    assert codes == [None, 61501, None, 45009, 45009]
    assert caller.rows("getupstreammsgdist", YESTERDAY)
    caller.emulated.control.advance(dt.timedelta(seconds=1))
    assert caller.errcode("getupstreammsg", YESTERDAY) is None


def test_an_ordinary_day_allows_a_thousand_calls_of_each_endpoint(start: Started) -> None:
    """By default the thousand-and-first call of a day to an endpoint is refused."""
    caller = start()
    caller.emulated.control.use_quota("getupstreammsg", 999)
    assert [caller.errcode("getupstreammsg", YESTERDAY) for _ in range(2)] == [None, 45009]
    assert caller.errcode("getupstreammsghour", YESTERDAY) is None


def test_calls_with_a_wrong_token_use_up_no_quota(start: Started) -> None:
    """The token is checked before the quota, so a wrong token costs no quota."""
    caller = start()
    assert caller.errcode("getupstreammsg", YESTERDAY, token="nonsense") == 40014
    assert caller.emulated.control.used("getupstreammsg") == 0


def quota_of(caller: Caller, path: str) -> dict[str, Any]:
    """Return the answer of `/cgi-bin/openapi/quota/get`."""
    return caller.post(f"/cgi-bin/openapi/quota/get?access_token={caller.token}", json={"cgi_path": path}).json()


def test_the_quota_can_be_queried(start: Started) -> None:
    """The quota call returns limit, used and remaining calls, including other programs' calls, and costs no quota."""
    caller = start(quota=5)
    caller.rows("getupstreammsg", YESTERDAY)
    caller.emulated.control.use_quota("getupstreammsg", 2)
    answer = quota_of(caller, "/datacube/getupstreammsg")
    assert list(answer) == ["errcode", "errmsg", "quota", "rate_limit"]
    assert (answer["errcode"], answer["errmsg"]) == (0, "ok")
    assert answer["quota"] == {"daily_limit": 5, "used": 3, "remain": 2}
    assert answer["rate_limit"]["refresh_second"] == 60
    assert quota_of(caller, "/datacube/getupstreammsgdist")["quota"]["remain"] == 5
    assert quota_of(caller, "/datacube/nothing")["errcode"] == 76021
    caller.emulated.control.use_quota("getupstreammsg", 100)
    assert quota_of(caller, "/datacube/getupstreammsg")["quota"]["remain"] == 0


def test_the_rate_limit_applies_per_endpoint_and_minute(start: Started) -> None:
    """45011 applies per endpoint and minute of the emulator's clock, and costs no daily quota."""
    caller = start(rate_limit=2, clock="2026-11-24T12:00:30")
    codes = [caller.errcode("getupstreammsg", YESTERDAY) for _ in range(4)]
    assert codes == [None, None, 45011, 45011]
    assert caller.errcode("getupstreammsgdist", YESTERDAY) is None
    assert caller.emulated.control.used("getupstreammsg") == 2
    caller.emulated.control.advance(dt.timedelta(seconds=30))
    assert caller.errcode("getupstreammsg", YESTERDAY) is None
