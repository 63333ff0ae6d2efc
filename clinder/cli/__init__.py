"""The command line: a thin module for each command, and the entry point that runs them and shows errors."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Abort, Exit, TyperException

from clinder import HOME_PAGE
from clinder.cli.app import app
from clinder.model.errors import ClinderError, UsageError
from clinder.model.wording import LACKING, os_hint, os_reason
from clinder.operations.handover import hand_over
from clinder.output.result import show_error

if TYPE_CHECKING:
    from collections.abc import Sequence


_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run `clinder` with the arguments of this process, and exit with the status of the command."""
    _open_missing_streams()
    _escape_unencodable_text()
    _reset_sigchld()
    try:
        status = invoke(sys.argv[1:])
    except KeyboardInterrupt:  # while an error was shown
        status = _INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: Ctrl-C must not change the status now
    sys.exit(status)


def _open_missing_streams() -> None:
    """Open stdin, stdout and stderr if clinder was started without them (`>&-`).

    Otherwise a file that is opened later would get their descriptors, and with them their output. Writing to such a
    stdout fails, as it should; output on such a stderr is discarded.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115  # open until exit
            setattr(sys, name, stream)


def _escape_unencodable_text() -> None:
    """Make stdout escape characters that its encoding lacks, as stderr does."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _reset_sigchld() -> None:
    """Reset SIGCHLD to its default: if it is ignored, which is inherited, no child has an exit status."""
    if sys.platform != "win32" and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def invoke(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status; errors are shown without a traceback."""
    try:
        return int(app(list(arguments), prog_name="clinder", standalone_mode=False) or 0)
    except Exit as leaving:
        return leaving.exit_code
    except ClinderError as error:
        return _fail(error, arguments)
    except TyperException as error:
        hint = "`clinder --help` lists the commands, `clinder COMMAND --help` the options."
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        return _fail(UsageError(message or "no command given", hint=hint), arguments)
    except (KeyboardInterrupt, Abort):
        return _INTERRUPTED
    except SystemExit as leaving:  # Typer raises this when the reader has closed the pipe
        if isinstance(leaving.__context__, BrokenPipeError):
            return 0
        raise
    except OSError as error:
        return _fail(_lacking(error) or _internal(error), arguments)
    except Exception as error:  # the last resort: no traceback reaches a user
        return _fail(_internal(error), arguments)


def _fail(error: ClinderError, arguments: Sequence[str]) -> int:
    show_error(error, as_json=_wants_json(arguments), json_lines="--watch" in arguments)
    if error.session:
        hand_over(error.session)  # it was printed
    return error.exit_status


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether JSON was requested, even if parsing failed; the command of `run` has its own options."""
    return "--json" in arguments and "run" not in arguments[:1]


def _lacking(error: OSError) -> ClinderError | None:
    """Make an error of what this process or machine has run out of, which is no fault of clinder; else nothing."""
    return ClinderError(os_reason(error), hint=os_hint(error)) if error.errno in LACKING else None


def _internal(error: Exception) -> ClinderError:
    """Make an error that asks for a bug report; the traceback is written to a file, as it may be long."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="clinder-", suffix=".txt")
        os.close(descriptor)
        Path(name).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        where = f" with the file {name}"
    except OSError:
        where = ""
    return ClinderError(
        f"internal error: {type(error).__name__}: {error}",
        hint=f"Please report it{where}: {HOME_PAGE}/issues",
    )
