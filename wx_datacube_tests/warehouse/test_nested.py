"""Nested answers: which rows of nested lists are stored, and which are rejected with which reason and path.

Add a test here when WeChat sends another kind of nested row. Which labels an answer leaves open, and what counts as
growth, is in `test_open_labels.py`. That the rules hold for any sequence of answers is in `test_replay.py`.
"""

import datetime as dt
import json
from typing import Any

import pytest

from wx_datacube.catalog.articles import ARTICLE_READING, DAILY_READING, PUBLISHED_ARTICLES
from wx_datacube.catalog.model import Endpoint
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import DAY, Row, answered, day, rows_of

LABEL = day(4)
ODD_TITLES = [
    'It\'s "quoted"',
    "back\\slash",
    "读者 😀👩‍👩‍👧",
    "<b>bold</b> &amp; <script>",
    "\u202eright to left\u202c",
    "",
    " a\n",
]


def article(*details: Any, msgid: Any = "1_1", **others: Any) -> Row:
    """Build a row of an article published on the 4th."""
    made = {"ref_date": str(LABEL), "msgid": msgid, "publish_type": 0, "title": "T", "content_url": "https://u"}
    return made | {"detail_list": list(details)} | others


def detail(after: int = 1, readers: Any = 1, **others: Any) -> Row:
    """Build an article's figures up to `after` days after publishing."""
    names = ("share_user", "zaikan_user", "like_user", "comment_count", "collection_user")
    return {"stat_date": str(LABEL + after * DAY), "read_user": readers} | dict.fromkeys(names, 0) | others


def scenes(*users: Any) -> list[Row]:
    """Build readers by source: these numbers for 全部, 推荐 and 搜一搜."""
    return [{"scene_desc": s, "user_count": n} for s, n in zip(["全部", "推荐", "搜一搜"], users, strict=False)]


def store(
    con: Connection,
    *rows: Any,
    days: int = 1,
    time: dt.time = dt.time(15),
    endpoint: Endpoint = PUBLISHED_ARTICLES,
    delay: Any = ...,
    refresh: bool = False,
) -> None:
    """Store an answer for the 4th that was requested so many days later."""
    said = {} if delay is ... else {"is_delay": delay}
    at = dt.datetime.combine(LABEL + days * DAY, time)
    response = json.dumps(said | {"list": rows}, ensure_ascii=False)
    store_calls(con, [answered(endpoint, LABEL, at=at, refresh=refresh, response=response)])


def rejected(con: Connection) -> list[tuple[str | None, str]]:
    """Return path and reason of each rejected row."""
    return rows_of(con, "SELECT path, reason FROM datacube.rejected_rows ORDER BY call_id, path NULLS FIRST")


def articles(con: Connection) -> list[str]:
    """Return the stored articles."""
    return [msgid for (msgid,) in rows_of(con, "SELECT msgid FROM datacube.getarticletotaldetail ORDER BY ALL")]


def figures(con: Connection) -> list[tuple[str, int, int]]:
    """Return msgid, days after publishing and readers of the stored figures."""
    sql = "SELECT msgid, stat_date - ref_date, read_user FROM datacube.getarticletotaldetail__detail_list ORDER BY ALL"
    return rows_of(con, sql)


def sources(con: Connection) -> list[tuple[str, int]]:
    """Return source and readers of the stored rows by source of the articles."""
    table = "getarticletotaldetail__detail_list__read_user_source"
    return rows_of(con, f"SELECT scene_desc, user_count FROM datacube.{table} ORDER BY user_count")


def positions(con: Connection) -> list[tuple[int, float]]:
    """Return the stored rows about where readers left."""
    table = "getarticletotaldetail__detail_list__read_jump_position"
    return rows_of(con, f"SELECT position, rate FROM datacube.{table} ORDER BY ALL")


# --- what is stored ---------------------------------------------------------------------------------------------


