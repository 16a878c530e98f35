"""Heartbeat: request the URL of a monitor, such as healthchecks.io or Uptime Kuma, so that it notices silence.

The URL is a secret: anyone who has it can hide a failure. Nothing here raises, follows a redirect or takes longer than
`BOUNDS` allow. `operations.heartbeat` decides when.
"""

import logging

from wx_datacube.config.settings import Secret
from wx_datacube.errors import bug, describe_bug
from wx_datacube.language import Text
from wx_datacube.wechat.deadline import deadline_session
from wx_datacube.wechat.transport import Bounds, Transport

BOUNDS = Bounds(connect=3, read=5, total=8, size=64 * 1024)

_MONITOR = Text("The monitor", "监控")

log = logging.getLogger("wx_datacube.alerts.heartbeat")


def request(heartbeat: Secret) -> Text | None:
    """Request the URL. Return None on success, else the reason, without the URL."""
    transport = Transport(_MONITOR, BOUNDS, deadline_session)
    try:
        reply = transport.send(heartbeat.reveal())
    except Exception as error:  # a bug in this package
        log.error("%s", describe_bug(error))
        return bug(error)
    finally:
        transport.close()
    if reply.status is not None and 200 <= reply.status < 300:
        return None
    if reply.status is None:
        return reply.problem or Text("{who} did not answer.", "{who}没有响应。", who=_MONITOR)
    moved = Text(", which is not followed", "，程序不会跟随重定向") if 300 <= reply.status < 400 else ""
    return Text(
        "{who} answered with status {status}{moved}.",
        "{who}返回状态码 {status}{moved}。",
        who=_MONITOR,
        status=reply.status,
        moved=moved,
    )
