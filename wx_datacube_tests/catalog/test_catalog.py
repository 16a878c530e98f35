"""The catalog: the endpoints of WeChat's pages, and what is derived from each.

Add an entry to `PAGES` and a sample answer to `SAMPLES` when an endpoint is added. That each endpoint also has its
tables, an asset and its checks is tested where those are built.
"""

import datetime as dt
import json
from collections.abc import Iterator

import pytest

from wx_datacube.catalog.articles import ARTICLES_START
from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.messages import COUNT_INTERVAL, MSG_TYPE
from wx_datacube.catalog.model import HISTORY_START, Column, Endpoint, Family, Period, Relation
from wx_datacube.language import Language

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])

# WeChat's pages, row by row: family, period, the days of a call to try, and the columns of the natural key.
PAGES = {
    "getupstreammsg": ("messages", Period.DAY, (7,), "ref_date msg_type"),
    "getupstreammsghour": ("messages", Period.DAY, (1,), "ref_date ref_hour msg_type"),
    "getupstreammsgweek": ("messages", Period.WEEK, (30, 1), "ref_date msg_type"),
    "getupstreammsgmonth": ("messages", Period.MONTH, (30, 1), "ref_date msg_type"),
    "getupstreammsgdist": ("messages", Period.DAY, (15,), "ref_date count_interval"),
    "getupstreammsgdistweek": ("messages", Period.WEEK, (30, 1), "ref_date count_interval"),
    "getupstreammsgdistmonth": ("messages", Period.MONTH, (30, 1), "ref_date count_interval"),
    "getusersummary": ("followers", Period.DAY, (7,), "ref_date user_source"),
    "getusercumulate": ("followers", Period.DAY, (7,), "ref_date"),
    "getbizsummary": ("articles", Period.DAY, (30, 7, 1), "ref_date"),
    "getarticleread": ("articles", Period.DAY, (1,), "ref_date msgid"),
    "getarticleshare": ("articles", Period.DAY, (1,), "ref_date msgid"),
    "getarticletotaldetail": ("articles", Period.DAY, (1,), "ref_date msgid"),
    "getinterfacesummary": ("interface", Period.DAY, (30,), "ref_date"),
    "getinterfacesummaryhour": ("interface", Period.DAY, (1,), "ref_date ref_hour"),
}

NESTED = {
    "getbizsummary__read_user_source": "ref_date scene_desc",
    "getarticleread__read_user_source": "ref_date msgid scene_desc",
    "getarticletotaldetail__detail_list": "ref_date msgid stat_date",
    "getarticletotaldetail__detail_list__read_user_source": "ref_date msgid stat_date scene_desc",
    "getarticletotaldetail__detail_list__read_jump_position": "ref_date msgid stat_date position",
}
"""The nested tables and their natural keys."""

_SCENES = '"read_user_source":[{"user_count":19,"scene_desc":"全部"}]'
_REACTIONS = '"share_user":2,"zaikan_user":1,"like_user":3,"comment_count":1,"collection_user":2'
_MESSAGES = '{"ref_date":"2025-12-07","user_source":0,"msg_type":1,"msg_user":282,"msg_count":817}'
_SENDERS = '{"ref_date":"2025-12-07","user_source":0,"count_interval":1,"msg_user":246}'
_CALLBACKS = '"callback_count":39,"fail_count":1,"total_time_cost":9730,"max_time_cost":1500}'

