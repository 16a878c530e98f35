"""Export: writes every view to a file, for programs that keep a database open and so miss later publications.

No view is named here. See https://duckdb.org/docs/stable/data/overview.
"""

from pathlib import Path

import duckdb

from wx_datacube.errors import WarehouseError
from wx_datacube.language import Text
from wx_datacube.warehouse.accounts import require_stored
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.copies import replacing_path
from wx_datacube.warehouse.errors import unwritable
from wx_datacube.warehouse.files import Warehouse

FORMATS = ("parquet", "csv")


def export_views(warehouse: Warehouse, folder: Path, form: str, account: str | None = None) -> dict[Path, int]:
    """Write `<view>.<form>` for every view into `folder`, each in one step; return the number of rows in each file.

    With `account`, only its rows are written. Raises `SettingsError` if nothing is stored of it, and `WarehouseError`
    if nothing is published yet or the folder can't be written.
    """
    if not warehouse.database.exists():
        raise WarehouseError(
            Text(
                "There is nothing to export yet: {database} doesn't exist.",
                "还没有可导出的数据：{database} 不存在。",
                database=warehouse.database,
            ),
            advice=Text("Fetch figures first: wx-datacube backfill", "请先获取数据：wx-datacube backfill"),
        )
    if account is not None:
        require_stored(warehouse, account)
    try:
        with warehouse.open_published() as con:
            folder.mkdir(parents=True, exist_ok=True)
            views = con.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL")
            return dict(_export_view(con, schema, view, folder, form, account) for schema, view in views.fetchall())
    except (OSError, duckdb.IOException) as error:
        raise unwritable(
            folder, error, Text("name another folder with --output", "用 --output 指定其他文件夹")
        ) from None


def _export_view(
    con: Connection, schema: str, view: str, folder: Path, form: str, account: str | None
) -> tuple[Path, int]:
    rows = con.sql(f'FROM "{schema}"."{view}"')
    if account is not None:
        rows = rows.filter(duckdb.ColumnExpression("account") == duckdb.ConstantExpression(account))
    rows = rows.order("ALL")
    target = folder / f"{view}.{form}"
    with replacing_path(target) as part:
        if form == "csv":
            rows.write_csv(str(part))
        else:
            rows.write_parquet(str(part))
    return target, rows.count("*").fetchall()[0][0]
