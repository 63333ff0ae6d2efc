"""start and stop: a session that no state records; who asked for it keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.model.events import Message
from clinder.net.loopback import exposure
from clinder.operations.launch import NullRecorder, launch
from clinder.operations.probe import stop_session
from clinder.operations.results import DownAction, DownResult

if TYPE_CHECKING:
    from clinder.config.loading import Config
    from clinder.model.session import Session
    from clinder.operations.context import RunContext


def start(config: Config, context: RunContext) -> Session:
    """Launch a session that nobody records but the caller.

    Raises:
        ClinderError: no session came of it, or the error bears it.
    """
    return launch(config, context, NullRecorder())


def stop(session: Session, config: Config, context: RunContext) -> DownResult:
    """Stop a session that is not recorded, and wait until it is seen to be gone.

    Raises:
        TimedOutError: it was asked to end, and was not seen to be gone in time.
        UnreachableError: it could not even be asked.
    """
    if danger := exposure(session.url):
        context.on_event(Message(danger, warning=True))
    was_there = stop_session(session, timeouts=config.timeouts, pause=context.interrupts.sleep)
    return DownResult(DownAction.STOPPED if was_there else DownAction.ALREADY_GONE, session)
