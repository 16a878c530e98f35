"""Checks of single answers: what each check finds, which labels it names for a refresh, and what resolves the finding.

Add a test here when a check reads the answers of one endpoint, or compares an answer with an earlier one.
Checks that compare several tables, or that wait for a deadline, are in `test_trust.py`.
"""

import datetime as dt
import json
import re
from collections.abc import Callable

import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.config.settings import Account
from wx_datacube.language import Language
from wx_datacube.warehouse.checks import CHECKS, CheckContext, Finding, checks_of
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.overdue import find_overdue
from wx_datacube_tests.answers import (
    DAY,
    HOURS,
    LATER,
    MESSAGES,
    MONTHS,
    SENDERS,
    SENDERS_OF_MONTHS,
    SENDERS_OF_WEEKS,
    WEEKS,
    Row,
    answered,
    day,
    hour_row,
    row,
    senders_row,
)
from wx_datacube_tests.findings import findings_of

FIRST = dt.date(2014, 12, 1)
DIRTY = row("2014-11-30")
Found = Callable[..., list[Finding]]


@pytest.fixture
def found(con: Connection) -> Found:
    """Return a function that runs one check for an endpoint of an account."""
    by_name = {check.name: check for check in CHECKS}

    def find(name: str, endpoint: Endpoint = MESSAGES, account: str = "shop") -> list[Finding]:
        overdue = find_overdue(con, [Account(account, start=FIRST)], LATER)[account]
        return findings_of(
            by_name[name], CheckContext(con, Account(account, start=FIRST), LATER, tuple(overdue)), endpoint
        )

    return find


def test_the_checks_are_those_of_the_contract() -> None:
    """Only `keys_are_unique` is an error, and every check has a description and advice in English and in Chinese."""
    assert [(check.name, check.is_error) for check in CHECKS] == [
        ("no_data_before_2014_12_01", False),
        ("figures_were_not_revised", False),
        ("keys_are_unique", True),
        ("messages_add_up", False),
        ("distribution_covers_users", False),
        ("followers_add_up", False),
        ("callbacks_add_up", False),
        ("account_readers_cover_articles", False),
        ("article_figures_do_not_shrink", False),
        ("reads_by_scene_are_known", False),
        ("rates_are_shares", False),
        ("figures_are_plausible", False),
        ("due_labels_are_there", False),
        ("codes_and_fields_are_known", False),
        ("published_file_is_current", False),
    ]
    for text in (check.description for check in CHECKS):
        assert re.search(r"[a-z] .*[\u4e00-\u9fff]", text, re.DOTALL)


def test_every_check_has_its_endpoints() -> None:
    """The sum check covers hours, weeks and months, the distribution check its endpoints, and the rest cover all."""
    concerned = {check.name: {each.name for each in ENDPOINTS if check in checks_of(each)} for check in CHECKS}

    assert concerned.pop("messages_add_up") == {HOURS.name, WEEKS.name, MONTHS.name}
    assert concerned.pop("distribution_covers_users") == {
        each.name for each in (SENDERS, SENDERS_OF_WEEKS, SENDERS_OF_MONTHS)
    }
    assert concerned.pop("figures_are_plausible") == {MESSAGES.name, SENDERS.name}
    of_families = {"followers_add_up", "callbacks_add_up", "account_readers_cover_articles", "rates_are_shares"}
    of_families |= {"article_figures_do_not_shrink", "reads_by_scene_are_known"}
    assert {name for name, names in concerned.items() if not names} == of_families
    assert all(len(names) == len(ENDPOINTS) for name, names in concerned.items() if name not in of_families)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])
def test_only_due_labels_are_findings_on_an_empty_warehouse(found: Found, endpoint: Endpoint) -> None:
    """On an empty warehouse every check runs, and only `due_labels_are_there` has findings."""
    wrong = {check.name for check in checks_of(endpoint) if found(check.name, endpoint)}

    assert wrong == {"due_labels_are_there"}


