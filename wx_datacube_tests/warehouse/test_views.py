"""Views: every figure that people see equals the emulator's world, counted here message by message.

Add a test here when a view is added, or shows a figure in another way. Two years come in from the emulator once for
the module; situations that the emulator doesn't produce are stored directly, at the end of the file.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from wx_datacube.catalog.messages import ENDPOINTS, HOURLY_MESSAGES, MESSAGES_OF, MSG_COUNT
from wx_datacube.catalog.model import Period
from wx_datacube.config.settings import Account
from wx_datacube.emulator.world import World
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.warehouse.checks import check_context_of_readers, checks_of, run_check
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import replay, store_calls
from wx_datacube_tests.answers import MESSAGES, MONTHS, SENDERS, answered, day, row, rows_of, senders_row
from wx_datacube_tests.ingesting import Shop, shop

FIRST, LAST = dt.date(2024, 1, 1), dt.date(2025, 12, 31)
TYPES = {1: "text", 2: "image", 3: "voice", 4: "video", 6: "link"}
RANGES = [(5, "1-5"), (10, "6-10"), (10**9, "more than 10")]
NO_ROWS = {"implied", "empty"}
DAILY, HOURLY, WEEKLY, MONTHLY = "daily", "hourly", "weekly", "monthly"


class Counted:
    """Two years of the emulator's messages, counted per period with sets of users and plain sums."""

    def __init__(self, world: World) -> None:
        self.people: dict[Any, set[int]] = defaultdict(set)
        self.messages: dict[Any, int] = defaultdict(int)
        self.sent: dict[Any, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        date = FIRST
        while date <= LAST:
            for message in world.messages(date):
                self._count(date, message.user, message.hour, message.type)
            date += dt.timedelta(days=1)

    def _count(self, date: dt.date, user: int, hour: int, kind: int) -> None:
        monday, first = dt.date.fromisocalendar(*date.isocalendar()[:2], 1), dt.date(date.year, date.month, 1)
        for adverb, label in ((DAILY, date), (WEEKLY, monday), (MONTHLY, first)):
            self.people[adverb, label, kind].add(user)
            self.messages[adverb, label, kind] += 1
            self.sent[adverb, label][user] += 1
        self.people[HOURLY, date, hour, kind].add(user)
        self.messages[HOURLY, date, hour, kind] += 1

    def by_type(self, adverb: str) -> list[tuple[Any, ...]]:
        """Return (date, [hour,] type, users, messages), sorted."""
        found = [(*key[1:], len(users), self.messages[key]) for key, users in self.people.items() if key[0] == adverb]
        return sorted(whole(found, adverb))

    def by_messages_sent(self, adverb: str) -> list[tuple[Any, ...]]:
        """Return (date, interval, users), sorted."""
        found: dict[tuple[dt.date, int], int] = defaultdict(int)
        for (kind, label), users in self.sent.items():
            for count in users.values() if kind == adverb else ():
                found[label, 1 + (count > 5) + (count > 10)] += 1
        return sorted(whole([(*key, number) for key, number in found.items()], adverb))

    def totals(self, adverb: str) -> list[tuple[Any, ...]]:
        """Return (date, users, messages, messages per user), sorted."""
        found = [
            (label, len(users), sum(users.values()), sum(users.values()) / len(users))
            for (kind, label), users in self.sent.items()
            if kind == adverb
        ]
        return sorted(whole(found, adverb))


def whole(found: list[tuple[Any, ...]], adverb: str) -> list[tuple[Any, ...]]:
    """Return the rows of periods that have ended: the last days of 2025 belong to a week that hasn't."""
    return [each for each in found if adverb != WEEKLY or each[0] + dt.timedelta(days=6) <= LAST]


@pytest.fixture(scope="module")
def two_years(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, list[FetchReport]]]:
    """Fetch two years from the emulator, with their festivals, and one day in ten without messages."""
    new_year = dt.datetime(2026, 1, 1, 13)
    options: dict[str, Any] = {"quota": 10_000, "silent_share": 0.1, "messages_per_day": 60, "concurrency": 8}
    with shop(tmp_path_factory.mktemp("years"), start=FIRST, clock=new_year, **options) as made:
        yield made, made.bring_everything_in()


@pytest.fixture(scope="module")
def counted(two_years: tuple[Shop, list[FetchReport]]) -> Counted:
    """Count the same two years."""
    return Counted(two_years[0].emulated.world)


