"""Invariants: what must always hold, as data. Each yields a text for every violation.

Add an entry to `INVARIANTS`, with the moments when it is checked. None of them relies on the program's own judgement:
the truth comes from the emulator, from the published file and from the rules in plain Python.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby, islice
from operator import itemgetter

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS, RELATIONS
from wx_datacube.catalog.model import HISTORY_START, Endpoint, Period
from wx_datacube.catalog.periods import label_of, midnight_of, settled_at
from wx_datacube.config.settings import Account
from wx_datacube.warehouse.checks import check_context_of_readers, checks_of, run_check
from wx_datacube.warehouse.coverage import coverage
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.answers import everything
from wx_datacube_tests.reference_rows import parsed
from wx_datacube_tests.walk.facts import Tables
from wx_datacube_tests.walk.life import MISSING, PERSON, Life, days_of

CHECKS = {check.name for endpoint in ENDPOINTS for check in checks_of(endpoint)}


_SHOWN = 10
"""The most violations of one invariant that are shown."""


class Moment(Enum):
    """When an invariant is checked."""

    ACTION = "after every action"
    LOOK = "at 12:40, after the checks of a morning"
    QUIET = "after a day on which nothing went wrong"
    END = "at the end"


@dataclass(frozen=True)
class Invariant:
    """Something that always holds."""

    name: str
    when: tuple[Moment, ...]
    holds: Callable[[Life], Iterator[str]]


def broken(life: Life, moment: Moment) -> list[str]:
    """Return the violations at this moment, each with the invariant's name before a colon."""
    life.take_ledger()
    complaints, life.complaints = life.complaints, []
    found = [
        f"{each.name}: {problem}"
        for each in INVARIANTS
        if moment in each.when
        for problem in islice(each.holds(life), _SHOWN)
    ]
    return [*complaints, *found]


# --- the file ----------------------------------------------------------------------------------------------------


def _keys_are_unique(life: Life) -> Iterator[str]:
    if not life.database.exists():
        return
    with life.reading() as con:
        for table in RELATIONS:
            key = ", ".join(["account", *(column.name for column in table.key)])
            twice = con.execute(f"SELECT {key} FROM datacube.{table.name} GROUP BY ALL HAVING count(*) > 1").fetchall()
            if twice:
                yield f"{table.name} {twice[0]}"


def _tables_follow_the_rules(life: Life) -> Iterator[str]:
    if not life.database.exists():
        return
    members = {name: member for member, name in life.names.items()}
    with life.reading() as con:
        tables = everything(con)
    tables["rejected_rows"] = [(*start, parsed(text), why, path) for *start, text, why, path in tables["rejected_rows"]]
    expected = life.reference.tables()
    for name, rows in tables.items():
        found = sorted(repr((members[account], *rest)) for account, *rest in rows)
        wanted = sorted(map(repr, expected[name]))
        if found != wanted:
            more, less = set(found) - set(wanted), set(wanted) - set(found)
            yield f"{name} has {len(more)} extra rows {sorted(more)[:1]} and lacks {len(less)} {sorted(less)[:1]}"


def _landed_labels_stay(life: Life) -> Iterator[str]:
    for member in life.members():
        facts = life.facts[member]
        landed = {
            (label.endpoint, label.date)
            for label, rows in life.reference.stored.items()
            if label.account == member and rows
        }
        for gone in facts.landed - landed - facts.refreshed:
            yield f"{member} {gone[0]} {gone[1]} had landed"
        facts.landed = landed


def _figures_equal_wechats(life: Life) -> Iterator[str]:
    """What WeChat calls final, and what it says at the moment about growing figures, is stored as it is there."""
    for member in life.members():
        facts = life.facts[member]
        for name, labels in life.states(member).items():
            endpoint = BY_NAME[name]
            for label, state in labels.items():
                if state == "missing" or label < HISTORY_START or life.is_delayed(member, endpoint, label):
                    continue
                stored, truth = life.stored(member, endpoint, label), life.truth(member, endpoint, label)
                if stored == truth:
                    facts.doubtful.pop((name, label), None)
                    facts.restated.discard((name, label))
                elif (why := _untrue(life, member, endpoint, label)) is not None:
                    yield f"{member} {name} {label} is {state}{why}: {_difference(stored, truth)}"


