"""Data commands: those that fetch, show and write an account's figures.

Add a command here if it works on the stored data. It reads its options and calls the code that does the work, which it
imports inside its function, so that `--help` and `status` respond at once.
"""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import beijing_now, label_of
from wx_datacube.cli.group import (
    DATE,
    account_option,
    chosen_accounts,
    commands,
    file_name,
    nothing_stored,
    option,
    read_settings,
    require_published,
    require_stored,
    stored_account_option,
)
from wx_datacube.cli.outcomes import for_each
from wx_datacube.errors import SettingsError
from wx_datacube.language import Language, Text, joined, spoken

if TYPE_CHECKING:
    from wx_datacube.config.settings import Account


@commands.command(zh="显示已保存和缺失的数据，以及今天的调用次数。不发出调用。")
@account_option
@option(
    "--json", "as_json", is_flag=True, help="Print JSON for scripts and monitors.", zh="输出 JSON，供脚本和监控使用。"
)
def status(account: str | None, as_json: bool) -> int:
    """Show what is stored and missing, and today's calls. Makes no call."""
    from wx_datacube.cli.console import say
    from wx_datacube.operations.accounts import explain_not_configured, not_configured
    from wx_datacube.operations.status import read_status

    settings = read_settings()
    warehouse = require_published(settings)
    accounts = chosen_accounts(settings, account)
    found = read_status(settings, [each for each in accounts if each.settings_error is None])
    person = {each.account for each in found if each.needs_person}
    left = not_configured(settings)
    code = for_each(accounts, lambda each: 1 if each.checked().name in person else 0)
    if as_json:
        whole = {"database": str(settings.database), "accounts": {each.account: each.as_json() for each in found}}
        whole["not_configured"] = left
        click.echo(json.dumps(whole, default=str, ensure_ascii=False, indent=2))
    else:
        from wx_datacube.cli.status import show_statuses

        if not warehouse.database.exists():
            say(nothing_stored(warehouse))
        show_statuses(found)
        if left:
            say(explain_not_configured(left))
    return code


@commands.command(zh="检查全部配置，并说明每个问题如何处理。")
@option(
    "--bundle",
    type=click.Path(dir_okay=False),
    callback=file_name(".json"),
    metavar="FILE",
    help="Also write the shapes of WeChat's answers, for a bug report: no figures, no secrets.",
    zh="另外生成诊断文件，供反馈问题：只含微信返回内容的结构，不含数据和密钥。",
)
@account_option
def doctor(account: str | None, bundle: Path | None) -> int:
    """Check the whole setup and say how to fix each problem."""
    from wx_datacube.cli.console import say
    from wx_datacube.cli.doctor import run_doctor
    from wx_datacube.operations.bundle import require_bundle, write_bundle

    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    if bundle is not None:
        require_bundle(bundle)
    code = run_doctor(settings, chosen)
    if bundle is not None:
        write_bundle(settings, chosen, bundle)
        say(Text("Bundle: {path}", "诊断文件：{path}", path=bundle))
    return code


@commands.command(zh="获取所有缺失的数据，并在 Dagster 中物化。")
@option(
    "--start",
    type=DATE,
    metavar="YYYY-MM-DD",
    help="First date. Default: first day of history.",
    zh="起始日期。默认：历史数据的第一天。",
)
@option(
    "--end",
    type=DATE,
    metavar="YYYY-MM-DD",
    help="Last date. Default: the newest that is due.",
    zh="结束日期。默认：最新的应有日期。",
)
@option(
    "--endpoint",
    "names",
    multiple=True,
    type=click.Choice(list(BY_NAME)),
    metavar="NAME",
    help="An endpoint, such as getupstreammsg. Repeatable. Default: all.",
    zh="一个接口，例如 getupstreammsg。可重复使用。默认：全部。",
)
@option(
    "--refresh",
    is_flag=True,
    help="Request stored labels again, and replace them.",
    zh="重新获取已保存的数据，并替换。",
)
@account_option
def backfill(
    start: dt.datetime | None, end: dt.datetime | None, names: tuple[str, ...], refresh: bool, account: str | None
) -> int:
    """Fetch all missing data and materialize it in Dagster."""
    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    first, last = start and start.date(), end and end.date()
    endpoints = [each for each in ENDPOINTS if not names or each.name in names]
    _require_switched_on(chosen, [each for each in endpoints if names])
    _check_range(first, last, chosen, endpoints, "--start", "--end")
    from wx_datacube.cli.backfill import run_backfill
    from wx_datacube.cli.console import say
    from wx_datacube.operations.backfill_protocol import Scope
    from wx_datacube.operations.heartbeat import beat

    scope = Scope(first, last, endpoints, refresh)
    code = for_each(chosen, lambda account: run_backfill(settings, account, scope))
    beat(settings, beijing_now(), lambda text: say(text, err=True))
    return code


