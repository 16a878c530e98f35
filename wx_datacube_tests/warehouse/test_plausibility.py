"""Doubts about figures: what `figures_are_plausible` finds, what it leaves alone, and what it says.

`bench/doubts.py` has the faults and the made-up accounts. The quick tests here inject a few, and the long one measures
them all. A steady account with a weekly pattern shows the rules one by one.
"""

import datetime as dt
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import duckdb
import pytest

from bench.doubts import (
    DAY,
    FACTORS,
    FAULTS,
    MISSING,
    Injected,
    Made,
    accounts,
    days_between,
    is_found,
    is_judged,
    judged,
    measure,
    of_the_world,
    with_fault,
)
from wx_datacube.catalog.followers import CHANNEL, CHANNELS_IN_CHINESE, DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.messages import DAILY_MESSAGES, SENDERS_OF
from wx_datacube.catalog.model import Endpoint, Family, Period
from wx_datacube.config.settings import Account
from wx_datacube.language import Language
from wx_datacube.operations.names import CHANNELS
from wx_datacube.warehouse.checks import FIGURES_ARE_PLAUSIBLE, CheckContext, Finding, run_check
from wx_datacube.warehouse.checks.expectation import LASTING_DAYS, places
from wx_datacube.warehouse.checks.plausibility import Doubt, History
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.schema import create_statements

DAILY_SENDERS = SENDERS_OF[Period.DAY]
WEDNESDAY = dt.date(2026, 8, 12)
BEGIN = dt.date(2026, 3, 1)
SPECIAL = places(dt.date(2022, 1, 1), dt.date(2026, 12, 31))
OTHERS, SEARCH, QR_CODE, ARTICLE, PAYMENT = 0, 1, 30, 57, 51

Factor = Callable[[dt.date], float]


def steady(
    size: float = 1000, first: dt.date = BEGIN, last: dt.date = WEDNESDAY, factor: Factor = lambda day: 1.0
) -> History:
    """Return an account with a weekly pattern and up to 15 % of noise, in which all figures belong together."""
    rng = random.Random(1)
    days = days_between(first, last)
    sizes = {day: size * (0.6 if day.weekday() >= 5 else 1.0) * rng.uniform(0.85, 1.15) * factor(day) for day in days}
    shares = {OTHERS: 0.1, SEARCH: 0.3, QR_CODE: 0.6}
    new = {channel: {day: round(sizes[day] * share) for day in days} for channel, share in shares.items()}
    lost = {channel: {day: round(sizes[day] * share / 2) for day in days} for channel, share in shares.items()}
    totals, total = {}, 100_000
    for day in days:
        total += sum(new[each][day] - lost[each][day] for each in shares)
        totals[day] = total
    messages = {day: round(each) for day, each in sizes.items()}
    return History(messages, {day: round(each / 2.5) for day, each in messages.items()}, new, lost, totals)


def changed(history: History, name: str, figures: Mapping[dt.date, int]) -> History:
    """Return the figures with some days of messages or senders replaced."""
    return replace(history, **{name: {**getattr(history, name), **figures}})


def about(history: History, day: dt.date = WEDNESDAY) -> list[Doubt]:
    """Return the doubts about a day."""
    return judged(history, day, SPECIAL)


def shown(history: History, day: dt.date = WEDNESDAY) -> list[tuple[str, int | None, str, bool]]:
    """Return the doubts about a day: the figure, how it differs, and whether the check fails."""
    return [(each.metric, each.channel, each.direction.value, each.fails) for each in about(history, day)]


# --- faults and false alarms ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> Made:
    """Provide an account of the emulator's world with five thousand messages a day, of ten months and last spring."""
    return of_the_world(11, 5_000, first=dt.date(2025, 12, 15), last=dt.date(2026, 9, 30))


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found_on_their_day(made: Made, fault: str) -> None:
    """Nine of ten faults on random days of half a year are found, and half of those that may be a quiet day."""
    rng, days = random.Random(fault), days_between(dt.date(2026, 4, 15), dt.date(2026, 9, 30))
    series = [("messages", None), ("senders", None), ("new_followers", None), ("lost_followers", None)]
    if fault == MISSING:
        series = [("new_followers", ARTICLE), ("lost_followers", ARTICLE)]
    faults = [Injected(fault, metric, channel, day) for metric, channel in series for day in rng.sample(days, 9)]
    judged_ones = [each for each in faults if is_judged(made.history, each, SPECIAL)]
    found = sum(is_found(made.history, each, SPECIAL) for each in judged_ones)

    assert len(judged_ones) >= 12
    assert found >= (0.5 if fault == "everything halved" else 0.9) * len(judged_ones)


