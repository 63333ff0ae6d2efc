"""Progress as plain lines on stderr, when it is not a terminal: a CI log, a file, a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from clinder.model.duration import format_duration
from clinder.model.events import Attempt, Event, Message, RateLimit, Retrying, Verifying
from clinder.output.clean import clean_line, clean_message, clean_value
from clinder.output.color import colored
from clinder.output.phase_log import PhaseLines
from clinder.output.result import print_stderr

if TYPE_CHECKING:
    from clinder.model.events import Progress


class PlainProgress:
    """A listener that prints every event as a line, prefixed with its phase.

    The prefix also keeps text from a hub away from the beginning of a line, where a CI runner looks for commands.

    Args:
        verbose: show more detail, and progress that the next line overwrites.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._lines = PhaseLines(_print_phase, verbose=verbose)

    def __call__(self, item: Event | Progress) -> None:
        """Print an item."""
        if isinstance(item, Event):
            self._lines.add(item)
            return
        self._lines.flush()
        if isinstance(item, Attempt):
            self._lines.begin()
        if (line := describe(item, verbose=self._verbose)) is not None:
            print_stderr(line)

    def close(self, *, succeeded: bool) -> None:
        """Print the buffered lines."""
        self._lines.flush()


def _print_phase(phase: str, lines: str) -> None:
    prefix = colored(f"{phase:<9} |", "dim", sys.stderr) + " "
    print_stderr(prefix + lines.replace("\n", f"\n{prefix}"))


def describe(item: Progress, *, verbose: bool) -> str | None:
    """Describe a progress item in one line; `None` if it is not shown, or only shown with `verbose`."""
    match item:
        case Attempt(hub=hub, spec=spec, number=number, total=total):
            attempts = f" (attempt {number} of {total})" if number > 1 else ""
            return f"launching {clean_value(str(spec))} on {hub}{attempts}"
        case Retrying(reason=reason, hub=hub, delay_s=delay_s):
            return f"failed: {_line(reason)}; retrying on {hub} in {format_duration(delay_s)}"
        case Verifying(kernel=None):
            return "checking that the server answers"
        case Verifying(kernel=kernel):
            return "checking that a kernel starts" + ("" if kernel == "auto" else f" ({kernel})")
        case RateLimit(hub=hub, remaining=remaining, limit=limit) if verbose:
            return f"rate limit of {hub}: {remaining} of {limit} launches remaining"
        case Message(text=text, warning=warning):
            return f"{colored('warning:', 'yellow', sys.stderr)} {_line(text)}" if warning else _line(text)
        case _:
            return None


def _line(text: str) -> str:
    return clean_line(clean_message(text))
