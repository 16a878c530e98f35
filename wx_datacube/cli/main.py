"""Entry point of `wx-datacube`: runs a command, prints an expected error as one line, and returns the exit code.

Add a command to the module for its subject: `data_commands`, `account_commands` or `project_commands`. Each registers
its commands on `group.commands`. Exit codes are listed in `outcomes`.
"""

import sys
from collections.abc import Sequence
from typing import Any

import click

from wx_datacube.cli import account_commands, data_commands, project_commands
from wx_datacube.cli.group import commands
from wx_datacube.cli.outcomes import exit_code
from wx_datacube.cli.output import Output
from wx_datacube.cli.usage import usage_error
from wx_datacube.config.environment import command_language
from wx_datacube.errors import WxDatacubeError, one_line
from wx_datacube.language import Text, speak, spoken

COMMAND_MODULES = (account_commands, data_commands, project_commands)
"""Importing them registers their commands."""


def main() -> None:
    """Run `wx-datacube` on this process's arguments; the entry point of the installed command."""
    output = Output()
    code = run(sys.argv[1:])
    if write_error := output.write_error():
        text = Text("Output could not be written: {error}.", "无法写出输出：{error}。", error=write_error.strerror)
        click.echo(f"wx-datacube: {text.to(spoken())}", err=True)
        code = code or 1
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; print an expected error as one clear line on stderr."""
    speak(command_language())
    try:
        return int(commands.main(list(arguments), prog_name="wx-datacube", standalone_mode=False) or 0)
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        text = Text(
            "Interrupted. Stored data is kept; run the same command to continue.",
            "已中断。已保存的数据会保留；再次运行同一命令即可继续。",
        )
        click.echo(text.to(spoken()), err=True)
        return 130
    except WxDatacubeError as error:
        click.echo(f"wx-datacube: {one_line(error.text.to(spoken()))}", err=True)
        return exit_code(error)


_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # since click 8.2; 8.1 shows the help itself


def _show(error: click.ClickException) -> None:
    """Print the error as one line instead of click's three; without any command, print the help."""
    if isinstance(error, click.UsageError) and error.ctx and not isinstance(error, _NO_ARGUMENTS):
        text = Text("{path}: {what} See {path} --help.", "{path}：{what}详见 {path} --help。")
        click.echo(text.fill(path=error.ctx.command_path, what=usage_error(error)).to(spoken()), err=True)
    else:
        error.show()
