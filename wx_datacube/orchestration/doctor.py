"""Doctor: examines Dagster: whether its instance opens, and whether the schedules are on.

Add an examination here if it needs Dagster. Those of WeChat and files are in `wx_datacube.operations.doctor`.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.operations.backfill import database_mismatch
from wx_datacube.operations.backfill_protocol import Scope
from wx_datacube.operations.doctor import Examined
from wx_datacube.orchestration.backfill_runs import DagsterRuns
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.prefixes import Prefix, known_prefixes, stem
from wx_datacube.orchestration.schedules import schedule_names
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.files import Warehouse


def examine_dagster(settings: Settings, account: Account) -> Iterator[Examined]:
    """Yield whether the project's Dagster instance opens, fits the database, and has the account's schedules on."""
    try:
        with project_instance(settings.require_project()) as instance:
            running = {state.name for state in instance.all_instigator_state() if state.is_running}
            prefixes = known_prefixes(instance, account.name)
            others = [*_database_mismatch(instance, settings, account, prefixes)]
    except (SettingsError, WarehouseError, dg.DagsterError) as error:
        yield Examined(False, str(error))
        return
    yield Examined(True, f"Dagster's instance in {settings.project} opens.")
    yield from others
    yield _schedules(running, account, stem(prefixes[0], account.name))


def _schedules(running: set[str], account: Account, own: str) -> Examined:
    """Return which schedules are on, under any prefix; `own` is the name stem for those that are off."""
    on: list[str] = []
    off: list[str] = []
    for what in (*schedule_names(account.endpoints), "checks"):
        found = [name for name in sorted(running) if f"__{name}".endswith(f"__{account.name}_{what}")]
        on += found
        off += [] if found else [f"{own}_{what}"]
    if off:
        how = "Switch them on in Dagster's UI under Automation, or run `wx-datacube backfill` by cron."
        return Examined(True, f"Schedules that are off: {', '.join(off)}. {how}")
    return Examined(True, f"All schedules are on: {', '.join(on)}.")


def _database_mismatch(
    instance: dg.DagsterInstance, settings: Settings, account: Account, prefixes: Sequence[Prefix]
) -> Iterator[Examined]:
    now, scope = beijing_now(), Scope()
    try:
        with Warehouse(settings.database).reading_committed() as con:
            states = scope.of(known.states(con, account, now))
    except WarehouseError:
        return  # `operations.doctor` reports it
    runs = [DagsterRuns(instance, settings, account, scope, now, prefix) for prefix in prefixes]
    materialized = max(sum(map(len, each.materialized(states).values())) for each in runs)
    if warning := database_mismatch(materialized, states, settings.database, account):
        yield Examined(False, warning)
