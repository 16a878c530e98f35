"""Metrics: every figure of the dictionary, over two accounts and two days of rows made by hand.

Add a metric's values to `COUNTED` when it is added to the dictionary; they are counted by hand from `ROWS`.
"""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import astuple

import duckdb
import pytest

from wx_datacube.catalog.metrics import METRICS, Additive, Metric
from wx_datacube.warehouse.schema import create_statements
from wx_datacube.warehouse.views import VIEWS

D1, D2 = "2026-11-02", "2026-11-03"
DETAILS = "getarticletotaldetail__detail_list"
UNKNOWN = None

# Rows by table, without `call_id`.
ROWS: dict[str, list[tuple[object, ...]]] = {
    "getupstreammsg": [
        ("shop", D1, 1, 0, 8, 20),
        ("shop", D1, 2, 0, 3, 10),
        ("shop", D2, 1, 0, 4, 12),
        ("news", D1, 1, 0, 5, 5),
        ("news", D2, 1, 0, 40, 100),  # the distribution of this day is missing
    ],
    "getupstreammsghour": [
        ("shop", D1, 0, 1, 0, 2, 3),
        ("shop", D1, 2300, 1, 0, 1, 4),
        ("shop", D2, 900, 1, 0, 1, 5),
        ("news", D1, 900, 1, 0, 9, 11),
    ],
    "getupstreammsgdist": [
        ("shop", D1, 0, 0, 50),
        ("shop", D1, 1, 0, 9),
        ("shop", D1, 3, 0, 1),
        ("shop", D2, 1, 0, 4),
        ("news", D1, 1, 0, 5),
    ],
    "getupstreammsgdistweek": [
        ("shop", "2026-11-02", 1, 0, 20),
        ("shop", "2026-11-09", 2, 0, 30),
        ("news", "2026-11-02", 1, 0, 7),
    ],
    "getupstreammsgdistmonth": [
        ("shop", "2026-11-01", 1, 0, 40),
        ("shop", "2026-12-01", 1, 0, 60),
        ("news", "2026-11-01", 1, 0, 8),
    ],
    "getusersummary": [
        ("shop", D1, 0, 10, 2),
        ("shop", D1, 30, 20, 4),
        ("shop", D2, 30, 5, 8),
        ("news", D1, 1, 0, 3),
    ],
    "getusercumulate": [("shop", D1, 1000), ("shop", D2, 1010), ("news", D1, 200), ("news", D2, 190)],
    # readers, sharers, hearts, likes, comments, saves, readers of the original link, articles published
    "getbizsummary": [
        ("shop", D1, 100, 10, 3, 4, 5, 6, 7, 2),
        ("shop", D2, 50, 1, 1, 2, 3, 4, 1, None),
        ("news", D1, 40, 8, 2, 1, 9, 3, 5, 1),
    ],
    "getbizsummary__read_user_source": [
        ("shop", D1, "全部", 100),
        ("shop", D1, "公众号消息", 70),
        ("shop", D1, "朋友圈", 40),
        ("shop", D2, "搜一搜", 10),
        ("news", D1, "推荐", 30),
    ],
    "getarticletotaldetail": [
        ("shop", D1, "1_1", 0, "A", "https://a"),
        ("shop", D1, "1_2", 1, "B", "https://b"),  # has no figures yet
        ("shop", D2, "2_1", UNKNOWN, None, None),
        ("news", D1, "3_1", 1, "D", "https://d"),
        ("news", D2, "4_1", 0, "E", "https://e"),
    ],
    # readers, sharers, hearts, likes, comments, saves, fen, new followers, delivery, finishing, minutes
    DETAILS: [
        ("shop", D1, "1_1", "2026-11-02", 60, 2, 1, 1, 1, 1, 0, 1, 0.1, 0.1, 1.0),
        ("shop", D1, "1_1", "2026-11-08", 150, 9, 2, 2, 2, 2, 50, 5, 0.15, 0.3, 1.5),
        ("shop", D1, "1_1", "2026-12-01", 200, 20, 3, 4, 5, 6, 150, 10, 0.2, 0.5, 2.0),
        ("shop", D2, "2_1", "2026-11-03", 80, 1, 0, 0, 0, 0, None, 0, 0.05, 0.1, 0.1),
        ("shop", D2, "2_1", "2026-11-09", 100, 5, 1, 1, 1, 1, None, 1, 0.1, 0.4, 0.5),
        ("news", D1, "3_1", "2026-11-02", 10, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.1, 0.1),
        ("news", D1, "3_1", "2026-11-08", 20, 1, 1, 1, 1, 1, 0, 1, 0.0, 0.2, 0.5),
        ("news", D1, "3_1", "2026-12-01", 40, 4, 2, 2, 2, 2, 50, 2, 0.0, 0.25, 1.0),
        ("news", D2, "4_1", "2026-11-03", 25, 1, 0, 0, 0, 0, None, None, 0.1, None, None),
        ("news", D2, "4_1", "2026-12-02", 30, 3, 1, 1, 1, 1, None, None, 0.3, None, None),
    ],
    # calls, failures, milliseconds of all, milliseconds of the slowest
    "getinterfacesummary": [
        ("shop", D1, 100, 5, 2000, 900),
        ("shop", D2, 50, 0, 500, 100),
        ("news", D1, 0, 0, 0, 0),
        ("news", D2, 10, 1, 1000, 950),
    ],
    "getinterfacesummaryhour": [
        ("shop", D1, 0, 10, 0, 100, 50),
        ("shop", D1, 2300, 5, 0, 100, 30),
        ("shop", D2, 900, 5, 0, 300, 200),
        ("news", D1, 900, 20, 0, 200, 20),
    ],
}

