"""The report's document: every figure compared with the emulator's world, and what it says where figures are missing.

The page that shows the document is tested in `test_report_pages.py`, and in a browser in `browser/test_report.py`.
"""

import datetime as dt
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.articles import (
    ALL_SCENES,
    ARTICLES_START,
    DAILY_READING,
    PUBLISHED_ARTICLES,
)
from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.followers import CHANNEL, DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS, HOURLY_CALLBACKS
from wx_datacube.catalog.messages import DAILY_MESSAGES, HOURLY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Family, Period
from wx_datacube.catalog.periods import due_labels, due_on
from wx_datacube.operations.report.overview import overview_row
from wx_datacube.operations.stored import DAILY
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import LATER, answered, body, day, hour_row, row, senders_row
from wx_datacube_tests.by_hand import Stored, figures_of
from wx_datacube_tests.ingesting import Shop, shop
from wx_datacube_tests.years import TODAY, years

FIRST, LAST = dt.date(2026, 9, 23), dt.date(2026, 11, 23)
DAY = dt.timedelta(days=1)
DAYS, HOURS, SENDERS = DAILY_MESSAGES, HOURLY_MESSAGES, SENDERS_OF[Period.DAY]
MESSAGES, FOLLOWERS, ARTICLES = (Family.MESSAGES,), (Family.FOLLOWERS,), (Family.ARTICLES,)
ALL = tuple(Family)
TYPES = {1: "text", 2: "image", 3: "voice", 4: "video", 6: "link"}
COMMON = {
    "account", "title", "families", "first", "last", "now", "requested", "newest", "metrics", "daily", "open",
    "coverage", "families_off", "calendar", "doubts", "compared",
}  # fmt: skip
OF_FAMILY = {
    Family.MESSAGES: {"types", "intervals", "hours", "weeks", "months", "names_of_types", "names_of_intervals"},
    Family.FOLLOWERS: {"channels", "names_of_channels"},
    Family.ARTICLES: {
        "articles", "sources", "articles_start", "names_of_sources", "names_of_scenes",
    },
    Family.INTERFACE: {"calls_by_hour"},
}  # fmt: skip
STATES = {"L": "landed", "O": "landed", "E": "empty", "I": "implied", "M": "missing", "P": "missing"}


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Provide an account of two months, of all families, with everything due stored; some days are silent."""
    folder = tmp_path_factory.mktemp("report")
    with shop(folder, start=FIRST, families=ALL, messages_per_day=150, silent_share=0.1) as made:
        made.bring_everything_in()
        yield made


@pytest.fixture(scope="module")
def document(it: Shop) -> Mapping[str, Any]:
    """Provide the document of that account."""
    return figures_of(it.warehouse, ALL, FIRST).document


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Provide a file without figures."""
    return Stored(tmp_path)


def dates(first: dt.date = FIRST, last: dt.date = LAST) -> list[dt.date]:
    """Return the days from one to another."""
    return [first + count * DAY for count in range((last - first).days + 1)]


def by_day(kind: Mapping[str, Any], count: int) -> list[int]:
    """Return the values of a kind for each of `count` days."""
    before = [0] * kind["at"]
    return [*before, *kind["values"], *[0] * (count - kind["at"] - len(kind["values"]))]


