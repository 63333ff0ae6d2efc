"""The result of a command, and its output as text or as JSON."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from clinder.model.errors import ClinderError
from clinder.model.wording import os_reason
from clinder.output.clean import clean_line, clean_message
from clinder.output.color import colored
from clinder.output.documents import session_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Result:
    """The result of a command.

    Attributes:
        document: the output of `--json`, without `format_version`.
        text: the output on stdout without `--json`; nothing if empty.
        messages: messages for stderr, unless quiet.
        exit_status: the exit status of the command.
        on_write_failure: undoes the command if its result cannot be written and nothing else records it.
        on_printed: called once the result was written.
        json_lines: whether the command prints several results, each as one line of JSON.
    """

    document: Mapping[str, Any]
    text: str = ""
    messages: tuple[str, ...] = ()
    exit_status: int = 0
    on_write_failure: Callable[[], None] | None = None
    on_printed: Callable[[], None] | None = None
    json_lines: bool = False


def show(result: Result, *, as_json: bool, quiet: bool = False) -> bool:
    """Print a result: its data on stdout, its messages on stderr.

    A reader that closes the pipe early, such as `| head`, is not an error.

    Returns:
        False if the reader has closed the pipe.

    Raises:
        ClinderError: the result could not be written.
    """
    if not quiet:
        for message in result.messages:
            print_stderr(one_paragraph(message))
    try:
        if as_json:
            _print_json(result.document, json_lines=result.json_lines)
        elif result.text:
            sys.stdout.write(result.text.rstrip("\n") + "\n")
        sys.stdout.flush()
    except OSError as error:
        detach(sys.stdout)
        if result.on_write_failure:
            result.on_write_failure()
            raise ClinderError(
                f"the session could not be printed ({os_reason(error)}), so it was stopped",
                hint="Check where stdout goes.",
            ) from error
        if not isinstance(error, BrokenPipeError):
            raise ClinderError(
                f"the result could not be written: {os_reason(error)}", hint="Check where stdout goes."
            ) from error
        return False
    if result.on_printed:
        result.on_printed()
    return True


def detach(stream: TextIO) -> None:
    """Redirect a stream that failed to nowhere: flushing its buffer at exit would fail again."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return


def one_paragraph(text: str) -> str:
    """Clean and bound a message, and indent all lines but the first, so that none looks like a message of its own."""
    return re.sub(r"\n(?=\S)", "\n  ", clean_message(text))


def show_error(error: ClinderError, *, as_json: bool, json_lines: bool = False) -> None:
    """Print an error on stderr, and with `as_json` also as JSON on stdout; include the session, if one was launched.

    Args:
        error: the error.
        as_json: whether to print JSON.
        json_lines: whether to print the JSON as one line.
    """
    print_stderr(f"{colored('clinder:', 'red', sys.stderr)} {one_paragraph(error.message)}")
    if error.hint:
        print_stderr(f"  {clean_line(clean_message(error.hint))}")
    if as_json:
        document: dict[str, Any] = {
            "error": {"kind": error.kind, "message": clean_message(error.message), "hint": clean_message(error.hint)}
        }
        if error.session:
            document["session"] = session_document(error.session, with_token=True)
        try:
            _print_json(document, json_lines=json_lines)
        except OSError:
            detach(sys.stdout)
        else:
            return
    if error.session:
        print_stderr(f"  The session was launched: {error.session.uri}")


def print_stderr(text: str) -> None:
    """Print on stderr, ignoring that it is closed."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        detach(sys.stderr)


def print_warning(text: str) -> None:
    """Print a warning of one or more lines on stderr; its text may be untrusted."""
    print_stderr(f"warning: {one_paragraph(text)}")


def _print_json(document: Mapping[str, Any], *, json_lines: bool) -> None:
    indent = None if json_lines else 2
    sys.stdout.write(json.dumps({"format_version": FORMAT_VERSION, **document}, indent=indent) + "\n")
    sys.stdout.flush()
