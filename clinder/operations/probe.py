"""Looking at a session and stopping it, wherever it runs: the embedded hub knows more of its own than HTTP tells."""

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
    """Look at a session, once.

    A session of the embedded hub whose process has ended is gone, where HTTP alone would only say that its port does
    not answer.

    Args:
        session: which one.
        timeouts: `connect` bounds the look.
        pause: called meanwhile; raises to leave.
    """
    from clinder.net.jupyter import JupyterServer  # imports requests

    if _process_has_ended(session):
        return Observation(Condition.GONE, "its process has ended", datetime.now(UTC))
    with JupyterServer(session, connect=timeouts.connect) as server:
        return server.observe(pause=pause)


def stop_session(session: Session, *, timeouts: Timeouts, pause: Callable[[float], None], waits: bool = True) -> bool:
    """Stop a session and wait until it is seen to be gone.

    Args:
        session: which one.
        timeouts: `stop` bounds the waiting.
        pause: sleeps so many seconds, or raises to leave.
        waits: false: it is asked once, and waited for only where it answers.

    Returns:
        False where it was gone already.

    Raises:
        TimedOutError: it was asked to end, and was not seen to be gone in time.
        UnreachableError: it could not even be asked.
    """
    from clinder.net.jupyter import JupyterServer  # imports requests

    with JupyterServer(session, connect=timeouts.connect) as server:
        was_there = server.shut_down(
            timeout=timeouts.stop, pause=pause, is_gone=lambda: _process_has_ended(session), waits=waits
        )
    if _may_be_embedded(session):
        from clinder.localhub import sessions as running  # the embedded hub is heavy

        running.stop(session.url, 0)  # what it left on the disk
    return was_there


def _process_has_ended(session: Session) -> bool:
    """Ask the embedded hub about its own sessions, known by their URL; it knows nothing of others."""
    if not _may_be_embedded(session):
        return False
    from clinder.localhub import sessions as running  # the embedded hub is heavy

    return running.is_alive(session.url) is False


def _may_be_embedded(session: Session) -> bool:
    return urlsplit(session.url).hostname == "127.0.0.1"
