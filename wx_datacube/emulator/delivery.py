"""Delivery: how a reply is sent: normally, late, byte by byte, cut off, or not at all.

Add the transport side of a new kind of fault here. `faults` decides when a fault applies.
"""

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx_datacube.emulator.account import Reply

JSON = "application/json; encoding=utf-8"
HTML = "text/html"


class Delivery(Response):
    """Sends a reply in the way that its fault requires."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, reply.status, media_type=HTML if reply.body.startswith(b"<") else JSON)
        self._kind = reply.fault.kind if reply.fault else ""
        self._value = reply.fault.value if reply.fault else ""
        if self._kind == "redirect":
            self.headers["location"] = self._value

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply; this is an ASGI application."""
        if self._kind == "drop":
            await _hang_up(receive)
        elif self._kind == "cut":
            await self._send_part(send, bytes(self.body[: len(self.body) // 2]), start=True)
            await _hang_up(receive)
        elif self._kind == "drip":
            await self._drip(receive, send, float(self._value))
        else:
            await asyncio.sleep(float(self._value) if self._kind == "delay" else 0)
            await super().__call__(scope, receive, send)

    async def _send_part(self, send: Send, part: bytes, *, start: bool = False, more: bool = True) -> None:
        if start:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": part, "more_body": more})

    async def _drip(self, receive: Receive, send: Send, pause: float) -> None:
        gone = asyncio.create_task(_gone(receive))
        await self._send_part(send, b"", start=True)
        for place in range(len(self.body)):
            await self._send_part(send, bytes(self.body[place : place + 1]))
            await asyncio.wait([gone], timeout=pause)
            if gone.done():
                return
        gone.cancel()
        await self._send_part(send, b"", more=False)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hang_up(receive: Receive) -> None:
    """Close the connection; bytes that were already sent still arrive.

    ASGI has no message for this, so it uses the transport behind uvicorn's `receive`.
    """
    transport: Any = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("only uvicorn can drop a connection")
    transport.close()
    await _gone(receive)