def all_by_day(kinds: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the values of each kind for each day of the account."""
    return {word: by_day(kind, len(dates())) for word, kind in kinds.items()}


def letters(document: Mapping[str, Any], endpoint: Endpoint) -> str:
    """Return the letter of each due label of an endpoint."""
    (found,) = [each for each in document["coverage"] if each["endpoint"] == endpoint.name]
    return "".join(letter * int(count) for letter, count in re.findall(r"([A-Z])(\d+)", found["states"]))


def words_of(document: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the English name of each word."""
    return {word: english for word, (english, _) in document[name].items()}


# --- messages ---------------------------------------------------------------------------------------------------


def test_every_days_messages_and_senders_are_the_worlds(it: Shop, document: Mapping[str, Any]) -> None:
    """The document has exactly the days of the world; silent days are zeros, and users are distinct."""
    sent = [it.emulated.world.messages(date) for date in dates()]

    assert (document["first"], document["last"], document["newest"]) == (FIRST, LAST, LAST)
    assert document["daily"]["messages"] == [len(messages) for messages in sent]
    assert document["daily"]["senders"] == [len({message.user for message in messages}) for messages in sent]
    assert 0 in document["daily"]["messages"]


def test_yesterday_is_compared_with_what_was_expected(it: Shop, document: Mapping[str, Any]) -> None:
    """The newest day's messages and senders have an expected value within a range, and followers too."""
    sent = it.emulated.world.messages(LAST)
    compared = {each["metric"]: each for each in document["compared"]}

    assert list(compared) == ["messages", "senders", "new_followers", "lost_followers"]
    assert compared["messages"]["figure"] == len(sent)
    assert compared["senders"]["figure"] == len({message.user for message in sent})
    for each in compared.values():
        low, high = each["range"]
        assert (each["date"], low <= each["expected"] <= high) == (LAST, True)
    assert compared["messages"]["basis"] == ["on Mon of the last 8 weeks", "最近 8 周的周一"]


def test_a_day_with_half_of_its_messages_is_unusual(tmp_path: Path) -> None:
    """What the check finds is in the document in both languages, with the day, and in the overview's row."""
    warehouse = years(tmp_path, start=TODAY.date() - 120 * DAY, messages=2000)
    with warehouse.transaction() as con:
        con.execute(f"UPDATE datacube.{DAYS.name} SET msg_count = msg_count // 4 WHERE ref_date = $day", {"day": LAST})
    warehouse.publish()
    made = figures_of(warehouse, MESSAGES, TODAY.date() - 120 * DAY)
    (doubt,) = made.document["doubts"]

    assert (doubt["date"], doubt["fails"]) == (str(LAST), True)
    assert "500, expected about 2,000" in doubt["text"][0]
    assert "500，预计约 2,000" in doubt["text"][1]
    assert overview_row(made, "report_shop.html")["unusual"] == [doubt["text"]]


def test_types_are_the_worlds(it: Shop, document: Mapping[str, Any]) -> None:
    """Every message counts once, under its type; the most frequent type is first."""
    counts = [Counter(TYPES[message.type] for message in it.emulated.world.messages(date)) for date in dates()]
    sums = {word: sum(count[word] for count in counts) for word in TYPES.values()}

    assert all_by_day(document["types"]) == {
        word: [count[word] for count in counts] for word, total in sums.items() if total
    }
    assert list(document["types"]) == sorted(document["types"], key=lambda word: -sums[word])


def test_intervals_are_the_worlds(it: Shop, document: Mapping[str, Any]) -> None:
    """Every sender counts once a day, in one interval, and the intervals are in their order."""

    def interval(sent: int) -> str:
        return "1-5" if sent <= 5 else "6-10" if sent <= 10 else "more than 10"

    counts = [
        Counter(interval(sent) for sent in Counter(each.user for each in it.emulated.world.messages(date)).values())
        for date in dates()
    ]
    assert all_by_day(document["intervals"]) == {
        word: [count[word] for count in counts]
        for word in ("1-5", "6-10", "more than 10")
        if sum(counts, Counter())[word]
    }
    assert list(document["intervals"]) == [
        word for word in ("1-5", "6-10", "more than 10") if word in document["intervals"]
    ]


def test_hours_are_the_worlds(it: Shop, document: Mapping[str, Any]) -> None:
    """Every message counts in its hour; a silent day is a single zero."""
    expected: list[Any] = []
    for date in dates():
        count = Counter(message.hour for message in it.emulated.world.messages(date))
        expected.append([count[hour] for hour in range(24)] if count else 0)

    assert document["hours"] == {"at": 0, "values": expected}
    assert 0 in expected


@pytest.mark.parametrize("period", [Period.WEEK, Period.MONTH], ids=["weeks", "months"])
def test_weeks_and_months_have_distinct_senders(period: Period, it: Shop, document: Mapping[str, Any]) -> None:
    """Weeks and months come from their own endpoints: a user who wrote on several days counts once."""
    labels = due_labels(period, FIRST, TODAY.date())

    def sent(label: dt.date) -> list[Any]:
        return [each for date in dates(label, due_on(label, period) - DAY) for each in it.emulated.world.messages(date)]

    assert document[f"{period.value}s"] == {
        "labels": labels,
        "senders": [len({each.user for each in sent(label)}) for label in labels],
        "messages": [len(sent(label)) for label in labels],
    }
    assert len(labels) == {Period.WEEK: 9, Period.MONTH: 2}[period]


def test_a_week_that_is_missing_has_no_value(tmp_path: Path) -> None:
    """A week whose figures were not fetched is missing, even if all of its days are stored."""
    with shop(tmp_path, start=dt.date(2026, 11, 2), silent_share=0) as made:
        made.fetch_missing(DAYS)
        made.fetch_missing(MESSAGES_OF[Period.WEEK], [dt.date(2026, 11, 9)])
        made.warehouse.publish()
        found = figures_of(made.warehouse, MESSAGES, dt.date(2026, 11, 2)).document

    assert found["weeks"]["labels"] == [day(2), day(9), day(16)]
    assert [each is None for each in found["weeks"]["messages"]] == [True, False, True]
    assert found["weeks"]["senders"] == [None] * 3
    assert found["months"] == {"labels": [], "senders": [], "messages": []}


# --- followers --------------------------------------------------------------------------------------------------


def test_followers_are_the_worlds(it: Shop, document: Mapping[str, Any]) -> None:
    """New and lost followers of each day, by channel too, and all followers at its end."""
    world, daily = it.emulated.world, document["daily"]
    changes = [world.rows(DAILY_FOLLOWERS, date) for date in dates()]
    totals = [world.rows(FOLLOWERS_TOTAL, date) for date in dates()]

    assert daily["new_followers"] == [sum(each["new_user"] for each in rows) for rows in changes]
    assert daily["lost_followers"] == [sum(each["cancel_user"] for each in rows) for rows in changes]
    assert daily["followers"] == [rows[0]["cumulate_user"] if rows else None for rows in totals]
    words = dict(CHANNEL.codes)
    for kind, field in (("new", "new_user"), ("lost", "cancel_user")):
        expected: dict[str, list[int]] = {}
        for place, rows in enumerate(changes):
            for each in rows:
                expected.setdefault(words[each["user_source"]], [0] * len(dates()))[place] = each[field]
        found = document["channels"][kind]
        assert all_by_day(found) == {word: counts for word, counts in expected.items() if any(counts)}
        assert list(found) == sorted(found, key=lambda word: -sum(found[word]["values"]))
        assert found.keys() <= document["names_of_channels"].keys()


# --- articles ---------------------------------------------------------------------------------------------------

READING = {
    "readers": "read_user",
    "sharers": "share_user",
    "likes": "like_user",
    "hearts": "zaikan_user",
    "comments": "comment_count",
    "saves": "collection_user",
    "articles_published": "send_page_count",
}
OF_ARTICLE = {
    "readers": "read_user",
    "sharers": "share_user",
    "likes": "like_user",
    "hearts": "zaikan_user",
    "comments": "comment_count",
    "saves": "collection_user",
    "new_followers": "read_subscribe_user",
    "reward_fen": "praise_money",
}
RATES = {
    "delivery_rate": "read_delivery_rate",
    "finish_rate": "read_finish_rate",
    "minutes_per_reader": "read_avg_activetime",
}


def test_reading_is_the_worlds(it: Shop, document: Mapping[str, Any]) -> None:
    """Every day has what was read, shared and published on it; days without readers are zeros."""
    found = [it.emulated.world.rows(DAILY_READING, date) for date in dates()]

    for name, field in READING.items():
        assert document["daily"][name] == [rows[0]["detail"][field] if rows else 0 for rows in found]
    assert [] in found
    sources: dict[str, list[int]] = {}
    words = {"公众号消息": "account messages", "聊天会话": "chats", "朋友圈": "Moments", "公众号主页": "account page"}
    words |= {"其他": "others", "推荐": "recommendations", "搜一搜": "search"}
    for place, rows in enumerate(found):
        for each in rows[0]["detail"]["read_user_source"] if rows else []:
            if each["scene_desc"] != ALL_SCENES:
                sources.setdefault(words[each["scene_desc"]], [0] * len(dates()))[place] = each["user_count"]
    assert all_by_day(document["sources"]) == sources


def test_articles_are_the_worlds(it: Shop, document: Mapping[str, Any]) -> None:
    """Each article has its newest figures, its curve by day, where its readers came from and where they left."""
    published = [(date, each) for date in dates() for each in it.emulated.world.rows(PUBLISHED_ARTICLES, date, LAST)]

    assert [(each["published_on"], each["article"]) for each in document["articles"]] == sorted(
        (date, each["msgid"]) for date, each in published
    )
    by_id = {each["article"]: each for each in document["articles"]}
    for date, each in published:
        found, details = by_id[each["msgid"]], each["detail_list"]
        newest = details[-1]
        assert (found["title"], found["url"], found["published_on"]) == (each["title"], each["content_url"], date)
        assert found["notified"] is (each["publish_type"] == 0)
        assert {name: found[name] for name in OF_ARTICLE} == {name: newest[field] for name, field in OF_ARTICLE.items()}
        assert {name: found[name] for name in RATES} == {
            name: pytest.approx(newest[field], abs=0.0006) for name, field in RATES.items()
        }
        assert found["curve"] == [[age, each["read_user"]] for age, each in enumerate(details, 1)]
        assert dict(found["sources"]) == {
            each["scene_desc"]: each["user_count"]
            for each in newest["read_user_source"]
            if each["scene_desc"] != ALL_SCENES
        }
        assert found["jumps"] == [
            [each["position"], pytest.approx(each["rate"], abs=0.0006)] for each in newest["read_jump_position"]
        ]
        assert found["final"] is (len(details) == 30)
        assert dict(found["sources"]).keys() <= document["names_of_scenes"].keys()
    assert {each["final"] for each in document["articles"]} == {True, False}


# --- interface --------------------------------------------------------------------------------------------------


def test_the_interface_is_the_worlds(it: Shop, document: Mapping[str, Any]) -> None:
    """Each day has its calls, failures and times, and the newest day its hours; a day without calls has no times."""
    found = [it.emulated.world.rows(DAILY_CALLBACKS, date) for date in dates()]
    daily = document["daily"]

    assert daily["calls"] == [rows[0]["callback_count"] if rows else 0 for rows in found]
    assert daily["failures"] == [rows[0]["fail_count"] if rows else 0 for rows in found]
    assert daily["max_ms"] == [rows[0]["max_time_cost"] if rows else None for rows in found]
    assert daily["mean_ms"] == [
        pytest.approx(rows[0]["total_time_cost"] / rows[0]["callback_count"], abs=0.06) if rows else None
        for rows in found
    ]
    assert document["calls_by_hour"] == {
        "date": LAST,
        "rows": [
            (
                each["ref_hour"] // 100,
                each["callback_count"],
                each["fail_count"],
                pytest.approx(each["total_time_cost"] / each["callback_count"], abs=0.06),
                each["max_time_cost"],
            )
            for each in it.emulated.world.rows(HOURLY_CALLBACKS, LAST)
        ],
    }


# --- completeness -----------------------------------------------------------------------------------------------


def test_the_coverage_is_that_of_the_file(it: Shop, document: Mapping[str, Any]) -> None:
    """Every due label of every endpoint has its state, open ones marked; nothing is missing."""
    open_now = {
        label
        for endpoint, label in it.rows(
            "SELECT endpoint, label FROM datacube.coverage WHERE state = 'landed' AND NOT final"
        )
        if endpoint == PUBLISHED_ARTICLES.name
    }

    assert [each["endpoint"] for each in document["coverage"]] == [each.name for each in ENDPOINTS]
    for each in document["coverage"]:
        endpoint = BY_NAME[each["endpoint"]]
        states = it.states(endpoint)
        found = letters(document, endpoint)
        assert (each["first"], each["period"], each["family"]) == (
            next(iter(states)),
            endpoint.period.value,
            endpoint.family.value,
        )
        assert [STATES[letter] for letter in found] == [state.value for state in states.values()]
        opened = {label for label, letter in zip(states, found, strict=True) if letter == "O"}
        assert opened == (open_now if endpoint is PUBLISHED_ARTICLES else set())
        assert (each["rejected"], each["revised"]) == ([], [])
    assert open_now
    assert "M" not in "".join(each["states"] for each in document["coverage"])


@pytest.mark.parametrize("hour", [9, 15], ids=["before noon", "after noon"])
def test_missing_differs_from_pending(hour: int, tmp_path: Path) -> None:
    """Yesterday is pending until noon; a label that was never requested is missing; neither has a value."""
    first = dt.date(2026, 11, 20)
    with shop(tmp_path, start=first, silent_share=0) as made:
        made.fetch_missing(DAYS, [first, first + DAY])
        made.fetch_missing(HOURS, [first])
        made.fetch_missing(SENDERS, [first, first + DAY])
        made.warehouse.publish()
        found = figures_of(made.warehouse, MESSAGES, first, made.now.replace(hour=hour)).document

    last = "P" if hour < 12 else "M"
    assert {each.name: letters(found, each) for each in (DAYS, HOURS, SENDERS)} == {
        DAYS.name: f"LLM{last}",
        HOURS.name: f"LMM{last}",
        SENDERS.name: f"LLM{last}",
    }
    assert [each is None for each in found["daily"]["messages"]] == [False, False, True, True]
    assert (found["first"], found["newest"]) == (first, first + DAY)
    assert len(found["hours"]["values"]) == 1


def test_empty_and_implied_days_are_zeros(tmp_path: Path) -> None:
    """A silent day is empty, and its hours and senders are implied; all of them are zeros."""
    first = dt.date(2026, 11, 20)
    with shop(tmp_path, start=first, silent_share=1) as made:
        made.fetch_missing(DAYS, dates(first, first + DAY))
        made.warehouse.publish()
        found = figures_of(made.warehouse, MESSAGES, first).document

    assert {each.name: letters(found, each) for each in (DAYS, HOURS, SENDERS)} == {
        DAYS.name: "EEMM",
        HOURS.name: "IIMM",
        SENDERS.name: "IIMM",
    }
    assert found["daily"] == {"messages": [0, 0, None, None], "senders": [0, 0, None, None]}
    assert found["hours"] == {"at": 0, "values": [0, 0]}


def test_revised_and_rejected_labels_are_listed(tmp_path: Path) -> None:
    """The document lists labels whose figures WeChat changed, and labels with a rejected row, by endpoint."""
    first = dt.date(2026, 11, 20)
    with shop(tmp_path, start=first, silent_share=0) as made:
        made.bring_everything_in()
        made.emulated.control.restate(dt.date(2026, 11, 21), delta=7)
        made.fetch_missing(DAYS, [dt.date(2026, 11, 21)], refresh=True)
        made.emulated.control.set(faults=[f"{HOURS.name}=200:{body(hour_row('2026-11-23', msg_user=-1))}"])
        made.fetch_missing(HOURS, [dt.date(2026, 11, 23)], refresh=True)
        made.warehouse.publish()
        found = figures_of(made.warehouse, MESSAGES, first, made.now).document

    marked = {each["endpoint"]: (each["rejected"], each["revised"]) for each in found["coverage"]}
    assert {name: each for name, each in marked.items() if each != ([], [])} == {
        DAYS.name: ([], [dt.date(2026, 11, 21)]),
        HOURS.name: ([dt.date(2026, 11, 23)], []),
    }


def test_open_days_are_listed(stored: Stored) -> None:
    """The positions of the days that WeChat may still change are listed for each metric of their endpoint."""
    first = LAST - 2 * DAY
    for date, readers in ((first, 100), (LAST - DAY, 200), (LAST, 300)):
        stored.rows(DAILY_READING.name, (date, readers, 1, 0, 0, 0, 0, 0, 2))
    stored.answered(DAILY_READING, first, LAST - DAY)
    stored.answered(DAILY_READING, LAST, final=False)
    found = stored.figures((Family.FOLLOWERS, Family.ARTICLES), first).document

    assert found["open"] == {name: [2] for name in READING}
    assert found["daily"]["readers"] == [100, 200, 300]
    assert letters(found, DAILY_READING) == "LLO"


def test_an_unstored_field_is_missing(stored: Stored) -> None:
    """A stored day whose answer lacked a field has no value for it."""
    stored.rows(DAILY_READING.name, (LAST, 100, 1, 0, 0, 0, 0, None, None))
    stored.answered(DAILY_READING, LAST)
    found = stored.figures(ARTICLES, LAST).document

    assert found["daily"]["readers"] == [100]
    assert found["daily"]["articles_published"] == [None]


def test_rows_of_a_label_without_an_answer_do_not_count(stored: Stored) -> None:
    """The state of a label decides whether a day has a value, not the rows of the table."""
    stored.rows(DAILY_FOLLOWERS.name, (LAST - DAY, 0, 3, 1), (LAST, 0, 5, 1))
    stored.answered(DAILY_FOLLOWERS, LAST - DAY)
    found = stored.figures(FOLLOWERS, LAST - DAY).document

    assert found["daily"]["new_followers"] == [3, None]


def test_a_missing_day_of_followers_is_a_gap_and_an_empty_one_zero(stored: Stored) -> None:
    """A missing day has no value, an empty settled one has zeros, but all followers are unknown without a row."""
    first = LAST - 4 * DAY
    days = dates(first)
    stored.rows(DAILY_FOLLOWERS.name, (days[0], 30, 5, 7), (days[0], 0, 1, 0), (days[4], 9999, 4, 1))
    stored.answered(DAILY_FOLLOWERS, days[0], days[4])
    stored.answered(DAILY_FOLLOWERS, days[2], shown=0)
    stored.rows(FOLLOWERS_TOTAL.name, (days[4], 1234))
    stored.answered(FOLLOWERS_TOTAL, days[4])
    stored.answered(FOLLOWERS_TOTAL, days[3], shown=0)
    found = stored.figures(FOLLOWERS, first).document

    assert found["daily"] == {
        "new_followers": [6, None, 0, None, 4],
        "lost_followers": [7, None, 0, None, 1],
        "followers": [None, None, None, None, 1234],
    }
    assert found["channels"]["new"] == {
        "QR code": {"at": 0, "values": [5]},
        "other (9999)": {"at": 4, "values": [4]},
        "others": {"at": 0, "values": [1]},
    }


# --- what is unusual --------------------------------------------------------------------------------------------


def test_a_figure_far_below_the_usual_is_doubted(tmp_path: Path) -> None:
    """The document has what the newest day is compared with, and the doubt about a figure that is far below it."""
    warehouse = years(tmp_path, start=dt.date(2026, 7, 1), messages=3000)
    usual = figures_of(warehouse, MESSAGES, dt.date(2026, 7, 1))
    with warehouse.transaction() as con:
        con.execute("UPDATE datacube.getupstreammsg SET msg_count = 60 WHERE ref_date = $1", [LAST])
    warehouse.publish()
    found = figures_of(warehouse, MESSAGES, dt.date(2026, 7, 1))

    assert usual.document["doubts"] == []
    compared = {each["metric"]: each for each in usual.document["compared"]}
    assert {name: (each["date"], each["figure"]) for name, each in compared.items()} == {
        "messages": (LAST, 3000),
        "senders": (LAST, 1500),
    }
    assert {round(each["expected"]) for each in compared.values()} == {3000, 1500}
    assert all(low < each["figure"] < high for each in compared.values() for low, high in [each["range"]])
    (doubt,) = found.document["doubts"]
    assert (str(doubt["date"]), doubt["fails"]) == (str(LAST), True)
    assert "300" in doubt["text"][0]
    assert overview_row(found, "x.html")["unusual"] == [doubt["text"]]
    assert overview_row(usual, "x.html")["unusual"] == []


# --- which families ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", Family)
def test_each_family_alone(family: Family, it: Shop, document: Mapping[str, Any]) -> None:
    """An account with one family has its figures, the same as with the others, and no word of them."""
    found = figures_of(it.warehouse, (family,), FIRST).document

    assert found.keys() == COMMON | OF_FAMILY[family]
    assert list(found["daily"]) == [name for name in document["daily"] if DAILY[name].family is family]
    assert [each["endpoint"] for each in found["coverage"]] == [
        each.name for each in ENDPOINTS if each.family is family
    ]
    assert {name for each in found["families_off"] for name in each[:1]} == {each.value for each in Family} - {family}
    same = {"daily": {name: document["daily"][name] for name in found["daily"]}}
    same |= {name: document[name] for name in OF_FAMILY[family]}
    assert {name: found[name] for name in same} == same


def test_all_families_together(document: Mapping[str, Any]) -> None:
    """The document of an account with all families is complete, in the order of the catalog, and is JSON."""
    assert document.keys() == COMMON.union(*OF_FAMILY.values())
    derived = {"net_followers", "messages_per_sender"}
    assert list(document["daily"]) == [name for name in DAILY if name not in derived]
    assert document["families_off"] == []
    assert document["metrics"].keys() == {*document["daily"], *derived, "failure_rate", "share_rate"}
    text = json.dumps(document, default=str, allow_nan=False)
    assert len(json.loads(text)["daily"]["messages"]) == len(dates())


def test_articles_are_not_due_before_their_history(it: Shop) -> None:
    """Days before WeChat had figures of articles have no values of them, and don't count as missing."""
    found = figures_of(it.warehouse, (Family.FOLLOWERS, Family.ARTICLES), HISTORY_START).document

    first = {each["endpoint"]: each["first"] for each in found["coverage"]}
    assert first[DAILY_FOLLOWERS.name] == HISTORY_START
    assert {date for name, date in first.items() if BY_NAME[name].family is Family.ARTICLES} == {ARTICLES_START}
    assert found["first"] == FIRST  # the first day that is stored


def test_a_day_before_the_articles_history_has_no_readers(stored: Stored) -> None:
    """With followers since October 2025, the readers of that month are unknown."""
    october = dates(dt.date(2025, 10, 30), dt.date(2025, 10, 31))
    stored.rows(DAILY_FOLLOWERS.name, *((date, 0, 2, 1) for date in october))
    stored.answered(DAILY_FOLLOWERS, *october)
    stored.rows(DAILY_READING.name, (ARTICLES_START, 7, 0, 0, 0, 0, 0, 0, 1))
    stored.answered(DAILY_READING, ARTICLES_START)
    found = stored.figures((Family.FOLLOWERS, Family.ARTICLES), october[0]).document

    assert found["articles_start"] == ARTICLES_START
    assert found["daily"]["readers"][:3] == [None, None, 7]
    assert found["daily"]["new_followers"][:3] == [2, 2, None]


# --- little or much data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("families", [*((family,) for family in Family), ALL], ids=lambda each: "+".join(each))
def test_no_data_yet(families: tuple[Family, ...], tmp_path: Path) -> None:
    """Before the first call there is no newest day, every value is missing, and so is every label."""
    found = figures_of(Warehouse(tmp_path / "none.duckdb"), families, FIRST)

    assert (found.newest, found.last_requested_at, found.call_id) == (None, None, 0)
    assert found.document["requested"] is None
    assert (found.first, found.last) == (LAST, LAST)
    assert set(map(tuple, found.document["daily"].values())) == {(None,)}
    assert {letter for each in found.document["coverage"] for letter in re.findall("[A-Z]", each["states"])} == {"M"}
    assert found.newest_values() == {}
    assert found.document.get("articles", []) == []


def test_nothing_is_due_yet(tmp_path: Path) -> None:
    """On the first day of an account nothing is due, and the document has no labels."""
    found = figures_of(Warehouse(tmp_path / "none.duckdb"), ALL, TODAY.date()).document

    assert {(each["first"], each["states"]) for each in found["coverage"]} == {(None, "")}
    assert found["newest"] is None


def test_one_day_of_data(tmp_path: Path) -> None:
    """With one day of data, the document has that day."""
    warehouse = years(tmp_path, start=LAST, families=ALL)
    found = figures_of(warehouse, ALL, LAST)

    assert (found.first, found.last, found.newest) == (LAST, LAST, LAST)
    assert {name: len(values) for name, values in found.document["daily"].items()} == dict.fromkeys(
        found.document["daily"], 1
    )
    assert found.newest_values() == {name: values[0] for name, values in found.document["daily"].items()}
    assert found.document["weeks"] == {"labels": [], "senders": [], "messages": []}


def test_the_document_begins_with_the_first_day_that_is_stored(tmp_path: Path) -> None:
    """Days before the first stored one are left out of the values; the coverage has them."""
    start = dt.date(2026, 1, 1)
    found = figures_of(years(tmp_path, start=dt.date(2026, 11, 1)), MESSAGES, start).document

    assert found["first"] == dt.date(2026, 11, 1)
    assert len(found["daily"]["messages"]) == 23
    assert letters(found, DAYS) == "M" * (dt.date(2026, 11, 1) - start).days + "L" * 23


def test_a_gap_of_months_is_a_gap(tmp_path: Path) -> None:
    """Days, weeks and months of a gap have no value rather than zero, and their labels are missing."""
    start, gap = dt.date(2026, 1, 1), (dt.date(2026, 2, 3), dt.date(2026, 7, 9))
    found = figures_of(years(tmp_path, start=start, gap=gap, messages=3000), MESSAGES, start).document
    inside = [gap[0] <= date <= gap[1] for date in dates(start)]

    for values in (*found["daily"].values(), found["hours"]["values"]):
        assert [value is None for value in values] == inside
    for period in ("weeks", "months"):
        for name in ("messages", "senders"):
            assert [value is None for value in found[period][name]] == [
                gap[0] <= label <= gap[1] for label in found[period]["labels"]
            ]
    for endpoint in (DAYS, HOURS, SENDERS):
        assert letters(found, endpoint) == "".join("M" if each else "L" for each in inside)
    assert next(each["states"] for each in found["coverage"]) == f"L33M157L{len(inside) - 190}"


def test_a_year_of_zeros(tmp_path: Path) -> None:
    """A year in which nobody sent a message has zeros everywhere, and no type."""
    start = dt.date(2025, 11, 24)
    with shop(tmp_path, start=start, silent_share=1) as made:
        made.bring_everything_in()
        found = figures_of(made.warehouse, MESSAGES, start, made.now).document

    assert found["daily"] == {"messages": [0] * 365, "senders": [0] * 365}
    assert (found["types"], found["intervals"]) == ({}, {})
    assert found["hours"] == {"at": 0, "values": [0] * 365}
    assert {*found["weeks"]["messages"], *found["weeks"]["senders"], *found["months"]["messages"]} == {0}
    assert len(found["months"]["labels"]) == 12


def test_a_hundred_thousand_messages_a_day(tmp_path: Path) -> None:
    """Large figures are whole numbers, and none is cut."""
    start = dt.date(2026, 9, 1)
    found = figures_of(years(tmp_path, start=start, messages=100_000), MESSAGES, start).document

    assert set(found["daily"]["messages"]) == {100_000}
    assert set(found["types"]["text"]["values"]) == {20_000}
    assert {sum(hours) for hours in found["hours"]["values"]} == {5 * 24 * (20_000 // 24)}
    assert set(found["weeks"]["messages"]) == {700_000}
    assert all(isinstance(value, int) for value in found["daily"]["messages"])


def test_sums_beyond_a_column_are_unknown(warehouse: Warehouse) -> None:
    """If figures have the largest value of their column, their sums are unknown, never zero; single ones are exact."""
    huge, start = 2**63 - 1, day(1)
    days = dates(start, day(23))
    with warehouse.transaction() as con:
        for begin in days[::7]:
            rows = [
                row(each, huge, huge, msg_type=kind) for each in days if 0 <= (each - begin).days < 7 for kind in (1, 2)
            ]
            store_calls(con, [answered(DAYS, begin, begin + 6 * DAY, *rows)])
        for each in days:
            store_calls(con, [answered(HOURS, each, None, hour_row(each, 9, msg_user=huge, msg_count=huge))])
            store_calls(con, [answered(SENDERS, each, None, senders_row(each, huge), senders_row(each, huge, 2))])
        week, by_type, by_sender = day(2), MESSAGES_OF[Period.WEEK], SENDERS_OF[Period.WEEK]
        rows = [row(week, huge, huge, msg_type=kind) for kind in (1, 2)]
        store_calls(con, [answered(by_type, week, week + 6 * DAY, *rows)])
        rows = [senders_row(week, huge, interval) for interval in (1, 2)]
        store_calls(con, [answered(by_sender, week, week + 6 * DAY, *rows)])
    warehouse.publish()
    found = figures_of(warehouse, MESSAGES, start, LATER).document

    assert found["daily"] == {"messages": [None] * 23, "senders": [None] * 23}
    assert set(found["types"]["text"]["values"]) == {huge}
    assert {hours[9] for hours in found["hours"]["values"]} == {huge}
    assert letters(found, by_type) == letters(found, by_sender) == "MLMM"
    assert found["weeks"]["messages"] == found["weeks"]["senders"] == [None] * 4


def test_users_who_sent_nothing_are_no_senders(stored: Stored) -> None:
    """Interval 0 counts users who sent nothing; alone it says nothing about senders, and it is no interval."""
    week = dt.date(2026, 11, 9)
    stored.rows(SENDERS_OF[Period.WEEK].name, (week, 0, 0, 5))
    stored.rows(SENDERS.name, (LAST, 0, 0, 5))
    stored.answered(SENDERS_OF[Period.WEEK], week)
    stored.answered(SENDERS, LAST, week)
    found = stored.figures(MESSAGES, week).document

    assert found["weeks"]["senders"] == found["weeks"]["messages"] == [None, None]
    assert set(found["daily"]["senders"]) == {None}
    assert found["intervals"] == {}


def test_only_the_accounts_own_figures(stored: Stored) -> None:
    """Figures of another account in the file are in none of the document's parts."""
    for account, number in (("shop", 3), ("news", 90)):
        stored.rows(DAYS.name, (LAST, 1, 0, number, number), account=account)
        stored.rows(DAILY_FOLLOWERS.name, (LAST, number, number, number), account=account)
        stored.rows(PUBLISHED_ARTICLES.name, (LAST, f"{number}_1", 0, account, None), account=account)
    stored.answered(DAYS, LAST)
    stored.answered(DAILY_FOLLOWERS, LAST)
    stored.answered(PUBLISHED_ARTICLES, LAST)
    found = stored.figures(ALL, LAST).document

    assert (found["daily"]["messages"], found["daily"]["new_followers"]) == ([3], [3])
    assert found["channels"]["new"] == {"QR code (2015)": {"at": 0, "values": [3]}}
    assert [each["title"] for each in found["articles"]] == ["shop"]


# --- words that WeChat may add ----------------------------------------------------------------------------------


def test_unknown_codes_keep_their_number(stored: Stored) -> None:
    """A type, channel or source that the catalog doesn't know is shown with its code, in both languages."""
    stored.rows(DAYS.name, (LAST, 9, 0, 2, 5), (LAST, 1, 0, 2, 4))
    stored.rows(SENDERS.name, (LAST, 7, 0, 2))
    stored.rows(DAILY_FOLLOWERS.name, (LAST, -1, 5, 0))
    stored.rows(DAILY_READING.name, (LAST, 9, 0, 0, 0, 0, 0, 0, 1))
    stored.rows(f"{DAILY_READING.name}__read_user_source", (LAST, "<i>", 9), (LAST, "全部", 9))
    stored.rows(PUBLISHED_ARTICLES.name, (LAST, "9_1", 3, None, None))
    details = f"{PUBLISHED_ARTICLES.name}__detail_list"
    stored.rows(details, (LAST, "9_1", LAST, 9, 0, 0, 0, 0, 0, None, None, None, None, None))
    stored.rows(f"{details}__read_user_source", (LAST, "9_1", LAST, "扫一扫", 9), (LAST, "9_1", LAST, "搜一搜", 2))
    for endpoint in (DAYS, SENDERS, DAILY_FOLLOWERS, DAILY_READING, PUBLISHED_ARTICLES):
        stored.answered(endpoint, LAST)
    found = stored.figures(ALL, LAST).document

    assert list(found["types"]) == ["other (9)", "text"]
    assert found["names_of_types"]["other (9)"] == ["other (9)", "其他（9）"]
    assert found["names_of_intervals"] == {"other (7)": ["other (7)", "其他（7）"]}
    assert found["names_of_channels"] == {"other (-1)": ["other (-1)", "其他（-1）"]}
    assert found["names_of_sources"] == {"other (<i>)": ["other (<i>)", "其他（<i>）"]}
    assert found["names_of_scenes"] == {"扫一扫": ["扫一扫", "扫一扫"], "搜一搜": ["search", "搜一搜"]}
    (article,) = found["articles"]
    assert (article["title"], article["notified"], article["delivery_rate"]) == (None, None, None)


def test_old_articles_have_no_curve(stored: Stored) -> None:
    """Articles of more than 400 days ago are listed without their curve, so that the file stays small."""
    later = dt.datetime(2028, 1, 1, 15)
    details = f"{PUBLISHED_ARTICLES.name}__detail_list"
    for date in (LAST, later.date() - 2 * DAY):
        stored.rows(PUBLISHED_ARTICLES.name, (date, "9_1", 0, "x", None))
        stored.rows(details, (date, "9_1", date, 9, 0, 0, 0, 0, 0, None, None, None, None, None))
        stored.answered(PUBLISHED_ARTICLES, date)
    found = stored.figures(ARTICLES, LAST, later).document

    assert [(each["published_on"], each["readers"], each["curve"]) for each in found["articles"]] == [
        (LAST, 9, []),
        (later.date() - 2 * DAY, 9, [[1, 9]]),
    ]


# --- twelve years -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twelve_years(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Provide a file with messages since 2014-12-01."""
    return years(tmp_path_factory.mktemp("years"))


def test_every_view_answers_at_once(twelve_years: Warehouse) -> None:
    """Typical queries of every view over twelve years take less than 0.4 s of processor time."""
    with twelve_years.open_published() as con:
        views = con.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        slow = {}
        for schema, view in views:
            names = [name for name, *_ in con.execute(f"DESCRIBE {schema}.{view}").fetchall()]
            date = {"coverage": "label", "articles": "published_on"}.get(view, "date")
            figures = ", ".join(f'max("{name}")' for name in names)
            for what, sql in {
                "by month": f"SELECT date_trunc('month', {date}), count(*), {figures} FROM {schema}.{view} GROUP BY 1",
                "newest": f"FROM {schema}.{view} ORDER BY {date} DESC LIMIT 100",
                "last weeks": f"FROM {schema}.{view} WHERE {date} >= DATE '2026-10-01'",
            }.items():
                took = min(_took(con, sql) for _ in range(5))
                if took > 0.4:  # 0.06 s at most on an idle machine
                    slow[view, what] = took

    assert len(views) == 19
    assert slow == {}


def _took(con: Any, sql: str) -> float:
    begun = time.process_time()
    con.execute(sql).fetchall()
    return time.process_time() - begun