def _require_switched_on(accounts: "Sequence[Account]", endpoints: "Sequence[Endpoint]") -> None:
    """Raise `SettingsError` if an endpoint was named whose family no account has switched on."""
    for endpoint in endpoints:
        if not any(endpoint in account.endpoints for account in accounts):
            raise SettingsError(
                Text(
                    "{endpoint} is not fetched: its family {family} is off.",
                    "{endpoint} 所属的类别 {family} 未开启，因此不获取。",
                    endpoint=endpoint.name,
                    family=endpoint.family,
                ),
                advice=Text(
                    "Add it to {variable} in .env, or set all; `wx-datacube doctor` says which families the account may"
                    " fetch.",
                    "请在 .env 的 {variable} 中加上该类别，或写 all；wx-datacube doctor 会说明账号对哪些类别有权限。",
                    variable=accounts[0].variable("FAMILIES"),
                ),
            )


@commands.command(zh="重新获取未通过的检查所列出的数据。\n\n以最少的调用完成，并先显示调用次数。")
@option(
    "--check",
    "names",
    multiple=True,
    metavar="NAME",
    help="A check. Repeatable. Default: all.",
    zh="一项检查。可重复使用。默认：全部。",
)
@account_option
def heal(names: tuple[str, ...], account: str | None) -> int:
    """Request the labels of failing checks again.

    Uses as few calls as possible, and prints their number first.
    """
    from wx_datacube.cli.heal import HEALABLE, run_heal

    if unknown := sorted(set(names) - set(HEALABLE)):
        refused = Text(
            "{name!r} is not one of {healable}; `heal` can't fix other checks.",
            "{name!r} 不在以下检查之列：{healable}。其他检查无法用 heal 处理。",
            name=unknown[0],
            healable=joined(HEALABLE, ", ", "、"),
        )
        raise click.BadParameter(refused.to(spoken()), param_hint="--check")
    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    require_stored(settings)
    return for_each(chosen, lambda account: run_heal(settings, account.checked(), names))


@commands.command(zh="用已保存的返回内容重建所有数据表。不发出调用。")
@stored_account_option
def replay(account: str | None) -> int:
    """Rebuild every table from the stored answers. Makes no call."""
    from wx_datacube.cli.replay import run_replay
    from wx_datacube.warehouse.files import Warehouse

    return run_replay(Warehouse(read_settings().database), account)


@commands.command(zh="将每个视图和数据表导出为 Parquet 或 CSV 文件。不发出调用。\n\n供长期占用数据库的程序使用。")
@option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv"]),
    help="Default: parquet, which is faster; every program reads CSV.",
    zh="默认：parquet，速度更快；CSV 则任何程序都能读取。",
)
@option(
    "--output",
    type=click.Path(file_okay=False),
    callback=file_name(""),
    metavar="DIR",
    help="Folder for the files; existing files are replaced.",
    zh="保存文件的文件夹；已有文件会被替换。",
)
@option(
    "--lake",
    is_flag=True,
    help="Instead of --output: write to WX_DATACUBE_LAKE what has changed.",
    zh="代替 --output：将有变化的文件写入 WX_DATACUBE_LAKE。",
)
@stored_account_option
def export(form: str | None, output: Path | None, lake: bool, account: str | None) -> int:
    """Write every view and table as a Parquet or CSV file. Makes no call.

    For programs that keep a database open.
    """
    if lake == (output is not None) or (lake and form):
        either = Text(
            "Give --output DIR, with --format if you like, or --lake alone.",
            "请使用 --output DIR（可加 --format），或单独使用 --lake。",
        )
        raise click.UsageError(either.to(spoken()))
    settings = read_settings()
    if output is None:
        from wx_datacube.cli.lake import run_export

        return run_export(settings, account)
    from wx_datacube.cli.console import say
    from wx_datacube.operations.export import export_relations

    warehouse = require_stored(settings)  # an empty export would replace files that have rows
    form = form or "parquet"
    for path, rows in export_relations(warehouse, output, form, account).items():
        say(Text("{path}  {rows:,} rows", "{path}  {rows:,} 行", path=path, rows=rows))
    return 0


