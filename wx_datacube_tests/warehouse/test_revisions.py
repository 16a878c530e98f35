"""Revisions: how an answer changes the figures that were stored before, and what a refresh removes.

Add a test here when a rule about revisions or refreshes changes. Which rows are rejected, and which labels an answer
covers, is in `test_load.py`. That these rules hold in any order and any batches is in `test_replay.py`.
"""

import datetime as dt
import json
from typing import Any

import pytest

from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import (
    HOURS,
    LATER,
    MESSAGES,
    MORNING,
    SENDERS,
    answered,
    day,
    hour_row,
    row,
    rows_of,
    senders_row,
    stored,
)

WINDOW = day(3), day(5)

# --- revisions --------------------------------------------------------------------------------------------------


def changes(con: Connection) -> list[tuple[Any, ...]]:
    """Return the revisions of messages: type, field, old, new, and the calls of the old and the new value."""
    sql = "SELECT msg_type, field, old, new, old_call_id, new_call_id FROM datacube.revisions ORDER BY 6, 1, 2"
    return rows_of(con, sql)


def store_answer(con: Connection, *rows: dict[str, Any], **fields: Any) -> None:
    """Store an answer for the 4th with these rows."""
    store_calls(con, [answered(MESSAGES, day(4), None, *rows, **fields)])


def test_storing_the_same_answer_twice_changes_nothing(con: Connection) -> None:
    """The same answer again only updates the label's newest answer; rows keep the call that first returned them."""
    store_answer(con, row(day(4)))
    store_answer(con, row(day(4)))

    assert stored(con, MESSAGES) == [(day(4), 1, 0, 1, 2, 1)]
    assert changes(con) == []
    assert rows_of(con, "SELECT call_id FROM datacube.label_answers") == [(2,)]


def test_a_changed_figure_replaces_the_old_one_and_is_recorded(con: Connection) -> None:
    """Only the changed field is a revision, with both calls; the same figure again is none."""
    store_answer(con, row(day(4), 5, 10))
    for _ in range(2):
        store_answer(con, row(day(4), 5, 11))

    assert stored(con, MESSAGES) == [(day(4), 1, 0, 5, 11, 2)]
    assert changes(con) == [(1, "msg_count", 10, 11, 1, 2)]
    assert rows_of(con, "SELECT account, endpoint, ref_date, seen_at FROM datacube.revisions") == [
        ("shop", "getupstreammsg", day(4), LATER)
    ]


def test_a_new_row_of_a_known_label_is_recorded(con: Connection) -> None:
    """A new row of a label that was answered without it is a revision from NULL for each figure."""
    store_answer(con, row(day(4), 5, 10))
    store_answer(con, row(day(4), 5, 10), row(day(4), 1, 2, msg_type=2))

    assert changes(con) == [(2, "msg_count", None, 2, 1, 2), (2, "msg_user", None, 1, 1, 2)]


def test_the_first_rows_of_a_label_are_no_revision(con: Connection) -> None:
    """The first rows of a label are no revision, also after an empty answer before noon."""
    store_answer(con, at=dt.datetime(2026, 11, 5, 9))
    store_answer(con, row(day(4)))

    assert changes(con) == []


def test_rows_after_a_settled_empty_answer_are_no_revision(con: Connection) -> None:
    """Rows that come late, after the label counted as empty, are no revision, as no shown figure changed."""
    store_answer(con)
    store_answer(con, row(day(4)))
    assert changes(con) == []

    store_answer(con, row(day(4)), row(day(4), msg_type=2))
    assert [change[:2] for change in changes(con)] == [(2, "msg_count"), (2, "msg_user")]


def test_a_revision_names_the_call_that_returned_the_old_value(con: Connection) -> None:
    """A revision refers to the call that returned the old value, not to one that confirmed it.

    For a new row it refers to the last call that answered without it.
    """
    for count in (1, 1, 2):
        store_answer(con, row(day(4), 1, count))
    store_answer(con, row(day(4), 1, 2), row(day(4), msg_type=2))

    assert [change[-2:] for change in changes(con)] == [(1, 3), (3, 4), (3, 4)]


def test_several_answers_in_one_commit_are_applied_in_order(con: Connection) -> None:
    """Several answers in one commit have the same effect as if each were committed alone."""
    rows = [[], [row(day(4))], [], [], [row(day(4), 1, 3)]]
    store_calls(con, [answered(MESSAGES, day(4), None, *each, refresh=n == 3) for n, each in enumerate(rows)])

    assert [change[1:] for change in changes(con) if change[1] == "msg_count"] == [
        ("msg_count", 2, None, 2, 3),
        ("msg_count", None, 3, 4, 5),
    ]
    assert stored(con, MESSAGES) == [(day(4), 1, 0, 1, 3, 5)]


