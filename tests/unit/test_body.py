"""The body of an answer: taken off HTTP's chunked coding, however it is split, and given as it comes."""

from __future__ import annotations

import gzip
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from clinder.hubs.http_body import ChunkDecoder, read_as_it_comes

if TYPE_CHECKING:
    from collections.abc import Iterator

CODED = b"5\r\nhello\r\n1;name=value\r\n \r\nA\r\n0123456789\r\n0\r\n\r\n"
PLAIN = b"hello 0123456789"
LIMIT_S = 30


@contextmanager
def answering(*pieces: bytes) -> Iterator[str]:
    """Serve these bytes, piece by piece, to one caller on a real socket; then the connection is closed."""

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(LIMIT_S)


def body_of(url: str) -> bytes:
    with urllib3.PoolManager() as pool:
        response = pool.request("GET", url, preload_content=False, retries=False, timeout=LIMIT_S)
        try:
            return b"".join(read_as_it_comes(response))  # type: ignore[arg-type]
        finally:
            response.close()


def head(*lines: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()


@pytest.mark.parametrize("size", range(1, len(CODED) + 1))
def test_chunks_are_taken_off_however_they_are_split(size: int) -> None:
    decoder = ChunkDecoder()
    pieces = [decoder.feed(CODED[start : start + size]) for start in range(0, len(CODED), size)]
    assert b"".join(pieces) == PLAIN
    assert decoder.has_ended


@pytest.mark.parametrize("coded", [b"x\r\n", b"-1\r\n", b"\r\n\r\n", b"5\r\nhello\r\nworld\r\n", b"1" * 5000])
def test_a_chunk_without_a_size_is_refused(coded: bytes) -> None:
    with pytest.raises(ProtocolError, match="a chunk has no size"):
        ChunkDecoder().feed(coded)


def test_a_chunked_body_is_read_to_its_end() -> None:
    with answering(head("Transfer-Encoding: chunked"), CODED[:7], CODED[7:]) as url:
        assert body_of(url) == PLAIN


@pytest.mark.parametrize("cut", [3, 7, 12, len(CODED) - 5], ids="{} bytes".format)
def test_a_chunked_body_that_is_cut_is_an_error(cut: int) -> None:
    with answering(head("Transfer-Encoding: chunked") + CODED[:cut]) as url, pytest.raises(HTTPError):
        body_of(url)


def test_a_body_of_known_length_that_is_cut_is_an_error() -> None:
    with answering(head("Content-Length: 100"), PLAIN) as url, pytest.raises(HTTPError):
        body_of(url)


def test_a_body_that_the_connection_ends_is_whole() -> None:
    with answering(head("Connection: close"), PLAIN) as url:
        assert body_of(url) == PLAIN


def test_an_encoded_body_is_left_as_it_is() -> None:
    packed = gzip.compress(PLAIN)
    coded = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    with answering(head("Transfer-Encoding: chunked", "Content-Encoding: gzip"), coded) as url:
        assert body_of(url) == packed
