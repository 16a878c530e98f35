"""Checks: the warehouse's checks as Dagster asset checks. New checks belong in `warehouse.checks`.

A new check is an entry of `warehouse.checks.CHECKS`, not code here. Each check covers the whole table and is evaluated
by its asset's own op: a partitioned check leaves its result on no partition, and a separate check is not evaluated if
the step failed. See https://docs.dagster.io/guides/test/asset-checks.
"""

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from wx_datacube.catalog.model import Endpoint
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.language import Text, joined
from wx_datacube.warehouse.checks import (
    Check,
    CheckContext,
    Finding,
    RemedyAction,
    checks_of,
    date_ranges,
    labels_to_refresh,
    run_check,
)

_SHOWN = 8
"""Rows shown with a check result. They are text, since Dagster hides Markdown behind a link there."""
_WIDTH = 120
"""Most characters of a finding that a row shows."""
_FOUND, _ROWS, _HOW, _CALLS, _DATES = "found", "rows", "how to heal", "calls to heal", "dates"


def check_specs(key: dg.AssetKey, endpoint: Endpoint) -> list[dg.AssetCheckSpec]:
    """Return the specs of an asset's checks; none of them blocks downstream assets."""
    return [dg.AssetCheckSpec(check.name, asset=key, description=check.description) for check in checks_of(endpoint)]


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What a check of an asset found: `findings` fail it, `notes` don't; both are newest first."""

    check: Check
    key: dg.AssetKey
    findings: Sequence[Finding]
    notes: Sequence[Finding]

    @property
    def result(self) -> dg.AssetCheckResult:
        """The outcome as Dagster shows it."""
        return dg.AssetCheckResult(
            passed=not self.findings,
            asset_key=self.key,
            check_name=self.check.name,
            severity=dg.AssetCheckSeverity.ERROR if self.check.is_error else dg.AssetCheckSeverity.WARN,
            description=(_summary(self.check, self.findings) if self.findings else _nothing(self.notes)).both(),
            metadata=_metadata(self.check, self.key, self.findings),
        )

    @property
    def summary(self) -> Text:
        """A failed check in one line, for a log or a chat, with the commands that heal it."""
        how = " ; ".join(_commands(self.check, self.key, self.findings))
        return Text(
            "{asset}: {check}: {first}. {heal}",
            "{asset}：检查 {check} 未通过：{first}。{heal}",
            asset=self.key.to_user_string(),
            check=self.check.name,
            first=_row(self.findings[0]),
            heal=Text("to heal: {how}", "处理：{how}", how=how) if how else self.check.remedy.advice,
        )

    def alert_subjects(self, endpoint: str) -> list[str]:
        """Return the subjects of a failed check's alert: one per date that a new request heals, else the endpoint."""
        if self.check.remedy.action is not RemedyAction.REFRESH:
            return [endpoint]
        return [f"{endpoint} {each}" for each in date_ranges(self.findings)]


def check_outcomes(check_context: CheckContext, endpoint: Endpoint, key: dg.AssetKey) -> Iterator[CheckOutcome]:
    """Run every check of an asset on a check context."""
    for check in checks_of(endpoint):
        found = run_check(check, check_context, endpoint)
        findings, notes = ([each for each in found if each.informational is kind] for kind in (False, True))
        yield CheckOutcome(check, key, findings, notes)


def to_evaluation(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """Convert a result to the event to log if no asset returns the result."""
    assert result.asset_key is not None
    assert result.check_name is not None
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )


def evaluations_to_log(
    instance: dg.DagsterInstance, results: Sequence[dg.AssetCheckResult]
) -> list[dg.AssetCheckEvaluation]:
    """Return the results to log as events: those that differ from the newest that Dagster shows, or is a week old."""
    found = [to_evaluation(each) for each in results]
    shown = instance.event_log_storage.get_latest_asset_check_execution_by_key([each.asset_check_key for each in found])
    return [each for each in found if not _is_shown(each, shown.get(each.asset_check_key))]


_SHOWN_AGAIN_AFTER = dt.timedelta(days=7)


def _is_shown(evaluation: dg.AssetCheckEvaluation, record: Any) -> bool:
    """Return whether Dagster's record of the check has the same result, and is recent."""
    newest = record.evaluation if record else None
    if not isinstance(newest, dg.AssetCheckEvaluation):  # no record, or a run planned the check and did not evaluate it
        return False
    recent = time.time() - record.event.timestamp < _SHOWN_AGAIN_AFTER.total_seconds()
    return recent and _outcome(newest) == _outcome(evaluation)


def _outcome(evaluation: dg.AssetCheckEvaluation) -> tuple[object, ...]:
    return evaluation.passed, evaluation.severity, evaluation.description, dict(evaluation.metadata)


def _nothing(notes: Sequence[Finding]) -> Text:
    rows = [Text("{row}.", "{row}。", row=_row(each)) for each in notes[:_SHOWN]]
    return joined([Text("Nothing found.", "没有发现问题。"), *rows])


def _summary(check: Check, findings: Sequence[Finding]) -> Text:
    what = _row(findings[0])
    if len(findings) > 1:
        shown = Text(" (the newest {n} are under rows)", "（最近 {n} 项见 rows）", n=_SHOWN)
        what = Text(
            "{number:,} findings{shown}; the newest: {what}",
            "共 {number:,} 项{shown}，最近：{what}",
            number=len(findings),
            shown=shown if len(findings) > _SHOWN else "",
            what=what,
        )
    return Text("{what}. {advice}", "{what}。{advice}", what=what, advice=check.remedy.advice)


def _row(finding: Finding) -> Text:
    what = finding.what.mapped(lambda text: text[:_WIDTH])
    return Text("{date}: {what}", "{date}：{what}", date=finding.ref_date, what=what)


def _metadata(check: Check, key: dg.AssetKey, findings: Sequence[Finding]) -> dict[str, dg.MetadataValue[Any]]:
    metadata: dict[str, dg.MetadataValue[Any]] = {_FOUND: dg.MetadataValue.int(len(findings))}
    if findings:
        metadata[_ROWS] = dg.MetadataValue.text("\n".join(str(_row(each)) for each in findings[:_SHOWN]))
        if commands := _commands(check, key, findings):
            metadata[_HOW] = dg.MetadataValue.text("\n".join(commands))
        if check.remedy.action is RemedyAction.REFRESH:
            windows = [plan_windows(endpoint, labels) for endpoint, labels in labels_to_refresh(findings).items()]
            metadata[_CALLS] = dg.MetadataValue.int(sum(map(len, windows)))
            metadata[_DATES] = dg.MetadataValue.text(" ".join(date_ranges(findings)))
    return metadata


def _commands(check: Check, key: dg.AssetKey, findings: Sequence[Finding]) -> list[str]:
    """Return the commands that heal the findings, one per endpoint if the command takes a range of dates."""
    if check.remedy.action is RemedyAction.NOTHING:
        return []
    command, account = f"wx-datacube {check.remedy.command}", key.path[-2]
    names = dict.fromkeys(finding.endpoint for finding in findings)
    by_endpoint = {name: [each for each in findings if each.endpoint == name] for name in names}
    if check.remedy.action is RemedyAction.PUBLISH:
        return [command]
    if check.remedy.action is RemedyAction.REFRESH:
        return [f"{command} --account {account} --check {check.name}"]
    return [
        f"{command} --account {account} --endpoint {name}"
        f" --start {min(each.begin for each in found)} --end {max(each.end for each in found)}"
        for name, found in by_endpoint.items()
    ]
