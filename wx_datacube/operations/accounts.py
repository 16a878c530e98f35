"""Accounts: which are stored but not configured, and what to change in `.env` after one was renamed or removed.

The commands don't edit `.env`: it may hold other people's settings, or be written by a tool. Stored data belongs to
`warehouse.accounts`.
"""

from collections.abc import Sequence

from wx_datacube.config.environment import set_variables
from wx_datacube.config.settings import Account, Settings, variable
from wx_datacube.errors import WxDatacubeError
from wx_datacube.warehouse.accounts import stored_names
from wx_datacube.warehouse.files import Warehouse


def after_renaming(settings: Settings, old: str, new: str) -> str:
    """Describe the changes in `.env` that follow from a new name."""
    account = _configured(settings, old)
    if account is None:
        if _configured(settings, new):
            return f"The settings name {new} already."
        return (
            f"{new} is not configured: name it in WX_DATACUBE_ACCOUNTS (WX_DATACUBE_ACCOUNT for one) to go on with it."
        )
    fields = {name.removeprefix(account.variable("")): name for name in set_variables(settings, account)}
    moves = [f"{name} becomes {variable(new, field)}" for field, name in fields.items()]
    if account.single:
        several = ", ".join([f"WX_DATACUBE_ACCOUNTS={new},…", *moves])
        return f"In .env: WX_DATACUBE_ACCOUNT={new}. Or, with several accounts, instead of it: {several}."
    return f"In .env: {', '.join([f'{new} instead of {old} in WX_DATACUBE_ACCOUNTS', *moves])}."


def after_removal(settings: Settings, name: str) -> str:
    """Describe what to remove from `.env` together with an account."""
    account = _configured(settings, name)
    if account is None:
        return f"{name} is not configured: nothing is to be changed in .env."
    named = "WX_DATACUBE_ACCOUNT, where it is set" if account.single else f"{name} in WX_DATACUBE_ACCOUNTS"
    lines = ", ".join([named, *set_variables(settings, account)])
    return f"Take out of .env, or the next run brings everything in anew: {lines}."


def not_configured(settings: Settings) -> list[str]:
    """Return the accounts that are stored but not configured; an empty list if the file can't be read."""
    configured = {account.name for account in settings.accounts}
    try:
        with Warehouse(settings.database).reading() as con:
            return [name for name in stored_names(con) if name not in configured]
    except WxDatacubeError:
        return []


def explain_not_configured(names: Sequence[str]) -> str:
    """Explain what it means that these accounts are stored but not configured."""
    return (
        f"Stored and not configured: {', '.join(names)}. Nothing is fetched for them. To go on with one, name it in"
        f" WX_DATACUBE_ACCOUNTS (WX_DATACUBE_ACCOUNT for one); to be rid of it: wx-datacube remove-account {names[0]}"
    )


def _configured(settings: Settings, name: str) -> Account | None:
    return next((account for account in settings.accounts if account.name == name), None)
