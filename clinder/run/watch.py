"""Watching a session while something else uses it, and keeping it from idling."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clinder.model.errors import ClinderError
from clinder.model.observation import Condition
from clinder.net.jupyter import JupyterServer
from clinder.operations.probe import observe_session

if TYPE_CHECKING:
    from types import TracebackType

    from clinder.config.settings import Timeouts
    from clinder.model.session import Session


@dataclass(frozen=True, slots=True)
class Pace:
    """How closely a session is watched, in seconds.

    Attributes:
        look_s: the pause between two looks.
        outage_s: how long a session may be out of reach before it counts as lost.
        keep_alive_s: how often to give a sign of activity; hubs stop servers after ten minutes without one (measured).
    """

    look_s: float = 5.0
    outage_s: float = 30.0
    keep_alive_s: float = 60.0


_PACE = Pace()


@dataclass(frozen=True, slots=True)
class Loss:
    """When and how a session was lost (UTC)."""

    at: datetime
    reason: str


class Watch:
    """Looks at a session every few seconds, in a thread of its own; a context manager.

    Attributes:
        loss: how the session was lost; `None` as long as it was not.
    """

    def __init__(self, session: Session, *, timeouts: Timeouts, keeps_alive: bool, pace: Pace = _PACE) -> None:
        """Prepare.

        Args:
            session: which one.
            timeouts: `connect` bounds each look.
            keeps_alive: whether to give signs of activity: looking at `api/status` is none, `api/kernels` is
                (measured).
            pace: how closely to watch.
        """
        self.loss: Loss | None = None
        self._session = session
        self._timeouts = timeouts
        self._keeps_alive = keeps_alive
        self._pace = pace
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="clinder-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=1)

    def look(self) -> None:
        """Look once more, for whether the session is gone; to be out of reach for a moment is no loss."""
        seen = observe_session(self._session, timeouts=self._timeouts)
        if seen.condition is Condition.GONE:
            self.loss = Loss(datetime.now(UTC), seen.reason or seen.condition)

    def _look_on(self) -> None:
        unreachable_since: float | None = None
        last_activity = time.monotonic()
        while not self._ended.wait(self._pace.look_s):
            began = time.monotonic()
            seen = observe_session(self._session, timeouts=self._timeouts)
            if seen.condition is Condition.RUNNING:
                unreachable_since = None
            elif unreachable_since is None:
                # Counted from the look, not from the last success: clinder itself may have been stopped (Ctrl-Z).
                unreachable_since = began
            now = time.monotonic()
            is_over = unreachable_since is not None and now - unreachable_since >= self._pace.outage_s
            if seen.condition is Condition.GONE or is_over:
                self.loss = Loss(datetime.now(UTC), seen.reason or seen.condition)
                return
            if self._keeps_alive and now - last_activity >= self._pace.keep_alive_s:
                last_activity = now
                self._stir()

    def _stir(self) -> None:
        try:
            with JupyterServer(self._session, connect=self._timeouts.connect) as server:
                server.report_activity()
        except ClinderError:
            return  # the next look tells whether it is there
