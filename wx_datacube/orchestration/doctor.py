"""Doctor: examines Dagster: whether its instance opens, whether the schedules are on, and whether a daemon runs them.

Add an examination here if it needs Dagster. Those of WeChat and files are in `wx_datacube.operations.doctor`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dagster as dg

from wx_datacube.catalog.periods import BEIJING, beijing_now
from wx_datacube.config.folder import loads_many_accounts
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.language import Text, joined
from wx_datacube.operations.backfill import database_mismatch
from wx_datacube.operations.backfill_protocol import Scope
from wx_datacube.operations.doctor import Examined
from wx_datacube.orchestration.backfill_runs import DagsterRuns
from wx_datacube.orchestration.code_location import CHECKS, FETCH
from wx_datacube.orchestration.dagster_internals import SqliteEventLogStorage
from wx_datacube.orchestration.digest import SCHEDULE_NAME
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.prefixes import Prefix, known_prefixes, stem
from wx_datacube.orchestration.schedules import schedule_names
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.files import Warehouse


def examine_instance(settings: Settings) -> Examined:
    """Return whether the project's Dagster instance opens."""
    try:
        with project_instance(settings.require_project()):
            pass
    except (SettingsError, WarehouseError) as error:
        return Examined(False, error.text)
    except dg.DagsterError as error:
        return Examined(False, Text("{error}", "Dagster 报错：{error}", error=error))
    return Examined(True, _OPENS.fill(folder=settings.project))


def keeps_history_here(settings: Settings) -> bool:
    """Return whether Dagster's history is on SQLite in the project folder, so that no other machine sees it."""
    with project_instance(settings.require_project()) as instance:
        return isinstance(instance.event_log_storage, SqliteEventLogStorage)


_OPENS = Text("Dagster's instance in {folder} opens.", "Dagster 实例可以打开，位于 {folder}。")


def examine_dagster(settings: Settings, account: Account) -> Iterator[Examined]:
    """Yield whether the project's Dagster instance opens, fits the database, and has the account's schedules on."""
    try:
        with project_instance(settings.require_project()) as instance:
            running = _running(instance)
            prefixes = known_prefixes(instance, account.name)
            others = [*_database_mismatch(instance, settings, account, prefixes)]
    except (SettingsError, WarehouseError) as error:
        yield Examined(False, error.text)
        return
    except dg.DagsterError as error:
        yield Examined(False, Text("{error}", "Dagster 报错：{error}", error=error))
        return
    yield Examined(True, _OPENS.fill(folder=settings.project))
    yield from others
    serves_many = loads_many_accounts(settings.require_project())
    yield _schedules(running, account, stem(prefixes[0], account.name), serves_many)


def examine_schedules(settings: Settings) -> Iterator[Examined]:
    """Yield what concerns all accounts: the digest's schedule, if there is a chat, and the daemon that schedules need.

    Nothing is yielded if the instance doesn't open, which `examine_dagster` reports.
    """
    try:
        project = settings.require_project()
        with project_instance(project) as instance:
            states = [each for each in instance.all_instigator_state() if each.is_running]
            daemons = instance.get_daemon_statuses()
    except (SettingsError, WarehouseError, dg.DagsterError):
        return
    running = {each.name for each in states}
    digests = _of_location(running, SCHEDULE_NAME)
    if settings.webhook is not None:
        yield Examined(True, _DIGEST_IS_ON.fill(names=joined(digests, ", ", "、")) if digests else _DIGEST_IS_OFF)
    on = {*digests, *_of_location(running, FETCH), *_of_location(running, CHECKS)}
    if not loads_many_accounts(project):
        on |= {name for each in settings.accounts for name in _of_account(running, each, _schedules_of(each))}
    needed = [daemons[name] for name in _DAEMONS if name in daemons]
    if on and needed:
        daemon = _daemon(len(on), needed, settings)
        yield daemon
        seen = max(map(_last_seen, (each for each in states if each.name in on)))
        if daemon.ok and beijing_now().replace(tzinfo=BEIJING) - seen > _NOT_LOADED_AFTER:
            yield Examined(False, _NOT_LOADED.fill(seen=seen))