def test_clean_figures_pass(con: Connection, found: Found) -> None:
    """Clean answers pass every check, and still do when a look-back or a refresh requests them again."""
    for refresh in (False, True):
        store_calls(con, [answered(MESSAGES, day(3), day(5), row(day(3)), row(day(4), msg_type=2), refresh=refresh)])
        store_calls(con, [answered(HOURS, day(4), None, hour_row(day(4), msg_type=2), refresh=refresh)])

    for endpoint in (MESSAGES, HOURS):
        assert {check.name for check in checks_of(endpoint) if found(check.name, endpoint)} == {"due_labels_are_there"}


# --- rows before history ----------------------------------------------------------------------------------------


def test_rows_before_history_are_found(con: Connection, found: Found) -> None:
    """A finding for a row before 2014-12-01 shows the row and the window of the request that returned it."""
    store_calls(con, [answered(MESSAGES, FIRST, FIRST + DAY, DIRTY, row(FIRST))])
    (finding,) = found("no_data_before_2014_12_01")

    assert (finding.ref_date, finding.endpoint) == ("2014-11-30", "getupstreammsg")
    assert (finding.begin, finding.end) == ("2014-12-01", "2014-12-02")
    assert '"msg_user":1' in str(finding.what)
    assert found("keys_are_unique") == []
    assert found("no_data_before_2014_12_01", HOURS) == found("no_data_before_2014_12_01", account="news") == []


def test_a_clean_refresh_of_the_window_heals_it(con: Connection, found: Found) -> None:
    """The check passes once no current answer has such rows; the rows stay in `rejected_rows`."""
    store_calls(con, [answered(MESSAGES, FIRST, FIRST + DAY, DIRTY, row(FIRST))])
    store_calls(con, [answered(MESSAGES, FIRST, FIRST + DAY, row(FIRST), refresh=True, asked=[FIRST, FIRST + DAY])])

    assert found("no_data_before_2014_12_01") == []
    assert con.execute("SELECT count(*) FROM datacube.rejected_rows").fetchall() == [(1,)]


def test_a_refresh_that_is_dirty_again_heals_nothing(con: Connection, found: Found) -> None:
    """Only the current answer counts, so a row that a refresh returns again is one finding."""
    for refresh in (False, True):
        store_calls(con, [answered(MESSAGES, FIRST, None, DIRTY, row(FIRST), refresh=refresh)])

    assert len(found("no_data_before_2014_12_01")) == 1


# --- keys -------------------------------------------------------------------------------------------------------


def test_rejected_duplicates_are_found(con: Connection, found: Found) -> None:
    """Each row that was rejected because its key already occurred is a finding."""
    store_calls(con, [answered(SENDERS, day(3), day(5), senders_row(day(4), 1), senders_row(day(4), 2))])
    (finding,) = found("keys_are_unique", SENDERS)

    assert finding.ref_date == "2026-11-04"
    assert '"msg_user":2' in str(finding.what)
    assert found("keys_are_unique") == []


def test_a_clean_answer_for_the_label_heals_it(con: Connection, found: Found) -> None:
    """A clean answer for the affected day resolves the finding; the window's other days don't matter."""
    store_calls(con, [answered(MESSAGES, day(3), day(5), row(day(4), 1), row(day(4), 2))])
    store_calls(con, [answered(MESSAGES, day(3), None, row(day(3)))])
    assert len(found("keys_are_unique")) == 1
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 1), refresh=True)])

    assert found("keys_are_unique") == []


