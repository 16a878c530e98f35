"""Open labels: answers that are delayed or whose figures grow, what they change, and when a label is final.

Add a test here when a rule about `is_delay`, about growth or about finality changes. Which nested rows are rejected is
in `test_nested.py`. That the rules hold for any sequence of answers is in `test_replay.py`.
"""

import datetime as dt
from typing import Any

import pytest

from wx_datacube.catalog.articles import ARTICLE_READING, ARTICLE_SHARING, PUBLISHED_ARTICLES
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State, states
from wx_datacube.warehouse.ledger import replay
from wx_datacube_tests.answers import LATER, MESSAGES, Row, row, rows_of
from wx_datacube_tests.warehouse.test_nested import LABEL, article, articles, detail, figures, scenes, sources, store

MORNING, NOON = dt.time(11, 59, 59), dt.time(12)


def shared(users: int = 1, msgid: str = "1_1") -> Row:
    """Build a row of users who shared an article on the 4th."""
    return {"ref_date": str(LABEL), "msgid": msgid, "detail": {"share_user": users}}


def sharers(con: Connection) -> list[tuple[str, int, int]]:
    """Return the stored rows of sharers: msgid, users and call."""
    return rows_of(con, "SELECT msgid, share_user, call_id FROM datacube.getarticleshare ORDER BY ALL")


def answer(con: Connection) -> tuple[Any, ...]:
    """Return the call that answered for the label, and what it proves."""
    return rows_of(con, "SELECT call_id, settled, clean, shown, known, final FROM datacube.label_answers")[0]


def is_final(con: Connection) -> bool:
    """Return whether the label is final."""
    return bool(answer(con)[-1])


def revised(con: Connection) -> list[tuple[Any, ...]]:
    """Return field, old and new of the revisions, whatever their type, with both calls."""
    sql = """SELECT field, coalesce(old::VARCHAR, old_rate::VARCHAR, old_text) AS before,
        coalesce(new::VARCHAR, new_rate::VARCHAR, new_text) AS after, old_call_id, new_call_id
        FROM datacube.revisions ORDER BY new_call_id, relation, field, msgid, stat_date, scene_desc"""
    return rows_of(con, sql)


def state(con: Connection, endpoint: Endpoint) -> State:
    """Return the state of the 4th."""
    return states(con, Account("shop", families=(Family.ARTICLES,)), LATER, endpoint)[endpoint.name][LABEL]


# --- delayed answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "delayed"),
    [
        *((each, True) for each in (True, "true", "TRUE", "True")),
        *((each, False) for each in (False, "false", "", "yes", 1, None, [True], {"true": True}, ...)),
    ],
)
def test_an_answer_is_delayed_if_it_says_true(con: Connection, delay: Any, delayed: bool) -> None:
    """`is_delay` may be a boolean or a text; anything else counts as not delayed."""
    store(con, shared(), endpoint=ARTICLE_SHARING, delay=delay)

    assert answer(con) == (1, not delayed, True, 1, True, not delayed)
    assert rows_of(con, "SELECT last_undelayed FROM datacube.label_answers") == [(None if delayed else 1,)]


def test_only_article_endpoints_have_delayed_answers(con: Connection) -> None:
    """`is_delay` in an answer about messages means nothing."""
    store(con, row(LABEL), endpoint=MESSAGES, delay=True)

    assert answer(con) == (1, True, True, 1, True, True)


def test_a_delayed_empty_answer_leaves_the_label_missing(con: Connection) -> None:
    """An answer that is delayed and empty proves nothing; the same undelayed makes the label empty."""
    store(con, endpoint=ARTICLE_SHARING, delay=True)
    assert (state(con, ARTICLE_SHARING), is_final(con)) == (State.MISSING, False)

    store(con, endpoint=ARTICLE_SHARING)
    assert (state(con, ARTICLE_SHARING), is_final(con)) == (State.EMPTY, True)


