"""Followers, articles and interface over a real socket: what the eight endpoints answer and when.

Rules that all endpoints share are tested in `test_emulator` with the seven of messages; here are those that could
differ, and what only these families have. `test_delays` has answers that are not final.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from wx_datacube.catalog.articles import ARTICLES_START
from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.emulator.options import OFFLINE
from wx_datacube_tests.emulator_caller import Emulators, Started, newest_published

DAY = dt.timedelta(days=1)
NOON = dt.datetime(2026, 11, 24, 12)
YESTERDAY = dt.date(2026, 11, 23)
OTHERS = [endpoint for endpoint in ENDPOINTS if endpoint.family is not Family.MESSAGES]
ARTICLES = [endpoint for endpoint in OTHERS if endpoint.has_delay]

each_endpoint = pytest.mark.parametrize("endpoint", OTHERS, ids=lambda endpoint: endpoint.name)


@pytest.fixture
def start(emulators: Emulators) -> Iterator[Started]:
    """Starts emulators, by default at noon and without silent days."""
    with ExitStack() as used:
        yield lambda **options: emulators.start(used, **{"clock": NOON, "frozen": True, "silent_share": 0, **options})


@each_endpoint
def test_rows_are_those_of_the_world_over_the_longest_window(start: Started, endpoint: Endpoint) -> None:
    """A window returns the world's rows of all its days, oldest first; one more day is refused with 61501."""
    caller = start()
    end = newest_published(caller.emulated, YESTERDAY - 30 * DAY) if endpoint.grows else YESTERDAY
    begin = end - (endpoint.max_span_days - 1) * DAY
    days = [begin + number * DAY for number in range(endpoint.max_span_days)]
    rows = caller.rows(endpoint.name, begin, end)
    assert rows == [row for day in days for row in caller.emulated.world.rows(endpoint, day)]
    assert {row["ref_date"] for row in rows} == {day.isoformat() for day in days}
    assert caller.errcode(endpoint.name, begin - DAY, end) == 61501
    assert caller.errcode(endpoint.name, NOON.date()) == 61501


@each_endpoint
def test_only_answers_about_articles_say_is_delay(start: Started, endpoint: Endpoint) -> None:
    """The envelope is exactly `{"list":[],"is_delay":false}` for articles and `{"list":[]}` for the others."""
    text = start(start="2026-11-24").call(endpoint.name, YESTERDAY).text
    assert text == ('{"list":[],"is_delay":false}' if endpoint in ARTICLES else '{"list":[]}')


@each_endpoint
def test_yesterday_is_published_after_eight(start: Started, endpoint: Endpoint) -> None:
    """Yesterday has no rows before 08:00, and 61503 with `refuse_unpublished`."""
    caller = start(clock="2026-11-24T07:59:59")
    day = newest_published(caller.emulated)
    caller.emulated.control.set_clock(dt.datetime.combine(day + DAY, dt.time(7, 59, 59)), frozen=True)
    assert caller.rows(endpoint.name, day) == []
    caller.emulated.control.set(refuse_unpublished=True)
    assert caller.errcode(endpoint.name, day) == 61503
    caller.emulated.control.advance(DAY / 86_400)
    assert caller.rows(endpoint.name, day)


@each_endpoint
def test_quotas_and_faults_apply(start: Started, endpoint: Endpoint) -> None:
    """Each endpoint has its own quota, and a fault can be set for it."""
    caller = start(endpoint_quota={endpoint.name: 2}, faults=[f"{endpoint.name}#1=-1"])
    assert [caller.errcode(endpoint.name, YESTERDAY) for _ in range(3)] == [-1, None, 45009]
    assert caller.errcode("getupstreammsg", YESTERDAY) is None


@each_endpoint
def test_one_day_windows_may_return_stray_rows(start: Started, endpoint: Endpoint) -> None:
    """With `stray_rows`, a one-day window also returns older days, none from before the endpoint's history."""
    caller = start(stray_rows=True)
    day = newest_published(caller.emulated)
    rows = caller.rows(endpoint.name, day)
    dates = [dt.date.fromisoformat(row["ref_date"]) for row in rows]
    assert max(endpoint.first_day, day - 700 * DAY) <= min(dates) < max(dates) == day
    assert dates == sorted(dates)
    for other in set(dates):
        found = [row for row in rows if row["ref_date"] == other.isoformat()]
        assert found == caller.emulated.world.rows(endpoint, other, YESTERDAY)
    first = endpoint.first_day
    assert caller.rows(endpoint.name, first) == caller.emulated.world.rows(endpoint, first)


