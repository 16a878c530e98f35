"""Ingest: which labels are requested and what the report says, against an emulator with its own clock.

Add a test here about states of labels and settings. What WeChat refuses or leaves out is in `test_refusals.py`, quota
and errors are in `test_quota_and_errors.py`, refreshes, interrupted and concurrent runs in `test_runs.py`.
"""

import datetime as dt
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.errors import (
    NotReady,
    SettingsError,
)
from wx_datacube.ingest.fetch_report import LabelReport
from wx_datacube.ingest.service import Ingest
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.answers import DAY, HOURS, MESSAGES, MONTHS, SENDERS, WEEKS, day
from wx_datacube_tests.ingesting import AFTERNOON, MORNING, NOON, YESTERDAY, Start, only, state_of

# --- which labels are requested ---------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])
def test_missing_labels_land_in_the_fewest_calls(start: Start, endpoint: Endpoint) -> None:
    """All missing labels land in the fewest calls, with the emulator's figures; a second run makes no call."""
    made = start(start=dt.date(2026, 9, 1))
    report = made.fetch_missing(endpoint)
    expected = {"getupstreammsg": 12, "getupstreammsghour": 84, "getupstreammsgdist": 6}
    calls = expected.get(endpoint.name, 3 if endpoint.period is Period.WEEK else 2)

    assert {each.coverage.state for each in report.labels} == {State.LANDED}
    assert [each.label for each in report.labels] == made.labels(endpoint)
    assert report.unresolved == report.errors == ()
    assert (report.calls, made.calls()) == (calls, calls)
    newest = report.labels[-1]
    rows = made.emulated.world.rows(endpoint, newest.label)
    assert newest.coverage.rows == len(rows)
    assert made.rows(f"SELECT sum(msg_user) FROM datacube.{endpoint.name} WHERE ref_date = $d", d=newest.label) == [
        (sum(int(each["msg_user"]) for each in rows),)
    ]

    again = made.fetch_missing(endpoint)
    assert again.labels == report.labels
    assert (again.calls, made.calls(), len(made.clients)) == (0, calls, 1)


def test_only_the_label_that_is_not_stored_is_requested(start: Start) -> None:
    """If some labels are stored, only the new one is requested."""
    made = start()
    made.fetch_missing(HOURS, [day(1), day(2), day(3)])
    report = made.fetch_missing(HOURS, [day(2), day(3), day(4)])

    assert report.calls == 1
    assert [begin for begin, _ in made.windows(HOURS)][3:] == ["2026-11-04"]


class Opened(Warehouse):
    """Files that count how often the writer's file was opened."""

    times = 0

    def transaction(self) -> AbstractContextManager[Connection]:
        """Count and open."""
        self.times += 1
        return super().transaction()


def test_a_run_with_nothing_to_request_opens_the_file_once(start: Start) -> None:
    """Plan and report share a transaction, which matters for large files and other processes."""
    made = start()
    made.fetch_missing(HOURS, [day(1)])
    files = Opened(made.warehouse.database, clock=made.warehouse.clock)
    report = made.with_(warehouse=files).fetch_missing(HOURS, [day(1)])

    assert (report.calls, report.unresolved, files.times) == (0, (), 1)


def test_the_newest_label_is_requested_first(start: Start) -> None:
    """With one call at a time, windows are requested from yesterday back to the start."""
    made = start(concurrency=1)
    made.fetch_missing(MESSAGES)

    ends = [end for _, end in made.windows(MESSAGES)]
    assert ends == sorted(ends, reverse=True)
    assert ends[0] == str(YESTERDAY)


def test_calls_in_flight_are_bounded(start: Start) -> None:
    """The number of calls in flight reaches the setting's limit, and doesn't exceed it."""
    made = start(concurrency=3, latency=20)
    made.fetch_missing(HOURS)

    assert made.emulated.control.state()["most_in_flight"] == 3


def test_the_newest_call_includes_a_look_back(start: Start) -> None:
    """Yesterday's call is widened over the stored days before it, which finds a revision at no cost."""
    made = start(clock=AFTERNOON - DAY)
    made.fetch_missing(MESSAGES)
    made.emulated.control.restate(day(18), factor=2)
    made.at(AFTERNOON)
    report = made.fetch_missing(MESSAGES)

    assert report.calls == 1
    assert made.windows(MESSAGES)[-1] == ("2026-11-17", "2026-11-23")
    assert {date for (date,) in made.rows("SELECT ref_date FROM datacube.revisions")} == {day(18)}