def test_each_nested_list_is_a_table_with_the_key_of_its_parent(con: Connection) -> None:
    """Articles, their figures, sources and positions are four tables; 全部 is stored as a row."""
    store(con, article(detail(read_user_source=scenes(3, 2), read_jump_position=[{"position": 1, "rate": 0.5}])))

    table = "datacube.getarticletotaldetail"
    assert rows_of(con, f"FROM {table}") == [("shop", LABEL, "1_1", 0, "T", "https://u", 1)]
    assert rows_of(con, f"FROM {table}__detail_list__read_user_source ORDER BY user_count") == [
        ("shop", LABEL, "1_1", day(5), "推荐", 2, 1),
        ("shop", LABEL, "1_1", day(5), "全部", 3, 1),
    ]
    assert rows_of(con, f"FROM {table}__detail_list__read_jump_position") == [("shop", LABEL, "1_1", day(5), 1, 0.5, 1)]
    assert rows_of(con, f"FROM {table}__detail_list") == [
        ("shop", LABEL, "1_1", day(5), 1, 0, 0, 0, 0, 0, None, None, None, None, None, 1)
    ]
    assert rejected(con) == []


def test_fields_of_an_object_are_columns_of_the_row(con: Connection) -> None:
    """The fields of `detail` are columns, and the list within it is a table."""
    row = {"ref_date": str(LABEL), "msgid": "1_1", "detail": {"read_user": 5, "read_user_source": scenes(5)}}
    store(con, row, endpoint=ARTICLE_READING)

    assert rows_of(con, "FROM datacube.getarticleread") == [("shop", LABEL, "1_1", 5, 1)]
    assert rows_of(con, "FROM datacube.getarticleread__read_user_source") == [("shop", LABEL, "1_1", "全部", 5, 1)]


@pytest.mark.parametrize("lists", [{}, {"read_user_source": None, "read_jump_position": None}])
def test_a_nested_list_may_be_absent_or_null(con: Connection, lists: Row) -> None:
    """A nested list that is absent or null counts as empty."""
    store(con, article(detail(**lists)))

    assert (figures(con), sources(con), rejected(con)) == ([("1_1", 1, 1)], [], [])


@pytest.mark.parametrize("title", ODD_TITLES)
def test_a_title_is_stored_unchanged(con: Connection, title: str) -> None:
    """Quotes, emoji, HTML, marks for the direction of writing and blanks stay in a title as they are."""
    store(con, article(title=title))

    assert rows_of(con, "SELECT title FROM datacube.getarticletotaldetail") == [(title,)]


def test_title_and_url_may_be_missing(con: Connection) -> None:
    """Answers before March 2026 have no title and no address; null counts as absent."""
    old = article(msgid="1_2", title=None)
    del old["content_url"]
    store(con, old)

    found = rows_of(con, "SELECT title, content_url FROM datacube.getarticletotaldetail")
    assert (found, rejected(con)) == ([(None, None)], [])


def test_a_rate_may_be_a_whole_number(con: Connection) -> None:
    """WeChat writes 1 for a rate of 1.0."""
    store(con, article(detail(read_finish_rate=1, read_jump_position=[{"position": 5, "rate": 1}])))

    assert rows_of(con, "SELECT read_finish_rate FROM datacube.getarticletotaldetail__detail_list") == [(1.0,)]
    assert (positions(con), rejected(con)) == ([(5, 1.0)], [])


# --- what is rejected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"read_user": "1"}, "wrong_type"),
        ({"read_user": 1.0}, "wrong_type"),
        ({"read_user": None}, "wrong_type"),
        ({"read_user": True}, "wrong_type"),
        ({"read_user": [1]}, "wrong_type"),
        ({"read_finish_rate": "0.5"}, "wrong_type"),
        ({"praise_money": 0.5}, "wrong_type"),
        ({"stat_date": 20261105}, "wrong_type"),
        ({"stat_date": "2026-11-31"}, "bad_value"),
        ({"stat_date": "2026-11-5"}, "bad_value"),
        ({"read_user": -1}, "bad_value"),
        ({"read_user": 2**63}, "bad_value"),
        ({"read_finish_rate": -0.1}, "bad_value"),
    ],
)
def test_a_nested_row_with_a_wrong_field_is_rejected_alone(con: Connection, fields: Row, reason: str) -> None:
    """Only the row with the wrong field is rejected, with its nested rows; the article and its other rows stay."""
    wrong = detail(2, read_user_source=scenes(7)) | fields
    store(con, article(detail(1, 5), wrong, detail(3, 6)))

    assert (figures(con), sources(con)) == ([("1_1", 1, 5), ("1_1", 3, 6)], [])
    assert rejected(con) == [("$.list[0].detail_list[1]", reason)]


