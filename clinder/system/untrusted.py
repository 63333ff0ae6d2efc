"""Reading a file that somebody else may have written: whatever it holds, it is read or refused, within a second.

`tomllib` takes time and memory that grow with the square of the parts of a dotted key (50,000 parts: 24 s and 6 GB), so
these are counted before it runs. All else that it does takes time in proportion to the file (measured at the largest
size that is read), and it stops at a nesting of some hundreds by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from clinder.model.display import show_text
from clinder.system.files import read_regular

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 1024 * 1024
_MAX_KEY_PARTS = 20

_STRING_OR_COMMENT = re.compile(
    r"""
    "{3} (?: [^"\\] | \\. | "(?!"") )*+ (?: "{3} "{0,2}+ )?+
    | '{3} (?: [^'] | '(?!'') )*+ (?: '{3} '{0,2}+ )?+
    | " (?: [^"\\\n] | \\. )*+ "?+
    | ' [^'\n]*+ '?+
    | \# [^\n]*+
    """,
    re.VERBOSE | re.DOTALL,
)
"""An unterminated string ends with its line or the file, so that no character is looked at more than once."""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{_MAX_KEY_PARTS}}}")


class UnreadableError(Exception):
    """A file cannot be used; the message says why, to follow the file's name: `is not valid TOML: …`."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UnreadableError: it cannot be read, is too large, or is not TOML.
    """
    import tomllib  # not needed without a clinder.toml

    text = read_text(path, "TOML")
    plain = _STRING_OR_COMMENT.sub(lambda found: "" if found[0].startswith("#") else "x", text)
    if _LONG_KEY.search(plain):
        raise UnreadableError(f"holds a key of more than {_MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except Exception as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else reason_of(error)
        raise UnreadableError(f"is not valid TOML: {show_text(reason)}") from error


def read_text(path: Path, form: str) -> str:
    """Read a file of text, up to its largest size.

    Args:
        path: the file; a link is followed.
        form: what the file should be, such as `TOML`.

    Raises:
        UnreadableError: it cannot be read, is too large or is not UTF-8.
    """
    try:
        return read_regular(path, max_bytes=_MAX_BYTES, follow=True).decode()
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(f"is not valid {form}: {error}") from error


def reason_of(error: Exception) -> str:
    """Say why a parser gave up, where its error is none of its own but Python's, in words for programmers."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ValueError):  # of int() and datetime(), for example
        return f"a number or date in it is invalid ({str(error).partition(';')[0]})"
    return f"it cannot be parsed ({type(error).__name__})"
