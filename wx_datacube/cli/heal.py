"""Heal: requests again the labels that failing checks name, in the fewest calls, until the checks pass.

The same command then follows up on the new answers: a day that turns out to have changed makes its hours, distribution,
week and month suspect. No label is requested twice.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

import click

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.cli.backfill import run_backfill
from wx_datacube.config.settings import Account, Settings
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.operations.backfill_protocol import Scope
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.checks import (
    CHECKS,
    Finding,
    RemedyAction,
    check_context_of_readers,
    checks_of,
    labels_to_refresh,
    run_check,
)
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import last_call

HEALABLE = tuple(check.name for check in CHECKS if check.remedy.action is RemedyAction.REFRESH)
"""The checks that a new, clean answer heals."""
_SHOWN = 8
"""The most findings listed at the end; the newest are listed."""

Labels = set[tuple[str, dt.date]]
"""Labels, each with the name of its endpoint."""


def run_heal(settings: Settings, account: Account, names: Sequence[str]) -> int:
    """Heal what the checks of these names find, or all of `HEALABLE`; return the exit code."""
    settings.require_project()  # fails before anything is announced
    chosen = names or HEALABLE
    found, due, last = _examine(settings, account)
    wanted = _labels(found, chosen) & due
    others = _labels(found, HEALABLE) - wanted
    done: Labels = set()
    while wanted:
        scope = _scope(wanted, last)
        _announce(account, scope, follow_up=bool(done))
        if code := run_backfill(settings, account, scope):
            return code
        done |= wanted
        found, due, last = _examine(settings, account)
        wanted = (_labels(found, chosen) | _labels(found, HEALABLE) - others) & due - done
    if done:
        from wx_datacube.orchestration.backfill_runs import run_checks_now

        run_checks_now(settings, account.name)
    return _show_outcome(account, [each for name in chosen for each in found[name]], bool(done))


def _examine(settings: Settings, account: Account) -> tuple[dict[str, list[Finding]], Labels, int]:
    """Return each check's current findings, the labels that may be requested, and the newest call they are based on."""
    warehouse = Warehouse(settings.database)
    found: dict[str, list[Finding]] = {name: [] for name in HEALABLE}
    with check_context_of_readers(warehouse, account, account.endpoints) as check_context:
        for endpoint in account.endpoints:
            for check in checks_of(endpoint):
                if check.name in found:
                    found[check.name] += run_check(check, check_context, endpoint)
        states = known.states(check_context.con, account, check_context.now)
        last = last_call(check_context.con)
    asked = ((name, label, state) for name, labels in states.items() for label, state in labels.items())
    return found, {(name, label) for name, label, state in asked if state is not State.IMPLIED}, last


def _labels(found: dict[str, list[Finding]], names: Iterable[str]) -> Labels:
    findings = [each for name in names for each in found[name]]
    return {(endpoint.name, label) for endpoint, labels in labels_to_refresh(findings).items() for label in labels}


def _scope(wanted: Labels, last: int) -> Scope:
    by_name = {name: frozenset(label for each, label in wanted if each == name) for name, _ in wanted}
    return Scope(endpoints=[BY_NAME[name] for name in by_name], refresh=True, labels=by_name, after_call_id=last)


def _announce(account: Account, scope: Scope, follow_up: bool) -> None:
    labels = scope.labels or {}
    calls = sum(len(plan_windows(BY_NAME[name], of)) for name, of in labels.items())
    number = sum(map(len, labels.values()))
    why = "labels affected by the new answers" if follow_up else "failed checks"
    click.echo(f"{account.name}: requesting again: {why}: {_counted(number, 'label')}, {_counted(calls, 'call')}")
    for endpoint in scope.endpoints:
        dates = sorted(labels[endpoint.name])
        span = f"{dates[0]}" if len(dates) == 1 else f"{len(dates):,} labels from {dates[0]} to {dates[-1]}"
        click.echo(f"  {endpoint.name}: {span}")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _show_outcome(account: Account, left: Sequence[Finding], healed: bool) -> int:
    if not left:
        click.echo(f"{account.name}: {'healed, the checks pass' if healed else 'nothing to heal, the checks pass'}.")
        return 0
    still = "problems remain after WeChat's new answers" if healed else "problems found that can't be requested again"
    click.echo(f"{account.name}: {len(left):,} {still}:", err=True)
    for each in left[:_SHOWN]:
        click.echo(f"  {each.endpoint} {each.ref_date}: {each.what}", err=True)
    if healed:
        click.echo("The cause is at WeChat: contact its support with the rid in datacube.api_calls.", err=True)
    else:
        start = f"{account.variable('START')}={account.start}"
        click.echo(f"Labels before {start} are requested again only after you set an earlier date.", err=True)
    return 1
