"""Items: the rows of the batch's answers, their typed fields, and why a row is rejected.

Bodies are read as JSON text and cast field by field, since typed `from_json` rounds 5.5 to 6 and turns values that
don't fit into NULL. Add a rule about rows here.
"""

from collections.abc import Iterable

from wx_datacube.catalog.model import REF_DATE, Column, Endpoint, Relation
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.sql import FIRST_DAY, GOOD_ANSWER, names

# A body with two lists or two errcodes is ambiguous.
_READABLE = """json_type(body, '$.list') = 'ARRAY'
    AND len(list_filter(json_keys(body), lambda name: name = 'list')) = 1
    AND len(list_filter(json_keys(body), lambda name: name = 'errcode')) <= 1"""


def answers(endpoint: Endpoint) -> str:
    """Return a SELECT of the batch's good answers: objects with exactly one `list`, which is an array, and no error."""
    delayed = "coalesce(lower(body->>'$.is_delay') = 'true', false)" if endpoint.has_delay else "false"
    return f"""
SELECT *, {delayed} AS delayed FROM (
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


def new_rows(relation: Relation) -> str:
    """Return an INSERT of the rows of labels that have no earlier answer and only one in the batch."""
    return f"""
INSERT INTO datacube.{relation.name} BY NAME
SELECT item.account, {names(relation.columns)}, item.call_id
FROM item_{relation.name} AS item
JOIN covered ON covered.call_id = item.call_id AND covered.label = item.ref_date
WHERE reason IS NULL AND NOT again ORDER BY item.account, {names(relation.key)}"""


def items(endpoint: Endpoint, relation: Relation) -> str:
    """Return a SELECT of every row of every answer: its typed fields, its label, and why it is rejected, or NULL.

    A nested row comes with the key of its parent. `place` orders the rows of a call, and `path` says where a row is.
    """
    objects = _objects(relation)
    inner = "".join(
        f", CASE WHEN json_type(field.{name}) = 'OBJECT' THEN from_json(field.{name}, '{_shape(relation, name)}') END"
        f" AS {name}_field"
        for name in objects
    )
    typed = ", ".join(f"{_cast(column)} AS {_quoted(column)}" for column in relation.fields)
    return f"""
WITH {_listed(relation)}, raw AS (
    SELECT *, CASE WHEN json_type(item) = 'OBJECT' THEN from_json(item, '{_shape(relation, "")}') END AS field
    FROM listed
), opened AS (
    SELECT *{inner} FROM raw
), typed AS (
    SELECT *, {typed} FROM opened
), judged AS (
    SELECT * EXCLUDE (field{"".join(f", {name}_field" for name in objects)}), {_fault(endpoint, relation)} AS fault,
        {_label(endpoint, relation)} AS label
    FROM typed
)
SELECT * EXCLUDE (fault), CASE
    WHEN fault IS NULL AND row_number() OVER (PARTITION BY call_id, fault, {names(relation.key)} ORDER BY place) > 1
    THEN 'duplicate_key' ELSE fault END AS reason
