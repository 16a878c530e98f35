"""Checks that compare tables or wait for a deadline: sums, distributions, due labels, and the published file.

Add a test here when a check compares two endpoints, the two files, or what is stored with what is due.
Checks of single answers are in `test_checks.py`.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import due_labels, due_on
from wx_datacube.config.settings import Account
from wx_datacube.language import Text
from wx_datacube.warehouse.checks import (
    CHECKS,
    CheckContext,
    Finding,
    check_context_of_readers,
    check_context_of_run,
)
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
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
    answered,
    day,
    hour_row,
    row,
    senders_row,
)
from wx_datacube_tests.findings import findings_of
from wx_datacube_tests.ingesting import shop

BY_CHECK = {check.name: check for check in CHECKS}
Found = Callable[..., list[Finding]]
START, OCTOBER = day(2), dt.date(2026, 10, 1)


@pytest.fixture
def found(con: Connection) -> Found:
    """Return a function that runs a check for an endpoint of the account `shop`, whose first day is 2 November."""

    def find(name: str, endpoint: Endpoint, start: dt.date = START, now: dt.datetime = LATER) -> list[Finding]:
        overdue = find_overdue(con, [Account("shop", start=start)], now)["shop"]
        return findings_of(
            BY_CHECK[name], CheckContext(con, Account("shop", start=start), now, tuple(overdue)), endpoint
        )

    return find


# --- sums -------------------------------------------------------------------------------------------------------

SUMS = "messages_add_up"


def days_of(label: dt.date, endpoint: Endpoint) -> list[dt.date]:
    """Return the days of a day, week or month."""
    return [label + number * DAY for number in range({HOURS: 1, WEEKS: 7, MONTHS: 31}[endpoint])]


def notify(con: Connection, endpoint: Endpoint, label: dt.date, count: int) -> None:
    """Store an answer with `count` messages for a label of hours, weeks or months."""
    made = hour_row if endpoint is HOURS else row
    last = days_of(label, endpoint)[-1] if endpoint is not HOURS else None
    store_calls(con, [answered(endpoint, label, last, made(label, count=count))])


def say_days(con: Connection, days: list[dt.date], count: int = 2) -> None:
    """Store an answer for each day: the first has all messages, the others are empty."""
    store_calls(con, [answered(MESSAGES, days[0], None, row(days[0], count=count))])
    store_calls(con, [answered(MESSAGES, silent) for silent in days[1:]])


each_sum = pytest.mark.parametrize(
    ("endpoint", "label"), [(HOURS, day(4)), (WEEKS, day(2)), (MONTHS, OCTOBER)], ids=["hours", "weeks", "months"]
)


@each_sum
def test_messages_that_do_not_add_up_are_found(
    con: Connection, found: Found, endpoint: Endpoint, label: dt.date
) -> None:
    """A wrong sum is a finding with both figures until the older answer is refetched; empty days count as known."""
    notify(con, endpoint, label, 3)
    say_days(con, days_of(label, endpoint), 2)
    expected = Text(
        f"msg_type 1: getupstreammsg says 2 messages, {endpoint.name} 3",
        f"msg_type 1：getupstreammsg 为 2 次，{endpoint.name} 为 3 次",
    )
    assert found(SUMS, endpoint) == [Finding(str(label), expected, endpoint.name, str(label), str(label))]
    notify(con, endpoint, label, 2)

    assert found(SUMS, endpoint) == []


@each_sum
def test_the_finding_names_the_days_or_the_endpoint_to_refetch(
    con: Connection, found: Found, endpoint: Endpoint, label: dt.date
) -> None:
    """If the days were fetched first, the finding names them all; if sums still differ, it names the other endpoint."""
    days = days_of(label, endpoint)
    say_days(con, days)
    notify(con, endpoint, label, 3)
    (finding,) = found(SUMS, endpoint)
    assert (finding.endpoint, finding.begin, finding.end) == ("getupstreammsg", str(days[0]), str(days[-1]))
    say_days(con, days)

    assert [each.endpoint for each in found(SUMS, endpoint)] == [endpoint.name]


@each_sum
def test_a_type_missing_on_one_side_is_found(con: Connection, found: Found, endpoint: Endpoint, label: dt.date) -> None:
    """A message type that one side lacks counts as zero there."""
    notify(con, endpoint, label, 2)
    store_calls(con, [answered(MESSAGES, label, None, row(label), row(label, msg_type=2, count=7))])
    store_calls(con, [answered(MESSAGES, other) for other in days_of(label, endpoint)[1:]])

    assert [str(each.what) for each in found(SUMS, endpoint)] == [
        f"msg_type 2: getupstreammsg says 7 messages, {endpoint.name} 0"
    ]


@each_sum
def test_a_period_with_missing_days_is_not_checked(
    con: Connection, found: Found, endpoint: Endpoint, label: dt.date
) -> None:
    """A period's sum is not checked while one of its days, or the period itself, has not landed."""
    days = days_of(label, endpoint)
    if len(days) > 1:
        notify(con, endpoint, label, 3)
        say_days(con, days[:-1])
    else:
        say_days(con, days)
    assert found(SUMS, endpoint) == []


