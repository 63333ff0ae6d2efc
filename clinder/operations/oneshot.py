"""`start` and `stop`: sessions that are not recorded in a state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.model.events import Message
from clinder.net.loopback import exposure
from clinder.operations.launch import launch
from clinder.operations.probe import stop_session
from clinder.operations.recorder import NullRecorder
from clinder.operations.results import DownAction, DownResult

if TYPE_CHECKING:
    from clinder.config.loading import Config
    from clinder.model.session import Session
    from clinder.operations.context import RunContext


def start(config: Config, context: RunContext) -> Session:
    """Launch a session without recording it.

    Raises:
        ClinderError: the launch failed. If a session may still be running, the error carries it.
    """
    return launch(config, context, NullRecorder())


def stop(session: Session, config: Config, context: RunContext) -> DownResult:
    """Stop a session that is not recorded, and wait until it is confirmed stopped.

    Raises:
        TimedOutError: the session was asked to stop, but was not confirmed stopped in time.
        UnreachableError: the session could not be asked to stop.
        RefusedError: the session refused the token.
    """
    if danger := exposure(session.url):
        context.on_event(Message(danger, warning=True))
    was_running = stop_session(session, timeouts=config.timeouts, pause=context.interrupts.sleep)
    return DownResult(DownAction.STOPPED if was_running else DownAction.ALREADY_GONE, session)
