"""The command line: one file for each verb, thin; here is where it starts and where errors end."""

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
    """Run `clinder` with the arguments of this process, and end it with the status of the command."""
    _open_missing_streams()
    _write_any_text()
    _hear_of_ended_children()
    try:
        status = invoke(sys.argv[1:])
    except KeyboardInterrupt:  # while an error was shown
        status = _INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: who is impatient now would only spoil the status
    sys.exit(status)


def _open_missing_streams() -> None:
    """Have stdin, stdout and stderr, even where clinder was started without them (`>&-`).

    A file that is opened later would take their numbers, and get what is meant for them. Whatever is written to such
    a stdout fails, as it would have; what is said on such a stderr is lost.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115  # for good
            setattr(sys, name, stream)


def _write_any_text() -> None:
    """Have stdout take any text: it gets an escape for what its encoding lacks, as stderr does."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _hear_of_ended_children() -> None:
    """Take SIGCHLD back to its default: where it is ignored, as one may inherit it, no child has an exit status."""
    if sys.platform != "win32" and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def invoke(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status; whatever goes wrong is shown here, without a traceback."""
    try:
        return int(app(list(arguments), prog_name="clinder", standalone_mode=False) or 0)
    except Exit as leaving:
        return leaving.exit_code
    except ClinderError as error:
        return _fail(error, arguments)
    except TyperException as error:
        hint = "`clinder --help` lists the commands, `clinder COMMAND --help` the options."
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        return _fail(UsageError(message or "no command is given", hint=hint), arguments)
    except (KeyboardInterrupt, Abort):
        return _INTERRUPTED
    except SystemExit as leaving:  # Typer's way to end where nobody reads on
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
    """Say whether JSON was asked for, even of what could not be parsed; what `run` runs has options of its own."""
    return "--json" in arguments and "run" not in arguments[:1]


def _lacking(error: OSError) -> ClinderError | None:
    """Make an error of what this process or machine has run out of, which is no fault of clinder; else nothing."""
    return ClinderError(os_reason(error), hint=os_hint(error)) if error.errno in LACKING else None


def _internal(error: Exception) -> ClinderError:
    """Make a fault of clinder's own one to report; its traceback goes to a file, as it may be long."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="clinder-", suffix=".txt")
        os.close(descriptor)
        Path(name).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        where = f" with the file {name}"
    except OSError:
        where = ""
    return ClinderError(
        f"a fault of clinder itself: {type(error).__name__}: {error}",
        hint=f"Please report it{where}: {HOME_PAGE}/issues",
    )
