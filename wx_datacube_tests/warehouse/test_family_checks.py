"""Checks of followers, articles and interface: what each finds, what it names for a refresh, and what resolves it.

Add a test here when a check judges figures of these families, or of nested tables. Checks of messages are in
`test_checks.py` and `test_trust.py`.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest

from wx_datacube.catalog.articles import ARTICLE_READING, ARTICLE_SHARING, DAILY_READING, PUBLISHED_ARTICLES
from wx_datacube.catalog.endpoints import ENDPOINTS, RELATIONS
from wx_datacube.catalog.followers import DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS, HOURLY_CALLBACKS
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.catalog.periods import due_labels
from wx_datacube.config.settings import Account
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.statistics import answer, window_of
from wx_datacube.emulator.world import World
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.warehouse.checks import CHECKS, CheckContext, Finding, RemedyAction, checks_of
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.ledger import Call, store_calls
from wx_datacube.warehouse.schema import create_statements
from wx_datacube_tests.answers import DAY, LATER, Row, answered, day
from wx_datacube_tests.findings import findings_of

BY_CHECK = {check.name: check for check in CHECKS}
SUMS = {
    "followers_add_up": [FOLLOWERS_TOTAL],
    "callbacks_add_up": [HOURLY_CALLBACKS],
    "account_readers_cover_articles": [DAILY_READING],
}
MEANINGS = {
    "article_figures_do_not_shrink": [PUBLISHED_ARTICLES],
    "reads_by_scene_are_known": [DAILY_READING, ARTICLE_READING, PUBLISHED_ARTICLES],
    "rates_are_shares": [PUBLISHED_ARTICLES],
}
EVERYWHERE = ["keys_are_unique", "codes_and_fields_are_known"]
Found = Callable[..., list[Finding]]


@pytest.fixture
def con() -> Iterator[Connection]:
    """Provide an empty warehouse in memory, nested tables included."""
    with duckdb.connect(config={"threads": 1}) as con:
        for statement in create_statements():
            if not statement.startswith("COMMENT"):
                con.execute(statement)
        yield con


@pytest.fixture
def found(con: Connection) -> Found:
    """Return a function that runs a check for an endpoint, and shows what its findings say."""

    def find(name: str, endpoint: Endpoint) -> list[Finding]:
        account = Account("shop", families=tuple(Family))
        return findings_of(BY_CHECK[name], CheckContext(con, account, LATER), endpoint)

    return find


def totals(*users: int, first: int = 3) -> list[Row]:
    """Build the rows of `getusercumulate` of consecutive days."""
    return [
        {"ref_date": str(day(number)), "user_source": 0, "cumulate_user": count}
        for number, count in enumerate(users, first)
    ]


def joined(date: dt.date, new: int, lost: int, source: int = 0) -> Row:
    """Build a row of `getusersummary`."""
    return {"ref_date": str(date), "user_source": source, "new_user": new, "cancel_user": lost}


def calls_row(date: dt.date, calls: int, failures: int = 0, slowest: int = 9, **others: Any) -> Row:
    """Build a row of callbacks of a day, or with `ref_hour` of an hour."""
    figures = {"callback_count": calls, "fail_count": failures, "total_time_cost": 50, "max_time_cost": slowest}
    return {"ref_date": str(date), **others, **figures}


def scenes(readers: int, scene: str = "全部") -> list[Row]:
    """Build a list of readers by scene."""
    return [{"scene_desc": scene, "user_count": readers}]


def account_row(date: dt.date, readers: int, **others: Any) -> Row:
    """Build a row of `getbizsummary`."""
    figures = ("share_user", "zaikan_user", "like_user", "comment_count", "collection_user")
    return {"ref_date": str(date), "detail": {"read_user": readers, **dict.fromkeys(figures, 0)} | others}


def reading_row(date: dt.date, readers: int, msgid: str = "2247483650_1", **others: Any) -> Row:
    """Build a row of `getarticleread`."""
    return {"ref_date": str(date), "msgid": msgid, "detail": {"read_user": readers} | others}


def stat(date: dt.date, readers: int = 5, **others: Any) -> Row:
    """Build the figures of an article up to a day."""
    figures = ("share_user", "zaikan_user", "like_user", "comment_count", "collection_user")
    return {"stat_date": str(date), "read_user": readers, **dict.fromkeys(figures, 1)} | others


def article(date: dt.date, *days: Row, msgid: str = "2247483650_1", **others: Any) -> Row:
    """Build a row of `getarticletotaldetail`."""
    return {"ref_date": str(date), "msgid": msgid, "publish_type": 0, "detail_list": list(days)} | others


def delayed(endpoint: Endpoint, date: dt.date, *rows: Row) -> Call:
    """Build a call whose answer says `is_delay`."""
    return answered(endpoint, date, response=json.dumps({"list": rows, "is_delay": True}, ensure_ascii=False))


def shown(findings: list[Finding]) -> list[tuple[str, str]]:
    """Return date and text of each finding."""
    return [(each.ref_date, str(each.what)) for each in findings]


def asked(findings: list[Finding]) -> list[tuple[str, str, str]]:
    """Return what each finding names for a refresh."""
    return [(each.endpoint, each.begin, each.end) for each in findings]


# --- all checks -------------------------------------------------------------------------------------------------


def test_each_check_concerns_its_endpoints_and_has_a_remedy() -> None:
    """Sums are healed by a refresh; if an answer contradicts WeChat's page, another answer does it too: tell us."""
    for name, endpoints in (SUMS | MEANINGS).items():
        check = BY_CHECK[name]
        assert [each for each in ENDPOINTS if check in checks_of(each)] == endpoints
        assert not check.is_error
        assert check.remedy.action is (RemedyAction.REFRESH if name in SUMS else RemedyAction.NOTHING)
        assert ("doctor --bundle" in str(check.remedy.advice)) == (name in MEANINGS)
    assert all(BY_CHECK[name] in checks_of(each) for name in EVERYWHERE for each in ENDPOINTS)


