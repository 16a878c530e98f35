"""Answers: checks of single answers, for rejected rows, changed figures, and unknown codes and fields.

Add a check here if it needs only the current answers for the labels. Checks that compare figures with other tables are
in `sums`. Checks for missing data are in `arrival`.
"""

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Column, Endpoint, Relation
from wx_datacube.language import Text
from wx_datacube.warehouse.checks.check import Check, CheckContext, Finding, Remedy
from wx_datacube.warehouse.sql import GOOD_ANSWER, names, quoted

# The path of a nested row begins with that of the row of the answer's list that holds it, which has the date.
_DATE = """coalesce(rejected.row->>'$.ref_date',
    json_extract_string(response, regexp_extract(path, '^[^\\]]*\\]') || '.ref_date'))"""
_REJECTED = f"""
SELECT {_DATE} AS ref_date, struct_pack(sent := coalesce(path || ' ', '') || rejected.row::VARCHAR), $endpoint,
    begin_date, end_date
FROM datacube.rejected_rows AS rejected JOIN datacube.api_calls USING (account, endpoint, call_id)
WHERE account = $account AND endpoint = $endpoint AND reason = '{{reason}}'
    AND EXISTS (FROM datacube.label_answers AS answer WHERE answer.account = $account
        AND answer.endpoint = $endpoint AND answer.call_id = rejected.call_id AND {{in_force}})
"""


_ROW = Text("{sent}", "{sent}")
"""A row as WeChat sent it."""
_IN_THE_TABLE = Text("in the table", "已在数据表中")
_TIMES = Text("{times} times in {table}", "{table} 中有 {times} 行主键相同")
_SUSPECT = Text("{endpoint} was fetched before {day} was revised", "获取 {endpoint} 之后，微信又修改了 {day} 的数据")
_UNKNOWN_FIELD = Text("field {name} in {answers} of the newest answers", "最近的返回中有 {answers} 次含未知字段 {name}")
UNKNOWN_CODE = Text(
    "{column} {code} in {rows} rows since {since}", "{column} 的值 {code} 未知，自 {since} 起共 {rows} 行"
)


