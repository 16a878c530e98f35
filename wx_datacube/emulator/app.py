"""App: the emulator's routes as a Starlette application.

Add a path here. `account` decides the replies, `control` has `/_emulator/…`, and `page` has the page at `/`. Like
WeChat, it answers unknown paths with status 404 and no body, and business errors with status 200.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from wx_datacube.emulator.account import EmulatedAccount, Request
from wx_datacube.emulator.control import control_routes
from wx_datacube.emulator.delivery import Delivery
from wx_datacube.emulator.page import page_of

CALLS = {
    "/cgi-bin/token": "token",
    "/cgi-bin/stable_token": "stable_token",
    "/cgi-bin/openapi/quota/get": "quota",
}


@dataclass(frozen=True, slots=True)
class _Call:
    """Answers one path of the API for any method; the call counts as in flight until the last byte is sent."""

    account: EmulatedAccount
    name: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        name = self.name or request.path_params["statistics"]
        if not self.name and not self.account.knows(name):
            return await Response(status_code=404)(scope, receive, send)
        with self.account.journal:
            response = await self._answer(name, request)
            await response(scope, receive, send)

    async def _answer(self, name: str, request: HttpRequest) -> Response:
        ip = request.client.host if request.client else ""
        asked = Request(request.method, request.query_params, await request.body(), ip)
        reply = self.account.handle(name, asked)
        if self.account.options.latency:
            await asyncio.sleep(self.account.options.latency / 1000)
        return Delivery(reply)


def make_app(account: EmulatedAccount) -> Starlette:
    """Return the API and the controls of one account.

    Serve it with uvicorn: other servers can't drop or cut connections.
    """
    routes = [Route("/datacube/{statistics}", _Call(account))]
    routes += [Route(path, _Call(account, name)) for path, name in CALLS.items()]
    routes += [Route("/", partial(page_of, account))]
    app = Starlette(routes=routes + control_routes(account), exception_handlers={HTTPException: _without_body})
    app.router.redirect_slashes = False
    return app


async def _without_body(_request: HttpRequest, error: Exception) -> Response:
    return Response(status_code=error.status_code if isinstance(error, HTTPException) else 500)