def test_a_clean_half_year_has_few_false_alarms(made: Made) -> None:
    """There is at most one morning a month on which the check fails although every figure is as it was made."""
    days = days_between(dt.date(2026, 4, 1), dt.date(2026, 9, 30))
    mornings = {day for day in days if any(each.fails for each in judged(made.history, day, SPECIAL))}

    assert len(mornings) <= 6


@pytest.mark.long
def test_two_years_of_accounts_are_within_the_limits() -> None:
    """Accounts have at most one false alarm a month, and nine of ten faults of each kind are found.

    A silent day looks like a fault, and a very noisy account has more alarms: up to two a month. `python -m
    bench.doubts` measures twice as many accounts.
    """
    rows, hits = measure(accounts(quick=True), 12)

    alarms = {name: max(each.alarms for each in found) for name, found in rows.items()}
    limits = dict.fromkeys(alarms, 1.0) | {name: 2.0 for name in alarms if "silent" in name or "noisy" in name}
    assert {name: number for name, number in alarms.items() if number > limits[name]} == {}
    shares = {fault: sum(hits[fault, "all"]) / len(hits[fault, "all"]) for fault in (*FACTORS, MISSING)}
    assert {fault: share for fault, share in shares.items() if share < 0.9} == {}


# --- ordinary days ----------------------------------------------------------------------------------------------


def test_an_ordinary_day_is_not_doubted() -> None:
    """No day of a steady month is doubted, weekends included."""
    history = steady()
    assert [day for day in days_between(WEDNESDAY - 27 * DAY, WEDNESDAY) if about(history, day)] == []


@pytest.mark.parametrize(
    ("metric", "others"), [("messages", "senders"), ("senders", "messages")], ids=["messages", "senders"]
)
@pytest.mark.parametrize(("factor", "how"), [(0.5, "low"), (2.0, "high")])
def test_one_of_two_figures_that_belong_together_is_doubted(metric: str, others: str, factor: float, how: str) -> None:
    """Half or double of the messages or the senders alone is doubted: they contradict each other."""
    history = steady()
    wrong = changed(history, metric, {WEDNESDAY: int(getattr(history, metric)[WEDNESDAY] * factor)})

    assert shown(wrong) == [(metric, None, how, True)]
    assert [each.confirmed for each in about(wrong)] == [False]


def test_a_fall_of_both_is_doubted_once_and_a_rise_of_both_is_noted() -> None:
    """A third of messages and senders may be lost figures. Triple of both is an unusual day, and fails nothing."""
    fallen = steady(factor=lambda day: 1 / 3 if day == WEDNESDAY else 1.0)
    risen = steady(factor=lambda day: 3.0 if day == WEDNESDAY else 1.0)

    assert shown(fallen)[0] == ("messages", None, "low", True)
    assert [each[0] for each in shown(fallen)] == ["messages", "new_followers", "lost_followers"]
    assert shown(risen) == [(each, None, "high", False) for each in ("messages", "new_followers", "lost_followers")]


def test_a_zero_is_doubted_from_small_figures_on() -> None:
    """A zero of a figure that is about thirty is doubted, one of a figure that is about five is not."""
    for size, doubts in ((60, 1), (30, 1), (5, 0)):
        history = steady(size)
        silent = changed(changed(history, "messages", {WEDNESDAY: 0}), "senders", {WEDNESDAY: 0})
        assert len(about(silent)) == doubts


def test_zeros_that_occur_are_not_sudden() -> None:
    """An account of thirty messages a day that had three silent days in eight weeks may have another one."""
    silent = {WEDNESDAY - number * DAY: 0 for number in (0, 9, 22, 40)}
    history = changed(changed(steady(30), "messages", silent), "senders", silent)

    assert about(history) == []


def test_small_figures_are_not_doubted() -> None:
    """Half or double of sixty messages by thirty senders a day is chance."""
    history = steady(60)
    for factor in (0.5, 1.5):
        assert about(changed(history, "messages", {WEDNESDAY: int(history.messages[WEDNESDAY] * factor)})) == []


# --- history ----------------------------------------------------------------------------------------------------


