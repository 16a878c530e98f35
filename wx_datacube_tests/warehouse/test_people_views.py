"""Views of followers, articles and the interface: every figure equals the rows of the tables, which are made by hand.

Add a test here when such a view is added, or shows a figure in another way. The views of messages are in
`test_views.py`.
"""

import datetime as dt
import re
from collections.abc import Iterator

import duckdb
import pytest

from wx_datacube.warehouse.schema import create_statements
from wx_datacube.warehouse.views import VIEWS

MESSAGES, SENDERS, TOTALS = "users messages", "messages_sent users", "users messages messages_per_user"
READS = "readers sharers likes hearts comments saves"
CONTRACT = {
    **{f"messages_{each}": f"account date type {MESSAGES}" for each in ("daily", "weekly", "monthly")},
    "messages_hourly": f"account date hour type {MESSAGES}",
    **{f"senders_{each}": f"account date {SENDERS}" for each in ("daily", "weekly", "monthly")},
    **{f"totals_{each}": f"account date {TOTALS}" for each in ("daily", "weekly", "monthly")},
    "followers_daily": "account date source new_followers lost_followers",
    "followers_total": "account date followers",
    "reads_daily": f"account date {READS} original_link_readers articles_published",
    "reads_by_source_daily": "account date source readers",
    "articles": f"account article title url published_on notified days {READS} new_followers reward_fen delivery_rate"
    " finish_rate minutes_per_reader final",
    "article_days": f"account article published_on day date {READS} new_followers",
    "interface_daily": "account date calls failures mean_ms max_ms",
    "interface_hourly": "account date hour calls failures mean_ms max_ms",
}
ARTICLES = "getarticletotaldetail"
DETAILS = f"{ARTICLES}__detail_list"
NO_FIGURES = (None,) * 11


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    """Provide an empty warehouse in memory."""
    with duckdb.connect(config={"threads": 1}) as con:
        for statement in create_statements():
            con.execute(statement)
        yield con


def day(number: int) -> dt.date:
    """Return a day of November 2026, or of a later month for numbers above 30."""
    return dt.date(2026, 10, 31) + dt.timedelta(days=number)


def insert(con: duckdb.DuckDBPyConnection, table: str, *rows: tuple[object, ...]) -> None:
    """Store rows of a table of WeChat's figures, given without `call_id`."""
    con.executemany(f"INSERT INTO datacube.{table} VALUES ({', '.join('?' * len(rows[0]))}, 1)", rows)


def answer(con: duckdb.DuckDBPyConnection, final: bool | None, label: dt.date, **others: str) -> None:
    """Store that a label has been answered for, and whether it is final."""
    row = {"account": "shop", "endpoint": ARTICLES, "label": label, "final": final, **others}
    con.execute(
        "INSERT INTO datacube.label_answers (account, endpoint, label, final)"
        " VALUES ($account, $endpoint, $label, $final)",
        row,
    )


def rows(con: duckdb.DuckDBPyConnection, view: str) -> list[tuple[object, ...]]:
    """Return all rows of a view or a query, sorted."""
    return con.execute(f"FROM {view} ORDER BY ALL").fetchall()


# --- the contract -----------------------------------------------------------------------------------------------


def test_the_views_are_those_of_the_contract(db: duckdb.DuckDBPyConnection) -> None:
    """The schema `main` has exactly the contract's views, with its columns in its order, of the declared types."""
    columns = db.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE schema_name = 'main' AND NOT internal ORDER BY table_name, column_index"
    ).fetchall()

    found: dict[str, dict[str, str]] = {}
    for view, column, kind in columns:
        found.setdefault(view, {})[column] = kind
    assert {view: " ".join(names) for view, names in found.items()} == CONTRACT
    assert {view.name: {name: kind for name, (kind, _) in view.columns.items()} for view in VIEWS} == found


def test_every_view_and_column_is_explained_in_both_languages(db: duckdb.DuckDBPyConnection) -> None:
    """Each view and each of its columns has a comment with an English and a Chinese sentence."""
    found = db.execute(
        """
        SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal UNION ALL
        SELECT table_name || '.' || column_name, comment FROM duckdb_columns()
        WHERE schema_name = 'main' AND NOT internal
        """
    ).fetchall()

    assert [
        name for name, comment in found if not re.fullmatch(r"[A-Z].+\. .*[\u4e00-\u9fff].*。", comment or "")
    ] == []
    assert len(found) == len(CONTRACT) + sum(len(columns.split()) for columns in CONTRACT.values())


# --- followers --------------------------------------------------------------------------------------------------


def test_followers_are_shown_by_channel(db: duckdb.DuckDBPyConnection) -> None:
    """`followers_daily` shows channels in words, unknown ones by number, and keeps accounts apart."""
    insert(
        db,
        "getusersummary",
        ("shop", day(1), 0, 3, 5),
        ("shop", day(1), 30, 149, 1),
        ("shop", day(1), 9999, 2, 0),
        ("shop", day(1), -1, 0, 7),
        ("shop", day(2), 201, 1, 0),
        ("news", day(1), 0, 10, 11),
    )

    assert rows(db, "followers_daily") == [
        ("news", day(1), "others", 10, 11),
        ("shop", day(1), "QR code", 149, 1),
        ("shop", day(1), "other (-1)", 0, 7),
        ("shop", day(1), "other (9999)", 2, 0),
        ("shop", day(1), "others", 3, 5),
        ("shop", day(2), "live", 1, 0),
    ]