FROM judged"""


def _listed(relation: Relation) -> str:
    """Return parts of a WITH that end in `listed`: every item of the lists, and a list of a wrong type as an item."""
    parent = relation.parent
    if parent is None:
        path = "'$.list[' || (place - 1) || ']'" if relation.nested else "NULL"
        return f"""listed AS (
    SELECT *, {path} AS path, false AS is_no_list FROM (
        SELECT call_id, account, begin_date, end_date, unnest(body->'$.list[*]') AS item,
            generate_subscripts(body->'$.list[*]', 1) AS place
        FROM answer
    )
)"""
    field = relation.list_path
    keys, place = names(parent.key), "[place]" if parent.parent is None else "place"
    return f"""lists AS (
    SELECT call_id, account, {keys}, {place} AS parent_place, path || '.{field}' AS path, item->'$.{field}' AS list
    FROM item_{parent.name} WHERE reason IS NULL
), listed AS (
    SELECT call_id, account, {keys}, item, list_append(parent_place, number) AS place,
        path || '[' || (number - 1) || ']' AS path, false AS is_no_list
    FROM (SELECT *, unnest(list->'$[*]') AS item, generate_subscripts(list->'$[*]', 1) AS number FROM lists
        WHERE json_type(list) = 'ARRAY')
    UNION ALL BY NAME
    SELECT call_id, account, {keys}, list AS item, parent_place AS place, path, true AS is_no_list
    FROM lists WHERE json_type(list) NOT IN ('ARRAY', 'NULL')
)"""


def _shape(relation: Relation, inside: str) -> str:
    """Return the JSON shape of the fields that the item, or one of its objects, is known to have."""
    return "{" + ", ".join(f'"{name}": "JSON"' for name in relation.known_fields[inside]) + "}"


def _objects(relation: Relation) -> list[str]:
    """Return the names of the objects within an item whose fields are folded into the row."""
    return [name for name in relation.known_fields if name]


def _quoted(column: Column) -> str:
    return f'"{column.name}"'


def _raw(column: Column) -> str:
    """Return SQL for the field's JSON text."""
    return f'{column.inside}_field."{column.name}"' if column.inside else f'field."{column.name}"'


# --- why a row is rejected --------------------------------------------------------------------------------------


def _fault(endpoint: Endpoint, relation: Relation) -> str:
    """Return SQL for the first reason to reject a row, duplicate keys aside; NULL if there is none."""
    fields, period = relation.fields, endpoint.period.value
    places = [_outside_days(column) for column in fields if column.within_days is not None]
    if relation.parent is None:
        places = ["ref_date NOT BETWEEN begin_date AND end_date"]
    inside = " AND ".join(f"NOT ({place})" for place in places) or "true"
    accepted = f"NOT is_no_list AND {' AND '.join(map(_is_valid, fields))} AND {_no_duplicate_fields(relation)}"
    late = early = ""
    if relation.parent is None:
        inside += f" AND ref_date >= {FIRST_DAY} AND date_trunc('{period}', ref_date) = ref_date"
        early = f"WHEN ref_date < {FIRST_DAY} THEN 'before_2014_12_01'"
        late = f"WHEN date_trunc('{period}', ref_date) <> ref_date THEN 'wrong_label'"
    outside = "".join(f"WHEN {place} THEN 'outside_window' " for place in places)
    return f"""CASE WHEN {accepted} AND {inside} THEN NULL
            WHEN is_no_list THEN 'wrong_type'
            WHEN {" OR ".join(_missing(column) for column in fields if column.required)} THEN 'missing_field'
            WHEN {" OR ".join([*map(_wrong_type, fields), *map(_wrong_object, _objects(relation))])} THEN 'wrong_type'
            WHEN {" OR ".join(map(_bad_value, fields))} OR {_has_duplicate_field(relation)} THEN 'bad_value'
            {early} {outside} {late} END"""


def _label(endpoint: Endpoint, relation: Relation) -> str:
    """Return SQL for the label that a row is about; NULL if it is unknown."""
    if relation.parent is not None:
        return "ref_date"
    # The label is unknown if the date isn't in WeChat's form, or if the row has two dates.
    one_date = f"({_no_duplicate_fields(relation)} OR NOT {_is_twice('item', [REF_DATE.name])})"
    return (
        f"CASE WHEN {_is_valid(REF_DATE)} AND {one_date} THEN date_trunc('{endpoint.period.value}', ref_date)::DATE END"
    )


def _cast(column: Column) -> str:
    """Return SQL for the field's value; one that doesn't fit becomes NULL, or something that `_is_valid` detects."""
    raw = _raw(column)
    if column.type == "DATE":
        return f"TRY_CAST({raw}[2:-2] AS DATE)"
    if column.type == "VARCHAR":
        return f"({raw}->>'$')"
    return f"TRY_CAST({raw} AS {'DOUBLE' if column.type == 'DOUBLE' else 'BIGINT'})"


