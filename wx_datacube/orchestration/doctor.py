"""Doctor: examines Dagster: whether its instance opens, and whether the schedules are on.

Add an examination here if it needs Dagster. Those of WeChat and files are in `wx_datacube.operations.doctor`.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.language import Text, joined
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
    except (SettingsError, WarehouseError) as error:
        yield Examined(False, error.text)
        return
    except dg.DagsterError as error:
        yield Examined(False, Text("{error}", "Dagster 报错：{error}", error=error))
        return
    yield Examined(
        True,
        Text(
            "Dagster's instance in {folder} opens.",
            "Dagster 实例可以打开，位于 {folder}。",
            folder=settings.project,
        ),
    )
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
        return Examined(
            True,
            Text(
                "Schedules that are off: {names}. Switch them on in Dagster's UI under Automation, or run"
                " `wx-datacube backfill` by cron.",
                "未打开的定时任务：{names}。请在 Dagster 界面的 Automation 页面打开，或用 cron 执行"
                " wx-datacube backfill。",
                names=joined(off, ", ", "、"),
            ),
        )
    return Examined(
        True, Text("All schedules are on: {names}.", "定时任务均已打开：{names}。", names=joined(on, ", ", "、"))
    )


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
