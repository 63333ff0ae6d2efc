"""The proxy for sessions: `/user/<name>/…` is forwarded to its Jupyter Server, unchanged in both directions.

Only the head of the request is parsed and rewritten, so bodies of any length, event streams and WebSockets pass
through. Each connection carries one request: a second one might be for another session.
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
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection"})
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html; charset=UTF-8\r\nConnection: close\r\n\r\n"
    b"<!DOCTYPE html><title>Service Unavailable</title><h1>Service Unavailable</h1>\n"
)


@stream_request_body
class SessionHandler(LoopbackHandler):
    """Everything below `/user/`; for ended sessions, the responses are those of JupyterHub's proxy and hub."""

    def initialize(self, sessions: Sessions, options: ServeOptions) -> None:
        """Set the sessions and options."""
        self._sessions = sessions
        self._options = options

    async def prepare(self) -> None:
        """Forward the connection before the body is read, or respond in place of the server."""
        self.set_header("Connection", "close")  # tornado closes it anyway if the body is unread
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
            # The response of JupyterHub's proxy until the hub has noticed that the server is gone.
            self.page(503, "Service Unavailable")
            return
        client: IOStream = self.detach()
        await _join(client, server, _head(self.request))

    def data_received(self, _chunk: bytes) -> None:
        """Discard the body of a request that has already been answered."""

    def _gone(self) -> None:
        if self._options.gone_as == "mybinder":
            self.page(424, "Failed Dependency")
        elif self.request.method in ("GET", "HEAD"):
            self.redirect(f"/hub{self.request.uri}")
        else:
            self.page(403, "Forbidden")


class HubHandler(LoopbackHandler):
    """`/hub/user/…` and `/hub/login`, to which a JupyterHub redirects requests for a server that is not running."""

    def get(self, path: str) -> None:
        """Redirect to the login page, or respond there with 403."""
        if path.startswith("user/"):
            self.redirect(f"/hub/login?next={quote(self.request.uri or '', safe='')}")
        else:
            self.page(403, "Forbidden")

    head = get


def _head(request: HTTPServerRequest) -> bytes:
    upgrades = "upgrade" in request.headers.get("Connection", "").lower() and "Upgrade" in request.headers
    headers = [(name, value) for name, value in request.headers.get_all() if name.lower() not in _HOP_BY_HOP]
    headers.append(("Connection", "Upgrade" if upgrades else "close"))
    lines = [f"{request.method} {request.uri} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def _join(client: IOStream, server: IOStream, head: bytes) -> None:
    client.set_nodelay(True)
    server.set_nodelay(True)
    sending = asyncio.ensure_future(_send(client, server, head))
    try:
        if not await _copy(server, client):
            # A server that is shutting down may still accept a connection, and close it without a response.
            with suppress(StreamClosedError):
                await client.write(_UNAVAILABLE)
    finally:
        sending.cancel()
        client.close()
        server.close()


async def _send(client: IOStream, server: IOStream, head: bytes) -> None:
    with suppress(StreamClosedError):
        await server.write(head)
    await _copy(client, server)
    if client.closed():
        server.close()


async def _copy(source: IOStream, target: IOStream) -> bool:
    """Copy until either end closes, and return whether anything was received."""
    received = False
    with suppress(StreamClosedError):
        while True:
            chunk = await source.read_bytes(_CHUNK, partial=True)
            received = True
            await target.write(chunk)
    return received
