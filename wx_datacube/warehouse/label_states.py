"""Label states: the queries that derive the state of every due label from answers and stored rows.

`datacube.coverage` and the queries of the module `coverage` are built from them. Add a rule here if it decides whether
a label is due, landed, empty, implied or missing. Nothing here runs a query.
"""

from collections.abc import Sequence

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.warehouse.sql import BEIJING_NOW, FIRST_DAY, NEXT_LABEL, quoted


def coverage_select() -> str:
    """Return the SELECT of `datacube.coverage`: every due label's state and its number of stored rows."""
    stored = " UNION ALL ".join(
        f"SELECT account, '{each.name}' AS endpoint, ref_date AS label, count(*) AS stored"
        f" FROM datacube.{each.name} GROUP BY account, ref_date"
        for each in ENDPOINTS
    )
    return f"""
SELECT account, endpoint, label, state, coalesce(stored, 0) AS "rows", fetched_at, call_id, final
FROM ({states_select()}) LEFT JOIN ({stored}) USING (account, endpoint, label)"""


def states_select(
    accounts: str = "datacube.accounts",
    now: str = BEIJING_NOW,
    endpoint: Endpoint | None = None,
    account_filter: str = "true",
) -> str:
    """Return a SELECT of every due label's state at the time `now`.

    `accounts` is a relation (`account, start_date, families`). `account_filter` is a condition on `account` that holds
    for all of `accounts`; pass one if the file has many other accounts. It may limit `label` too. The SELECT for one
    `endpoint` costs half.
    """
    return f"""
WITH {_label_states(accounts, now, endpoint, account_filter)}
SELECT account, endpoint, label, coalesce(state, 'missing') AS state, fetched_at, call_id,
    state IS NOT NULL AND coalesce(final, true) AS final
FROM due LEFT JOIN label_state USING (account, endpoint, label)
"""


def summary_select(accounts: str, now: str, account_filter: str) -> str:
    """Return a SELECT of each endpoint's due labels counted by state, with the newest landed one and the gaps.

    Each gap is its first and last label. The parameters are those of `states_select`. Due labels and answers are only
    compared one by one for endpoints with missing labels.
    """
    number = " ".join(
        f"WHEN '{each.name}' THEN date_diff('{each.period.value}', {FIRST_DAY}, label)" for each in ENDPOINTS
    )
    return f"""
WITH {_label_states(accounts, now, None, account_filter)},
wanted AS (
    SELECT account, endpoint, count(*) AS due, min(label) AS "first", max(label) AS "last" FROM due GROUP BY ALL
),
counted AS (
    SELECT wanted.account, wanted.endpoint, due, count(*) FILTER (state = 'landed') AS landed,
        count(*) FILTER (state = 'empty') AS "empty", count(*) FILTER (state = 'implied') AS implied,
        due - landed - "empty" - implied AS missing,
        count(*) FILTER (state = 'landed' AND NOT final) AS not_final,
        max(label) FILTER (state = 'landed') AS last_landed,
        min(label) FILTER (state IN ('landed', 'empty') AND fetched_at < (SELECT yesterday FROM moment)) AS reached
    FROM wanted LEFT JOIN label_state
        ON label_state.account = wanted.account AND label_state.endpoint = wanted.endpoint
            AND label BETWEEN "first" AND "last"
    GROUP BY wanted.account, wanted.endpoint, due
),
lacking AS (SELECT account, endpoint FROM counted WHERE missing > 0),
missing AS (
    FROM (FROM due SEMI JOIN lacking USING (account, endpoint))
    ANTI JOIN (FROM label_state SEMI JOIN lacking USING (account, endpoint) WHERE state IS NOT NULL)
        USING (account, endpoint, label)
),
gaps AS (
    SELECT account, endpoint, min(label) AS "first", max(label) AS "last"
    FROM (
        SELECT account, endpoint, label, CASE endpoint {number} END
            - row_number() OVER (PARTITION BY account, endpoint ORDER BY label) AS island
        FROM missing
    ) GROUP BY account, endpoint, island
),
listed AS (
    SELECT account, endpoint, list(["first", "last"] ORDER BY "first") AS gaps FROM gaps GROUP BY account, endpoint
)
SELECT counted.*, coalesce(gaps, []) AS gaps FROM counted LEFT JOIN listed USING (account, endpoint)
"""


