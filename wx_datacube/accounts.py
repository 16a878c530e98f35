"""Accounts: what a person has to change in `.env` when an account is called otherwise, or is no more.

The commands don't edit `.env`: it may hold other people's settings, or be written by a tool. What is stored of an
account is the business of `warehouse.accounts`.
"""

from wx_datacube.environment import set_variables
from wx_datacube.settings import Account, Settings, variable


def after_renaming(settings: Settings, old: str, new: str) -> str:
    """Which lines of `.env` follow from a new name."""
    account = _configured(settings, old)
    if account is None:
        if _configured(settings, new):
            return f"The settings name {new} already."
        return (
            f"{new} is not configured: name it in WX_DATACUBE_ACCOUNTS (WX_DATACUBE_ACCOUNT for one) to go on with it."
        )
    fields = {name.removeprefix(account.variable("")): name for name in set_variables(settings.project, account)}
    moves = [f"{name} becomes {variable(new, field)}" for field, name in fields.items()]
    if account.single:
        several = ", ".join([f"WX_DATACUBE_ACCOUNTS={new},…", *moves])
        return f"In .env: WX_DATACUBE_ACCOUNT={new}. Or, with several accounts, instead of it: {several}."
    return f"In .env: {', '.join([f'{new} instead of {old} in WX_DATACUBE_ACCOUNTS', *moves])}."


def after_removal(settings: Settings, name: str) -> str:
    """Which lines of `.env` are to go with an account."""
    account = _configured(settings, name)
    if account is None:
        return f"{name} is not configured: nothing is to be changed in .env."
    named = "WX_DATACUBE_ACCOUNT, where it is set" if account.single else f"{name} in WX_DATACUBE_ACCOUNTS"
    lines = ", ".join([named, *set_variables(settings.project, account)])
    return f"Take out of .env, or the next run brings everything in anew: {lines}."


def _configured(settings: Settings, name: str) -> Account | None:
    return next((account for account in settings.accounts if account.name == name), None)
