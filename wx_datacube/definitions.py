"""Definitions: everything of this package as one Dagster code location, for this project or inside another.

`defs` is the entry point of `workspace.yaml` and `[tool.dg]`; `build_defs` is for other people's projects. Nothing
is decided here: assets, schedules and resources come from `orchestration`.
"""

import gc
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from wx_datacube.catalog import ENDPOINTS, HISTORY_START, Period
from wx_datacube.environment import account_names, load_settings
from wx_datacube.errors import SettingsError
from wx_datacube.orchestration.assets import build_asset, resource_key
from wx_datacube.orchestration.judging import build_judging
from wx_datacube.orchestration.report import build_report, can_report
from wx_datacube.orchestration.resources import account_resource, reading_resource
from wx_datacube.orchestration.schedules import MORNINGS, build_jobs, build_schedule
from wx_datacube.periods import Clock, beijing_now
from wx_datacube.settings import DATABASE, Settings


def build_defs(
    *,
    accounts: Sequence[str] | None = None,
    key_prefix: Sequence[str] = (),
    group_name: str | None = None,
    owners: Sequence[str] = (),
    resources: Mapping[str, Any] | None = None,
    duckdb_key: str = "duckdb",
    cron_schedule: str = MORNINGS,
    clock: Clock = beijing_now,
) -> dg.Definitions:
    """Seven assets, their checks, four schedules and the resources of every account; a report with the extra `report`.

    `accounts` are names as in the settings (None: all that are configured). `resources` override ours by key:
    `wechat_<account>` (a `WeChatAccount`) and `duckdb_key` (the published file, read-only; another key where yours is
    taken). Settings that are wrong don't
    keep the code location from loading: each run checks them when it starts and says what is wrong.
    """
    settings = _settings()
    # Also with wrong settings: Dagster would forget, after twelve hours, that schedules it no longer finds were on.
    names = list(accounts or account_names())
    ours: dict[str, Any] = {resource_key(name): account_resource(name, settings) for name in names}
    ours[duckdb_key] = reading_resource(settings.database if settings else Path(DATABASE))
    ours |= dict(resources or {})
    everything = [
        _account_defs(
            name, settings, key_prefix, group_name or f"wx_{name}", owners, cron_schedule, ours, duckdb_key, clock
        )
        for name in names
    ]
    return dg.Definitions.merge(*everything, dg.Definitions(resources=ours))


def _settings() -> Settings | None:
    try:
        return load_settings()
    except SettingsError:
        return None


def _account_defs(
    name: str,
    settings: Settings | None,
    prefix: Sequence[str],
    group: str,
    owners: Sequence[str],
    cron: str,
    resources: Mapping[str, Any],
    duckdb_key: str,
    clock: Clock,
) -> dg.Definitions:
    starts = {each.name: each.start for each in settings.accounts} if settings else {}
    start = starts.get(name, HISTORY_START)
    with warnings.catch_warnings():
        # Dagster calls backfill policies beta, at every load; this project is built on them and tested with them.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = {
            endpoint.name: build_asset(name, endpoint, start, prefix=prefix, group=group, owners=owners, clock=clock)
            for endpoint in ENDPOINTS
        }
    keys = {endpoint: asset.key for endpoint, asset in assets.items()}
    jobs = build_jobs(name, assets, {resource_key(name): resources[resource_key(name)]})
    schedules = [build_schedule(jobs[period], name, period, keys, cron=cron, clock=clock) for period in Period]
    schedules.append(build_judging(name, keys, clock))
    reports = [build_report(name, keys, duckdb_key, clock, prefix=prefix, group=group, owners=owners)]
    return dg.Definitions(assets=[*assets.values(), *(reports if can_report() else ())], schedules=schedules)


@dg.definitions
def defs() -> dg.Definitions:
    """The code location of this project: every configured account, runs in one process each.

    Dagster's default, a process for each step, costs 4 s a run and gains nothing here.
    """
    with _nothing_to_collect():
        return dg.Definitions.merge(build_defs(), dg.Definitions(executor=dg.in_process_executor))


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Don't look for garbage among what stays as long as the process: with many accounts, a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
