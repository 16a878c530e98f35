"""Accounts: which are stored but not configured, and what to do after one was renamed, removed or copied.

The commands don't edit `.env`: it may hold other people's settings, or be written by a tool. Stored data belongs to
`warehouse.accounts` and `warehouse.transfer`.
"""

from collections.abc import Sequence

from wx_datacube.config.environment import defined_variables
from wx_datacube.config.settings import Account, Settings, variable
from wx_datacube.errors import WxDatacubeError
from wx_datacube.language import Text, joined
from wx_datacube.warehouse.accounts import stored_names
from wx_datacube.warehouse.coverage import accounts
from wx_datacube.warehouse.files import Warehouse

_NOT_CONFIGURED = Text(
    "{new} is not configured. To fetch data for it, name it in WX_DATACUBE_ACCOUNTS (WX_DATACUBE_ACCOUNT for one).",
    "{new} 尚未配置。如需获取其数据，请写入 WX_DATACUBE_ACCOUNTS（只有一个账号时为 WX_DATACUBE_ACCOUNT）。",
)


def after_copying(settings: Settings, warehouse: Warehouse, name: str) -> Text:
    """Describe what to do on both machines after an account was brought from another file."""
    with warehouse.open_published() as con:
        appid = accounts(con).get(name)
    other = next((each.name for each in settings.accounts if appid and each.appid == appid and each.name != name), None)
    here = [] if configured(settings, name) else [_NOT_CONFIGURED.fill(new=name)]
    if other:
        here = [
            Text(
                "The settings call it {other}: wx-datacube rename-account {name} {other}",
                "设置中它的名称是 {other}，请执行：wx-datacube rename-account {name} {other}",
                name=name,
                other=other,
            )
        ]
    return joined(
        [
            *here,
            Text(
                "Restart Dagster, and turn on the account's schedules. The next tick, or wx-datacube backfill,"
                " materializes its assets from stored data, without a call.",
                "请重启 Dagster，并打开该账号的定时任务。下一次定时触发或 wx-datacube backfill"
                " 会用已保存的数据物化其资产，不发出调用。",
            ),
            Text(
                "If {name} moves here, stop it on the other machine, so that no call is made twice. There,"
                " wx-datacube remove-account {name} must show the same numbers before you confirm it.",
                "如果 {name} 是迁移到这里，请在另一台机器上停用它，以免重复调用；在那里执行 wx-datacube remove-account"
                " {name}，确认前应显示相同的数字。",
                name=name,
            ),
        ],
        "\n",
        "\n",
    )


def after_renaming(settings: Settings, old: str, new: str) -> Text:
    """Describe the changes in `.env` that follow from a new name."""
    account = configured(settings, old)
    if account is None:
        if configured(settings, new):
            return Text("The settings already name {new}.", "设置中已是 {new}。", new=new)
        return _NOT_CONFIGURED.fill(new=new)
    fields = {name.removeprefix(account.variable("")): name for name in defined_variables(settings, account)}
    moves = [
        Text("{name} becomes {then}", "{name} 改为 {then}", name=name, then=variable(new, field))
        for field, name in fields.items()
    ]
    if account.single:
        return Text(
            "In .env: WX_DATACUBE_ACCOUNT={new}. Or, with several accounts: {several}.",
            "请在 .env 中写 WX_DATACUBE_ACCOUNT={new}；有多个账号时：{several}。",
            new=new,
            several=joined([f"WX_DATACUBE_ACCOUNTS={new},…", *moves], ", ", "，"),
        )
    listed = Text(
        "{new} instead of {old} in WX_DATACUBE_ACCOUNTS", "WX_DATACUBE_ACCOUNTS 中的 {old} 改为 {new}", new=new, old=old
    )
    return Text("In .env: {moves}.", "请在 .env 中修改：{moves}。", moves=joined([listed, *moves], ", ", "，"))


def after_removal(settings: Settings, name: str) -> Text:
    """Describe what to remove from `.env` together with an account."""
    account = configured(settings, name)
    if account is None:
        return Text("{name} is not configured: .env needs no change.", "{name} 没有配置，.env 无需修改。", name=name)
    named = (
        Text("WX_DATACUBE_ACCOUNT, if it is set", "WX_DATACUBE_ACCOUNT（如已设置）")
        if account.single
        else Text("{name} in WX_DATACUBE_ACCOUNTS", "WX_DATACUBE_ACCOUNTS 中的 {name}", name=name)
    )
    return Text(
        "Remove from .env, or the next run fetches everything again: {lines}.",
        "请从 .env 中删除以下内容，否则下次运行会重新获取全部数据：{lines}。",
        lines=joined([named, *defined_variables(settings, account)], ", ", "、"),
    )


def not_configured(settings: Settings) -> list[str]:
    """Return the accounts that are stored but not configured; an empty list if the file can't be read."""
    try:
        with Warehouse(settings.database).open_published() as con:
            return [name for name in stored_names(con) if configured(settings, name) is None]
    except WxDatacubeError:
        return []


def explain_not_configured(names: Sequence[str]) -> Text:
    """Explain what it means that these accounts are stored but not configured."""
    return Text(
        "Stored but not configured: {names}. Nothing is fetched for them. To fetch one again, name it in"
        " WX_DATACUBE_ACCOUNTS (WX_DATACUBE_ACCOUNT for one); to remove it: wx-datacube remove-account {first}",
        "已保存但未配置：{names}，不会为其获取数据。如需继续获取，请写入 WX_DATACUBE_ACCOUNTS（只有一个账号时为"
        " WX_DATACUBE_ACCOUNT）；如需删除：wx-datacube remove-account {first}",
        names=joined(names, ", ", "、"),
        first=names[0],
    )


def configured(settings: Settings, name: str) -> Account | None:
    """Return the configured account of that name, if there is one; its settings may be wrong."""
    return next((account for account in settings.accounts if account.name == name), None)
