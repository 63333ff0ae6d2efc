"""The proxy of `hub serve` in front of misbehaving servers, each a socket controlled by the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests
from embedded import LIMIT_S, cache
from tornado.httpserver import HTTPServer
from tornado.web import Application

from clinder.localhub.http import ServeOptions
from clinder.localhub.http.proxy import SessionHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cache"]


class OneSession:
    """Sessions that all have the same port."""

    def __init__(self, port: int) -> None:
        self._port = port

    def port(self, _name: str) -> int:
        return self._port


@contextmanager
def proxy_to(port: int) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    own_port = listening.getsockname()[1]

    async def start() -> HTTPServer:
        settings = {"sessions": OneSession(port), "options": ServeOptions()}
        server = HTTPServer(
            Application([(r"/user/([^/]+)(?:/.*)?", SessionHandler, settings)], log_function=lambda _: None)
        )
        server.add_socket(listening)
        return server

    async def end(server: HTTPServer) -> None:
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(LIMIT_S)
    try:
        yield f"http://127.0.0.1:{own_port}/user/a/"
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT_S)
        loop.close()


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(LIMIT_S)
        yield listening


def read_head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    return data


def test_a_server_that_closes_without_a_response_is_unavailable(upstream: socket.socket) -> None:
    def drop() -> None:
        connection, _ = upstream.accept()
        read_head(connection)
        connection.close()

    thread = threading.Thread(target=drop)
    thread.start()
    with proxy_to(upstream.getsockname()[1]) as url:
        answer = requests.get(f"{url}api/status", timeout=LIMIT_S)
    thread.join(LIMIT_S)
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "text/html; charset=UTF-8")


def test_a_missing_server_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with proxy_to(port) as url:
        assert requests.get(f"{url}api/status", timeout=LIMIT_S).status_code == 503


def test_parts_of_a_response_are_forwarded_and_so_is_a_cut(upstream: socket.socket) -> None:
    with proxy_to(upstream.getsockname()[1]) as url:
        host, port = url.split("/")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=LIMIT_S) as client:
            client.sendall(
                b"GET /user/a/events HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\nX-Own: 1\r\n\r\n"
            )
            server, _ = upstream.accept()
            head = read_head(server).decode()
            assert "Connection: close" in head
            assert "keep-alive" not in head
            assert "X-Own: 1" in head
            server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\none")
            assert read_head(client).endswith(b"one") or client.recv(100) == b"one"
            server.sendall(b"two")
            assert client.recv(100) == b"two"
            server.close()
            assert client.recv(100) == b""


def test_a_client_disconnect_reaches_the_server(upstream: socket.socket) -> None:
    with proxy_to(upstream.getsockname()[1]) as url:
        host, port = url.split("/")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=LIMIT_S) as client:
            client.sendall(b"GET /user/a/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server, _ = upstream.accept()
            read_head(server)
        server.settimeout(LIMIT_S)
        assert server.recv(100) == b""
        server.close()


def test_an_upgrade_keeps_its_subprotocol(upstream: socket.socket) -> None:
    with proxy_to(upstream.getsockname()[1]) as url:
        host, port = url.split("/")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=LIMIT_S) as client:
            client.sendall(
                b"GET /user/a/channels HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org\r\n\r\n"
            )
            server, _ = upstream.accept()
            head = read_head(server).decode()
            assert "Connection: Upgrade" in head
            assert "Sec-Websocket-Protocol: v1.kernel.websocket.jupyter.org" in head
            server.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            assert read_head(client).startswith(b"HTTP/1.1 101")
            client.sendall(b"ping")
            assert server.recv(100) == b"ping"
            server.close()