# One row per endpoint, as in WeChat's answers.
SAMPLES = {
    "getupstreammsg": _MESSAGES,
    "getupstreammsgweek": _MESSAGES,
    "getupstreammsgmonth": _MESSAGES,
    "getupstreammsghour": '{"ref_date":"2025-12-07","ref_hour":0,"user_source":0,"msg_type":1,"msg_user":9,'
    '"msg_count":10}',
    "getupstreammsgdist": _SENDERS,
    "getupstreammsgdistweek": _SENDERS,
    "getupstreammsgdistmonth": _SENDERS,
    "getusersummary": '{"ref_date":"2025-12-07","user_source":30,"new_user":149,"cancel_user":1}',
    "getusercumulate": '{"ref_date":"2025-12-07","user_source":0,"cumulate_user":1217056}',
    "getbizsummary": f'{{"ref_date":"2025-12-07","detail":{{"read_user":19,{_SCENES},{_REACTIONS},'
    '"redirect_ori_page_user":0,"send_page_count":1}}',
    "getarticleread": f'{{"ref_date":"2025-12-07","msgid":"2247483650_1","detail":{{"read_user":19,{_SCENES}}}}}',
    "getarticleshare": '{"ref_date":"2025-12-07","msgid":"2247483650_1","detail":{"share_user":2}}',
    "getarticletotaldetail": '{"ref_date":"2025-12-07","msgid":"2247483650_1","publish_type":0,"title":"a",'
    '"content_url":"b",'
    f'"detail_list":[{{"stat_date":"2025-12-08","read_user":19,{_SCENES},{_REACTIONS},"praise_money":100,'
    '"read_subscribe_user":1,"read_delivery_rate":0.1,"read_finish_rate":0.5,"read_avg_activetime":1.2,'
    '"read_jump_position":[{"position":1,"rate":0.3}]}]}',
    "getinterfacesummary": f'{{"ref_date":"2025-12-07",{_CALLBACKS}',
    "getinterfacesummaryhour": f'{{"ref_date":"2025-12-07","ref_hour":1800,{_CALLBACKS}',
}


def all_relations() -> Iterator[Relation]:
    """Yield every table of every endpoint."""
    for endpoint in ENDPOINTS:
        yield from endpoint.relations


def all_columns() -> Iterator[Column]:
    """Yield every column of every table."""
    for relation in all_relations():
        yield from relation.columns


def test_the_catalog_is_what_wechats_pages_list() -> None:
    """The catalog has the pages' fifteen endpoints, each with its family, period, spans and key, found by name."""
    listed = {
        each.name: (each.family, each.period, each.spans, " ".join(column.name for column in each.key))
        for each in ENDPOINTS
    }

    assert listed == PAGES
    assert list(BY_NAME.values()) == list(ENDPOINTS)


def test_nested_lists_are_tables_with_the_key_of_their_parent() -> None:
    """Each nested list has a table named after its parent, keyed by the parent's key and its own."""
    nested = [relation for relation in all_relations() if relation.parent is not None]

    assert {each.name: " ".join(column.name for column in each.key) for each in nested} == NESTED
    for each in nested:
        assert each.parent is not None
        assert each.name == f"{each.parent.name}__{each.list_field}"
        assert each.key[: len(each.parent.key)] == each.parent.key


def items_of(relation: Relation, item: dict[str, object]) -> list[dict[str, object]]:
    """Return the items of a relation in an answer's first row."""
    if relation.parent is None:
        return [item]
    found: list[dict[str, object]] = []
    for parent in items_of(relation.parent, item):
        holder = parent[relation.list_inside] if relation.list_inside else parent
        found += holder[relation.list_field]  # type: ignore[index]
    return found


@each_endpoint
def test_a_table_has_the_columns_of_wechats_answers(endpoint: Endpoint) -> None:
    """Columns are named like the fields of a live answer, nested ones included, and figures are within their bounds."""
    sample = json.loads(SAMPLES[endpoint.name])
    for relation in endpoint.relations:
        for item in items_of(relation, sample):
            objects = {column.inside for column in relation.fields if column.inside}
            fields = dict(item)
            for name in objects:
                fields |= fields.pop(name)  # type: ignore[arg-type]
            known = {column.name for column in relation.fields} | {each.field for each in relation.nested}
            unstored = {*endpoint.unstored} if relation.parent is None else set()
            assert known == set(fields) - unstored
            for column in relation.fields:
                value = fields[column.name]
                assert isinstance(value, str) == (column.type in ("VARCHAR", "DATE"))
                if isinstance(value, int):
                    assert column.low <= value <= column.high
                    assert value % column.step == 0


