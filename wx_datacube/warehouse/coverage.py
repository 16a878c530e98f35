"""Coverage: queries about labels and accounts, for ingestion, commands and Dagster.

Add a query about what is stored here. Each function takes a connection that `files.Warehouse` opened, and the Beijing
time where it matters. Only `bind_account` changes a table. Queries about the calls that were made are in `past_calls`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import USER_SOURCE, Endpoint, Period
from wx_datacube.catalog.periods import label_of
from wx_datacube.config.settings import Account
from wx_datacube.errors import SettingsError
from wx_datacube.language import Text
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.label_states import states_select, summary_select
from wx_datacube.warehouse.sql import json_list


class State(StrEnum):
    """The state of a due label."""

    LANDED = "landed"
    EMPTY = "empty"
    IMPLIED = "implied"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Coverage:
    """The state of one label, and the figures that people look at first, by name (see `Endpoint.figures`).

    `final` says that WeChat will not change the label any more, by its own word.
    """

    label: dt.date
    state: State
    rows: int = 0
    fetched_at: dt.datetime | None = None
    call_id: int | None = None
    final: bool = False
    figures: Mapping[str, int] = field(default_factory=dict)


def bind_account(con: Connection, account: Account, now: dt.datetime) -> None:
    """Record the account at its first use, and later changes of its start and families; raises as `require_bound` does.

    The first AppID given is stored, and the name stays bound to it.
    """
    require_bound(con, account)
    row = {
        "name": account.name,
        "appid": account.appid,
        "start": account.start,
        "families": json_list(account.families),
    }
    if account.name not in accounts(con):
        con.execute(
            "INSERT INTO datacube.accounts BY NAME SELECT $name AS account, $appid AS appid, $start AS start_date,"
            " $now AS added_at, $families::JSON::VARCHAR[] AS families",
            row | {"now": now},
        )
        return
    con.execute(
        "UPDATE datacube.accounts SET start_date = $start, appid = coalesce(appid, $appid),"
        " families = $families::JSON::VARCHAR[] WHERE account = $name AND (start_date <> $start"
        " OR families IS DISTINCT FROM $families::JSON::VARCHAR[] OR appid IS NULL AND $appid IS NOT NULL)",
        row,
    )


def require_bound(con: Connection, account: Account) -> None:
    """Raise `SettingsError` if this file has the name with another AppID, or the AppID with another name."""
    stored, name, appid = accounts(con), account.name, account.appid
    bound, others = stored.get(name), [other for other, its in stored.items() if its == appid and other != name]
    if appid and bound and appid != bound:
        raise SettingsError(
            Text(
                "The account name {name!r} belongs to the AppID {bound} in this database, not to {appid}.",
                "数据库中账号名 {name} 对应的 AppID 是 {bound}，而不是 {appid}。",
                name=name,
                bound=bound,
                appid=appid,
            ),
            advice=Text(
                "Give this AppID another name (WX_DATACUBE_ACCOUNT, or WX_DATACUBE_ACCOUNTS for several), or use"
                " another WX_DATACUBE_DATABASE.",
                "请为该 AppID 另取账号名（WX_DATACUBE_ACCOUNT，多个账号用 WX_DATACUBE_ACCOUNTS），"
                "或使用另一个 WX_DATACUBE_DATABASE。",
            ),
        )
    if appid and others:
        raise SettingsError(
            Text(
                "The AppID {appid} is stored as the account {other!r} in this database, not as {name!r}.",
                "数据库中 AppID {appid} 的账号名是 {other}，而不是 {name}。",
                appid=appid,
                other=others[0],
                name=name,
            ),
            advice=Text(
                "Use the name {other} in .env (WX_DATACUBE_ACCOUNT, or WX_DATACUBE_ACCOUNTS for several), or rename the"
                " stored account: wx-datacube rename-account {other} {name}",
                "请在 .env 中使用账号名 {other}（WX_DATACUBE_ACCOUNT，多个账号用 WX_DATACUBE_ACCOUNTS），"
                "或重命名已保存的账号：wx-datacube rename-account {other} {name}",
                other=others[0],
                name=name,
            ),
        )


def states(
    con: Connection, account: Account, now: dt.datetime, endpoint: Endpoint | None = None
) -> dict[str, dict[dt.date, State]]:
    """Return the state of every label that is due at `now`, oldest first, by endpoint name.

    Without `endpoint`, all endpoints of the account's families are in the result. A label of an `endpoint` counts as
    due even if its family is off.
    """
    wanted = [endpoint] if endpoint else list(account.endpoints)
    found = con.execute(
        f"SELECT endpoint, label, state FROM ({_states_of_account(endpoint)})"
        " WHERE endpoint IN (SELECT unnest($names::JSON::VARCHAR[])) ORDER BY label",
        _account_values(account, endpoint) | {"now": now, "names": json_list(each.name for each in wanted)},
    )
    result: dict[str, dict[dt.date, State]] = {each.name: {} for each in wanted}
    for name, label, state in found.fetchall():
        result[name][label] = State(state)
    return result


def states_between(
    con: Connection,
    accounts: Sequence[Account],
    endpoint: Endpoint | None,
    days: tuple[dt.date, dt.date],
    now: dt.datetime,
    *,
    unsure: bool = False,
) -> list[tuple[str, Endpoint, dt.date, State, bool]]:
    """Return account, endpoint, label, state and finality of each label that is due at `now` and overlaps the days.

    `days` are the first and the last one. Without `endpoint`, all endpoints of each account's families are in the
    result. A label of an `endpoint` counts as due even if its family is off. With `unsure`, only labels that are
    missing or not final are in the result, which are few even in a large file.
    """
    begin = min(label_of(days[0], period) for period in Period)
    listed = [
        {
            "account": each.name,
            "start_date": max(each.start, begin),
            "families": [endpoint.family] if endpoint else each.families,
        }
        for each in accounts
    ]
    # Filtered within, too: the answers of the whole history of 500 accounts don't fit into a sandbox's memory.
    in_range = "label BETWEEN $begin AND $last"
    names = [each.name for each in accounts]
    states = states_select(_ACCOUNTS, "$now::TIMESTAMP", endpoint, f"account BETWEEN $least AND $most AND {in_range}")
    wanted = [in_range, *([f"endpoint = '{endpoint.name}'"] if endpoint else []), *(["NOT final"] if unsure else [])]
    found = con.execute(
        f"SELECT account, endpoint, label, state, final FROM ({states}) WHERE {' AND '.join(wanted)} ORDER BY ALL",
        {
            "accounts": json_list(listed),
            "least": min(names),
            "most": max(names),
            "now": now,
            "begin": begin,
            "last": days[1],
        },
    )
    rows = ((row[0], BY_NAME[row[1]], row[2], State(row[3]), row[4]) for row in found.fetchall())
    return [each for each in rows if each[2] >= label_of(days[0], each[1].period)]


@dataclass(frozen=True, slots=True)
class Summary:
    """The due labels of an account's endpoint, counted by state.

    `not_final` counts the landed labels that WeChat may still change. `gaps` holds the first and last label of each
    series of consecutive missing labels. `reached` is the oldest label that WeChat had answered for before yesterday
    began.
    """

    due: int
    landed: int
    empty: int
    implied: int
    missing: int
    not_final: int
    last_landed: dt.date | None
    reached: dt.date | None
    gaps: list[tuple[dt.date, dt.date]]


def summaries(con: Connection, accounts: Sequence[Account], now: dt.datetime) -> dict[tuple[str, str], Summary]:
    """Return the summary of the labels due at `now`, by account and endpoint name.

    One query reads all accounts. An endpoint without due labels is left out.
    """
    listed = [{"account": each.name, "start_date": each.start, "families": each.families} for each in accounts]
    names = [each.name for each in accounts]
    found = con.execute(
        summary_select(_ACCOUNTS, "$now::TIMESTAMP", "account BETWEEN $least AND $most"),
        {"accounts": json_list(listed), "now": now, "least": min(names), "most": max(names)},
    )
    return {
        (row[0], row[1]): Summary(*(*row[2:-1], [(first, last) for first, last in row[-1]])) for row in found.fetchall()
    }


_ACCOUNTS = """(SELECT unnest(from_json($accounts::JSON,
    '[{"account": "VARCHAR", "start_date": "DATE", "families": ["VARCHAR"]}]'), recursive := true))"""
"""A relation of the accounts that a query is about, from one JSON parameter."""


def coverage(
    con: Connection, account: Account, endpoint: Endpoint, labels: Iterable[dt.date], now: dt.datetime
) -> list[Coverage]:
    """Return the states and figures of the labels, in the order given; a label not due at `now` is left out."""
    wanted = list(labels)
    if not wanted:
        return []
    figures = ", ".join(f"TRY_CAST({expression} AS BIGINT)" for _, expression in endpoint.figures)
    found = con.execute(
        f"""
        SELECT label, state, coalesce("rows", 0), fetched_at, call_id, final, figures
        FROM ({_states_of_account(endpoint)}) AS states LEFT JOIN (
            SELECT ref_date AS label, count(*) AS "rows", [{figures}] AS figures FROM datacube.{endpoint.name}
            WHERE account = $account AND ref_date IN (SELECT unnest($labels::JSON::DATE[])) GROUP BY ref_date
        ) AS stored USING (label)
        WHERE endpoint = $endpoint AND label IN (SELECT unnest($labels::JSON::DATE[]))
        """,
        _account_values(account, endpoint, min(wanted))
        | {"now": now, "endpoint": endpoint.name, "labels": json_list(wanted), "account": account.name},
    )
    names = [name for name, _ in endpoint.figures]
    by_label = {
        label: Coverage(
            label,
            State(state),
            rows,
            at,
            call,
            final,
            {name: n or 0 for name, n in zip(names, figures or [0] * len(names), strict=True)},
        )
        for label, state, rows, at, call, final, figures in found.fetchall()
    }
    return [by_label[label] for label in wanted if label in by_label]


def labels_with_rejected_rows(
    con: Connection, account: str, endpoint: Endpoint, labels: Iterable[dt.date]
) -> set[dt.date]:
    """Return the labels whose current answer contains rejected rows."""
    found = con.execute(
        "SELECT label FROM datacube.label_answers WHERE account = $account AND endpoint = $endpoint AND NOT clean"
        " AND label IN (SELECT unnest($labels::JSON::DATE[]))",
        {"account": account, "endpoint": endpoint.name, "labels": json_list(labels)},
    )
    return {label for (label,) in found.fetchall()}


def labels_brought_by(con: Connection, account: str, endpoint: Endpoint, run_id: str) -> frozenset[dt.date]:
    """Return the labels that have values, nested ones included, which a call of the run brought."""
    tables = " UNION ".join(
        f"SELECT ref_date FROM datacube.{each.name} SEMI JOIN called USING (call_id) WHERE account = $account"
        for each in endpoint.relations
    )
    found = con.execute(
        "WITH called AS (SELECT call_id FROM datacube.api_calls"
        f" WHERE account = $account AND endpoint = $endpoint AND run_id = $run_id) {tables}",
        {"account": account, "endpoint": endpoint.name, "run_id": run_id},
    )
    return frozenset(label for (label,) in found.fetchall())


def rows_stored(con: Connection, account: str, endpoint: Endpoint) -> int:
    """Return how many rows of the account the endpoint's table holds."""
    found = con.execute(f"SELECT count(*) FROM datacube.{endpoint.name} WHERE account = $account", {"account": account})
    return int(found.fetchall()[0][0])