@pytest.mark.parametrize("options", [{}, {"delay_until": dt.time(16)}], ids=["final", "delayed"])
def test_the_emulators_world_passes_every_check(con: Connection, found: Found, options: dict[str, Any]) -> None:
    """Sixty days of all families, as the emulator has them, pass every check; delayed figures are at most notes."""
    store_world(con, Options(messages_per_day=20, **options), days=60)

    wrong = {
        (check.name, endpoint.name): shown(findings)
        for endpoint in ENDPOINTS
        for check in checks_of(endpoint)
        if check.name not in ("due_labels_are_there", "published_file_is_current")
        if (findings := [each for each in found(check.name, endpoint) if not each.informational])
    }
    assert wrong == {}
    tables = [table.name for table in RELATIONS]
    assert [each for each in tables if not con.execute(f"SELECT 1 FROM datacube.{each} LIMIT 1").fetchall()] == []


def store_world(con: Connection, options: Options, days: int, now: dt.datetime = LATER) -> None:
    """Store what the emulator answers for the newest days of every endpoint."""
    world = World(messages_per_day=options.messages_per_day, silent_share=0)
    calls = []
    for endpoint in ENDPOINTS:
        for window in plan_windows(endpoint, due_labels(endpoint.period, (now - days * DAY).date(), now.date())):
            dates: dict[str, object] = {"begin_date": str(window.begin), "end_date": str(window.end)}
            response = answer(window_of(endpoint, dates, now.date(), options), world, now, options)
            calls.append(answered(endpoint, window.begin, window.end, at=now, asked=window.asked, response=response))
    store_calls(con, calls)


# --- followers --------------------------------------------------------------------------------------------------


def test_followers_that_do_not_add_up_are_found(con: Connection, found: Found) -> None:
    """The finding has both numbers and names the older endpoint; if that is confirmed, it names the other one."""
    store_calls(con, [answered(DAILY_FOLLOWERS, day(4), None, joined(day(4), 5, 2), joined(day(4), 4, 1, 30))])
    store_calls(con, [answered(FOLLOWERS_TOTAL, day(3), day(4), *totals(100, 107))])
    findings = found("followers_add_up", FOLLOWERS_TOTAL)
    assert shown(findings) == [("2026-11-04", "getusercumulate says +7 followers, getusersummary +6")]
    assert asked(findings) == [("getusersummary", "2026-11-04", "2026-11-04")]

    store_calls(con, [answered(DAILY_FOLLOWERS, day(4), None, joined(day(4), 5, 2), joined(day(4), 4, 1, 30))])
    assert asked(found("followers_add_up", FOLLOWERS_TOTAL)) == [("getusercumulate", "2026-11-03", "2026-11-04")]

    store_calls(con, [answered(FOLLOWERS_TOTAL, day(3), day(4), *totals(100, 106), refresh=True)])
    assert found("followers_add_up", FOLLOWERS_TOTAL) == []


