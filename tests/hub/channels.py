"""The channels of a kernel as a session's server offers them over a WebSocket, in both wire protocols.

A kernel's behaviour is a function that is given its open `Channels`; `answering` is that of one that works.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage

if TYPE_CHECKING:
    from hub.servers import Connection, Request

V1 = "v1.kernel.websocket.jupyter.org"


class Channels:
    """Open channels.

    Attributes:
        number: how many times the channels of this session had been opened before.
        pongs: the payloads of the pongs that came.
    """

    def __init__(self, connection: Connection, subprotocol: str, number: int) -> None:
        self.connection = connection
        self.subprotocol = subprotocol
        self.number = number
        self.pongs: list[bytes] = []
        self._frames = Frames(ConnectionType.SERVER)
        self._waiting: list[dict[str, Any]] = []

    def frame(self, event: Any) -> bytes:
        return bytes(self._frames.send(event))

    def send_event(self, event: Any) -> None:
        self.connection.send(self.frame(event))

    def send(self, channel: str, kind: str, content: object, parent: object = None) -> None:
        """Send a message, in the form that was agreed on."""
        self.send_event(self.event(channel, kind, content, parent))

    def event(self, channel: str, kind: str, content: object, parent: object = None) -> Message[Any]:
        header = {"msg_id": "from-the-kernel", "msg_type": kind, "version": "5.3"}
        if self.subprotocol == V1:
            return BytesMessage(write_v1(channel, header, parent or {}, {}, content))
        fields = {"channel": channel, "header": header, "msg_type": kind, "parent_header": parent or {}}
        return TextMessage(json.dumps({**fields, "metadata": {}, "content": content, "buffers": []}))

    def reply(self, request: dict[str, Any], **content: object) -> None:
        """Answer a request for the kernel's information."""
        self.send("shell", "kernel_info_reply", {"status": "ok", **content}, request["header"])

    def status(self, state: str, parent: object = None) -> None:
        self.send("iopub", "status", {"execution_state": state}, parent)

    def request(self) -> dict[str, Any]:
        """Wait for the next request.

        Raises:
            ConnectionResetError: the client left, or the test is over.
        """
        while not self._waiting:
            self._receive()
        return self._waiting.pop(0)

    def hold(self) -> None:
        """Read on, and answer nothing, until the client leaves."""
        while True:
            self.request()

    def _receive(self) -> None:
        self.connection.wait_for_data()
        self._frames.receive_data(self.connection.receive())
        for event in self._frames.events():
            if isinstance(event, TextMessage):
                self._waiting.append(json.loads(event.data))
            elif isinstance(event, BytesMessage):
                self._waiting.append(read_v1(bytes(event.data)))
            elif isinstance(event, Pong):
                self.pongs.append(bytes(event.payload))
            elif isinstance(event, CloseConnection):
                raise ConnectionResetError("the client said goodbye")

    def ping_frame(self, payload: bytes) -> bytes:
        return self.frame(Ping(payload))

    def await_pong(self, payload: bytes) -> None:
        """Wait for the pong to a ping; requests that come meanwhile wait."""
        while payload not in self.pongs:
            self._receive()


Kernel: TypeAlias = Callable[[Channels], None]


def answering(channels: Channels) -> None:
    """Behave as a kernel that works."""
    while True:
        request = channels.request()
        channels.status("busy", request["header"])
        channels.reply(request)
        channels.status("idle", request["header"])


def silent(channels: Channels) -> None:
    """Behave as a kernel that never answers."""
    channels.hold()


def in_turn(*kernels: Kernel) -> Kernel:
    """Behave differently each time the channels are opened; the last one stays."""
    return lambda channels: kernels[min(channels.number, len(kernels) - 1)](channels)


def accept(request: Request, subprotocol: str = "", *, key: str = "") -> bytes:
    """The head that accepts a WebSocket."""
    digest = hashlib.sha1(((key or request.headers["sec-websocket-key"]) + _SUFFIX).encode()).digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
    ]
    lines += [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []
    return "\r\n".join([*lines, "", ""]).encode()


_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def serve(request: Request, connection: Connection, kernel: Kernel, number: int, *, speaks_v1: bool = True) -> None:
    """Open the channels, and let the kernel behave."""
    offered = request.headers.get("sec-websocket-protocol", "")
    subprotocol = V1 if speaks_v1 and V1 in offered else ""
    connection.send(accept(request, subprotocol))
    kernel(Channels(connection, subprotocol, number))


def write_v1(channel: str, *parts: object, buffers: tuple[bytes, ...] = ()) -> bytes:
    """A message as `jupyter_server` serializes it."""
    encoded = [channel.encode(), *(json.dumps(part).encode() for part in parts), *buffers]
    offsets = [8 * (len(encoded) + 2)]
    for part in encoded:
        offsets.append(offsets[-1] + len(part))
    return b"".join([*(n.to_bytes(8, "little") for n in (len(offsets), *offsets)), *encoded])


def read_v1(data: bytes) -> dict[str, Any]:
    """A message as `jupyter_server` deserializes it."""
    count = int.from_bytes(data[:8], "little")
    offsets = [int.from_bytes(data[8 * (n + 1) : 8 * (n + 2)], "little") for n in range(count)]
    channel = data[offsets[0] : offsets[1]].decode()
    header, parent, metadata, content = (json.loads(data[offsets[n] : offsets[n + 1]]) for n in range(1, 5))
    return {"channel": channel, "header": header, "parent_header": parent, "metadata": metadata, "content": content}
