"""Schema: the tables, views and comments of the DuckDB file, derived from the catalog.

Add a table here, with a comment for it and for each of its columns; views for people are in `views`. To change a
table, view, endpoint or code name in existing files, raise `SCHEMA_VERSION` and add an entry to `migrate.MIGRATIONS`.
Use only SQL that DuckDB 1.2 and DuckLake support: no keys, enums, indexes or sequences. Nothing here reads or writes
data.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple

from wx_datacube.catalog.endpoints import ENDPOINTS, RELATIONS
from wx_datacube.catalog.metrics import METRICS
from wx_datacube.catalog.model import Endpoint, Relation
from wx_datacube.warehouse.label_states import coverage_select
from wx_datacube.warehouse.sql import quoted
from wx_datacube.warehouse.views import ACCOUNT as _ACCOUNT
from wx_datacube.warehouse.views import VIEWS, Columns

SCHEMA_VERSION = 2

_ENDPOINT = "The endpoint's name, as WeChat calls it."

META: Columns = {
    "schema_version": ("INTEGER", "Version of these tables; an older wx_datacube rejects a newer one."),
    "created_at": ("TIMESTAMP", "When this warehouse was created, Beijing time."),
}
API_CALLS: Columns = {
    "call_id": ("BIGINT", "Number of the attempt, in the order of commits."),
    "run_id": ("VARCHAR", "The Dagster run, or the command, that made it."),
    "account": ("VARCHAR", _ACCOUNT),
    "endpoint": ("VARCHAR", _ENDPOINT),
    "begin_date": ("DATE", "First requested day."),
    "end_date": ("DATE", "Last requested day, included."),
    "asked": ("DATE[]", "The labels that the call was made for; other labels in the window cost nothing more."),
    "refresh": ("BOOLEAN", "Whether the call is part of a refresh, which requests stored labels again."),
    "requested_at": ("TIMESTAMP", "When the attempt began, Beijing time; it decides on quota and settling."),
    "elapsed_ms": ("INTEGER", "How long it took, in milliseconds."),
    "http_status": ("INTEGER", "HTTP status; NULL if no answer came."),
    "errcode": ("BIGINT", "WeChat's error code; NULL for an answer with data."),
    "errmsg": ("VARCHAR", "WeChat's error text, or the error of the connection."),
    "rid": ("VARCHAR", "WeChat's request id, which its support asks for."),
    "response": ("VARCHAR", "The body as received; only the beginning of an oversized one."),
}
LABEL_ANSWERS: Columns = {
    "account": ("VARCHAR", _ACCOUNT),
    "endpoint": ("VARCHAR", _ENDPOINT),
    "label": ("DATE", "The day, the Monday of the week, or the 1st of the month."),
    "call_id": ("BIGINT", "The last call that answered for the label."),
    "fetched_at": ("TIMESTAMP", "When that call was made, Beijing time."),
    "settled": ("BOOLEAN", "Whether an empty answer of that call means that there was nothing."),
    "clean": ("BOOLEAN", "Whether that answer has no rejected row of the label."),
    "shown": ("BIGINT", "Rows of the label in that answer."),
    "known": (
        "BOOLEAN",
        "Whether any answer so far had rows of the label; later rows are then revisions.",
    ),
    "final": ("BOOLEAN", "Whether WeChat will not change the label any more, by its own word."),
    "last_undelayed": ("BIGINT", "The last call that answered for the label without is_delay; NULL if none did."),
}
REJECTED_ROWS: Columns = {
    "account": ("VARCHAR", _ACCOUNT),
    "endpoint": ("VARCHAR", _ENDPOINT),
    "call_id": ("BIGINT", "The call whose answer has the row."),
    "row": ("JSON", "The row as received."),
    "reason": (
        "VARCHAR",
        "Why it was rejected, the first reason that applies: missing_field, wrong_type, bad_value, before_2014_12_01,"
        " outside_window, wrong_label, duplicate_key.",
    ),
    "path": (
        "VARCHAR",
        "Where a nested row is in the answer, as a JSON path; NULL for a row of the answer's own list.",
    ),
}
REVISIONS: Columns = {
    "account": ("VARCHAR", _ACCOUNT),
    "endpoint": ("VARCHAR", _ENDPOINT),
    "ref_date": ("DATE", "Date of the row that changed."),
    "ref_hour": ("INTEGER", "Hour × 100 of the row; NULL where its endpoint has none."),
    "msg_type": ("INTEGER", "Message type of the row; NULL where its endpoint has none."),
    "count_interval": ("INTEGER", "Interval of the row; NULL where its endpoint has none."),
    "field": ("VARCHAR", "The figure that changed."),
    "old": ("BIGINT", "The previous value of a whole number; NULL if the row was absent."),
    "new": ("BIGINT", "The new value of a whole number; NULL if the row vanished (the table keeps it)."),
    "seen_at": ("TIMESTAMP", "When the call that showed the change was made, Beijing time."),
    "old_call_id": ("BIGINT", "The call that the old value came from, or the last answer without the row."),
    "new_call_id": ("BIGINT", "The call that showed the change."),
    "relation": ("VARCHAR", "The table of the row that changed: the endpoint's own, or a nested one."),
    "user_source": ("INTEGER", "Channel of the row; NULL where its table has none as a key."),
    "msgid": ("VARCHAR", "Article of the row; NULL where its table has none."),
    "stat_date": ("DATE", "Day up to which the row counts; NULL where its table has none."),
    "scene_desc": ("VARCHAR", "Source of the readers of the row; NULL where its table has none."),
    "position": ("INTEGER", "Part of the article of the row; NULL where its table has none."),
    "old_rate": ("DOUBLE", "The previous value of a field with fractions."),
    "new_rate": ("DOUBLE", "The new value of a field with fractions."),
    "old_text": ("VARCHAR", "The previous value of a text."),
    "new_text": ("VARCHAR", "The new value of a text."),
}
ACCOUNTS: Columns = {
    "account": ("VARCHAR", _ACCOUNT),
    "appid": ("VARCHAR", "The AppID that the name has been bound to since its first use."),
    "start_date": ("DATE", "First day of history, as in WX_DATACUBE_START."),
    "added_at": ("TIMESTAMP", "When the account was first used, Beijing time."),
    "families": ("VARCHAR[]", "The families of endpoints that are fetched for it, as in WX_DATACUBE_FAMILIES."),
}
REFRESHES: Columns = {
    "account": ("VARCHAR", _ACCOUNT),
    "endpoint": ("VARCHAR", _ENDPOINT),
    "first": ("DATE", "The first label of the refresh; NULL for the start of history."),
    "last": ("DATE", "The last label of the refresh; NULL for the newest due label."),
    "begun_at": ("TIMESTAMP", "When it began, Beijing time."),
    "after_call_id": ("BIGINT", "The last call before the refresh; later calls marked `refresh` belong to it."),
}
CATALOG: Columns = {
    "endpoint": ("VARCHAR", _ENDPOINT),
    "period": ("VARCHAR", "What a label stands for: day, week or month."),
    "max_span_days": ("INTEGER", "Days that one call may cover, both ends included."),
    "description": ("VARCHAR", "What a row means."),
    "description_zh": ("VARCHAR", "一行数据的含义。"),
    "family": ("VARCHAR", "The family that it belongs to: messages, followers, articles or interface."),
    "first_day": ("DATE", "The first day for which WeChat has its figures."),
}
DICTIONARY: Columns = {
    "metric": ("VARCHAR", "The figure's name."),
    "view": ("VARCHAR", "The view whose rows it is computed from."),
    "expression": (
        "VARCHAR",
        "SQL aggregate over rows of the view: SELECT date, <expression> FROM <view> GROUP BY date. Over several rows,"
        " figures that can't be added are averaged.",
    ),
    "unit": ("VARCHAR", "Unit of its values: users, messages, articles, %, minutes, yuan, ms and others."),
    "additive": (
        "VARCHAR",
        "Whether its values may be added: yes, not over time (over accounts only) or no.",
    ),
    "description": ("VARCHAR", "What it counts."),
    "description_zh": ("VARCHAR", "指标含义。"),
}
TABLES: Mapping[str, tuple[str, Columns]] = {
    "meta": ("Which version of wx_datacube's schema this file has.", META),
    "api_calls": ("The ledger: every attempt of a statistics call with its answer. Never deleted from.", API_CALLS),
    "label_answers": ("The current answer for each label.", LABEL_ANSWERS),
    "rejected_rows": ("Rows that WeChat sent but that can't be trusted; no other table has them.", REJECTED_ROWS),
    "revisions": ("Changes by WeChat of figures that were stored already, each change once.", REVISIONS),
    "accounts": ("The Official Accounts in this file.", ACCOUNTS),
    "refreshes": ("The last refresh of each endpoint; an interrupted one is resumed.", REFRESHES),
    "endpoints": ("The catalog of endpoints.", CATALOG),
    "metrics": ("The dictionary of figures: how each is computed from a view. 指标字典。", DICTIONARY),
}


def create_statements() -> Iterator[str]:
    """Yield the statements that create an empty warehouse, comments included.

    In a file with tables of this version, they create what is missing and bring the rest up to date.
    """
    yield "CREATE SCHEMA IF NOT EXISTS datacube"
    for name, (comment, columns) in TABLES.items():
        yield from _table(name, comment, columns)
    for relation in RELATIONS:
        yield from _table(relation.name, f"{relation.en} {relation.zh}", _typed_columns(relation))
    yield "DELETE FROM datacube.endpoints"
    yield from map(_catalog_row, ENDPOINTS)
    yield "DELETE FROM datacube.metrics"
    yield f"INSERT INTO datacube.metrics VALUES {', '.join(f'({_literals(astuple(each))})' for each in METRICS)}"
    yield from _view("datacube.coverage", "The state of every due label.", COVERAGE, coverage_select())
    for view in VIEWS:
        yield from _view(f"main.{view.name}", view.comment, view.columns, view.select)


def _typed_columns(relation: Relation) -> Columns:
    columns = {"account": ("VARCHAR", _ACCOUNT)}
    columns |= {column.name: (column.type, f"{column.en} {column.zh}") for column in relation.columns}
    return columns | {"call_id": ("BIGINT", "The call that the values of this row came from.")}


def _table(name: str, comment: str, columns: Columns) -> Iterator[str]:
    body = ", ".join(f'"{column}" {kind}' for column, (kind, _) in columns.items())
    yield f"CREATE TABLE IF NOT EXISTS datacube.{name} ({body})"
    yield f"COMMENT ON TABLE datacube.{name} IS {quoted(comment)}"
    yield from _column_comments(f"datacube.{name}", columns)


def _view(name: str, comment: str, columns: Columns, select: str) -> Iterator[str]:
    yield f"CREATE OR REPLACE VIEW {name} AS {select}"
    yield f"COMMENT ON VIEW {name} IS {quoted(comment)}"
    yield from _column_comments(name, columns)


def _column_comments(name: str, columns: Columns) -> Iterator[str]:
    for column, (_, comment) in columns.items():
        yield f'COMMENT ON COLUMN {name}."{column}" IS {quoted(comment)}'


def _catalog_row(endpoint: Endpoint) -> str:
    values = [
        endpoint.name,
        endpoint.period.value,
        endpoint.max_span_days,
        endpoint.en,
        endpoint.zh,
        endpoint.family.value,
        endpoint.first_day,
    ]
    return f"INSERT INTO datacube.endpoints VALUES ({_literals(values)})"


def _literals(values: Iterable[object]) -> str:
    return ", ".join(map(quoted, values))


COVERAGE: Columns = {
    "account": ("VARCHAR", _ACCOUNT),
    "endpoint": ("VARCHAR", _ENDPOINT),
    "label": ("DATE", "The day, the Monday of the week, or the 1st of the month."),
    "state": ("VARCHAR", "landed, empty, implied (by a silent day, not requested) or missing."),
    "rows": ("BIGINT", "Rows of the label in the endpoint's table."),
    "fetched_at": ("TIMESTAMP", "When the label was last answered for, Beijing time."),
    "call_id": ("BIGINT", "The last call that answered for it."),
    "final": ("BOOLEAN", "Whether WeChat will not change the label any more, by its own word."),
}
