"""Connections that another thread can shut down while a request waits for its response, and that know their peer."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from clinder.model.errors import HubError
from clinder.net.loopback import REACHABLE, AddressSpace, host_of, space_of_address, space_of_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    import urllib3

HUB_PROBLEM = "This is a problem with the hub: tell the people who run it."


class Call:
    """One HTTP request, with its redirects, that another thread can end at any time.

    It is a context manager, entered by the thread that sends the request.

    Attributes:
        space: where the server that was connected to last is; `None` before that, and behind a proxy.
    """

    def __init__(self) -> None:
        self.space: AddressSpace | None = None
        self._redirected_from: list[AddressSpace] = []
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_given_up = False

    def __enter__(self) -> Call:
        _CALL.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _CALL.set(None)
        with self._lock:
            for sock in self._sockets:
                sock.close()
            self._sockets.clear()

    def detach(self) -> None:
        """Shut down the connection, so that a blocked read or write returns, and refuse to open another one."""
        with self._lock:
            self._is_given_up = True
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Check that the request was not given up.

        Raises:
            ConnectionAbortedError: it was.
        """
        if self._is_given_up:
            raise ConnectionAbortedError("given up")

    def use(self, sock: socket.socket, *, is_direct: bool) -> None:
        """Register the socket that the request goes over.

        Args:
            sock: the connected socket.
            is_direct: whether its peer is the server, not a proxy.

        Raises:
            ConnectionAbortedError: the request was given up.
            HubError: a redirect leads to a server nearer to this machine than the one it came from.
        """
        with self._lock:
            self.check()
            # A duplicate stays valid when TLS takes the socket over, and its number cannot be reused meanwhile.
            self._sockets.append(socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM))
        self.space = _space_of_peer(sock) if is_direct else None
        if self.space in (AddressSpace.LOOPBACK, AddressSpace.LINK_LOCAL):
            self.check_redirect(self.space)

    def note_redirect(self, url: str) -> None:
        """Remember where a redirect came from that is about to be followed: from the server at `url`."""
        self._redirected_from.append(self.space or space_of_host(host_of(url)) or AddressSpace.PUBLIC)

    def check_redirect(self, space: AddressSpace | None) -> None:
        """Check that the redirects so far may lead to an address space.

        Raises:
            HubError: it is nearer to this machine than one of the servers that they came from.
        """
        for source in self._redirected_from:
            if space and space not in REACHABLE[source]:
                raise HubError(f"it redirects from {source} to {space}", hint=HUB_PROBLEM)


_CALL: ContextVar[Call | None] = ContextVar("clinder_call", default=None)


def _space_of_peer(sock: socket.socket) -> AddressSpace | None:
    try:
        return space_of_address(ipaddress.ip_address(sock.getpeername()[0].partition("%")[0]))
    except (OSError, ValueError):
        return None


class _SocketOptions(tuple[Any, ...]):
    """The options of a socket. They are read before each address of a host is tried: a request given up ends there."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        if call := _CALL.get():
            call.check()
        return super().__iter__()


class _Connection:
    """A mixin for connections that registers their socket with the current call."""

    is_direct = True
    _socket: Any = None
    socket_options: Any

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.socket_options = _SocketOptions(self.socket_options or ())

    @property
    def sock(self) -> Any:
        """The connected socket; `None` before that. It is set again when TLS wraps it."""
        return self._socket

    @sock.setter
    def sock(self, sock: Any) -> None:
        is_new = sock is not None and self._socket is None
        self._socket = sock
        if is_new:
            self._show()

    def request(self, *arguments: Any, **more: Any) -> None:
        """Send a request, over the connection of an earlier one if it was kept."""
        if self._socket is not None:
            self._show()
        super().request(*arguments, **more)  # type: ignore[misc]  # of the connection that this is mixed into

    def _show(self) -> None:
        if call := _CALL.get():
            call.use(self._socket, is_direct=self.is_direct)


@functools.cache
def watched(pool: type[urllib3.HTTPConnectionPool], *, is_direct: bool) -> type[urllib3.HTTPConnectionPool]:
    """Make a subclass of a connection pool whose connections register their sockets."""
    connection = type(pool.ConnectionCls.__name__, (_Connection, pool.ConnectionCls), {"is_direct": is_direct})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})
