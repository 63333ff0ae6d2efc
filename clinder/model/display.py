"""How messages show what somebody else wrote: printable, on one line, and never longer than a few lines.

A checkout's files, its folders' names and the errors that their parsers report can hold anything, of any length.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_VALUE = 200
_LONGEST_TEXT = 400
_MOST_BITS = 256
"""Of an integer that is written out: larger ones take time that grows with the square of their length."""


def show_value(value: object) -> str:
    """Return a value of a file, an option or a variable as a message shows it.

    Strings are quoted, with escapes for what cannot be printed; of lists and tables only the kind is named.
    """
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return "a number of more than 77 digits"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | set):
        return "a list"
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"


def show_text(text: str) -> str:
    """Return a text, such as a parser's error, as a message shows it: one line, cut where it is too long."""
    line = _printable(" ".join(text[: 2 * _LONGEST_TEXT].split()))
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]}…"


def show_path(path: str | Path) -> str:
    r"""Return a path as a message shows it: bytes that are not UTF-8 as `\xff`, the middle of a long one left out."""
    text = _printable(os.fspath(path))
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT // 4]}…{text[-_LONGEST_TEXT // 2 :]}"


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(sign: str) -> str:
    if sign.isprintable():
        return sign
    if "\udc80" <= sign <= "\udcff":  # how Python has a byte of a path that is not UTF-8
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode()
