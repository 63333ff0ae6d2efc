"""A hub's words as lines, gathered phase by phase: what plain progress and the log of a CI job have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.model.events import Event, Phase
from clinder.output.clean import clean, is_passing

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_GATHERED = 512


class PhaseLines:
    """Gathers clean lines, and hands on those of a phase when the hub pauses, goes on to the next, or says much.

    So a chatty build costs few writes.

    Args:
        write: takes a phase, and one or more lines of it.
        verbose: also gather progress that the next line overwrites.
    """

    def __init__(self, write: Callable[[str, str], None], *, verbose: bool = False) -> None:
        self._write = write
        self._verbose = verbose
        self._phase = Phase.WAITING.value
        self._layers = (0, 0)
        self._lines: list[str] = []

    def begin(self) -> None:
        """Begin another launch."""
        self.flush()
        self._phase, self._layers = Phase.WAITING.value, (0, 0)

    def add(self, event: Event) -> None:
        """Take an event in; one without a phase belongs to the phase before."""
        phase = event.phase
        if phase and phase is not Phase.UNKNOWN and phase.value != self._phase:
            self.flush()
            self._phase = phase.value
        if event.progress:
            self._count_layers(event)
        elif event.message and (self._verbose or not is_passing(event.message)):
            self._gather(clean(event.message).rstrip("\n"))

    def _count_layers(self, event: Event) -> None:
        """Tell of pushed layers when another one is done: the bytes between are for a terminal."""
        done = sum(layer.current >= layer.total for layer in event.progress.values())
        if (done, len(event.progress)) != self._layers:
            self._layers = (done, len(event.progress))
            self._gather(f"{done} of {len(event.progress)} layers pushed")

    def _gather(self, text: str) -> None:
        if text:
            self._lines.append(text)
        if len(self._lines) >= _MOST_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Hand on the lines that wait."""
        if self._lines:
            text = "\n".join(self._lines)
            self._lines.clear()
            self._write(self._phase, text)
