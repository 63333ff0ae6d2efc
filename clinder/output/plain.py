"""Progress in plain lines on stderr, for where there is no terminal: a CI log, a file, a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from clinder.duration import format_duration
from clinder.events import Attempt, CaughtUp, Checking, Event, LaunchesLeft, Phase, Retrying, Told
from clinder.output.clean import clean, clean_line, is_passing
from clinder.output.color import colored
from clinder.output.result import give_up

if TYPE_CHECKING:
    from clinder.events import Notice

_MOST_BUFFERED = 512


class PlainProgress:
    """A listener that prints a line for everything that happens, in order, each with the phase that it belongs to.

    Lines are written when the hub pauses, so that a chatty build costs few writes; the phase before each of them
    also keeps a hub's words from standing at the beginning of a line, where a CI runner looks for commands.

    Args:
        verbose: also show progress that the next line overwrites, and what else is of interest to few.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._phase = ""
        self._prefix = f"{'':<9} | "
        self._layers: tuple[int, int] = (0, 0)
        self._lines: list[str] = []

    def __call__(self, item: Event | Notice) -> None:
        """Print an item."""
        if isinstance(item, Event):
            self._event(item)
        elif isinstance(item, CaughtUp):
            self.flush()
        elif (line := describe(item, verbose=self._verbose)) is not None:
            if isinstance(item, Attempt):
                self._phase = ""
            self._lines.append(line)
            self.flush()

    def _event(self, event: Event) -> None:
        phase = event.phase
        if phase and phase is not Phase.UNKNOWN and phase.value != self._phase:
            self._phase = phase.value
            self._prefix = colored(f"{self._phase:<9} |", "dim", sys.stderr) + " "
        if event.progress:
            self._pushed(event)
        elif event.message and (self._verbose or not is_passing(event.message)):
            prefix = self._prefix
            text = clean(event.message).rstrip("\n")
            if text:
                self._lines.append(prefix + (text.replace("\n", "\n" + prefix) if "\n" in text else text))
        if len(self._lines) >= _MOST_BUFFERED:
            self.flush()

    def _pushed(self, event: Event) -> None:
        """Tell of pushed layers when another one is done: the bytes between are for a terminal."""
        done = sum(layer.current >= layer.total for layer in event.progress.values())
        if (done, len(event.progress)) != self._layers:
            self._layers = (done, len(event.progress))
            self._lines.append(f"{self._prefix}{done} of {len(event.progress)} layers pushed")

    def flush(self) -> None:
        """Write the lines that wait."""
        if not self._lines:
            return
        text = "\n".join(self._lines) + "\n"
        self._lines.clear()
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # nobody listens any more: that is no reason to lose a session
            give_up(sys.stderr)

    def close(self, *, succeeded: bool) -> None:
        """Write what still waits."""
        self.flush()


def describe(item: Notice, *, verbose: bool) -> str | None:
    """Put a notice into a line of words; `None` for one that is shown to nobody, or to the verbose alone."""
    match item:
        case Attempt(hub=hub, spec=spec, number=number, of=of):
            tries = f" (try {number} of {of})" if number > 1 else ""
            return f"launching {clean_line(str(spec))} on {hub}{tries}"
        case Retrying(reason=reason, hub=hub, delay_s=delay_s):
            return f"failed: {clean_line(reason)}; trying again on {hub} in {format_duration(delay_s)}"
        case Checking(kernel=None):
            return "checking that the server answers"
        case Checking(kernel=kernel):
            return "starting a kernel once" + ("" if kernel == "auto" else f" ({kernel})")
        case LaunchesLeft(hub=hub, remaining=remaining, limit=limit) if verbose:
            return f"{hub} allows {remaining} more launches (of {limit}) for now"
        case Told(text=text, warning=warning):
            return f"{colored('warning:', 'yellow', sys.stderr)} {clean_line(text)}" if warning else clean_line(text)
        case _:
            return None