def test_users_are_never_summed(con: Connection, found: Found) -> None:
    """Users are not summed, since five users in each of two hours may be the same five."""
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 5, 10))])
    store_calls(con, [answered(HOURS, day(4), None, hour_row(day(4), 9, msg_user=5, msg_count=5),
                               hour_row(day(4), 10, msg_user=5, msg_count=5))])  # fmt: skip

    assert found(SUMS, HOURS) == []


# --- distributions ----------------------------------------------------------------------------------------------

SPREAD = "distribution_covers_users"


@pytest.mark.parametrize(
    ("messages", "senders", "label"),
    [(MESSAGES, SENDERS, day(4)), (WEEKS, SENDERS_OF_WEEKS, day(2)), (MONTHS, SENDERS_OF_MONTHS, OCTOBER)],
    ids=["day", "week", "month"],
)
@pytest.mark.parametrize(
    ("users", "what"), [(4, "at least 5"), (5, ""), (8, ""), (9, "at most 8")], ids=["4", "5", "8", "9"]
)
def test_a_distribution_lies_between_the_largest_type_and_all_of_them(
    con: Connection, found: Found, messages: Endpoint, senders: Endpoint, label: dt.date, users: int, what: str
) -> None:
    """The users of a distribution lie between the largest type and the sum of all types.

    If five users sent texts and three sent images, five to eight users sent something. Interval 0 isn't counted.
    """
    last = {SENDERS: label, SENDERS_OF_WEEKS: label + 6 * DAY, SENDERS_OF_MONTHS: label + 30 * DAY}[senders]
    store_calls(con, [answered(messages, label, last, row(label, 5, 9), row(label, 3, 9, msg_type=2))])
    spread = [senders_row(label, users - 1), senders_row(label, 1, 2), senders_row(label, 1000, 0)]
    store_calls(con, [answered(senders, label, last, *spread)])

    expected = f"{senders.name} has {users} users, {messages.name} {what}"
    assert [str(each.what) for each in found(SPREAD, senders)] == ([expected] if what else [])
    assert {each.endpoint for each in found(SPREAD, senders)} <= {messages.name}
    store_calls(con, [answered(senders, label, last, senders_row(label, 6))])
    assert found(SPREAD, senders) == []


def test_a_distribution_without_messages_is_not_checked(con: Connection, found: Found) -> None:
    """A distribution without messages, or messages without a distribution, are not checked."""
    store_calls(con, [answered(SENDERS, day(4), None, senders_row(day(4), 9))])
    store_calls(con, [answered(MESSAGES, day(5), None, row(day(5), 5))])

    assert found(SPREAD, SENDERS) == []


# --- due labels -------------------------------------------------------------------------------------------------

DUE = "due_labels_are_there"


def bring(con: Connection, *days: dt.date, at: dt.datetime = LATER) -> None:
    """Store an answer for each day."""
    store_calls(con, [answered(MESSAGES, each, None, row(each), at=at) for each in days])


def told(findings: list[Finding]) -> list[tuple[str, str, bool]]:
    """Return each finding's date and text, and whether it is informational."""
    return [(each.ref_date, str(each.what), each.informational) for each in findings]


def test_a_history_without_gaps_passes(con: Connection, found: Found) -> None:
    """A history without gaps passes, including empty days."""
    bring(con, *(day(number) for number in range(2, 23)))
    store_calls(con, [answered(MESSAGES, day(23))])

    assert found(DUE, MESSAGES) == []


