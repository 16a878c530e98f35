"""Console: how the output of all commands looks, and which stream it goes to.

Add here what several commands need for their output. Output of a single command belongs to the command's own module.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich import box
from rich.console import Console
from rich.table import Table

from wx_datacube import __version__
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.config.urls import is_loopback
from wx_datacube.errors import SettingsError

_WIDTH = 120
"""Columns without a terminal: nothing is wrapped or cut in a log file."""
_ENDPOINT = max(len(each.name) for each in ENDPOINTS)
"""Minimum width of a column of endpoint names: three of them differ only at their ends."""


def console(*, stderr: bool = False) -> Console:
    """Return a console for plain text on stdout or stderr, as wide as the terminal."""
    stream = sys.stderr if stderr else sys.stdout  # None if it was closed (`>&-`)
    # No markup: brackets are plain text here, such as those of the errcode at the end of an error.
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        soft_wrap=True,
        width=None if stream and stream.isatty() else _WIDTH,
    )


def table(first: str, *numbers: str) -> Table:
    """Return an empty table: a column of names, then columns of numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column(first, min_width=_ENDPOINT if first == "endpoint" else None)
    for name in numbers:
        made.add_column(name, justify="right")
    return made


def format_number(value: int) -> str:
    """Format a number with thousands separators."""
    return f"{value:,}"


def warn_no_login(host: str, may: str) -> None:
    """Warn that anyone who can reach `host` can do what `may` says; no warning if only this machine can reach it."""
    if not is_loopback(host):
        click.echo(f"Warning: there is no login. Anyone who can reach {host} can {may}.", err=True)


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Turn a missing optional dependency into an error that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise not_installed(str(error.name), extra) from None


def how_to_install(*extras: str) -> str:
    """Return how to install extras.

    No index has the package, so the text must not say to install it from one.
    """
    return f"`make install` in a clone, or pip install 'wx_datacube-{__version__}-py3-none-any.whl[{','.join(extras)}]'"


def not_installed(module: str, extra: str) -> SettingsError:
    """Return the error of a command whose extra is not installed."""
    return SettingsError(
        f"This command needs {module}, which is not installed.",
        advice=f"Install it: {how_to_install(extra)}",
    )