def test_a_wrong_total_is_asked_for_with_its_neighbour(con: Connection, found: Found) -> None:
    """If the total of the day before is the oldest of the three answers, both totals are to be requested again."""
    store_calls(con, [answered(FOLLOWERS_TOTAL, day(3), None, *totals(100))])
    store_calls(con, [answered(DAILY_FOLLOWERS, day(4), None, joined(day(4), 0, 3))])
    store_calls(con, [answered(FOLLOWERS_TOTAL, day(4), None, *totals(100, first=4))])

    findings = found("followers_add_up", FOLLOWERS_TOTAL)
    assert shown(findings) == [("2026-11-04", "getusercumulate says +0 followers, getusersummary -3")]
    assert asked(findings) == [("getusercumulate", "2026-11-03", "2026-11-04")]


@pytest.mark.parametrize(
    ("at", "number"),
    [(LATER, 1), (dt.datetime(2026, 11, 5, 9), 0)],
    ids=["settled", "in the morning"],
)
def test_a_day_without_follower_rows_counts_once_it_is_settled(
    con: Connection, found: Found, at: dt.datetime, number: int
) -> None:
    """An empty, settled answer says that nobody came or left; one in the morning says nothing."""
    store_calls(con, [answered(FOLLOWERS_TOTAL, day(3), day(4), *totals(100, 101), at=LATER)])
    store_calls(con, [answered(DAILY_FOLLOWERS, day(4), None, at=at)])

    assert len(found("followers_add_up", FOLLOWERS_TOTAL)) == number


def test_missing_days_of_followers_are_not_compared(con: Connection, found: Found) -> None:
    """Days without a total on the day before, and days that `getusersummary` doesn't have, are not compared."""
    store_calls(con, [answered(FOLLOWERS_TOTAL, day(3), day(9), *totals(100, 101), *totals(500, first=6))])
    store_calls(con, [answered(DAILY_FOLLOWERS, day(6), None, joined(day(6), 1, 0))])

    assert found("followers_add_up", FOLLOWERS_TOTAL) == []


# --- interface --------------------------------------------------------------------------------------------------


def test_callbacks_that_do_not_add_up_are_found(con: Connection, found: Found) -> None:
    """Calls and failures are summed, times compared by the longest; one finding a day names the older endpoint."""
    hours = [calls_row(day(4), 3, 1, ref_hour=900), calls_row(day(4), 4, 0, 8, ref_hour=1000)]
    store_calls(con, [answered(DAILY_CALLBACKS, day(4), None, calls_row(day(4), 8, 2, 10))])
    store_calls(con, [answered(HOURLY_CALLBACKS, day(4), None, *hours)])
    findings = found("callbacks_add_up", HOURLY_CALLBACKS)
    what = "the day has 8 calls, the hours 7; 2 failures, the hours 1; at most 10 ms, the hours 9"
    assert shown(findings) == [("2026-11-04", what)]
    assert asked(findings) == [("getinterfacesummary", "2026-11-04", "2026-11-04")]

    store_calls(con, [answered(DAILY_CALLBACKS, day(4), None, calls_row(day(4), 7, 1, 10), refresh=True)])
    findings = found("callbacks_add_up", HOURLY_CALLBACKS)
    assert shown(findings) == [("2026-11-04", "the day has at most 10 ms, the hours 9")]
    assert asked(findings) == [("getinterfacesummaryhour", "2026-11-04", "2026-11-04")]

    hours[0]["max_time_cost"] = 10
    store_calls(con, [answered(HOURLY_CALLBACKS, day(4), None, *hours, refresh=True)])
    assert found("callbacks_add_up", HOURLY_CALLBACKS) == []


def test_callbacks_are_compared_where_both_are_landed(con: Connection, found: Found) -> None:
    """A day with callbacks and no hours is not compared, nor are hours without their day."""
    store_calls(con, [answered(DAILY_CALLBACKS, day(3), day(4), calls_row(day(4), 8))])
    store_calls(con, [answered(HOURLY_CALLBACKS, day(3), None, calls_row(day(3), 8, ref_hour=0))])

    assert found("callbacks_add_up", HOURLY_CALLBACKS) == []


# --- articles ---------------------------------------------------------------------------------------------------


