"""Account commands: those that change which accounts are stored.

Add a command here if it is about an account as a whole; `accounts` does the work.
"""

from pathlib import Path

import click

from wx_datacube.cli.group import commands, option, read_settings


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


@commands.command("copy-account", zh="从另一个数据文件或备份复制一个账号的全部内容。不发出调用。")
@click.argument("name")
@option(
    "--from",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A published file, such as another machine's, or a backup. It is not changed.",
    zh="发布的数据文件（例如另一台机器的）或备份。该文件不会被改动。",
)
def copy_account(name: str, source: Path) -> int:
    """Bring an account with all its calls from another file. Makes no call."""
    from wx_datacube.cli.accounts import run_copy

    return run_copy(read_settings(), name, source)
