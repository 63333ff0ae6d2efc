"""start and stop: a session that no state records; who asked for it keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.events import Told
from clinder.hosts import exposure
from clinder.launching import NoLedger, launch

if TYPE_CHECKING:
    from clinder.circumstances import Circumstances
    from clinder.config import Config
    from clinder.outcomes import DownResult
    from clinder.sessions import Session


def start(config: Config, circumstances: Circumstances) -> Session:
    """Launch a session that nobody records but the caller.

    Raises:
        ClinderError: no session came of it, or the error bears it.
    """
    return launch(config, circumstances, NoLedger())


def stop(session: Session, config: Config, circumstances: Circumstances) -> DownResult:
    """Stop a session that is not recorded, and wait until it is seen to be gone.

    Raises:
        TimedOutError: it was asked to end, and was not seen to be gone in time.
        UnreachableError: it could not even be asked.
    """
    from clinder.outcomes import DownAction, DownResult
    from clinder.stopping import stop_session

    if danger := exposure(session.url):
        circumstances.tell(Told(danger, warning=True))
    was_there = stop_session(session, timeouts=config.timeouts, pause=circumstances.interrupts.sleep)
    return DownResult(DownAction.STOPPED if was_there else DownAction.ALREADY_GONE, session)
