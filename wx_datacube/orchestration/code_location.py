"""Code location: assets, checks, schedules and resources of every account, for this project or inside another one.

`build_defs` combines what the other modules of this package build; its public path is `wx_datacube.definitions`. Add
here how the parts fit together. A new part belongs in a module of its own.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.environment import configured_accounts, load_settings
from wx_datacube.config.settings import DATABASE, Account, Settings
from wx_datacube.errors import SettingsError
from wx_datacube.language import Text
from wx_datacube.orchestration.assets import build_asset, resource_key
from wx_datacube.orchestration.digest import build_digest, build_digest_schedule, schedule_name
from wx_datacube.orchestration.lake import build_lake
from wx_datacube.orchestration.prefixes import stem
from wx_datacube.orchestration.report import build_report, can_report
from wx_datacube.orchestration.resources import account_resource, reading_resource
from wx_datacube.orchestration.scheduled_checks import build_check_schedule
from wx_datacube.orchestration.schedules import MORNING_CRON, build_jobs, build_schedule, schedule_names


def build_defs(
    *,
    accounts: Sequence[str] | str | None = None,
    key_prefix: Sequence[str] | str = (),
    group_name: str | None = None,
    owners: Sequence[str] = (),
    resources: Mapping[str, Any] | None = None,
    duckdb_key: str = "duckdb",
    cron_schedule: str = MORNING_CRON,
    clock: Clock = beijing_now,
) -> dg.Definitions:
    """Build each account's assets, checks, schedules and resources; with the extra `report`, its report.

    There is an asset for each endpoint of the families that the account has switched on, a digest, and the export to
    the lake if one is configured. One schedule sends the digests of all `accounts`; see `digest.schedule_name`.

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
    has_lake = settings is not None and settings.lake is not None
    everything = [
        _account_defs(
            each, prefix, group_name or f"wx_{each.name}", owners, cron_schedule, ours, duckdb_key, has_lake, clock
        )
        for each in chosen
    ]
    names = [each.name for each in chosen]
    digest = build_digest_schedule(schedule_name(prefix, accounts and names), names, prefix, clock)
    return dg.Definitions.merge(*everything, dg.Definitions(schedules=[digest], resources=ours))


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


def _account_defs(
    account: Account,
    prefix: Sequence[str],
    group: str,
    owners: Sequence[str],
    cron: str,
    resources: Mapping[str, Any],
    duckdb_key: str,
    has_lake: bool,
    clock: Clock,
) -> dg.Definitions:
    name, own_resource = account.name, resource_key(account.name)
    with warnings.catch_warnings():
        # Dagster warns at every load that backfill policies are beta. This project is built on them and tested with
        # them.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = {
            each.name: build_asset(name, each, account.start, prefix=prefix, group=group, owners=owners, clock=clock)
            for each in account.endpoints
        }
    keys = {endpoint: asset.key for endpoint, asset in assets.items()}
    own = stem(tuple(prefix), name)
    jobs = build_jobs(own, assets, {own_resource: resources[own_resource]})
    schedules = [
        build_schedule(jobs[each], name, endpoints, keys, cron=cron, clock=clock)
        for each, endpoints in schedule_names(account.endpoints).items()
    ]
    schedules.append(build_check_schedule(own, name, keys, clock))
    downstream = [build_digest(name, keys, clock, prefix=prefix, group=group, owners=owners)]
    if can_report():
        downstream.append(build_report(name, keys, duckdb_key, clock, prefix=prefix, group=group, owners=owners))
    if has_lake:
        downstream.append(build_lake(name, keys, clock, prefix=prefix, group=group, owners=owners))
    return dg.Definitions(assets=[*assets.values(), *downstream], schedules=schedules)
