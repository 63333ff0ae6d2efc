"""A WebSocket (RFC 6455) over the HTTP client that clinder uses for everything else.

requests makes the connection and sends the opening handshake, so proxies, certificates and messages are those of any
other request; wsproto reads and writes the frames after it. Messages from the server are bounded in size.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import ssl
from typing import TYPE_CHECKING, Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from clinder.net.connections import Call
from clinder.net.http import new_client, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import requests

MAX_MESSAGE_BYTES = 1024 * 1024
_READ_BYTES = 65536
_SEND_LIMIT_S = 5.0
_ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class WebSocketClosedError(Exception):
    """The connection is closed, or what came over it is not the WebSocket protocol."""


class WebSocketUnavailableError(Exception):
    """The libraries below do not let a WebSocket be made of a connection of theirs."""


class HandshakeRefusedError(Exception):
    """The server answered the opening handshake without switching protocols.

    Attributes:
        status: the HTTP status of its answer.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class WebSocket:
    """One WebSocket connection, used by one thread; only `cut` may be called from another.

    Args:
        max_message_bytes: larger messages are skipped.

    Attributes:
        is_open: whether the opening handshake was made.
        subprotocol: the subprotocol that the server chose; empty if none.
    """

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.is_open = False
        self.subprotocol = ""
        self._max_message_bytes = max_message_bytes
        self._socket: Any = None  # a socket, or urllib3's stand-in for TLS within TLS
        self._call = Call()
        self._resources = contextlib.ExitStack()
        self._protocol = Connection(ConnectionType.CLIENT)
        self._pieces: list[Any] = []
        self._size = 0
        self._ending: WebSocketClosedError | None = None

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        who: str,
        subprotocols: Sequence[str] = (),
        connect_s: float,
        answer_s: float,
    ) -> None:
        """Connect and make the opening handshake; redirects are not followed.

        Args:
            url: http or https.
            headers: more headers of the handshake.
            who: the server, as error messages name it.
            subprotocols: those offered, the preferred one first; the one that the server chose is then `subprotocol`.
            connect_s: limit on connecting, TLS included, in seconds.
            answer_s: limit on the server's silence before it answers, in seconds.

        Raises:
            UnreachableError: no connection, or no answer.
            HandshakeRefusedError: the server did not switch protocols.
            WebSocketClosedError: the connection was cut, or the answer is not that of a WebSocket server.
            WebSocketUnavailableError: urllib3 is not as it is known here.
        """
        key = base64.b64encode(os.urandom(16)).decode()
        own = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
        }
        if subprotocols:
            own["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
        client = self._resources.enter_context(new_client())
        self._resources.enter_context(self._call)
        with translated(who):
            response = client.get(
                url, headers={**headers, **own}, timeout=(connect_s, answer_s), allow_redirects=False, stream=True
            )
        self._resources.callback(response.close)
        if response.status_code != 101:  # noqa: PLR2004
            raise HandshakeRefusedError(response.status_code)
        accepted = base64.b64encode(hashlib.sha1((key + _ACCEPT_SUFFIX).encode(), usedforsecurity=False).digest())
        chosen = response.headers.get("Sec-WebSocket-Protocol", "")
        if response.headers.get("Sec-WebSocket-Accept") != accepted.decode() or chosen not in ("", *subprotocols):
            raise WebSocketClosedError("the server's answer to the WebSocket handshake is invalid")
        self._protocol.receive_data(self._read_with_head(response))
        self.subprotocol, self.is_open = chosen, True

    def _read_with_head(self, response: requests.Response) -> bytes:
        """Return what arrived together with the head of the answer and lies in http.client's buffer."""
        # requests and urllib3 look at these as well, but promise them to nobody else
        self._socket = getattr(getattr(response.raw, "connection", None), "sock", None)
        buffer = getattr(getattr(response.raw, "_original_response", None), "fp", None)
        peek = getattr(buffer, "peek", None)
        if self._socket is None or peek is None:
            raise WebSocketUnavailableError("this version of urllib3 does not allow it")
        self._socket.settimeout(0)  # where nothing lies in the buffer, `peek` would wait for more
        try:
            return bytes(peek())
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        except OSError as error:
            raise WebSocketClosedError("the connection was cut") from error

    def send(self, message: str | bytes) -> None:
        """Send a message.

        Raises:
            WebSocketClosedError: the connection is closed, or the server reads nothing any more.
        """
        self._send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))

    def _send(self, event: Any) -> None:
        try:
            self._socket.settimeout(_SEND_LIMIT_S)
            self._socket.sendall(self._protocol.send(event))
        except (OSError, LocalProtocolError) as error:
            raise WebSocketClosedError("the connection was cut") from error

    def receive(self, timeout_s: float) -> list[str | bytes]:
        """Return the messages that complete with what comes next; none if nothing comes in time.

        Raises:
            WebSocketClosedError: the connection is closed, and all messages before that were returned.
        """
        if messages := self._messages():  # came together with the head
            return messages
        if self._ending:
            raise self._ending
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            return []
        except OSError as error:
            raise WebSocketClosedError("the connection was cut") from error
        if not data:
            raise WebSocketClosedError("the connection was cut")
        self._protocol.receive_data(data)
        return self._messages()

    def _messages(self) -> list[str | bytes]:
        messages = []
        try:
            for event in self._protocol.events():
                if isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, CloseConnection):  # also for what is no WebSocket frame
                    raise WebSocketClosedError(f"the connection was closed (code {int(event.code)})")
                elif isinstance(event, Message) and (message := self._complete(event)) is not None:
                    messages.append(message)
        except WebSocketClosedError as error:
            self._ending = error
        return messages

    def _complete(self, event: Message[Any]) -> str | bytes | None:
        """Add a piece of a message, and return the message if it is complete and not too large."""
        self._size += len(event.data)
        if self._size > self._max_message_bytes:
            self._pieces.clear()
        elif event.data:  # a message may have any number of empty pieces
            self._pieces.append(event.data)
        if not event.message_finished:
            return None
        nothing: Any = "" if isinstance(event, TextMessage) else b""
        message = None if self._size > self._max_message_bytes else nothing.join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return message

    def cut(self) -> None:
        """Cut the connection, so that a blocked `open`, `send` or `receive` ends with an error."""
        self._call.detach()

    def close(self) -> None:
        """Say goodbye, and close."""
        if self.is_open:
            with contextlib.suppress(WebSocketClosedError):
                self._send(CloseConnection(code=1000))
        self._resources.close()
