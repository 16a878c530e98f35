"""Check: what a check is, what it goes by, what it finds, and what heals it.

Nothing here asks the warehouse anything: that is what the entries of `CHECKS` do.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import duckdb

from wx_datacube.catalog.endpoints import Endpoint
from wx_datacube.warehouse.overdue import Overdue


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one of the two files holds of an account, briefly enough to be compared with the other.

    `tables` has for each endpoint its calls, its rows, and a fingerprint of all rows.
    """

    last_call: int
    last_call_at: dt.datetime | None
    tables: dict[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What checks go by: an account's tables, its first day, the time, and both files' contents where there are both.

    `overdue` are the account's settled labels that are missing; `fault` says why the published file can't be read.
    """

    con: duckdb.DuckDBPyConnection
    account: str
    start: dt.date
    now: dt.datetime
    overdue: tuple[Overdue, ...] = ()
    written: Fingerprint | None = None
    published: Fingerprint | None = None
    fault: str | None = None

    def findings(self, endpoint: Endpoint, sql: str) -> "list[Finding]":
        """What a SELECT of the first five fields of `Finding` by `$account` and `$endpoint` finds."""
        given = {"account": self.account, "endpoint": endpoint.name}
        used = {name: value for name, value in given.items() if f"${name}" in sql}
        found = self.con.execute(sql, used).fetchall()
        return [
            Finding(str(date), str(what), str(name), str(begin), str(end)) for date, what, name, begin, end in found
        ]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: the date it is about, the row or the numbers, and what to ask again so that it may heal.

    One that is `informational` is worth telling and fails nothing.
    """

    ref_date: str
    what: str
    endpoint: str
    begin: str
    end: str
    informational: bool = False


class By(Enum):
    """What heals a check: labels asked again, missing ones asked, or the file published again; nothing of ours."""

    ASKING_AGAIN = "heal"
    ASKING = "backfill"
    PUBLISHING = "replay"
    NOTHING = ""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What heals a check, in both languages, and the command for it."""

    advice: str
    by: By = By.NOTHING

    @property
    def command(self) -> str:
        """The command, without its options; empty where there is none."""
        return self.by.value


REFRESH = Remedy(
    "A clean answer heals it: ask WeChat again with the command under how to heal, or by a run with `refresh: true`."
    " 重新获取后即可恢复。",
    By.ASKING_AGAIN,
)


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its name: what it guards, how grave a failure is, what it finds for an endpoint, and what heals it.

    `concerns` says for which endpoints there is such a check.
    """

    name: str
    description: str
    find: Callable[[CheckContext, Endpoint], list[Finding]]
    cure: Remedy = REFRESH
    grave: bool = False
    concerns: Callable[[Endpoint], bool] = lambda endpoint: True
