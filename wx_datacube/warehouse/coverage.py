"""Coverage: queries about labels, accounts and calls, for ingestion, commands and Dagster.

Add a query of the warehouse here. Each function takes a connection that `files.Warehouse` opened, and the Beijing
time where it matters. Only `bind_account` and `record_refresh` change a table.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS, Endpoint, Family, Period
from wx_datacube.catalog.periods import due_on, label_of, midnight_of, settled_at
from wx_datacube.errors import SettingsError
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.label_states import states_select, summary_select
from wx_datacube.warehouse.ledger import last_call
from wx_datacube.warehouse.sql import GOOD_ANSWER

QUOTA_USED_UP = 45009
RANGE_REFUSED = 61501
NOT_READY = 61503
JUST_AFTER_MIDNIGHT = dt.timedelta(minutes=10)
"""How long after midnight WeChat's errcode 45009 (quota used up) may still refer to yesterday's quota."""


class State(StrEnum):
    """The state of a due label."""

    LANDED = "landed"
    EMPTY = "empty"
    IMPLIED = "implied"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Coverage:
    """The state of one label, and the figures that people look at first.

    `messages` is None for distributions. `users` is the number of all senders for distributions. For other endpoints
    it is the largest number in any row, which is a lower bound: users of different types and hours overlap.
    """

    label: dt.date
    state: State
    rows: int
    fetched_at: dt.datetime | None
    call_id: int | None
    messages: int | None
    users: int

    @classmethod
    def unknown(cls, label: dt.date) -> "Coverage":
        """Return the coverage of a label about which nothing is known."""
        return cls(label, State.MISSING, 0, None, None, None, 0)


def bind_account(con: Connection, name: str, appid: str | None, start: dt.date, now: dt.datetime) -> None:
    """Record the account at its first use, and later changes of its start; raises as `require_bound` does.

    The first AppID given is stored, and the name stays bound to it.
    """
    require_bound(con, name, appid)
    if name not in accounts(con):
        row = {"name": name, "appid": appid, "start": start, "now": now}
        con.execute("INSERT INTO datacube.accounts VALUES ($name, $appid, $start, $now)", row)
        return
    con.execute(
        "UPDATE datacube.accounts SET start_date = $start, appid = coalesce(appid, $appid) WHERE account = $name"
        " AND (start_date <> $start OR appid IS NULL AND $appid IS NOT NULL)",
        {"name": name, "appid": appid, "start": start},
    )


def require_bound(con: Connection, name: str, appid: str | None) -> None:
    """Raise `SettingsError` if this file has the name with another AppID, or the AppID with another name."""
    stored = accounts(con)
    bound, others = stored.get(name), [other for other, its in stored.items() if its == appid and other != name]
    if appid and bound and appid != bound:
        raise SettingsError(
            f"The account name {name!r} belongs to the AppID {bound} in this database, not to {appid}.",
            advice="Give this AppID another name (WX_DATACUBE_ACCOUNT, or WX_DATACUBE_ACCOUNTS for several), or use"
            " another WX_DATACUBE_DATABASE.",
        )
    if appid and others:
        raise SettingsError(
            f"The AppID {appid} is stored as the account {others[0]!r} in this database, not as {name!r}.",
            advice=f"Use the name {others[0]} in .env (WX_DATACUBE_ACCOUNT, or WX_DATACUBE_ACCOUNTS for several), or"
            f" rename the stored account: wx-datacube rename-account {others[0]} {name}",
        )


def states(
    con: Connection, account: str, start: dt.date, now: dt.datetime, endpoint: Endpoint | None = None
) -> dict[str, dict[dt.date, State]]:
    """Return the state of every label from `start` on that is due at `now`, oldest first, by endpoint name."""
    wanted = [endpoint] if endpoint else list(ENDPOINTS)
    found = con.execute(
        f"SELECT endpoint, label, state FROM ({_states_of_account(endpoint)})"
        " WHERE endpoint IN (SELECT unnest($names::JSON::VARCHAR[])) ORDER BY label",
        {"account": account, "start": start, "now": now, "names": _json_list(each.name for each in wanted)},
    )
    result: dict[str, dict[dt.date, State]] = {each.name: {} for each in wanted}
    for name, label, state in found.fetchall():
        result[name][label] = State(state)
    return result


@dataclass(frozen=True, slots=True)
class Summary:
    """The due labels of an account's endpoint, counted by state.

    `gaps` holds the first and last label of each series of consecutive missing labels. `reached` is the oldest label
    that WeChat had answered for before yesterday began.
    """

    due: int
    landed: int
    empty: int
    implied: int
    missing: int
    last_landed: dt.date | None
    reached: dt.date | None
    gaps: list[tuple[dt.date, dt.date]]


def summaries(con: Connection, starts: Mapping[str, dt.date], now: dt.datetime) -> dict[tuple[str, str], Summary]:
    """Return the summary of the labels due at `now`, by account and endpoint name.

    `starts` maps each account to the first day of its history. One query reads all accounts. An endpoint without due
    labels is left out.
    """
    accounts = "(SELECT unnest($names::JSON::VARCHAR[]) AS account, unnest($starts::JSON::DATE[]) AS start_date)"
    found = con.execute(
        summary_select(accounts, "$now::TIMESTAMP", "account BETWEEN $least AND $most"),
        {
            "names": _json_list(starts),
            "starts": _json_list(starts.values()),
            "now": now,
            "least": min(starts),
            "most": max(starts),
        },
    )
    return {
        (account, endpoint): Summary(
            due, landed, empty, implied, missing, newest, reached, [(first, last) for first, last in gaps]
        )
        for account, endpoint, due, landed, empty, implied, missing, newest, reached, gaps in found.fetchall()
    }


def coverage(
    con: Connection, account: str, endpoint: Endpoint, labels: Iterable[dt.date], now: dt.datetime
) -> list[Coverage]:
    """Return the states and figures of the labels, in the order given; a label not due at `now` is left out."""
    wanted = list(labels)
    if not wanted:
        return []
    found = con.execute(
        f"""
        SELECT label, state, coalesce("rows", 0), fetched_at, call_id, messages, coalesce(users, 0)
        FROM ({_states_of_account(endpoint)}) AS states LEFT JOIN ({_figures(endpoint)}) AS figures USING (label)
        WHERE endpoint = $endpoint AND label IN (SELECT unnest($labels::JSON::DATE[]))
        """,
        {"account": account, "start": min(wanted), "now": now, "endpoint": endpoint.name, "labels": _json_list(wanted)},
    )
    by_label = {row[0]: _coverage_of(row, endpoint) for row in found.fetchall()}
    return [by_label[label] for label in wanted if label in by_label]


_BUSY_DAYS = 14
"""If this many days in a row have messages, a silent day right after them is doubtful."""


def doubtful_silent_days(con: Connection, accounts: Sequence[str], now: dt.datetime) -> dict[str, list[dt.date]]:
    """Return each account's newest settled day if it is empty after two weeks with messages on every day.

    An empty answer counts from noon on, and WeChat is sometimes later than that.
    """
    days, yesterday = ENDPOINTS[0].name, now.date() - dt.timedelta(days=1)
    newest = yesterday if settled_at(yesterday, Period.DAY) <= now else yesterday - dt.timedelta(days=1)
    found = con.execute(
        f"""
        SELECT account FROM datacube.label_answers AS answer
        WHERE endpoint = '{days}' AND label = $day AND settled AND clean AND shown = 0
            AND account IN (SELECT unnest($accounts::JSON::VARCHAR[]))
            AND NOT EXISTS (FROM datacube.{days} AS kept WHERE kept.account = answer.account AND ref_date = $day)
            AND $every = (SELECT count(DISTINCT ref_date) FROM datacube.{days} AS before
                WHERE before.account = answer.account
                    AND ref_date BETWEEN $day::DATE - $every::INTEGER AND $day::DATE - 1)
        ORDER BY account
        """,
        {"day": newest, "every": _BUSY_DAYS, "accounts": _json_list(accounts)},
    )
    return {account: [newest] for (account,) in found.fetchall()}


def labels_with_rejected_rows(
    con: Connection, account: str, endpoint: Endpoint, labels: Iterable[dt.date]
) -> set[dt.date]:
    """Return the labels whose current answer contains rejected rows."""
    found = con.execute(
        "SELECT label FROM datacube.label_answers WHERE account = $account AND endpoint = $endpoint AND NOT clean"
        " AND label IN (SELECT unnest($labels::JSON::DATE[]))",
        {"account": account, "endpoint": endpoint.name, "labels": _json_list(labels)},
    )
    return {label for (label,) in found.fetchall()}


def rows_stored(con: Connection, account: str, endpoint: Endpoint) -> int:
    """Return how many rows of the account the endpoint's table holds."""
    found = con.execute(f"SELECT count(*) FROM datacube.{endpoint.name} WHERE account = $account", {"account": account})
    return int(found.fetchall()[0][0])


