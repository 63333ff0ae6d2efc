"""Workflow commands on stdout, and variables and outputs in files, for a GitHub Actions runner.

A runner reads every line that begins with `::` as a command, whatever its origin, unless commands are stopped; and a
value with a line break in one of its files could set another variable. The functions here rule out both.
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
    """Print lines; a closed stdout is ignored, so that it does not end the launch."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        # Flushing the buffer at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_message(text: str) -> None:
    """Print a message, cleaned so that the runner cannot read it as a command."""
    write(clean_message(text) + "\n")


def escape_data(text: str) -> str:
    """Escape the text of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Escape a property of a command, such as a title."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def mask(secret: str) -> None:
    """Mask a secret, also as it is encoded in URLs, in all output from now on."""
    for command in mask_commands(secret):
        write(f"{command}\n")


def mask_commands(secret: str) -> list[str]:
    """Get the commands that mask a secret, both as it is and as it is encoded in URLs."""
    forms = dict.fromkeys((secret, quote(secret, safe="")))
    return [f"::add-mask::{escape_data(form)}" for form in forms if form]


def annotate(level: str, title: str, message: str) -> None:
    """Show an annotation of level `error` or `warning` on the page of the run."""
    text = clean(bounded(message, _MOST_ANNOTATED))
    write(f"::{level} title={escape_property(clean(title))}::{escape_data(text)}\n")


def stopped(lines: str) -> str:
    """Put untrusted lines between commands that stop and resume command processing."""
    token = secrets.token_hex(16)
    return f"::stop-commands::{token}\n{lines.rstrip(chr(10))}\n::{token}::\n"


def set_variables(variables: Mapping[str, str]) -> None:
    """Set environment variables for the following steps."""
    _append("GITHUB_ENV", variables)


def set_outputs(outputs: Mapping[str, str]) -> None:
    """Set the outputs of this step."""
    _append("GITHUB_OUTPUT", outputs)


def add_summary(markdown: str) -> None:
    """Add to the summary on the page of the run, if the runner supports one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8", newline="\n") as file:
            file.write(markdown)


def _append(variable: str, values: Mapping[str, str]) -> None:
    lines = []
    for name, value in values.items():
        delimiter = f"clinder_{secrets.token_hex(16)}"  # random, so that no value can contain it
        lines.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    with Path(os.environ[variable]).open("a", encoding="utf-8", newline="\n") as file:
        file.write("".join(lines))
