"""Clean untrusted text before it reaches a terminal, a log or a CI runner.

A hub is not trusted: its text must not move the cursor, set the title, write to the clipboard, forge a line, reverse
the reading order or give commands to a CI runner. (rich markup needs no cleaning: it is never interpreted, see `live`.)
"""

from __future__ import annotations

import re

from clinder.model.wording import bounded

MOST_OF_A_VALUE = 1000
"""The longest name, ref or reason that is shown, in characters: longer than any that is meant to be read."""
MOST_OF_A_MESSAGE = 20_000
"""The longest message that is shown, in characters: it may contain the end of a build log, or every error in a file."""
_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC: titles, clipboard, links
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|[\x1b][\[][0-?]*[ -/]*[@-~]?"  # CSI: cursor and colour
    r"|\x9b[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"  # all other escapes
)
_PLAIN = bytes(range(ord(" "), ord("~") + 1)) + b"\n"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_RUNNER_COMMAND = re.compile(r"##(?=\w*\[)|^[^\S\n]*:(?=:)", re.MULTILINE)


def clean(text: str) -> str:
    r"""Clean untrusted text: return lines of printable characters, separated by `\n`.

    A carriage return overwrites what precedes it in its line, as on a terminal. A space is inserted into `##[` and
    `##vso[`, which CI runners read as commands anywhere in a line, and into `::` at the start of a line.
    """
    # A build log is long and mostly plain, so a cheap test of the whole text decides which searches are needed.
    if not text.isascii() or text.encode().translate(None, _PLAIN):
        text = _without_controls(text)
    if "##" in text or "::" in text:
        text = _RUNNER_COMMAND.sub(_with_space, text)
    return text


def _without_controls(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if "\x1b" in text or "\x9b" in text:
        text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = "\n".join(_overwrite(line) for line in text.split("\n"))
    if "\t" in text:
        text = text.expandtabs(4)
    if not text.replace("\n", "").isprintable():
        text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


def _with_space(mark: re.Match[str]) -> str:
    return f"{mark[0]} "


def _overwrite(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part), "")


def clean_line(text: str) -> str:
    """Clean untrusted text and join it into a single line."""
    return " ".join(clean(text).split("\n")).strip()


def clean_value(text: str, most: int = MOST_OF_A_VALUE) -> str:
    """Clean untrusted text, join it into a single line, and cut it to at most `most` characters."""
    line = clean_line(text[: 4 * most])  # cleaning more than can be shown is wasted time
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[: most - 1]}…"


def clean_message(text: str) -> str:
    """Clean an untrusted message, and cut it to about `MOST_OF_A_MESSAGE` characters."""
    return clean(bounded(text, MOST_OF_A_MESSAGE))


def is_passing(message: str) -> bool:
    """Whether the next message overwrites this one (it ends in a carriage return)."""
    return message.endswith("\r")
