"""Load: from the answers in the ledger to the typed tables, in SQL alone.

`load_calls` is a fold over the answers of an endpoint in the order of their `call_id`; the tables are its starting
state, so any split of the ledger into batches, a replay of everything at once included, ends in the same tables.
Add a rule about rows here; which labels are due or covered belongs to `schema.coverage_select`. Bodies are read as
JSON text and cast field by field: typed `from_json` rounds 5.5 to 6 and turns what does not fit into NULL.
"""

from collections.abc import Iterator

import duckdb

from wx_datacube.catalog.endpoints import ENDPOINTS, MSG_USER, REF_DATE, Column, Endpoint
from wx_datacube.catalog.periods import SETTLED_HOUR
from wx_datacube.warehouse.schema import FIRST_DAY, GOOD_ANSWER, NEXT_LABEL

_INTEGER = "'-?[0-9]+'"


def load_calls(con: duckdb.DuckDBPyConnection, first: int, last: int, account: str | None = None) -> int:
    """Bring the calls `first` to `last` of the ledger, both included, into the tables, in the caller's transaction.

    Those of one `account`, or of all. Each call must be loaded once, after all earlier ones. Returns how many rows they
    brought that can be trusted.
    """
    batch = {"first": first, "last": last}
    found = con.execute(
        "SELECT DISTINCT endpoint FROM datacube.api_calls WHERE call_id BETWEEN $first AND $last", batch
    )
    names, rows = {name for (name,) in found.fetchall()}, 0
    for endpoint in ENDPOINTS:
        if endpoint.name in names:
            con.execute(f"CREATE OR REPLACE TEMP TABLE answer AS {_answers(endpoint)}", batch | {"account": account})
            rows += _load_answers(con, endpoint)
    return rows


def _load_answers(con: duckdb.DuckDBPyConnection, endpoint: Endpoint) -> int:
    """What follows once the batch's answers are in the temporary table `answer`."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE item AS {_items(endpoint)}")
    con.execute(
        "INSERT INTO datacube.rejected_rows BY NAME"
        f" SELECT account, '{endpoint.name}' AS endpoint, call_id, item AS row, reason"
        " FROM item WHERE reason IS NOT NULL ORDER BY call_id, pos"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE covered AS {_covered(endpoint)}")
    con.execute(_new_rows(endpoint))
    # Most labels are answered for once in their life: only the others have a past to fold the answer into.
    if con.execute("SELECT 1 FROM covered WHERE again LIMIT 1").fetchall():
        con.execute(f"CREATE OR REPLACE TEMP TABLE said AS {_said(endpoint)}")
        for field in endpoint.values:
            con.execute(f"INSERT INTO datacube.revisions BY NAME {_revisions(endpoint, field)}")
        for statement in _replace_rows(endpoint):
            con.execute(statement)
    for statement in _replace_answers(endpoint):
        con.execute(statement)
    return int(con.execute("SELECT count(*) FROM item WHERE reason IS NULL").fetchall()[0][0])


def _names(columns: tuple[Column, ...]) -> str:
    return ", ".join(column.name for column in columns)


# --- answers and their rows -------------------------------------------------------------------------------------


# Of two lists, or two errcodes, nobody can say which one is meant.
_READABLE = """json_type(body, '$.list') = 'ARRAY'
    AND len(list_filter(json_keys(body), lambda name: name = 'list')) = 1
    AND len(list_filter(json_keys(body), lambda name: name = 'errcode')) <= 1"""


def _answers(endpoint: Endpoint) -> str:
    """The batch's answers: an object with one `list`, an array, and no error."""
    return f"""
FROM (
    SELECT call_id, account, begin_date, end_date, asked, refresh, requested_at, TRY_CAST(response AS JSON) AS body
    FROM datacube.api_calls
    WHERE call_id BETWEEN $first AND $last AND endpoint = '{endpoint.name}' AND account = coalesce($account, account)
        AND {GOOD_ANSWER}
) WHERE {_READABLE}"""


def unreadable_calls(con: duckdb.DuckDBPyConnection, account: str | None = None) -> list[int]:
    """The calls whose answer was good when it came and can't be read any more: no table has anything of them."""
    good = (
        f"SELECT call_id, TRY_CAST(response AS JSON) AS body FROM datacube.api_calls WHERE {GOOD_ANSWER}"
        " AND account = coalesce($account, account)"
    )
    found = con.execute(
        f"SELECT call_id FROM ({good}) WHERE coalesce(NOT ({_READABLE}), true) ORDER BY call_id", {"account": account}
    )
    return [call_id for (call_id,) in found.fetchall()]


