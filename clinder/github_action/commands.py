"""How a step speaks to a GitHub Actions runner: workflow commands on stdout, variables and outputs in files.

A runner takes every line that begins with `::` for a command, whoever wrote it, until commands are stopped; and a
value with a line break in one of its files could set another variable. Here neither can happen.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from clinder.model.wording import bounded
from clinder.output.clean import clean, clean_message

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_ANNOTATED = 3000


def write(text: str) -> None:
    """Print lines; if nobody listens any more, that is no reason to lose a session."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        # What is still in the buffer would fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print a message of clinder's own, which can be no command."""
    write(clean_message(text) + "\n")


def escape_data(text: str) -> str:
    """Escape the text of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Escape a property of a command, such as a title."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def mask(secret: str) -> None:
    """Have the runner hide a secret, also as it stands in URLs, in everything that is printed from now on."""
    for command in mask_commands(secret):
        write(f"{command}\n")


def mask_commands(secret: str) -> list[str]:
    """Make the commands that hide a secret, as it is and as it stands in URLs."""
    forms = dict.fromkeys((secret, quote(secret, safe="")))
    return [f"::add-mask::{escape_data(form)}" for form in forms if form]


def annotate(level: str, title: str, message: str) -> None:
    """Show an annotation, `error` or `warning`, on the run's page."""
    text = clean(bounded(message, _MOST_ANNOTATED))
    write(f"::{level} title={escape_property(clean(title))}::{escape_data(text)}\n")


def stopped(lines: str) -> str:
    """Put lines, which may say what they like, between commands that stop the reading of commands and resume it."""
    word = secrets.token_hex(16)
    return f"::stop-commands::{word}\n{lines.rstrip(chr(10))}\n::{word}::\n"


def set_variables(variables: Mapping[str, str]) -> None:
    """Set environment variables for the steps that follow."""
    _append("GITHUB_ENV", variables)


def set_outputs(outputs: Mapping[str, str]) -> None:
    """Set the outputs of this step."""
    _append("GITHUB_OUTPUT", outputs)


def add_summary(markdown: str) -> None:
    """Add to the summary on the run's page; a runner without one goes without."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8", newline="\n") as file:
            file.write(markdown)


def _append(variable: str, values: Mapping[str, str]) -> None:
    lines = []
    for name, value in values.items():
        border = f"clinder_{secrets.token_hex(16)}"  # nothing in a value can end it
        lines.append(f"{name}<<{border}\n{value}\n{border}\n")
    with Path(os.environ[variable]).open("a", encoding="utf-8", newline="\n") as file:
        file.write("".join(lines))
