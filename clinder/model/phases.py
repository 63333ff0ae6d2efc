"""The phases of a launch and their durations, measured once for the record, the log and the screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clinder.model.events import Attempt, Event, Phase, Verified, Verifying

if TYPE_CHECKING:
    from clinder.model.events import Progress

_WARMING = "warming"
_TAKES_NO_TIME = ("", Phase.READY.value, Phase.FAILED.value)


class PhaseClock:
    """A listener that measures how long each phase of a launch takes, and starts again with each attempt.

    An event without a phase, or with an unknown one, belongs to the previous phase. `warming` follows `ready`: clinder
    checks that the server answers and that its kernel starts.

    Attributes:
        phase: the current phase; empty when the launch is finished.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.phase = Phase.WAITING.value
        self._since = time.monotonic()
        self._seconds = {self.phase: 0.0}

    def __call__(self, item: Event | Progress) -> None:
        """Record an event at the time of this call."""
        if isinstance(item, Event):
            if item.phase and item.phase is not Phase.UNKNOWN:
                self._enter(item.phase.value)
        elif isinstance(item, Attempt):
            self._begin()
        elif isinstance(item, Verifying):
            self._enter(_WARMING)
        elif isinstance(item, Verified):
            self._enter("")

    def _enter(self, phase: str) -> None:
        if phase != self.phase:
            now = time.monotonic()
            self._seconds[self.phase] += now - self._since
            self._seconds.setdefault(phase, 0.0)
            self.phase, self._since = phase, now

    def times(self) -> dict[str, float]:
        """Get the duration of each phase so far, in seconds, in order."""
        times = dict(self._seconds)
        times[self.phase] += time.monotonic() - self._since
        return {phase: seconds for phase, seconds in times.items() if phase not in _TAKES_NO_TIME}
