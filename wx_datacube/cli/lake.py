"""Lake: exports accounts to the lake and prints what was written.

`operations.lake` does the work.
"""

from wx_datacube.cli.console import say
from wx_datacube.cli.group import require_stored
from wx_datacube.config.settings import Settings
from wx_datacube.errors import SettingsError
from wx_datacube.language import Text, joined
from wx_datacube.operations.lake.export import Exported, export_account
from wx_datacube.warehouse.accounts import stored_names


def run_export(settings: Settings, account: str | None) -> int:
    """Export the account, or all that are both stored and configured; return the exit code."""
    lake = settings.lake
    if lake is None:
        raise SettingsError(
            Text("WX_DATACUBE_LAKE is not set.", "没有设置 WX_DATACUBE_LAKE。"),
            advice=Text(
                "Set it in .env to a folder or to s3://bucket/prefix.",
                "请在 .env 中设为文件夹或 s3://bucket/prefix。",
            ),
        )
    warehouse = require_stored(settings)
    with warehouse.open_published() as con:
        stored = stored_names(con)
    configured = [each.name for each in settings.accounts]
    # An account that is stored here but not configured may be fetched, and written to the lake, by another machine.
    names = [account] if account else [name for name in stored if name in configured]
    if skipped := [] if account else [name for name in stored if name not in configured]:
        say(
            Text(
                "Not exported, since it is not configured: {names}. To export it all the same: --account {first}",
                "未配置，因此不导出：{names}。如仍需导出，请使用 --account {first}",
                names=joined(skipped, ", ", "、"),
                first=skipped[0],
            ),
            err=True,
        )
    for name in names:
        _show(export_account(warehouse, lake, name))
    say(Text("Lake: {url}", "数据湖：{url}", url=lake.url))
    return 0


def _show(done: Exported) -> None:
    for path, rows in done.written.items():
        say(Text("{path}  {rows:,} rows", "{path}  {rows:,} 行", path=path, rows=rows))
    say(
        Text(
            "{account}: {written} files written, {unchanged} unchanged, up to call {call:,}",
            "{account}：写入 {written} 个文件，{unchanged} 个没有变化，数据到第 {call:,} 次调用",
            account=done.account,
            written=len(done.written),
            unchanged=len(done.unchanged),
            call=done.call_id,
        )
    )
