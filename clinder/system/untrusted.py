"""Reading of untrusted TOML and text files: any content is parsed or rejected within about a second.

`tomllib` takes time and memory quadratic in the number of parts of a dotted key (50,000 parts: 24 s and 6 GB), so the
parts are counted first. For all other content its time is linear (measured at the maximum file size), and it limits the
nesting to some hundred levels.
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
"""An unterminated string ends at the end of the line or the file, so that each character is scanned only once."""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{_MAX_KEY_PARTS}}}")


class UnreadableError(Exception):
    """A file cannot be used. The message follows the name of the file: `is not valid TOML: …`."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UnreadableError: it cannot be read, is too large or is not valid TOML.
    """
    import tomllib  # not needed without a clinder.toml

    text = read_text(path, "TOML")
    plain = _STRING_OR_COMMENT.sub(lambda found: "" if found[0].startswith("#") else "x", text)
    if _LONG_KEY.search(plain):
        raise UnreadableError(f"contains a key of more than {_MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except Exception as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else reason_of(error)
        raise UnreadableError(f"is not valid TOML: {show_text(reason)}") from error


def read_text(path: Path, form: str) -> str:
    """Read a text file of limited size.

    Args:
        path: the file; a link is followed.
        form: the expected format, such as `TOML`, for the error.

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
    """Get a user-readable reason for an error that is not the parser's own, such as `RecursionError`."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ValueError):  # from int() or datetime(), for example
        return f"a number or date in it is invalid ({str(error).partition(';')[0]})"
    return f"it cannot be parsed ({type(error).__name__})"
