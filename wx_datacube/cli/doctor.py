"""Doctor: prints its findings, account by account; each begins with `ok` or `FAIL`, in both languages.

The findings come from `operations.doctor` and `orchestration.doctor`; add new ones there.
"""

from collections.abc import Sequence
from itertools import chain

from wx_datacube.alerts.store import Alerts
from wx_datacube.cli.console import say
from wx_datacube.cli.wrapping import wrapped
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import NeedsPerson, WarehouseError
from wx_datacube.language import Text, spoken
from wx_datacube.operations.accounts import explain_not_configured, not_configured
from wx_datacube.operations.doctor import Examined, examine, examine_lake, other_host, sources
from wx_datacube.orchestration.doctor import examine_dagster, examine_schedules


def run_doctor(settings: Settings, accounts: Sequence[Account]) -> int:
    """Examine the accounts and print each finding as it comes; return the exit code."""
    for text in filter(None, (sources(settings), other_host(settings))):
        say(wrapped(text.to(spoken())))
    code = max(_run_checks(settings, each) for each in accounts)
    if schedules := [*examine_schedules(settings)]:
        say(Text("Dagster, all accounts", "Dagster（所有账号）"))
        code = max(code, *map(_show, schedules))
    if lake := [*examine_lake(settings)]:
        say(Text("Lake", "数据湖"))
        code = max(code, *map(_show, lake))
    if list(accounts) == list(settings.accounts) and (left := not_configured(settings)):
        say(Text("Other", "其他"))
        _show(Examined(True, explain_not_configured(left)))
    return code


def _run_checks(settings: Settings, account: Account) -> int:
    say(Text("Account {name}", "账号 {name}", name=account.name))
    code = max(map(_show, chain(examine(settings, account), examine_dagster(settings, account))))
    if code == 0:
        Alerts(settings.database).resolve(account.name, WarehouseError, NeedsPerson)
    return code


def _show(examined: Examined) -> int:
    mark = f"  {'ok  ' if examined.ok else 'FAIL'} "
    say(wrapped(examined.text.to(spoken()), mark, indent=len(mark)))
    return 0 if examined.ok else 1
