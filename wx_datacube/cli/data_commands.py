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
    read_settings,
    require_published,
    require_stored,
    stored_account_option,
)
from wx_datacube.cli.outcomes import for_each
from wx_datacube.errors import SettingsError

if TYPE_CHECKING:
    from wx_datacube.config.settings import Account


@commands.command()
@account_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts and monitors.")
def status(account: str | None, as_json: bool) -> int:
    """Show what is stored and missing, and today's calls. Makes no call."""
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
            click.echo(f"Nothing is stored yet: {warehouse.database} does not exist.")
        show_statuses(found)
        if left:
            click.echo(explain_not_configured(left))
    return code


@commands.command()
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False),
    callback=file_name(".json"),
    metavar="FILE",
    help="Also write the shapes of WeChat's answers, for a bug report: no figures, no secrets.",
)
@account_option
def doctor(account: str | None, bundle: Path | None) -> int:
    """Check the whole setup and say how to fix each problem."""
    from wx_datacube.cli.doctor import run_doctor
    from wx_datacube.operations.bundle import require_bundle, write_bundle

    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    if bundle is not None:
        require_bundle(bundle)
    code = run_doctor(settings, chosen)
    if bundle is not None:
        write_bundle(settings, chosen, bundle)
        click.echo(f"Bundle: {bundle}")
    return code


@commands.command()
@click.option("--start", type=DATE, metavar="YYYY-MM-DD", help="First date. Default: first day of history.")
@click.option("--end", type=DATE, metavar="YYYY-MM-DD", help="Last date. Default: the newest that is due.")
@click.option(
    "--endpoint",
    "names",
    multiple=True,
    type=click.Choice(list(BY_NAME)),
    metavar="NAME",
    help="An endpoint, such as getupstreammsg. Repeatable. Default: all.",
)
@click.option("--refresh", is_flag=True, help="Request stored labels again, and replace them.")
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
    from wx_datacube.operations.backfill_protocol import Scope
    from wx_datacube.operations.heartbeat import beat

    scope = Scope(first, last, endpoints, refresh)
    code = for_each(chosen, lambda account: run_backfill(settings, account, scope))
    beat(settings, beijing_now(), lambda text: click.echo(text, err=True))
    return code


def _require_switched_on(accounts: "Sequence[Account]", endpoints: "Sequence[Endpoint]") -> None:
    """Raise `SettingsError` if an endpoint was named whose family no account has switched on."""
    for endpoint in endpoints:
        if not any(endpoint in account.endpoints for account in accounts):
            raise SettingsError(
                f"{endpoint.name} is not fetched: its family {endpoint.family} is off.",
                advice=f"Add it to {accounts[0].variable('FAMILIES')} in .env, or set all; `wx-datacube doctor` says"
                " which families the account may fetch.",
            )


@commands.command()
@click.option("--check", "names", multiple=True, metavar="NAME", help="A check. Repeatable. Default: all.")
@account_option
def heal(names: tuple[str, ...], account: str | None) -> int:
    """Request the labels of failing checks again.

    Uses as few calls as possible, and prints their number first.
    """
    from wx_datacube.cli.heal import HEALABLE, run_heal

    if unknown := sorted(set(names) - set(HEALABLE)):
        raise click.BadParameter(
            f"{unknown[0]!r} is not one of {', '.join(HEALABLE)}; `heal` can't fix other checks.", param_hint="--check"
        )
    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    require_stored(settings)
    return for_each(chosen, lambda account: run_heal(settings, account.checked(), names))


@commands.command()
@stored_account_option
def replay(account: str | None) -> int:
    """Rebuild every table from the stored answers. Makes no call."""
    from wx_datacube.cli.replay import run_replay
    from wx_datacube.warehouse.files import Warehouse

    return run_replay(Warehouse(read_settings().database), account)


@commands.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Parquet is faster; every program reads CSV.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False),
    callback=file_name(""),
    required=True,
    metavar="DIR",
    help="Folder for the files; existing files are replaced.",
)
@stored_account_option
def export(form: str, output: Path, account: str | None) -> int:
    """Write every view as a Parquet or CSV file. Makes no call.

    For programs that keep a database open.
    """
    from wx_datacube.operations.export import export_views

    warehouse = require_stored(read_settings())  # an empty export would replace files that have rows
    for path, rows in export_views(warehouse, output, form, account).items():
        click.echo(f"{path}  {rows:,} rows")
    return 0


@commands.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    callback=file_name(".html"),
    metavar="FILE",
    help="Default: report_<account>.html beside the database.",
)
@click.option("--lang", type=click.Choice(["zh", "en"]), default="zh", show_default=True, help="The report's language.")
@click.option("--from", "start", type=DATE, metavar="YYYY-MM-DD", help="First day. Default: first day of history.")
@click.option("--to", "end", type=DATE, metavar="YYYY-MM-DD", help="Last day. Default: the newest that is due.")
@account_option
def report(
    output: Path | None, lang: str, start: dt.datetime | None, end: dt.datetime | None, account: str | None
) -> int:
    """Write an HTML report that opens offline. Makes no call."""
    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    first, last = start and start.date(), end and end.date()
    _check_range(first, last, chosen, ENDPOINTS[:1], "--from", "--to")
    if output is not None and len(chosen) > 1:
        raise click.UsageError("--output is one file, but several accounts are configured. Name one with --account.")
    from wx_datacube.cli.report import run_report
    from wx_datacube.operations.accounts import explain_not_configured, not_configured

    require_published(settings)
    if left := not_configured(settings):
        click.echo(explain_not_configured(left), err=True)

    def make(account: "Account") -> int:
        path, is_empty = run_report(settings, account.checked(), lang, first, last, output)
        click.echo(f"Report of {account.name}: {path}")
        if is_empty:
            click.echo(f"It is empty: nothing is stored for {account.name}. Run wx-datacube backfill first.", err=True)
        return 1 if is_empty else 0

    return for_each(chosen, make)


@commands.command()
@click.option("--lang", type=click.Choice(["zh", "en"]), help="The language. Default: WX_DATACUBE_LANG, else zh.")
@click.option("--send", is_flag=True, help="Send it to WX_DATACUBE_WEBHOOK, at most once a day.")
@account_option
def digest(lang: str | None, send: bool, account: str | None) -> int:
    """Print yesterday's figures for a group chat. Makes no call."""
    from wx_datacube.cli.digest import run_digest
    from wx_datacube.language import Language

    settings = read_settings()
    chosen = chosen_accounts(settings, account)
    require_published(settings)
    return run_digest(settings, chosen, Language(lang) if lang else settings.reading_language, send=send)


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
            raise click.BadParameter(f"{day} is in the future; today in Beijing is {today}.", param_hint=option)
    if first is not None and last is not None and first > last:
        raise click.BadParameter(f"{first} is after {last_option} {last}.", param_hint=first_option)
    oldest = min(accounts, key=lambda account: account.start)
    if last is not None and all(last < label_of(oldest.start, each.period) for each in endpoints):
        raise click.BadParameter(
            f"{last} is before the history of {oldest.name} begins, {oldest.start}"
            f" ({oldest.with_own_variables('WX_DATACUBE_START')}).",
            param_hint=last_option,
        )
