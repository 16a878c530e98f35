"""Command line: reads options, calls the code that does the work, prints, and turns outcomes into exit codes.

Add here only what talks to a terminal. Dagster, DuckDB and the emulator are imported inside the commands that need
them, so that `--help` and `status` respond at once. Exit codes: 0 everything is there, 1 something is missing or
failed, 2 wrong usage or configuration, 3 stopped at the daily quota, 130 interrupted.
"""

import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wx_datacube import __version__
from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS, Endpoint
from wx_datacube.catalog.periods import beijing_now, label_of
from wx_datacube.cli.output import Output
from wx_datacube.emulator.options import Options
from wx_datacube.errors import SettingsError, WarehouseError, WxDatacubeError

if TYPE_CHECKING:
    from wx_datacube.config.settings import Account, Settings
    from wx_datacube.warehouse.files import Warehouse


class _Day(click.DateTime):
    """A date as YYYY-MM-DD; rejects dates that don't exist with a message of its own."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the value to its day, at midnight."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
                self.fail(f"there is no day {value}.", param, ctx)
            raise


DAY = _Day(["%Y-%m-%d"])
account_option = click.option("--account", metavar="NAME", help="One account only; default: all that are configured.")
stored_account_option = click.option("--account", metavar="NAME", help="One account only; default: all in the file.")


def main() -> None:
    """Run `wx-datacube` on this process's arguments; the entry point of the installed command."""
    output = Output()
    code = run(sys.argv[1:])
    if refusal := output.refusal():
        click.echo(f"wx-datacube: What this printed could not be written: {refusal.strerror}.", err=True)
        code = code or 1
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; print an expected error as one clear line on stderr."""
    try:
        return int(commands.main(list(arguments), prog_name="wx-datacube", standalone_mode=False) or 0)
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. What has landed stays; run the same again to go on.", err=True)
        return 130
    except WxDatacubeError as error:
        click.echo(f"wx-datacube: {error}", err=True)
        return _exit_code(error)


def _exit_code(error: WxDatacubeError) -> int:
    return 2 if isinstance(error, SettingsError | WarehouseError) else 1


_BY_WEIGHT = [0, 3, 1, 2]
"""Exit codes, least severe first.

A used-up quota waits for midnight, a failure may need a person, a wrong setting always does.
"""


def for_each(accounts: "Sequence[Account]", work: "Callable[[Account], int]") -> int:
    """Run `work` for each account, even if another one failed; return the most severe exit code.

    An error of the warehouse ends the loop, since it is the same for all accounts.
    """
    codes = []
    for account in accounts:
        try:
            codes.append(work(account))
        except WxDatacubeError as error:
            if len(accounts) == 1 or isinstance(error, WarehouseError):
                raise
            click.echo(f"wx-datacube: {account.name}: {error}", err=True)
            codes.append(_exit_code(error))
    return max(codes, key=_BY_WEIGHT.index)


_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # since click 8.2; 8.1 shows the help itself


def _show(error: click.ClickException) -> None:
    """Print the error as one line instead of click's three; without any command, print the help."""
    if isinstance(error, click.UsageError) and error.ctx and not isinstance(error, _NO_ARGUMENTS):
        path = error.ctx.command_path
        click.echo(f"{path}: {error.format_message()} See {path} --help.", err=True)
    else:
        error.show()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """Message statistics of WeChat Official Accounts (公众号消息分析) in DuckDB, by Dagster."""


def _settings() -> "Settings":
    from wx_datacube.config.environment import load_settings

    settings = load_settings()
    for warning in settings.warnings:
        click.echo(f"Warning: {warning}", err=True)
    return settings


def _published(settings: "Settings") -> "Warehouse":
    """Return the warehouse; raise `WarehouseError` if calls are stored but the published file is missing."""
    from wx_datacube.warehouse.files import Warehouse
    from wx_datacube.warehouse.ledger import last_call

    warehouse = Warehouse(settings.database)
    if warehouse.writer.exists() and not warehouse.database.exists():
        with warehouse.writing() as con:
            stored = last_call(con)
        if stored and not warehouse.database.exists():  # a first run may have published meanwhile
            raise WarehouseError(
                f"{warehouse.database} is not there, but {warehouse.writer.name} is, in which"
                f" {'1 call is' if stored == 1 else f'{stored:,} calls are'} stored.",
                advice="If no run is about to publish it: wx-datacube replay",
            )
    return warehouse


def _stored(settings: "Settings") -> "Warehouse":
    """Return the warehouse; raise `WarehouseError` if nothing is stored yet."""
    warehouse = _published(settings)
    if not warehouse.database.exists():
        raise WarehouseError(
            f"Nothing is stored yet: {warehouse.database} is not there.", advice="Bring it in: wx-datacube backfill"
        )
    return warehouse


def _accounts(settings: "Settings", name: str | None) -> "tuple[Account, ...]":
    return settings.accounts if name is None else (settings.account(name),)


