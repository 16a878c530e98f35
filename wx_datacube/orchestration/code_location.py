"""Code location: assets, checks, schedules and resources of every account, for this project or inside another one.

`build_defs` combines what the other modules of this package build; its public path is `wx_datacube.definitions`. Add
here how the parts fit together. A new part belongs in a module of its own.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.environment import configured_accounts, load_settings, name_of_worker
from wx_datacube.config.settings import DATABASE, Account, Settings
from wx_datacube.errors import SettingsError
from wx_datacube.language import Text
from wx_datacube.orchestration.assets import build_asset, resource_key
from wx_datacube.orchestration.digest import SCHEDULE_NAME as DIGEST
from wx_datacube.orchestration.digest import build_digest, build_digest_schedule
from wx_datacube.orchestration.lake import build_lake
from wx_datacube.orchestration.partitions import partitions_of
from wx_datacube.orchestration.prefixes import location_name, stem
from wx_datacube.orchestration.report import build_report, can_report
from wx_datacube.orchestration.resources import account_resource, reading_resource
from wx_datacube.orchestration.scheduled_checks import build_check_schedule
from wx_datacube.orchestration.schedules import (
    MORNING_CRON,
    build_jobs,
    build_location_schedule,
    build_schedule,
    schedule_names,
)

FETCH, CHECKS = "wx_datacube_fetch", "wx_datacube_checks"
"""The last parts of the names of the schedules over all accounts; that of the digest is `digest.SCHEDULE_NAME`."""


def build_defs(
    *,
    accounts: Sequence[str] | str | None = None,
    key_prefix: Sequence[str] | str = (),
    group_name: str | None = None,
    owners: Sequence[str] = (),
    resources: Mapping[str, Any] | None = None,
    duckdb_key: str = "duckdb",
    cron_schedule: str = MORNING_CRON,
    schedules: Literal["account", "location"] = "account",
    clock: Clock = beijing_now,
) -> dg.Definitions:
    """Build each account's assets, checks, schedules and resources; with the extra `report`, its report.

    There is an asset for each endpoint of the families that the account has switched on, a digest, and the export to
    the lake if one is configured. Each account has schedules of its own; with `schedules="location"`, which suits many
    accounts, one schedule fetches and one checks for all `accounts`. In either case one schedule sends all digests.
    `prefixes.location_name` says how schedules over several accounts are named.

    `accounts` are account names as in the settings, or one name; None means all configured accounts. `key_prefix` goes
    before asset keys and before the names of jobs and schedules. `resources` override ours by key: `wechat_<account>`
    (a `WeChatAccount`) and `duckdb_key` (the published file, read-only). Pass another `duckdb_key` if your project
    already uses that key.

    Raises `SettingsError` if an account is not configured or `key_prefix` is wrong. Any other wrong setting doesn't
    keep the code location from loading: a warning reports it, and every run fails with it.
    """
    settings, configured = _settings()
    prefix = [key_prefix] if isinstance(key_prefix, str) else [*key_prefix]
    _require_prefix(prefix)
    chosen = _chosen(accounts, configured)
    ours: dict[str, Any] = {resource_key(each.name): account_resource(each.name, settings) for each in chosen}
    ours[duckdb_key] = reading_resource(settings.database if settings else Path(DATABASE))
    ours |= dict(resources or {})
    assets = {each.name: _assets(each, prefix, group_name, owners, clock) for each in chosen}
    keys = {name: {endpoint: asset.key for endpoint, asset in own.items()} for name, own in assets.items()}
    has_lake = settings is not None and settings.lake is not None
    others = [
        each
        for name, own in keys.items()
        for each in _downstream(name, own, duckdb_key, has_lake, clock, prefix=prefix, group=group_name, owners=owners)
    ]

    def named(last: str) -> str:
        return location_name(tuple(prefix), accounts and [*keys], last)

    ticks = [build_digest_schedule(named(DIGEST), [*keys], prefix, clock)]
    if schedules == "location":
        ticks.append(build_location_schedule(named(FETCH), keys, cron=cron_schedule, clock=clock))
        ticks.append(build_check_schedule(named(CHECKS), keys, prefix, clock))
    else:
        for each in chosen:
            ticks += _schedules(each, prefix, assets[each.name], ours, cron_schedule, clock)
    everything = [*(asset for own in assets.values() for asset in own.values()), *others]
    return dg.Definitions(assets=everything, schedules=ticks, resources=ours)


def _settings() -> tuple[Settings | None, Sequence[Account]]:
    """Return the settings, or None if they are wrong, and in either case the accounts.

    If no account were returned, its schedules would disappear, and after twelve hours Dagster would forget that they
    were on.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        dg.get_dagster_logger("wx_datacube").warning(f"Every run will fail: {error}")
        return None, configured_accounts()
    return settings, settings.accounts