def test_two_years_are_stored_without_gaps(two_years: tuple[Shop, list[FetchReport]], counted: Counted) -> None:
    """No label is missing; those without messages are empty, and their hours and distributions are implied."""
    made, reports = two_years
    for report in reports:
        assert report.unresolved == ()
        adverb = report.endpoint.period.adverb
        talked = {label for kind, label, *_ in counted.people if kind == adverb}
        assert {each.label for each in report.labels if each.coverage.state == "landed"} == talked & {
            each.label for each in report.labels
        }
        silent = {each.coverage.state for each in report.labels if each.label not in talked}
        # A window of the distribution covers empty days between others at no cost, so those are empty, not implied.
        exactly = {HOURLY_MESSAGES: {"implied"}} | {each: {"empty"} for each in MESSAGES_OF.values()}
        assert silent <= exactly.get(report.endpoint, NO_ROWS)
    assert sum(each.coverage.state == "empty" for each in reports[0].labels) > 50
    assert made.rows("SELECT count(*) FROM datacube.rejected_rows") == [(0,)]
    assert made.rows("SELECT count(*) FROM datacube.revisions") == [(0,)]


def test_two_years_take_the_fewest_calls(two_years: tuple[Shop, list[FetchReport]], counted: Counted) -> None:
    """The number of calls is minimal: 7 days, 5 weeks or 1 to 2 months a call, and each day with messages for hours."""
    made, reports = two_years
    by_name = {report.endpoint.name: report.calls for report in reports}

    assert by_name["getupstreammsg"] == -(-731 // 7)
    assert by_name["getupstreammsgweek"] == by_name["getupstreammsgdistweek"] == -(-104 // 5)
    assert by_name["getupstreammsgmonth"] == by_name["getupstreammsgdistmonth"] == 24 - 2
    assert by_name["getupstreammsghour"] == len({label for kind, label, *_ in counted.people if kind == DAILY})
    assert made.calls() == sum(by_name.values())


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])
def test_every_row_of_the_tables_equals_the_counted_messages(
    two_years: tuple[Shop, list[FetchReport]], counted: Counted, endpoint: Any
) -> None:
    """Every row of an endpoint's table equals the counted messages."""
    columns = [column.name for column in endpoint.columns if column.name != "user_source"]
    found = two_years[0].rows(f"SELECT {', '.join(columns)} FROM datacube.{endpoint.name} ORDER BY ALL")
    adverb = endpoint.period.adverb
    expected = counted.by_messages_sent(adverb)
    if endpoint is HOURLY_MESSAGES:
        expected = [(date, 100 * hour, *others) for date, hour, *others in counted.by_type(HOURLY)]
    elif MSG_COUNT in endpoint.columns:
        expected = counted.by_type(adverb)

    assert found == expected
    assert len(found) > 24
    assert two_years[0].rows(f"SELECT DISTINCT account, user_source FROM datacube.{endpoint.name}") == [("shop", 0)]


@pytest.mark.parametrize("adverb", [HOURLY, *(period.adverb for period in Period)])
def test_messages_are_shown_by_type(two_years: tuple[Shop, list[FetchReport]], counted: Counted, adverb: str) -> None:
    """`messages_hourly|daily|weekly|monthly` show types in words and hours from 0 to 23."""
    hour = "hour, " if adverb == HOURLY else ""
    shown = two_years[0].rows(f"SELECT date, {hour}type, users, messages FROM messages_{adverb}")
    expected = [(*found[:-3], TYPES[found[-3]], *found[-2:]) for found in counted.by_type(adverb)]

    assert sorted(shown) == sorted(expected)


@pytest.mark.parametrize("adverb", [period.adverb for period in Period])
def test_senders_are_shown_by_number_of_messages(
    two_years: tuple[Shop, list[FetchReport]], counted: Counted, adverb: str
) -> None:
    """`senders_daily|weekly|monthly` show intervals in words."""
    found = two_years[0].rows(f"SELECT date, messages_sent, users FROM senders_{adverb}")
    expected = [(date, RANGES[interval - 1][1], users) for date, interval, users in counted.by_messages_sent(adverb)]

    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("adverb", [period.adverb for period in Period])
def test_totals_add_messages_but_not_users(
    two_years: tuple[Shop, list[FetchReport]], counted: Counted, adverb: str
) -> None:
    """`totals_daily|weekly|monthly` show the distinct users of the whole period, and messages per user."""
    found = two_years[0].rows(f"SELECT date, users, messages, messages_per_user FROM totals_{adverb} ORDER BY date")

    assert found == counted.totals(adverb)


