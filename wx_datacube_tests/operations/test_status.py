"""Status: what is stored, what is missing and today's calls, read only from the published file.

Add a test here when `status` shows something else. Which missing labels need a person: `alerts/test_missing_labels.py`.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.config.settings import Account, Settings
from wx_datacube.operations.status import AccountStatus, read_status
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, SENDERS, day
from wx_datacube_tests.ingesting import AFTERNOON, Shop, shop


@pytest.fixture
def made(folder: Path) -> Iterator[Shop]:
    """Provide an account whose history begins on 1 November 2026."""
    with shop(folder, start=day(1), silent_share=0) as running:
        yield running


def status(made: Shop, **given: Any) -> AccountStatus:
    """Return the status of the account, by the emulator's clock."""
    account = made.ingest.account
    settings = Settings(made.warehouse.database.parent, made.warehouse.database, accounts=(account,), **given)
    (found,) = read_status(settings, [account], made.emulated.account.clock)
    return found


def apart_from_overdue(made: Shop) -> list[str]:
    """Return what needs a person apart from missing labels, which `test_missing_labels.py` covers."""
    return [text for text in map(str, status(made).needs_person) if "wx-datacube backfill" not in text]


def test_before_the_first_run_everything_is_missing(tmp_path: Path) -> None:
    """Without a file all labels are missing and need a person, and no file is created."""
    account = Account("shop", "wx01", start=day(1))
    settings = Settings(tmp_path, tmp_path / "data" / "figures.duckdb", accounts=(account,))
    (found,) = read_status(settings, [account], lambda: AFTERNOON)

    assert (found.account, found.appid, found.start, found.first_message) == ("shop", "wx01", day(1), None)
    assert [(each.endpoint, each.due, each.missing) for each in found.endpoints] == [
        ("getupstreammsg", 23, 23),
        ("getupstreammsghour", 23, 23),
        ("getupstreammsgweek", 4, 4),
        ("getupstreammsgmonth", 0, 0),
        ("getupstreammsgdist", 23, 23),
        ("getupstreammsgdistweek", 4, 4),
        ("getupstreammsgdistmonth", 0, 0),
    ]
    assert found.endpoints[0].missing_ranges == [(day(1), day(23))]
    assert [each.calls_needed for each in found.endpoints] == [4, 23, 1, 0, 2, 1, 0]
    (said,) = found.needs_person
    assert "Missing since 2026-11-23 12:00: getupstreammsg, getupstreammsghour, getupstreammsgdist 2026-11-23;" in str(
        said
    )
    assert str(said).endswith("No request has been made yet. To fetch it: wx-datacube backfill --account shop")
    assert list(tmp_path.iterdir()) == []


def test_labels_are_counted_by_state(made: Shop) -> None:
    """Landed, empty, implied and missing labels add up to the due ones; gaps have a first and a last label."""
    made.emulated.control.restate(day(20), delta=-(10**6))
    made.fetch_missing(MESSAGES)
    made.fetch_missing(HOURS, [day(10), day(11), day(15), day(23)])
    found = {each.endpoint: each for each in status(made).endpoints}

    messages, hours, senders = (found[endpoint.name] for endpoint in (MESSAGES, HOURS, SENDERS))
    assert (messages.landed, messages.empty, messages.implied, messages.missing) == (22, 1, 0, 0)
    assert (hours.landed, hours.empty, hours.implied, hours.missing) == (4, 0, 1, 18)
    assert (senders.landed, senders.empty, senders.implied, senders.missing) == (0, 0, 1, 22)
    assert hours.missing_ranges == [
        (day(21), day(22)),
        (day(16), day(19)),
        (day(12), day(14)),
        (day(1), day(9)),
    ]
    assert (messages.last_landed, hours.last_landed, senders.last_landed) == (day(23), day(23), None)
    assert (messages.calls_today, hours.calls_today, senders.calls_today) == (4, 4, 0)
    assert (messages.calls_needed, hours.calls_needed, senders.calls_needed) == (0, 18, 2)
    for each in found.values():
        assert each.due == each.landed + each.empty + each.implied + each.missing


