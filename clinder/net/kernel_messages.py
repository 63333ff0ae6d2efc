"""Messages to and from a kernel as they travel over the WebSocket of a Jupyter Server.

There are two forms, both in `jupyter_server.services.kernels.connection.base`. With the subprotocol
`v1.kernel.websocket.jupyter.org` a message is binary: offsets, then the parts. Without it a message is JSON, as text,
or as binary with a table of offsets before it where the message has buffers. JSON alone would be simpler, and most
servers speak it where the subprotocol is not offered, but `jupyter-server-documents` (0.3.3) never does.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

SUBPROTOCOL_V1 = "v1.kernel.websocket.jupyter.org"
_VERSION = "5.3"
_WORD_BYTES = 8
_LEGACY_WORD_BYTES = 4
_MOST_PARTS = 1000
_HEADER, _PARENT_HEADER, _CONTENT = 0, 1, 3


@dataclass(frozen=True, slots=True)
class KernelMessage:
    """What matters of a message from a kernel or its server; empty where it is missing or not as it should be.

    Attributes:
        channel: `shell`, `control`, `stdin` or `iopub`.
        kind: its `msg_type`.
        parent_id: the id of the message that it answers.
        content: its content.
    """

    channel: str
    kind: str
    parent_id: str
    content: dict[str, Any]


def write_request(kind: str, *, session_id: str, subprotocol: str) -> tuple[str, str | bytes]:
    """Write a request without content for the shell channel; returns its id and what to send."""
    identifier = uuid.uuid4().hex
    header = {
        "msg_id": identifier,
        "msg_type": kind,
        "username": "",
        "session": session_id,
        "date": datetime.now(UTC).isoformat(),
        "version": _VERSION,
    }
    if subprotocol != SUBPROTOCOL_V1:
        message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": {}}
        return identifier, json.dumps({**message, "buffers": []})
    parts = [b"shell", *(json.dumps(part).encode() for part in (header, {}, {}, {}))]
    offsets = [_WORD_BYTES * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    words = (len(offsets), *offsets)
    return identifier, b"".join([*(word.to_bytes(_WORD_BYTES, "little") for word in words), *parts])


def read_message(data: str | bytes, *, subprotocol: str) -> KernelMessage | None:
    """Read a message; `None` where it is none."""
    try:
        if isinstance(data, bytes) and subprotocol == SUBPROTOCOL_V1:
            return _read_v1(data)
        return _read_json(_leading_json(data) if isinstance(data, bytes) else data)
    except (ValueError, IndexError, RecursionError):
        return None


def _read_v1(data: bytes) -> KernelMessage:
    count = int.from_bytes(data[:_WORD_BYTES], "little")
    if not _CONTENT + 2 <= count <= _MOST_PARTS:
        raise ValueError("not a number of parts")
    words = (data[_WORD_BYTES * n : _WORD_BYTES * (n + 1)] for n in range(1, count + 1))
    offsets = [int.from_bytes(word, "little") for word in words]
    channel, *parts = (data[start:end] for start, end in pairwise(offsets))
    header, parent, content = (json.loads(parts[n]) for n in (_HEADER, _PARENT_HEADER, _CONTENT))
    return _message(channel.decode(), header, parent, content)


def _read_json(text: str | bytes) -> KernelMessage:
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return _message(fields.get("channel"), fields.get("header"), fields.get("parent_header"), fields.get("content"))


def _leading_json(data: bytes) -> bytes:
    """Take the JSON out of a message with buffers: a count, that many offsets, the JSON, the buffers."""
    words = [data[_LEGACY_WORD_BYTES * n : _LEGACY_WORD_BYTES * (n + 1)] for n in range(3)]
    count, start, end = (int.from_bytes(word, "big") for word in words)
    return data[start : end if count > 1 else None]


def _message(channel: object, header: object, parent: object, content: object) -> KernelMessage:
    return KernelMessage(
        channel=_text(channel),
        kind=_text(_fields(header).get("msg_type")),
        parent_id=_text(_fields(parent).get("msg_id")),
        content=_fields(content),
    )


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
