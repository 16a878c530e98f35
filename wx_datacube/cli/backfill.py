"""Backfill: a progress bar over its calls, a line for each of its Dagster runs, and at the end what is missing and why.

Add here only what a person reads; `operations.backfill` does the work.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from copy import copy

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from wx_datacube.alerts.alert import BACKFILL, Source, alerts_of
from wx_datacube.alerts.missing_labels import note_and_send
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import beijing_now, midnight_of
from wx_datacube.cli.console import console, format_number, table
from wx_datacube.cli.processes import signals_as_interrupt
from wx_datacube.cli.wrapping import wrapped
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import NeedsPerson, NotReady, QuotaExhausted, WeChatError, WxDatacubeError
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.pool import Progress
from wx_datacube.ingest.service import Ingest
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.language import Text, joined, spoken, text_of
from wx_datacube.operations.backfill import Backfill, check_account
from wx_datacube.operations.backfill_protocol import Run, Scope
from wx_datacube.operations.doctor import other_host, start_hint
from wx_datacube.orchestration.backfill_process import DagsterProcess
from wx_datacube.warehouse import past_calls, silent_days
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse


def run_backfill(settings: Settings, account: Account, scope: Scope) -> int:
    """Run a backfill with its progress on the terminal; return the exit code."""
    alerts, display = Alerts(settings.database, settings.webhook), _Display(console(), account.name)
    if host := other_host(settings):
        display.message(host)
    try:
        code = _run(settings, account.checked(), scope, display)
        alerts.note(account.name, Source.RUNS, [BACKFILL], [], display.message)
        return code
    except Exception as error:
        alerts.note(account.name, Source.RUNS, [BACKFILL], alerts_of([error], BACKFILL), display.message)
        raise
    finally:
        # Send alerts for missing labels too: a backfill run by cron has no reader for its output.
        with suppress(WxDatacubeError), Warehouse(settings.database).open_published() as con:
            note_and_send(con, settings, account, beijing_now(), display.message)


def _run(settings: Settings, account: Account, scope: Scope, display: "_Display") -> int:
    now = beijing_now()
    check_account(settings, account, scope, now)
    with signals_as_interrupt(), DagsterProcess(settings, account, scope, now) as runs, display.live():
        backfill = Backfill(runs, Ingest.of(settings, account), scope, now, display)
        states = backfill.run()
    _show_outcome(display.console, states)
    calls = sum(report.calls for report in backfill.reports)
    made = Text("{account}: {calls:,} call{s} made", "{account}：共调用 {calls:,} 次")
    display.message(made.fill(account=account.name, calls=calls, s="" if calls == 1 else "s"))
    if backfill.reports:
        with Warehouse(settings.database).transaction() as con:
            beginning = silent_days.history_start(con, account, now)
        # Show the hint only if it saves calls or was found in this backfill, not every morning.
        stored = {each.label for report in backfill.reports for each in report.labels}
        if beginning and (beginning.saves_calls or beginning.day in stored):
            display.message(start_hint(account, beginning))
    return _print_remaining(backfill, states)


class _Display:
    """A progress bar over calls on a terminal, and a line for each Dagster run anywhere."""

    def __init__(self, console: Console, account: str) -> None:
        self.console = console
        self._account = account
        calls = Text("calls", "次调用").to(spoken())
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(calls))
        self.bar = ProgressBar(
            *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal, transient=True
        )
        self._task = self.bar.add_task("", total=None)

    def live(self) -> AbstractContextManager[object]:
        """Return the bar on a terminal, and an empty context elsewhere.

        For a disabled bar, rich before 14.3 would print the blank line at its end.
        """
        return self.bar if self.console.is_terminal else nullcontext()

    def planned(self, labels: int, calls: int) -> None:
        """Print how much there is to do."""
        self.bar.update(self._task, total=calls)
        todo = Text("{account}: nothing to do", "{account}：没有需要获取的数据", account=self._account)
        if labels:
            todo = Text(
                "{account}: {labels:,} partitions to fetch, in at most {calls:,} calls",
                "{account}：待获取 {labels:,} 个分区，最多调用 {calls:,} 次",
                account=self._account,
                labels=labels,
                calls=calls,
            )
        self.message(todo)

    def progress(self, progress: Progress) -> None:
        """Advance the bar."""
        self.bar.update(self._task, advance=len(progress.stored), description=progress.endpoint.name)

    def message(self, text: Text | str) -> None:
        """Print a message for a person."""
        self.console.print(wrapped(text_of(text).to(spoken())))

    def ran(self, run: Run) -> None:
        """Print a line for a Dagster run that succeeded."""
        text = Text(
            "{asset} {first} to {last}: {labels} materialized",
            "{asset} {first} 至 {last}：已物化 {labels}",
            asset=run.asset,
            first=run.range.first,
            last=run.range.last,
            labels=run.endpoint.period.counted(run.range.labels),
        )
        self.console.print(wrapped(text.to(spoken()), "  ", indent=4))


_STATES = {
    State.LANDED: Text("landed", "已入库"),
    State.EMPTY: Text("empty", "无数据"),
    State.IMPLIED: Text("implied", "推定无数据"),
    State.MISSING: Text("missing", "缺失"),
}


def _show_outcome(out: Console, states: Mapping[Endpoint, Mapping[dt.date, State]]) -> None:
    shown = table(Text("endpoint", "接口"), *_STATES.values())
    for endpoint in sorted(states, key=ENDPOINTS.index):
        found = Counter(states[endpoint].values())
        none = Text("none due in this range", "此范围内没有应有数据").to(spoken())
        shown.add_row(endpoint.name, *([format_number(found[state]) for state in _STATES] if found else [none]))
    out.print(shown)


def _print_remaining(backfill: Backfill, states: Mapping[Endpoint, Mapping[dt.date, State]]) -> int:
    """Print to stderr what is missing and how to go on; return the exit code.

    With several accounts, each line starts with the account's name.
    """
    out = console(stderr=True)

    def tell(text: Text) -> None:
        whose = "" if backfill.account.single else Text("{name}: ", "{name}：", name=backfill.account.name).to(spoken())
        out.print(wrapped(text.to(spoken()), whose))

    errors = _errors(backfill.reports)
    unfinished = _unfinished(backfill, states)
    for text in [*backfill.failures, *_reasons(errors)]:
        tell(text)
    left = Text("{endpoint}: {left:,} of {all:,} are missing.", "{endpoint}：缺失 {left:,} 项，共 {all:,} 项。")
    if backfill.scope.refresh:
        left = Text(
            "{endpoint}: {left:,} of {all:,} are still to be requested again.",
            "{endpoint}：还有 {left:,} 项未重新获取，共 {all:,} 项。",
        )
    alike: dict[tuple[int, int], list[str]] = {}
    for endpoint, labels in unfinished.items():
        alike.setdefault((len(labels), len(states[endpoint])), []).append(endpoint.name)
    for (missing, due), names in alike.items():
        tell(left.fill(endpoint=joined(names, ", ", "、"), left=missing, all=due))
    if not unfinished:
        return 1 if backfill.failures else 0
    causes = [error for found in errors.values() for error in found]
    if backfill.failures or not causes or any(not isinstance(error, _RETRIED_LATER) for error in causes):
        when = Text("Run", "请")
        if any(isinstance(error, NeedsPerson) for error in causes):
            when = Text("When that is done, run", "处理之后，请")
        tell(
            Text(
                "{when} the same command again to continue; stored labels are not requested again.",
                "{when}再次运行同一命令继续；已保存的数据不会重复请求。",
                when=when,
            )
        )
        return 1
    if any(isinstance(error, QuotaExhausted) for error in causes):
        tell(_when_to_continue(backfill, unfinished))
        return 3
    return 1


_RETRIED_LATER = (QuotaExhausted, NotReady)


def _errors(reports: Sequence[FetchReport]) -> dict[Endpoint, list[WeChatError]]:
    errors: dict[Endpoint, list[WeChatError]] = {}
    for report in reports:
        errors.setdefault(report.endpoint, []).extend(report.errors)
    return errors


def _reasons(errors: Mapping[Endpoint, Sequence[WeChatError]]) -> list[Text]:
    """Return the error messages, up to three per endpoint; equal ones, which differ only in WeChat's rid, once."""
    alike: dict[tuple[str, str], list[WeChatError]] = {}
    for each in sorted(errors, key=ENDPOINTS.index):
        for error in errors[each][:3]:
            alike.setdefault((str(error.message), str(error.advice)), []).append(error)
    reasons = []
    for first, *others in alike.values():
        shown = copy(first)
        shown.endpoint = ", ".join(dict.fromkeys(each.endpoint for each in (first, *others) if each.endpoint)) or None
        reasons.append(shown.text)
    return reasons


