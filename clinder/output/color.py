"""Whether and how to colour the few words that clinder colours itself; the live view has rich for that."""

from __future__ import annotations

import os
from typing import TextIO

_CODES = {"red": "31", "yellow": "33", "dim": "2"}


def uses_color(stream: TextIO) -> bool:
    """Say whether a stream takes colour: `NO_COLOR` forbids it, `FORCE_COLOR` demands it, else a terminal does."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def colored(text: str, color: str, stream: TextIO) -> str:
    """Colour text for a stream, if it takes colour."""
    return f"\x1b[{_CODES[color]}m{text}\x1b[0m" if uses_color(stream) else text