def _is_valid(column: Column) -> str:
    """Return SQL for whether the field is valid in every respect; it is cheap, since it runs for every row."""
    name, raw = _quoted(column), _raw(column)
    if column.type == "DATE":
        # The length is checked because DuckDB accepts the year 99999 too.
        return f"coalesce('\"' || {name} || '\"' = {raw} AND length({raw}) = 12, false)"
    if column.type in ("VARCHAR", "DOUBLE"):
        right = f"{_has_right_type(column)} AND NOT {_is_outside(column)}"
    else:
        step = f" AND {name} % {column.step} = 0" if column.step > 1 else ""
        right = f"{name}::VARCHAR = {raw} AND {name} BETWEEN {column.low} AND {column.high}{step}"
    return f"coalesce({right}, false)" if column.required else f"coalesce({right}, {raw} IS NULL)"


def _has_right_type(column: Column) -> str:
    if column.type in ("DATE", "VARCHAR"):
        return f"starts_with({_raw(column)}, '\"')"
    return f"regexp_{'matches' if column.type == 'DOUBLE' else 'full_match'}({_raw(column)}, '{_NUMBERS[column.type]}')"


_NUMBERS = {"INTEGER": "-?[0-9]+", "BIGINT": "-?[0-9]+", "DOUBLE": "^-?[0-9]"}
"""Patterns of JSON tokens: one that begins like a number is a number."""


def _is_outside(column: Column) -> str:
    """Return SQL for whether a value of the right type is outside the column's limits."""
    name = _quoted(column)
    if column.type == "VARCHAR":
        return f"coalesce({name} IS NULL, true)"
    bad = f"{name} NOT BETWEEN {column.low} AND {column.high}"
    bad += f" OR NOT isfinite({name})" if column.type == "DOUBLE" else f" OR {name} % {column.step} <> 0"
    return f"coalesce({bad}, true)"


def _no_duplicate_fields(relation: Relation) -> str:
    """Return SQL for whether the row has as many keys as known fields, so that no field can be there twice."""
    objects = [("", "item", "field"), *((name, f"field.{name}", f"{name}_field") for name in _objects(relation))]
    return " AND ".join(
        f"coalesce(len(json_keys({text})), 0) = "
        + " + ".join(f'({struct}."{name}" IS NOT NULL)::INTEGER' for name in relation.known_fields[inside])
        for inside, text, struct in objects
    )


def _missing(column: Column) -> str:
    place = ".".join(filter(None, (column.inside, column.name)))
    missing = f"{_raw(column)} IS NULL AND NOT coalesce(json_exists(item, '$.{place}'), false)"
    # If the object that should hold the field is none, that is a wrong type, not a missing field.
    return f"({missing} AND NOT {_wrong_object(column.inside)})" if column.inside else f"({missing})"


def _wrong_object(name: str) -> str:
    return f"coalesce(json_exists(item, '$.{name}') AND json_type(item, '$.{name}') <> 'OBJECT', false)"


def _wrong_type(column: Column) -> str:
    # `_missing` is tested first: a required field that is NULL here is a JSON null. An optional one may be absent.
    return f"NOT coalesce({_has_right_type(column)}, {not column.required})"


def _bad_value(column: Column) -> str:
    if column.type == "DATE":
        return f"NOT {_is_valid(column)}"
    return f"({_raw(column)} IS NOT NULL AND {_is_outside(column)})"


def _outside_days(column: Column) -> str:
    return f"{_quoted(column)} NOT BETWEEN ref_date AND ref_date + {column.within_days}"


def _has_duplicate_field(relation: Relation) -> str:
    """Return SQL for whether one of the known fields occurs twice in a row, which makes it ambiguous."""
    objects = [("", "item"), *((name, f"field.{name}") for name in _objects(relation))]
    return " OR ".join(_is_twice(text, relation.known_fields[inside]) for inside, text in objects)


def _is_twice(text: str, fields: Iterable[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in fields)
    known = f"list_filter(json_keys({text}), lambda name: name IN ({listed}))"
    return f"coalesce(len({known}) <> len(list_distinct({known})), false)"
