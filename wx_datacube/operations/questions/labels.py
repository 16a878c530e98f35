"""Labels: what of a range is known, missing or not final, in the accounts that a question is about.

Every answer says this of its range. Add here what an answer needs to know of labels; their states are decided in
`warehouse.label_states`.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wx_datacube.catalog.model import HISTORY_START, Endpoint, Family
from wx_datacube.catalog.periods import due_on, join_ranges
from wx_datacube.config.settings import Account
from wx_datacube.operations.questions.dates import Range, Refused
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import State, states_between

_RANGES, _ENTRIES = 20, 60
"""Ranges of an endpoint that an answer lists, the newest ones, and endpoints of accounts."""
_MANY, _NEWEST = 20, dt.timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Context:
    """What a tool answers from: the published file, the Beijing time, and the titles of the accounts by name."""

    con: Connection
    now: dt.datetime
    titles: Mapping[str, str]

    @property
    def today(self) -> dt.date:
        """Today in Beijing; its figures come tomorrow."""
        return self.now.date()

    def accounts(self, name: str | None) -> list[Account]:
        """Return the account of that name or title (公众号名称), or all that are stored; raise `Refused`."""
        found = self.con.execute("SELECT account, start_date, families FROM datacube.accounts ORDER BY 1").fetchall()
        stored = [Account(each, start=start, families=tuple(map(Family, families))) for each, start, families in found]
        if not stored:
            raise Refused("The file has no account yet.", advice="Fetch the figures: wx-datacube backfill")
        chosen = [each for each in stored if not name or name in (each.name, self.titles.get(each.name))]
        if not chosen:
            names = ", ".join(self.named(each.name) for each in stored[:50])
            raise Refused(f"There is no account {name!r} in the file.", advice=f"Accounts: {names}.")
        return chosen

    def named(self, account: str) -> str:
        """Return an account's name, with its title if it has one."""
        return f"{account} ({self.titles[account]})" if account in self.titles else account


@dataclass(frozen=True, slots=True)
class Labels:
    """The due labels of a range with state and finality, by account and endpoint."""

    found: Mapping[tuple[str, Endpoint], Mapping[dt.date, tuple[State, bool]]]

    def known(self, account: str) -> set[dt.date]:
        """Return the account's labels that are known of every endpoint."""
        by_endpoint = [
            {label for label, (state, _) in labels.items() if state is not State.MISSING}
            for (name, _), labels in self.found.items()
            if name == account
        ]
        return set.intersection(*by_endpoint) if by_endpoint else set()

    @property
    def notice(self) -> dict[str, object]:
        """What is missing, and what WeChat may still change by its own word, as every answer has it."""
        return {
            "missing": self._listed(lambda state, _: state is State.MISSING),
            "not_final": self._listed(lambda state, final: state is State.LANDED and not final),
        }

    def _listed(self, is_meant: Callable[[State, bool], bool]) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = []
        for (account, endpoint), labels in self.found.items():
            dates = spans((label for label, each in labels.items() if is_meant(*each)), endpoint)
            if dates:
                more = [f"and {len(dates) - _RANGES} earlier ranges"] if len(dates) > _RANGES else []
                listed.append({"account": account, "endpoint": endpoint.name, "dates": dates[-_RANGES:] + more})
        left = len(listed) - _ENTRIES
        return listed if left <= 0 else [*listed[:_ENTRIES], {"and": f"{left} more: ask for one account"}]


def spans(labels: Iterable[dt.date], endpoint: Endpoint) -> list[str]:
    """Return labels as dates and ranges of dates, oldest first, such as `2026-11-05..2026-11-06`."""
    joined = join_ranges(((label, label) for label in labels), lambda label: due_on(label, endpoint.period))
    return [str(first) if first == last else f"{first}..{last}" for first, last in joined]


def read_labels(context: Context, accounts: Sequence[Account], endpoints: Sequence[Endpoint], days: Range) -> Labels:
    """Read the states of the endpoints' labels that are due in a range, of the accounts that fetch their family.

    If none does, they are read of all of them. A week or month is in the range if one of its days is.
    """
    return _labels(context, accounts, endpoints, days, unsure=False)


def read_notice(
    context: Context,
    accounts: Sequence[Account],
    endpoints: Sequence[Endpoint] | None = None,
    days: Range | None = None,
) -> dict[str, object]:
    """Read only what is missing or not final, by default of all families that are on, in the whole history.

    The history of many accounts would take too much memory: then only the newest days are checked. The notice says
    which days were.
    """
    first = HISTORY_START if len(accounts) <= _MANY else context.today - _NEWEST
    days = days or (first, context.today)
    return _labels(context, accounts, endpoints or [None], days, unsure=True).notice | {
        "checked": f"{days[0]}..{days[1]}"
    }


def _labels(
    context: Context, accounts: Sequence[Account], endpoints: Sequence[Endpoint | None], days: Range, *, unsure: bool
) -> Labels:
    found: dict[tuple[str, Endpoint], dict[dt.date, tuple[State, bool]]] = {}
    for each in endpoints:
        fetching = [account for account in accounts if each is None or each.family in account.families] or accounts
        rows = states_between(context.con, fetching, each, days, context.now, unsure=unsure)
        for account, endpoint, label, state, final in rows:
            found.setdefault((account, endpoint), {})[label] = state, final
    return Labels(found)