def test_what_replaces_a_delayed_figure_is_growth(con: Connection) -> None:
    """Delayed figures are stored and replaced without a revision, by delayed and by undelayed answers."""
    for users, delay in ((1, True), (2, True), (3, False)):
        store(con, shared(users), endpoint=ARTICLE_SHARING, delay=delay)
        assert sharers(con) == [("1_1", users, users)]
        assert is_final(con) is not delay

    assert revised(con) == []


def test_a_row_that_appears_after_a_delayed_answer_is_growth(con: Connection) -> None:
    """New rows of a label that is still open are no revision; after it is final, they are."""
    store(con, shared(), endpoint=ARTICLE_SHARING, delay=True)
    store(con, shared(), shared(2, "1_2"), endpoint=ARTICLE_SHARING)
    assert revised(con) == []

    store(con, shared(), shared(2, "1_2"), shared(3, "1_3"), endpoint=ARTICLE_SHARING)
    assert revised(con) == [("share_user", None, "3", 2, 3)]


def test_a_final_figure_that_changes_is_a_revision(con: Connection) -> None:
    """An undelayed answer that changes an undelayed figure is a revision."""
    store(con, shared(1), endpoint=ARTICLE_SHARING)
    store(con, shared(2), endpoint=ARTICLE_SHARING)

    assert revised(con) == [("share_user", "1", "2", 1, 2)]


def test_absence_in_a_delayed_answer_is_not_noted(con: Connection) -> None:
    """A delayed answer without a row removes nothing, also in a refresh, and is no revision."""
    store(con, shared(), shared(2, "1_2"), endpoint=ARTICLE_SHARING, delay=True)
    store(con, shared(), endpoint=ARTICLE_SHARING, delay=True, refresh=True)

    assert sharers(con) == [("1_1", 1, 1), ("1_2", 2, 1)]
    assert revised(con) == []


@pytest.mark.parametrize("refresh", [False, True])
def test_a_final_label_ignores_a_delayed_answer(con: Connection, refresh: bool) -> None:
    """A delayed answer about a final label changes no table; its rejected rows are listed all the same."""
    store(con, shared(), shared(2, "1_2"), endpoint=ARTICLE_SHARING)
    before = sharers(con), answer(con)
    store(con, shared(9), 7, endpoint=ARTICLE_SHARING, delay=True, refresh=refresh)

    assert (sharers(con), answer(con), revised(con)) == (*before, [])
    assert rows_of(con, "SELECT call_id, reason FROM datacube.rejected_rows") == [(2, "missing_field")]


def test_an_empty_label_ignores_a_delayed_answer(con: Connection) -> None:
    """An empty settled publish date is final: a delayed answer with rows leaves it empty, and its rows unknown.

    Rows in the next undelayed answer are the first ones, and no revision.
    """
    store(con)
    store(con, article(), delay=True)
    assert (state(con, PUBLISHED_ARTICLES), articles(con)) == (State.EMPTY, [])
    assert answer(con) == (1, True, True, 0, False, True)

    store(con, article())
    assert (articles(con), revised(con)) == (["1_1"], [])


def test_an_ignored_answer_is_ignored_within_a_batch_too(con: Connection) -> None:
    """The same three answers in one commit give the same: an ignored answer makes no row of the label known."""
    for rows, delay in (([], False), ([article()], True), ([article()], False)):
        store(con, *rows, delay=delay)
    replay(con)

    assert (articles(con), revised(con)) == (["1_1"], [])


# --- growing figures --------------------------------------------------------------------------------------------


def test_articles_and_figures_that_appear_are_growth(con: Connection) -> None:
    """Until day 30, new articles, days, sources and positions are no revisions."""
    store(con, article(detail(1, read_user_source=scenes(5))))
    grown = article(
        detail(1, read_user_source=scenes(5, 4), read_jump_position=[{"position": 1, "rate": 0.5}]), detail(2, 6)
    )
    store(con, grown, article(detail(2), msgid="1_2"), days=2)

    assert figures(con) == [("1_1", 1, 1), ("1_1", 2, 6), ("1_2", 2, 1)]
    assert sources(con) == [("推荐", 4), ("全部", 5)]
    assert (is_final(con), revised(con)) == (False, [])