def _label_states(accounts: str, now: str, endpoint: Endpoint | None, account_filter: str) -> str:
    """Return parts of a WITH: the relations `due` (all due labels) and `label_state` (states derived from answers).

    States come from answers. Rows are only looked up where the current answer shows none, so neither stored rows nor
    other accounts cost time. For one `endpoint`, only its own answers and those of the endpoint of its days are read,
    since days confirm, contradict or imply its empty labels.
    """
    wanted = [each for each in ENDPOINTS if endpoint is None or each.name in (endpoint.name, endpoint.days)]
    alike: dict[tuple[object, ...], list[Endpoint]] = {}
    for each in wanted:
        alike.setdefault((each.period, each.family, each.first_day), []).append(each)
    due = " UNION ALL ".join(_due_select(accounts, endpoints) for endpoints in alike.values())
    return f"""
moment AS (
    SELECT CAST({now} AS TIMESTAMP) AS instant, date_trunc('day', instant) - INTERVAL 1 DAY AS yesterday
),
due AS ({due}),
answer AS (
    SELECT account, endpoint, label, fetched_at, call_id, shown, settled AND clean AS sure, final
    FROM datacube.label_answers
    WHERE endpoint IN ({", ".join(quoted(each.name) for each in wanted)}) AND {account_filter}
),
quiet AS (SELECT account, endpoint, label, fetched_at, call_id, sure, final FROM answer WHERE shown = 0),
kept AS ({_kept_select(wanted, account_filter)}),
silent AS (SELECT account, endpoint, label FROM quiet ANTI JOIN kept USING (account, endpoint, label) WHERE sure),
contradicted AS ({_contradicted_select(wanted, account_filter)}),
implied AS ({_implied_select(wanted)}),
-- Stored rows and days are looked up only for answers without rows, which are few.
label_state AS (
    SELECT account, endpoint, label, fetched_at, call_id, final, 'landed' AS state FROM answer WHERE shown > 0
    UNION ALL
    SELECT quiet.account, quiet.endpoint, quiet.label, quiet.fetched_at, quiet.call_id, quiet.final,
        CASE WHEN kept.label IS NOT NULL THEN 'landed' WHEN quiet.sure AND contradicted.label IS NULL THEN 'empty'
            WHEN implied.label IS NOT NULL THEN 'implied' END
    FROM quiet LEFT JOIN kept USING (account, endpoint, label) LEFT JOIN contradicted USING (account, endpoint, label)
    LEFT JOIN implied USING (account, endpoint, label)
    UNION ALL
    FROM (SELECT account, endpoint, label, NULL, NULL, true, 'implied' FROM implied)
    ANTI JOIN answer USING (account, endpoint, label)
)"""


def _kept_select(endpoints: Sequence[Endpoint], account_filter: str) -> str:
    """Return a SELECT of the answers without rows for labels that have rows in the tables all the same."""
    return " UNION ALL ".join(
        f"FROM quiet SEMI JOIN (SELECT account, ref_date AS label FROM datacube.{each.name} WHERE {account_filter})"
        f" USING (account, label) WHERE endpoint = '{each.name}'"
        for each in endpoints
    )


def _contradicted_select(endpoints: Sequence[Endpoint], account_filter: str) -> str:
    """Return a SELECT of the empty labels in whose period the endpoint of their days has figures."""
    found = [
        f"FROM silent SEMI JOIN (SELECT account, date_trunc('{each.period.value}', ref_date)::DATE AS label"
        f" FROM datacube.{each.days} WHERE {BY_NAME[each.days].volume} > 0 AND {account_filter}) USING (account, label)"
        f" WHERE endpoint = '{each.name}'"
        for each in endpoints
        if each.days
    ]
    return " UNION ALL ".join(found or ["SELECT account, endpoint, label FROM silent WHERE false"])


def _implied_select(endpoints: Sequence[Endpoint]) -> str:
    """Return a SELECT of the labels that a silent day implies."""
    found = [
        f"SELECT account, '{each.name}' AS endpoint, label FROM silent WHERE endpoint = '{each.days}'"
        for each in endpoints
        if each.implied_by_silence
    ]
    return " UNION ALL ".join(found or ["SELECT account, endpoint, label FROM silent WHERE false"])


def _due_select(accounts: str, endpoints: Sequence[Endpoint]) -> str:
    """Return a SELECT of the due labels of endpoints that have the same period, family and first day."""
    period, family, first_day = endpoints[0].period, endpoints[0].family, endpoints[0].first_day
    names, step = ", ".join(quoted(endpoint.name) for endpoint in endpoints), NEXT_LABEL[period]
    return f"""
    SELECT account, endpoint, label::DATE AS label
    FROM (
        SELECT account, unnest(generate_series(
            date_trunc('{period.value}', greatest(start_date, DATE '{first_day}'))::TIMESTAMP,
            instant - {step}, {step})) AS label
        FROM {accounts}, moment WHERE list_contains(families, '{family}')
    ), unnest([{names}]) AS names(endpoint)"""
