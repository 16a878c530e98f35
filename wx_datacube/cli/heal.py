"""Heal: requests again the labels that failing checks name, in the fewest calls, until the checks pass.

The same command then follows up on the new answers: a day that turns out to have changed makes its hours, distribution,
week and month suspect. No label is requested twice.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.cli.backfill import run_backfill
from wx_datacube.cli.console import say
from wx_datacube.config.settings import Account, Settings
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.language import Text, joined
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
    why = Text("failed checks", "未通过的检查")
    if follow_up:
        why = Text("labels affected by the new answers", "受新返回影响的数据")
    say(
        Text(
            "{account}: requesting again: {why}: {number:,} label{ss}, {calls:,} call{s}",
            "{account}：重新获取（{why}）：{number:,} 项，调用 {calls:,} 次",
            account=account.name,
            why=why,
            number=number,
            ss="" if number == 1 else "s",
            calls=calls,
            s="" if calls == 1 else "s",
        )
    )
    for endpoint in scope.endpoints:
        dates = sorted(labels[endpoint.name])
        span = Text(
            "{number:,} labels from {first} to {last}",
            "{first} 至 {last}，共 {number:,} 项",
            number=len(dates),
            first=dates[0],
            last=dates[-1],
        )
        say(joined([f"  {endpoint.name}", span if len(dates) > 1 else str(dates[0])], ": ", "："))


def _show_outcome(account: Account, left: Sequence[Finding], healed: bool) -> int:
    if not left:
        passed = Text(
            "{account}: nothing to heal, the checks pass.", "{account}：检查均已通过，没有需要重新获取的数据。"
        )
        if healed:
            passed = Text("{account}: healed, the checks pass.", "{account}：已重新获取，检查均已通过。")
        say(passed.fill(account=account.name))
        return 0
    still = Text(
        "{account}: {number:,} problems found that can't be requested again:",
        "{account}：发现 {number:,} 个问题，但无法重新获取：",
    )
    if healed:
        still = Text(
            "{account}: {number:,} problems remain after WeChat's new answers:",
            "{account}：重新获取之后仍有 {number:,} 个问题：",
        )
    say(still.fill(account=account.name, number=len(left)), err=True)
    for each in left[:_SHOWN]:
        say(joined([f"  {each.endpoint} {each.ref_date}", each.what], ": ", "："), err=True)
    advice = Text(
        "Labels before {start} are requested again only after you set an earlier date.",
        "早于 {start} 的数据，需先改为更早的日期才会重新获取。",
        start=f"{account.variable('START')}={account.start}",
    )
    if healed:
        advice = Text(
            "The cause is at WeChat: contact its support with the rid in datacube.api_calls.",
            "问题出在微信：请凭 datacube.api_calls 中的 rid 联系微信客服。",
        )
    say(advice, err=True)
    return 1