def test_a_figure_of_an_open_label_that_changes_is_a_revision(con: Connection) -> None:
    """Figures of a past day don't grow: a changed one is a revision, also while the label is open."""
    old, new = (
        article(detail(1, n, read_finish_rate=n / 4, read_user_source=scenes(n)), title=f"T{n}") for n in (1, 2)
    )
    store(con, old)
    store(con, new, days=2)

    assert revised(con) == [
        ("title", "T1", "T2", 1, 2),
        ("read_finish_rate", "0.25", "0.5", 1, 2),
        ("read_user", "1", "2", 1, 2),
        ("user_count", "1", "2", 1, 2),
    ]


def test_a_delayed_figure_of_an_article_is_replaced_without_a_revision(con: Connection) -> None:
    """A growing label too may be delayed; only figures of undelayed answers are revised."""
    store(con, article(detail(1, 1)))
    store(con, article(detail(1, 1), detail(2, 5)), days=2, delay=True)
    store(con, article(detail(1, 1), detail(2, 6)), days=2)
    assert revised(con) == []

    store(con, article(detail(1, 1), detail(2, 7)), days=3)
    assert revised(con) == [("read_user", "6", "7", 3, 4)]


def test_an_article_that_vanished_is_one_revision(con: Connection) -> None:
    """A deleted article is one revision of its `msgid`; it stays stored with its figures and sources."""
    store(con, article(detail(1, read_user_source=scenes(1))), article(msgid="1_2"))
    for days in (2, 3):
        store(con, article(msgid="1_2"), days=days)

    assert revised(con) == [("msgid", "1_1", None, 1, 2)]
    assert (articles(con), figures(con), sources(con)) == (["1_1", "1_2"], [("1_1", 1, 1)], [("全部", 1)])


def test_an_article_that_comes_back_is_a_revision(con: Connection) -> None:
    """What vanished and comes back is a revision, although the label is open; it keeps its call."""
    for days, rows in enumerate(([article()], [], [article()]), 1):
        store(con, *rows, days=days)

    assert revised(con) == [("msgid", "1_1", None, 1, 2), ("msgid", None, "1_1", 2, 3)]
    assert rows_of(con, "SELECT msgid, call_id FROM datacube.getarticletotaldetail") == [("1_1", 1)]


def test_a_vanished_day_is_a_revision_of_each_required_figure(con: Connection) -> None:
    """A day's figures that vanish are a revision of each field that every row has; their sources say nothing."""
    store(con, article(detail(1), detail(2, 5, praise_money=1, read_user_source=scenes(5))), days=2)
    store(con, article(detail(1)), days=3)

    fields = ["collection_user", "comment_count", "like_user", "read_user", "share_user", "zaikan_user"]
    assert [change[0] for change in revised(con)] == fields
    assert len(figures(con)) == 2


def test_absence_beside_a_rejected_row_is_not_noted(con: Connection) -> None:
    """A rejected row may be the missing one, so nothing is missing for sure from that table."""
    store(con, article(detail(1, read_user_source=scenes(1, 2)), detail(2)), days=2)
    store(con, article(7, detail(1, read_user_source=scenes(1))), days=3)

    assert revised(con) == [("user_count", "2", None, 1, 2)]


def test_absence_within_an_article_is_noted_beside_a_rejected_article(con: Connection) -> None:
    """A rejected article makes other articles unsure, but not the figures within an accepted one."""
    store(con, article(detail(1, read_user_source=scenes(1, 2))), article(msgid="1_2"))
    store(con, article(detail(1, read_user_source=scenes(1))), 7)

    assert revised(con) == [("user_count", "2", None, 1, 2)]


