"""Decoding of server-sent events (WHATWG HTML, section 9.2.6), as far as a BinderHub uses them.

Only data matters here: names, ids and retry times are read over. Time is linear in what comes, at any length of
line, and memory is bounded by the largest event.
"""

from __future__ import annotations

MAX_EVENT_BYTES = 1024 * 1024


class EventTooLargeError(ValueError):
    """An event, or a line that never ends, grew over the limit.

    Attributes:
        events: the data of the events before it that the same bytes completed.
    """

    def __init__(self, limit_bytes: int, events: list[bytes]) -> None:
        super().__init__(f"an event is larger than {limit_bytes} bytes")
        self.events = events


class EventDecoder:
    """Turns the bytes of one stream, split anywhere, into the data of its events."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and return the data of each event that they complete.

        An event that the stream's end leaves unfinished is never returned, as the standard wants it.

        Raises:
            EventTooLargeError: an event is larger than the limit.
        """
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
            if not chunk:
                return []
        self._after_cr = chunk.endswith(b"\r")
        lines = chunk.splitlines()
        unfinished = b"" if chunk.endswith((b"\n", b"\r")) else lines.pop()
        if self._line and lines:
            self._line += lines[0]
            lines[0] = bytes(self._line)
            self._line.clear()
        self._line += unfinished
        if self._start and lines:
            self._start = False
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        events = self._events(lines)
        if self._size + len(self._line) > self._max:
            raise EventTooLargeError(self._max, events)
        return events

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        data, size = self._data, self._size
        for line in lines:
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                    size = 0
                continue
            if line.startswith(b"data: "):
                value = line[6:]
            elif line.startswith(b"data:") or line == b"data":
                value = line[5:]
            else:
                continue
            size += len(value) + 1
            if size > self._max:
                raise EventTooLargeError(self._max, events)
            data.append(value)
        self._size = size
        return events
