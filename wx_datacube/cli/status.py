"""Status: prints a table per account, with what is missing and what needs a person; with many accounts, a line each.

The figures come from `operations.status`; add new ones there. Nothing printed is wider than 80 columns.
"""

import datetime as dt
from collections.abc import Callable, Sequence

from rich.table import Table

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import beijing_now, settled_at
from wx_datacube.cli.console import console, format_number, say, table
from wx_datacube.cli.wrapping import MAX_WIDTH, wrapped
from wx_datacube.language import Text, joined, spoken, text_of
from wx_datacube.operations.status import AccountStatus, EndpointStatus

_MAX_TABLES = 10
"""Most accounts that get a table each. With more, each is a line, and `--account` shows its table."""
_ENDPOINT, _ACCOUNT = Text("endpoint", "接口"), Text("account", "账号")
_COUNTS: dict[Text, Callable[[EndpointStatus], int]] = {
    Text("due", "应有"): lambda status: status.due,
    Text("landed", "已入库"): lambda status: status.landed,
    Text("empty", "无数据"): lambda status: status.empty + status.implied,
    Text("missing", "缺失"): lambda status: status.missing,
}
"""Columns of both tables. What is empty by WeChat's answer or implied by a silent day is one number here."""
_OPEN, _NEWEST = Text("open", "待定"), Text("newest", "最新")
_CALLS, _DAYS = Text("calls", "调用"), Text("days", "天数")


def show_statuses(found: Sequence[AccountStatus]) -> None:
    """Print a table per account, or one table of all accounts."""
    if len(found) <= _MAX_TABLES:
        for each in found:
            _show_status(each)
    else:
        _show_overview(found)


def _say(text: Text, first: str = "") -> None:
    say(wrapped(text.to(spoken()), first, indent=len(first) + 2))


def _show(shown: Table) -> None:
    """Print a table; its columns are two blanks apart."""
    shown.collapse_padding = True
    out = console()
    out.print(shown, width=min(out.width, MAX_WIDTH))


def _show_overview(found: Sequence[AccountStatus]) -> None:
    shown = table(_ACCOUNT, *_COUNTS, _NEWEST, _CALLS, _DAYS)
    for status in found:
        counts = [format_number(sum(map(count, status.endpoints))) for count in _COUNTS.values()]
        last = max((each.last_landed for each in status.endpoints if each.last_landed), default="-")
        calls = sum(each.calls_today for each in status.endpoints)
        days = max(each.days_needed for each in status.endpoints)
        shown.add_row(status.account, *counts, str(last), format_number(calls), format_number(days))
    _show(shown)
    _say(
        Text(
            "calls: made today. days: days of quota that the missing data takes.",
            "调用：今天的调用次数。天数：补齐缺失数据所需的天数（按每日配额）。",
        )
    )
    _say(
        Text(
            "Show one account by endpoint: {command}",
            "查看单个账号：{command}",
            command="wx-datacube status --account NAME",
        )
    )
    if any(each.missing for status in found for each in status.endpoints):
        _say(Text("Fetch what is missing: wx-datacube backfill", "补齐缺失的数据：wx-datacube backfill"))
    for status in found:
        _show_quota(status.endpoints, Text("{account}: ", "{account}：", account=status.account))
        for text in status.needs_person:
            _say(
                Text(
                    "{account} needs a person: {text}",
                    "{account} 需要您处理：{text}",
                    account=status.account,
                    text=text,
                )
            )


def _show_status(status: AccountStatus) -> None:
    _say(
        Text(
            "Account {name} ({appid}), history from {start}",
            "账号 {name}（{appid}），历史数据从 {start} 开始",
            name=status.account,
            appid=status.appid or Text("no AppID yet", "尚无 AppID"),
            start=status.start,
        )
    )
    shown = table(_ENDPOINT, *_COUNTS, _OPEN, _NEWEST, _CALLS)
    for each in status.endpoints:
        counts = [format_number(count(each)) for count in _COUNTS.values()]
        shown.add_row(
            each.endpoint,
            *counts,
            format_number(each.not_final),
            str(each.last_landed or "-"),
            format_number(each.calls_today),
        )
    _show(shown)
    _show_missing(status.endpoints)
    _show_plan(status.endpoints)
    _show_quota(status.endpoints)
    if status.families_off:
        _say(
            Text(
                "Not fetched: {families}. See wx-datacube doctor.",
                "未开启的类别：{families}，见 wx-datacube doctor。",
                families=joined(status.families_off, ", ", "、"),
            )
        )
    for text in status.needs_person:
        _say(Text("Needs a person: {text}", "需要您处理：{text}", text=text))
    for text in status.notes:
        _say(Text("For your information: {text}", "供您参考：{text}", text=text))


