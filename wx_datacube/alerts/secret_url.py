"""Secret URL: one request to the URL of a group chat's robot or of a monitor.

The URL is a secret: anyone who has it can post to the chat, or hide a failure from the monitor. Nothing here raises,
follows a redirect or takes longer than `BOUNDS` allow, because a dead receiver must neither fail a run nor delay it.
"""

import logging
from collections.abc import Callable

from wx_datacube.config.settings import Secret
from wx_datacube.errors import bug, describe_bug
from wx_datacube.language import Text
from wx_datacube.wechat.deadline import deadline_session
from wx_datacube.wechat.transport import Bounds, Response, Transport

BOUNDS = Bounds(connect=3, read=5, total=8, size=64 * 1024)

log = logging.getLogger(__name__)


def send(who: Text, url: Secret, make_body: Callable[[], bytes] | None = None) -> Response:
    """POST the body that `make_body` makes, as JSON, or GET without one. `who` is the receiver in messages.

    A bug in this package, in `make_body` too, is the response's `problem`.
    """
    transport = Transport(who, BOUNDS, deadline_session)
    try:
        return transport.send(url.reveal(), make_body and make_body())
    except Exception as error:
        log.error("%s", describe_bug(error))
        return Response(None, problem=bug(error))
    finally:
        transport.close()


def why_not_accepted(who: Text, response: Response) -> Text | None:
    """Return why a response's status doesn't mean success, without the URL; None if it does."""
    status = response.status
    if status is None:
        return response.problem or Text("{who} did not answer.", "{who}没有响应。", who=who)
    if 200 <= status < 300:
        return None
    return Text(
        "{who} answered with status {status}{moved}.",
        "{who}返回状态码 {status}{moved}。",
        who=who,
        status=status,
        moved=Text(", which is not followed", "，程序不会跟随重定向") if 300 <= status < 400 else "",
    )