def test_no_check_finds_anything_in_two_years(two_years: tuple[Shop, list[FetchReport]]) -> None:
    """No check of any endpoint has findings, as the emulator's figures are coherent."""
    made = two_years[0]
    made.warehouse.publish()
    with check_context_of_readers(made.warehouse, Account("shop", start=FIRST), list(ENDPOINTS)) as context:
        findings = {(check.name, each.name): run_check(check, context, each)
                    for each in ENDPOINTS for check in checks_of(each)}  # fmt: skip

    assert {key: found for key, found in findings.items() if found} == {}


def test_replay_ends_in_the_same_tables(two_years: tuple[Shop, list[FetchReport]]) -> None:
    """A replay rebuilds the same rows of two years from the ledger without a call."""
    made = two_years[0]
    calls = made.calls()
    before = {each.name: made.rows(f"FROM datacube.{each.name} ORDER BY ALL") for each in ENDPOINTS}
    replay_and_publish(made.warehouse)

    assert {each.name: made.rows(f"FROM datacube.{each.name} ORDER BY ALL") for each in ENDPOINTS} == before
    assert made.calls() == calls


# --- what the emulator doesn't produce --------------------------------------------------------------------------


def test_unknown_codes_are_shown_by_number(con: Connection) -> None:
    """Unknown types and intervals are shown as `other (N)`."""
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), msg_type=9), row(day(4), msg_type=-1))])
    store_calls(
        con, [answered(SENDERS, day(4), None, senders_row(day(4), interval=8), senders_row(day(4), interval=0))]
    )

    assert rows_of(con, "SELECT type FROM messages_daily ORDER BY 1") == [("other (-1)",), ("other (9)",)]
    assert rows_of(con, "SELECT messages_sent FROM senders_daily ORDER BY 1") == [("0",), ("other (8)",)]


def test_totals_of_missing_data_are_null(con: Connection) -> None:
    """If messages or the distribution are missing, their figure is NULL, not zero."""
    store_calls(con, [answered(MONTHS, dt.date(2026, 10, 1), None, row("2026-10-01", 5, 9))])
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 5, 9), row(day(4), 5, 9, msg_type=2))])
    store_calls(con, [answered(SENDERS, day(5), None, senders_row(day(5), 3), senders_row(day(5), 4, 2))])

    assert rows_of(con, "FROM totals_daily ORDER BY date") == [
        ("shop", day(4), None, 18, None),
        ("shop", day(5), 7, None, None),
    ]
    assert rows_of(con, "FROM totals_monthly") == [("shop", dt.date(2026, 10, 1), None, 9, None)]


def test_users_who_sent_nothing_are_not_counted(con: Connection) -> None:
    """WeChat's interval 0, users without a message, is not counted as senders."""
    store_calls(con, [answered(MESSAGES, day(4), None, row(day(4), 5, 9))])
    store_calls(con, [answered(SENDERS, day(4), None, senders_row(day(4), 3), senders_row(day(4), 100, 0))])

    assert rows_of(con, "FROM totals_daily") == [("shop", day(4), 3, 9, 3.0)]


def test_a_sum_that_overflows_is_null(con: Connection) -> None:
    """A sum that overflows BIGINT is NULL and doesn't break the view for other days."""
    huge = [row(day(4), 1, 2**63 - 1), row(day(4), 1, 2**63 - 1, msg_type=2)]
    store_calls(con, [answered(MESSAGES, day(4), day(5), *huge, row(day(5)))])

    assert rows_of(con, "SELECT date, messages FROM totals_daily ORDER BY 1") == [(day(4), None), (day(5), 2)]


def test_every_row_of_a_view_has_its_account(con: Connection) -> None:
    """Each row of each view has its account."""
    for account, users in (("shop", 1), ("news", 2)):
        store_calls(con, [answered(MESSAGES, day(4), None, row(day(4)), account=account)])
        store_calls(con, [answered(SENDERS, day(4), None, senders_row(day(4), users), account=account)])

    assert rows_of(con, "SELECT account, users FROM totals_daily ORDER BY 1") == [("news", 2), ("shop", 1)]


def replay_and_publish(warehouse: Warehouse) -> None:
    """Do what `wx-datacube replay` does."""
    with warehouse.transaction() as con:
        replay(con)
    warehouse.publish()
