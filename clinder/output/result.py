"""What a command comes back with, and the one place that prints it, as text or as JSON."""

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
        document: what `--json` prints; `format_version` is put before it.
        text: what is printed on stdout without `--json`; nothing if empty.
        messages: what is said on stderr, unless quiet.
        exit_status: what the command ends with.
        on_write_failure: undoes what was done, where the result is all that is left of it and cannot be written.
        on_printed: called once the result was written.
        json_lines: whether the command prints several, so that the JSON of each is a line of its own.
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

    That nobody reads on, as with `| head`, is no fault.

    Returns:
        whether anybody reads on, as far as is known.

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
                f"the session could not be printed ({os_reason(error)}), so it was stopped", hint="Look at stdout."
            ) from error
        if not isinstance(error, BrokenPipeError):
            raise ClinderError(
                f"the result could not be written: {os_reason(error)}", hint="Look at stdout."
            ) from error
        return False
    if result.on_printed:
        result.on_printed()
    return True


def detach(stream: TextIO) -> None:
    """Write no more to a stream that failed: what is in its buffer would fail again at the end of the process."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return


def one_paragraph(text: str) -> str:
    """Clean and bound a message, and indent all lines but the first, so that none looks like one of clinder's."""
    return re.sub(r"\n(?=\S)", "\n  ", clean_message(text))


def show_error(error: ClinderError, *, as_json: bool, json_lines: bool = False) -> None:
    """Print an error: for people on stderr; for programs also as JSON on stdout, with any session that was made.

    Args:
        error: what went wrong.
        as_json: whether programs read on.
        json_lines: whether the JSON of each result is a line of its own.
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
        print_stderr(f"  The session is there: {error.session.uri}")


def print_stderr(text: str) -> None:
    """Say something on stderr; if nobody can hear it any more, that is no fault."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        detach(sys.stderr)


def say_warning(text: str) -> None:
    """Say a warning on stderr, of one line or more, whatever others have written into it."""
    print_stderr(f"warning: {one_paragraph(text)}")


def _print_json(document: Mapping[str, Any], *, json_lines: bool) -> None:
    indent = None if json_lines else 2
    sys.stdout.write(json.dumps({"format_version": FORMAT_VERSION, **document}, indent=indent) + "\n")
    sys.stdout.flush()
