"""Load: bring the answers of the ledger into the typed tables, in SQL alone.

`load_calls` folds the answers of an endpoint into the tables, in the order of their `call_id`. So any split of the
ledger into batches ends in the same tables, including a replay of everything at once. Bodies are read as JSON text and
cast field by field, since typed `from_json` rounds 5.5 to 6 and turns values that don't fit into NULL. Add a rule about
rows here. Which labels are due or covered belongs in `label_states`.
"""

from collections.abc import Iterator

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.messages import MSG_USER
from wx_datacube.catalog.model import REF_DATE, Column, Endpoint
from wx_datacube.catalog.periods import SETTLED_HOUR
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.sql import FIRST_DAY, GOOD_ANSWER, NEXT_LABEL

_INTEGER = "'-?[0-9]+'"


def load_calls(con: Connection, first: int, last: int, account: str | None = None) -> int:
    """Load the calls `first` to `last` of the ledger, both included, into the tables, in the caller's transaction.

    `account` restricts this to one account. Each call must be loaded once, after all earlier ones. Returns the number
    of accepted rows.
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


def _load_answers(con: Connection, endpoint: Endpoint) -> int:
    """Load the batch's answers from the temporary table `answer`; return the number of accepted rows."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE item AS {_items(endpoint)}")
    con.execute(
        "INSERT INTO datacube.rejected_rows BY NAME"
        f" SELECT account, '{endpoint.name}' AS endpoint, call_id, item AS row, reason"
        " FROM item WHERE reason IS NOT NULL ORDER BY call_id, pos"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE covered AS {_label_coverage(endpoint)}")
    con.execute(_new_rows(endpoint))
    # Most labels are answered for only once. Only the others have earlier answers to merge with.
    if con.execute("SELECT 1 FROM covered WHERE again LIMIT 1").fetchall():
        con.execute(f"CREATE OR REPLACE TEMP TABLE key_history AS {_key_history(endpoint)}")
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


# A body with two lists or two errcodes is ambiguous.
_READABLE = """json_type(body, '$.list') = 'ARRAY'
    AND len(list_filter(json_keys(body), lambda name: name = 'list')) = 1
    AND len(list_filter(json_keys(body), lambda name: name = 'errcode')) <= 1"""


def _answers(endpoint: Endpoint) -> str:
    """Return a SELECT of the batch's good answers: objects with exactly one `list`, which is an array, and no error."""
    return f"""
FROM (
    SELECT call_id, account, begin_date, end_date, asked, refresh, requested_at, TRY_CAST(response AS JSON) AS body
    FROM datacube.api_calls
    WHERE call_id BETWEEN $first AND $last AND endpoint = '{endpoint.name}' AND account = coalesce($account, account)
        AND {GOOD_ANSWER}
) WHERE {_READABLE}"""


def unreadable_calls(con: Connection, account: str | None = None) -> list[int]:
    """Return the calls whose answer was good when it came but can't be read any more; no table has rows of them."""
    good = (
        f"SELECT call_id, TRY_CAST(response AS JSON) AS body FROM datacube.api_calls WHERE {GOOD_ANSWER}"
        " AND account = coalesce($account, account)"
    )
    found = con.execute(
        f"SELECT call_id FROM ({good}) WHERE coalesce(NOT ({_READABLE}), true) ORDER BY call_id", {"account": account}
    )
    return [call_id for (call_id,) in found.fetchall()]


def _items(endpoint: Endpoint) -> str:
    """Return a SELECT of every row of every answer: its typed fields, its label, and why it is rejected, or NULL."""
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
        CASE WHEN {" AND ".join(map(_is_valid, endpoint.columns))} AND {_no_duplicate_fields(endpoint)}
                AND ref_date BETWEEN greatest(begin_date, {FIRST_DAY}) AND end_date
                AND date_trunc('{period}', ref_date) = ref_date THEN NULL
            WHEN {" OR ".join(_missing(column) for column in endpoint.columns if column.required)}
                THEN 'missing_field'
            WHEN {" OR ".join(map(_wrong_type, endpoint.columns))} THEN 'wrong_type'
            WHEN {" OR ".join(map(_bad_value, endpoint.columns))} OR {_has_duplicate_field(endpoint.columns)}
                THEN 'bad_value'
            WHEN ref_date < {FIRST_DAY} THEN 'before_2014_12_01'
            WHEN ref_date NOT BETWEEN begin_date AND end_date THEN 'outside_window'
            WHEN date_trunc('{period}', ref_date) <> ref_date THEN 'wrong_label' END AS fault,
        -- The label is unknown if the date isn't in WeChat's form, or if the row has two dates.
        CASE WHEN {_is_valid(REF_DATE)}
            AND ({_no_duplicate_fields(endpoint)} OR NOT {_has_duplicate_field((REF_DATE,))})
            THEN date_trunc('{period}', ref_date)::DATE END AS label
    FROM typed
)
SELECT * EXCLUDE (fault), CASE
    WHEN fault IS NULL AND row_number() OVER (PARTITION BY call_id, fault, {_names(endpoint.key)} ORDER BY pos) > 1
    THEN 'duplicate_key' ELSE fault END AS reason
