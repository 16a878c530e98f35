"""Terminal: what commands show while they work and when they are done.

Tables, progress and the words around them; which command there is and what its exit codes mean is in `cli`.
"""

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from wx_datacube.catalog import ENDPOINTS, Endpoint
from wx_datacube.errors import NeedsPerson, NotReady, QuotaExhausted, SettingsError, WeChatError
from wx_datacube.folder import make_project, unignored
from wx_datacube.periods import beijing_now
from wx_datacube.settings import Account, Settings, find_project, load_settings, process_environment
from wx_datacube.status import AccountStatus, read_status
from wx_datacube.troubles import Source, Troubles, troubles_of
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.windows import plan_windows

if TYPE_CHECKING:
    from wx_datacube.backfill import Backfill, Scope
    from wx_datacube.crew import Progress
    from wx_datacube.ingest import Report
    from wx_datacube.todo import Range

_WIDTH = 120
"""Columns where there is no terminal: nothing is wrapped or cut in a log file."""
_NAME = max(len(each.name) for each in ENDPOINTS)
"""Columns for the names of endpoints, three of which differ only at their ends."""


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout  # None where it was closed (`>&-`)
    # Without markup: what stands in brackets is text here, such as the errcode at the end of an error.
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        soft_wrap=True,
        width=None if stream and stream.isatty() else _WIDTH,
    )


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a missing optional dependency into the line that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"This command needs {error.name}, which is not installed.",
            advice=f"Install it: pip install 'wx-datacube[{extra}]', or `make install` in a clone.",
        ) from None


# --- report -----------------------------------------------------------------------------------------------------


def run_report(
    settings: Settings,
    account: Account,
    language: str,
    first: dt.date | None = None,
    last: dt.date | None = None,
    output: Path | None = None,
) -> Path:
    """Make the report of one account; where it is."""
    with needs("report"):
        from wx_datacube.report.page import report_file, save
    from wx_datacube.report.figures import read_figures

    now = beijing_now()
    with Warehouse(settings.database).reading() as con:
        figures = read_figures(con, account.name, account.start, now, first, last)
    output = output or report_file(settings.database, account.name)
    save(figures, language, settings.database, now, output)
    return output


# --- status -----------------------------------------------------------------------------------------------------


_TABLES = 10
"""So many accounts are shown in a table each; of more, each is a line, and has its table with `--account`."""


def show_statuses(found: Sequence[AccountStatus]) -> None:
    """The tables of the accounts, or one table of them all."""
    if len(found) <= _TABLES:
        for each in found:
            show_status(each)
    else:
        _show_overview(found)


def _show_overview(found: Sequence[AccountStatus]) -> None:
    console = _console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("account")
    for name in ("due", "landed", "empty", "implied", "missing", "last landed", "calls today", "days needed"):
        table.add_column(name, justify="right")
    for status in found:
        sums = [
            sum(getattr(each, name) for each in status.endpoints)
            for name in ("due", "landed", "empty", "implied", "missing", "calls_today")
        ]
        last = max((each.last_landed for each in status.endpoints if each.last_landed), default="-")
        days = max(each.days_needed for each in status.endpoints)
        table.add_row(status.account, *map(_number, sums[:5]), str(last), _number(sums[5]), _number(days))
    console.print(table)
    console.print("One of them, endpoint by endpoint: wx-datacube status --account NAME")
    if any(each.missing for status in found for each in status.endpoints):
        console.print("Bring in what is missing: wx-datacube backfill")
    for status in found:
        for text in status.needs_person:
            console.print(f"{status.account} needs a person: {text}")


def show_status(status: AccountStatus) -> None:
    """The table of one account, its gaps, and what needs a person."""
    console = _console()
    console.print(f"Account {status.account} ({status.appid or 'no AppID yet'}), history from {status.start}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("endpoint", min_width=_NAME)
    for name in (
        "due",
        "landed",
        "empty",
        "implied",
        "missing",
        "last landed",
        "calls today",
        "calls needed",
        "days needed",
    ):
        table.add_column(name, justify="right")
    for each in status.endpoints:
        counts = (each.due, each.landed, each.empty, each.implied, each.missing)
        last = str(each.last_landed or "-")
        table.add_row(
            each.endpoint,
            *map(_number, counts),
            last,
            _number(each.calls_today),
            _number(each.calls_needed),
            _number(each.days_needed),
        )
    console.print(table)
    for each in status.endpoints:
        if each.missing_ranges:
            console.print(f"  {each.endpoint} is missing {_ranges(each.missing_ranges)}")
    if any(each.missing for each in status.endpoints):
        console.print("Bring in what is missing: wx-datacube backfill")
    for text in status.needs_person:
        console.print(f"Needs a person: {text}")


def _number(value: int) -> str:
    return f"{value:,}"


def _ranges(gaps: list[tuple[dt.date, dt.date]], shown: int = 3) -> str:
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in reversed(gaps)]
    more = f" and {len(texts) - shown} older gaps" if len(texts) > shown else ""
    return ", ".join(texts[:shown]) + more