def test_an_empty_answer_in_the_same_commit_removes_nothing(con: Connection) -> None:
    """An empty answer doesn't remove a row of the same commit."""
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4))), answered(MESSAGES, day(4))])

    assert stored(con, MESSAGES) == [(day(4), 1, 0, 1, 2, 1)]


def test_a_row_that_vanished_is_recorded_once_and_kept(con: Connection) -> None:
    """A vanished row is recorded once as a revision, and stays in the table with its call."""
    store_answer(con, row(day(4), 5, 10), row(day(4), 1, 1, msg_type=2))
    for _ in range(3):
        store_answer(con, row(day(4), 5, 10))

    assert [kept[1] for kept in stored(con, MESSAGES)] == [1, 2]
    assert changes(con) == [(2, "msg_count", 1, None, 1, 2), (2, "msg_user", 1, None, 1, 2)]


def test_a_row_that_vanished_and_returned_is_recorded_twice(con: Connection) -> None:
    """A row that vanishes and returns is two revisions; if unchanged, it keeps its first call."""
    for rows in ([row(day(4))], [], [], [row(day(4))], [row(day(4))]):
        store_answer(con, *rows)

    assert changes(con) == [
        (1, "msg_count", 2, None, 1, 2),
        (1, "msg_user", 1, None, 1, 2),
        (1, "msg_count", None, 2, 3, 4),
        (1, "msg_user", None, 1, 3, 4),
    ]
    assert stored(con, MESSAGES) == [(day(4), 1, 0, 1, 2, 1)]


def test_a_row_that_came_back_changed_shows_the_new_figures(con: Connection) -> None:
    """A row that vanishes and returns changed has the new figures."""
    for rows in ([row(day(4), 1, 2)], [], [row(day(4), 3, 4)]):
        store_answer(con, *rows)

    assert stored(con, MESSAGES) == [(day(4), 1, 0, 3, 4, 3)]
    assert [change[2:4] for change in changes(con)] == [(2, None), (1, None), (None, 4), (None, 3)]


def test_a_changed_user_source_is_recorded(con: Connection) -> None:
    """A changed `user_source` is a revision, also from NULL."""
    store_answer(con, {key: value for key, value in row(day(4)).items() if key != "user_source"})
    store_answer(con, row(day(4), user_source=0))
    store_answer(con, row(day(4), user_source=1))

    assert [change[1:4] for change in changes(con)] == [("user_source", None, 0), ("user_source", 0, 1)]


def test_a_change_and_its_reversal_are_two_revisions(con: Connection) -> None:
    """A change and its reversal are two revisions, each with the call of the replaced value."""
    for count in (1, 2, 1):
        store_answer(con, row(day(4), 1, count))

    assert changes(con) == [(1, "msg_count", 1, 2, 1, 2), (1, "msg_count", 2, 1, 2, 3)]


def test_a_row_missing_from_an_answer_with_rejected_rows_has_not_vanished(con: Connection) -> None:
    """A row missing from an answer with rejected rows hasn't vanished: a rejected row may be that row."""
    store_answer(con, row(day(4)), row(day(4), msg_type=2))
    store_answer(con, row(day(4)), row(day(4), "1", msg_type=2))

    assert [kept[1] for kept in stored(con, MESSAGES)] == [1, 2]
    assert changes(con) == []


def test_revisions_carry_the_key_of_their_endpoint(con: Connection) -> None:
    """A revision has its endpoint's key, and NULL in the key columns of other endpoints."""
    for users in (1, 2):
        store_calls(con, [answered(HOURS, day(4), None, hour_row(day(4), 7, msg_user=users))])
        store_calls(con, [answered(SENDERS, day(4), None, senders_row(day(4), users, 3))])

    keys = rows_of(con, "SELECT endpoint, ref_hour, msg_type, count_interval FROM datacube.revisions ORDER BY 1")
    assert keys == [("getupstreammsgdist", None, None, 3), ("getupstreammsghour", 700, 1, None)]


# --- refresh ----------------------------------------------------------------------------------------------------


def test_a_clean_and_settled_refresh_removes_what_vanished(con: Connection) -> None:
    """A clean, settled refresh removes a vanished row and records a revision."""
    store_answer(con, row(day(4)), row(day(4), msg_type=2))
    store_answer(con, row(day(4)), refresh=True)

    assert [kept[1] for kept in stored(con, MESSAGES)] == [1]
    assert {change[:4] for change in changes(con)} == {(2, "msg_user", 1, None), (2, "msg_count", 2, None)}