FROM judged"""


def _cast(column: Column) -> str:
    """Return SQL for the field's value; one that doesn't fit becomes NULL, or something that `_is_valid` detects."""
    if column is REF_DATE:
        return f"TRY_CAST(field.{column.name}[2:-2] AS DATE)"
    return f"TRY_CAST(field.{column.name} AS BIGINT)"


def _is_valid(column: Column) -> str:
    """Return SQL for whether the field is valid in every respect; it is cheap, since it runs for every row."""
    name = column.name
    if column is REF_DATE:
        # The length is checked because DuckDB accepts the year 99999 too.
        return f"coalesce('\"' || {name} || '\"' = field.{name} AND length(field.{name}) = 12, false)"
    step = f" AND {name} % {column.step} = 0" if column.step > 1 else ""
    same = f"{name}::VARCHAR = field.{name} AND {name} BETWEEN {column.low} AND {column.high}{step}"
    return f"coalesce({same}, false)" if column.required else f"coalesce({same}, field.{name} IS NULL)"


def _no_duplicate_fields(endpoint: Endpoint) -> str:
    """Return SQL for whether the row has as many keys as known fields, so that no field can be there twice."""
    return f"len(json_keys(item)) = {' + '.join(f'(field.{c.name} IS NOT NULL)::INTEGER' for c in endpoint.columns)}"


def _missing(column: Column) -> str:
    return f"(field.{column.name} IS NULL AND NOT coalesce(json_exists(item, '$.{column.name}'), false))"


def _wrong_type(column: Column) -> str:
    right = f"starts_with(field.{column.name}, '\"')"
    if column is not REF_DATE:
        right = f"regexp_full_match(field.{column.name}, {_INTEGER})"
    # `_missing` is tested first: a required field that is NULL here is a JSON null. An optional one may be absent.
    return f"NOT coalesce({right}, {not column.required})"


def _bad_value(column: Column) -> str:
    name = column.name
    if column is REF_DATE:
        return f"NOT {_is_valid(column)}"
    bad = f"coalesce({name} NOT BETWEEN {column.low} AND {column.high} OR {name} % {column.step} <> 0, true)"
    return f"(field.{name} IS NOT NULL AND {bad})"


def _has_duplicate_field(columns: tuple[Column, ...]) -> str:
    """Return SQL for whether one of the fields occurs twice in a row, which makes it ambiguous."""
    names = ", ".join(f"'{column.name}'" for column in columns)
    known = f"list_filter(json_keys(item), lambda name: name IN ({names}))"
    return f"len({known}) <> len(list_distinct({known}))"


# --- labels that the answers cover ------------------------------------------------------------------------------


def _label_coverage(endpoint: Endpoint) -> str:
    """Return a SELECT with one row for each answer and label in its window: what the answer shows for the label.

    Its columns say how many rows the answer has, whether it is settled and clean, and what is known from before.
    """
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
        -- A rejected row without a valid date may belong to any label of the window.
        NOT EXISTS (FROM apart WHERE apart.call_id = labels.call_id
            AND (apart.label = labels.label OR apart.label IS NULL)) AS clean,
        refresh AND list_contains(asked, labels.label) AS refreshed
    FROM labels LEFT JOIN seen ON seen.call_id = labels.call_id AND seen.label = labels.label
    WHERE labels.label >= begin_date AND labels.label >= {FIRST_DAY} AND labels.label + {step} <= requested_at
)
SELECT worth.* REPLACE (refreshed AND worth.settled AND worth.clean AS refreshed),
    -- The first figures of a label aren't revisions: WeChat may have published them late.
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
    """Return an INSERT of the rows of labels that have no earlier answer and only one in the batch."""
    columns = _names(endpoint.columns)
    return f"""
