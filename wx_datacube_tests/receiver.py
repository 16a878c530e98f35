"""Receiver: a local webhook server and monitor that accepts requests, or responds as a broken one does.

Add another kind of misbehaviour here. Requests are kept exactly as they came.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "made-up-robot-key-0123456789"
"""The part of a webhook's URL that no log and no message may show."""
HEARTBEAT = "/ping/made-up-heartbeat-key-9876543210?status=up"
PATHS = {
    "企业微信": f"/cgi-bin/webhook/send?key={KEY}",
    "飞书": f"/open-apis/bot/v2/hook/{KEY}",
    "钉钉": f"/robot/send?access_token={KEY}",
    "Slack": f"/services/T000/B000/{KEY}",
}


@dataclass
class Receiver:
    """A webhook server and monitor: how it responds, and the requests that it got."""

    port: int = 0
    status: int = 200
    body: bytes = b'{"errcode": 0, "errmsg": "ok", "code": 0}'
    location: str | None = None
    delay: float = 0.0
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    beats: list[str] = field(default_factory=list)

    @property
    def heartbeat(self) -> str:
        """The address of the monitor; the paths of its requests are in `beats`."""
        return f"http://127.0.0.1:{self.port}{HEARTBEAT}"

    def url(self, chat: str = "企业微信") -> str:
        """Return its address for a chat."""
        return f"http://127.0.0.1:{self.port}{PATHS[chat]}"

    @property
    def texts(self) -> list[str]:
        """The messages in the format of 企业微信 or 钉钉."""
        return [body["text"]["content"] for _, body in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    receiver, ended = Receiver(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((self.path, json.loads(body)))
            self.respond()

        def do_GET(self) -> None:
            receiver.beats.append(self.path)
            self.respond()

        def respond(self) -> None:
            ended.wait(receiver.delay)
            try:
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", str(len(receiver.body)))
                self.end_headers()
                self.wfile.write(receiver.body)
            except ConnectionError:  # the client timed out
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
