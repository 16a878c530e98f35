"""Checks: the warehouse's checks as Dagster shows them.

A new check is an entry of `warehouse.checks.CHECKS`, not code here. They are whole-table checks that belong to the
asset's own op: partitioned ones leave results on no partition, and separate ones are not evaluated when the step
failed. See https://docs.dagster.io/guides/test/asset-checks.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from wx_datacube.catalog import Endpoint
from wx_datacube.warehouse.checks import CHECKS, Check, Finding, run_check
from wx_datacube.warehouse.files import Connection

_SHOWN = 8
"""Rows beside a check: as text, since Dagster hides Markdown behind a link there."""


def check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The specs of all checks on an asset; none of them blocks what is downstream."""
    return [dg.AssetCheckSpec(check.name, asset=key, description=check.description) for check in CHECKS]


def check_results(con: Connection, account: str, endpoint: Endpoint, key: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """Every check of an asset, judged on what is stored."""
    for check in CHECKS:
        findings = run_check(con, check, account, endpoint)
        yield dg.AssetCheckResult(
            passed=not findings,
            asset_key=key,
            check_name=check.name,
            severity=dg.AssetCheckSeverity.ERROR if check.grave else dg.AssetCheckSeverity.WARN,
            description=_summary(check, findings),
            metadata=_metadata(account, findings),
        )


def _summary(check: Check, findings: list[Finding]) -> str:
    if not findings:
        return "Nothing found."
    more = f", the newest {_SHOWN} under rows" if len(findings) > _SHOWN else ""
    return (
        f"{len(findings):,} found{more}. A clean answer heals it: ask WeChat again with the command under how to heal,"
        " or by a run with `refresh: true`."
    )


def _metadata(account: str, findings: list[Finding]) -> dict[str, dg.MetadataValue[Any]]:
    metadata: dict[str, dg.MetadataValue[Any]] = {"found": dg.MetadataValue.int(len(findings))}
    if findings:
        rows = "\n".join(f"{finding.ref_date}: {finding.what[:90]}" for finding in findings[:_SHOWN])
        metadata["rows"] = dg.MetadataValue.text(rows)
        metadata["how to heal"] = dg.MetadataValue.text("\n".join(_commands(account, findings)))
    return metadata


def _commands(account: str, findings: list[Finding]) -> list[str]:
    """For each endpoint concerned, the command that asks again; a clean answer heals the check."""
    return [
        f"wx-datacube backfill --refresh --account {account} --endpoint {endpoint}"
        f" --start {min(each.begin for each in findings if each.endpoint == endpoint)}"
        f" --end {max(each.end for each in findings if each.endpoint == endpoint)}"
        for endpoint in dict.fromkeys(finding.endpoint for finding in findings)
    ]