def test_labels_that_are_not_due_are_not_requested(start: Start) -> None:
    """Labels that aren't due make no call; the report says `NotReady`."""
    made = start()
    for endpoint, labels in ((MESSAGES, [day(24), day(25)]), (WEEKS, [YESTERDAY]), (MONTHS, [day(1)])):
        report = made.fetch_missing(endpoint, labels)
        assert [type(each.error) for each in report.labels] == [NotReady] * len(labels)
        assert {each.coverage.state for each in report.labels} == {State.MISSING}

    assert made.emulated.control.calls() == []


def test_no_labels_make_no_call(start: Start) -> None:
    """Without labels no call is made, but the file is published all the same."""
    made = start()
    report = made.fetch_missing(MESSAGES, [])

    assert (report.labels, report.calls, made.clients) == ((), 0, [])
    assert made.warehouse.database.exists()


def test_labels_before_the_start_can_be_requested(start: Start) -> None:
    """A label before WX_DATACUBE_START can be requested; commands only begin there by default."""
    made = start(start=day(10))
    report = made.fetch_missing(MESSAGES, [day(5)])

    assert only(report).coverage.state is State.EMPTY


# --- empty answers ----------------------------------------------------------------------------------------------


def test_an_empty_answer_before_noon_is_not_ready(start: Start) -> None:
    """An empty answer before noon leaves yesterday missing, with `NotReady`; older days land.

    The next run requests it again.
    """
    made = start(clock=MORNING, publish_at="10:00")
    report = made.fetch_missing(MESSAGES, [day(21), day(22), YESTERDAY])

    assert state_of(report) == {21: State.LANDED, 22: State.LANDED, 23: State.MISSING}
    assert [type(error) for error in report.errors] == [NotReady]
    assert "2026-11-23" in str(report.errors[0])
    made.at(MORNING.replace(hour=10))
    assert made.fetch_missing(MESSAGES, [YESTERDAY]).unresolved == ()


def test_an_empty_answer_after_noon_is_empty(start: Start) -> None:
    """From noon on an empty answer makes the label empty, and it is not requested again."""
    made = start(clock=MORNING, silent_share=1)
    assert only(made.fetch_missing(MESSAGES, [YESTERDAY])).coverage.state is State.MISSING
    made.at(NOON)
    report = made.fetch_missing(MESSAGES, [YESTERDAY])

    assert only(report) == LabelReport(only(report).coverage, None)
    assert only(report).coverage.state is State.EMPTY
    assert made.fetch_missing(MESSAGES, [YESTERDAY]).calls == 0


@pytest.mark.parametrize("endpoint", [HOURS, SENDERS], ids=["hours", "distribution"])
def test_hours_and_distribution_of_empty_days_are_not_requested(start: Start, endpoint: Endpoint) -> None:
    """Hours and distribution of empty days are implied, and not even a client is created for them."""
    made = start(silent_share=1)
    made.fetch_missing(MESSAGES)
    report = made.fetch_missing(endpoint)

    assert {each.coverage.state for each in report.labels} == {State.IMPLIED}
    assert (report.calls, report.unresolved, len(made.clients)) == (0, (), 1)
    assert made.fetch_missing(endpoint, refresh=True).calls == 0


def test_a_third_of_the_days_costs_a_third_of_the_hours(start: Start) -> None:
    """Hours are requested only for days with messages."""
    made = start(silent_share=0.66, start=dt.date(2026, 9, 1))
    landed = sum(each.coverage.state is State.LANDED for each in made.fetch_missing(MESSAGES).labels)
    report = made.fetch_missing(HOURS)

    assert report.calls == landed < 42
    assert report.unresolved == ()


def test_hours_are_fetched_once_an_empty_day_turns_out_to_have_messages(start: Start) -> None:
    """If a look-back finds messages of an empty day, its hours are no longer implied and are fetched."""
    made = start(silent_share=1, clock=AFTERNOON - DAY)
    made.bring_everything_in()
    made.emulated.control.restate(day(20), delta=5)
    made.at(AFTERNOON)
    made.fetch_missing(MESSAGES)
    assert made.states(HOURS)[day(20)] is made.states(SENDERS)[day(20)] is State.MISSING
    report = made.fetch_missing(HOURS)

    assert (report.calls, state_of(report)[20], state_of(report)[19]) == (1, State.LANDED, State.IMPLIED)


