"""The body of an answer as it comes: no waiting for more, and no price for each HTTP chunk.

Tornado, and so a BinderHub, sends a chunk for every event. Taking them one by one from the libraries below costs more
than all else that is done with a build log (measured: four times as much), so the chunked coding (RFC 9112,
section 7.1) is taken off here, of as many chunks at once as have come.
"""

from __future__ import annotations

from http.client import IncompleteRead
from typing import TYPE_CHECKING

from urllib3.exceptions import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import HTTPResponse

_READ_BYTES = 65536
_MOST_SIZE_LINE_BYTES = 4096


def read_as_it_comes(response: HTTPResponse) -> Iterator[bytes]:
    """Generate the bytes of a body; a piece may be empty where something came, but no whole byte of the body.

    A content encoding is not decoded: `clinder.net.http` refuses compressed responses.

    Raises:
        HTTPError, OSError: the connection was cut, or what came is no HTTP.
    """
    file = getattr(getattr(response, "_original_response", None), "fp", None)  # requests, too, looks at this one
    if file is None or not response.chunked:
        while piece := response.read1(_READ_BYTES, decode_content=False):
            yield piece
        return
    decoder = ChunkDecoder()
    while not decoder.has_ended:
        data = file.read1(_READ_BYTES)
        if not data:
            raise ProtocolError("the body has no end", IncompleteRead(b""))
        yield decoder.feed(data)


class ChunkDecoder:
    """Takes the chunked coding off the bytes of one body, split anywhere.

    Attributes:
        has_ended: whether the last chunk has come; what follows it is read over.
    """

    def __init__(self) -> None:
        self.has_ended = False
        self._left = 0
        self._is_first = True
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return those of the body among them.

        Raises:
            ProtocolError: they are not in this coding.
        """
        data = self._rest + data
        pieces = []
        size = len(data)
        position, left = 0, self._left
        while True:
            if left:
                end = position + left
                pieces.append(data[position:end])
                left = end - size if end > size else 0
                position = end
            start = position if self._is_first else position + 2  # a line break ends the chunk before
            end = data.find(b"\r\n", start)
            if end < 0:
                break
            try:
                left = int(data[start:end], 16)
            except ValueError:
                left = _size_before_extensions(data[start:end])
            if left < 0:
                raise _no_size()
            self._is_first = False
            position = end + 2
            if not left:
                self.has_ended = True
                break
        self._left = left
        self._rest = data[position:]
        if len(self._rest) > _MOST_SIZE_LINE_BYTES and not self.has_ended:
            raise _no_size()
        return b"".join(pieces)


def _size_before_extensions(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        return -1


def _no_size() -> ProtocolError:
    return ProtocolError("a chunk has no size", IncompleteRead(b""))
