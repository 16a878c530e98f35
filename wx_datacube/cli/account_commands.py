"""Account commands: those that change which accounts are stored.

Add a command here if it is about an account as a whole; `accounts` does the work.
"""

import click

from wx_datacube.cli.group import commands, read_settings


@commands.command("rename-account")
@click.argument("old")
@click.argument("new")
def rename_account(old: str, new: str) -> int:
    """Call an account otherwise, in all that is stored of it, once the file is backed up. Makes no call."""
    from wx_datacube.cli.accounts import run_rename

    return run_rename(read_settings(), old, new)


@commands.command("remove-account")
@click.argument("name")
def remove_account(name: str) -> int:
    """Take out all that is stored of an account, once you have said yes and the file is backed up."""
    from wx_datacube.cli.accounts import run_remove

    return run_remove(read_settings(), name)