def _show_missing(endpoints: Sequence[EndpointStatus]) -> None:
    """Print what is missing; endpoints that lack the same are named together."""
    alike: dict[tuple[Period, tuple[tuple[dt.date, dt.date], ...]], list[Text | str]] = {}
    for each in endpoints:
        if each.missing_ranges:
            alike.setdefault((BY_NAME[each.endpoint].period, tuple(each.missing_ranges)), []).append(each.endpoint)
    for (period, ranges), names in alike.items():
        missing = Text(
            "Missing {ranges}{unit}: {names}",
            "缺失 {ranges}{unit}：{names}",
            ranges=_ranges(ranges),
            unit=_UNITS[period],
            names=joined(names, ", ", "、"),
        )
        _say(missing, "  ")


_UNITS = {
    Period.DAY: Text("", ""),
    Period.WEEK: Text(" (weeks, by their Mondays)", "（周，以周一表示）"),
    Period.MONTH: Text(" (months, by their first days)", "（月，以 1 日表示）"),
}


def _is_unpublished(status: EndpointStatus, now: dt.datetime) -> bool:
    """Return whether nothing is missing but the newest label, which WeChat may not have published yet."""
    period = BY_NAME[status.endpoint].period
    return all(first == last and settled_at(last, period) > now for first, last in status.missing_ranges)


def _show_plan(endpoints: Sequence[EndpointStatus]) -> None:
    """Print how many calls the missing data and the next morning take."""
    needed, days = sum(each.calls_needed for each in endpoints), max(each.days_needed for each in endpoints)
    now = beijing_now()
    if all(_is_unpublished(each, now) for each in endpoints):
        if any(each.missing for each in endpoints):
            _say(_UNPUBLISHED)
    else:
        _say(
            Text(
                "Fetch what is missing ({calls:,} call{s}, {days:,} day{d} of quota): wx-datacube backfill",
                "补齐缺失的数据（需调用 {calls:,} 次，{days:,} 天的配额）：wx-datacube backfill",
                calls=needed,
                s="" if needed == 1 else "s",
                days=days,
                d="" if days == 1 else "s",
            )
        )
    if any(each.landed for each in endpoints):
        _say(
            Text(
                "The next morning takes {calls:,} calls, if nothing is missing by then.",
                "如届时没有缺失，明天早上需调用 {calls:,} 次。",
                calls=sum(each.calls_next_morning for each in endpoints),
            )
        )


_UNPUBLISHED = Text(
    "WeChat publishes this between 08:00 and about 12:00 Beijing time. Then fetch it: wx-datacube backfill",
    "微信一般在北京时间 8 点至 12 点之间发布以上数据，届时补齐：wx-datacube backfill",
)


def _show_quota(endpoints: Sequence[EndpointStatus], whose: Text | str = "") -> None:
    """Print when the quota ran out, and when it continues."""
    used_up = {each.endpoint: each.quota_used_up_at for each in endpoints if each.quota_used_up_at}
    if used_up:
        _say(
            Text(
                "{whose}Quota used up at {time:%H:%M}; continues at 00:00 Beijing time: {endpoints}",
                "{whose}配额已于 {time:%H:%M} 用完，北京时间 0 点后继续：{endpoints}",
                whose=whose,
                time=min(used_up.values()),
                endpoints=joined(used_up, ", ", "、"),
            )
        )


def _ranges(gaps: Sequence[tuple[dt.date, dt.date]], shown: int = 3) -> Text:
    texts = [
        text_of(str(first)) if first == last else Text("{first} to {last}", "{first} 至 {last}", first=first, last=last)
        for first, last in gaps
    ]
    more = Text(" and {gaps} older gaps", "，另有 {gaps} 段更早的", gaps=len(texts) - shown)
    return joined([joined(texts[:shown], ", ", "、"), *([more] if len(texts) > shown else [])], "")