def _json_list(values: Iterable[object]) -> str:
    """Return a list as one JSON parameter: DuckDB looks for pandas again for each value that it is given."""
    return json.dumps(list(values), default=str)


def _states_of_account(endpoint: Endpoint | None) -> str:
    accounts = "(SELECT $account AS account, $start::DATE AS start_date)"
    return states_select(accounts, "$now::TIMESTAMP", endpoint, "account = $account")


def _coverage_of(row: tuple, endpoint: Endpoint) -> Coverage:  # type: ignore[type-arg]  # a row of any columns
    label, state, rows, fetched_at, call_id, messages, users = row
    return Coverage(
        label,
        State(state),
        rows,
        fetched_at,
        call_id,
        (messages or 0) if endpoint.counts_messages else None,
        users,
    )


def _figures(endpoint: Endpoint) -> str:
    messages, users = "TRY_CAST(sum(msg_count) AS BIGINT)", "max(msg_user)"
    if endpoint.family is Family.SENDERS:  # each user is in one interval; interval 0 is users who sent nothing
        messages, users = "NULL::BIGINT", "TRY_CAST(sum(msg_user) FILTER (count_interval <> 0) AS BIGINT)"
    return (
        f'SELECT ref_date AS label, count(*) AS "rows", {messages} AS messages, {users} AS users'
        f" FROM datacube.{endpoint.name} WHERE account = $account GROUP BY ref_date"
    )