def test_a_gap_is_found_with_its_bounds_and_heals(con: Connection, found: Found) -> None:
    """Each unbroken run of missing labels is one finding, newest first, until it is filled."""
    bring(con, *(day(number) for number in range(2, 19) if number not in (7, 8, 9)), at=LATER - dt.timedelta(days=4))
    bring(con, *map(day, (19, 21, 22, 23)))
    assert told(found(DUE, MESSAGES)) == [
        ("2026-11-20", "missing", False),
        ("2026-11-07", "missing, up to 2026-11-09", False),
    ]
    bring(con, *map(day, (7, 8, 9, 20)))

    assert found(DUE, MESSAGES) == []


def test_a_label_is_missing_only_from_noon_on(con: Connection, found: Found) -> None:
    """A label is missing only from noon of the day after its period, since figures may not be published before."""
    bring(con, *(day(number) for number in range(2, 23)))

    assert found(DUE, MESSAGES, now=dt.datetime(2026, 11, 24, 11, 59)) == []
    assert told(found(DUE, MESSAGES, now=dt.datetime(2026, 11, 24, 12))) == [("2026-11-23", "missing", False)]


@pytest.mark.parametrize(
    ("endpoint", "first", "newest"),
    [(WEEKS, day(2), "2026-11-16"), (SENDERS_OF_MONTHS, dt.date(2026, 9, 1), "2026-10-01")],
    ids=["weeks", "months"],
)
def test_weeks_and_months_are_due_as_well(
    con: Connection, found: Found, endpoint: Endpoint, first: dt.date, newest: str
) -> None:
    """The newest week or month is a finding when it is missing."""
    made = senders_row if endpoint is SENDERS_OF_MONTHS else row
    *others, _ = due_labels(endpoint.period, first, LATER.date())
    store_calls(con, [answered(endpoint, each, due_on(each, endpoint.period) - DAY, made(each)) for each in others])

    assert told(found(DUE, endpoint, start=first)) == [(newest, "missing", False)]


def test_a_running_backfill_is_an_informational_finding(con: Connection, found: Found) -> None:
    """A running backfill is an informational finding; after a day without progress the check fails."""
    bring(con, *(day(number) for number in range(11, 24)))
    assert told(found(DUE, MESSAGES)) == [
        ("2026-11-02", "missing, up to 2026-11-10. History is being backfilled, newest first", True)
    ]
    tomorrow = LATER + 2 * DAY
    bring(con, day(24), day(25), at=tomorrow)  # like a daily run, which requests no old labels

    assert told(found(DUE, MESSAGES, now=tomorrow)) == [
        ("2026-11-02", "missing, up to 2026-11-10. It hasn't been requested since yesterday", False)
    ]


def test_an_account_without_data_has_two_findings(found: Found) -> None:
    """An account without data has two findings: its newest label, and the rest of its history."""
    assert [(each.ref_date, each.end, each.informational) for each in found(DUE, MESSAGES)] == [
        ("2026-11-23", "2026-11-23", False),
        ("2026-11-02", "2026-11-22", False),
    ]
    assert found(DUE, MESSAGES, start=LATER.date()) == []


# --- the published file -----------------------------------------------------------------------------------------

CURRENT = "published_file_is_current"


@pytest.fixture
def file(tmp_path: Path) -> Warehouse:
    """Publish a warehouse with two endpoints, half an hour after the answers."""
    made = Warehouse(tmp_path / "figures.duckdb", clock=lambda: LATER + dt.timedelta(minutes=30))
    with made.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 1, 2))])
        store_calls(con, [answered(HOURS, day(4), None, hour_row(day(4), count=2))])
    made.publish()
    return made


def by_readers(file: Warehouse, endpoint: Endpoint = MESSAGES) -> list[str]:
    """Return what the check finds when readers of the published file run it."""
    with check_context_of_readers(file, Account("shop", start=day(4)), list(ENDPOINTS)) as context:
        return [str(finding.what) for finding in findings_of(BY_CHECK[CURRENT], context, endpoint)]


def by_a_run(file: Warehouse, endpoint: Endpoint = MESSAGES) -> list[str]:
    """Return what the check finds when a run runs it."""
    with check_context_of_run(file, Account("shop", start=day(4)), endpoint) as context:
        return [str(finding.what) for finding in findings_of(BY_CHECK[CURRENT], context, endpoint)]


