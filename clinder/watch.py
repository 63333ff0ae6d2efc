"""Watching a session while something else uses it, and keeping it from idling."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clinder.errors import ClinderError
from clinder.jupyter import JupyterServer
from clinder.observation import Condition
from clinder.stopping import observe_session

if TYPE_CHECKING:
    from types import TracebackType

    from clinder.config import Timeouts
    from clinder.sessions import Session

_LOOK_S = 5.0
_OUTAGE_S = 30.0
"""How long a session may be out of reach before it counts as lost."""
_KEEP_ALIVE_S = 60.0
"""How often to give a sign of activity; hubs stop servers after ten minutes without one (measured)."""


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

    def __init__(self, session: Session, *, timeouts: Timeouts, keeps_alive: bool) -> None:
        """Prepare.

        Args:
            session: which one.
            timeouts: `connect` bounds each look.
            keeps_alive: whether to give signs of activity: looking at `api/status` is none, `api/kernels` is
                (measured).
        """
        self.loss: Loss | None = None
        self._session = session
        self._timeouts = timeouts
        self._keeps_alive = keeps_alive
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

    def _look_on(self) -> None:
        last_reached = last_activity = time.monotonic()
        while not self._ended.wait(_LOOK_S):
            seen = observe_session(self._session, timeouts=self._timeouts)
            now = time.monotonic()
            if seen.condition is Condition.RUNNING:
                last_reached = now
            elif seen.condition is Condition.GONE or now - last_reached >= _OUTAGE_S:
                self.loss = Loss(datetime.now(UTC), seen.reason)
                return
            if self._keeps_alive and now - last_activity >= _KEEP_ALIVE_S:
                last_activity = now
                self._stir()

    def _stir(self) -> None:
        try:
            with JupyterServer(self._session, connect=self._timeouts.connect) as server:
                server.stir()
        except ClinderError:
            return  # the next look tells whether it is there
