"""Check: the types of a check, its context, its findings and its remedy.

Add a field here if all checks need it. The queries of single checks belong in the entries of `CHECKS`.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from wx_datacube.catalog.model import Endpoint
from wx_datacube.config.settings import Account
from wx_datacube.language import Text
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.overdue import Overdue


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A summary of an account's data in one of the two files, small enough to compare with that of the other file.

    `tables` has for each endpoint the number of calls, the number of rows, and a hash of all rows.
    """

    last_call: int
    last_call_at: dt.datetime | None
    tables: dict[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The input of a check: the tables, the account, the time, and what is overdue.

    `overdue` holds the account's missing settled labels. `written` and `published` are the fingerprints of the two
    files; they are None if the files needn't or can't be compared. `published_error` says why the published file can't
    be read.
    """

    con: Connection
    account: Account
    now: dt.datetime
    overdue: tuple[Overdue, ...] = ()
    written: Fingerprint | None = None
    published: Fingerprint | None = None
    published_error: Text | None = None

    def findings(self, endpoint: Endpoint, sql: str, what: Callable[..., Text]) -> "list[Finding]":
        """Run a SELECT of the fields of `Finding`, without the last one or with it; it may use `$account`, `$endpoint`.

        In place of the text, the SELECT has a STRUCT of values, from which `what` makes the text: `Text.fill`, or a
        function whose parameters are the fields of the STRUCT.
        """
        given = {"account": self.account.name, "endpoint": endpoint.name}
        used = {name: value for name, value in given.items() if f"${name}" in sql}
        found = self.con.execute(sql, used).fetchall()
        return [
            Finding(str(date), what(**values), str(name), str(begin), str(end), *map(bool, informational))
            for date, values, name, begin, end, *informational in found
        ]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem: the date it is about, the row or the numbers in words, and what to request again to resolve it.

    `endpoint`, `begin` and `end` are what to request again. An `informational` finding is shown but fails no check.
    """

    ref_date: str
    what: Text
    endpoint: str
    begin: str
    end: str
    informational: bool = False


class RemedyAction(Enum):
    """The action that resolves a check: request labels again, request missing ones, publish the file again, or none."""

    REFRESH = "heal"
    FETCH = "backfill"
    PUBLISH = "replay"
    NOTHING = ""


@dataclass(frozen=True, slots=True)
class Remedy:
    """How to resolve a failed check: advice, and the command."""

    advice: Text
    action: RemedyAction = RemedyAction.NOTHING

    @property
    def command(self) -> str:
        """The command without its options; empty if there is none."""
        return self.action.value


REFRESH_REMEDY = Remedy(
    Text(
        "A clean answer resolves it: request it again with the command under how to heal, or by a run with"
        " `refresh: true`.",
        "重新获取后即可恢复。",
    ),
    RemedyAction.REFRESH,
)
REFRESH_OLDER_REMEDY = Remedy(
    Text(
        "One of the two is out of date. The command under how to heal fetches the older one again; if they still"
        " differ, the check then names the other. If fresh answers of both differ, WeChat's own figures don't agree:"
        " tell its support, with the rid in datacube.api_calls.",
        "两者之一已过时：请用 how to heal 中的命令重新获取；若都重新获取后仍不一致，则是微信数据本身不一致。",
    ),
    RemedyAction.REFRESH,
)


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its name, what it verifies, how to find problems of an endpoint, and the remedy.

    `is_error` marks a check that fails as an error, not as a warning. `is_doubt` marks one whose findings may be right:
    its alerts ask for no action. `concerns` says which endpoints have the check.
    """

    name: str
    description: str
    find: Callable[[CheckContext, Endpoint], list[Finding]]
    remedy: Remedy = REFRESH_REMEDY
    is_error: bool = False
    is_doubt: bool = False
    concerns: Callable[[Endpoint], bool] = lambda endpoint: True
