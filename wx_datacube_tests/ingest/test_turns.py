"""Turns: open labels are requested again on the days of the catalog, once a day, until they are final.

Add a test here when another rule decides when an open label is requested. What its answers change in the tables is
tested in `warehouse/test_open_labels.py`.
"""

import datetime as dt
from collections import Counter
from pathlib import Path

import pytest

from wx_datacube.catalog.articles import ARTICLE_READING, DAILY_READING, PUBLISHED_ARTICLES
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.warehouse.coverage import State, states
from wx_datacube.warehouse.open_labels import open_labels, turns_due
from wx_datacube_tests.ingesting import Shop, shop

DAY = dt.timedelta(days=1)
FIRST = dt.date(2026, 10, 1)
ARTICLES = (Family.ARTICLES,)
TICKS = [dt.time(8, 30), dt.time(12, 30)]
"""The first and the last tick of a morning."""
DAYS = {1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30}


def tick(it: Shop) -> None:
    """Request what a tick requests now: missing labels and open ones whose turn is due."""
    for endpoints in ([DAILY_READING], [each for each in it.ingest.account.endpoints if each is not DAILY_READING]):
        with it.warehouse.reading_committed() as con:
            turns, found = turns_due(con, "shop", it.now), states(con, it.ingest.account, it.now)
        for endpoint in endpoints:
            missing = {label for label, state in found[endpoint.name].items() if state is State.MISSING}
            if wanted := missing | turns[endpoint.name]:
                it.fetch_missing(endpoint, wanted, run_id=f"{endpoint.name} {it.now}")


def mornings(it: Shop, first: dt.date, days: int) -> None:
    """Let the schedules tick for so many mornings, beginning on `first`."""
    for number in range(days):
        for time in TICKS:
            it.at(dt.datetime.combine(first + number * DAY, time))
            tick(it.with_(publishing=False))
    it.warehouse.publish()


def asked(it: Shop, endpoint: Endpoint) -> dict[dt.date, list[int]]:
    """Return on which days after it each label was requested, for endpoints with one label a call."""
    found: dict[dt.date, list[int]] = {}
    for call in it.emulated.control.calls(endpoint.name):
        assert call.begin == call.end
        found.setdefault(dt.date.fromisoformat(call.begin), []).append(
            (call.at.date() - dt.date.fromisoformat(call.begin)).days
        )
    return found


def growth_arrived_on_the_days_of_the_catalog(grown: Shop) -> None:
    """Each publish date with articles is requested on days 1 to 7, 10, 14, 21 and 30, and never again; others once."""
    found = asked(grown, PUBLISHED_ARTICLES)
    last = grown.now.date()
    for label in (FIRST + number * DAY for number in range((last - FIRST).days)):
        published = bool(grown.emulated.world.rows(PUBLISHED_ARTICLES, label))
        expected = [day for day in sorted(DAYS) if label + day * DAY <= last] if published else [1]
        if not published:
            # An empty answer counts from noon on, so the label is requested by every tick of its first morning.
            assert set(found[label]) == {1}
            continue
        assert found[label] == expected
    assert sum(len(days) == len(DAYS) for days in found.values()) > 2


def no_label_with_figures_was_requested_twice_a_day(grown: Shop) -> None:
    """On each day, no label with figures is requested twice, whoever asks."""
    for endpoint in (PUBLISHED_ARTICLES, ARTICLE_READING):
        calls = Counter(
            (call.at.date(), dt.date.fromisoformat(call.begin)) for call in grown.emulated.control.calls(endpoint.name)
        )
        twice = {label for (_, label), count in calls.items() if count > 1}
        assert all(not grown.emulated.world.rows(endpoint, label) for label in twice)


def articles_older_than_thirty_days_are_final(grown: Shop) -> None:
    """Only publish dates of the last thirty days are open; the others are final in the view."""
    with grown.warehouse.reading_committed() as con:
        found = open_labels(con, "shop", PUBLISHED_ARTICLES)
    assert found
    assert min(found) > grown.now.date() - 30 * DAY
    finals = dict(
        grown.rows(
            "SELECT label, final FROM datacube.coverage WHERE endpoint = 'getarticletotaldetail' AND label < $today",
            today=grown.now.date(),
        )
    )
    assert {label for label, final in finals.items() if not final} == found


def final_articles_have_all_figures_of_the_world(grown: Shop) -> None:
    """The curve of a final article has thirty days, each as in the emulator's world."""
    world = grown.emulated.world
    expected = [
        (row["ref_date"], row["msgid"], each["stat_date"], each["read_user"])
        for number in range(6)
        for row in world.rows(PUBLISHED_ARTICLES, FIRST + number * DAY)
        for each in row["detail_list"]  # type: ignore[union-attr]
    ]
    found = grown.rows(
        "SELECT ref_date::VARCHAR, msgid, stat_date::VARCHAR, read_user"
        " FROM datacube.getarticletotaldetail__detail_list"
        " WHERE ref_date < $last ORDER BY ALL",
        last=FIRST + 6 * DAY,
    )
    assert found == sorted(expected)
    assert grown.rows("SELECT * FROM datacube.revisions") == []


