"""The read-only commands: `status` and `plan`. They change nothing and need no lock."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clinder.operations.plan import Desired, Drift, Plan, find_drift, plan
from clinder.operations.probe import observe_session
from clinder.state import State, StateFolder
from clinder.system.git import RefGoneError, newest_commit

if TYPE_CHECKING:
    from collections.abc import Callable

    from clinder.config.loading import Config
    from clinder.model.observation import Observation
    from clinder.model.session import Session


@dataclass(frozen=True, slots=True)
class StatusResult:
    """The recorded session and its current condition.

    Attributes:
        session: the recorded session, if any.
        seen: an observation of it, made now.
        drift: its differences from the configuration.
        state: the whole recorded state.
    """

    session: Session | None
    seen: Observation | None
    drift: tuple[Drift, ...]
    state: State


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `up` that are not part of the configuration.

    Attributes:
        replace: launch a new session even if the recorded one matches, or cannot be reached.
        ref_check: ask the repository whether the ref has moved since the session was built.
        latest: replace the session if the ref has moved.
    """

    replace: bool = False
    ref_check: bool = False
    latest: bool = False


def desired_state(config: Config, options: UpOptions) -> Desired:
    """Get the desired state from the configuration, with the current commit of the ref if the options ask for it.

    Raises:
        ConfigError: no repository is declared.
        UnreachableError: the repository does not answer.
    """
    desired = Desired(config.hubs, config.spec(), options.replace, wants_newest=options.latest)
    if not (options.ref_check or options.latest):
        return desired
    try:
        return replace(desired, newest_commit=newest_commit(desired.spec))
    except RefGoneError:
        return replace(desired, ref_is_gone=True)


def preview(config: Config, options: UpOptions = UpOptions()) -> Plan:
    """Make the plan that `up` would apply."""
    folder = StateFolder.of(config)
    state = _without_live_launch(folder.read(), folder)
    return plan(desired_state(config, options), state, observe_all(state, config))


def _without_live_launch(state: State, folder: StateFolder) -> State:
    """Remove a pending launch from the state if its process still holds the lock: it has not failed."""
    if state.pending and folder.is_locked():
        return replace(state, pending=None)
    return state


def observe_all(state: State, config: Config, *, pause: Callable[[float], None] = time.sleep) -> dict[str, Observation]:
    """Observe every recorded session.

    Args:
        state: the recorded state.
        config: the configuration; `timeouts.connect` limits each observation.
        pause: called with a number of seconds while waiting; an exception from it ends the wait.

    Returns:
        The observations, by the URL of the session.
    """
    return {each.url: observe_session(each, timeouts=config.timeouts, pause=pause) for each in state.sessions}


def status(config: Config) -> StatusResult:
    """Observe the recorded session and compare it with the configuration.

    Raises:
        StateError: the state cannot be read.
    """
    state = StateFolder.of(config).read()
    session = state.session
    if session is None:
        return StatusResult(None, None, (), state)
    seen = observe_session(session, timeouts=config.timeouts)
    drift = find_drift(desired_state(config, UpOptions()), session) if config.link else []
    return StatusResult(session, seen, tuple(drift), state)
