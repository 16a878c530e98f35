"""Facts: what is known about an account's past without asking the program, and the figures at WeChat.

Add a fact here if an invariant needs one that the published file doesn't show. `life` keeps the facts up to date.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Family
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.emulator.statistics import DAY, TITLES_SINCE
from wx_datacube_tests.answers import answered
from wx_datacube_tests.reference import Label, Reference
from wx_datacube_tests.reference_rows import Key, Reading, Values, fields_of

BEGINNING = dt.datetime(2025, 11, 17, 14)
"""When every life begins: a Monday afternoon, two weeks after the first article figures."""
HISTORY = dt.timedelta(days=25)
"""How far the accounts' history goes back at that time."""

Of = tuple[str, dt.date]
"""A label of an account, by the endpoint's name."""
Tables = dict[str, dict[Key, Values]]
"""The rows of a label by key, for each table of its endpoint that has any."""


class Seen(NamedTuple):
    """What an answer about a growing label could show: figures `until` that day, and titles or none."""

    until: dt.date
    titles: bool


@dataclass
class Facts:
    """The known facts about one account's past, independent of the program."""

    lies_since: dt.datetime | None = None
    """Since when the current weather makes WeChat give wrong answers; None if it doesn't."""
    lies_about: tuple[Family, ...] = tuple(Family)
    """The families about which it gives wrong answers."""
    adds_rows: bool = False
    """Whether these have rows that aren't true. A later answer without them doesn't remove them."""
    doubtful: dict[Of, dt.datetime] = field(default_factory=dict)
    """Labels whose stored figures may differ from the true ones, and since when."""
    restated: set[Of] = field(default_factory=set)
    """Those of them that may have rows which are no longer true, until they are refreshed."""
    contradicted: set[Of] = field(default_factory=set)
    """Labels that had landed before WeChat gave a different answer for them."""
    landed: set[Of] = field(default_factory=set)
    """Labels that have landed."""
    refreshed: set[Of] = field(default_factory=set)
    """Labels that a person has refreshed."""
    seen: dict[Of, Seen] = field(default_factory=dict)
    """What the answer in force could show, for labels whose figures grow."""
    whole_from: dict[Family, dt.date] = field(default_factory=dict)
    """The first day on which no label of a family was overdue, since the family has been on."""
    on_since: dict[Family, dt.datetime] = field(default_factory=dict)
    """When a family was switched on, if not at the beginning."""
    errcodes: dict[str, int] = field(default_factory=dict)
    """The errcode of each endpoint's last answer, if it was an error."""
    wrong: bool = False
    """Whether anything was wrong since the messages were last checked."""
    weather_since: dt.datetime = BEGINNING
    heals: int | None = 1
    """The number of mornings in this weather after which no label is overdue; None if that isn't guaranteed."""

    def lied(self, endpoint: Endpoint, at: dt.datetime) -> bool:
        """Return whether WeChat gave wrong answers about the endpoint at that time."""
        return self.lies_since is not None and at >= self.lies_since and endpoint.family in self.lies_about


def seen_at(emulated: EmulatedAccount, at: dt.datetime) -> Seen:
    """Return what an answer at that time can show, by the current options of the emulator."""
    newest = at.date() - (DAY if at.time() >= emulated.options.publish_at else 2 * DAY)
    return Seen(newest, at.date() >= TITLES_SINCE)


def tables_at_wechat(emulated: EmulatedAccount, endpoint: Endpoint, label: dt.date, seen: Seen | None) -> Tables:
    """Return the rows of a label at WeChat, nested ones included, as they are stored."""
    rows = emulated.world.rows(endpoint, label, seen.until if seen else None)
    if seen and not seen.titles:
        rows = [{name: value for name, value in row.items() if name not in ("title", "content_url")} for row in rows]
    call = answered(endpoint, label, None, *rows)
    reading = Reading(0, call, endpoint, False)
    reading.read(endpoint.table, fields_of(call.response or "")["list"], "$.list", None)
    return {name: found for (name, _), found in reading.rows.items() if found}


def tables_stored(reference: Reference, label: Label, endpoint: Endpoint) -> Tables:
    """Return the stored rows of a label, nested ones included."""
    own = reference.stored.get(label, {})
    tables = {each.name: reference.nested.get((each.name, label), {}) for each in endpoint.relations if each.parent}
    return {
        name: {key: values for key, (values, _) in rows.items()}
        for name, rows in ({endpoint.name: own} | tables).items()
        if rows
    }


def endpoints_of(families: Iterable[Family]) -> list[Endpoint]:
    """Return the endpoints of the families, in the catalog's order."""
    return [each for each in ENDPOINTS if each.family in families]
