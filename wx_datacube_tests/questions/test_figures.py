"""Figures over a few days made by hand: what is zero, what is unknown, what is averaged, and what may not be added."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.metrics import METRICS
from wx_datacube.catalog.model import Family
from wx_datacube.config.settings import Account
from wx_datacube.operations.questions.dates import Refused, range_of
from wx_datacube.operations.questions.figures import figures
from wx_datacube.operations.questions.labels import Context
from wx_datacube.operations.questions.measures import Measure
from wx_datacube.operations.questions.tools import coverage, explain, list_metrics, top_articles
from wx_datacube.warehouse.coverage import bind_account
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import LATER, MESSAGES, SENDERS, WEEKS, answered, day, row, senders_row

Ask = Callable[..., Any]
FOLLOWERS, TOTAL = BY_NAME["getusersummary"], BY_NAME["getusercumulate"]


def new(date: dt.date, count: int, lost: int = 0) -> dict[str, Any]:
    """Return a row of new and lost followers."""
    return {"ref_date": str(date), "user_source": 30, "new_user": count, "cancel_user": lost}


@pytest.fixture
def context(con: duckdb.DuckDBPyConnection) -> Context:
    """Provide two accounts: the 16th to the 22nd is a week; the 18th is silent, the 20th is missing.

    The cafe has messages alone, and begins on the 21st.
    """
    everything = (Family.MESSAGES, Family.FOLLOWERS, Family.ARTICLES)
    bind_account(con, Account("shop", start=day(16), families=everything), LATER)
    bind_account(con, Account("cafe", start=day(21)), LATER)
    calls = []
    for number, people in {16: 10, 17: 20, 18: 0, 19: 30, 21: 40, 22: 50, 23: 60}.items():
        date = day(number)
        sent = [row(date, people, 2 * people)] if people else []
        spread = [senders_row(date, people - 1), senders_row(date, 1, 3)] if people else []
        calls += [answered(MESSAGES, date, None, *sent), answered(SENDERS, date, None, *spread)]
        calls += [answered(FOLLOWERS, date, None, new(date, number, 1))]
        calls += [answered(TOTAL, date, None, {"ref_date": str(date), "user_source": 0, "cumulate_user": 100 + number})]
    for number in (21, 22, 23):
        date = day(number)
        calls += [answered(MESSAGES, date, None, row(date, 5, 5), account="cafe")]
        calls += [answered(SENDERS, date, None, senders_row(date, 5), account="cafe")]
    calls += [answered(WEEKS, day(16), day(22), row(day(16), 70, 300))]
    store_calls(con, calls)
    return Context(con, LATER, {"shop": "灯下读书"})


@pytest.fixture
def ask(context: Context) -> Ask:
    """Return a function that asks for a metric of the shop."""

    def figure(
        metric: str, start: str | None = None, end: str | None = None, by: str | None = None, **more: Any
    ) -> Any:
        return figures(context, metric, start, end, by, **{"account": "shop"} | more)

    return figure


def values(answer: Any) -> list[Any]:
    """Return the figures of an answer."""
    return [each["value"] for each in answer["rows"]]


def test_a_silent_day_is_zero_and_a_missing_one_is_not(ask: Ask) -> None:
    """By day, a day without messages is 0, and a missing day has no row and is listed."""
    found = ask("messages", "2026-11-16", "2026-11-22")

    assert {each["date"][-2:]: each["value"] for each in found["rows"]} == {
        "16": 20,
        "17": 40,
        "18": 0,
        "19": 60,
        "21": 80,
        "22": 100,
    }
    assert found["total"] == 300
    assert found["missing"] == [{"account": "shop", "endpoint": "getupstreammsg", "dates": ["2026-11-20"]}]
    assert found["not_final"] == []


def test_means_of_people_count_silent_days_but_not_missing_ones(ask: Ask) -> None:
    """The mean of senders divides by the known days, in the range, by week, and for one account or several."""
    week = ("2026-11-16", "2026-11-22")

    assert values(ask("senders", *week, by="mean")) == [25]
    assert values(ask("senders", *week, by="week")) == [25]
    assert values(ask("messages", *week, by="mean")) == [50]
    found = ask("senders", "2026-11-18", "2026-11-23", by="mean", account=None)
    assert {each["account"]: each["value"] for each in found["rows"]} == {"shop": 36, "cafe": 5}
    assert "means per day" in str(found["notes"])
    assert values(ask("senders", "2026-11-18", "2026-11-18")) == [0]
    assert values(ask("senders", "2026-11-20", "2026-11-20")) == []
    assert "Nothing of this range is stored" in str(ask("senders", "2026-11-20", "2026-11-20")["notes"])


def test_rates_are_weighted_and_not_averaged(ask: Ask) -> None:
    """A rate over several days is that of all days together; without a base it is unknown, not 0."""
    assert values(ask("messages_per_sender", "2026-11-16", "2026-11-22", by="total")) == [2]
    assert values(ask("frequent_sender_share", "2026-11-16", "2026-11-17", by="total")) == [6.6667]
    assert values(ask("messages_per_sender", "2026-11-18", "2026-11-18")) == [None]


def test_a_level_is_not_added_over_days(ask: Ask) -> None:
    """Followers have no total over days; by day they are levels, and by mean their mean."""
    with pytest.raises(Refused, match=r"a level .*from 2026-11-23 to 2026-11-23"):
        ask("followers", "2026-11-16", by="total")
    assert values(ask("followers", "2026-11-22", "2026-11-23")) == [122, 123]
    assert values(ask("followers", "2026-11-22", "2026-11-23", by="mean")) == [122.5]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.metric)
def test_every_metric_is_answered_by_all_of_its_keys_or_refused_with_advice(
    metric: Any, ask: Ask, context: Context
) -> None:
    """Each metric is answered by each key that it names, and by total it is answered or refused with what to ask."""
    bind_account(context.con, Account("old", start=dt.date(2026, 9, 1), families=tuple(Family)), LATER)
    measure, days = Measure.of(metric), ("2026-09-01", "2026-11-23")
    for by in (None, *measure.keys):
        found = ask(metric.metric, *days, by, account="old")
        assert {"rows", "missing", "not_final", "notes", "sql"} <= set(found)
        context.con.execute(found["sql"])
    if "total" not in measure.keys:
        with pytest.raises(Refused, match="may not be added up"):
            ask(metric.metric, *days, "total", account="old")
    assert explain(context, metric.metric)["by"] == measure.keys


def test_what_is_not_additive_is_never_added_over_accounts(ask: Ask) -> None:
    """People of two accounts stay apart even if nobody asked for it; messages are added, and levels too."""
    people = ask("senders", "2026-11-23", "2026-11-23", account=None)
    messages = ask("messages", "2026-11-23", "2026-11-23", account=None)

    assert {each["account"]: each["value"] for each in people["rows"]} == {"shop": 60, "cafe": 5}
    assert values(messages) == [125]


def test_an_account_without_the_family_is_left_out_and_named(ask: Ask, context: Context) -> None:
    """Followers are those of the accounts that fetch them; the others are in a note, and missing if asked for alone."""
    found = ask("new_followers", "2026-11-23", "2026-11-23", account=None)
    alone = ask("new_followers", "2026-11-23", "2026-11-23", account="cafe")

    assert (found["accounts"], values(found), found["missing"]) == (["shop"], [23], [])
    assert {each["account"] for each in explain(context, "readers")["missing"]} == {"shop"}
    assert "WX_DATACUBE_FAMILIES lacks followers for cafe" in str(found["notes"])
    assert (values(alone), alone["missing"][0]["dates"]) == ([], ["2026-11-23"])


def test_weeks_count_as_a_whole_and_parts_of_them_are_noted(ask: Ask) -> None:
    """A week of its own endpoint is whole wherever the range begins; a sum of days says that it may be a part."""
    whole, part = (
        ask("messages", "2026-11-18", "2026-11-23", by="week"),
        ask("messages", "2026-11-16", "2026-11-22", "week"),
    )

    assert [(each["week"], each["value"]) for each in whole["rows"]] == [("2026-11-16", 240), ("2026-11-23", 120)]
    assert "only count days of the range" in str(whole["notes"])
    assert "only count days" not in str(part["notes"])
    assert "weekly_senders" in str(ask("senders", "2026-11-16", "2026-11-22", "week")["notes"])


def test_the_range_is_cut_to_what_wechat_has(ask: Ask) -> None:
    """Days before the history and days to come are noted, and a range without any other day is refused."""
    found = ask("messages", "2026-11-01", "today", by="total")

    assert (found["from"], found["to"]) == ("2026-11-16", "2026-11-23")
    assert "History begins on 2026-11-16" in str(found["notes"])
    assert "published ends on 2026-11-23" in str(found["notes"])
    with pytest.raises(Refused, match="morning after it ended"):
        ask("messages", "today")
    with pytest.raises(Refused, match="begins on 2026-11-16"):
        ask("messages", "last month")
    with pytest.raises(Refused, match="a month on the morning"):
        ask("monthly_senders", "this month")


def test_long_answers_are_refused_with_a_way_out(context: Context, con: duckdb.DuckDBPyConnection) -> None:
    """More rows than an assistant can read are refused."""
    bind_account(con, Account("old", start=dt.date(2014, 12, 1)), LATER)
    con.execute(
        "INSERT INTO datacube.getupstreammsg"
        " SELECT 'old', DATE '2020-01-01' + range::INTEGER, 1, 0, 1, 1, 1 FROM range(700)"
    )
    con.execute(
        "INSERT INTO datacube.label_answers SELECT 'old', 'getupstreammsg', DATE '2020-01-01' + range::INTEGER,"
        " 1, now(), true, true, 1, true, true, 1 FROM range(700)"
    )
    with pytest.raises(Refused, match="700 rows"):
        figures(context, "messages", "2020-01-01", "2021-12-31", account="old")
    assert values(figures(context, "messages", "2020-01-01", "2020-12-31", "total", "old")) == [366]


def test_a_view_of_articles_is_by_the_day_of_publishing(ask: Ask, context: Context) -> None:
    """Without articles, their number is 0 only where the publish dates are known, and there is no top."""
    assert ask("articles_listed", "2026-11-23")["rows"] == []
    found = top_articles(context, by="finish_rate", start="2026-11-16")
    assert (found["rows"], found["missing"][0]["endpoint"]) == ([], "getarticletotaldetail")
    with pytest.raises(Refused, match="minutes_per_reader"):
        top_articles(context, by="beauty")


def test_coverage_and_the_list_name_accounts_and_families(context: Context) -> None:
    """`coverage` says what is missing of an account, by its name or title; `list_metrics` has the titles."""
    found, listed = coverage(context, "2026-11-20", "2026-11-23", "灯下读书"), list_metrics(context, "followers")

    missing = {each["endpoint"]: each["dates"] for each in found["missing"]}
    assert missing["getupstreammsg"] == ["2026-11-20"]
    assert missing[DAILY_READING.name] == ["2026-11-20..2026-11-23"]
    assert found["accounts"][0]["families_off"] == ["interface"]
    assert found["accounts"][0]["newest_answer"]["getupstreammsg"] == "2026-11-23"
    assert [each["title"] for each in listed["accounts"]] == [None, "灯下读书"]
    assert [each["metric"] for each in listed["metrics"]][:2] == ["new_followers", "lost_followers"]


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-11-20", None, "2026-11-20", "2026-11-23"),
        ("2026-11-24", None, "2026-11-24", "2026-11-24"),
        ("2026-10", None, "2026-10-01", "2026-10-31"),
        ("2026-02", "2026-03", "2026-02-01", "2026-03-31"),
        ("2025", None, "2025-01-01", "2025-12-31"),
        ("Yesterday", None, "2026-11-23", "2026-11-23"),
        ("last 7 days", None, "2026-11-17", "2026-11-23"),
        ("this week", None, "2026-11-23", "2026-11-24"),
        ("last  week", None, "2026-11-16", "2026-11-22"),
        ("week before last", "last week", "2026-11-09", "2026-11-22"),
        ("last month", None, "2026-10-01", "2026-10-31"),
        ("month before last", "last month", "2026-09-01", "2026-10-31"),
        ("this year", None, "2026-01-01", "2026-11-24"),
        ("last year", None, "2025-01-01", "2025-12-31"),
        ("2026-11-01", "yesterday", "2026-11-01", "2026-11-23"),
    ],
)
def test_dates_and_words_mean_ranges(start: str, end: str | None, first: str, last: str) -> None:
    """Days, months, years and words mean ranges of days, both ends included."""
    assert range_of(start, end, dt.date(2026, 11, 24)) == (dt.date.fromisoformat(first), dt.date.fromisoformat(last))


@pytest.mark.parametrize("text", ["soon", "2026-13", "2026-02-30", "11/23/2026", "last 99999 days", " ", "0000"])
def test_other_texts_are_no_dates(text: str) -> None:
    """Any other text is refused with the words that would be right."""
    with pytest.raises(Refused, match="YYYY-MM-DD, YYYY-MM, YYYY, or one of: today, yesterday"):
        range_of(text, None, dt.date(2026, 11, 24))