# --- looking ----------------------------------------------------------------------------------------------------


@commands.command()
@account_option
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def status(account: str | None, as_json: bool) -> int:
    """What is there, what is missing, and the calls made today. Makes no call."""
    from wx_datacube.operations.accounts import explain_not_configured, not_configured
    from wx_datacube.operations.status import read_status

    settings = _settings()
    warehouse = _published(settings)
    accounts = _accounts(settings, account)
    found = read_status(settings, [each for each in accounts if each.fault is None])
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
            click.echo(f"Nothing is stored yet: {warehouse.database} is not there.")
        show_statuses(found)
        if left:
            click.echo(explain_not_configured(left))
    return code


@commands.command()
@account_option
def doctor(account: str | None) -> int:
    """What stands between this machine and its figures, and what to do about it."""
    from wx_datacube.cli.doctor import run_doctor

    settings = _settings()
    return run_doctor(settings, _accounts(settings, account))


# --- working ----------------------------------------------------------------------------------------------------


@commands.command()
@click.option("--start", type=DAY, metavar="YYYY-MM-DD", help="First label; default: the whole history.")
@click.option("--end", type=DAY, metavar="YYYY-MM-DD", help="Last label; default: the newest that is due.")
@click.option("--endpoint", "names", multiple=True, type=click.Choice(list(BY_NAME)), help="Repeatable; default: all.")
@click.option("--refresh", is_flag=True, help="Ask again for what is stored, and replace it.")
@account_option
def backfill(
    start: dt.datetime | None, end: dt.datetime | None, names: tuple[str, ...], refresh: bool, account: str | None
) -> int:
    """Bring in every due label that is missing, and materialize it in Dagster."""
    settings = _settings()
    chosen = _accounts(settings, account)
    first, last = start and start.date(), end and end.date()
    endpoints = [each for each in ENDPOINTS if not names or each.name in names]
    _check_range(first, last, chosen, endpoints, "--start", "--end")
    from wx_datacube.cli.backfill import run_backfill
    from wx_datacube.operations.backfill import Scope

    scope = Scope(first, last, endpoints, refresh)
    return for_each(chosen, lambda account: run_backfill(settings, account, scope))


def _check_range(
    first: dt.date | None,
    last: dt.date | None,
    accounts: "Sequence[Account]",
    endpoints: Sequence[Endpoint],
    first_option: str,
    last_option: str,
) -> None:
    today = beijing_now().date()
    for day, option in ((first, first_option), (last, last_option)):
        if day is not None and day > today:
            raise click.BadParameter(f"{day} lies in the future; today in Beijing is {today}.", param_hint=option)
    if first is not None and last is not None and first > last:
        raise click.BadParameter(f"{first} is after {last_option} {last}.", param_hint=first_option)
    oldest = min(accounts, key=lambda account: account.start)
    if last is not None and all(last < label_of(oldest.start, each.period) for each in endpoints):
        raise click.BadParameter(
            f"{last} is before the history of {oldest.name} begins, {oldest.start}"
            f" ({oldest.own('WX_DATACUBE_START')}).",
            param_hint=last_option,
        )


@commands.command()
@click.option("--check", "names", multiple=True, metavar="NAME", help="Repeatable; default: all.")
@account_option
def heal(names: tuple[str, ...], account: str | None) -> int:
    """Ask again for the labels that failing checks name, at the fewest calls."""
    from wx_datacube.cli.heal import HEALABLE, run_heal

    if unknown := sorted(set(names) - set(HEALABLE)):
        raise click.BadParameter(
            f"{unknown[0]!r} is none of {', '.join(HEALABLE)}; other checks heal otherwise.", param_hint="--check"
        )
    settings = _settings()
    chosen = _accounts(settings, account)
    _stored(settings)
    return for_each(chosen, lambda account: run_heal(settings, account.checked(), names))


@commands.command()
@stored_account_option
def replay(account: str | None) -> int:
    """Rebuild every table from the stored responses. Makes no call."""
    from wx_datacube.cli.replay import run_replay
    from wx_datacube.warehouse.files import Warehouse

    return run_replay(Warehouse(_settings().database), account)


def _file_name(suffix: str) -> Callable[[click.Context, click.Parameter, str | None], Path | None]:
    """Return a callback that turns `--output` into a path.

    It rejects the empty value of an unset shell variable, and a name without `suffix`, such as the database's.
    """

    def check(_: click.Context, __: click.Parameter, value: str | None) -> Path | None:
        if value is not None and not (value.strip() and value.endswith(suffix)):
            raise click.BadParameter(f"{value!r} should be a name{f' that ends in {suffix}' if suffix else ''}.")
        return None if value is None else Path(value)

    return check


