"""Formatting of untrusted values and text for messages: printable, on one line and of limited length.

The files in a checkout, its folder names and the errors from parsing them can contain anything, at any length.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_VALUE = 200
_LONGEST_TEXT = 400
_MOST_BITS = 256
"""Larger integers are not written out, because that takes time quadratic in the number of digits."""


def show_value(value: object) -> str:
    """Format a value from a file, an option or a variable for a message.

    Strings are quoted, and unprintable characters are escaped. For lists and tables, only the type is named.
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
    """Format text, such as a parser's error, for a message: on one line, truncated if it is too long."""
    line = _printable(" ".join(text[: 2 * _LONGEST_TEXT].split()))
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]}…"


def show_path(path: str | Path) -> str:
    r"""Format a path for a message: bytes that are not UTF-8 as `\xff`, a long path with its middle omitted."""
    text = _printable(os.fspath(path))
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT // 4]}…{text[-_LONGEST_TEXT // 2 :]}"


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # Python's form of a byte that is not UTF-8, in a path
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