def test_an_article_with_more_readers_than_the_account_is_found(con: Connection, found: Found) -> None:
    """The account's readers of a day are at least those of its most-read article; days on one side don't count."""
    rows = [reading_row(day(4), 9), reading_row(day(4), 12, "2247483650_2")]
    store_calls(con, [answered(ARTICLE_READING, day(4), None, *rows)])
    assert found("account_readers_cover_articles", DAILY_READING) == []
    store_calls(con, [answered(DAILY_READING, day(4), day(5), account_row(day(4), 11), account_row(day(5), 0))])
    findings = found("account_readers_cover_articles", DAILY_READING)
    assert shown(findings) == [
        ("2026-11-04", "getbizsummary has 11 readers of everything, getarticleread 12 of one article")
    ]
    assert asked(findings) == [("getarticleread", "2026-11-04", "2026-11-04")]
    assert not findings[0].informational

    store_calls(con, [answered(DAILY_READING, day(4), None, account_row(day(4), 12), refresh=True)])
    assert found("account_readers_cover_articles", DAILY_READING) == []


@pytest.mark.parametrize("late", [DAILY_READING, ARTICLE_READING], ids=lambda each: each.name)
def test_delayed_readers_are_notes_only(con: Connection, found: Found, late: Endpoint) -> None:
    """If one of the two answers said `is_delay`, its figures may be too low, and the finding fails no check."""
    rows = {DAILY_READING.name: account_row(day(4), 11), ARTICLE_READING.name: reading_row(day(4), 12)}
    for endpoint in (DAILY_READING, ARTICLE_READING):
        row = rows[endpoint.name]
        call = delayed(endpoint, day(4), row) if endpoint is late else answered(endpoint, day(4), None, row)
        store_calls(con, [call])
    assert [each.informational for each in found("account_readers_cover_articles", DAILY_READING)] == [True]
    store_calls(con, [answered(late, day(4), None, rows[late.name])])

    assert [each.informational for each in found("account_readers_cover_articles", DAILY_READING)] == [False]


def test_article_figures_that_shrink_are_found(con: Connection, found: Found) -> None:
    """One finding an article names the first figure that fell, and counts the others; a clean refresh heals it."""
    fallen = [stat(day(4), 9, share_user=4), stat(day(5), 7, share_user=3), stat(day(6), 6, share_user=2)]
    steady = article(day(4), stat(day(4), 1), stat(day(5), 1), msgid="2247483650_2")
    store_calls(con, [answered(PUBLISHED_ARTICLES, day(4), None, article(day(4), *fallen), steady)])
    findings = found("article_figures_do_not_shrink", PUBLISHED_ARTICLES)
    assert shown(findings) == [("2026-11-04", "2247483650_1: read_user 9 -> 7 on 2026-11-05, and 3 more")]
    assert [each.informational for each in findings] == [False]

    grown = article(day(4), stat(day(4), 9), stat(day(5), 9), stat(day(6), 10))
    store_calls(con, [answered(PUBLISHED_ARTICLES, day(4), None, grown, steady, refresh=True)])
    assert found("article_figures_do_not_shrink", PUBLISHED_ARTICLES) == []


@pytest.mark.parametrize("figure", ["read_user", "share_user", "read_subscribe_user"])
def test_every_cumulative_figure_is_compared(con: Connection, found: Found, figure: str) -> None:
    """A cumulative figure that no reader can take back must not fall; likes, rates and times may."""
    first: Row = {"read_finish_rate": 0.9, "read_avg_activetime": 2.5, figure: 6}
    days = [stat(day(4), like_user=9) | first, stat(day(5), read_finish_rate=0.1, like_user=8) | {figure: 5}]
    store_calls(con, [answered(PUBLISHED_ARTICLES, day(4), None, article(day(4), *days))])

    (finding,) = found("article_figures_do_not_shrink", PUBLISHED_ARTICLES)
    assert str(finding.what).endswith(f": {figure} 6 -> 5 on 2026-11-05")


def test_delayed_figures_that_shrink_are_notes_only(con: Connection, found: Found) -> None:
    """The newest figures of a delayed answer may be below those of the day before."""
    store_calls(con, [delayed(PUBLISHED_ARTICLES, day(4), article(day(4), stat(day(4), 9), stat(day(5), 7)))])

    findings = found("article_figures_do_not_shrink", PUBLISHED_ARTICLES)
    assert [(str(each.what), each.informational) for each in findings] == [
        ("2247483650_1: read_user 9 -> 7 on 2026-11-05", True)
    ]


