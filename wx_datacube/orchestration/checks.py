"""Checks: the warehouse's checks as Dagster shows them.

A new check is an entry of `warehouse.checks.CHECKS`, not code here. They are whole-table checks that belong to the
asset's own op: partitioned ones leave results on no partition, and separate ones are not evaluated when the step
failed. See https://docs.dagster.io/guides/test/asset-checks.
"""

from collections.abc import Iterator

import dagster as dg

from wx_datacube.catalog import Endpoint
from wx_datacube.warehouse.checks import CHECKS, Check, Finding, run_check
from wx_datacube.warehouse.files import Warehouse

_SHOWN = 10


def check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The specs of all checks on an asset; none of them blocks what is downstream."""
    return [dg.AssetCheckSpec(check.name, asset=key, description=check.description) for check in CHECKS]


def check_results(
    warehouse: Warehouse, account: str, endpoint: Endpoint, key: dg.AssetKey
) -> Iterator[dg.AssetCheckResult]:
    """Every check of an asset, judged on what is stored."""
    with warehouse.writing() as con:
        found = [(check, run_check(con, check, account, endpoint)) for check in CHECKS]
    for check, findings in found:
        yield dg.AssetCheckResult(
            passed=not findings,
            asset_key=key,
            check_name=check.name,
            severity=dg.AssetCheckSeverity.ERROR if check.grave else dg.AssetCheckSeverity.WARN,
            description=_summary(check, findings),
            metadata=_metadata(account, endpoint, findings),
        )


def _summary(check: Check, findings: list[Finding]) -> str:
    return check.description if not findings else f"{len(findings)} found; see what is wrong and how to heal it."


def _metadata(account: str, endpoint: Endpoint, findings: list[Finding]) -> dict[str, dg.MetadataValue]:
    if not findings:
        return {"found": dg.MetadataValue.int(0)}
    begin, end = min(finding.begin for finding in findings), max(finding.end for finding in findings)
    rows = "\n".join(f"- {finding.ref_date}: `{finding.what[:60]}`" for finding in findings[:_SHOWN])
    command = f"wx-datacube backfill --endpoint {endpoint.name} --start {begin} --end {end} --refresh"
    return {
        "found": dg.MetadataValue.int(len(findings)),
        "rows": dg.MetadataValue.md(rows),
        "heal": dg.MetadataValue.md(f"`{command}` asks again; WeChat's clean answer heals the check."),
    }