@each_endpoint
def test_history_begins_on_its_first_day_and_may_have_dirty_rows_before(start: Started, endpoint: Endpoint) -> None:
    """Earlier days are empty; with `dirty_rows` they have rows of the usual shape, and later windows don't."""
    caller, first = start(), endpoint.first_day
    assert caller.rows(endpoint.name, first - DAY) == caller.rows(endpoint.name, dt.date(2001, 2, 3)) == []
    caller.emulated.control.set(dirty_rows=True)
    (dirty,) = caller.rows(endpoint.name, first - DAY)
    assert dirty["ref_date"] == (first - DAY).isoformat()
    with_dirty = caller.rows(endpoint.name, first)
    assert with_dirty == [dirty, *caller.emulated.world.rows(endpoint, first)]
    usual = caller.emulated.world.rows(endpoint, newest_published(caller.emulated))
    assert list(dirty) == list(usual[0])
    later = caller.rows(endpoint.name, first + 8 * DAY)
    assert later == caller.emulated.world.rows(endpoint, first + 8 * DAY)


def test_a_stat_date_appears_once_it_is_published(start: Started) -> None:
    """An article's newest `stat_date` is yesterday after 08:00 and the day before until then; there are at most 30."""
    caller = start(token_lifetime=31_536_000)
    day = newest_published(caller.emulated, YESTERDAY - 40 * DAY)
    whole = caller.emulated.world.rows("getarticletotaldetail", day)
    for age in (0, 1, 2, 15, 29, 30, 40):
        for hour, known in ((7, age), (9, age + 1)):
            caller.emulated.control.set_clock(dt.datetime.combine(day + (age + 1) * DAY, dt.time(hour)), frozen=True)
            rows = caller.rows("getarticletotaldetail", day)
            expected = [{**row, "detail_list": row["detail_list"][: min(known, 30)]} for row in whole]
            assert rows == (expected if known else [])
    assert all(len(row["detail_list"]) == 30 for row in whole)


def test_titles_and_addresses_exist_since_march_2026(start: Started) -> None:
    """Answers before 2026-03-03 have neither field, later ones have both, also for older articles."""
    caller = start(clock="2026-03-02T23:59")
    day = newest_published(caller.emulated, dt.date(2026, 2, 27))
    without = ["ref_date", "msgid", "publish_type", "detail_list"]
    assert {tuple(row) for row in caller.rows("getarticletotaldetail", day)} == {tuple(without)}
    caller.emulated.control.set_clock("2026-03-03T00:00", frozen=True)
    rows = caller.rows("getarticletotaldetail", day)
    assert {tuple(row) for row in rows} == {(*without[:3], "title", "content_url", without[3])}
    assert [row["title"] for row in rows] == [
        row["title"] for row in caller.emulated.world.rows("getarticletotaldetail", day)
    ]


def test_answers_have_chinese_as_it_is(start: Started) -> None:
    """Chinese text is UTF-8, not escaped."""
    body = start().call("getbizsummary", YESTERDAY).content
    assert "公众号消息".encode() in body
    assert b"\\u" not in body


@pytest.mark.parametrize("family", list(Family))
def test_a_family_may_be_denied(start: Started, family: Family) -> None:
    """WeChat grants permissions by family: 48001 for all its endpoints and for no other, at no cost in quota."""
    caller = start(denied=[family.value])
    codes = {endpoint.name: caller.errcode(endpoint.name, YESTERDAY) for endpoint in ENDPOINTS}
    assert codes == {each.name: 48001 if each.family is family else None for each in ENDPOINTS}
    assert all(caller.emulated.control.used(each.name) == (each.family is not family) for each in ENDPOINTS)