# The value for the first day of the account "shop", and the value over all rows.
COUNTED: dict[str, tuple[float, float]] = {
    "messages": (30, 147),
    "senders": (10, 19 / 3),
    "messages_per_sender": (3, 47 / 19),
    "weekly_senders": (20, 19),
    "monthly_senders": (40, 36),
    "messages_by_hour": (7, 23),
    "frequent_sender_share": (10, 100 / 19),
    "new_followers": (30, 35),
    "lost_followers": (6, 17),
    "net_followers": (24, 18),
    "unfollow_rate": (20, 1700 / 35),
    "followers": (1000, 1200),
    "readers": (100, 190 / 3),
    "sharers": (10, 19 / 3),
    "share_rate": (10, 10),
    "likes": (4, 7 / 3),
    "hearts": (3, 2),
    "comments": (5, 17),
    "saves": (6, 13 / 3),
    "original_link_readers": (7, 13 / 3),
    "articles_published": (2, 3),
    "readers_by_source": (55, 37.5),
    "articles_listed": (2, 5),
    "article_readers": (200, 370),
    "readers_per_article": (200, 92.5),
    "median_readers": (200, 70),
    "article_sharers": (20, 32),
    "article_share_rate": (10, 3200 / 370),
    "article_likes": (4, 8),
    "article_hearts": (3, 7),
    "article_saves": (6, 10),
    "article_new_followers": (10, 13),
    "follow_rate": (5, 1300 / 340),
    "rewards": (1.5, 2),
    "delivery_rate": (20, 20),
    "finish_rate": (50, 15000 / 340),
    "minutes_per_reader": (2, 490 / 340),
    "readers_day_1": (60, 42.5),
    "readers_day_7": (150, 100),
    "readers_day_30": (200, 40),
    "calls": (100, 160),
    "failures": (5, 6),
    "failure_rate": (5, 3.75),
    "mean_ms": (20, 21.875),
    "max_ms": (900, 950),
    "mean_ms_by_hour": (200 / 15, 17.5),
}

each_metric = pytest.mark.parametrize("metric", METRICS, ids=[metric.metric for metric in METRICS])


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Provide a warehouse with the rows of `ROWS`."""
    with duckdb.connect(config={"threads": 1}) as con:
        for statement in create_statements():
            con.execute(statement)
        for table, rows in ROWS.items():
            places = ", ".join("?" * len(rows[0]))
            con.executemany(f"INSERT INTO datacube.{table} VALUES ({places}, 1)", rows)
        yield con


def time_of(metric: Metric) -> str:
    """Return the column of the metric's view that holds the day; articles count by the day of publishing."""
    return "published_on" if metric.view in ("articles", "article_days") else "date"


def value_of(con: duckdb.DuckDBPyConnection, metric: Metric, condition: str = "true") -> float:
    """Return the metric over the rows that meet a condition."""
    ((found,),) = con.execute(f"SELECT {metric.expression} FROM {metric.view} WHERE {condition}").fetchall()
    return float(found)


def sum_over(con: duckdb.DuckDBPyConnection, metric: Metric, column: str, condition: str = "true") -> float:
    """Add up the metric's values of each day or each account, as a person would who takes it for additive."""
    sql = f"SELECT {metric.expression} FROM {metric.view} WHERE {condition} GROUP BY {column}"
    values = [found for (found,) in con.execute(sql).fetchall()]
    assert len(values) > 1 or condition != "true"
    return sum(float(value) for value in values if value is not None)


