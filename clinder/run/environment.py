"""The recorded session and the environment variables in which tools find it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clinder.model.errors import NoSessionError, UnreachableError
from clinder.model.observation import Condition
from clinder.model.wording import because
from clinder.operations.probe import observe_session
from clinder.state import StateFolder
from clinder.system.redact import OWN_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clinder.config.loading import Config
    from clinder.model.session import Session

BASE_URL_VARIABLE = "JUPYTER_BASE_URL"
TOKEN_VARIABLE = "JUPYTER_TOKEN"  # noqa: S105  # a name, no secret


def session_variables(session: Session) -> dict[str, str]:
    """Get the variables in which tools find a session; the URL has no trailing slash, since some tools append one."""
    return {BASE_URL_VARIABLE: session.url.rstrip("/"), TOKEN_VARIABLE: session.token}


def session_environment(session: Session, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Get an environment with the variables of a session and without the secrets of clinder itself."""
    base = os.environ if environment is None else environment
    return {name: value for name, value in base.items() if name not in OWN_VARIABLES} | session_variables(session)


def recorded_session(folder: StateFolder) -> Session:
    """Read the recorded session, without checking that it is running.

    Raises:
        NoSessionError: no session is recorded.
        StateError: the state cannot be read.
    """
    session = folder.read().session
    if session is None:
        raise NoSessionError("no session is recorded", hint="Run `clinder up` to launch one.")
    return session


def running_session(config: Config) -> Session:
    """Read the recorded session, and check that it is running.

    Raises:
        NoSessionError: no session is recorded, or it is gone.
        UnreachableError: the session cannot be reached.
        StateError: the state cannot be read.
    """
    session = recorded_session(StateFolder.of(config))
    seen = observe_session(session, timeouts=config.timeouts)
    if seen.condition is Condition.GONE:
        message = because(f"the session {session.url} is gone", seen.reason)
        raise NoSessionError(message, hint="Run `clinder up` to launch another.")
    if seen.condition is Condition.UNREACHABLE:
        raise UnreachableError(because(f"the session {session.url} is unreachable", seen.reason))
    return session
