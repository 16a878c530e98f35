"""Demo: runs a backfill on the made-up account, and shows its figures and where to look at them.

The demo's folder and environment come from `operations.demo`.
"""

import datetime as dt
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.cli.console import console, require_extra, say, table
from wx_datacube.cli.processes import run_module
from wx_datacube.cli.report import ReportWriter
from wx_datacube.config.environment import find_project, load_settings, process_environment
from wx_datacube.config.settings import Settings, no_project
from wx_datacube.language import Text
from wx_datacube.operations import demo
from wx_datacube.warehouse.files import Warehouse


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """The made-up account while WeChat is emulated for it: its folder, its last day, its processes' environment."""

    folder: Path
    end: dt.date
    environ: dict[str, str]


@contextmanager
def demo_account(project: Path, days: int) -> Iterator[DemoAccount]:
    """Emulate WeChat for a project folder's demo, with a history of the newest settled `days`."""
    with require_extra("emulator"):
        from wx_datacube.emulator.testing import wechat
    folder, end = demo.demo_folder(project), demo.newest_settled_day(beijing_now())
    start = end - dt.timedelta(days=days - 1)
    with wechat(publish_at="00:00", quota=100_000) as emulated:
        environ = demo.demo_environment(
            process_environment(), folder, start, emulated.api_url, emulated.appid, emulated.secret
        )
        yield DemoAccount(folder, end, environ)


def run_demo(days: int) -> int:
    """Materialize the newest settled days of the made-up account and show the figures; return the exit code."""
    project = find_project(process_environment(), Path.cwd())
    if project is None:
        raise no_project(Text("the demo has its own folder in it", "演示数据要存放在其中的单独目录"))
    with demo_account(project, days) as account:
        folder = os.path.relpath(account.folder)
        say(
            Text(
                "Demo: a made-up account on an emulated WeChat, in {folder}/",
                "演示：虚构账号，请求仿真的微信接口，文件在 {folder}/",
                folder=folder,
            )
        )
        command = ["backfill", "--end", account.end.isoformat()]
        code = run_module("wx_datacube", command, account.folder, account.environ)
    if code == 0:
        _show(console(), load_settings(account.environ, account.folder))
    return code


def _show(out: Console, settings: Settings) -> None:
    database = os.path.relpath(settings.database)
    say(Text("The last seven days in {path}:\n", "{path} 中最近七天的数据：\n", path=database))
    shown = table(*_COLUMNS)
    with Warehouse(settings.database).open_published() as con:
        for row in con.execute(_LAST_DAYS_SQL).fetchall():
            shown.add_row(*map(str, row))
    out.print(shown)
    command = _QUERY.format(python=os.path.relpath(sys.executable), database=database)
    say(Text("Query it:\n{command}", "查询数据：\n{command}", command=command))
    if find_spec("vl_convert") is not None:
        writer = ReportWriter(settings, settings.reading_language, None, None)
        report = os.path.relpath(writer.write(settings.accounts[0], None)[0])
        say(Text("Open the report: {path}", "打开报告：    {path}", path=report))
    say(
        Text(
            "In Dagster's UI: wx-datacube ui, which is `make ui` in a clone",
            "Dagster 界面：wx-datacube ui，在克隆的代码目录中也可用 make ui",
        )
    )
    say(
        Text(
            "Your account:    see docs/tutorial.md and .env.example",
            "接入公众号：  见 docs/zh/tutorial.md 和 .env.example",
        )
    )


_QUERY = """\
  {python} -c "import duckdb; \\
  duckdb.connect('{database}', read_only=True) \\
  .sql('FROM totals_weekly ORDER BY date').show()\""""
"""A command for a shell, over several lines, so that it fits a terminal and can still be copied."""
_COLUMNS = (
    Text("date", "日期"),
    Text("followers", "累积人数"),
    Text("new_followers", "新增人数"),
    Text("readers", "阅读人数"),
    Text("messages", "消息发送次数"),
    Text("messages_per_user", "人均发送次数"),
)
_LAST_DAYS_SQL = """
SELECT date, followers, coalesce(new, 0), readers, messages, round(messages_per_user, 2)
FROM followers_total
LEFT JOIN (SELECT account, date, sum(new_followers)::BIGINT AS new FROM followers_daily GROUP BY ALL)
    USING (account, date)
LEFT JOIN reads_daily USING (account, date) LEFT JOIN totals_daily USING (account, date)
ORDER BY date DESC LIMIT 7"""
