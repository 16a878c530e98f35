"""Account commands: those that change which accounts are stored.

Add a command here if it is about an account as a whole; `accounts` does the work.
"""

import click

from wx_datacube.cli.group import commands, read_settings


@commands.command("rename-account", zh="给已保存的账号 OLD 改名为 NEW。不发出调用。\n\n修改之前会先备份文件。")
@click.argument("old")
@click.argument("new")
def rename_account(old: str, new: str) -> int:
    """Rename the stored account OLD to NEW. Makes no call.

    The file is backed up first.
    """
    from wx_datacube.cli.accounts import run_rename

    return run_rename(read_settings(), old, new)


@commands.command("remove-account", zh="删除一个账号已保存的全部内容。\n\n执行前要求确认，并先备份文件。")
@click.argument("name")
def remove_account(name: str) -> int:
    """Delete everything that is stored of an account.

    Asks for confirmation, and backs up the file first.
    """
    from wx_datacube.cli.accounts import run_remove

    return run_remove(read_settings(), name)
