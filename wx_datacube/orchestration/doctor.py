"""Doctor: what Dagster has to say: does its instance open, and are the schedules on?

Everything about WeChat and files is in `wx_datacube.doctor`.
"""

from collections.abc import Iterator

import dagster as dg

from wx_datacube.backfill import Scope, another_file
from wx_datacube.catalog import Period
from wx_datacube.doctor import Finding
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.materialize import DagsterRuns
from wx_datacube.periods import beijing_now
from wx_datacube.settings import Account, Settings
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.files import Warehouse


def examine_dagster(settings: Settings, account: Account) -> Iterator[Finding]:
    """Whether the project's Dagster instance opens, and which of the account's schedules are switched on."""
    try:
        with project_instance(settings.require_project()) as instance:
            states = {state.name: state.is_running for state in instance.all_instigator_state()}
            others = [*_another_file(instance, settings, account)]
    except (SettingsError, WarehouseError, dg.DagsterError) as error:
        yield Finding(False, str(error))
        return
    yield Finding(True, f"Dagster's instance in {settings.project} opens.")
    yield from others
    names = [f"{account.name}_{what}" for what in (*(period.adverb for period in Period), "checks")]
    off = [name for name in names if not states.get(name)]
    if off:
        how = "Switch them on in Dagster's UI under Automation, or run `wx-datacube backfill` by cron."
        yield Finding(True, f"Schedules that are off: {', '.join(off)}. {how}")
    else:
        yield Finding(True, f"All schedules are on: {', '.join(names)}.")


def _another_file(instance: dg.DagsterInstance, settings: Settings, account: Account) -> Iterator[Finding]:
    now, scope = beijing_now(), Scope()
    try:
        with Warehouse(settings.database).looking() as con:
            states = scope.of(known.states(con, account.name, account.start, now))
    except WarehouseError:
        return  # which is said of the files
    held = DagsterRuns(instance, settings, account, scope, now).held(states)
    if warning := another_file(sum(map(len, held.values())), states, settings.database, account):
        yield Finding(False, warning)
