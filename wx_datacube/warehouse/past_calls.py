"""Past calls: queries about the calls in the ledger, for ingestion, commands and Dagster.

Add a query here if its answer depends on when calls were made or how WeChat answered them. Only `record_refresh`
changes a table. Queries about labels and accounts are in `coverage`; calls are stored by `ledger`.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import midnight_of
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.ledger import last_call
from wx_datacube.warehouse.sql import GOOD_ANSWER, json_list

QUOTA_USED_UP = 45009
RANGE_REFUSED = 61501
NOT_READY = 61503
DOCTOR = "doctor"
"""The `run_id` of the calls that `doctor` makes."""
JUST_AFTER_MIDNIGHT = dt.timedelta(minutes=10)
"""How long after midnight WeChat's errcode 45009 (quota used up) may still refer to yesterday's quota."""


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

    `today` is the number of calls today, `last_at` the time of the newest call. `oldest` is the oldest label requested
    by a call with a good answer, and `good_at` is the time of the newest good answer. `used_up_at` is the time of
    today's newest errcode 45009, except just after midnight, when it may refer to yesterday's quota.
    `used_up_yesterday` says whether there was a 45009 yesterday, `not_ready` whether there was a 61503 today.
    """

    today: int = 0
    last_at: dt.datetime | None = None
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
        SELECT account, endpoint, count(*) FILTER (requested_at >= $midnight), max(requested_at),
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


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call of the ledger: what it requested, and its errcode or the requested labels that its answer shows."""

    begin: dt.date
    end: dt.date
    asked: list[dt.date]
    errcode: int | None
    labels_in_answer: list[dt.date]
    requested_at: dt.datetime


def last_calls(con: Connection, account: str, endpoint: Endpoint, errcodes: Sequence[int]) -> list[PastCall]:
    """Return the account's calls of an endpoint that had a good answer or one of `errcodes`, newest first."""
    found = con.execute(
        "SELECT begin_date, end_date, asked, errcode,"
        " list_filter(asked, lambda label: contains(coalesce(response, ''), '\"' || label || '\"')), requested_at"
        " FROM datacube.api_calls"
        " WHERE account = $account AND endpoint = $endpoint AND http_status = 200"
        " AND (errcode IS NULL AND errmsg IS NULL OR errcode IN (SELECT unnest($errcodes::JSON::BIGINT[])))"
        " ORDER BY call_id DESC",
        {"account": account, "endpoint": endpoint.name, "errcodes": json_list(errcodes)},
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