def _chosen(accounts: Sequence[str] | str | None, configured: Sequence[Account]) -> list[Account]:
    """Return the configured accounts with these names; raise `SettingsError` for an unknown name or an empty list."""
    if accounts is None:
        return [*configured]
    by_name = {each.name: each for each in configured}
    names = [accounts] if isinstance(accounts, str) else [*accounts]
    unknown = [name for name in names if name not in by_name]
    if unknown or not names:
        wrong = Text("are not configured: {names}", "未配置：{names}", names=", ".join(map(repr, unknown)))
        raise SettingsError(
            Text(
                "The accounts of build_defs, or of the component, {wrong}.",
                "build_defs 或组件的 accounts {wrong}。",
                wrong=wrong if names else Text("are an empty list", "是空列表"),
            ),
            advice=Text(
                "Configured: {names} (by WX_DATACUBE_ACCOUNT or WX_DATACUBE_ACCOUNTS). Leave `accounts` out for all of"
                " them.",
                "已配置：{names}（WX_DATACUBE_ACCOUNT 或 WX_DATACUBE_ACCOUNTS）。不写 `accounts` 即为全部账号。",
                names=", ".join(by_name),
            ),
        )
    return [by_name[name] for name in dict.fromkeys(names)]


def _require_prefix(prefix: Sequence[str]) -> None:
    if not all(_PART.fullmatch(part) for part in prefix):
        raise SettingsError(
            Text("key_prefix is wrong: {prefix!r}.", "key_prefix 无效：{prefix!r}。", prefix="/".join(prefix)),
            advice=Text(
                'It is one name, such as "wechat", or a list of names: ["marketing", "wechat"]. A name has letters,'
                " digits, _, - and dots.",
                '应为一个名称，例如 "wechat"，或名称列表，例如 ["marketing", "wechat"]；'
                "名称由字母、数字、_、- 和点组成。",
            ),
        )


_PART = re.compile(r"[A-Za-z0-9_.-]+")


def _assets(
    account: Account, prefix: Sequence[str], group: str | None, owners: Sequence[str], clock: Clock
) -> dict[str, dg.AssetsDefinition]:
    """Return an account's assets by endpoint name."""
    with warnings.catch_warnings():
        # Dagster warns at every load that backfill policies are beta. This project is built on them and tested with
        # them.
        warnings.simplefilter("ignore", dg.BetaWarning)
        name, group = account.name, group or f"wx_{account.name}"
        return {
            each.name: build_asset(
                name,
                each,
                partitions_of(each, account.start, name_of_worker()),
                prefix=prefix,
                group=group,
                owners=owners,
                clock=clock,
            )
            for each in account.endpoints
        }


def _downstream(
    account: str,
    keys: Mapping[str, dg.AssetKey],
    duckdb_key: str,
    has_lake: bool,
    clock: Clock,
    *,
    prefix: Sequence[str],
    group: str | None,
    owners: Sequence[str],
) -> list[dg.AssetsDefinition]:
    """Return the assets that are made from those in `keys`: the digest, the report and the export to the lake."""
    group = group or f"wx_{account}"
    found = [build_digest(account, keys, clock, prefix=prefix, group=group, owners=owners)]
    if can_report():
        found.append(build_report(account, keys, duckdb_key, clock, prefix=prefix, group=group, owners=owners))
    if has_lake:
        found.append(build_lake(account, keys, clock, prefix=prefix, group=group, owners=owners))
    return found


def _schedules(
    account: Account,
    prefix: Sequence[str],
    assets: Mapping[str, dg.AssetsDefinition],
    resources: Mapping[str, Any],
    cron: str,
    clock: Clock,
) -> list[dg.ScheduleDefinition]:
    """Return an account's own schedules: one for each period, and one for its checks."""
    own, keys = stem(tuple(prefix), account.name), {name: asset.key for name, asset in assets.items()}
    key = resource_key(account.name)
    jobs = build_jobs(own, assets, {key: resources[key]})
    found = [
        build_schedule(jobs[each], account.name, endpoints, keys, cron=cron, clock=clock)
        for each, endpoints in schedule_names(account.endpoints).items()
    ]
    return [*found, build_check_schedule(f"{own}_checks", {account.name: keys}, prefix, clock)]