def _difference(stored: Tables, truth: Tables) -> str:
    """Return the first row that differs."""
    for name in sorted({*stored, *truth}):
        here, there = stored.get(name, {}), truth.get(name, {})
        for key in sorted({*here, *there}, key=repr):
            if here.get(key) != there.get(key):
                return f"{name} {key} has {here.get(key)}, at WeChat {there.get(key)}"[:600]
    return "nothing"


def _untrue(life: Life, member: str, endpoint: Endpoint, label: dt.date) -> str | None:
    """Return why the stored figures must be true although they aren't; None if that can't be known."""
    facts, answer = life.facts[member], life.answer_of(member, endpoint, label)
    of = endpoint.name, label
    if of in facts.restated:
        return None
    since = facts.doubtful.get(of)
    if since is None and endpoint.implied_by_silence and answer is None:
        since = facts.doubtful.get((endpoint.days, label))  # an implied label is as doubtful as its day
    if since is None:
        return ""
    if answer is not None and answer.clean and answer.settled and answer.fetched_at > since:
        return f", and was answered at {answer.fetched_at}"
    return None


def _turns_are_taken(life: Life) -> Iterator[str]:
    for member in life.members():
        for name, labels in groupby(life.turns(member), key=itemgetter(0)):
            yield f"{member} {name} has open labels that were not requested: {[str(label) for _, label in labels][:5]}"


def _states_follow_the_rules(life: Life) -> Iterator[str]:
    """Every due label of the families that are on has the state of the reference, and is final or not."""
    for member in life.members() if life.database.exists() else ():
        account = Account(life.names[member], start=life.start, families=life.families[member])
        expected = life.states(member)
        with life.reading() as con:
            found = {
                each.name: coverage(con, account, each, list(expected.get(each.name, ())), life.now)
                for each in account.endpoints
            }
        for name, labels in expected.items():
            states = {each.label: (str(each.state), each.final) for each in found[name]}
            wanted = {label: (state, life.is_final(member, name, label)) for label, state in labels.items()}
            for label in wanted:
                if states.get(label) != wanted[label]:
                    yield f"{member} {name} {label} is {states.get(label)}, not {wanted[label]}"
                    break


# --- completeness ------------------------------------------------------------------------------------------------


def _everything_due_is_stored(life: Life) -> Iterator[str]:
    for member in life.members():
        for name, missing in groupby(life.overdue(member), key=itemgetter(0)):
            labels = [label for _, label in missing]
            yield f"{member} {name} lacks {labels[0]} … {labels[-1]} ({len(labels)})"


# --- alerts and status -------------------------------------------------------------------------------------------


def _said(life: Life, member: str) -> list[str]:
    """Return what `status` reports as needing a person; without findings of checks if WeChat contradicted itself.

    `_checks_flag_only_real_changes` checks whether those findings are right.
    """
    said = life.needs_person(member)
    if life.facts[member].contradicted:
        said = [each for each in said if not any(check in each for check in CHECKS)]
    return said


def _lasting_problems_are_reported(life: Life) -> Iterator[str]:
    """`status` and the chat report lasting problems; `status` reports nothing if nothing is wrong."""
    midnight = midnight_of(life.now)
    for member in life.members():
        missing, said = life.missing(member), _said(life, member)
        lasting = {(name, label) for name, label in missing if settled_at(label, BY_NAME[name].period) < midnight}
        if lasting and not said:
            yield f"{member}: {sorted(lasting)[0]} has been missing since yesterday, and status doesn't report it"
        if lasting and life.now.date() in life.judged_on - life.chat_down_on:
            since = max(settled_at(label, BY_NAME[name].period) for name, label in lasting)
            called = [each for each in life.heard if each.account == life.names[member] and each.at >= since]
            if not any(PERSON in each.heading and MISSING in each.text for each in called):
                yield f"{member}: {sorted(lasting)[-1]} has been missing since yesterday, and the chat got no alert"
        if said and not life.something_is_wrong(member):
            yield f"{member}: nothing is wrong, but status says {said}"


