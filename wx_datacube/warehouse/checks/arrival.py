"""Arrival: what should be there by now: every label that is due, and in the published file what was written.

Add here what is missing rather than wrong. A check of this kind is worth most when nothing ran: see the schedule
`<account>_checks`.
"""

import datetime as dt
from collections.abc import Iterable

from wx_datacube.catalog import Endpoint
from wx_datacube.periods import due_on
from wx_datacube.warehouse.checks.check import Check, Cure, Evidence, Finding
from wx_datacube.warehouse.coverage import asked_before, overdue

_PATIENCE = dt.timedelta(minutes=10)
"""How long a call may be unpublished: runs publish every few seconds, and when they end."""


def _missing(evidence: Evidence, endpoint: Endpoint) -> list[Finding]:
    """Gaps in what has been reached, from the newest label down; and history that nobody goes on with.

    Twelve years of hours take five days of quota, newest first. What is still to come is told and fails nothing, as
    long as it is being asked for; a gap is one at once.
    """
    gaps, history = overdue(evidence.con, evidence.account, endpoint, evidence.start, evidence.now)
    findings = [_gap(endpoint, run, "missing") for run in _runs(endpoint, gaps)]
    if history:
        yesterday = evidence.now.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=1)
        if asked_before(evidence.con, evidence.account, endpoint, yesterday):
            findings.append(_gap(endpoint, history, _TO_COME, harmless=True))
        else:
            findings.append(_gap(endpoint, history, _LEFT))
    return findings


_TO_COME = "still to come; schedules and `wx-datacube backfill` go on with them, newest first"
_LEFT = "missing, and none of them asked for since yesterday morning"


def _gap(endpoint: Endpoint, labels: list[dt.date], what: str, harmless: bool = False) -> Finding:
    first, last = str(labels[0]), str(labels[-1])
    count = f"{len(labels):,} {endpoint.period.value}{'' if len(labels) == 1 else 's'}"
    return Finding(first, f"{count} to {last} {what}", endpoint.name, first, last, harmless)


def _runs(endpoint: Endpoint, labels: Iterable[dt.date]) -> list[list[dt.date]]:
    """Labels in unbroken runs."""
    runs: list[list[dt.date]] = []
    for label in labels:
        if runs and due_on(runs[-1][-1], endpoint.period) == label:
            runs[-1].append(label)
        else:
            runs.append([label])
    return runs


def _unpublished(evidence: Evidence, endpoint: Endpoint) -> list[Finding]:
    what = evidence.fault or _difference(evidence, endpoint)
    today = str(evidence.now.date())
    return [Finding(today, what, endpoint.name, today, today)] if what else []


def _difference(evidence: Evidence, endpoint: Endpoint) -> str:
    """What the published file lacks, or has otherwise than it was written; empty where there is nothing."""
    written, published = evidence.written, evidence.published
    if written is None or published is None:
        return ""
    if written.last_call != published.last_call:
        new = written.last_call_at is not None and written.last_call_at > evidence.now - _PATIENCE
        what = f"calls are published to {published.last_call:,}, written to {written.last_call:,}"
        return "" if new and written.last_call > published.last_call else what
    (*here, _), (*there, _) = written.tables[endpoint.name], published.tables[endpoint.name]
    if here != there:
        what = "{:,} calls and {:,} rows are published, {:,} and {:,} written"
        return what.format(*there, *here)
    if written.tables[endpoint.name] != published.tables[endpoint.name]:
        return "the rows of the published file are others than those that were written"
    return ""


DUE_LABELS_ARE_THERE = Check(
    "due_labels_are_there",
    "Nothing is missing at noon of the day after its period ended, when WeChat has its figures; history that is being"
    " brought in, newest first, is told and not counted."
    " 周期结束后次日 12:00（北京时间）应有的数据都已到位；正在补齐的历史数据只提示，不算缺失。",
    _missing,
    cure=Cure(
        "Switch on the schedules, or run the command under how to heal; `wx-datacube doctor` says what is in the way."
        " What you don't want is not asked for once WX_DATACUBE_START is later."
        " 请打开定时任务或运行 how to heal 中的命令；wx-datacube doctor 会指出障碍所在。",
        "backfill",
    ),
)
PUBLISHED_FILE_IS_CURRENT = Check(
    "published_file_is_current",
    "The file that people read holds what runs have written, call for call and row for row."
    " 供查询的数据文件与写入的数据一致。",
    _unpublished,
    cure=Cure(
        "Any run publishes the file again, and so does the command under how to heal, which makes no call."
        " 任意一次运行都会重新发布；how to heal 中的命令不调用微信。",
        "replay",
        ranged=False,
    ),
)
