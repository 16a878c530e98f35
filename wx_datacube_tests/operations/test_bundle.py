"""Bundle: it says what WeChat's answers look like, and nothing about the account; and what they prove.

Add a test here when `doctor --bundle` writes something else, or when an assumption about WeChat can be examined.
"""

import datetime as dt
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.catalog.articles import DAILY_READING, PUBLISHED_ARTICLES
from wx_datacube.catalog.endpoints import BY_NAME, RELATIONS
from wx_datacube.catalog.followers import DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS, HOURLY_CALLBACKS
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.cli import main
from wx_datacube.config.settings import Account, Settings
from wx_datacube.emulator.testing import wechat
from wx_datacube.errors import SettingsError
from wx_datacube.operations.bundle import FORMAT, OTHER, make_bundle, write_bundle
from wx_datacube.operations.evidence import CLAIMS, assumptions
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.ledger import Call, store_calls
from wx_datacube.warehouse.schema import create_statements
from wx_datacube_tests.answers import DAY, HOURS, LATER, MESSAGES, WEEKS, Row, answered, day, hour_row, row
from wx_datacube_tests.dagster_environment import DagsterEnv
from wx_datacube_tests.ingesting import AFTERNOON, Shop, shop

START = AFTERNOON.date() - 60 * DAY
TITLE, TOKEN, ADDRESS = "老友 coffee", "57_" + "aB3x" * 30, "203.0.113.7"
URL = f"https://mp.weixin.qq.com/s?__biz=MzAw&mid=1&token={TOKEN}"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Provide an account with sixty days of every family."""
    folder = tmp_path_factory.mktemp("bundle")
    with shop(folder, start=START, families=tuple(Family), messages_per_day=300, unknown_codes=True) as running:
        running.bring_everything_in()
        yield running


def settings_of(made: Shop, **others: Any) -> Settings:
    """Return settings with the account and all families."""
    account = replace(made.ingest.account, families=tuple(Family), **others)
    return Settings(made.warehouse.database.parent, made.warehouse.database, accounts=(account,))


def bundle_of(made: Shop) -> Any:
    """Return the bundle's part about the account."""
    settings = settings_of(made)
    (found,) = make_bundle(settings, settings.accounts, made.emulated.account.clock)["accounts"]
    return found


def private_texts(made: Shop) -> tuple[set[str], set[str]]:
    """Return the account's figures, small ones aside, and the texts that tell of it or of the machine.

    Those are titles, addresses, ids, dates, names and secrets.
    """
    found: set[str] = {made.emulated.appid, made.emulated.secret, made.emulated.api_url, TITLE, TOKEN, ADDRESS, URL}
    found |= {str(made.warehouse.database.parent), socket.gethostname(), '"shop"'}
    for table in RELATIONS:
        for column in table.columns:
            if column.codes or column.name == "ref_hour":
                continue
            rows = made.rows(f"SELECT DISTINCT {column.name}::VARCHAR FROM datacube.{table.name}")
            found |= {text for (text,) in rows if text and not re.fullmatch(r"\d{1,3}|\d(\.\d+)?", text)}
    rids = made.rows("SELECT rid FROM datacube.api_calls WHERE rid IS NOT NULL")
    figures = {text for text in found if re.fullmatch(r"[\d.]+", text)}
    assert len(figures) > 200
    return figures, found - figures | {rid for (rid,) in rids}


# --- what the file says -----------------------------------------------------------------------------------------


