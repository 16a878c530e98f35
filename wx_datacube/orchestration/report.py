"""Report: the report of `wx-datacube report` as an asset downstream of all others, rebuilt when they change.

`wx_datacube.operations.report` decides what the report shows. The asset exists if the extra `report` is installed.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from wx_datacube.catalog.periods import Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.operations.report import default_report_path
from wx_datacube.operations.report.figures import Figures, read_figures
from wx_datacube.orchestration.alert_hooks import alert_hooks_for
from wx_datacube.orchestration.failure import explained_failure
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse


class ReportConfig(dg.Config):
    """Run configuration of the report."""

    lang: str = ""
    """Language: zh or en. Default: WX_DATACUBE_LANG. 语言：zh 或 en，默认 WX_DATACUBE_LANG。"""


def can_report() -> bool:
    """Return whether the extra `report` is installed."""
    return find_spec("jinja2") is not None and find_spec("vl_convert") is not None


def build_report(
    account: str,
    keys: Mapping[str, dg.AssetKey],
    duckdb_key: str,
    clock: Clock,
    *,
    prefix: Sequence[str],
    group: str,
    owners: Sequence[str],
) -> dg.AssetsDefinition:
    """Build the asset `<prefix>/<account>/report`, downstream of the assets `keys`."""

    @dg.asset(
        key=dg.AssetKey([*prefix, account, "report"]),
        deps=list(keys.values()),
        description=_DESCRIPTION,
        group_name=group,
        kinds={"duckdb", "html"},
        owners=list(owners),
        required_resource_keys={duckdb_key},
        hooks=alert_hooks_for(account, "report", clock),
        # Not eager(): that waits until no upstream partition is missing, which would take years.
        automation_condition=(
            dg.AutomationCondition.any_deps_updated().since_last_handled() & ~dg.AutomationCondition.in_progress()
        ),
    )
    def report(context: dg.AssetExecutionContext, config: ReportConfig) -> dg.MaterializeResult[Any]:
        return _write_report(account, getattr(context.resources, duckdb_key), config.lang, clock())

    return report


def _write_report(account: str, duckdb: DuckDBResource, lang: str, now: dt.datetime) -> dg.MaterializeResult[Any]:
    from wx_datacube.operations.report.page import render, save

    database = Path(duckdb.database)
    output = default_report_path(database, account)
    try:
        settings = load_settings()
        configured, language = settings.account(account), settings.language(lang)
        with _reading(duckdb, database) as con:
            figures = read_figures(con, configured, now)
        save(render(figures, language), output)
    except WxDatacubeError as error:
        raise explained_failure(error) from None
    return dg.MaterializeResult(
        metadata={"report": dg.MetadataValue.path(output), **_made(figures), **figures.newest_values()}
    )


def _reading(duckdb: DuckDBResource, database: Path) -> AbstractContextManager[Connection]:
    """Open the published file, or an empty warehouse before the first publication; the report says if it is empty."""
    return duckdb.get_connection() if database.exists() else Warehouse(database).open_published()


def _made(figures: Figures) -> dict[str, str]:
    if figures.last_requested_at is None:
        return {}
    return {
        "made from": f"answers up to call_id {figures.call_id}, {figures.last_requested_at:%Y-%m-%d %H:%M} in Beijing"
    }


_DESCRIPTION = (
    "An HTML report that opens offline: yesterday's key figures with their changes, what is unusual, each family over"
    " any range of days, and missing data. The same as `wx-datacube report`. To rebuild it whenever the figures change,"
    " switch on `default_automation_condition_sensor` under Automation."
    "\n\n"
    "可离线打开的单文件 HTML 报告：昨日关键指标及变化、异常提示、任选日期范围的各类数据、数据完整性，"
    "与 `wx-datacube report` 相同。在 Automation 中打开 `default_automation_condition_sensor` 后，"
    "数据更新时自动重新生成。"
)
