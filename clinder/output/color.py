"""Color for the few words outside the live view, which uses rich."""

from __future__ import annotations

import os
from typing import TextIO

_CODES = {"red": "31", "yellow": "33", "dim": "2"}


def uses_color(stream: TextIO) -> bool:
    """Whether to color text on a stream: never with `NO_COLOR`, always with `FORCE_COLOR`, otherwise on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def colored(text: str, color: str, stream: TextIO) -> str:
    """Color text if its stream supports color."""
    return f"\x1b[{_CODES[color]}m{text}\x1b[0m" if uses_color(stream) else text
