"""Observe and stop a session, on any hub. For the embedded hub, the operating system is asked as well as HTTP."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clinder.model.observation import Condition, Observation

if TYPE_CHECKING:
    from collections.abc import Callable

    from clinder.config.settings import Timeouts
    from clinder.model.session import Session


def observe_session(
    session: Session, *, timeouts: Timeouts, pause: Callable[[float], None] = time.sleep
) -> Observation:
    """Observe a session once.

    A session of the embedded hub is gone if its process has ended. HTTP alone would only show that its port does not
    answer.

    Args:
        session: the session.
        timeouts: `connect` limits the wait for an answer.
        pause: called with a number of seconds while waiting; an exception from it ends the wait.
    """
    from clinder.net.jupyter import JupyterServer  # imports requests

    if _process_has_ended(session):
        return Observation(Condition.GONE, "its process has ended", datetime.now(UTC))
    with JupyterServer(session, connect=timeouts.connect) as server:
        return server.observe(pause=pause)


def stop_session(session: Session, *, timeouts: Timeouts, pause: Callable[[float], None], waits: bool = True) -> bool:
    """Stop a session and wait until it is confirmed stopped.

    Args:
        session: the session.
        timeouts: `stop` limits the wait.
        pause: called with a number of seconds while waiting; an exception from it ends the wait.
        waits: whether to wait for a session that cannot be reached. If false, it is tried once.

    Returns:
        Whether the session was still running.

    Raises:
        TimedOutError: the session was asked to stop, but was not confirmed stopped in time.
        UnreachableError: the session could not be asked to stop.
        RefusedError: the session refused the token.
    """
    from clinder.net.jupyter import JupyterServer  # imports requests

    with JupyterServer(session, connect=timeouts.connect) as server:
        was_running = server.shut_down(
            timeout=timeouts.stop, pause=pause, is_gone=lambda: _process_has_ended(session), waits=waits
        )
    if _may_be_embedded(session):
        from clinder.localhub import sessions as running  # the embedded hub is heavy

        running.stop(session.url, 0)  # removes its files
    return was_running


def _process_has_ended(session: Session) -> bool:
    """Whether a session of the embedded hub has ended; false for all other sessions."""
    if not _may_be_embedded(session):
        return False
    from clinder.localhub import sessions as running  # the embedded hub is heavy

    return running.is_alive(session.url) is False


def _may_be_embedded(session: Session) -> bool:
    return urlsplit(session.url).hostname == "127.0.0.1"