def test_the_bundle_shows_shapes_codes_and_states(stored: Shop) -> None:
    """It has the shape of every endpoint's answers, codes, states by count, findings by name, and the assumptions."""
    found = bundle_of(stored)
    assert set(found["endpoints"]) == set(BY_NAME)
    articles = found["endpoints"][PUBLISHED_ARTICLES.name]
    (shape,) = [each["shape"] for each in articles["shapes"] if each["shape"]["list"] != ["null"]]
    assert shape["is_delay"] == "boolean"
    assert shape["list"][0]["detail_list"][0]["read_user_source"] == [{"scene_desc": "string", "user_count": "integer"}]
    assert articles["calls"] == [{"http_status": 200, "errcode": None, "calls": 60}]
    assert articles["codes"][f"{PUBLISHED_ARTICLES.name}.publish_type"] == [0, 1]
    assert "小程序" in articles["codes"][f"{PUBLISHED_ARTICLES.name}__detail_list__read_user_source.scene_desc"]
    assert articles["findings"] == {"reads_by_scene_are_known": 1}
    assert 999 in found["endpoints"][DAILY_FOLLOWERS.name]["codes"][f"{DAILY_FOLLOWERS.name}.user_source"]
    assert "unknown_fields" not in articles
    labels = found["endpoints"][DAILY_READING.name]["labels"]
    assert labels["landed"] + labels["empty"] == labels["due"] == (AFTERNOON.date() - dt.date(2026, 9, 25)).days
    assert [each["name"] for each in found["assumptions"]] == [claim.name for claim in CLAIMS]
    assert [each["name"] for each in found["assumptions"] if each["verdict"] == "contradicted"] == []


def test_the_bundle_has_nothing_of_the_account(stored: Shop, tmp_path: Path) -> None:
    """No figure, title, address, id, date, name or secret is in the file, even if hostile answers have them as keys."""
    with stored.warehouse.transaction() as con:
        store_calls(con, hostile(stored))
    stored.warehouse.publish()
    path = tmp_path / "bundle.json"
    settings = settings_of(stored)
    write_bundle(settings, settings.accounts, path, stored.emulated.account.clock)

    text = path.read_text("utf-8")
    figures, texts = private_texts(stored)
    assert [each for each in texts if each in text] == []
    assert not re.search(r"https?:|/tmp|\d+\.\d+\.\d+\.\d+", text)
    answers = json.dumps(json.loads(text)["accounts"][0]["endpoints"], ensure_ascii=False)
    assert figures.intersection(re.findall(r"\d+(?:\.\d+)?", answers)) == set()
    assert not re.search(r"\d{4}-\d\d", answers)
    assert path.stat().st_mode & 0o777 == 0o600
    found = bundle_of(stored)["endpoints"]
    assert found[MESSAGES.name]["unknown_fields"] == [OTHER, f"list[].{OTHER}", "list[].mood"]
    assert found[DAILY_READING.name]["unknown_fields"] == [f"list[].detail.{OTHER}"]
    assert OTHER in found[DAILY_READING.name]["codes"][f"{DAILY_READING.name}__read_user_source.scene_desc"]
    assert {(each["reason"], each["path"]) for each in found[PUBLISHED_ARTICLES.name]["rejected_rows"]} == {
        ("missing_field", "$.list[].detail_list[]"),
        ("missing_field", None),
    }
    assert {"http_status": 200, "errcode": 45009, "calls": 1} in found[MESSAGES.name]["calls"]


def hostile(made: Shop) -> list[Call]:
    """Return calls whose answers have titles, secrets and ids as keys, codes and texts."""
    title, msgid = made.rows("SELECT title, msgid FROM datacube.getarticletotaldetail ORDER BY ALL LIMIT 1")[0]
    keys = (TITLE, title, msgid, made.emulated.secret, made.emulated.appid, TOKEN, ADDRESS, URL, "shop", "x" * 41)
    odd = dict.fromkeys(keys, 1)
    scenes = [{"scene_desc": each, "user_count": 1} for each in (TITLE, title, msgid, URL, "天地玄黄宇宙洪荒日")]
    others = {"share_user": 0, "zaikan_user": 0, "like_user": 0, "comment_count": 0, "collection_user": 0}
    reading = {"ref_date": str(day(4)), "detail": {"read_user": 1, "read_user_source": scenes, **others} | odd}
    article = {"ref_date": str(day(4)), "msgid": msgid, "title": TITLE, "content_url": URL, "detail_list": [odd]}
    text = json.dumps({"list": [row(day(4), mood={TITLE: {msgid: 1}}) | odd], **odd})
    errmsg = f"limit {ADDRESS} rid: 608a6564-495fb669-6d56d31b"
    refused: dict[str, Any] = {
        "errcode": 45009,
        "errmsg": errmsg,
        "rid": "608a6564-495fb669-6d56d31b",
        "response": errmsg,
    }
    return [
        answered(MESSAGES, day(4), response=text),
        answered(MESSAGES, day(4), **refused),
        answered(DAILY_READING, day(4), None, reading),
        answered(PUBLISHED_ARTICLES, day(4), None, article, odd),
    ]