_DAEMONS = ("SCHEDULER", "QUEUED_RUN_COORDINATOR")
"""Dagster's names of the daemons that evaluate schedules and start the runs that these request."""
_NOT_LOADED_AFTER = dt.timedelta(hours=3)
"""How long the daemon may not have noted that it saw any of the schedules: it notes that once an hour."""
_NOT_LOADED = Text(
    "Dagster's daemon is running, but has not found the schedules since {seen:%Y-%m-%d %H:%M} Beijing time: their code"
    " location is not loaded. Dagster's UI shows the error under Deployment; click Reload there, or restart Dagster.",
    "Dagster daemon 正在运行，但从北京时间 {seen:%Y-%m-%d %H:%M} 起找不到这些定时任务：代码位置没有加载。"
    "错误信息见 Dagster 界面的 Deployment 页面；请在该页面点击 Reload，或重新启动 Dagster。",
)
_DIGEST_IS_ON = Text("The schedule of the digest is on: {names}.", "日报的定时任务已打开：{names}。")
_DIGEST_IS_OFF = Text(
    "The schedule {name} is off, so the chat gets no digest. Switch it on in Dagster's UI under Automation, or run"
    " `wx-datacube digest --send` by cron.",
    "日报的定时任务 {name} 未打开，群里不会收到日报。请在 Dagster 界面的 Automation 页面打开，或用 cron 执行"
    " wx-datacube digest --send。",
    name=SCHEDULE_NAME,
)


def _daemon(number: int, daemons: Sequence[Any], settings: Settings) -> Examined:
    """Return whether Dagster's daemon runs the schedules that are on, by the rule of Dagster's UI: half an hour."""
    heartbeats = [each.last_heartbeat.timestamp for each in daemons if each.last_heartbeat]
    last = dt.datetime.fromtimestamp(min(heartbeats), BEIJING) if heartbeats else None
    if all(each.healthy for each in daemons):
        return Examined(
            True,
            Text(
                "Dagster's daemon, which the schedules need, was running at {last:%H:%M} Beijing time.",
                "执行定时任务的 Dagster daemon 在北京时间 {last:%H:%M} 仍在运行。",
                last=last,
            ),
        )
    since = Text("it never ran in this folder", "在此文件夹中从未运行")
    if last is not None:
        since = Text(
            "its last heartbeat was at {last:%Y-%m-%d %H:%M} Beijing time",
            "最后一次心跳在北京时间 {last:%Y-%m-%d %H:%M}",
            last=last,
        )
    return Examined(
        False,
        Text(
            "{number} schedule{s} on, but nothing runs: Dagster's daemon is not running ({since}). Start the service"
            " wx-datacube-daemon, or `wx-datacube ui`, which includes a daemon. If a daemon is running all the same,"
            " its DAGSTER_HOME is not {folder}.",
            "已打开 {number} 个定时任务，但不会执行：Dagster daemon 没有运行（{since}）。"
            "请启动服务 wx-datacube-daemon，或运行 wx-datacube ui（其中包含 daemon）。"
            "如果 daemon 其实正在运行，说明它的 DAGSTER_HOME 不是 {folder}。",
            number=number,
            s=" is" if number == 1 else "s are",
            since=since,
            folder=settings.project,
        ),
    )


def _last_seen(state: Any) -> dt.datetime:
    """Return when the daemon last noted that it saw a schedule, at the earliest when that was switched on."""
    data = state.instigator_data
    return dt.datetime.fromtimestamp(max(data.start_timestamp or 0, data.last_iteration_timestamp or 0), BEIJING)


def _running(instance: dg.DagsterInstance) -> set[str]:
    """Return the names of the schedules that are on."""
    return {state.name for state in instance.all_instigator_state() if state.is_running}


def _schedules_of(account: Account) -> list[str]:
    """Return the last parts of the names of an account's schedules."""
    return [*schedule_names(account.endpoints), "checks"]


def _of_account(running: Iterable[str], account: Account, names: Iterable[str]) -> list[str]:
    """Return those of an account's schedules that are on, under any prefix."""
    ends = tuple(f"__{account.name}_{each}" for each in names)
    return [name for name in sorted(running) if f"__{name}".endswith(ends)]


def _of_location(running: Iterable[str], name: str) -> list[str]:
    """Return the schedules over several accounts that are on, under any prefix; see `prefixes.location_name`."""
    return [each for each in sorted(running) if f"__{each}".endswith(f"__{name}")]


def _schedules(running: set[str], account: Account, own: str, serves_many: bool) -> Examined:
    """Return which schedules are on, under any prefix; `own` is the name stem for those that are off.

    With `serves_many`, the code location of the folder has one schedule for all accounts. An account's own schedules
    may still be on in Dagster's history, but nothing evaluates them.
    """
    on: list[str] = []
    off: list[str] = []
    for what in _schedules_of(account):
        of_all = CHECKS if what == "checks" else FETCH
        found = _of_location(running, of_all)
        if not serves_many:
            found += _of_account(running, account, [what])
        on += found
        off += [] if found else [of_all if serves_many else f"{own}_{what}"]
    on, off = [*dict.fromkeys(on)], [*dict.fromkeys(off)]
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
