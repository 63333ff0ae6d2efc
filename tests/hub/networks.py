"""The network between clinder and a hub: TLS with certificates of a test authority, and a proxy.

Only the proxy knows the names in `HOSTS`, so every request that reaches them went through it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Self

from hub.servers import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB, SESSION = "hub.test", "session.test"


def pipe(one: socket.socket, other: socket.socket) -> None:
    """Forward data in both directions until both sides are closed."""
    open_ways = {one: other, other: one}
    while open_ways:
        waiting = [side for side in open_ways if isinstance(side, ssl.SSLSocket) and side.pending()]
        readable = waiting or select.select(list(open_ways), [], [], LIMIT_S)[0]
        if not readable:
            return
        for source in readable:
            data = source.recv(65536)
            if data:
                open_ways[source].sendall(data)
            else:
                with contextlib.suppress(OSError):
                    open_ways[source].shutdown(socket.SHUT_WR)
                del open_ways[source]
                if isinstance(one, ssl.SSLSocket) or isinstance(other, ssl.SSLSocket):
                    return  # TLS has no half-closed state


class _Listener:
    """A server on the loopback with a thread for each connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        for open_one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                open_one.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(LIMIT_S)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(LIMIT_S)
                self._sockets.append(client)
                thread = threading.Thread(target=self._serve_closing, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve_closing(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError, KeyError):
            self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError


class TlsFront(_Listener):
    """A server that speaks TLS with a certificate, and forwards the decrypted data to another server.

    Attributes:
        greeted: how many handshakes were completed.
    """

    def __init__(self, behind: int, context: ssl.SSLContext) -> None:
        super().__init__()
        self._behind = behind
        self._context = context
        self.greeted = 0

    def _serve(self, client: socket.socket) -> None:
        client.getpeername()  # raises if the client has reset it already: `wrap_socket` would leak the socket then
        with (
            self._context.wrap_socket(client, server_side=True) as secured,
            socket.create_connection(("127.0.0.1", self._behind)) as server,
        ):
            self.greeted += 1
            pipe(secured, server)


class Proxy(_Listener):
    """An HTTP proxy that knows its own hosts, for tunnels (`CONNECT`) and unencrypted requests.

    Attributes:
        heads: the head of every request, unchanged.
        refusal: the answer to every request, if set.
    """

    def __init__(self, hosts: Mapping[str, int]) -> None:
        super().__init__()
        self._hosts = hosts
        self.heads: list[str] = []
        self.refusal = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = client.recv(65536)
            if not received:
                return
            head += received
        head, _, rest = head.partition(b"\r\n\r\n")
        self.heads.append(head.decode())
        if self.refusal:
            client.sendall(self.refusal)
            return
        method, target, version = head.split(b"\r\n")[0].split(b" ")
        if method == b"CONNECT":
            name = target.rpartition(b":")[0]
            first = b""
        else:
            name, _, path = target.removeprefix(b"http://").partition(b"/")
            name = name.partition(b":")[0]
            first = head.replace(target, b"/" + path, 1) + b"\r\n\r\n" + rest
        with socket.create_connection(("127.0.0.1", self._hosts[name.decode()])) as server:
            client.sendall(version + b" 200 tunnel\r\n\r\n") if method == b"CONNECT" else server.sendall(first)
            pipe(client, server)

    @property
    def asked(self) -> list[str]:
        """The method and target of each request."""
        return [head.split("\r\n")[0].rpartition(" ")[0] for head in self.heads]