# --- the ledger -------------------------------------------------------------------------------------------------


def calls_since(con: Connection, account: str, midnight: dt.datetime) -> dict[str, int]:
    """Return the number of attempts since `midnight` by endpoint name, zeros included; each attempt costs quota."""
    found = con.execute(
        "SELECT endpoint, count(*) FROM datacube.api_calls"
        " WHERE account = $account AND requested_at >= $midnight GROUP BY endpoint",
        {"account": account, "midnight": midnight},
    )
    return {endpoint.name: 0 for endpoint in ENDPOINTS} | dict(found.fetchall())


_NOT_REFUSED = f"({GOOD_ANSWER} OR errcode = {NOT_READY})"
"""SQL condition for a call that got through: WeChat answered with figures, or that they are not ready yet."""


def unresolved_errors(
    con: Connection, account: str | None = None, endpoint: Endpoint | None = None
) -> dict[tuple[str, str], dict[int, dt.datetime]]:
    """Return when WeChat last answered with each errcode, oldest first, by account and endpoint.

    `account` and `endpoint` restrict the result to one of them. An error is left out if a later call of the same
    account and endpoint got through.
    """
    found = con.execute(
        f"""
        WITH answer AS (
            SELECT account, endpoint, errcode, {_NOT_REFUSED} AS through,
                {{'asked_at': requested_at, 'call_id': call_id}} AS place
            FROM datacube.api_calls WHERE http_status IS NOT NULL
                AND account = coalesce($account, account) AND endpoint = coalesce($endpoint, endpoint)
        )
        SELECT account, endpoint, errcode, max(place).asked_at AS asked_at
        FROM answer LEFT JOIN (
            SELECT account, endpoint, max(place) AS newest FROM answer WHERE through GROUP BY account, endpoint
        ) USING (account, endpoint)
        WHERE errcode IS NOT NULL AND NOT through AND (newest IS NULL OR place > newest)
        GROUP BY account, endpoint, errcode ORDER BY max(place)
        """,
        {"account": account, "endpoint": endpoint and endpoint.name},
    )
    errors: dict[tuple[str, str], dict[int, dt.datetime]] = {}
    for name, of, errcode, asked_at in found.fetchall():
        errors.setdefault((name, of), {})[errcode] = asked_at
    return errors


@dataclass(frozen=True, slots=True)
class RecentCalls:
    """The calls of an account's endpoint since yesterday began.

    `today` is the number of calls today. `oldest` is the oldest label requested by a call with a good answer, and
    `good_at` is the time of the newest good answer. `used_up_at` is the time of today's newest errcode 45009, except
    just after midnight, when it may refer to yesterday's quota. `used_up_yesterday` says whether there was a 45009
    yesterday, `not_ready` whether there was a 61503 today.
    """

    today: int = 0
    oldest: dt.date | None = None
    good_at: dt.datetime | None = None
    used_up_at: dt.datetime | None = None
    used_up_yesterday: bool = False
    not_ready: bool = False