def test_the_number_of_followers_is_shown(db: duckdb.DuckDBPyConnection) -> None:
    """`followers_total` shows the followers at the end of each day of each account."""
    insert(db, "getusercumulate", ("shop", day(1), 1210), ("shop", day(2), 0), ("news", day(1), 7))

    assert rows(db, "followers_total") == [
        ("news", day(1), 7),
        ("shop", day(1), 1210),
        ("shop", day(2), 0),
    ]


# --- reading ----------------------------------------------------------------------------------------------------


def test_reads_of_a_day_are_shown_under_plain_names(db: duckdb.DuckDBPyConnection) -> None:
    """`reads_daily` shows likes (赞) and hearts (在看) in their own columns; what an answer lacks is NULL."""
    # WeChat's order: read, share, zaikan, like, comment, collection, original link, articles
    insert(
        db,
        "getbizsummary",
        ("shop", day(1), 100, 10, 3, 4, 5, 6, 7, 2),
        ("shop", day(2), 1, 0, 0, 0, 0, 0, None, None),
        ("news", day(1), 9, 8, 7, 6, 5, 4, 3, 2),
    )

    assert rows(db, "reads_daily") == [
        ("news", day(1), 9, 8, 6, 7, 5, 4, 3, 2),
        ("shop", day(1), 100, 10, 4, 3, 5, 6, 7, 2),
        ("shop", day(2), 1, 0, 0, 0, 0, 0, None, None),
    ]


def test_readers_are_shown_by_source_without_the_total(db: duckdb.DuckDBPyConnection) -> None:
    """`reads_by_source_daily` shows sources in words, unknown ones as WeChat writes them, and leaves out 全部."""
    insert(
        db,
        "getbizsummary__read_user_source",
        ("shop", day(1), "全部", 100),
        ("shop", day(1), "公众号消息", 60),
        ("shop", day(1), "其他", 1),
        ("shop", day(1), "视频号", 40),
        ("shop", day(1), "it's ')", 2),
        ("news", day(1), "全部", 5),
        ("news", day(1), "搜一搜", 5),
    )

    assert rows(db, "reads_by_source_daily") == [
        ("news", day(1), "search", 5),
        ("shop", day(1), "account messages", 60),
        ("shop", day(1), "other (it's '))", 2),
        ("shop", day(1), "other (视频号)", 40),
        ("shop", day(1), "others", 1),
    ]


# --- articles ---------------------------------------------------------------------------------------------------


def test_an_article_shows_its_newest_figures(db: duckdb.DuckDBPyConnection) -> None:
    """`articles` shows the figures of the newest day, even if they fell; accounts with the same number are apart."""
    insert(
        db,
        ARTICLES,
        ("shop", day(1), "9_1", 0, "One", "https://mp.weixin.qq.com/s/1"),
        ("news", day(1), "9_1", 1, "Other", "https://mp.weixin.qq.com/s/2"),
        ("shop", day(2), "9_2", 0, "Two", "https://mp.weixin.qq.com/s/3"),
    )
    # WeChat's order: read, share, zaikan, like, comment, collection, fen, followers, delivery, finishing, minutes
    insert(
        db,
        DETAILS,
        ("shop", day(1), "9_1", day(3), 30, 3, 4, 5, 6, 7, 250, 8, 0.25, 0.5, 1.5),
        ("shop", day(1), "9_1", day(1), 10, 1, 1, 1, 1, 1, 100, 1, 0.1, 0.1, 0.1),
        ("shop", day(1), "9_1", day(2), 31, 2, 2, 2, 2, 2, 200, 2, 0.2, 0.2, 0.2),
        ("news", day(1), "9_1", day(30), 7, 0, 0, 0, 0, 0, None, None, None, None, None),
        ("shop", day(2), "9_2", day(2), 1, 0, 0, 0, 0, 0, 0, 0, 1.0, 1.0, 0.0),
    )

    found = rows(db, "articles")
    assert [row[:7] for row in found] == [
        ("news", "9_1", "Other", "https://mp.weixin.qq.com/s/2", day(1), False, 30),
        ("shop", "9_1", "One", "https://mp.weixin.qq.com/s/1", day(1), True, 3),
        ("shop", "9_2", "Two", "https://mp.weixin.qq.com/s/3", day(2), True, 1),
    ]
    assert [row[7:] for row in found] == [
        (7, 0, 0, 0, 0, 0, None, None, None, None, None, False),
        (30, 3, 5, 4, 6, 7, 8, 250, 0.25, 0.5, 1.5, False),
        (1, 0, 0, 0, 0, 0, 0, 0, 1.0, 1.0, 0.0, False),
    ]


