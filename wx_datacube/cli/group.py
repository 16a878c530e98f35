"""Group: the click group of all commands, with the options, settings and checks that several commands share.

Code that only one command needs belongs to the module that defines the command. Nothing here imports Dagster, DuckDB or
the emulator at the top, so that `--help` and `status` respond at once.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wx_datacube import __version__
from wx_datacube.cli.wrapping import wrapped
from wx_datacube.errors import WarehouseError
from wx_datacube.language import Text, spoken, text_of

if TYPE_CHECKING:
    from wx_datacube.config.settings import Account, Settings
    from wx_datacube.warehouse.files import Warehouse


class _Bilingual:
    """A command or option whose help is shown in the spoken language: `help` or the docstring, and `zh`."""

    def __init__(self, *args: Any, zh: str, **attrs: Any) -> None:
        self._zh = zh
        super().__init__(*args, **attrs)

    @property
    def help(self) -> str | None:
        return Text(self._en or "", self._zh).to(spoken())

    @help.setter
    def help(self, help: str | None) -> None:
        self._en = help


class _Formatter(click.HelpFormatter):
    """Help in the spoken language, click's own words included; click would break Chinese lines too late."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, Text("Usage: ", "用法：").to(spoken()))

    def write_heading(self, heading: str) -> None:
        text = _HEADINGS.get(heading) or text_of(f"{heading}:")
        self.write(f"{'':{self.current_indent}}{text.to(spoken())}\n")

    def write_text(self, text: str) -> None:
        indent = " " * self.current_indent
        paragraphs = re.split(r"\n\s*\n", text)
        self.write("\n\n".join(wrapped(each, indent, len(indent), self.width) for each in paragraphs) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        found = list(rows)
        column = min(max(len(first) for first, _ in found), col_max) + col_spacing + self.current_indent
        for first, second in found:
            head = f"{'':{self.current_indent}}{first}"
            fits = len(head) + col_spacing <= column
            start = head.ljust(column) if fits else " " * column
            self.write(("" if fits else f"{head}\n") + wrapped(second, start, column, self.width) + "\n")


_HEADINGS = {"Options": Text("Options:", "选项："), "Commands": Text("Commands:", "命令：")}


class _Context(click.Context):
    formatter_class = _Formatter


class Command(_Bilingual, click.Command):
    """A command with help in both languages."""

    context_class = _Context

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return `--help`, which click makes."""
        found = super().get_help_option(ctx)
        if found is not None:
            found.help = Text("Show this message and exit.", "显示本帮助。").to(spoken())
        return found

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first paragraph of the help, for the list of commands."""
        return (self.help or "").partition("\n\n")[0]


class Group(Command, click.Group):
    """The group of all commands."""

    command_class = Command


class Option(_Bilingual, click.Option):
    """An option with help in both languages."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return what the help says of the option; of click's own words, only this one can occur."""
        found = super().get_help_record(ctx)
        return found and (found[0], found[1].replace("[required]", Text("[required]", "[必填]").to(spoken())))


option = partial(click.option, cls=Option)


@click.group(
    cls=Group,
    zh="""获取微信公众号的统计数据（消息、用户、内容、接口）。

    数据存入一个 DuckDB 文件，由 Dagster 调度。""",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, cls=Option, help="Show the version and exit.", zh="显示版本号。")
def commands() -> None:
    """Fetch the statistics of WeChat Official Accounts: messages, followers, articles, interface.

    The figures are stored in a DuckDB file; Dagster runs the work.
    """


class _Date(click.DateTime):
    """A date as YYYY-MM-DD; has its own message for dates that don't exist."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the value to its day, at midnight."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
                text = Text("{value} is not a date that exists.", "{value} 不是存在的日期。", value=value)
                self.fail(text.to(spoken()), param, ctx)
            raise


DATE = _Date(["%Y-%m-%d"])
account_option = option(
    "--account",
    metavar="NAME",
    help="One account. Default: all configured accounts.",
    zh="只处理一个账号。默认：所有已配置的账号。",
)
stored_account_option = option(
    "--account",
    metavar="NAME",
    help="One account. Default: all stored accounts.",
    zh="只处理一个账号。默认：所有已保存的账号。",
)


def file_name(suffix: str) -> Callable[[click.Context, click.Parameter, str | None], Path | None]:
    """Return a callback that turns `--output` into a path.

    It rejects the empty value of an unset shell variable, and a name without `suffix`, such as the database's.
    """

    def check(_: click.Context, __: click.Parameter, value: str | None) -> Path | None:
        if value is not None and not (value.strip() and value.endswith(suffix)):
            wanted = Text("{value!r} should be a name.", "{value!r} 应为名称。", value=value)
            if suffix:
                wanted = Text(
                    "{value!r} should be a name that ends in {suffix}.",
                    "{value!r} 应为以 {suffix} 结尾的名称。",
                    value=value,
                    suffix=suffix,
                )
            raise click.BadParameter(wanted.to(spoken()))
        return None if value is None else Path(value)

    return check


def read_settings() -> "Settings":
    """Read the settings, and print their warnings to stderr."""
    from wx_datacube.cli.console import say
    from wx_datacube.config.environment import load_settings

    settings = load_settings()
    for warning in settings.warnings:
        say(Text("Warning: {text}", "警告：{text}", text=warning), err=True)
    return settings


def require_published(settings: "Settings") -> "Warehouse":
    """Return the warehouse; raise `WarehouseError` if calls are stored but the published file is missing."""
    from wx_datacube.warehouse.files import Warehouse
    from wx_datacube.warehouse.ledger import last_call

    warehouse = Warehouse(settings.database)
    if warehouse.writer.exists() and not warehouse.database.exists():
        with warehouse.transaction() as con:
            stored = last_call(con)
        if stored and not warehouse.database.exists():  # a first run may have published meanwhile
            raise WarehouseError(
                Text(
                    "{path} is missing, but {writer} exists and holds {calls:,} call{s}.",
                    "{path} 不存在，但 {writer} 存在，含 {calls:,} 次调用。",
                    path=warehouse.database,
                    writer=warehouse.writer.name,
                    calls=stored,
                    s="" if stored == 1 else "s",
                ),
                advice=Text(
                    "Unless a run is about to publish it: wx-datacube replay",
                    "如果没有运行即将发布它，请执行：wx-datacube replay",
                ),
            )
    return warehouse


def nothing_stored(warehouse: "Warehouse") -> Text:
    """Return that there is no published file yet."""
    path = warehouse.database
    return Text("Nothing is stored yet: {path} does not exist.", "尚未保存任何数据：{path} 不存在。", path=path)


def require_stored(settings: "Settings") -> "Warehouse":
    """Return the warehouse; raise `WarehouseError` if nothing is stored yet."""
    warehouse = require_published(settings)
    if not warehouse.database.exists():
        raise WarehouseError(
            nothing_stored(warehouse),
            advice=Text("Fetch the history: wx-datacube backfill", "请获取历史数据：wx-datacube backfill"),
        )
    return warehouse


def chosen_accounts(settings: "Settings", name: str | None) -> "tuple[Account, ...]":
    """Return the account of this name, or without a name all that are configured."""
    return settings.accounts if name is None else (settings.account(name),)
