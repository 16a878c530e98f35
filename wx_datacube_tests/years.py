"""Files with many years, written straight into the tables, for tests of duration and size rather than ingestion."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from wx_datacube.catalog.articles import (
    ARTICLE_READING,
    ARTICLE_SHARING,
    DAILY_READING,
    PUBLISHED_ARTICLES,
    SCENE_DESC,
)
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.followers import CHANNEL, DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS, HOURLY_CALLBACKS
from wx_datacube.catalog.messages import COUNT_INTERVAL, MSG_TYPE
from wx_datacube.catalog.model import HISTORY_START, REF_HOUR, Endpoint, Family
from wx_datacube.catalog.periods import due_labels
from wx_datacube.warehouse.files import Warehouse

TODAY = dt.datetime(2026, 11, 24, 15)


def years(
    folder: Path,
    *,
    start: dt.date = HISTORY_START,
    messages: int = 100,
    gap: tuple[dt.date, dt.date] | None = None,
    families: Sequence[Family] = (Family.MESSAGES,),
) -> Warehouse:
    """Publish a file of the account `shop` in which every label due on `TODAY` has rows, except those in `gap`.

    There are `messages` a day. Each type has the same number of messages every hour, and every user sends two. The
    figures of the other families differ from day to day. There are ten channels, one article a day, thousands of
    readers, and calls in every hour.
    """
    warehouse = Warehouse(folder / "figures.duckdb", clock=lambda: TODAY)
    with warehouse.transaction() as con:
        con.execute(
            "INSERT INTO datacube.accounts VALUES ('shop', 'wx5eed0fda7acbe011', $1, $2, $3::JSON::VARCHAR[])",
            [start, TODAY, json.dumps(families)],
        )
        for call_id, endpoint in enumerate((each for each in ENDPOINTS if each.family in families), 1):
            labels = [
                label
                for label in due_labels(endpoint.period, endpoint.first(start), TODAY.date())
                if gap is None or not gap[0] <= label <= gap[1]
            ]
            listed = json.dumps(labels, default=str)
            values = {"labels": listed, "call": call_id, "now": TODAY, "endpoint": endpoint.name}
            con.execute(
                "INSERT INTO datacube.api_calls BY NAME SELECT $call AS call_id, 'shop' AS account,"
                " $endpoint AS endpoint, $labels::JSON::DATE[] AS asked, $now AS requested_at, 200 AS http_status",
                values,
            )
            con.execute(
                "INSERT INTO datacube.label_answers BY NAME SELECT 'shop' AS account, $endpoint AS endpoint,"
                " unnest($labels::JSON::DATE[]) AS label, $call AS call_id, $now AS fetched_at, true AS settled,"
                " true AS clean, 1 AS shown, true AS known, true AS final, $call AS last_undelayed",
                values,
            )
            for statement in _rows_of(endpoint, messages):
                con.execute(statement, {"labels": listed, "call": call_id})
    warehouse.publish()
    return warehouse


def _rows_of(endpoint: Endpoint, messages: int) -> list[str]:
    if endpoint.family is Family.MESSAGES:
        return [_message_rows(endpoint, messages)]
    return [
        f"INSERT INTO datacube.{table} BY NAME SELECT 'shop' AS account, $call AS call_id, ref_date, {columns}"
        f" FROM (SELECT unnest($labels::JSON::DATE[]) AS ref_date){''.join(f', {each}' for each in lists)}"
        for table, (columns, *lists) in _OTHERS[endpoint].items()
    ]


def _message_rows(endpoint: Endpoint, messages: int) -> str:
    days = {"day": 1, "week": 7, "month": 30}[endpoint.period.value]
    of_type = messages * days // len(MSG_TYPE.codes)
    hours = "range(24)" if REF_HOUR in endpoint.columns else "[0]"
    kinds = "[1, 2, 3]" if COUNT_INTERVAL in endpoint.columns else str([code for code, _ in MSG_TYPE.codes])
    of_hour = of_type // 24 if REF_HOUR in endpoint.columns else of_type
    columns = {
        "account": "'shop'",
        "ref_date": "label",
        "ref_hour": "hour * 100",
        "msg_type": "kind",
        "count_interval": "kind",
        "user_source": "0",
        "msg_user": str(of_hour // 2 if COUNT_INTERVAL not in endpoint.columns else messages * days // 2 // 3),
        "msg_count": str(of_hour),
        "call_id": "$call",
    }
    names = ["account", *(column.name for column in endpoint.columns), "call_id"]
    return (
        f"INSERT INTO datacube.{endpoint.name} SELECT {', '.join(columns[name] for name in names)}"
        f" FROM (SELECT unnest($labels::JSON::DATE[]) AS label), (SELECT unnest({hours}) AS hour),"
        f" (SELECT unnest({kinds}) AS kind)"
    )


# --- the other families: the tables of each endpoint, with SQL of their columns and of the rows of a day ---------


def _some(low: int, high: int, by: str = "0") -> str:
    """Return SQL for a whole number from `low` to `high` that differs by day and by `by`."""
    return f"({low} + hash(ref_date, {by}, {high}) % {high - low + 1})::BIGINT"


def _reactions(by: str = "0") -> str:
    few = ("share_user", "zaikan_user", "like_user", "comment_count", "collection_user")
    return f"{_some(1000, 9999, by)} AS read_user, {', '.join(f'{_some(10, 99, by)} AS {name}' for name in few)}"


_MSGID = "(2247000000 + (ref_date - DATE '2000-01-01')) || '_1' AS msgid"
_TITLE = "'第 ' || (ref_date - DATE '2000-01-01') || ' 期：一篇标题长度接近真实文章的文章' AS title"
_URL = (
    "'http://mp.weixin.qq.com/s?__biz=MzAwMDAwMDAwMA==&mid=' || (2247000000 + (ref_date - DATE '2000-01-01'))"
    " || '&idx=1&sn=' || md5(ref_date::VARCHAR) || '#rd' AS content_url"
)
_SOURCES = f"scene_desc, {_some(1000, 9999, 'scene_desc')} AS user_count"
_SCENES = f"unnest({[code for code, _ in SCENE_DESC.codes]}) AS scenes(scene_desc)"
_AGES = f"unnest(range(least(30, DATE '{TODAY:%Y-%m-%d}' - ref_date))) AS ages(age)"
_OF_AGE = f"{_MSGID}, ref_date + age::INTEGER AS stat_date"
_CALLS = ", ".join(
    f"{_some(low, high, '{by}')} AS {name}"
    for name, low, high in (
        ("callback_count", 1000, 9999),
        ("fail_count", 0, 9),
        ("total_time_cost", 100_000, 999_999),
        ("max_time_cost", 300, 4999),
    )
)
_DETAILS = f"{PUBLISHED_ARTICLES.name}__detail_list"
_OTHERS: Mapping[Endpoint, Mapping[str, tuple[str, ...]]] = {
    DAILY_FOLLOWERS: {
        DAILY_FOLLOWERS.name: (
            f"user_source, {_some(0, 60, 'user_source')} AS new_user, {_some(0, 30, 'user_source')} AS cancel_user",
            f"unnest({[code for code, _ in CHANNEL.codes[:10]]}) AS channels(user_source)",
        )
    },
    FOLLOWERS_TOTAL: {FOLLOWERS_TOTAL.name: ("100000 + 37 * (ref_date - DATE '2014-01-01') AS cumulate_user",)},
    DAILY_READING: {
        DAILY_READING.name: (f"{_reactions()}, 5 AS redirect_ori_page_user, 1 AS send_page_count",),
        f"{DAILY_READING.name}__read_user_source": (_SOURCES, _SCENES),
    },
    ARTICLE_READING: {
        ARTICLE_READING.name: (f"{_MSGID}, {_some(1000, 9999)} AS read_user",),
        f"{ARTICLE_READING.name}__read_user_source": (f"{_MSGID}, {_SOURCES}", _SCENES),
    },
    ARTICLE_SHARING: {ARTICLE_SHARING.name: (f"{_MSGID}, {_some(10, 99)} AS share_user",)},
    PUBLISHED_ARTICLES: {
        PUBLISHED_ARTICLES.name: (f"{_MSGID}, 0 AS publish_type, {_TITLE}, {_URL}",),
        _DETAILS: (
            f"{_OF_AGE}, {_reactions('age')}, 0 AS praise_money, {_some(0, 99)} AS read_subscribe_user,"
            " 0.0123 AS read_delivery_rate, 0.5678 AS read_finish_rate, 1.2345 AS read_avg_activetime",
            _AGES,
        ),
        f"{_DETAILS}__read_user_source": (f"{_OF_AGE}, {_SOURCES}", _AGES, _SCENES),
        f"{_DETAILS}__read_jump_position": (
            f"{_OF_AGE}, position::INTEGER AS position, 0.2012 AS rate",
            _AGES,
            "unnest(range(1, 6)) AS positions(position)",
        ),
    },
    DAILY_CALLBACKS: {DAILY_CALLBACKS.name: (_CALLS.format(by="0"),)},
    HOURLY_CALLBACKS: {
        HOURLY_CALLBACKS.name: (
            f"(100 * hour)::INTEGER AS ref_hour, {_CALLS.format(by='hour')}",
            "unnest(range(24)) AS hours(hour)",
        )
    },
}