def _items(endpoint: Endpoint) -> str:
    """Every row of every answer: its typed fields, its label, and the reason that sets it apart, or NULL."""
    shape = "{" + ", ".join(f'"{column.name}": "JSON"' for column in endpoint.columns) + "}"
    typed = ", ".join(f"{_cast(column)} AS {column.name}" for column in endpoint.columns)
    period = endpoint.period.value
    return f"""
WITH listed AS (
    SELECT call_id, account, begin_date, end_date, unnest(body->'$.list[*]') AS item,
        generate_subscripts(body->'$.list[*]', 1) AS pos
    FROM answer
), raw AS (
    SELECT *, CASE WHEN json_type(item) = 'OBJECT' THEN from_json(item, '{shape}') END AS field FROM listed
), typed AS (
    SELECT *, {typed} FROM raw
), judged AS (
    SELECT * EXCLUDE (field),
        CASE WHEN {" AND ".join(map(_fine, endpoint.columns))} AND {_each_once(endpoint)}
                AND ref_date BETWEEN greatest(begin_date, {FIRST_DAY}) AND end_date
                AND date_trunc('{period}', ref_date) = ref_date THEN NULL
            WHEN {" OR ".join(_missing(column) for column in endpoint.columns if column.required)}
                THEN 'missing_field'
            WHEN {" OR ".join(map(_wrong_type, endpoint.columns))} THEN 'wrong_type'
            WHEN {" OR ".join(map(_bad_value, endpoint.columns))} OR {_twice(endpoint.columns)} THEN 'bad_value'
            WHEN ref_date < {FIRST_DAY} THEN 'before_2014_12_01'
            WHEN ref_date NOT BETWEEN begin_date AND end_date THEN 'outside_window'
            WHEN date_trunc('{period}', ref_date) <> ref_date THEN 'wrong_label' END AS fault,
        -- Of a date in another form than WeChat's, or there twice, nobody can say which label is meant.
        CASE WHEN {_fine(REF_DATE)} AND ({_each_once(endpoint)} OR NOT {_twice((REF_DATE,))})
            THEN date_trunc('{period}', ref_date)::DATE END AS label
    FROM typed
)
SELECT * EXCLUDE (fault), CASE
    WHEN fault IS NULL AND row_number() OVER (PARTITION BY call_id, fault, {_names(endpoint.key)} ORDER BY pos) > 1
    THEN 'duplicate_key' ELSE fault END AS reason
FROM judged"""


def _cast(column: Column) -> str:
    """The field's value; of what does not fit, NULL or something that `_fine` tells from it."""
    if column is REF_DATE:
        return f"TRY_CAST(field.{column.name}[2:-2] AS DATE)"
    return f"TRY_CAST(field.{column.name} AS BIGINT)"


def _fine(column: Column) -> str:
    """Whether nothing at all is wrong with the field; cheap, since it is asked of every row."""
    name = column.name
    if column is REF_DATE:
        # The year 99999 is a date for DuckDB too.
        return f"coalesce('\"' || {name} || '\"' = field.{name} AND length(field.{name}) = 12, false)"
    step = f" AND {name} % {column.step} = 0" if column.step > 1 else ""
    same = f"{name}::VARCHAR = field.{name} AND {name} BETWEEN {column.low} AND {column.high}{step}"
    return f"coalesce({same}, false)" if column.required else f"coalesce({same}, field.{name} IS NULL)"


def _each_once(endpoint: Endpoint) -> str:
    """Whether the row has as many keys as fields of ours, so that none of them can be there twice."""
    return f"len(json_keys(item)) = {' + '.join(f'(field.{c.name} IS NOT NULL)::INTEGER' for c in endpoint.columns)}"


def _missing(column: Column) -> str:
    return f"(field.{column.name} IS NULL AND NOT coalesce(json_exists(item, '$.{column.name}'), false))"


def _wrong_type(column: Column) -> str:
    right = f"starts_with(field.{column.name}, '\"')"
    if column is not REF_DATE:
        right = f"regexp_full_match(field.{column.name}, {_INTEGER})"
    # A required field that is NULL here is a JSON null; an optional one may be null or absent.
    return f"NOT coalesce({right}, {not column.required})"


def _bad_value(column: Column) -> str:
    name = column.name
    if column is REF_DATE:
        return f"NOT {_fine(column)}"
    bad = f"coalesce({name} NOT BETWEEN {column.low} AND {column.high} OR {name} % {column.step} <> 0, true)"
    return f"(field.{name} IS NOT NULL AND {bad})"