def test_a_refresh_removes_what_had_vanished_before(con: Connection) -> None:
    """A refresh removes a row that vanished earlier, without a second revision."""
    store_answer(con, row(day(4)))
    store_answer(con)
    store_answer(con, refresh=True)

    assert stored(con, MESSAGES) == []
    assert {change[-1] for change in changes(con)} == {2}


def test_a_removed_row_may_come_back(con: Connection) -> None:
    """A removed row that returns is stored as new, with a revision."""
    store_answer(con, row(day(4), 1, 2))
    store_answer(con, refresh=True)
    store_answer(con, row(day(4), 1, 2))

    assert stored(con, MESSAGES) == [(day(4), 1, 0, 1, 2, 3)]
    assert changes(con)[2:] == [(1, "msg_count", None, 2, 2, 3), (1, "msg_user", None, 1, 2, 3)]


def test_a_refresh_before_noon_removes_nothing(con: Connection) -> None:
    """A refresh before the label is settled removes nothing, as figures may not be published yet."""
    store_calls(con, [answered(MESSAGES, day(3), None, row(day(3)), at=MORNING)])
    store_calls(con, [answered(MESSAGES, day(3), None, at=MORNING, refresh=True)])

    assert len(stored(con, MESSAGES)) == 1


@pytest.mark.parametrize("fault", [row(day(4), "1"), row(day(4), ref_date="soon"), 7], ids=["its own", "any", "none"])
def test_a_refresh_with_faulty_rows_removes_nothing(con: Connection, fault: Any) -> None:
    """A refresh removes nothing if a rejected row is of the label, or may be."""
    store_answer(con, row(day(4), msg_type=2))
    store_answer(con, fault, refresh=True)

    assert [kept[1] for kept in stored(con, MESSAGES)] == [2]


@pytest.mark.parametrize("written", ["2026/11/05", "2026-11-5", "99999-01-01", '2026-11-05","ref_date":"2026-11-04'])
def test_a_row_whose_date_is_not_clear_may_be_of_any_label(con: Connection, written: str) -> None:
    """A rejected row with an unclear date may belong to any label, so no label of the window is empty."""
    spoilt = json.dumps({"list": [row("DATE")]}).replace("DATE", written)
    store_calls(con, [answered(MESSAGES, *WINDOW, response=spoilt)])

    assert rows_of(con, "SELECT DISTINCT clean, shown FROM datacube.label_answers") == [(False, 0)]


def test_faulty_rows_of_another_label_do_not_matter(con: Connection) -> None:
    """A rejected row of one label doesn't keep a refresh from removing rows of other labels."""
    store_calls(con, [answered(MESSAGES, *WINDOW, row(day(3)), row(day(4)))])
    again = answered(MESSAGES, *WINDOW, row(day(3), -1), refresh=True, asked=[day(3), day(4), day(5)])
    store_calls(con, [again])

    assert [kept[0] for kept in stored(con, MESSAGES)] == [day(3)]


def test_a_look_back_of_a_refresh_removes_nothing(con: Connection) -> None:
    """A refresh removes rows only of the labels in `asked`; vanished rows of other labels are only recorded."""
    store_calls(con, [answered(MESSAGES, *WINDOW, row(day(3)), row(day(5)))])
    store_calls(con, [answered(MESSAGES, *WINDOW, refresh=True, asked=[day(5)])])

    assert [kept[0] for kept in stored(con, MESSAGES)] == [day(3)]
    assert rows_of(con, "SELECT DISTINCT ref_date FROM datacube.revisions WHERE new IS NULL ORDER BY 1") == [
        (day(3),),
        (day(5),),
    ]


def test_a_row_that_vanishes_again_is_recorded_again(con: Connection) -> None:
    """A row that vanished, came back with other figures and vanished again is recorded twice, each time once."""
    for rows in ([row(day(4), 1, 2)], [], [row(day(4), 3, 4)], [], []):
        store_calls(con, [answered(MESSAGES, day(4), None, *rows)])

    vanished = "SELECT field, new_call_id FROM datacube.revisions WHERE new IS NULL ORDER BY new_call_id, field"
    assert rows_of(con, vanished) == [("msg_count", 2), ("msg_user", 2), ("msg_count", 4), ("msg_user", 4)]


def test_a_row_vanishes_after_its_source_did(con: Connection) -> None:
    """A row that lost its optional `user_source` first and then vanished is recorded as vanished."""
    bare = {name: value for name, value in row(day(4)).items() if name != "user_source"}
    for rows in ([row(day(4), user_source=1)], [bare], []):
        store_calls(con, [answered(MESSAGES, day(4), None, *rows)])

    found = rows_of(con, "SELECT field FROM datacube.revisions WHERE new_call_id = 3 ORDER BY field")
    assert found == [("msg_count",), ("msg_user",)]
