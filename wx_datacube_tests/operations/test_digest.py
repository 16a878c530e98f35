"""The digest's text: figures counted from the emulator's world, both languages, little data, and the chats' limits.

Tests of sending are in `test_digest_sending.py`, those of the schedule in `orchestration/test_digest_schedule.py`.
"""

import datetime as dt
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from wx_datacube.alerts.alert import Alert, Source, Urgency
from wx_datacube.alerts.store import Alerts
from wx_datacube.alerts.webhook import CHATS, SLACK
from wx_datacube.catalog.articles import ARTICLE_READING, DAILY_READING, PUBLISHED_ARTICLES
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.followers import DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.messages import DAILY_MESSAGES, MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.model import Endpoint, Family, Period
from wx_datacube.catalog.periods import due_labels
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.emulator.world import World
from wx_datacube.errcodes import BY_ERRCODE
from wx_datacube.errors import SettingsError
from wx_datacube.language import Language, Text
from wx_datacube.operations import names
from wx_datacube.operations.digest import words
from wx_datacube.operations.digest.messages import MAX_BYTES, Layout, grouped
from wx_datacube.operations.digest.sending import make_messages, read_digests
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.ingesting import AFTERNOON, Shop, shop
from wx_datacube_tests.operations.test_report_pages import Stored
from wx_datacube_tests.receiver import Receiver

FIRST = dt.date(2026, 9, 1)
DAY = dt.timedelta(days=1)
MONDAY, FIRST_OF_MONTH = dt.datetime(2026, 11, 23, 15), dt.datetime(2026, 11, 1, 15)
ALL = tuple(Family)
CHAT_BY_NAME = {"企业微信": CHATS[0], "飞书": CHATS[1], "钉钉": CHATS[2], "Slack": SLACK}
chats = pytest.mark.parametrize("chat", CHAT_BY_NAME)


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Provide an account of twelve weeks with everything stored until 24 November 2026, of all families."""
    folder = tmp_path_factory.mktemp("digest")
    with shop(folder, start=FIRST, families=ALL, messages_per_day=200, silent_share=0) as made:
        made.bring_everything_in()
        yield made


def text_of(
    warehouse: Warehouse, now: dt.datetime, language: Language = Language.ENGLISH, *accounts: Account, webhook: str = ""
) -> str:
    """Return the messages of the digest, one below the other."""
    settings = Settings(None, warehouse.database, accounts=accounts, webhook=Secret(webhook) if webhook else None)
    return "\n\n".join(each.text for each in make_messages(settings, accounts, language, now))


def account(families: Sequence[Family] = ALL, title: str | None = "灯下读书", start: dt.date = FIRST) -> Account:
    """Return the account that is stored as `shop`."""
    return Account("shop", families=tuple(families), title=title, start=start)


def changed(now: float, before: float) -> str:
    """Return a change in percent as English writes it."""
    percent = f"{100 * (now / before - 1):+.1f}%"
    return "unchanged" if float(percent[:-1]) == 0 else percent


def compared(name: str, written: str, values: Sequence[float], *, people: bool = False) -> str:
    """Return a line of a day: `values` are those of the day, of the day before and of a week before."""
    differences = [f"{values[0] - each:+,.0f}" if values[0] != each else "unchanged" for each in values[1:]]
    before, week = differences if people else [changed(values[0], each) for each in values[1:]]
    return f"{name}: {written} (day before: {before}, week before: {week})"


class Counted:
    """The figures of a day or a range, counted in what the emulated WeChat says."""

    def __init__(self, world: World) -> None:
        self._world = world

    def sum(self, endpoint: Endpoint, field: str, day: dt.date) -> int:
        """Return the sum of a field over WeChat's rows of a day."""
        rows = self._world.rows(endpoint, day)
        return sum(int(row[field] if field in row else row["detail"][field]) for row in rows)

    def readers(self, day: dt.date) -> int:
        """Return the users who read."""
        return self.sum(DAILY_READING, "read_user", day)

    def net(self, day: dt.date) -> int:
        """Return the new followers minus the lost ones."""
        return self.sum(DAILY_FOLLOWERS, "new_user", day) - self.sum(DAILY_FOLLOWERS, "cancel_user", day)

    def messages(self, day: dt.date) -> int:
        """Return the messages."""
        return len(self._world.messages(day))

    def senders(self, *days: dt.date) -> int:
        """Return the distinct users who sent a message on any of the days."""
        return len({message.user for day in days for message in self._world.messages(day)})

    def article(self, day: dt.date) -> tuple[str, int]:
        """Return the title and the readers of the article that most users read on a day."""
        rows = self._world.rows(ARTICLE_READING, day)
        best = min(rows, key=lambda row: (-row["detail"]["read_user"], str(row["msgid"])))
        (title,) = [
            each["title"]
            for published in days(FIRST, day)
            for each in self._world.rows(PUBLISHED_ARTICLES, published)
            if each["msgid"] == best["msgid"]
        ]
        return title, best["detail"]["read_user"]


