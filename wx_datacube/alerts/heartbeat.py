"""Heartbeat: request the URL of a monitor, such as healthchecks.io or Uptime Kuma, so that it notices silence.

`operations.heartbeat` decides when. Nothing here raises.
"""

from wx_datacube.alerts.secret_url import send, why_not_accepted
from wx_datacube.config.settings import Secret
from wx_datacube.language import Text

_MONITOR = Text("The monitor", "监控")


def request(heartbeat: Secret) -> Text | None:
    """Request the URL. Return None on success, else the reason, without the URL."""
    return why_not_accepted(_MONITOR, send(_MONITOR, heartbeat))