def _unfinished(backfill: Backfill, states: Mapping[Endpoint, Mapping[dt.date, State]]) -> dict[Endpoint, set[dt.date]]:
    """Return the labels of each endpoint that are missing, or that a refresh has not requested again."""
    unfinished = {
        endpoint: {label for label, state in labels.items() if state is State.MISSING}
        for endpoint, labels in states.items()
    }
    if backfill.scope.refresh:
        for report in backfill.reports:
            unfinished[report.endpoint] |= {each.label for each in report.unresolved}
    return {each: unfinished[each] for each in sorted(unfinished, key=ENDPOINTS.index) if unfinished[each]}


def _when_to_continue(backfill: Backfill, unfinished: Mapping[Endpoint, set[dt.date]]) -> Text:
    """Return when the quota is available again, and how many days the rest takes at today's rate."""
    now = beijing_now()
    with backfill.ingest.warehouse.open_published() as con:
        today = past_calls.calls_since(con, backfill.account.name, midnight_of(now))
    days = max(-(-len(plan_windows(each, labels)) // max(today[each.name], 1)) for each, labels in unfinished.items())
    whole = now.date() + dt.timedelta(days=days)
    how = Text("or let the schedules do it", "或打开定时任务自动继续")
    if backfill.scope.refresh:
        how = Text("only what is left is requested", "只请求剩余部分")
    return Text(
        "Today's quota is used up. Run the same command again after 00:00 Beijing time ({how}). At this rate"
        " everything is stored by about {day:%A}, {day}.",
        "今天的配额已用完。请在北京时间 0 点之后再次运行同一命令（{how}）。照此速度，约 {day} 可全部入库。",
        how=how,
        day=whole,
    )
