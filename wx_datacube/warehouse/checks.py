"""Checks: questions about whether the stored figures can be trusted, each one SELECT that names what is wrong.

Add a check to `CHECKS`; it then belongs to every endpoint's asset. Each is judged on the answers now in force for
the labels of an account, so that a clean refresh heals it. How Dagster shows them is the business of `orchestration`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from wx_datacube.catalog import ENDPOINTS, HISTORY_START, Endpoint


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its name: what it guards, how grave a failure is, and the SQL that lists what is wrong.

    `sql` makes, for an endpoint, a SELECT of the fields of `Finding` by `$account` and `$endpoint`.
    """

    name: str
    description: str
    grave: bool
    sql: Callable[[Endpoint], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: the date it is about, the row or the numbers, and what to ask again so that it may heal."""

    ref_date: str
    what: str
    endpoint: str
    begin: str
    end: str


_REJECTED = """
SELECT rejected.row->>'$.ref_date' AS ref_date, rejected.row::VARCHAR AS what, $endpoint, begin_date, end_date
FROM datacube.rejected_rows AS rejected JOIN datacube.api_calls USING (account, endpoint, call_id)
WHERE account = $account AND endpoint = $endpoint AND reason = '{reason}'
    AND EXISTS (FROM datacube.label_answers AS answer WHERE answer.account = $account
        AND answer.endpoint = $endpoint AND answer.call_id = rejected.call_id AND {in_force})
"""


def _dirty(endpoint: Endpoint) -> str:
    # Such a row belongs to no label that is asked for: it counts as long as its call is in force for any.
    return f"""{_REJECTED.format(reason="before_2014_12_01", in_force="true")}
UNION ALL
SELECT ref_date::VARCHAR, 'in the table', $endpoint, ref_date, ref_date FROM datacube.{endpoint.name}
WHERE account = $account AND ref_date < DATE '{HISTORY_START}'"""


def _doubled(endpoint: Endpoint) -> str:
    keys = ", ".join(column.name for column in endpoint.key)
    same_label = "answer.label::VARCHAR = (rejected.row->>'$.ref_date')"
    return f"""{_REJECTED.format(reason="duplicate_key", in_force=same_label)}
UNION ALL
SELECT ref_date::VARCHAR, count(*) || ' times in the table', $endpoint, ref_date, ref_date FROM datacube.{endpoint.name}
WHERE account = $account GROUP BY {keys} HAVING count(*) > 1"""


def _revised(endpoint: Endpoint) -> str:
    """Figures whose change the answer now in force showed, and labels that a change of a day made suspect.

    A day that was revised after its hours, distribution, week or month were fetched says that those may be wrong too.
    """
    own = """
SELECT ref_date::VARCHAR,
    field || ' ' || coalesce(old::VARCHAR, 'absent') || ' -> ' || coalesce(new::VARCHAR, 'absent'),
    $endpoint, ref_date, ref_date
FROM datacube.revisions AS revision JOIN datacube.label_answers AS answer USING (account, endpoint)
WHERE account = $account AND endpoint = $endpoint AND label = ref_date AND answer.call_id = new_call_id"""
    others = [each for each in ENDPOINTS if each is not ENDPOINTS[0]]
    suspects = [_suspect(each) for each in (others if endpoint is ENDPOINTS[0] else [endpoint])]
    return " UNION ALL ".join([own, *suspects])


def _suspect(endpoint: Endpoint) -> str:
    label = f"date_trunc('{endpoint.period.value}', ref_date)::DATE"
    return f"""
SELECT DISTINCT label::VARCHAR, '{endpoint.name} was fetched before ' || ref_date || ' was revised',
    '{endpoint.name}', label, label
FROM datacube.revisions AS revision JOIN datacube.label_answers AS answer
    ON answer.account = revision.account AND answer.endpoint = '{endpoint.name}' AND answer.label = {label}
WHERE revision.account = $account AND revision.endpoint = '{ENDPOINTS[0].name}'
    AND $endpoint IS NOT NULL AND answer.call_id < revision.new_call_id"""


CHECKS = (
    Check(
        f"no_data_before_{HISTORY_START:%Y_%m_%d}",
        f"WeChat sent no rows dated before {HISTORY_START}, which by its own words are unreliable dirty data; such rows"
        " are set apart in datacube.rejected_rows."
        " 没有早于 2014-12-01 的数据：微信说明此类数据不可靠，已另存，不进入数据表。",
        False,
        _dirty,
    ),
    Check(
        "figures_were_not_revised",
        "WeChat changed no figure with the answer now in force, and no day after its hours, distribution, week or month"
        " were fetched; changes are in datacube.revisions. 微信没有修改已保存的数据；修改记录见 datacube.revisions。",
        False,
        _revised,
    ),
    Check(
        "keys_are_unique",
        "No answer held the same key twice (the first such row is stored, later ones are set apart), and no key is in"
        " the table twice. 主键唯一：同一返回中重复的行已另存。",
        True,
        _doubled,
    ),
)


def run_check(con: duckdb.DuckDBPyConnection, check: Check, account: str, endpoint: Endpoint) -> list[Finding]:
    """Everything that the check finds wrong for an account's endpoint, newest first; nothing when it passes."""
    found = con.execute(f"{check.sql(endpoint)} ORDER BY 5 DESC, 1, 2", {"account": account, "endpoint": endpoint.name})
    return [Finding(*(str(value) for value in row)) for row in found.fetchall()]