def _twice(columns: tuple[Column, ...]) -> str:
    """Whether one of the fields occurs twice in a row, so that nobody can say which of the two is meant."""
    names = ", ".join(f"'{column.name}'" for column in columns)
    known = f"list_filter(json_keys(item), lambda name: name IN ({names}))"
    return f"len({known}) <> len(list_distinct({known}))"


# --- labels that the answers cover ------------------------------------------------------------------------------


def _covered(endpoint: Endpoint) -> str:
    """One row for each answer and label in its window: what the answer is worth for that label."""
    step = NEXT_LABEL[endpoint.period]
    return f"""
WITH labels AS (
    SELECT *, unnest(generate_series(
        date_trunc('{endpoint.period.value}', begin_date)::TIMESTAMP, end_date::TIMESTAMP, {step}))::DATE AS label
    FROM answer
), seen AS (
    SELECT call_id, label, count(*) AS shown FROM item WHERE reason IS NULL GROUP BY ALL
), apart AS (
    SELECT DISTINCT call_id, label FROM item WHERE reason IS NOT NULL
), worth AS (
    SELECT labels.account, labels.call_id, labels.label, requested_at, coalesce(shown, 0) AS shown,
        requested_at >= labels.label + {step} + INTERVAL {SETTLED_HOUR} HOUR AS settled,
        -- A row without a readable date may belong to any label of its window.
        NOT EXISTS (FROM apart WHERE apart.call_id = labels.call_id
            AND (apart.label = labels.label OR apart.label IS NULL)) AS clean,
        refresh AND list_contains(asked, labels.label) AS refreshed
    FROM labels LEFT JOIN seen ON seen.call_id = labels.call_id AND seen.label = labels.label
    WHERE labels.label >= begin_date AND labels.label >= {FIRST_DAY} AND labels.label + {step} <= requested_at
)
SELECT worth.* REPLACE (refreshed AND worth.settled AND worth.clean AS refreshed),
    -- The first figures of a label revise nothing: it may have been empty because they came late.
    coalesce(before.known, false) OR coalesce(bool_or(worth.shown > 0) OVER (
        PARTITION BY worth.account, worth.label ORDER BY worth.call_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false) AS known_before,
    coalesce(lag(worth.call_id) OVER (PARTITION BY worth.account, worth.label ORDER BY worth.call_id),
        before.call_id) AS previous_call_id,
    before.label IS NOT NULL OR count(*) OVER (PARTITION BY worth.account, worth.label) > 1 AS again
FROM worth LEFT JOIN datacube.label_answers AS before
    ON before.account = worth.account AND before.label = worth.label AND before.endpoint = '{endpoint.name}'"""


def _replace_answers(endpoint: Endpoint) -> Iterator[str]:
    yield (
        "DELETE FROM datacube.label_answers AS old USING (SELECT DISTINCT account, label FROM covered) AS new"
        f" WHERE old.endpoint = '{endpoint.name}' AND old.account = new.account AND old.label = new.label"
    )
    yield f"""
INSERT INTO datacube.label_answers BY NAME
SELECT account, '{endpoint.name}' AS endpoint, label, call_id, requested_at AS fetched_at, settled, clean, shown,
    known_before OR shown > 0 AS known
FROM covered QUALIFY row_number() OVER (PARTITION BY account, label ORDER BY call_id DESC) = 1"""


def _new_rows(endpoint: Endpoint) -> str:
    """The rows of labels that were never answered for before, nor are twice in the batch."""
    columns = _names(endpoint.columns)
    return f"""
INSERT INTO datacube.{endpoint.name} BY NAME
SELECT item.account, {columns}, item.call_id
FROM item JOIN covered ON covered.call_id = item.call_id AND covered.label = item.ref_date
WHERE reason IS NULL AND NOT again ORDER BY item.account, {_names(endpoint.key)}"""


# --- what was said of each key, in order ------------------------------------------------------------------------