INSERT INTO datacube.{endpoint.name} BY NAME
SELECT item.account, {columns}, item.call_id
FROM item JOIN covered ON covered.call_id = item.call_id AND covered.label = item.ref_date
WHERE reason IS NULL AND NOT again ORDER BY item.account, {_names(endpoint.key)}"""


# --- the history of each key ------------------------------------------------------------------------------------


def _key_history(endpoint: Endpoint) -> str:
    """Return a SELECT with the history of each key: first what the tables hold, then one row for each new answer.

    `figures` is NULL if the answer lacks the key. An answer that lacks the key counts only if it was made after the
    label had settled and has no rejected rows of the label. `stored` is what the table holds after the answer: an
    absent row never overwrites a stored one, except in a refresh. `brought` is the call that `stored` came from.
    """
    keys = _names(endpoint.key)
    whole = f"PARTITION BY account, {keys} ORDER BY call_id"
    epoch = f"PARTITION BY account, {keys}, epoch ORDER BY call_id"
    return f"""
WITH {_observations(endpoint)}, epochs AS (
    SELECT *, count(*) FILTER (removed) OVER ({whole}) AS epoch, lag(figures) OVER ({whole}) AS figures_before
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


def _observations(endpoint: Endpoint) -> str:
    """Return parts of a WITH that end in `observed`: what the table holds for each key, and what each answer showed."""
    keys = _names(endpoint.key)
    packed = (
        "struct_pack(" + ", ".join(f"{column.name} := {column.name}::{column.type}" for column in endpoint.values) + ")"
    )
    return f"""
labels AS (
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
)"""


def _revisions(endpoint: Endpoint, field: Column) -> str:
    """Return a SELECT of one field's revisions: changed values and, for required fields, new and vanished rows."""
    keys, name = _names(endpoint.key), field.name
    appeared = "(figures_before IS NULL AND figures IS NOT NULL AND known_before)" if field.required else "false"
    vanished = "(figures IS NULL AND figures_before IS NOT NULL)" if field.required else "false"
    return f"""
SELECT account, '{endpoint.name}' AS endpoint, {keys}, '{name}' AS field, figures_before.{name} AS old,
    figures.{name} AS new, requested_at AS seen_at,
    CASE WHEN figures_before IS NULL THEN previous_call_id ELSE brought_before END AS old_call_id,
    call_id AS new_call_id
FROM key_history
WHERE fresh AND ({appeared} OR {vanished} OR (figures_before IS NOT NULL AND figures IS NOT NULL
    AND figures_before.{name} IS DISTINCT FROM figures.{name}))
ORDER BY call_id, {keys}"""


def _replace_rows(endpoint: Endpoint) -> Iterator[str]:
    """Yield statements that rewrite the labels in which something changed, and no others."""
    keys = _names(endpoint.key)
    yield """
CREATE OR REPLACE TEMP TABLE touched AS
SELECT DISTINCT account, ref_date FROM key_history
WHERE fresh AND (removed OR figures IS NOT NULL AND figures IS DISTINCT FROM stored_before)"""
    yield (
        f"DELETE FROM datacube.{endpoint.name} AS rows USING touched"
        " WHERE rows.account = touched.account AND rows.ref_date = touched.ref_date"
    )
    yield f"""
INSERT INTO datacube.{endpoint.name} BY NAME
SELECT account, {keys}, {", ".join(f"stored.{column.name}" for column in endpoint.values)}, brought AS call_id
FROM (FROM key_history SEMI JOIN touched USING (account, ref_date)
    QUALIFY row_number() OVER (PARTITION BY account, {keys} ORDER BY call_id DESC) = 1)
WHERE stored IS NOT NULL ORDER BY account, {keys}"""
