"""SIGINT, SIGTERM and SIGHUP, noted when they come and acted upon where it is safe.

A signal never breaks into the middle of a step: those who wait ask `check` several times a second. A second signal
leaves at once.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING

from clinder.model.errors import InterruptedBySignalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

POLL_S = 0.1
_HANGUP = getattr(signal, "SIGHUP", None)
"""Comes once from the kernel and once more from the shell when a terminal is closed: that is no impatience."""
_ONE_WISH_S = 0.1
"""Signals that follow one another so closely come of one wish: from the terminal, and from a program around clinder."""
_LEAVING_S = 2.0
"""How long leaving at once may take, before yet another signal breaks in again."""
ENDING_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupts:
    """Whether the command was asked to end.

    Attributes:
        requested: the number of the first signal that came, if any.
        requested_at: when it came, on the monotonic clock.
        is_repeated: whether a second one came, so that nothing may take time any more.
        possible_orphan: what a second signal would leave behind, in one sentence, kept true by those who work.
    """

    def __init__(self, signals: tuple[signal.Signals, ...] = ENDING_SIGNALS) -> None:
        self._signals = signals
        self.requested: int | None = None
        self.requested_at = 0.0
        self.is_repeated = False
        self.possible_orphan = ""
        self._left_at = 0.0

    @contextlib.contextmanager
    def installed(self) -> Iterator[Interrupts]:
        """Take the signals over, where this is the main thread; a signal that is ignored stays so."""
        previous = {}
        if threading.current_thread() is threading.main_thread():
            previous = {number: signal.getsignal(number) for number in self._signals}
            for number, handler in previous.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, self._note)
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested is not None:
            if number == _HANGUP == self.requested or now < self.requested_at + _ONE_WISH_S:
                return
            if self.is_repeated and now < self._left_at + _LEAVING_S:
                return  # it is leaving
            self.is_repeated, self._left_at = True, now
            raise InterruptedBySignalError(number, f"{_name(number)} again: left at once", hint=self.possible_orphan)
        self.requested, self.requested_at = number, now

    def error(self, message: str = "", *, hint: str = "") -> InterruptedBySignalError:
        """Make the error to raise for the signal that came."""
        number = self.requested or signal.SIGINT
        return InterruptedBySignalError(number, message or _name(number).lower(), hint=hint)

    def check(self) -> None:
        """Go on, or leave.

        Raises:
            InterruptedBySignalError: a signal came.
        """
        if self.requested is not None:
            raise self.error()

    def sleep(self, seconds: float) -> None:
        """Wait, in seconds, but leave as soon as a signal comes.

        Raises:
            InterruptedBySignalError: a signal came.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(POLL_S, left))
        self.check()


def _name(number: int) -> str:
    return "Interrupted" if number == signal.SIGINT else f"Ended by {signal.Signals(number).name}"