def test_a_duplicate_key_in_a_table_is_found(con: Connection, found: Found) -> None:
    """A duplicate that another program wrote into the table is found, at the end of the table or elsewhere.

    The loader itself never stores a key twice.
    """
    for number in (3, 5, 4):  # the order of a backfill must not look like duplicates
        store_calls(con, [answered(HOURS, day(number), None, *(hour_row(day(number), hour) for hour in (9, 8)))])
    assert found("keys_are_unique", HOURS) == []
    doubled = (
        "INSERT INTO datacube.getupstreammsghour FROM datacube.getupstreammsghour WHERE ref_hour = 800 AND ref_date"
    )
    con.execute(f"{doubled} = '{day(3)}'")
    con.execute(f"{doubled} = '{day(4)}'")

    assert [(each.ref_date, str(each.what)) for each in found("keys_are_unique", HOURS)] == [
        ("2026-11-04", "2 times in getupstreammsghour"),
        ("2026-11-03", "2 times in getupstreammsghour"),
    ]


# --- revisions --------------------------------------------------------------------------------------------------


def test_revised_figures_are_found_until_they_are_confirmed(con: Connection, found: Found) -> None:
    """Changed, new and vanished rows are findings until another answer confirms the figures."""
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 1, 2), row(day(4), msg_type=2))])
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 1, 3), row(day(4), msg_type=3))])
    assert sorted(str(each.what) for each in found("figures_were_not_revised")) == [
        "msg_count 2 -> 3",
        "msg_count 2 -> absent",
        "msg_count absent -> 2",
        "msg_user 1 -> absent",
        "msg_user absent -> 1",
    ]
    assert sorted(each.what.to(Language.CHINESE) for each in found("figures_were_not_revised")) == [
        "msg_count：2 → 3",
        "msg_count：2 → 无",
        "msg_count：无 → 2",
        "msg_user：1 → 无",
        "msg_user：无 → 1",
    ]
    store_calls(con, [answered(MESSAGES, day(3), day(5), row(day(4), 1, 3), row(day(4), msg_type=3))])

    assert found("figures_were_not_revised") == []


def test_a_revision_found_by_a_refresh_is_no_finding(con: Connection, found: Found) -> None:
    """A revision that a refresh found needs no other refresh, because the person who requested it has seen it.

    Revisions of days that the refresh did not request are still findings.
    """
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 1, 2))])
    refreshed = {"asked": [day(4)], "refresh": True}
    store_calls(con, [answered(MESSAGES, day(3), day(5), row(day(4), 1, 3), **refreshed)])
    assert found("figures_were_not_revised") == []

    store_calls(con, [answered(MESSAGES, day(3), day(5), row(day(4), 1, 4), asked=[day(5)], refresh=True)])
    assert [str(each.what) for each in found("figures_were_not_revised")] == ["msg_count 3 -> 4"]


@pytest.mark.parametrize(
    ("endpoint", "label"),
    [(HOURS, day(4)), (SENDERS, day(4)), (WEEKS, day(2)), (MONTHS, dt.date(2026, 11, 1))],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_a_revised_day_makes_what_depends_on_it_suspect(
    con: Connection, found: Found, endpoint: Endpoint, label: dt.date
) -> None:
    """A revision makes hours, distribution, week and month fetched before it a finding until they are refetched."""
    later = dt.datetime(2026, 12, 2, 15)
    again = answered(endpoint, label, None, at=later)
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 1, 2)), again])
    store_calls(
        con, [answered(MESSAGES, day(4), None, row(day(4), 1, 3)), answered(MESSAGES, day(4), None, row(day(4), 1, 3))]
    )

    expected = [(str(label), endpoint.name, str(label), f"{endpoint.name} was fetched before 2026-11-04 was revised")]
    for asked in (MESSAGES, endpoint):
        findings = found("figures_were_not_revised", asked)
        assert [(each.ref_date, each.endpoint, each.begin, str(each.what)) for each in findings] == expected
        chinese = f"获取 {endpoint.name} 之后，微信又修改了 2026-11-04 的数据"
        assert [each.what.to(Language.CHINESE) for each in findings] == [chinese]
    store_calls(con, [again])
    assert found("figures_were_not_revised") == found("figures_were_not_revised", endpoint) == []