def test_in_the_first_weeks_of_an_account_only_zeros_are_doubted() -> None:
    """After a week nothing is doubted, after three weeks only a zero, and after nine weeks half of a figure too."""
    for weeks, zeros, halves in ((1, 0, 0), (3, 1, 0), (9, 1, 1)):
        history = steady(first=WEDNESDAY - weeks * 7 * DAY)
        silent = changed(changed(history, "messages", {WEDNESDAY: 0}), "senders", {WEDNESDAY: 0})
        assert len(about(silent)) == zeros
        assert len(about(changed(history, "messages", {WEDNESDAY: history.messages[WEDNESDAY] // 2}))) == halves


@pytest.mark.parametrize("months", [2, -2], ids=["doubles", "halves"])
def test_a_trend_is_not_doubted(months: int) -> None:
    """An account that doubles, or halves, within two months is not doubted on any day of them."""
    begins = WEDNESDAY - 61 * DAY
    history = steady(factor=lambda day: 2 ** (max(0, (day - begins).days) / 30.5 / months))

    assert [day for day in days_between(begins, WEDNESDAY) if about(history, day)] == []


def test_a_faulty_week_does_not_spoil_the_next_ones() -> None:
    """After a week of halves, ordinary days are not doubted, and the next fault is found."""
    week = set(days_between(WEDNESDAY - 14 * DAY, WEDNESDAY - 8 * DAY))
    history = steady(factor=lambda day: 0.5 if day in week else 1.0)

    assert [day for day in days_between(WEDNESDAY - 7 * DAY, WEDNESDAY) if about(history, day)] == []
    assert is_found(history, Injected("everything halved", "messages", None, WEDNESDAY), SPECIAL)


def test_a_new_level_is_doubted_for_a_week() -> None:
    """Figures that fall to a third and stay there are doubted on seven days, and then they are the account's own."""
    begins = WEDNESDAY - 13 * DAY
    history = steady(factor=lambda day: 1 / 3 if day >= begins else 1.0)
    doubted = [day for day in days_between(begins, WEDNESDAY) if about(history, day)]

    assert doubted == days_between(begins, begins + (LASTING_DAYS - 1) * DAY)


def test_missing_days_are_no_zeros() -> None:
    """Without a fifth of the days, an ordinary day is not doubted and a fault is found all the same."""
    history = steady()
    gone = {day for day in history.messages if day.day % 5 == 1}
    messages, senders = (
        {day: figure for day, figure in days.items() if day not in gone} for days in (history.messages, history.senders)
    )
    history = replace(history, messages=messages, senders=senders)

    assert about(history) == []
    assert is_found(history, Injected("halved", "messages", None, WEDNESDAY), SPECIAL)


# --- festivals --------------------------------------------------------------------------------------------------

SPRING_2025, SPRING_2026 = dt.date(2025, 1, 29), dt.date(2026, 2, 17)


def holidays(day: dt.date) -> float:
    """Return the factor of an account that has a fifth of its messages in the week of the Spring Festival."""
    return 0.2 if any(-2 <= (day - first).days <= 6 for first in (SPRING_2025, SPRING_2026)) else 1.0


def test_a_festival_is_compared_with_last_years_although_its_date_moves() -> None:
    """A fifth of the messages during the Spring Festival is what last year's had; nothing at all is doubted."""
    history = steady(first=dt.date(2024, 9, 1), last=dt.date(2026, 4, 30), factor=holidays)
    around = days_between(SPRING_2026 - 20 * DAY, SPRING_2026 + 40 * DAY)

    assert [day for day in around if any(each.fails for each in about(history, day))] == []
    (doubt, *_) = about(with_fault(history, Injected("everything zero", "messages", None, SPRING_2026)), SPRING_2026)
    assert (doubt.metric, doubt.direction.value, doubt.expected.basis.name) == ("messages", "zero", "FESTIVAL")


@pytest.mark.parametrize("factor", [0.7, 1.1])
def test_a_first_festival_is_compared_with_days_off_and_ordinary_days(factor: float) -> None:
    """Without last year's festival, a holiday with many or few messages is not doubted if either would be usual."""
    history = steady(last=dt.date(2026, 10, 10), factor=lambda day: factor if day.month == 10 else 1.0)

    assert [day for day in days_between(dt.date(2026, 10, 1), dt.date(2026, 10, 10)) if about(history, day)] == []


# --- followers --------------------------------------------------------------------------------------------------


def test_a_missing_channel_is_doubted_and_named() -> None:
    """A day without a row of a channel that brings sixty per cent is doubted, for new and for lost followers."""
    history = with_fault(steady(), Injected(MISSING, "new_followers", SEARCH, WEDNESDAY))

    assert shown(history) == [
        ("new_followers", SEARCH, "zero", True),
        ("lost_followers", SEARCH, "zero", True),
    ]


def test_a_small_channel_is_not_judged() -> None:
    """A channel that brings a tenth may be missing."""
    assert shown(with_fault(steady(), Injected(MISSING, "new_followers", OTHERS, WEDNESDAY))) == []


def test_ten_times_the_followers_are_an_unusual_day_if_the_totals_agree() -> None:
    """After an article went viral, the totals confirm the new followers. Without them, or against them, they don't."""
    history = steady()
    viral = {**history.new[QR_CODE], WEDNESDAY: 10 * history.new[QR_CODE][WEDNESDAY]}
    added = viral[WEDNESDAY] - history.new[QR_CODE][WEDNESDAY]
    against = replace(history, new={**history.new, QR_CODE: viral})
    agreed = replace(against, followers={**history.followers, WEDNESDAY: history.followers[WEDNESDAY] + added})
    unknown = replace(against, followers={})

    assert shown(agreed) == shown(unknown) == [("new_followers", None, "high", False)]
    assert shown(against) == [("new_followers", None, "high", True)]


def test_followers_from_articles_follow_publishing() -> None:
    """The channel of articles may rise and fall; it is doubted only if nobody came that way."""
    history = steady()
    rng = random.Random(2)
    articles = {day: round(300 * rng.uniform(0.2, 3)) for day in history.messages}
    for figure, doubts in ((60, []), (900, []), (0, [("new_followers", ARTICLE, "zero", True)])):
        published = {**articles, WEDNESDAY: figure}
        assert shown(replace(history, new={**history.new, ARTICLE: published}, followers={})) == doubts


@pytest.mark.parametrize(
    ("began", "doubts"),
    [
        (dt.date(2023, 6, 12), []),
        (dt.date(2020, 4, 15), []),
        (dt.date(2020, 6, 17), []),
        (dt.date(2022, 6, 15), [("new_followers", SEARCH, "low", True)]),
    ],
    ids=str,
)
def test_known_breaks_of_channels_are_not_doubted(began: dt.date, doubts: list[object]) -> None:
    """WeChat counted followers under other channels since some day of three months; in other months that is doubted."""
    history = steady(first=began - 150 * DAY, last=began + 120 * DAY)
    moved = {day: figure // 3 if day >= began else figure for day, figure in history.new[SEARCH].items()}
    others = {day: history.new[OTHERS][day] + figure - moved[day] for day, figure in history.new[SEARCH].items()}
    broken = replace(history, new={**history.new, SEARCH: moved, OTHERS: others})
    special = places(began - 150 * DAY, began + 120 * DAY)
    after = days_between(began, began + 120 * DAY)

    assert [
        (each.metric, each.channel, each.direction.value, each.fails) for each in judged(broken, began, special)
    ] == doubts
    if not doubts:
        assert [day for day in after if any(each.fails for each in judged(broken, day, special))] == []


# --- stored figures ---------------------------------------------------------------------------------------------

NOON = dt.datetime.combine(WEDNESDAY + DAY, dt.time(12, 35))


@pytest.fixture
def con() -> Iterator[Connection]:
    """Provide an empty warehouse in memory."""
    with duckdb.connect(config={"threads": 1}) as con:
        for statement in create_statements():
            if not statement.startswith("COMMENT"):
                con.execute(statement)
        yield con


def store(con: Connection, history: History) -> None:
    """Store figures as rows of the tables; zeros have no row."""
    rows: dict[Endpoint, list[tuple[object, ...]]] = {
        DAILY_MESSAGES: [(day, 1, 0, 1, count) for day, count in history.messages.items() if count],
        DAILY_SENDERS: [(day, 1, 0, count) for day, count in history.senders.items() if count],
        DAILY_FOLLOWERS: [
            (day, channel, days[day], history.lost[channel][day])
            for channel, days in history.new.items()
            for day in days
            if days[day] or history.lost[channel][day]
        ],
        FOLLOWERS_TOTAL: [(day, total) for day, total in history.followers.items()],
    }
    for endpoint, made in rows.items():
        values = ", ".join(f"('shop', DATE '{day}', {', '.join(map(str, figures))}, 1)" for day, *figures in made)
        con.execute(f"INSERT INTO datacube.{endpoint.name} VALUES {values}")


def empty(con: Connection, endpoint: Endpoint, day: dt.date, settled: bool = True) -> None:
    """Store an answer without rows."""
    con.execute(
        "INSERT INTO datacube.label_answers BY NAME SELECT 'shop' AS account, $endpoint AS endpoint, $day AS label,"
        " 1 AS call_id, now()::TIMESTAMP AS fetched_at, $settled AS settled, true AS clean, 0 AS shown, true AS known,"
        " true AS final, 1 AS last_undelayed",
        {"endpoint": endpoint.name, "day": day, "settled": settled},
    )


def found(con: Connection, endpoint: Endpoint, now: dt.datetime = NOON) -> list[Finding]:
    """Run the check for an endpoint."""
    context = CheckContext(con, Account("shop", families=tuple(Family)), now)
    return run_check(FIGURES_ARE_PLAUSIBLE, context, endpoint)


def test_clean_figures_of_every_endpoint_pass(con: Connection) -> None:
    """An ordinary day raises no doubt, and neither does an account without figures."""
    for endpoint in (DAILY_MESSAGES, DAILY_SENDERS, DAILY_FOLLOWERS):
        assert found(con, endpoint) == []
    store(con, steady())
    for endpoint in (DAILY_MESSAGES, DAILY_SENDERS, DAILY_FOLLOWERS):
        assert found(con, endpoint) == []


def test_a_doubt_is_said_in_both_languages(con: Connection) -> None:
    """A finding names the figure, what was expected and why, and what contradicts it, without calling it wrong."""
    history = steady()
    store(con, changed(history, "messages", {WEDNESDAY: 500}))
    (finding,) = found(con, DAILY_MESSAGES)

    assert (finding.ref_date, finding.endpoint, finding.begin, finding.end, finding.informational) == (
        "2026-08-12",
        "getupstreammsg",
        "2026-08-12",
        "2026-08-12",
        False,
    )
    english, chinese = (finding.what.to(each) for each in (Language.ENGLISH, Language.CHINESE))
    assert english == (
        "messages: 500, expected about 1,009 (593 to 1,717), as on Wed of the last 8 weeks."
        " It doesn't fit senders: part may be missing"
    )
    assert chinese == (
        "消息发送次数 500，预计约 1,009（593 至 1,717），参照最近 8 周的周三。与消息发送人数不符，数据可能不全"
    )
    assert found(con, DAILY_SENDERS) == []


def test_an_absent_channel_and_an_empty_day_are_zeros(con: Connection) -> None:
    """A channel without a row on a landed day has zero. A day without rows has zeros if it is settled, else nothing."""
    store(con, with_fault(steady(), Injected(MISSING, "new_followers", QR_CODE, WEDNESDAY)))
    assert [str(each.what)[:32] for each in found(con, DAILY_FOLLOWERS)] == [
        "lost followers from QR code: 0, ",
        "new followers from QR code: 0, e",
    ]
    for endpoint in (DAILY_MESSAGES, DAILY_SENDERS):
        con.execute(f"DELETE FROM datacube.{endpoint.name} WHERE ref_date = $1", [WEDNESDAY])
    empty(con, DAILY_MESSAGES, WEDNESDAY, settled=False)
    assert found(con, DAILY_MESSAGES) == found(con, DAILY_SENDERS) == []
    empty(con, DAILY_MESSAGES, WEDNESDAY)
    (finding,) = found(con, DAILY_MESSAGES)
    assert str(finding.what).startswith("messages: 0, expected about ")
    assert found(con, DAILY_SENDERS) == []  # one cause


def test_until_yesterday_is_there_the_day_before_is_judged(con: Connection) -> None:
    """A finding stays until the next day's figures are there; older days are not judged."""
    store(con, changed(steady(), "messages", {WEDNESDAY: 500}))
    ends = [found(con, DAILY_MESSAGES, NOON + number * DAY) for number in range(3)]

    assert [len(each) for each in ends] == [1, 1, 0]


def test_a_rise_is_noted_until_it_can_be_compared(con: Connection) -> None:
    """Before the senders are there, double of the messages fails nothing; then it contradicts them."""
    store(con, changed(steady(), "messages", {WEDNESDAY: 2500}))
    assert [each.informational for each in found(con, DAILY_MESSAGES)] == [False]
    con.execute("DELETE FROM datacube.getupstreammsgdist WHERE ref_date = $1", [WEDNESDAY])

    assert [each.informational for each in found(con, DAILY_MESSAGES)] == [True]


def test_the_check_takes_less_than_a_second(con: Connection) -> None:
    """Three years of figures cost no more than the weeks that are needed, once the calendar is loaded."""
    store(con, steady(first=dt.date(2023, 9, 1)))
    found(con, DAILY_FOLLOWERS)
    began = time.process_time()
    for _ in range(5):
        found(con, DAILY_FOLLOWERS)

    assert time.process_time() - began < 5 * 1  # 0.1 s on an idle machine


def test_channels_have_the_names_of_the_report() -> None:
    """The check and the report call a channel the same."""
    assert {code: CHANNELS[word].zh for code, word in CHANNEL.codes} == CHANNELS_IN_CHINESE
