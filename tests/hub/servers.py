"""Servers that behave or misbehave as a test requires: a hub with its event stream, and the session behind it.

They speak HTTP over plain sockets, because an answer must be cut, slowed down, reset or left open.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeAlias
from urllib.parse import urlsplit

from hub.channels import Kernel, answering, serve

LIMIT_S = 60.0
TOKEN = "0123456789abcdefsecret"


def eventually(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait until a condition holds, or fail with its description."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.01)


@dataclass(frozen=True)
class Request:
    """A received request, with its body."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> str:
        return urlsplit(self.target).query


class Connection:
    """The connection on which a handler answers."""

    def __init__(self, sock: socket.socket, is_over: threading.Event) -> None:
        self._socket = sock
        self._is_over = is_over
        self.disconnected_at: float | None = None

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self, status: int, body: bytes = b"", content_type: str = "application/json", **headers: str) -> None:
        """Send a complete answer, with a length."""
        self.head(status, content_type, Content_Length=str(len(body)), **headers)
        self.send(body)

    def json(self, status: int, document: object, **headers: str) -> None:
        self.answer(status, json.dumps(document).encode(), **headers)

    def html(self, status: int, **headers: str) -> None:
        self.answer(status, b"<!doctype html><title>no</title>", "text/html; charset=UTF-8", **headers)

    def head(self, status: int, content_type: str = "text/event-stream", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} x", f"Content-Type: {content_type}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def wait(self, seconds: float) -> None:
        """Pause until the time is over, the test ends or the client disconnects."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._is_over.is_set():
            if self.is_disconnected():
                raise ConnectionResetError("the client disconnected")
            time.sleep(0.01)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Pause until this holds.

        Raises:
            ConnectionResetError: the client left, or the test is over.
        """
        while not condition():
            if self._is_over.is_set() or self.is_disconnected():
                raise ConnectionResetError("nobody waits for more")
            time.sleep(0.01)

    def hold(self) -> None:
        """Keep the connection open until the client disconnects."""
        self.wait(LIMIT_S)

    def is_disconnected(self) -> bool:
        """Whether the client has closed its side."""
        try:
            if not select.select([self._socket], [], [], 0)[0]:
                return False
            left = self._socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            left = True
        if left and self.disconnected_at is None:
            self.disconnected_at = time.monotonic()
        return left

    def wait_for_data(self) -> None:
        """Pause until the client has sent something.

        Raises:
            ConnectionResetError: the client left, or the test is over.
        """
        while not select.select([self._socket], [], [], 0.01)[0]:
            if self._is_over.is_set():
                raise ConnectionResetError("the test is over")
        if self.is_disconnected():
            raise ConnectionResetError("the client left")

    def receive(self) -> bytes:
        return self._socket.recv(65536)

    def reset(self) -> None:
        """Cut the connection with a reset, like a crashing proxy."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


Handler: TypeAlias = Callable[[Request, Connection], None]


class Server:
    """A server on the loopback with a thread for each connection, which records every request."""

    def __init__(self, handler: Handler | None = None, host: str = "127.0.0.1") -> None:
        self.handler: Handler = handler or (lambda _request, connection: connection.html(404))
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._listener.settimeout(0.05)
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        for thread in list(self._threads):
            thread.join(LIMIT_S)
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.closing(client), contextlib.suppress(OSError):
            client.settimeout(LIMIT_S)
            request = _read(client)
            if request is None:
                return
            connection = Connection(client, self._is_over)
            self.connections.append(connection)
            self.requests.append(request)
            self.handler(request, connection)

    def asked(self, prefix: str = "", method: str = "") -> list[Request]:
        """The requests received so far, filtered by the beginning of their path and by method."""
        return [
            request
            for request in list(self.requests)
            if request.path.startswith(prefix) and request.method == (method or request.method)
        ]


def _read(client: socket.socket) -> Request | None:
    head = b""
    while b"\r\n\r\n" not in head:
        received = client.recv(65536)
        if not received:
            return None
        head += received
    head, _, body = head.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        received = client.recv(65536)
        if not received:
            return None
        body += received
    method, target, _ = first.split(" ", 2)
    return Request(method, target, headers, body)


def event(phase: str | None = None, message: str | None = None, **more: object) -> bytes:
    """Encode an event for the stream."""
    fields: dict[str, object] = {} if phase is None else {"phase": phase}
    if message is not None:
        fields["message"] = message
    return b"data: " + json.dumps({**fields, **more}).encode() + b"\n\n"


KEEPALIVE = b":keepalive\n\n"

Piece: TypeAlias = "bytes | float | str | Callable[[Connection], None]"
"""Bytes to send, seconds to pause, `hold` or `reset`, or a function to call."""


def play(connection: Connection, *pieces: Piece, is_chunked: bool = True) -> None:
    """Send an event stream piece by piece, as a hub does, and end it properly."""
    more = {"Transfer_Encoding": "chunked"} if is_chunked else {}
    connection.head(200, **more)
    for piece in pieces:
        if isinstance(piece, bytes):
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        elif isinstance(piece, float | int):
            connection.wait(piece)
        elif piece == "hold":
            connection.hold()
        elif piece == "reset":
            connection.reset()
            return
        elif callable(piece):
            piece(connection)
    if is_chunked:
        connection.send(b"0\r\n\r\n")


def stream(*pieces: Piece, is_chunked: bool = True) -> Handler:
    """Return a handler that plays the same stream to every client."""
    return lambda _request, connection: play(connection, *pieces, is_chunked=is_chunked)


def in_turn(*handlers: Handler) -> Handler:
    """Return a handler that uses each of these in turn, and then always the last one."""
    remaining = list(handlers)
    lock = threading.Lock()

    def handle(request: Request, connection: Connection) -> None:
        with lock:
            handler = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        handler(request, connection)

    return handle


class JupyterSession(Server):
    """A session as clinder sees it through a hub's proxy, at `/user/x/`.

    Attributes:
        mode: `running`, or one of `DEATHS`.
        kernel: how its kernels behave on their channels.
        kernel_states: the states of a kernel over REST, reported one after the other once its channels were opened.
        speaks_v1: whether its channels support the binary protocol.
        on_shutdown: called on a shutdown request; by default, the session then answers like `302`.
    """

    def __init__(self, name: str = "x") -> None:
        super().__init__(self._route)
        self.base = f"/user/{name}/"
        self.mode = "running"
        self.after_shutdown = "302"
        self.kernel: Kernel = answering
        self.kernel_states = ["idle"]
        self.speaks_v1 = True
        self.kernels: dict[str, bool] = {}
        self.overrides: dict[tuple[str, str], Handler] = {}

    @property
    def session_url(self) -> str:
        return self.url + self.base

    def ready(self, **details: object) -> bytes:
        """The `ready` event of this session."""
        sha = "e67fba914dc26d54ddd5ead705f9e792eb67d6a9"
        fields: dict[str, object] = {
            "url": self.session_url,
            "token": TOKEN,
            "image": "registry/r2d:e67fba9",
            "repo_url": "https://github.com/org/name",
            "binder_ref_url": f"https://github.com/org/name/tree/{sha}",
            "binder_launch_host": "http://127.0.0.1/",
            "binder_request": "v2/gh/org/name/main",
            "binder_persistent_request": f"v2/gh/org/name/{sha}",
        }
        return event("ready", f"server running at {self.session_url}\n", **{**fields, **details})

    def launch(self, *before: Piece, **details: object) -> Handler:
        """Return a hub's handler that finds the image and launches this session."""
        return stream(
            event("built", "Found built image, launching...\n", imageName="registry/r2d:e67fba9"),
            event("launching", "Launching server...\n"),
            *before,
            self.ready(**details),
        )

    def _route(self, request: Request, connection: Connection) -> None:
        path = request.path.removeprefix(self.base)
        override = self.overrides.get((request.method, path)) or self.overrides.get((request.method, "*"))
        if override:
            override(request, connection)
        elif self.mode in DEATHS:
            DEATHS[self.mode](request, connection)
        elif request.headers.get("authorization") != f"token {TOKEN}":
            connection.json(403, {"message": "Forbidden", "reason": None})
        else:
            self._serve_api(request, path, connection)

    def _serve_api(self, request: Request, path: str, connection: Connection) -> None:
        match request.method, path.split("/")[1:]:
            case "GET", ["status"]:
                stamp = "2026-11-22T18:00:00.000000Z"
                running = {"connections": 0, "kernels": len(self.kernels), "last_activity": stamp, "started": stamp}
                connection.json(200, running)
            case "POST", ["shutdown"]:
                self.mode = self.after_shutdown
                connection.answer(200, b"", "text/html; charset=UTF-8")
            case "POST", ["kernels"]:
                identifier = f"k{len(self.kernels)}"
                self.kernels[identifier] = False
                connection.json(201, {"id": identifier, "name": "python3", "execution_state": "starting"})
            case "GET", ["kernels", identifier, "channels"]:
                self.kernels[identifier] = True
                number = len(self.channels_opened) - 1
                serve(request, connection, self.kernel, number, speaks_v1=self.speaks_v1)
            case "GET", ["kernels", identifier]:
                connection.json(200, {"id": identifier, "name": "python3", "execution_state": self._state(identifier)})
            case "DELETE", ["kernels", identifier]:
                del self.kernels[identifier]
                connection.answer(204)
            case _:
                connection.json(404, {"message": "Not Found"})

    def _state(self, identifier: str) -> str:
        if not self.kernels[identifier]:
            return "starting"
        return self.kernel_states.pop(0) if len(self.kernel_states) > 1 else self.kernel_states[0]

    @property
    def channels_opened(self) -> list[Request]:
        """The requests to open channels so far."""
        return [request for request in list(self.requests) if request.path.endswith("/channels")]

    @property
    def was_shut_down(self) -> bool:
        return bool(self.asked(f"{self.base}api/shutdown", "POST"))


def _plain(request: Request, connection: Connection) -> None:
    if request.method == "POST":
        connection.html(403)
    else:
        connection.html(302, Location=f"/hub{request.path}")


DEATHS: dict[str, Handler] = {
    "302": _plain,
    "404": lambda _request, connection: connection.html(404),
    "424": lambda _request, connection: connection.html(424),
    "403 HTML": lambda _request, connection: connection.html(403),
    "403 JSON": lambda _request, connection: connection.json(403, {"message": "Forbidden"}),
    "503": lambda _request, connection: connection.html(503),
    "silence": lambda _request, connection: connection.hold(),
    "cut": lambda _request, connection: None,
    "reset": lambda _request, connection: connection.reset(),
    "200 HTML": lambda _request, connection: connection.html(200),
    "200 list": lambda _request, connection: connection.json(200, []),
    "500": lambda _request, connection: connection.json(500, {"message": "x"}),
}


@contextlib.contextmanager
def refused_url() -> Iterator[str]:
    """A URL where nothing listens, and nothing else will while the block runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"
