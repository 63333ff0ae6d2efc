"""The events of one launch, read in a thread of their own, so that who waits for them keeps its deadlines.

A blocked read cannot be relied on to end in time (keepalives defeat a read timeout, headers can drip), nor does it
hear a signal. So the reading is done beside the waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from clinder.model.errors import ClinderError
from clinder.model.events import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from clinder.model.events import Event

_MOST_WAITING = 16
"""How many batches may wait to be taken before the reading pauses: bounds memory when the taker is slow."""


class EventStream:
    """The events of one launch as they come; a context manager that leaves the stream when it ends.

    Attributes:
        is_closed: whether the stream was left.
    """

    def __init__(
        self,
        read: Callable[[EventStream], Iterable[list[Event]]],
        *,
        close: Callable[[], None],
        closing_s: float = 1.0,
        in_process: bool = False,
    ) -> None:
        """Prepare to read.

        Args:
            read: generates the events in batches, an empty one for a mere sign of life; runs in the thread and stops
                soon after `is_closed`.
            close: called from another thread, makes a `read` that is blocked return.
            closing_s: how long that may take, in seconds.
            in_process: whether `read` is the hub at work, not one who listens to it: it is then a sign of life that
                its thread lives.
        """
        self.is_closed = False
        self._read = read
        self._close = close
        self._closing_s = closing_s
        self._in_process = in_process
        self._last_sign_at: float | None = None
        self._batches: deque[list[Event]] = deque()
        self._late: list[Event] = []
        self._error: BaseException | None = None
        self._has_ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="clinder-events", daemon=True)

    @property
    def last_sign_at(self) -> float | None:
        """When the hub last gave a sign of life, be it a keepalive, on the monotonic clock; `None` before the first."""
        if self._in_process and self._thread.is_alive():
            self._last_sign_at = time.monotonic()
        return self._last_sign_at

    def __enter__(self) -> EventStream:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
        self._close()
        self._thread.join(timeout=self._closing_s)

    def _run(self) -> None:
        try:
            for batch in self._read(self):
                with self._changed:
                    self._changed.wait_for(lambda: len(self._batches) < _MOST_WAITING or self.is_closed)
                    self._last_sign_at = time.monotonic()
                    self._batches.append(batch)
                    self._changed.notify_all()
                    if self.is_closed:
                        return
        except BaseException as error:  # handed on to the thread that takes
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def receive(self, timeout_s: float) -> Iterator[Event] | None:
        """Take all events that have come, waiting for some at most so many seconds; `None` at the stream's end.

        Raises:
            ClinderError: what made the reading fail, after all events before it were taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._batches or self._has_ended, timeout_s)
            batches = list(self._batches)
            self._batches.clear()
            self._changed.notify_all()
            if not batches and self._has_ended:
                if isinstance(self._error, ClinderError):
                    raise self._error
                if self._error is not None:
                    raise RuntimeError("reading the events failed") from self._error
                return None
        return (event for batch in batches for event in batch)

    def add_late(self, events: Iterable[Event]) -> None:
        """Add events that came, but are not to be taken: what came before them ends the stream."""
        self._late += events

    def late_ready(self) -> list[Event]:
        """After the stream was left: the `ready` events that came too late to be taken."""
        with self._changed:
            batches = [*self._batches, self._late]
        return [event for batch in batches for event in batch if event.phase is Phase.READY]