def recent_calls(con: Connection, now: dt.datetime) -> dict[tuple[str, str], RecentCalls]:
    """Return the calls since yesterday began, by account and endpoint; pairs without calls are left out."""
    midnight = midnight_of(now)
    found = con.execute(
        f"""
        SELECT account, endpoint, count(*) FILTER (requested_at >= $midnight),
            min(list_min(asked)) FILTER ({GOOD_ANSWER}), max(requested_at) FILTER ({GOOD_ANSWER}),
            max(requested_at) FILTER (errcode = {QUOTA_USED_UP} AND requested_at >= $believed),
            coalesce(bool_or(errcode = {QUOTA_USED_UP} AND requested_at < $midnight), false),
            coalesce(bool_or(errcode = {NOT_READY} AND requested_at >= $midnight), false)
        FROM datacube.api_calls WHERE requested_at >= $midnight - INTERVAL 1 DAY GROUP BY account, endpoint
        """,
        {"midnight": midnight, "believed": midnight + JUST_AFTER_MIDNIGHT},
    )
    return {(account, endpoint): RecentCalls(*counts) for account, endpoint, *counts in found.fetchall()}


def last_calls_at(con: Connection) -> dict[str, dt.datetime]:
    """Return the time of each account's newest call."""
    return dict(
        con.execute(
            "SELECT account, max(requested_at) FROM datacube.api_calls WHERE account IS NOT NULL GROUP BY account"
        ).fetchall()
    )


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


def labels_confirmed_empty(con: Connection, account: str, endpoint: Endpoint, since: dt.datetime) -> frozenset[dt.date]:
    """Return the settled labels for which a call for that label alone, made at `since` or later, returned no row.

    If such a label is missing all the same, no other answer can be expected soon.
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


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call of the ledger: what it requested, and its errcode or the requested labels that its answer shows."""

    begin: dt.date
    end: dt.date
    asked: list[dt.date]
    errcode: int | None
    labels_in_answer: list[dt.date]


def last_calls(con: Connection, account: str, endpoint: Endpoint, errcodes: Sequence[int]) -> list[PastCall]:
    """Return the account's calls of an endpoint that had a good answer or one of `errcodes`, newest first."""
    found = con.execute(
        "SELECT begin_date, end_date, asked, errcode,"
        " list_filter(asked, lambda label: contains(coalesce(response, ''), '\"' || label || '\"'))"
        " FROM datacube.api_calls"
        " WHERE account = $account AND endpoint = $endpoint AND http_status = 200"
        " AND (errcode IS NULL AND errmsg IS NULL OR errcode IN (SELECT unnest($errcodes::JSON::BIGINT[])))"
        " ORDER BY call_id DESC",
        {"account": account, "endpoint": endpoint.name, "errcodes": _json_list(errcodes)},
    )
    return [PastCall(*row) for row in found.fetchall()]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How WeChat answered one call for the labels `asked`; `good` if the answer had figures."""

    asked: list[dt.date]
    requested_at: dt.datetime
    http_status: int | None
    errcode: int | None
    good: bool


def outcomes_of_run(con: Connection, account: str, endpoint: Endpoint, run_id: str) -> list[CallOutcome]:
    """Return the outcomes of the calls that a run has made of an endpoint so far, oldest first."""
    found = con.execute(
        f"SELECT asked, requested_at, http_status, errcode, coalesce({GOOD_ANSWER}, false) FROM datacube.api_calls"
        " WHERE account = $account AND endpoint = $endpoint AND run_id = $run_id ORDER BY call_id",
        {"account": account, "endpoint": endpoint.name, "run_id": run_id},
    )
    return [CallOutcome(*row) for row in found.fetchall()]


@dataclass(frozen=True, slots=True)
class Refresh:
    """The beginning of a refresh; the calls after `after_call_id` that are marked `refresh` belong to it."""

    begun_at: dt.datetime
    after_call_id: int


def last_refresh(
    con: Connection, account: str, endpoint: Endpoint, first: dt.date | None, last: dt.date | None
) -> Refresh | None:
    """Return the endpoint's last refresh if it was for exactly the labels from `first` to `last` (None: no bound)."""
    found = con.execute(
        "SELECT begun_at, after_call_id FROM datacube.refreshes WHERE account = $account AND endpoint = $endpoint"
        ' AND "first" IS NOT DISTINCT FROM $first::DATE AND "last" IS NOT DISTINCT FROM $last::DATE',
        {"account": account, "endpoint": endpoint.name, "first": first, "last": last},
    ).fetchone()
    return Refresh(*found) if found else None


