"""History: what the batch's answers change in a table, key by key, and which of it is a revision.

Add a rule here if it decides which value a table keeps, or what counts as a change by WeChat. The temporary table
`covered` (see `labels`) says which answers count.
"""

from collections.abc import Iterator

from wx_datacube.catalog.model import Column, Endpoint, Relation
from wx_datacube.warehouse.sql import names


def key_history(relation: Relation) -> str:
    """Return a SELECT with the history of each key: first what the tables hold, then one row for each new answer.

    `figures` is NULL if the answer lacks the key. An answer that lacks the key counts only if it was made after the
    label had settled and has no rejected rows of the label. `stored` is what the table holds after the answer: an
    absent row never overwrites a stored one, except in a refresh. `brought` is the call that `stored` came from.
    `vanished_before` says whether the last answer that counted lacked the key, and a revision says so.
    """
    keys = names(relation.key)
    whole = f"PARTITION BY account, {keys} ORDER BY call_id"
    epoch = f"PARTITION BY account, {keys}, epoch ORDER BY call_id"
    return f"""
WITH {_observations(relation)}, epochs AS (
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
SELECT *, lag(brought) OVER ({whole}) AS brought_before,
    figures_before IS NULL AND stored_before IS NOT NULL AS vanished_before
FROM dated"""


def _observations(relation: Relation) -> str:
    """Return parts of a WITH that end in `observed`: what the table holds for each key, and what each answer showed."""
    keys = names(relation.key)
    values = ", ".join(f'"{column.name}" := "{column.name}"::{column.type}' for column in relation.values)
    packed = f"struct_pack({values})" if values else "true"
    key_of = " AND ".join(f'shown."{column.name}" = keys."{column.name}"' for column in relation.key)
    return f"""
labels AS (
    SELECT DISTINCT account, label FROM covered WHERE again
), kept AS (
    SELECT rows.account, {", ".join(f'rows."{column.name}"' for column in relation.key)}, rows.call_id,
        {packed} AS figures
    FROM datacube.{relation.name} AS rows SEMI JOIN labels
        ON labels.account = rows.account AND labels.label = rows.ref_date
), last_revision AS (
    SELECT account, {keys}, max(new_call_id) AS call_id, arg_max({_IS_GONE}, new_call_id) AS vanished
    FROM datacube.revisions SEMI JOIN kept USING (account, {keys})
    WHERE relation = '{relation.name}' AND field = '{_witnesses(relation)[0].name}' GROUP BY account, {keys}
), shown AS (
    SELECT account, call_id, {keys}, {packed} AS figures
    FROM item_{relation.name} AS item
    SEMI JOIN labels ON labels.account = item.account AND labels.label = item.ref_date
    WHERE reason IS NULL
), keys AS (
    SELECT account, {keys} FROM kept UNION SELECT account, {keys} FROM shown
){_unsure(relation)}, observed AS (
    SELECT account, {keys}, call_id, figures, false AS removed, false AS fresh, true AS noted FROM kept
    UNION ALL BY NAME
    SELECT account, {keys}, call_id, NULL AS figures, false AS removed, false AS fresh, true AS noted
    FROM last_revision WHERE vanished
    UNION ALL BY NAME
    SELECT keys.*, covered.call_id, shown.figures, shown.figures IS NULL AND {_is_removed(relation)} AS removed,
        true AS fresh, shown.figures IS NOT NULL OR ({_is_absent(relation)}) AS noted, requested_at, known_before,
        final_before, undelayed_before, previous_call_id
    FROM keys
    JOIN covered ON covered.account = keys.account AND covered.label = keys.ref_date
    LEFT JOIN shown ON shown.call_id = covered.call_id AND shown.account = keys.account AND {key_of}
    WHERE shown.figures IS NOT NULL OR ({_is_absent(relation)}) OR {_is_removed(relation)}
)"""


_IS_GONE = "new IS NULL AND new_rate IS NULL AND new_text IS NULL"
"""SQL for whether a revision of a field that every row has says that the row vanished."""


def _unsure(relation: Relation) -> str:
    """Return further parts of the WITH for a nested table: where its parent is, and where rows were rejected.

    `unsure` holds the labels of answers with a rejected row of this table, `unsure_lists` also those with one of a
    table between this one and the endpoint's own.
    """
    if relation.parent is None:
        return ""
    above, between = relation.parent, []
    while above.parent is not None:
        between.append(above)
        above = above.parent
    rejected = "SELECT DISTINCT call_id, label FROM item_{} WHERE reason IS NOT NULL"
    lists = " UNION ".join(rejected.format(each.name) for each in (relation, *between))
    return f""", parents AS (
    SELECT account, call_id, {names(relation.parent.key)} FROM item_{relation.parent.name} WHERE reason IS NULL
), unsure AS ({rejected.format(relation.name)}), unsure_lists AS ({lists})"""