def test_a_column_is_either_key_or_value() -> None:
    """Each column is a key or a value, and a key is required."""
    for relation in all_relations():
        assert {*relation.key, *relation.values} == set(relation.columns)
        assert not {*relation.key} & {*relation.values}
        assert all(column.required for column in relation.key)


def test_fields_that_may_be_absent() -> None:
    """Undocumented fields, those that older answers lack, and those of some accounts only are not required."""
    optional = {column.name for column in all_columns() if not column.required}

    assert optional == {
        *("user_source", "title", "content_url", "publish_type", "redirect_ori_page_user", "send_page_count"),
        *("praise_money", "read_subscribe_user", "read_delivery_rate", "read_finish_rate", "read_avg_activetime"),
    }


def test_an_empty_day_implies_only_what_counts_the_same_day() -> None:
    """A silent day implies its hours and distribution; weeks and months are always requested."""
    implied = {each.name: each.days for each in ENDPOINTS if each.implied_by_silence}

    assert implied == {
        "getupstreammsghour": "getupstreammsg",
        "getupstreammsgdist": "getupstreammsg",
        "getinterfacesummaryhour": "getinterfacesummary",
    }
    for endpoint in ENDPOINTS:
        if endpoint.days:
            assert BY_NAME[endpoint.days].volume in {column.name for column in BY_NAME[endpoint.days].columns}


def test_only_articles_may_be_delayed_and_only_published_ones_grow() -> None:
    """The four article endpoints may say is_delay and begin on 2025-11-01; published articles grow for thirty days."""
    assert {each.family for each in ENDPOINTS if each.has_delay} == {Family.ARTICLES}
    assert {each.first_day for each in ENDPOINTS if each.family is Family.ARTICLES} == {ARTICLES_START}
    assert {each.first_day for each in ENDPOINTS if each.family is not Family.ARTICLES} == {HISTORY_START}
    assert {each.name: each.asked_again for each in ENDPOINTS if each.grows} == {
        "getarticletotaldetail": (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30)
    }


def test_paths_are_those_of_the_api() -> None:
    """An endpoint's path is `/datacube/` and its name."""
    assert [endpoint.path for endpoint in ENDPOINTS] == [f"/datacube/{name}" for name in PAGES]


def test_a_label_is_named_by_its_period() -> None:
    """A week is told from the Monday that is its label, and a month from its first day."""
    day = dt.date(2026, 11, 1)

    assert [str(period.named(day)) for period in Period] == ["2026-11-01", "the week of 2026-11-01", "November 2026"]
    chinese = [period.named(day).to(Language.CHINESE) for period in Period]
    assert chinese == ["2026-11-01", "2026-11-01 起的一周", "2026 年 11 月"]


def test_periods_have_adverbs() -> None:
    """Periods have the adverbs that name views and schedules: daily, weekly and monthly."""
    assert [period.adverb for period in Period] == ["daily", "weekly", "monthly"]


def test_every_documented_code_has_a_word() -> None:
    """Each code of WeChat's page has a word; message type 5 doesn't exist."""
    assert MSG_TYPE.codes == ((1, "text"), (2, "image"), (3, "voice"), (4, "video"), (6, "link"))
    assert COUNT_INTERVAL.codes == ((0, "0"), (1, "1-5"), (2, "6-10"), (3, "more than 10"))
    for column in all_columns():
        assert len({code for code, _ in column.codes}) == len(set(column.words)) == len(column.codes)


def test_everything_is_explained_in_both_languages() -> None:
    """Tables and columns have a sentence in English and one in Chinese."""
    for described in (*all_relations(), *all_columns()):
        assert described.en.endswith(".")
        assert described.zh.endswith("。")


def test_history_starts_where_wechat_says() -> None:
    """History starts on 2014-12-01, a Monday, so that day is the label of its week and month too."""
    assert HISTORY_START.isoformat() == "2014-12-01"
    assert HISTORY_START.weekday() == 0
