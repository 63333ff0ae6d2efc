"""Watch a session while a command or job uses it, and keep it active."""

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
        check_s: the pause between two checks.
        outage_s: how long a session may be unreachable before it counts as lost.
        keep_alive_s: how often to report activity; hubs stop servers after ten minutes without any (measured).
    """

    check_s: float = 5.0
    outage_s: float = 30.0
    keep_alive_s: float = 60.0


_PACE = Pace()


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of a session: its time (UTC) and reason."""

    at: datetime
    reason: str


class Watch:
    """A thread that checks a session every few seconds; a context manager.

    Attributes:
        loss: the loss of the session; `None` while it is not lost.
    """

    def __init__(self, session: Session, *, timeouts: Timeouts, keeps_alive: bool, pace: Pace = _PACE) -> None:
        """Prepare the watch.

        Args:
            session: the session to watch.
            timeouts: `connect` bounds each check.
            keeps_alive: whether to report activity; a request to `api/status` does not count as activity, one to
                `api/kernels` does (measured).
            pace: the intervals.
        """
        self.loss: Loss | None = None
        self._session = session
        self._timeouts = timeouts
        self._keeps_alive = keeps_alive
        self._pace = pace
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="clinder-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=1)

    def check(self) -> None:
        """Check once more whether the session is gone; being unreachable for a moment is not a loss."""
        seen = observe_session(self._session, timeouts=self._timeouts)
        if seen.condition is Condition.GONE:
            self.loss = Loss(datetime.now(UTC), seen.reason or seen.condition)

    def _watch(self) -> None:
        unreachable_since: float | None = None
        last_activity = time.monotonic()
        while not self._ended.wait(self._pace.check_s):
            began = time.monotonic()
            seen = observe_session(self._session, timeouts=self._timeouts)
            if seen.condition is Condition.RUNNING:
                unreachable_since = None
            elif unreachable_since is None:
                # Counted from this check, not from the last success: clinder itself may have been stopped (Ctrl-Z).
                unreachable_since = began
            now = time.monotonic()
            is_over = unreachable_since is not None and now - unreachable_since >= self._pace.outage_s
            if seen.condition is Condition.GONE or is_over:
                self.loss = Loss(datetime.now(UTC), seen.reason or seen.condition)
                return
            if self._keeps_alive and now - last_activity >= self._pace.keep_alive_s:
                last_activity = now
                self._report_activity()

    def _report_activity(self) -> None:
        try:
            with JupyterServer(self._session, connect=self._timeouts.connect) as server:
                server.report_activity()
        except ClinderError:
            return  # the next check shows whether the session is running
