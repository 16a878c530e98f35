"""Layout: lay out stored alerts as chat messages, with headings, grouping and a size limit.

Add here what a message says besides the alerts' own texts. `webhook` knows the chats and posts to them. Nothing here
does I/O.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

from wx_datacube.alerts.alert import Source, Urgency
from wx_datacube.alerts.stored_alert import StoredAlert, endpoint_of, text_in
from wx_datacube.language import Text


def messages(alerts: Sequence[StoredAlert], now: dt.time, max_bytes: int) -> Iterator[tuple[str, list[StoredAlert]]]:
    """Yield the text of each message and its alerts: one message per urgency and account, the most urgent first.

    They are split where the chat limits their size.
    """
    by_heading: dict[tuple[str, str], list[StoredAlert]] = {}
    for each in alerts:
        by_heading.setdefault((each["account"], each["urgency"]), []).append(each)
    for urgency in Urgency:
        for (account, name), stored in by_heading.items():
            if name == urgency.name:
                heading = f"wx_datacube · {account} · {urgency.heading(now).both(' · ')}"
                for part in _split_messages(stored, max_bytes - len(heading.encode())):
                    yield "\n".join([heading, *map(_line, part)]), part


def _line(stored: StoredAlert) -> str:
    others = list(dict.fromkeys(map(endpoint_of, stored["subjects"])))[1:] if stored["source"] != Source.LABELS else []
    also = Text("also", "同样").both(" · ")
    return f"• {text_in(stored).both()}" + (f" ({also}: {', '.join(others)})" if others else "")


def _split_messages(stored: Sequence[StoredAlert], max_bytes: int) -> Iterator[list[StoredAlert]]:
    """Yield the alerts of each message: as many as fit into `max_bytes` bytes, but at least one."""
    message: list[StoredAlert] = []
    for each in stored:
        if message and sum(len(_line(one).encode()) + 1 for one in [*message, each]) > max_bytes:
            yield message
            message = []
        message.append(each)
    if message:
        yield message