def test_a_family_and_an_endpoint_may_be_denied_together(start: Started) -> None:
    """Families and endpoints may be mixed."""
    caller = start(denied=["followers", "getbizsummary"])
    denied = {name for name in BY_NAME if caller.errcode(name, YESTERDAY) == 48001}
    assert denied == {"getusersummary", "getusercumulate", "getbizsummary"}


def test_an_endpoint_may_allow_fewer_or_more_days(start: Started) -> None:
    """With `longest_span`, a longer window is refused with 61501; other endpoints keep WeChat's spans."""
    caller = start(longest_span={"getbizsummary": 7, "getarticleread": 30, "getupstreammsgdist": 1})
    for name, days in (("getbizsummary", 7), ("getarticleread", 30), ("getupstreammsgdist", 1), ("getusersummary", 7)):
        assert caller.errcode(name, YESTERDAY - (days - 1) * DAY, YESTERDAY) is None
        assert caller.errcode(name, YESTERDAY - days * DAY, YESTERDAY) == 61501


@pytest.mark.parametrize("name", OFFLINE)
def test_the_six_older_article_endpoints_answer_47009(start: Started, name: str) -> None:
    """They were replaced in November 2025."""
    assert start().errcode(name, YESTERDAY) == 47009


def test_followers_may_have_an_unknown_channel(start: Started) -> None:
    """With `unknown_codes`, listed days have channel 999; the sums and the followers of articles stay as they are."""
    caller = start(unknown_codes=True)
    world = caller.emulated.world
    rows = caller.rows("getusersummary", YESTERDAY)
    usual = world.rows("getusersummary", YESTERDAY)
    assert rows[-1]["user_source"] == 999
    assert rows[-1]["new_user"] > 0
    for figure in ("new_user", "cancel_user"):
        assert sum(row[figure] for row in rows) == sum(row[figure] for row in usual)
    articles = [[row for row in each if row["user_source"] == 57] for each in (rows, usual)]
    assert articles[0] == articles[1]
    assert caller.rows("getusercumulate", YESTERDAY) == world.rows("getusercumulate", YESTERDAY)


@pytest.mark.parametrize("name", ["getbizsummary", "getarticleread", "getarticletotaldetail"])
def test_readers_may_have_an_unknown_scene(start: Started, name: str) -> None:
    """With `unknown_codes`, every list of scenes ends with one that WeChat doesn't document."""
    caller = start(unknown_codes=True)
    day = newest_published(caller.emulated)
    rows = caller.rows(name, day)
    details = [row["detail"] for row in rows if "detail" in row] or [
        each for row in rows for each in row["detail_list"]
    ]
    assert details
    for detail in details:
        first, *others, last = detail["read_user_source"]
        assert first["scene_desc"] == "全部"
        assert last["scene_desc"] == "小程序"
        assert 0 < last["user_count"] <= first["user_count"]
        assert "小程序" not in {source["scene_desc"] for source in others}


def test_a_restated_day_returns_new_figures_of_every_family(start: Started) -> None:
    """After a restatement the answers of the day are the world's new ones."""
    caller = start()
    day = newest_published(caller.emulated)
    daily = [endpoint.name for endpoint in OTHERS if endpoint.name != "getusercumulate"]
    before = {name: caller.rows(name, day) for name in daily}
    caller.emulated.control.restate(day, factor=1.5)
    for name, rows in before.items():
        assert caller.rows(name, day) == caller.emulated.world.rows(name, day, YESTERDAY) != rows


def test_an_emulator_lists_all_its_endpoints(start: Started) -> None:
    """`endpoints` has the fifteen names of the catalog."""
    emulated = start().emulated
    assert emulated.endpoints == tuple(BY_NAME)
    assert len(emulated.endpoints) == 15


def test_articles_begin_in_november_2025(start: Started) -> None:
    """The four endpoints answer with an empty list for 2025-10-31 and with rows from the first article on."""
    caller = start(clock="2025-12-01T12:00")
    for endpoint in ARTICLES:
        assert caller.call(endpoint.name, ARTICLES_START - DAY).json() == {"list": [], "is_delay": False}
        assert any(caller.rows(endpoint.name, ARTICLES_START + number * DAY) for number in range(7))