# --- backfill ---------------------------------------------------------------------------------------------------


def run_backfill(settings: Settings, account: Account, scope: "Scope") -> int:
    """Run a backfill with its progress on the terminal; returns the exit code."""
    troubles, display = Troubles(settings.database, settings.webhook), _Display(_console(), account.name)
    try:
        code = _backfilled(settings, account.checked(), scope, display)
    except Exception as error:
        troubles.note(account.name, Source.RUNS, [_BACKFILL], troubles_of([error], _BACKFILL), display.said)
        raise
    troubles.note(account.name, Source.RUNS, [_BACKFILL], [], display.said)
    return code


_BACKFILL = "backfill"
"""What troubles of a backfill as a whole are noted under."""


def _backfilled(settings: Settings, account: Account, scope: "Scope", display: "_Display") -> int:
    from wx_datacube.backfill import Backfill, check_account
    from wx_datacube.dagster_process import DagsterProcess
    from wx_datacube.doctor import start_hint

    now = beijing_now()
    check_account(settings, account, scope, now)
    with _endings_are_ctrl_c(), DagsterProcess(settings, account, scope, now) as runs, display.bar:
        backfill = Backfill(runs, settings, account, scope, now, display)
        states = backfill.run()
    _show_outcome(display.console, states)
    if backfill.reports:
        with Warehouse(settings.database).writing() as con:
            begun = known.beginning(con, account.name, account.start, now)
        # Not every morning: when it saves something, or was found out just now.
        if begun and (begun.saves or any(each.label == begun.day for it in backfill.reports for each in it.labels)):
            display.console.print(start_hint(account, begun))
    return _explain(backfill, states)


class _Display:
    """A bar over calls on a terminal, and a line for each Dagster run anywhere."""

    def __init__(self, console: Console, account: str) -> None:
        self.console = console
        self._account = account
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("calls"))
        self.bar = ProgressBar(
            *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal, transient=True
        )
        self._task = self.bar.add_task("", total=None)

    def planned(self, labels: int, calls: int) -> None:
        """Say what is ahead."""
        self.bar.update(self._task, total=calls)
        todo = f"{labels:,} partitions to do, {calls:,} calls at most" if labels else "nothing to do"
        self.console.print(f"{self._account}: {todo}")

    def progress(self, news: "Progress") -> None:
        """Move the bar."""
        self.bar.update(self._task, advance=len(news.stored), description=news.endpoint.name)

    def said(self, message: str) -> None:
        """A line for what a person should know."""
        self.console.print(message)

    def ran(self, endpoint: Endpoint, wanted: "Range") -> None:
        """A line for a Dagster run that ended well."""
        noun = endpoint.period.value if wanted.labels == 1 else f"{endpoint.period.value}s"
        self.console.print(f"  {endpoint.name} {wanted.first} to {wanted.last}: {wanted.labels:,} {noun} materialized")