def test_labels_not_fetched_yet_are_not_suspect(con: Connection, found: Found) -> None:
    """Labels not fetched yet, labels fetched after the revision, and other days are no findings."""
    store_calls(con, [answered(HOURS, day(5), None, hour_row(day(5)))])
    for count in (1, 2):
        store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 1, count))])
    store_calls(con, [answered(HOURS, day(4), None, hour_row(day(4)))])

    assert found("figures_were_not_revised", HOURS) == []
    assert {each.endpoint for each in found("figures_were_not_revised")} == {"getupstreammsg"}


def test_the_newest_finding_comes_first(con: Connection, found: Found) -> None:
    """Findings are sorted by date, newest first, because people look at those."""
    store_calls(con, [answered(MESSAGES, day(3), day(9), *(row(day(number), 1) for number in (3, 9, 6)))])
    store_calls(con, [answered(MESSAGES, day(3), day(9), *(row(day(number), 2) for number in (3, 9, 6)))])

    dates = [each.ref_date for each in found("figures_were_not_revised")]
    assert dates == ["2026-11-09", "2026-11-06", "2026-11-03"]


# --- unknown codes and fields -----------------------------------------------------------------------------------

KNOWN = "codes_and_fields_are_known"


@pytest.mark.parametrize(
    ("endpoint", "odd", "what"),
    [
        (MESSAGES, row(day(4), msg_type=9), "msg_type 9 in 1 rows since 2026-11-04"),
        (HOURS, hour_row(day(4), msg_type=5), "msg_type 5 in 1 rows since 2026-11-04"),
        (SENDERS, senders_row(day(4), interval=4), "count_interval 4 in 1 rows since 2026-11-04"),
        (MESSAGES, row(day(4), user_source=1), "user_source 1 in 1 rows since 2026-11-04"),
        (MESSAGES, row(day(4), msg_mood=1), "field msg_mood in 1 of the newest answers"),
    ],
    ids=["type", "type of an hour", "interval", "source", "field"],
)
def test_unknown_codes_sources_and_fields_are_found(
    con: Connection, found: Found, endpoint: Endpoint, odd: Row, what: str
) -> None:
    """An unknown code, source or field is a finding until a clean answer; a missing optional field is none."""
    store_calls(con, [answered(endpoint, day(4), None, odd)])
    assert [(str(each.what), each.ref_date) for each in found(KNOWN, endpoint)] == [(what, "2026-11-04")]
    code = endpoint.key[-1].name
    clean = {name: value for name, value in odd.items() if name not in ("user_source", "msg_mood")} | {code: 1}
    store_calls(con, [answered(endpoint, day(4), None, clean, refresh=True)])

    assert found(KNOWN, endpoint) == []


def test_a_field_beside_the_list_is_found(con: Connection, found: Found) -> None:
    """An unknown field next to `list`, such as a page number, is a finding; WeChat's `"errcode":0` is not."""
    for extra in ({"errcode": 0, "errmsg": "ok"}, {"next_page": 2}):
        response = json.dumps({"list": [row(day(4))]} | extra)
        store_calls(con, [answered(MESSAGES, day(4), response=response)])

    assert [str(each.what) for each in found(KNOWN)] == ["field next_page in 1 of the newest answers"]


def test_fields_are_looked_for_in_the_newest_answers_only(con: Connection, found: Found) -> None:
    """Only the ten newest answers are searched for fields, so that 12 years of bodies aren't read each morning."""
    store_calls(con, [answered(MESSAGES, day(1), None, row(day(1), msg_mood=1))])
    store_calls(con, [answered(MESSAGES, day(number), None, row(day(number))) for number in range(2, 11)])
    assert len(found(KNOWN)) == 1
    store_calls(con, [answered(MESSAGES, day(11), None, row(day(11)))])

    assert found(KNOWN) == []
