"""Init: makes a project folder, and prints what was made and what comes next.

The folder's contents belong to `config.folder`.
"""

from importlib.util import find_spec
from pathlib import Path

import click

from wx_datacube.cli.console import how_to_install
from wx_datacube.config.environment import process_environment
from wx_datacube.config.folder import make_project, unignored
from wx_datacube.errors import SettingsError


def run_init(folder: Path) -> int:
    """Make a project folder and print the next steps; return 1 if files of these names have other contents, else 0."""
    try:
        made, others = make_project(folder)
    except OSError as error:
        raise SettingsError(
            f"{folder} can't be made a project folder: {error.strerror}.", advice="Name one that you may write to."
        ) from None
    whole = folder.resolve()
    click.echo(f"Project folder {whole}: {'made ' + ', '.join(made) if made else 'nothing to make'}")
    click.echo("What comes next, in that folder:")
    if not (folder / ".env").exists():
        click.echo("  cp .env.example .env && chmod 600 .env    then AppID and AppSecret go into .env")
    click.echo("  wx-datacube doctor                        says what is still in the way")
    click.echo("  wx-datacube backfill                      brings in the history; wx-datacube ui shows it")
    lacking = {extra: what for extra, (module, what) in _EXTRAS.items() if find_spec(module) is None}
    if lacking:
        click.echo(f"Not installed, for {', '.join(lacking.values())}: {how_to_install(*lacking)}")
    home = process_environment().get("DAGSTER_HOME", "").strip()
    if home and Path(home).expanduser().resolve() != whole:
        click.echo(f"DAGSTER_HOME is {home}: while it is set, commands use that folder. Unset it here.", err=True)
    if others:
        click.echo(
            f"Left as found, and not what this version would make: {', '.join(others)}."
            " To compare, let `wx-datacube init` make another folder.",
            err=True,
        )
    if lines := unignored(folder):
        click.echo(f"Add to .gitignore, so that no secret is committed: {', '.join(lines)}", err=True)
    return 1 if others else 0


_EXTRAS = {
    "ui": ("dagster_webserver", "Dagster's UI"),
    "emulator": ("starlette", "the demo"),
    "report": ("altair", "the report"),
}
"""A module that each extra installs, and what needs it."""