def _find_before_history(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    # Such a row belongs to no label that is requested: it counts while its call is the current answer for any label.
    rejected = _REJECTED.format(reason="before_2014_12_01", in_force="true")
    stored = f"""
SELECT ref_date::VARCHAR, struct_pack(day := ref_date), $endpoint, ref_date, ref_date FROM datacube.{endpoint.name}
WHERE account = $account AND ref_date < DATE '{HISTORY_START}'"""
    found = context.findings(endpoint, rejected, _ROW.fill)
    return found + context.findings(endpoint, stored, _IN_THE_TABLE.fill)


def _find_duplicate_keys(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    rejected = _REJECTED.format(reason="duplicate_key", in_force=f"answer.label::VARCHAR = {_DATE}")
    stored = " UNION ALL ".join(map(_keys_twice_in, endpoint.relations))
    return context.findings(endpoint, rejected, _ROW.fill) + context.findings(endpoint, stored, _TIMES.fill)


def _keys_twice_in(table: Relation) -> str:
    """Return a SELECT of the keys that occur twice in a table.

    A label's rows are written together and in key order. If they are still in that order, no key occurs twice. Grouping
    half a million hours by their keys takes nearly twice as long.
    """
    keys = [column.name for column in table.key]
    before = ", ".join(f'lag("{key}") OVER () AS {key}_before' for key in keys)
    return f"""
SELECT ref_date::VARCHAR, struct_pack(times := count(*), "table" := '{table.name}'), $endpoint, ref_date, ref_date
FROM datacube.{table.name} SEMI JOIN (
    SELECT ref_date FROM (
        SELECT {names(table.key)}, {before} FROM datacube.{table.name} WHERE account = $account
    )
    WHERE ref_date IS DISTINCT FROM ref_date_before OR ({names(table.key)}) <= ({"_before, ".join(keys)}_before)
    GROUP BY ref_date HAVING count(*) > 1
) USING (ref_date)
WHERE account = $account GROUP BY {names(table.key)} HAVING count(*) > 1"""


def _find_revised(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    """Find figures that the current answer changed, and labels that a revised day makes suspect.

    If a day was revised after its hours, distribution, week or month were fetched, those may be wrong too.
    """
    suspects = [_suspect_labels(each) for each in ENDPOINTS if each.days and endpoint.name in (each.name, each.days)]
    found = context.findings(endpoint, _REVISED, _revision)
    return found + (context.findings(endpoint, " UNION ALL ".join(suspects), _SUSPECT.fill) if suspects else [])


# A change that a refresh of the label showed is left out: the refresh confirms it.
_REVISED = """
SELECT ref_date::VARCHAR,
    struct_pack(
        field := field,
        of := concat_ws(' ', msgid, stat_date, scene_desc, 'position ' || position),
        old := coalesce(old::VARCHAR, old_rate::VARCHAR, old_text),
        new := coalesce(new::VARCHAR, new_rate::VARCHAR, new_text)
    ),
    $endpoint, ref_date, ref_date
FROM datacube.revisions AS revision JOIN datacube.label_answers AS answer USING (account, endpoint)
WHERE account = $account AND endpoint = $endpoint AND label = ref_date AND answer.call_id = new_call_id
    AND NOT EXISTS (FROM datacube.api_calls AS call WHERE call.call_id = new_call_id AND refresh
        AND list_contains(asked, ref_date))"""


def _revision(field: str, of: str, old: str | None, new: str | None) -> Text:
    """Describe a changed figure; `of` says of which row, if WeChat's field alone doesn't."""
    figure = Text("{field} of {of}", "{of} 的 {field}", field=field, of=of) if of else field
    before, after = (Text("absent", "无") if each is None else each for each in (old, new))
    return Text("{figure} {old} -> {new}", "{figure}：{old} → {new}", figure=figure, old=before, new=after)


def _suspect_labels(endpoint: Endpoint) -> str:
    label = f"date_trunc('{endpoint.period.value}', ref_date)::DATE"
    return f"""
SELECT DISTINCT label::VARCHAR, struct_pack(endpoint := '{endpoint.name}', day := ref_date),
    '{endpoint.name}', label, label
FROM datacube.revisions AS revision JOIN datacube.label_answers AS answer
    ON answer.account = revision.account AND answer.endpoint = '{endpoint.name}' AND answer.label = {label}
WHERE revision.account = $account AND revision.endpoint = '{endpoint.days}'
    AND $endpoint IS NOT NULL AND answer.call_id < revision.new_call_id"""


_CHECKED_ANSWERS = 10
"""Number of newest answers whose fields are checked: WeChat adds a field to all new answers, not to old ones."""


def _find_unknown(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    """Find codes that the catalog has no word for, a `user_source` other than 0, and fields without a column."""
    newest = context.con.execute(
        "SELECT DISTINCT call_id FROM datacube.label_answers WHERE account = $account AND endpoint = $endpoint"
        f" ORDER BY call_id DESC LIMIT {_CHECKED_ANSWERS}",
        {"account": context.account.name, "endpoint": endpoint.name},
    ).fetchall()
    fields = _unknown_fields(endpoint, newest[-1][0] if newest else 0)
    columns = [(table, each) for table in endpoint.relations for each in table.fields if each.codes]
    # Scenes, which are texts, have a check of their own.
    codes = [unknown_code(table, each) for table, each in columns if each.type != "VARCHAR"]
    found = context.findings(endpoint, fields, _UNKNOWN_FIELD.fill)
    return found + (context.findings(endpoint, " UNION ALL ".join(codes), UNKNOWN_CODE.fill) if codes else [])


def unknown_code(table: Relation, column: Column) -> str:
    """Return a SELECT of a column's codes without words, for `UNKNOWN_CODE`."""
    name, known = column.name, ", ".join(quoted(code) for code, _ in column.codes)
    return f"""
SELECT max(ref_date)::VARCHAR,
    struct_pack("column" := '{name}', code := {name}::VARCHAR, rows := count(*), since := min(ref_date)),
    $endpoint, min(ref_date), max(ref_date)
FROM datacube.{table.name} WHERE account = $account AND {name} NOT IN ({known}) GROUP BY {name}"""


def _unknown_fields(endpoint: Endpoint, since: int) -> str:
    """Return a SELECT of unknown fields in the call `since` and later ones.

    `since` is a constant in the SQL, which saves DuckDB from unpacking older bodies.
    """
    envelope = ["list", "errcode", "errmsg", *(["is_delay"] if endpoint.has_delay else [])]
    rows = ", ".join(_nested_rows(table) for table in endpoint.relations)
    keys = " UNION ALL ".join(_keys_of(endpoint, table) for table in endpoint.relations)
    return f"""
WITH newest AS (
    SELECT call_id, begin_date, end_date, TRY_CAST(response AS JSON) AS body FROM datacube.api_calls
    WHERE call_id >= {since} AND account = $account AND endpoint = $endpoint AND {GOOD_ANSWER}
), {rows}, fields AS (
    SELECT * EXCLUDE (body), unnest(json_keys(body)) AS name, {envelope} AS known FROM newest
    WHERE json_type(body) = 'OBJECT'
    UNION ALL {keys}
)
SELECT max(end_date)::VARCHAR, struct_pack(name := name, answers := count(DISTINCT call_id)), $endpoint,
    min(begin_date), max(end_date)
FROM fields WHERE NOT list_contains(known, name) GROUP BY name"""


def _nested_rows(table: Relation) -> str:
    """Return a part of a WITH that has the items of a table's lists, whatever they are."""
    source, item = (f"{table.parent.name}_rows", "item") if table.parent else ("newest", "body")
    return f"""{table.name}_rows AS (
    SELECT call_id, begin_date, end_date, unnest({item}->'$.{table.list_path}[*]') AS item FROM {source}
)"""


def _keys_of(endpoint: Endpoint, table: Relation) -> str:
    """Return a SELECT of the keys of a table's items, and of the objects that are folded into its rows."""
    known = table.known_fields
    known[""] += endpoint.unstored if table.parent is None else ()
    return " UNION ALL ".join(
        f"SELECT call_id, begin_date, end_date, unnest(json_keys({text})), {fields} FROM {table.name}_rows"
        f" WHERE json_type({text}) = 'OBJECT'"
        for text, fields in ((f"item->'$.{inside}'" if inside else "item", fields) for inside, fields in known.items())
    )


NO_DATA_BEFORE_HISTORY = Check(
    f"no_data_before_{HISTORY_START:%Y_%m_%d}",
    f"WeChat sent no rows dated before {HISTORY_START}, which WeChat documents as unreliable; such rows are kept in"
    " datacube.rejected_rows."
    " 没有早于 2014-12-01 的数据：微信说明此类数据不可靠，已剔除并保存在 datacube.rejected_rows 中。",
    _find_before_history,
)
FIGURES_WERE_NOT_REVISED = Check(
    "figures_were_not_revised",
    "WeChat's current answer changed no stored figure, and no day was revised after its hours, distribution, week or"
    " month were fetched; changes are in datacube.revisions. 微信没有修改已保存的数据；修改记录见 datacube.revisions。",
    _find_revised,
)
KEYS_ARE_UNIQUE = Check(
    "keys_are_unique",
    "No answer has two rows with the same key (the first one is stored, the others are rejected), and no key is in the"
    " table twice. 主键唯一：同一返回中主键重复的行只保留第一条，其余剔除。",
    _find_duplicate_keys,
    is_error=True,
)
CODES_AND_FIELDS_ARE_KNOWN = Check(
    "codes_and_fields_are_known",
    "WeChat sent no code that isn't in the catalog, no undocumented user_source other than 0, and no field without a"
    " column in recent answers."
    " 没有未知的代码或字段。",
    _find_unknown,
    remedy=Remedy(
        Text(
            "Nothing is lost: such codes are counted and shown as other (N), and such fields stay in"
            " datacube.api_calls. WeChat has changed something: upgrade wx_datacube, or report it, so that the code can"
            " be added to the catalog.",
            "数据没有丢失；微信有所变更，请升级 wx_datacube 或向我们反馈。",
        ),
    ),
)
