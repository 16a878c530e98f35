"""Windows: each label is in one window, none is too long, their number is minimal, and widening costs nothing.

Add a test here when an endpoint limits what one call may cover. An exhaustive search checks that the number of
windows is minimal. Which labels are requested, and in which order calls are made, is in `test_ingest.py` and
`test_refusals.py`.
"""

import datetime as dt
from dataclasses import replace
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Period
from wx_datacube.catalog.periods import due_labels, gaps, label_of
from wx_datacube.ingest.windows import Window, count_windows, plan_windows

DAY = dt.timedelta(days=1)
MESSAGES = BY_NAME["getupstreammsg"]
HISTORY = "2014-12-01", "2026-11-24"
CALLS_FOR_HISTORY = {
    "getupstreammsg": 626,
    "getupstreammsghour": 4376,
    "getupstreammsgweek": 125,
    "getupstreammsgmonth": 131,
    "getupstreammsgdist": 292,
    "getupstreammsgdistweek": 125,
    "getupstreammsgdistmonth": 131,
}
"""Calls for a history with messages on every day (rule 2 of the design); one call per label would make 14,664."""

SPANS = st.sampled_from([1, 7, 15, 30])
PERIODS = st.sampled_from(Period)


def days(*numbers: int) -> list[dt.date]:
    """Return days of November 2026 by number."""
    return [dt.date(2026, 11, 1) + (number - 1) * DAY for number in numbers]


def an_endpoint(period: Period, span: int) -> Endpoint:
    """Return an endpoint of any period and span."""
    return replace(MESSAGES, period=period, spans=(span,))


@st.composite
def labels(draw: st.DrawFn, period: Period, most: int) -> list[dt.date]:
    """Draw distinct labels of a period in any order, dense enough that windows can hold several."""
    reach = {Period.DAY: 60, Period.WEEK: 150, Period.MONTH: 500}[period]
    numbers = draw(st.lists(st.integers(0, reach), max_size=most))
    return list(dict.fromkeys(label_of(dt.date(2019, 12, 2) + number * DAY, period) for number in numbers))


@lru_cache(100_000)
def fewest(left: tuple[dt.date, ...], span: int) -> int:
    """Return the least number of windows over sorted labels, trying every begin of the first window."""
    if not left:
        return 0
    ends = {left[0] - back * DAY + (span - 1) * DAY for back in range(span)}
    return 1 + min(fewest(tuple(label for label in left if label > end), span) for end in ends)


@given(st.data(), PERIODS, SPANS)
def test_windows_are_counted_without_their_labels(data: st.DataObject, period: Period, span: int) -> None:
    """Counting windows from the gaps alone, as `status` does, gives the number that is planned."""
    endpoint, asked = an_endpoint(period, span), sorted(data.draw(labels(period, 40)))
    due = due_labels(period, asked[0], dt.date(2026, 11, 24)) if asked else []

    assert count_windows(endpoint, gaps(asked, due)) == len(plan_windows(endpoint, asked))


@given(st.data(), PERIODS, SPANS)
def test_windows_cover_every_label_exactly_once(data: st.DataObject, period: Period, span: int) -> None:
    """Each wanted label is in `asked` of one window, and within the dates of that window only."""
    wanted, stored = data.draw(labels(period, 40)), data.draw(labels(period, 40))
    windows = plan_windows(an_endpoint(period, span), wanted, stored)

    assert sorted(label for window in windows for label in window.asked) == sorted(wanted)
    for label in wanted:
        assert [label in window.asked for window in windows if window.begin <= label <= window.end] == [True]


@given(st.data(), PERIODS, SPANS, st.booleans())
def test_no_window_is_longer_than_its_endpoint_allows(
    data: st.DataObject, period: Period, span: int, one_label: bool
) -> None:
    """`end - begin < span`, widened or not, and begin, asked labels and end are in this order."""
    wanted, stored = data.draw(labels(period, 40)), data.draw(labels(period, 40))
    most = 1 if one_label else span
    for window in plan_windows(an_endpoint(period, span), wanted, stored, span=most):
        assert window.days == (window.end - window.begin).days + 1 <= most
        assert window.begin <= window.asked[0] <= window.asked[-1] == window.end
        assert list(window.asked) == sorted(window.asked)


@given(st.data(), PERIODS, SPANS)
def test_an_exhaustive_search_finds_no_smaller_set_of_windows(data: st.DataObject, period: Period, span: int) -> None:
    """No other set of windows over a few labels is smaller."""
    wanted = data.draw(labels(period, 9))

    assert len(plan_windows(an_endpoint(period, span), wanted, ())) == fewest(tuple(sorted(wanted)), span)


@given(st.data(), PERIODS, SPANS)
def test_widening_adds_stored_labels_only_and_costs_nothing(data: st.DataObject, period: Period, span: int) -> None:
    """Widening adds the stored labels just before the oldest asked one, up to the span or a gap."""
    endpoint = an_endpoint(period, span)
    wanted, stored = data.draw(labels(period, 30)), data.draw(labels(period, 60))
    bare, widened = plan_windows(endpoint, wanted), plan_windows(endpoint, wanted, stored)

    assert [(window.asked, window.end) for window in widened] == [(window.asked, window.end) for window in bare]
    for window in widened:
        begin = window.asked[0]
        while (before := label_of(begin - DAY, period)) in stored and (window.end - before).days < span:
            begin = before
        assert window.begin == begin


@given(st.data(), PERIODS, SPANS)
def test_the_newest_labels_come_first(data: st.DataObject, period: Period, span: int) -> None:
    """Windows are planned newest first, as people look at the newest figures."""
    ends = [window.end for window in plan_windows(an_endpoint(period, span), data.draw(labels(period, 40)))]

    assert ends == sorted(ends, reverse=True)