def test_an_infinite_rate_is_rejected(con: Connection) -> None:
    """A number too large for a DOUBLE is a bad value."""
    text = json.dumps({"list": [article(detail(read_finish_rate=0.5))]}).replace("0.5", "1e999")
    store_calls(con, [answered(PUBLISHED_ARTICLES, LABEL, response=text)])

    assert (figures(con), rejected(con)) == ([], [("$.list[0].detail_list[0]", "bad_value")])


def test_a_nested_row_without_a_required_field_is_rejected(con: Connection) -> None:
    """A missing field is the first of the reasons, also for an item that is no object."""
    short = detail(1, "1")
    del short["share_user"]
    store(con, article(short, 7, None))

    assert rejected(con) == [(f"$.list[0].detail_list[{place}]", "missing_field") for place in range(3)]


@pytest.mark.parametrize("after", [-1, 31])
def test_a_stat_date_outside_its_thirty_days_is_rejected(con: Connection, after: int) -> None:
    """Figures before the publish date, or for more than 30 days after it, are outside the window."""
    store(con, article(detail(0), detail(after), detail(30)), days=40)

    assert [figure[1] for figure in figures(con)] == [0, 30]
    assert rejected(con) == [("$.list[0].detail_list[1]", "outside_window")]


def test_a_stat_date_before_2014_is_outside_the_window(con: Connection) -> None:
    """Every `stat_date` outside its 30 days has the same reason, however old it is."""
    store(con, article(detail(stat_date="2014-11-30")))

    assert rejected(con) == [("$.list[0].detail_list[0]", "outside_window")]


def test_a_list_that_is_no_array_is_one_rejected_row(con: Connection) -> None:
    """`read_jump_position` as an object is rejected as it came; the figures and the sources beside it stay."""
    store(con, article(detail(read_user_source=scenes(3), read_jump_position={"position": 1, "rate": 0.5})))

    assert (figures(con), sources(con), positions(con)) == ([("1_1", 1, 1)], [("全部", 3)], [])
    assert rejected(con) == [("$.list[0].detail_list[0].read_jump_position", "wrong_type")]
    assert [json.loads(row) for (row,) in rows_of(con, "SELECT row FROM datacube.rejected_rows")] == [
        {"position": 1, "rate": 0.5}
    ]


@pytest.mark.parametrize("inside", [[], [{"read_user": 1}], None, 7, "detail"])
def test_an_object_that_is_none_makes_the_row_wrong(con: Connection, inside: Any) -> None:
    """`detail` as a list, a number, a text or null is a wrong type, with no nested rows."""
    store(con, {"ref_date": str(LABEL), "msgid": "1_1", "detail": inside}, endpoint=ARTICLE_READING)

    assert rejected(con) == [(None, "wrong_type")]
    assert rows_of(con, "FROM datacube.getarticleread") == []


@pytest.mark.parametrize("row", [{}, {"detail": {}}])
def test_fields_of_an_absent_object_are_missing(con: Connection, row: Row) -> None:
    """A row without `detail`, or with an empty one, lacks required fields."""
    store(con, {"ref_date": str(LABEL), "msgid": "1_1"} | row, endpoint=ARTICLE_READING)

    assert rejected(con) == [(None, "missing_field")]


def test_the_second_row_of_an_article_is_a_duplicate(con: Connection) -> None:
    """If an answer has an article twice, the first row stays, and the second one's figures appear nowhere."""
    store(con, article(detail(1, 5)), article(detail(1, 6), detail(2, 7), detail(2, 8)))

    assert (figures(con), rejected(con)) == ([("1_1", 1, 5)], [(None, "duplicate_key")])


