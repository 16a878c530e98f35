"""UI: Dagster's, on the configured accounts or on the demo, with everything that it needs to know."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from wx_datacube.demo import DAYS
from wx_datacube.environment import environment_elsewhere
from wx_datacube.errors import SettingsError
from wx_datacube.settings import Settings
from wx_datacube.terminal.console import not_installed
from wx_datacube.terminal.demo import made_up
from wx_datacube.terminal.processes import run_module
from wx_datacube.warehouse.faults import unwritable
from wx_datacube.warehouse.locks import locked


def run_ui(settings: Settings, host: str | None = None, port: int | None = None) -> int:
    """Dagster's UI on the configured accounts; without credentials, on the demo and its emulator."""
    options = [*(("--host", host) if host else ()), *(("--port", str(port)) if port else ())]
    if find_spec("dagster_webserver") is None:
        raise not_installed("dagster_webserver", "ui")
    if port is not None:
        _require_free(host or "127.0.0.1", port)
    project = settings.require_project()
    if any(account.can_call or account.fault for account in settings.accounts):
        return _dagster_dev(project, environment_elsewhere(settings) | {"DAGSTER_HOME": str(project)}, options)
    with made_up(project, DAYS) as account:
        click.echo(f"No account is configured in .env: this is the demo, kept in {account.folder}")
        return _dagster_dev(account.folder, account.environ, options)


def _require_free(host: str, port: int) -> None:
    """Dagster would say so somewhere in its log, and go on with everything but its pages."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise SettingsError(
            f"Port {port} of {host} can't be used: {error.strerror}.", advice="Name another one with --port."
        ) from None


def _dagster_dev(folder: Path, environ: Mapping[str, str], options: Sequence[str]) -> int:
    # Dagster says at each start that `dg dev` is to come instead: nothing that a person could do about it here.
    quiet = ["-W", "ignore:Function `dev_command` is superseded"]
    # Named, since Dagster would otherwise go by [tool.dg] of a pyproject.toml beside it, and leave out other locations.
    workspace = ["--workspace", "workspace.yaml"]
    with _only_one(folder):
        click.echo("Dagster's UI, for looking and trying; for a server see docs/deploy.md. Ctrl-C ends it.")
        if "--port" not in options:
            click.echo("In about 15 seconds: http://127.0.0.1:3000")
        return run_module("dagster", ["dev", *workspace, *options], folder, environ, *quiet)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    history = folder / ".dagster"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(history / "ui.lock", patience=0))
        except TimeoutError as holder:
            raise SettingsError(
                f"Dagster's UI runs on {folder} already (process {holder}).",
                advice="Use that one, or end it first: two Dagster daemons would start the same runs twice.",
            ) from None
        except OSError as error:
            raise unwritable(history, error, "name another folder in dagster.yaml") from None
        yield
