"""Project commands: those that make a project folder or start a server: the demo, Dagster's UI, the emulator.

Add a command here if it needs no stored data. The code that does the work is imported inside each function, so that
`--help` and `status` respond at once.
"""

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from wx_datacube.cli.group import commands, file_name, read_settings
from wx_datacube.emulator.options import Options
from wx_datacube.errors import SettingsError


@commands.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False), callback=file_name(""))
def init(folder: Path) -> int:
    """Turn DIR or the current folder into a project folder.

    Existing files are kept as they are.
    """
    from wx_datacube.cli.init import run_init

    return run_init(folder)


@commands.command()
@click.option(
    "--days",
    type=click.IntRange(1, 4000),
    default=90,
    show_default=True,
    help="Days of history, up to the newest complete one.",
)
def demo(days: int) -> int:
    """Try everything on a made-up account, in the folder demo/."""
    from wx_datacube.cli.demo import run_demo

    return run_demo(days)


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="PORT", help="Default: 3000, or a free port if 3000 is in use."
)
def ui(host: str, port: int | None) -> int:
    """Run Dagster's UI; without an account, on the demo."""
    from wx_datacube.cli.ui import run_ui

    return run_ui(read_settings(), host, port)


def _emulator_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add one command-line option for each field of the emulator's options."""
    for field in reversed(fields(Options)):
        about = field.metadata
        option = click.option(
            f"--{field.name.replace('_', '-')}",
            metavar=about["kind"].metavar,
            help=about["help"] + (" Repeatable." if about["many"] else ""),
            multiple=about["many"],
        )
        command = option(command)
    return command


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port. Default: a free one.")
@_emulator_options
def emulator(host: str, port: int, **options: Any) -> int:
    """Serve WeChat's API with made-up data until interrupted."""
    from wx_datacube.cli.console import require_extra, warn_no_login

    with require_extra("emulator"):
        from wx_datacube.emulator.server import serve
    try:
        chosen = Options().changed({name: value for name, value in options.items() if value not in (None, ())})
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    def ready(api_url: str) -> None:
        for name, value in (("API_URL", api_url), ("APPID", chosen.appid), ("SECRET", chosen.secret)):
            click.echo(f"WX_DATACUBE_{name}={value}")
        click.echo(f"Emulating WeChat's datacube API at {api_url}; Ctrl-C ends it.")
        sys.stdout.flush()

    warn_no_login(host, "use the emulated account, and change what is emulated")
    try:
        serve(chosen, host, port, ready)
    except OSError as error:
        raise SettingsError(
            f"Port {port} of {host} can't be used: {error.strerror}.", advice="Omit --port to use a free one."
        ) from None
    return 0
