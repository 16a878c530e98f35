"""Lake: the export of `wx-datacube export --lake` as an asset downstream of an account's others.

`wx_datacube.operations.lake` decides which files are written. The asset exists if WX_DATACUBE_LAKE is set.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from wx_datacube.catalog.periods import Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.config.settings import Settings
from wx_datacube.errors import SettingsError, WxDatacubeError
from wx_datacube.language import Text
from wx_datacube.operations.lake.export import export_account
from wx_datacube.orchestration.alert_hooks import alert_hooks_for
from wx_datacube.orchestration.failure import explained_failure
from wx_datacube.warehouse.files import Warehouse


def build_lake(
    account: str,
    keys: Mapping[str, dg.AssetKey],
    clock: Clock,
    *,
    prefix: Sequence[str],
    group: str,
    owners: Sequence[str],
) -> dg.AssetsDefinition:
    """Build the asset `<prefix>/<account>/lake`, downstream of the assets `keys`."""

    @dg.asset(
        key=dg.AssetKey([*prefix, account, "lake"]),
        deps=list(keys.values()),
        description=_DESCRIPTION,
        group_name=group,
        kinds={"duckdb", "parquet"},
        owners=list(owners),
        hooks=alert_hooks_for(account, "lake", clock),
        # As the report's: eager() would wait until no upstream partition is missing.
        automation_condition=(
            dg.AutomationCondition.any_deps_updated().since_last_handled() & ~dg.AutomationCondition.in_progress()
        ),
    )
    def lake() -> dg.MaterializeResult[Any]:
        try:
            return _export(load_settings(), account)
        except WxDatacubeError as error:
            raise explained_failure(error) from None

    return lake


def _export(settings: Settings, account: str) -> dg.MaterializeResult[Any]:
    if settings.lake is None:
        raise SettingsError(
            Text("WX_DATACUBE_LAKE is not set any more.", "WX_DATACUBE_LAKE 已取消设置。"),
            advice=Text("Set it, or reload the code location.", "请重新设置，或重新加载代码位置。"),
        )
    done = export_account(Warehouse(settings.database), settings.lake, account)
    return dg.MaterializeResult(
        metadata={
            "lake": settings.lake.url,
            "files written": len(done.written),
            "files unchanged": len(done.unchanged),
            "rows written": sum(done.written.values()),
            "made from": f"answers up to call_id {done.call_id}",
        }
    )


_DESCRIPTION = (
    "Parquet files of every view and table of the account in the lake (WX_DATACUBE_LAKE), for engines that can't open"
    " the DuckDB file. The same as `wx-datacube export --lake`; only what has changed is written. To write it whenever"
    " the figures change, switch on `default_automation_condition_sensor` under Automation."
    "\n\n"
    "将该账号的全部视图和数据表以 Parquet 文件写入数据湖（WX_DATACUBE_LAKE），供无法打开 DuckDB 文件的查询引擎使用，"
    "与 `wx-datacube export --lake` 相同，只写入有变化的文件。在 Automation 中打开"
    " `default_automation_condition_sensor` 后，数据更新时自动写入。"
)
