"""Heartbeat: request the URL of a monitor, such as healthchecks.io or Uptime Kuma, so that it notices silence.

The URL is a secret: anyone who has it can hide a failure. Nothing here raises, follows a redirect or takes longer than
`BOUNDS` allow. `operations.heartbeat` decides when.
"""

import logging

from wx_datacube.config.settings import Secret
from wx_datacube.errors import describe_bug
from wx_datacube.wechat.deadline import deadline_session
from wx_datacube.wechat.transport import Bounds, Transport

BOUNDS = Bounds(connect=3, read=5, total=8, size=64 * 1024)

log = logging.getLogger("wx_datacube.alerts.heartbeat")


def request(heartbeat: Secret) -> str | None:
    """Request the URL. Return None on success, else the reason, without the URL."""
    transport = Transport("The monitor", BOUNDS, deadline_session)
    try:
        reply = transport.send(heartbeat.reveal())
    except Exception as error:  # a bug in this package
        log.error("%s", describe_bug(error))
        return f"Bug in wx_datacube: {type(error).__name__}."
    finally:
        transport.close()
    if reply.status is not None and 200 <= reply.status < 300:
        return None
    if reply.status is None:
        return f"{reply.problem or 'The monitor did not answer.'}"
    moved = ", which is not followed" if 300 <= reply.status < 400 else ""
    return f"The monitor answered with status {reply.status}{moved}."
