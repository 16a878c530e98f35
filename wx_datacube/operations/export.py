"""Export: writes every view and table to a file, for programs that keep a database open and so miss publications.

None of them is named here. See https://duckdb.org/docs/stable/data/overview.
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


def export_relations(warehouse: Warehouse, folder: Path, form: str, account: str | None = None) -> dict[Path, int]:
    """Write `<name>.<form>` for every view and table into `folder`, each in one step; return the rows of each file.

    With `account`, only its rows are written, and tables that belong to no account as a whole. Raises `SettingsError`
    if nothing is stored of it, and `WarehouseError` if nothing is published yet or the folder can't be written.
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
            return dict(
                _export(con, schema, name, folder, form, account) for schema, name in con.execute(_RELATIONS).fetchall()
            )
    except (OSError, duckdb.IOException) as error:
        raise unwritable(
            folder, error, Text("name another folder with --output", "用 --output 指定其他文件夹")
        ) from None


_RELATIONS = """
SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal
UNION ALL SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal ORDER BY ALL"""


def _export(con: Connection, schema: str, name: str, folder: Path, form: str, account: str | None) -> tuple[Path, int]:
    rows = con.sql(f'FROM "{schema}"."{name}"')
    if account is not None and "account" in rows.columns:
        rows = rows.filter(duckdb.ColumnExpression("account") == duckdb.ConstantExpression(account))
    rows = rows.order("ALL")
    target = folder / f"{name}.{form}"
    with replacing_path(target) as part:
        if form == "csv":
            rows.write_csv(str(part))
        else:
            rows.write_parquet(str(part))
    return target, rows.count("*").fetchall()[0][0]