def _no_alert_is_false(life: Life) -> Iterator[str]:
    """An alert in the chat was true when it arose; one that the chat did not accept may arrive the next morning."""
    members = {name: member for member, name in life.names.items()}
    for each in life.heard:
        member = members.get(each.account) if each.at.date() == life.now.date() and PERSON in each.heading else None
        if member is not None and MISSING in each.text and not life.facts[member].wrong:
            yield f"{member}: at {each.at:%H:%M} the chat got {each.text}"
    for member, facts in life.facts.items():
        facts.wrong = life.something_is_wrong(member)


def _no_alert_is_sent_twice(life: Life) -> Iterator[str]:
    today = [(each.account, each.heading, each.text) for each in life.heard if each.at.date() == life.now.date()]
    for each in {one for one in today if today.count(one) > 1}:
        yield f"{each}"


def _status_reports_no_problem(life: Life) -> Iterator[str]:
    for member in life.members():
        if (said := _said(life, member)) and not life.refused(member):
            yield f"{member}: {said}"


def _checks_flag_only_real_changes(life: Life) -> Iterator[str]:
    """A check flags only what WeChat has restated or answered wrongly; a doubt may be about a figure that is right."""
    for member in life.members():
        facts, name = life.facts[member], life.names[member]
        days = {day for of, label in facts.contradicted for day in days_of(label, BY_NAME[of].period)}
        account = Account(name, start=life.start, families=life.families[member])
        with check_context_of_readers(
            Warehouse(life.database, clock=lambda: life.now), account, account.endpoints
        ) as check_context:
            for endpoint in account.endpoints:
                for check in (each for each in checks_of(endpoint) if not each.is_doubt):
                    for finding in run_check(check, check_context, endpoint):
                        about = dt.date.fromisoformat(finding.ref_date)
                        if not finding.informational and not days.intersection(_days_about(about)):
                            yield f"{member}: {check.name} finds {finding.what} in {endpoint.name} {about}"


def _days_about(label: dt.date) -> set[dt.date]:
    """Return the days of every period with this label: a check of days may also find a week or a month."""
    return {day for period in Period if label_of(label, period) == label for day in days_of(label, period)}


def _dagster_agrees(life: Life) -> Iterator[str]:
    for member in life.members():
        held = life.materialized(member)
        for name, labels in life.states(member).items():
            there = {label for label, state in labels.items() if state != "missing"}
            if there != held[name]:
                yield f"{member} {name}: {sorted(there ^ held[name])[:3]} of {len(there)}"


def _no_secret_is_written(life: Life) -> Iterator[str]:
    secrets = {life.emulated(member).options.secret for member in life.members()}
    secrets |= {token.text for member in life.members() for token in life.emulated(member).tokens._given.values()}
    for path in life.folder.rglob("*"):
        if path.is_file() and path.name != ".env":
            content = path.read_bytes()
            if any(secret.encode() in content for secret in secrets):
                yield f"{path}"


INVARIANTS = (
    Invariant("keys are unique", (Moment.QUIET, Moment.END), _keys_are_unique),
    Invariant("tables follow the rules", (Moment.LOOK, Moment.END), _tables_follow_the_rules),
    Invariant("states follow the rules", (Moment.LOOK, Moment.END), _states_follow_the_rules),
    Invariant("landed labels stay", (Moment.ACTION,), _landed_labels_stay),
    Invariant("everything due is stored", (Moment.QUIET,), _everything_due_is_stored),
    Invariant("open labels are requested on their days", (Moment.QUIET,), _turns_are_taken),
    Invariant("figures equal WeChat's", (Moment.QUIET, Moment.END), _figures_equal_wechats),
    Invariant("lasting problems are reported, and no others", (Moment.LOOK,), _lasting_problems_are_reported),
    Invariant("no alert is false", (Moment.LOOK,), _no_alert_is_false),
    Invariant("no alert is sent twice", (Moment.LOOK,), _no_alert_is_sent_twice),
    Invariant("status reports no problem", (Moment.QUIET,), _status_reports_no_problem),
    Invariant("Dagster agrees with the file", (Moment.QUIET,), _dagster_agrees),
    Invariant("no secret is written", (Moment.END,), _no_secret_is_written),
    Invariant("checks flag only real changes", (Moment.QUIET,), _checks_flag_only_real_changes),
)