ODD = "小程序"


@pytest.mark.parametrize(
    ("endpoint", "make", "of"),
    [
        (DAILY_READING, lambda found: account_row(day(4), 5, read_user_source=found), ""),
        (ARTICLE_READING, lambda found: reading_row(day(4), 5, read_user_source=found), " of 2247483650_1"),
        (PUBLISHED_ARTICLES, lambda found: article(day(4), stat(day(4), read_user_source=found)), " of 2247483650_1"),
    ],
    ids=["account", "article", "article by day"],
)
def test_unknown_scenes_and_wrong_totals_are_found(
    con: Connection, found: Found, endpoint: Endpoint, make: Callable[[list[Row]], Row], of: str
) -> None:
    """A scene that the catalog doesn't have is a finding, and so is a total that isn't `read_user`."""
    store_calls(con, [answered(endpoint, day(4), None, make(scenes(4) + scenes(1, ODD)))])
    findings = found("reads_by_scene_are_known", endpoint)
    assert sorted(shown(findings)) == [
        ("2026-11-04", f"scene_desc {ODD} in 1 rows since 2026-11-04"),
        ("2026-11-04", f"全部 4, read_user 5{of}"),
    ]
    assert not any(each.informational for each in findings)

    store_calls(con, [answered(endpoint, day(4), None, make(scenes(5) + scenes(2, "朋友圈")), refresh=True)])
    assert found("reads_by_scene_are_known", endpoint) == []


def test_readers_without_a_total_pass(con: Connection, found: Found) -> None:
    """Without the row of the total, or without any scene, nothing is compared."""
    rows = [account_row(day(4), 5, read_user_source=scenes(2, "推荐")), account_row(day(5), 5)]
    store_calls(con, [answered(DAILY_READING, day(4), day(5), *rows)])

    assert found("reads_by_scene_are_known", DAILY_READING) == []


def test_rates_above_one_are_found(con: Connection, found: Found) -> None:
    """Rates are shares from 0 to 1; a finding a figure says how large it gets, since WeChat may send per cent."""
    jumps = [{"position": 1, "rate": 0.0}, {"position": 5, "rate": 1.5}]
    odd = [stat(day(4), read_delivery_rate=1, read_finish_rate=45.5), stat(day(5), read_finish_rate=50.25)]
    odd[1]["read_jump_position"] = jumps
    store_calls(con, [answered(PUBLISHED_ARTICLES, day(4), None, article(day(4), *odd))])
    assert shown(found("rates_are_shares", PUBLISHED_ARTICLES)) == [
        ("2026-11-04", "rate up to 1.5 in 1 rows since 2026-11-04"),
        ("2026-11-04", "read_finish_rate up to 50.25 in 2 rows since 2026-11-04"),
    ]

    clean = [stat(day(4), read_finish_rate=0.455), stat(day(5), read_finish_rate=0, read_jump_position=jumps[:1])]
    store_calls(con, [answered(PUBLISHED_ARTICLES, day(4), None, article(day(4), *clean), refresh=True)])
    assert found("rates_are_shares", PUBLISHED_ARTICLES) == []


# --- nested tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda odd: article(day(4), msgid="a_1") | odd, None),
        (lambda odd: article(day(4), stat(day(4)), stat(day(4)) | odd), "$.list[0].detail_list[1]"),
        (
            lambda odd: article(day(4), stat(day(4), read_user_source=[*scenes(5), *scenes(5)])) | odd,
            "$.list[0].detail_list[0].read_user_source[1]",
        ),
    ],
    ids=["article", "day", "scene"],
)
def test_duplicate_keys_in_nested_lists_are_found(
    con: Connection, found: Found, make: Callable[[Row], Row], path: str | None
) -> None:
    """A key that occurs twice in a list, nested or not, is a finding with its place until a clean answer."""
    rows = [make({}), make({})] if path is None else [make({})]
    store_calls(con, [answered(PUBLISHED_ARTICLES, day(4), None, *rows)])
    (finding,) = found("keys_are_unique", PUBLISHED_ARTICLES)
    assert (finding.ref_date, str(finding.what).startswith(f"{path} {{" if path else "{")) == ("2026-11-04", True)
    store_calls(con, [answered(PUBLISHED_ARTICLES, day(4), None, article(day(4), stat(day(4))), refresh=True)])

    assert found("keys_are_unique", PUBLISHED_ARTICLES) == []