@given(st.data(), PERIODS, SPANS)
def test_a_span_of_one_day_plans_each_label_alone(data: st.DataObject, period: Period, span: int) -> None:
    """With a span of one day each window is one label, which every edition of WeChat's page allows."""
    wanted, stored = data.draw(labels(period, 20)), data.draw(labels(period, 20))
    windows = plan_windows(an_endpoint(period, span), wanted, stored, span=1)

    assert windows == [Window(label, label, (label,)) for label in sorted(wanted, reverse=True)]
    assert all(window.days == 1 for window in windows)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])
def test_the_whole_history_takes_the_calls_of_the_design(endpoint: Endpoint) -> None:
    """2014-12-01 to 2026-11-23, with messages on every day, takes the design's number of calls per endpoint."""
    start, today = map(dt.date.fromisoformat, HISTORY)

    assert len(plan_windows(endpoint, due_labels(endpoint.period, start, today))) == CALLS_FOR_HISTORY[endpoint.name]


def test_the_whole_history_takes_5806_calls_for_14664_labels() -> None:
    """The seven endpoints together take 5,806 calls, instead of one per label."""
    start, today = map(dt.date.fromisoformat, HISTORY)

    assert sum(len(due_labels(endpoint.period, start, today)) for endpoint in ENDPOINTS) == 14_664
    assert sum(CALLS_FOR_HISTORY.values()) == 5_806


@pytest.mark.parametrize(("name", "labels_seen"), [("getupstreammsg", 7), ("getupstreammsgdist", 15)])
def test_the_window_of_yesterday_includes_a_look_back(name: str, labels_seen: int) -> None:
    """If all earlier days are stored, yesterday's call covers 7 days of messages and 15 of the distribution."""
    known = due_labels(Period.DAY, HISTORY_START, dt.date(2026, 11, 23))
    (window,) = plan_windows(BY_NAME[name], [dt.date(2026, 11, 23)], known)

    assert (window.end - window.begin).days + 1 == labels_seen
    assert window.asked == (window.end,)


def test_the_window_of_the_newest_week_covers_five_mondays() -> None:
    """Thirty days hold five Mondays, so the newest week's call covers four older weeks too."""
    known = due_labels(Period.WEEK, HISTORY_START, dt.date(2026, 11, 16))
    (window,) = plan_windows(BY_NAME["getupstreammsgweek"], [dt.date(2026, 11, 16)], known)

    assert (window.begin.isoformat(), window.end.isoformat()) == ("2026-10-19", "2026-11-16")


def test_a_window_holds_two_months_only_over_february() -> None:
    """Two months fit into 30 days only if the first has at most 29 days."""
    leap, common = ([dt.date(year, 2, 1), dt.date(year, 3, 1)] for year in (2024, 2026))
    ordinary = [dt.date(2026, 4, 1), dt.date(2026, 5, 1)]
    month = BY_NAME["getupstreammsgmonth"]

    assert [len(plan_windows(month, pair)) for pair in (leap, common, ordinary)] == [1, 1, 2]


def test_a_gap_is_not_widened_across() -> None:
    """A window isn't widened across a label that isn't stored."""
    (window,) = plan_windows(MESSAGES, days(6), days(1, 2, 3, 5))

    assert [window.begin, window.end] == days(5, 6)


def test_nothing_before_the_first_stored_label_is_touched() -> None:
    """A window isn't widened before the start of history, as nothing before it is stored."""
    (window,) = plan_windows(MESSAGES, [HISTORY_START + DAY], [HISTORY_START])

    assert window.begin == HISTORY_START


def test_a_duplicate_label_is_requested_once() -> None:
    """Duplicate labels are requested once."""
    assert plan_windows(MESSAGES, [*days(3, 2), *days(2, 3)]) == [Window(*days(2, 3), tuple(days(2, 3)))]


def test_no_labels_need_no_call() -> None:
    """Without labels there is no window."""
    assert plan_windows(MESSAGES, [], days(1, 2)) == []


def _days(*numbers: int) -> list[dt.date]:
    return [dt.date(2026, 11, number) for number in numbers]


def test_an_isolated_label_has_a_window_of_its_own() -> None:
    """An isolated label is requested alone, and no other window covers it, not even a widened one."""
    daily = BY_NAME["getupstreammsg"]

    assert plan_windows(daily, _days(1, 2, 3, 4, 5, 6), isolated=_days(4)) == [
        Window(*_days(5, 6), tuple(_days(5, 6))),
        Window(*_days(4, 4), tuple(_days(4))),
        Window(*_days(1, 3), tuple(_days(1, 2, 3))),
    ]
    assert plan_windows(daily, _days(4, 9), _days(2, 3, 5, 6, 7, 8), isolated=_days(4, 6)) == [
        Window(*_days(7, 9), tuple(_days(9))),
        Window(*_days(4, 4), tuple(_days(4))),
    ]


@pytest.mark.parametrize("name", ["getupstreammsg", "getupstreammsghour", "getupstreammsgdist"])
def test_windows_of_an_unbroken_range_are_counted_as_planned(name: str) -> None:
    """For every length of an unbroken range, as many windows are counted as are planned."""
    for length in range(1, 45):
        labels = [dt.date(2026, 9, 1) + dt.timedelta(days=number) for number in range(length)]
        assert count_windows(BY_NAME[name], [(labels[0], labels[-1])]) == len(plan_windows(BY_NAME[name], labels))