def test_a_nested_key_is_unique_within_its_parent(con: Connection) -> None:
    """Two articles may have figures for the same day; one article may not."""
    store(con, article(detail(1, 5), detail(1, 6)), article(detail(1, 7), msgid="1_2"))

    assert figures(con) == [("1_1", 1, 5), ("1_2", 1, 7)]
    assert rejected(con) == [("$.list[0].detail_list[1]", "duplicate_key")]


@pytest.mark.parametrize(
    ("endpoint", "text", "path"),
    [
        (PUBLISHED_ARTICLES, '{"msgid":"1_1","title":"a","title":"a"}', None),
        (PUBLISHED_ARTICLES, '{"msgid":"1_1","detail_list":[],"detail_list":[]}', None),
        (ARTICLE_READING, '{"msgid":"1_1","detail":{"read_user":1},"detail":{"read_user":1}}', None),
        (ARTICLE_READING, '{"msgid":"1_1","detail":{"read_user":1,"read_user":1}}', None),
        (
            ARTICLE_READING,
            '{"msgid":"1_1","detail":{"read_user":1,"read_user_source":[{"scene_desc":"a","user_count":1,"user_count":1}]}}',
            "$.list[0].detail.read_user_source[0]",
        ),
    ],
)
def test_a_field_that_is_there_twice_is_a_bad_value(
    con: Connection, endpoint: Endpoint, text: str, path: str | None
) -> None:
    """A column, a list or an object that is there twice makes the row wrong, since either may be meant."""
    dated = text.replace("{", f'{{"ref_date":"{LABEL}",', 1)
    store_calls(con, [answered(endpoint, LABEL, response=f'{{"list":[{dated}]}}')])

    assert rejected(con) == [(path, "bad_value")]


def test_unknown_fields_may_be_there_twice(con: Connection) -> None:
    """Fields that no column holds are ignored, at every depth."""
    made = json.dumps({"list": [article(detail(new={"x": 1}), new=1)]}).replace('"new"', '"new":0,"new"')
    store_calls(con, [answered(PUBLISHED_ARTICLES, LABEL, response=made)])

    assert (figures(con), rejected(con)) == ([("1_1", 1, 1)], [])


def test_a_wrong_source_is_rejected_with_its_path(con: Connection) -> None:
    """A path counts from 0, rejected rows included, and follows objects and lists."""
    wrong = {"scene_desc": 1, "user_count": 1}
    row = detail(2, read_user_source=[wrong, *scenes(2), wrong])
    store(con, 7, article(detail(1), row))

    assert rejected(con) == [
        (None, "missing_field"),
        ("$.list[1].detail_list[1].read_user_source[0]", "wrong_type"),
        ("$.list[1].detail_list[1].read_user_source[2]", "wrong_type"),
    ]
    assert sources(con) == [("全部", 2)]


def test_a_path_leads_through_the_object(con: Connection) -> None:
    """The list of `getbizsummary` is within `detail`, and its path says so."""
    names = ("read_user", "share_user", "zaikan_user", "like_user", "comment_count", "collection_user")
    inside = dict.fromkeys(names, 1) | {"read_user_source": [*scenes(2), {}]}
    store(con, {"ref_date": str(LABEL), "detail": inside}, endpoint=DAILY_READING)

    assert rejected(con) == [("$.list[0].detail.read_user_source[1]", "missing_field")]
    assert len(rows_of(con, "FROM datacube.getbizsummary__read_user_source")) == 1


def test_a_rejected_nested_row_leaves_the_label_clean(con: Connection) -> None:
    """A rejected nested row makes only its own table unsure; a rejected article makes the label unclean."""
    store(con, article(7))
    assert rows_of(con, "SELECT clean, shown FROM datacube.label_answers") == [(True, 1)]

    store(con, article(), article(msgid=7))
    assert rows_of(con, "SELECT clean, shown FROM datacube.label_answers") == [(False, 1)]
