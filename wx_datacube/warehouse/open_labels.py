"""Open labels: landed labels that WeChat may still change by its own word, and when they are requested again.

An open label is requested at most once a day. Its turn is due every day as long as its last answer was delayed; if its
figures grow, on the days after publication that the catalog lists. A missed turn is made up for. Add a rule here if it
decides when an open label is requested again. Which labels are final is decided in `load.labels`.
"""

import datetime as dt
from collections.abc import Sequence

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import SETTLED_HOUR, midnight_of
from wx_datacube.warehouse.connections import Connection

_DAY = dt.timedelta(days=1)
_NOON = dt.timedelta(hours=SETTLED_HOUR)


def open_labels(con: Connection, account: str, endpoint: Endpoint) -> frozenset[dt.date]:
    """Return the account's open labels of an endpoint."""
    return frozenset(label for _, label, *_ in _open(con, account, [endpoint]))


def turns_due(
    con: Connection,
    account: str,
    now: dt.datetime,
    endpoints: Sequence[Endpoint] = ENDPOINTS,
    *,
    about_to_begin: bool = False,
) -> dict[str, frozenset[dt.date]]:
    """Return the open labels whose turn of today is due at `now` and not taken yet, by endpoint name.

    The turn of a day begins when yesterday's reading figures of the account are final, at the latest at noon. With
    `about_to_begin`, a caller that is going to request these figures first gets the labels that are then due.
    """
    due: dict[str, set[dt.date]] = {each.name: set() for each in endpoints}
    found = _open(con, account, endpoints)
    midnight = midnight_of(now)
    if found and (about_to_begin or now >= midnight + _NOON or _yesterday_is_final(con, account, now)):
        for name, label, fetched_at, is_delayed in found:
            if fetched_at < midnight and (is_delayed or _has_grown(BY_NAME[name], label, fetched_at, now)):
                due[name].add(label)
    return {name: frozenset(labels) for name, labels in due.items()}


def _open(con: Connection, account: str, endpoints: Sequence[Endpoint]) -> list[tuple[str, dt.date, dt.datetime, bool]]:
    """Return each open label with its endpoint, when it was last answered for, and whether that answer was delayed."""
    selects = [
        "SELECT endpoint, label, fetched_at, call_id > coalesce(last_undelayed, 0) FROM datacube.label_answers"
        f" SEMI JOIN (SELECT account, ref_date AS label FROM datacube.{each.name}) USING (account, label)"
        f" WHERE account = $account AND endpoint = '{each.name}' AND NOT final"
        for each in endpoints
        if each.has_delay
    ]
    return con.execute(" UNION ALL ".join(selects), {"account": account}).fetchall() if selects else []


def _yesterday_is_final(con: Connection, account: str, now: dt.datetime) -> bool:
    """Return whether yesterday's reading figures of the account are final, so that those of its articles are ready."""
    found = con.execute(
        "SELECT 1 FROM datacube.label_answers WHERE account = $account AND endpoint = $endpoint AND label = $label"
        " AND final AND shown > 0",
        {"account": account, "endpoint": DAILY_READING.name, "label": now.date() - _DAY},
    )
    return bool(found.fetchall())


def _has_grown(endpoint: Endpoint, label: dt.date, fetched_at: dt.datetime, now: dt.datetime) -> bool:
    """Return whether one of the days on which the label is requested again has come since its last answer."""
    return any(fetched_at < moment <= now for moment in _turns(endpoint, label))


def _turns(endpoint: Endpoint, label: dt.date) -> list[dt.datetime]:
    """Return when the label's turns begin. After an answer at the last one it is final, so that one is at noon."""
    days = [dt.datetime.combine(label + number * _DAY, dt.time()) for number in endpoint.asked_again]
    return [*days[:-1], *(day + _NOON for day in days[-1:])]
