"""Handing a session over: from the process that launched it to whoever keeps its URL and token.

A session of the embedded hub ends with the process that launched it until then, so that a killed launch leaves no
server running that nobody can stop. Sessions of other hubs need no handing over; for them these functions do nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.model.session import Session


def offer(session: Session, state_file: Path) -> None:
    """Announce the state file that is about to record the session, right before it is written.

    If this process is killed before `hand_over`, the session keeps running exactly if that file holds it.
    """
    from clinder.localhub import handover  # only where something was launched

    handover.offer(session.url, state_file)


def hand_over(session: Session) -> None:
    """Let the session outlive this process, once it was recorded or given to the user."""
    from clinder.localhub import handover  # only where something was launched

    handover.hand_over(session.url)