def test_an_article_without_figures_is_shown(db: duckdb.DuckDBPyConnection) -> None:
    """An article without any day of figures is shown with NULL figures and 0 days; figures without one are not."""
    insert(db, ARTICLES, ("shop", day(1), "9_1", None, None, None))
    insert(db, DETAILS, ("news", day(1), "9_1", day(1), 7, 0, 0, 0, 0, 0, None, None, None, None, None))

    assert rows(db, "articles") == [("shop", "9_1", None, None, day(1), None, 0, *NO_FIGURES, False)]


def test_whether_followers_were_notified_is_unknown_unless_wechat_says_it(db: duckdb.DuckDBPyConnection) -> None:
    """`notified` is true for 0 and false for 1, and NULL for no code or an unknown one."""
    for number, code in enumerate([0, 1, None, 7, -1]):
        insert(db, ARTICLES, ("shop", day(1), f"9_{number}", code, None, None))

    assert rows(db, "(SELECT article, notified FROM articles)") == [
        ("9_0", True),
        ("9_1", False),
        ("9_2", None),
        ("9_3", None),
        ("9_4", None),
    ]


def test_an_article_is_final_when_its_label_is(db: duckdb.DuckDBPyConnection) -> None:
    """`final` is that of the publish date's answer: not of another account, endpoint or date; otherwise false."""
    for number in range(1, 6):
        insert(db, ARTICLES, ("shop", day(number), f"{number}_1", 0, None, None))
    answer(db, True, day(1))
    answer(db, False, day(2))
    answer(db, None, day(3))
    answer(db, True, day(4), account="news")
    answer(db, True, day(5), endpoint="getarticleread")

    assert rows(db, "(SELECT published_on, final FROM articles)") == [
        (day(1), True),
        *((day(number), False) for number in range(2, 6)),
    ]


TITLES = [
    'it\'s "quoted"; DROP TABLE articles; --',
    "🎉👨‍👩‍👧 新品",
    "<script>alert(1)</script><b>&amp;",
    "\u202eمرحبا\u202c",
    "a,b;c\t\r\n|%_\\",
    "",
]


@pytest.mark.parametrize("title", TITLES)
def test_titles_are_shown_as_wechat_wrote_them(title: str, db: duckdb.DuckDBPyConnection) -> None:
    """Titles with quotes, emoji, HTML, text from right to left, separators or nothing at all are shown unchanged."""
    insert(db, ARTICLES, ("shop", day(1), "9_1", 0, title, f"https://example.com/?t={title}"))

    assert db.execute("SELECT title, url FROM articles").fetchall() == [(title, f"https://example.com/?t={title}")]


def test_the_days_of_an_article_count_from_1(db: duckdb.DuckDBPyConnection) -> None:
    """`article_days` shows each day's cumulative figures; the day of publishing is 1, and missing days are left out."""
    insert(
        db,
        DETAILS,
        ("shop", day(1), "9_1", day(1), 10, 1, 2, 3, 4, 5, 100, 6, 0.1, 0.2, 0.3),
        ("shop", day(1), "9_1", day(30), 40, 4, 5, 6, 7, 8, 100, None, 0.1, 0.2, 0.3),
        ("news", day(30), "9_1", day(31), 1, 0, 0, 0, 0, 0, None, 0, None, None, None),
    )

    assert rows(db, "article_days") == [
        ("news", "9_1", day(30), 2, day(31), 1, 0, 0, 0, 0, 0, 0),
        ("shop", "9_1", day(1), 1, day(1), 10, 1, 3, 2, 4, 5, 6),
        ("shop", "9_1", day(1), 30, day(30), 40, 4, 6, 5, 7, 8, None),
    ]


# --- interface --------------------------------------------------------------------------------------------------


def test_calls_of_a_day_are_shown_with_their_mean_time(db: duckdb.DuckDBPyConnection) -> None:
    """`interface_daily` divides the time of all calls by their number; the mean of no calls is NULL."""
    insert(
        db,
        "getinterfacesummary",
        ("shop", day(1), 3, 1, 10, 5),
        ("shop", day(2), 0, 0, 0, 0),
        ("news", day(1), 2**62, 0, 2**62, 2**63 - 1),
    )

    assert rows(db, "interface_daily") == [
        ("news", day(1), 2**62, 0, 1.0, 2**63 - 1),
        ("shop", day(1), 3, 1, pytest.approx(10 / 3), 5),
        ("shop", day(2), 0, 0, None, 0),
    ]


def test_hours_of_calls_run_from_0_to_23(db: duckdb.DuckDBPyConnection) -> None:
    """`interface_hourly` shows hours from 0 to 23."""
    insert(
        db,
        "getinterfacesummaryhour",
        ("shop", day(1), 0, 4, 0, 10, 5),
        ("shop", day(1), 900, 0, 0, 0, 0),
        ("shop", day(1), 2300, 1, 1, 5000, 5000),
        ("news", day(1), 2300, 2, 0, 1, 1),
    )

    assert rows(db, "interface_hourly") == [
        ("news", day(1), 23, 2, 0, 0.5, 1),
        ("shop", day(1), 0, 4, 0, 2.5, 5),
        ("shop", day(1), 9, 0, 0, None, 0),
        ("shop", day(1), 23, 1, 1, 5000.0, 5000),
    ]
