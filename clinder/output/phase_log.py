"""The lines of a hub's log, collected by phase; used by plain progress and by the log of a CI job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.model.events import Event, Phase
from clinder.output.clean import clean, is_passing

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_BUFFERED = 512


class PhaseLines:
    """A buffer of clean lines that is written when the hub pauses, enters the next phase, or has sent many lines.

    So a verbose build takes few writes.

    Args:
        write: called with a phase and one or more of its lines.
        verbose: include progress that the next line overwrites.
    """

    def __init__(self, write: Callable[[str, str], None], *, verbose: bool = False) -> None:
        self._write = write
        self._verbose = verbose
        self._phase = Phase.WAITING.value
        self._layers = (0, 0)
        self._lines: list[str] = []

    def begin(self) -> None:
        """Start another launch."""
        self.flush()
        self._phase, self._layers = Phase.WAITING.value, (0, 0)

    def add(self, event: Event) -> None:
        """Add an event; one without a phase belongs to the current phase."""
        phase = event.phase
        if phase and phase is not Phase.UNKNOWN and phase.value != self._phase:
            self.flush()
            self._phase = phase.value
        if event.progress:
            self._count_layers(event)
        elif event.message and (self._verbose or not is_passing(event.message)):
            self._buffer(clean(event.message).rstrip("\n"))

    def _count_layers(self, event: Event) -> None:
        """Add a line when another layer is done; the bytes in between are only shown on a terminal."""
        done = sum(layer.current >= layer.total for layer in event.progress.values())
        if (done, len(event.progress)) != self._layers:
            self._layers = (done, len(event.progress))
            self._buffer(f"{done} of {len(event.progress)} layers pushed")

    def _buffer(self, text: str) -> None:
        if text:
            self._lines.append(text)
        if len(self._lines) >= _MOST_BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        if self._lines:
            text = "\n".join(self._lines)
            self._lines.clear()
            self._write(self._phase, text)
