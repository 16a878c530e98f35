"""Arrival: checks for what should be there by now: every due label, and all written data in the published file.

Add a check here for data that is missing rather than wrong. Such a check matters most when nothing ran, so the schedule
`<account>_checks` runs it too.
"""

import datetime as dt

from wx_datacube.catalog.model import Endpoint
from wx_datacube.language import Text, joined
from wx_datacube.warehouse.checks.check import Check, CheckContext, Finding, Remedy, RemedyAction
from wx_datacube.warehouse.overdue import Gap, Overdue

_PUBLISH_GRACE = dt.timedelta(minutes=10)
"""How long a call may be unpublished: runs publish every few seconds and when they end."""
_NOT_REQUESTED = Text("It hasn't been requested since yesterday.", "从昨天起没有请求过。")


def _missing(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    """Find the endpoint's overdue labels; those that need no action are informational."""
    return [
        _gap(endpoint, gap, overdue)
        for overdue in context.overdue
        if overdue.endpoint is endpoint
        for gap in overdue.gaps
    ]


def _gap(endpoint: Endpoint, gap: Gap, overdue: Overdue) -> Finding:
    first, last = map(str, gap)
    what = Text("missing", "缺失")
    if first != last:
        what = Text("missing, up to {last}", "缺失，至 {last}", last=last)
    if why := overdue.waiting_reason or (_NOT_REQUESTED if overdue.history else None):
        what = joined([what, _without_full_stop(why)], ". ", "。")
    return Finding(first, what, endpoint.name, first, last, informational=bool(overdue.waiting_reason))


def _without_full_stop(text: Text) -> Text:
    return text.mapped(lambda each: each.rstrip(".。"))


def _unpublished(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    error = context.published_error
    what = _without_full_stop(error) if error else _difference(context, endpoint)
    today = str(context.now.date())
    return [Finding(today, what, endpoint.name, today, today)] if what else []


def _difference(context: CheckContext, endpoint: Endpoint) -> Text | None:
    """Return how the published file differs from what was written; None if it doesn't, or only by very new calls."""
    written, published = context.written, context.published
    if written is None or published is None:
        return None
    if written.last_call != published.last_call:
        new = written.last_call_at is not None and written.last_call_at > context.now - _PUBLISH_GRACE
        if new and written.last_call > published.last_call:
            return None
        return Text(
            "published up to call {published:,}, written up to call {written:,}",
            "已发布至第 {published:,} 次调用，已写入至第 {written:,} 次调用",
            published=published.last_call,
            written=written.last_call,
        )
    (*here, _), (*there, _) = written.tables[endpoint.name], published.tables[endpoint.name]
    if here != there:
        return Text(
            "{calls:,} calls and {rows:,} rows are published, {all_calls:,} and {all_rows:,} written",
            "已发布 {calls:,} 次调用、{rows:,} 行，已写入 {all_calls:,} 次调用、{all_rows:,} 行",
            calls=there[0],
            rows=there[1],
            all_calls=here[0],
            all_rows=here[1],
        )
    if written.tables[endpoint.name] != published.tables[endpoint.name]:
        return Text("rows in the published file differ from the written ones", "已发布文件中的行与写入的不一致")
    return None


DUE_LABELS_ARE_THERE = Check(
    "due_labels_are_there",
    "No label is missing at noon of the day after its period ended, when WeChat has its figures. Labels that wait for"
    " today's quota or are being backfilled are listed but don't fail the check."
    " 周期结束后次日 12:00（北京时间）应有的数据都已到位；等待当日配额或正在补齐的数据只提示，不算缺失。",
    _missing,
    remedy=Remedy(
        Text(
            "Switch on the schedules, or run the command under how to heal; `wx-datacube doctor` shows what blocks it."
            " To skip old labels, set WX_DATACUBE_START to a later date.",
            "请打开定时任务或运行 how to heal 中的命令；wx-datacube doctor 会指出障碍所在。"
            "如不需要较早的数据，请将 WX_DATACUBE_START 设为更晚的日期。",
        ),
        RemedyAction.FETCH,
    ),
)
PUBLISHED_FILE_IS_CURRENT = Check(
    "published_file_is_current",
    "The published file has the same calls and rows as the writer's file. 供查询的数据文件与写入的数据一致。",
    _unpublished,
    remedy=Remedy(
        Text(
            "Any run publishes the file again, and so does the command under how to heal, which makes no call.",
            "任意一次运行都会重新发布；how to heal 中的命令不调用微信。",
        ),
        RemedyAction.PUBLISH,
    ),
)