# --- refreshes --------------------------------------------------------------------------------------------------


def test_a_refresh_removes_an_article_with_all_its_rows(con: Connection) -> None:
    """A refresh that removes an article removes its nested rows without further revisions."""
    store(con, article(detail(1, read_user_source=scenes(1))), article(msgid="1_2"))
    store(con, article(msgid="1_2"), refresh=True)

    assert (articles(con), figures(con), sources(con)) == (["1_2"], [], [])
    assert revised(con) == [("msgid", "1_1", None, 1, 2)]


def test_a_refresh_removes_nothing_from_an_unsure_table(con: Connection) -> None:
    """A rejected nested row keeps its table and the tables below it; the tables above are refreshed."""
    store(con, article(detail(1, read_user_source=scenes(1)), detail(2)), article(msgid="1_2"), days=2)
    store(con, article(7, detail(1)), days=2, refresh=True)

    assert articles(con) == ["1_1"]
    assert (len(figures(con)), sources(con)) == (2, [("全部", 1)])


def test_a_row_that_a_refresh_removed_may_come_back_as_growth(con: Connection) -> None:
    """After a refresh removed a row, it is no longer stored: if the label is open, its return is growth."""
    store(con, article(msgid="1_1"), article(msgid="1_2"))
    store(con, article(msgid="1_1"), refresh=True)
    store(con, article(msgid="1_1"), article(msgid="1_2"))

    assert articles(con) == ["1_1", "1_2"]
    assert revised(con) == [("msgid", "1_2", None, 1, 2)]


# --- when a label is final --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("time", "final"), [(MORNING, False), (NOON, True)])
def test_a_publish_date_is_final_at_noon_of_day_thirty(con: Connection, time: dt.time, final: bool) -> None:
    """An undelayed answer at 12:00 of day 30 makes the publish date final; one second earlier it doesn't."""
    store(con, article(detail(1)))
    store(con, article(detail(1)), days=30, time=time)

    assert is_final(con) is final


def test_a_delayed_answer_on_day_thirty_leaves_the_date_open(con: Connection) -> None:
    """The last answer must be undelayed."""
    store(con, article(), days=30, delay="true")
    assert is_final(con) is False

    store(con, article(), days=31)
    assert is_final(con) is True


def test_rows_that_appear_after_day_thirty_are_revisions(con: Connection) -> None:
    """A final publish date no longer grows."""
    store(con, article(detail(1)), days=30)
    store(con, article(detail(1), detail(2)), days=31)

    assert {change[1:] for change in revised(con)} == {(None, "0", 1, 2), (None, "1", 1, 2)}


@pytest.mark.parametrize(("time", "final"), [(MORNING, False), (NOON, True)])
def test_an_empty_publish_date_is_final_when_settled(con: Connection, time: dt.time, final: bool) -> None:
    """If nothing was published, there is nothing to grow: an empty answer from noon on is the last."""
    store(con, time=time)

    assert is_final(con) is final


def test_an_empty_answer_after_rows_is_not_final(con: Connection) -> None:
    """A publish date with stored articles stays open, even if an answer has none of them."""
    store(con, article())
    store(con, days=2)

    assert (is_final(con), state(con, PUBLISHED_ARTICLES)) == (False, State.LANDED)


def test_figures_before_noon_make_a_day_final(con: Connection) -> None:
    """Figures of a day that does not grow are final when they say so, at any time; an empty answer is not."""
    store(con, endpoint=ARTICLE_READING, time=MORNING)
    assert is_final(con) is False

    readers = {"ref_date": str(LABEL), "msgid": "1_1", "detail": {"read_user": 1}}
    store(con, readers, endpoint=ARTICLE_READING, time=MORNING)
    assert is_final(con) is True


def test_an_empty_answer_with_a_rejected_row_is_not_final(con: Connection) -> None:
    """A rejected row may be a row of the label."""
    store(con, 7, endpoint=ARTICLE_READING)

    assert is_final(con) is False
