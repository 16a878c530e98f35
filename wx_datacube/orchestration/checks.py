"""Checks: the warehouse's checks as Dagster asset checks. New checks belong in `warehouse.checks`.

A new check is an entry of `warehouse.checks.CHECKS`, not code here. Each check covers the whole table and is evaluated
by its asset's own op: a partitioned check leaves its result on no partition, and a separate check is not evaluated if
the step failed. See https://docs.dagster.io/guides/test/asset-checks.
"""

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from wx_datacube.catalog.model import Endpoint
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.language import Text
from wx_datacube.warehouse.checks import (
    CHECKS,
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


def check_results(check_context: CheckContext, endpoint: Endpoint, key: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """Run every check of an asset on a check context."""
    for check in checks_of(endpoint):
        found = run_check(check, check_context, endpoint)
        findings = [each for each in found if not each.informational]
        yield dg.AssetCheckResult(
            passed=not findings,
            asset_key=key,
            check_name=check.name,
            severity=dg.AssetCheckSeverity.ERROR if check.is_error else dg.AssetCheckSeverity.WARN,
            description=_summary(check, findings) if findings else _nothing(found),
            metadata=_metadata(check, key, findings),
        )


def summary_line(result: dg.AssetCheckResult) -> Text:
    """Describe a failed check in one line, for a log or a chat, with the commands that heal it.

    The rows that a check finds are in English, so the Chinese text names only the newest date.
    """
    assert result.asset_key is not None
    shown = {name: value.value for name, value in (result.metadata or {}).items()}
    first = str(shown.get(_ROWS, "")).partition("\n")[0]
    how = str(shown.get(_HOW, "")).replace("\n", " ; ")
    advice = next(check.remedy.advice for check in CHECKS if check.name == result.check_name)
    return Text(
        "{asset}: {check}: {first}. {heal}",
        "{asset}：检查 {check} 未通过（{first}）。{heal}",
        asset=result.asset_key.to_user_string(),
        check=result.check_name,
        first=Text(first, f"{shown.get(_FOUND)} 项，最近日期 {first.partition(': ')[0]}"),
        heal=Text("to heal: {how}", "处理：{how}", how=how) if how else advice,
    )


def alert_subjects(result: dg.AssetCheckResult, endpoint: str) -> list[str]:
    """Return the subjects of a failed check's alert: one per date that a new request can heal, else the endpoint."""
    dates = (result.metadata or {}).get(_DATES)
    return [f"{endpoint} {each}" for each in str(dates.value).split()] if dates else [endpoint]


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


def _nothing(informational: list[Finding]) -> str:
    return " ".join(["Nothing found.", *(f"{_row(each)}." for each in informational[:_SHOWN])])


def _summary(check: Check, findings: list[Finding]) -> str:
    shown = f" (the newest {_SHOWN} are under rows)" if len(findings) > _SHOWN else ""
    count = f"{len(findings):,} findings{shown}; the newest: " if len(findings) > 1 else ""
    return f"{count}{_row(findings[0])}. {check.remedy.advice.both()}"


def _row(finding: Finding) -> str:
    return f"{finding.ref_date}: {str(finding.what)[:_WIDTH]}"


def _metadata(check: Check, key: dg.AssetKey, findings: list[Finding]) -> dict[str, dg.MetadataValue[Any]]:
    metadata: dict[str, dg.MetadataValue[Any]] = {_FOUND: dg.MetadataValue.int(len(findings))}
    if findings:
        metadata[_ROWS] = dg.MetadataValue.text("\n".join(map(_row, findings[:_SHOWN])))
        if check.remedy.command:
            metadata[_HOW] = dg.MetadataValue.text("\n".join(_commands(check, key, findings)))
        if check.remedy.action is RemedyAction.REFRESH:
            windows = [plan_windows(endpoint, labels) for endpoint, labels in labels_to_refresh(findings).items()]
            metadata[_CALLS] = dg.MetadataValue.int(sum(map(len, windows)))
            metadata[_DATES] = dg.MetadataValue.text(" ".join(date_ranges(findings)))
    return metadata


def _commands(check: Check, key: dg.AssetKey, findings: list[Finding]) -> list[str]:
    """Return the commands that heal the findings, one per endpoint if the command takes a range of dates."""
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
