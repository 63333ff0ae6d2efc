"""The way to a session: `/user/<name>/…` is handed to its Jupyter Server, byte by byte in both directions.

Only the request's head is read and written anew, so bodies of any length, event streams and WebSockets pass as
they are. One connection bears one request: a second one might be for another session.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient
from tornado.web import stream_request_body

from clinder.localhub.http.pages import LoopbackHandler

if TYPE_CHECKING:
    from tornado.httputil import HTTPServerRequest

    from clinder.localhub.http.options import ServeOptions
    from clinder.localhub.http.sessions import Sessions

_CHUNK = 65536
_FOR_ONE_HOP = frozenset({"connection", "keep-alive", "proxy-connection"})
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html; charset=UTF-8\r\nConnection: close\r\n\r\n"
    b"<!DOCTYPE html><title>Service Unavailable</title><h1>Service Unavailable</h1>\n"
)


@stream_request_body
class SessionHandler(LoopbackHandler):
    """Everything below `/user/`; what it answers for sessions that are gone is what a proxy and a hub do."""

    def initialize(self, sessions: Sessions, options: ServeOptions) -> None:
        """Take what the application holds."""
        self._sessions = sessions
        self._options = options

    async def prepare(self) -> None:
        """Hand the connection over before the body is read, or answer in the server's place."""
        self.set_header("Connection", "close")  # Tornado ends it after an answer to a body that it has not read
        super().prepare()
        if self._finished:
            return
        name = self.path_args[0]
        port = self._sessions.port(name)
        if port is None:
            self._gone()
            return
        try:
            server = await TCPClient().connect("127.0.0.1", port)
        except (OSError, StreamClosedError):
            # The proxy's answer until the hub has seen that the server is gone.
            self.page(503, "Service Unavailable")
            return
        client: IOStream = self.detach()
        await _join(client, server, _head(self.request))

    def data_received(self, _chunk: bytes) -> None:
        """Drop the body of a request that has been answered already."""

    def _gone(self) -> None:
        if self._options.gone_as == "mybinder":
            self.page(424, "Failed Dependency")
        elif self.request.method in ("GET", "HEAD"):
            self.redirect(f"/hub{self.request.uri}")
        else:
            self.page(403, "Forbidden")


class HubHandler(LoopbackHandler):
    """`/hub/user/…` and `/hub/login`, where a JupyterHub sends those who ask for a server that is not running."""

    def get(self, path: str) -> None:
        """Send on to the login page, or refuse there."""
        if path.startswith("user/"):
            self.redirect(f"/hub/login?next={quote(self.request.uri or '', safe='')}")
        else:
            self.page(403, "Forbidden")

    head = get


def _head(request: HTTPServerRequest) -> bytes:
    upgrades = "upgrade" in request.headers.get("Connection", "").lower() and "Upgrade" in request.headers
    kept = [(name, value) for name, value in request.headers.get_all() if name.lower() not in _FOR_ONE_HOP]
    kept.append(("Connection", "Upgrade" if upgrades else "close"))
    lines = [f"{request.method} {request.uri} HTTP/1.1", *(f"{name}: {value}" for name, value in kept), "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def _join(client: IOStream, server: IOStream, head: bytes) -> None:
    client.set_nodelay(True)
    server.set_nodelay(True)
    sending = asyncio.ensure_future(_send(client, server, head))
    try:
        if not await _pour(server, client):
            # A server that is just ending may still take a connection, and then drop it without a word.
            with suppress(StreamClosedError):
                await client.write(_UNAVAILABLE)
    finally:
        sending.cancel()
        client.close()
        server.close()


async def _send(client: IOStream, server: IOStream, head: bytes) -> None:
    with suppress(StreamClosedError):
        await server.write(head)
    await _pour(client, server)
    if client.closed():
        server.close()


async def _pour(source: IOStream, target: IOStream) -> bool:
    """Hand on what comes until either end closes; whether anything came."""
    came = False
    with suppress(StreamClosedError):
        while True:
            chunk = await source.read_bytes(_CHUNK, partial=True)
            came = True
            await target.write(chunk)
    return came