def days(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the days of a range."""
    return [first + count * DAY for count in range((last - first).days + 1)]


# --- figures ----------------------------------------------------------------------------------------------------


def test_the_day_is_compared_with_the_day_before_and_the_same_weekday(it: Shop) -> None:
    """Yesterday's figures, their changes and the best article are those of the emulated world."""
    text = text_of(it.warehouse, AFTERNOON, Language.ENGLISH, account())
    counted = Counted(it.emulated.world)
    yesterday = AFTERNOON.date() - DAY
    three = (yesterday, yesterday - DAY, yesterday - 7 * DAY)
    readers, net, messages, senders = (
        [count(day) for day in three] for count in (counted.readers, counted.net, counted.messages, counted.senders)
    )
    sharers = [counted.sum(DAILY_READING, "share_user", day) for day in three]
    followers = [counted.sum(FOLLOWERS_TOTAL, "cumulate_user", day) for day in three]
    each = [sent / users for sent, users in zip(messages, senders, strict=True)]
    calls = [counted.sum(BY_NAME["getinterfacesummary"], "callback_count", day) for day in three]
    title, read = counted.article(yesterday)

    assert text.startswith("wx_datacube · Daily digest · Mon 23 Nov 2026\n\n[灯下读书]\n")
    for line in (
        compared("Readers", f"{readers[0]:,}", readers),
        compared("Sharers", f"{sharers[0]:,}", sharers),
        compared("Net followers", f"{net[0]:+,}" if net[0] else "0", net, people=True),
        compared("Followers", f"{followers[0]:,}", followers, people=True),
        compared("Messages", f"{messages[0]:,}", messages),
        compared("Senders", f"{senders[0]:,}", senders),
        compared("Messages per sender", f"{each[0]:.2f}", each),
        compared("Calls of your server", f"{calls[0]:,}", calls),
        f"Most read: 《{title}》, {read:,} readers",
    ):
        assert line in text.splitlines()
    assert "Last week" not in text
    assert "Last month" not in text


def test_both_languages_say_the_same(it: Shop) -> None:
    """Both languages have the same lines with the same figures, and neither has words of the other."""
    english, chinese = (
        text_of(it.warehouse, MONDAY, language, account()) for language in (Language.ENGLISH, Language.CHINESE)
    )
    titles = re.findall("《.*》", english)

    assert titles == re.findall("《.*》", chinese)
    assert len(english.splitlines()) == len(chinese.splitlines())
    for line, translated in list(zip(english.splitlines(), chinese.splitlines(), strict=True))[1:]:
        if "Last week" not in line:  # it has dates
            figures = r"[-+]?\d(?:[\d.]|,(?=\d))*%?\*?"
            assert re.findall(figures, line) == re.findall(figures, translated)
    for title in (*titles, "灯下读书"):
        english, chinese = english.replace(title, ""), chinese.replace(title, "")
    assert not re.search("[\u4e00-\u9fff]", english)
    assert not re.search("[a-z]", chinese.replace("wx_datacube", "", 1))


def test_an_unchanged_figure_is_called_so(stored: Stored) -> None:
    """A figure that did not change is 持平 and not +0.0 %, and a change from zero is a difference."""
    yesterday = AFTERNOON.date() - DAY
    for day, readers, sharers in ((yesterday - 7 * DAY, 1000, 0), (yesterday - DAY, 2001, 4), (yesterday, 2000, 4)):
        stored.rows(DAILY_READING.name, (day, readers, sharers, 0, 0, 0, 0, 0, 2))
        stored.answered(DAILY_READING, day)
    stored.warehouse.publish()
    text = text_of(stored.warehouse, AFTERNOON, Language.CHINESE, account([Family.ARTICLES]))

    assert "阅读人数 2,000（较前日持平，较上周同日 +100.0%）" in text
    assert "分享人数 4（较前日持平，较上周同日 +4）" in text


def test_monday_has_the_week(it: Shop) -> None:
    """On Mondays the digest has the week that ended yesterday, compared with the week before."""
    text = text_of(it.warehouse, MONDAY, Language.CHINESE, account())
    counted = Counted(it.emulated.world)
    week, before = days(dt.date(2026, 11, 16), dt.date(2026, 11, 22)), days(dt.date(2026, 11, 9), dt.date(2026, 11, 15))

    def zh(change: str) -> str:
        return "持平" if change == "unchanged" else change

    readers, net, messages = (
        [sum(map(count, each)) for each in (week, before)] for count in (counted.readers, counted.net, counted.messages)
    )
    senders = [counted.senders(*each) for each in (week, before)]
    difference = f"{net[0] - net[1]:+,}" if net[0] != net[1] else "持平"
    section = text.partition("\n\n上周（11-16 至 11-22），括号内为较前一周的变化\n")[2].splitlines()
    assert section[:4] == [
        f"日均阅读人数 {readers[0] / 7:,.0f}（{zh(changed(*readers))}）",
        f"净增人数 {net[0]:+,}（{difference}）",
        f"消息发送次数 {messages[0]:,}（{zh(changed(*messages))}）",
        f"消息发送人数 {senders[0]:,}（{zh(changed(*senders))}）",
    ]
    assert re.fullmatch(r"期间发表的文章中阅读最多：《.+》，[\d,]+\*? 人", section[4])
    assert "上月" not in text


def test_the_first_has_the_month(it: Shop) -> None:
    """On the 1st the digest has the month that ended yesterday, compared with the month before."""
    text = text_of(it.warehouse, FIRST_OF_MONTH, Language.ENGLISH, account([Family.MESSAGES, Family.FOLLOWERS]))
    counted = Counted(it.emulated.world)
    october, september = days(dt.date(2026, 10, 1), dt.date(2026, 10, 31)), days(FIRST, dt.date(2026, 9, 30))
    net, messages = (
        [sum(map(count, each)) for each in (october, september)] for count in (counted.net, counted.messages)
    )
    senders = [counted.senders(*each) for each in (october, september)]

    head = "\n\nLast month, 1 Oct to 31 Oct, and its change against the month before\n"
    assert text.partition(head)[2].splitlines() == [
        f"Net followers: {net[0]:+,} ({net[0] - net[1]:+,})",
        f"Messages: {messages[0]:,} ({changed(*messages)})",
        f"Senders: {senders[0]:,} ({changed(*senders)})",
    ]
    assert "Last week" not in text


def test_families_that_are_off_are_left_out(it: Shop) -> None:
    """With messages only, the digest has messages and senders and nothing else, not even as missing."""
    text = text_of(it.warehouse, AFTERNOON, Language.ENGLISH, account([Family.MESSAGES]))

    assert [line.partition(":")[0] for line in text.splitlines()[3:]] == ["Messages", "Senders", "Messages per sender"]


# --- what is not there ------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Provide a file without figures."""
    return Stored(tmp_path)


YESTERDAY = AFTERNOON.date() - DAY


def messages_until(stored: Stored, last: dt.date, *, silent: Sequence[dt.date] = ()) -> None:
    """Store 100 messages of 50 senders for each of three weeks of days up to `last`, none on `silent` ones."""
    told = [day for day in days(last - 20 * DAY, last) if day not in silent]
    for endpoint in (DAILY_MESSAGES, SENDERS_OF[Period.DAY], BY_NAME["getupstreammsghour"]):
        stored.answered(endpoint, *told)
        stored.answered(endpoint, *silent, shown=0)
    stored.rows(DAILY_MESSAGES.name, *((day, 1, 0, 50, 100) for day in told))
    stored.rows(SENDERS_OF[Period.DAY].name, *((day, 1, 0, 50) for day in told))
    stored.warehouse.publish()


START = YESTERDAY - 20 * DAY


def test_a_missing_day_is_never_zero(stored: Stored) -> None:
    """A missing day has no figure: the digest says what is missing, since when, and the command that fetches it."""
    messages_until(stored, YESTERDAY - 2 * DAY)
    with stored.warehouse.transaction() as con:  # weeks and months would be missing for longer
        con.execute("UPDATE datacube.label_answers SET fetched_at = label + INTERVAL 36 HOUR")
    for endpoint in (
        MESSAGES_OF[Period.WEEK],
        SENDERS_OF[Period.WEEK],
        MESSAGES_OF[Period.MONTH],
        SENDERS_OF[Period.MONTH],
    ):
        stored.answered(endpoint, *due_labels(endpoint.period, START, AFTERNOON.date()))
    stored.warehouse.publish()
    text = text_of(stored.warehouse, AFTERNOON, Language.CHINESE, account([Family.MESSAGES], start=START))

    assert "消息发送次数" not in text
    assert "尚未获取" not in text
    assert "数据缺失：消息（自 11-22 起）。\n" in text
    assert text.endswith("补齐：wx-datacube backfill --account shop")


def test_before_noon_yesterday_is_not_called_missing(stored: Stored) -> None:
    """Before noon, figures of yesterday that WeChat may not have published are not called missing."""
    stored.rows(FOLLOWERS_TOTAL.name, (YESTERDAY - DAY, 1000))
    for endpoint in (DAILY_FOLLOWERS, FOLLOWERS_TOTAL):
        stored.answered(endpoint, YESTERDAY - DAY)
    stored.warehouse.publish()
    shown = account([Family.FOLLOWERS], start=YESTERDAY - DAY)
    text = text_of(stored.warehouse, AFTERNOON.replace(hour=9), Language.CHINESE, shown)

    assert "尚未获取：用户。微信一般最迟中午 12 点更新。" in text
    assert "缺失" not in text
    assert "wx-datacube backfill" not in text


def test_a_silent_day_is_a_real_zero(stored: Stored) -> None:
    """An empty settled day is zero, and after two weeks with messages the digest doubts it, as the check does."""
    messages_until(stored, YESTERDAY, silent=[YESTERDAY])
    text = text_of(stored.warehouse, AFTERNOON, Language.ENGLISH, account([Family.MESSAGES], start=START))

    assert "Messages: 0 (day before: -100.0%, week before: -100.0%)\nSenders: 0 (" in text
    assert (
        "Please check: messages: 0, expected about 100 (100 to 100), as on the 14 days before."
        " Figures may be missing.\n" in text
    )
    text = text_of(stored.warehouse, AFTERNOON, Language.CHINESE, account([Family.MESSAGES], start=START))
    assert "\n请核实：消息发送次数 0，预计约 100（100 至 100），参照此前 14 天。数据可能缺失。\n" in text


def test_an_unusual_day_that_figures_agree_about_is_said_less_loudly(stored: Stored) -> None:
    """Three times the messages by three times the senders is an unusual day. With many accounts it is left out."""
    told = days(YESTERDAY - 99 * DAY, YESTERDAY)
    sizes = {day: (300, 900) if day == YESTERDAY else (100 + day.day % 3, 300 + day.day % 3) for day in told}
    for endpoint in (DAILY_MESSAGES, SENDERS_OF[Period.DAY]):
        stored.answered(endpoint, *told)
    stored.rows(DAILY_MESSAGES.name, *((day, 1, 0, users, count) for day, (users, count) in sizes.items()))
    stored.rows(SENDERS_OF[Period.DAY].name, *((day, 1, 0, users) for day, (users, _) in sizes.items()))
    stored.warehouse.publish()
    shown = account([Family.MESSAGES], start=told[0])
    text = text_of(stored.warehouse, AFTERNOON, Language.CHINESE, shown)

    assert re.search(r"\n异常波动：消息发送次数 900，预计约 30\d（.*与消息发送人数一致，应是当天情况特殊。\n", text)
    digest = read_digests(Settings(None, stored.warehouse.database), [shown], AFTERNOON)[0]
    many = Layout(YESTERDAY, Language.CHINESE, MAX_BYTES, str, accounts=6)
    assert not [line for line in many.section(digest) if "异常波动" in line.text.to(Language.CHINESE)]


def test_a_figure_of_which_one_part_is_missing_is_named(stored: Stored) -> None:
    """If only the distribution is missing, messages are shown, and senders are named as not there yet."""
    messages_until(stored, YESTERDAY)
    with stored.warehouse.transaction() as con:
        con.execute("DELETE FROM datacube.getupstreammsgdist WHERE ref_date = $1", [YESTERDAY])
        con.execute(
            "DELETE FROM datacube.label_answers WHERE endpoint = 'getupstreammsgdist' AND label = $1", [YESTERDAY]
        )
    stored.warehouse.publish()
    text = text_of(stored.warehouse, AFTERNOON, Language.CHINESE, account([Family.MESSAGES], start=START))

    assert "消息发送次数 100（" in text
    assert "暂无数据：消息发送人数、人均发送次数。" in text
    assert "消息发送人数 0" not in text


def test_an_open_day_counts_and_is_marked(stored: Stored) -> None:
    """A figure that WeChat may still change is shown with a mark, and the message explains it."""
    stored.rows(DAILY_READING.name, (YESTERDAY, 300, 1, 0, 0, 0, 0, 0, 2))
    stored.answered(DAILY_READING, YESTERDAY, final=False)
    stored.rows(ARTICLE_READING.name, (YESTERDAY, "9_1", 200))
    stored.answered(ARTICLE_READING, YESTERDAY, final=False)
    stored.warehouse.publish()
    text = text_of(stored.warehouse, AFTERNOON, Language.CHINESE, account([Family.ARTICLES], start=YESTERDAY))

    assert "阅读人数 300*\n" in text
    assert "昨日阅读最多：文章 9_1，200* 人\n" in text  # WeChat gave no title
    assert text.endswith("\n\n* 微信仍可能更新该数据。")


def test_an_incomplete_week_has_no_sum(stored: Stored) -> None:
    """If a day of the week is missing, no sum is shown, and its figures are named as not there yet."""
    messages_until(stored, dt.date(2026, 11, 22))
    with stored.warehouse.transaction() as con:
        con.execute("DELETE FROM datacube.getupstreammsg WHERE ref_date = DATE '2026-11-18'")
        con.execute("DELETE FROM datacube.label_answers WHERE label = DATE '2026-11-18'")
    stored.warehouse.publish()
    text = text_of(stored.warehouse, MONDAY, Language.CHINESE, account([Family.MESSAGES], start=START))

    assert text.partition("上周（")[2].splitlines()[1:] == ["暂无数据：消息发送次数、消息发送人数。"]


def test_nothing_stored_is_a_sentence(tmp_path: Path) -> None:
    """Before anything is stored, the digest says so and names the command."""
    text = text_of(Warehouse(tmp_path / "figures.duckdb"), AFTERNOON, Language.CHINESE, account(title=None))

    assert text.endswith("【shop】\n还没有任何数据。获取数据：wx-datacube backfill --account shop")


# --- what is unusual --------------------------------------------------------------------------------------------


def test_what_needs_a_person_is_named(it: Shop) -> None:
    """WeChat's error that needs a person is named with what to do, and other open alerts are counted."""
    alerts = Alerts(it.warehouse.database)
    alert = Alert("SettingsError", "checks", Urgency.PERSON, Text("Something is wrong.", "出了问题。"))
    alerts.note("shop", Source.RUNS, None, [alert])
    text = text_of(it.warehouse, AFTERNOON, Language.CHINESE, account([Family.MESSAGES]))
    alerts.note("shop", Source.RUNS, None, [])

    assert "未处理的告警：1 项，详见 wx-datacube status。" in text
    assert "未处理的告警" not in text_of(it.warehouse, AFTERNOON, Language.CHINESE, account([Family.MESSAGES]))


def test_an_error_of_the_token_call_is_explained(it: Shop) -> None:
    """An error of the token call, such as an address that isn't whitelisted, is named with what to do."""
    alerts = Alerts(it.warehouse.database)
    alert = Alert("NeedsPerson 40164", "token", Urgency.PERSON, Text("Refused.", "被拒绝。"))
    alerts.note("shop", Source.CALLS, None, [alert])
    text = text_of(it.warehouse, AFTERNOON, Language.ENGLISH, account([Family.MESSAGES]))
    alerts.note("shop", Source.CALLS, None, [])

    assert f"Action needed: {BY_ERRCODE[40164].message}\n" in text
    assert "IP白名单" in text
    assert "Open alerts" not in text


def test_a_refused_permission_is_explained(tmp_path: Path) -> None:
    """If WeChat refuses the permission, the digest says what that means and what to do."""
    with shop(tmp_path, start=dt.date(2026, 11, 20)) as made:
        made.fetch_missing(DAILY_MESSAGES)
        made.emulated.control.fault("getupstreammsgdist", "48001")
        made.fetch_missing(SENDERS_OF[Period.DAY])
        text = text_of(
            made.warehouse,
            AFTERNOON,
            Language.ENGLISH,
            replace(account([Family.MESSAGES]), start=dt.date(2026, 11, 20)),
        )

    assert "Action needed: " in text
    assert "certification" in text
    assert "Not there yet: Senders, Messages per sender." in text
    assert "messages (since 20 Nov)" in text


def test_restated_days_are_named(it: Shop, tmp_path: Path) -> None:
    """Days that WeChat has restated since yesterday are named for a day."""
    with shop(tmp_path, start=dt.date(2026, 11, 10)) as made:
        made.bring_everything_in()
        made.emulated.control.restate(dt.date(2026, 11, 20), factor=2)
        made.fetch_missing(DAILY_MESSAGES, [dt.date(2026, 11, 20)], refresh=True)
        shown = replace(account([Family.MESSAGES]), start=dt.date(2026, 11, 10))
        assert "微信修订了 11-20 的数据。" in text_of(made.warehouse, AFTERNOON, Language.CHINESE, shown)
        assert "微信修订" not in text_of(made.warehouse, AFTERNOON + DAY, Language.CHINESE, shown)


def test_the_quota_and_a_dead_daemon_are_named_as_reasons(it: Shop, tmp_path: Path) -> None:
    """A digest says that the quota is used up, or that nothing has made a request for a day."""
    with shop(tmp_path, start=dt.date(2026, 11, 20)) as made:
        made.emulated.control.set_quota(0)
        made.fetch_missing(DAILY_MESSAGES)
        shown = replace(account([Family.MESSAGES]), start=dt.date(2026, 11, 20))
        quota = text_of(made.warehouse, AFTERNOON, Language.CHINESE, shown)
        idle = text_of(made.warehouse, AFTERNOON + 2 * DAY, Language.CHINESE, shown)

    assert "今天的调用配额已用完，北京时间 0 点后自动继续。" in quota
    assert "backfill" not in quota
    assert "自 2026-11-24 15:00 起没有任何请求，请检查定时任务、Dagster daemon 或 cron 是否在运行。" in idle


def test_wrong_settings_of_one_account_are_named(it: Shop) -> None:
    """An account whose settings are wrong has its error in the digest; the others have their figures."""
    wrong = Account("news", single=False, settings_error=SettingsError(Text("News is wrong.", "news 的设置有误。")))
    text = text_of(it.warehouse, AFTERNOON, Language.CHINESE, account(), wrong)

    assert "【news】\n需要您处理：news 的设置有误。" in text
    assert "阅读人数" in text


def test_no_text_lacks_a_language_or_a_placeholder() -> None:
    """Every text of a digest has both languages with the same placeholders, and no Chinese one has English prose."""
    found = [each for each in vars(words).values() if isinstance(each, Text)]
    found += [*words.PERIODS.values(), *names.FAMILIES.values()]

    assert len(found) > 30
    for each in found:
        assert sorted(re.findall(r"{\w+}", each.en)) == sorted(re.findall(r"{\w+}", each.zh))
        assert not re.search("[\u4e00-\u9fff]", each.en)
        assert "{" in each.zh or re.search("[\u4e00-\u9fff]", each.zh)


# --- names and limits -------------------------------------------------------------------------------------------

TITLES = {
    "🎉👨‍👩‍👧 新品": "🎉👨‍👩‍👧 新品",
    'it\'s "quoted" “twice”': 'it\'s "quoted" “twice”',
    "two\nlines\tand\x07 a bell": "two lines and a bell",
    "\u202eevil\u202c": "evil",
    "مرحبا": "\u2068مرحبا\u2069",
    "长" * 64: "长" * 39 + "…",
    "长" * 38 + "👨‍👩‍👧" * 3: "长" * 38 + "…",
    "e" * 38 + "é́́́": "e" * 38 + "…",
}


@pytest.mark.parametrize("title", TITLES)
def test_titles_keep_to_their_line(title: str) -> None:
    """A title is one short line without control characters, never cut within an emoji, isolated if right-to-left."""
    assert words.plain(title) == TITLES[title]


def best_article(stored: Stored, title: str) -> None:
    """Store an article with this title that was read yesterday."""
    stored.rows(PUBLISHED_ARTICLES.name, (YESTERDAY, "9_1", 0, title, None))
    stored.answered(PUBLISHED_ARTICLES, YESTERDAY)
    stored.rows(ARTICLE_READING.name, (YESTERDAY, "9_1", 200))
    stored.answered(ARTICLE_READING, YESTERDAY)
    stored.warehouse.publish()


HOSTILE = '<at user_id="all">所有人</at> <!channel> <@all> @all @channel'


@chats
def test_a_title_mentions_nobody(chat: str, stored: Stored, receiver: Receiver) -> None:
    """A title, as every chat gets it, mentions nobody."""
    best_article(stored, HOSTILE)
    shown = account([Family.ARTICLES], start=YESTERDAY)
    text = text_of(stored.warehouse, AFTERNOON, Language.CHINESE, shown, webhook=receiver.url(chat))

    escaped = CHAT_BY_NAME[chat].escape(text)
    assert "昨日阅读最多：《" in text
    assert not re.search("[<>]", escaped)
    assert chat != "Slack" or not re.search(r"@\w", escaped)


def many(count: int) -> list[Account]:
    """Return accounts with long titles of which nothing is stored but the first has everything."""
    return [account(title=f"第一个{HOSTILE}")] + [
        Account(f"shop_{number:02}", title=f"第 {number} 个公众号，名字很长 & 带有 <符号>", families=ALL, start=FIRST)
        for number in range(1, count)
    ]


@pytest.mark.parametrize("now", [MONDAY, FIRST_OF_MONTH, AFTERNOON], ids=["Monday", "the 1st", "another day"])
@pytest.mark.parametrize("accounts", [1, 3, 50])
def test_every_message_is_within_the_limits(accounts: int, now: dt.datetime, it: Shop) -> None:
    """Every message of one, three and fifty accounts is within 4,000 bytes and each chat's limit, as it is sent."""
    settings = Settings(None, it.warehouse.database, accounts=tuple(many(accounts)))
    digests = read_digests(settings, settings.accounts, now)
    for chat, language in itertools.product(CHAT_BY_NAME.values(), Language):
        limit = min(MAX_BYTES, chat.max_bytes)
        layout = Layout(now.date() - DAY, language, limit, chat.escape, accounts)
        made = [layout.message(group) for group in grouped(digests, layout)]
        assert [name for each in made for name in each.accounts] == [each.name for each in settings.accounts]
        assert all(each.text.startswith("wx_datacube · ") for each in made)
        assert max(len(chat.escape(each.text).encode()) for each in made) <= limit
        assert len(made) <= (1 if accounts <= 3 else 12)


def test_too_long_a_digest_loses_its_least_important_lines_whole(it: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest that is too long loses whole lines; the headline figures stay."""
    whole = text_of(it.warehouse, MONDAY, Language.CHINESE, account())
    monkeypatch.setattr("wx_datacube.operations.digest.sending.MAX_BYTES", 500)
    short = text_of(it.warehouse, MONDAY, Language.CHINESE, account())

    assert len(short.encode()) <= 500
    assert set(short.splitlines()) < set(whole.splitlines())
    for name in ("阅读人数", "净增人数", "消息发送次数"):
        assert f"\n{name} " in short
    assert "人均发送次数" not in short


def test_accounts_that_fit_are_one_message(it: Shop) -> None:
    """Three accounts are one message, and what doesn't fit begins another."""
    three = many(3)
    settings = Settings(None, it.warehouse.database, accounts=tuple(three))
    assert [each.accounts for each in make_messages(settings, three, Language.CHINESE, AFTERNOON)] == [
        ("shop", "shop_01", "shop_02")
    ]
    full = [replace(account(), title=f"第 {number} 个") for number in range(5)]
    made = make_messages(settings, full, Language.CHINESE, MONDAY)
    assert [len(each.accounts) for each in made] == [4, 1]
