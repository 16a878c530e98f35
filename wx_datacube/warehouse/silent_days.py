"""Silent days: what days without messages say about an account's history and about doubtful answers.

Add a query here if it concerns the family of messages alone. Those about all families are in `coverage`.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import DAILY_MESSAGES, MESSAGES_OF
from wx_datacube.catalog.model import Family, Period
from wx_datacube.catalog.periods import due_on, label_of, settled_at
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State, states
from wx_datacube.warehouse.sql import json_list

_BUSY_DAYS = 14
"""If this many days in a row have messages, a silent day right after them is doubtful."""


def doubtful_silent_days(con: Connection, accounts: Sequence[str], now: dt.datetime) -> dict[str, list[dt.date]]:
    """Return each account's newest settled day if it is empty after two weeks with messages on every day.

    An empty answer counts from noon on, and WeChat is sometimes later than that.
    """
    days, yesterday = DAILY_MESSAGES.name, now.date() - dt.timedelta(days=1)
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
        {"day": newest, "every": _BUSY_DAYS, "accounts": json_list(accounts)},
    )
    return {account: [newest] for (account,) in found.fetchall()}


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
    missing: setting WX_DATACUBE_START to it would save their calls.
    """

    day: dt.date
    landed: bool
    saves_calls: bool


def history_start(con: Connection, account: Account, now: dt.datetime) -> HistoryStart | None:
    """Return where the account's messages begin; None if that is at its start, or if every due day is silent.

    A silent week or month proves that its days are silent. An account that fetches other families too has no such day:
    its followers begin earlier than its messages.
    """
    if account.families != (Family.MESSAGES,):
        return None
    found = states(con, account, now)
    messages = {period: found[endpoint.name] for period, endpoint in MESSAGES_OF.items()}
    for day in messages[Period.DAY]:
        if not any(messages[period].get(label_of(day, period)) is State.EMPTY for period in Period):
            break
    else:
        return None
    if day == account.start:
        return None
    saves_calls = any(
        state is State.MISSING and due_on(label, BY_NAME[name].period) <= day
        for name, labels in found.items()
        for label, state in labels.items()
    )
    return HistoryStart(day, messages[Period.DAY][day] is State.LANDED, saves_calls)