def _is_absent(relation: Relation) -> str:
    """Return SQL for whether the absence of the key in an answer means something.

    If the parent is absent too, that is the parent's change, and says nothing about its nested rows.
    """
    if relation.parent is None:
        return "covered.clean AND covered.settled"
    same = " AND ".join(f'parents."{each.name}" = keys."{each.name}"' for each in relation.parent.key)
    return f"""covered.settled AND {_is_in("unsure", negated=True)}
        AND EXISTS (FROM parents
            WHERE parents.account = keys.account AND parents.call_id = covered.call_id AND {same})"""


def _is_removed(relation: Relation) -> str:
    """Return SQL for whether a refresh removes an absent key."""
    return "refreshed" + (f" AND {_is_in('unsure_lists', negated=True)}" if relation.parent else "")


def _is_in(relation: str, *, negated: bool) -> str:
    return (
        f"{'NOT ' if negated else ''}EXISTS (FROM {relation}"
        f" WHERE {relation}.call_id = covered.call_id AND {relation}.label = covered.label)"
    )


def _witnesses(relation: Relation) -> tuple[Column, ...]:
    """Return the fields whose revisions say that a row appeared or vanished: those that every row has."""
    return relation.measures or relation.key[-1:]


def revisions(endpoint: Endpoint, relation: Relation) -> Iterator[str]:
    """Yield SELECTs of each field's revisions: changed values and, for fields of every row, new and vanished rows."""
    for field in dict.fromkeys((*relation.values, *_witnesses(relation))):
        yield _revisions(endpoint, relation, field)


_SUFFIX = {"DOUBLE": "_rate", "VARCHAR": "_text"}


def _revisions(endpoint: Endpoint, relation: Relation, field: Column) -> str:
    """Return a SELECT of one field's revisions.

    Rows that appear while a label is open, and what replaces a delayed figure, are growth, not revisions. A row that
    comes back after a revision said that it had vanished is a revision in any case.
    """
    keys, name, suffix = names(relation.key), field.name, _SUFFIX.get(field.type, "")
    happened, old, new = ["false"], f'figures_before."{name}"', f'figures."{name}"'
    if field in _witnesses(relation):
        happened = [
            "(figures_before IS NULL AND figures IS NOT NULL AND (known_before AND final_before OR vanished_before))",
            "(figures IS NULL AND figures_before IS NOT NULL AND noted)",
        ]
    if field.key:
        old, new = (f'CASE WHEN {each} IS NOT NULL THEN "{name}" END' for each in ("figures_before", "figures"))
    else:
        undelayed = " AND brought_before <= coalesce(undelayed_before, 0)" if endpoint.has_delay else ""
        happened.append(
            f"(figures_before IS NOT NULL AND figures IS NOT NULL AND {old} IS DISTINCT FROM {new}{undelayed})"
        )
    return f"""
SELECT account, '{endpoint.name}' AS endpoint, '{relation.name}' AS relation, {keys}, '{name}' AS field,
    {old} AS old{suffix}, {new} AS new{suffix}, requested_at AS seen_at,
    CASE WHEN figures_before IS NULL THEN previous_call_id ELSE brought_before END AS old_call_id,
    call_id AS new_call_id
FROM key_history WHERE fresh AND ({" OR ".join(happened)}) ORDER BY call_id, {keys}"""


def replace_rows(relation: Relation) -> Iterator[str]:
    """Yield statements that rewrite the labels in which something changed, and no others."""
    keys = names(relation.key)
    yield """
CREATE OR REPLACE TEMP TABLE touched AS
SELECT DISTINCT account, ref_date FROM key_history
WHERE fresh AND (removed OR figures IS NOT NULL AND figures IS DISTINCT FROM stored_before)"""
    yield (
        f"DELETE FROM datacube.{relation.name} AS rows USING touched"
        " WHERE rows.account = touched.account AND rows.ref_date = touched.ref_date"
    )
    yield f"""
INSERT INTO datacube.{relation.name} BY NAME
SELECT account, {keys}, {", ".join(f'stored."{column.name}"' for column in relation.values)}, brought AS call_id
FROM (FROM key_history SEMI JOIN touched USING (account, ref_date)
    QUALIFY row_number() OVER (PARTITION BY account, {keys} ORDER BY call_id DESC) = 1)
WHERE stored IS NOT NULL ORDER BY account, {keys}"""
