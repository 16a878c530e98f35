"""Families: ninety days of followers, articles and interface, compared with the emulator's world, and switching them.

Add a test here when a family gets an endpoint. Open labels and their turns are tested in `test_turns.py`.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Family, Period, Relation
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.warehouse.coverage import State
from wx_datacube_tests.ingesting import AFTERNOON, Shop, shop

START = AFTERNOON.date() - dt.timedelta(days=90)
NEW = [endpoint for endpoint in ENDPOINTS if endpoint.family is not Family.MESSAGES]


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Provide an account of all families with ninety days stored."""
    folder = tmp_path_factory.mktemp("families")
    with shop(folder, start=START, families=tuple(Family), messages_per_day=100) as made:
        made.bring_everything_in()
        yield made


def rows_of(relation: Relation, rows: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a relation in the rows of an answer: the key of the parent, then its own fields."""
    if relation.parent is None:
        for row in rows:
            yield tuple(value_of(row, column.inside, column.name) for column in relation.columns)
        return
    for keys, parent in items_of(relation.parent, rows):
        holder = parent[relation.list_inside] if relation.list_inside else parent
        for item in holder[relation.list_field]:
            yield (*keys, *(value_of(item, column.inside, column.name) for column in relation.fields))


def items_of(relation: Relation, rows: list[dict[str, Any]]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield each item of a relation with its whole key."""
    if relation.parent is None:
        for row in rows:
            yield tuple(row[column.name] for column in relation.key), row
        return
    for keys, parent in items_of(relation.parent, rows):
        holder = parent[relation.list_inside] if relation.list_inside else parent
        for item in holder[relation.list_field]:
            yield (*keys, *(item[column.name] for column in relation.fields if column.key)), item


def value_of(item: dict[str, Any], inside: str, name: str) -> Any:
    """Return a field of an item, or of an object within it; None if it is absent."""
    return (item[inside] if inside else item).get(name)


def test_every_table_equals_the_emulators_world(it: Shop) -> None:
    """Every row of the eight endpoints' tables, nested ones included, is what the emulator's world has."""
    for endpoint in NEW:
        tables_equal_the_world(it, endpoint)


def tables_equal_the_world(it: Shop, endpoint: Endpoint) -> None:
    """Compare all tables of an endpoint with the emulator's world."""
    last = it.now.date() - dt.timedelta(days=1)
    answers = [it.emulated.world.rows(endpoint, label, last) for label in it.labels(endpoint)]
    for relation in endpoint.relations:
        columns = ", ".join(
            f'"{column.name}"::VARCHAR' if column.type == "DATE" else f'"{column.name}"' for column in relation.columns
        )
        found = it.rows(f"SELECT {columns} FROM datacube.{relation.name}")
        expected = [row for rows in answers for row in rows_of(relation, rows)]
        assert sorted(map(repr, found)) == sorted(map(repr, expected))
        assert len(found) > 30
    assert it.rows("SELECT * FROM datacube.rejected_rows WHERE endpoint = $name", name=endpoint.name) == []


def test_calls_are_the_minimum_and_a_second_run_makes_none(it: Shop) -> None:
    """Each endpoint took the fewest calls that its span allows, without those that silent days spare; then none."""
    for endpoint in NEW:
        labels = [label for label, state in it.states(endpoint).items() if state is not State.IMPLIED]
        assert len(it.windows(endpoint)) == len(plan_windows(endpoint, labels))
    before = it.calls()
    reports = it.bring_everything_in()

    assert it.calls() == before
    assert not any(report.unresolved for report in reports)


def test_silent_interface_days_imply_their_hours(it: Shop) -> None:
    """The hours of a day without calls of the account's server are implied, and no call is made for them."""
    found = {endpoint.name: it.states(endpoint) for endpoint in NEW}
    silent = {label for label, state in found["getinterfacesummary"].items() if state is State.EMPTY}

    assert silent
    assert {label for label, state in found["getinterfacesummaryhour"].items() if state is State.IMPLIED} == silent


def test_the_views_agree_with_the_world(it: Shop) -> None:
    """Followers, readers and calls of a server in the views for people are those of the world."""
    world, labels = it.emulated.world, [START + number * dt.timedelta(days=1) for number in range(90)]
    followers = {label: row["cumulate_user"] for label in labels for row in world.rows("getusercumulate", label)}
    new = {label: sum(int(row["new_user"]) for row in world.rows("getusersummary", label)) for label in labels}
    calls = {
        label: sum(int(row["callback_count"]) for row in world.rows("getinterfacesummaryhour", label))
        for label in labels
    }

    assert dict(it.rows("SELECT date, followers FROM followers_total")) == followers
    assert dict(it.rows("SELECT date, sum(new_followers) FROM followers_daily GROUP BY date")) == {
        label: count for label, count in new.items() if world.rows("getusersummary", label)
    }
    shown = dict(it.rows("SELECT date, calls FROM interface_daily"))
    assert shown == {label: count for label, count in calls.items() if count}
    published = {str(row["msgid"]) for label in labels for row in world.rows("getarticletotaldetail", label)}
    assert {article for (article,) in it.rows("SELECT article FROM articles")} == published


def test_a_family_that_is_not_granted_keeps_no_other_back(tmp_path: Path) -> None:
    """Each endpoint of a refused family costs one call; all others land."""
    with shop(tmp_path, start=AFTERNOON.date() - dt.timedelta(days=5), families=tuple(Family)) as made:
        made.emulated.control.set(denied=["followers"])
        reports = {report.endpoint: report for report in made.bring_everything_in()}
        for endpoint, report in reports.items():
            refused = endpoint.family is Family.FOLLOWERS
            assert bool(report.unresolved) == refused
            assert not refused or len(made.windows(endpoint)) == 1


@pytest.mark.long
def test_a_family_is_switched_off_and_on_again(tmp_path: Path) -> None:
    """What is off is not due and not missing; switched on again, all that was missed is due, and nothing twice."""
    first = AFTERNOON.date() - dt.timedelta(days=10)
    with shop(tmp_path, start=first, families=tuple(Family), silent_share=0) as made:
        made.bring_everything_in()
        off = made.with_(account=replace(made.ingest.account, families=(Family.MESSAGES,)))
        made.at(AFTERNOON + dt.timedelta(days=7))
        off.bring_everything_in()
        due = {name for (name,) in off.rows("SELECT DISTINCT endpoint FROM datacube.coverage")}
        assert {BY_NAME[name].family for name in due} == {Family.MESSAGES}
        assert made.rows("SELECT count(*) FROM followers_total") == [(10,)]

        before = {endpoint: len(made.windows(endpoint)) for endpoint in NEW}
        assert not any(report.unresolved for report in made.bring_everything_in())
        for endpoint in NEW:
            if endpoint.takes_a_call_a_day and not endpoint.grows:
                assert len(made.windows(endpoint)) - before[endpoint] == 7
        assert made.rows("SELECT count(*) FROM followers_total") == [(17,)]


@pytest.mark.parametrize("longest", [30, 7, 1])
def test_a_span_that_wechat_refuses_is_tried_shorter_and_remembered(tmp_path: Path, longest: int) -> None:
    """`getbizsummary` is requested in windows of 30 days, then 7, then 1; the next run begins with what worked."""
    endpoint = next(each for each in ENDPOINTS if each.spans == (30, 7, 1))
    assert endpoint.period is Period.DAY
    start = AFTERNOON.date() - dt.timedelta(days=60)
    with shop(tmp_path, start=start, families=(Family.ARTICLES,), longest_span=[f"{endpoint.name}={longest}"]) as made:
        report = made.fetch_missing(endpoint)
        refused = {30: 0, 7: 1, 1: 2}[longest]
        assert not report.unresolved
        assert len(made.windows(endpoint)) == refused + -(-60 // longest)
        made.at(AFTERNOON + dt.timedelta(days=40))
        before = len(made.windows(endpoint))
        assert not made.fetch_missing(endpoint).unresolved
        assert len(made.windows(endpoint)) - before == -(-40 // longest)


@pytest.mark.parametrize("longest", [7, 1])
def test_a_span_that_wechat_accepted_and_now_refuses_is_shortened_in_the_same_run(tmp_path: Path, longest: int) -> None:
    """The refused windows are requested again in shorter ones at once, and no error is left."""
    endpoint = next(each for each in ENDPOINTS if each.spans == (30, 7, 1))
    start = AFTERNOON.date() - dt.timedelta(days=60)
    with shop(tmp_path, start=start, families=(Family.ARTICLES,)) as made:
        assert not made.fetch_missing(endpoint).unresolved
        made.at(AFTERNOON + dt.timedelta(days=40))
        made.emulated.control.set(longest_span=[f"{endpoint.name}={longest}"])
        before = len(made.windows(endpoint))
        report = made.fetch_missing(endpoint)
        calls = len(made.windows(endpoint)) - before

    refused = 2 + (longest == 1)  # the windows of 30 and 10 days, then one of 7
    assert not report.unresolved
    assert calls == refused + -(-40 // longest)
