"""Replay: rebuilds the tables, and prints from how many calls, and which calls could not be read."""

from wx_datacube.cli.console import say
from wx_datacube.language import Text
from wx_datacube.warehouse.accounts import require_stored
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import replay
from wx_datacube.warehouse.load import unreadable_calls


def run_replay(warehouse: Warehouse, account: str | None) -> int:
    """Rebuild the tables of one account, or of all; return the exit code."""
    if account is not None:
        require_stored(warehouse, account)
    with warehouse.transaction() as con:
        calls = replay(con, account=account)
        left_out = unreadable_calls(con, account)
    warehouse.publish()
    if left_out:
        numbers = ", ".join(map(str, left_out[:10])) + (", …" if len(left_out) > 10 else "")
        skipped = Text(
            "Skipped {number:,} calls whose stored answer can't be read (call_id {numbers})."
            " Labels without another answer are missing now: fetch them with `wx-datacube backfill`.",
            "{number:,} 次调用的返回内容无法读取，已跳过（call_id {numbers}）。没有其他返回的数据现为缺失，"
            "请用 wx-datacube backfill 获取。",
            number=len(left_out),
            numbers=numbers,
        )
        say(skipped, err=True)
    rebuilt = Text(
        "Rebuilt every table from {calls:,} calls{whose}: {path}",
        "已用{whose} {calls:,} 次调用的返回内容重建所有数据表：{path}",
        calls=calls,
        whose=Text(" of {account}", " {account} 的", account=account) if account else "",
        path=warehouse.database,
    )
    say(rebuilt)
    return 0
