"""The wording of messages: optional reasons, limits on the length of untrusted text, and operating system errors."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_OF_A_REASON = 2000
"""How many characters of untrusted text go into a message."""
_BLANK = re.compile(r"(?:\x1b\[[0-?]*[ -/]*[@-~]|[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff])*")
_MOST_OF_A_NAME = 120
LACKING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Errors that mean a lack of resources, whatever was being done."""
_TRY_AGAIN = "It may work when you try again."
_WORDS = {
    errno.EMFILE: "this process has too many files open",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOMEM: "there is not enough memory",
    errno.EIO: "the disk, or the connection to it, reports an input/output error",
    errno.ESTALE: "the network file system has lost track of the file",
}
_HINTS = {
    errno.EMFILE: "Raise the limit on open files (`ulimit -n`), or close some, and try again.",
    errno.ENFILE: "Close some programs and try again.",
    errno.ENOMEM: "Close some programs and try again.",
    errno.EIO: "Check the disk, or the connection to it, and try again.",
    **dict.fromkeys((errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ENOBUFS, errno.ENOLCK), _TRY_AGAIN),
    **dict.fromkeys((errno.ESTALE, errno.ETIMEDOUT), _TRY_AGAIN),
}


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it has only white space, control characters and escape sequences."""
    return _BLANK.fullmatch(text) is not None


def because(message: str, reason: str | None) -> str:
    """Join a message and an optional reason with a colon; a blank reason is left out."""
    return message if reason is None or is_blank(reason) else f"{message}: {reason}"


def bounded(text: str, most: int = MOST_OF_A_REASON) -> str:
    """Shorten a text to about `most` characters, keeping its beginning and its end."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} […{len(text) - most} characters…] {text[-end:]}"


def short_name(text: object) -> str:
    """Shorten a name to what fits on a line."""
    shown = str(text)
    return shown if len(shown) <= _MOST_OF_A_NAME else f"{shown[:_MOST_OF_A_NAME]}…"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Join names with commas; of more than `most`, the rest are counted."""
    known = [short_name(each) for each in names]
    more = len(known) - most
    return ", ".join(known[:most]) + (f" and {more} more" if more > 0 else "")


def os_reason(error: OSError) -> str:
    """Describe an error of the operating system in a few words."""
    known = _WORDS.get(error.errno or 0)
    return known or error.strerror or str(error) or type(error).__name__


def os_hint(error: BaseException) -> str:
    """Get advice for errors that say nothing about the file or host itself; empty for others.

    To advise moving or replacing a file would do harm then: there may be nothing wrong with it.
    """
    return _HINTS.get(error.errno or 0, "") if isinstance(error, OSError) else ""