@commands.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="What DuckDB, Python and most tools read fastest, or what everything reads.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False),
    callback=_file_name(""),
    required=True,
    metavar="DIR",
    help="Folder for the files; it is made, and files of the same names are replaced.",
)
@stored_account_option
def export(form: str, output: Path, account: str | None) -> int:
    """Write every view as a file, for programs that would hold the database open. Makes no call."""
    from wx_datacube.operations.export import export_views

    warehouse = _stored(_settings())  # an empty export would replace files that have rows
    for path, rows in export_views(warehouse, output, form, account).items():
        click.echo(f"{path}  {rows:,} rows")
    return 0


@commands.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    callback=_file_name(".html"),
    metavar="FILE",
    help="Default: report_<account>.html beside the database.",
)
@click.option("--lang", type=click.Choice(["zh", "en"]), default="zh", show_default=True, help="Its language.")
@click.option("--from", "start", type=DAY, metavar="YYYY-MM-DD", help="First day; default: the whole history.")
@click.option("--to", "end", type=DAY, metavar="YYYY-MM-DD", help="Last day; default: the newest that is due.")
@account_option
def report(
    output: Path | None, lang: str, start: dt.datetime | None, end: dt.datetime | None, account: str | None
) -> int:
    """What people look at, as one HTML file that opens anywhere, offline. Makes no call."""
    settings = _settings()
    chosen = _accounts(settings, account)
    first, last = start and start.date(), end and end.date()
    _check_range(first, last, chosen, ENDPOINTS[:1], "--from", "--to")
    if output is not None and len(chosen) > 1:
        raise click.UsageError("--output is one file, and several accounts are configured: name one with --account.")
    from wx_datacube.cli.report import run_report
    from wx_datacube.operations.accounts import explain_not_configured, not_configured

    _published(settings)
    if left := not_configured(settings):
        click.echo(explain_not_configured(left), err=True)

    def make(account: "Account") -> int:
        path, is_empty = run_report(settings, account.checked(), lang, first, last, output)
        click.echo(f"Report of {account.name}: {path}")
        if is_empty:
            click.echo(f"It is empty: nothing is stored of {account.name}. Run wx-datacube backfill first.", err=True)
        return 1 if is_empty else 0

    return for_each(chosen, make)


# --- accounts ---------------------------------------------------------------------------------------------------


@commands.command("rename-account")
@click.argument("old")
@click.argument("new")
def rename_account(old: str, new: str) -> int:
    """Call an account otherwise, in all that is stored of it, once the file is backed up. Makes no call."""
    from wx_datacube.cli.accounts import run_rename

    return run_rename(_settings(), old, new)


@commands.command("remove-account")
@click.argument("name")
def remove_account(name: str) -> int:
    """Take out all that is stored of an account, once you have said yes and the file is backed up."""
    from wx_datacube.cli.accounts import run_remove

    return run_remove(_settings(), name)


# --- a project folder, made-up data, and Dagster's UI -----------------------------------------------------------


@commands.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False), callback=_file_name(""))
def init(folder: Path) -> int:
    """Make a project folder of DIR, or of the current one; nothing that is there is written over."""
    from wx_datacube.cli.init import run_init

    return run_init(folder)


@commands.command()
@click.option("--days", type=click.IntRange(1, 4000), default=90, show_default=True, help="Newest settled days.")
def demo(days: int) -> int:
    """The whole way on a made-up account, in a folder of its own: demo/."""
    from wx_datacube.cli.demo import run_demo

    return run_demo(days)


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="PORT", help="Default: 3000, or a free one if it is taken."
)
def ui(host: str, port: int | None) -> int:
    """Dagster's UI on the configured account; without one, on the demo."""
    from wx_datacube.cli.ui import run_ui

    return run_ui(_settings(), host, port)


def _emulator_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add one command-line option for each field of the emulator's options."""
    for field in reversed(fields(Options)):
        about = field.metadata
        option = click.option(
            f"--{field.name.replace('_', '-')}",
            metavar=about["kind"].metavar,
            help=about["help"],
            multiple=about["many"],
        )
        command = option(command)
    return command


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; default: a free one.")
@_emulator_options
def emulator(host: str, port: int, **options: Any) -> int:
    """Serve WeChat's API with made-up data until interrupted."""
    from wx_datacube.cli.console import needs, warn_of_no_login

    with needs("emulator"):
        from wx_datacube.emulator.server import serve
    try:
        chosen = Options().changed({name: value for name, value in options.items() if value not in (None, ())})
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    def ready(api_url: str) -> None:
        for name, value in (("API_URL", api_url), ("APPID", chosen.appid), ("SECRET", chosen.secret)):
            click.echo(f"WX_DATACUBE_{name}={value}")
        click.echo(f"Emulating WeChat's datacube API at {api_url}; Ctrl-C ends it.")
        sys.stdout.flush()

    warn_of_no_login(host, "use the emulated account, and change what is emulated")
    try:
        serve(chosen, host, port, ready)
    except OSError as error:
        raise SettingsError(
            f"Port {port} of {host} can't be used: {error.strerror}.", advice="Leave --port out for a free one."
        ) from None
    return 0
