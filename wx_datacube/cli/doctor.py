"""Doctor: prints its findings, one per line, account by account.

The findings come from `operations.doctor` and `orchestration.doctor`; add new ones there.
"""

from collections.abc import Sequence
from itertools import chain

import click

from wx_datacube.alerts.store import Alerts
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import NeedsPerson, WarehouseError
from wx_datacube.operations.accounts import explain_not_configured, not_configured
from wx_datacube.operations.doctor import Finding, examine, sources
from wx_datacube.orchestration.doctor import examine_dagster


def run_doctor(settings: Settings, accounts: Sequence[Account]) -> int:
    """Examine the accounts and print each finding as it comes; return the exit code."""
    click.echo(sources(settings))
    code = max(_look(settings, each) for each in accounts)
    if list(accounts) == list(settings.accounts) and (left := not_configured(settings)):
        click.echo("Besides")
        _show(Finding(True, explain_not_configured(left)))
    return code


def _look(settings: Settings, account: Account) -> int:
    click.echo(f"Account {account.name}")
    code = max(map(_show, chain(examine(settings, account), examine_dagster(settings, account))))
    if code == 0:
        Alerts(settings.database).mended(account.name, WarehouseError, NeedsPerson)
    return code


def _show(finding: Finding) -> int:
    click.echo(f"  {'ok ' if finding.well else 'NO '} {finding.text}")
    return 0 if finding.well else 1