def _said(endpoint: Endpoint) -> str:
    """One row for each key and each answer that says something about it, after what the tables know of it.

    `figures` is NULL where the answer lacks the key. An answer that set rows of the label apart, or came before the
    label was settled, says nothing by its silence. `stored` is what the table holds after the answer: absence never
    overwrites presence, except in a refresh; `brought` is the call that `stored` came with.
    """
    keys = _names(endpoint.key)
    packed = (
        "struct_pack(" + ", ".join(f"{column.name} := {column.name}::{column.type}" for column in endpoint.values) + ")"
    )
    whole = f"PARTITION BY account, {keys} ORDER BY call_id"
    epoch = f"PARTITION BY account, {keys}, epoch ORDER BY call_id"
    return f"""
WITH labels AS (
    SELECT DISTINCT account, label FROM covered WHERE again
), kept AS (
    SELECT rows.account, {", ".join(f"rows.{column.name}" for column in endpoint.key)}, rows.call_id,
        {packed} AS figures
    FROM datacube.{endpoint.name} AS rows SEMI JOIN labels
        ON labels.account = rows.account AND labels.label = rows.ref_date
), last_revision AS (
    SELECT account, {keys}, max(new_call_id) AS call_id, arg_max(new IS NULL, new_call_id) AS vanished
    FROM datacube.revisions SEMI JOIN kept USING (account, {keys})
    WHERE endpoint = '{endpoint.name}' AND field = '{MSG_USER.name}' GROUP BY account, {keys}
), shown AS (
    SELECT account, call_id, {keys}, {packed} AS figures
    FROM item SEMI JOIN labels ON labels.account = item.account AND labels.label = item.ref_date
    WHERE reason IS NULL
), keys AS (
    SELECT account, {keys} FROM kept UNION SELECT account, {keys} FROM shown
), observed AS (
    SELECT account, {keys}, call_id, figures, false AS removed, false AS fresh FROM kept
    UNION ALL BY NAME
    SELECT account, {keys}, call_id, NULL AS figures, false AS removed, false AS fresh
    FROM last_revision WHERE vanished
    UNION ALL BY NAME
    SELECT keys.*, covered.call_id, shown.figures, shown.figures IS NULL AND refreshed AS removed, true AS fresh,
        requested_at, known_before, previous_call_id
    FROM keys
    JOIN covered ON covered.account = keys.account AND covered.label = keys.ref_date
    LEFT JOIN shown ON shown.call_id = covered.call_id AND shown.account = keys.account
        AND {" AND ".join(f"shown.{column.name} = keys.{column.name}" for column in endpoint.key)}
    WHERE shown.figures IS NOT NULL OR (covered.clean AND covered.settled)
), epochs AS (
    SELECT *, count(*) FILTER (removed) OVER ({whole}) AS epoch, lag(figures) OVER ({whole}) AS said_before
    FROM observed
), carried AS (
    SELECT *, lag(figures IGNORE NULLS) OVER ({epoch}) AS stored_before,
        coalesce(figures, lag(figures IGNORE NULLS) OVER ({epoch})) AS stored
    FROM epochs
), dated AS (
    SELECT *, max(CASE WHEN figures IS NOT NULL AND figures IS DISTINCT FROM stored_before THEN call_id END)
        OVER ({epoch}) AS brought
    FROM carried
)
SELECT *, lag(brought) OVER ({whole}) AS brought_before FROM dated"""


def _revisions(endpoint: Endpoint, field: Column) -> str:
    """What the batch changed in one field: changed and, for figures, new and vanished rows."""
    keys, name = _names(endpoint.key), field.name
    appeared = "(said_before IS NULL AND figures IS NOT NULL AND known_before)" if field.required else "false"
    vanished = "(figures IS NULL AND said_before IS NOT NULL)" if field.required else "false"
    return f"""
SELECT account, '{endpoint.name}' AS endpoint, {keys}, '{name}' AS field, said_before.{name} AS old,
    figures.{name} AS new, requested_at AS seen_at,
    CASE WHEN said_before IS NULL THEN previous_call_id ELSE brought_before END AS old_call_id,
    call_id AS new_call_id
FROM said
WHERE fresh AND ({appeared} OR {vanished} OR (said_before IS NOT NULL AND figures IS NOT NULL
    AND said_before.{name} IS DISTINCT FROM figures.{name}))
ORDER BY call_id, {keys}"""


def _replace_rows(endpoint: Endpoint) -> Iterator[str]:
    """Write the labels anew of which something changed, and no others."""
    keys = _names(endpoint.key)
    yield """
CREATE OR REPLACE TEMP TABLE touched AS
SELECT DISTINCT account, ref_date FROM said
WHERE fresh AND (removed OR figures IS NOT NULL AND figures IS DISTINCT FROM stored_before)"""
    yield (
        f"DELETE FROM datacube.{endpoint.name} AS rows USING touched"
        " WHERE rows.account = touched.account AND rows.ref_date = touched.ref_date"
    )
    yield f"""
INSERT INTO datacube.{endpoint.name} BY NAME
SELECT account, {keys}, {", ".join(f"stored.{column.name}" for column in endpoint.values)}, brought AS call_id
FROM (FROM said SEMI JOIN touched USING (account, ref_date)
    QUALIFY row_number() OVER (PARTITION BY account, {keys} ORDER BY call_id DESC) = 1)
WHERE stored IS NOT NULL ORDER BY account, {keys}"""