@pytest.mark.parametrize("judged", [by_readers, by_a_run])
def test_a_published_file_passes(file: Warehouse, judged: Callable[[Warehouse], list[str]]) -> None:
    """A published file passes, also for readers without the writer's file."""
    assert judged(file) == []
    file.writer.unlink()
    assert by_readers(file) == []
    assert not file.writer.exists()


@pytest.mark.parametrize("judged", [by_readers, by_a_run])
def test_a_change_by_a_foreign_program_is_found(file: Warehouse, judged: Callable[..., list[str]]) -> None:
    """A change by a foreign program is a finding of the changed table, until the next publication."""
    file.database.chmod(0o644)
    with duckdb.connect(str(file.database)) as foreign:
        foreign.execute("UPDATE datacube.getupstreammsg SET msg_count = 3")
        foreign.execute("DELETE FROM datacube.getupstreammsghour")

    assert judged(file) == ["rows in the published file differ from the written ones"]
    assert judged(file, HOURS) == ["1 calls and 0 rows are published, 1 and 1 written"]
    file.publish()
    assert judged(file) == judged(file, HOURS) == []


@pytest.mark.parametrize("judged", [by_readers, by_a_run])
def test_calls_that_stay_unpublished_are_found(file: Warehouse, judged: Callable[[Warehouse], list[str]]) -> None:
    """Calls unpublished for over ten minutes are a finding, as a run publishes every few seconds and at its end."""
    with file.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(5), None, row(day(5)), at=file.clock() - dt.timedelta(minutes=9))])
    assert judged(file) == []
    with file.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(6), None, row(day(6)), at=file.clock() - dt.timedelta(minutes=11))])

    assert judged(file) == ["published up to call 2, written up to call 4"]
    file.publish()
    assert judged(file) == []


@pytest.mark.parametrize("by", ["readers", "a run"])
@pytest.mark.parametrize("is_current", [True, False])
def test_processes_can_commit_and_publish_while_checks_run(file: Warehouse, by: str, is_current: bool) -> None:
    """Checks hold no lock and compare both files as of one moment, so concurrent commits are no finding."""
    other = Warehouse(file.database, clock=file.clock, timeout=0.2)
    if not is_current:
        bring_in(other, 5)
    with (
        check_context_of_readers(file, Account("shop", start=day(4)), list(ENDPOINTS))
        if by == "readers"
        else check_context_of_run(file, Account("shop", start=day(4)), MESSAGES)
    ) as context:
        bring_in(other, 6)
        other.publish()
        assert findings_of(BY_CHECK[CURRENT], context, MESSAGES) == []


def bring_in(file: Warehouse, number: int) -> None:
    """Commit a call that was made just now."""
    with file.transaction() as con:
        store_calls(con, [answered(MESSAGES, day(number), None, row(day(number)), at=file.clock())])


def test_a_published_file_that_can_not_be_read_is_a_finding_of_a_run(file: Warehouse) -> None:
    """For a run, a published file that can't be read is a finding with the reason, until the next publication."""
    file.database.chmod(0o644)
    file.database.write_bytes(b"no database")

    assert "is not a DuckDB file" in by_a_run(file)[0]
    file.publish()
    assert by_a_run(file) == []


# --- all together -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_check_finds_anything_in_a_coherent_world(seed: int, tmp_path: Path) -> None:
    """On the emulator's figures, with empty days and a start within a week and a month, no check has findings."""
    options = {"seed": seed, "silent_share": 0.3, "messages_per_day": 40}
    with shop(tmp_path, start=dt.date(2026, 9, 16), **options) as made:
        made.bring_everything_in()
        start = made.ingest.account.start
        with check_context_of_readers(made.warehouse, Account("shop", start=start), list(ENDPOINTS)) as context:
            findings = [each for check in CHECKS for one in ENDPOINTS if check.concerns(one)
                        for each in findings_of(check, context, one)]  # fmt: skip
        ((hours, weeks),) = made.rows(
            "SELECT (SELECT count(*) FROM datacube.getupstreammsghour),"
            " (SELECT count(*) FROM datacube.getupstreammsgweek)"
        )

    assert findings == []
    assert min(hours, weeks) > 20
