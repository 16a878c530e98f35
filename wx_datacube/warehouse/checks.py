"""Checks: questions about whether the stored figures can be trusted, each one SELECT that names what is wrong.

Add a check to `CHECKS`; it then belongs to every endpoint's asset. Each is judged on the answers now in force for
the labels of an account, so that a clean refresh heals it. How Dagster shows them is the business of `orchestration`.
"""

from dataclasses import dataclass

import duckdb

from wx_datacube.catalog import HISTORY_START, Endpoint


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its name: what it guards, how grave a failure is, and the SQL that lists what is wrong.

    `sql` selects `ref_date, begin_date, end_date, what`, with `{table}`, `$account` and `$endpoint` to fill in.
    """

    name: str
    description: str
    grave: bool
    sql: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: the date it is about, the window of the call that brought it, and the row or the numbers."""

    ref_date: str
    begin: str
    end: str
    what: str


_REJECTED = """
SELECT rejected.row->>'$.ref_date' AS ref_date, begin_date, end_date, rejected.row::VARCHAR AS what
FROM datacube.rejected_rows AS rejected JOIN datacube.api_calls USING (account, endpoint, call_id)
WHERE account = $account AND endpoint = $endpoint AND reason = '{reason}'
    AND call_id IN (SELECT call_id FROM datacube.label_answers WHERE account = $account AND endpoint = $endpoint)
"""

CHECKS = (
    Check(
        f"no_data_before_{HISTORY_START:%Y_%m_%d}",
        f"WeChat sent no rows dated before {HISTORY_START}, which by its own words are unreliable dirty data; such rows"
        " are set apart in datacube.rejected_rows."
        " 没有早于 2014-12-01 的数据:微信说明此类数据不可靠,已另存,不进入数据表。",
        False,
        f"""{_REJECTED.format(reason="before_2014_12_01")}
UNION ALL
SELECT ref_date::VARCHAR, ref_date, ref_date, 'in the table' FROM {{table}}
WHERE account = $account AND ref_date < DATE '{HISTORY_START}'""",
    ),
    Check(
        "keys_are_unique",
        "No answer held the same key twice (the first such row is stored, later ones are set apart), and no key is in"
        " the table twice. 主键唯一:同一返回中重复的行已另存。",
        True,
        f"""{_REJECTED.format(reason="duplicate_key")}
UNION ALL
SELECT ref_date::VARCHAR, ref_date, ref_date, count(*) || ' times in the table' FROM {{table}}
WHERE account = $account GROUP BY {{keys}} HAVING count(*) > 1""",
    ),
)


def run_check(con: duckdb.DuckDBPyConnection, check: Check, account: str, endpoint: Endpoint) -> list[Finding]:
    """Everything that the check finds wrong for an account's endpoint, newest first; nothing when it passes."""
    keys = ", ".join(column.name for column in endpoint.key)
    sql = check.sql.replace("{table}", f"datacube.{endpoint.name}").replace("{keys}", keys)
    found = con.execute(f"{sql} ORDER BY 3 DESC, 1", {"account": account, "endpoint": endpoint.name})
    return [Finding(*(str(value) for value in row)) for row in found.fetchall()]