def test_the_first_message_is_named(made: Shop) -> None:
    """The day of the first message, a candidate for WX_DATACUBE_START, is shown."""
    made.emulated.control.restate(day(1), delta=-(10**6))
    made.fetch_missing(MESSAGES)

    assert status(made).first_message == day(2)


def test_calls_are_those_of_the_beijing_day(made: Shop) -> None:
    """Calls are counted per day in Beijing time."""
    made.fetch_missing(HOURS, [day(10), day(11)])
    made.at(AFTERNOON.replace(hour=23, minute=59))
    assert status(made).endpoints[1].calls_today == 2
    made.at(AFTERNOON.replace(hour=0, minute=0) + DAY)
    assert status(made).endpoints[1].calls_today == 0


def test_the_days_needed_follow_from_the_quota(made: Shop) -> None:
    """The days needed follow from 1,000 calls per endpoint per day or WX_DATACUBE_DAILY_CALLS, minus today's calls."""

    def days(**settings: int) -> list[int]:
        return [each.days_needed for each in status(made, **settings).endpoints[:2]]

    missing = len(made.labels(HOURS))
    assert days() == [1, 1]
    assert days(daily_calls=5) == [1, -(-missing // 5)]
    made.with_(daily_calls=5).fetch_missing(HOURS)
    assert days(daily_calls=5) == [1, -(-(missing - 5) // 5)]
    made.fetch_missing(HOURS)
    assert days(daily_calls=5) == [1, 0]


def test_a_permanent_error_needs_a_person_until_a_call_succeeds(made: Shop) -> None:
    """The latest permanent error of an endpoint needs a person until a call succeeds."""
    made.emulated.control.set(denied=["getupstreammsghour"])
    made.fetch_missing(HOURS, [day(10)])
    made.fetch_missing(MESSAGES, [day(10)])
    (said,) = apart_from_overdue(made)
    assert said.startswith("getupstreammsghour: The account may not call this endpoint. Only certified accounts")

    made.emulated.control.set(denied=[])
    made.fetch_missing(HOURS, [day(10)])
    assert apart_from_overdue(made) == []


def test_transient_errors_do_not_need_a_person(made: Shop) -> None:
    """A used-up quota, a busy WeChat and a rejected window don't need a person."""
    for errcode in ("45009", "-1", "61501"):
        made.emulated.control.script("getupstreammsghour", errcode, last=4)
        made.fetch_missing(HOURS, [day(10)])
        assert apart_from_overdue(made) == []
        made.emulated.control.clear_faults()


def test_each_account_has_its_own_status(made: Shop) -> None:
    """Another account in the same file has its own status."""
    made.fetch_missing(MESSAGES)
    other = replace(made, ingest=replace(made.ingest, account=Account("news", start=day(20))))
    found = status(other)

    assert (found.account, found.appid) == ("news", None)
    assert [(each.due, each.missing) for each in found.endpoints][:1] == [(4, 4)]


def test_json_has_the_fields_of_the_contract(made: Shop) -> None:
    """The JSON lists the contract's fields by endpoint, with dates as text."""
    made.fetch_missing(MESSAGES, [day(22)])
    whole = json.loads(json.dumps(status(made).as_json(), default=str))

    assert list(whole["endpoints"]) == [endpoint.name for endpoint in ENDPOINTS]
    assert whole["endpoints"]["getupstreammsg"] == {
        "account": "shop",
        "endpoint": "getupstreammsg",
        "family": "messages",
        "due": 23,
        "landed": 1,
        "empty": 0,
        "implied": 0,
        "missing": 22,
        "not_final": 0,
        "missing_ranges": [["2026-11-23", "2026-11-23"], ["2026-11-01", "2026-11-21"]],
        "last_landed": "2026-11-22",
        "calls_today": 1,
        "calls_needed": 4,
        "days_needed": 1,
        "calls_next_morning": 1,
        "quota_used_up_at": None,
    }
    assert whole["families_off"] == ["followers", "articles", "interface"]
    assert len(whole["needs_person"]) == 1
    assert whole["notes"] == []


def test_status_makes_no_call(made: Shop) -> None:
    """Status makes no call and creates no file."""
    before = {path.name for path in made.warehouse.database.parent.iterdir()}
    status(made)

    assert made.emulated.control.calls() == []
    assert {path.name for path in made.warehouse.database.parent.iterdir()} == before
