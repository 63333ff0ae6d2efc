"""Progress in the log of a GitHub Actions job: one group for each phase, with command processing stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.github_action.commands import annotate, escape_data, mask, stopped, write
from clinder.model.events import Attempt, BatchEnd, Event, Message, Phase
from clinder.model.session import check_token
from clinder.output.clean import clean
from clinder.output.phase_log import PhaseLines
from clinder.output.plain import describe

if TYPE_CHECKING:
    from clinder.model.events import Progress


class ActionsProgress:
    """A listener that prints the hub's log in groups, and clinder's messages between them.

    A token is masked as soon as it is received, before anything else is printed.
    """

    def __init__(self) -> None:
        self._lines = PhaseLines(self._print_phase)
        self._group = ""

    def __call__(self, item: Event | Progress) -> None:
        """Print an item."""
        if isinstance(item, Event):
            if item.phase is Phase.READY:
                _mask(item.details.get("token"))
            self._lines.add(item)
        elif isinstance(item, BatchEnd):
            self._lines.flush()
        else:
            self._notice(item)

    def _notice(self, item: Progress) -> None:
        if isinstance(item, Message) and item.warning:
            self.close()
            annotate("warning", "clinder", item.text)
        elif (line := describe(item, verbose=False)) is not None:
            self.close()
            write(f"{clean(line)}\n")
        if isinstance(item, Attempt):
            self._lines.begin()

    def _print_phase(self, phase: str, lines: str) -> None:
        """Print lines in the group of their phase."""
        text = stopped(lines)
        if self._group != phase:
            text = f"{'::endgroup::' + chr(10) if self._group else ''}::group::{escape_data(phase)}\n{text}"
            self._group = phase
        write(text)

    def close(self) -> None:
        """Print the buffered lines, and end the group."""
        self._lines.flush()
        if self._group:
            self._group = ""
            write("::endgroup::\n")


def _mask(token: object) -> None:
    try:
        secret = check_token(token)
    except ValueError:  # an invalid token: the launch fails
        return
    mask(secret)
