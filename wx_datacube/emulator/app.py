"""App: the emulator's routes as a Starlette application.

Add a path here. What is answered is decided in `account`; `/_emulator/…` is in `control`. WeChat answers unknown
paths with status 404 and no body, and business errors with status 200.
"""

import asyncio

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from wx_datacube.emulator.account import Account, Request
from wx_datacube.emulator.control import control_routes
from wx_datacube.emulator.delivery import Delivery
from wx_datacube.emulator.options import Options

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
CALLS = {
    "/cgi-bin/token": "token",
    "/cgi-bin/stable_token": "stable_token",
    "/cgi-bin/openapi/quota/get": "quota",
}


def make_app(account: Account) -> Starlette:
    """The API of one account and its controls, as an ASGI application."""

    async def call(request: HttpRequest) -> Response:
        name = CALLS.get(request.url.path) or request.path_params["statistics"]
        if request.url.path not in CALLS and not account.knows(name):
            return Response(status_code=404)
        with account.journal:
            return await _answer(account, name, request)

    routes = [Route(path, call, methods=METHODS) for path in ("/datacube/{statistics}", *CALLS)]
    app = Starlette(
        routes=routes + control_routes(account),
        exception_handlers={HTTPException: _without_body},
    )
    app.router.redirect_slashes = False
    return app


async def _answer(account: Account, name: str, request: HttpRequest) -> Response:
    ip = request.client.host if request.client else ""
    asked = Request(request.method, request.query_params, await request.body(), ip)
    reply = account.handle(name, asked)
    if account.options.latency:
        await asyncio.sleep(account.options.latency / 1000)
    return Delivery(reply)


async def _without_body(_request: HttpRequest, error: Exception) -> Response:
    return Response(status_code=error.status_code if isinstance(error, HTTPException) else 500)


def emulator(options: Options | None = None) -> Starlette:
    """A complete emulator for any ASGI server; dropped and cut connections need uvicorn."""
    return make_app(Account(options or Options()))