@pytest.mark.long
def test_thirty_six_mornings(tmp_path: Path) -> None:
    """Growth arrives on the days of the catalog, with one call a label and day, until an article is final."""
    with shop(tmp_path, start=FIRST, families=ARTICLES, messages_per_day=100) as it:
        mornings(it, FIRST + DAY, 36)
        growth_arrived_on_the_days_of_the_catalog(it)
        no_label_with_figures_was_requested_twice_a_day(it)
        articles_older_than_thirty_days_are_final(it)
        final_articles_have_all_figures_of_the_world(it)


def test_a_delayed_answer_is_completed_the_next_day(tmp_path: Path) -> None:
    """A delayed label lands, is open, is requested once the next day, and then is final with the whole figures."""
    with shop(tmp_path, start=FIRST, families=ARTICLES, messages_per_day=100, silent_share=0) as it:
        it.emulated.control.set(delayed=True)
        mornings(it, FIRST + DAY, 1)
        assert it.states(DAILY_READING) == {FIRST: State.LANDED}
        with it.warehouse.reading_committed() as con:
            assert open_labels(con, "shop", DAILY_READING) == {FIRST}
        before = len(it.windows(DAILY_READING))
        it.emulated.control.set(delayed=False)
        mornings(it, FIRST + 2 * DAY, 1)

        windows = it.windows(DAILY_READING)[before:]
        assert len(windows) == 2  # the new day, and then the open one, whose turn begins when the new one has landed
        with it.warehouse.reading_committed() as con:
            assert open_labels(con, "shop", DAILY_READING) == frozenset()
        whole = it.emulated.world.rows(DAILY_READING, FIRST)[0]["detail"]["read_user"]  # type: ignore[index,call-overload]
        assert it.rows("SELECT read_user FROM datacube.getbizsummary WHERE ref_date = $day", day=FIRST) == [(whole,)]
        assert it.rows("SELECT count(*) FROM datacube.revisions") == [(0,)]


def test_the_turn_begins_at_noon_if_yesterday_is_late(tmp_path: Path) -> None:
    """As long as yesterday's reading figures aren't final, open labels wait until noon."""
    with shop(tmp_path, start=FIRST, families=ARTICLES, messages_per_day=100, silent_share=0) as it:
        mornings(it, FIRST + DAY, 3)
        it.emulated.control.set(publish_at="14:00")
        next_day = FIRST + 4 * DAY
        with it.warehouse.reading_committed() as con:
            early, noon = (dt.datetime.combine(next_day, dt.time(hour)) for hour in (11, 12))
            assert not any(turns_due(con, "shop", early).values())
            assert turns_due(con, "shop", noon)[PUBLISHED_ARTICLES.name]


@pytest.mark.long
def test_a_week_off_is_made_up_for(tmp_path: Path) -> None:
    """What was missed is requested once on the first morning after: new labels, and one turn for each open label."""
    with shop(tmp_path, start=FIRST, families=ARTICLES, messages_per_day=100, silent_share=0) as it:
        mornings(it, FIRST + DAY, 3)
        before = len(it.windows(PUBLISHED_ARTICLES))
        back = FIRST + 12 * DAY
        mornings(it, back, 1)

        calls = [begin for begin, _ in it.windows(PUBLISHED_ARTICLES)[before:]]
        published = [
            label for label in it.states(PUBLISHED_ARTICLES) if it.emulated.world.rows(PUBLISHED_ARTICLES, label)
        ]
        missed = {str(FIRST + number * DAY) for number in range(3, 12)}
        assert set(calls) == {str(label) for label in published} | missed
        assert State.MISSING not in it.states(PUBLISHED_ARTICLES).values()
        assert all(calls.count(str(label)) == 1 for label in published)


def test_a_delayed_empty_answer_proves_nothing(tmp_path: Path) -> None:
    """An empty answer that says `is_delay` leaves its label missing, also in the afternoon; a later one settles it."""
    with shop(tmp_path, start=FIRST, families=ARTICLES, silent_share=1, delayed=True) as it:
        it.at(dt.datetime.combine(FIRST + DAY, dt.time(15)))
        (late,) = it.fetch_missing(DAILY_READING).labels
        assert late.coverage.state is State.MISSING
        assert "It says that its figures are delayed" in str(late.error)

        it.emulated.control.set(delayed=False)
        (settled,) = it.fetch_missing(DAILY_READING).labels
        assert (settled.coverage.state, settled.coverage.final) == (State.EMPTY, True)