def test_keys_twice_in_a_nested_table_are_found(con: Connection, found: Found) -> None:
    """A key that is twice in a nested table is a finding."""
    store_calls(con, [answered(DAILY_READING, day(4), None, account_row(day(4), 5, read_user_source=scenes(5)))])
    con.execute("INSERT INTO datacube.getbizsummary__read_user_source FROM datacube.getbizsummary__read_user_source")

    assert shown(found("keys_are_unique", DAILY_READING)) == [
        ("2026-11-04", "2 times in getbizsummary__read_user_source")
    ]


NEW = {"mood": 1}


@pytest.mark.parametrize(
    ("endpoint", "odd"),
    [
        (DAILY_FOLLOWERS, joined(day(4), 1, 0) | NEW),
        (FOLLOWERS_TOTAL, totals(1, first=4)[0] | NEW),
        (DAILY_READING, account_row(day(4), 5, **NEW)),
        (DAILY_READING, account_row(day(4), 5) | NEW),
        (DAILY_READING, account_row(day(4), 5, read_user_source=[scenes(5)[0] | NEW])),
        (ARTICLE_SHARING, {"ref_date": str(day(4)), "msgid": "1_1", "detail": {"share_user": 1} | NEW}),
        (PUBLISHED_ARTICLES, article(day(4), stat(day(4), **NEW))),
        (PUBLISHED_ARTICLES, article(day(4), stat(day(4), read_user_source=[scenes(5)[0] | NEW]))),
        (PUBLISHED_ARTICLES, article(day(4), stat(day(4), read_jump_position=[{"position": 1, "rate": 0.5} | NEW]))),
        (HOURLY_CALLBACKS, calls_row(day(4), 1, ref_hour=0, **NEW)),
    ],
    ids=["followers", "total", "object", "row", "list in object", "sharing", "day", "scene", "position", "hour"],
)
def test_unknown_fields_are_found_at_every_level(con: Connection, found: Found, endpoint: Endpoint, odd: Row) -> None:
    """An unknown field of a row, an object or a nested list is a finding until the newest answers don't have it."""
    store_calls(con, [answered(endpoint, day(4), None, odd)])
    assert [str(each.what) for each in found("codes_and_fields_are_known", endpoint)] == [
        "field mood in 1 of the newest answers"
    ]
    clean = json.loads(json.dumps(odd).replace(', "mood": 1', ""))
    store_calls(con, [answered(endpoint, day(4), None, clean)])
    store_calls(con, [answered(endpoint, day(number), None) for number in range(5, 15)])

    assert found("codes_and_fields_are_known", endpoint) == []


def test_known_fields_without_a_column_are_no_finding(con: Connection, found: Found) -> None:
    """`user_source` of `getusercumulate` and `is_delay` of articles are known; `is_delay` of others is not."""
    store_calls(con, [answered(FOLLOWERS_TOTAL, day(3), day(4), *totals(1, 2))])
    store_calls(con, [delayed(DAILY_READING, day(4), account_row(day(4), 5))])
    store_calls(con, [delayed(DAILY_FOLLOWERS, day(4), joined(day(4), 1, 0))])

    assert found("codes_and_fields_are_known", FOLLOWERS_TOTAL) == found("codes_and_fields_are_known", DAILY_READING)
    assert [str(each.what) for each in found("codes_and_fields_are_known", DAILY_FOLLOWERS)] == [
        "field is_delay in 1 of the newest answers"
    ]


@pytest.mark.parametrize(
    ("endpoint", "odd", "what"),
    [
        (DAILY_FOLLOWERS, joined(day(4), 1, 0, 999), "user_source 999"),
        (PUBLISHED_ARTICLES, article(day(4), publish_type=3), "publish_type 3"),
        (
            PUBLISHED_ARTICLES,
            article(day(4), stat(day(4), read_jump_position=[{"position": 6, "rate": 0.5}])),
            "position 6",
        ),
    ],
    ids=["channel", "publishing", "position"],
)
def test_unknown_codes_are_found_in_every_table(
    con: Connection, found: Found, endpoint: Endpoint, odd: Row, what: str
) -> None:
    """An unknown code is a finding, in nested tables too."""
    store_calls(con, [answered(endpoint, day(4), None, odd)])

    assert [str(each.what) for each in found("codes_and_fields_are_known", endpoint)] == [
        f"{what} in 1 rows since 2026-11-04"
    ]