def test_the_dictionary_has_every_figure_once() -> None:
    """Names are unique and in snake_case, and each metric's values are counted in this file."""
    names = [metric.metric for metric in METRICS]

    assert [name for name in names if not re.fullmatch("[a-z]+(_[a-z0-9]+)*", name)] == []
    assert len(names) == len(set(names))
    assert set(names) == set(COUNTED)


def test_every_new_view_has_a_metric() -> None:
    """Each metric is about a view for people, and each family's views have metrics."""
    views, measured = {view.name for view in VIEWS}, {metric.view for metric in METRICS}

    assert measured <= views
    assert {name for name in views if not name.startswith(("messages_", "senders_"))} <= measured


@each_metric
def test_a_metric_is_explained(metric: Metric) -> None:
    """A metric has a sentence in English, one in Chinese, and a unit."""
    assert re.fullmatch(r"[A-Z][^。]+\.", metric.description)
    assert re.fullmatch(r".*[\u4e00-\u9fff].*。", metric.description_zh)
    assert metric.unit in {"users", "messages", "articles", "comments", "calls", "%", "yuan", "minutes", "ms"}


@each_metric
def test_a_metric_is_what_was_counted_by_hand(con: duckdb.DuckDBPyConnection, metric: Metric) -> None:
    """A metric of one day of one account, and over everything, equals the figure counted by hand."""
    first = {"totals_monthly": "2026-11-01"}.get(metric.view, D1)
    of_one_day, of_all = COUNTED[metric.metric]

    assert value_of(con, metric, f"account = 'shop' AND {time_of(metric)} = '{first}'") == pytest.approx(of_one_day)
    assert value_of(con, metric) == pytest.approx(of_all)


@each_metric
def test_a_metric_adds_up_over_days_only_if_it_is_additive(con: duckdb.DuckDBPyConnection, metric: Metric) -> None:
    """The days of an additive metric add up to its value over all of them; those of any other metric don't."""
    whole = pytest.approx(value_of(con, metric))

    assert (sum_over(con, metric, time_of(metric)) == whole) == (metric.additive is Additive.YES)


@each_metric
def test_a_metric_adds_up_over_accounts_unless_it_is_not_additive(
    con: duckdb.DuckDBPyConnection, metric: Metric
) -> None:
    """The accounts of a metric add up to its value over all of them, unless it may not be added at all."""
    whole = pytest.approx(value_of(con, metric))

    assert (sum_over(con, metric, "account") == whole) == (metric.additive is not Additive.NO)


@each_metric
def test_a_metric_of_no_rows_is_no_error(con: duckdb.DuckDBPyConnection, metric: Metric) -> None:
    """Without rows, or with a base of zero, a metric is NULL or 0."""
    ((found,),) = con.execute(f"SELECT {metric.expression} FROM {metric.view} WHERE account = 'none'").fetchall()

    assert not found


def test_a_rate_without_a_base_is_null(con: duckdb.DuckDBPyConnection) -> None:
    """Rates and means of zero calls or zero new followers are NULL."""
    by_name = {metric.metric: metric for metric in METRICS}
    for name in ("failure_rate", "mean_ms", "unfollow_rate"):
        metric = by_name[name]
        sql = f"SELECT {metric.expression} FROM {metric.view} WHERE account = 'news' AND date = $date"
        assert con.execute(sql, {"date": dt.date.fromisoformat(D1)}).fetchall() == [(None,)]


def test_the_file_has_the_dictionary(con: duckdb.DuckDBPyConnection) -> None:
    """`datacube.metrics` holds every metric, in order, with the contract's three values of `additive`."""
    assert con.execute("FROM datacube.metrics").fetchall() == [astuple(metric) for metric in METRICS]
    assert {kind for (kind,) in con.execute("SELECT additive FROM datacube.metrics").fetchall()} == {
        "yes",
        "not over time",
        "no",
    }


def test_the_dictionary_of_an_older_version_is_replaced(con: duckdb.DuckDBPyConnection) -> None:
    """Creating what is missing in an existing file replaces the dictionary, and leaves each metric once."""
    con.execute("UPDATE datacube.metrics SET expression = 'old' WHERE metric = 'calls'")
    for statement in create_statements():
        con.execute(statement)

    assert con.execute("FROM datacube.metrics").fetchall() == [astuple(metric) for metric in METRICS]
