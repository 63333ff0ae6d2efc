"""Which phase a launch is in and how long each took: one clock for the record, the log and the screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clinder.model.events import Attempt, Event, Phase, Verified, Verifying

if TYPE_CHECKING:
    from clinder.model.events import Progress

_WARMING = "warming"
_TAKES_NO_TIME = ("", Phase.READY.value, Phase.FAILED.value)


class PhaseClock:
    """A listener that adds up the seconds of each phase of a launch; another launch begins anew.

    An event without a phase, or with one that is not known, belongs to the phase before. After `ready` comes
    `warming`, in which clinder sees that the server answers and its kernel starts.

    Attributes:
        phase: the present one; empty when all is done.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.phase = Phase.WAITING.value
        self._since = time.monotonic()
        self._seconds = {self.phase: 0.0}

    def __call__(self, item: Event | Progress) -> None:
        """Hear an item, at the moment at which it comes."""
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
        """Say how many seconds each phase took so far, in the order in which they came."""
        times = dict(self._seconds)
        times[self.phase] += time.monotonic() - self._since
        return {phase: seconds for phase, seconds in times.items() if phase not in _TAKES_NO_TIME}
