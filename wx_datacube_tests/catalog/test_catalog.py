"""The catalog: the seven endpoints of WeChat's page, and what is derived from each.

Add an entry to `PAGE`, and a sample answer for a new family, when an endpoint is added. That each endpoint also has a
table, an asset and its checks is tested where those are built.
"""

import json
from collections.abc import Iterator

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import COUNT_INTERVALS, ENDPOINTS, MESSAGE_TYPES
from wx_datacube.catalog.model import HISTORY_START, Column, Endpoint, Family, Period

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[endpoint.name for endpoint in ENDPOINTS])

# WeChat's page of 2015, row by row: the period, the maximum days of a call, and the columns of the natural key.
PAGE = {
    "getupstreammsg": (Period.DAY, 7, "ref_date msg_type"),
    "getupstreammsghour": (Period.DAY, 1, "ref_date ref_hour msg_type"),
    "getupstreammsgweek": (Period.WEEK, 30, "ref_date msg_type"),
    "getupstreammsgmonth": (Period.MONTH, 30, "ref_date msg_type"),
    "getupstreammsgdist": (Period.DAY, 15, "ref_date count_interval"),
    "getupstreammsgdistweek": (Period.WEEK, 30, "ref_date count_interval"),
    "getupstreammsgdistmonth": (Period.MONTH, 30, "ref_date count_interval"),
}

# One row per family, as in WeChat's answers.
SAMPLES = {
    Family.MESSAGES: '{"ref_date":"2014-12-07","user_source":0,"msg_type":1,"msg_user":282,"msg_count":817}',
    Family.HOURS: '{"ref_date":"2014-12-07","ref_hour":0,"user_source":0,"msg_type":1,"msg_user":9,"msg_count":10}',
    Family.SENDERS: '{"ref_date":"2014-12-07","user_source":0,"count_interval":1,"msg_user":246}',
}


def all_columns() -> Iterator[Column]:
    """Yield every column of every endpoint."""
    for endpoint in ENDPOINTS:
        yield from endpoint.columns


def test_the_catalog_is_what_wechats_page_lists() -> None:
    """The catalog has the page's seven endpoints, each with its period, span and key, found by name."""
    listed = {
        endpoint.name: (endpoint.period, endpoint.max_span_days, " ".join(column.name for column in endpoint.key))
        for endpoint in ENDPOINTS
    }

    assert listed == PAGE
    assert list(BY_NAME.values()) == list(ENDPOINTS)


@each_endpoint
def test_an_endpoint_has_the_columns_of_wechats_answers(endpoint: Endpoint) -> None:
    """Columns are named like the fields of a live answer, whose figures are within their bounds."""
    sample = json.loads(SAMPLES[endpoint.family])

    assert {column.name for column in endpoint.columns} == set(sample)
    for column in endpoint.columns[1:]:
        assert column.low <= sample[column.name] <= column.high
        assert sample[column.name] % column.step == 0


@each_endpoint
def test_a_column_is_either_key_or_value(endpoint: Endpoint) -> None:
    """Each column is a key or a value, and only `user_source` is not required."""
    assert {*endpoint.key, *endpoint.values} == set(endpoint.columns)
    assert not {*endpoint.key} & {*endpoint.values}
    assert [column.name for column in endpoint.columns if not column.required] == ["user_source"]
    assert [column.name for column in endpoint.measures] == ["msg_user", "msg_count"][: 1 + endpoint.counts_messages]


def test_empty_days_imply_only_their_hours_and_distribution() -> None:
    """An empty day implies only its hours and distribution; weeks and months are always requested."""
    implied = [endpoint.name for endpoint in ENDPOINTS if endpoint.implied_by_silence]

    assert implied == ["getupstreammsghour", "getupstreammsgdist"]


def test_paths_are_those_of_the_api() -> None:
    """An endpoint's path is `/datacube/` and its name."""
    assert [endpoint.path for endpoint in ENDPOINTS] == [f"/datacube/{name}" for name in PAGE]


def test_periods_have_adverbs() -> None:
    """Periods have the adverbs that name views and schedules: daily, weekly and monthly."""
    assert [period.adverb for period in Period] == ["daily", "weekly", "monthly"]


def test_every_documented_code_has_a_word() -> None:
    """Each code of WeChat's page has a word; message type 5 doesn't exist."""
    assert MESSAGE_TYPES == {1: "text", 2: "image", 3: "voice", 4: "video", 6: "link"}
    assert COUNT_INTERVALS == {0: "0", 1: "1-5", 2: "6-10", 3: "more than 10"}


def test_everything_is_explained_in_both_languages() -> None:
    """Endpoints and columns have a sentence in English and one in Chinese."""
    for described in (*ENDPOINTS, *all_columns()):
        assert described.en.endswith(".")
        assert described.en.isascii() or "…" in described.en or "×" in described.en
        assert described.zh.endswith("。")


def test_history_starts_where_wechat_says() -> None:
    """History starts on 2014-12-01, a Monday, so that day is the label of its week and month too."""
    assert HISTORY_START.isoformat() == "2014-12-01"
    assert HISTORY_START.weekday() == 0
