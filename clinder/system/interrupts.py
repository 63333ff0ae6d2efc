"""Handling of SIGINT, SIGTERM and SIGHUP: a signal is recorded, and handled at a safe point.

A signal does not interrupt a step: code that waits calls `check` several times a second. A second signal exits
immediately.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from clinder.model.errors import InterruptedBySignalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

POLL_S = 0.1
_HANGUP = getattr(signal, "SIGHUP", None)
"""When a terminal is closed, the kernel and the shell each send this signal: the second one is not a repetition."""
_SAME_REQUEST_S = 0.1
"""Signals this close together count as one, such as those from the terminal and from a parent process."""
_EXIT_S = 2.0
"""How long an immediate exit may take before another signal interrupts it."""
_AGAIN_S = 0.01
"""The pause before a second signal that came while a thread was being started is sent again."""
ENDING_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupts:
    """The signals received by the command.

    Attributes:
        requested: the number of the first signal, if any.
        requested_at: when it arrived, on the monotonic clock.
        is_repeated: whether a second signal arrived, so that the command must exit immediately.
        possible_orphan: what would keep running after an immediate exit, in one sentence; updated during the work.
    """

    def __init__(self, signals: tuple[signal.Signals, ...] = ENDING_SIGNALS) -> None:
        self._signals = signals
        self.requested: int | None = None
        self.requested_at = 0.0
        self.is_repeated = False
        self.possible_orphan = ""
        self._exiting_since = 0.0

    @contextlib.contextmanager
    def installed(self) -> Iterator[Interrupts]:
        """Install the signal handlers, if this is the main thread; a signal that is ignored stays ignored."""
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

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested is not None:
            if number == _HANGUP == self.requested or now < self.requested_at + _SAME_REQUEST_S:
                return
            if self.is_repeated and now < self._exiting_since + _EXIT_S:
                return
            if _starts_thread(frame):
                _thread.start_new_thread(_signal_again, (number,))
                return
            self.is_repeated, self._exiting_since = True, now
            message = f"second signal ({signal.Signals(number).name}): exiting immediately"
            raise InterruptedBySignalError(number, message, hint=self.possible_orphan)
        self.requested, self.requested_at = number, now

    def error(self, message: str = "", *, hint: str = "") -> InterruptedBySignalError:
        """Make the error to raise for the first signal."""
        number = self.requested or signal.SIGINT
        return InterruptedBySignalError(number, message or _name(number).lower(), hint=hint)

    def check(self) -> None:
        """Raise an error if a signal arrived.

        Raises:
            InterruptedBySignalError: a signal arrived.
        """
        if self.requested is not None:
            raise self.error()

    def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds, or until a signal arrives.

        Raises:
            InterruptedBySignalError: a signal arrived.
        """
        until = time.monotonic() + seconds
        while (remaining_s := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(POLL_S, remaining_s))
        self.check()


def _starts_thread(frame: FrameType | None) -> bool:
    """Whether a thread is being started; an exception raised there can make `threading` raise a `KeyError` instead."""
    while frame is not None and frame.f_code is not threading.Thread.start.__code__:
        frame = frame.f_back
    return frame is not None


def _signal_again(number: int) -> None:
    time.sleep(_AGAIN_S)
    if sys.platform == "win32":
        signal.raise_signal(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)  # which ends a pause of that thread


def _name(number: int) -> str:
    return "Interrupted" if number == signal.SIGINT else f"Ended by {signal.Signals(number).name}"