def test_odd_answers_have_a_shape_too(folder: Path) -> None:
    """Lists of unlike items are `mixed`; deep and numerous shapes are cut short."""
    with shop(folder, start=START) as made:
        deep: Any = 1
        for _ in range(30):
            deep = [deep]
        with made.warehouse.transaction() as con:
            bodies = [{"list": [1, "a"]}, {"list": [], "mood": deep}]
            bodies += [{"list": [{chr(97 + number): 1.5}]} for number in range(25)]
            store_calls(con, [answered(MESSAGES, day(4), response=json.dumps(each)) for each in bodies])
            store_calls(con, [answered(MESSAGES, day(4), response='{"list":[', http_status=502)])
        made.warehouse.publish()
        found = bundle_of(made)["endpoints"][MESSAGES.name]

    assert len(found["shapes"]) == 21
    assert found["shapes"][-1] == {"answers": 7, "more_shapes": 7}
    assert {"answers": 1, "shape": {"list": ["mixed"]}} in found["shapes"]
    assert "deeper" in json.dumps(found["shapes"])
    assert {"http_status": 502, "errcode": None, "calls": 1} in found["calls"]


# --- the file ---------------------------------------------------------------------------------------------------


def test_only_a_bundle_is_replaced(tmp_path: Path) -> None:
    """An older bundle is replaced; any other file stays, and so does a folder."""
    settings = Settings(tmp_path, tmp_path / "none.duckdb", accounts=(Account("shop"), Account("cafe")))
    path = tmp_path / "bundle.json"
    for _ in range(2):
        write_bundle(settings, settings.accounts, path)
        assert json.loads(path.read_text())["format"] == FORMAT
    assert [each["account"] for each in json.loads(path.read_text())["accounts"]] == [1, 2]
    for other in ("", "[]", '{"format": 1}', "figures"):
        path.write_text(other)
        with pytest.raises(SettingsError, match="is not a bundle"):
            write_bundle(settings, settings.accounts, path)
        assert path.read_text() == other
    with pytest.raises(SettingsError, match="is not a bundle"):
        write_bundle(settings, settings.accounts, tmp_path)
    with pytest.raises(SettingsError, match="no folder"):
        write_bundle(settings, settings.accounts, tmp_path / "missing" / "bundle.json")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bundle.json"]


def test_an_unreadable_database_is_named_by_its_kind(tmp_path: Path) -> None:
    """If the database can't be read, the bundle has the versions and the kind of the error, without its path."""
    (tmp_path / "figures.duckdb").write_bytes(b"no database" * 1000)
    settings = Settings(tmp_path, tmp_path / "figures.duckdb", accounts=(Account("shop"),))

    found = make_bundle(settings, settings.accounts)
    assert found["accounts"] == [{"account": 1, "unreadable": "WarehouseError"}]
    assert {"wx_datacube", "schema", "dagster", "duckdb", "python", "platform"} == set(found["versions"])