def refreshed_labels(con: Connection, account: str, endpoint: Endpoint, after_call_id: int) -> frozenset[dt.date]:
    """Return the labels that WeChat has answered for in a refresh since the call `after_call_id`."""
    found = con.execute(
        "SELECT DISTINCT unnest(asked) FROM datacube.api_calls WHERE account = $account AND endpoint = $endpoint"
        f" AND refresh AND call_id > $after AND {GOOD_ANSWER}",
        {"account": account, "endpoint": endpoint.name, "after": after_call_id},
    )
    return frozenset(label for (label,) in found.fetchall())


def record_refresh(
    con: Connection, account: str, endpoint: Endpoint, first: dt.date | None, last: dt.date | None, now: dt.datetime
) -> Refresh:
    """Record the beginning of a refresh; this replaces the record of the last one, whether finished or not."""
    of = {"account": account, "endpoint": endpoint.name}
    con.execute("DELETE FROM datacube.refreshes WHERE account = $account AND endpoint = $endpoint", of)
    begun = Refresh(now, last_call(con))
    con.execute(
        "INSERT INTO datacube.refreshes VALUES ($account, $endpoint, $first, $last, $now, $after)",
        of | {"first": first, "last": last, "now": now, "after": begun.after_call_id},
    )
    return begun


def accounts(con: Connection) -> dict[str, str | None]:
    """Return the AppID of every account in the file, by name."""
    return dict(con.execute("SELECT account, appid FROM datacube.accounts ORDER BY account").fetchall())


def count_unknown_sources(con: Connection, account: str, endpoint: Endpoint, labels: Iterable[dt.date]) -> int:
    """Return how many stored rows of the labels have a `user_source` other than 0.

    No such row has been seen so far, so callers report it.
    """
    found = con.execute(
        f"SELECT count(*) FROM datacube.{endpoint.name} WHERE account = $account AND user_source <> 0"
        " AND ref_date IN (SELECT unnest($labels::JSON::DATE[]))",
        {"account": account, "labels": _json_list(labels)},
    ).fetchone()
    return int(found[0]) if found else 0


def first_messages(con: Connection) -> dict[str, dt.date]:
    """Return the first stored day with messages, by account."""
    return dict(
        con.execute(
            "SELECT account, min(ref_date) FROM datacube.getupstreammsg WHERE msg_count > 0 GROUP BY account"
        ).fetchall()
    )


@dataclass(frozen=True, slots=True)
class HistoryStart:
    """The first day that may have had messages: all days before it are known to be silent.

    `landed` says whether that day had messages. `saves_calls` says whether labels that end before that day are still
    missing: to set WX_DATACUBE_START to it would save their calls.
    """

    day: dt.date
    landed: bool
    saves_calls: bool


def history_start(con: Connection, account: str, start: dt.date, now: dt.datetime) -> HistoryStart | None:
    """Return where the account's messages begin; None if that is at `start`, or if every due day is silent.

    A silent week or month proves that its days are silent.
    """
    found = states(con, account, start, now)
    messages = {each.period: found[each.name] for each in ENDPOINTS if each.family is Family.MESSAGES}
    for day in messages[Period.DAY]:
        if not any(messages[period].get(label_of(day, period)) is State.EMPTY for period in Period):
            break
    else:
        return None
    if day == start:
        return None
    saves_calls = any(
        state is State.MISSING and due_on(label, each.period) <= day
        for each in ENDPOINTS
        for label, state in found[each.name].items()
    )
    return HistoryStart(day, messages[Period.DAY][day] is State.LANDED, saves_calls)


def endpoint_named(name: str) -> Endpoint:
    """Return the catalog's endpoint of that name; raises `SettingsError` for an unknown name."""
    if name not in BY_NAME:
        raise SettingsError(f"Unknown endpoint {name!r}.", advice=f"The endpoints are {', '.join(BY_NAME)}.")
    return BY_NAME[name]