def _show_outcome(console: Console, states: Mapping[Endpoint, Mapping[dt.date, State]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("endpoint", min_width=_NAME)
    for state in State:
        table.add_column(state.value, justify="right")
    for endpoint, labels in states.items():
        found = list(labels.values())
        counts = [_number(found.count(state)) for state in State] if found else ["none due in this range"]
        table.add_row(endpoint.name, *counts)
    console.print(table)


def _explain(backfill: "Backfill", states: Mapping[Endpoint, Mapping[dt.date, State]]) -> int:
    """Say on stderr what is not there and how it goes on, of several accounts with the name; the exit code."""
    console, whose = _console(stderr=True), f"{backfill.account.name}: " if not backfill.account.single else ""
    errors = _errors(backfill.reports)
    undone = _undone(backfill, states)
    for text in [*backfill.failures, *_reasons(errors)]:
        console.print(f"{whose}{text}")
    what = "still to be asked again" if backfill.scope.refresh else "missing"
    for endpoint, labels in undone.items():
        console.print(f"{whose}{endpoint.name}: {len(labels):,} of {len(states[endpoint]):,} are {what}.")
    if not undone:
        return 1 if backfill.failures else 0
    causes = [error for found in errors.values() for error in found]
    if backfill.failures or not causes or any(not isinstance(error, _WAITS) for error in causes):
        person = any(isinstance(error, NeedsPerson) for error in causes)
        when = "When that is done, run" if person else "Run"
        console.print(f"{whose}{when} the same again to go on; what has landed is not asked again.")
        return 1
    if any(isinstance(error, QuotaExhausted) for error in causes):
        console.print(f"{whose}{_when_it_goes_on(backfill, undone)}")
        return 3
    return 1


_WAITS = (QuotaExhausted, NotReady)


def _errors(reports: "Sequence[Report]") -> dict[Endpoint, list[WeChatError]]:
    errors: dict[Endpoint, list[WeChatError]] = {}
    for report in reports:
        errors.setdefault(report.endpoint, []).extend(report.errors)
    return errors


def _reasons(errors: Mapping[Endpoint, Sequence[WeChatError]]) -> list[str]:
    """The errors in words, up to three an endpoint, each once: equal ones differ in WeChat's rid."""
    found = [error for each in errors.values() for error in each[:3]]
    return [str(error) for error in {(error.endpoint, error.message): error for error in found}.values()]


def _undone(backfill: "Backfill", states: Mapping[Endpoint, Mapping[dt.date, State]]) -> dict[Endpoint, set[dt.date]]:
    """The labels of each endpoint that are missing, or were not asked again though that was wanted."""
    undone = {
        endpoint: {label for label, state in labels.items() if state is State.MISSING}
        for endpoint, labels in states.items()
    }
    if backfill.scope.refresh:
        for report in backfill.reports:
            undone[report.endpoint] |= {each.label for each in report.undone}
    return {endpoint: labels for endpoint, labels in undone.items() if labels}


def _when_it_goes_on(backfill: "Backfill", undone: Mapping[Endpoint, set[dt.date]]) -> str:
    """When the quota is there again, and how many days it takes at the rate of today."""
    (status,) = read_status(backfill.settings, [backfill.account])
    today = {each.endpoint: each.calls_today for each in status.endpoints}
    days = max(-(-len(plan_windows(each, labels)) // max(today[each.name], 1)) for each, labels in undone.items())
    whole = beijing_now().date() + dt.timedelta(days=days)
    how = "it asks only for what is left" if backfill.scope.refresh else "or let the schedules do it"
    return (
        "Today's quota is used up. It goes on after 00:00 Beijing time: run the same again then"
        f" ({how}); at this rate everything is there about {whole:%A}, {whole}."
    )


# --- init -------------------------------------------------------------------------------------------------------


def run_init(folder: Path) -> int:
    """Make a project folder, and say what comes next; 1 if there are files of those names that say something else."""
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
        click.echo(f"Not installed, for {', '.join(lacking.values())}: pip install 'wx-datacube[{','.join(lacking)}]'")
    home = process_environment().get("DAGSTER_HOME", "").strip()
    if home and Path(home).expanduser().resolve() != whole:
        click.echo(f"DAGSTER_HOME is {home}: while it is set, commands use that folder. Unset it here.", err=True)
    if others:
        click.echo(
            f"Left as found, and not what this version would make: {', '.join(others)}."
            " To compare, let `wx-datacube init` make another folder.",
            err=True,
        )
    if ".gitignore" in others and (lines := unignored(folder)):
        click.echo(f"Your .gitignore lacks {', '.join(lines)}: secrets and figures must not be committed.", err=True)
    return 1 if others else 0


_EXTRAS = {
    "ui": ("dagster_webserver", "Dagster's UI"),
    "emulator": ("starlette", "the demo"),
    "report": ("altair", "the report"),
}
"""For each extra a module that it brings, and what needs it."""


# --- demo and ui ------------------------------------------------------------------------------------------------


def run_demo(days: int) -> int:
    """Materialize the newest settled days of the made-up account, and show what landed."""
    from wx_datacube import demo

    with needs("emulator"):
        from wx_datacube.emulator.testing import wechat
    folder = demo.demo_folder(find_project(process_environment(), Path.cwd()))
    end = demo.newest_settled_day(beijing_now())
    start = end - dt.timedelta(days=days - 1)
    console = _console()
    with wechat(publish_at="00:00", quota=100_000) as emulated:
        environ = demo.demo_environment(
            process_environment(), folder, start, emulated.api_url, emulated.appid, emulated.secret
        )
        console.print(f"A made-up account on an emulated WeChat; everything is kept in {os.path.relpath(folder)}/")
        command = [sys.executable, "-m", "wx_datacube", "backfill", "--end", end.isoformat()]
        code = _run_process(command, folder, environ)
        calls = sum(1 for call in emulated.control.calls() if call.endpoint in {each.name for each in ENDPOINTS})
    if code == 0:
        _show_demo(console, load_settings(environ, folder), calls)
    return code


def _show_demo(console: Console, settings: Settings, calls: int) -> None:
    database = os.path.relpath(settings.database)
    console.print(f"It took {calls:,} calls. The last seven days in {database}:\n")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    with Warehouse(settings.database).reading() as con:
        found = con.execute(_LAST_DAYS)
        for name, *_ in found.description or ():
            table.add_column(name, justify="left" if name == "date" else "right")
        for row in found.fetchall():
            table.add_row(*map(str, row))
    console.print(table)
    look = f"import duckdb; duckdb.connect('{database}', read_only=True).sql('FROM totals_weekly ORDER BY date').show()"
    console.print(f'Look at it:      {os.path.relpath(sys.executable)} -c "{look}"')
    if find_spec("altair") is not None:
        console.print(f"As a report:     {os.path.relpath(run_report(settings, settings.accounts[0], 'zh'))}")
    console.print("In Dagster's UI: wx-datacube ui, which is `make ui` in a clone")
    console.print("Your account:    .env.example, README.md, README.zh-CN.md")


_LAST_DAYS = """
SELECT date, users, messages, round(messages_per_user, 2) AS messages_per_user
FROM totals_daily ORDER BY date DESC LIMIT 7"""


def _require_free(host: str, port: int) -> None:
    """Dagster would say so somewhere in its log, and go on with everything but its pages."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise SettingsError(
            f"Port {port} of {host} can't be used: {error.strerror}.", advice="Name another one with --port."
        ) from None


def run_ui(settings: Settings, host: str | None = None, port: int | None = None) -> int:
    """Dagster's UI on the configured accounts; without credentials, on the demo and its emulator."""
    options = [*(("--host", host) if host else ()), *(("--port", str(port)) if port else ())]
    if find_spec("dagster_webserver") is None:
        raise SettingsError(
            "This command needs dagster_webserver, which is not installed.",
            advice="Install it: pip install 'wx-datacube[ui]', or `make install` in a clone.",
        )
    if port is not None:
        _require_free(host or "127.0.0.1", port)
    if any(account.can_call or account.fault for account in settings.accounts):
        return _dagster_dev(settings.project, process_environment() | {"DAGSTER_HOME": str(settings.project)}, options)
    from wx_datacube import demo

    with needs("emulator"):
        from wx_datacube.emulator.testing import wechat
    folder = demo.demo_folder(settings.project)
    end = demo.newest_settled_day(beijing_now())
    with wechat(publish_at="00:00", quota=100_000) as emulated:
        start = end - dt.timedelta(days=demo.DAYS - 1)
        environ = demo.demo_environment(
            process_environment(), folder, start, emulated.api_url, emulated.appid, emulated.secret
        )
        click.echo(f"No account is configured in .env: this is the demo, kept in {folder}")
        return _dagster_dev(folder, environ, options)


def _dagster_dev(folder: Path, environ: Mapping[str, str], options: Sequence[str]) -> int:
    click.echo("Dagster's UI, for looking and trying; for a server see docs/deploy.md. Ctrl-C ends it.")
    if "--port" not in options:
        click.echo("In about 15 seconds: http://127.0.0.1:3000")
    # Dagster says at each start that `dg dev` is to come instead: nothing that a person could do about it here.
    quiet = ["-W", "ignore:Function `dev_command` is superseded"]
    # Named, since Dagster would otherwise go by [tool.dg] of a pyproject.toml beside it, and leave out other locations.
    workspace = ["--workspace", "workspace.yaml"]
    return _run_process([sys.executable, *quiet, "-m", "dagster", "dev", *workspace, *options], folder, environ)


def _run_process(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> int:
    """Run a process to its end; 130 when interrupted, after it and what it started have ended too.

    It gets a process group of its own, so that Ctrl-C reaches it once, through us: told twice, `dagster dev` would
    leave its processes behind.
    """
    with _endings_are_ctrl_c():
        process = subprocess.Popen(command, cwd=folder, env=environ, process_group=0)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(_SECONDS_TO_END)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return 130


@contextmanager
def _endings_are_ctrl_c() -> Iterator[None]:
    """Let a closed terminal, `kill` and a service manager end what runs as Ctrl-C does: nothing that was paid is lost.

    What is ignored stays so: `nohup` is to survive the terminal.
    """
    heeded = [number for number in _ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signal.default_int_handler) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS_TO_END = 30
