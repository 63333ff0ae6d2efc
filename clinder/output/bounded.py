"""A text file of bounded size that keeps its beginning and its end; a line says how much was left out between them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MEBIBYTE = 1024 * 1024


class BoundedFile:
    """A text file that drops its middle when it grows too large.

    The file on disk is complete and in order at any time, so its end survives a crash. Beyond the limit, the end is
    copied once per `tail_bytes` written, which at worst doubles what goes to the disk.

    Args:
        descriptor: a new file, open for reading and writing; `close` closes it.
        mark: makes the line that replaces the middle, given how many bytes were left out.
        head_bytes: how much of the beginning is kept at most.
        tail_bytes: how much of the end is kept at least. The file is never larger than `head_bytes`, twice
            `tail_bytes` and one mebibyte.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        mark: Callable[[int], str],
        head_bytes: int = 32 * _MEBIBYTE,
        tail_bytes: int = 16 * _MEBIBYTE,
    ) -> None:
        self._file = os.fdopen(descriptor, "w+b")
        self._mark = mark
        self._most_head = head_bytes
        self._tail = tail_bytes
        self._head = 0
        self._size = 0
        self._left_out = 0
        self._marked = 0

    def write(self, lines: str) -> None:
        """Write whole lines.

        Raises:
            OSError: they cannot be written.
        """
        data = lines.encode("utf-8", "replace")
        if self._size <= self._most_head and not self._left_out:
            self._head = self._size
        for start in range(0, len(data), _MEBIBYTE):
            piece = data[start : start + _MEBIBYTE]
            self._file.write(piece)
            self._size += len(piece)
            if self._size > self._head + 2 * self._tail and self._size > self._most_head:
                self._drop_middle()

    def _drop_middle(self) -> None:
        """Move the end of the file to where the kept beginning ends, and truncate the file there."""
        source = self._size - self._tail
        self._file.seek(source)
        source += len(self._file.readline(_MEBIBYTE))
        self._left_out += source - self._head - self._marked
        mark = self._mark(self._left_out).encode()
        self._file.seek(self._head)
        self._file.write(mark)
        target = self._head + len(mark)
        while piece := self._read(source):
            self._file.seek(target)
            self._file.write(piece)
            source, target = source + len(piece), target + len(piece)
        self._file.flush()
        self._file.truncate(target)
        self._file.seek(target)
        self._size, self._marked = target, len(mark)

    def _read(self, position: int) -> bytes:
        self._file.seek(position)
        return self._file.read(min(_MEBIBYTE, self._size - position))

    def flush(self) -> None:
        """Flush what was written to the operating system.

        Raises:
            OSError: it cannot be written.
        """
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file.

        Raises:
            OSError: it cannot be written.
        """
        self._file.close()
