"""Console: how the output of all commands looks, and which stream it goes to.

Add here what several commands need for their output. Output of a single command belongs to the command's own module.
"""

import socket
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
from wx_datacube.language import Text, spoken, text_of

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


def table(first: Text | str, *numbers: Text | str) -> Table:
    """Return an empty table: a column of names, then columns of numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    made.add_column(text_of(first).to(spoken()), min_width=_ENDPOINT if str(first) == "endpoint" else None)
    for name in numbers:
        made.add_column(text_of(name).to(spoken()), justify="right")
    return made


def say(text: Text | str, err: bool = False) -> None:
    """Print a text in the spoken language."""
    click.echo(text_of(text).to(spoken()), err=err)


def format_number(value: int) -> str:
    """Format a number with thousands separators."""
    return f"{value:,}"


def warn_no_login(host: str, may: Text) -> None:
    """Warn that anyone who can reach `host` can do what `may` says; no warning if only this machine can reach it."""
    if not is_loopback(host):
        warning = Text(
            "Warning: there is no login. Anyone who can reach {host} can {may}.",
            "警告：没有登录验证，任何能访问 {host} 的人都可以{may}。",
            host=host,
            may=may,
        )
        say(warning, err=True)


def try_port(host: str, port: int) -> int:
    """Return the port, or for 0 a free one; raise OSError if nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        return int(listening.getsockname()[1])


def port_in_use(host: str, port: int, error: OSError) -> SettingsError:
    """Return an error that says that a server can't listen on a port, and why."""
    return SettingsError(
        Text(
            "Port {port} of {host} can't be used: {why}.",
            "{host} 的端口 {port} 无法使用：{why}。",
            port=port,
            host=host,
            why=error.strerror,
        ),
        advice=Text("Choose another port with --port.", "请用 --port 指定其他端口。"),
    )


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Turn a missing optional dependency into an error that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise not_installed(str(error.name), extra) from None


def how_to_install(*extras: str) -> Text:
    """Return how to install extras.

    No index has the package, so the text must not say to install it from one.
    """
    return Text(
        "`make install` in a clone, or {pip}",
        "在克隆的代码目录中执行 make install，或执行 {pip}",
        pip=f"pip install 'wx_datacube-{__version__}-py3-none-any.whl[{','.join(extras)}]'",
    )


def not_installed(module: str, extra: str) -> SettingsError:
    """Return the error of a command whose extra is not installed."""
    return SettingsError(
        Text(
            "This command needs {module}, which is not installed.", "此命令需要 {module}，但尚未安装。", module=module
        ),
        advice=Text("Install it: {how}", "安装方法：{how}", how=how_to_install(extra)),
    )