def test_empty_hours_of_a_day_with_messages_stay_missing(start: Start) -> None:
    """Hours that are empty although their day has messages stay missing; a later run requests them again."""
    made = start()
    made.fetch_missing(MESSAGES)
    made.emulated.control.script("getupstreammsghour", '200:{"list":[]}', last=2)
    report = made.fetch_missing(HOURS, [day(20)])

    assert only(report).coverage.state is State.MISSING
    assert isinstance(only(report).error, NotReady)
    assert "2026-11-20" in str(only(report).error)
    assert "rejected_rows" not in str(only(report).error)
    assert made.fetch_missing(HOURS, [day(20)]).unresolved != ()
    assert made.fetch_missing(HOURS, [day(20)]).unresolved == ()


def test_a_rejected_row_leaves_its_label_missing(start: Start) -> None:
    """A rejected row leaves its label missing; the error refers to `datacube.rejected_rows`."""
    made = start()
    body = '{"list":[{"ref_date":"2026-11-20","user_source":0,"msg_type":1,"msg_user":"many","msg_count":3}]}'
    made.emulated.control.script("getupstreammsg", f"200:{body}")
    report = made.fetch_missing(MESSAGES, [day(20)])

    assert "datacube.rejected_rows" in str(only(report).error)
    assert made.rows("SELECT reason FROM datacube.rejected_rows") == [("wrong_type",)]
    assert made.fetch_missing(MESSAGES, [day(20)]).unresolved == ()


def test_dirty_rows_from_before_history_are_rejected(start: Start) -> None:
    """The first week of history lands although WeChat adds rows of earlier days, which are rejected."""
    first = dt.date(2014, 12, 1)
    made = start(start=first, dirty_rows=True)
    report = made.fetch_missing(MESSAGES, [first + number * DAY for number in range(7)])

    assert report.unresolved == ()
    assert made.rows("SELECT DISTINCT reason FROM datacube.rejected_rows") == [("before_2014_12_01",)]
    assert made.rows("SELECT min(ref_date) FROM datacube.getupstreammsg") == [(first,)]


def test_stray_rows_are_rejected(start: Start) -> None:
    """Rows of older weeks in a one-day window, as in August 2022, are rejected and overwrite nothing."""
    made = start(start=dt.date(2025, 1, 1), stray_rows=True)
    report = made.fetch_missing(WEEKS, [day(16)])

    assert report.unresolved == ()
    assert made.rows("SELECT DISTINCT ref_date FROM datacube.getupstreammsgweek") == [(day(16),)]
    assert made.rows("SELECT DISTINCT reason FROM datacube.rejected_rows") == [("outside_window",)]


# --- settings ---------------------------------------------------------------------------------------------------


def test_credentials_are_needed_only_for_calls(start: Start, folder: Path) -> None:
    """Without credentials stored labels are reported; requesting another raises an error that names the variables."""
    made = start()
    made.fetch_missing(MESSAGES, [day(20)])
    settings = Settings(project=folder, database=made.warehouse.database, api_url=made.emulated.api_url)
    without = Ingest.of(settings, Account("shop", start=day(1)))
    assert without.fetch_missing(MESSAGES, [day(20)], run_id="run").unresolved == ()
    with pytest.raises(SettingsError, match=r"WX_DATACUBE_APPID.*WX_DATACUBE_SECRET"):
        without.fetch_missing(MESSAGES, [day(21)], run_id="run")


def test_an_ingest_is_created_from_settings(start: Start, folder: Path) -> None:
    """`Ingest.of` takes URL, credentials, database, concurrency and daily calls from the settings."""
    made = start(start=dt.date(2016, 1, 1))
    account = Account("other", made.emulated.appid, Secret(made.emulated.secret))
    settings = Settings(folder, folder / "other.duckdb", made.emulated.api_url, 3, 7, (account,))
    ingest = Ingest.of(settings, account)
    report = ingest.fetch_missing(MESSAGES, [dt.date(2016, 1, 4)], run_id="run")

    assert (ingest.concurrency, ingest.daily_calls, ingest.warehouse.database) == (3, 7, folder / "other.duckdb")
    assert only(report).coverage.state is State.LANDED


def test_another_appid_under_a_name_is_refused_before_any_call(start: Start) -> None:
    """Another AppID under a stored account's name is an error before any call, and changes nothing."""
    made = start()
    made.fetch_missing(MESSAGES, [day(20)])
    other = made.with_(account=Account("shop", "wx0000000000000000", Secret("0" * 32), start=day(1)))
    before = made.warehouse.database.read_bytes()
    with pytest.raises(SettingsError, match="belongs to the AppID"):
        other.fetch_missing(MESSAGES, [day(21)])

    assert made.calls() == 1
    assert made.warehouse.database.read_bytes() == before