def test_doctor_writes_the_bundle_after_its_examination(it: DagsterEnv, capsys: pytest.CaptureFixture[str]) -> None:
    """`doctor --bundle` prints the path in its last line and keeps doctor's exit code, good or bad."""
    path = it.folder / "bundle.json"
    with wechat() as emulated:
        it.use(emulated, START=dt.date.today() - 8 * DAY)
        assert main.run(["doctor", "--bundle", str(path)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"Bundle: {path}"
        (found,) = json.loads(path.read_text())["accounts"]
        assert found["endpoints"][MESSAGES.name]["calls"] == [{"http_status": 200, "errcode": None, "calls": 1}]

        emulated.control.set(denied=["*"])
        assert main.run(["doctor", "--bundle", str(path)]) == 1
        assert "48001" in path.read_text()


def test_doctor_makes_no_call_if_the_file_is_no_bundle(it: DagsterEnv, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that isn't a bundle, or a name without .json, is wrong use before anything is examined."""
    with wechat() as emulated:
        it.use(emulated)
        (it.folder / "notes.json").write_text("{}")
        assert main.run(["doctor", "--bundle", str(it.folder / "notes.json")]) == 2
        assert main.run(["doctor", "--bundle", "figures.duckdb"]) == 2
        assert emulated.control.calls() == []
    assert (it.folder / "notes.json").read_text() == "{}"


# --- evidence ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _memory() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as con:
        for statement in create_statements():
            if not statement.startswith("COMMENT"):
                con.execute(statement)
        yield con


@pytest.fixture
def con(_memory: duckdb.DuckDBPyConnection) -> Iterator[Connection]:
    """Provide a connection to an empty warehouse, nested tables included."""
    _memory.begin()
    yield _memory
    _memory.rollback()


NOON, NINE = dt.datetime(2026, 11, 24, 12), dt.datetime(2026, 11, 24, 9)


def at(hour: int, date: int = 24) -> dt.datetime:
    """Return a time in November 2026."""
    return dt.datetime.combine(day(date), dt.time(hour, 30))


def refused(endpoint: Endpoint, errcode: int, when: dt.datetime, begin: int = 4, end: int = 4) -> Call:
    """Build a refused call."""
    return answered(endpoint, day(begin), day(end), at=when, errcode=errcode, errmsg="no", response="{}")


def good(endpoint: Endpoint, when: dt.datetime, *rows: Row, begin: int = 4, end: int = 4) -> Call:
    """Build a good answer."""
    return answered(endpoint, day(begin), day(end), *rows, at=when)


def followers(source: int, new: int, number: int = 4) -> Row:
    """Build a row of `getusersummary`."""
    return {"ref_date": str(day(number)), "user_source": source, "new_user": new, "cancel_user": 0}


def article(*days: int, rate: float = 0.5, **others: Any) -> Row:
    """Build a row of `getarticletotaldetail` with figures up to these days after publishing."""
    names = ("read_user", "share_user", "zaikan_user", "like_user", "comment_count", "collection_user")
    stats = [
        {"stat_date": str(day(4) + each * DAY), **dict.fromkeys(names, 1), "read_delivery_rate": rate} for each in days
    ]
    found: Row = {"ref_date": str(day(4)), "msgid": "22_1", "publish_type": 0, "title": "a", "detail_list": stats}
    return found | {"content_url": "https://mp.weixin.qq.com/s?__biz=a&mid=22&idx=1"} | others


def published(*rows: Row, when: dt.datetime = LATER, **around: Any) -> Call:
    """Build an answer of `getarticletotaldetail`."""
    return answered(PUBLISHED_ARTICLES, day(4), at=when, response=json.dumps({"list": rows} | around))


def callbacks(endpoint: Endpoint, **others: int) -> Call:
    """Build an answer about callbacks."""
    figures = {"callback_count": 1, "fail_count": 0, "total_time_cost": 1, "max_time_cost": 1}
    return good(endpoint, LATER, {"ref_date": str(day(4)), **figures, **others})


def jumps(value: Any) -> Call:
    """Build an answer with `read_jump_position`."""
    made = article(0)
    made["detail_list"][0]["read_jump_position"] = value
    return published(made)


TWO_WEEKS = [{**row(dt.date(2026, 6, number)), "ref_date": f"2026-06-{number:02}"} for number in (1, 8)]
JUNE = {"begin": -152, "end": -140}
OLD = dt.datetime(2026, 3, 2, 15)
MARCH = {"ref_date": "2026-02-27", "title": None}


def old_article(**others: Any) -> Call:
    """Build an answer from before titles existed."""
    made = article() | {"ref_date": "2026-02-27"} | others
    body = {name: value for name, value in made.items() if value is not None}
    return answered(PUBLISHED_ARTICLES, dt.date(2026, 2, 27), None, body, at=OLD)


YES, NO, UNSEEN = "borne out", "contradicted", "not seen"
CASES: list[tuple[str, str, list[Call]]] = [
    ("gateways_answer_5xx", YES, [answered(MESSAGES, day(4), http_status=502, response="busy")]),
    ("gateways_answer_5xx", UNSEEN, [good(MESSAGES, LATER)]),
    ("quota_returns_at_midnight", YES, [refused(HOURS, 45009, at(9)), good(HOURS, at(0, 25))]),
    ("quota_returns_at_midnight", NO, [refused(HOURS, 45009, at(9)), good(HOURS, at(10))]),
    ("quota_returns_at_midnight", UNSEEN, [refused(HOURS, 45009, at(9)), good(MESSAGES, at(10))]),
    ("quota_is_per_endpoint", YES, [refused(HOURS, 45009, at(9)), good(MESSAGES, at(10))]),
    (
        "quota_is_per_endpoint",
        NO,
        [refused(each, 45009, at(9 + place)) for place, each in enumerate((HOURS, MESSAGES, WEEKS))],
    ),
    ("quota_is_per_endpoint", UNSEEN, [refused(HOURS, 45009, at(9)), good(HOURS, at(9, 25))]),
    (
        "quota_is_checked_after_permission_and_before_dates",
        YES,
        [refused(HOURS, 45009, at(9)), refused(HOURS, 48001, at(10))],
    ),
    (
        "quota_is_checked_after_permission_and_before_dates",
        NO,
        [refused(HOURS, 45009, at(9)), refused(HOURS, 61501, at(10))],
    ),
    ("permissions_are_per_family", YES, [refused(DAILY_READING, 48001, at(9)), good(MESSAGES, at(9))]),
    ("permissions_are_per_family", NO, [refused(HOURS, 48001, at(9)), good(MESSAGES, at(9))]),
    ("windows_return_every_week_and_month", YES, [good(WEEKS, LATER, *TWO_WEEKS, **JUNE)]),
    (
        "windows_return_every_week_and_month",
        NO,
        [good(WEEKS, LATER, *TWO_WEEKS, **JUNE), good(WEEKS, LATER, TWO_WEEKS[0], **JUNE)],
    ),
    ("windows_return_every_week_and_month", UNSEEN, [good(WEEKS, LATER, TWO_WEEKS[0], **JUNE)]),
    ("weeks_are_named_by_their_monday", YES, [good(WEEKS, LATER, row(day(9)), begin=9, end=9)]),
    ("weeks_are_named_by_their_monday", NO, [good(WEEKS, LATER, row(day(8)), begin=2, end=9)]),
    ("getbizsummary_takes_30_days", YES, [good(DAILY_READING, LATER, begin=1, end=8)]),
    ("getbizsummary_takes_30_days", NO, [refused(DAILY_READING, 61501, LATER, begin=1, end=8)]),
    ("getbizsummary_takes_30_days", UNSEEN, [refused(DAILY_READING, 61501, LATER, begin=1, end=7)]),
    ("getupstreammsgweek_takes_30_days", YES, [good(WEEKS, LATER, begin=2, end=9)]),
    (
        "late_figures_show_as_an_empty_list",
        YES,
        [good(MESSAGES, at(9), begin=23, end=23), good(MESSAGES, at(15), row(day(23)), begin=23, end=23)],
    ),
    ("late_figures_show_as_an_empty_list", UNSEEN, [good(MESSAGES, at(9), begin=23, end=23)]),
    (
        "message_figures_are_revised",
        YES,
        [good(MESSAGES, LATER, row(day(4))), good(MESSAGES, LATER, row(day(4), 2, 3))],
    ),
    ("listed_days_of_followers_have_source_0", YES, [good(DAILY_FOLLOWERS, LATER, followers(0, 0))]),
    ("listed_days_of_followers_have_source_0", NO, [good(DAILY_FOLLOWERS, LATER, followers(30, 0))]),
    *(
        (
            "source_0_is_not_the_total",
            verdict,
            [
                good(
                    DAILY_FOLLOWERS, LATER, followers(0, new, number), followers(1, 3, number), begin=number, end=number
                )
                for number in days
            ],
        )
        for verdict, new, days in ((YES, 0, (4, 5, 6)), (NO, 3, (4, 5, 6)), (UNSEEN, 3, (4, 5)))
    ),
    *(
        (
            "totals_of_followers_have_user_source_0",
            verdict,
            [good(FOLLOWERS_TOTAL, LATER, {"ref_date": str(day(4)), "cumulate_user": 1} | source)],
        )
        for verdict, source in ((YES, {"user_source": 0}), (NO, {"user_source": 5}), (UNSEEN, {}))
    ),
    ("interface_hours_are_hundreds", YES, [callbacks(HOURLY_CALLBACKS, ref_hour=100)]),
    ("interface_hours_are_hundreds", NO, [callbacks(HOURLY_CALLBACKS, ref_hour=9)]),
    ("interface_hours_are_hundreds", UNSEEN, [callbacks(HOURLY_CALLBACKS, ref_hour=0)]),
    ("days_without_callbacks_have_no_row", YES, [good(DAILY_CALLBACKS, LATER)]),
    ("days_without_callbacks_have_no_row", NO, [callbacks(DAILY_CALLBACKS, callback_count=0)]),
    ("only_articles_are_delayed", YES, [published(is_delay=False)]),
    ("only_articles_are_delayed", NO, [answered(HOURS, day(4), response='{"list":[],"is_delay":false}')]),
    ("only_articles_are_delayed", UNSEEN, [good(HOURS, LATER, hour_row(day(4), is_delay=True))]),
    ("delayed_answers_come_in_the_morning", YES, [published(when=at(9), is_delay="true")]),
    ("delayed_answers_come_in_the_morning", NO, [published(when=at(12), is_delay=True)]),
    (
        "delayed_answers_come_in_the_morning",
        NO,
        [answered(DAILY_READING, day(4), at=at(9, 6), response='{"list":[],"is_delay":true}')],
    ),
    ("delayed_answers_come_in_the_morning", UNSEEN, [published(when=at(12), is_delay=False)]),
    ("publish_type_says_who_was_notified", YES, [published(article(0))]),
    ("publish_type_says_who_was_notified", YES, [published(article(0, rate=0, publish_type=1))]),
    ("publish_type_says_who_was_notified", NO, [published(article(0, publish_type=1))]),
    ("publish_type_says_who_was_notified", NO, [published(article(0, rate=0, publish_type=2))]),
    ("publish_type_says_who_was_notified", UNSEEN, [published(article(0, rate=0))]),
    ("titles_since_2026_03_03", YES, [published(article())]),
    ("titles_since_2026_03_03", YES, [old_article(title=None, content_url=None)]),
    ("titles_since_2026_03_03", NO, [old_article()]),
    ("article_days_begin_with_publishing", YES, [published(article(0, 1))]),
    ("article_days_begin_with_publishing", NO, [published(article(1, 2))]),
    ("articles_have_at_most_30_days", YES, [published(article(*range(30)))]),
    ("articles_have_at_most_30_days", NO, [published(article(*range(31)))]),
    ("articles_have_at_most_30_days", NO, [published(article(0, 40))]),
    ("articles_have_at_most_30_days", UNSEEN, [published(article(*range(29)))]),
    ("msgid_is_message_and_place", YES, [published(article())]),
    ("msgid_is_message_and_place", NO, [published(article(msgid="23_1"))]),
    ("msgid_is_message_and_place", NO, [published(article(msgid="22"))]),
    ("read_jump_position_is_a_list", YES, [jumps([{"position": 1, "rate": 0.5}])]),
    ("read_jump_position_is_a_list", NO, [jumps({"1": 0.5})]),
]


@pytest.mark.parametrize(("name", "verdict", "calls"), CASES, ids=[f"{name}: {verdict}" for name, verdict, _ in CASES])
def test_assumptions_are_borne_out_or_contradicted_by_answers(
    con: Connection, name: str, verdict: str, calls: list[Call]
) -> None:
    """Each assumption is examined in the stored answers; the examples are calls of the account."""
    store_calls(con, calls)
    (found,) = [each for each in assumptions(con, "shop") if each.name == name]

    assert found.verdict == verdict
    assert set(found.call_ids) <= set(range(1, len(calls) + 1))
    assert bool(found.call_ids) == (verdict != UNSEEN)
    assert {each.verdict for each in assumptions(con, "cafe")} == {UNSEEN}


def test_every_assumption_has_both_languages_and_a_case() -> None:
    """Every assumption is said in both languages, and some case bears it out; names are unique."""
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    spans = {name for name in names if name.endswith("_takes_30_days")}
    assert {name for name, verdict, _ in CASES if verdict == YES} | spans == set(names)
    texts = [claim.text for claim in CLAIMS]
    assert all(text.en.endswith(".") and re.search("[\u4e00-\u9fff].*。$", text.zh) for text in texts)
