"""Status: prints a table per account, with what is missing and what needs a person; with many accounts, a line each.

The figures come from `operations.status`; add new ones there.
"""

import datetime as dt
from collections.abc import Sequence

from wx_datacube.cli.console import console, format_number, table
from wx_datacube.operations.status import AccountStatus

_MAX_TABLES = 10
"""Most accounts that get a table each. With more, each is a line, and `--account` shows its table."""

_COUNTS = ("due", "landed", "empty", "implied", "missing")


def show_statuses(found: Sequence[AccountStatus]) -> None:
    """Print a table per account, or one table of all accounts."""
    if len(found) <= _MAX_TABLES:
        for each in found:
            _show_status(each)
    else:
        _show_overview(found)


def _show_overview(found: Sequence[AccountStatus]) -> None:
    out = console()
    shown = table("account", *_COUNTS, "last landed", "calls today", "days needed")
    for status in found:
        counts = [format_number(sum(getattr(each, name) for each in status.endpoints)) for name in _COUNTS]
        last = max((each.last_landed for each in status.endpoints if each.last_landed), default="-")
        calls = sum(each.calls_today for each in status.endpoints)
        days = max(each.days_needed for each in status.endpoints)
        shown.add_row(status.account, *counts, str(last), format_number(calls), format_number(days))
    out.print(shown)
    out.print("Show one account by endpoint: wx-datacube status --account NAME")
    if any(each.missing for status in found for each in status.endpoints):
        out.print("Fetch what is missing: wx-datacube backfill")
    for status in found:
        for text in status.needs_person:
            out.print(f"{status.account} needs a person: {text}")


def _show_status(status: AccountStatus) -> None:
    out = console()
    out.print(f"Account {status.account} ({status.appid or 'no AppID yet'}), history from {status.start}")
    shown = table("endpoint", *_COUNTS, "not final", "last landed", "calls today", "calls needed", "days needed")
    for each in status.endpoints:
        counts = [format_number(getattr(each, name)) for name in (*_COUNTS, "not_final")]
        calls = map(format_number, (each.calls_today, each.calls_needed, each.days_needed))
        shown.add_row(each.endpoint, *counts, str(each.last_landed or "-"), *calls)
    out.print(shown)
    for each in status.endpoints:
        if each.missing_ranges:
            out.print(f"  {each.endpoint} is missing {_ranges(each.missing_ranges)}")
    if any(each.missing for each in status.endpoints):
        out.print("Fetch what is missing: wx-datacube backfill")
    if any(each.landed for each in status.endpoints):
        morning = format_number(sum(each.calls_next_morning for each in status.endpoints))
        out.print(f"The next morning takes {morning} calls, if nothing is missing by then.")
    if status.families_off:
        out.print(f"Not fetched: {', '.join(status.families_off)}. See wx-datacube doctor.")
    for text in status.needs_person:
        out.print(f"Needs a person: {text}")
    for text in status.notes:
        out.print(f"For your information: {text}")


def _ranges(gaps: list[tuple[dt.date, dt.date]], shown: int = 3) -> str:
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in reversed(gaps)]
    more = f" and {len(texts) - shown} older gaps" if len(texts) > shown else ""
    return ", ".join(texts[:shown]) + more
