"""Messages to and from kernels, beside those that `jupyter_server` itself writes and reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection import base

from clinder.net.kernel_messages import SUBPROTOCOL_V1, KernelMessage, read_message, write_request

JUPYTER: Any = base
HEADER = {"msg_id": "a", "msg_type": "kernel_info_reply", "session": "s"}
PARENT = {"msg_id": "question"}
CONTENT = {"status": "ok", "banner": "grüße"}
READ = KernelMessage("shell", "kernel_info_reply", "question", CONTENT)


def test_a_request_is_read_by_jupyter_server_over_the_binary_protocol() -> None:
    identifier, request = write_request("kernel_info_request", session_id="s", subprotocol=SUBPROTOCOL_V1)
    assert isinstance(request, bytes)
    channel, parts = JUPYTER.deserialize_msg_from_ws_v1(request)
    header, parent, metadata, content = map(json.loads, parts)
    assert channel == "shell"
    assert (header["msg_id"], header["msg_type"], header["session"]) == (identifier, "kernel_info_request", "s")
    assert (parent, metadata, content) == ({}, {}, {})


def test_a_request_is_json_without_a_subprotocol() -> None:
    identifier, request = write_request("kernel_info_request", session_id="s", subprotocol="")
    message = json.loads(request)
    assert message.pop("header")["msg_id"] == identifier
    assert message == {"channel": "shell", "parent_header": {}, "metadata": {}, "content": {}, "buffers": []}


def pack(part: object) -> bytes:
    return json.dumps(part).encode()


@pytest.mark.parametrize("buffers", [[], [b"\x00\xff" * 10]], ids=["none", "buffers"])
def test_a_message_of_the_binary_protocol_is_read(buffers: list[bytes]) -> None:
    parts = [pack(part) for part in (HEADER, PARENT, {}, CONTENT)]
    data = JUPYTER.serialize_msg_to_ws_v1([*parts, *buffers], "shell")
    assert read_message(data, subprotocol=SUBPROTOCOL_V1) == READ


def test_a_message_of_json_is_read() -> None:
    text = json.dumps({"channel": "shell", "header": HEADER, "parent_header": PARENT, "content": CONTENT})
    assert read_message(text, subprotocol="") == READ


@pytest.mark.parametrize("buffers", [[], [b"\x00\xff" * 10], [b"a", b""]], ids=["none", "one", "two"])
def test_a_message_of_json_with_buffers_is_read(buffers: list[bytes]) -> None:
    fields = {"channel": "shell", "header": HEADER, "parent_header": PARENT, "content": CONTENT, "buffers": buffers}
    assert read_message(JUPYTER.serialize_binary_message(fields), subprotocol="") == READ


@pytest.mark.parametrize(
    "fields",
    [{}, {"header": 5, "parent_header": [], "content": "x", "channel": None}, {"header": {"msg_type": 5}}],
    ids=["empty", "of other types", "an odd kind"],
)
def test_what_a_message_lacks_reads_as_empty(fields: dict[str, Any]) -> None:
    assert read_message(json.dumps(fields), subprotocol="") == KernelMessage("", "", "", {})


@given(st.binary(max_size=200) | st.text(max_size=200), st.sampled_from(["", SUBPROTOCOL_V1]))
def test_whatever_comes_is_a_message_or_none(data: bytes | str, subprotocol: str) -> None:
    read_message(data, subprotocol=subprotocol)


@given(st.integers(min_value=0, max_value=2**64 - 1), st.lists(st.integers(min_value=0, max_value=2**64 - 1)))
def test_absurd_offsets_are_no_message(count: int, offsets: list[int]) -> None:
    data = b"".join(n.to_bytes(8, "little") for n in (count, *offsets)) + b"{}" * 20
    assert read_message(data, subprotocol=SUBPROTOCOL_V1) is None


@pytest.mark.parametrize("text", ["[" * 100_000, f'{{"header": {"9" * 5000}}}'], ids=["deep", "a long number"])
def test_json_that_is_made_to_break_readers_is_no_message(text: str) -> None:
    assert read_message(text, subprotocol="") is None