@commands.command(zh="生成可离线打开的单文件 HTML 报告。不发出调用。")
@option(
    "--output",
    type=click.Path(dir_okay=False),
    callback=file_name(".html"),
    metavar="FILE",
    help="Default: report_<account>.html beside the database; report.html for all accounts.",
    zh="默认：数据库所在文件夹中的 report_<account>.html，全部账号为 report.html。",
)
@option(
    "--lang",
    type=click.Choice([each.value for each in Language]),
    metavar="zh|en",
    help="The language it opens in. Default: WX_DATACUBE_LANG, else zh.",
    zh="打开时的语言。默认：WX_DATACUBE_LANG，未设置时为 zh。",
)
@option(
    "--from",
    "start",
    type=DATE,
    metavar="YYYY-MM-DD",
    help="First day of the range it opens with. Default: the last 30 days.",
    zh="打开时所选范围的起始日期。默认：近 30 天。",
)
@option(
    "--to",
    "end",
    type=DATE,
    metavar="YYYY-MM-DD",
    help="Last day of that range. Default: the newest that is due.",
    zh="打开时所选范围的结束日期。默认：最新的应有日期。",
)
@option(
    "--all",
    "overview",
    is_flag=True,
    help="An overview of all accounts, with their reports beside it.",
    zh="全部账号的总览，各账号的报告保存在旁边。",
)
@account_option
def report(
    output: Path | None,
    lang: str | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    overview: bool,
    account: str | None,
) -> int:
    """Write an HTML report that opens offline. Makes no call."""
    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    first, last = start and start.date(), end and end.date()
    _check_range(first, last, chosen, ENDPOINTS[:1], "--from", "--to")
    if overview and account is not None:
        both = Text("Give --all or --account, not both.", "--all 和 --account 不能同时使用。")
        raise click.UsageError(both.to(spoken()))
    if output is not None and len(chosen) > 1 and not overview:
        several = Text(
            "--output is one file, but several accounts are configured. Name one with --account, or give --all.",
            "--output 只是一个文件，但配置了多个账号。请用 --account 指定其中一个，或使用 --all。",
        )
        raise click.UsageError(several.to(spoken()))
    from wx_datacube.cli.report import ReportWriter

    require_published(settings)
    writer = ReportWriter(settings, lang or settings.reading_language, first, last)
    return writer.write_all(chosen, output, overview=overview)


@commands.command(zh="显示昨日数据的简短文字，适合发到群聊。不发出调用。")
@option(
    "--lang",
    type=click.Choice(["zh", "en"]),
    help="The language. Default: WX_DATACUBE_LANG, else zh.",
    zh="语言。默认：WX_DATACUBE_LANG，未设置时为 zh。",
)
@option(
    "--send",
    is_flag=True,
    help="Send it to WX_DATACUBE_WEBHOOK, at most once a day.",
    zh="发送到 WX_DATACUBE_WEBHOOK，每天最多一次。",
)
@account_option
def digest(lang: str | None, send: bool, account: str | None) -> int:
    """Print yesterday's figures for a group chat. Makes no call."""
    from wx_datacube.cli.digest import run_digest
    from wx_datacube.language import Language

    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    require_published(settings)
    return run_digest(settings, chosen, Language(lang) if lang else settings.reading_language, send=send)


@commands.command(zh="供 AI 助手查询数据的 MCP 服务（stdio），只读。不发出调用。")
def mcp() -> int:
    """Serve the figures to AI assistants over MCP on stdio, read-only. Makes no call."""
    from wx_datacube.cli.console import require_extra

    with require_extra("mcp"):
        from wx_datacube.cli.mcp import run_mcp
    run_mcp(read_settings())
    return 0


def _check_range(
    first: dt.date | None,
    last: dt.date | None,
    accounts: "Sequence[Account]",
    endpoints: Sequence[Endpoint],
    first_option: str,
    last_option: str,
) -> None:
    today = beijing_now().date()
    for day, name in ((first, first_option), (last, last_option)):
        if day is not None and day > today:
            future = Text(
                "{day} is in the future; today in Beijing is {today}.",
                "{day} 尚未到来；北京时间今天是 {today}。",
                day=day,
                today=today,
            )
            raise click.BadParameter(future.to(spoken()), param_hint=name)
    if first is not None and last is not None and first > last:
        reversed_range = Text(
            "{first} is after {option} {last}.",
            "{first} 晚于 {option} {last}。",
            first=first,
            option=last_option,
            last=last,
        )
        raise click.BadParameter(reversed_range.to(spoken()), param_hint=first_option)
    oldest = min(accounts, key=lambda account: account.start)
    if last is not None and all(last < label_of(oldest.start, each.period) for each in endpoints):
        too_early = Text(
            "{last} is before the history of {account} begins, {start} ({variable}).",
            "{last} 早于 {account} 历史数据的第一天 {start}（{variable}）。",
            last=last,
            account=oldest.name,
            start=oldest.start,
            variable=oldest.variable("START"),
        )
        raise click.BadParameter(too_early.to(spoken()), param_hint=last_option)