def _states_of_account(endpoint: Endpoint | None) -> str:
    return states_select(_ACCOUNTS, "$now::TIMESTAMP", endpoint, "account BETWEEN $least AND $most")


def _account_values(
    account: Account, endpoint: Endpoint | None = None, start: dt.date | None = None
) -> dict[str, object]:
    """Return the parameters of `_states_of_account`. One `endpoint` counts as switched on in any case."""
    families = [endpoint.family] if endpoint else account.families
    listed = [{"account": account.name, "start_date": start or account.start, "families": families}]
    return {"accounts": json_list(listed), "least": account.name, "most": account.name}


def empty_settled_labels(con: Connection, account: str, endpoint: Endpoint) -> frozenset[dt.date]:
    """Return the labels whose current answer was made after they had settled and has no row, not even a rejected one.

    If such a label is missing all the same, stored rows contradict the empty answer.
    """
    found = con.execute(
        "SELECT label FROM datacube.label_answers"
        " WHERE account = $account AND endpoint = $endpoint AND settled AND clean AND shown = 0",
        {"account": account, "endpoint": endpoint.name},
    )
    return frozenset(label for (label,) in found.fetchall())


def labels_left_out(con: Connection, account: str, endpoint: Endpoint, since: dt.datetime) -> frozenset[dt.date]:
    """Return the settled labels for which a call for that label alone, at `since` or later, returned no row.

    If such a label is missing nevertheless (its days have messages), asking again the same day makes no sense.
    """
    found = con.execute(
        "SELECT label FROM datacube.label_answers AS answer JOIN datacube.api_calls AS call USING (call_id)"
        " WHERE answer.account = $account AND answer.endpoint = $endpoint AND settled AND clean AND shown = 0"
        " AND begin_date = end_date AND fetched_at >= $since",
        {"account": account, "endpoint": endpoint.name, "since": since},
    )
    return frozenset(label for (label,) in found.fetchall())


def was_answered(con: Connection, account: str, endpoint: Endpoint) -> bool:
    """Return whether WeChat has ever answered with figures of the endpoint, including an empty list."""
    found = con.execute(
        "SELECT 1 FROM datacube.label_answers WHERE account = $account AND endpoint = $endpoint LIMIT 1",
        {"account": account, "endpoint": endpoint.name},
    )
    return bool(found.fetchall())


def accounts(con: Connection) -> dict[str, str | None]:
    """Return the AppID of every account in the file, by name."""
    return dict(con.execute("SELECT account, appid FROM datacube.accounts ORDER BY account").fetchall())


def count_unknown_sources(con: Connection, account: str, endpoint: Endpoint, labels: Iterable[dt.date]) -> int:
    """Return how many stored rows of the labels have an undocumented `user_source` other than 0.

    No such row has been seen so far, so callers report it.
    """
    if USER_SOURCE not in endpoint.columns:
        return 0
    found = con.execute(
        f"SELECT count(*) FROM datacube.{endpoint.name} WHERE account = $account AND user_source <> 0"
        " AND ref_date IN (SELECT unnest($labels::JSON::DATE[]))",
        {"account": account, "labels": json_list(labels)},
    ).fetchone()
    return int(found[0]) if found else 0
